// Package httphost is what the programs that serve HTTP themselves have in
// common, on Azure Functions and on Cloud Run: the Hot Reader API over whichever
// Source the environment asks for, and a server that ends well.
package httphost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/function"
	"hotreader/httpapi"
	"hotreader/observe"
	"hotreader/route"
	"hotreader/secret"
)

// StartTime is how long the start of a program may wait for others, as for the
// token: a platform that waits for a port would sooner start it again.
const StartTime = 8 * time.Second

// Options say what is served. Function, Token and Local are needed.
type Options struct {
	Function *config.Function
	Token    *secret.Token // guards what is served; its current one is what a remote API is shown

	// Local opens hot storage on this cloud. It is not called where that is
	// remote.
	Local func() (hotreader.Source, error)

	MaxStream int // as httpapi.Options have it

	Program string       // its name, which the remote API is told
	Logger  *slog.Logger // nil = none

	Observer *observe.Observer // nil = none
}

// What is answered at once is bounded, and with that the memory of answers that
// are made. A dashboard asks for all its panels in one moment: they wait a little
// rather than fail.
const (
	answers = 16
	queue   = 256
	wait    = 5 * time.Second
)

// address is the address of a request's caller. The connection is that of the
// platform's own front, which puts the address it is asked from behind what
// stands in X-Forwarded-For already; all before that anybody may have written.
func address(r *http.Request) netip.Addr {
	all := r.Header["X-Forwarded-For"]
	if len(all) == 0 {
		return netip.Addr{}
	}
	last := all[len(all)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if a, err := netip.ParseAddrPort(last); err == nil { // as Azure writes it
		return a.Addr()
	}
	a, _ := netip.ParseAddr(last) // those of whom it is not known are one
	return a
}

// New returns the API.
func New(o Options) (http.Handler, error) {
	f := o.Function
	src, err := function.Parts{
		Local: o.Local, Token: o.Token, Program: o.Program, TraceID: httpapi.TraceID, Observer: o.Observer,
	}.Source(f)
	if err != nil {
		return nil, err
	}
	o.Observer.Made(o.Token.Made)
	api, err := httpapi.New(httpapi.Options{
		Source: f.Devices.Guard(route.BehindAPI(src)), Token: o.Token, Rate: f.Rate, Burst: f.Burst,
		Answers: answers, Queue: queue, Wait: wait, Address: address,
		MaxStream: o.MaxStream, Logger: o.Logger, Observer: o.Observer, Version: function.Version(),
	})
	if err != nil {
		return nil, err
	}
	return o.Observer.Handler(api), nil
}

// Token returns the token of f: its own, or the one that fetch brings.
func Token(ctx context.Context, f *config.Function, fetch secret.Fetch) (*secret.Token, error) {
	if f.TokenSecret == "" {
		return f.Token, nil
	}
	ctx, cancel := context.WithTimeout(ctx, StartTime)
	defer cancel()
	token, err := secret.Fetched(ctx, fetch)
	if err != nil {
		return nil, fmt.Errorf("INTER_CLOUD_TOKEN_SECRET: %w", err)
	}
	return token, nil
}

// Drain says how a server ends: Reads after it was told to, the reads under way
// end as if their time were up, so that their answers say where to go on; after
// Close, what is left is broken off.
type Drain struct{ Reads, Close time.Duration }

// Platform is the Drain for platforms that kill a program 10 s after SIGTERM.
func Platform() Drain { return Drain{Reads: 7 * time.Second, Close: 9 * time.Second} }

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
