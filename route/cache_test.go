package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/store/memstore"
	"hotreader/store/storetest"
	"hotreader/wire"
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
	*memstore.Store
	clock *clock
}

func (w aging) Write(ctx context.Context, device string, records []hotreader.Record) error {
	defer w.clock.Add(int64(25 * time.Hour))
	return w.Store.Write(ctx, device, records)
}

func (w aging) Update(ctx context.Context, device string, records []hotreader.Record, mode hotreader.Mode) (hotreader.Changes, error) {
	defer w.clock.Add(int64(25 * time.Hour))
	return w.Store.Update(ctx, device, records, mode)
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

// streamed counts the bytes that a source's rows are between clouds.
type streamed struct {
	hotreader.Source
	bytes *int64
}

func (s streamed) Write(b []byte) (int, error) {
	*s.bytes += int64(len(b))
	return len(b), nil
}

func (s streamed) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		e := wire.NewEncoder(s, q)
		defer e.Close()
		for row, err := range s.Source.Scan(ctx, q) {
			if err == nil {
				err = e.Row(row)
			}
			if !yield(row, err) {
				return
			}
		}
		if err := e.End(false); err != nil {
			yield(hotreader.Row{}, err)
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
			all = append(all, hotreader.Record{Time: at, Fields: []hotreader.Field{{Name: "t", Value: hotreader.Int64Value(2000 + rand.Int64N(200))}}})
		}
		store := memstore.New()
		if err := store.Write(t.Context(), "d", all); err != nil {
			t.Fatal(err)
		}
		sent, whole := int64(0), int64(0)
		if _, err := gather(t.Context(), streamed{store, &whole}, hotreader.Query{Device: "d", Properties: []string{"t"}, Start: now.Add(-time.Hour), End: now}); err != nil {
			t.Fatal(err)
		}
		rows, err := gather(t.Context(), store, hotreader.Query{Device: "d", Properties: []string{"t"}, Start: all[0].Time, End: now.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		index := func(at time.Time) int {
			i, _ := slices.BinarySearchFunc(rows, at, func(r hotreader.Row, at time.Time) int { return r.Time.Compare(at) })
			return i
		}
		src := &counted{Source: streamed{store, &sent}}
		cache := NewCache(src, CacheOptions{Bytes: 64 << 20, Now: c.now})
		without, asked := int64(0), int64(0)
		bytes := new(hotreader.Stats)
		for ; asked < 720; asked++ {
			q := hotreader.Query{Device: "d", Properties: []string{"t"}, Start: c.now().Add(-time.Hour), End: c.now()}
			want := rows[index(q.Start):index(q.End.Add(1))] // the end is included
			n := 0
			for row, err := range cache.Scan(hotreader.WithStats(t.Context(), bytes), q) {
				if err != nil || n == len(want) || !row.Time.Equal(want[n].Time) || !hotreader.Same(row.Values[0], want[n].Values[0]) {
					t.Fatalf("query %d: row %d of %d is %v, %v", asked, n, len(want), row, err)
				}
				n++
			}
			if n != len(want) {
				t.Fatalf("query %d: %d rows, want %d", asked, n, len(want))
			}
			without += int64(len(want))
			c.Add(int64(5 * time.Second))
		}
		_, _, saved, used := cache.Counts()
		ratio := float64(without) / float64(src.rows.Load())
		way := float64(asked*whole) / float64(sent)
		t.Logf("%d of %d rows are read: 1/%.1f; between clouds 1/%.1f of the bytes; %d scans; %d bytes of memory", src.rows.Load(), without, ratio, way, src.scans.Load(), used)
		if ratio < 40 || way < 20 || src.scans.Load() > asked || saved < 40*bytes.Bytes.Load()*9/10 {
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

// held is a cache over a store with a row each second of a day, and its clock.
func held(t *testing.T, now time.Time, o CacheOptions) (*Cache, *counted, *clock) {
	t.Helper()
	c := newClock(now)
	src := &counted{Source: memstore.New()}
	o.Now, o.Bytes = c.now, cmp.Or(o.Bytes, 64<<20)
	return NewCache(src, o), src, c
}

// put stores a row.
func put(t *testing.T, src *counted, at time.Time, n int64) {
	t.Helper()
	putEvery(t, src, at, 0, []int64{n})
}

// putEvery stores rows a step apart, from an instant on.
func putEvery(t *testing.T, src *counted, at time.Time, step time.Duration, values []int64) {
	t.Helper()
	records := make([]hotreader.Record, len(values))
	for i, n := range values {
		records[i] = hotreader.Record{Time: at.Add(time.Duration(i) * step), Fields: []hotreader.Field{{Name: "t", Value: hotreader.Int64Value(n)}}}
	}
	if err := src.Source.(*memstore.Store).Write(t.Context(), "d", records); err != nil {
		t.Fatal(err)
	}
}

// ascending returns the numbers from 1 to n.
func ascending(n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = int64(i + 1)
	}
	return all
}

func between(start, end time.Time) hotreader.Query {
	return hotreader.Query{Device: "d", Properties: []string{"t"}, Start: start, End: end}
}

// What is x old when it is read is read again when x has passed, and after a day at the
// latest; what is newer than 30 seconds always.
func TestCacheReadsAgain(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ages := []time.Duration{time.Second, 29 * time.Second, 30 * time.Second}
	for range 300 {
		ages = append(ages, time.Duration(math.Exp(r.Float64()*12)*float64(time.Second)))
	}
	for _, old := range ages {
		now := time.Unix(1_800_000_000+r.Int64N(1e7), r.Int64N(1e9))
		cache, src, c := held(t, now, CacheOptions{})
		end := now.Add(-old)
		q := between(end.Add(-10*time.Minute), end)
		put(t, src, end.Add(-5*time.Minute), 1)
		if _, err := gather(t.Context(), cache, q); err != nil {
			t.Fatal(err)
		}
		put(t, src, end, 2)
		wait := min(old, 24*time.Hour)
		if old < 30*time.Second {
			wait = 0
		}
		c.Add(int64(wait))
		got, err := gather(t.Context(), cache, q)
		if err != nil || len(got) != 2 {
			t.Fatalf("a row that was written after a read of a range %v old is not seen %v later: %v, %v", old, wait, got, err)
		}
	}
}

// Many callers of one range, settled or not, make one read, and so do those who
// come while it is under way. Where it fails all learn it, and where its caller leaves, or
// had little time, another one reads.
func TestCacheReadsOnceForManyCallers(t *testing.T) {
	const callers = 200 // the race detector keeps the clocks of 256 goroutines, and of more in turn
	for name, c := range map[string]struct {
		end   time.Duration // before now
		fails error
		leave bool
		time  time.Duration // of the first one; 0 = enough
		scans int64
	}{
		"settled":             {end: time.Hour, scans: 1},
		"until now":           {scans: 1},
		"failing":             {end: time.Hour, fails: failure(hotreader.CodeStore), scans: 1},
		"the first one left":  {end: time.Hour, leave: true, scans: 2},
		"failing it in haste": {end: time.Hour, fails: failure(hotreader.CodeStore), time: 5 * time.Second, scans: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(at(7200)))
				src := &counted{Source: slow{&rows{rows: series(100), fail: func(_, row int) error {
					if row == 50 {
						return c.fails
					}
					return nil
				}}}}
				cache := NewCache(src, CacheOptions{Bytes: 64 << 20})
				q := hotreader.Query{Device: "d", Properties: []string{"p"}, End: time.Now().Add(-c.end)}
				first, cancel := context.WithTimeout(t.Context(), cmp.Or(c.time, time.Hour))
				var group sync.WaitGroup
				var whole, failed atomic.Int64
				for i := range callers {
					group.Go(func() {
						ctx := first
						if i > 0 {
							time.Sleep(time.Duration(i) * 5 * time.Millisecond)
							ctx = t.Context()
						}
						got, err := gather(ctx, cache, q)
						switch {
						case err != nil && (c.fails != nil || i == 0):
							failed.Add(1)
						case err == nil && same(got, series(100)) == nil:
							whole.Add(1)
						default:
							t.Errorf("caller %d: %d rows, %v", i, len(got), err)
						}
					})
				}
				if c.leave {
					time.Sleep(500 * time.Millisecond)
					cancel()
				}
				group.Wait()
				cancel()
				if n := src.scans.Load(); n != c.scans || whole.Load()+failed.Load() != callers || (failed.Load() > 1) != (c.fails != nil) {
					t.Errorf("%d scans for %d callers, want %d; %d have all, %d an error", n, callers, c.scans, whole.Load(), failed.Load())
				}
			})
		})
	}
}

// However many callers leave, one after the other, a caller waits for two of them at most.
func TestCacheIsNotPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(at(7200)))
		cache := NewCache(slow{&rows{rows: series(100)}}, CacheOptions{Bytes: 64 << 20})
		q := hotreader.Query{Device: "d", Properties: []string{"p"}, End: at(3600)}
		const lives = 200 * time.Millisecond
		var group sync.WaitGroup
		for i := range 30 { // so that it is nearly always one of them that reads next
			group.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				for range 15 {
					ctx, cancel := context.WithTimeout(t.Context(), lives)
					_, _ = gather(ctx, cache, q)
					cancel()
				}
			})
		}
		time.Sleep(lives / 2)
		began := time.Now()
		if got, err := gather(t.Context(), cache, q); err != nil || len(got) != 100 || time.Since(began) > 2*time.Second+2*lives {
			t.Errorf("%d rows, %v, after %s", len(got), err, time.Since(began))
		}
		group.Wait()
	})
}

// slow takes two seconds to begin.
type slow struct{ hotreader.Source }

func (s slow) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			yield(hotreader.Row{}, ended(ctx))
			return
		}
		s.Source.Scan(ctx, q)(yield)
	}
}

// A caller waits for the read of another if that is of the same range, but for seconds. A
// longer read does not hold it up, nor does a shorter one; the error is that of its range.
func TestCacheWaitsForTheSameRange(t *testing.T) {
	for name, c := range map[string]struct {
		start, end time.Duration // of the other's range, before now; no start = all time
		waits      bool
	}{
		"the same":         {2 * time.Hour, time.Hour, true},
		"seconds before":   {2*time.Hour + 20*time.Second, time.Hour + 20*time.Second, true},
		"until now":        {2 * time.Hour, 0, false},
		"longer":           {10 * time.Hour, time.Hour, false},
		"of all time":      {0, time.Hour, false},
		"shorter":          {2 * time.Hour, 90 * time.Minute, false},
		"a part of it":     {90 * time.Minute, 80 * time.Minute, false},
		"its beginning":    {3 * time.Hour, 119 * time.Minute, false},
		"right before":     {2*time.Hour + 10*time.Second, 2*time.Hour + 5*time.Second, false},
		"something before": {4 * time.Hour, 3 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(at(7200)))
				var scans atomic.Int64
				cache := NewCache(readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
					if scans.Add(1) > 1 {
						(&rows{rows: series(100)}).Scan(ctx, q)(yield)
						return
					}
					time.Sleep(10 * time.Second)
					yield(hotreader.Row{}, failure(hotreader.CodeTooLarge))
				}), CacheOptions{Bytes: 64 << 20})
				own := hotreader.Query{Device: "d", Properties: []string{"p"}, Start: at(0), End: at(3600)}
				other := own
				other.Start, other.End = time.Time{}, time.Now().Add(-c.end)
				if c.start > 0 {
					other.Start = time.Now().Add(-c.start)
				}
				var group sync.WaitGroup
				group.Go(func() {
					if _, err := gather(t.Context(), cache, other); !errors.Is(err, hotreader.CodeTooLarge) {
						t.Errorf("the other's range: %v", err)
					}
				})
				time.Sleep(time.Second)
				began := time.Now()
				got, err := gather(t.Context(), cache, own)
				if waited := time.Since(began) > 0; waited != c.waits {
					t.Errorf("it waits: %v", waited)
				}
				if same := other.Start.Equal(own.Start) && other.End.Equal(own.End); same != (err != nil) || !same && len(got) != 100 {
					t.Errorf("%d rows, %v", len(got), err)
				}
				group.Wait()
			})
		})
	}
}

// What failed, what does not fit, and what is less than all rows is not kept.
func TestCacheKeepsWholeReadsOnly(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	base := between(now.Add(-2*time.Hour), now.Add(-time.Hour))
	with := func(change func(*hotreader.Query)) hotreader.Query {
		q := base
		change(&q)
		return q
	}
	for name, c := range map[string]struct {
		q             hotreader.Query
		fails, leaves bool
		bytes         int64
	}{
		"failed":    {q: base, fails: true},
		"cancelled": {q: base, leaves: true},
		"too large": {q: base, bytes: 40_000},
		"one byte":  {q: base, bytes: 1},
		"limited":   {q: with(func(q *hotreader.Query) { q.Limit = 5000 })},
		"latest":    {q: with(func(q *hotreader.Query) { q.Last = true })},
		"filtered": {q: with(func(q *hotreader.Query) {
			q.Filters = []hotreader.Filter{{Property: "t", Op: hotreader.Greater, Value: hotreader.Int64Value(0)}}
		})},
		"downsampled": {q: with(func(q *hotreader.Query) { q.Pick = hotreader.Points(q.Start, q.End, 100) })},
	} {
		cache, src, _ := held(t, now, CacheOptions{Bytes: c.bytes})
		putEvery(t, src, base.Start, time.Second, ascending(3600))
		ctx, cancel := context.WithCancel(t.Context())
		cache.source = readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
			src.Scan(ctx, q)(func(row hotreader.Row, err error) bool {
				if c.leaves {
					cancel()
				}
				return yield(row, err)
			})
			if c.fails {
				yield(hotreader.Row{}, failure(hotreader.CodeStore))
			}
		})
		_, err := gather(ctx, cache, c.q)
		cancel()
		if (err != nil) != (c.fails || c.leaves) {
			t.Errorf("%s: %v", name, err)
		}
		cache.source = src
		src.rows.Store(0)
		got, err := gather(t.Context(), cache, base)
		hits, _, _, used := cache.Counts()
		if len(got) != 3600 || err != nil || src.rows.Load() != 3600 || hits != 0 {
			t.Errorf("%s: %d rows, %v, of which %d are read; %d parts from the cache", name, len(got), err, src.rows.Load(), hits)
		}
		if used > cmp.Or(c.bytes, 64<<20) || len(cache.series) == 0 && used != 0 {
			t.Errorf("%s: %d bytes are used", name, used)
		}
	}
}

// A clock that was set back makes all that was kept too old, for nobody knows how old it
// is.
func TestCacheAndAClockThatJumpsBack(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, back := range []time.Duration{time.Second, time.Minute, 5 * time.Hour, 3000 * time.Hour} {
		cache, src, c := held(t, now, CacheOptions{})
		q := between(now.Add(-3*time.Hour), now.Add(-2*time.Hour))
		put(t, src, q.Start, 1)
		for n, step := range []time.Duration{0, 10 * time.Second, -back} {
			c.Add(int64(step))
			if n == 2 {
				put(t, src, q.Start.Add(time.Minute), 2)
			}
			got, err := gather(t.Context(), cache, q)
			if want := 1 + n/2; err != nil || len(got) != want {
				t.Errorf("%v back: answer %d has %d rows, %v; want %d", back, n, len(got), err, want)
			}
		}
		if want := int64(2); src.scans.Load() != want {
			t.Errorf("%v back: %d scans, want %d", back, src.scans.Load(), want)
		}
		c.Add(int64(20 * time.Minute)) // what was read before has not become good again
		put(t, src, q.Start.Add(2*time.Minute), 3)
		_, err := gather(t.Context(), cache, between(q.Start, now.Add(-110*time.Minute)))
		if err != nil {
			t.Error(err)
		}
	}
}

// A part comes with what its own read left out, whichever window it is asked for with.
func TestCacheKeepsWarnings(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	cache, src, c := held(t, now, CacheOptions{})
	broken := func(q *hotreader.Query) (n int64) {
		for _, age := range []time.Duration{10 * time.Minute, 20 * time.Minute, 20*time.Minute + time.Second, 59 * time.Minute} {
			if q.Contains(now.Add(-age)) {
				n++
			}
		}
		return n
	}
	cache.source = readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
		hotreader.StatsOf(ctx).LeaveOut("t", hotreader.Unreadable, broken(&q))
		for _, name := range []string{"t", "slip"} { // a range without rows would say so of t
			hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.UnknownProperty, Property: name})
		}
		src.Scan(ctx, q)(yield)
	})
	putEvery(t, src, now, -time.Second, ascending(3700))
	for range 200 {
		c.Add(int64(5 * time.Second))
		q := between(c.now().Add(-time.Hour), c.now())
		stats := new(hotreader.Stats)
		q.Properties = append(q.Properties, "slip")
		if _, err := gather(hotreader.WithStats(t.Context(), stats), hotreader.Meaning(cache), q); err != nil {
			t.Fatal(err)
		}
		if got := stats.Warnings(); stats.Skipped() != broken(&q) || got[0].Property != "slip" || len(got) > 2 {
			t.Fatalf("the hour until %s has the warnings %v, want %d values", q.End, got, broken(&q))
		}
	}
	if hits, misses, _, _ := cache.Counts(); hits < 5*misses {
		t.Errorf("%d parts came from the cache, %d were read", hits, misses)
	}
}

// However a read is cut, it looks at no more rows than the limit and takes a few scans; and
// though each of a range's parts leaves out values, all are kept in the end.
func TestCacheCutsWithinTheLimit(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for name, broken := range map[string]func(*hotreader.Query) bool{
		"one value":  func(q *hotreader.Query) bool { return q.Contains(now.Add(-150 * time.Minute)) },
		"everywhere": func(*hotreader.Query) bool { return true },
	} {
		cache, src, _ := held(t, now, CacheOptions{})
		putEvery(t, src, now, -time.Second, ascending(20_000))
		cache.source = RowLimit{Rows: 4000}.Within(readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
			if broken(&q) {
				hotreader.StatsOf(ctx).LeaveOut("t", hotreader.Unreadable, 1)
			}
			src.Scan(ctx, q)(yield)
		}))
		ask := func(q hotreader.Query) (rows int, err error) {
			src.scans.Store(0)
			src.rows.Store(0)
			got, err := gather(t.Context(), cache, q)
			if src.scans.Load() > 8 || src.rows.Load() > 4001 {
				t.Errorf("%s: %d scans of %d rows for one query", name, src.scans.Load(), src.rows.Load())
			}
			return len(got), err
		}
		hours := between(now.Add(-3*time.Hour), now.Add(-2*time.Hour))
		if rows, err := ask(hours); rows != 3601 || err != nil {
			t.Errorf("%s: %d rows, %v", name, rows, err)
		}
		if _, err := ask(between(now.Add(-5*time.Hour), now)); !errors.Is(err, hotreader.CodeTooLarge) {
			t.Errorf("%s: a range of more rows than the limit: %v", name, err)
		}
		for range 20 {
			if rows, err := ask(hours); rows != 3601 || err != nil {
				t.Errorf("%s: %d rows, %v", name, rows, err)
			}
		}
		if src.scans.Load() > 1 { // of the last second, which lasts
			t.Errorf("%s: the last of many queries takes %d scans", name, src.scans.Load())
		}
	}
}

// The last row of each interval of a grid is kept by the grid. Windows that end within an
// interval have its last row so far.
func TestCacheKeepsPickedRows(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	now := time.Unix(1_800_000_000, 0)
	cache, src, c := held(t, now, CacheOptions{})
	putEvery(t, src, now, -1003*time.Millisecond, ascending(7200))
	cache.source = hotreader.Meaning(src) // as where the rows lie
	for range 300 {
		c.Add(r.Int64N(int64(10 * time.Second)))
		q := between(now.Add(-time.Duration(r.Int64N(int64(2*time.Hour)))), c.now().Add(-time.Duration(r.Int64N(int64(time.Hour)))))
		q.Order = hotreader.Order(r.IntN(2))
		if q.Start.After(q.End) {
			continue
		}
		q.Pick = hotreader.Pick{Kind: hotreader.PickLast, Origin: time.Unix(0, 500_000), Every: []time.Duration{15 * time.Second, 700 * time.Millisecond, time.Minute}[r.IntN(3)]}
		got, err := collect(t.Context(), cache, q)
		if err != nil {
			t.Fatal(err)
		}
		want, err := collect(t.Context(), src, q)
		if err != nil {
			t.Fatal(err)
		}
		if err := same(got, want); err != nil {
			t.Fatalf("%v: %v", q, err)
		}
	}
	if hits, misses, _, _ := cache.Counts(); hits < misses {
		t.Errorf("%d parts came from the cache, %d were read", hits, misses)
	}
}

// Answers say how old the oldest of what they have is, that of another cloud's cache
// included.
func TestCacheSaysHowOldItIs(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	cache, src, c := held(t, now, CacheOptions{})
	cache.source = readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
		hotreader.StatsOf(ctx).Aged(7 * time.Second)
		src.Scan(ctx, q)(yield)
	})
	q := between(now.Add(-2*time.Hour), now.Add(-time.Hour))
	for _, want := range []time.Duration{7 * time.Second, 67 * time.Second} {
		stats := new(hotreader.Stats)
		if _, err := gather(hotreader.WithStats(t.Context(), stats), cache, q); err != nil || time.Duration(stats.Age.Load()) != want {
			t.Errorf("the age is %v, want %v; %v", time.Duration(stats.Age.Load()), want, err)
		}
		c.Add(int64(time.Minute))
	}
}

func TestRowLimit(t *testing.T) {
	limit := RowLimit{Rows: 100, Store: "Firestore", Million: 0.30, Date: "2026-11-23"}
	for _, c := range []struct {
		limit RowLimit
		q     hotreader.Query
		rows  int
		want  string
	}{
		{limit, hotreader.Query{End: at(99)}, 100, ""},
		{RowLimit{}, hotreader.Query{}, 5000, ""},
		{limit, hotreader.Query{Limit: 100}, 100, ""},
		{limit, hotreader.Query{}, 100, "read: the query looks at more than 100 stored rows, which cost 3e-05 USD in Firestore (list price of 2026-11-23); ask for a shorter range, or raise HOTREADER_MAX_ROWS"},
		{limit, hotreader.Query{Start: at(0), End: at(4999)}, 100, "its range has about 5000, which cost 0.0015 USD in Firestore"},
		{limit, hotreader.Query{Start: at(0), End: at(4999), Order: hotreader.Descending}, 100, "its range has about 5000, which cost 0.0015 USD"},
		{RowLimit{Rows: 100}, hotreader.Query{}, 100, "read: the query looks at more than 100 stored rows; ask for a shorter range"},
	} {
		c.q.Device, c.q.Properties = "d", []string{"p"}
		got, err := collect(t.Context(), c.limit.Within(&rows{rows: series(5000)}), c.q)
		if len(got) != c.rows || (err == nil) != (c.want == "") || err != nil && (hotreader.CodeOf(err) != hotreader.CodeTooLarge || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: %d rows, %v; want %d, %s", c.q, len(got), err, c.rows, c.want)
		}
	}
}
