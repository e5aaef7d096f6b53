package route

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
)

// journal is a Source of one device, a row each 21 seconds. It knows when each row was
// written, changed and deleted.
type journal struct {
	mu       sync.Mutex
	begin    time.Time
	instants [][]change
	latency  func() time.Duration
}

// change is what became of a row: its number n, or that it is not there.
type change struct {
	at      time.Time
	n       int64
	deleted bool
}

const spacing = 21 * time.Second

func (j *journal) time(i int) time.Time { return j.begin.Add(time.Duration(i) * spacing) }

// between returns the instants of a range, and some more.
func (j *journal) between(q *hotreader.Query) (from, to int) {
	to = min(len(j.instants), int(time.Since(j.begin)/spacing)+1)
	if !q.End.IsZero() {
		to = min(to, int(q.End.Sub(j.begin)/spacing)+1)
	}
	return max(0, int(q.Start.Sub(j.begin)/spacing)), max(0, to)
}

func (j *journal) Scan(_ context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		time.Sleep(j.latency())
		from, to := j.between(&q)
		for n := range max(to-from, 0) {
			i := from + n
			if q.Backward() {
				i = to - 1 - n
			}
			t := j.time(i)
			if !q.Contains(t) {
				continue
			}
			j.mu.Lock()
			all := j.instants[i]
			j.mu.Unlock()
			if len(all) == 0 || all[len(all)-1].deleted {
				continue
			}
			if !yield(hotreader.Row{Time: t, Values: []hotreader.Value{hotreader.Int64Value(all[len(all)-1].n)}}, nil) {
				return
			}
		}
	}
}

// change writes, changes or deletes the row of some instant, which may be long ago.
func (j *journal) change(r *rand.Rand) {
	late := []time.Duration{0, 10 * time.Second, 2 * time.Minute, time.Hour, 12 * time.Hour}[r.IntN(5)]
	now := time.Now()
	i := int(now.Add(-time.Duration(r.Float64()*float64(late))).Sub(j.begin) / spacing)
	if i < 0 || i >= len(j.instants) {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.instants[i] = append(j.instants[i], change{now, int64(len(j.instants[i])), r.IntN(4) == 0})
}

// check compares an answer that was asked for at asked with what it may be: in each
// instant no row older than the bound.
func (j *journal) check(q hotreader.Query, asked time.Time, maxAge time.Duration, got []hotreader.Row) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	rows := map[int64]int64{}
	for _, row := range got {
		n, _, _ := hotreader.Integer.Convert(row.Values[0], nil)
		var v int64
		if _, err := fmt.Sscan(string(n.Text()), &v); err != nil {
			return err
		}
		rows[row.Time.UnixNano()] = v
	}
	from, to := j.between(&q)
	for i := from; i < to; i++ {
		all, t := j.instants[i], j.time(i)
		if !q.Contains(t) || len(all) == 0 {
			continue
		}
		least := -1 // the change that must be seen
		for k, c := range all {
			if c.at.Add(min(c.at.Sub(t)+30*time.Second, maxAge)).Before(asked) {
				least = k
			}
		}
		n, there := rows[t.UnixNano()]
		fits := least < 0 && !there
		for k := max(least, 0); k < len(all); k++ {
			fits = fits || there != all[k].deleted && (!there || all[k].n == n)
		}
		if !fits {
			return fmt.Errorf("at %s the row of %s is %d (there: %v); change %d or a later one of %v must be seen", asked.Format(time.TimeOnly), t.Format(time.TimeOnly), n, there, least, all)
		}
	}
	return nil
}

// window is a range that somebody may ask for.
func window(r *rand.Rand) (q hotreader.Query) {
	now := time.Now()
	q = hotreader.Query{Device: "d", Properties: []string{"p"}, Order: hotreader.Order(r.IntN(2))}
	switch r.IntN(4) {
	case 0: // a panel
		q.Start, q.End = now.Add(-time.Hour), now
	case 1:
		q.Start = now.Add(-10 * time.Minute)
	case 2: // some stretch of the past
		q.End = now.Add(-time.Duration(r.Int64N(int64(8 * time.Hour))))
		q.Start = q.End.Add(-time.Duration(r.Int64N(int64(3 * time.Hour))))
	case 3: // zoomed, on whole minutes
		q.End = now.Truncate(time.Minute)
		q.Start = q.End.Add(-time.Duration(1+r.IntN(300)) * time.Minute)
	}
	return q
}

// Of 10,000 rows that come late, are changed and deleted, no answer shows an older state
// than promised, whatever other readers ask at the same time.
func TestCacheIsNeverOlderThanPromised(t *testing.T) {
	for maxAge, changes := range map[time.Duration]int{24 * time.Hour: 10_000, 40 * time.Minute: 3_000} {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, uint64(maxAge)))
			j := &journal{begin: time.Now().Add(-8 * time.Hour), instants: make([][]change, 7_000)}
			j.latency = func() time.Duration { return time.Duration(rand.IntN(400)) * time.Millisecond }
			for i := range int(8 * time.Hour / spacing) {
				j.instants[i] = []change{{at: j.time(i)}}
			}
			cache := NewCache(j, CacheOptions{Bytes: 160_000, MaxAge: maxAge})
			var group sync.WaitGroup
			for range changes {
				j.change(r)
				time.Sleep(time.Duration(r.Int64N(int64(12 * time.Second))))
				if r.IntN(2) == 0 {
					continue
				}
				q := window(r)
				for range 1 + r.IntN(2) {
					group.Go(func() {
						asked := time.Now()
						got, err := gather(t.Context(), cache, q)
						if err == nil {
							err = j.check(q, asked, maxAge, got)
						}
						if err != nil {
							t.Error(err)
						}
					})
				}
			}
			group.Wait()
			hits, misses, _, used := cache.Counts()
			t.Logf("%d parts from the cache, %d read; %d bytes", hits, misses, used)
			if hits < misses || used > 160_000 {
				t.Errorf("%d parts from the cache, %d read; %d bytes are used", hits, misses, used)
			}
		})
	}
}
