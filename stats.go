package hotreader

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// Stats counts what a query costs, and what had to be left out of its answer. Put
// one into the context with WithStats and every Source and Reader on the way adds
// to it. The zero value is ready; it is safe for concurrent use.
type Stats struct {
	Looked   atomic.Int64 // stored rows looked at
	Rows     atomic.Int64 // rows that belong to the answer
	Points   atomic.Int64 // values of properties in those
	Reads    atomic.Int64 // calls to the store, or pages of it
	Bytes    atomic.Int64 // bytes that came from the store or, where it is remote, over the wire
	Attempts atomic.Int64 // requests to another cloud

	mu      sync.Mutex
	leftOut []LeftOut
}

// Reason says why something was left out of an answer. Reasons cross the wire.
type Reason string

// The reasons.
const (
	Unreadable Reason = "unreadable" // an item without a usable time, or a value of no kind that an answer can hold
	WrongType  Reason = "wrong_type" // the property's type cannot hold the value without loss
)

// LeftOut is how many values of a property were left out for one reason; of
// property "", whole items.
type LeftOut struct {
	Property string
	Reason   Reason
	Count    int64
}

// LeaveOut counts n values of property that were left out; of "", items.
func (s *Stats) LeaveOut(property string, why Reason, n int64) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.leftOut {
		if l := &s.leftOut[i]; l.Property == property && l.Reason == why {
			l.Count += n
			return
		}
	}
	s.leftOut = append(s.leftOut, LeftOut{property, why, n})
}

// LeftOut returns what was left out, by property and reason.
func (s *Stats) LeftOut() []LeftOut {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.leftOut)
	slices.SortFunc(all, func(a, b LeftOut) int {
		return cmp.Or(cmp.Compare(a.Property, b.Property), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}

// Skipped returns how many values and items were left out.
func (s *Stats) Skipped() (n int64) {
	for _, l := range s.LeftOut() {
		n += l.Count
	}
	return n
}

// Add adds what from has counted.
func (s *Stats) Add(from *Stats) {
	s.Looked.Add(from.Looked.Load())
	s.Rows.Add(from.Rows.Load())
	s.Points.Add(from.Points.Load())
	s.Reads.Add(from.Reads.Load())
	s.Bytes.Add(from.Bytes.Load())
	s.Attempts.Add(from.Attempts.Load())
	for _, l := range from.LeftOut() {
		s.LeaveOut(l.Property, l.Reason, l.Count)
	}
}

type statsKey struct{}

// WithStats returns a context in which Sources and Readers count into s.
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
