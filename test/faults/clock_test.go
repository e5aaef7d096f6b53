package faults

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/route"
	"hotreader/store/memstore"
)

// pipes is an in-memory network with one server, for tests in virtual time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fixture is the real client, reader and server, with the contract's figures, in virtual
// time: the clock stands still while they work.
type fixture struct {
	reader   hotreader.Source
	store    hotreader.Source // behind the API
	broken   http.HandlerFunc // answers instead of the API; nil = the API is healthy
	requests int
	mu       sync.Mutex
}

func (w *fixture) set(broken http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = broken
}

// takeRequests returns how many requests came since it was last called.
func (w *fixture) takeRequests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.requests = 0 }()
	return w.requests
}

func inVirtualTime(t *testing.T, f func(t *testing.T, w *fixture)) {
	// Numbers only: the compressor of texts has a channel and is reused, and a channel
	// must not pass from one synctest bubble to another.
	store := memstore.New()
	var stored []hotreader.Record
	for i := range count {
		stored = append(stored, hotreader.Record{Time: begin.Add(time.Duration(i) * time.Second), Fields: []hotreader.Field{{Name: "level", Value: hotreader.Int64Value(int64(i))}}})
	}
	if err := store.Write(t.Context(), device, stored); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &fixture{store: store}
		network := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		api := apiOf(t, store)
		server := &http.Server{ErrorLog: quiet, IdleTimeout: time.Minute, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			w.requests++
			broken := w.broken
			w.mu.Unlock()
			if broken != nil {
				broken(rw, r)
				return
			}
			api.ServeHTTP(rw, r)
		})}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(network) })
		client := remote.NewClient()
		client.Transport.(*http.Transport).DialContext = network.dial
		tok, err := identity.Static(token)
		if err != nil {
			t.Fatal(err)
		}
		r, err := remote.New(remote.Options{URL: "http://127.0.0.1", Credential: tok, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		w.reader = route.NewRetry(route.NewBreaker(r, route.BreakerOptions{}), route.RetryOptions{})
		f(t, w)
		time.Sleep(time.Minute) // for handlers that sleep
		client.CloseIdleConnections()
		_ = server.Close()
		serving.Wait()
	})
}

func (w *fixture) read(t *testing.T, d time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	rows, err := collect(ctx, t, w.reader, hotreader.Query{Device: device, Properties: []string{"level"}})
	if err == nil && len(rows) != count {
		t.Errorf("%d rows, and no error", len(rows))
	}
	return err
}

// paced is a Source of which a row comes each tenth of a second.
type paced struct{ hotreader.Source }

func (p paced) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		for row, err := range p.Source.Scan(ctx, q) {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				row, err = hotreader.Row{}, ctx.Err()
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// A peer whose store is slow is no broken one: what came within the time is an answer, which
// says that there is more, and all rows come by going on from there.
func TestSlowPeer(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, w *fixture) {
		w.set(apiOf(t, paced{w.store}).ServeHTTP)
		near := apiOf(t, w.reader)
		rows, pages, next := 0, 0, ""
		for more := true; more && pages < 9; more = next != "" {
			query := url.Values{"property": {"level"}, "start": {begin.Format(time.RFC3339)}, "end": {begin.Add(time.Hour).Format(time.RFC3339)}}
			if next != "" {
				query.Set("next_token", next)
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/devices/"+device+"/history?"+query.Encode(), nil)
			r.Header.Set("Authorization", "Bearer "+token)
			rec, began := httptest.NewRecorder(), time.Now()
			near.ServeHTTP(rec, r)
			var page struct {
				Items []struct{}
				Next  string `json:"next_token"`
			}
			if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil || rec.Code != http.StatusOK || len(page.Items) == 0 {
				t.Fatalf("status %d after %s: %.300s", rec.Code, time.Since(began), rec.Body)
			}
			if took := time.Since(began); took > 29*time.Second {
				t.Errorf("page %d took %s", pages, took)
			}
			rows, pages, next = rows+len(page.Items), pages+1, page.Next
		}
		if rows != count || pages != 2 {
			t.Errorf("%d rows in %d pages", rows, pages)
		}
	})
}

func down(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

// An outage, with the contract's figures: for a minute each read makes its four
// attempts. Then the breaker is open for 15 seconds, lets one probe at a time through,
// and closes with the second that succeeds.
func TestOutage(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, w *fixture) {
		if err := w.read(t, 29*time.Second); err != nil {
			t.Fatal(err)
		}
		w.takeRequests()
		w.set(down)
		began := time.Now()
		for time.Since(began) < time.Minute-4*time.Second { // attempts take 3.5 s at most
			if err := w.read(t, 29*time.Second); hotreader.CodeOf(err) != hotreader.CodeOverloaded {
				t.Fatal(err)
			}
			if n := w.takeRequests(); n < 1 || n > 4 {
				t.Fatalf("%d requests", n)
			}
			time.Sleep(10 * time.Second)
		}
		time.Sleep(10 * time.Second)
		_ = w.read(t, 29*time.Second) // opens the breaker, if the last read has not
		w.takeRequests()
		began = time.Now()
		for time.Since(began) < 10*time.Second {
			if err := w.read(t, time.Second); hotreader.CodeOf(err) != hotreader.CodeUnavailable || !strings.Contains(err.Error(), "left alone") {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := w.takeRequests(); n != 0 {
			t.Errorf("the peer was asked %d times while it was to be left alone", n)
		}
		time.Sleep(10 * time.Second)
		if err := w.read(t, time.Second); err == nil {
			t.Error("the probe did not fail")
		}
		if n := w.takeRequests(); n != 1 {
			t.Errorf("%d requests, want the probe", n)
		}
		w.set(nil)
		// A read with enough time waits until the peer is back.
		if err := w.read(t, 29*time.Second); err != nil {
			t.Error(err)
		}
		for range 5 {
			if err := w.read(t, time.Second); err != nil {
				t.Error(err)
			}
		}
		if n := w.takeRequests(); n != 6 {
			t.Errorf("%d requests for six reads that worked", n)
		}
	})
}

// A silent peer is left alone once callers have waited for it long enough. Those with
// little time, however many, shut nobody out.
func TestHastyCallers(t *testing.T) {
	for d, worked := range map[time.Duration]bool{100 * time.Millisecond: true, 4 * time.Second: true, 29 * time.Second: false} {
		inVirtualTime(t, func(t *testing.T, w *fixture) {
			w.set(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // so that the server sees the caller leave
				<-r.Context().Done()
			})
			for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(time.Second) {
				_ = w.read(t, d)
			}
			w.set(nil)
			if err := w.read(t, time.Second); (err == nil) != worked {
				t.Errorf("after callers with %s: %v", d, err)
			}
		})
	}
}

// A process that is frozen for hours, like a function between two calls, must not rely
// on its old counts or on the connection that it kept.
func TestClockJumpsBetweenReads(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, w *fixture) {
		for day := range 20 {
			if err := w.read(t, 29*time.Second); err != nil {
				t.Fatalf("day %d: %v", day, err)
			}
			if n := w.takeRequests(); n != 1 {
				t.Errorf("day %d: %d requests for the first read, want 1", day, n)
			}
			w.set(down)
			if err := w.read(t, 29*time.Second); hotreader.CodeOf(err) != hotreader.CodeOverloaded {
				t.Errorf("day %d: %v", day, err) // such as the error of an open breaker
			}
			if n := w.takeRequests(); n != 4 {
				t.Errorf("day %d: %d requests, want 4", day, n)
			}
			w.set(nil)
			time.Sleep(24 * time.Hour)
		}
	})
}

// The clock jumps while a read waits for an answer: the read ends at its deadline, with
// an error that says so.
func TestClockJumpsWithinARead(t *testing.T) {
	for name, broken := range map[string]http.HandlerFunc{
		"before the head": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body) // else the server does not notice that the caller leaves
			select {
			case <-time.After(24 * time.Hour):
			case <-r.Context().Done():
			}
		},
		"in a wait": func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(20 * time.Second)
			w.WriteHeader(http.StatusServiceUnavailable)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, w *fixture) {
				w.set(broken)
				began := time.Now()
				err := w.read(t, 29*time.Second)
				if code := hotreader.CodeOf(err); code != hotreader.CodeDeadline && !code.Temporary() {
					t.Error(err)
				}
				if d := time.Since(began); d > 29*time.Second {
					t.Errorf("it took %s", d)
				}
				w.set(nil)
				if err := w.read(t, 29*time.Second); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
