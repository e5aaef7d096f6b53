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
// request and to answer it, and a few thousand in all. One more ends the oldest of them, so
// that strangers who say little, do not take their answers, or begin ever anew, do not shut
// others out.
//
// It speaks HTTP/1.1 alone. Over HTTP/2 a few bytes make net/http hold many: it joins
// headers, and keeps streams of which nobody takes the answer.
func Server(h http.Handler) *http.Server {
	unknown := newStrangers()
	s := &http.Server{
		ConnState:         unknown.see,
		ConnContext:       unknown.context,
		Handler:           slim(h),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      sendTime,
		IdleTimeout:       2 * time.Minute, // longer than clients keep a connection, so that they close it first
		MaxHeaderBytes:    32 << 10,        // twice the longest token of a cloud
		Protocols:         new(http.Protocols),
	}
	s.Protocols.SetHTTP1(true)
	return s
}

// maxFields is how many header fields a request may have.
const maxFields = 200

// slim ends connections with requests that take much more memory than bytes to send, once
// their head is whole.
func slim(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Trailer) > 0 || len(r.Header) > maxFields {
			panic(http.ErrAbortHandler) // an answer would wait for the body
		}
		h.ServeHTTP(w, r)
	})
}

// Of strangers' connections, maxWaiting may wait for longer than patience, and maxStrangers
// may be open.
const (
	maxWaiting   = 512
	maxStrangers = 2048
	patience     = 3 * time.Second
	strangerTime = 5 * time.Second // to receive an answer that needs no token
)

// strangers are a server's connections on which no token was ever right.
type strangers struct {
	mu              sync.Mutex
	opened, waiting list.List // of *stranger, the oldest first
	at              map[net.Conn]*stranger
	later           *time.Timer // looks for those whose patience is over; nil = there are not too many
}

type stranger struct {
	conn            net.Conn
	since           time.Time // of its state
	opened, waiting *list.Element
}

func newStrangers() *strangers { return &strangers{at: map[net.Conn]*stranger{}} }

// see gets each state of a connection. It is active when the head of a request is whole.
func (s *strangers) see(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.at[c]
	switch {
	case state == http.StateClosed || state == http.StateHijacked:
		s.forget(one)
		return
	case state == http.StateNew:
		one = &stranger{conn: c}
		one.opened, one.waiting = s.opened.PushBack(one), s.waiting.PushBack(one)
		s.at[c] = one
	case one == nil: // a token was right
		return
	}
	one.since = time.Now()
	s.waiting.MoveToBack(one.waiting)
	if s.opened.Len() > maxStrangers {
		s.end(s.opened.Front().Value.(*stranger))
	}
	s.endWaiting()
}

func (s *strangers) forget(one *stranger) {
	if one != nil {
		s.opened.Remove(one.opened)
		s.waiting.Remove(one.waiting)
		delete(s.at, one.conn)
	}
}

// endWaiting ends the oldest connections that are too many, now or when their patience is over:
// there may be no further event, where strangers have all the files that the process may open.
func (s *strangers) endWaiting() {
	for s.later == nil && s.waiting.Len() > maxWaiting {
		one := s.waiting.Front().Value.(*stranger)
		if left := patience - time.Since(one.since); left > 0 {
			s.later = time.AfterFunc(left, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.later = nil
				s.endWaiting()
			})
			return
		}
		s.end(one)
	}
}

func (s *strangers) end(one *stranger) {
	s.forget(one)
	c := one.conn
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn() // TLS would say goodbye first, and wait for what it is writing
	}
	_ = c.Close() // which is all that is to be done about it
}

type knownKey struct{}

func (s *strangers) context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, knownKey{}, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forget(s.at[c])
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
