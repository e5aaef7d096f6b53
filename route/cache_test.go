package route

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/memstore"
	"hotreader/store/storetest"
)

// clock is a clock that a test moves.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.Load()) }

func newClock(t time.Time) *clock {
	c := new(clock)
	c.Store(t.UnixNano())
	return c
}

// aging is a Writer after which all that is kept is too old.
type aging struct {
	hotreader.Writer
	clock *clock
}

func (w aging) Write(ctx context.Context, device string, records []hotreader.Record) error {
	defer w.clock.Add(int64(25 * time.Hour))
	return w.Writer.Write(ctx, device, records)
}

func TestCacheIsASource(t *testing.T) {
	for _, size := range []int64{1, 3000, 64 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			hits := int64(0)
			storetest.Run(t, storetest.Harness{New: func(t testing.TB) (hotreader.Source, hotreader.Writer) {
				store := memstore.New()
				c := newClock(time.Now())
				cache := NewCache(store, CacheOptions{Bytes: size, Now: c.now})
				t.Cleanup(func() {
					n, _, _, _ := cache.Counts()
					hits += n
				})
				return cache, aging{store, c}
			}})
			if (hits > 0) != (size > 1) {
				t.Errorf("%d parts of a cache of %d bytes were hit", hits, size)
			}
		})
	}
}

// counted counts what a Source is asked for.
type counted struct {
	hotreader.Source
	scans, rows atomic.Int64
}

func (c *counted) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		c.scans.Add(1)
		for row, err := range c.Source.Scan(ctx, q) {
			c.rows.Add(1)
			hotreader.StatsOf(ctx).Bytes.Add(50)
			if !yield(row, err) {
				return
			}
		}
	}
}

// A dashboard's panel: each five seconds the last hour, of a device that reports each
// second.
func TestCacheSparesAPanelItsRows(t *testing.T) {
	for _, begin := range []string{"2026-03-01T00:00:00Z", "2026-03-01T11:17:43.5Z", "2026-03-02T03:59:31Z"} {
		now, _ := time.Parse(time.RFC3339Nano, begin)
		c := newClock(now)
		var all []hotreader.Record
		for at := now.Add(-time.Hour).Truncate(time.Second); at.Before(now.Add(time.Hour)); at = at.Add(time.Second) {
			all = append(all, hotreader.Record{Time: at, Fields: []hotreader.Field{{Name: "t", Value: hotreader.Int64Value(at.Unix())}}})
		}
		store := memstore.New()
		if err := store.Write(t.Context(), "d", all); err != nil {
			t.Fatal(err)
		}
		src := &counted{Source: store}
		cache := NewCache(src, CacheOptions{Bytes: 64 << 20, Now: c.now})
		without, asked := int64(0), int64(0)
		bytes := new(hotreader.Stats)
		for ; asked < 720; asked++ {
			q := hotreader.Query{Device: "d", Properties: []string{"t"}, Start: c.now().Add(-time.Hour), End: c.now()}
			got, err := gather(hotreader.WithStats(t.Context(), bytes), cache, q)
			if err != nil {
				t.Fatal(err)
			}
			want, err := gather(t.Context(), store, q)
			if err != nil {
				t.Fatal(err)
			}
			if err := same(got, want); err != nil {
				t.Fatal(err)
			}
			without += int64(len(want))
			c.Add(int64(5 * time.Second))
		}
		_, _, saved, used := cache.Counts()
		ratio := float64(without) / float64(src.rows.Load())
		t.Logf("%d of %d rows are read: 1/%.1f; %d scans; %d bytes of memory", src.rows.Load(), without, ratio, src.scans.Load(), used)
		if ratio < 40 || src.scans.Load() > asked || saved < 40*bytes.Bytes.Load()*9/10 {
			t.Errorf("from %s: 1/%.1f of the rows are read in %d scans, and %d bytes of %d are saved; want 1/40 in %d", begin, ratio, src.scans.Load(), saved, bytes.Bytes.Load(), asked)
		}
	}
}

// gather returns the rows of q as they come.
func gather(ctx context.Context, src hotreader.Source, q hotreader.Query) (all []hotreader.Row, err error) {
	for row, err := range src.Scan(ctx, q) {
		if err != nil {
			return all, err
		}
		all = append(all, row.Clone())
	}
	return all, nil
}
