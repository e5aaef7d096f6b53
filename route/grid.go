package route

import (
	"math/bits"
	"time"

	"hotreader"
)

// grid has the points at which parts begin and end: whole seconds, or the ends of
// intervals where the last row of each is picked, for what is picked from a part of an
// interval is not what is picked from all of it.
type grid struct {
	unit  int64         // ms between points
	shift time.Duration // of the point 0, from 1970 on
	whole bool          // a range that ends between two points must not be read up to the second
}

func gridOf(q *hotreader.Query) grid {
	if q.Pick.Kind == hotreader.PickAll {
		return grid{unit: 1000}
	}
	every := q.Pick.Every.Milliseconds()
	origin := q.Pick.Origin.UnixMilli()
	shift := time.Duration(origin-floor(origin, every)*every)*time.Millisecond + time.Duration(q.Pick.Origin.Nanosecond()%1e6)
	return grid{unit: every * max(1, 1000/every), shift: shift + 1, whole: true} // an interval's end belongs to it
}

// floor is a / b, rounded down.
func floor(a, b int64) int64 {
	if n := a / b; n*b <= a {
		return n
	}
	return a/b - 1
}

// point returns the number of the last point that is not after t.
func (g grid) point(t time.Time) int64 { return floor(t.Add(-g.shift).UnixMilli(), g.unit) }

// time returns the time of a point.
func (g grid) time(n int64) time.Time { return time.UnixMilli(n * g.unit).Add(g.shift).UTC() }

// begin is a point before every row.
func (g grid) begin() int64 { return floor(-1<<46, g.unit) }

// span returns the points between which q's range lies, as far as it is settled, and
// whether there is more of it after.
func (g grid) span(q *hotreader.Query, settled time.Time) (from, to int64, rest bool) {
	from = g.begin()
	if !q.Start.IsZero() {
		from = g.point(q.Start)
	}
	to, rest = g.point(settled), true
	if end := q.End.Add(1); !q.End.IsZero() && !g.time(to).Before(end) { // all is settled
		to = g.point(end)
		if rest = g.time(to).Before(end); rest && !g.whole && !g.time(to+1).After(settled) {
			to, rest = to+1, false
		}
	}
	return from, max(from, to), rest || to < from
}

// shares is how many parts there are at least between a part and now, for its length:
// older parts are longer, so that a range has few.
const shares = 8

// cut cuts from … to into parts that fit the clock.
func (g grid) cut(from, to int64, now time.Time) (pieces []*piece) {
	age := g.point(now)
	for from < to {
		n := int64(1)
		for from&(2*n-1) == 0 && from+2*n <= to && age-(from+2*n) >= shares*2*n {
			n *= 2
		}
		pieces = append(pieces, &piece{from: from, to: from + n, rows: new(chunk)})
		from += n
	}
	return pieces
}

// fresh reports whether p may be answered with.
func (c *Cache) fresh(p *piece, now time.Time) bool {
	since := now.Round(0).Sub(p.read.Round(0)) // by the wall clock, which may have been set back
	old := p.read.Sub(p.of.grid.time(p.to))
	return since >= 0 && max(since, now.Sub(p.read)) < min(old, c.o.MaxAge)
}

// due reports whether p, which is fresh, is better read together with what is newer
// now. Reads must come to be read together, or each would be a request of its own: at
// each multiple of a power of two of half of Settle, so long ago that thrice that has
// passed, and only what would become stale before the next time.
func (c *Cache) due(p *piece, now time.Time) bool {
	half := (c.o.Settle / 2).Milliseconds()
	if half == 0 {
		return false
	}
	at, end := now.UnixMilli(), p.of.grid.time(p.to)
	crossed := bits.Len64(uint64(floor(at, half) ^ floor(p.read.UnixMilli(), half)))
	age := now.Sub(end).Milliseconds()
	if crossed == 0 || age > 3*half<<min(crossed-1, 16) {
		return false
	}
	stale := p.read.Add(min(p.read.Sub(end), c.o.MaxAge)).UnixMilli()
	for step := half; ; step *= 2 {
		if next := (floor(at, step) + 1) * step; age+next-at <= 3*step {
			return stale < next
		}
	}
}
