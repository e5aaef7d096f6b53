package route

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"hotreader"
)

// BreakerOptions set up a Breaker. Zero values stand for the defaults, which docs/reliability.md gives.
type BreakerOptions struct {
	Window time.Duration // how long the peer must have failed; 0 = 1 min
	Calls  int           // and how many reads at least; 0 = 5
	Open   time.Duration // how long it stays open before it lets a probe through; 0 = 15 s
	Probes int           // reads that must succeed, one after the other, to close it; 0 = 2
}

// Breaker is a Source that leaves a sick peer alone. When the peer has failed
// for a minute, five reads or more and none that worked in between, it opens:
// reads fail at once with CodeUnavailable and the time to come back. After 15
// seconds it lets one read at a time through; two successes close it, a failure
// opens it again.
//
// One bad page, however often it is tried, thus shuts out nobody as long as
// other reads work. Failures with more than a minute between them do not add
// up: nobody knows how the peer was meanwhile. Nor does a failure count whose
// read began before the latest success: what it met may be what the success
// shows to be over.
//
// What counts as the peer's failure: not reached, broken off, overloaded, its
// store's failure, damaged or foreign bytes, a defect, no row within the
// deadline. What it refuses for the caller's sake (invalid, 401, 404, …) shows
// that it works. Throttling, cancelling, and a deadline that passes while rows
// flow say nothing. A stream that the caller abandons was one that worked.
//
// It is not failsafe-go's breaker because that one can take back the permit of
// a probe only as a success or a failure, and counts results of reads begun
// before it changed state.
type Breaker struct {
	source hotreader.Source
	o      BreakerOptions

	mu     sync.Mutex
	state  state
	era    int // counts changes of state: what began in an earlier era opens and closes nothing
	until  time.Time
	probe  bool // one is under way
	passed int  // probes

	openings int

	// While closed: the failures since a read last worked.
	worked      int // counts the reads that worked
	failed      int
	first, last time.Time // failures, if failed > 0
}

type state uint8

const (
	closed state = iota
	open
	probing
)

// permit tells when a read began.
type permit struct{ era, worked int }

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
		p, err := b.enter()
		if err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		// The deferred call also hands back a probe when the caller's loop
		// panics; rows had come then.
		result := well
		defer func() { b.leave(p, result) }()
		began := false
		for row, err := range b.source.Scan(ctx, q) {
			if err != nil {
				result = judge(err, began)
			}
			began = true
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// Open reports whether a read would be refused just now: the peer is left alone,
// or a probe is under way.
func (b *Breaker) Open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state == open && time.Now().Before(b.until) || b.probe
}

// Openings returns how often it opened that was closed. A probe that fails goes
// on with the same opening.
func (b *Breaker) Openings() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.openings
}

// verdict is what a read says about its peer.
type verdict uint8

const (
	well verdict = iota
	sick
	silent
)

func judge(err error, began bool) verdict {
	switch hotreader.CodeOf(err) {
	case hotreader.CodeUnavailable, hotreader.CodeOverloaded, hotreader.CodeStore,
		hotreader.CodeCorrupt, hotreader.CodeProtocol, hotreader.CodeInternal:
		return sick
	case hotreader.CodeDeadline:
		if began {
			return silent
		}
		return sick
	case hotreader.CodeCanceled, hotreader.CodeThrottled, hotreader.CodeConfig:
		return silent
	}
	return well
}

func (b *Breaker) enter() (permit, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := time.Second // until the probe under way has shown something
	if b.state == open {
		if wait = time.Until(b.until); wait <= 0 {
			b.turn(probing)
		}
	}
	switch {
	case b.state == closed:
	case b.state == probing && !b.probe:
		b.probe = true
	default:
		return permit{}, &hotreader.Error{Op: "breaker", Code: hotreader.CodeUnavailable, RetryAfter: wait,
			Err: fmt.Errorf("the peer has failed for %s or longer and is left alone; come back in %s", b.o.Window, wait.Round(time.Millisecond))}
	}
	return permit{era: b.era, worked: b.worked}, nil
}

func (b *Breaker) leave(p permit, v verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.state == closed && v == well: // of whichever era
		b.worked++
		b.failed = 0
	case p.era != b.era:
	case b.state == probing:
		b.probe = false
		switch v {
		case sick:
			b.turn(open)
		case well:
			if b.passed++; b.passed >= b.o.Probes {
				b.turn(closed)
			}
		}
	case v == sick && p.worked == b.worked:
		now := time.Now()
		if b.failed == 0 || now.Sub(b.last) > b.o.Window {
			b.failed, b.first = 0, now
		}
		b.failed++
		b.last = now
		if b.failed >= b.o.Calls && now.Sub(b.first) >= b.o.Window {
			b.openings++
			b.turn(open)
		}
	}
}

// turn changes the state; b.mu is held.
func (b *Breaker) turn(to state) {
	b.state = to
	b.era++
	b.probe = false
	b.passed = 0
	b.failed = 0
	b.until = time.Now().Add(b.o.Open)
}
