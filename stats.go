package hotreader

import (
	"context"
	"sync/atomic"
)

// Stats counts what a query costs. Put one into the context with WithStats and
// every Reader on the way adds to it. The zero value is ready; it is safe for
// concurrent use.
type Stats struct {
	Looked   atomic.Int64 // stored rows looked at
	Rows     atomic.Int64 // rows that belong to the answer
	Skipped  atomic.Int64 // values and items left out: unreadable, or not of their declared type
	Reads    atomic.Int64 // calls to the store, or pages of it
	Bytes    atomic.Int64 // bytes that came from the store or, where it is remote, over the wire
	Attempts atomic.Int64 // requests to another cloud
}

type statsKey struct{}

// WithStats returns a context in which Readers count into s.
func WithStats(ctx context.Context, s *Stats) context.Context {
	return context.WithValue(ctx, statsKey{}, s)
}

// StatsOf returns the Stats of ctx, or one that nobody looks at; never nil.
func StatsOf(ctx context.Context) *Stats {
	if s, ok := ctx.Value(statsKey{}).(*Stats); ok {
		return s
	}
	return new(Stats)
}
