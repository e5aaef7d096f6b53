//go:build proof && engines

package tiers

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/route"
	"hotreader/store/all"
	"hotreader/store/memstore"
	"hotreader/store/storetest"
	"hotreader/test/engine"
)

// series returns the real series in order. Of an instant that occurs twice the later stands.
func series(t *testing.T) []hotreader.Record {
	t.Helper()
	records := storetest.Series(t)
	slices.SortStableFunc(records, func(a, b hotreader.Record) int { return a.Time.Compare(b.Time) })
	slices.Reverse(records)
	records = slices.CompactFunc(records, func(a, b hotreader.Record) bool { return a.Time.Equal(b.Time) })
	slices.Reverse(records)
	return records
}

// The real series, cut between three tiers at any places, with rows in two of them:
// exact through each twin, wherever the tiers lie, in both directions and in pages.
func TestProofTiers(t *testing.T) {
	records := series(t)
	if len(records) != 22683 {
		t.Fatalf("the series has %d instants, want 22683", len(records))
	}
	want := written(records)
	back := slices.Clone(want)
	slices.Reverse(back)
	r := rand.New(rand.NewPCG(22683, 17))
	answers := 0
	layouts(func(p *config.Project) {
		at := []int{r.IntN(len(records)), r.IntN(len(records))}
		slices.Sort(at)
		reader := twin(t, p, cut(t, p, records, [2]int{at[1], at[0]}, r.IntN(3000)))
		for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
			rows := want
			if order == hotreader.Descending {
				rows = back
			}
			q := hotreader.Query{Device: device, Properties: []string{"temperature"}, Order: order}
			same(t, name(p), read(t, reader, q), rows)
			for _, size := range []int{200, 10_000} {
				same(t, name(p), pages(t, reader, q, size), rows)
			}
			answers += 3
		}
	})
	t.Logf("%d answers of %d rows, exact", answers, len(want))
}

// What a mover for AWS has left in cold storage, with its crashes, and the rest in hot
// storage are the real series.
func TestProofObjectsOfAMover(t *testing.T) {
	const folder = "../../../shared/data/cold-aws"
	want := written(series(t))
	cold, err := all.OpenReader(t.Context(), "file:"+folder)
	if err != nil {
		t.Fatal(err)
	}
	defer cold.Close()
	text, err := os.ReadFile(folder + "/hot.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	hot := memstore.New()
	for line := range bytes.Lines(text) {
		var item struct {
			Timestamp   time.Time
			Temperature json.RawMessage
		}
		if err := json.Unmarshal(line, &item); err != nil {
			t.Fatal(err)
		}
		record := hotreader.Record{Time: item.Timestamp, Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.NumberValue(item.Temperature)}}}
		if err := hot.Write(t.Context(), "machine-1", []hotreader.Record{record}); err != nil {
			t.Fatal(err)
		}
	}
	reader := hotreader.NewReader(route.Tiers(route.Tier{Name: "hot storage", Source: hot}, route.Tier{Name: "cold storage", Source: cold}))
	q := hotreader.Query{Device: "machine-1", Properties: []string{"temperature"}}
	same(t, "ascending", read(t, reader, q), want)
	same(t, "pages", pages(t, reader, q, 10_000), want)
	q.Order = hotreader.Descending
	back := read(t, reader, q)
	slices.Reverse(back)
	same(t, "descending", back, want)
}

// Any number of steps at any request.
func TestProofMoversAtEveryPoint(t *testing.T) { atEveryPoint(t, true) }

// The real series, as each mover lays it out, on two implementations of S3.
func TestProofTiersOverS3(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", engine.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", engine.SecretAccessKey)
	records := series(t)
	want := written(records)
	back := slices.Clone(want)
	slices.Reverse(back)
	for implementation, endpoint := range engine.S3(t) {
		for mover := range movers {
			r := overS3(t, endpoint, mover, records, [2]int{18_000, len(records)}, [2]int{6_000, 19_000}, [2]int{0, 7_000})
			q := hotreader.Query{Device: device, Properties: []string{"temperature"}}
			same(t, implementation, read(t, r, q), want)
			for _, size := range []int{200, 10_000} {
				same(t, implementation, pages(t, r, q, size), want)
			}
			q.Order = hotreader.Descending
			same(t, implementation, read(t, r, q), back)
		}
	}
}
