package hotreader

import (
	"context"
	"time"
)

// Sieve keeps those promises of Reader.Read that do not depend on where rows
// come from: range, filters, types, limit, last entry. Every source of rows (a
// store, a remote) passes its rows through one, in the query's order, no
// instant twice.
//
// Types work so: a value that its declared type cannot hold without loss
// becomes null and is counted as skipped. A property of no declared type takes
// the kind of its first value, so that a series never mixes kinds.
//
// A Sieve serves one read and is not safe for concurrent use.
type Sieve struct {
	query   Query
	columns []string
	types   []Type // of query.Properties
	filters []int  // column of each filter
	seen    []bool // Last: the property has its value
	unseen  int
	last    time.Time // of the row kept last
	rows    int       // kept
	looked  int
	skipped int
	buf     []byte
	stats   *Stats
}

// NewSieve returns a Sieve for q, or what is wrong with q.
func NewSieve(ctx context.Context, q Query) (*Sieve, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	n := len(q.Properties)
	s := &Sieve{query: q, columns: q.Properties[:n:n], types: make([]Type, n), stats: StatsOf(ctx)}
	copy(s.types, q.Types)
	for _, f := range q.Filters {
		at := -1
		for i, c := range s.columns {
			if c == f.Property {
				at = i
			}
		}
		if at < 0 {
			at = len(s.columns)
			s.columns = append(s.columns, f.Property)
		}
		s.filters = append(s.filters, at)
	}
	if q.Last {
		s.seen, s.unseen = make([]bool, n), n
	}
	return s, nil
}

// Columns returns what a source must fetch: the query's properties in order,
// then those that only filters name. Not to be changed.
func (s *Sieve) Columns() []string { return s.columns }

// Skip counts n values or items that the source itself could not read.
func (s *Sieve) Skip(n int) { s.skipped += n }

// Keep decides whether the row at t belongs to the answer. values belong to
// Columns, one by one, and may be changed; if Keep returns true, the row is t
// with the first len(Query.Properties) of them.
func (s *Sieve) Keep(t time.Time, values []Value) bool {
	s.looked++
	q := &s.query
	if !q.Start.IsZero() && t.Before(q.Start) || !q.End.IsZero() && t.After(q.End) {
		if !t.IsZero() { // a foreign peer's last entry has no time to check
			return false
		}
	}
	if s.plain(values) {
		s.last = t
		s.rows++
		return true
	}
	for i, at := range s.filters {
		if !q.Filters[i].Match(values[at]) {
			return false
		}
	}
	useful := false
	s.buf = s.buf[:0]
	for i := range s.types {
		v := &values[i]
		if v.kind == Null {
			continue
		}
		if s.seen != nil && s.seen[i] {
			*v = Value{}
			continue
		}
		t := s.types[i]
		if t == Untyped {
			t = v.kind.Type()
			s.types[i] = t
		}
		if v.kind == Number && (t == AnyNumber || t == Double && fitsDouble(v.text)) { // most values, as they are
			useful = true
			continue
		}
		var ok bool
		if *v, s.buf, ok = t.Convert(*v, s.buf); !ok {
			*v = Value{}
			s.skipped++
			continue
		}
		useful = true
	}
	if !useful {
		return false
	}
	for i := range s.seen {
		if !s.seen[i] && values[i].kind != Null {
			s.seen[i] = true
			s.unseen--
		}
	}
	s.last = t
	s.rows++
	return true
}

// plain reports whether values are numbers that go through as they are, which is
// what most rows are. If not, nothing is known.
func (s *Sieve) plain(values []Value) bool {
	if len(s.filters) > 0 || s.seen != nil || len(values) < len(s.types) {
		return false
	}
	for i, t := range s.types {
		v := &values[i]
		if v.kind != Number || t != AnyNumber && (t != Double || !fitsDouble(v.text)) {
			return false
		}
	}
	return true
}

// Done reports whether the answer is complete whatever may still come, so that
// the source need not be read on.
func (s *Sieve) Done() bool {
	if s.seen != nil {
		return s.unseen == 0 || s.looked >= LookBack
	}
	return s.query.Limit > 0 && s.rows >= s.query.Limit
}

// Want returns how many more stored rows a source should fetch at the most to
// finish the answer if all of them belong to it; 0 = no bound is known.
func (s *Sieve) Want() int {
	switch {
	case s.seen != nil:
		return max(LookBack-s.looked, 1)
	case s.query.Limit > 0 && len(s.filters) == 0:
		return max(s.query.Limit-s.rows, 1)
	}
	return 0
}

// Rest returns the query for all that has not been kept yet, and whether there
// can be any: the range behind the last row, what remains of the limit, and the
// types inferred so far.
func (s *Sieve) Rest() (Query, bool) {
	q := s.query
	if s.rows == 0 {
		return q, true
	}
	if s.Done() {
		return q, false
	}
	q.Types = append([]Type(nil), s.types...)
	if q.Last {
		return q, true // the values seen are passed over if this Sieve is used on
	}
	if q.Limit > 0 {
		q.Limit -= s.rows
	}
	return q.Behind(s.last)
}

// Close adds the Sieve's counts to the context's Stats.
func (s *Sieve) Close() {
	s.stats.Looked.Add(int64(s.looked))
	s.stats.Rows.Add(int64(s.rows))
	s.stats.Skipped.Add(int64(s.skipped))
	s.looked, s.rows, s.skipped = 0, 0, 0
}
