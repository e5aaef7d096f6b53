package faults

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/test/serving"
	"hotreader/wire"
)

// row is a row of the table.
type row struct {
	name     string
	fault    fault
	code     hotreader.Code // of the error if the fault does not pass; "" = it is harmless
	requests int            // if it does not pass: 4 where it is tried again, 1 where not
	idle     time.Duration  // how long no byte may come; 0 = long
}

// short is row.idle for answers that stand still. On a busy machine healthy answers may
// seem to, so it is not shorter.
const short = time.Second

// table returns the faults of a peer, or of something in front of it. A redirect leads
// to trap.
func table(trap string) []row {
	again := func(name string, code hotreader.Code, f fault) row {
		return row{name: name, fault: f, code: code, requests: 4}
	}
	final := func(name string, code hotreader.Code, f fault) row {
		return row{name: name, fault: f, code: code, requests: 1}
	}
	harmless := func(name string, f fault) row { return row{name: name, fault: f, requests: 1} }
	standstill := func(name string, f fault) row {
		return row{name: name, fault: f, code: hotreader.CodeUnavailable, requests: 4, idle: short}
	}
	rows := []row{
		again("hung up before the head", hotreader.CodeUnavailable, breaks(start, hangUp)),
		again("hung up within the head", hotreader.CodeUnavailable, breaks(withinHead, hangUp)),
		again("hung up behind the head", hotreader.CodeUnavailable, breaks(afterHead, hangUp)),
		again("hung up in the middle", hotreader.CodeUnavailable, breaks(middle, hangUp)),
		again("hung up before the last byte", hotreader.CodeUnavailable, breaks(lastByte, hangUp)),
		again("reset before the head", hotreader.CodeUnavailable, breaks(start, reset)),
		again("reset within the head", hotreader.CodeUnavailable, breaks(withinHead, reset)),
		again("reset behind the head", hotreader.CodeUnavailable, breaks(afterHead, reset)),
		again("reset in the middle", hotreader.CodeUnavailable, breaks(middle, reset)),
		again("reset before the last byte", hotreader.CodeUnavailable, breaks(lastByte, reset)),
		again("no HTTP", hotreader.CodeUnavailable, says("SSH-2.0-OpenSSH_9.6\r\n")),

		harmless("a first byte that is late", late(150*time.Millisecond)),
		harmless("bytes one by one", drips(300, 200*time.Microsecond)),
		harmless("early hints", func(x *exchange) {
			b, _ := x.whole()
			_, _ = x.conn.Write(append([]byte("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), b...))
		}),
		standstill("no first byte", stalls(start)),
		standstill("a stall within the head", stalls(withinHead)),
		standstill("a stall behind the head", stalls(afterHead)),
		standstill("a stall in the middle", stalls(middle)),
		standstill("a stall before the last byte", stalls(lastByte)),

		final("401", hotreader.CodeUnauthenticated, status(401, "WWW-Authenticate: X")),
		final("101", hotreader.CodeProtocol, says("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")),
		final("204", hotreader.CodeProtocol, says("HTTP/1.1 204 No Content\r\n\r\n")),

		again("a problem: throttled", hotreader.CodeThrottled, problem(429, "throttled")),
		again("a problem: overloaded", hotreader.CodeOverloaded, problem(503, "overloaded")),
		again("a problem: unavailable", hotreader.CodeUnavailable, problem(502, "unavailable")),
		again("a problem: store", hotreader.CodeStore, problem(502, "store")),
		again("a problem: corrupt", hotreader.CodeCorrupt, problem(502, "corrupt")),
		again("a problem: protocol", hotreader.CodeUnavailable, problem(502, "protocol")),
		again("a problem: deadline", hotreader.CodeUnavailable, problem(504, "deadline")),
		again("a problem: internal", hotreader.CodeUnavailable, problem(500, "internal")),
		again("a problem: config", hotreader.CodeUnavailable, problem(500, "config")),
		final("a problem: invalid", hotreader.CodeInvalid, problem(400, "invalid")),
		final("a problem: forbidden", hotreader.CodeForbidden, problem(403, "forbidden")),
		again("503 with the code of a 400", hotreader.CodeOverloaded, problem(503, "invalid")),
		final("400 with the code of a 503", hotreader.CodeInvalid, problem(400, "overloaded")),
		final("404 with the code of a 502", hotreader.CodeNotFound, problem(404, "store")),
		final("403 with the code of a 504", hotreader.CodeForbidden, problem(403, "deadline")),

		again("Retry-After: 0", hotreader.CodeThrottled, status(429, "Retry-After: 0")),
		again("Retry-After: soon", hotreader.CodeThrottled, status(429, "Retry-After: soon")),
		again("Retry-After: -5", hotreader.CodeThrottled, status(429, "Retry-After: -5")),
		again("Retry-After: NaN", hotreader.CodeThrottled, status(429, "Retry-After: NaN")),
		again("Retry-After: Inf", hotreader.CodeThrottled, status(429, "Retry-After: Inf")),
		again("Retry-After: 0x7fffp9", hotreader.CodeThrottled, status(429, "Retry-After: 0x7fffp9")),
		again("Retry-After: a date past", hotreader.CodeThrottled, status(429, "Retry-After: Sun, 01 Mar 2020 12:00:00 GMT")),
		final("Retry-After: a day", hotreader.CodeThrottled, status(429, "Retry-After: 86400")),
		final("Retry-After: a number without end", hotreader.CodeThrottled, status(429, "Retry-After: "+strings.Repeat("9", 400))),
		final("Retry-After: a date far off", hotreader.CodeOverloaded, status(503, "Retry-After: Fri, 01 Mar 2199 12:00:00 GMT")),

		final("HTML", hotreader.CodeProtocol, ok("text/html; charset=utf-8", "<!doctype html><title>Sign in</title>")),
		final("HTML called JSON", hotreader.CodeProtocol, ok("application/json", "<!doctype html>")),
		final("nothing of no type", hotreader.CodeProtocol, ok("", "")),
		final("nothing called JSON", hotreader.CodeProtocol, ok("application/json", "")),
		again("nothing called rows", hotreader.CodeUnavailable, ok(wire.MediaType, "")),
		final("JSON called rows", hotreader.CodeProtocol, ok(wire.MediaType, `{"propertyValues":[]}`)),
		final("JSON of another shape", hotreader.CodeProtocol, ok("application/json", `{"items":[]}`)),
		final("a part, with status 206", hotreader.CodeProtocol, says("HTTP/1.1 206 Partial Content\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n"+`{"propertyValues":[]}`)),
		final("an error with status 200", hotreader.CodeProtocol, ok("application/json", `{"errorMessage":"boom","errorType":"X"}`)),
		final("null", hotreader.CodeProtocol, ok("application/json", "null")),
		final("a list", hotreader.CodeProtocol, ok("application/json", "[]")),
		again("JSON that is cut", hotreader.CodeCorrupt, ok("application/json", `{"propertyValues":[{"enti`)),
	}
	for n, code := range map[int]hotreader.Code{408: hotreader.CodeUnavailable, 429: hotreader.CodeThrottled, 500: hotreader.CodeUnavailable, 501: hotreader.CodeUnavailable,
		502: hotreader.CodeUnavailable, 503: hotreader.CodeOverloaded, 504: hotreader.CodeUnavailable, 520: hotreader.CodeUnavailable} {
		rows = append(rows, again(fmt.Sprintf("%d is %s", n, code), code, status(n)))
	}
	for n, code := range map[int]hotreader.Code{400: hotreader.CodeInvalid, 403: hotreader.CodeProtocol, 404: hotreader.CodeProtocol, 405: hotreader.CodeInvalid, 409: hotreader.CodeNotRestored,
		413: hotreader.CodeTooLarge, 421: hotreader.CodeInvalid, 425: hotreader.CodeInvalid, 451: hotreader.CodeInvalid, 799: hotreader.CodeProtocol} {
		rows = append(rows, final(fmt.Sprintf("%d is %s", n, code), code, status(n)))
	}
	for _, code := range []int{300, 301, 302, 303, 305, 307, 308} {
		rows = append(rows, final(fmt.Sprintf("%d to elsewhere", code), hotreader.CodeConfig, status(code, "Location: "+trap+"/read")))
	}
	rows = append(rows, final("304", hotreader.CodeConfig, says("HTTP/1.1 304 Not Modified\r\n\r\n")))
	return rows
}

// Each fault, for both functions, with a peer of row streams and with one that knows only
// JSON. If the fault passes, exactly the stored rows come; if it does not, an error that
// names it. No read sends more requests than the table says.
func TestFaults(t *testing.T) {
	t.Parallel()
	store := filled(t)
	want := localAnswers(t, store)
	trap := newFaultServer(t, http.NotFoundHandler(), nil, never())
	t.Cleanup(func() {
		if n := trap.accepted.Load(); n > 0 {
			t.Errorf("a redirect was followed %d times", n)
		}
	})
	for peer, api := range peers(t, store) {
		for _, r := range table(trap.url) {
			if r.idle > 0 {
				continue
			}
			for name := range want {
				t.Run(peer+"/"+r.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					failsOnce(t, api, r, name, want[name])
					failsAlways(t, api, r, name, want[name])
				})
			}
		}
	}
}

// The same for answers that stand still. This test is not parallel, since it depends on
// time.
func TestStandstill(t *testing.T) {
	store := filled(t)
	want := localAnswers(t, store)
	for peer, api := range peers(t, store) {
		for _, r := range table("") {
			if r.idle == 0 {
				continue
			}
			for name := range want {
				t.Run(peer+"/"+r.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					failsOnce(t, api, r, name, want[name])
				})
				t.Run(peer+"/"+r.name+"/"+name+", each time", func(t *testing.T) {
					t.Parallel()
					failsAlways(t, api, r, name, want[name])
				})
			}
		}
	}
}

func (r *row) idleOption() func(*setup) {
	if r.idle > 0 {
		return withIdle(r.idle)
	}
	return withIdle(within)
}

// failsOnce injects the fault of r into the first request only.
func failsOnce(t *testing.T, api http.Handler, r row, name string, want []byte) {
	g := newFaultServer(t, api, nil, first(1, r.fault))
	got, err := functions(remoteAt(t, g.url, r.idleOption()))[name].Invoke(limited(t), event())
	asked := int(g.requests.Load())
	switch {
	case r.code != "" && r.requests == 1:
		checkFailure(t, got, err, r.code)
		if asked != 1 {
			t.Errorf("once: %d requests, want 1", asked)
		}
		return
	case err != nil || !bytes.Equal(got, want):
		t.Errorf("once: %.300s, %v; want %.300s", got, err, want)
	}
	right := asked == 2
	if r.code == "" {
		right = asked == 1
	} else if r.idle > 0 { // on a busy machine the next answer may be late, too
		right = asked >= 2 && asked <= 4
	}
	if !right {
		t.Errorf("once: %d requests", asked)
	}
}

// failsAlways injects the fault of r into every request.
func failsAlways(t *testing.T, api http.Handler, r row, name string, want []byte) {
	g := newFaultServer(t, api, nil, always(r.fault))
	ctx := limited(t)
	got, err := functions(remoteAt(t, g.url, r.idleOption()))[name].Invoke(ctx, event())
	if r.code == "" {
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("stays: %.300s, %v; want %.300s", got, err, want)
		}
	} else {
		checkFailure(t, got, err, r.code)
	}
	if ctx.Err() != nil {
		t.Error("the deadline has passed")
	}
	if n := int(g.requests.Load()); n > r.requests || n < r.requests && (r.idle == 0 || n == 0) {
		t.Errorf("stays: %d requests, want %d", n, r.requests)
	}
}

// Retry waits as long as the peer asks it to, even if the peer's clock differs from ours
// by years.
func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	store := filled(t)
	want := localAnswers(t, store)
	for _, c := range []struct {
		name    string
		headers []string
		fault   func(headers ...string) fault
	}{
		{"seconds", []string{"Retry-After: 1"}, func(h ...string) fault { return status(429, h...) }},
		{"seconds, of an overloaded one", []string{"Retry-After: 1"}, func(h ...string) fault { return status(503, h...) }},
		{"a date", []string{"Date: Sun, 01 Mar 2026 12:00:00 GMT", "Retry-After: Sun, 01 Mar 2026 12:00:01 GMT"}, func(h ...string) fault { return status(429, h...) }},
		{"a date of a clock that is ahead", []string{"Date: Fri, 01 Mar 2199 12:00:00 GMT", "Retry-After: Fri, 01 Mar 2199 12:00:01 GMT"}, func(h ...string) fault { return status(429, h...) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var times []time.Time
			g := newFaultServer(t, apiOf(t, store), nil, func(request int) fault {
				times = append(times, time.Now())
				return first(1, c.fault(c.headers...))(request)
			})
			got, err := functions(remoteAt(t, g.url))["history"].Invoke(limited(t), event())
			if err != nil || !bytes.Equal(got, want["history"]) {
				t.Fatalf("%.300s, %v", got, err)
			}
			if len(times) != 2 || times[1].Sub(times[0]) < time.Second {
				t.Errorf("requests at %v", times)
			}
		})
	}
}

// Nobody listens.
func TestRefused(t *testing.T) {
	t.Parallel()
	store := filled(t)
	want := localAnswers(t, store)
	addr := fmt.Sprintf("127.0.0.1:%d", serving.Port(t))
	stats := new(hotreader.Stats)
	rows, err := collect(hotreader.WithStats(limited(t), stats), t, remoteAt(t, "http://"+addr), history())
	if len(rows) > 0 || hotreader.CodeOf(err) != hotreader.CodeUnavailable || stats.Attempts.Load() != 4 {
		t.Errorf("%d rows, %v, after %d attempts", len(rows), err, stats.Attempts.Load())
	}

	// The peer listens again in time for the third connection. The first two go to a
	// closed port.
	g := newFaultServer(t, apiOf(t, store), nil, never())
	for name := range want {
		dials := 0
		r := remoteAt(t, g.url, func(s *setup) {
			transport := s.remote.Client.Transport.(*http.Transport)
			dial := transport.DialContext
			transport.DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
				if dials++; dials <= 2 {
					return dial(ctx, network, addr)
				}
				return dial(ctx, network, to)
			}
		})
		got, err := functions(r)[name].Invoke(limited(t), event())
		if err != nil || !bytes.Equal(got, want[name]) || dials != 3 {
			t.Errorf("%s: %.200s, %v, after %d connections", name, got, err, dials)
		}
	}
}

// An old peer's pages fail between the first and the last.
func TestFaultsBetweenPages(t *testing.T) {
	t.Parallel()
	store := filled(t)
	want := stored(t, store, history())
	api := apiOf(t, store, jsonOnly, func(o *httpapi.Options) { o.MaxAnswer = 8 << 10 })
	whole := newFaultServer(t, api, nil, never())
	if got, err := collect(limited(t), t, remoteAt(t, whole.url), history()); err != nil || difference(got, want, true) != "" {
		t.Fatalf("%v, %s", err, difference(got, want, true))
	}
	pages := int(whole.requests.Load())
	if pages < 5 {
		t.Fatalf("%d pages show nothing", pages)
	}
	for page := 2; page <= pages; page++ {
		for name, f := range map[string]fault{"reset": breaks(middle, reset), "503": status(503), "cut": cuts(byClose, 500, hangUp)} {
			t.Run(fmt.Sprintf("%s on page %d", name, page), func(t *testing.T) {
				t.Parallel()
				g := newFaultServer(t, api, nil, func(request int) fault {
					if request == page {
						return f
					}
					return nil
				})
				got, err := collect(limited(t), t, remoteAt(t, g.url), history())
				if wrong := difference(got, want, true); err != nil || wrong != "" {
					t.Errorf("%v; %s", err, wrong)
				}
				// One more for the fault, and some because pages begin and end elsewhere
				// after it.
				if n := int(g.requests.Load()); n <= pages || n > 2*pages+2 {
					t.Errorf("%d requests for %d pages", n, pages)
				}
			})
		}
	}
	html := newFaultServer(t, api, nil, func(request int) fault {
		return []fault{nil, nil, nil, ok("text/html", "<html>")}[min(request, 3)]
	})
	got, err := collect(limited(t), t, remoteAt(t, html.url), history())
	if wrong := difference(got, want, false); wrong != "" || hotreader.CodeOf(err) != hotreader.CodeProtocol || html.requests.Load() != 3 {
		t.Errorf("%d rows, %v; %s; %d requests", len(got), err, wrong, html.requests.Load())
	}
	if slices.ContainsFunc(got, func(r hotreader.Row) bool { return r.Time.IsZero() }) {
		t.Error("a row without a time")
	}
}

// Each row of the tables in docs/reliability.md names tests that exist.
func TestEveryRowNamesItsTest(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`([a-z0-9/]+): (Test\\w+)`")
	rows := 0
	named := map[string]bool{}
	for line := range strings.Lines(string(doc)) {
		if strings.Count(line, "|") != 4 || strings.HasPrefix(line, "|---") || strings.HasSuffix(line, "| test |\n") {
			continue
		}
		rows++
		tests := name.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test in %.80s", line)
		}
		for _, m := range tests {
			named[m[1]+" "+m[2]] = true
		}
	}
	if rows < 40 {
		t.Errorf("%d rows: this test looks at the wrong thing", rows)
	}
	exists := func(folder, test string) bool {
		files, err := filepath.Glob("../../" + folder + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "func "+test+"(") {
				return true
			}
		}
		return false
	}
	for n := range named {
		if folder, test, _ := strings.Cut(n, " "); !exists(folder, test) {
			t.Errorf("%s has no %s", folder, test)
		}
	}
}
