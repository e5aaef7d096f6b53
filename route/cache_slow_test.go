package route

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
)

// inUse checks that what a cache counts as used is within its bound, and, when all reads have
// ended, what it keeps.
func inUse(t *testing.T, c *Cache, ended bool) {
	t.Helper()
	_, _, _, used := c.Counts()
	if used > c.o.Bytes {
		t.Errorf("%d bytes are used of %d", used, c.o.Bytes)
	}
	if !ended {
		return
	}
	for _, s := range c.series {
		for _, p := range s.parts {
			used -= p.bytes
			takes := pieceBytes + p.rows.bytes()
			for _, w := range p.warnings {
				takes += int64(warningBytes + len(w.Property) + len(w.Detail))
			}
			if p.users != 0 || p.bytes != takes {
				t.Errorf("a part of %d bytes counts %d, with %d users", takes, p.bytes, p.users)
			}
		}
	}
	if used != 0 {
		t.Errorf("%d bytes are used when all reads have ended, beside what is kept", used)
	}
}

// Warnings are kept with the parts that they are about, and are as long as a caller or a peer makes them.
func TestCacheCountsWarnings(t *testing.T) {
	const size = 400_000
	cache := NewCache(readerFunc(func(ctx context.Context, q hotreader.Query, _ func(hotreader.Row, error) bool) {
		for _, name := range q.Properties {
			hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.UnknownProperty, Property: name, Detail: strings.Repeat("x", 1000)})
		}
	}), CacheOptions{Bytes: size})
	for i := range 100 {
		q := hotreader.Query{Device: "d", Start: at(0), End: at(3600)}
		for n := range 10 {
			q.Properties = append(q.Properties, fmt.Sprint(i, n))
		}
		for range 2 {
			if _, err := gather(hotreader.WithStats(t.Context(), new(hotreader.Stats)), cache, q); err != nil {
				t.Fatal(err)
			}
			inUse(t, cache, true)
		}
	}
	if hits, _, _, used := cache.Counts(); hits < 100 || used < size/2 {
		t.Errorf("%d hits, %d bytes", hits, used)
	}
}

// What slow callers still take is in use: from the cache, from a read of their own or of
// another, kept or not. So all of them together hold no more than the cache's size, and
// those for whom there is no place are answered past it.
func TestCacheCountsWhatSlowCallersHold(t *testing.T) {
	const seconds, callers, size = 3600, 12, 400_000
	want := series(seconds)
	for name, c := range map[string]struct {
		shares, fails, stops, leaves bool // shares: the read is that of another, who leaves at once
	}{
		"all is taken":   {},
		"shared":         {shares: true},
		"failing":        {fails: true},
		"stopping early": {stops: true, shares: true},
		"cancelled":      {leaves: true, shares: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(at(3 * seconds)))
				var failing atomic.Bool
				var whole atomic.Int64 // reads of all rows
				cache := NewCache(slow{readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
					(&rows{rows: want, fail: func(_, row int) error {
						if row == seconds-1 {
							whole.Add(1)
						}
						if row == seconds-1 && failing.Load() {
							return failure(hotreader.CodeStore)
						}
						return nil
					}}).Scan(ctx, q)(yield)
				})}, CacheOptions{Bytes: size})
				query := func(i int) hotreader.Query {
					return hotreader.Query{Device: fmt.Sprint(i), Properties: []string{"p"}, Start: at(0), End: at(seconds)}
				}
				if _, err := gather(t.Context(), cache, query(0)); err != nil { // so that the first slow caller is answered from what is kept
					t.Fatal(err)
				}
				failing.Store(c.fails)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				slowly := make(chan struct{})
				take := func(q hotreader.Query) {
					n := 0
					for row, err := range cache.Scan(ctx, q) {
						if n == 0 {
							<-slowly
							if c.leaves {
								cancel()
							}
						}
						if err == nil {
							err = same([]hotreader.Row{row}, want[n:n+1])
							n++
						}
						if err != nil && ctx.Err() == nil && !(c.fails && errors.Is(err, hotreader.CodeStore)) {
							t.Errorf("device %s: row %d: %v", q.Device, n, err)
						}
						if c.stops {
							break
						}
					}
					if n < seconds && !c.fails && !c.stops && !c.leaves {
						t.Errorf("device %s: %d rows, want %d", q.Device, n, seconds)
					}
				}
				for i := range callers {
					if c.shares {
						go cache.Scan(t.Context(), query(i))(func(hotreader.Row, error) bool { return false })
						synctest.Wait()
					}
					go take(query(i))
					time.Sleep(3 * time.Second)
					inUse(t, cache, false)
				}
				if n := whole.Load(); n*seconds*24 > size {
					t.Errorf("%d ranges are read, and held for slow callers", n)
				}
				close(slowly)
				synctest.Wait()
				time.Sleep(time.Minute)
				inUse(t, cache, true)
			})
		})
	}
}
