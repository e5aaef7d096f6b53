// Package storehttp is what the HTTP clients of all stores have in common.
package storehttp

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"hotreader/internal/punctual"
	"hotreader/store/internal/failure"
)

// Idle is how long a store may send nothing in the middle of an answer.
const Idle = 30 * time.Second

// ErrIdle is the error of an answer in which nothing came for so long.
var ErrIdle error = &failure.Broken{Err: fmt.Errorf("nothing came for %s", Idle)}

// Client returns a client that follows no redirect, for that would take credentials and
// rows to a machine that nobody named, and whose answers end with ErrIdle.
func Client(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: Transport{t}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Dial returns a function that finds a dead endpoint soon enough to try again within a caller's
// deadline, on whose connections no write lasts, and which makes few for one request.
func Dial() punctual.DialFunc {
	dialer := net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}
	return punctual.Dial(dialer.DialContext, 5*time.Second)
}

// Transport ends an answer with ErrIdle if nothing comes for a while: a command has no
// deadline.
type Transport struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(punctual.Attempt(r.Context()))
	resp, err := t.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = &body{resp.Body, ctx, cancel}
	return resp, nil
}

type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (b *body) Read(p []byte) (int, error) {
	timer := time.AfterFunc(Idle, func() { b.cancel(ErrIdle) })
	n, err := b.ReadCloser.Read(p)
	timer.Stop()
	if err != nil && err != io.EOF && context.Cause(b.ctx) == ErrIdle {
		err = ErrIdle
	}
	return n, err
}

func (b *body) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}
