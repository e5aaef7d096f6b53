package paging

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"hotreader"
	"hotreader/store/internal/timekey"
)

// merge reads q once with each of two time formats and merges the rows. Of one
// instant, a property has the value that was written last by the store's own clock, if
// there is one, else that of the format that is named second.
func (s *Scanner) merge(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) found {
	var all [2]found
	m := merger{query: &q, stats: hotreader.StatsOf(ctx), clocked: s.Clocked}
	sides := [2]iter.Seq[hotreader.Row]{}
	for i := range sides {
		r := s.reading(nil)
		m.orders[i] = &r.order
		sides[i] = func(yield func(hotreader.Row) bool) {
			all[i] = s.scan(ctx, q, i, r, func(row hotreader.Row, err error) bool {
				if err != nil { // of the order itself: too many rows in a second
					all[i].err = err
					return false
				}
				return yield(row)
			})
		}
	}
	older, stopOlder := iter.Pull(sides[0])
	newer, stopNewer := iter.Pull(sides[1])
	stopped := !m.rows(older, newer, func(row hotreader.Row) bool { return yield(row, nil) })
	stopOlder()
	stopNewer()
	f := found{useful: all[0].useful + all[1].useful, readable: all[0].readable + all[1].readable,
		unreadable: all[0].unreadable + all[1].unreadable, last: cmp.Or(all[1].last, all[0].last), stopped: stopped, given: all[0].given && all[1].given, err: all[0].err}
	for _, p := range all[0].lacking {
		if slices.Contains(all[1].lacking, p) {
			f.lacking = append(f.lacking, p)
		}
	}
	if f.err == nil {
		f.err = all[1].err
	}
	return f
}

// A merger merges the rows of two ordered scans.
type merger struct {
	query   *hotreader.Query
	stats   *hotreader.Stats
	orders  [2]*timekey.Order
	clocked bool // their ranks compare
}

// rows passes the rows on, each instant once. It returns false if the query needs
// no more.
func (m *merger) rows(older, newer func() (hotreader.Row, bool), yield func(hotreader.Row) bool) bool {
	a, moreA := older()
	b, moreB := newer()
	for moreA || moreB {
		c := a.Time.Compare(b.Time)
		if m.query.Backward() {
			c = -c
		}
		switch {
		case !moreB || moreA && c < 0:
			if !yield(a) {
				return false
			}
			a, moreA = older()
		case !moreA || c > 0:
			if !yield(b) {
				return false
			}
			b, moreB = newer()
		default:
			if !yield(m.one(a, b)) {
				return false
			}
			a, moreA = older()
			b, moreB = newer()
		}
	}
	return true
}

// one makes one row of two of one instant.
func (m *merger) one(earlier, later hotreader.Row) hotreader.Row {
	if m.clocked && m.orders[0].After(m.orders[1]) {
		earlier, later = later, earlier
	}
	for i, v := range earlier.Values {
		switch {
		case later.Values[i].IsNull():
			later.Values[i] = v
		case !v.IsNull() && !hotreader.Same(later.Values[i], v):
			m.stats.LeaveOut(m.query.Columns()[i], hotreader.Replaced, 1)
		}
	}
	return later
}
