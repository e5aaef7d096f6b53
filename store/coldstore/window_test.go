package coldstore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/coldstore"
)

// Objects that are larger than what a scan holds: those in order come exactly, in both orders,
// with duplicates where a part is passed on; those in disorder are sorted as far as that
// goes, and beyond are an error.
func TestObjectsLargerThanMemory(t *testing.T) {
	records := ramp(10_000) // some 0.6 MB when they are decoded
	twice := slices.Clone(records)
	for i := range twice { // each instant twice: the later line wins
		twice[i].Time = day.Add(time.Duration(i/2) * time.Minute)
	}
	late := append(slices.Clone(records[100:]), records[:100]...)
	shuffled := slices.Clone(records)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, k int) { shuffled[i], shuffled[k] = shuffled[k], shuffled[i] })
	for name, c := range map[string]struct {
		records []hotreader.Record
		hold    int64
		fits    bool
	}{
		"in order":                 {records, 280 << 10, true},
		"in order, in small steps": {records, 1, true},
		"in disorder, that fits":   {shuffled, 32 << 20, true},
		"in disorder":              {shuffled, 300 << 10, false},
		"the first ones last":      {late, 300 << 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, body := range [][]byte{lines("d", c.records), parquetFile(t, "d", c.records)} {
				if !c.fits && bytes.HasPrefix(body, []byte("PAR1")) {
					continue // its row groups are small
				}
				s := store(t, newMemory(map[string][]byte{"a": body}), coldstore.Options{})
				s.Hold(c.hold)
				if c.fits {
					if err := count(t, s, len(records)); err != nil {
						t.Error(err)
					}
					continue
				}
				for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
					var last error
					for _, err := range s.Scan(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}, Order: order}) {
						last = err
					}
					if hotreader.CodeOf(last) != hotreader.CodeTooLarge {
						t.Errorf("%v: %v", order, last)
					}
				}
			}
		})
	}
	s := store(t, newMemory(map[string][]byte{"a": lines("d", twice)}), coldstore.Options{})
	s.Hold(300 << 10)
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		n := 0
		for r, err := range s.Scan(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}, Order: order}) {
			if err != nil {
				t.Fatal(err)
			}
			at := int(r.Time.Sub(day) / time.Minute)
			if n++; r.Values[0].String() != fmt.Sprint(2*at+1) {
				t.Fatalf("%v: %v at %v", order, r.Values[0], r.Time)
			}
		}
		if n != len(records)/2 {
			t.Errorf("%v: %d rows", order, n)
		}
	}
}

// The memory that a scan takes does not grow with what it reads.
func TestMemoryIsBounded(t *testing.T) {
	objects := map[string][]byte{}
	const each = 20_000
	for n := range 10 {
		records := ramp(each)
		for i := range records {
			records[i].Time = records[i].Time.Add(time.Duration(n*each) * time.Minute)
		}
		objects[fmt.Sprintf("%s%03d.jsonl.gz", "d/", n)] = gzipped(lines("d", records))
	}
	s := store(t, newMemory(objects), coldstore.Options{})
	s.Hold(2 << 20)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n, most := 0, uint64(0)
	for _, err := range s.Scan(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%40_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
		}
	}
	if n != 10*each || most > 40<<20 {
		t.Errorf("%d rows, up to %d bytes of memory", n, most)
	}
}
