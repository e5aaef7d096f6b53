package exporter

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/folder"
)

// DynamoDB's export to S3 has no order, and may be more than can be sorted at once.
func TestUnsorted(t *testing.T) {
	dir := t.TempDir()
	f := newFixture(t, map[string][]hotreader.Record{"d": series(30_000), "e": series(10)})
	lines := make([]strings.Builder, 3)
	for i, r := range series(30_000) {
		item := map[string]any{"device_id": map[string]string{"S": "d"}, "timestamp": map[string]string{"S": text(r.Time)}}
		for _, p := range r.Fields {
			item[p.Name] = map[string]string{map[hotreader.Kind]string{hotreader.Number: "N", hotreader.String: "S"}[p.Value.Kind()]: string(p.Value.Text())}
		}
		line, err := json.Marshal(map[string]any{"Item": item})
		if err != nil {
			t.Fatal(err)
		}
		b := &lines[i*7919%30_000%3]
		rest := b.String()
		if i%2 == 0 && len(rest) < 100_000 {
			b.Reset()
			b.WriteString(string(line) + "\n" + rest)
		} else {
			b.WriteString(string(line) + "\n")
		}
	}
	for i := range lines {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.json", i)), []byte(lines[i].String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := folder.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s, err := coldstore.New(b, coldstore.Options{Format: coldstore.Export})
	if err != nil {
		t.Fatal(err)
	}
	s.Sort(300 << 10)
	f.Devices = f.Devices[:1]
	f.Source = Sorted{s}
	if _, err := f.run(t); !errors.Is(err, hotreader.CodeTooLarge) || !strings.Contains(err.Error(), "with --start") {
		t.Errorf("without a start: %v", err)
	}
	f.Start = began
	f.must(t)
	q := hotreader.Query{Device: "d", Properties: f.Devices[0].Properties}
	if want, got := rowsOf(t, f.source, q), rowsOf(t, f.cold(t), q); !slices.Equal(want, got) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}
