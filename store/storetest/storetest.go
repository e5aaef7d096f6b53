// Package storetest is the conformance suite of [hotreader.Source] and
// [hotreader.Writer]: every store, remote cloud, retry and router passes all of it.
// Most checks look at rows through hotreader.NewReader, as edges do; those named
// scan/… look at the raw rows.
//
// A driver's test is one line, Run(t, Harness{…}). What a driver cannot do is
// declared in its Harness, negatively and one gap at a time, so that a new
// check holds for every driver from the day it is written.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotreader"
)

// Harness says how a driver is brought up, and what it cannot do.
type Harness struct {
	// New returns a Source and the Writer of its store, which must be
	// empty. Whatever they hold is released by t.Cleanup. It is called for each
	// check anew; checks do not run concurrently.
	New func(t testing.TB) (hotreader.Source, hotreader.Writer)

	// PutRaw stores an item whose time is the given text, as another program
	// would, in the store that New returned last. Two texts of one instant are
	// two items. nil = the store keeps instants, not text.
	PutRaw func(t testing.TB, device, timeText string, fields ...hotreader.Field)

	// Reopen closes what New or Reopen returned last and opens the same store
	// again, as a program does that was started anew. nil = the rows are not kept
	// by the driver but by a service, or not at all (memory).
	Reopen func(t testing.TB) (hotreader.Source, hotreader.Writer)

	// RewritesNumbers: the store keeps a number's value but not its spelling
	// (DynamoDB makes 1.50 and 15e-1 both 1.5).
	RewritesNumbers bool

	// WideNumbersAsText: a number whose digits a float64 does not bring back is
	// kept as text, and is a number again only where its type is declared (JSON
	// documents, whose numbers are doubles).
	WideNumbersAsText bool

	// RefusesDevice: device IDs for which it returns true are ambiguous,
	// or cannot be stored at all; to write or to ask for one is an error of CodeInvalid.
	RefusesDevice func(device string) bool

	// RefusesName: properties for whose name it returns true cannot be stored; to
	// write one is an error of CodeInvalid, and no row has it.
	RefusesName func(property string) bool

	// EmptyIsMissing: a store without any row does not exist, and a query to it is
	// an error of CodeNotFound (Firestore has no empty collections).
	EmptyIsMissing bool

	// OnlyWrites: the Writer is neither a hotreader.Updater nor a hotreader.Merger.
	OnlyWrites bool

	// Not names checks that cannot hold for a layout, for its times are coarser than they
	// need, or that run elsewhere, for they take long.
	Not []string

	// LatestWins: of several texts of one instant the item that was stored last
	// wins, not the one with the greatest text.
	LatestWins bool

	// LatestSecondWins: as LatestWins, but of those that were stored within a second
	// of the service's clock the one with the greatest text wins (Cosmos DB).
	LatestSecondWins bool

	// OneKind: a series has values of one kind (TwinMaker's JSON).
	OneKind bool

	// NoStats: rows and skipped items are counted at the other end of a wire,
	// so the caller's hotreader.Stats do not hold them.
	NoStats bool

	reader func(hotreader.Source) hotreader.Reader // nil = hotreader.NewReader
}

// open returns the Reader of a new Source, and its Writer.
func (h Harness) open(t testing.TB) (hotreader.Reader, hotreader.Writer) {
	src, w := h.New(t)
	if h.reader != nil {
		return h.reader(src), w
	}
	return hotreader.NewReader(src), w
}

// check is one promise of the contract. run reports breaches to t like a test.
type check struct {
	name string
	run  func(t testing.TB, h Harness)
}

// Run checks the driver of h against the contract.
func Run(t *testing.T, h Harness) {
	for _, c := range h.checks() {
		if !slices.Contains(h.Not, c.name) {
			t.Run(c.name, func(t *testing.T) { c.run(t, h) })
		}
	}
}

// rowChecks are the checks of what depends on how items are laid out.
var rowChecks = []string{"scan/raw rows, whole and in order", "range/both ends belong to it", "range/instants whatever the zone", "range/nanoseconds",
	"order/ascending and its exact reverse", "limit", "resume/after every row", "rows/only those with a selected property",
	"rows/values in the order selected", "devices/apart from each other", "names/hostile properties", "names/a hundred properties",
	"values/numbers to the last digit", "values/strings to the last byte", "values/kinds", "last/newest of each property", "last/older values",
	"filters/on what is not selected", "write/the last write wins", "write/any order, any batch"}

// RunRows is Run for one more layout of a store that has passed all of it: it checks
// what depends on how items are laid out.
func (h Harness) RunRows(t *testing.T) {
	for _, c := range h.checks() {
		if slices.Contains(rowChecks, c.name) && !slices.Contains(h.Not, c.name) {
			t.Run(c.name, func(t *testing.T) { c.run(t, h) })
		}
	}
}

// checks lists the checks that hold for the driver. What it cannot do is not
// checked at all, so nothing is reported as passed that was not tried.
func (h Harness) checks() []check {
	all := []check{
		{"scan/raw rows, whole and in order", scanRaw},
		{"scan/lazy, again and with one error", scanEnds},
		{"range/both ends belong to it", rangeInclusive},
		{"range/instants whatever the zone", rangeZones},
		{"range/open, empty and outside", rangeEmpty},
		{"range/nanoseconds", rangeNanoseconds},
		{"range/times of all ages", rangeAges},
		{"order/ascending and its exact reverse", orderReverse},
		{"limit", limits},
		{"resume/after every row", resumeEverywhere},
		{"rows/only those with a selected property", rowsSelected},
		{"rows/values in the order selected", rowsColumns},
		{"rows/valid until the next", rowsValid},
		{"devices/apart from each other", devicesApart},
		{"devices/hostile ids", devicesHostile},
		{"names/hostile properties", namesHostile},
		{"names/a hundred properties", namesMany},
		{"values/numbers to the last digit", valuesNumbers},
		{"values/strings to the last byte", valuesStrings},
		{"values/kinds", valuesKinds},
		{"types/declared", typesDeclared},
		{"types/inferred", typesInferred},
		{"last/a row far ahead hides nothing", lastAhead},
		{"filters/every operator", filtersOperators},
		{"filters/on what is not selected", filtersUnselected},
		{"filters/with limit and order", filtersLimit},
		{"last/newest of each property", lastNewest},
		{"last/older values", lastOlder},
		{"last/looks back so far and no further", lastLookBack},
		{"last/range, types and filters", lastNarrowed},
		{"write/the last write wins", writeLastWins},
		{"write/replaces whole rows", writeReplaces},
		{"write/any order, any batch", writeOrder},
		{"write/nothing", writeNothing},
		{"write/what cannot be read again", writeRefuses},
		{"query/what is wrong is said first", queryInvalid},
		{"life/lazy, and each range a read of its own", lifeLazy},
		{"life/stopping early", lifeStop},
		{"life/cancelled", lifeCancel},
		{"life/past its deadline", lifeDeadline},
		{"life/concurrent", lifeConcurrent},
		{"life/writing while reading", lifeWriteInside},
		{"long/every page is followed", longSeries},
		{"random/as the oracle answers", randomOracle},
	}
	if !h.NoStats {
		all = append(all, check{"stats/what was looked at", statsCounted})
		if !h.OneKind {
			all = append(all, check{"types/kinds as stored", typesMixed})
		}
	}
	if !h.OnlyWrites {
		all = append(all, check{"write/merged, and counted", writeMerges})
	}
	if h.Reopen != nil {
		all = append(all, check{"life/opened again", lifeReopen})
	}
	if h.PutRaw != nil {
		all = append(all,
			check{"text/mixed widths in true order", textOrder},
			check{"text/several texts of one instant", textOneInstant},
			check{"text/bounds inside a second", textBounds},
			check{"text/unreadable times", textUnreadable})
	}
	return all
}

// base is the instant most checks begin at.
var base = time.Date(2024, time.February, 28, 23, 59, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return base.Add(d) }

func num(digits string) hotreader.Value { return hotreader.NumberValue([]byte(digits)) }
func str(text string) hotreader.Value   { return hotreader.StringValue([]byte(text)) }
func boolean(b bool) hotreader.Value    { return hotreader.BoolValue(b) }

// null means a property that a row does not have.
var null hotreader.Value

func field(name string, v hotreader.Value) hotreader.Field {
	return hotreader.Field{Name: name, Value: v}
}

func record(t time.Time, fields ...hotreader.Field) hotreader.Record {
	return hotreader.Record{Time: t, Fields: fields}
}

func row(t time.Time, values ...hotreader.Value) hotreader.Row {
	return hotreader.Row{Time: t, Values: values}
}

// ramp returns n records a step apart from base, "n" counting from 0.
func ramp(n int, step time.Duration) []hotreader.Record {
	records := make([]hotreader.Record, n)
	for i := range records {
		records[i] = record(at(time.Duration(i)*step), field("n", num(strconv.Itoa(i))))
	}
	return records
}

func write(t testing.TB, w hotreader.Writer, device string, records ...hotreader.Record) {
	t.Helper()
	if err := w.Write(t.Context(), device, records); err != nil {
		t.Fatalf("writing %d records of %.40q: %v", len(records), device, err)
	}
}

// collect reads a sequence to its end, keeps the rows, and watches what every
// sequence promises: strict order, UTC, one value a property, a value in each
// row, and that an error is an *Error, comes without a row and comes last.
func collect(q hotreader.Query, seq iter.Seq2[hotreader.Row, error]) (rows []hotreader.Row, err error, breach error) {
	descending := q.Last || q.Order == hotreader.Descending
	breakOff := func(format string, args ...any) {
		if breach == nil {
			breach = fmt.Errorf(format, args...)
		}
	}
	for r, e := range seq {
		if err != nil {
			breakOff("something comes after the error %v", err)
			break
		}
		if e != nil {
			if err = e; r.Values != nil || !r.Time.IsZero() {
				breakOff("a row comes with the error %v", e)
			}
			if _, ok := errors.AsType[*hotreader.Error](e); !ok {
				breakOff("the error %v is a %T, not an *hotreader.Error", e, e)
			}
			continue
		}
		if len(r.Values) != len(q.Properties) {
			breakOff("row %d has %d values, want %d", len(rows), len(r.Values), len(q.Properties))
			break
		}
		if r.Time.Location() != time.UTC {
			breakOff("row %d has a time in %v, want UTC", len(rows), r.Time.Location())
		}
		full := false
		for _, v := range r.Values {
			full = full || !v.IsNull()
		}
		if !full {
			breakOff("row %d at %v holds no value", len(rows), r.Time)
		}
		if n := len(rows); n > 0 {
			switch c := r.Time.Compare(rows[n-1].Time); {
			case c == 0:
				breakOff("the instant %v comes twice", r.Time)
			case (c < 0) != descending:
				breakOff("%v comes after %v in a read %v", r.Time, rows[n-1].Time, q.Order)
			}
		}
		rows = append(rows, r.Clone())
	}
	return rows, err, breach
}

// read returns all rows of q.
func read(t testing.TB, r hotreader.Reader, q hotreader.Query) []hotreader.Row {
	t.Helper()
	rows, err, breach := collect(q, r.Read(t.Context(), q))
	if err != nil {
		t.Fatalf("%s: %v", describe(q), err)
	}
	if breach != nil {
		t.Fatalf("%s: %v", describe(q), breach)
	}
	return rows
}

// expect reads q and compares the rows with want, one by one.
func (h Harness) expect(t testing.TB, r hotreader.Reader, q hotreader.Query, want ...hotreader.Row) {
	t.Helper()
	if msg := h.differ(read(t, r, q), want); msg != "" {
		t.Errorf("%s: %s", describe(q), msg)
	}
}

// differ says how got differs from want, "" if it does not.
func (h Harness) differ(got, want []hotreader.Row) string {
	for i := range min(len(got), len(want)) {
		if !got[i].Time.Equal(want[i].Time) {
			return fmt.Sprintf("row %d of %d is at %s, want %s (of %d)", i, len(got), stamp(got[i].Time), stamp(want[i].Time), len(want))
		}
		for k, v := range got[i].Values {
			if !h.same(v, want[i].Values[k]) {
				return fmt.Sprintf("row %d at %s: value %d is the %v %.80v, want the %v %.80v",
					i, stamp(got[i].Time), k, v.Kind(), v, want[i].Values[k].Kind(), want[i].Values[k])
			}
		}
	}
	if len(got) != len(want) {
		msg := fmt.Sprintf("%d rows came, want %d", len(got), len(want))
		if len(got) > len(want) {
			return msg + ", the first too many at " + stamp(got[len(want)].Time)
		}
		return msg + ", the first missing at " + stamp(want[len(got)].Time)
	}
	return ""
}

func (h Harness) same(got, want hotreader.Value) bool {
	if h.RewritesNumbers {
		return hotreader.Same(got, want)
	}
	return got.Kind() == want.Kind() && got.Bool() == want.Bool() && bytes.Equal(got.Text(), want.Text())
}

// isText reports whether v, a number, comes back as text unless its type is
// declared.
func (h Harness) isText(v hotreader.Value) bool {
	f, ok := v.Float64()
	return h.WideNumbersAsText && v.Kind() == hotreader.Number && !(ok && hotreader.Same(v, hotreader.Float64Value(f)))
}

// expectEmpty asks a store in which there is nothing at all.
func (h Harness) expectEmpty(t testing.TB, r hotreader.Reader, q hotreader.Query) {
	t.Helper()
	if !h.EmptyIsMissing {
		h.expect(t, r, q)
		return
	}
	if rows, err := failure(t.Context(), t, r, q); len(rows) > 0 || hotreader.CodeOf(err) != hotreader.CodeNotFound {
		t.Errorf("%s: %d rows and the error %v, want one of %s", describe(q), len(rows), err, hotreader.CodeNotFound)
	}
}

// expectRefusal writes a record that the driver says it rejects.
func (h Harness) expectRefusal(t testing.TB, w hotreader.Writer, device string, r hotreader.Record) {
	t.Helper()
	if err := w.Write(t.Context(), device, []hotreader.Record{r}); hotreader.CodeOf(err) != hotreader.CodeInvalid {
		t.Errorf("writing to %.40q: the error is %v, want one of %s", device, err, hotreader.CodeInvalid)
	}
}

func stamp(t time.Time) string { return t.Format(time.RFC3339Nano) }

// describe writes q as a short line for messages.
func describe(q hotreader.Query) string {
	var b strings.Builder
	fmt.Fprintf(&b, "query of %.40q, %.80q", q.Device, q.Properties)
	if q.Types != nil {
		fmt.Fprintf(&b, " as %v", q.Types)
	}
	if !q.Start.IsZero() || !q.End.IsZero() {
		fmt.Fprintf(&b, " from %s to %s", stamp(q.Start), stamp(q.End))
	}
	if q.Last {
		b.WriteString(" last")
	} else {
		fmt.Fprintf(&b, " %v", q.Order)
	}
	if q.Limit > 0 {
		fmt.Fprintf(&b, " limit %d", q.Limit)
	}
	for _, f := range q.Filters {
		fmt.Fprintf(&b, ", %q %v %.40v", f.Property, f.Op, f.Value)
	}
	return b.String()
}

// failure reads q and returns the error that its read ends with, nil if none.
func failure(ctx context.Context, t testing.TB, r hotreader.Reader, q hotreader.Query) ([]hotreader.Row, error) {
	t.Helper()
	rows, err, breach := collect(q, r.Read(ctx, q))
	if breach != nil {
		t.Fatalf("%s: %v", describe(q), breach)
	}
	return rows, err
}
