package httpapi

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"hotreader"
)

// Server returns an http.Server for h in which no client can hold a connection for
// ever. New's handler sets the deadlines of bodies and answers itself; the timeouts
// here cover the rest.
//
// Of connections on which no token was ever right, there are a few hundred at most that
// have been in the same state for three seconds, in which a busy server gets to read a
// request and to answer it. One more ends the oldest of them, so that strangers who say
// little, or do not take their answers, do not shut others out.
func Server(h http.Handler) *http.Server {
	unknown := &strangers{at: map[net.Conn]*list.Element{}, open: map[net.Conn]bool{}}
	return &http.Server{
		ConnState:         unknown.see,
		ConnContext:       unknown.context,
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      sendTime,
		IdleTimeout:       2 * time.Minute, // longer than clients keep a connection, so that they close it first
		MaxHeaderBytes:    32 << 10,        // twice the longest token of a cloud
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 16, // each holds its headers, which take few bytes to send
			WriteByteTimeout:     sendTime,
		},
	}
}

// maxStrangers is how many connections of strangers may wait for longer than patience.
const (
	maxStrangers = 512
	patience     = 3 * time.Second
	strangerTime = 5 * time.Second // to receive an answer that needs no token
)

// strangers are a server's connections on which no token was ever right.
type strangers struct {
	mu      sync.Mutex
	waiting list.List // of waiting, those first that wait longest
	at      map[net.Conn]*list.Element
	open    map[net.Conn]bool // all connections; true: a token was right
	later   *time.Timer       // looks for those whose patience is over; nil = there are not too many
}

type waiting struct {
	conn  net.Conn
	since time.Time
}

// see gets each state of a connection. It is active when the head of a request is whole.
func (s *strangers) see(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(c)
	switch state {
	case http.StateNew:
		s.open[c] = false
	case http.StateClosed, http.StateHijacked:
		delete(s.open, c)
	}
	if known, open := s.open[c]; open && !known {
		s.at[c] = s.waiting.PushBack(waiting{c, time.Now()})
		s.end()
	}
}

func (s *strangers) forget(c net.Conn) {
	if e := s.at[c]; e != nil {
		s.waiting.Remove(e)
		delete(s.at, c)
	}
}

// end ends the oldest connections that are too many, now or when their patience is over: there
// may be no further event, where strangers have all the files that the process may open.
func (s *strangers) end() {
	for s.later == nil && s.waiting.Len() > maxStrangers {
		w := s.waiting.Front().Value.(waiting)
		if left := patience - time.Since(w.since); left > 0 {
			s.later = time.AfterFunc(left, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.later = nil
				s.end()
			})
			return
		}
		s.forget(w.conn)
		if over, ok := w.conn.(*tls.Conn); ok {
			w.conn = over.NetConn() // TLS would say goodbye first, and wait for what it is writing
		}
		_ = w.conn.Close() // which is all that is to be done about it
	}
}

type knownKey struct{}

func (s *strangers) context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, knownKey{}, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, open := s.open[c]; open { // a request over HTTP/2 may outlive its connection
			s.open[c] = true
			s.forget(c)
		}
	})
}

// callerKnown says that a token was right on a request's connection.
func callerKnown(ctx context.Context) {
	if know, ok := ctx.Value(knownKey{}).(func()); ok {
		know()
	}
}

// Listen listens on a TCP address. op is the operation that an error names.
func Listen(ctx context.Context, op, address string) (net.Listener, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: err}
	}
	return l, nil
}

// ServeSeparately serves h on an address of its own, such as the metrics endpoint,
// until end is called.
func ServeSeparately(ctx context.Context, op, address string, h http.Handler) (at net.Addr, end func(), err error) {
	l, err := Listen(ctx, op, address)
	if err != nil {
		return nil, nil, err
	}
	s := Server(h)
	go func() { _ = s.Serve(l) }() // returns when s is closed
	return l.Addr(), func() { _ = s.Close() }, nil
}

// Drain says how long a server takes to stop. After Reads, running reads end as if
// their time budget were used up, so that their answers say where to continue. After
// Close, connections that are still open are closed.
type Drain struct{ Reads, Close time.Duration }

// Serve serves on l until ctx ends. Then it accepts no more requests, and returns
// when all running ones are answered. It fails if some of them had to be aborted.
func Serve(ctx context.Context, s *http.Server, l net.Listener, d Drain) error {
	reads := &readContext{context.WithoutCancel(ctx), make(chan struct{})}
	s.BaseContext = func(net.Listener) context.Context { return reads }
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return &hotreader.Error{Op: "serve", Code: hotreader.CodeInternal, Err: err}
	case <-ctx.Done():
	}
	timer := time.AfterFunc(d.Reads, func() { close(reads.done) })
	defer timer.Stop()
	last, cancel := context.WithTimeout(reads.Context, d.Close)
	defer cancel()
	if err := s.Shutdown(last); err != nil {
		_ = s.Close()
		return &hotreader.Error{Op: "serve", Code: hotreader.CodeDeadline, Err: errors.New("some requests did not end in time and were broken off")}
	}
	return nil
}

// readContext ends with DeadlineExceeded when done is closed, at a time not known
// beforehand. A cancelled context would not do: it means that the caller is gone.
type readContext struct {
	context.Context
	done chan struct{}
}

func (c *readContext) Done() <-chan struct{} { return c.done }

func (c *readContext) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
