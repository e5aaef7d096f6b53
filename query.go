package hotreader

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"
	"unicode/utf8"
)

// Limits on what one query may name. They are the smallest that the stores
// share, so that a query that is right for one store is right for all.
const (
	MaxDeviceBytes = 2048 // DynamoDB's partition key
	MaxNameBytes   = 255  // a property's name
	MaxProperties  = 100  // properties of one query; the TwinMaker edge allows 10
	MaxFilters     = 50
)

// LookBack is how many stored rows of a device a query for latest values looks at
// where it does not say so itself, counted back from the newest row.
const LookBack = 1000

// Order is the order of rows by time. The zero value is Ascending.
type Order uint8

// The two orders.
const (
	Ascending Order = iota
	Descending
)

// String returns "ASCENDING" or "DESCENDING", as TwinMaker and the wire write it.
func (o Order) String() string {
	if o == Descending {
		return "DESCENDING"
	}
	return "ASCENDING"
}

// Query asks for rows of one device.
type Query struct {
	Device     string
	Properties []string  // in answer order, at least one, each once
	Types      []Type    // of Properties, one by one; nil = Untyped, see Meaning
	Start, End time.Time // [Start, End], both inclusive, as instants; zero = open
	Order      Order     // zero = Ascending
	Limit      int       // rows; 0 = none
	Filters    []Filter  // a row must pass them all

	// Last asks for the newest value of each property instead of the series.
	// Rows come newest first, only those that hold a property not seen before,
	// and hold only such properties. Order and Limit are ignored. Without an End,
	// it is a day after the clock of the place where the rows lie, so that a row
	// with a wrong time, far ahead, hides nothing.
	Last bool

	// Pick asks for some rows of each interval of a grid, out of those that pass the
	// filters. Limit counts the picked ones.
	Pick Pick

	// LookBack bounds how many stored rows Last looks at, from the newest on. Where
	// that ends the search, a warning says so. 0 = the constant LookBack.
	LookBack int
}

// Check reports what is wrong with q, all of it in one error of CodeInvalid.
func (q *Query) Check() error {
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	switch {
	case q.Device == "":
		bad("the device id is empty")
	case len(q.Device) > MaxDeviceBytes:
		bad("the device id has %d bytes, at most %d are allowed", len(q.Device), MaxDeviceBytes)
	case !utf8.ValidString(q.Device):
		bad("the device id is not valid UTF-8")
	}
	switch n := len(q.Properties); {
	case n == 0:
		bad("no property is selected")
	case n > MaxProperties:
		bad("%d properties are selected, at most %d are allowed", n, MaxProperties)
	}
	for i, p := range q.Properties {
		if msg := checkName(p); msg != "" {
			bad("selected property %d %s", i+1, msg)
		} else if slices.Contains(q.Properties[:i], p) {
			bad("property %q is selected twice", p)
		}
	}
	if q.Types != nil && len(q.Types) != len(q.Properties) {
		bad("%d types are given for %d properties", len(q.Types), len(q.Properties))
	}
	if !q.Start.IsZero() && !q.End.IsZero() && q.Start.After(q.End) {
		bad("the start %s is after the end %s", q.Start.Format(time.RFC3339Nano), q.End.Format(time.RFC3339Nano))
	}
	if q.Order > Descending {
		bad("order %d is unknown", q.Order)
	}
	if q.Limit < 0 {
		bad("the limit %d is negative", q.Limit)
	}
	if q.LookBack < 0 {
		bad("the look-back of %d rows is negative", q.LookBack)
	}
	if msg := q.Pick.check(q); msg != "" {
		bad("the query %s", msg)
	}
	if n := len(q.Filters); n > MaxFilters {
		bad("%d filters are given, at most %d are allowed", n, MaxFilters)
	}
	for i, f := range q.Filters {
		if msg := f.check(); msg != "" {
			bad("filter %d %s", i+1, msg)
		}
	}
	return invalid("query", wrong)
}

func checkName(name string) string {
	switch {
	case name == "":
		return "has an empty name"
	case len(name) > MaxNameBytes:
		return fmt.Sprintf("has a name of %d bytes, at most %d are allowed", len(name), MaxNameBytes)
	case !utf8.ValidString(name):
		return "has a name that is not valid UTF-8"
	}
	return ""
}

// Columns returns what a Source must fetch to answer q: its properties in order,
// then those that only filters name. Not to be changed.
func (q *Query) Columns() []string {
	n := len(q.Properties)
	columns := q.Properties[:n:n]
	for _, f := range q.Filters {
		if !slices.Contains(columns, f.Property) {
			columns = append(columns, f.Property)
		}
	}
	return columns
}

// Backward reports whether rows are to come newest first.
func (q *Query) Backward() bool { return q.Last || q.Order == Descending }

// MaxLooked returns how many stored rows Last looks at.
func (q *Query) MaxLooked() int { return cmp.Or(q.LookBack, LookBack) }

// Closed returns q with the End that a query for latest values has where the rows
// lie, if it says none. Sources that hold rows call it.
func (q Query) Closed(now time.Time) Query {
	if q.Last && q.End.IsZero() {
		if q.End = now.Add(24 * time.Hour); q.End.Before(q.Start) {
			q.End = q.Start
		}
	}
	return q
}

// Contains reports whether t is in q's range.
func (q *Query) Contains(t time.Time) bool {
	if s := t.Unix(); q.Start.Unix() < s && s < q.End.Unix() { // most rows; an open end is long ago
		return true
	}
	return (q.Start.IsZero() || !t.Before(q.Start)) && (q.End.IsZero() || !t.After(q.End))
}

// Behind returns q narrowed to the rows that come after the instant t in q's
// order, and whether there can be any. A device has one row an instant, so a
// read that broke off after a row at t is resumed by reading Behind(t).
func (q Query) Behind(t time.Time) (Query, bool) {
	step, bound := time.Duration(1), &q.Start
	if q.Backward() {
		step, bound = -1, &q.End
	}
	if *bound = t.Add(step); bound.IsZero() { // which would open the range again; no row is there
		*bound = bound.Add(step)
	}
	return q, q.Start.IsZero() || q.End.IsZero() || !q.Start.After(q.End)
}

// Row is what one device reported at one instant.
type Row struct {
	Time   time.Time // UTC; zero only where a foreign peer's latest value carries none
	Values []Value   // of q.Properties from a Reader, of q.Columns from a Source; null where the row has none

	// Types are the types of q.Properties as far as they are known by now: as
	// declared, or for FirstKind that of the first value. Meaning sets them; raw rows
	// have none. Do not change them, nor keep them without a copy.
	Types []Type
}

// Clone returns a copy of r that owns its memory.
func (r Row) Clone() Row {
	values := make([]Value, len(r.Values))
	for i, v := range r.Values {
		values[i] = v.Clone()
	}
	return Row{Time: r.Time, Values: values, Types: slices.Clone(r.Types)}
}

// A Source brings what is stored: the raw rows of one device. Stores and remote
// clouds are Sources; a router, a retry and reading ahead are Sources around
// Sources. What a query makes of the rows, Meaning does on top.
type Source interface {
	// Scan returns the rows of q.Device in [q.Start, q.End] that hold one of
	// q.Columns. Row.Values belong to q.Columns, one by one, each value in the
	// kind that is stored.
	//
	// It is lazy: nothing happens before the sequence is ranged over, and each
	// range is a read of its own. Rows come strictly ordered by time, newest
	// first if q.Backward, no instant twice. Where a store holds several items of one
	// instant they are one row: property by property the value written last wins,
	// by the store's own clock; other values that it replaces are counted. All rows
	// come: only an error or the caller's stopping end the sequence early. What could
	// not be read is counted in the context's Stats. Where items are there and none
	// of them can be read, that is an error of CodeUnreadable.
	//
	// q.Types, Filters, Limit, Pick and Last are hints: they say what will become of the
	// rows. A Source may size its requests by them, and leave out rows that they
	// exclude for sure; it need not. It may also bring rows without any of the
	// columns. q has passed Query.Check.
	//
	// A Row and its Values are valid until the next row; Values may be changed.
	// An error is the last thing yielded and is an *Error. A device that is not
	// known, or has no rows in range, yields nothing and is not an error.
	//
	// Stopping early, and cancelling ctx, release everything. A Source is safe
	// for concurrent use.
	Scan(ctx context.Context, q Query) iter.Seq2[Row, error]
}

// A Reader answers queries: it is what edges ask. NewReader makes one.
type Reader interface {
	// Read returns the rows that q asks for. Row.Values belong to q.Properties,
	// one by one, and each fits its property's type; a row in which no property
	// has a value does not come. All rows come: only q.Limit, q.Last, an error, or
	// the caller's stopping end the sequence early. An error of CodeInvalid comes
	// before any other work if q.Check fails.
	//
	// All else is as in Source.Scan: lazy, in order, no instant twice, a row valid
	// until the next (Row.Clone keeps one), the error last, safe for concurrent
	// use.
	Read(ctx context.Context, q Query) iter.Seq2[Row, error]
}

// Fail returns the sequence that yields err alone, for a Source or Reader that
// cannot begin.
func Fail(err error) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) { yield(Row{}, err) }
}

// Record is a row to be written.
type Record struct {
	Time   time.Time
	Fields []Field // each name once; null values are not stored
}

// Field is one property of a Record.
type Field struct {
	Name  string
	Value Value
}

// few is how many fields of a record are compared with each other, which allocates nothing.
const few = 16

// CheckRecords rejects what no store takes: what no query could ask for, or what
// would be read as something else. A store rejects by itself what only it cannot
// hold. The error is not an *Error: the caller wraps it in one of CodeInvalid.
func CheckRecords(device string, records []Record) error {
	if device == "" || len(device) > MaxDeviceBytes || !utf8.ValidString(device) {
		return fmt.Errorf("the device id %.60q must be valid UTF-8 of 1 to %d bytes", device, MaxDeviceBytes)
	}
	var last map[string]int // of properties of records with many, which of those had it last, from 1
	for i := range records {
		r := &records[i]
		many := len(r.Fields) > few
		if many && last == nil {
			last = map[string]int{}
		}
		if y := r.Time.UTC().Year(); r.Time.IsZero() || y < 0 || y > 9999 {
			return fmt.Errorf("record %d of device %.60q has no time within the years 0 to 9999", i+1, device)
		}
		for k := range r.Fields {
			f := &r.Fields[k]
			switch {
			case f.Name == "" || len(f.Name) > MaxNameBytes || !utf8.ValidString(f.Name):
				return fmt.Errorf("record %d of device %.60q: the property name %.60q must be valid UTF-8 of 1 to %d bytes", i+1, device, f.Name, MaxNameBytes)
			case last[f.Name] == i+1, !many && slices.ContainsFunc(r.Fields[:k], func(g Field) bool { return g.Name == f.Name }):
				return fmt.Errorf("record %d of device %.60q has the property %q twice", i+1, device, f.Name)
			case f.Value.Kind() == Number && !IsNumber(f.Value.Text()):
				return fmt.Errorf("record %d of device %.60q: the number %.60q of property %q is none", i+1, device, f.Value.Text(), f.Name)
			case f.Value.Kind() == String && !utf8.Valid(f.Value.Text()):
				return fmt.Errorf("record %d of device %.60q: the text of property %q is not valid UTF-8", i+1, device, f.Name)
			}
			if many {
				last[f.Name] = i + 1
			}
		}
	}
	return nil
}

// A Writer stores rows, for import and tests. The read path never writes.
type Writer interface {
	// Write stores records of one device. They may come in any order. A record
	// replaces, as a whole, the one that the device has at the same instant;
	// among the records of one call the later one wins. When Write returns nil
	// all of them are durable; when it returns an error, any part of them may
	// be, and the call may be repeated. An error is an *Error.
	Write(ctx context.Context, device string, records []Record) error
}

// Mode says what becomes of a row that a device has at a record's instant already.
type Mode uint8

// The modes.
const (
	Replace Mode = iota // the record replaces it as a whole
	Merge               // it keeps the properties that the record lacks
)

// Changes counts records by what they did. Records of one call that share an instant
// may be joined first; each of them counts.
type Changes struct {
	Added   int64 // made a row
	Changed int64 // changed a row that was there
	Same    int64 // found a row that has all of it already
	Over    int64 // of Changed, with Merge: replaced a value

	Values map[string]int64 // of Over: how many values, by property; nil = none
}

// Add adds what other has counted.
func (c *Changes) Add(other Changes) {
	c.Added += other.Added
	c.Changed += other.Changed
	c.Same += other.Same
	c.Over += other.Over
	for name, n := range other.Values {
		c.Replaces(name, n)
	}
}

// Replaces counts values of a property that others replaced.
func (c *Changes) Replaces(name string, n int64) {
	if c.Values == nil {
		c.Values = map[string]int64{}
	}
	c.Values[name] += n
}

// An Updater is a Writer that knows what it changes.
type Updater interface {
	// Update is Write, but for what mode says. After an error, Changes are of what is
	// stored.
	Update(ctx context.Context, device string, records []Record, mode Mode) (Changes, error)
}

// A Merger is a Writer that takes longer to merge than to write: it sends a request a
// record.
type Merger interface {
	// Merge is Write, but a row that is there keeps the properties that a record lacks.
	// No two records of a call may share an instant.
	Merge(ctx context.Context, device string, records []Record) error
}

// Store is hot storage that can be read, filled and closed.
type Store interface {
	Source
	Writer
	io.Closer
}
