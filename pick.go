package hotreader

import (
	"bytes"
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"time"
)

// A PickKind says which rows of an interval are picked.
type PickKind uint8

// The kinds.
const (
	PickAll  PickKind = iota // every row
	PickM4                   // for each property the first, the lowest, the highest and the last row
	PickLast                 // for each property the last row
)

// Pick asks for fewer rows: some of each interval of a grid, whole and as they are
// stored. A line that is drawn through the rows of PickM4, a column of pixels an
// interval, is the line through all rows.
//
// An interval of PickM4 begins at a point of the grid and ends before the next;
// one of PickLast ends at a point of the grid, which belongs to it. The grid goes with
// the query, so that parts of a range have the same intervals: picking from what was
// picked from parts, which may end within an interval, gives what picking from all
// rows gives. The zero value picks every row.
type Pick struct {
	Kind   PickKind
	Origin time.Time     // a point of the grid
	Every  time.Duration // between points, whole milliseconds
}

// pickNames are the words for kinds on the wire and in queries.
var pickNames = [...]string{"", "m4", "last"}

// String returns the word for k.
func (k PickKind) String() string { return pickNames[k%PickKind(len(pickNames))] }

// ParsePickKind returns the kind that String writes as word.
func ParsePickKind(word string) (PickKind, bool) {
	i := slices.Index(pickNames[1:], word)
	return PickKind(i + 1), i >= 0
}

// The least number of points that can be asked for is one interval; a caller that needs more than
// the most asks for all rows.
const (
	MinPoints = 4
	MaxPoints = 1_000_000
)

// Points returns the Pick that brings about n rows of one property between start and
// end.
func Points(start, end time.Time, n int) Pick {
	intervals := int64(max(n/MinPoints, 1))
	span := end.UnixMilli() - start.UnixMilli() + 1 // years 0 to 9999 in milliseconds fit well
	every := max((span+intervals-1)/intervals, 1)
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return Pick{Kind: PickM4, Origin: start, Every: time.Duration(min(every, most)) * time.Millisecond}
}

// check reports what is wrong with p in q.
func (p *Pick) check(q *Query) string {
	switch {
	case p.Kind == PickAll:
		return ""
	case p.Kind > PickLast:
		return fmt.Sprintf("picks rows in the unknown mode %d", p.Kind)
	case q.Last:
		return "asks for the latest values and for picked rows; expected one of them"
	case p.Every < time.Millisecond || p.Every%time.Millisecond != 0:
		return fmt.Sprintf("picks rows of intervals of %v; expected whole milliseconds, at least one", p.Every)
	case p.Origin.IsZero():
		return "picks rows of intervals that begin nowhere"
	}
	return ""
}

// interval returns the number of the interval that t is in.
func (p *Pick) interval(t time.Time) int64 {
	if p.Kind == PickLast {
		t = t.Add(-1)
	}
	seconds, nanos := t.Unix()-p.Origin.Unix(), int64(t.Nanosecond()-p.Origin.Nanosecond())
	if nanos < 0 {
		seconds, nanos = seconds-1, nanos+1_000_000_000
	}
	before := seconds < 0
	if before { // count from the other end: -1 is the interval that ends at the origin
		seconds, nanos = -seconds, -nanos
		if nanos < 0 {
			seconds, nanos = seconds-1, nanos+1_000_000_000
		}
	}
	high, low := bits.Mul64(uint64(seconds), 1_000_000_000)
	low, carry := bits.Add64(low, uint64(nanos), 0)
	quotient, rest := bits.Div64(high+carry, low, uint64(p.Every))
	if !before {
		return int64(quotient)
	}
	if rest > 0 {
		quotient++
	}
	return -int64(quotient)
}

// A picker picks rows out of one that comes after the other.
type picker struct {
	pick     Pick
	backward bool
	width    int // properties; a row may have more columns
	at       int64
	begun    bool
	roles    []*picked // of each property: opening, lowest, highest, closing
	free     []*picked
	chosen   []*picked // scratch
	lost     []int64   // of each property, under PickM4: rows with which a text or boolean changes, and that were not picked
	bytes    int       // of texts that are held, those of free, too
}

// maxPicked is how many bytes of values the picked rows of an interval may have; a page
// of an answer has no more.
const maxPicked = 8 << 20

var errPicked error = &Error{Op: "query", Code: CodeTooLarge,
	Err: fmt.Errorf("the rows that are picked of one interval have more than %d bytes; select fewer properties, those with long texts apart, or ask for all rows", maxPicked)}

// picked is a copy of a row.
type picked struct {
	time   time.Time
	values []Value
	text   []byte
	roles  int // that it has
	float  []float64

	changed []bool // of each property: this row begins another text or boolean
}

// The roles of a property.
const (
	opening = iota
	lowest
	highest
	closing
	roles
)

func newPicker(q *Query) *picker {
	n := len(q.Properties)
	return &picker{pick: q.Pick, backward: q.Backward(), width: n, roles: make([]*picked, n*roles), lost: make([]int64, n)}
}

// add takes a row, and passes on what was picked of the interval before if the row is
// in another. It returns false if the query needs no more rows.
func (p *picker) add(row Row, yield func(Row) bool) (bool, error) {
	at := p.pick.interval(row.Time)
	if p.begun && at != p.at && !p.flush(yield) {
		return false, nil
	}
	p.begun, p.at = true, at
	own := p.copy(row)
	for i := range p.width {
		v := own.values[i]
		if v.kind == Null {
			continue
		}
		if v.kind == Number {
			own.float[i], _ = strconv.ParseFloat(string(v.text), 64) // ±Inf out of range, which is in order
		}
		of := p.roles[i*roles : (i+1)*roles]
		m4 := p.pick.Kind == PickM4
		if of[opening] == nil && (m4 || p.backward) {
			p.give(of, opening, own)
		}
		if m4 {
			p.change(i, of[closing], own)
			if c := p.compare(i, own, of[lowest]); c < 0 || c == 0 && p.backward {
				p.give(of, lowest, own)
			}
			if c := p.compare(i, own, of[highest]); c > 0 || c == 0 && p.backward || of[highest] == nil {
				p.give(of, highest, own)
			}
		}
		if m4 || !p.backward {
			p.give(of, closing, own)
		}
	}
	if own.roles == 0 {
		p.free = append(p.free, own)
	}
	if p.bytes > maxPicked {
		for _, row := range p.free {
			p.bytes -= cap(row.text)
		}
		p.free = nil
	}
	if p.bytes > maxPicked {
		return false, errPicked
	}
	return true, nil
}

// copy returns a copy of row, in memory of a row that was dropped.
func (p *picker) copy(row Row) *picked {
	var own *picked
	if n := len(p.free); n > 0 {
		own, p.free = p.free[n-1], p.free[:n-1]
	} else {
		own = &picked{float: make([]float64, p.width), changed: make([]bool, p.width)}
	}
	own.time, own.text = row.Time, own.text[:0]
	clear(own.changed)
	own.values = append(own.values[:0], row.Values...)
	size := 0
	for _, v := range row.Values {
		if v.kind >= Number {
			size += len(v.text)
		}
	}
	p.bytes -= cap(own.text)
	own.text = slices.Grow(own.text, size) // values refer to it: it must not move
	p.bytes += cap(own.text)
	for i, v := range own.values {
		if v.kind >= Number {
			from := len(own.text)
			own.text = append(own.text, v.text...)
			own.values[i].text = own.text[from:len(own.text):len(own.text)]
		}
	}
	return own
}

// change notes with which of two rows, of which own came later, a text or boolean changes. The first
// row of an interval is picked anyway.
func (p *picker) change(property int, before, own *picked) {
	if before == nil {
		return
	}
	x, y := before.values[property], own.values[property]
	if x.kind == y.kind && (x.kind == Number || bytes.Equal(x.text, y.text)) {
		return
	}
	if p.backward {
		own = before
	}
	own.changed[property] = true
	p.lost[property]++
}

func (p *picker) give(of []*picked, role int, to *picked) {
	if old := of[role]; old == to {
		return
	} else if old != nil {
		if old.roles--; old.roles == 0 {
			p.free = append(p.free, old)
		}
	}
	of[role] = to
	to.roles++
}

// compare orders the values of a property in two rows: numbers as decimals, texts byte
// by byte, kinds apart. A missing row is greater than any.
func (p *picker) compare(property int, a, b *picked) int {
	if b == nil {
		return -1
	}
	x, y := a.values[property], b.values[property]
	if x.kind != y.kind {
		return cmp.Compare(x.kind, y.kind)
	}
	if x.kind == Number {
		if f, g := a.float[property], b.float[property]; f < g {
			return -1
		} else if f > g {
			return 1
		}
		if bytes.Equal(x.text, y.text) {
			return 0
		}
		return CompareNumbers(x.text, y.text)
	}
	return bytes.Compare(x.text, y.text)
}

// flush passes on what was picked of the interval that ends. It returns false if the query
// needs no more rows.
func (p *picker) flush(yield func(Row) bool) bool {
	p.chosen = p.chosen[:0]
	for _, row := range p.roles {
		if row != nil && !slices.Contains(p.chosen, row) {
			p.chosen = append(p.chosen, row)
		}
	}
	slices.SortFunc(p.chosen, func(a, b *picked) int {
		if p.backward {
			a, b = b, a
		}
		return a.time.Compare(b.time)
	})
	for i := range p.roles {
		if row := p.roles[i]; row != nil {
			if row.roles--; row.roles == 0 {
				p.free = append(p.free, row)
			}
			p.roles[i] = nil
		}
	}
	for _, row := range p.chosen {
		for i := range row.changed {
			if row.changed[i] {
				p.lost[i]--
			}
		}
	}
	for _, row := range p.chosen {
		if !yield(Row{Time: row.time, Values: row.values}) {
			return false
		}
	}
	return true
}
