package plain_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hotreader"
	"hotreader/codec/plain"
)

// FuzzText: whatever text a device sent, JSON stays JSON, and a CSV cell stays one
// cell that no spreadsheet runs.
func FuzzText(f *testing.F) {
	f.Add("plain", "p")
	f.Add("=1+\"2\",\n", "a,b")
	f.Add("''=x", "=p")
	f.Add(" é\x00\u2028", "\"")
	f.Add("\r\n", "0")
	f.Fuzz(func(t *testing.T, text, name string) {
		if !utf8.ValidString(text) || !utf8.ValidString(name) || name == "" || name == plain.TimeName {
			return // no Value and no property of a query looks like that
		}
		row := hotreader.Row{Time: time.Unix(1767225600, 0), Values: []hotreader.Value{str(text), num("1.50")}}
		for _, format := range []plain.Format{plain.JSONL, plain.CSV} {
			e, err := plain.NewEncoder(format, []string{name, name + "2"})
			if err != nil {
				t.Fatal(err)
			}
			out := e.AppendRow(e.AppendHead(nil), row, true)
			if format == plain.JSONL {
				if !json.Valid(out) {
					t.Fatalf("not JSON: %s", out)
				}
				continue
			}
			lines, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
			if err != nil || len(lines) != 2 || len(lines[1]) != 3 || lines[1][2] != "1.50" {
				t.Fatalf("%q: %q, %v", out, lines, err)
			}
			for _, cell := range slices.Concat(lines[0], lines[1]) {
				if cell != "" && strings.IndexByte("=+-@\t\r\n", cell[0]) >= 0 && !hotreader.IsNumber([]byte(cell)) {
					t.Errorf("a spreadsheet runs %q", cell)
				}
			}
		}
	})
}
