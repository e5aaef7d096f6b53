package hotreader

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
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

func TestSieve(t *testing.T) {
	type row struct {
		day    int
		values []Value
	}
	rows := []row{
		{1, []Value{num("1"), {}}},
		{2, []Value{{}, {}}}, // has none of the properties
		{3, []Value{str("x"), num("7.0")}},
		{4, []Value{str("2"), BoolValue(true)}},
		{5, []Value{num("3"), num("8")}},
	}
	both := []string{"a", "b"}
	for name, c := range map[string]struct {
		q       Query
		want    string
		skipped int64
	}{
		"untyped takes the first kind": {Query{Properties: both}, "1: 1 null; 3: null 7.0; 4: 2 null; 5: 3 8", 2},
		"declared":                     {Query{Properties: both, Types: []Type{ShortString, Integer}}, `1: "1" null; 3: "x" 7; 4: "2" null; 5: "3" 8`, 1},
		"range is inclusive":           {Query{Properties: both, Start: day(3), End: day(4)}, `3: "x" 7.0; 4: "2" null`, 1},
		"limit":                        {Query{Properties: both, Limit: 2}, "1: 1 null; 3: null 7.0", 1},
		"filter on a selected one":     {Query{Properties: both, Filters: []Filter{{"b", Greater, num("7")}}}, "5: 3 8", 0},
		"filter on another":            {Query{Properties: []string{"a"}, Filters: []Filter{{"b", Equal, num("7")}}}, `3: "x"`, 0},
		"last":                         {Query{Properties: both, Types: []Type{Double, Boolean}, Last: true}, "5: 3 null; 4: null true", 1},
	} {
		t.Run(name, func(t *testing.T) {
			c.q.Device = "m"
			stats := new(Stats)
			s, err := NewSieve(WithStats(t.Context(), stats), c.q)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range rows {
				r := rows[i]
				if c.q.Last {
					r = rows[len(rows)-1-i]
				}
				var values []Value
				for _, column := range s.Columns() {
					values = append(values, r.values[column[0]-'a'])
				}
				if s.Keep(day(r.day), values) {
					text := fmt.Sprintf("%d:", r.day)
					for _, v := range values[:len(c.q.Properties)] {
						text += " " + v.String()
					}
					got = append(got, text)
				}
				if s.Done() {
					break
				}
			}
			s.Close()
			if text := strings.Join(got, "; "); text != c.want {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
			if n := stats.Skipped.Load(); n != c.skipped {
				t.Errorf("%d skipped, want %d", n, c.skipped)
			}
		})
	}
}

func TestSieveRestIsWhatWasNotKept(t *testing.T) {
	s, err := NewSieve(t.Context(), Query{Device: "m", Properties: []string{"a", "b"}, Start: day(1), End: day(9), Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	if rest, ok := s.Rest(); !ok || !rest.Start.Equal(day(1)) || rest.Limit != 3 {
		t.Errorf("before the first row: %v, %v", rest, ok)
	}
	s.Keep(day(2), []Value{str("x"), {}})
	rest, ok := s.Rest()
	if !ok || !rest.Start.Equal(day(2).Add(1)) || rest.Limit != 2 || rest.Types[0] != AnyString || rest.Types[1] != Untyped {
		t.Errorf("behind a row: %+v, %v", rest, ok)
	}
	s.Keep(day(3), []Value{str("x"), {}})
	s.Keep(day(4), []Value{str("x"), {}})
	if _, ok := s.Rest(); ok || !s.Done() {
		t.Error("the limit is reached, nothing is left")
	}
}

func TestLastLooksBackOnlySoFar(t *testing.T) {
	s, err := NewSieve(t.Context(), Query{Device: "m", Properties: []string{"a", "never"}, Last: true})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; !s.Done(); n++ {
		s.Keep(day(1).Add(-time.Duration(n)), []Value{num("1"), {}})
	}
	if n != LookBack {
		t.Errorf("looked at %d rows, want %d", n, LookBack)
	}
}

func TestSieveDoesNotAllocate(t *testing.T) {
	s, err := NewSieve(t.Context(), Query{Device: "m", Properties: []string{"a", "b"}, Types: []Type{Integer, Double},
		Filters: []Filter{{"c", GreaterEqual, num("0")}}})
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := num("2e1"), num("1.5"), num("3")
	values := make([]Value, 3)
	if n := testing.AllocsPerRun(1000, func() {
		values[0], values[1], values[2] = a, b, c
		s.Keep(day(1), values)
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
