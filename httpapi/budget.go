package httpapi

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// budget is context.WithDeadline for requests of which most are answered before
// anybody waits for the context to end: a timer, and a place among what its parent
// has to end, are made when somebody asks for Done, or has asked often whether the
// time is up. Till then that is found by the clock.
type budget struct {
	context.Context       // the parent
	call            *call // the traceKey's value
	deadline        time.Time
	looks           atomic.Int32 // at the clock
	real            atomic.Pointer[running]

	mu    sync.Mutex
	ended error // why, nil = not yet; real's own from when there is one
}

// running is a context with its timer.
type running struct {
	context.Context
	cancel context.CancelFunc
}

// mostLooks is how often the clock is looked at. Many looks would take longer than
// to make a timer, for a context that has one need not look.
const mostLooks = 16

// begin makes b a context that ends d from now, or with parent, or when cancel is
// called, as it must be.
func (b *budget) begin(parent context.Context, d time.Duration, c *call) {
	b.Context, b.call, b.deadline = parent, c, time.Now().Add(d)
	if at, ok := parent.Deadline(); ok && at.Before(b.deadline) {
		b.deadline = at
	}
}

// Deadline implements context.Context.
func (b *budget) Deadline() (time.Time, bool) { return b.deadline, true }

// Done implements context.Context.
func (b *budget) Done() <-chan struct{} { return b.run().Done() }

// Err implements context.Context.
func (b *budget) Err() error {
	if r := b.real.Load(); r != nil {
		return r.Err()
	}
	if b.looks.Add(1) > mostLooks {
		return b.run().Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended == nil {
		if b.ended = b.Context.Err(); b.ended == nil && !time.Now().Before(b.deadline) {
			b.ended = context.DeadlineExceeded
		}
	}
	return b.ended
}

// Value implements context.Context. Contexts that are made of b find by it what
// will end them.
func (b *budget) Value(key any) any {
	if _, ok := key.(traceKey); ok {
		return b.call
	}
	if r := b.real.Load(); r != nil {
		return r.Value(key)
	}
	return b.Context.Value(key)
}

// cancel ends b.
func (b *budget) cancel() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.real.Load(); r != nil {
		r.cancel()
	} else if b.ended == nil {
		b.ended = context.Canceled
	}
}

// run returns the context with the timer.
func (b *budget) run() *running {
	if r := b.real.Load(); r != nil {
		return r
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.real.Load(); r != nil {
		return r
	}
	r := new(running)
	if errors.Is(b.ended, context.Canceled) { // whatever the time is now
		r.Context, r.cancel = context.WithCancel(b.Context)
		r.cancel()
	} else {
		r.Context, r.cancel = context.WithDeadline(b.Context, b.deadline)
	}
	b.real.Store(r)
	return r
}
