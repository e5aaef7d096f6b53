package hotreader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func day(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }

func TestQueryCheckNamesEverythingThatIsWrong(t *testing.T) {
	ok := Query{Device: "m/1?#é", Properties: []string{"temperature"}}
	if err := ok.Check(); err != nil {
		t.Fatalf("a good query: %v", err)
	}
	for want, change := range map[string]func(*Query){
		"device id is empty":           func(q *Query) { q.Device = "" },
		"device id has 2049 bytes":     func(q *Query) { q.Device = strings.Repeat("x", 2049) },
		"device id is not valid UTF-8": func(q *Query) { q.Device = "\xff" },
		"no property":                  func(q *Query) { q.Properties = nil },
		"101 properties":               func(q *Query) { q.Properties = manyNames(101) },
		"empty name":                   func(q *Query) { q.Properties = []string{""} },
		"selected twice":               func(q *Query) { q.Properties = []string{"a", "b", "a"} },
		"2 types":                      func(q *Query) { q.Types = []Type{Double, Double} },
		"is after the end":             func(q *Query) { q.Start, q.End = day(2), day(1) },
		"order 7":                      func(q *Query) { q.Order = 7 },
		"limit -1":                     func(q *Query) { q.Limit = -1 },
		"no value to compare":          func(q *Query) { q.Filters = []Filter{{Property: "a"}} },
		"orders booleans":              func(q *Query) { q.Filters = []Filter{{"a", Less, BoolValue(true)}} },
		"unknown operator":             func(q *Query) { q.Filters = []Filter{{"a", 9, num("1")}} },
		"51 filters":                   func(q *Query) { q.Filters = make([]Filter, 51) },
	} {
		q := ok
		change(&q)
		err := q.Check()
		if !errors.Is(err, CodeInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	both := Query{Limit: -1}
	if err := both.Check(); err == nil || !strings.Contains(err.Error(), "device") || !strings.Contains(err.Error(), "limit") {
		t.Errorf("not all problems together: %v", err)
	}
}

func manyNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint("p", i))
	}
	return names
}

func TestBehindNarrowsToWhatComesAfter(t *testing.T) {
	q := Query{Start: day(1), End: day(3)}
	if r, ok := q.Behind(day(2)); !ok || !r.Start.Equal(day(2).Add(1)) || !r.End.Equal(day(3)) {
		t.Errorf("ascending: %v, %v", r, ok)
	}
	if _, ok := q.Behind(day(3)); ok {
		t.Error("nothing is behind the end")
	}
	q.Order = Descending
	if r, ok := q.Behind(day(2)); !ok || !r.Start.Equal(day(1)) || !r.End.Equal(day(2).Add(-1)) {
		t.Errorf("descending: %v, %v", r, ok)
	}
	if _, ok := q.Behind(day(1)); ok {
		t.Error("nothing is behind the start")
	}
	// Go's zero time means an open range. It is never the bound that is meant.
	zero := time.Time{}
	if r, ok := (Query{Order: Descending}).Behind(zero.Add(1)); r.End.IsZero() || !r.End.Before(zero.Add(1)) {
		t.Errorf("descending behind 1 ns past the zero time: up to %v, %v", r.End, ok)
	}
	if r, ok := (Query{}).Behind(zero.Add(-1)); r.Start.IsZero() || !r.Start.After(zero.Add(-1)) {
		t.Errorf("behind 1 ns before the zero time: from %v, %v", r.Start, ok)
	}
	if _, ok := (Query{}).Behind(day(1)); !ok {
		t.Error("an open range has always something behind")
	}
}

func TestMeaning(t *testing.T) {
	rows := []Row{
		{Time: day(1), Values: []Value{num("1"), {}}},
		{Time: day(2), Values: []Value{{}, {}}}, // has none of the properties
		{Time: day(3), Values: []Value{str("x"), num("7.0")}},
		{Time: day(4), Values: []Value{str("2"), BoolValue(true)}},
		{Time: day(5), Values: []Value{num("3"), num("8")}},
	}
	both := []string{"a", "b"}
	for name, c := range map[string]struct {
		q       Query
		want    string
		skipped int64
	}{
		"untyped is as stored":     {Query{Properties: both}, `1: 1 null; 3: "x" 7.0; 4: "2" true; 5: 3 8`, 0},
		"the first kind":           {Query{Properties: both, Types: []Type{FirstKind, FirstKind}}, "1: 1 null; 3: null 7.0; 4: 2 null; 5: 3 8", 2},
		"as stored":                {Query{Properties: both, Types: []Type{AsStored, AsStored}}, `1: 1 null; 3: "x" 7.0; 4: "2" true; 5: 3 8`, 0},
		"declared":                 {Query{Properties: both, Types: []Type{ShortString, Integer}}, `1: "1" null; 3: "x" 7; 4: "2" null; 5: "3" 8`, 1},
		"range is inclusive":       {Query{Properties: both, Start: day(3), End: day(4)}, `3: "x" 7.0; 4: "2" true`, 0},
		"limit":                    {Query{Properties: both, Limit: 2}, `1: 1 null; 3: "x" 7.0`, 0},
		"filter on a selected one": {Query{Properties: both, Filters: []Filter{{"b", Greater, num("7")}}}, "5: 3 8", 0},
		"filter on another":        {Query{Properties: []string{"a"}, Filters: []Filter{{"b", Equal, num("7")}}}, `3: "x"`, 0},
		"last":                     {Query{Properties: both, Types: []Type{Double, Boolean}, Last: true}, "5: 3 null; 4: null true", 1},
	} {
		t.Run(name, func(t *testing.T) {
			c.q.Device = "m"
			stats := new(Stats)
			var got []string
			for r, err := range NewReader(stored(rows)).Read(WithStats(t.Context(), stats), c.q) {
				if err != nil {
					t.Fatal(err)
				}
				text := fmt.Sprintf("%d:", r.Time.Day())
				for _, v := range r.Values {
					text += " " + v.String()
				}
				got = append(got, text)
			}
			if text := strings.Join(got, "; "); text != c.want {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
			if n := stats.Skipped(); n != c.skipped {
				t.Errorf("%d skipped, want %d", n, c.skipped)
			}
		})
	}
}

// stored is a Source of rows of the properties a and b, ascending.
type stored []Row

func (s stored) Scan(_ context.Context, q Query) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for i := range s {
			r := s[i]
			if q.Backward() {
				r = s[len(s)-1-i]
			}
			var values []Value
			for _, column := range q.Columns() {
				values = append(values, r.Values[column[0]-'a'])
			}
			if !yield(Row{Time: r.Time, Values: values}, nil) {
				return
			}
		}
	}
}

func TestLastLooksBackOnlySoFar(t *testing.T) {
	rows := make(stored, LookBack+1)
	for i := range rows {
		rows[i] = Row{Time: day(1).Add(time.Duration(i)), Values: []Value{num("1"), {}}}
	}
	rows[0].Values = []Value{num("1"), num("2")}
	stats := new(Stats)
	n := 0
	for range NewReader(rows).Read(WithStats(t.Context(), stats), Query{Device: "m", Properties: []string{"a", "b"}, Last: true}) {
		n++
	}
	if looked := stats.Looked.Load(); looked != LookBack || n != 1 {
		t.Errorf("looked at %d rows for %d, want %d for 1", looked, n, LookBack)
	}
}

// What a Source has done of the meaning by itself, as the API of another cloud
// does, changes nothing.
func TestMeaningIsIdempotent(t *testing.T) {
	values := []Value{{}, num("1"), num("2.0"), num("1e1"), str("1"), str("x"), str(""), BoolValue(true)}
	rapid.Check(t, func(t *rapid.T) {
		var rows stored
		for i := range rapid.IntRange(0, 12).Draw(t, "rows") {
			rows = append(rows, Row{Time: day(1 + i), Values: []Value{rapid.SampledFrom(values).Draw(t, "a"), rapid.SampledFrom(values).Draw(t, "b")}})
		}
		q := Query{Device: "m", Properties: []string{"a", "b"}[:rapid.IntRange(1, 2).Draw(t, "properties")],
			Order: Order(rapid.IntRange(0, 1).Draw(t, "order")), Limit: rapid.IntRange(0, 5).Draw(t, "limit")}
		for range q.Properties {
			q.Types = append(q.Types, rapid.SampledFrom([]Type{Double, Integer, ShortString, Boolean, Untyped, FirstKind, AsStored}).Draw(t, "type"))
		}
		q.Last = rapid.Bool().Draw(t, "last")
		if rapid.Bool().Draw(t, "filtered") {
			q.Filters = []Filter{{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "of"), Op(rapid.IntRange(0, 1).Draw(t, "op")), rapid.SampledFrom(values[1:]).Draw(t, "with")}}
		}
		raw := q
		if !q.Last { // as package remote asks
			raw.Types = slices.Repeat([]Type{AsStored}, len(q.Types))
			if raw.Limit > 0 {
				raw.Limit = 0
			}
		}
		read := func(src Source) (lines []string) {
			stats := new(Stats)
			for r, err := range NewReader(src).Read(WithStats(t.Context(), stats), q) {
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, fmt.Sprint(r.Time.Day(), r.Values))
			}
			return append(lines, fmt.Sprint(stats.Warnings()))
		}
		once, twice := read(rows), read(asked{Meaning(rows), raw})
		if !slices.Equal(once, twice) {
			t.Fatalf("%+v: once %q, twice %q", q, once, twice)
		}
	})
}

// asked is a Source that is asked for q, whatever it is asked for.
type asked struct {
	Source
	q Query
}

func (a asked) Scan(ctx context.Context, _ Query) iter.Seq2[Row, error] {
	return a.Source.Scan(ctx, a.q)
}

func TestMeaningDoesNotAllocate(t *testing.T) {
	m := newMeaning(t.Context(), &Query{Device: "m", Properties: []string{"a", "b"}, Types: []Type{Integer, Double},
		Filters: []Filter{{"c", GreaterEqual, num("0")}}})
	a, b, c := num("2e1"), num("1.5"), num("3")
	values := make([]Value, 3)
	if n := testing.AllocsPerRun(1000, func() {
		values[0], values[1], values[2] = a, b, c
		m.keep(&Row{Time: day(1), Values: values})
	}); n != 0 {
		t.Errorf("%v allocations a row", n)
	}
}

func TestErrorCodesAreErrors(t *testing.T) {
	cause := errors.New("connection refused")
	err := fmt.Errorf("outer: %w", &Error{Op: "remote: read", Code: CodeUnavailable, Err: cause})
	if !errors.Is(err, CodeUnavailable) || errors.Is(err, CodeThrottled) || !errors.Is(err, cause) {
		t.Errorf("errors.Is does not see through %v", err)
	}
	for err, want := range map[error]Code{nil: "", err: CodeUnavailable, cause: CodeInternal,
		context.Canceled: CodeCanceled, context.DeadlineExceeded: CodeDeadline} {
		if got := CodeOf(err); got != want {
			t.Errorf("CodeOf(%v) = %q, want %q", err, got, want)
		}
	}
	if got := (&Error{Op: "remote: read", Code: CodeDeadline}).Error(); got != "remote: read: deadline" {
		t.Errorf("message %q", got)
	}
}

// Whatever another cloud warns of, the warnings of an answer stay few and short, and those
// of known reasons are among them.
func TestWarningsAreBounded(t *testing.T) {
	var stats, all Stats
	for i := range 100_000 {
		stats.Warn(Warning{Reason: Reason(fmt.Sprint("reason_", i)), Count: 1, Detail: strings.Repeat("x", 1000)})
	}
	stats.LeaveOut("p", WrongType, 3)
	stats.Warn(Warning{Reason: Reason("reason_1"), Count: 1})
	for range 3 {
		all.Add(&stats)
	}
	size := 0
	counts := map[Reason]int64{}
	for _, w := range all.Warnings() {
		size += len(w.String())
		counts[w.Reason] += w.Count
	}
	if size > 70_000 || len(counts) != 66 || counts[WrongType] != 9 || counts["reason_1"] != 6 || counts[MoreWarnings] != 3*(100_000-64) {
		t.Errorf("%d warnings, of %d bytes: %v", len(counts), size, counts)
	}
}

// A warning is the same on both sides of the wire, and its text in answers is whole.
func TestWarningAsJSON(t *testing.T) {
	for text, w := range map[string]Warning{
		`{"code":"wrong_type","property":"temperature","count":3,"message":"temperature: 3 values left out, not of the property's type"}`: {Reason: WrongType, Property: "temperature", Count: 3},
		`{"code":"unreadable","count":1,"message":"1 item unreadable; item a has no time"}`:                                               {Reason: Unreadable, Count: 1, Detail: "item a has no time"},
		`{"code":"unknown_device","message":"no data of this device is known"}`:                                                           {Reason: UnknownDevice},
		`{"code":"newer","property":"p","message":"p: newer; as a newer peer says"}`:                                                      {Reason: "newer", Property: "p", Detail: "as a newer peer says"},
	} {
		got, err := json.Marshal(w)
		var back Warning
		if err != nil || string(got) != text || json.Unmarshal(got, &back) != nil || back != w {
			t.Errorf("%+v: %s, %+v, %v", w, got, back, err)
		}
	}
	if got := AppendWarnings([]byte(`{"a":1`), nil); string(got) != `{"a":1` {
		t.Errorf("no warnings: %s", got)
	}
}

// Each name may come once. The names of a few fields are compared with each other, and those
// of many, which would take the square of their number, are kept in memory.
func TestCheckRecordsFindsNamesThatComeTwice(t *testing.T) {
	for _, n := range []int{2, few, few + 1, 20_000} {
		records := make([]Record, 3)
		for i := range records {
			records[i] = Record{Time: time.Unix(int64(i), 0)}
			for k := range n {
				records[i].Fields = append(records[i].Fields, Field{fmt.Sprint("p", k), BoolValue(true)})
			}
		}
		if err := CheckRecords("d", records); err != nil {
			t.Errorf("%d fields: %v", n, err)
		}
		if allocated := testing.AllocsPerRun(1, func() { _ = CheckRecords("d", records) }); (allocated > 0) != (n > few) {
			t.Errorf("%d fields: %v allocations", n, allocated)
		}
		records[2].Fields[n-1].Name = "p0"
		if err := CheckRecords("d", records); err == nil || err.Error() != `record 3 of device "d" has the property "p0" twice` {
			t.Errorf("%d fields: %v", n, err)
		}
	}
}
