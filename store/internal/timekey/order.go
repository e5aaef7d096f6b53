package timekey

import (
	"context"
	"fmt"
	"slices"
	"time"

	"hotreader"
)

// Order passes the rows of one read on to the caller, strictly by time and each
// instant once. It holds the rows of one step of the format, a second or a minute,
// until the step is over, and no others: the texts of times within a step have mixed
// widths, so there a store's order is not that of time. Where a step has more rows
// than can be held, Order yields an error of CodeTooLarge.
//
// Several items of one instant are one row. Property by property the value of the
// item with the greatest rank wins; others that differ from it are counted as
// replaced. Of equal ranks, the last item in ascending order wins.
//
// Its zero value is ready for Begin; it may serve one read after another.
type Order struct {
	parser     parser
	query      hotreader.Query
	stats      *hotreader.Stats
	yield      func(hotreader.Row, error) bool
	descending bool

	step       int64           // seconds
	unranked   bool            // ranks say nothing yet about which item was written last
	conflict   bool            // such a rank would have decided
	passed     int             // rows
	useful     int             // of those, with a value of a selected property
	last       time.Time       // of the row passed last
	rank       []byte          // of its item written last
	first      *keyRange       // in which another scan counts what is unreadable; nil = there is none
	unreadable int64           // items
	before     int64           // of them, in steps before the one that is held
	readable   int64           // items
	odd        hotreader.Value // the time's field of the first unreadable one
	lacking    int             // columns of which no row had a value
	given      []bool          // by column: a row had a value
	columns    []string
	left       []int64 // by column: values that no Value can hold
	replaced   []int64 // by column: values that a later one of the same instant replaced
	stopped    bool

	width int // values of a row
	// The rows held, all of one step.
	begin  int       // row of values that the oldest one is in
	n      int       // how many
	kept   int       // of them, those whose bytes were copied into arena
	held   int64     // the step that they are of
	page   time.Time // instant of the page's first row; zero = none came
	times  []time.Time
	keys   [][]byte
	values []hotreader.Value // the n rows', from first on, and one more: of the row being decoded
	order  []int32
	arena  []byte
}

// Begin prepares o for the rows of q, which have the given columns, read from a
// store whose keys codec reads. It returns what counts, by column, the values that no
// Value can hold.
func (o *Order) Begin(ctx context.Context, codec *Codec, q *hotreader.Query, columns []string, yield func(hotreader.Row, error) bool) (left []int64) {
	o.parser, o.step = parser{Codec: codec}, int64(codec.Step()/time.Second)
	o.unranked, o.conflict = false, false
	o.query, o.stats, o.yield = *q, hotreader.StatsOf(ctx), yield
	o.descending = q.Backward()
	o.width, o.begin, o.n, o.kept = len(columns), 0, 0, 0
	o.passed, o.useful, o.stopped = 0, 0, false
	o.unreadable, o.before, o.readable = 0, 0, 0
	o.page = time.Time{}
	o.columns = columns
	o.first = codec.firstRange(q)
	o.lacking = len(columns)
	o.given = append(o.given[:0], make([]bool, o.lacking)...)
	o.left = slices.Grow(o.left[:0], o.width)[:o.width]
	clear(o.left)
	o.replaced = append(o.replaced[:0], o.left...)
	return o.left
}

// Unranked says that the ranks that Add gets do not say which item was written
// last. Where that matters, Conflict becomes true and Order takes no more rows.
func (o *Order) Unranked() { o.unranked = true }

// Conflict reports that two items of one instant have different values of a property,
// and that it is unknown yet which was written last. What Rest names is to be read
// again, with ranks.
func (o *Order) Conflict() bool { return o.conflict }

// Again makes o ready for the rest of the read, with ranks.
func (o *Order) Again() {
	o.unranked, o.conflict, o.stopped = false, false, false
	o.n, o.kept, o.page = 0, 0, time.Time{}
	o.unreadable = o.before
}

// Items returns how many items could be read, and how many had no readable time.
func (o *Order) Items() (readable, unreadable int64) { return o.readable, o.unreadable }

// Odd returns the time's field of the first item that has no readable time; ok is false
// if all have one.
func (o *Order) Odd() (at hotreader.Value, ok bool) { return o.odd, o.unreadable > 0 }

// Passed returns how many rows have been passed on, and how many of them have a
// value of a selected property.
func (o *Order) Passed() (useful, all int) { return o.useful, o.passed }

// Lacking returns the columns, those of filters too, of which no row passed on had a value,
// and that no item had in another form.
func (o *Order) Lacking() (names []string) {
	if o.lacking > 0 {
		for i, given := range o.given {
			if !given && o.left[i] == 0 {
				names = append(names, o.columns[i])
			}
		}
	}
	return names
}

// After reports whether the row passed last was written after that of another scan, by
// their ranks.
func (o *Order) After(other *Order) bool { return compareRanks(o.rank, other.rank) > 0 }

// Stopped reports whether the query needs no more rows.
func (o *Order) Stopped() bool { return o.stopped }

// maxGroup bounds the values for which an Order keeps memory between reads.
const maxGroup = 1 << 15

// What is held of one step at the most. Only a device that writes a million
// values a second has more.
const (
	maxHeldValues = 1 << 20
	maxHeldBytes  = 64 << 20 // of their text
)

// Release drops what o refers to, and memory of more than maxKept bytes.
func (o *Order) Release(maxKept int) {
	o.stats.LeaveOut("", hotreader.Unreadable, o.unreadable)
	for i, n := range o.left {
		if n > 0 {
			o.stats.Warn(hotreader.Warning{Reason: hotreader.Unreadable, Property: o.columns[i], Count: n, Detail: "bytes, or another kind that no answer can hold"})
		}
		o.stats.LeaveOut(o.columns[i], hotreader.Replaced, o.replaced[i])
	}
	if cap(o.values) > maxGroup || cap(o.arena) > maxKept {
		*o = Order{}
		return
	}
	o.query, o.stats, o.yield, o.columns, o.odd, o.rank, o.first = hotreader.Query{}, nil, nil, nil, hotreader.Value{}, nil, nil
	clear(o.keys[:cap(o.keys)])
	clear(o.values[:cap(o.values)])
}

// Slot returns the values of the next row, one for each column, to be
// decoded into before Add.
func (o *Order) Slot() []hotreader.Value {
	from := (o.begin + o.n) * o.width
	to := from + o.width
	if to > len(o.values) {
		o.values = slices.Grow(o.values, to-len(o.values))
		o.values = o.values[:cap(o.values)]
	}
	return o.values[from:to]
}

// Add takes the row in Slot, whose field of the time has the given value; if that is
// no time, the item is counted as unreadable. rank orders items of one instant by when
// they were written; nil = by the time's text. If the row begins another step, those of
// the step before are passed on. It returns false if the query needs no more.
func (o *Order) Add(at hotreader.Value, rank []byte) bool {
	if key := at.Text(); o.parser.Holds(at) {
		if t, ok := o.parser.parse(key); ok {
			if rank == nil {
				rank = key
			}
			return o.AddAt(t, rank)
		}
		if o.parser.foreign(key) || o.first != nil && o.first.has(key) {
			return true
		}
	}
	if o.unreadable++; o.unreadable == 1 {
		o.odd = at.Clone()
	}
	return true
}

// disorder is an error with the times of a row and of the one before.
const disorder = "the rows are in no order: %s came after %s; check the endpoint"

// AddAt is Add for a store that has instants.
func (o *Order) AddAt(t time.Time, rank []byte) bool {
	step := floor(t.Unix(), o.step)
	if o.n > 0 && step != o.held {
		if (step > o.held) == o.descending { // also where what is held is beyond the range
			return o.fail(hotreader.CodeProtocol, disorder, t.Format(time.RFC3339Nano), time.Unix(o.held, 0).UTC().Format(time.RFC3339Nano))
		}
		if !o.Pass() {
			return false
		}
	}
	if c := t.Compare(o.last); o.passed > 0 && c != 0 && (c > 0) == o.descending {
		return o.fail(hotreader.CodeProtocol, disorder, t.Format(time.RFC3339Nano), o.last.Format(time.RFC3339Nano))
	}
	o.readable++
	if o.n == 0 {
		o.held, o.before = step, o.unreadable
		o.times, o.keys = o.times[:0], o.keys[:0]
	}
	if o.n*o.width >= maxHeldValues || o.kept > 0 && len(o.arena) > maxHeldBytes {
		return o.fail(hotreader.CodeTooLarge, "the device has more than %d values, or %d bytes of them, within %v from %s on; ask for another range or for fewer properties",
			maxHeldValues, maxHeldBytes, o.length(), time.Unix(step, 0).UTC().Format("2006-01-02T15:04:05Z"))
	}
	if o.page.IsZero() {
		o.page = t
	}
	o.times = append(o.times, t)
	o.keys = append(o.keys, rank)
	o.n++
	return true
}

// fail ends the read with an error.
func (o *Order) fail(code hotreader.Code, format string, args ...any) bool {
	o.n, o.stopped = 0, true
	o.yield(hotreader.Row{}, &hotreader.Error{Op: "store: put rows in order", Code: code, Err: fmt.Errorf(format, args...)})
	return false
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
// that is unknown.
func (o *Order) Rest() (rest hotreader.Query, span time.Duration, ok bool) {
	if o.page.IsZero() {
		return rest, 0, false
	}
	span = o.times[o.n-1].Sub(o.page).Abs()
	o.page = time.Time{}
	rest, ok = o.Waiting()
	return rest, span, ok
}

// Behind returns the query for all rows after the one passed last; ok is false if
// nothing can.
func (o *Order) Behind() (rest hotreader.Query, ok bool) {
	if o.passed == 0 {
		return o.query, true
	}
	return o.query.Behind(o.last)
}

// Reached says that no row before t comes any more, in the query's order. It returns false
// if the query needs no more rows.
func (o *Order) Reached(t time.Time) bool {
	return o.n == 0 || floor(t.Unix(), o.step) == o.held || o.Pass()
}

// Waiting returns the query for all that has not been passed on; ok is false if that
// is unknown.
func (o *Order) Waiting() (rest hotreader.Query, ok bool) {
	rest = o.query
	if o.passed > 0 {
		if rest, ok = rest.Behind(o.last); !ok {
			return rest, false
		}
	}
	begins := time.Unix(o.held, 0).UTC()
	if ends := begins.Add(o.length() - 1); o.descending {
		if rest.End.IsZero() || ends.Before(rest.End) {
			rest.End = ends
		}
		return rest, !rest.End.IsZero()
	}
	if begins.After(rest.Start) { // a start that is zero is open
		rest.Start = begins
	}
	return rest, !rest.Start.IsZero()
}

// Pass passes the rows held on, for their step is over, and makes the row in Slot the
// first. Call it after the last page. It returns false if the query needs no more rows.
func (o *Order) Pass() bool {
	n := o.n
	if n == 0 {
		return true
	}
	if n > 1 && !o.sort(n) {
		return false
	}
	o.n, o.kept = 0, 0
	if n == 1 {
		if !o.emit(0) {
			return false
		}
	} else {
		for _, i := range o.order {
			if !o.emit(int(i)) {
				return false
			}
		}
	}
	if o.begin += n; o.begin >= maxFirst { // back to the front
		from := o.begin * o.width
		copy(o.values[:o.width], o.values[from:min(from+o.width, len(o.values))])
		o.begin = 0
	}
	return true
}

// maxFirst bounds where the rows begin: it is cheaper to begin one further than to
// move a row, but not in memory that is in no cache.
const maxFirst = 16

func (o *Order) row(i int) []hotreader.Value {
	from := (o.begin + i) * o.width
	return o.values[from : from+o.width]
}

func (o *Order) emit(i int) bool {
	t := o.times[i]
	if !o.query.Contains(t) {
		return true // the store compares texts, and is asked for whole seconds
	}
	row := o.row(i)
	o.passed++
	o.last, o.rank = t, o.keys[i]
	for k := range o.query.Properties {
		if !row[k].IsNull() {
			o.useful++
			break
		}
	}
	for k := 0; o.lacking > 0 && k < len(o.given); k++ {
		if !o.given[k] && !row[k].IsNull() {
			o.given[k] = true
			o.lacking--
		}
	}
	o.stopped = !o.yield(hotreader.Row{Time: t, Values: row}, nil)
	return !o.stopped
}

// sort sets order to the indices of the rows to pass on, each instant once. It returns
// false where that takes ranks that are not there.
func (o *Order) sort(n int) bool {
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
		return true
	}
	slices.SortFunc(o.order, func(a, b int32) int {
		c := o.times[a].Compare(o.times[b])
		if o.descending {
			c = -c
		}
		if c == 0 && !o.unranked {
			c = compareRanks(o.keys[b], o.keys[a]) // the one written last first
		}
		if c == 0 {
			if c = int(b - a); o.descending {
				c = -c
			}
		}
		return c
	})
	first := 0
	for k := 1; k < n; k++ {
		switch at, later := o.order[k], o.order[first]; {
		case !o.times[at].Equal(o.times[later]):
			first = k
		case !o.merge(int(later), int(at)):
			o.conflict, o.stopped = true, true
			return false
		}
	}
	o.order = slices.CompactFunc(o.order, func(a, b int32) bool { return o.times[a].Equal(o.times[b]) })
	return true
}

// merge adds to the row of the item written last what only an earlier one of the same
// instant has. It returns false if it is unknown which of them is the later one.
func (o *Order) merge(last, earlier int) bool {
	if !o.query.Contains(o.times[last]) {
		return true
	}
	row, old := o.row(last), o.row(earlier)
	for k, v := range old {
		switch {
		case v.IsNull():
		case row[k].IsNull():
			row[k] = v
		case hotreader.Same(row[k], v):
		case o.unranked:
			return false
		default:
			o.replaced[k]++
		}
	}
	return true
}

// floor returns the greatest multiple of step that is not greater than n.
func floor(n, step int64) int64 {
	if step == 1 {
		return n
	}
	return n - (n%step+step)%step
}

// length returns how long a step is.
func (o *Order) length() time.Duration { return time.Duration(o.step) * time.Second }
