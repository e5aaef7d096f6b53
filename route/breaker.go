package route

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"hotreader"
)

// BreakerOptions set up a Breaker. The zero value is the contract's.
type BreakerOptions struct {
	Window time.Duration // over which failures are counted; 0 = 1 min
	Calls  int           // fewer reads than this in the window say nothing; 0 = 10
	Rate   float64       // share of failed reads that opens it; 0 = 0.5
	Open   time.Duration // how long it stays open before it lets a probe through; 0 = 15 s
	Probes int           // reads that must succeed, one after the other, to close it; 0 = 2
}

// Breaker is a Reader that leaves a sick peer alone. When, within a minute, at
// least half of at least ten reads failed for the peer's sake, it opens: reads
// fail at once with CodeUnavailable and the time to come back. After 15 seconds
// it lets one read at a time through; two successes close it, a failure opens
// it again.
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
	reader hotreader.Reader
	o      BreakerOptions

	start time.Time // slices count from here, by the monotonic clock

	mu     sync.Mutex
	state  state
	era    int // counts changes of state: reads of an earlier era are not counted
	until  time.Time
	probe  bool // one is under way
	passed int  // probes
	slices [6]slice
}

type state uint8

const (
	closed state = iota
	open
	probing
)

// slice counts the reads that ended in one sixth of the window.
type slice struct {
	number      int64
	reads, sick int
}

// NewBreaker returns a Breaker around r.
func NewBreaker(r hotreader.Reader, o BreakerOptions) *Breaker {
	if o.Window == 0 {
		o.Window = time.Minute
	}
	if o.Calls == 0 {
		o.Calls = 10
	}
	if o.Rate == 0 {
		o.Rate = 0.5
	}
	if o.Open == 0 {
		o.Open = 15 * time.Second
	}
	if o.Probes == 0 {
		o.Probes = 2
	}
	return &Breaker{reader: r, o: o, start: time.Now()}
}

// Read implements hotreader.Reader.
func (b *Breaker) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		era, err := b.enter()
		if err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		// The deferred call also hands back a probe when the caller's loop
		// panics; rows had come then.
		result := well
		defer func() { b.leave(era, result) }()
		began := false
		for row, err := range b.reader.Read(ctx, q) {
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

// Open reports whether reads are refused just now.
func (b *Breaker) Open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state == open && time.Now().Before(b.until)
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

func (b *Breaker) enter() (era int, err error) {
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
		return 0, &hotreader.Error{Op: "breaker", Code: hotreader.CodeUnavailable, RetryAfter: wait,
			Err: fmt.Errorf("the peer failed too often within %s and is left alone; come back in %s", b.o.Window, wait.Round(time.Millisecond))}
	}
	return b.era, nil
}

func (b *Breaker) leave(era int, v verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if era != b.era {
		return
	}
	if b.state == probing {
		b.probe = false
		switch v {
		case sick:
			b.turn(open)
		case well:
			if b.passed++; b.passed >= b.o.Probes {
				b.turn(closed)
			}
		}
		return
	}
	if v == silent {
		return
	}
	now := int64(time.Since(b.start) / max(b.o.Window/time.Duration(len(b.slices)), 1))
	s := &b.slices[now%int64(len(b.slices))]
	if s.number != now {
		*s = slice{number: now}
	}
	s.reads++
	if v == sick {
		s.sick++
	}
	reads, ill := 0, 0
	for _, s := range b.slices {
		if s.number > now-int64(len(b.slices)) && s.number <= now {
			reads += s.reads
			ill += s.sick
		}
	}
	if v == sick && reads >= b.o.Calls && float64(ill) >= b.o.Rate*float64(reads) {
		b.turn(open)
	}
}

// turn changes the state; b.mu is held.
func (b *Breaker) turn(to state) {
	b.state = to
	b.era++
	b.probe = false
	b.passed = 0
	b.slices = [len(b.slices)]slice{}
	b.until = time.Now().Add(b.o.Open)
}
