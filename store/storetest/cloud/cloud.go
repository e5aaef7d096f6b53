package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
)

// Run checks s.
func Run(t *testing.T, s Store) {
	for name, check := range map[string]func(*testing.T, Store){
		"requests/small queries read little":   smallQueries,
		"requests/nothing can be in range":     nothingInRange,
		"requests/stopping asks for no more":   stopping,
		"answers/every page is followed":       everyPage,
		"answers/times are instants":           instants,
		"answers/a second over many pages":     secondOverPages,
		"answers/one row an instant":           oneRow,
		"answers/keys can be selected":         keysSelected,
		"answers/unreadable items are counted": unreadable,
		"answers/no item can be read":          allUnreadable,
		"answers/pages that never end":         neverEnding,
		"answers/cut without notice":           cutSilently,
		"failures/tried again":                 triedAgain,
		"failures/the error comes last":        errorLast,
		"failures/cancelled between rows":      cancelled,
		"failures/time is up":                  timeUp,
		"writes/each instant once":             writeOnce,
		"writes/a failure ends the rest":       writeFails,
		"writes/what cannot be read again":     writeRefuses,
	} {
		t.Run(name, func(t *testing.T) {
			if s.InMemory {
				synctest.Test(t, func(t *testing.T) { check(t, s) })
				return
			}
			check(t, s)
		})
	}
}

var (
	base = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	qN   = hotreader.Query{Device: "d", Properties: []string{"n"}}
)

func down(q hotreader.Query) hotreader.Query {
	q.Order = hotreader.Descending
	return q
}

// item has the property n.
func item(when, n any) Item { return Item{Time: when, Fields: map[string]any{"n": n}} }

// ramp returns n items a second apart, "n" counting from 0.
func ramp(n int) (items []Item) {
	for i := range n {
		items = append(items, item(base.Add(time.Duration(i)*time.Second).Format(time.RFC3339Nano), i))
	}
	return items
}

// A query for latest values, and any query for few rows, costs a small read.
func smallQueries(t *testing.T, s Store) {
	const total = 5000 // rows, one a second; b is in every 100th, c in none
	items := ramp(total)
	for i := 100; i < total; i += 100 {
		items[i].Fields["b"] = 1
	}
	filter := []hotreader.Filter{{Property: "b", Op: hotreader.Equal, Value: hotreader.Int64Value(1)}}
	for _, test := range []struct {
		name   string
		q      hotreader.Query
		rows   int
		limits map[int][]int // by slack
	}{
		{"last", hotreader.Query{Properties: []string{"n"}, Last: true}, 1, map[int][]int{7: {8}, 3: {4}}},
		{"last, one older", hotreader.Query{Properties: []string{"n", "b"}, Last: true}, 2, map[int][]int{7: {8, 64, 512}, 3: {4, 32, 256}}},
		{"last, one nowhere", hotreader.Query{Properties: []string{"n", "c"}, Last: true}, 1, map[int][]int{7: {8, 64, 512, 424}, 3: {4, 32, 256, 712}}},
		{"newest", down(hotreader.Query{Properties: []string{"n"}, Limit: 1}), 1, map[int][]int{7: {8}, 3: {4}}},
		{"a hundred", hotreader.Query{Properties: []string{"n"}, Limit: 100}, 100, map[int][]int{7: {107}, 3: {103}}},
		{"ten sparse", hotreader.Query{Properties: []string{"b"}, Limit: 10}, 10, map[int][]int{7: {17, 136, 1088}, 3: {13, 104, 832, 134}}},
		{"all", hotreader.Query{Properties: []string{"n"}}, total, map[int][]int{s.Slack: {s.Most}}},
		{"more than there is", hotreader.Query{Properties: []string{"n"}, Limit: 1 << 40}, total, map[int][]int{s.Slack: {s.Most}}},
		{"filtered", hotreader.Query{Properties: []string{"n"}, Limit: 1, Filters: filter}, 1, map[int][]int{7: {64, 512}, 3: {64, 512}}},
	} {
		played := &Service{Items: items}
		test.q.Device = "d"
		if test.q.Last {
			test.q.End = base.AddDate(1, 0, 0)
		}
		got, err := Rows(t.Context(), s.Play(t, played), test.q)
		if err != nil || len(got) != test.rows {
			t.Errorf("%s: %d rows, %v; want %d", test.name, len(got), err, test.rows)
		}
		if want := test.limits[s.Slack]; !slices.Equal(played.Limits, want) {
			t.Errorf("%s: pages of %v items were asked for, want %v", test.name, played.Limits, want)
		}
	}
}

func nothingInRange(t *testing.T, s Store) {
	played := &Service{}
	store, q := s.Play(t, played), qN
	q.End = time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)
	WantRows(t, store, q)
	q.Start, q.End = time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}
	WantRows(t, store, q)
	if len(played.Froms) > 0 {
		t.Error("the service was asked")
	}
}

func stopping(t *testing.T, s Store) {
	played := &Service{Items: ramp(6), Ends: []int{3}}
	for range hotreader.NewReader(s.Play(t, played)).Read(t.Context(), qN) {
		break
	}
	if len(played.Froms) != 1 {
		t.Errorf("%d requests", len(played.Froms))
	}
}

func everyPage(t *testing.T, s Store) {
	const pages, size = 12, 700
	var ends []int
	for p := 1; p < pages; p++ {
		ends = append(ends, p*size)
	}
	ends = slices.Insert(ends, 5, 5*size, 5*size) // pages may be empty and still not the last
	played := &Service{Items: ramp(pages * size), Ends: ends}
	got, err := Rows(t.Context(), s.Play(t, played), qN)
	if err != nil || len(got) != pages*size {
		t.Fatalf("%d rows came, %v; want %d", len(got), err, pages*size)
	}
	for i, line := range got {
		if !strings.HasSuffix(line, fmt.Sprintf(" %d", i)) {
			t.Fatalf("row %d is %s", i, line)
		}
	}
	if want := slices.Insert(ends, 0, 0); !slices.Equal(played.Froms, want) {
		t.Errorf("requests began at %v, want %v", played.Froms, want)
	}
}

// cuts reads items cut into two or three pages at every place, in both orders: a
// second may begin in one page and end in another.
func cuts(t *testing.T, s Store, items []Item, want ...string) {
	t.Helper()
	back := slices.Clone(want)
	slices.Reverse(back)
	for a := range len(items) + 1 {
		for b := a; b <= len(items); b++ {
			WantRows(t, s.Play(t, &Service{Items: items, Ends: []int{a, b}}), qN, want...)
			WantRows(t, s.Play(t, &Service{Items: items, Ends: []int{a, b}}), down(qN), back...)
		}
	}
}

// Pitfall 3: the service's order is that of bytes, ours that of instants.
func instants(t *testing.T, s Store) {
	items := []Item{
		item("2024-01-01T00:00:00", 0),
		item("2024-01-01T00:00:01+00:00", 10),
		item("2024-01-01T00:00:01.123456Z", 12),
		item("2024-01-01T00:00:01.12Z", 11),
		item("2024-01-01T00:00:01.5Z", 13),
		item("2024-01-01T00:00:02.000Z", 20),
		item("2024-01-01T00:00:02.25Z", 22),
		item("2024-01-01T00:00:02.2Z", 21),
		item("2024-01-01T00:00:03Z", 30),
	}
	all := []string{
		"00:00:00 0", "00:00:01 10", "00:00:01.12 11", "00:00:01.123456 12", "00:00:01.5 13",
		"00:00:02 20", "00:00:02.2 21", "00:00:02.25 22", "00:00:03 30",
	}
	cuts(t, s, items, all...)
	// Bounds inside a second: the service is asked for whole seconds (see the golden
	// requests), the answer keeps to the instants.
	q := qN
	q.Start = time.Date(2024, 1, 1, 1, 0, 1, 120_000_000, time.FixedZone("", 3600))
	q.End = time.Date(2023, 12, 31, 23, 0, 2, 200_000_000, time.FixedZone("", -3600))
	WantRows(t, s.Play(t, &Service{Items: items[1:8]}), q, all[2:7]...)
}

// Rows of a second that is spread over many pages own their bytes.
func secondOverPages(t *testing.T, s Store) {
	var items []Item
	var want []string
	var ends []int
	for i := range 15 {
		text := fmt.Sprintf("text é\n %d", i)
		items = append(items, Item{Time: fmt.Sprintf("2024-01-01T00:00:00.%02dZ", i+11), Fields: map[string]any{"n": text, "m": true}})
		want = append(want, fmt.Sprintf("00:00:00.%s %q true", strings.TrimRight(strconv.Itoa(i+11), "0"), text))
		ends = append(ends, i)
	}
	WantRows(t, s.Play(t, &Service{Items: items, Ends: ends[1:]}), hotreader.Query{Device: "d", Properties: []string{"n", "m"}}, want...)
}

// Pitfall 10.
func oneRow(t *testing.T, s Store) {
	cuts(t, s, []Item{
		item("2024-01-01T00:00:00", 1), item("2024-01-01T00:00:00+00:00", 2), item("2024-01-01T00:00:00.000Z", 3), item("2024-01-01T00:00:00Z", 4),
		item("2024-01-01T00:00:01.5", 5), item("2024-01-01T00:00:01.500Z", 6),
	}, "00:00:00 4", "00:00:01.5 6")
}

func keysSelected(t *testing.T, s Store) {
	items := []Item{{Time: "2024-01-01T00:00:00Z", Fields: map[string]any{"device_id": "d", "id": "d_x", "other": 1}}}
	WantRows(t, s.Play(t, &Service{Items: items}), hotreader.Query{Device: "d", Properties: []string{"device_id", "timestamp", "id", "missing"}},
		`00:00:00 "d" "2024-01-01T00:00:00Z" "d_x" null`)
}

// One item that cannot be read does not cost the page, and is counted by what of
// it could not be read. Of those without a time the first is shown.
func unreadable(t *testing.T, s Store) {
	items := []Item{item("2024-01-01T00:00:00Z", 1)}
	untimely := append([]any{"2024-01-01T00:00:00+01:00", 7, "yesterday"}, s.Untimely...)
	for _, when := range untimely {
		items = append(items, item(when, 2))
	}
	for i, v := range s.Unreadable {
		it := item(base.Add(time.Duration(i+1)*time.Second).Format(time.RFC3339), v)
		it.Fields["m"] = v
		items = append(items, it)
	}
	late := item("2024-01-01T00:01:00Z", 8)
	late.Fields["m"] = s.Unreadable[0]
	items = append(items, late)
	played, stats := &Service{Items: items}, new(hotreader.Stats)
	got, err := Rows(hotreader.WithStats(t.Context(), stats), s.Play(t, played), hotreader.Query{Device: "d", Properties: []string{"m", "n"}})
	if want := []string{"00:00:00 null 1", "00:01:00 null 8"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("rows %q, %v; want %q", got, err, want)
	}
	n := int64(len(s.Unreadable))
	says := `of the first, timestamp is the text "2024-01-01T00:00:00+01:00", not iso8601; set time_format to ["iso8601","iso8601+01:00"] to have both`
	kind := "bytes, or another kind that no answer can hold"
	want := []hotreader.Warning{{Property: "", Reason: hotreader.Unreadable, Count: int64(len(untimely)), Detail: says},
		{Property: "m", Reason: hotreader.Unreadable, Count: n + 1, Detail: kind}, {Property: "n", Reason: hotreader.Unreadable, Count: n, Detail: kind}}
	if left := stats.Warnings(); !reflect.DeepEqual(left, want) {
		t.Errorf("left out %v, want %v", left, want)
	}
	if r, l, reads, b := stats.Rows.Load(), stats.Looked.Load(), stats.Reads.Load(), stats.Bytes.Load(); r != 2 || l != n+2 || reads != 1 || b < 100 {
		t.Errorf("stats: %d rows, %d looked at, %d reads, %d bytes", r, l, reads, b)
	}
}

// Items of which none can be read are no empty answer.
func allUnreadable(t *testing.T, s Store) {
	for _, q := range []hotreader.Query{qN, down(qN), {Device: "d", Properties: []string{"n"}, Last: true}, {Device: "d", Properties: []string{"n"}, Start: base}} {
		played := &Service{Items: []Item{item("yesterday", 1), item("2024-01-01T00:00:00+01:00", 2)}}
		got, err := Rows(t.Context(), s.Play(t, played), q)
		WantError(t, fmt.Sprint("rows ", got), err, hotreader.CodeUnreadable, "timestamp")
	}
}

// Answers that go on where they did before, or in a circle, end with an error, and soon.
func neverEnding(t *testing.T, s Store) {
	for _, c := range []struct{ items, round int }{{0, 1}, {1, 1}, {0, 3}, {1, 3}} {
		if c.items == 0 && s.Resumes {
			continue // nothing at all came: it is tried again
		}
		played := &Service{Items: ramp(c.items), Round: c.round}
		_, err := Rows(t.Context(), s.Play(t, played), qN)
		WantError(t, fmt.Sprintf("%+v", c), err, hotreader.CodeCorrupt, "would never end")
		if len(played.Froms) > 20 {
			t.Errorf("%+v: %d requests", c, len(played.Froms))
		}
	}
}

// Wherever an answer is cut, the read ends with an error, also if the break of
// the connection went unnoticed.
func cutSilently(t *testing.T, s Store) {
	if s.Resumes {
		t.Skip("its answers are cut in a test of its own")
	}
	for cut := 1; ; cut++ {
		played := &Service{Items: ramp(3), Cut: cut}
		got, err := Rows(t.Context(), s.Play(t, played), qN)
		if err == nil && len(got) == 3 && cut > 100 {
			return // it is whole
		}
		WantError(t, fmt.Sprintf("cut after byte %d: rows %v", cut, got), err, hotreader.CodeCorrupt)
	}
}

// Pitfalls 2 and 24: what may heal is tried again, and if it does not that is an
// error and never a short success.
func triedAgain(t *testing.T, s Store) {
	all := []string{"00:00:00 0", "00:00:01 1", "00:00:02 2", "00:00:03 3"}
	for _, fail := range []string{Throttled, Failing, Broken} {
		played := &Service{Items: ramp(4), Ends: []int{2}, Fails: func(request int) string {
			if request == 0 || request == 2 {
				return fail
			}
			return ""
		}}
		WantRows(t, s.Play(t, played), qN, all...)
		played = &Service{Items: ramp(4), Fails: func(int) string { return fail }}
		got, err := Rows(t.Context(), s.Play(t, played), qN)
		code := map[string]hotreader.Code{Throttled: hotreader.CodeThrottled, Failing: hotreader.CodeStore, Broken: hotreader.CodeUnavailable}[fail]
		WantError(t, fail, err, code)
		if kept := s.Resumes && fail == Broken; len(got) > 0 && !kept || len(got) > 3 {
			t.Errorf("%s: rows %v came before %v", fail, got, err)
		}
		if n := len(played.Froms); n < 3 || n > 10 {
			t.Errorf("%s: %d requests", fail, n)
		}
	}
}

// An error in the middle comes after the rows before it.
func errorLast(t *testing.T, s Store) {
	for fail, code := range map[string]hotreader.Code{Damaged: hotreader.CodeCorrupt, Forbidden: hotreader.CodeForbidden} {
		played := &Service{Items: ramp(4), Ends: []int{2}, Fails: func(request int) string {
			if request == 1 {
				return fail
			}
			return ""
		}}
		got, err := Rows(t.Context(), s.Play(t, played), qN)
		if want := []string{"00:00:00 0"}; !slices.Equal(got, want) {
			t.Errorf("%s: rows %v, want %v: the last second may not be whole", fail, got, want)
		}
		WantError(t, fail, err, code)
	}
}

func cancelled(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	items := ramp(9000)
	for i := range items {
		items[i].Fields["n"] = strings.Repeat("x", 1000)
	}
	count := 0
	var failure error
	for _, err := range hotreader.NewReader(s.Play(t, &Service{Items: items})).Read(ctx, qN) {
		if failure = err; err == nil {
			count++
			cancel()
		}
	}
	WantError(t, "cancelled", failure, hotreader.CodeCanceled)
	if !errors.Is(failure, context.Canceled) || count > 1000 {
		t.Errorf("%d rows, then %v", count, failure)
	}
}

func timeUp(t *testing.T, s Store) {
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, err := Rows(ctx, s.Play(t, &Service{Items: ramp(3)}), qN)
	WantError(t, "read", err, hotreader.CodeDeadline)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// records are n records a second apart, "n" is 1.
func records(n int) (all []hotreader.Record) {
	for i := range n {
		all = append(all, Record(base.Add(time.Duration(i)*time.Second), Number("n", "1")))
	}
	return all
}

// Pitfall 10: a request names no key twice, and of two the later wins.
func writeOnce(t *testing.T, s Store) {
	total := 2*s.Batch + s.Batch/2
	all := records(total)
	for i := range 10 { // again, in another zone
		all = append(all, Record(all[i].Time.In(time.FixedZone("", 3600)), Number("n", "2")))
	}
	played := &Service{}
	if err := s.Play(t, played).Write(t.Context(), "d", all); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, batch := range played.Writes {
		if len(batch) > s.Batch {
			t.Errorf("%d items in a request", len(batch))
		}
		for _, w := range batch {
			if _, again := seen[w.Key]; again {
				t.Errorf("%s is written twice", w.Key)
			}
			seen[w.Key] = w.N
		}
	}
	again := len(slices.DeleteFunc(slices.Collect(maps.Values(seen)), func(n string) bool { return n != "2" }))
	if len(played.Writes) != 3 || len(seen) != total || again != 10 {
		t.Errorf("%d requests, %d items, %d of them the later ones; want 3, %d, 10", len(played.Writes), len(seen), again, total)
	}
}

// The first failure stops the rest and is the error.
func writeFails(t *testing.T, s Store) {
	all := records(20 * s.Batch)
	played := &Service{Fails: func(int) string { return Forbidden }}
	WantError(t, "write", s.Play(t, played).Write(t.Context(), "d", all), hotreader.CodeForbidden)
	played.mu.Lock() // requests that were given up may still be served
	if len(played.Writes) > 2*s.Parallel {
		t.Errorf("%d requests after the first failure", len(played.Writes))
	}
	played.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	WantError(t, "cancelled", s.Play(t, &Service{}).Write(ctx, "d", all), hotreader.CodeCanceled)
}

func writeRefuses(t *testing.T, s Store) {
	for _, test := range []struct {
		device string
		r      hotreader.Record
		says   string
	}{
		{"d", Record(base, Number("n", "NaN")), `the number "NaN" of property "n"`},
		{"d", Record(base, Text("s", "\xff")), `property "s" is not valid UTF-8`},
		{"d", Record(base, Text("s", strings.Repeat("x", 2<<20))), "bytes"},
		{"", Record(base), "device"},
		{"d", Record(time.Time{}, Number("n", "1")), "no time within the years"},
		{"d", Record(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), Number("n", "1")), "no time within the years"},
		{"d", Record(base, Number("", "1")), "name"},
		{"d", Record(base, Number("timestamp", "1")), `"timestamp" is named like a key`},
		{"d", Record(base, Number("device_id", "1")), `"device_id" is named like a key`},
		{"d", Record(base, Number("n", "1"), Number("n", "1")), "twice"},
	} {
		played := &Service{}
		says := []string{test.says}
		if test.device != "" {
			says = append(says, "record 2")
		}
		err := s.Play(t, played).Write(t.Context(), test.device, []hotreader.Record{Record(base.Add(time.Second)), test.r})
		WantError(t, test.says, err, hotreader.CodeInvalid, says...)
		if len(played.Writes) > 0 {
			t.Errorf("%s: something was sent", test.says)
		}
	}
}
