package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"hotreader"
)

// Server returns an http.Server for h in which no client, however slow or
// large, holds a connection for ever. The handler of New sets the deadlines of
// bodies and answers itself; the timeouts here are for what it does not see.
func Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      sendTime,
		IdleTimeout:       2 * time.Minute, // longer than clients keep a connection, so that they close first
		MaxHeaderBytes:    64 << 10,
	}
}

// Listen listens on a TCP address. op names what gave the address.
func Listen(ctx context.Context, op, address string) (net.Listener, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: err}
	}
	return l, nil
}

// Beside serves h on an address of its own, as a page of metrics, until end is
// called.
func Beside(ctx context.Context, op, address string, h http.Handler) (at net.Addr, end func(), err error) {
	l, err := Listen(ctx, op, address)
	if err != nil {
		return nil, nil, err
	}
	s := Server(h)
	go func() { _ = s.Serve(l) }() // it ends when it is closed
	return l.Addr(), func() { _ = s.Close() }, nil
}

// Drain says how a server ends: Reads after it was told to, the reads under way
// end as if their time were up, so that their answers say where to go on; after
// Close, what is left is broken off.
type Drain struct{ Reads, Close time.Duration }

// Serve serves on l until ctx ends, takes no more requests then, and returns
// when those under way are answered. It fails if some had to be broken off.
func Serve(ctx context.Context, s *http.Server, l net.Listener, d Drain) error {
	reads := &ending{context.WithoutCancel(ctx), make(chan struct{})}
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
		_ = s.Close() // what is left has had its time
		return &hotreader.Error{Op: "serve", Code: hotreader.CodeDeadline, Err: errors.New("some requests did not end in time and were broken off")}
	}
	return nil
}

// ending is a context whose time is up when done is closed: not before, and not
// at a time that could be told when it began. (A context that is cancelled says
// that nobody waits for the answer any more.)
type ending struct {
	context.Context
	done chan struct{}
}

func (e *ending) Done() <-chan struct{} { return e.done }

func (e *ending) Err() error {
	select {
	case <-e.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
