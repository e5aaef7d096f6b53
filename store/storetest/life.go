package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hotreader"
)

func queryInvalid(t testing.TB, h Harness) {
	r, w := h.open(t)
	write(t, w, "d", record(base, field("n", num("1"))))
	good := hotreader.Query{Device: "d", Properties: []string{"n"}}
	for _, c := range []struct {
		what   string
		change func(*hotreader.Query)
	}{
		{"no device", func(q *hotreader.Query) { q.Device = "" }},
		{"a device id over the limit", func(q *hotreader.Query) { q.Device = strings.Repeat("x", hotreader.MaxDeviceBytes+1) }},
		{"a device id that is not UTF-8", func(q *hotreader.Query) { q.Device = "\xff" }},
		{"no property", func(q *hotreader.Query) { q.Properties = nil }},
		{"an empty property", func(q *hotreader.Query) { q.Properties = []string{"n", ""} }},
		{"a property twice", func(q *hotreader.Query) { q.Properties = []string{"n", "n"} }},
		{"too many properties", func(q *hotreader.Query) {
			for i := range hotreader.MaxProperties {
				q.Properties = append(q.Properties, strconv.Itoa(i))
			}
		}},
		{"start after end", func(q *hotreader.Query) { q.Start, q.End = at(1), at(0) }},
		{"a negative limit", func(q *hotreader.Query) { q.Limit = -1 }},
		{"an unknown order", func(q *hotreader.Query) { q.Order = 2 }},
		{"types that do not belong", func(q *hotreader.Query) { q.Types = []hotreader.Type{hotreader.Long, hotreader.Long} }},
		{"an unknown operator", func(q *hotreader.Query) { q.Filters = []hotreader.Filter{{Property: "n", Op: 99, Value: num("1")}} }},
		{"a filter without a value", func(q *hotreader.Query) { q.Filters = []hotreader.Filter{{Property: "n"}} }},
		{"a filter that orders booleans", func(q *hotreader.Query) {
			q.Filters = []hotreader.Filter{{Property: "n", Op: hotreader.Less, Value: boolean(true)}}
		}},
	} {
		for _, last := range []bool{false, true} {
			q := good
			q.Last = last
			c.change(&q)
			// The context is over already: what is wrong is said before any work.
			stats := new(hotreader.Stats)
			ctx, cancel := context.WithCancel(hotreader.WithStats(t.Context(), stats))
			cancel()
			rows, err := failure(ctx, t, r, q)
			if hotreader.CodeOf(err) != hotreader.CodeInvalid || len(rows) > 0 {
				t.Errorf("%s: %d rows and the error %v, want one of %s", c.what, len(rows), err, hotreader.CodeInvalid)
			}
			if n := stats.Reads.Load() + stats.Attempts.Load(); n > 0 {
				t.Errorf("%s: %d calls were made before it was rejected", c.what, n)
			}
		}
	}
	h.expect(t, r, good, row(base, num("1")))
}

func lifeLazy(t testing.TB, h Harness) {
	r, w := h.open(t)
	stats := new(hotreader.Stats)
	ctx := hotreader.WithStats(t.Context(), stats)
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	seq := r.Read(ctx, q)
	if n := stats.Reads.Load() + stats.Attempts.Load() + stats.Looked.Load(); n > 0 {
		t.Errorf("%d calls were made before the sequence was ranged over", n)
	}
	for i := range 4 {
		write(t, w, "d", record(at(time.Duration(i)*time.Second), field("n", num(strconv.Itoa(i)))))
		for range 2 { // the same range again changes nothing
			rows, err, breach := collect(q, seq)
			if err != nil || breach != nil {
				t.Fatalf("range after write %d: %v, %v", i, err, breach)
			}
			if len(rows) != i+1 {
				t.Fatalf("range after write %d: %d rows came, want %d", i, len(rows), i+1)
			}
		}
	}
	// Two ranges over one sequence, one inside the other.
	pairs := 0
	for outer, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		outer = outer.Clone()
		k := 0
		for inner, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			if want := strconv.Itoa(k); string(inner.Values[0].Text()) != want {
				t.Fatalf("inside the row %s the inner range has %s, want %s", outer.Values[0], inner.Values[0], want)
			}
			k++
		}
		if want := strconv.Itoa(pairs); string(outer.Values[0].Text()) != want || k != 4 {
			t.Fatalf("the outer range has %s with %d rows inside, want %s with 4", outer.Values[0], k, want)
		}
		pairs++
	}
	if pairs != 4 {
		t.Errorf("the outer range had %d rows, want 4", pairs)
	}
}

// settle waits until at most n goroutines are left, and returns how many are.
func settle(n int) int {
	left := runtime.NumGoroutine()
	for range 200 {
		if left <= n {
			break
		}
		time.Sleep(10 * time.Millisecond)
		left = runtime.NumGoroutine()
	}
	return left
}

// spare is how many goroutines a driver may keep for connections and the like.
const spare = 24

func lifeStop(t testing.TB, h Harness) {
	r, w := h.open(t)
	records := ramp(3000, time.Second)
	write(t, w, "d", records...)
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		q := hotreader.Query{Device: "d", Properties: []string{"n"}, Order: order}
		want := answer(records, q)
		h.expect(t, r, q, want...)
		before := runtime.NumGoroutine()
		for stop := range 40 {
			n := 0
			for got, err := range r.Read(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				if msg := h.differ([]hotreader.Row{got}, want[n:n+1]); msg != "" {
					t.Fatal(msg)
				}
				if n == stop {
					break
				}
				n++
			}
		}
		if left := settle(before + spare); left > before+spare {
			t.Errorf("%d goroutines before, %d after 40 reads that stopped early", before, left)
		}
		// What was stopped does not block others.
		h.expect(t, r, q, want...)
		write(t, w, "d", records[0])
	}
}

// lifeCancel: the end of the context is an error, never a short success.
func lifeCancel(t testing.TB, h Harness) {
	r, w := h.open(t)
	const n = 12_000
	pad := strings.Repeat("x", 300) // no driver holds all of it in one buffer
	var records []hotreader.Record
	for i := range n {
		records = append(records, record(at(time.Duration(i)*time.Second), field("n", num(strconv.Itoa(i))), field("pad", str(pad))))
	}
	write(t, w, "d", records...)
	before := runtime.NumGoroutine()
	for _, stop := range []int{1, 2, 500} {
		for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
			q := hotreader.Query{Device: "d", Properties: []string{"n", "pad"}, Order: order}
			ctx, cancel := context.WithCancel(t.Context())
			rows := 0
			var err error
			for _, e := range r.Read(ctx, q) {
				if err != nil {
					t.Fatalf("something comes after the error %v", err)
				}
				if e != nil {
					err = e
					continue
				}
				if rows++; rows == stop {
					cancel()
				}
			}
			cancel()
			if e, ok := errors.AsType[*hotreader.Error](err); !ok || e.Code != hotreader.CodeCanceled {
				t.Errorf("cancelled at row %d %v: the error is %v, want one of %s", stop, order, err, hotreader.CodeCanceled)
			}
			if rows >= n {
				t.Errorf("cancelled at row %d %v: all rows came nevertheless", stop, order)
			}
		}
	}
	if left := settle(before + spare); left > before+spare {
		t.Errorf("%d goroutines before, %d after the cancelled reads", before, left)
	}
	// Cancelled before it begins.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, last := range []bool{false, true} {
		q := hotreader.Query{Device: "d", Properties: []string{"n"}, Last: last}
		if rows, err := failure(ctx, t, r, q); hotreader.CodeOf(err) != hotreader.CodeCanceled || len(rows) > 0 {
			t.Errorf("%s, cancelled before: %d rows and the error %v, want one of %s", describe(q), len(rows), err, hotreader.CodeCanceled)
		}
	}
}

func lifeDeadline(t testing.TB, h Harness) {
	r, w := h.open(t)
	write(t, w, "d", ramp(10, time.Second)...)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	rows, err := failure(ctx, t, r, q)
	if hotreader.CodeOf(err) != hotreader.CodeDeadline || len(rows) > 0 {
		t.Errorf("past its deadline: %d rows and the error %v, want one of %s", len(rows), err, hotreader.CodeDeadline)
	}
}

func lifeConcurrent(t testing.TB, h Harness) {
	r, w := h.open(t)
	const devices = 4
	var stored [devices][]hotreader.Record
	for d := range stored {
		for i := range 900 {
			f := []hotreader.Field{field("n", num(strconv.Itoa(d*100_000+i))), field("s", str(fmt.Sprintf("device %d row %d", d, i)))}
			if i%3 == 0 {
				f = append(f, field("b", boolean(i%2 == 0)))
			}
			stored[d] = append(stored[d], record(at(time.Duration(i)*time.Second), f...))
		}
		write(t, w, fmt.Sprintf("d%d", d), stored[d]...)
	}
	queries := func(d int) []hotreader.Query {
		q := hotreader.Query{Device: fmt.Sprintf("d%d", d), Properties: []string{"n", "b"}}
		down, part, last, some := q, q, q, q
		down.Order, down.Limit, down.Properties = hotreader.Descending, 333, []string{"s", "n"}
		part.Start, part.End = at(100*time.Second), at(700*time.Second)
		last.Last = true
		some.Filters = []hotreader.Filter{{Property: "b", Op: hotreader.Equal, Value: boolean(true)}}
		return []hotreader.Query{q, down, part, last, some}
	}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for round := range 5 {
				d := (g + round) % devices
				q := queries(d)[(g/devices+round)%5]
				rows, err, breach := collect(q, r.Read(t.Context(), q))
				if err != nil || breach != nil {
					t.Errorf("%s: %v, %v", describe(q), err, breach)
				} else if msg := h.differ(rows, answer(stored[d], q)); msg != "" {
					t.Errorf("%s: %s", describe(q), msg)
				}
			}
		})
	}
	wg.Go(func() { // a writer beside them
		for i := range 20 {
			if err := w.Write(t.Context(), "another", ramp(i+1, time.Second)); err != nil {
				t.Errorf("writing beside the readers: %v", err)
			}
		}
	})
	wg.Wait()
	q := hotreader.Query{Device: "another", Properties: []string{"n"}}
	h.expect(t, r, q, answer(ramp(20, time.Second), q)...)
}

// lifeWriteInside writes from inside the loop that reads. Rows that were there
// when the range began all come, in order; whether later ones do is open.
func lifeWriteInside(t testing.TB, h Harness) {
	r, w := h.open(t)
	records := ramp(2500, time.Second)
	write(t, w, "d", records...)
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		q := hotreader.Query{Device: "d", Properties: []string{"n"}, Order: order}
		var got []hotreader.Row
		i := 0
		seq := func(yield func(hotreader.Row, error) bool) {
			for row, err := range r.Read(t.Context(), q) {
				if !yield(row, err) {
					return
				}
				if i++; i%100 == 0 {
					// Into the neighbourhood of the row, and enough to move things.
					var more []hotreader.Record
					for k := range 50 {
						more = append(more, record(row.Time.Add(time.Duration(k-25)*20*time.Millisecond+1),
							field("pad", str(strings.Repeat("x", 500)))))
					}
					write(t, w, "d", more...)
				}
			}
		}
		got, err, breach := collect(q, seq)
		if err != nil || breach != nil {
			t.Fatalf("%s: %v, %v", describe(q), err, breach)
		}
		if msg := h.differ(got, answer(records, q)); msg != "" {
			t.Errorf("%s while writing: %s", describe(q), msg)
		}
	}
}

// The long series is larger than any store's page: 22,695 readings, one each 5
// minutes, of which 12 come again for instants that were there already, as in a
// real machine's record; and properties that make it several megabytes.
const (
	longReadings = 22_695
	longTwice    = 12
)

func longRecords() []hotreader.Record {
	records := make([]hotreader.Record, 0, longReadings)
	pad := strings.Repeat("p", 60)
	for i := range longReadings - longTwice {
		f := []hotreader.Field{
			field("temperature", num(fmt.Sprintf("%d.%08d", 60+i%40, (i*7919)%100_000_000))),
			field("note", str(pad)),
		}
		if i < 3 {
			f = append(f, field("early", num(strconv.Itoa(i))))
		}
		if i%5000 == 4321 {
			f = append(f, field("rare", boolean(true)))
		}
		records = append(records, record(at(time.Duration(i)*5*time.Minute), f...))
	}
	for i := range longTwice {
		again := record(records[i*1800+5].Time, field("temperature", num(fmt.Sprintf("%d.5", i))), field("note", str(pad)))
		records = append(records, again)
	}
	return records
}

// longSeries is pitfall 1: only the first 1 MB page of the store was read, and
// the newest rows were lost with status 200.
func longSeries(t testing.TB, h Harness) {
	r, w := h.open(t)
	records := longRecords()
	for batch := range slices.Chunk(records, 2500) {
		write(t, w, "d", batch...)
	}
	longDense(t, h, r, records)
	longSparse(t, h, r, records)
}

func longDense(t testing.TB, h Harness, r hotreader.Reader, records []hotreader.Record) {
	q := hotreader.Query{Device: "d", Properties: []string{"temperature", "note"}, Types: []hotreader.Type{hotreader.Double, hotreader.AnyString}}
	all := answer(records, q)
	if len(all) != longReadings-longTwice {
		t.Fatalf("the series has %d rows, want %d", len(all), longReadings-longTwice)
	}
	h.expect(t, r, q, all...)
	down := slices.Clone(all)
	slices.Reverse(down)
	q.Order = hotreader.Descending
	h.expect(t, r, q, down...)
	q.Limit = 20_000
	h.expect(t, r, q, down[:20_000]...)
	q.Order = hotreader.Ascending
	h.expect(t, r, q, all[:20_000]...)
	q.Limit = 0
	q.Start, q.End = all[1000].Time, all[21_000].Time
	h.expect(t, r, q, all[1000:21_001]...)
	rest, _ := q.Behind(all[12_345].Time)
	h.expect(t, r, rest, all[12_346:21_001]...)
}

// longSparse: pages from which nothing belongs to the answer are followed.
func longSparse(t testing.TB, h Harness, r hotreader.Reader, records []hotreader.Record) {
	for _, q := range []hotreader.Query{
		{Properties: []string{"early"}},
		{Properties: []string{"rare"}},
		{Properties: []string{"temperature"}, Filters: []hotreader.Filter{{Property: "rare", Op: hotreader.Equal, Value: boolean(true)}}},
	} {
		q.Device = "d"
		want := answer(records, q)
		if len(want) < 3 {
			t.Fatalf("%s: the series has only %d such rows", describe(q), len(want))
		}
		h.expect(t, r, q, want...)
		q.Limit = 1
		h.expect(t, r, q, want[0])
		slices.Reverse(want)
		q.Order, q.Limit = hotreader.Descending, 3
		h.expect(t, r, q, want[:3]...)
	}
	q := hotreader.Query{Device: "d", Properties: []string{"temperature", "early"}, Last: true}
	h.expect(t, r, q, answer(records, q)...)
}

func statsCounted(t testing.TB, h Harness) {
	r, w := h.open(t)
	for i := range 10 {
		v := num(strconv.Itoa(i))
		if i%5 == 0 {
			v = str("not a number")
		}
		write(t, w, "d", record(at(time.Duration(i)*time.Second), field("n", v)))
	}
	stats := new(hotreader.Stats)
	q := hotreader.Query{Device: "d", Properties: []string{"n"}, Types: []hotreader.Type{hotreader.Double}}
	for range r.Read(hotreader.WithStats(t.Context(), stats), q) {
	}
	if looked, rows, points, skipped := stats.Looked.Load(), stats.Rows.Load(), stats.Points.Load(), stats.Skipped(); looked < 10 || rows != 8 || points != 8 || skipped != 2 {
		t.Errorf("looked at %d rows, kept %d with %d values, skipped %d values; want at least 10, 8 with 8, and 2", looked, rows, points, skipped)
	}
	if stats.Reads.Load() < 1 {
		t.Error("no call to the store is counted")
	}
	// A read that stops early is counted too.
	stats = new(hotreader.Stats)
	for range r.Read(hotreader.WithStats(t.Context(), stats), q) {
		break
	}
	if stats.Rows.Load() < 1 || stats.Reads.Load() < 1 {
		t.Error("a read that stopped at its first row is not counted")
	}
}

// lifeReopen: what was written is there for the next program, and what that one
// writes for the one after it.
func lifeReopen(t testing.TB, h Harness) {
	const many = 300
	_, w := h.open(t)
	write(t, w, "a", ramp(many, time.Second)...)
	write(t, w, "b", record(base, field("n", num("1.50")), field("s", str("é")), field("o", boolean(true))))
	q := hotreader.Query{Device: "a", Properties: []string{"n"}}
	other := hotreader.Query{Device: "b", Properties: []string{"n", "s", "o"}}
	var want []hotreader.Row
	for i := range many {
		want = append(want, row(at(time.Duration(i)*time.Second), num(strconv.Itoa(i))))
	}
	for round := range 3 {
		var r hotreader.Reader
		src, again := h.Reopen(t)
		r, w = hotreader.NewReader(src), again
		h.expect(t, r, q, want...)
		h.expect(t, r, other, row(base, num("1.50"), str("é"), boolean(true)))
		latest := q
		latest.Last = true
		h.expect(t, r, latest, want[len(want)-1])

		// One row anew, and one more.
		i, text := round*100, strconv.Itoa(-round-1)
		end := at(time.Duration(many+round) * time.Second)
		write(t, w, "a", record(want[i].Time, field("n", num(text))), record(end, field("n", num(text))))
		want[i] = row(want[i].Time, num(text))
		want = append(want, row(end, num(text)))
		h.expect(t, r, q, want...)
	}
}
