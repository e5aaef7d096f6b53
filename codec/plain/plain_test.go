package plain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/codec/plain"
	"hotreader/test/golden"
)

var (
	null = hotreader.Value{}
	num  = func(s string) hotreader.Value { return hotreader.NumberValue([]byte(s)) }
	str  = func(s string) hotreader.Value { return hotreader.StringValue([]byte(s)) }
	yes  = hotreader.BoolValue(true)
	no   = hotreader.BoolValue(false)
)

var newYear = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func all(rows []hotreader.Row, err error) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
		if err != nil {
			yield(hotreader.Row{}, err)
		}
	}
}

func sample() ([]string, []hotreader.Row) {
	return []string{"temperature", "läuft", `say "x", y`}, []hotreader.Row{
		{Time: newYear, Values: []hotreader.Value{num("73.90"), yes, str("plain")}},
		{Time: newYear.Add(time.Microsecond), Values: []hotreader.Value{num("-12345678901234567890.123456789012345678"), null, str("a \"q\", b\r\nc\t\x01é😀")}},
		{Time: newYear.Add(time.Second / 2), Values: []hotreader.Value{num("1E-7"), no, str("")}},
		{Time: newYear.Add(time.Second), Values: []hotreader.Value{null, null, str("=1+2")}},
		{Time: newYear.Add(2 * time.Second), Values: []hotreader.Value{num("4"), null, null}},
	}
}

func TestGoldenAnswers(t *testing.T) {
	names, rows := sample()
	for format, file := range map[plain.Format]string{plain.JSON: "rows.json", plain.JSONL: "rows.jsonl", plain.CSV: "rows.csv"} {
		e, err := plain.NewEncoder(format, names)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if n, err := e.Write(&got, all(rows, nil), new(hotreader.Stats)); n != len(rows) || err != nil {
			t.Fatalf("%s: wrote %d rows, %v", file, n, err)
		}
		golden.File(t, filepath.Join("testdata", file), got.Bytes())
	}
}

func TestJSONIsJSON(t *testing.T) {
	names, rows := sample()
	for _, n := range []int{0, 1, len(rows)} {
		e, _ := plain.NewEncoder(plain.JSON, names)
		b := e.AppendHead(nil)
		for i, row := range rows[:n] {
			b = e.AppendRow(b, row, i == 0)
		}
		b = e.AppendTail(b, `to"ken`, []hotreader.Warning{{Reason: hotreader.WrongType, Property: "a\"b", Count: 2}})
		var doc struct {
			Items     []map[string]any
			NextToken string `json:"next_token"`
			Warnings  []hotreader.Warning
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&doc); err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		if len(doc.Items) != n || doc.Items == nil || doc.NextToken != `to"ken` ||
			len(doc.Warnings) != 1 || doc.Warnings[0].String() != `a"b: 2 values left out, not of the property's type` {
			t.Errorf("%d rows came back as %s", n, b)
		}
		for i, item := range doc.Items {
			for j, name := range names {
				got, there := item[name]
				v := rows[i].Values[j]
				if !there || (got == nil) != v.IsNull() {
					t.Errorf("row %d: %q is there: %v, as %v; want %v", i, name, there, got, v)
				}
				if want := string(v.Text()); want != "" && fmt.Sprint(got) != want {
					t.Errorf("row %d: %q is %v, not %s", i, name, got, want)
				}
			}
		}
	}
}

func TestEncoderMakesBadTextGood(t *testing.T) {
	e, _ := plain.NewEncoder(plain.JSONL, []string{"p"})
	got := e.AppendRow(nil, hotreader.Row{Time: newYear, Values: []hotreader.Value{str("a\xffb")}}, true)
	if want := `{"time":"2026-01-01T00:00:00.000Z","p":"a\ufffdb"}` + "\n"; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTimelessRow(t *testing.T) {
	row := hotreader.Row{Values: []hotreader.Value{num("1")}}
	e, _ := plain.NewEncoder(plain.JSONL, []string{"p"})
	if got, want := string(e.AppendRow(nil, row, true)), `{"time":null,"p":1}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	e, _ = plain.NewEncoder(plain.CSV, []string{"p"})
	if got, want := string(e.AppendRow(nil, row, true)), ",1\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPropertyNamedTimeIsRefused(t *testing.T) {
	for _, f := range []plain.Format{plain.JSON, plain.JSONL, plain.CSV} {
		if _, err := plain.NewEncoder(f, []string{"a", "time"}); !errors.Is(err, hotreader.CodeInvalid) {
			t.Errorf("format %d: %v", f, err)
		}
	}
}

func TestFailedReadLeavesJSONOpen(t *testing.T) {
	names, rows := sample()
	e, _ := plain.NewEncoder(plain.JSON, names)
	var got bytes.Buffer
	broken := &hotreader.Error{Code: hotreader.CodeStore}
	n, err := e.Write(&got, all(rows[:2], broken), new(hotreader.Stats))
	if n != 2 || !errors.Is(err, broken) {
		t.Errorf("n %d, error %v", n, err)
	}
	if json.Valid(got.Bytes()) || !strings.Contains(got.String(), "73.90") {
		t.Errorf("a broken read looks whole: %s", got.Bytes())
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriteStopsWhenNobodyReads(t *testing.T) {
	e, _ := plain.NewEncoder(plain.JSONL, []string{"p"})
	yielded := 0
	endless := func(yield func(hotreader.Row, error) bool) {
		for yield(hotreader.Row{Time: time.Unix(int64(yielded), 0), Values: []hotreader.Value{yes}}, nil) {
			yielded++
		}
	}
	n, err := e.Write(failingWriter{}, endless, new(hotreader.Stats))
	if !errors.Is(err, io.ErrClosedPipe) || n == 0 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestNoAllocationPerRow(t *testing.T) {
	names, rows := sample()
	for _, f := range []plain.Format{plain.JSON, plain.JSONL, plain.CSV} {
		e, _ := plain.NewEncoder(f, names)
		buf := make([]byte, 0, 64<<10)
		if n := testing.AllocsPerRun(100, func() {
			buf = buf[:0]
			for i, row := range rows {
				buf = e.AppendRow(buf, row, i == 0)
			}
		}); n != 0 {
			t.Errorf("format %d: %v allocations", f, n)
		}
	}
}

func TestFormulasAreGuarded(t *testing.T) {
	for text, want := range map[string]string{
		"=1":       `"'=1"`,
		"+1":       `"'+1"`,
		"-1":       `-1`, // a number harms nobody
		"-1+cmd":   `"'-1+cmd"`,
		"@SUM":     `"'@SUM"`,
		"\t=1":     "\"'\t'=1\"",
		"a;=1+1;":  `"a;'=1+1;"`, // where a semicolon separates
		"a\n@x":    "\"a\n'@x\"",
		"a;'=1":    `"a;''=1"`,
		"＝1":       `"'＝1"`,
		"\x00=1":   "\"'\x00=1\"",
		"\u00a0=1": "\"'\u00a0=1\"",
		"a；=1":     `a；=1`,
		"\rx":      "\"'\rx\"",
		"\nx":      "\"'\nx\"",
		"'=1":      `"''=1"`,
		"''=1":     `"'''=1"`,
		"'quoted'": `'quoted'`,
		"'":        `'`,
		"a=1":      `a=1`,
		" =1":      `"' =1"`, //nolint:gocritic // the blank is the case
	} {
		e, _ := plain.NewEncoder(plain.CSV, []string{"p"})
		got := e.AppendRow(nil, hotreader.Row{Values: []hotreader.Value{str(text)}}, true)
		if want := "," + want + "\n"; string(got) != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		if cell := strings.ReplaceAll(strings.Trim(want, `"`), `""`, `"`); plain.Unguard(cell) != text {
			t.Errorf("%q came back as %q", text, plain.Unguard(cell))
		}
	}
}
