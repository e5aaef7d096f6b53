package faults

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hotreader/test/authority"
	"hotreader/test/serving"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"hotreader"
)

// nearEvent is event, of a range that ends with the rows.
func nearEvent() []byte {
	return bytes.Replace(event(), []byte("2030-01-01T00:00:00Z"), []byte("2026-03-01T12:06:40Z"), 1)
}

// both are the codes of a fault that stays: DynamoDB's, and Cosmos DB's.
type both [2]hotreader.Code

// localRow is a line of the table of what befalls the way to hot storage on a
// function's own cloud, over HTTP/1.1.
type localRow struct {
	name  string
	fault fault
	code  both
	asked [2]int // requests of a last entry if it stays, 0 = harmless
}

// refusal answers, and closes the connection as one does who says so.
func refusal(code int, kind, text string, headers ...string) fault {
	return says(fmt.Sprintf("HTTP/1.1 %d x\r\nConnection: close\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		code, kind, strings.Join(append(headers, ""), "\r\n"), len(text), text))
}

func localTable(trap string) []localRow {
	const (
		unavailable, throttled, store = hotreader.CodeUnavailable, hotreader.CodeThrottled, hotreader.CodeStore
		forbidden, notFound, config   = hotreader.CodeForbidden, hotreader.CodeNotFound, hotreader.CodeConfig
		protocol, corrupt             = hotreader.CodeProtocol, hotreader.CodeCorrupt
		ours                          = "" // no matter of this store
	)
	again := func(name string, code hotreader.Code, f fault) localRow {
		return localRow{name, f, both{code, code}, [2]int{3, 4}}
	}
	final := func(name string, code hotreader.Code, f fault) localRow {
		return localRow{name, f, both{code, code}, [2]int{1, 1}}
	}
	plain := func(code int, headers ...string) fault { return refusal(code, "text/plain", "sorry", headers...) }
	amazon := func(name string, code hotreader.Code, asked, status int, kind string) localRow {
		return localRow{name, refusal(status, "application/x-amz-json-1.0", `{"__type":"com.amazonaws.dynamodb.v20120810#`+kind+`","message":"m"}`),
			both{code, ours}, [2]int{asked, 0}}
	}
	azure := func(name string, code hotreader.Code, asked, status int, headers ...string) localRow {
		return localRow{name, refusal(status, "application/json", `{"code":"X","message":"m"}`, headers...), both{ours, code}, [2]int{0, asked}}
	}
	return []localRow{
		again("hung up before the head", unavailable, breaks(start, hangUp)),
		again("hung up within the head", unavailable, breaks(withinHead, hangUp)),
		again("hung up behind the head", unavailable, breaks(behindHead, hangUp)),
		again("hung up in the middle", unavailable, breaks(middle, hangUp)),
		again("hung up before the last byte", unavailable, breaks(lastByte, hangUp)),
		again("reset before the head", unavailable, breaks(start, reset)),
		again("reset within the head", unavailable, breaks(withinHead, reset)),
		again("reset behind the head", unavailable, breaks(behindHead, reset)),
		again("reset in the middle", unavailable, breaks(middle, reset)),
		again("reset before the last byte", unavailable, breaks(lastByte, reset)),
		again("cut in chunks", unavailable, cuts(chunked, 100, hangUp)),
		{"cut where the close is the end", cuts(byClose, 100, hangUp), both{corrupt, corrupt}, [2]int{3, 1}},
		again("no HTTP", unavailable, says("SSH-2.0-OpenSSH_9.6\r\n")),
		{name: "a first byte that is late", fault: late(100 * time.Millisecond)},
		{name: "bytes one by one", fault: drips(60, 200*time.Microsecond)},

		{"408 of a gateway", plain(408), both{protocol, protocol}, [2]int{1, 4}},
		final("425 of a gateway", protocol, plain(425)),
		{"429 of a gateway", plain(429, "Retry-After: soon"), both{throttled, ours}, [2]int{1, 0}},
		{"500 of a gateway", plain(500), both{store, store}, [2]int{3, 4}},
		again("502 of a gateway", unavailable, plain(502)),
		again("503 of a gateway", unavailable, plain(503)),
		again("504 of a gateway", unavailable, plain(504)),
		final("400 of a gateway", protocol, plain(400)),
		final("401 of a gateway", protocol, plain(401)),
		final("403 of a gateway", protocol, plain(403)),
		final("404 of a gateway", protocol, plain(404)),

		amazon("fails", store, 3, 500, "InternalServerError"),
		amazon("throttles", throttled, 3, 400, "ProvisionedThroughputExceededException"),
		amazon("throttles the request", throttled, 3, 400, "ThrottlingException"),
		amazon("does not allow it", forbidden, 1, 400, "AccessDeniedException"),
		amazon("does not know who asks", config, 1, 400, "UnrecognizedClientException"),
		amazon("has no such table", notFound, 1, 400, "ResourceNotFoundException"),
		azure("fails", store, 4, 500),
		azure("throttles", throttled, 10, 429, "X-Ms-Retry-After-Ms: 1"),
		azure("is not able to", unavailable, 4, 503),
		azure("takes too long", unavailable, 4, 408),
		azure("moves", unavailable, 4, 410),
		azure("does not allow it", forbidden, 1, 403),
		azure("does not know who asks", config, 1, 401),
		azure("has no such container", notFound, 1, 404),

		final("301 to elsewhere", protocol, plain(301, "Location: "+trap)),
		final("302 to elsewhere", protocol, plain(302, "Location: "+trap)),
		final("307 to elsewhere", protocol, plain(307, "Location: "+trap)),
		{"200 with HTML", refusal(200, "text/html", "<html>"), both{corrupt, protocol}, [2]int{1, 1}},
		final("200 with HTML called JSON", corrupt, refusal(200, "application/json", "<html>")),
		final("200 with nothing", corrupt, refusal(200, "application/json", "")),
		final("200 with JSON of another shape", corrupt, refusal(200, "application/json", `{"a":1}`)),
		final("200 with null", corrupt, refusal(200, "application/json", "null")),
		{"204", says("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"), both{corrupt, protocol}, [2]int{1, 1}},
	}
}

// The way to hot storage on a function's own cloud, by the real clients of
// DynamoDB and Cosmos DB, for each of the two functions. If a fault passes,
// exactly the stored rows come, or, where it is final, its error; if it stays,
// its error. Both with no more requests than are meant to be.
func TestLocalFaults(t *testing.T) {
	t.Parallel()
	want := truths(t, filled(t))
	trap := newGate(t, http.NotFoundHandler(), nil, never())
	t.Cleanup(func() {
		if n := trap.accepted.Load(); n > 0 {
			t.Errorf("a redirect was followed %d times", n)
		}
	})
	for i, s := range []struct {
		name string
		api  http.HandlerFunc
		at   func(testing.TB, string) hotreader.Source
	}{{"DynamoDB", dynamo, dynamoAt}, {"Cosmos DB", cosmos, cosmosAt}} {
		for _, r := range localTable(trap.url) {
			if r.code[i] == "" && r.asked[1-i] != 0 {
				continue
			}
			for name := range want {
				t.Run(s.name+"/"+r.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					for _, c := range []struct {
						name   string
						script func(int) fault
						stays  bool
					}{
						{"once", first(1, r.fault), false},
						{"stays", always(r.fault), true},
					} {
						g := newGate(t, s.api, nil, c.script)
						got, err := functions(s.at(t, g.url))[name].Invoke(limited(t), nearEvent())
						asked := int(g.requests.Load())
						switch {
						case r.code[i] == "" || !c.stays && r.asked[i] > 1:
							if err != nil || !bytes.Equal(got, want[name]) {
								t.Errorf("%s: %.200s, %v", c.name, got, err)
							}
						default:
							checkFailure(t, got, err, r.code[i])
							if asked != r.asked[i] {
								t.Errorf("%s: %d requests, want %d", c.name, asked, r.asked[i])
							}
						}
					}
				})
			}
		}
	}
}

// A bit flipped on the way from DynamoDB: all rows, or an error, never others.
func TestLocalBits(t *testing.T) {
	t.Parallel()
	want := truths(t, filled(t))
	for name := range want {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for at := -200; at < 14_000; at += 487 { // the head, too
				g := newGate(t, http.HandlerFunc(dynamo), nil, first(1, flips(framings[(at+200)%3], at, (at+200)%8)))
				got, err := functions(dynamoAt(t, g.url))[name].Invoke(limited(t), nearEvent())
				if err == nil && !bytes.Equal(got, want[name]) {
					t.Errorf("byte %d: %.300s", at, got)
				}
			}
		})
	}
}

// Firestore's own refusals, before the first document and behind some, for each
// of the two functions.
func TestLocalFirestore(t *testing.T) {
	t.Parallel()
	want := truths(t, filled(t))
	for _, c := range []struct {
		status codes.Code
		code   hotreader.Code
		again  bool
	}{
		{codes.Unavailable, hotreader.CodeUnavailable, true},
		{codes.ResourceExhausted, hotreader.CodeThrottled, true},
		{codes.Internal, hotreader.CodeStore, true},
		{codes.Unknown, hotreader.CodeStore, true},
		{codes.DeadlineExceeded, hotreader.CodeUnavailable, true},
		{codes.Aborted, hotreader.CodeStore, true},
		{codes.PermissionDenied, hotreader.CodeForbidden, false},
		{codes.Unauthenticated, hotreader.CodeConfig, false},
		{codes.NotFound, hotreader.CodeNotFound, false},
		{codes.InvalidArgument, hotreader.CodeConfig, false},
		{codes.FailedPrecondition, hotreader.CodeConfig, false},
		{codes.Unimplemented, hotreader.CodeProtocol, false},
	} {
		for _, at := range []int{0, 3} { // a last entry asks for four at first
			for name := range want {
				t.Run(fmt.Sprintf("%s before document %d/%s", c.status, at, name), func(t *testing.T) {
					t.Parallel()
					for _, stays := range []bool{false, true} {
						f := &firestore{fails: func(_ context.Context, query, document int) error {
							if query == 1 && document == at || query > 1 && stays {
								return grpcstatus.Error(c.status, "m")
							}
							return nil
						}}
						got, err := functions(firestoreAt(t, "http://"+newFirestore(t, f)))[name].Invoke(limited(t), nearEvent())
						switch {
						case c.again && !stays:
							if err != nil || !bytes.Equal(got, want[name]) || f.queries.Load() < 2 {
								t.Errorf("once: %.200s, %v, %d queries", got, err, f.queries.Load())
							}
						case c.again:
							checkFailure(t, got, err, c.code)
							if n := f.queries.Load(); n < 2 || n > 12 {
								t.Errorf("stays: %d queries", n)
							}
						default:
							checkFailure(t, got, err, c.code)
							if n := f.queries.Load(); n != 1 {
								t.Errorf("%d queries, want 1", n)
							}
						}
					}
				})
			}
		}
	}
}

// A line to Firestore that breaks: HTTP/2 is cut at any place.
func TestLocalFirestoreLine(t *testing.T) {
	t.Parallel()
	want := truths(t, filled(t))
	for name := range want {
		var size atomic.Int64
		whole := newFirestore(t, &firestore{})
		got, err := functions(firestoreAt(t, "http://"+line(t, whole, func(_, sent int, p []byte) bool {
			size.Store(int64(sent + len(p)))
			return false
		})))[name].Invoke(limited(t), nearEvent())
		if err != nil || !bytes.Equal(got, want[name]) {
			t.Fatalf("%.200s, %v", got, err)
		}
		for i, at := range sampled(int(size.Load()), 6, 0, 5, 60) {
			t.Run(fmt.Sprintf("%s, cut at %d", name, at), func(t *testing.T) {
				t.Parallel()
				for _, stays := range []bool{false, true} {
					addr := line(t, whole, func(connection, sent int, p []byte) bool {
						return (connection == 1 || stays) && sent+len(p) > at
					})
					got, err := functions(firestoreAt(t, "http://"+addr))[name].Invoke(limited(t), nearEvent())
					switch {
					case err == nil && !bytes.Equal(got, want[name]), err != nil && !stays:
						t.Errorf("stays: %v; %.200s, %v", stays, got, err)
					case err != nil || stays && i < 2: // farther on each attempt may get on
						checkFailure(t, got, err, hotreader.CodeUnavailable)
					}
				}
			})
		}
	}
}

// hots are the three stores, each at the address of what stands before it.
var hots = map[string]func(testing.TB, string) hotreader.Source{"DynamoDB": dynamoAt, "Cosmos DB": cosmosAt, "Firestore": firestoreAt}

// Nobody listens; and who listens is not to be trusted. The credentials are
// sent to nobody.
func TestLocalTrust(t *testing.T) {
	t.Parallel()
	ours := authority.New(t) // of which the clients do not know
	for store, at := range hots {
		for name, change := range map[string]func(*x509.Certificate){
			"unknown authority": nil,
			"expired":           func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
			"wrong host":        func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.invalid"} },
			"refused":           nil,
		} {
			for _, function := range []string{"history", "last entry"} {
				t.Run(store+"/"+name+"/"+function, func(t *testing.T) {
					t.Parallel()
					if name == "refused" {
						got, err := functions(at(t, fmt.Sprintf("http://127.0.0.1:%d", serving.Port(t))))[function].Invoke(limited(t), nearEvent())
						checkFailure(t, got, err, hotreader.CodeUnavailable)
						return
					}
					config := ours.Issue(t, change)
					config.NextProtos = []string{"h2", "http/1.1"}
					g := newGate(t, http.NotFoundHandler(), config, never())
					got, err := functions(at(t, g.url))[function].Invoke(limited(t), nearEvent())
					checkFailure(t, got, err, hotreader.CodeConfig)
					// A busy machine's handshakes may take too long, and DynamoDB's SDK
					// tries again what has no answer.
					if g.requests.Load() > 0 || g.accepted.Load() > 4 {
						t.Errorf("%d connections, %d requests", g.accepted.Load(), g.requests.Load())
					}
				})
			}
		}
	}
}

// silent starts each store, which falls silent as soon as stop says so, before
// or behind its first page; how many
// queries wait for it.
func silent(t testing.TB, store string, early bool, stop func() bool) (url string, under func() int64) {
	t.Helper()
	if store == "Firestore" {
		f := &firestore{fails: func(ctx context.Context, _, document int) error {
			if stop() && (early || document == pageItems) {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		return "http://" + newFirestore(t, f), f.under.Load
	}
	api := map[string]http.HandlerFunc{"DynamoDB": dynamo, "Cosmos DB": cosmos}[store]
	waiting := new(atomic.Int64)
	g := newGate(t, api, nil, func(request int) fault {
		if !stop() || !early && request == 1 {
			return nil
		}
		return func(x *exchange) {
			waiting.Add(1)
			defer waiting.Add(-1)
			x.untilLeft()
		}
	})
	return g.url, waiting.Load
}

// Hot storage falls silent until the function's time is up: before the first
// row it says so; behind it the page so far comes, and the token of the rest.
func TestLocalTimeIsUp(t *testing.T) {
	t.Parallel()
	want := truths(t, filled(t))
	for store, at := range hots {
		for name := range want {
			t.Run(store+"/"+name, func(t *testing.T) {
				t.Parallel()
				url, _ := silent(t, store, true, func() bool { return true })
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				got, err := functions(at(t, url))[name].Invoke(ctx, nearEvent())
				checkFailure(t, got, err, hotreader.CodeDeadline)
			})
		}
		t.Run(store+"/in the middle", func(t *testing.T) {
			t.Parallel()
			var well atomic.Bool
			url, _ := silent(t, store, false, func() bool { return !well.Load() })
			all, _ := points(t, want["history"])
			inTwoPages(t, functions(at(t, url))["history"], nearEvent(), 8*time.Second, &well, all)
		})
	}
}

// Whoever leaves while hot storage is silent leaves nothing behind. It counts
// goroutines, so that no other test may run.
func TestLocalLeaving(t *testing.T) {
	for store, at := range hots {
		t.Run(store, func(t *testing.T) {
			for _, early := range []bool{true, false} {
				url, under := silent(t, store, early, func() bool { return true })
				r := at(t, url)
				before := runtime.NumGoroutine()
				ctx, cancel := context.WithCancel(limited(t))
				var group sync.WaitGroup
				for range 10 {
					group.Go(func() {
						if _, err := collect(ctx, t, r, history()); hotreader.CodeOf(err) != hotreader.CodeCanceled {
							t.Error(err)
						}
					})
				}
				waitFor(t, "all have asked", func() bool { return under() >= 10 })
				cancel()
				group.Wait()
				waitFor(t, "no query waits there any more", func() bool { return under() == 0 })
				if early && store != "Firestore" { // else a connection that works is kept
					waitFor(t, "goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
				}
			}
		})
	}
}
