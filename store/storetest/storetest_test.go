package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/memstore"
)

// A suite that cannot fail is a defect. Here it is run against readers and
// writers that are broken, each in one way that was seen in the field or is
// easy to make, and the check that is there for it must find it.

func TestMain(m *testing.M) {
	flag.Parse()
	// Failures are wanted here; they are not to be kept for replay, and need not
	// be made small.
	for name, value := range map[string]string{"rapid.nofailfile": "true", "rapid.shrinktime": "0s"} {
		if err := flag.Set(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	os.Exit(m.Run())
}

// recorder is a testing.TB that keeps failures to itself.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
}

func (r *recorder) add(msg string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, msg)
}

func (r *recorder) Errorf(format string, args ...any) { r.add(fmt.Sprintf(format, args...)) }
func (r *recorder) Error(args ...any)                 { r.add(fmt.Sprint(args...)) }
func (r *recorder) Fail()                             { r.add("failed") }
func (r *recorder) Logf(string, ...any)               {}
func (r *recorder) Log(...any)                        {}
func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

// stop ends a check as runtime.Goexit would, in a way that can be told from a
// panic of its own.
type stop struct{}

func (r *recorder) FailNow()          { r.add("failed"); panic(stop{}) }
func (r *recorder) Fatal(args ...any) { r.add(fmt.Sprint(args...)); panic(stop{}) }
func (r *recorder) Fatalf(format string, args ...any) {
	r.add(fmt.Sprintf(format, args...))
	panic(stop{})
}

// findings runs a check and returns what it finds wrong with the driver of h.
func findings(t *testing.T, c check, h Harness) []string {
	r := &recorder{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != (stop{}) {
				r.add(fmt.Sprintf("panic: %v", p))
			}
		}()
		c.run(r, h)
	}()
	return r.failures
}

// broken is a Source and Writer over an honest store.
type broken struct {
	store *memstore.Store
	read  func(r hotreader.Source, ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error]
	write func(w hotreader.Writer, ctx context.Context, device string, records []hotreader.Record) error
}

func (b *broken) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if b.read == nil {
		return b.store.Scan(ctx, q)
	}
	return b.read(b.store, ctx, q)
}

func (b *broken) Write(ctx context.Context, device string, records []hotreader.Record) error {
	if b.write == nil {
		return b.store.Write(ctx, device, records)
	}
	return b.write(b.store, ctx, device, records)
}

// A bug of the meaning is planted above it: in a Reader, as which broken's Scan
// stands in, and which is made of Readers.
type (
	asReader struct{ hotreader.Source }
	asSource struct{ hotreader.Reader }
)

func (r asReader) Read(ctx context.Context, q hotreader.Query) rows { return r.Scan(ctx, q) }
func (s asSource) Scan(ctx context.Context, q hotreader.Query) rows { return s.Read(ctx, q) }

type (
	readFunc  = func(r hotreader.Source, ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error]
	writeFunc = func(w hotreader.Writer, ctx context.Context, device string, records []hotreader.Record) error
	rows      = iter.Seq2[hotreader.Row, error]
)

// asked changes the query.
func asked(change func(q *hotreader.Query)) readFunc {
	return func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
		if q.Check() == nil {
			change(&q)
		}
		return r.Scan(ctx, q)
	}
}

// each passes every row on through f, which may change it (it is a copy), drop
// it (false), and knows its number.
func each(f func(q hotreader.Query, n int, row *hotreader.Row) bool) readFunc {
	return func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
		return func(yield func(hotreader.Row, error) bool) {
			n := 0
			for row, err := range r.Scan(ctx, q) {
				if err == nil {
					row = row.Clone()
					if n++; !f(q, n-1, &row) {
						continue
					}
				}
				if !yield(row, err) {
					return
				}
			}
		}
	}
}

// all passes all rows and the error on through f.
func all(f func(q hotreader.Query, rows []hotreader.Row, err error) ([]hotreader.Row, error)) readFunc {
	return func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
		return func(yield func(hotreader.Row, error) bool) {
			var kept []hotreader.Row
			var failed error
			for row, err := range r.Scan(ctx, q) {
				if failed = err; err == nil {
					kept = append(kept, row.Clone())
				}
			}
			kept, failed = f(q, kept, failed)
			for _, row := range kept {
				if !yield(row, nil) {
					return
				}
			}
			if failed != nil {
				yield(hotreader.Row{}, failed)
			}
		}
	}
}

func values(f func(hotreader.Value) hotreader.Value) readFunc {
	return each(func(_ hotreader.Query, _ int, row *hotreader.Row) bool {
		for i, v := range row.Values {
			row.Values[i] = f(v)
		}
		return true
	})
}

func records(change func(records []hotreader.Record) []hotreader.Record) writeFunc {
	return func(w hotreader.Writer, ctx context.Context, device string, records []hotreader.Record) error {
		return w.Write(ctx, device, change(slices.Clone(records)))
	}
}

// lookBack answers last-entry queries from the n newest rows, all of which have
// the property "n".
func lookBack(n int) readFunc {
	return func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
		if !q.Last || q.Check() != nil {
			return r.Scan(ctx, q)
		}
		return func(yield func(hotreader.Row, error) bool) {
			wide := q
			wide.Last, wide.Order, wide.Limit = false, hotreader.Descending, n
			wide.Properties = append(slices.Clone(q.Properties), "n")
			if slices.Contains(q.Properties, "n") {
				wide.Properties = q.Properties
			}
			seen := make([]bool, len(q.Properties))
			for row, err := range r.Scan(ctx, wide) {
				if err != nil {
					yield(row, err)
					return
				}
				row = row.Clone()
				row.Values = row.Values[:len(q.Properties)]
				full := false
				for i, v := range row.Values {
					if seen[i] {
						row.Values[i] = null
					} else if !v.IsNull() {
						seen[i], full = true, true
					}
				}
				if full && !yield(row, nil) {
					return
				}
			}
		}
	}
}

// TestPitfall02TheSuiteFindsBugs: a test that passes on an empty series is no
// test.
func TestPitfall02TheSuiteFindsBugs(t *testing.T) {
	release := make(chan struct{}) // for the goroutines of the reader that leaves them
	defer close(release)
	checks := Harness{}.checks()
	bugs := []struct {
		bug   string
		found []string // the checks that must find it
		read  readFunc
		write writeFunc

		meaning bool // it is above the meaning, which a Source cannot get wrong
	}{
		{bug: "answers nothing, with success", found: namesOf(checks), // and no check may pass
			read: func(hotreader.Source, context.Context, hotreader.Query) rows {
				return func(func(hotreader.Row, error) bool) {}
			}},
		{bug: "drops the last row", found: []string{"order/ascending and its exact reverse", "range/both ends belong to it", "long/every page is followed", "random/as the oracle answers"},
			read: all(func(_ hotreader.Query, rows []hotreader.Row, err error) ([]hotreader.Row, error) {
				return rows[:max(len(rows)-1, 0)], err
			})},
		{bug: "drops the first row", found: []string{"order/ascending and its exact reverse", "limit", "resume/after every row"},
			read: each(func(_ hotreader.Query, n int, _ *hotreader.Row) bool { return n > 0 })},
		{bug: "loses one row in the middle", found: []string{"order/ascending and its exact reverse", "long/every page is followed"},
			read: each(func(_ hotreader.Query, n int, _ *hotreader.Row) bool { return n != 511 })},
		{bug: "ignores the order", found: []string{"order/ascending and its exact reverse", "limit", "random/as the oracle answers"},
			read: asked(func(q *hotreader.Query) { q.Order = hotreader.Ascending })},
		{bug: "takes the newest and turns them round", found: []string{"limit"},
			read: all(func(q hotreader.Query, rows []hotreader.Row, err error) ([]hotreader.Row, error) {
				if q.Limit > 1 && q.Order == hotreader.Descending {
					slices.Reverse(rows)
				}
				return rows, err
			})},
		{bug: "takes a hint for an order", found: []string{"scan/raw rows, whole and in order"},
			read: all(func(q hotreader.Query, rows []hotreader.Row, err error) ([]hotreader.Row, error) {
				if q.Limit > 0 && len(rows) > q.Limit {
					rows = rows[:q.Limit]
				}
				return rows, err
			})},
		{bug: "makes a series of one kind", found: []string{"scan/raw rows, whole and in order"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				q.Types = nil
				return hotreader.Meaning(r).Scan(ctx, q)
			}},
		{bug: "excludes the start", found: []string{"range/both ends belong to it", "range/nanoseconds", "random/as the oracle answers"},
			read: asked(func(q *hotreader.Query) {
				if !q.Start.IsZero() && (q.End.IsZero() || q.Start.Before(q.End)) {
					q.Start = q.Start.Add(1)
				}
			})},
		{bug: "excludes the end", found: []string{"range/both ends belong to it", "range/nanoseconds", "random/as the oracle answers"},
			read: asked(func(q *hotreader.Query) {
				if !q.End.IsZero() && q.Start.Before(q.End) {
					q.End = q.End.Add(-1)
				}
			})},
		{bug: "compares times to the second", found: []string{"scan/raw rows, whole and in order"},
			read: asked(func(q *hotreader.Query) {
				q.Start = q.Start.Truncate(time.Second)
				if !q.End.IsZero() {
					q.End = q.End.Truncate(time.Second).Add(time.Second - 1)
				}
			})},
		{bug: "keeps microseconds", found: []string{"range/nanoseconds", "resume/after every row"},
			write: records(func(records []hotreader.Record) []hotreader.Record {
				for i := range records {
					records[i].Time = records[i].Time.Truncate(time.Microsecond)
				}
				return records
			})},
		{bug: "reads clocks without their zone", found: []string{"range/instants whatever the zone", "write/the last write wins"},
			write: records(func(records []hotreader.Record) []hotreader.Record {
				for i, r := range records {
					_, offset := r.Time.Zone()
					records[i].Time = r.Time.Add(time.Duration(offset) * time.Second)
				}
				return records
			})},
		{bug: "counts nanoseconds in 64 bits", found: []string{"range/times of all ages"},
			read: each(func(_ hotreader.Query, _ int, row *hotreader.Row) bool {
				row.Time = time.Unix(0, row.Time.UnixNano()).UTC()
				return true
			})},
		{bug: "gives times of another zone", found: []string{"order/ascending and its exact reverse"},
			read: each(func(_ hotreader.Query, _ int, row *hotreader.Row) bool {
				row.Time = row.Time.In(time.FixedZone("", 3600))
				return true
			})},
		{bug: "fails for an empty range", found: []string{"range/open, empty and outside"},
			read: all(func(_ hotreader.Query, rows []hotreader.Row, err error) ([]hotreader.Row, error) {
				if err == nil && len(rows) == 0 {
					err = &hotreader.Error{Op: "read", Code: hotreader.CodeNotFound}
				}
				return rows, err
			})},
		{bug: "an instant comes twice", found: []string{"order/ascending and its exact reverse", "resume/after every row"},
			read: all(func(_ hotreader.Query, rows []hotreader.Row, err error) ([]hotreader.Row, error) {
				if n := len(rows); n > 1 {
					rows = append(rows, rows[n-1])
				}
				return rows, err
			})},
		{bug: "cuts at a page", found: []string{"long/every page is followed"},
			read: all(func(_ hotreader.Query, rows []hotreader.Row, err error) ([]hotreader.Row, error) {
				return rows[:min(len(rows), 6643)], err
			})},
		{meaning: true, bug: "stops at a page that has nothing", found: []string{"long/every page is followed"},
			read: all(func(q hotreader.Query, rows []hotreader.Row, err error) ([]hotreader.Row, error) {
				for i := 1; i < len(rows); i++ {
					if rows[i].Time.Sub(rows[i-1].Time).Abs() > 4000*5*time.Minute {
						return rows[:i], err
					}
				}
				return rows, err
			})},
		{meaning: true, bug: "ignores the limit", found: []string{"limit", "random/as the oracle answers"},
			read: asked(func(q *hotreader.Query) { q.Limit = 0 })},
		{meaning: true, bug: "gives one row more than the limit", found: []string{"limit"},
			read: asked(func(q *hotreader.Query) {
				if q.Limit > 0 {
					q.Limit++
				}
			})},
		{meaning: true, bug: "limits stored rows, then filters", found: []string{"limit", "filters/with limit and order"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				if q.Check() != nil || q.Limit == 0 || q.Last {
					return r.Scan(ctx, q)
				}
				wide := q
				wide.Filters, wide.Properties, wide.Types = nil, []string{"n", "other"}, nil
				var last time.Time
				for row := range r.Scan(ctx, wide) {
					last = row.Time
				}
				if last.IsZero() {
					return r.Scan(ctx, q)
				}
				if q.Order == hotreader.Ascending {
					q.End = last
				} else {
					q.Start = last
				}
				return r.Scan(ctx, q)
			}},
		{meaning: true, bug: "yields empty rows", found: []string{"rows/only those with a selected property"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				return func(yield func(hotreader.Row, error) bool) {
					some := false
					for row, err := range r.Scan(ctx, q) {
						some = true
						if !yield(row, err) {
							return
						}
					}
					if !some {
						yield(hotreader.Row{Time: base, Values: make([]hotreader.Value, len(q.Properties))}, nil)
					}
				}
			}},
		{bug: "swaps columns", found: []string{"rows/values in the order selected", "names/a hundred properties"},
			read: each(func(_ hotreader.Query, _ int, row *hotreader.Row) bool { slices.Reverse(row.Values); return true })},
		{meaning: true, bug: "gives the filters' columns too", found: []string{"filters/on what is not selected"},
			read: each(func(q hotreader.Query, _ int, row *hotreader.Row) bool {
				row.Values = append(row.Values, make([]hotreader.Value, len(q.Filters))...)
				return true
			})},
		{bug: "reads ahead into the same memory", found: []string{"rows/valid until the next"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				return func(yield func(hotreader.Row, error) bool) {
					buf := make([]hotreader.Value, len(q.Properties))
					var held *hotreader.Row
					for row, err := range r.Scan(ctx, q) {
						if err != nil {
							yield(hotreader.Row{}, err)
							return
						}
						copy(buf, row.Clone().Values) // before the row held back is yielded
						if held != nil && !yield(*held, nil) {
							return
						}
						held = &hotreader.Row{Time: row.Time, Values: buf}
					}
					if held != nil {
						yield(*held, nil)
					}
				}
			}},
		{bug: "mixes devices of one prefix", found: []string{"devices/apart from each other"},
			write: func(w hotreader.Writer, ctx context.Context, device string, records []hotreader.Record) error {
				return w.Write(ctx, strings.TrimRight(device, " \x00"), records)
			}},
		{bug: "folds the letter case of devices", found: []string{"devices/apart from each other"},
			read: asked(func(q *hotreader.Query) { q.Device = strings.ToLower(q.Device) }),
			write: func(w hotreader.Writer, ctx context.Context, device string, records []hotreader.Record) error {
				return w.Write(ctx, strings.ToLower(device), records)
			}},
		{bug: "unescapes device ids", found: []string{"devices/hostile ids"},
			read: asked(func(q *hotreader.Query) { q.Device = strings.ReplaceAll(q.Device, "%2F", "/") })},
		{bug: "takes a dot in a name for a path", found: []string{"names/hostile properties", "random/as the oracle answers"},
			read: asked(func(q *hotreader.Query) {
				q.Properties = slices.Clone(q.Properties)
				for i, p := range q.Properties {
					if p, _, ok := strings.Cut(p, "."); ok && !slices.Contains(q.Properties, p) {
						q.Properties[i] = p
					}
				}
			})},
		{bug: "passes numbers through float64", found: []string{"values/numbers to the last digit"},
			read: values(func(v hotreader.Value) hotreader.Value {
				if f, ok := v.Float64(); ok {
					return hotreader.Float64Value(f)
				}
				return v
			})},
		{bug: "loses strings that are empty", found: []string{"values/strings to the last byte", "rows/only those with a selected property"},
			read: values(func(v hotreader.Value) hotreader.Value {
				if v.Kind() == hotreader.String && len(v.Text()) == 0 {
					return null
				}
				return v
			})},
		{bug: "cuts long strings", found: []string{"values/strings to the last byte"},
			read: values(func(v hotreader.Value) hotreader.Value {
				if v.Kind() == hotreader.String && len(v.Text()) > 65_535 {
					return hotreader.StringValue(v.Text()[:65_535])
				}
				return v
			})},
		{bug: "makes booleans numbers", found: []string{"values/kinds", "types/inferred"},
			read: values(func(v hotreader.Value) hotreader.Value {
				if v.Kind() == hotreader.Bool {
					return num(map[bool]string{true: "1", false: "0"}[v.Bool()])
				}
				return v
			})},
		{meaning: true, bug: "ignores types", found: []string{"types/declared", "random/as the oracle answers"},
			read: asked(func(q *hotreader.Query) { q.Types = nil })},
		{meaning: true, bug: "infers anew at each row", found: []string{"types/inferred"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				return func(yield func(hotreader.Row, error) bool) {
					if q.Last || !slices.Contains(q.Types, hotreader.FirstKind) || q.Limit > 0 || q.Check() != nil {
						r.Scan(ctx, q)(yield)
						return
					}
					for more := true; more; {
						one := q
						one.Limit = 1
						more = false
						for row, err := range r.Scan(ctx, one) {
							if !yield(row, err) || err != nil {
								return
							}
							q, more = q.Behind(row.Time)
						}
					}
				}
			}},
		{meaning: true, bug: "ignores filters", found: []string{"filters/every operator", "filters/on what is not selected", "filters/with limit and order", "random/as the oracle answers"},
			read: asked(func(q *hotreader.Query) { q.Filters = nil })},
		{meaning: true, bug: "takes < for <=", found: []string{"filters/every operator"},
			read: asked(func(q *hotreader.Query) {
				q.Filters = slices.Clone(q.Filters)
				for i, f := range q.Filters {
					if f.Op == hotreader.Less {
						q.Filters[i].Op = hotreader.LessEqual
					}
				}
			})},
		{bug: "last entry: only the newest row", found: []string{"last/newest of each property", "last/older values", "last/range, types and filters"},
			read: all(func(q hotreader.Query, rows []hotreader.Row, err error) ([]hotreader.Row, error) {
				if q.Last {
					rows = rows[:min(len(rows), 1)]
				}
				return rows, err
			})},
		{bug: "last entry: looks back without end", found: []string{"last/looks back so far and no further"},
			read: lookBack(1 << 40)},
		{bug: "last entry: looks back one row less", found: []string{"last/looks back so far and no further"},
			read: lookBack(hotreader.LookBack - 1)},
		{meaning: true, bug: "last entry: ignores the range", found: []string{"last/range, types and filters"},
			read: asked(func(q *hotreader.Query) {
				if q.Last {
					q.Start, q.End = time.Time{}, time.Time{}
				}
			})},
		{bug: "last entry: minds the limit", found: []string{"last/newest of each property"},
			read: all(func(q hotreader.Query, rows []hotreader.Row, err error) ([]hotreader.Row, error) {
				if q.Last && q.Limit > 0 {
					rows = rows[:min(len(rows), q.Limit)]
				}
				return rows, err
			})},
		{bug: "the first write stands", found: []string{"write/the last write wins", "random/as the oracle answers"},
			write: records(func(records []hotreader.Record) []hotreader.Record { slices.Reverse(records); return records })},
		{bug: "merges properties of one instant", found: []string{"write/replaces whole rows"},
			write: func(w hotreader.Writer, ctx context.Context, device string, records []hotreader.Record) error {
				records = slices.Clone(records)
				for i, rec := range records {
					q := hotreader.Query{Device: device, Properties: []string{"a", "b", "c"}, Start: rec.Time, End: rec.Time}
					for row := range w.(hotreader.Source).Scan(ctx, q) {
						for k, v := range row.Values {
							if !v.IsNull() && !slices.ContainsFunc(rec.Fields, func(f hotreader.Field) bool { return f.Name == q.Properties[k] }) {
								records[i].Fields = append(slices.Clone(records[i].Fields), field(q.Properties[k], v.Clone()))
							}
						}
					}
				}
				return w.Write(ctx, device, records)
			}},
		{bug: "stores what it can of a bad batch", found: []string{"write/what cannot be read again"},
			write: func(w hotreader.Writer, ctx context.Context, device string, records []hotreader.Record) error {
				for _, r := range records {
					if err := w.Write(ctx, device, []hotreader.Record{r}); err != nil {
						return err
					}
				}
				return nil
			}},
		{bug: "drops bad records without a word", found: []string{"write/what cannot be read again"},
			write: func(w hotreader.Writer, ctx context.Context, device string, records []hotreader.Record) error {
				_ = w.Write(ctx, device, records)
				return nil
			}},
		{bug: "swallows errors", found: []string{"scan/lazy, again and with one error", "life/cancelled", "life/past its deadline"},
			read: all(func(_ hotreader.Query, rows []hotreader.Row, _ error) ([]hotreader.Row, error) { return rows, nil })},
		{bug: "ends short when it is cancelled", found: []string{"life/cancelled"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				return func(yield func(hotreader.Row, error) bool) {
					for row, err := range r.Scan(ctx, q) {
						if hotreader.CodeOf(err) == hotreader.CodeCanceled || !yield(row, err) {
							return
						}
					}
				}
			}},
		{bug: "does not mind the context", found: []string{"life/cancelled", "life/past its deadline"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				return r.Scan(context.WithoutCancel(ctx), q)
			}},
		{bug: "yields bare errors", found: []string{"scan/lazy, again and with one error", "life/cancelled"},
			read: all(func(_ hotreader.Query, rows []hotreader.Row, err error) ([]hotreader.Row, error) {
				if err != nil {
					err = errors.New("something is wrong")
				}
				return rows, err
			})},
		{bug: "goes on after an error", found: []string{"scan/lazy, again and with one error"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				return func(yield func(hotreader.Row, error) bool) {
					for row, err := range r.Scan(ctx, q) {
						if !yield(row, err) {
							return
						}
						if err != nil {
							r.Scan(context.WithoutCancel(ctx), q)(yield)
						}
					}
				}
			}},
		{bug: "gives a row with the error", found: []string{"scan/lazy, again and with one error"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				return func(yield func(hotreader.Row, error) bool) {
					for row, err := range r.Scan(ctx, q) {
						if err != nil {
							row.Time = base
						}
						if !yield(row, err) {
							return
						}
					}
				}
			}},
		{meaning: true, bug: "works before it checks", found: []string{"query/what is wrong is said first"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				return func(yield func(hotreader.Row, error) bool) {
					hotreader.StatsOf(ctx).Attempts.Add(1)
					r.Scan(ctx, q)(yield)
				}
			}},
		{bug: "reads before it is ranged over", found: []string{"scan/lazy, again and with one error"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				var kept []hotreader.Row
				for row, err := range r.Scan(ctx, q) {
					if err != nil {
						return hotreader.Fail(err)
					}
					kept = append(kept, row.Clone())
				}
				return func(yield func(hotreader.Row, error) bool) {
					for _, row := range kept {
						if !yield(row, nil) {
							return
						}
					}
				}
			}},
		{bug: "can be ranged over only once", found: []string{"scan/lazy, again and with one error"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				used := false
				return func(yield func(hotreader.Row, error) bool) {
					if !used {
						used = true
						r.Scan(ctx, q)(yield)
					}
				}
			}},
		{bug: "goes on when it is stopped", found: []string{"life/stopping early"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				return func(yield func(hotreader.Row, error) bool) {
					for row, err := range r.Scan(ctx, q) {
						yield(row, err)
					}
				}
			}},
		{bug: "leaves a goroutine behind", found: []string{"life/stopping early"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				return func(yield func(hotreader.Row, error) bool) {
					go func() { <-release }()
					r.Scan(ctx, q)(yield)
				}
			}},
		{bug: "does not count", found: []string{"stats/what was looked at"},
			read: func(r hotreader.Source, ctx context.Context, q hotreader.Query) rows {
				return r.Scan(hotreader.WithStats(ctx, new(hotreader.Stats)), q)
			}},
	}
	for _, b := range bugs {
		for _, name := range b.found {
			i := slices.IndexFunc(checks, func(c check) bool { return c.name == name })
			if i < 0 {
				t.Fatalf("there is no check %q", name)
			}
			h := Harness{OnlyWrites: true, New: func(testing.TB) (hotreader.Source, hotreader.Writer) {
				s := &broken{store: memstore.New(), read: b.read, write: b.write}
				return s, s
			}}
			if b.meaning {
				h.reader = func(src hotreader.Source) hotreader.Reader {
					store := src.(*broken).store
					return asReader{&broken{read: func(_ hotreader.Source, ctx context.Context, q hotreader.Query) rows {
						return b.read(asSource{hotreader.NewReader(store)}, ctx, q)
					}}}
				}
			}
			if len(findings(t, checks[i], h)) == 0 {
				t.Errorf("a store that %q passes the check %q", b.bug, name)
			}
		}
	}
}

// namesOf names checks.
func namesOf(checks []check) (names []string) {
	for _, c := range checks {
		names = append(names, c.name)
	}
	return names
}

// textStore keeps items under the text of their time.
type textStore struct {
	items map[string]map[string][]hotreader.Field // by device and text
	bug   string
}

func (s *textStore) put(_ testing.TB, device, text string, fields ...hotreader.Field) {
	if s.items[device] == nil {
		s.items[device] = make(map[string][]hotreader.Field)
	}
	s.items[device][text] = fields
}

func (s *textStore) Write(_ context.Context, device string, records []hotreader.Record) error {
	for _, r := range records {
		s.put(nil, device, r.Time.UTC().Format(time.RFC3339Nano), r.Fields...)
	}
	return nil
}

func (s *textStore) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		var texts []string
		for text := range s.items[q.Device] {
			texts = append(texts, text)
		}
		slices.Sort(texts)
		type stored struct {
			text string
			at   time.Time
		}
		var items []stored
		for _, text := range texts {
			at, ok := hotreader.ParseStoredTime([]byte(text))
			if !ok && s.bug != "does not count what it cannot read" {
				hotreader.StatsOf(ctx).LeaveOut("", hotreader.Unreadable, 1)
			}
			if !ok && s.bug == "fails for what it cannot read" {
				yield(hotreader.Row{}, &hotreader.Error{Op: "read", Code: hotreader.CodeCorrupt})
				return
			}
			if s.bug == "compares bounds as text" && (text < q.Start.Format(time.RFC3339Nano) || !q.End.IsZero() && text > q.End.Format(time.RFC3339Nano)) {
				continue
			}
			if ok {
				items = append(items, stored{text, at})
			}
		}
		if s.bug == "the smallest text stands" {
			slices.Reverse(items)
		}
		if s.bug != "orders by text" {
			slices.SortStableFunc(items, func(a, b stored) int { return a.at.Compare(b.at) })
		}
		var rows []hotreader.Row
		for i, it := range items {
			again := i > 0 && items[i-1].at.Equal(it.at)
			if !again || s.bug == "gives each text a row" || s.bug == "drops the other items of an instant" {
				if again && s.bug == "drops the other items of an instant" {
					rows = rows[:len(rows)-1]
				}
				rows = append(rows, hotreader.Row{Time: it.at, Values: make([]hotreader.Value, len(q.Columns()))})
			}
			for k, c := range q.Columns() {
				for _, f := range s.items[q.Device][it.text] {
					if f.Name == c {
						rows[len(rows)-1].Values[k] = f.Value
					}
				}
			}
		}
		if q.Backward() {
			slices.Reverse(rows)
		}
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

func TestTheSuiteFindsBugsWithTimesAsText(t *testing.T) {
	harness := func(bug string) Harness {
		var s *textStore
		return Harness{OnlyWrites: true,
			New: func(testing.TB) (hotreader.Source, hotreader.Writer) {
				s = &textStore{items: make(map[string]map[string][]hotreader.Field), bug: bug}
				return s, s
			},
			PutRaw: func(t testing.TB, device, text string, fields ...hotreader.Field) { s.put(t, device, text, fields...) },
		}
	}
	for _, b := range []struct {
		bug   string
		found []string
	}{
		{"", nil},
		{"orders by text", []string{"text/mixed widths in true order", "text/bounds inside a second"}},
		{"compares bounds as text", []string{"text/bounds inside a second"}},
		{"the smallest text stands", []string{"text/several texts of one instant", "text/mixed widths in true order"}},
		{"drops the other items of an instant", []string{"text/several texts of one instant"}},
		{"gives each text a row", []string{"text/several texts of one instant", "text/mixed widths in true order"}},
		{"does not count what it cannot read", []string{"text/unreadable times"}},
		{"fails for what it cannot read", []string{"text/unreadable times"}},
	} {
		h := harness(b.bug)
		for _, c := range h.checks() {
			if !strings.HasPrefix(c.name, "text/") {
				continue
			}
			found := findings(t, c, h)
			switch wanted := slices.Contains(b.found, c.name); {
			case wanted && len(found) == 0:
				t.Errorf("a store that %q passes the check %q", b.bug, c.name)
			case b.bug == "" && len(found) > 0:
				t.Errorf("an honest store fails the check %q: %s", c.name, found[0])
			}
		}
	}
}

// What is written must be kept, all of it, by the next program too.
func TestTheSuiteFindsForgetfulStores(t *testing.T) {
	for bug, reopened := range map[string]func(old *memstore.Store) *memstore.Store{
		"": func(old *memstore.Store) *memstore.Store { return old },
		"never writes to disk": func(*memstore.Store) *memstore.Store {
			return memstore.New()
		},
		"keeps one device": func(old *memstore.Store) *memstore.Store {
			return copied(t, old, func(device string, _ int) bool { return device == "a" })
		},
		"loses the last row": func(old *memstore.Store) *memstore.Store {
			return copied(t, old, func(device string, left int) bool { return device != "a" || left > 0 })
		},
	} {
		var s *broken
		h := Harness{OnlyWrites: true,
			New: func(testing.TB) (hotreader.Source, hotreader.Writer) {
				s = &broken{store: memstore.New()}
				return s, s
			},
			Reopen: func(testing.TB) (hotreader.Source, hotreader.Writer) {
				s = &broken{store: reopened(s.store)}
				return s, s
			},
		}
		checks := h.checks()
		i := slices.IndexFunc(checks, func(c check) bool { return c.name == "life/opened again" })
		if i < 0 {
			t.Fatal("there is no such check")
		}
		if found := findings(t, checks[i], h); (len(found) > 0) != (bug != "") {
			t.Errorf("of a store that %q the check finds %q", bug, found)
		}
	}
	if slices.ContainsFunc(Harness{}.checks(), func(c check) bool { return c.name == "life/opened again" }) {
		t.Error("the check is made of a store that cannot be opened again")
	}
}

// copied returns what keep lets through, by its device and how many rows come
// behind.
func copied(t testing.TB, from *memstore.Store, keep func(device string, left int) bool) *memstore.Store {
	t.Helper()
	to := memstore.New()
	properties := []string{"n", "s", "o"}
	for _, device := range []string{"a", "b"} {
		rows := read(t, hotreader.NewReader(from), hotreader.Query{Device: device, Properties: properties})
		for i, r := range rows {
			if !keep(device, len(rows)-1-i) {
				continue
			}
			var fields []hotreader.Field
			for k, v := range r.Values {
				if !v.IsNull() {
					fields = append(fields, field(properties[k], v))
				}
			}
			write(t, to, device, record(r.Time, fields...))
		}
	}
	return to
}

// TestTheSuitePassesTheHonest: what the bugs are wrapped around passes, so that
// it is the bugs that are found.
func TestTheSuitePassesTheHonest(t *testing.T) {
	h := Harness{OnlyWrites: true, New: func(testing.TB) (hotreader.Source, hotreader.Writer) {
		s := &broken{store: memstore.New()}
		return s, s
	}}
	for _, c := range h.checks() {
		if found := findings(t, c, h); len(found) > 0 {
			t.Errorf("the check %q finds in an honest store: %s", c.name, found[0])
		}
	}
}

// TestOracle holds the oracle, which judges the random check, against answers
// worked out by hand.
func TestOracle(t *testing.T) {
	s := func(n int) time.Time { return at(time.Duration(n) * time.Second) }
	stored := []hotreader.Record{
		record(s(2), field("p", num("3")), field("q", str("b"))),
		record(s(0), field("p", num("1.50")), field("q", str("a"))),
		record(s(1), field("p", str("2")), field("r", boolean(true))),
		record(s(2), field("p", num("4"))),
	}
	for _, c := range []struct {
		q    hotreader.Query
		want []hotreader.Row
	}{
		{hotreader.Query{Properties: []string{"p"}}, []hotreader.Row{row(s(0), num("1.50")), row(s(1), str("2")), row(s(2), num("4"))}},
		{hotreader.Query{Properties: []string{"p"}, Types: []hotreader.Type{hotreader.FirstKind}}, []hotreader.Row{row(s(0), num("1.50")), row(s(1), num("2")), row(s(2), num("4"))}},
		{hotreader.Query{Properties: []string{"q", "p"}, Order: hotreader.Descending, Limit: 2},
			[]hotreader.Row{row(s(2), null, num("4")), row(s(1), null, str("2"))}},
		{hotreader.Query{Properties: []string{"p"}, Types: []hotreader.Type{hotreader.Integer}}, []hotreader.Row{row(s(1), num("2")), row(s(2), num("4"))}},
		{hotreader.Query{Properties: []string{"p"}, Start: s(1), End: s(1)}, []hotreader.Row{row(s(1), str("2"))}},
		{hotreader.Query{Properties: []string{"p"}, Filters: []hotreader.Filter{{Property: "r", Op: hotreader.Equal, Value: boolean(true)}}},
			[]hotreader.Row{row(s(1), str("2"))}},
		{hotreader.Query{Properties: []string{"p", "q", "r"}, Last: true},
			[]hotreader.Row{row(s(2), num("4"), null, null), row(s(1), null, null, boolean(true)), row(s(0), null, str("a"), null)}},
	} {
		if msg := (Harness{}).differ(answer(stored, c.q), c.want); msg != "" {
			t.Errorf("%s: %s", describe(c.q), msg)
		}
	}
}
