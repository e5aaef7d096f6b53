package timekey

import (
	"context"
	"fmt"
	"slices"
	"time"

	"hotreader"
)

// Order passes the rows of one read on to the caller, strictly by time and each
// instant once. It holds the rows of one second until the second is over, and no
// others: the texts of times within a second have mixed widths, so within a second
// a store's order is not that of time. Where a second has more rows than can be
// held, Order yields an error of CodeTooLarge. Of several rows of one instant the
// one with the greatest key stands; of equal keys, the last one in ascending
// order.
//
// Its zero value is ready for Begin; it may serve one read after another.
type Order struct {
	parser     parser
	query      hotreader.Query
	stats      *hotreader.Stats
	yield      func(hotreader.Row, error) bool
	descending bool

	passed     int       // rows
	useful     int       // of those, with a value of a selected property
	last       time.Time // of the row passed last
	unreadable int64     // items
	columns    []string
	left       []int64 // by column: values that no Value can hold
	stopped    bool

	width int // values of a row
	// The rows held, all of one second.
	first  int // row of values that the oldest one is in
	n      int // how many
	kept   int // of them, those whose bytes were copied into arena
	second int64
	page   time.Time // instant of the page's first row; zero = none came
	times  []time.Time
	keys   [][]byte
	values []hotreader.Value // the n rows', from first on, and one more: of the row being decoded
	order  []int32
	arena  []byte
}

// Begin prepares o for the rows of q, which have the given columns, read from a
// store whose keys have the given format. It returns what counts, by column, the
// values that no Value can hold.
func (o *Order) Begin(ctx context.Context, format string, q *hotreader.Query, columns []string, yield func(hotreader.Row, error) bool) (left []int64) {
	o.parser = parser{format: format}
	o.query, o.stats, o.yield = *q, hotreader.StatsOf(ctx), yield
	o.descending = q.Backward()
	o.width, o.first, o.n, o.kept = len(columns), 0, 0, 0
	o.passed, o.useful, o.unreadable, o.stopped = 0, 0, 0, false
	o.page = time.Time{}
	o.columns = columns
	o.left = slices.Grow(o.left[:0], o.width)[:o.width]
	clear(o.left)
	return o.left
}

// Passed returns how many rows have been passed on, and how many of them have a
// value of a selected property.
func (o *Order) Passed() (useful, all int) { return o.useful, o.passed }

// Stopped reports whether no more rows are wanted.
func (o *Order) Stopped() bool { return o.stopped }

// Skip counts the item in Slot as one that has no time.
func (o *Order) Skip() { o.unreadable++ }

// maxGroup bounds the values for which an Order keeps memory between reads.
const maxGroup = 1 << 15

// What is held of one second at the most. Only a device that writes a million
// values a second has more.
const (
	maxHeldValues = 1 << 20
	maxHeldBytes  = 64 << 20 // of their text
)

// Release drops what o refers to, and memory of more than maxKept bytes.
func (o *Order) Release(maxKept int) {
	o.stats.LeaveOut("", hotreader.Unreadable, o.unreadable)
	for i, n := range o.left {
		o.stats.LeaveOut(o.columns[i], hotreader.Unreadable, n)
	}
	if cap(o.values) > maxGroup || cap(o.arena) > maxKept {
		*o = Order{}
		return
	}
	o.query, o.stats, o.yield, o.columns = hotreader.Query{}, nil, nil, nil
	clear(o.keys[:cap(o.keys)])
	clear(o.values[:cap(o.values)])
}

// Slot returns the values of the next row, one for each column, to be
// decoded into before Add.
func (o *Order) Slot() []hotreader.Value {
	from := (o.first + o.n) * o.width
	to := from + o.width
	if to > len(o.values) {
		o.values = slices.Grow(o.values, to-len(o.values))
		o.values = o.values[:cap(o.values)]
	}
	return o.values[from:to]
}

// Add takes the row in Slot, whose key is the given one; nil, or one that is no
// time, is counted as skipped. If the row begins another second, those of the
// second before are passed on. It returns false if no more rows are wanted.
func (o *Order) Add(key []byte) bool {
	if key != nil {
		if t, ok := o.parser.parse(key); ok {
			return o.AddAt(t, key)
		}
	}
	o.Skip()
	return true
}

// AddAt is Add for a store that has instants beside keys, or instead of them:
// key is nil then.
func (o *Order) AddAt(t time.Time, key []byte) bool {
	if o.n > 0 && t.Unix() != o.second && !o.Pass() {
		return false
	}
	if o.n == 0 {
		o.second = t.Unix()
		o.times, o.keys = o.times[:0], o.keys[:0]
	}
	if o.n*o.width >= maxHeldValues || o.kept > 0 && len(o.arena) > maxHeldBytes {
		o.n, o.stopped = 0, true
		o.yield(hotreader.Row{}, &hotreader.Error{Op: "store: put rows in order", Code: hotreader.CodeTooLarge,
			Err: fmt.Errorf("the device has more than %d values, or %d bytes of them, within the second %s; ask for another range or for fewer properties",
				maxHeldValues, maxHeldBytes, t.Format("2006-01-02T15:04:05Z"))})
		return false
	}
	if o.page.IsZero() {
		o.page = t
	}
	o.times = append(o.times, t)
	o.keys = append(o.keys, key)
	o.n++
	return true
}

// Keep copies what the rows held refer to, for the page they came in is going.
func (o *Order) Keep() {
	if o.kept == 0 {
		o.arena = o.arena[:0]
	}
	own := func(text []byte) []byte {
		from := len(o.arena)
		o.arena = append(o.arena, text...)
		return o.arena[from:len(o.arena):len(o.arena)]
	}
	for i := o.kept; i < o.n; i++ {
		o.keys[i] = own(o.keys[i])
		row := o.row(i)
		for k, v := range row {
			switch v.Kind() {
			case hotreader.Number:
				row[k] = hotreader.NumberValue(own(v.Text()))
			case hotreader.String:
				row[k] = hotreader.StringValue(own(v.Text()))
			}
		}
	}
	o.kept = o.n
}

// Rest ends a page that is not the last. It returns the query for all that has
// not been passed on, and how much time the page's rows cover; ok is false if
// that cannot be told.
func (o *Order) Rest() (rest hotreader.Query, span time.Duration, ok bool) {
	if o.page.IsZero() {
		return rest, 0, false
	}
	span = o.times[o.n-1].Sub(o.page).Abs()
	o.page = time.Time{}
	rest = o.query
	if o.passed > 0 {
		if rest, ok = rest.Behind(o.last); !ok {
			return rest, 0, false
		}
	}
	begins := time.Unix(o.second, 0).UTC()
	if ends := begins.Add(time.Second - 1); o.descending {
		if rest.End.IsZero() || ends.Before(rest.End) {
			rest.End = ends
		}
		return rest, span, !rest.End.IsZero()
	}
	if begins.After(rest.Start) { // a start that is zero is open
		rest.Start = begins
	}
	return rest, span, !rest.Start.IsZero()
}

// Pass passes the rows held on, for their second is over, and makes the row in
// Slot the first. Call it behind the last page. It returns false if no more
// rows are wanted.
func (o *Order) Pass() bool {
	n := o.n
	if n == 0 {
		return true
	}
	o.n, o.kept = 0, 0
	if n == 1 {
		if !o.emit(0) {
			return false
		}
	} else {
		o.sort(n)
		for _, i := range o.order {
			if !o.emit(int(i)) {
				return false
			}
		}
	}
	if o.first += n; o.first >= maxFirst { // back to the front
		from := o.first * o.width
		copy(o.values[:o.width], o.values[from:min(from+o.width, len(o.values))])
		o.first = 0
	}
	return true
}

// maxFirst bounds where the rows begin: it is cheaper to begin one further than to
// move a row, but not in memory that is in no cache.
const maxFirst = 16

func (o *Order) row(i int) []hotreader.Value {
	from := (o.first + i) * o.width
	return o.values[from : from+o.width]
}

func (o *Order) emit(i int) bool {
	t := o.times[i]
	if !o.query.Contains(t) {
		return true // the store compares texts, and is asked for whole seconds
	}
	row := o.row(i)
	o.passed++
	o.last = t
	for k := range o.query.Properties {
		if !row[k].IsNull() {
			o.useful++
			break
		}
	}
	o.stopped = !o.yield(hotreader.Row{Time: t, Values: row}, nil)
	return !o.stopped
}

// sort sets order to the indices of the rows to pass on.
func (o *Order) sort(n int) {
	o.order = o.order[:0]
	sorted := true
	for i := range n {
		o.order = append(o.order, int32(i))
		if i > 0 {
			c := o.times[i].Compare(o.times[i-1])
			sorted = sorted && c != 0 && (c < 0) == o.descending
		}
	}
	if sorted {
		return
	}
	slices.SortFunc(o.order, func(a, b int32) int {
		c := o.times[a].Compare(o.times[b])
		if o.descending {
			c = -c
		}
		if c == 0 {
			c = Compare(o.parser.format, o.keys[b], o.keys[a]) // the greatest first
		}
		if c == 0 {
			if c = int(b - a); o.descending {
				c = -c
			}
		}
		return c
	})
	o.order = slices.CompactFunc(o.order, func(a, b int32) bool { return o.times[a].Equal(o.times[b]) })
}
