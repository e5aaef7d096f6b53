package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/test/transcript"
	"hotreader/wire"
)

func logger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

var traceID = regexp.MustCompile(`"trace_id":"[^"]*"`)

// TestPitfall20TokenIsNeverOptional: a token that is missing, wrong, empty, given twice,
// cut, longer, or of any bytes gets the same answer on every route, before anything else
// about the request is checked.
func TestPitfall20TokenIsNeverOptional(t *testing.T) {
	if _, err := httpapi.New(httpapi.Options{Source: store(t)}); hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Errorf("a server without a token starts: %v", err)
	}
	s := serve(t, httpapi.Options{Source: series{n: 1, during: func(context.Context, int) { t.Error("the store was asked") }}})
	tokens := map[string][]string{
		"missing": nil, "empty": {""}, "wrong": {"wrong-token-of-more-than-32-bytes-0001"}, "cut": {current[:len(current)-1]},
		"longer": {current + "x"}, "both": {current + "," + previous}, "non-ASCII": {"é" + current}, "bytes": {"\xff\xfe\x80"},
		"twice": {current, current}, "right and wrong": {current, "wrong"}, "other case": {strings.ToUpper(current)}, "32 KB": {strings.Repeat("x", 32<<10)},
	}
	requests := [][3]string{
		{"GET", history, ""}, {"GET", "/v1/devices/pump/latest?property=a", ""}, {"POST", "/read", envelope(pumpAll)},
		{"POST", "/read", "not JSON"}, {"GET", "/v1/devices", ""}, {"GET", "/v1/devices/pump", ""}, {"GET", "/nowhere", ""}, {"PUT", "/read", ""}, {"GET", history + "&limit=0", ""}, {"POST", "/read", strings.Repeat("x", 100_000)},
	}
	var first *answer
	for name, values := range tokens {
		for _, r := range requests {
			req, err := http.NewRequestWithContext(t.Context(), r[0], s.URL+r[1], strings.NewReader(r[2]))
			if err != nil {
				t.Fatal(err)
			}
			req.Header[identity.TokenHeader] = values
			got := do(t, req)
			problem(t, got, 401, hotreader.CodeUnauthenticated)
			if got.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no WWW-Authenticate", name)
			}
			got.body = traceID.ReplaceAllString(got.body, "")
			if first == nil {
				first = &got
			} else if got.body != first.body || got.header.Get("WWW-Authenticate") != first.header.Get("WWW-Authenticate") {
				t.Errorf("%s, %s %s: this refusal differs:\n%s\n%s", name, r[0], r[1], got.body, first.body)
			}
		}
	}
	s = serve(t, httpapi.Options{})
	for _, token := range []string{current, previous} {
		if got := ask(t, s, "GET", history, "", identity.TokenHeader, token); got.status != 200 {
			t.Errorf("a good token: %d %s", got.status, got.body)
		}
	}
}

func TestRotatedTokenIsFetchedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const fresh = "fresh-token-of-at-least-32-bytes-000003"
		stored, fetches := current, 0
		token, err := identity.Fetched(t.Context(), func(ctx context.Context) (string, time.Time, error) {
			fetches++
			return stored, time.Time{}, ctx.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		log := &transcript.Buffer{}
		h, err := httpapi.New(httpapi.Options{Source: series{n: 1}, Token: token, Logger: logger(log)})
		if err != nil {
			t.Fatal(err)
		}
		get := func(token string, ctx context.Context) int { return direct(t, h, ctx, token).status }
		stored = fresh + "," + current
		if got := get(fresh, t.Context()); got != 401 || fetches != 1 {
			t.Errorf("at once: %d after %d fetches; want none so soon", got, fetches)
		}
		time.Sleep(6 * time.Minute)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if got := get("nonsense", gone); got != 401 || fetches != 2 {
			t.Errorf("later: %d after %d fetches", got, fetches)
		}
		if got := get(fresh, t.Context()); got != 200 || fetches != 2 {
			t.Errorf("a caller that hung up kept the token from being fetched: %d after %d fetches", got, fetches)
		}
		if got := get(current, t.Context()); got != 200 {
			t.Errorf("the previous token: %d", got)
		}
		for range 100 {
			get("nonsense", t.Context())
		}
		if fetches != 2 {
			t.Errorf("%d fetches: anybody can make us fetch", fetches)
		}
		if strings.Contains(log.String(), fresh) || strings.Contains(log.String(), current) {
			t.Error("a token is in the log")
		}
	})
}

// TestPitfall22NoQueryWithoutDeviceAndBounds: an answer has only the device that is named,
// everything is bounded, and no other site's script can read it.
func TestPitfall22NoQueryWithoutDeviceAndBounds(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for _, r := range [][3]string{
		{"GET", "/v1/devices//history?property=temperature", ""},
		{"GET", "/v1/devices/history?property=temperature", ""},
		{"GET", "/v1/devices/%20/history?property=temperature", ""},
		{"GET", "/v1/devices/*/history?property=temperature", ""},
		{"GET", "/v1/devices/%25/latest?property=temperature", ""},
		{"GET", "/v1/devices/pump/history", ""},
		{"POST", "/read", envelope(`{` + all + `,"selected_properties":["temperature"]}`)},
		{"POST", "/read", envelope(`{"iot_device_id":null,` + all + `,"selected_properties":["temperature"]}`)},
		{"POST", "/read", envelope(`{"iot_device_id":"",` + all + `,"selected_properties":["temperature"]}`)},
		{"POST", "/read", envelope(`{"iot_device_id":"%",` + all + `,"selected_properties":["temperature"]}`)},
		{"POST", "/read", lastEntry(`{"selected_properties":["temperature"]}`)},
	} {
		got := ask(t, s, r[0], r[1], r[2], "Origin", "https://example.com")
		if strings.Contains(got.body, "73.9") || strings.Contains(got.body, "98765.4321") {
			t.Errorf("%v: rows came: %s", r, got.body)
		}
		safe(t, got)
	}
}

func TestPitfall22Rate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := httpapi.New(httpapi.Options{Source: series{n: 1}, Token: static(t, current+","+previous), Rate: 0.5, Burst: 3})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if got := direct(t, h, t.Context(), current); got.status != 200 {
				t.Fatalf("request %d: %d", i, got.status)
			}
		}
		got := direct(t, h, t.Context(), current)
		problem(t, got, 429, hotreader.CodeThrottled)
		if got.header.Get("Retry-After") != "2" {
			t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
		}
		if got := direct(t, h, t.Context(), previous); got.status != 200 {
			t.Errorf("one token's greed hurts the other: %d", got.status)
		}
		if got := direct(t, h, t.Context(), "wrong"); got.status != 401 {
			t.Errorf("a wrong token: %d", got.status)
		}
		time.Sleep(1900 * time.Millisecond)
		if got := direct(t, h, t.Context(), current); got.status != 429 || got.header.Get("Retry-After") != "1" {
			t.Errorf("a little early: %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
		}
		time.Sleep(100 * time.Millisecond)
		if got := direct(t, h, t.Context(), current); got.status != 200 {
			t.Errorf("after the wait: %d", got.status)
		}
	})
	// What the zero value means.
	h, err := httpapi.New(httpapi.Options{Source: series{n: 1}, Token: static(t, current)})
	if err != nil {
		t.Fatal(err)
	}
	limited := false
	for range 2000 {
		limited = limited || direct(t, h, t.Context(), current).status == 429
	}
	if !limited {
		t.Error("the zero value lets any number in")
	}
	h, err = httpapi.New(httpapi.Options{Source: series{n: 1}, Token: static(t, current), Rate: -1})
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		if got := direct(t, h, t.Context(), current); got.status != 200 {
			t.Fatalf("without a rate: %d", got.status)
		}
	}
}

// TestPitfall23NothingInternalLeaks: neither answers nor the log carry what they
// must not.
func TestPitfall23NothingInternalLeaks(t *testing.T) {
	log := &transcript.Buffer{}
	s := serve(t, httpapi.Options{Logger: logger(log)})
	ask(t, s, "GET", history, "", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	ask(t, s, "POST", "/read", envelope(pumpAll))
	ask(t, s, "GET", history, "", identity.TokenHeader, "wrong-token-of-more-than-32-bytes-0001")
	ask(t, s, "GET", history+"&limit=0", "")
	stream(t, s, envelope(pumpAll))
	ask(t, s, "GET", history+"&limit=2", "") // of three rows that are read, two are sent
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 6 {
		t.Fatalf("%d lines for 6 requests:\n%s", len(lines), log)
	}
	for _, hidden := range []string{"73.9", "12345678901234567890", current, "wrong-token"} {
		if strings.Contains(log.String(), hidden) {
			t.Errorf("the log has %q", hidden)
		}
	}

	log = &transcript.Buffer{}
	s = serve(t, httpapi.Options{Logger: logger(log), Source: series{n: 1, err: &hotreader.Error{Op: "dynamodb: query table secret-table", Code: hotreader.CodeStore, Err: errDisk}}})
	got := ask(t, s, "GET", history, "", "X-Request-Id", "req-7")
	problem(t, got, 502, hotreader.CodeStore)
	if strings.Contains(got.body, "secret-table") || strings.Contains(got.body, "sda1") || !strings.Contains(got.body, `"trace_id":"req-7"`) {
		t.Errorf("the caller learns %s", got.body)
	}
	if line := log.String(); !strings.Contains(line, "secret-table") || !strings.Contains(line, "sda1") || !strings.Contains(line, "req-7") || !strings.Contains(line, `"level":"ERROR"`) {
		t.Errorf("the operator learns only %s", line)
	}
}

func TestTraceIDs(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for _, c := range []struct {
		name    string
		headers []string
		want    string // "" = one that is made up
	}{
		{"traceparent", []string{"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "0af7651916cd43dd8448eb211c80319c"},
		{"traceparent before request id", []string{"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Request-Id", "r"}, "0af7651916cd43dd8448eb211c80319c"},
		{"traceparent of zeros", []string{"Traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01"}, ""},
		{"traceparent that is none", []string{"Traceparent", "00-zz-1-1", "X-Request-Id", "r"}, "r"},
		{"request id", []string{"X-Request-Id", "abc-DEF_1.2:3"}, "abc-DEF_1.2:3"},
		{"request id with markup", []string{"X-Request-Id", "<b>"}, ""},
		{"request id too long", []string{"X-Request-Id", strings.Repeat("x", 129)}, ""},
		{"none", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, s, "GET", "/nowhere", "", c.headers...)
			problem(t, got, 404, hotreader.CodeNotFound)
			_, rest, _ := strings.Cut(got.body, `"trace_id":"`)
			id, _, _ := strings.Cut(rest, `"`)
			if c.want != "" && id != c.want || c.want == "" && len(id) != 32 {
				t.Errorf("the trace id is %q", id)
			}
		})
	}
}

// TestPitfall25HostileRequests: an invalid request gets a 4xx, and no request costs more
// than its bounds. test/golden has the table.
func TestPitfall25HostileRequests(t *testing.T) {
	s := serve(t, httpapi.Options{Source: series{n: 100_000}, MaxAnswer: 100_000})
	for _, body := range []string{"", "null", "{", "[[[[", `"x"`, "\x00", envelope("null"), envelope("{}"), strings.Replace(envelope(pumpAll), `["temperature"]`, `[null]`, 1), envelope(strings.Replace(pumpAll, "}", `,"max_results":1e99}`, 1))} {
		got := ask(t, s, "POST", "/read", body)
		problem(t, got, 400, hotreader.CodeInvalid)
	}
	got := ask(t, s, "POST", "/read", envelope(seriesAll))
	if got.status != 200 || len(got.body) > 100_000 || !strings.Contains(got.body, `"nextToken"`) {
		t.Errorf("%d, %d bytes", got.status, len(got.body))
	}
	got = ask(t, s, "GET", "/v1/devices/d/history?property=a", "")
	if got.status != 200 || len(got.body) > 100_000 || !strings.Contains(got.body, `"next_token"`) {
		t.Errorf("%d, %d bytes", got.status, len(got.body))
	}
}

// TestPitfall05OneDialect: the answer's format does not depend on the caller's cloud.
func TestPitfall05OneDialect(t *testing.T) {
	s := serve(t, httpapi.Options{})
	want := ask(t, s, "POST", "/read", envelope(pumpAll)).body
	for _, cloud := range []string{"azure", "gcp", "google", "", "mars"} {
		got := ask(t, s, "POST", "/read", strings.Replace(envelope(pumpAll), `"aws"`, `"`+cloud+`"`, 1))
		if got.status != 200 || got.body != want {
			t.Errorf("%q: %d %s", cloud, got.status, got.body)
		}
	}
}

// unfinished sends only the beginning of a body, and then nothing or, with ends, closes
// the connection.
func unfinished(t *testing.T, s *httptest.Server, body string, ends bool) answer {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /read HTTP/1.1\r\nHost: x\r\n%s: %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n%s", identity.TokenHeader, current, body)
	if ends {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	got := answered(t, resp, err)
	if resp.Close { // which net/http takes out of the header
		got.header.Set("Connection", "close")
	}
	return got
}

func TestSlowBody(t *testing.T) {
	s := serve(t, httpapi.Options{BodyTime: 50 * time.Millisecond})
	got := unfinished(t, s, `{"source`, false)
	problem(t, got, 408, hotreader.CodeUnavailable)
	if got.header.Get("Connection") != "close" {
		t.Error("the connection is kept")
	}
	if text := got.body; !strings.Contains(text, "the body did not come within 50ms") || strings.Contains(text, "store") {
		t.Errorf("what is wrong is the body, not the store: %s", text)
	}
	synctest.Test(t, func(t *testing.T) { // how long it is where nothing is set
		h, err := httpapi.New(httpapi.Options{Source: store(t), Token: static(t, current)})
		if err != nil {
			t.Fatal(err)
		}
		s, began := &standing{ResponseRecorder: httptest.NewRecorder()}, time.Now()
		r := httptest.NewRequest(http.MethodPost, "/read", s)
		r.ContentLength = 1000
		r.Header.Set(identity.TokenHeader, current)
		h.ServeHTTP(s, r)
		problem(t, answer{s.Code, s.Header(), s.Body.String()}, 408, hotreader.CodeUnavailable)
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("the body had %s", d)
		}
	})
}

// standing is a connection on which the rest of a body never comes.
type standing struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (s *standing) SetReadDeadline(at time.Time) error {
	s.deadline = at
	return nil
}

func (s *standing) Read([]byte) (int, error) {
	time.Sleep(time.Until(s.deadline))
	return 0, os.ErrDeadlineExceeded
}

// TestRefusalDoesNotWaitForTheBody: a request that is rejected unread gets its answer
// although its body does not come, long before the server's own timeout. After a complete
// body, the connection stays open.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for name, c := range map[string]struct {
		head   string
		status int
	}{
		"no token":     {"POST /read HTTP/1.1\r\nHost: x\r\n", 401},
		"no such path": {"POST /nothing HTTP/1.1\r\nHost: x\r\n" + identity.TokenHeader + ": " + current + "\r\n", 404},
		"healthz":      {"GET /healthz HTTP/1.1\r\nHost: x\r\n", 200},
		"OPTIONS":      {"OPTIONS /read HTTP/1.1\r\nHost: x\r\n" + identity.TokenHeader + ": " + current + "\r\n", 204},
	} {
		for _, sent := range []string{"{", strings.Repeat(" ", 1000)} {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// Below the 20 s of the server's ReadTimeout, far above the second
			// that is meant.
			if err := conn.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "%sContent-Length: 1000\r\n\r\n%s", c.head, sent)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Errorf("%s, %d bytes of 1000: %v", name, len(sent), err)
				continue
			}
			resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("%s, %d bytes of 1000: status %d, want %d", name, len(sent), resp.StatusCode, c.status)
			}
			if whole := len(sent) == 1000; whole == resp.Close {
				t.Errorf("%s, %d bytes of 1000: closes the connection: %t", name, len(sent), resp.Close)
			}
		}
	}
}

// TestQueryOutlivesBodyTime: the deadline of the body does not end the query.
func TestQueryOutlivesBodyTime(t *testing.T) {
	s := serve(t, httpapi.Options{BodyTime: 300 * time.Millisecond, Source: series{n: 3, during: func(ctx context.Context, i int) {
		if i == 1 {
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
	}}})
	for _, r := range [][3]string{{"POST", "/read", envelope(seriesAll)}, {"GET", "/v1/devices/d/history?property=a", ""}} {
		if got := ask(t, s, r[0], r[1], r[2]); got.status != 200 || !strings.Contains(got.body, "2.5") {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	s := serve(t, httpapi.Options{})
	problem(t, unfinished(t, s, "{", true), 400, hotreader.CodeInvalid)
}

// deadlines notes the deadlines that a handler sets for its answer.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// TestEveryAnswerHasItsOwnDeadline: the deadline of a connection's last answer must not
// end the next one, and no answer may be without a deadline.
func TestEveryAnswerHasItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := httpapi.New(httpapi.Options{Source: series{n: 20_000}, Token: static(t, current), MaxTime: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			method, path, body, token string
			last                      time.Duration
			least                     int
		}{
			{"GET", "/healthz", "", current, 5 * time.Second, 1}, {"GET", history, "", "", 5 * time.Second, 2}, {"GET", "/nowhere", "", current, 30 * time.Second, 2},
			{"GET", history, "", current, 30 * time.Second, 2}, {"POST", "/read", envelope(seriesAll), current, 30 * time.Second, 4},
		} {
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
			r.Header.Set(identity.TokenHeader, c.token)
			r.Header.Set("Accept", wire.MediaType)
			w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			h.ServeHTTP(w, r)
			if n := len(w.set); n < c.least || time.Until(w.set[n-1]) != c.last {
				t.Errorf("%s: deadlines at %v", c.path, w.set)
			}
			for _, at := range w.set[1:] { // the first is for what needs no token
				if left := time.Until(at); left < c.last || left > time.Minute {
					t.Errorf("%s: a deadline in %v", c.path, left)
				}
			}
		}
	})
}
