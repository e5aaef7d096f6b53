// Package retries bounds how often callers of the same peer may try again.
package retries

import (
	"context"
	"sync"
	"time"
)

// The budget's figures: retries are at most a fifth of what is asked, plus one a
// second, plus a reserve so that a function with one query a minute can still
// retry it three times.
const (
	share   = 0.2
	aSecond = 1.0
	most    = 20.0
)

// Budget bounds the retries of all its users, so that a sick peer is not
// asked four times as often as a healthy one: each read or request adds a fifth
// of a retry and each second adds one, up to twenty, which is also what it
// starts with. The zero value is ready; it is safe for concurrent use.
type Budget struct {
	mu    sync.Mutex
	spent float64   // below most
	since time.Time // the seconds before this are accounted for
}

// Deposit adds what one read or request is worth, which is not itself a retry.
func (b *Budget) Deposit() { b.add(share) }

// Return gives back n retries that worked: they were no burden on a sick peer.
func (b *Budget) Return(n int) { b.add(float64(n)) }

func (b *Budget) add(n float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(b.spent-n, 0)
}

// Withdraw reports whether there may be one more retry, and takes it.
func (b *Budget) Withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if !b.since.IsZero() {
		b.spent = max(b.spent-now.Sub(b.since).Seconds()*aSecond, 0)
	}
	b.since = now
	if b.spent+1 > most {
		return false
	}
	b.spent++
	return true
}

// Wait waits, or returns the error of ctx if that ends before.
func Wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
