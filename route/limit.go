package route

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"hotreader"
)

// LimitOptions set up a Limit.
type LimitOptions struct {
	Reads int           // at once; 0 = 16
	Queue int           // reads that may wait for a place; 0 = as many as Reads
	Wait  time.Duration // how long they wait at the most; 0 = 1 s
}

// Limit is a Reader that lets a bounded number of reads run at once. A few more
// wait for a short time; the others, and those that waited in vain, fail with
// CodeOverloaded and the time to come back, so that a crowd is told at once
// instead of being served late.
type Limit struct {
	reader  hotreader.Reader
	o       LimitOptions
	places  chan struct{}
	waiting atomic.Int64
}

// NewLimit returns a Limit around r.
func NewLimit(r hotreader.Reader, o LimitOptions) *Limit {
	if o.Reads <= 0 {
		o.Reads = 16
	}
	if o.Queue <= 0 {
		o.Queue = o.Reads
	}
	if o.Wait <= 0 {
		o.Wait = time.Second
	}
	return &Limit{reader: r, o: o, places: make(chan struct{}, o.Reads)}
}

// Read implements hotreader.Reader.
func (l *Limit) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		if err := l.enter(ctx); err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		defer func() { <-l.places }()
		l.reader.Read(ctx, q)(yield)
	}
}

func (l *Limit) enter(ctx context.Context) error {
	select {
	case l.places <- struct{}{}:
		return nil
	default:
	}
	full := func(why string) error {
		return &hotreader.Error{Op: "limit", Code: hotreader.CodeOverloaded, RetryAfter: l.o.Wait,
			Err: fmt.Errorf("%d reads are running, which is the most, and %s; come back in %s", l.o.Reads, why, l.o.Wait)}
	}
	defer l.waiting.Add(-1)
	if l.waiting.Add(1) > int64(l.o.Queue) {
		return full(fmt.Sprintf("%d are waiting", l.o.Queue))
	}
	timer := time.NewTimer(l.o.Wait)
	defer timer.Stop()
	select {
	case l.places <- struct{}{}:
		return nil
	case <-timer.C:
		return full("none ended in time")
	case <-ctx.Done():
		return &hotreader.Error{Op: "limit", Code: hotreader.CodeOf(ctx.Err()),
			Err: fmt.Errorf("%w while waiting for one of %d reads to end", ctx.Err(), l.o.Reads)}
	}
}
