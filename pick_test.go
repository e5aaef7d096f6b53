package hotreader

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// picks returns the rows that a query brings, as lines.
func picks(t *rapid.T, src Source, q Query) []string {
	lines, _ := picksAndChanges(t, src, q)
	return lines
}

// picksAndChanges returns also how many changes of each property it warns of.
func picksAndChanges(t *rapid.T, src Source, q Query) (lines []string, lost map[string]int64) {
	stats := new(Stats)
	for r, err := range NewReader(src).Read(WithStats(t.Context(), stats), q) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line(r))
	}
	lost = map[string]int64{}
	for _, w := range stats.Warnings() {
		if w.Reason == ChangesNotPicked {
			lost[w.Property] = w.Count
		}
	}
	return lines, lost
}

// unpicked returns how many rows, with which a text or boolean changes within an interval,
// are not among those that were picked.
func unpicked(rows stored, q Query, picked []string) map[string]int64 {
	lost := map[string]int64{}
	for i, property := range q.Properties {
		var before Row
		for _, r := range rows {
			v := r.Values[i]
			if v.IsNull() || q.Pick.Kind != PickM4 {
				continue
			}
			if !before.Time.IsZero() && q.Pick.interval(before.Time) == q.Pick.interval(r.Time) {
				old := before.Values[i]
				changed := old.kind != v.kind || v.kind != Number && string(old.text) != string(v.text)
				if changed && !slices.Contains(picked, line(Row{Time: r.Time, Values: r.Values[:len(q.Properties)]})) {
					lost[property]++
				}
			}
			before = r
		}
	}
	return lost
}

func line(r Row) string { return fmt.Sprint(r.Time.UnixNano(), r.Values) }

// drawn are rows at random instants, with gaps, nulls, ties and kinds that mix.
func drawn(t *rapid.T) stored {
	values := []Value{{}, num("1"), num("1.0"), num("-2"), num("0.1"), num("0.10000000000000001"), num("1e400"), num("-1e400"), num("12345678901234567890123"),
		num("12345678901234567890124"), str("a"), str("B"), str(""), BoolValue(true), BoolValue(false)}
	var rows stored
	at := day(1)
	for range rapid.IntRange(0, 60).Draw(t, "rows") {
		at = at.Add(time.Duration(rapid.SampledFrom([]int64{1, 1e6, 1e9, 7e9, 60e9, 3600e9}).Draw(t, "gap")))
		rows = append(rows, Row{Time: at, Values: []Value{rapid.SampledFrom(values).Draw(t, "a"), rapid.SampledFrom(values).Draw(t, "b")}})
	}
	return rows
}

func drawPick(t *rapid.T) Pick {
	return Pick{Kind: PickKind(rapid.IntRange(1, 2).Draw(t, "kind")), Origin: day(1).Add(time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "origin"))),
		Every: time.Duration(rapid.SampledFrom([]int64{1, 1000, 1500, 60_000, 3_600_000}).Draw(t, "every")) * time.Millisecond}
}

// wanted are the rows of each interval that must be picked, found by looking at all.
func wanted(rows stored, p Pick, properties int) []string {
	less := func(x, y Value) bool {
		if x.kind != y.kind {
			return x.kind < y.kind
		}
		if x.kind == Number {
			a, _ := new(big.Rat).SetString(string(x.text))
			b, _ := new(big.Rat).SetString(string(y.text))
			return a.Cmp(b) < 0
		}
		return string(x.text) < string(y.text)
	}
	groups := map[int64][]Row{}
	for _, r := range rows {
		d := r.Time.Sub(p.Origin)
		k := int64(d / p.Every)
		switch rest := d % p.Every; {
		case p.Kind == PickM4 && rest < 0:
			k--
		case p.Kind == PickLast && rest > 0:
			k++
		}
		groups[k] = append(groups[k], r)
	}
	keep := map[time.Time]Row{}
	for _, group := range groups {
		for i := range properties {
			var with []Row
			for _, r := range group {
				if !r.Values[i].IsNull() {
					with = append(with, r)
				}
			}
			if len(with) == 0 {
				continue
			}
			chosen := []Row{with[len(with)-1]}
			if p.Kind == PickM4 {
				low, high := with[0], with[0]
				for _, r := range with {
					if less(r.Values[i], low.Values[i]) {
						low = r
					}
					if less(high.Values[i], r.Values[i]) {
						high = r
					}
				}
				chosen = append(chosen, with[0], low, high)
			}
			for _, r := range chosen {
				keep[r.Time] = r
			}
		}
	}
	var lines []string
	for _, r := range rows {
		if _, ok := keep[r.Time]; ok {
			lines = append(lines, line(Row{Time: r.Time, Values: r.Values[:properties]}))
		}
	}
	return lines
}

// Each interval's first, lowest, highest and last row of each property are there, whole
// and in order, both ways, and nothing else; picking again changes nothing.
func TestPick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, pick := drawn(t), drawPick(t)
		n := rapid.IntRange(1, 2).Draw(t, "properties")
		q := Query{Device: "m", Properties: []string{"a", "b"}[:n], Pick: pick, Types: []Type{AsStored, AsStored}[:n]}
		want := wanted(rows, pick, n)
		if got := picks(t, rows, q); !slices.Equal(got, want) {
			t.Fatalf("%+v:\n got %q\nwant %q", pick, got, want)
		}
		if got := picks(t, Meaning(rows), q); !slices.Equal(got, want) {
			t.Fatalf("twice: %q, want %q", got, want)
		}
		lost := unpicked(rows, q, want)
		for name, src := range map[string]Source{"all rows": rows, "picked rows": Meaning(rows)} {
			for _, q.Order = range []Order{Ascending, Descending} {
				if _, got := picksAndChanges(t, src, q); !maps.Equal(got, lost) {
					t.Fatalf("%v, of %s, it warns of %v changes; want %v", q.Order, name, got, lost)
				}
			}
		}
		back := slices.Clone(want)
		slices.Reverse(back)
		if got := picks(t, rows, q); !slices.Equal(got, back) {
			t.Fatalf("descending:\n got %q\nwant %q", got, back)
		}
	})
}

// In pages, and in parts that end within intervals, nothing that was picked is lost, and
// picking from it gives what picking from all rows gives.
func TestPickInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, pick := drawn(t), drawPick(t)
		q := Query{Device: "m", Properties: []string{"a", "b"}, Pick: pick, Types: []Type{AsStored, AsStored}, Limit: rapid.IntRange(1, 9).Draw(t, "page"),
			Order: Order(rapid.IntRange(0, 1).Draw(t, "order"))}
		var all stored
		for page, more := q, true; more; {
			n := 0
			var last time.Time
			for r, err := range NewReader(rows).Read(t.Context(), page) {
				if err != nil {
					t.Fatal(err)
				}
				n, last, all = n+1, r.Time, append(all, r.Clone())
			}
			if n < q.Limit {
				break
			}
			page, more = page.Behind(last)
		}
		if q.Order == Descending {
			slices.Reverse(all)
		}
		q.Limit, q.Order = 0, Ascending
		if got, want := picks(t, all, q), wanted(rows, pick, 2); !slices.Equal(got, want) {
			t.Fatalf("%+v:\n got %q\nwant %q", pick, got, want)
		}
	})
}

// A line of 1,000 columns through what was picked is, pixel by pixel, the line through
// all rows, spikes and gaps included.
func TestPickDrawsTheSameLine(t *testing.T) {
	const columns, lines = 1000, 300
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		step := rapid.SampledFrom([]time.Duration{time.Millisecond, 777 * time.Microsecond, time.Second}).Draw(t, "step")
		var rows stored
		at, level := day(1), 0.0
		for range rapid.IntRange(columns, 20*columns).Draw(t, "rows") {
			at = at.Add(step)
			if r.IntN(1000) == 0 {
				at = at.Add(time.Duration(r.IntN(900)) * step)
			}
			level += r.NormFloat64()
			v := level
			if r.IntN(1000) == 0 {
				v += 100 * r.NormFloat64()
			}
			value := Float64Value(v)
			if r.IntN(20) == 0 {
				value = Value{}
			}
			rows = append(rows, Row{Time: at, Values: []Value{value}})
		}
		pick := Points(day(1), at, MinPoints*columns)
		low, high := math.Inf(1), math.Inf(-1)
		for _, row := range rows {
			if f, ok := row.Values[0].Float64(); ok {
				low, high = min(low, f), max(high, f)
			}
		}
		draw := func(p Pick) (drawn [columns][lines]bool, n int) {
			x0, y0 := -1, 0
			for row, err := range NewReader(rows).Read(t.Context(), Query{Device: "m", Properties: []string{"a"}, Pick: p}) {
				if err != nil {
					t.Fatal(err)
				}
				f, _ := row.Values[0].Float64()
				x, y := int(pick.interval(row.Time)), int((f-low)/(high-low)*(lines-1))
				if x0 < 0 {
					x0, y0 = x, y
				}
				segment(x0, y0, x, y, func(x, y int) { drawn[x][y] = true })
				x0, y0, n = x, y, n+1
			}
			return drawn, n
		}
		all, _ := draw(Pick{})
		some, n := draw(pick)
		if all != some || n > MinPoints*columns {
			t.Fatalf("%d of %d rows draw another line", n, len(rows))
		}
	})
}

// segment draws a line between two pixels, both included.
func segment(x0, y0, x1, y1 int, set func(x, y int)) {
	steps := max(x1-x0, y1-y0, y0-y1)
	for i := range steps + 1 {
		k := max(steps, 1)
		set(x0+(x1-x0)*i/k, y0+(y1-y0)*i/k)
	}
}

// What a query holds of the rows that it picks is bounded, however long their texts are.
func TestPickedRowsAreBounded(t *testing.T) {
	long := str(strings.Repeat("x", 400_000))
	for _, c := range []struct {
		name        string
		intervals   int
		perInterval int
		properties  int // each row has one of them
		want        Code
	}{
		{"a property, many rows of an interval", 1, 100, 1, ""},
		{"a property, many intervals", 100, 4, 1, ""},
		{"as many properties as fit", 5, 20, 20, ""},
		{"more", 1, 21, 21, CodeTooLarge},
		{"many", 9, 100, 26, CodeTooLarge},
	} {
		q := Query{Device: "m", Pick: Pick{Kind: PickM4, Origin: day(1), Every: time.Hour}}
		var rows stored
		for i := range c.properties {
			q.Properties = append(q.Properties, string(rune('a'+i)))
		}
		for i := range c.intervals * c.perInterval {
			values := make([]Value, c.properties)
			values[i%c.properties] = long
			at := time.Duration(i/c.perInterval)*time.Hour + time.Duration(i%c.perInterval)*time.Second
			rows = append(rows, Row{Time: day(1).Add(at), Values: values})
		}
		var failed error
		for _, err := range NewReader(rows).Read(t.Context(), q) {
			failed = err
		}
		if CodeOf(failed) != c.want || failed != nil && !strings.Contains(failed.Error(), "select fewer properties") {
			t.Errorf("%s: %v, want %q", c.name, failed, c.want)
		}
	}
}

func TestPoints(t *testing.T) {
	for _, c := range []struct {
		n     int
		every time.Duration
	}{{4, 24*time.Hour + time.Millisecond}, {8, 12*time.Hour + time.Millisecond}, {1, 24*time.Hour + time.Millisecond}, {1e9, time.Millisecond}} {
		p := Points(day(1), day(2), c.n)
		if p.Every != c.every || p.Kind != PickM4 || !p.Origin.Equal(day(1)) {
			t.Errorf("%d points: %+v, want intervals of %v", c.n, p, c.every)
		}
		if k := p.interval(day(2)); k < 0 || k >= int64(max(c.n/4, 1)) && c.n < 1e9 {
			t.Errorf("%d points: the end is in interval %d", c.n, k)
		}
	}
	if p := Points(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), 4000); p.Every < 9*365*24*time.Hour {
		t.Errorf("ten thousand years have intervals of %v", p.Every)
	}
	for text, q := range map[string]Query{
		"unknown mode":        {Pick: Pick{Kind: 9}},
		"whole milli":         {Pick: Pick{Kind: PickM4, Origin: day(1), Every: time.Microsecond}},
		"begin nowhere":       {Pick: Pick{Kind: PickM4, Every: time.Second}},
		"expected one of the": {Last: true, Pick: Pick{Kind: PickLast, Origin: day(1), Every: time.Second}},
	} {
		q.Device, q.Properties = "m", []string{"a"}
		if err := q.Check(); CodeOf(err) != CodeInvalid || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v, want %q", q.Pick, err, text)
		}
	}
}
