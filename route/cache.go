package route

import (
	"cmp"
	"container/list"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"hotreader"
)

// CacheOptions set up a Cache. Zero values stand for the defaults, which docs/reliability.md gives.
type CacheOptions struct {
	Bytes  int64            // of memory, for what is kept and what is being read to be kept
	Settle time.Duration    // what is newer is always read; 0 = 30 s
	MaxAge time.Duration    // what was read longer ago is read again; 0 = a day
	Now    func() time.Time // nil = time.Now
}

// Cache is a Source that keeps raw rows in memory, so that a range which is asked for
// again and again is read in part only.
//
// It keeps parts: the rows of a device, of some columns, between two points of a grid of
// seconds, with the warnings of their read. A part is never changed. It is read again
// when the time since it was read is as long as it was old then, and after MaxAge at the
// latest. So a row that is written, changed or deleted L after its own time is answered
// with at most L later, or MaxAge.
//
// Parts of a failed read are not kept, nor is a read that does not fit. What a caller still
// takes counts as memory in use, kept or not: where callers are slow, others read past the
// cache. Queries with a limit, with filters, for latest values or M4 are passed on.
type Cache struct {
	source hotreader.Source
	o      CacheOptions

	mu     sync.Mutex
	series map[seriesKey]*shelf
	recent *list.List // of *piece, the last used first
	used   int64
	newest time.Time // that the clock has shown

	hits, misses, saved int64 // parts that were kept, and that were read; bytes that were not read
}

// shelf is what is kept of one device, its columns and one pick.
type shelf struct {
	key   seriesKey
	grid  grid
	parts []*piece // by time, none within another
	reads []*cacheRead

	// single: its reads leave out items. Parts do not know what they leave out
	// unless each part is a read of its own.
	single bool
}

// piece is what was read between two points of the grid.
type piece struct {
	of       *shelf
	from, to int64 // points of the grid, the second one exclusive
	read     time.Time
	rows     *chunk
	backward bool // newest first
	warnings []hotreader.Warning
	counted  bool          // the warnings are of items in it
	cost     int64         // bytes that the read took
	recent   *list.Element // nil = it is not kept

	bytes int64 // that count as in use, while it is kept or has users
	users int   // reads that yield its rows, or will
}

// pieceBytes is about what a part takes beside its rows.
const pieceBytes = 400

// warningBytes is about what a warning takes beside its texts.
const warningBytes = 100

// NewCache returns a Cache around src.
func NewCache(src hotreader.Source, o CacheOptions) *Cache {
	o.Settle = cmp.Or(o.Settle, 30*time.Second)
	o.MaxAge = cmp.Or(o.MaxAge, 24*time.Hour)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Cache{source: src, o: o, series: map[seriesKey]*shelf{}, recent: list.New()}
}

// Counts returns how many parts were kept when they were asked for, and how many were
// read, how many bytes it took to read the first, and the memory in use.
func (c *Cache) Counts() (hits, misses, saved, used int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.misses, c.saved, c.used
}

// keeps reports whether reads for q are kept.
func keeps(q *hotreader.Query) bool {
	return !q.Last && q.Limit == 0 && len(q.Filters) == 0 && q.Pick.Kind != hotreader.PickM4 &&
		q.Pick.Every <= 24*time.Hour
}

// Scan implements hotreader.Source.
func (c *Cache) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if !keeps(&q) {
		return c.source.Scan(ctx, q)
	}
	return func(yield func(hotreader.Row, error) bool) {
		for cancelled := 0; ; {
			r, other := c.begin(ctx, q, yield, cancelled < mostCancelled)
			switch {
			case r != nil:
				r.run()
				return
			case other != nil && other.share(ctx, q, yield):
				return
			case other == nil, other.err != nil, other.large: // no place; or the error may be that of another range
				c.source.Scan(ctx, q)(yield)
				return
			case !other.whole:
				cancelled++
			}
		}
	}
}

// seriesKey stands for a series: its text may be long, and callers choose it.
type seriesKey [sha256.Size]byte

func keyOf(q *hotreader.Query, g grid) seriesKey {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %v %v %v %v", q.Device, q.Properties, q.Types, q.Pick.Kind, g.unit, g.shift))
}

// mostCancelled is how many reads of others a caller waits for in vain. If all began anew
// with one of the waiting callers, some who cancel could put off the others for ever.
const mostCancelled = 2

// begin plans the read of q. Where another read is under way that will be kept, and has
// what q needs, that one is returned if q waits, with q as a user; where the memory is full with reads, none.
func (c *Cache) begin(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool, waits bool) (r, other *cacheRead) {
	g := gridOf(&q)
	k := keyOf(&q, g)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.o.Now()
	if now.Round(0).Before(c.newest.Round(0)) { // what was read before is not as old as it was taken for
		for c.recent.Len() > 0 {
			c.drop(c.recent.Back().Value.(*piece))
		}
	}
	c.newest = now
	s := c.series[k]
	if s == nil {
		s = &shelf{key: k, grid: g}
	}
	r = &cacheRead{cache: c, series: s, ctx: ctx, query: q, out: newSink(ctx, q, yield), now: now, hasty: isHasty(ctx), done: make(chan struct{}), allowance: allowance{query: &q}}
	c.plan(r)
	for _, other := range s.reads {
		if waits && r.awaits(other) {
			c.use(other.steps, 1)
			return nil, other
		}
	}
	c.use(r.steps, 1)
	for i := range r.steps {
		step := &r.steps[i]
		for _, p := range step.kept {
			c.hits++
			c.saved += p.cost
		}
		for _, p := range step.pieces {
			if !c.reserve(pieceBytes) {
				c.use(r.steps, -1)
				return nil, nil
			}
			p.bytes = pieceBytes
			c.misses++
		}
	}
	c.series[k] = s
	s.reads = append(s.reads, r)
	return r, nil
}

// reserve takes n bytes, for which parts that were not used for long may go; c.mu is
// held.
func (c *Cache) reserve(n int64) bool {
	if c.used+n > c.o.Bytes {
		for e := c.recent.Back(); e != nil && c.used+n > c.o.Bytes; e = c.recent.Back() {
			c.drop(e.Value.(*piece))
		}
	}
	if c.used+n > c.o.Bytes {
		return false
	}
	c.used += n
	return true
}

// use counts one user more or less of what is in steps; c.mu is held. What is not kept
// goes with its last user.
func (c *Cache) use(steps []cacheStep, n int) {
	for i := range steps {
		for _, p := range slices.Concat(steps[i].kept, steps[i].pieces) {
			p.users += n
			switch {
			case p.recent != nil:
				c.recent.MoveToFront(p.recent)
			case p.users == 0:
				c.used -= p.bytes
			}
		}
	}
}

// drop forgets p, whose memory is in use until its last user ends; c.mu is held.
func (c *Cache) drop(p *piece) {
	s := p.of
	i := s.at(p.from)
	s.parts = append(s.parts[:i:i], s.parts[i+1:]...)
	c.recent.Remove(p.recent)
	p.recent = nil
	if p.users == 0 {
		c.used -= p.bytes
	}
	c.tidy(s)
}

// tidy forgets s if nothing is in it; c.mu is held.
func (c *Cache) tidy(s *shelf) {
	if len(s.parts) == 0 && len(s.reads) == 0 && c.series[s.key] == s {
		delete(c.series, s.key)
	}
}

// keep puts p in the place of what was kept there, unless that was read later; c.mu is
// held.
func (c *Cache) keep(p *piece) bool {
	s := p.of
	for i := s.at(p.from); i < len(s.parts) && s.parts[i].from < p.to; i++ {
		if s.parts[i].read.After(p.read) {
			return false
		}
	}
	for i := s.at(p.from); i < len(s.parts) && s.parts[i].from < p.to; {
		c.drop(s.parts[i])
	}
	i := s.at(p.from)
	s.parts = append(s.parts[:i:i], append([]*piece{p}, s.parts[i:]...)...)
	p.recent = c.recent.PushFront(p)
	return true
}

// at returns the place of the first part that ends after the point n of the grid.
func (s *shelf) at(n int64) int {
	low, high := 0, len(s.parts)
	for low < high {
		if mid := (low + high) / 2; s.parts[mid].to > n {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}
