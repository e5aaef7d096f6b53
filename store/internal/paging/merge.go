package paging

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"hotreader"
)

// merge reads q once with each of two time formats and merges the rows. Of one
// instant, a property has the value of the format that is named second.
func (s *Scanner) merge(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) found {
	var all [2]found
	sides := [2]iter.Seq[hotreader.Row]{}
	for i := range sides {
		sides[i] = func(yield func(hotreader.Row) bool) {
			all[i] = s.scan(ctx, q, i, nil, func(row hotreader.Row, err error) bool {
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
	stopped := !mergeRows(&q, older, newer, func(row hotreader.Row) bool { return yield(row, nil) })
	stopOlder()
	stopNewer()
	f := found{useful: all[0].useful + all[1].useful, readable: all[0].readable + all[1].readable,
		unreadable: all[0].unreadable + all[1].unreadable, last: cmp.Or(all[1].last, all[0].last), stopped: stopped, err: all[0].err}
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

// mergeRows passes the rows of two ordered scans on, each instant once. It returns
// false if no more rows are wanted.
func mergeRows(q *hotreader.Query, older, newer func() (hotreader.Row, bool), yield func(hotreader.Row) bool) bool {
	a, moreA := older()
	b, moreB := newer()
	for moreA || moreB {
		c := a.Time.Compare(b.Time)
		if q.Backward() {
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
			for i, v := range a.Values {
				if b.Values[i].IsNull() {
					b.Values[i] = v
				}
			}
			if !yield(b) {
				return false
			}
			a, moreA = older()
			b, moreB = newer()
		}
	}
	return true
}
