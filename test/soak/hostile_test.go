//go:build linux

package soak

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hotreader/identity"
	"hotreader/test/serving"
)

// hostile are those who mean no good. Each does its thing again and again until
// ctx ends, and counts what came of it.
type hostile struct {
	s     *server
	group sync.WaitGroup
	mu    sync.Mutex
	came  map[string]int
}

func (h *hostile) count(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.came[what]++
}

// dial connects from the address of all hostile ones, with a small buffer for
// what is not read.
func (h *hostile) dial(ctx context.Context) (*net.TCPConn, error) {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8<<10) })
	}}
	c, err := d.DialContext(ctx, "tcp", h.s.address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { c.Close() })
	return c.(*net.TCPConn), nil
}

// again starts n who do their thing on one connection after the other.
func (h *hostile) again(ctx context.Context, what string, n int, do func(c *net.TCPConn) (came string)) {
	for range n {
		h.group.Go(func() {
			for ctx.Err() == nil {
				c, err := h.dial(ctx)
				if err != nil {
					if ctx.Err() == nil {
						h.count(what + ": not connected")
						pause(ctx, 100*time.Millisecond)
					}
					continue
				}
				came := do(c)
				_ = c.SetLinger(0)
				_ = c.Close()
				if ctx.Err() == nil {
					h.count(what + ": " + came)
				}
			}
		})
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// status reads an answer's status, "closed" if there is none.
func status(c net.Conn) string {
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "closed"
	}
	resp.Body.Close()
	return fmt.Sprint(resp.StatusCode)
}

// drip sends a byte each 200 ms until the server has enough of it.
func drip(ctx context.Context, c net.Conn) string {
	came := make(chan string, 1)
	go func() { came <- status(c) }()
	for {
		select {
		case s := <-came:
			return s
		case <-ctx.Done():
			return ""
		case <-time.After(200 * time.Millisecond):
		}
		_, _ = c.Write([]byte("x")) // the answer tells
	}
}

const withToken = " HTTP/1.1\r\nHost: x\r\n" + identity.TokenHeader + ": " + serving.Token + "\r\n"

// attack starts all of them.
func attack(ctx context.Context, s *server) *hostile {
	h := &hostile{s: s, came: map[string]int{}}
	h.again(ctx, "slow headers", 30, func(c *net.TCPConn) string {
		_, _ = io.WriteString(c, "POST /read"+withToken+"X-Slow: ")
		return drip(ctx, c)
	})
	h.again(ctx, "slow bodies", 30, func(c *net.TCPConn) string {
		_, _ = io.WriteString(c, "POST /read"+withToken+"Content-Length: 60000\r\n\r\n")
		return drip(ctx, c)
	})
	// The largest answers there are, taken at 10 bytes a second.
	h.again(ctx, "slow readers", 40, func(c *net.TCPConn) string {
		_, _ = io.WriteString(c, "GET /v1/devices/"+large+"/history?"+selected()+withToken+"Connection: close\r\n\r\n")
		b := make([]byte, 1)
		for n := 0; ; n++ {
			if _, err := c.Read(b); err != nil {
				if n > 0 {
					return "broken off"
				}
				return "closed"
			}
			pause(ctx, 100*time.Millisecond)
		}
	})
	// As many as 400 connections that say nothing, 200 new ones a second.
	h.again(ctx, "connections", 400, func(c *net.TCPConn) string {
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		_, _ = io.Copy(io.Discard, c)
		return "opened"
	})
	huge := "X-Huge: " + strings.Repeat("x", 128<<10)
	h.again(ctx, "huge headers", 2, func(c *net.TCPConn) string {
		pause(ctx, 50*time.Millisecond)
		go func() { _, _ = io.WriteString(c, "GET /healthz"+withToken+huge+"\r\n\r\n") }()
		return status(c)
	})
	h.again(ctx, "wrong tokens", 2, func(c *net.TCPConn) string {
		pause(ctx, 20*time.Millisecond)
		_, _ = io.WriteString(c, "GET /v1/devices/"+large+"/history?"+selected()+" HTTP/1.1\r\nHost: x\r\n"+identity.TokenHeader+": "+strings.Repeat("w", 32)+"\r\n\r\n")
		return status(c)
	})
	return h
}

// allowed is what may come of it.
var allowed = map[string]string{
	"slow headers: closed": "", "slow headers: 408": "", "slow bodies: 408": "",
	"slow readers: broken off": "", "slow readers: closed": "",
	"connections: opened": "", "huge headers: 431": "", "huge headers: closed": "", "wrong tokens: 401": "",
}

// check fails the test if the hostile ones got anything else than they should.
func (h *hostile) check(t testing.TB) {
	t.Helper()
	h.group.Wait()
	for _, what := range slices.Sorted(maps.Keys(h.came)) {
		if _, ok := allowed[what]; !ok {
			t.Errorf("hostile clients: %d times %s", h.came[what], what)
		}
	}
	for _, what := range []string{"huge headers: 431", "wrong tokens: 401", "connections: opened"} {
		if h.came[what] == 0 {
			t.Errorf("hostile clients: not one came to %s", what)
		}
	}
}

// said returns the counts in words.
func (h *hostile) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(h.came)) {
		parts = append(parts, fmt.Sprintf("%d %s", h.came[what], strings.Replace(what, ": ", " → ", 1)))
	}
	return strings.Join(parts, ", ")
}
