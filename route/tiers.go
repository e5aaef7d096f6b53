package route

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"hotreader"
)

// A Tier is one of the places where a twin's history lies.
type Tier struct {
	Name   string // for errors, as "cold storage"
	Source hotreader.Source
}

// Tiers returns a Source of the one history that lies in tiers, from hot storage down.
//
// Movers copy a row into the next tier and delete it after. So a row may lie in two
// tiers, and may be moved at any moment of a read. It comes once, because a tier is
// always asked after the one above it, for the same instants: what the upper tier did
// not hold any more is in the lower one by then. No read of a lower tier serves for
// instants that the upper one was asked for later.
//
// Rows of one instant become one row: property by property the upper tier's value
// wins, and values that it replaces are counted. Filters and Pick are meant for that
// row, so they are hints for the lowest tier alone, and only for a stretch in which no
// other tier holds a row.
//
// Latest values come from the upper tier. The lower one is asked only for the
// properties that the upper one lacks, and only if that was read to its end.
//
// If a tier fails, the read fails. The error names the tier. One tier is its Source.
func Tiers(tiers ...Tier) hotreader.Source {
	if len(tiers) == 1 {
		return tiers[0].Source
	}
	var src hotreader.Source
	for _, t := range slices.Backward(tiers) {
		if src == nil {
			src = named{t}
		} else {
			src = &twoTiers{upper: named{t}, lower: src, short: shortStretch, long: longStretch}
		}
	}
	return src
}

// named is a tier whose errors name it.
type named struct{ Tier }

func (t named) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		t.Source.Scan(ctx, q)(func(row hotreader.Row, err error) bool {
			if e, ok := errors.AsType[*hotreader.Error](err); ok {
				named := *e
				named.Op = t.Name + ": " + e.Op
				err = &named
			}
			return yield(row, err)
		})
	}
}

type twoTiers struct {
	upper, lower hotreader.Source
	short, long  int // stretches
}

// Scan implements hotreader.Source.
func (s *twoTiers) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		r := &tierScan{twoTiers: s, ctx: ctx, query: q, rows: newChunk(), values: make([]hotreader.Value, len(q.Columns()))}
		r.replaced = make([]int64, len(r.values))
		r.yield = func(row hotreader.Row, err error) bool {
			if err == nil {
				r.yielded++
			}
			return yield(row, err)
		}
		defer r.close()
		if q.Last && len(q.Filters) == 0 {
			r.latest()
			return
		}
		r.left = unfiltered(q)
		r.history()
	}
}

// unfiltered returns the query for all rows in q's range, in q's columns.
func unfiltered(q hotreader.Query) hotreader.Query {
	if q.Last { // how many rows that takes depends on the filters
		q = q.Closed(time.Now())
		q.Last, q.Order, q.Limit = false, hotreader.Descending, q.MaxLooked()
	}
	columns := q.Columns()
	if q.Types != nil {
		q.Types = append(slices.Clone(q.Types), make([]hotreader.Type, len(columns)-len(q.Types))...)
	}
	q.Properties, q.Filters, q.Pick = columns, nil, hotreader.Pick{}
	return q
}

// tierScan is one Scan.
type tierScan struct {
	*twoTiers
	ctx   context.Context
	query hotreader.Query
	yield func(hotreader.Row, error) bool

	left   hotreader.Query // unfiltered, for what is not answered yet
	rows   *chunk          // of the upper tier, for which the lower one is not read yet
	values []hotreader.Value

	came, yielded int64
	replaced      []int64 // values of each column
	stats         [2]hotreader.Stats
	asked         bool // the lower tier
}

// What is read of the upper tier before the lower one is asked, in bytes: little at
// first, so that the first row comes soon, then more, so that the lower tier is asked
// seldom.
const (
	shortStretch = 1 << 16
	longStretch  = 1 << 21
)

// history yields the rows of a range, stretch by stretch. The upper tier is asked again
// after the first stretch: before that one, the lower tier may hold much, and no
// connection should wait for it.
func (r *tierScan) history() {
	for size, first := r.short, true; ; first = false {
		ended := true
		for row, err := range r.scanUpper(r.left) {
			if err != nil {
				r.yield(hotreader.Row{}, err)
				return
			}
			r.rows.add(row)
			if n := len(r.rows.times); r.rows.size() < size && (r.left.Limit == 0 || n < r.left.Limit) {
				continue
			}
			if first {
				ended = false
				break
			}
			if !r.answer(false) {
				return
			}
			size = min(2*size, r.long)
		}
		if !r.answer(ended) || ended {
			return
		}
		r.left.Limit = 0 // those rows were not enough
	}
}

func (r *tierScan) scanUpper(q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return r.counted(r.upper.Scan(hotreader.WithStats(r.ctx, &r.stats[0]), q))
}

func (r *tierScan) scanLower(q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	r.asked = true
	return r.counted(r.lower.Scan(hotreader.WithStats(r.ctx, &r.stats[1]), q))
}

// counted counts the rows that come.
func (r *tierScan) counted(rows iter.Seq2[hotreader.Row, error]) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		rows(func(row hotreader.Row, err error) bool {
			if err == nil {
				r.came++
			}
			return yield(row, err)
		})
	}
}

// answer yields what both tiers hold, up to the last of the upper one's rows, or, if
// it has ended, of all that is left. It reports whether to go on.
func (r *tierScan) answer(ended bool) bool {
	n := len(r.rows.times)
	if n == 0 {
		return r.alone(r.left)
	}
	first, last := r.rows.times[0], r.rows.times[n-1]
	both := r.left
	rest, more := both.Behind(last)
	if r.left = rest; !ended {
		setEnd(&both, last)
	}
	// A long stretch of the lower tier alone is asked for with all hints.
	long := last.Sub(first).Abs() + time.Hour
	if !r.hinted() {
		long = 1<<63 - 1
	}
	if before, ok := earlier(both, first); ok && length(&before) > long {
		if !r.alone(before) {
			return false
		}
		setStart(&both, first)
	}
	after := ended && more && length(&rest) > long
	if after {
		setEnd(&both, last)
	}
	if !r.merge(r.scanLower(both), nil) || after && !r.alone(rest) {
		return false
	}
	r.rows.reset()
	return more
}

// hinted reports whether the query has hints that only the lower tier alone may get.
// Latest values look at a number of rows, whatever passes the filters.
func (r *tierScan) hinted() bool {
	return !r.query.Last && (len(r.query.Filters) > 0 || r.query.Pick.Kind != hotreader.PickAll)
}

// alone yields the rows of a range in which the upper tier holds none.
func (r *tierScan) alone(part hotreader.Query) bool {
	if r.hinted() {
		start, end := part.Start, part.End
		part = r.query
		part.Start, part.End = start, end
	}
	for row, err := range r.scanLower(part) {
		if !r.yield(row, err) || err != nil {
			return false
		}
	}
	return true
}

// mostLatest is how many bytes of rows the search for latest values holds: it ends there as
// at the look-back.
const mostLatest = 16 << 20

// latest yields rows that have the newest value of each property.
func (r *tierScan) latest() {
	ended, found := false, make([]bool, len(r.query.Properties))
	looked := sourceFunc(func(yield func(hotreader.Row, error) bool) {
		for row, err := range r.scanUpper(r.query) {
			if err == nil {
				r.rows.add(row)
			}
			if !yield(row, err) || err != nil || r.rows.size() > mostLatest {
				return
			}
		}
		ended = true
	})
	for row, err := range hotreader.Meaning(looked).Scan(hotreader.WithStats(r.ctx, new(hotreader.Stats)), r.query) {
		if err != nil {
			r.yield(hotreader.Row{}, err)
			return
		}
		for i, v := range row.Values {
			found[i] = found[i] || !v.IsNull()
		}
	}
	for i, name := range r.query.Properties {
		if !found[i] && r.rows.size() > mostLatest {
			r.stats[0].Warn(hotreader.Warning{Reason: hotreader.LookBackEnded, Property: name,
				Detail: fmt.Sprintf("%d were looked at, which have %d MB; an older value may be there", len(r.rows.times), mostLatest>>20)})
		}
	}
	bounded := slices.ContainsFunc(r.stats[0].Warnings(), func(w hotreader.Warning) bool { return w.Reason == hotreader.LookBackEnded })
	lower := func(func(hotreader.Row, error) bool) {}
	q, columns := r.query, []int{}
	q.Properties, q.Types = nil, nil
	for i, name := range r.query.Properties {
		if found[i] {
			continue
		}
		q.Properties, columns = append(q.Properties, name), append(columns, i)
		if r.query.Types != nil {
			q.Types = append(q.Types, r.query.Types[i])
		}
	}
	if ended && !bounded && len(columns) > 0 {
		lower = r.scanLower(q)
	}
	r.merge(lower, columns)
}

// sourceFunc is a Source of what is asked once.
type sourceFunc func(yield func(hotreader.Row, error) bool)

func (f sourceFunc) Scan(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return iter.Seq2[hotreader.Row, error](f)
}

// merge yields the upper tier's rows and the lower one's, whose values are of columns;
// nil = of all.
func (r *tierScan) merge(lower iter.Seq2[hotreader.Row, error], columns []int) bool {
	next, times := 0, r.rows.times
	upper := func() bool { // yields the next row
		if r.ctx.Err() != nil {
			r.yield(hotreader.Row{}, ended(r.ctx))
			return false
		}
		next++
		r.rows.row(next-1, r.values)
		return r.yield(hotreader.Row{Time: times[next-1], Values: r.values}, nil)
	}
	for row, err := range lower {
		if err != nil {
			r.yield(row, err)
			return false
		}
		for next < len(times) && r.precedes(times[next], row.Time) {
			if !upper() {
				return false
			}
		}
		clear(r.values)
		if next < len(times) && times[next].Equal(row.Time) {
			r.rows.row(next, r.values)
			next++
		}
		for k, v := range row.Values {
			if columns != nil {
				k = columns[k]
			}
			switch {
			case r.values[k].IsNull():
				r.values[k] = v
			case !v.IsNull() && !hotreader.Same(v, r.values[k]):
				r.replaced[k]++
			}
		}
		if !r.yield(hotreader.Row{Time: row.Time, Values: r.values}, nil) {
			return false
		}
	}
	for next < len(times) {
		if !upper() {
			return false
		}
	}
	return true
}

// precedes reports whether a row of the upper tier at the instant a comes before one of
// the lower at b. Latest values of a foreign peer have no times, and come first.
func (r *tierScan) precedes(a, b time.Time) bool {
	if r.query.Backward() {
		return a.After(b) || a.IsZero()
	}
	return a.Before(b)
}

// close reports what both tiers have counted. That a device or a property is unknown is
// true only if both say it.
func (r *tierScan) close() {
	r.rows.release()
	stats := hotreader.StatsOf(r.ctx)
	stats.Looked.Add(r.came - r.yielded) // Meaning counts those that were yielded
	columns := r.query.Columns()
	for i, n := range r.replaced {
		stats.LeaveOut(columns[i], hotreader.Replaced, n)
	}
	for i := range r.stats {
		stats.Cost(&r.stats[i])
		other := r.stats[1-i].Warnings()
		for _, w := range r.stats[i].Warnings() {
			unknown := w.Reason == hotreader.UnknownDevice || w.Reason == hotreader.UnknownProperty
			if w.Reason == hotreader.OlderNotRead && i == 0 {
				continue // they are read
			}
			said := slices.ContainsFunc(other, func(o hotreader.Warning) bool { return o.Reason == w.Reason && o.Property == w.Property })
			if !unknown || !r.asked || said {
				stats.Warn(w)
			}
		}
	}
}

// earlier returns q narrowed to the rows that come before the instant t in q's order, and
// whether there can be any.
func earlier(q hotreader.Query, t time.Time) (hotreader.Query, bool) {
	step := time.Duration(-1)
	if q.Backward() {
		step = 1
	}
	t = t.Add(step)
	setEnd(&q, t)
	return q, !t.IsZero() && (q.Start.IsZero() || q.End.IsZero() || !q.Start.After(q.End))
}

// setStart lets q begin at t, in q's order; setEnd lets it end there.
func setStart(q *hotreader.Query, t time.Time) {
	if q.Backward() {
		q.End = t
	} else {
		q.Start = t
	}
}

func setEnd(q *hotreader.Query, t time.Time) {
	if q.Backward() {
		q.Start = t
	} else {
		q.End = t
	}
}

// length is how long q's range is.
func length(q *hotreader.Query) time.Duration {
	if q.Start.IsZero() || q.End.IsZero() {
		return 1<<63 - 1
	}
	return q.End.Sub(q.Start)
}
