package twinmaker

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
)

// rowsReader is a Reader over rows in memory, ascending by time.
type rowsReader struct {
	names []string
	rows  []hotreader.Row

	queries []hotreader.Query // that were asked
	yielded int
	before  func(ctx context.Context, i int) error // called before the i-th row of a read
}

func (r *rowsReader) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	r.queries = append(r.queries, q)
	return func(yield func(hotreader.Row, error) bool) {
		for row, err := range hotreader.NewReader(rowsSource{r}).Read(ctx, q) {
			if err == nil {
				r.yielded++
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

type rowsSource struct{ *rowsReader }

func (r rowsSource) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		at := make([]int, len(q.Columns()))
		for i, name := range q.Columns() {
			at[i] = slices.Index(r.names, name)
		}
		values := make([]hotreader.Value, len(at))
		for i := range r.rows {
			row := r.rows[i]
			if q.Backward() {
				row = r.rows[len(r.rows)-1-i]
			}
			if r.before != nil {
				if err := r.before(ctx, i); err != nil {
					yield(hotreader.Row{}, err)
					return
				}
			}
			for i, column := range at {
				values[i] = hotreader.Value{}
				if column >= 0 {
					values[i] = row.Values[column]
				}
			}
			if !yield(hotreader.Row{Time: row.Time, Values: values}, nil) {
				return
			}
		}
	}
}

// rowsOf parses rows: first a line of names, then lines with a time and the values
// (number, true, false, "text", - for none).
func rowsOf(t testing.TB, text string) *rowsReader {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	r := &rowsReader{names: strings.Fields(lines[0])}
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) != len(r.names)+1 {
			t.Fatalf("line %q does not have %d values", line, len(r.names))
		}
		row := hotreader.Row{Time: instant(t, fields[0])}
		for _, f := range fields[1:] {
			row.Values = append(row.Values, valueOf(t, f))
		}
		r.rows = append(r.rows, row)
	}
	return r
}

func valueOf(t testing.TB, text string) hotreader.Value {
	t.Helper()
	switch {
	case text == "-":
		return hotreader.Value{}
	case text == "true" || text == "false":
		return hotreader.BoolValue(text == "true")
	case strings.HasPrefix(text, `"`):
		return hotreader.StringValue([]byte(strings.Trim(text, `"`)))
	case hotreader.IsNumber([]byte(text)):
		return hotreader.NumberValue([]byte(text))
	}
	t.Fatalf("%q is no value", text)
	return hotreader.Value{}
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := hotreader.ParseTime([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// seconds returns n rows, one every second, of numbers that identify row and property.
func seconds(n int, names ...string) *rowsReader {
	start := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	r := &rowsReader{names: names}
	for i := range n {
		row := hotreader.Row{Time: start.Add(time.Duration(i) * time.Second)}
		for j := range names {
			row.Values = append(row.Values, hotreader.NumberValue(fmt.Appendf(nil, "%d.%d", i, j)))
		}
		r.rows = append(r.rows, row)
	}
	return r
}

// entity is the reference of most tests.
var entity = Reference{EntityID: "e", ComponentName: "c"}

func ask(properties ...string) Request {
	return Request{Query: hotreader.Query{Device: "d", Properties: properties}, Ref: entity}
}

// pageReader yields rows as they are, as cheaply as a Reader can.
type pageReader struct{ rows []hotreader.Row }

func (r *pageReader) Read(_ context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	types := slices.Repeat([]hotreader.Type{hotreader.AnyNumber}, len(q.Properties))
	copy(types, q.Types)
	return func(yield func(hotreader.Row, error) bool) {
		for i := range r.rows {
			if !yield(hotreader.Row{Time: r.rows[i].Time, Values: r.rows[i].Values, Types: types}, nil) {
				return
			}
		}
	}
}
