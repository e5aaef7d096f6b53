// Package paging is what stores share that answer page by page: the loop over
// partitions and pages, how large the next page is to be, the memory that a page is
// read into, and what a scan that found nothing means.
package paging

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/timekey"
)

// An Ask is what an Answer is to ask for: one partition's rows of a query.
type Ask struct {
	Query   *hotreader.Query // of the partition's part of the range
	Columns []string         // of its rows
	Codec   *timekey.Codec   // of the time's field
	Value   string           // of the partition; that of the device where no template makes another
	Number  bool             // Value is a number in the store
	Ranked  bool             // Order.Add's rank says which item was written last
	Left    []int64          // counts, by column, values that no hotreader.Value can hold
}

// An Answer is a store's answer to one query. It serves one read after another.
type Answer interface {
	// Begin prepares the requests for a. It returns false if no row can be in the
	// range.
	Begin(a *Ask) bool

	// Page asks for the next page, of n items at the most, 0 = as many as the
	// store puts into one, and passes its rows to o until that is stopped. It
	// returns how many items came, and whether there is another page. A *Mismatch
	// says that the service rejected a condition because a key is of another type.
	Page(ctx context.Context, n int, o *timekey.Order) (items int, more bool, err error)

	// Release drops what the answer refers to, so that a pool does not keep it.
	Release()
}

// A Mismatch says that the service rejected a condition on a key of another type: the
// device's id may be a number there, or the time something else than the layout says.
type Mismatch struct{ Err error }

func (m *Mismatch) Error() string { return m.Err.Error() }
func (m *Mismatch) Unwrap() error { return m.Err }

// A Scanner makes a hotreader.Source of a store's Answers.
//
// A query for few rows, such as the latest values, asks for few items, so that it
// costs a small read however long the device's history is. Rows of one step of the
// time's format are held until the step is over, and no others.
type Scanner struct {
	Cloud       layout.Cloud
	Layout      layout.Layout // checked, with its defaults
	Slack, Most int           // see Size
	Kept        int           // bytes of held rows for which memory is kept between reads
	Unranked    bool          // Answers know only on request which item was written last
	Clocked     bool          // what they know then comes from the store's own clock

	Check func(q *hotreader.Query) error // whether q can be asked at all
	New   func() Answer
	Fail  func(ctx context.Context, err error) error // makes Page's errors ours
	Look  Look

	once     sync.Once
	codecs   []timekey.Codec
	template layout.Template
	time     []string  // the path of the time's field
	readings sync.Pool // of *reading
	numbers  atomic.Bool
	seen     looks
}

func (s *Scanner) prepare() {
	s.codecs = timekey.NewCodecs(s.Layout)
	s.template, _ = layout.ParseTemplate(s.Layout.Partition) // checked before
	s.time = layout.KeyPath(s.Cloud, s.Layout.TimeKey)
}

// A reading is one read: the answer, and the rows of the step that is being put
// together.
type reading struct {
	answer Answer
	order  timekey.Order
	ask    Ask
	size   Size
	last   string // the newest of the partitions in which items were
	given  bool   // the walk back was given up
	next   func(rest hotreader.Query, items int, span time.Duration) bool
}

// Scan brings the rows of q, page by page.
func (s *Scanner) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return s.ScanPages(ctx, q, nil)
}

// ScanPages implements route.Paged.
func (s *Scanner) ScanPages(ctx context.Context, q hotreader.Query, next func(rest hotreader.Query, items int, span time.Duration) bool) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		q := q.Closed(time.Now())
		if err := s.Check(&q); err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		s.once.Do(s.prepare)
		var f found
		for again := true; again; {
			numbers := s.numbers.Load()
			if f = (found{}); len(s.codecs) == 1 {
				f = s.scan(ctx, q, 0, s.reading(next), yield)
			} else {
				f = s.merge(ctx, q, yield)
			}
			if _, refused := errors.AsType[*Mismatch](f.err); refused || f.err == nil && !f.stopped {
				f.err = s.explain(ctx, &q, &f)
			}
			again = f.err == nil && !f.stopped && f.useful == 0 && s.numbers.Load() != numbers
		}
		if f.stopped && q.Last && len(f.lacking) > 0 && s.Look.Items != nil { // the search ended before it found them
			items, _ := s.look(ctx, cmp.Or(f.last, s.value(&q)), true) // that it fails is no failure of the query
			s.warnUnknown(hotreader.StatsOf(ctx), &f, items)
		}
		if f.err != nil {
			yield(hotreader.Row{}, s.Fail(ctx, f.err))
			return
		}
		s.lookAside(ctx, &q, cmp.Or(f.last, s.value(&q)))
	}
}

// found is what a scan came upon.
type found struct {
	useful     int      // rows with a value of a selected property
	lacking    []string // columns of which no row has a value
	readable   int64    // items
	unreadable int64
	last       string // the newest partition in which items were; "" = none, or there is one only
	stopped    bool   // the query needs no more rows
	given      bool   // the walk back was given up
	err        error
}

// reading returns one for the next scan, which gives it back.
func (s *Scanner) reading(next func(rest hotreader.Query, items int, span time.Duration) bool) *reading {
	r, ok := s.readings.Get().(*reading)
	if !ok {
		r = &reading{answer: s.New()}
	}
	r.next = next
	return r
}

// scan reads q with the codec of one time format.
func (s *Scanner) scan(ctx context.Context, q hotreader.Query, codec int, r *reading, yield func(hotreader.Row, error) bool) (f found) {
	defer s.readings.Put(r)
	defer r.order.Release(s.Kept)
	defer r.answer.Release()
	columns := q.Columns()
	c := &s.codecs[codec]
	r.ask = Ask{Columns: columns, Codec: c, Left: r.order.Begin(ctx, c, &q, columns, yield)}
	if r.ask.Ranked = s.Clocked && len(s.codecs) > 1; s.Unranked && !r.ask.Ranked {
		r.order.Unranked()
	}
	r.last, r.given = "", false
	r.size = Size{Query: &q, Slack: s.Slack, Most: s.Most}
	f.err = s.partitions(ctx, &q, r)
	f.useful, _ = r.order.Passed()
	f.lacking = r.order.Lacking()
	f.readable, f.unreadable = r.order.Items()
	f.last, f.given, f.stopped = r.last, r.given, r.order.Stopped()
	if v, odd := r.order.Odd(); odd {
		hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.Unreadable, Detail: s.odd(v)})
	}
	return f
}

// MaxEmpty is how many empty partitions in a row a walk back in time looks into that
// has no start to reach.
const MaxEmpty = 400

// partitions reads q's partitions, one after the other.
func (s *Scanner) partitions(ctx context.Context, q *hotreader.Query, r *reading) error {
	if !s.template.Dated() {
		r.ask.Value = s.template.Value(q.Device, time.Time{})
		return s.partition(ctx, *q, r)
	}
	zone := r.ask.Codec.Zone()
	at, until := q.Start, q.End
	if until.IsZero() {
		until = time.Now().Add(24 * time.Hour)
	} else if until.After(time.Now().AddDate(1, 0, 0)) { // as a default end is: its partitions are many, and empty
		if until = time.Now().Add(24 * time.Hour).UTC(); until.Before(q.Start) {
			until = q.Start
		}
		hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.LookBackEnded,
			Detail: fmt.Sprintf("the end is more than a year ahead, so partitions after that of %s were not looked into; for what has a time after it, give an end within a year from now", until.Format(time.DateOnly))})
	}
	if q.Backward() {
		at = until
	} else if at.IsZero() {
		return &hotreader.Error{Op: "store", Code: hotreader.CodeInvalid,
			Err: fmt.Errorf("a history needs a start here, for the table is partitioned by date (%s)", s.Layout.Partition)}
	}
	for empty, first := 0, ""; ; {
		from, to := s.template.Period(at.In(zone))
		part := *q
		if part.Start.Before(from) {
			part.Start = from.UTC()
		}
		if last := to.Add(-1).UTC(); part.End.IsZero() || part.End.After(last) {
			part.End = last
		}
		before, odd := r.order.Items()
		r.ask.Value = s.template.Value(q.Device, from)
		err := s.partition(ctx, part, r)
		if empty++; empty == 1 {
			first = r.ask.Value
		}
		if before+odd != sum(r.order.Items()) {
			if empty = 0; r.last == "" || !q.Backward() {
				r.last = r.ask.Value
			}
		}
		if err != nil || r.order.Stopped() {
			return err
		}
		switch {
		case q.Backward() && (!q.Start.IsZero() && !from.After(q.Start) || from.Before(layout.Earliest.AddDate(1, 0, 0))), !q.Backward() && to.After(until):
			return nil
		case q.Backward() && empty == MaxEmpty && q.Start.IsZero():
			r.given = true
			hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.LookBackEnded,
				Detail: fmt.Sprintf("%d empty partitions in a row were looked into, from %s back to %s, and nothing older was read; %s", empty, first, r.ask.Value, s.advice(q, r))})
			return nil
		case q.Backward():
			at = from.Add(-1)
		default:
			at = to
		}
	}
}

// advice says what to do where a walk back was given up.
func (s *Scanner) advice(q *hotreader.Query, r *reading) string {
	text := "give an end nearer to the data"
	if !q.Last {
		text += ", or a start to have all since then"
	}
	if r.last != "" {
		return text
	}
	return fmt.Sprintf("is the device's id right, and the partition's template, %s? If its data is older, %s", s.Layout.Partition, text)
}

func sum(a, b int64) int64 { return a + b }

// Numeric reports whether a partition's value may be a number in the store. Only as a
// database writes it: 7.0, 7e0 and 007 would find the items of device 7.
func Numeric(value string) bool {
	return hotreader.IsNumber([]byte(value)) && value != "-0" && !strings.ContainsAny(value, "eE") &&
		!(strings.Contains(value, ".") && strings.HasSuffix(value, "0"))
}

// partition reads one partition. Where it takes to know which of two items was
// written last, or that ids are numbers, what is left of it is asked for again.
func (s *Scanner) partition(ctx context.Context, q hotreader.Query, r *reading) error {
	o := &r.order
	r.ask.Number = s.numbers.Load() && Numeric(r.ask.Value)
	for {
		r.ask.Query = &q
		if !r.answer.Begin(&r.ask) {
			return nil
		}
		err := r.read(ctx)
		_, refused := errors.AsType[*Mismatch](err)
		if err == nil && r.ask.Number {
			s.numbers.Store(true)
		}
		switch {
		case refused && !r.ask.Number && Numeric(r.ask.Value):
			r.ask.Number = true
		case err != nil || !o.Conflict():
			return err
		default:
			rest, ok := o.Waiting()
			if !ok {
				return errors.New("items of one instant cannot be put in order")
			}
			if q.Backward() {
				q.End = rest.End
			} else {
				q.Start = rest.Start
			}
			r.ask.Ranked = true
			o.Again()
		}
	}
}

// read follows the pages to the end of the answer. A page may be empty and still
// not the last.
func (r *reading) read(ctx context.Context) error {
	o := &r.order
	for {
		items, more, err := r.answer.Page(ctx, r.size.Next(o.Passed()), o)
		switch {
		case err != nil:
			return err
		case o.Stopped():
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !more:
			o.Pass()
			return nil
		}
		if r.next != nil {
			if rest, span, ok := o.Rest(); ok && !r.next(rest, items, span) {
				return nil
			}
		}
	}
}

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
