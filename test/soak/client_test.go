//go:build linux

package soak

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"hotreader/identity"
)

// client is one that asks from one address of this machine with one token.
type client struct {
	http  *http.Client
	token string
}

func newClient(address, token string) *client {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	tr := &http.Transport{DialContext: d.DialContext, MaxIdleConnsPerHost: 1000, DisableCompression: true}
	return &client{http: &http.Client{Transport: tr, Timeout: 2 * time.Minute}, token: token}
}

// outcome is what became of a request.
type outcome struct {
	kind   string
	status int // 0 = no answer began
	took   time.Duration
	wrong  string // what must not be; "" = all is well
	late   bool   // the time for a query was up: an error, or a page of the answer
}

// shed reports whether the request was refused as it may be.
func (o *outcome) shed() bool { return o.wrong == "" && o.status > http.StatusOK }

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// ask sends q, and looks at the whole answer.
func (c *client) ask(ctx context.Context, s *server, q *query, trace string) (o outcome) {
	body := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(body)
	began := time.Now()
	resp, err := c.send(ctx, s, q, trace, body)
	o = outcome{kind: q.kind, took: time.Since(began)}
	if resp != nil {
		o.status = resp.StatusCode
	}
	switch {
	case err != nil:
		o.wrong = err.Error()
	case o.status == http.StatusTooManyRequests || o.status == http.StatusServiceUnavailable:
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || n < 1 {
			o.wrong = fmt.Sprintf("%d with Retry-After %q", o.status, resp.Header.Get("Retry-After"))
		}
	case o.status != http.StatusOK:
		o.wrong = fmt.Sprintf("%d %.200s", o.status, body.Bytes())
	default:
		if err := q.is(body.Bytes()); err != nil {
			o.wrong = err.Error()
			o.late = errors.Is(err, errMore) && o.took > timeBudget
		}
	}
	if o.status == http.StatusGatewayTimeout && o.took > timeBudget {
		o.late = true
	}
	return o
}

// send sends q and reads what comes into body. Where an answer began but did not
// end, both resp and err are there.
func (c *client) send(ctx context.Context, s *server, q *query, trace string, body *bytes.Buffer) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, "http://"+s.address+q.path, strings.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set(identity.TokenHeader, c.token)
	for name, value := range map[string]string{"X-Request-Id": trace, "Accept": q.accept} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if q.gzip {
		req.Header.Set("Accept-Encoding", "gzip")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body.Reset()
	_, err = body.ReadFrom(resp.Body)
	return resp, err
}

// is returns nil if body is the right answer. The same bytes as were looked at
// before are.
func (q *query) is(body []byte) error {
	if sum := sha256.Sum256(body); sum == q.sum {
		return nil
	}
	if q.gzip {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return err
		}
		if body, err = io.ReadAll(z); err != nil {
			return err
		}
	}
	got, err := q.read(body)
	if err != nil && !errors.Is(err, errMore) {
		return err
	}
	if n := len(got); err != nil || n < len(q.want) && slices.Equal(got, q.want[:n]) {
		return errMore
	}
	if !slices.Equal(got, q.want) {
		return fmt.Errorf("%d rows came, %d are stored, and they differ", len(got), len(q.want))
	}
	return nil
}

// whole has q answered, keeps what the right answer is, and returns its body.
func (c *client) whole(ctx context.Context, s *server, q *query) ([]byte, error) {
	var body bytes.Buffer
	resp, err := c.send(ctx, s, q, "", &body)
	if err == nil {
		if err = q.is(body.Bytes()); resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%.300s", q.method, q.path, err, body.Bytes())
	}
	q.sum = sha256.Sum256(body.Bytes())
	return body.Bytes(), nil
}

// tally counts outcomes.
type tally struct {
	mu                                   sync.Mutex
	asked, served, throttled, busy, late int
	wrong                                map[string]int
	took                                 []time.Duration // of those that were served
}

func (y *tally) add(o outcome) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.asked++
	switch {
	case o.late:
		y.late++
	case o.wrong != "":
		if y.wrong == nil {
			y.wrong = map[string]int{}
		}
		y.wrong[o.kind+": "+o.wrong]++
	case o.status == http.StatusTooManyRequests:
		y.throttled++
	case o.status == http.StatusServiceUnavailable:
		y.busy++
	default:
		y.served++
		y.took = append(y.took, o.took)
	}
}

// counts returns what there was so far.
func (y *tally) counts() (asked, served, shed int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.asked, y.served, y.throttled + y.busy
}

// refused returns how many were refused so far, with 429 or with 503.
func (y *tally) refused(status int) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	if status == http.StatusTooManyRequests {
		return y.throttled
	}
	return y.busy
}

// share is how many of those asked were served, 0 to 1.
func (y *tally) share() float64 { return float64(y.served) / float64(max(y.asked, 1)) }

// at returns the time within which a part of what was served was.
func (y *tally) at(part float64) time.Duration {
	if len(y.took) == 0 {
		return 0
	}
	slices.Sort(y.took)
	return y.took[min(int(part*float64(len(y.took))), len(y.took)-1)]
}

// check fails the test for everything that must not be.
func (y *tally) check(t testing.TB, who string) {
	t.Helper()
	most := 2 + y.asked/100 // among other tests, on a machine that has much to do
	if long() {
		most = 0
	}
	if y.late > most {
		t.Errorf("%s: for %d of %d the time was up", who, y.late, y.asked)
	}
	for _, what := range slices.Sorted(maps.Keys(y.wrong)) {
		t.Errorf("%s: %d times: %s", who, y.wrong[what], what)
	}
}

// closed lets n clients ask one after the other for d.
func closed(ctx context.Context, s *server, c *client, n int, d time.Duration, queries []*query, r *rand.Rand) *tally {
	y := new(tally)
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var group sync.WaitGroup
	for range n {
		own := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
		group.Go(func() {
			for ctx.Err() == nil {
				y.add(c.ask(context.WithoutCancel(ctx), s, queries[own.IntN(len(queries))], ""))
			}
		})
	}
	group.Wait()
	return y
}

// stream asks rate times a second, whatever becomes of the answers, until it is
// stopped.
type stream struct {
	tally
	rate   atomic.Int64 // requests in 1,000 s
	held   atomic.Int64 // requests that were not sent, for so many were under way
	flying atomic.Int64
	stop   func() // and wait for the last answer
}

// polite asks one request after the other, with a pause between them, until it
// is stopped.
func polite(ctx context.Context, s *server, c *client, queries []*query, r *rand.Rand, each func(trace string, o outcome)) *stream {
	y := new(stream)
	ctx, cancel := context.WithCancel(ctx)
	own := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
	name := strconv.FormatUint(r.Uint64(), 36)
	var group sync.WaitGroup
	group.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			trace := name + "-" + strconv.Itoa(n)
			o := c.ask(context.WithoutCancel(ctx), s, queries[own.IntN(len(queries))], trace)
			y.add(o)
			if each != nil {
				each(trace, o)
			}
			pause(ctx, time.Duration(50+own.IntN(100))*time.Millisecond)
		}
	})
	y.stop = func() { cancel(); group.Wait() }
	return y
}

// mostFlying is more than the server lets run and wait together.
const mostFlying = 2 * (places + 256)

func open(ctx context.Context, s *server, c *client, rate float64, queries []*query, r *rand.Rand, each func(trace string, o outcome)) *stream {
	y := new(stream)
	y.rate.Store(int64(rate * 1000))
	ctx, cancel := context.WithCancel(ctx)
	own := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
	name := strconv.FormatUint(r.Uint64(), 36)
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		due, last := 0.0, time.Now()
		for n := 0; ; {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				due += now.Sub(last).Seconds() * float64(y.rate.Load()) / 1000
				last = now
			}
			for ; due >= 1; due-- {
				q := queries[own.IntN(len(queries))]
				if y.flying.Load() >= mostFlying {
					y.held.Add(1)
					continue
				}
				n++
				trace := name + "-" + strconv.Itoa(n)
				y.flying.Add(1)
				group.Go(func() {
					o := c.ask(context.WithoutCancel(ctx), s, q, trace)
					y.flying.Add(-1)
					y.add(o)
					if each != nil {
						each(trace, o)
					}
				})
			}
		}
	})
	y.stop = func() { cancel(); group.Wait() }
	return y
}
