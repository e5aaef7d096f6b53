package observe

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"hotreader"
)

// scope counts what happens within one invocation, for its line of the log.
type scope struct{ retries atomic.Int64 }

type scopeKey struct{}

// Reads returns src with a span, called name, around each read. It also sees how
// old last entries are, and how many reads run.
func (t *Observer) Reads(name string, src hotreader.Source) hotreader.Source {
	if t == nil {
		return src
	}
	t.metrics.gauge(readsRunning, func() float64 { return float64(t.running.Load()) })
	return &reads{t, name, src}
}

type reads struct {
	t    *Observer
	name string
	next hotreader.Source
}

// Scan implements hotreader.Source.
func (r *reads) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		ctx, span := r.t.tracer.Start(ctx, r.name, trace.WithAttributes(keyDevice.String(strings.Clone(q.Device)), keyLast.Bool(q.Last)))
		rows := 0
		if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok && a.passed.CompareAndSwap(false, true) {
			r.t.metrics.observe(readWait, time.Since(a.at).Seconds(), "")
		}
		r.t.running.Add(1)
		defer func() {
			r.t.running.Add(-1)
			span.SetAttributes(keyRows.Int(rows))
			span.End()
		}()
		aged := !q.Last
		r.next.Scan(ctx, q)(func(row hotreader.Row, err error) bool {
			if err != nil {
				failed(span, hotreader.CodeOf(err))
			} else {
				rows++
			}
			if !aged && slices.ContainsFunc(row.Values[:min(len(row.Values), len(q.Properties))], func(v hotreader.Value) bool { return !v.IsNull() }) {
				aged = true
				if !row.Time.IsZero() {
					r.t.metrics.observe(lastEntryAge, max(time.Since(row.Time), 0).Seconds(), "")
				}
			}
			return yield(row, err)
		})
	}
}

// attempt is which attempt of a read this is.
type attempt struct{ n int }

type attemptKey struct{}

// Retried returns retry(src), and counts the attempts that it makes at src.
func (t *Observer) Retried(src hotreader.Source, retry func(hotreader.Source) hotreader.Source) hotreader.Source {
	if t == nil {
		return retry(src)
	}
	counted := within{src, func(ctx context.Context) context.Context {
		if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
			t.attempted(ctx, a)
		}
		return ctx
	}}
	return within{retry(counted), func(ctx context.Context) context.Context {
		return context.WithValue(ctx, attemptKey{}, new(attempt))
	}}
}

func (t *Observer) attempted(ctx context.Context, a *attempt) {
	a.n++
	t.metrics.add(attempts, 1, "", "")
	if a.n == 1 {
		return
	}
	t.metrics.add(retries, 1, "", "")
	if s, ok := ctx.Value(scopeKey{}).(*scope); ok {
		s.retries.Add(1)
	}
}

// within reads a Source in another context.
type within struct {
	next  hotreader.Source
	enter func(context.Context) context.Context
}

// Scan implements hotreader.Source.
func (w within) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) { w.next.Scan(w.enter(ctx), q)(yield) }
}

// arrival is a request that has not begun to read.
type arrival struct {
	at     time.Time
	passed atomic.Bool
}

type arrivalKey struct{}

// Breaker is a Source that at times rejects reads, as route.Breaker does.
type Breaker interface {
	hotreader.Source
	Open() bool
	Openings() int
}

// Breaker returns b, and observes it.
func (t *Observer) Breaker(b Breaker) hotreader.Source {
	if t == nil {
		return b
	}
	t.open = b.Open
	t.metrics.gauge(breakerOpen, func() float64 { return flag(b.Open()) })
	t.metrics.gauge(breakerOpenings, func() float64 { return float64(b.Openings()) })
	return b
}

// Cache is a Source that keeps what it has read, as route.Cache does.
type Cache interface {
	hotreader.Source
	Counts() (hits, misses, saved, used int64)
}

// Cache returns c, and observes it.
func (t *Observer) Cache(c Cache) hotreader.Source {
	if t == nil {
		return c
	}
	for i, id := range []id{cacheHits, cacheMisses, cacheSaved, cacheBytes} {
		t.metrics.gauge(id, func() float64 {
			hits, misses, saved, used := c.Counts()
			return float64([...]int64{hits, misses, saved, used}[i])
		})
	}
	return c
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
