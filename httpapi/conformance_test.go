package httpapi_test

import (
	"testing"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/remote"
	"hotreader/store/memstore"
	"hotreader/store/storetest"
)

// TestConformance: a store read through the API is still a Source, however small the
// answers are. (TwinMaker's JSON cannot pass the suite: its latest values have no time,
// and its strings are limited.)
func TestConformance(t *testing.T) {
	for name, o := range map[string]httpapi.Options{
		"whole":    {},
		"in pages": {MaxAnswer: 182_000}, // the suite's longest row just fits
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Harness{
				NoStats: true,
				New: func(t testing.TB) (hotreader.Source, hotreader.Writer) {
					m := memstore.New()
					o := o
					o.Source = m
					return caller(t, o), m
				},
			})
		})
	}
}

// TestLeftOutIsCountedByTheCaller: the other cloud leaves out a value that its declared
// type cannot hold, and the caller counts it.
func TestLeftOutIsCountedByTheCaller(t *testing.T) {
	m := memstore.New()
	for i, text := range []string{"1.5", "x", "2.5"} {
		record := hotreader.Record{Time: time.Unix(int64(i), 0), Fields: []hotreader.Field{{Name: "a", Value: str(text)}}}
		if err := m.Write(t.Context(), "d", []hotreader.Record{record}); err != nil {
			t.Fatal(err)
		}
	}
	stats := new(hotreader.Stats)
	rows := 0
	for _, err := range hotreader.NewReader(caller(t, httpapi.Options{Source: m})).Read(hotreader.WithStats(t.Context(), stats),
		hotreader.Query{Device: "d", Properties: []string{"a"}, Types: []hotreader.Type{hotreader.Double}}) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if rows != 2 || stats.Skipped() != 1 {
		t.Errorf("%d rows, %d values left out; want 2 and 1", rows, stats.Skipped())
	}
}

// caller is a Source that asks the API of o.
func caller(t testing.TB, o httpapi.Options) hotreader.Source {
	t.Helper()
	r, err := remote.New(remote.Options{URL: serve(t, o).URL, Credential: static(t, current), SourceCloud: "aws"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
