package plain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hotreader"
	"hotreader/codec/plain"
)

// checkRecords holds for every record that a decoder lets through.
func checkRecords(t *testing.T, records []hotreader.Record, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, hotreader.CodeInvalid) {
		t.Errorf("an error without a code: %v", err)
	}
	for _, r := range records {
		if len(r.Fields) == 0 {
			t.Error("a record without fields")
		}
		seen := map[string]bool{}
		for _, f := range r.Fields {
			if seen[f.Name] || f.Name == "" || len(f.Name) > hotreader.MaxNameBytes || !utf8.ValidString(f.Name) {
				t.Errorf("field name %q", f.Name)
			}
			seen[f.Name] = true
			v := f.Value
			if v.IsNull() || !utf8.Valid(v.Text()) || v.Kind() == hotreader.Number && !hotreader.IsNumber(v.Text()) {
				t.Errorf("field %q = %v", f.Name, v)
			}
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("timestamp,a,b\n2026-01-01T00:00:00Z,1.50,x\n"))
	f.Add([]byte("\xef\xbb\xbftime,a\r\n2026-01-01,\"q\"\"\r\n,\"\r\n"))
	f.Add([]byte("time,a\n2026-01-01,'=1\n2026-01-01,-inf\n,\n"))
	f.Add([]byte("time,a\n2026-01-01,\"open"))
	f.Add([]byte("time,a\n-1767225600.1234567891,1\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, format := range []plain.TimeFormat{plain.ISO8601, plain.EpochSecs, plain.EpochMillis} {
			got, err := read(plain.NewCSV(bytes.NewReader(in), plain.Options{Batch: 3, TimeFormat: format}))
			checkRecords(t, got, err)
			for _, r := range got {
				if year := r.Time.Year(); year < 0 || year > 9999 {
					t.Errorf("a time that cannot be written: %v", r.Time)
				}
			}
		}
	})
}

func FuzzJSONL(f *testing.F) {
	f.Add([]byte(`{"timestamp":"2026-01-01T00:00:00Z","a":1.50,"b":"x","c":true,"d":null}` + "\n{}\n"))
	f.Add([]byte(`{"time":"2026-01-01","meta":{"x":[1,2,{"y":3}]},"a":1e400}`))
	f.Add([]byte("{\"a\":\"\\ud800\",\"time\":\"2026-01-01\"}\n[\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := read(plain.NewJSONL(bytes.NewReader(in), plain.Options{Batch: 3, Rename: map[string]string{"meta": ""}}))
		checkRecords(t, got, err)
	})
}

// FuzzRoundTrip: whatever text a device sent, JSON stays JSON, a CSV cell stays
// one cell that no spreadsheet runs, and importing either gives the text back.
func FuzzRoundTrip(f *testing.F) {
	f.Add("plain", "p")
	f.Add("=1+\"2\",\n", "a,b")
	f.Add("''=x", "=p")
	f.Add(" é\x00\u2028", "\"")
	f.Add("0", "0\r\n0")
	f.Add("\r\n", "0")
	f.Fuzz(func(t *testing.T, text, name string) {
		trimmed := strings.TrimSpace(name)
		if !utf8.ValidString(text) || !utf8.ValidString(name) || name != trimmed || name == "" || len(name) > hotreader.MaxNameBytes || name == "time" || name == "timestamp" {
			return // no Value and no property of a query looks like that
		}
		row := hotreader.Row{Time: time.Unix(1767225600, 0), Values: []hotreader.Value{str(text), num("1.50")}}
		for _, format := range []plain.Format{plain.JSONL, plain.CSV} {
			e, err := plain.NewEncoder(format, []string{name, name + "2"})
			if err != nil {
				t.Fatal(err)
			}
			out := e.AppendRow(e.AppendHead(nil), row, true)
			d := plain.NewCSV(bytes.NewReader(out), plain.Options{})
			if format == plain.JSONL {
				if !json.Valid(out) {
					t.Fatalf("not JSON: %s", out)
				}
				d = plain.NewJSONL(bytes.NewReader(out), plain.Options{})
			}
			if len(name)+1 > hotreader.MaxNameBytes {
				return
			}
			records, err := read(d)
			if err != nil || len(records) != 1 {
				t.Fatalf("%q: %d records, %v", out, len(records), err)
			}
			got := map[string]string{}
			for _, f := range records[0].Fields {
				got[f.Name] = string(f.Value.Text())
			}
			name := name
			if format == plain.CSV {
				name = strings.ReplaceAll(name, "\r\n", "\n") // as encoding/csv reads quoted cells
			}
			if got[name+"2"] != "1.50" {
				t.Errorf("%q: %q", out, got)
			}
			want := text
			if format == plain.CSV {
				bare := strings.TrimSpace(text)
				if _, there := got[name]; !there || hotreader.IsNumber([]byte(bare)) {
					continue // text that reads as absent, boolean or number
				}
				if strings.EqualFold(bare, "true") || strings.EqualFold(bare, "false") {
					continue
				}
				want = strings.ReplaceAll(text, "\r\n", "\n")
			}
			if got[name] != want {
				t.Errorf("format %d: %q became %q in %q", format, text, got[name], out)
			}
		}
	})
}
