package chart

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

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
