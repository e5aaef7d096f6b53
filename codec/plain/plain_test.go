package plain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"
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
			len(doc.Warnings) != 1 || doc.Warnings[0].String() != `a"b: 2 values not of the property's type` {
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
		"\t=1":     "\"'\t=1\"",
		"\rx":      "\"'\rx\"",
		"\nx":      "\"'\nx\"",
		"'=1":      `"''=1"`,
		"''=1":     `"'''=1"`,
		"'quoted'": `'quoted'`,
		"'":        `'`,
		"a=1":      `a=1`,
		" =1":      `" =1"`, //nolint:gocritic // the blank is the case
	} {
		e, _ := plain.NewEncoder(plain.CSV, []string{"p"})
		got := e.AppendRow(nil, hotreader.Row{Values: []hotreader.Value{str(text)}}, true)
		if want := "," + want + "\n"; string(got) != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// read decodes all of d, with the records' own copies.
func read(d *plain.Decoder) (records []hotreader.Record, err error) {
	for batch, err := range d.Batches() {
		if err != nil {
			return records, err
		}
		for _, r := range batch {
			c := hotreader.Record{Time: r.Time}
			for _, f := range r.Fields {
				c.Fields = append(c.Fields, hotreader.Field{Name: f.Name, Value: f.Value.Clone()})
			}
			records = append(records, c)
		}
	}
	return records, nil
}

func show(records []hotreader.Record) string {
	var b strings.Builder
	for _, r := range records {
		b.Write(hotreader.AppendTime(nil, r.Time))
		for _, f := range r.Fields {
			fmt.Fprintf(&b, " %s=%s", f.Name, f.Value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestImport(t *testing.T) {
	const t1, t2 = "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.000Z"
	for _, c := range []struct {
		name, in string
		jsonl    bool
		o        plain.Options
		want     string
	}{
		{name: "numbers keep their digits", in: "timestamp,a,b\n" + t1 + ",73.90,-1E+7\n", want: t1 + " a=73.90 b=-1E+7\n"},
		{name: "rename", in: "timestamp,value\n" + t1 + ",1\n", o: plain.Options{Rename: map[string]string{"value": "temperature"}}, want: t1 + " temperature=1\n"},
		{name: "leave out", in: "timestamp,a,\n" + t1 + ",1,2\n", o: plain.Options{Rename: map[string]string{"": ""}}, want: t1 + " a=1\n"},
		{name: "other time column", in: "a,when\n1,2026-01-01 00:00\n", o: plain.Options{Time: "when"}, want: t1 + " a=1\n"},
		{name: "time is understood", in: "time,a\n2026-01-01,1\n", want: t1 + " a=1\n"},
		{name: "zone", in: "timestamp,a\n2026-01-01T01:00+01:00,1\n", want: t1 + " a=1\n"},
		{name: "zones", in: "timestamp,a\n2026-01-01T01:00:00+0100,1\n2025-12-31 19:00:01 -0500,2\n", want: t1 + " a=1\n" + t2 + " a=2\n"},
		{name: "seconds since 1970", in: "timestamp,a\n1767225600,1\n1767225600.123456789987,2\n-0.25,3\n", o: plain.Options{TimeFormat: plain.EpochSecs},
			want: t1 + " a=1\n2026-01-01T00:00:00.123456789Z a=2\n1969-12-31T23:59:59.750Z a=3\n"},
		{name: "milliseconds since 1970", in: "timestamp,a\n1767225600000,1\n1767225600001.000002,2\n-1500.5,3\n", o: plain.Options{TimeFormat: plain.EpochMillis},
			want: t1 + " a=1\n2026-01-01T00:00:00.001000002Z a=2\n1969-12-31T23:59:58.499500Z a=3\n"},
		{name: "BOM and CRLF", in: "\xef\xbb\xbftimestamp,a\r\n" + t1 + ",1\r\n" + t2 + ",2\r\n", want: t1 + " a=1\n" + t2 + " a=2\n"},
		{name: "quoted newline, quote and comma", in: "timestamp,a\n" + t1 + ",\"x\ny \"\"z\"\", w\"\n", want: t1 + ` a="x\ny \"z\", w"` + "\n"},
		{name: "kinds", in: "timestamp,a,b,c,d,e,f\n" + t1 + ",true,FALSE,text, 5 ,007,+5\n", want: t1 + ` a=true b=false c="text" d=5 e="007" f="+5"` + "\n"},
		{name: "absent", in: "timestamp,a,b,c,d,e,f,g\n" + t1 + ",,NaN,-Infinity,null, ,inf,1\n", want: t1 + " g=1\n"},
		{name: "a line without values", in: "timestamp,a\n" + t1 + ",\n" + t2 + ",2\n\n", want: t2 + " a=2\n"},
		{name: "guarded formula", in: "timestamp,a,b\n" + t1 + ",'=1+2,'it's'\n", want: t1 + ` a="=1+2" b="'it's'"` + "\n"},
		{name: "semicolons", in: "timestamp;a\n" + t1 + ";1\n", o: plain.Options{Comma: ';'}, want: t1 + " a=1\n"},
		{name: "no end of line", in: "timestamp,a\n" + t1 + ",1", want: t1 + " a=1\n"},
		{name: "header alone", in: "timestamp,a\n", want: ""},

		{name: "objects", jsonl: true, in: `{"timestamp":"` + t1 + `","a":73.90,"b":true,"c":"x","d":null,"e":12345678901234567890123}` + "\n", want: t1 + ` a=73.90 b=true c="x" e=12345678901234567890123` + "\n"},
		{name: "text stays text", jsonl: true, in: `{"a":"5","timestamp":"` + t1 + `"}`, want: t1 + ` a="5"` + "\n"},
		{name: "surrogate pairs", jsonl: true, in: `{"timestamp":"` + t1 + `","a":"\ud83d\ude00 \\ud83d"}`, want: t1 + ` a="😀 \\ud83d"` + "\n"},
		{name: "blank lines, CRLF, BOM", jsonl: true, in: "\xef\xbb\xbf" + `{"time":"` + t1 + `","a":1}` + "\r\n\r\n" + `{"a":2,"time":"` + t2 + `"}`, want: t1 + " a=1\n" + t2 + " a=2\n"},
		{name: "leave a nested value out", jsonl: true, in: `{"timestamp":"` + t1 + `","meta":{"x":[1,{}]},"a":1}`, o: plain.Options{Rename: map[string]string{"meta": ""}}, want: t1 + " a=1\n"},
		{name: "rename a key", jsonl: true, in: `{"timestamp":"` + t1 + `","value":1}`, o: plain.Options{Rename: map[string]string{"value": "temperature"}}, want: t1 + " temperature=1\n"},
		{name: "time as a property", jsonl: true, in: `{"timestamp":"` + t1 + `","time":7}`, o: plain.Options{Time: "timestamp"}, want: t1 + " time=7\n"},
		{name: "seconds as numbers and as text", jsonl: true, in: `{"timestamp":1767225600,"a":1}` + "\n" + `{"timestamp":"1767225601.0","a":2}`, o: plain.Options{TimeFormat: plain.EpochSecs}, want: t1 + " a=1\n" + t2 + " a=2\n"},
		{name: "nothing", jsonl: true, in: "", want: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := plain.NewCSV(strings.NewReader(c.in), c.o)
			if c.jsonl {
				d = plain.NewJSONL(strings.NewReader(c.in), c.o)
			}
			got, err := read(d)
			if err != nil || show(got) != c.want {
				t.Errorf("got %q, %v\nwant %q", show(got), err, c.want)
			}
		})
	}
}

func TestImportRefuses(t *testing.T) {
	const t1 = "2026-01-01T00:00:00.000Z"
	for _, c := range []struct {
		name, in string
		jsonl    bool
		o        plain.Options
		want     string // in the error
		before   int    // records that come before it
	}{
		{name: "empty file", in: "", want: "the file is empty"},
		{name: "BOM alone", in: "\xef\xbb\xbf", want: "the file is empty"},
		{name: "UTF-16", in: "\xff\xfet\x00", want: "UTF-16"},
		{name: "no time column", in: "a,b\n1,2\n", want: `line 1: no column is named "timestamp"`},
		{name: "semicolons not announced", in: "timestamp;a\n", want: `seem to be separated by ';' rather than a comma`},
		{name: "two times", in: "timestamp,time\n", want: "either may hold the time"},
		{name: "rename of nothing", in: "timestamp,a\n", o: plain.Options{Rename: map[string]string{"b": "c"}}, want: `no column is named "b"`},
		{name: "column without a name", in: "timestamp,a,\n", want: "line 1: column 3 has no name"},
		{name: "column twice", in: "timestamp,a,a\n", want: `two columns are named "a"`},
		{name: "renamed onto another", in: "timestamp,a,b\n", o: plain.Options{Rename: map[string]string{"b": "a"}}, want: `two columns are named "a"`},
		{name: "a long name", in: "timestamp," + strings.Repeat("x", 256) + "\n", want: "256 bytes"},
		{name: "a thousand and one columns", in: "timestamp" + strings.Repeat(",x", 1001), want: "it names 1002 columns"},
		{name: "too few cells", in: "timestamp,a,b\n" + t1 + ",1,2\n" + t1 + ",1\n", want: "line 3: it has 2 cells, the header has 3", before: 1},
		{name: "too many cells", in: "timestamp,a\n" + t1 + ",1,2\n", want: "line 2: it has 3 cells, the header has 2"},
		{name: "line numbers count quoted newlines", in: "timestamp,a\n" + t1 + ",\"x\n\ny\"\nwhen,1\n", want: "line 5: \"when\" is not a time", before: 1},
		{name: "no time", in: "timestamp,a\n,1\n", want: `line 2: "" is not a time`},
		{name: "open quote", in: "timestamp,a\n" + t1 + ",\"x\n", want: "line 2"},
		{name: "stray quote", in: "timestamp,a\n" + t1 + ",x\"y\n", want: "line 2"},
		{name: "not UTF-8", in: "timestamp,a\n" + t1 + ",\xff\n", want: "line 2: column 2 (\"a\") is not UTF-8"},
		{name: "endless cell", in: "timestamp,a\n" + t1 + ",\"" + strings.Repeat("x", 3<<20), want: "is a quote left open?"},

		{name: "CR alone", in: "timestamp,a\r" + t1 + ",1\r", want: "line 1: its lines end with CR alone"},
		{name: "half a surrogate pair", jsonl: true, in: `{"timestamp":"` + t1 + `","a":"\\ud83d \ud83d x"}`, want: `line 1: "a" has half of a surrogate pair`},
		{name: "the other half", jsonl: true, in: `{"timestamp":"` + t1 + `","\uDE00":1}`, want: "line 1: \"\ufffd\" has half of a surrogate pair"},
		{name: "not an object", jsonl: true, in: "7", want: "line 1: it is not a JSON object"},
		{name: "an array", jsonl: true, in: "\n[\n{}]", want: "line 2: it begins a JSON document; want one object a line, as jq -c '.[]' makes"},
		{name: "an object of several lines", jsonl: true, in: "{\n \"timestamp\": 1}", want: "line 1: it begins a JSON document of several lines"},
		{name: "a document in one line", jsonl: true, in: `{"items":[{"time":"` + t1 + `"}]}`, want: `"items" is a list of objects, so this is a JSON document`},
		{name: "time is null", jsonl: true, in: `{"timestamp":null,"a":1}`, want: "the time is null"},
		{name: "time is nested", jsonl: true, in: `{"timestamp":{"$date":1},"a":1}`, want: `"timestamp" holds the time, but is an object`},
		{name: "a time that has no form in UTC", in: "timestamp,a\n9999-12-31T23:59:59-01:00,1\n", want: "is not in the years 0 to 9999 of UTC"},
		{name: "epoch with an exponent", in: "timestamp,a\n1.38602E+12,1\n", o: plain.Options{TimeFormat: plain.EpochMillis}, want: "want milliseconds since 1970"},
		{name: "epoch out of range", in: "timestamp,a\n9223372036854775807,1\n", o: plain.Options{TimeFormat: plain.EpochSecs}, want: "want seconds since 1970"},
		{name: "epoch beyond the calendar", in: "timestamp,a\n253402300800,1\n", o: plain.Options{TimeFormat: plain.EpochSecs}, want: "want seconds since 1970"},
		{name: "epoch without digits", in: "timestamp,a\n-,1\n", o: plain.Options{TimeFormat: plain.EpochSecs}, want: "want seconds since 1970"},
		{name: "epoch ends with a point", in: "timestamp,a\n1.,1\n", o: plain.Options{TimeFormat: plain.EpochSecs}, want: "want seconds since 1970"},
		{name: "not JSON", jsonl: true, in: `{"timestamp":"` + t1 + `","a":1}` + "\n\n{x}", want: "line 3: it is not a JSON object", before: 1},
		{name: "cut", jsonl: true, in: `{"timestamp":"` + t1 + `","a":`, want: `line 1: "a" has no value`},
		{name: "not closed", jsonl: true, in: `{"timestamp":"` + t1 + `","a":1`, want: "line 1"},
		{name: "two objects", jsonl: true, in: `{"timestamp":"` + t1 + `","a":1}{}`, want: "more follows"},
		{name: "nested", jsonl: true, in: `{"timestamp":"` + t1 + `","a":{"b":1}}`, want: `"a" is an object or array`},
		{name: "no time", jsonl: true, in: `{"a":1}`, want: `no key is named "timestamp"`},
		{name: "time is a number", jsonl: true, in: `{"timestamp":1386018900,"a":1}`, want: `"1386018900" is not a time`},
		{name: "time is nonsense", jsonl: true, in: `{"timestamp":"x","a":1}`, want: "is not a time"},
		{name: "two times", jsonl: true, in: `{"timestamp":"` + t1 + `","time":"` + t1 + `","a":1}`, want: "either may hold the time"},
		{name: "time twice", jsonl: true, in: `{"timestamp":"` + t1 + `","timestamp":"` + t1 + `","a":1}`, want: "comes twice"},
		{name: "key twice", jsonl: true, in: `{"timestamp":"` + t1 + `","a":1,"a":2}`, want: `"a" comes twice`},
		{name: "key without a name", jsonl: true, in: `{"timestamp":"` + t1 + `","":1}`, want: "has no name"},
		{name: "not UTF-8", jsonl: true, in: "{\"timestamp\":\"" + t1 + "\",\"a\":\"\xff\"}", want: "not UTF-8"},
		{name: "a thousand and one keys", jsonl: true, in: manyKeys(), want: "more than 1000 values"},
		{name: "endless line", jsonl: true, in: `{"a":"` + strings.Repeat("x", 3<<20), want: "line 1: it has more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := plain.NewCSV(strings.NewReader(c.in), c.o)
			if c.jsonl {
				d = plain.NewJSONL(strings.NewReader(c.in), c.o)
			}
			got, err := read(d)
			if !errors.Is(err, hotreader.CodeInvalid) || !strings.Contains(err.Error(), c.want) || len(got) != c.before {
				t.Errorf("%d records, then %v\nwant %d, then …%s…", len(got), err, c.before, c.want)
			}
		})
	}
}

// What other options would mend, the error says.
func TestImportNamesTheOptions(t *testing.T) {
	for _, c := range []struct {
		in    string
		jsonl bool
		want  plain.OptionsError
	}{
		{in: "Timestamp,a\n", want: plain.OptionsError{Time: []string{"Timestamp"}}},
		{in: "a,Time,datetime,ts,runtime\n", want: plain.OptionsError{Time: []string{"Time", "datetime", "ts"}}},
		{in: "a,b\n"},
		{in: "timestamp,time\n", want: plain.OptionsError{Time: []string{"timestamp", "time"}}},
		{in: "timestamp;a\n", want: plain.OptionsError{Comma: ';'}},
		{in: "timestamp\ta\n", want: plain.OptionsError{Comma: '\t'}},
		{in: "timestamp,a\n1767225600.5,1\n", want: plain.OptionsError{TimeFormat: plain.EpochSecs}},
		{in: "timestamp,a\n1767225600500,1\n", want: plain.OptionsError{TimeFormat: plain.EpochMillis}},
		{in: `{"b":1,"TS":"2026-01-01"}`, jsonl: true, want: plain.OptionsError{Time: []string{"TS"}}},
		{in: `{"timestamp":1767225600500,"a":1}`, jsonl: true, want: plain.OptionsError{TimeFormat: plain.EpochMillis}},
	} {
		d := plain.NewCSV(strings.NewReader(c.in), plain.Options{})
		if c.jsonl {
			d = plain.NewJSONL(strings.NewReader(c.in), plain.Options{})
		}
		_, err := read(d)
		got, ok := errors.AsType[*plain.OptionsError](err)
		if !ok || !slices.Equal(got.Time, c.want.Time) || got.Comma != c.want.Comma || got.TimeFormat != c.want.TimeFormat {
			t.Errorf("%q: %+v, %v; want %+v", c.in, got, err, c.want)
		}
	}
	if _, err := read(plain.NewCSV(strings.NewReader("timestamp,a\nyesterday,1\n"), plain.Options{})); err != nil {
		if got, ok := errors.AsType[*plain.OptionsError](err); ok {
			t.Errorf("no option reads yesterday: %+v", got)
		}
	}
}

func manyKeys() string {
	var b strings.Builder
	b.WriteString(`{"timestamp":"2026-01-01"`)
	for i := range 1001 {
		fmt.Fprintf(&b, `,"p%d":1`, i)
	}
	return b.String() + "}"
}

func TestImportReportsAFailingFile(t *testing.T) {
	in := io.MultiReader(strings.NewReader("timestamp,a\n2026-01-01,1\n"), failingReader{})
	if got, err := read(plain.NewCSV(in, plain.Options{})); !errors.Is(err, io.ErrClosedPipe) || len(got) != 1 {
		t.Errorf("CSV: %d records, %v", len(got), err)
	}
	if _, err := read(plain.NewJSONL(failingReader{}, plain.Options{})); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("JSON lines: %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestBatches(t *testing.T) {
	var in strings.Builder
	in.WriteString("timestamp,a\n")
	start := newYear
	for i := range 25 {
		in.Write(hotreader.AppendTime(nil, start.Add(time.Duration(i)*time.Second)))
		fmt.Fprintf(&in, ",%d\n", i)
	}
	d := plain.NewCSV(strings.NewReader(in.String()), plain.Options{Batch: 10})
	var sizes []int
	i := 0
	for batch, err := range d.Batches() {
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(batch))
		for _, r := range batch {
			if got := string(r.Fields[0].Value.Text()); got != fmt.Sprint(i) || !r.Time.Equal(start.Add(time.Duration(i)*time.Second)) {
				t.Errorf("record %d is %s at %v", i, got, r.Time)
			}
			i++
		}
	}
	if fmt.Sprint(sizes) != "[10 10 5]" || d.Lines() != 26 {
		t.Errorf("batches %v, %d lines", sizes, d.Lines())
	}
}

func TestBatchesOfLargeValuesAreSmall(t *testing.T) {
	line := `{"timestamp":"2026-01-01","a":"` + strings.Repeat("x", 300<<10) + "\"}\n"
	n := 0
	for batch, err := range plain.NewJSONL(strings.NewReader(strings.Repeat(line, 10)), plain.Options{}).Batches() {
		if err != nil {
			t.Fatal(err)
		}
		if n += len(batch); len(batch) > 4 {
			t.Errorf("a batch has %d records of 300 KB", len(batch))
		}
	}
	if n != 10 {
		t.Errorf("%d records", n)
	}
}

// TestStoppedImportGoesOn: a caller may stop after a batch and range again.
func TestStoppedImportGoesOn(t *testing.T) {
	d := plain.NewCSV(strings.NewReader("time,a\n2026-01-01,1\n2026-01-02,2\n"), plain.Options{Batch: 1})
	for range d.Batches() {
		break
	}
	got, err := read(d)
	if want := "2026-01-02T00:00:00.000Z a=2\n"; err != nil || show(got) != want {
		t.Errorf("got %q, %v", show(got), err)
	}
}
