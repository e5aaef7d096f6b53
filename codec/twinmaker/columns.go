package twinmaker

import (
	"context"
	"strconv"
	"sync"
	"time"

	"hotreader"
	"hotreader/internal/jsontext"
)

// page is an answer being put together: the points of each property in a buffer
// of their own, for TwinMaker's answers are by property and rows come by time.
type page struct {
	columns []column
	size    int // bytes in the columns
	names   []string
	head    []byte // what each point of a row begins with
	convert []byte
}

// column is the series of one property. A point is
//
//	{"time":"2022-04-07T04:04:42.000Z","value":{"doubleValue":588.168}},
type column struct {
	buf  []byte
	typ  hotreader.Type // FirstKind until the first value
	kind hotreader.Kind // values of it fit typ: the Reader has seen to that
	key  string         // of a point's value, as "doubleValue":
	left int64          // values left out
	fate fate

	// Before the row being added, to take it back.
	markLen  int
	markTyp  hotreader.Type
	markLeft int64

	// Interpolation: the first step in buf, and where each ends.
	from int64
	ends []int
}

// fate is what became of a property's values, on this page and on those before it.
type fate byte

const (
	given   fate = 1 << iota // there is one
	leftOut                  // one is not in the answer
)

// maxPooled is the size above which a buffer is left to the garbage collector.
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
		c.buf, c.ends, c.left, c.fate = c.buf[:0], c.ends[:0], 0, 0
		c.setType(declared(q, i))
	}
	p.size, p.names = 0, q.Properties
	return p
}

// release gives the page's memory back, and what was counted for it to the caller.
func (p *page) release(ctx context.Context, stats *hotreader.Stats) {
	hotreader.StatsOf(ctx).Add(stats)
	p.names = nil
	size := 0
	for i := range p.columns[:cap(p.columns)] {
		size += cap(p.columns[:cap(p.columns)][i].buf)
	}
	if size <= maxPooled {
		pages.Put(p)
	}
}

// setType fixes the column's type, its values' key, and which values go through
// as they are because a Reader has seen to them.
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
	case hotreader.AnyNumber: // still to be looked at: a double?
		c.key = `"doubleValue":`
	case hotreader.AnyString: // still to be looked at: 1 to 256 characters?
		c.key = `"stringValue":`
	}
}

// learn takes over the types that a row's properties have turned out to have.
func (c *column) learn(t hotreader.Type) {
	if c.typ == hotreader.FirstKind && t != hotreader.FirstKind {
		c.setType(t)
	}
}

// fit returns v as TwinMaker can take it, and whether it can.
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
func (p *page) add(row hotreader.Row) int {
	p.head = appendHead(p.head[:0], row.Time)
	n := 0
	columns := p.columns[:len(row.Values)]
	for i, v := range row.Values {
		c := &columns[i]
		c.markLen, c.markTyp, c.markLeft = len(c.buf), c.typ, c.left
		c.learn(row.Types[i])
		if v.IsNull() {
			continue
		}
		if v.Kind() != c.kind {
			var ok bool
			if v, ok = p.fit(c, v); !ok {
				c.left++
				continue
			}
		}
		c.add(p.head, v)
		p.size += len(c.buf) - c.markLen
		n++
	}
	return n
}

// add appends a point.
func (c *column) add(head []byte, v hotreader.Value) {
	c.buf = append(append(c.buf, head...), c.key...)
	c.buf = append(appendValue(c.buf, v), "}},"...)
}

// appendHead appends what a point has before its value's key.
func appendHead(b []byte, t time.Time) []byte {
	return append(hotreader.AppendTime(append(b, `{"time":"`...), t), `","value":{`...)
}

// takeBack removes what the last row added.
func (p *page) takeBack() {
	for i := range p.columns {
		c := &p.columns[i]
		p.size -= len(c.buf) - c.markLen
		c.buf, c.left = c.buf[:c.markLen], c.markLeft
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
