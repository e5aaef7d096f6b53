package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hotreader"
)

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", file, got, want)
	}
}

var midnight = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func draw(t *testing.T, width, height int, properties []string, rows func(add func(at time.Time, values ...hotreader.Value))) string {
	t.Helper()
	var b bytes.Buffer
	c := newChart(&b, false, width, height, properties)
	rows(func(at time.Time, values ...hotreader.Value) { c.add(hotreader.Row{Time: at, Values: values}) })
	if err := c.end(); err != nil {
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
	forwards := draw(t, 80, 8, properties, func(add func(time.Time, ...hotreader.Value)) { wave(add, false) })
	golden(t, "chart.golden", forwards)
	backwards := draw(t, 80, 8, properties, func(add func(time.Time, ...hotreader.Value)) { wave(add, true) })
	golden(t, "chart-backwards.golden", backwards) // the same, but for a dot here and there
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

func TestTable(t *testing.T) {
	var b bytes.Buffer
	tab := newTable(&b, false, "NAME", "N", "REST")
	tab.right[1] = true
	tab.row(cell{text: "é"}, cell{text: "12"}, cell{text: "x"})
	tab.row(cell{text: "longer"}, cell{text: "3"}, cell{})
	for range 2 * tableSample {
		tab.row(cell{text: "more than the head knew"}, cell{text: "4"}, cell{text: "y"})
	}
	if err := tab.end(); err != nil {
		t.Fatal(err)
	}
	want := "NAME                      N  REST\né                        12  x\nlonger                    3\nmore than the head knew   4  y\n"
	if got := b.String(); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 3+2*tableSample {
		t.Errorf("got:\n%.300s\nwant:\n%s", got, want)
	}
}

func TestParseInstant(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 5, time.UTC)
	for _, c := range []struct{ text, want string }{
		{"now", "2026-03-02T12:00:00.000000005Z"},
		{"-90m", "2026-03-02T10:30:00.000000005Z"},
		{"-1h30m", "2026-03-02T10:30:00.000000005Z"},
		{"-24h", "2026-03-01T12:00:00.000000005Z"},
		{"-7d", "2026-02-23T12:00:00.000000005Z"},
		{"-0.5d", "2026-03-02T00:00:00.000000005Z"},
		{"-2w", "2026-02-16T12:00:00.000000005Z"},
		{"+1h", "2026-03-02T13:00:00.000000005Z"},
		{" 2026-01-01 ", "2026-01-01T00:00:00Z"},
		{"2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z"},
		{"2026-01-01 10:20", "2026-01-01T10:20:00Z"},
	} {
		got, err := parseInstant(c.text, now)
		if err != nil || got.Format(time.RFC3339Nano) != c.want {
			t.Errorf("%q = %v, %v; want %s", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "-", "--1h", "-h", "-1y", "-1e300d", "-NaNd", "yesterday", "24h", "2026-13-01", "1772400000"} {
		if got, err := parseInstant(text, now); err == nil {
			t.Errorf("%q = %v, want an error", text, got)
		}
	}
}

func TestParseFilter(t *testing.T) {
	for _, c := range []struct {
		text, name string
		op         hotreader.Op
		value      string // as Value.String
	}{
		{"temperature>80", "temperature", hotreader.Greater, "80"},
		{"temperature >= -1.50e2", "temperature", hotreader.GreaterEqual, "-1.50e2"},
		{"a<1", "a", hotreader.Less, "1"},
		{"a<=1", "a", hotreader.LessEqual, "1"},
		{"a==1", "a", hotreader.Equal, "1"},
		{"a<>1", "a", hotreader.NotEqual, "1"},
		{"running=true", "running", hotreader.Equal, "true"},
		{"state!=off", "state", hotreader.NotEqual, `"off"`},
		{"state='true'", "state", hotreader.Equal, `"true"`},
		{`state="a\"=b"`, "state", hotreader.Equal, `"a\"=b"`},
		{"state=a=b", "state", hotreader.Equal, `"a=b"`},
		{"a b=007", "a b", hotreader.Equal, `"007"`},
		{"state=''", "state", hotreader.Equal, `""`},
	} {
		f, err := parseFilter(c.text)
		if err != nil || f.Property != c.name || f.Op != c.op || f.Value.String() != c.value {
			t.Errorf("%q = %+v, %v", c.text, f, err)
		}
	}
	for _, text := range []string{"", "a", "=1", "a=", "a=<1", "a=!1", `a="x`, `a="\q"`} {
		if f, err := parseFilter(text); err == nil {
			t.Errorf("%q = %+v, want an error", text, f)
		}
	}
}

// Every code of the vocabulary has its exit code, and the help names each.
func TestExitCodes(t *testing.T) {
	want := map[hotreader.Code]int{
		hotreader.CodeInvalid: 2, hotreader.CodeUnauthenticated: 3, hotreader.CodeForbidden: 3,
		hotreader.CodeNotFound: 3, hotreader.CodeTooLarge: 1, hotreader.CodeThrottled: 4,
		hotreader.CodeOverloaded: 4, hotreader.CodeUnavailable: 4, hotreader.CodeDeadline: 4,
		hotreader.CodeCanceled: 1, hotreader.CodeStore: 1, hotreader.CodeCorrupt: 1,
		hotreader.CodeProtocol: 1, hotreader.CodeConfig: 3, hotreader.CodeInternal: 1,
	}
	for _, code := range hotreader.Codes() {
		exit, ok := want[code]
		if !ok {
			t.Errorf("%s: decide its exit code", code)
		}
		err := fmt.Errorf("wrapped: %w", &hotreader.Error{Op: "x", Code: code})
		if got := exitCode(err); got != exit {
			t.Errorf("%s exits with %d, want %d", code, got, exit)
		}
		if !strings.Contains(exitText, fmt.Sprintf("\n  %d  ", exit)) {
			t.Errorf("--help does not say what %d is", exit)
		}
	}
	if exitCode(nil) != 0 || exitCode(errDiffers) != 1 || exitCode(usagef("x")) != 2 || exitCode(context.DeadlineExceeded) != 4 {
		t.Error("other errors have other codes")
	}
}

func TestOneLine(t *testing.T) {
	var b bytes.Buffer
	a := newApp(nil, nil, &b)
	a.report(errors.New("first\nsecond \x1b[2J\r\nthird"))
	if got, want := b.String(), "hotreader: first; second <1b>[2J; third\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.Reset()
	a.report(&hotreader.Error{Op: "import", Code: hotreader.CodeNotFound, Err: &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}})
	if got, want := b.String(), "hotreader: import: open x: file does not exist; check the name\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8080": true, "127.9.9.9:0": true, "[::1]:1": true, "localhost:1": true,
		":8080": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "example.com:1": false, "127.0.0.1": false, "": false,
	} {
		if got := loopback(address); got != want {
			t.Errorf("loopback(%q) = %v", address, got)
		}
	}
}

func TestInterruptedEndsWith130(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{os.Interrupt})
	var out, talk bytes.Buffer
	if code := run(ctx, []string{"demo", "--once"}, nil, &out, &talk); code != exitInterrupted {
		t.Errorf("exit code %d, want %d: %s", code, exitInterrupted, talk.String())
	}
	if out.Len() > 0 {
		t.Errorf("an interrupted demo printed %s", out.String())
	}
}

// ^C ends an import that waits for a line that does not come.
func TestInterruptedImport(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	in, feed := io.Pipe()
	defer feed.Close()
	go func() {
		// The pipe takes the second write when the first has been read.
		for _, text := range []string{"timestamp,v\n2026-01-01,1\n", "2026-01-02,"} {
			if _, err := feed.Write([]byte(text)); err != nil {
				return
			}
		}
		cancel(interrupted{os.Interrupt})
	}()
	var out, talk bytes.Buffer
	if code := run(ctx, []string{"import", "--store", "mem:", "--device", "d", "--format", "csv", "-"}, in, &out, &talk); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	if out.Len() > 0 || talk.String() != "hotreader: interrupted\n" {
		t.Errorf("it said %q and %q", out.String(), talk.String())
	}
}

// Whatever is written at once, characters stay whole.
func TestVisible(t *testing.T) {
	const in, want = "a\x1b[2J\té€😀\xff\u202e\r\n", "a<1b>[2J\té€😀<ff><202e><0d>\n"
	for size := 1; size <= len(in); size++ {
		var b bytes.Buffer
		v := &visible{w: &b}
		for part := range slices.Chunk([]byte(in), size) {
			if n, err := v.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if b.String() != want {
			t.Errorf("by %d: %q, want %q", size, b.String(), want)
		}
	}
}
