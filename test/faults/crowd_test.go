package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"hotreader"
	"hotreader/remote"
	"hotreader/route"
	"hotreader/store/memstore"
	"hotreader/test/serving"
	"hotreader/wire"
)

// budget is how many retries docs/reliability.md allows: a fifth of the reads, one a
// second, and twenty.
func budget(reads int, d time.Duration) int64 {
	return int64(0.2*float64(reads) + math.Ceil(d.Seconds()) + 20)
}

// A thousand callers at once read from a failing peer. It gets a thousand requests and
// what the budget adds, not four thousand. When it is healthy again, all are served.
func TestCrowd(t *testing.T) {
	t.Parallel()
	const callers = 1000
	api := apiOf(t, filled(t))
	for name, code := range map[string]int{"overloaded": http.StatusServiceUnavailable, "throttling": http.StatusTooManyRequests} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var healthy atomic.Bool
			var requests atomic.Int64
			// The peer answers nobody before all have begun. So all reads have paid into the
			// budget, which is capped, before the first retry draws on it.
			begun := make(chan struct{})
			begin := sync.OnceFunc(func() { close(begun) })
			defer begin()
			addr := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				if healthy.Load() {
					api.ServeHTTP(w, r)
					return
				}
				<-begun
				w.WriteHeader(code)
			}), nil)
			r := remoteAt(t, "http://"+addr, func(s *setup) { // so that the test is not about connections
				s.remote.Client.Transport.(*http.Transport).MaxConnsPerHost = 32
			})
			began := time.Now()
			stats := new(hotreader.Stats)
			failures := crowd(hotreader.WithStats(limited(t), stats), t, r, callers, func() {
				waitFor(t, "all have begun", func() bool { return stats.Attempts.Load() >= callers })
				begin()
			})
			if n, most := requests.Load(), callers+budget(0, time.Since(began)); n > most || n <= callers {
				t.Errorf("%d requests, at most %d are meant to be", n, most)
			}
			rejected := 0
			for _, err := range failures {
				if !hotreader.CodeOf(err).Temporary() {
					t.Error(err)
				}
				if strings.Contains(err.Error(), "budget") {
					rejected++
				}
			}
			if len(failures) != callers || rejected == 0 {
				t.Errorf("%d of %d failed, %d for the budget", len(failures), callers, rejected)
			}
			healthy.Store(true)
			if failures := crowd(limited(t), t, r, 50, nil); len(failures) > 0 {
				t.Errorf("%d failed when it was well again: %v", len(failures), failures[0])
			}
		})
	}
}

// crowd lets n callers read from r at once and calls meanwhile, if that is not nil. It
// returns the errors of the callers that failed.
func crowd(ctx context.Context, t *testing.T, r hotreader.Source, n int, meanwhile func()) (failures []error) {
	t.Helper()
	failed := make(chan error, n)
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			switch rows, err := collect(ctx, t, r, newest()); {
			case err != nil:
				failed <- err
			case len(rows) == 0:
				t.Error("nothing came, and no error")
			}
		})
	}
	if meanwhile != nil {
		meanwhile()
	}
	group.Wait()
	close(failed)
	for err := range failed {
		failures = append(failures, err)
	}
	return failures
}

// A thousand callers at once read from failing hot storage on the function's own cloud.
// It, too, gets a thousand requests and what a budget adds. (Cosmos DB's and Firestore's
// budget is ours; DynamoDB's is its SDK's, and smaller.) A single caller gets all the
// attempts of each client. All callers get the same error, and when the storage is
// healthy again, all are served. The test is not parallel, for a crowd slows down tests
// with short deadlines.
func TestLocalCrowd(t *testing.T) {
	const callers = 1000
	for store, outcomes := range map[string]map[string]struct {
		code    hotreader.Code
		alone   int64 // requests of a single caller
		healthy http.HandlerFunc
		failing http.HandlerFunc
		grpc    codes.Code // of Firestore, instead
	}{
		"DynamoDB": {
			"overloaded": {code: hotreader.CodeUnavailable, alone: 3, healthy: dynamo, failing: refuses(503, "text/plain", "")},
			"throttling": {code: hotreader.CodeThrottled, alone: 3, healthy: dynamo,
				failing: refuses(400, "application/x-amz-json-1.0", `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"m"}`)},
		},
		"Cosmos DB": {
			"overloaded": {code: hotreader.CodeUnavailable, alone: 4, healthy: cosmos, failing: refuses(503, "application/json", `{"code":"X","message":"m"}`)},
			"throttling": {code: hotreader.CodeThrottled, alone: 10, healthy: cosmos, failing: refuses(429, "application/json", `{"code":"X","message":"m"}`)},
		},
		"Firestore": {
			"overloaded": {code: hotreader.CodeUnavailable, alone: 4, grpc: codes.Unavailable},
			"throttling": {code: hotreader.CodeThrottled, alone: 4, grpc: codes.ResourceExhausted},
		},
	} {
		for name, o := range outcomes {
			t.Run(store+"/"+name, func(t *testing.T) { // one after the other: a thousand connections are much
				var healthy atomic.Bool
				var requests atomic.Int64
				var addr string
				if store == "Firestore" {
					addr = newFirestore(t, &firestore{fails: func(_ context.Context, _, document int) error {
						if document == 0 {
							requests.Add(1)
						}
						if healthy.Load() {
							return nil
						}
						return grpcstatus.Error(o.grpc, "m")
					}})
				} else {
					addr = newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						requests.Add(1)
						if healthy.Load() {
							o.healthy(w, r)
						} else {
							o.failing(w, r)
						}
					}), nil)
				}
				r := localStores[store](t, "http://"+addr)
				if failures := crowd(limited(t), t, r, 1, nil); len(failures) != 1 || hotreader.CodeOf(failures[0]) != o.code || requests.Load() != o.alone {
					t.Errorf("alone: %v after %d requests, want %v after %d", failures, requests.Load(), o.code, o.alone)
				}
				requests.Store(0)
				began := time.Now()
				failures := crowd(limited(t), t, r, callers, nil)
				away := int64(0) // callers that got no connection, on a busy machine
				for _, err := range failures {
					if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" && op.Timeout() {
						away++
					} else if hotreader.CodeOf(err) != o.code {
						t.Fatalf("error %v, want %v", err, o.code)
					}
				}
				if n, most := requests.Load(), callers+budget(callers, time.Since(began)); n > most || n <= callers-away {
					t.Errorf("%d requests, at most %d are meant to be; %d callers did not reach it", n, most, away)
				}
				if len(failures) != callers || away > callers/2 {
					t.Errorf("%d of %d failed, %d did not reach it", len(failures), callers, away)
				}
				healthy.Store(true)
				if failures := crowd(limited(t), t, r, 50, nil); len(failures) > 0 {
					t.Errorf("%d failed when it was well again: %v", len(failures), failures[0])
				}
			})
		}
	}
}

// refuses answers every request with the same status and text.
func refuses(status int, kind, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// A crowd at a peer that refuses connections.
func TestCrowdAtAClosedDoor(t *testing.T) {
	t.Parallel()
	addr := fmt.Sprintf("127.0.0.1:%d", serving.Port(t))
	const callers = 1000
	r := remoteAt(t, "http://"+addr)
	stats := new(hotreader.Stats)
	ctx := hotreader.WithStats(limited(t), stats)
	began := time.Now()
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			if _, err := collect(ctx, t, r, newest()); hotreader.CodeOf(err) != hotreader.CodeUnavailable {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n, most := stats.Attempts.Load(), callers+budget(callers, time.Since(began)); n <= callers || n > most {
		t.Errorf("%d attempts, at most %d are meant to be", n, most)
	}
}

// An outage under load: the breaker opens, lets single probes through, and closes with
// the second that succeeds. The peer answers a probe only after the breaker has rejected
// all other reads, so that these certainly ran beside it. (TestOutage has the contract's
// minute and its other figures.)
func TestBreakerOverSockets(t *testing.T) {
	t.Parallel()
	store := filled(t)
	want := stored(t, store, newest())
	type behaviour struct {
		healthy bool
		answer  chan struct{} // closed when the peer may answer
	}
	at := func(healthy bool) (*behaviour, func()) {
		m := &behaviour{healthy, make(chan struct{})}
		return m, sync.OnceFunc(func() { close(m.answer) })
	}
	down, answer := at(false)
	answer()
	var peer atomic.Pointer[behaviour]
	peer.Store(down)
	g := newFaultServer(t, apiOf(t, store), nil, always(func(x *exchange) {
		m := peer.Load()
		<-m.answer
		if m.healthy {
			late(0)(x)
		} else {
			status(503)(x)
		}
	}))
	client := newClient()
	t.Cleanup(client.CloseIdleConnections)
	far, err := remote.New(remote.Options{URL: g.url, Credential: tokenOf(t), Client: client})
	if err != nil {
		t.Fatal(err)
	}
	breaker := route.NewBreaker(far, route.BreakerOptions{Window: time.Second, Open: time.Second})
	read := func() error {
		rows, err := collect(limited(t), t, breaker, newest())
		if err == nil && difference(rows, want, true) != "" {
			t.Error(difference(rows, want, true))
		}
		return err
	}
	for end := time.Now().Add(within); !breaker.Open(); {
		if read() == nil || time.Now().After(end) {
			t.Fatal("it does not open")
		}
	}
	const callers = 200
	for _, c := range []struct {
		name    string
		healthy bool
		through int64
	}{
		{"a probe that fails", false, 1},
		{"the first that works", true, 1},
		{"the second", true, 1},
		{"closed", true, callers},
	} {
		waitFor(t, "it may be tried", func() bool { return !breaker.Open() })
		m, answer := at(c.healthy)
		defer answer()
		peer.Store(m)
		before := g.requests.Load()
		var rejected, worked atomic.Int64
		var group sync.WaitGroup
		for range callers {
			group.Go(func() {
				switch err := read(); {
				case err == nil:
					worked.Add(1)
				case strings.Contains(err.Error(), "left alone"):
					rejected.Add(1)
				case c.healthy || hotreader.CodeOf(err) != hotreader.CodeOverloaded:
					t.Errorf("%s: %v", c.name, err)
				}
			})
		}
		through := func() int64 { return g.requests.Load() - before }
		waitFor(t, "all have asked, or were told", func() bool { return through()+rejected.Load() >= callers })
		if n := through(); n != c.through {
			t.Errorf("%s: %d requests of %d came through at once, want %d; %d were told", c.name, n, callers, c.through, rejected.Load())
		}
		answer()
		group.Wait()
		if c.healthy && worked.Load() != c.through {
			t.Errorf("%s: %d worked, want %d", c.name, worked.Load(), c.through)
		}
	}
}

// A caller that leaves, in any state of its read, leaves no goroutine and no connection,
// here or at the peer. Neither does a read that ends by itself, while its context goes on
// and the answer has not ended. The test counts goroutines, so it is not parallel.
func TestLeaving(t *testing.T) {
	store := filled(t)
	api := apiOf(t, store)
	const callers = 20
	endless := func(head string) fault {
		return func(x *exchange) {
			says("HTTP/1.1 " + head + "\r\nContent-Length: 999999\r\n\r\n" + strings.Repeat(".", 100<<10))(x)
			x.waitForClose()
		}
	}
	for name, c := range map[string]struct {
		fault fault
		after int            // rows after which the caller stops; 0 = its context is cancelled
		code  hotreader.Code // the error that ends the read before that; "" = none
	}{
		"before the head":         {stalls(start), 0, ""},
		"within the head":         {stalls(withinHead), 0, ""},
		"behind the head":         {stalls(afterHead), 0, ""},
		"in the middle":           {stalls(middle), 0, ""},
		"bytes one by one":        {drips(1<<20, 10*time.Millisecond), 0, ""},
		"while it waits, 429":     {status(429, "Retry-After: 20"), 0, ""},
		"while it waits, 503":     {status(503, "Retry-After: 20"), 0, ""},
		"while it waits for more": {func(x *exchange) { status(500, "Retry-After: 20")(x); x.end(reset) }, 0, ""},
		"with a problem half sent": {func(x *exchange) {
			says("HTTP/1.1 502 x\r\nContent-Type: application/problem+json\r\nContent-Length: 999\r\n\r\n{")(x)
			x.waitForClose()
		}, 0, ""},
		"with JSON half sent": {func(x *exchange) {
			says("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{")(x)
			x.waitForClose()
		}, 0, ""},
		"nothing wrong, in a row": {nil, 1, ""},
		"before the last byte":    {stalls(lastByte), 1, ""},
		"refused":                 {endless("403 x"), 0, hotreader.CodeProtocol},
		"sent elsewhere":          {endless("302 x\r\nLocation: /else"), 0, hotreader.CodeConfig},
		"no rows":                 {endless("200 x\r\nContent-Type: text/html"), 0, hotreader.CodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			g := newFaultServer(t, api, nil, always(c.fault))
			var open atomic.Int64
			client := newClient()
			r := remoteAt(t, g.url, withClient(client), func(s *setup) {
				transport := client.Transport.(*http.Transport)
				dial := transport.DialContext
				transport.DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
					conn, err := dial(ctx, network, to)
					if err == nil {
						open.Add(1)
						conn = &counted{Conn: conn, open: &open}
					}
					return conn, err
				}
			})
			before := runtime.NumGoroutine()
			// Longer than all waits below.
			ctx, cancel := context.WithTimeout(t.Context(), 10*within)
			defer cancel()
			var group sync.WaitGroup
			var came atomic.Int64
			for range callers {
				group.Go(func() {
					n := 0
					for _, err := range hotreader.NewReader(r).Read(ctx, history()) {
						if err != nil {
							if hotreader.CodeOf(err) != cmp.Or(c.code, hotreader.CodeCanceled) {
								t.Error(err)
							}
							break
						}
						if n++; n == c.after {
							break
						}
					}
					came.Add(int64(n))
				})
			}
			waitFor(t, "all have asked", func() bool { return g.requests.Load() >= callers })
			if c.after == 0 && c.code == "" {
				cancel()
			}
			group.Wait()
			if came.Load() > callers*64 {
				t.Errorf("%d rows came", came.Load())
			}
			client.CloseIdleConnections()
			waitFor(t, "connections are closed here", func() bool { return open.Load() == 0 })
			waitFor(t, "connections are closed there", func() bool { return g.open.Load() == 0 })
			waitFor(t, "goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
			if n := g.accepted.Load(); n > 2*callers {
				t.Errorf("%d connections for %d callers", n, callers)
			}
		})
	}
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<16)
			t.Fatalf("not: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

// counted is a connection that lowers open when it is closed.
type counted struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// If the wait for the next attempt would pass the deadline, a read ends at once with the
// failure, and does not wait for the deadline.
func TestNoWaitingInVain(t *testing.T) {
	t.Parallel()
	g := newFaultServer(t, apiOf(t, memstore.New()), nil, always(status(503, "Retry-After: 29")))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := collect(ctx, t, remoteAt(t, g.url), history())
	if hotreader.CodeOf(err) != hotreader.CodeOverloaded || ctx.Err() != nil || g.requests.Load() != 1 {
		t.Errorf("%v, %v, %d requests", err, ctx.Err(), g.requests.Load())
	}
	p := wire.NewProblem(err, "")
	if p.RetryAfter != 29*time.Second {
		t.Errorf("the caller is told to come back in %v", p.RetryAfter)
	}
}
