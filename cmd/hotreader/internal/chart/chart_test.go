package chart

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"hotreader"
	"hotreader/test/golden"
)

var midnight = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func draw(t *testing.T, width, height int, properties []string, rows func(add func(at time.Time, values ...hotreader.Value))) string {
	t.Helper()
	var b bytes.Buffer
	c := New(&b, false, width, height, properties)
	rows(func(at time.Time, values ...hotreader.Value) { c.Add(hotreader.Row{Time: at, Values: values}) })
	if err := c.End(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > max(width, 29) {
			t.Errorf("a line is %d columns wide, the terminal %d: %s", n, width, line)
		}
	}
	return b.String()
}

func wave(add func(at time.Time, values ...hotreader.Value), backwards bool) {
	for i := range 720 {
		if backwards {
			i = 719 - i
		}
		state := "idle"
		if i > 200 && i < 500 {
			state = "running"
		}
		add(midnight.Add(time.Duration(i)*time.Minute),
			hotreader.Float64Value(20*math.Sin(float64(i)/60)), hotreader.StringValue([]byte(state)), hotreader.BoolValue(i > 350))
	}
}

func TestChart(t *testing.T) {
	properties := []string{"temperature", "state", "running"}
	for file, backwards := range map[string]bool{"testdata/chart.golden": false, "testdata/chart-backwards.golden": true} { // the same, but for a dot here and there
		got := draw(t, 80, 8, properties, func(add func(time.Time, ...hotreader.Value)) { wave(add, backwards) })
		golden.File(t, file, []byte(got))
	}
}

// From the rows that Pick names comes the drawing of all rows, dot by dot, in few of
// them; gaps, nulls and words included.
func TestChartOfPicked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		width := rapid.SampledFrom([]int{30, 80, 133}).Draw(t, "width")
		properties := []string{"v", "word", "on"}
		if rapid.Bool().Draw(t, "backwards") {
			slices.Reverse(rows)
		}
		first, last := rows[0].Time, rows[len(rows)-1].Time
		order := hotreader.Ascending
		if last.Before(first) {
			first, last, order = last, first, hotreader.Descending
		}
		all, some := new(bytes.Buffer), new(bytes.Buffer)
		a, b := New(all, false, width, 8, properties), New(some, false, width, 8, properties)
		pick := a.Pick(first, last)
		b.Pick(first, last)
		for _, row := range rows {
			a.Add(row)
		}
		n := 0
		for row, err := range hotreader.NewReader(rows).Read(t.Context(), hotreader.Query{Device: "d", Properties: properties, Pick: pick, Order: order}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			b.Add(row)
		}
		if err := errors.Join(a.End(), b.End()); err != nil || all.String() != some.String() {
			t.Fatalf("%v\nall %d rows:\n%s\npicked %d:\n%s", err, len(rows), all, n, some)
		}
		if most := 12 * 8 * width; pick.Kind == hotreader.PickM4 && n > most {
			t.Fatalf("%d rows were picked of %d", n, len(rows))
		}
	})
}

// history is a Source of these rows.
type history []hotreader.Row

func (h history) Scan(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		for _, row := range h {
			if !yield(row.Clone(), nil) {
				return
			}
		}
	}
}

// drawRows returns rows close together, with gaps now and then.
func drawRows(t *rapid.T) history {
	step := time.Duration(rapid.SampledFrom([]int64{1, 1e3, 1e6, 1e9, 60e9}).Draw(t, "step")) + time.Duration(rapid.IntRange(0, 999).Draw(t, "odd"))
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	var rows history
	at, level := midnight, 0.0
	for range rapid.IntRange(1, 5000).Draw(t, "rows") {
		at = at.Add(step)
		if r.IntN(500) == 0 {
			at = at.Add(time.Duration(r.IntN(2000)) * step)
		}
		level += r.NormFloat64()
		values := []hotreader.Value{hotreader.Float64Value(math.Round(level*100) / 100), hotreader.StringValue([]byte([]string{"idle", "run"}[r.IntN(50)/49])), hotreader.BoolValue(level > 0)}
		for i := range values {
			if r.IntN(10) == 0 {
				values[i] = hotreader.Value{}
			}
		}
		if len(rows) > 0 && !slices.ContainsFunc(values, func(v hotreader.Value) bool { return !v.IsNull() }) {
			continue // no Reader brings a row without a value
		}
		if len(rows) == 0 {
			values[2] = hotreader.BoolValue(true)
		}
		rows = append(rows, hotreader.Row{Time: at, Values: values})
	}
	return rows
}

// A single high point among a million is seen, however many share its column.
func TestChartKeepsSpikes(t *testing.T) {
	const rows = 1_000_000
	for _, at := range []int{0, 1, 333_333, rows - 2, rows - 1} {
		text := draw(t, 60, 6, []string{"v"}, func(add func(time.Time, ...hotreader.Value)) {
			low, high := hotreader.Int64Value(1), hotreader.Int64Value(1000)
			for i := range rows {
				v := low
				if i == at {
					v = high
				}
				add(midnight.Add(time.Duration(i)*time.Second), v)
			}
		})
		lines := strings.Split(text, "\n")
		if !strings.Contains(lines[0], "max 1000") || !strings.ContainsFunc(lines[1], braille) {
			t.Errorf("a spike at row %d is not in the top line:\n%s", at, text)
		}
	}
}

func braille(r rune) bool { return r > 0x2800 && r <= 0x28ff }

func TestChartOfLittle(t *testing.T) {
	one := draw(t, 60, 4, []string{"v", "nothing"}, func(add func(time.Time, ...hotreader.Value)) {
		add(midnight, hotreader.Int64Value(7), hotreader.Value{})
	})
	long := draw(t, 60, 4, []string{"v"}, func(add func(time.Time, ...hotreader.Value)) {
		add(midnight, hotreader.NumberValue([]byte("13056.3")))
	})
	if !strings.Contains(long, "min 13056  max 13056  last 13056  ") {
		t.Errorf("the last value is above the highest:\n%s", long)
	}
	if !strings.Contains(one, "min 7  max 7  last 7  2026-03-02 UTC") || strings.Contains(one, "nothing") {
		t.Errorf("one point:\n%s", one)
	}
	if none := draw(t, 60, 4, []string{"v"}, func(func(time.Time, ...hotreader.Value)) {}); none != "" {
		t.Errorf("no point:\n%s", none)
	}
	narrow := draw(t, 1, 1, []string{"v"}, func(add func(time.Time, ...hotreader.Value)) { // must not panic
		add(midnight, hotreader.Float64Value(1e300))
		add(midnight.AddDate(4000, 0, 0), hotreader.Float64Value(-1e300))
	})
	if !strings.Contains(narrow, "min -1e+300") {
		t.Errorf("narrow:\n%s", narrow)
	}
}

// Words among numbers, as of a sensor that is away, are no numbers.
func TestChartOfWordsAmongNumbers(t *testing.T) {
	for at := range 10 {
		text := draw(t, 60, 4, []string{"v"}, func(add func(time.Time, ...hotreader.Value)) {
			for i := range 10 {
				v := hotreader.Int64Value(int64(300 + i%5))
				if i == at {
					v = hotreader.StringValue([]byte("away"))
				}
				add(midnight.Add(time.Duration(i)*time.Hour), v)
			}
		})
		if !strings.Contains(text, "min 300  max 304") || strings.Contains(text, "█") || strings.Contains(text, "last away") != (at == 9) {
			t.Errorf("away at %d:\n%s", at, text)
		}
	}
}

// A number that no double holds does not make a drawing of numbers one of words.
func TestChartBeyondDoubles(t *testing.T) {
	for _, at := range []int{0, 5, 9} {
		text := draw(t, 60, 4, []string{"v"}, func(add func(time.Time, ...hotreader.Value)) {
			for i := range 10 {
				v := hotreader.Int64Value(int64(i))
				if i == at {
					v = hotreader.NumberValue([]byte("1e400"))
				}
				add(midnight.Add(time.Duration(i)*time.Second), v)
			}
		})
		if !strings.ContainsFunc(text, braille) || strings.Contains(text, "e+") || strings.Contains(text, "█") {
			t.Errorf("1e400 at %d:\n%s", at, text)
		}
	}
}
