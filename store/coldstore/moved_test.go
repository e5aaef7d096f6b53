package coldstore_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/coldstore"
)

// What a mover left that was stopped while it deleted, moved on, and was stopped again:
// rows lie in two objects.
func TestMoverThatWasStopped(t *testing.T) {
	dir := t.TempDir()
	begin := time.Date(2013, 12, 2, 21, 15, 0, 0, time.UTC)
	want := leaveBehind(t, dir, begin)
	s := open(t, dir, coldstore.Options{})
	expectRows(t, s, want)

	// The rest is in hot storage; one range lies in one object.
	q := hotreader.Query{Device: "machine-1", Properties: []string{"temperature"}, Start: begin.AddDate(0, 0, 20), End: begin.AddDate(0, 0, 30)}
	stats := new(hotreader.Stats)
	n := 0
	for r, err := range s.Scan(hotreader.WithStats(t.Context(), stats), q) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; r.Values[0].Kind() != hotreader.Number || !q.Contains(r.Time) {
			t.Fatalf("%v at %v", r.Values[0], r.Time)
		}
	}
	if n != 10*288+1 || stats.Reads.Load() != 3 { // a list and two objects that overlap there
		t.Errorf("%d rows with %d requests", n, stats.Reads.Load())
	}
	if more := stats.Looked.Load(); more != 9587+8600-int64(n) { // those that come are counted above
		t.Errorf("looked at %d rows more than came", more)
	}
}

// leaveBehind writes objects as the mover for AWS does, and returns the values of their
// rows by time.
func leaveBehind(t *testing.T, dir string, begin time.Time) map[string]string {
	want := map[string]string{}
	for i, run := range [][2]int{{0, 9587}, {4000, 12600}, {12000, 13440}} {
		type entry struct {
			Temperature string `json:"temperature"`
			ID          string `json:"id"`
			Device      string `json:"device_id"`
			Timestamp   string `json:"timestamp"`
		}
		var items []entry
		for n := run[0]; n < run[1]; n++ {
			at := begin.Add(time.Duration(n) * 5 * time.Minute).Format("2006-01-02T15:04:05.000Z")
			value := fmt.Sprintf("%d.%08d", 60+n%40, n*7919)
			items = append(items, entry{value, "machine-1_" + at, "machine-1", at})
			want[at] = value
		}
		text, err := json.Marshal(items)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, "machine-1", items[0].Timestamp+"-"+items[len(items)-1].Timestamp, "chunk-00000.json")
		if err := write(name, text, i); err != nil {
			t.Fatal(err)
		}
	}
	return want
}

// expectRows reads all rows in both orders.
func expectRows(t *testing.T, s hotreader.Source, want map[string]string) {
	t.Helper()
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		stats := new(hotreader.Stats)
		q := hotreader.Query{Device: "machine-1", Properties: []string{"temperature"}, Order: order}
		var last time.Time
		n := 0
		for r, err := range s.Scan(hotreader.WithStats(t.Context(), stats), q) {
			if err != nil {
				t.Fatal(err)
			}
			at := r.Time.Format("2006-01-02T15:04:05.000Z")
			if value := want[at]; value != string(r.Values[0].Text()) || r.Values[0].Kind() != hotreader.Number {
				t.Fatalf("%s: %v, want %q", at, r.Values[0], value)
			}
			if n > 0 && (r.Time.Before(last) != (order == hotreader.Descending) || r.Time.Equal(last)) {
				t.Fatalf("%v after %v", r.Time, last)
			}
			last = r.Time
			n++
		}
		if n != len(want) || len(stats.Warnings()) > 0 {
			t.Errorf("%v: %d rows, want %d; %v", order, n, len(want), stats.Warnings())
		}
	}
}

// The objects that the predecessor's own mover wrote, where they are at hand.
func TestPredecessorsMover(t *testing.T) {
	dir := os.Getenv("HOTREADER_SHARED")
	if dir == "" {
		dir = "../../../shared"
	}
	dir = filepath.Join(dir, "data/cold-aws")
	hot, err := os.ReadFile(filepath.Join(dir, "hot.jsonl"))
	if err != nil {
		return // TestMoverThatWasStopped has the same in small
	}
	want := map[string]string{}
	for _, name := range must(filepath.Glob(filepath.Join(dir, "machine-1/*/*.json"))) {
		var items []map[string]string
		if err := json.Unmarshal(must(os.ReadFile(name)), &items); err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			want[item["timestamp"]] = item["temperature"]
		}
	}
	expectRows(t, open(t, dir, coldstore.Options{Format: coldstore.Mover}), want)
	for line := range strings.Lines(string(hot)) {
		var item struct {
			Timestamp   string
			Temperature json.Number
		}
		if err := json.Unmarshal([]byte(line), &item); err != nil {
			t.Fatal(err)
		}
		want[item.Timestamp] = item.Temperature.String()
	}
	if len(want) != 22_683 {
		t.Errorf("%d rows in hot and cold", len(want))
	}
	expectRows(t, open(t, dir, coldstore.Options{}), want)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Keys of all three movers, with ids that have slashes and dashes, and keys that only
// look so.
func TestKeysOfMovers(t *testing.T) {
	const first, second = "2024-01-05T00:00:00.000Z", "2024-01-05T01:00:00.000Z"
	items := func(device, value string) string {
		return fmt.Sprintf(`[{"device_id":%q,"timestamp":%q,"v":%s}]`, device, first, value)
	}
	for _, c := range []struct {
		device string
		keys   map[string]string // what lies where
		want   string
	}{
		{"a", map[string]string{"a/" + first + "-" + second + "/chunk-00000.json": items("a", "1")}, "1"},
		{"a-b/c", map[string]string{"a-b/c/" + first + "-" + second + "/chunk-00001.json": items("a-b/c", "1")}, "1"},
		{"a-b/c", map[string]string{"a-b/c/a-b/c_" + first + "-a-b/c_" + second + "/chunk-00000.json": items("a-b/c", "1")}, "1"},
		{"a-b/c", map[string]string{"a-b/c/" + first + "_to_" + second + "_chunk0.json": items("a-b/c", "1")}, "1"},
		{"a", map[string]string{"a/" + first + "_to_" + second + "_chunk12.json": items("a", "1")}, "1"},
		{"a", map[string]string{"a/2024-01-05T00:00:00+00:00_to_2024-01-05T01:00:00+00:00_chunk0.json": items("a", "1")}, "1"},
		// Of another device, whose id begins alike; it is broken, and must not be read.
		{"a", map[string]string{"a/b/" + first + "-" + second + "/chunk-00000.json": "broken",
			"a/b/a/b_" + first + "-a/b_" + second + "/chunk-00000.json": "broken", "a/b/" + first + "_to_" + second + "_chunk0.json": "broken"}, ""},
		// Out of the range; broken, too.
		{"a", map[string]string{"a/2023-01-05T00:00:00.000Z-2023-01-05T01:00:00.000Z/chunk-00000.json": "broken",
			"a/a_2025-01-05T00:00:00.000Z-a_2025-01-05T01:00:00.000Z/chunk-00000.json": "broken"}, ""},
		// No data.
		{"a", map[string]string{"a/_SUCCESS": "", "a/.chunk-00000.json": "broken", "a/" + first + "-" + second + "/chunk-00000.json.tmp": "broken", "a/notes.pdf": "broken"}, ""},
		// Ids of items that do not hold the time, and names by no known rule: only the object shows it.
		{"a", map[string]string{"a/7f3e-91c2/chunk-00000.json": items("a", "1"), "a/odd.json": items("a", "2"), "odd.json": items("b", "3")}, "2"},
	} {
		dir := t.TempDir()
		n := 0
		for _, key := range slices.Sorted(maps.Keys(c.keys)) {
			n++
			if err := write(filepath.Join(dir, key), []byte(c.keys[key]), n); err != nil {
				t.Fatal(err)
			}
		}
		q := hotreader.Query{Device: c.device, Properties: []string{"v"}, Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC)}
		got := ""
		for r, err := range open(t, dir, coldstore.Options{}).Scan(t.Context(), q) {
			if err != nil {
				t.Errorf("%v: %v", c.keys, err)
				break
			}
			got += r.Values[0].String()
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.keys, got, c.want)
		}
	}
}
