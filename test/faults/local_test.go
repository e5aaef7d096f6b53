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

// localEvent is event, with a range that ends with the rows.
func localEvent() []byte {
	return bytes.Replace(event(), []byte("2030-01-01T00:00:00Z"), []byte("2026-03-01T12:06:40Z"), 1)
}

// both are the codes of a fault that does not pass: DynamoDB's, and Cosmos DB's.
type both [2]hotreader.Code

// localRow is a row of the table of faults between a function and hot storage on its own
// cloud, over HTTP/1.1.
type localRow struct {
	name     string
	fault    fault
	code     both
	requests [2]int // for a last entry, if the fault does not pass; 0 = it is harmless
}

// refusal answers and says that it closes the connection.
func refusal(code int, kind, text string, headers ...string) fault {
	return says(fmt.Sprintf("HTTP/1.1 %d x\r\nConnection: close\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		code, kind, strings.Join(append(headers, ""), "\r\n"), len(text), text))
}

func localTable(trap string) []localRow {
	const (
		unavailable, throttled, store = hotreader.CodeUnavailable, hotreader.CodeThrottled, hotreader.CodeStore
		forbidden, notFound, config   = hotreader.CodeForbidden, hotreader.CodeNotFound, hotreader.CodeConfig
		protocol, corrupt             = hotreader.CodeProtocol, hotreader.CodeCorrupt
		ours                          = "" // the fault does not concern this store
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
		again("hung up behind the head", unavailable, breaks(afterHead, hangUp)),
		again("hung up in the middle", unavailable, breaks(middle, hangUp)),
		again("hung up before the last byte", unavailable, breaks(lastByte, hangUp)),
		again("reset before the head", unavailable, breaks(start, reset)),
		again("reset within the head", unavailable, breaks(withinHead, reset)),
		again("reset behind the head", unavailable, breaks(afterHead, reset)),
		again("reset in the middle", unavailable, breaks(middle, reset)),
		again("reset before the last byte", unavailable, breaks(lastByte, reset)),
		again("cut in chunks", unavailable, cuts(chunked, 100, hangUp)),
		{"cut where the close is the end", cuts(byClose, 100, hangUp), both{corrupt, corrupt}, [2]int{3, 1}},
		again("no HTTP", unavailable, says("SSH-2.0-OpenSSH_9.6\r\n")),
		{name: "a first byte that is late", fault: late(100 * time.Millisecond)},
		{name: "bytes one by one", fault: drips(60, 200*time.Microsecond)},

		{"408 of a gateway", plain(408), both{protocol, protocol}, [2]int{1, 4}},
		final("425 of a gateway", protocol, plain(425)),
		{"429 of a gateway", plain(429, "Retry-After: soon"), both{throttled, ours}, [2]int{3, 0}},
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

// Each fault between a function and hot storage on its own cloud, with the real clients
// of DynamoDB and Cosmos DB, for both functions. If the fault passes, exactly the stored
// rows come or, if it is final, its error; if it does not pass, its error. No read sends
// more requests than the table says.
func TestLocalFaults(t *testing.T) {
	t.Parallel()
	want := localAnswers(t, filled(t))
	trap := newFaultServer(t, http.NotFoundHandler(), nil, never())
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
			if r.code[i] == "" && r.requests[1-i] != 0 {
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
						g := newFaultServer(t, s.api, nil, c.script)
						got, err := functions(s.at(t, g.url))[name].Invoke(limited(t), localEvent())
						asked := int(g.requests.Load())
						switch {
						case r.code[i] == "" || !c.stays && r.requests[i] > 1:
							if err != nil || !bytes.Equal(got, want[name]) {
								t.Errorf("%s: %.200s, %v", c.name, got, err)
							}
						default:
							checkFailure(t, got, err, r.code[i])
							if asked != r.requests[i] {
								t.Errorf("%s: %d requests, want %d", c.name, asked, r.requests[i])
							}
						}
					}
				})
			}
		}
	}
}

// A bit flipped between DynamoDB and the function: all rows or an error, never others.
func TestLocalBits(t *testing.T) {
	t.Parallel()
	want := localAnswers(t, filled(t))
	for name := range want {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for at := -200; at < 14_000; at += 487 { // the head, too
				g := newFaultServer(t, http.HandlerFunc(dynamo), nil, first(1, flips(framings[(at+200)%3], at, (at+200)%8)))
				got, err := functions(dynamoAt(t, g.url))[name].Invoke(limited(t), localEvent())
				if err == nil && !bytes.Equal(got, want[name]) {
					t.Errorf("byte %d: %.300s", at, got)
				}
			}
		})
	}
}

// Firestore's own errors, before the first document and after some, for both functions.
func TestLocalFirestore(t *testing.T) {
	t.Parallel()
	want := localAnswers(t, filled(t))
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
		for _, at := range []int{0, 3} { // the first query of a last entry asks for four documents
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
						got, err := functions(firestoreAt(t, "http://"+newFirestore(t, f)))[name].Invoke(limited(t), localEvent())
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

// The connection to Firestore, HTTP/2, breaks at any byte.
func TestLocalFirestoreLine(t *testing.T) {
	t.Parallel()
	want := localAnswers(t, filled(t))
	for name := range want {
		var size atomic.Int64
		whole := newFirestore(t, &firestore{})
		got, err := functions(firestoreAt(t, "http://"+serving.Proxy(t, whole, func(_, sent int, p []byte) bool {
			size.Store(int64(sent + len(p)))
			return false
		})))[name].Invoke(limited(t), localEvent())
		if err != nil || !bytes.Equal(got, want[name]) {
			t.Fatalf("%.200s, %v", got, err)
		}
		for i, at := range sampled(int(size.Load()), 6, 0, 5, 60) {
			t.Run(fmt.Sprintf("%s, cut at %d", name, at), func(t *testing.T) {
				t.Parallel()
				for _, stays := range []bool{false, true} {
					addr := serving.Proxy(t, whole, func(connection, sent int, p []byte) bool {
						return (connection == 1 || stays) && sent+len(p) > at
					})
					got, err := functions(firestoreAt(t, "http://"+addr))[name].Invoke(limited(t), localEvent())
					switch {
					case err == nil && !bytes.Equal(got, want[name]), err != nil && !stays:
						t.Errorf("stays: %v; %.200s, %v", stays, got, err)
					case err != nil || stays && i < 2: // with a later cut, each attempt may get further
						checkFailure(t, got, err, hotreader.CodeUnavailable)
					}
				}
			})
		}
	}
}

// localStores returns the Source of each store at a URL.
var localStores = map[string]func(testing.TB, string) hotreader.Source{"DynamoDB": dynamoAt, "Cosmos DB": cosmosAt, "Firestore": firestoreAt}

// Nobody listens, or a server that is not trusted. Credentials are not sent.
func TestLocalTrust(t *testing.T) {
	t.Parallel()
	ours := authority.New(t) // which the clients do not trust
	for store, at := range localStores {
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
						got, err := functions(at(t, fmt.Sprintf("http://127.0.0.1:%d", serving.Port(t))))[function].Invoke(limited(t), localEvent())
						checkFailure(t, got, err, hotreader.CodeUnavailable)
						return
					}
					config := ours.Issue(t, change)
					config.NextProtos = []string{"h2", "http/1.1"}
					g := newFaultServer(t, http.NotFoundHandler(), config, never())
					got, err := functions(at(t, g.url))[function].Invoke(limited(t), localEvent())
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

// silent starts a store that stops answering while stop returns true: before its first
// page if early, else after it. waiting returns how many queries it does not answer.
func silent(t testing.TB, store string, early bool, stop func() bool) (url string, waiting func() int64) {
	t.Helper()
	if store == "Firestore" {
		f := &firestore{fails: func(ctx context.Context, _, document int) error {
			if stop() && (early || document == pageItems) {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		return "http://" + newFirestore(t, f), f.active.Load
	}
	api := map[string]http.HandlerFunc{"DynamoDB": dynamo, "Cosmos DB": cosmos}[store]
	open := new(atomic.Int64)
	g := newFaultServer(t, api, nil, func(request int) fault {
		if !stop() || !early && request == 1 {
			return nil
		}
		return func(x *exchange) {
			open.Add(1)
			defer open.Add(-1)
			x.waitForClose()
		}
	})
	return g.url, open.Load
}

// Hot storage stops answering until the function's time is up. Before the first row the
// function says so; after it, the page so far comes, with a token for the rest.
func TestLocalTimeIsUp(t *testing.T) {
	t.Parallel()
	want := localAnswers(t, filled(t))
	for store, at := range localStores {
		for name := range want {
			t.Run(store+"/"+name, func(t *testing.T) {
				t.Parallel()
				url, _ := silent(t, store, true, func() bool { return true })
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				got, err := functions(at(t, url))[name].Invoke(ctx, localEvent())
				checkFailure(t, got, err, hotreader.CodeDeadline)
			})
		}
		t.Run(store+"/in the middle", func(t *testing.T) {
			t.Parallel()
			var healthy atomic.Bool
			url, _ := silent(t, store, false, func() bool { return !healthy.Load() })
			all, _ := points(t, want["history"])
			inTwoPages(t, functions(at(t, url))["history"], localEvent(), 15*time.Second, &healthy, all)
		})
	}
}

// A caller that leaves while hot storage does not answer leaves no goroutine and no
// query. The test counts goroutines, so it is not parallel.
func TestLocalLeaving(t *testing.T) {
	for store, at := range localStores {
		t.Run(store, func(t *testing.T) {
			for _, early := range []bool{true, false} {
				url, waiting := silent(t, store, early, func() bool { return true })
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
				waitFor(t, "all have asked", func() bool { return waiting() >= 10 })
				cancel()
				group.Wait()
				waitFor(t, "no query waits there any more", func() bool { return waiting() == 0 })
				if early && store != "Firestore" { // else the client keeps a connection that works
					waitFor(t, "goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
				}
			}
		})
	}
}
