//go:build engines && proof

package page

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/boltstore"
	"hotreader/test/serving"
)

// TestProofZoom: over 500,000 rows a zoom is drawn within 200 ms, over ten million within
// 3 s. Times depend on the machine, so they are said, and ten times as long fails.
func TestProofZoom(t *testing.T) {
	for rows, most := range map[int]time.Duration{500_000: 200 * time.Millisecond, 10_000_000: 3 * time.Second} {
		t.Run(fmt.Sprint(rows), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "zoom.db")
			walk(t, file, rows)
			server := serving.Start(t, "hotreader", map[string]string{"INTER_CLOUD_TOKEN": serving.Token}, "serve", "--store", "bolt:"+file, "--max-rows", "20000000").WaitReady(t)
			out := node(t, "zoom.mjs", map[string]any{"url": server.URL + "/", "token": serving.Token})
			var took []int64 // milliseconds
			if err := json.Unmarshal(out, &took); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			t.Logf("%d rows: drawn after %d ms; wanted within %v", rows, took, most)
			if slowest := slices.Max(took); slowest > 10*most.Milliseconds() {
				t.Errorf("a zoom took %d ms", slowest)
			}
		})
	}
}

// walk writes so many rows, a second apart.
func walk(t *testing.T, file string, rows int) {
	t.Helper()
	store, err := boltstore.Open(file, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const batch = 100_000
	all := make([]hotreader.Record, batch)
	for from := 0; from < rows; from += batch {
		for i := range all {
			n := from + i
			all[i] = hotreader.Record{Time: began.Add(time.Duration(n) * time.Second), Fields: []hotreader.Field{
				{Name: "temperature", Value: hotreader.NumberValue(fmt.Appendf(nil, "%.2f", 20+float64(n*7919%4000)/100))}}}
		}
		if err := store.Write(t.Context(), "d", all); err != nil {
			t.Fatal(err)
		}
	}
}
