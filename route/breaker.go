package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"hotreader"
)

// FairTime is how long a peer may take to begin its answer. A caller that waits for less
// cannot say that the peer fails.
const FairTime = 10 * time.Second

// BreakerOptions set up a Breaker. Zero values stand for the defaults, which docs/reliability.md gives.
type BreakerOptions struct {
	Window time.Duration // how long reads must have failed to open it; 0 = 1 min
	Calls  int           // how many reads must have failed, at least; 0 = 5
	Open   time.Duration // how long it stays open before the first probe; 0 = 15 s
	Probes int           // how many probes must succeed in a row to close it; 0 = 2
}

// Breaker is a circuit breaker: a Source that stops asking a failing peer. It opens
// when all reads have failed for a minute, five at least: reads then fail at once with
// CodeUnavailable and a RetryAfter. After 15 seconds it is half open and lets one read
// at a time through, a probe. Two successful probes close it, a failed one opens it
// again.
//
// So a single bad page, however often it is tried, does not open it while other reads
// succeed. Failures more than a minute apart do not add up, since the peer's state in
// between is not known. A failure does not count if its read began before the latest
// success, which may have shown that the trouble is over.
//
// These count as failures of the peer: not reached, broken off, overloaded, a failing
// store, damaged or foreign bytes, a defect, no row within the deadline. An answer that
// blames the request (invalid, 401, 404, …) is a success, as is a stream that the
// caller abandons. Throttling, cancelling, and a deadline that passes within FairTime, or
// while rows come, do not count: the caller chooses its deadline. A probe of a caller
// with less time than that holds up no other one.
//
// failsafe-go's breaker does not fit: a probe must end there as a success or a
// failure, and it counts reads that began before its state changed.
type Breaker struct {
	source hotreader.Source
	o      BreakerOptions

	mu     sync.Mutex
	state  state
	era    int       // counts changes of state, and probes; a probe's result counts in its own era only
	until  time.Time // open: when the first probe may begin
	probe  bool      // a probe is running
	hasty  bool      // its caller has less than FairTime
	passed int       // probes that succeeded

	openings int

	// While closed.
	successes   int       // reads
	failures    int       // reads since the last success
	first, last time.Time // of these failures
}

type state uint8

const (
	closed state = iota
	open
	halfOpen
)

// permit holds the counters as they were when a read began.
type permit struct{ era, successes int }

// NewBreaker returns a Breaker around src.
func NewBreaker(src hotreader.Source, o BreakerOptions) *Breaker {
	o.Window = cmp.Or(o.Window, time.Minute)
	o.Calls = cmp.Or(o.Calls, 5)
	o.Open = cmp.Or(o.Open, 15*time.Second)
	o.Probes = cmp.Or(o.Probes, 2)
	return &Breaker{source: src, o: o}
}

// Scan implements hotreader.Source.
func (b *Breaker) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		start := time.Now()
		p, err := b.enter(ctx)
		if err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		// Deferred, so that a panic in the caller's loop ends a probe, too. The peer
		// has sent a row then, which is a success.
		result := worked
		defer func() { b.leave(p, result) }()
		began := false
		for row, err := range b.source.Scan(ctx, q) {
			if err != nil {
				result = verdictOf(err, began || time.Since(start) < FairTime)
			}
			began = true
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// Open reports whether a read would fail at once now: it is open, or a probe is
// running.
func (b *Breaker) Open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state == open && time.Now().Before(b.until) || b.probe
}

// Openings returns how often it went from closed to open. A failed probe does not
// count as a new opening.
func (b *Breaker) Openings() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.openings
}

// verdict is what a read shows about its peer.
type verdict uint8

const (
	worked verdict = iota
	failed
	unclear
)

// verdictOf returns the verdict of a read that failed with err. Where it is excused, no
// deadline that passed here or at the peer counts.
func verdictOf(err error, excused bool) verdict {
	switch code := hotreader.CodeOf(err); code {
	case hotreader.CodeUnavailable, hotreader.CodeOverloaded, hotreader.CodeStore,
		hotreader.CodeCorrupt, hotreader.CodeProtocol, hotreader.CodeInternal, hotreader.CodeDeadline:
		if excused && (code == hotreader.CodeDeadline || errors.Is(err, hotreader.CodeDeadline)) {
			return unclear
		}
		return failed
	case hotreader.CodeCanceled, hotreader.CodeThrottled, hotreader.CodeConfig:
		return unclear
	}
	return worked
}

// isHasty reports whether the caller leaves less than FairTime.
func isHasty(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return limited && time.Until(deadline) < FairTime
}

func (b *Breaker) enter(ctx context.Context) (permit, error) {
	hasty := isHasty(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := time.Second // half open: by then the running probe may have ended
	if b.state == open {
		if wait = time.Until(b.until); wait <= 0 {
			b.setState(halfOpen)
		}
	}
	switch {
	case b.state == closed:
	case b.state == halfOpen && (!b.probe || b.hasty && !hasty):
		b.era++
		b.probe, b.hasty = true, hasty
	default:
		return permit{}, &hotreader.Error{Op: "breaker", Code: hotreader.CodeUnavailable, RetryAfter: wait,
			Err: fmt.Errorf("the peer has failed for %s or longer and is left alone; come back in %s", b.o.Window, wait.Round(time.Millisecond))}
	}
	return permit{era: b.era, successes: b.successes}, nil
}

func (b *Breaker) leave(p permit, v verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.state == closed && v == worked: // in any era
		b.successes++
		b.failures = 0
	case p.era != b.era:
	case b.state == halfOpen:
		b.probe = false
		switch v {
		case failed:
			b.setState(open)
		case worked:
			if b.passed++; b.passed >= b.o.Probes {
				b.setState(closed)
			}
		}
	case v == failed && p.successes == b.successes:
		now := time.Now()
		if b.failures == 0 || now.Sub(b.last) > b.o.Window {
			b.failures, b.first = 0, now
		}
		b.failures++
		b.last = now
		if b.failures >= b.o.Calls && now.Sub(b.first) >= b.o.Window {
			b.openings++
			b.setState(open)
		}
	}
}

// setState begins a new era; b.mu is held.
func (b *Breaker) setState(to state) {
	b.state = to
	b.era++
	b.probe = false
	b.passed = 0
	b.failures = 0
	b.until = time.Now().Add(b.o.Open)
}
