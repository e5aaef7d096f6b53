package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
)

// A caller that requests large answers and does not receive them holds places, so that it
// gets no more of them. Others still get theirs, whatever their token.
func TestSlowTakersHoldPlaces(t *testing.T) {
	const answers = 8
	var reads atomic.Int32
	s := serve(t, httpapi.Options{
		Answers: answers, Queue: 100, Wait: time.Minute,
		Source: series{n: 120_000, during: func(_ context.Context, i int) {
			if i == 0 {
				reads.Add(1)
			}
		}},
		Address: func(r *http.Request) netip.Addr { return netip.MustParseAddr(r.Header.Get("X-From")) },
	})
	const large = "GET /v1/devices/d/history?property=a HTTP/1.1\r\nHost: x\r\n" + identity.TokenHeader + ": " + current + "\r\nX-From: 192.0.2.1\r\n\r\n"
	for range 3 * answers {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprint(c, large); err != nil {
			t.Fatal(err)
		}
	}
	for reads.Load() < answers-answers/4 {
		time.Sleep(time.Millisecond)
	}
	for _, who := range []struct{ address, token string }{{"192.0.2.2", current}, {"192.0.2.1", previous}, {"192.0.2.3", previous}} {
		for range 5 {
			got := ask(t, s, "GET", "/v1/devices/d/latest?property=a", "", "X-From", who.address, identity.TokenHeader, who.token)
			if got.status != http.StatusOK {
				t.Errorf("%v: %d %s", who, got.status, got.body)
			}
		}
	}
	if got, want := reads.Load(), int32(answers-answers/4+15); got != want {
		t.Errorf("%d answers were begun, want %d", got, want)
	}
}

// A rejection that takes long, here because of a slow log, does not affect the next
// request on the same connection.
func TestRefusalLeavesTheConnectionSound(t *testing.T) {
	s := serve(t, httpapi.Options{Logger: logger(&slow{}), Source: series{n: 1, during: func(ctx context.Context, _ int) {
		if err := ctx.Err(); err != nil {
			t.Errorf("the next request is broken off: %v", err)
		}
	}}})
	for _, r := range [][3]string{{"POST", "/read", "{}"}, {"POST", "/read", envelope(seriesAll)}, {"GET", "/v1/devices/d/latest?property=a", ""}} {
		req, err := http.NewRequestWithContext(t.Context(), r[0], s.URL+r[1], strings.NewReader(r[2]))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(identity.TokenHeader, current)
		resp, err := s.Client().Do(req) // which keeps its connection, if it is let
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := map[bool]int{true: 400, false: 200}[r[2] == "{}"]; resp.StatusCode != want || resp.Close {
			t.Errorf("%v: %d, want %d; closed %v: %s", r, resp.StatusCode, want, resp.Close, b)
		}
	}
}

// slow is a log whose first line takes longer than an answer waits for an unread body.
type slow struct{ lines atomic.Int32 }

func (s *slow) Write(b []byte) (int, error) {
	if s.lines.Add(1) == 1 {
		time.Sleep(1200 * time.Millisecond)
	}
	return len(b), nil
}

// On every route, a request without a free place is rejected, with the time after which to
// try again. Requests that need no place are answered.
func TestTooManyAreTold(t *testing.T) {
	begun, done := make(chan struct{}), make(chan struct{})
	s := serve(t, httpapi.Options{Answers: 1, Queue: 1, Wait: time.Millisecond, Source: series{n: 1, during: func(context.Context, int) {
		close(begun)
		<-done
	}}})
	first := make(chan int)
	go func() { first <- ask(t, s, "GET", "/v1/devices/d/latest?property=a", "").status }()
	<-begun
	for _, r := range [][3]string{
		{"GET", "/v1/devices/d/latest?property=a", ""}, {"GET", "/v1/devices/d/history?property=a", ""},
		{"POST", "/read", envelope(seriesAll)}, {"POST", "/read", lastEntry(`{"iot_device_id":"d","selected_properties":["a"]}`)},
	} {
		got := ask(t, s, r[0], r[1], r[2])
		problem(t, got, http.StatusServiceUnavailable, hotreader.CodeOverloaded)
		if got.header.Get("Retry-After") != "1" {
			t.Errorf("%v: Retry-After is %q", r, got.header.Get("Retry-After"))
		}
	}
	for path, status := range map[string]int{"/healthz": 200, "/openapi.json": 200, "/nowhere": 404, "/v1/devices/d/history": 400} {
		if got := ask(t, s, "GET", path, ""); got.status != status {
			t.Errorf("%s: %d, want %d", path, got.status, status)
		}
	}
	close(done)
	if got := <-first; got != http.StatusOK {
		t.Errorf("the first: %d", got)
	}
}
