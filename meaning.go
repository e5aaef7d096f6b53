package hotreader

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// NewReader returns the Reader of what src holds: the rows of Meaning, without the
// columns that only filters name.
func NewReader(src Source) Reader { return reader{src} }

type reader struct{ src Source }

func (r reader) Read(ctx context.Context, q Query) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if err := q.Check(); err != nil {
			yield(Row{}, err)
			return
		}
		m := newMeaning(ctx, &q)
		m.columns = len(q.Properties)
		m.apply(r.src.Scan(ctx, q), yield)
	}
}

// Meaning returns a Source of the rows that a query asks for, in all of its
// columns. Here, and nowhere below, a query's range, filters, types, limit and Last
// are applied to src's raw rows.
//
// Types work so: a value that its declared type cannot hold without loss becomes
// null and is counted as left out. Without a declared type each value comes in its
// stored kind, and a series that mixes kinds has a warning. FirstKind takes the kind
// of the first value.
//
// Applying it twice changes nothing. So the API of another cloud, whose answer must
// end by itself, applies it, and its caller applies it again.
func Meaning(src Source) Source { return withMeaning{src} }

type withMeaning struct{ src Source }

func (s withMeaning) Scan(ctx context.Context, q Query) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		m := newMeaning(ctx, &q)
		if q.Last {
			m.kept = m.filters
		}
		m.apply(s.src.Scan(ctx, q), yield)
	}
}

// meaning decides which rows of one read belong to the answer.
type meaning struct {
	query   *Query
	types   []Type    // of query.Properties
	filters []int     // column of each filter
	kept    []int     // columns whose values go on as they are, for the caller who filters again
	columns int       // that go on
	seen    []bool    // Last: the property has its value
	unseen  int       // Last: properties without their value
	looked  int       // raw rows that came
	rows    int       // of them, kept, and picked
	picker  *picker   // nil = every row goes on
	points  int       // usable values in those
	leftOut []misfits // of each property
	given   []bool    // the property had a usable value
	kinds   []Kind    // of the first value of each property; nil = none is Untyped
	mixed   []int64   // values of another kind
	buf     []byte    // for Type.Convert
	stats   *Stats
}

func newMeaning(ctx context.Context, q *Query) *meaning {
	n, columns := len(q.Properties), q.Columns()
	m := &meaning{query: q, types: make([]Type, n), columns: len(columns), given: make([]bool, n), stats: StatsOf(ctx)}
	copy(m.types, q.Types)
	if !q.Last && slices.Contains(m.types, Untyped) {
		m.kinds, m.mixed = make([]Kind, n), make([]int64, n)
	}
	for _, f := range q.Filters {
		m.filters = append(m.filters, slices.Index(columns, f.Property))
	}
	if q.Last {
		m.seen, m.unseen = make([]bool, n), n
	}
	if q.Pick.Kind != PickAll {
		m.picker = newPicker(q)
	}
	return m
}

// apply passes on what belongs to the answer.
func (m *meaning) apply(rows iter.Seq2[Row, error], yield func(Row, error) bool) {
	defer m.close()
	stopped := false
	pass := func(row Row) bool {
		row.Values, row.Types = row.Values[:m.columns], m.types
		stopped = !yield(row, nil)
		return !stopped
	}
	if m.picker != nil {
		pass = m.counted(pass)
	}
	rows(func(row Row, err error) bool {
		switch {
		case err != nil:
			yield(Row{}, err)
			stopped = true
		case !m.keep(&row):
		case m.picker != nil:
			more, err := m.picker.add(row, pass)
			if err != nil {
				yield(Row{}, err)
			}
			stopped = stopped || !more
		default:
			pass(row)
		}
		return !stopped && !m.done()
	})
	if m.picker != nil && !stopped && !m.done() {
		m.picker.flush(pass)
	}
}

// counted counts the rows that were picked, for which keep cannot, and ends them at the
// limit.
func (m *meaning) counted(pass func(Row) bool) func(Row) bool {
	m.rows, m.points = 0, 0
	return func(row Row) bool {
		m.rows++
		for _, v := range row.Values[:len(m.types)] {
			if v.kind != Null {
				m.points++
			}
		}
		return pass(row) && !m.done()
	}
}

// keep reports whether row belongs to the answer. Its values become what their
// types say.
func (m *meaning) keep(row *Row) bool {
	m.looked++
	known := !row.Time.IsZero() // else it is a foreign peer's latest value, which has no time
	if known && !m.query.Contains(row.Time) || !m.passes(row.Values) {
		return false
	}
	useful := 0
	m.buf = m.buf[:0]
	for i, t := range m.types {
		v := &row.Values[i]
		if v.kind == Null {
			continue
		}
		if m.seen != nil && m.seen[i] {
			if !slices.Contains(m.kept, i) {
				*v = Value{}
			}
			continue
		}
		switch t {
		case FirstKind:
			t = v.kind.Type()
			m.types[i] = t
		case Untyped:
			m.note(i, v.kind)
		}
		if v.kind == Number && (t == AnyNumber || t == Double && v.fitsDouble()) { // most values, as they are
			useful++
			m.see(i)
			continue
		}
		fitting, buf, ok := t.Convert(*v, m.buf)
		m.buf = buf
		if ok {
			useful++
			m.see(i)
		}
		switch {
		case slices.Contains(m.kept, i):
		case ok:
			*v = fitting
		default:
			m.leaveOut(i, *v)
			*v = Value{}
		}
	}
	if useful == 0 {
		m.dropped(row)
		return false
	}
	if m.picker == nil {
		m.rows++
		m.points += useful
	}
	return true
}

// note notes the kind of a value of an undeclared type.
func (m *meaning) note(property int, k Kind) {
	switch {
	case m.kinds == nil:
	case m.kinds[property] == Null:
		m.kinds[property] = k
	case m.kinds[property] != k:
		m.mixed[property]++
	}
}

// dropped counts what the caller does not get: of a row that does not, the values that
// the caller would have counted.
func (m *meaning) dropped(row *Row) {
	for i := range m.types {
		if slices.Contains(m.kept, i) && !m.seen[i] && row.Values[i].kind != Null {
			m.leaveOut(i, row.Values[i])
		}
	}
}

// see notes that a property has a usable value.
func (m *meaning) see(property int) {
	m.given[property] = true
	if m.seen != nil {
		m.seen[property] = true
		m.unseen--
	}
}

func (m *meaning) passes(values []Value) bool {
	for i, column := range m.filters {
		if !m.query.Filters[i].Match(values[column]) {
			return false
		}
	}
	return true
}

// misfits are values that their property's type cannot hold.
type misfits struct {
	n      int64
	stored Type // the first of those that they have
}

func (m *meaning) leaveOut(column int, v Value) {
	if m.leftOut == nil {
		m.leftOut = make([]misfits, len(m.types))
	}
	out := &m.leftOut[column]
	out.n++
	if t := m.types[column].storedAs(v); t != Untyped && (out.stored == Untyped || t < out.stored) {
		out.stored = t
	}
}

// done reports whether the answer is complete whatever may still come.
func (m *meaning) done() bool {
	if m.seen != nil {
		return m.unseen == 0 || m.looked >= m.query.MaxLooked()
	}
	return m.query.Limit > 0 && m.rows >= m.query.Limit
}

// close adds the counts to the context's Stats.
func (m *meaning) close() {
	m.stats.Looked.Add(int64(m.looked))
	m.stats.Rows.Add(int64(m.rows))
	m.stats.Points.Add(int64(m.points))
	for i, out := range m.leftOut {
		if out.n > 0 {
			m.stats.Warn(Warning{Reason: WrongType, Property: m.query.Properties[i], Count: out.n, Detail: m.types[i].misfit(out.stored)})
		}
	}
	if m.rows > 0 { // parts of the range may have had nothing
		m.stats.Retract(UnknownDevice, "")
	}
	for i, given := range m.given {
		if given {
			m.stats.Retract(UnknownProperty, m.query.Properties[i])
		}
	}
	for i, n := range m.mixed {
		m.stats.LeaveOut(m.query.Properties[i], MixedKinds, n)
	}
	if m.picker != nil {
		for i, n := range m.picker.lost {
			m.stats.LeaveOut(m.query.Properties[i], ChangesNotPicked, n)
		}
	}
	if most := m.query.MaxLooked(); m.seen != nil && m.unseen > 0 && m.looked >= most {
		for i, seen := range m.seen {
			if !seen {
				m.stats.Warn(Warning{Reason: LookBackEnded, Property: m.query.Properties[i],
					Detail: fmt.Sprintf("%d were looked at; an older value may be there", most)})
			}
		}
	}
}
