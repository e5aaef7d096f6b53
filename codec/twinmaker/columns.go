package twinmaker

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"sync"
	"time"

	"hotreader"
	"hotreader/internal/jsontext"
)

// page is an answer being built. Each property has a buffer of its own, since rows come
// by time, but TwinMaker's answers are ordered by property.
type page struct {
	columns []column
	size    int // bytes in the columns
	names   []string
	head    []byte // what each point of the row begins with
	minute  int64  // whose text head has, in seconds since 1970
	convert []byte
}

// column is the series of one property. A point is
//
//	{"time":"2022-04-07T04:04:42.000Z","value":{"doubleValue":588.168}},
type column struct {
	buf     []byte
	typ     hotreader.Type // FirstKind until the first value
	kind    hotreader.Kind // values of this kind fit typ already: the Reader has converted them
	key     string         // of a point's value, as "doubleValue":
	leftOut int64          // values
	fate    fate

	// As they were before the last row, for removeRow.
	markLen     int
	markTyp     hotreader.Type
	markLeftOut int64

	// Interpolation: the first step in buf, and where each step ends.
	from int64
	ends []int
}

// fate is what became of a property's values, on this page and on those before it.
type fate byte

const (
	given  fate = 1 << iota // one is in the answer
	missed                  // one was left out
)

// maxPooled is the size above which a page is not reused.
const maxPooled = 8 << 20

// pages keeps pages between answers.
var pages = sync.Pool{New: func() any { return new(page) }}

// newPage returns a page with a column for each property of q.
func newPage(q *hotreader.Query) *page {
	p := pages.Get().(*page)
	n := len(q.Properties)
	if cap(p.columns) < n {
		p.columns = append(p.columns[:cap(p.columns)], make([]column, n-cap(p.columns))...)
	}
	p.columns = p.columns[:n]
	for i := range p.columns {
		c := &p.columns[i]
		c.buf, c.ends, c.leftOut, c.fate = c.buf[:0], c.ends[:0], 0, 0
		c.setType(declared(q, i))
	}
	p.size, p.names = 0, q.Properties
	return p
}

// release makes the page's memory reusable.
func (p *page) release() {
	p.names = nil
	size := 0
	for i := range p.columns[:cap(p.columns)] {
		size += cap(p.columns[:cap(p.columns)][i].buf)
	}
	if size <= maxPooled {
		pages.Put(p)
	}
}

// setType sets the column's type, the key of its values, and the kind of value that
// needs no conversion.
func (c *column) setType(t hotreader.Type) {
	c.typ, c.kind, c.key = t, hotreader.Null, ""
	switch t {
	case hotreader.Boolean:
		c.key, c.kind = `"booleanValue":`, hotreader.Bool
	case hotreader.Double:
		c.key, c.kind = `"doubleValue":`, hotreader.Number
	case hotreader.Integer:
		c.key, c.kind = `"integerValue":`, hotreader.Number
	case hotreader.Long:
		c.key, c.kind = `"longValue":`, hotreader.Number
	case hotreader.ShortString:
		c.key, c.kind = `"stringValue":`, hotreader.String
	case hotreader.AnyNumber: // fit checks that it is a double
		c.key = `"doubleValue":`
	case hotreader.AnyString: // fit checks that it has 1 to 256 characters
		c.key = `"stringValue":`
	}
}

// learn takes over the type that the Reader has inferred, if none is set.
func (c *column) learn(t hotreader.Type) {
	if c.typ == hotreader.FirstKind {
		c.setType(t)
	}
}

// fit converts v to the column's type. ok = TwinMaker can take it.
func (p *page) fit(c *column, v hotreader.Value) (hotreader.Value, bool) {
	t := c.typ
	switch t {
	case hotreader.AnyNumber:
		t = hotreader.Double
	case hotreader.AnyString:
		t = hotreader.ShortString
	}
	v, buf, ok := t.Convert(v, p.convert[:0])
	p.convert = buf[:0]
	return v, ok
}

// add appends a row's points and returns how many there are.
func (p *page) add(row *hotreader.Row) int {
	p.setHead(row.Time)
	n := 0
	columns := p.columns[:len(row.Values)]
	for i, v := range row.Values {
		c := &columns[i]
		c.markLen, c.markTyp, c.markLeftOut = len(c.buf), c.typ, c.leftOut
		c.learn(row.Types[i])
		if v.IsNull() {
			continue
		}
		if v.Kind() != c.kind {
			var ok bool
			if v, ok = p.fit(c, v); !ok {
				c.leftOut++
				continue
			}
		}
		b := append(append(c.buf, p.head...), c.key...)
		c.buf = append(appendValue(b, v), "}},"...)
		p.size += len(c.buf) - c.markLen
		n++
	}
	return n
}

// setHead makes head what each point at t has before its value's key. Rows come by
// time: most are of the same minute as the one before, whose text then stays.
func (p *page) setHead(t time.Time) {
	const time = `{"time":"`
	second := t.Unix() - p.minute
	if len(p.head) > 0 && second >= 0 && second < 60 {
		p.head = hotreader.AppendSecond(p.head[:len(time)+len("2006-01-02T15:04:")], int(second), t.Nanosecond())
	} else {
		p.head = hotreader.AppendTime(append(p.head[:0], time...), t)
		p.minute = t.Unix() - int64(t.Second())
	}
	p.head = append(p.head, `","value":{`...)
}

// removeRow removes the last row.
func (p *page) removeRow() {
	for i := range p.columns {
		c := &p.columns[i]
		p.size -= len(c.buf) - c.markLen
		c.buf, c.leftOut = c.buf[:c.markLen], c.markLeftOut
		if c.typ != c.markTyp {
			c.setType(c.markTyp)
		}
	}
}

// appendValue appends a value that is not null as JSON.
func appendValue(b []byte, v hotreader.Value) []byte {
	switch v.Kind() {
	case hotreader.Number:
		return append(b, v.Text()...)
	case hotreader.Bool:
		return strconv.AppendBool(b, v.Bool())
	}
	return jsontext.AppendString(b, v.Text())
}

// line computes the values between a property's settled point and its pending one.
type line struct {
	s *stepper
	i int // of the property

	ready       bool   // what follows is set
	early, late *point // by time
	same        bool   // they are equal
	from, to    float64
}

// append appends the value at an instant between the points, or on the pending one.
func (l *line) append(b []byte, at time.Time) []byte {
	t := &l.s.tracks[l.i]
	if at.Equal(t.pending.t) {
		return append(b, t.pending.digits...)
	}
	whole := l.s.page.columns[l.i].typ != hotreader.Double
	if !l.ready {
		l.ready = true
		l.early, l.late = &t.settled, &t.pending
		if l.s.grid.sign < 0 {
			l.early, l.late = l.late, l.early
		}
		if l.same = bytes.Equal(l.early.digits, l.late.digits); !l.same && !whole {
			l.from, _ = hotreader.NumberValue(l.early.digits).Float64()
			l.to, _ = hotreader.NumberValue(l.late.digits).Float64()
			l.same = l.from == l.to
		}
	}
	switch {
	case l.same:
		return append(b, l.early.digits...)
	case whole:
		return l.appendWhole(b, at)
	}
	f := nanoseconds(l.early.t, at) / nanoseconds(l.early.t, l.late.t)
	v := l.from + float64((l.to-l.from)*f) // converted, so that no CPU fuses the two operations
	if math.IsInf(l.to-l.from, 0) {
		v = float64(l.from*(1-f)) + float64(l.to*f)
	}
	return appendFloat(b, min(max(v, min(l.from, l.to)), max(l.from, l.to)))
}

// nanoseconds returns the time from a to b, as a float since it may be of any length.
func nanoseconds(a, b time.Time) float64 {
	return float64(b.Unix()-a.Unix())*1e9 + float64(b.Nanosecond()-a.Nanosecond())
}

// appendWhole rounds (early·den + (late-early)·n) ÷ den, where n and den are the
// nanoseconds from early to at and to late.
func (l *line) appendWhole(b []byte, at time.Time) []byte {
	s := l.s
	s.early.SetString(string(l.early.digits), 10)
	s.late.SetString(string(l.late.digits), 10)
	s.setNanoseconds(&s.n, l.early.t, at)
	s.setNanoseconds(&s.den, l.early.t, l.late.t)
	s.late.Sub(&s.late, &s.early)
	s.late.Mul(&s.late, &s.n)
	s.early.Mul(&s.early, &s.den)
	s.early.Add(&s.early, &s.late)
	negative := s.early.Sign() < 0
	s.early.Abs(&s.early)
	s.early.Lsh(&s.early, 1)
	s.early.Add(&s.early, &s.den)
	s.den.Lsh(&s.den, 1)
	s.early.Quo(&s.early, &s.den)
	if negative {
		s.early.Neg(&s.early)
	}
	return s.early.Append(b, 10)
}

func (s *stepper) setNanoseconds(n *big.Int, a, b time.Time) {
	n.SetInt64(b.Unix() - a.Unix())
	n.Mul(n, s.tmp.SetInt64(1e9))
	n.Add(n, s.tmp.SetInt64(int64(b.Nanosecond()-a.Nanosecond())))
}

// appendFloat appends the shortest number that reads back as f.
func appendFloat(b []byte, f float64) []byte {
	if f == 0 {
		return append(b, '0')
	}
	return hotreader.AppendFloat(b, f)
}
