package faults

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// faultServer is an HTTP server that can send any bytes. It takes its answers from an
// API, and a fault may change what goes over the wire.
type faultServer struct {
	url    string
	api    http.Handler
	script func(request int) fault // requests count from 1; a nil fault = answer as the API does

	requests, accepted, open atomic.Int64

	listener net.Listener
	config   *tls.Config
	running  sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

// newFaultServer starts a faultServer, with TLS if config is not nil. It ends with the
// test.
func newFaultServer(t testing.TB, api http.Handler, config *tls.Config, script func(int) fault) *faultServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &faultServer{url: "http://" + l.Addr().String(), api: api, script: script, listener: l, config: config, conns: map[net.Conn]bool{}}
	if config != nil {
		g.url = "https://" + l.Addr().String()
	}
	g.running.Go(g.accept)
	t.Cleanup(g.close)
	return g
}

func (g *faultServer) close() {
	g.listener.Close()
	g.mu.Lock()
	for c := range g.conns {
		c.Close()
	}
	g.mu.Unlock()
	g.running.Wait()
}

func (g *faultServer) accept() {
	for {
		c, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.accepted.Add(1)
		g.open.Add(1)
		g.mu.Lock()
		g.conns[c] = true
		g.mu.Unlock()
		g.running.Go(func() {
			g.serve(c)
			c.Close()
			g.open.Add(-1)
			g.mu.Lock()
			delete(g.conns, c)
			g.mu.Unlock()
		})
	}
}

func (g *faultServer) serve(raw net.Conn) {
	conn := raw
	if g.config != nil {
		conn = tls.Server(raw, g.config)
	}
	in := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			if err != io.EOF { // as real servers answer what is not HTTP
				_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			}
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		x := &exchange{api: g.api, req: req, conn: conn, raw: raw}
		if f := g.script(int(g.requests.Add(1))); f != nil {
			f(x)
			_ = conn.Close()
			return
		}
		head, rows := x.answer()
		if _, err := conn.Write(slices.Concat(head, rows.wire(byLength, len(rows)))); err != nil {
			return
		}
	}
}

// Scripts.
func always(f fault) func(int) fault { return first(1<<30, f) }
func never() func(int) fault         { return first(0, nil) }
func first(n int, f fault) func(int) fault {
	return func(request int) fault {
		if request <= n {
			return f
		}
		return nil
	}
}

// exchange is one request and the connection to answer it on.
type exchange struct {
	api  http.Handler
	req  *http.Request
	conn net.Conn // with TLS, if there is any
	raw  net.Conn
}

// answer returns the API's answer: the head, without the header line that frames the
// body, and the body.
func (x *exchange) answer() (head []byte, b body) {
	rec := httptest.NewRecorder()
	x.api.ServeHTTP(rec, x.req)
	var w bytes.Buffer
	fmt.Fprintf(&w, "HTTP/1.1 %d %s\r\n", rec.Code, http.StatusText(rec.Code))
	h := rec.Header()
	h.Del("Content-Length")
	_ = h.Write(&w)
	return w.Bytes(), rec.Body.Bytes()
}

// framing is how HTTP marks the end of a body.
type framing string

const (
	byLength framing = "by length"
	chunked  framing = "in chunks"
	byClose  framing = "until the connection closes"
)

var framings = []framing{byLength, chunked, byClose}

type body []byte

// wire returns what follows the head if n bytes of b are sent; after all of b, also
// the mark of its end.
func (b body) wire(f framing, n int) []byte {
	switch f {
	case byLength:
		return append([]byte("Content-Length: "+strconv.Itoa(len(b))+"\r\n\r\n"), b[:n]...)
	case chunked:
		w := bytes.NewBufferString("Transfer-Encoding: chunked\r\n\r\n")
		for part := range slices.Chunk(b[:n], 200) {
			fmt.Fprintf(w, "%x\r\n%s\r\n", len(part), part)
		}
		if n == len(b) {
			w.WriteString("0\r\n\r\n")
		}
		return w.Bytes()
	}
	return append([]byte("Connection: close\r\n\r\n"), b[:n]...)
}

// ending is how a connection ends.
type ending string

const (
	hangUp ending = "hung up"
	reset  ending = "reset"
)

func (x *exchange) end(e ending) {
	if e == reset {
		_ = x.raw.(*net.TCPConn).SetLinger(0)
		_ = x.raw.Close()
	}
}

// waitForClose returns when the caller has closed the connection.
func (x *exchange) waitForClose() {
	_, _ = io.Copy(io.Discard, x.conn)
}

// fault happens to a request instead of its answer. Then the connection ends.
type fault func(*exchange)

// says answers with text, whether or not that is HTTP.
func says(text string) fault {
	return func(x *exchange) { _, _ = io.WriteString(x.conn, text) }
}

// status answers with a status, headers as "Name: value", and a short text.
func status(code int, headers ...string) fault {
	text := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: 5\r\n", code, http.StatusText(code))
	for _, h := range headers {
		text += h + "\r\n"
	}
	return says(text + "\r\nsorry")
}

// ok answers with status 200, a type and a body.
func ok(kind, text string) fault {
	head := "HTTP/1.1 200 OK\r\n"
	if kind != "" {
		head += "Content-Type: " + kind + "\r\n"
	}
	return says(head + "Content-Length: " + strconv.Itoa(len(text)) + "\r\n\r\n" + text)
}

// problem answers with a problem.
func problem(code int, word string) fault {
	text := `{"code":"` + word + `","title":"T.","status":` + strconv.Itoa(code) + `}`
	return says(fmt.Sprintf("HTTP/1.1 %d x\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%s", code, len(text), text))
}

// place is a byte offset in an answer.
type place func(head, whole int) int

func start(int, int) int         { return 0 }
func withinHead(head, _ int) int { return head / 2 }
func afterHead(head, _ int) int  { return head }
func middle(head, whole int) int { return (head + whole) / 2 }
func lastByte(_, whole int) int  { return whole - 1 }
func (x *exchange) whole() (b []byte, head int) {
	h, rows := x.answer()
	b = slices.Concat(h, rows.wire(byLength, len(rows)))
	return b, bytes.Index(b, []byte("\r\n\r\n")) + 4
}

// breaks sends the answer up to a place, then ends the connection.
func breaks(at place, e ending) fault {
	return func(x *exchange) {
		b, head := x.whole()
		_, _ = x.conn.Write(b[:at(head, len(b))])
		x.end(e)
	}
}

// stalls sends the answer up to a place, then nothing.
func stalls(at place) fault {
	return func(x *exchange) {
		b, head := x.whole()
		_, _ = x.conn.Write(b[:at(head, len(b))])
		x.waitForClose()
	}
}

// late sends nothing for d, then all.
func late(d time.Duration) fault {
	return func(x *exchange) {
		time.Sleep(d)
		b, _ := x.whole()
		_, _ = x.conn.Write(b)
	}
}

// drips sends n bytes one by one, with a pause after each, then the rest.
func drips(n int, pause time.Duration) fault {
	return func(x *exchange) {
		b, _ := x.whole()
		for i := range min(n, len(b)) {
			if _, err := x.conn.Write(b[i : i+1]); err != nil {
				return
			}
			time.Sleep(pause)
		}
		_, _ = x.conn.Write(b[min(n, len(b)):])
	}
}

// cuts sends n bytes of the body, or all but -n if n is negative, then ends the
// connection.
func cuts(f framing, n int, e ending) fault {
	return func(x *exchange) {
		head, rows := x.answer()
		size := min(n, len(rows)-1)
		if n < 0 {
			size = max(len(rows)+n, 0)
		}
		b := rows.wire(f, size)
		_, _ = x.conn.Write(append(head, b...))
		x.end(e)
	}
}

// last is the last byte of a body.
const last = 1 << 30

// flips sends the whole answer with one bit flipped: in byte at of the body or, if at
// is negative, in a byte of head and body counted from -1.
func flips(f framing, at int, bit int) fault {
	return func(x *exchange) {
		head, rows := x.answer()
		b := slices.Concat(head, rows.wire(f, len(rows)))
		if at >= 0 {
			rows = slices.Clone(rows)
			rows[min(at, len(rows)-1)] ^= 1 << bit
			b = slices.Concat(head, rows.wire(f, len(rows)))
		} else {
			b[(-1-at)%len(b)] ^= 1 << bit
		}
		_, _ = x.conn.Write(b)
	}
}

// frameEnds returns the offsets where the header and each frame of a row stream end.
// It follows docs/protocol.md and does not use package wire.
func frameEnds(b []byte) (ends []int, err error) {
	at := 11
	ends = append(ends, at)
	for at < len(b) {
		size, shift := 0, 0
		for at++; ; at++ {
			if at >= len(b) {
				return nil, errors.New("it ends within a frame")
			}
			size |= int(b[at]&0x7f) << shift
			if shift += 7; b[at] < 0x80 {
				break
			}
		}
		at += 1 + size + 4
		ends = append(ends, at)
	}
	if at != len(b) || len(ends) < 3 || !bytes.HasPrefix(b, []byte("HROW")) {
		return nil, fmt.Errorf("no row stream of %d bytes: %v", len(b), ends)
	}
	return ends, nil
}
