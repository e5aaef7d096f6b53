package storetest

import (
	"encoding/csv"
	"os"
	"slices"
	"testing"
	"time"

	"hotreader"
)

// realRows is how many instants the real series has.
const realRows = 22683

// Proof writes a real machine's series under each of layouts, the zero one too, and reads
// it back in every form: whole, in both directions, in pages, in ranges and its newest
// value.
func Proof[L any](t *testing.T, layouts map[string]L, harness func(l L, from time.Time) Harness) {
	records := Series(t)
	var zero L
	layouts["the default"] = zero
	for name, l := range layouts {
		t.Run(name, func(t *testing.T) { harness(l, records[0].Time.AddDate(0, 0, -1)).proof(t, records) })
	}
}

func (h Harness) proof(t *testing.T, records []hotreader.Record) {
	r, w := h.open(t)
	write(t, w, "machine", records...)
	want := answer(records, hotreader.Query{Properties: []string{"temperature"}})
	if len(want) != realRows {
		t.Fatalf("the series has %d instants, want %d", len(want), realRows)
	}
	q := hotreader.Query{Device: "machine", Properties: []string{"temperature"}}
	h.expect(t, r, q, want...)
	paged := q
	paged.Limit = 997
	for from := 0; from < len(want); from += paged.Limit {
		page := want[from:min(from+paged.Limit, len(want))]
		h.expect(t, r, paged, page...)
		paged, _ = paged.Behind(page[len(page)-1].Time)
	}
	middle := q
	middle.Start, middle.End = want[5000].Time, want[9000].Time.Add(time.Second)
	h.expect(t, r, middle, want[5000:9001]...)
	back := slices.Clone(want)
	slices.Reverse(back)
	q.Order = hotreader.Descending
	h.expect(t, r, q, back...)
	h.expect(t, r, hotreader.Query{Device: "machine", Properties: []string{"temperature"}, Last: true}, back[0])
	t.Logf("%d rows, exact: whole, by %d, a range, backwards, the newest", len(want), paged.Limit)
}

// Series returns a real machine's series as it was recorded: some instants occur twice.
func Series(t *testing.T) (records []hotreader.Record) {
	t.Helper()
	f, err := os.Open("../../../shared/data/machine_temperature.csv")
	if err != nil {
		t.Fatalf("the proof needs the real data: %v", err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		at, err := time.Parse(time.DateTime, line[0])
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, record(at.UTC(), field("temperature", num(line[1]))))
	}
	return records
}
