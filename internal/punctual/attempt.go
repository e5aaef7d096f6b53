package punctual

import (
	"context"
	"errors"
	"sync/atomic"
)

// maxDials is how many connections one attempt may make.
const maxDials = 3

// errEnds is final for an attempt: net/http takes it for one that nobody answers.
var errEnds = errors.New("the other side takes connections, and ends each without an answer")

type dials struct{}

// Attempt returns ctx for one request, which Dial gives a few connections and then an
// error. Over HTTP/2 net/http sends a request again on a new connection, without end, to
// a peer that says of each (GOAWAY) that it has not looked at the request.
func Attempt(ctx context.Context) context.Context {
	return context.WithValue(ctx, dials{}, new(atomic.Int32))
}

// dialled counts a connection of ctx's attempt.
func dialled(ctx context.Context) error {
	if n, ok := ctx.Value(dials{}).(*atomic.Int32); ok && n.Add(1) > maxDials {
		return errEnds
	}
	return nil
}
