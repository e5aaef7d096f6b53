package httpapi_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
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

// TestPickedWhereTheRowsLie: picked rows are picked in the other cloud, so that few
// cross, by a stream and as JSON; they are those that would be picked here.
func TestPickedWhereTheRowsLie(t *testing.T) {
	m := memstore.New()
	var records []hotreader.Record
	for i := range 20_000 {
		v := num(strconv.Itoa((i * 7919) % 1000))
		records = append(records, hotreader.Record{Time: at(t, "2026-01-01T00:00:00Z").Add(time.Duration(i) * time.Second), Fields: []hotreader.Field{{Name: "a", Value: v}}})
	}
	if err := m.Write(t.Context(), "d", records); err != nil {
		t.Fatal(err)
	}
	q := hotreader.Query{Device: "d", Properties: []string{"a"}, Start: records[0].Time, End: records[len(records)-1].Time}
	read := func(src hotreader.Source, q hotreader.Query) (lines []string, bytes int64) {
		stats := new(hotreader.Stats)
		for row, err := range hotreader.NewReader(src).Read(hotreader.WithStats(t.Context(), stats), q) {
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprint(row.Time, row.Values))
		}
		return lines, stats.Bytes.Load()
	}
	_, whole := read(caller(t, httpapi.Options{Source: m}), q)
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		for _, limit := range []int{0, 17} {
			q.Pick, q.Order, q.Limit = hotreader.Points(q.Start, q.End, 100), order, limit
			want, _ := read(m, q)
			if len(want) > 100 || len(want) < 17 {
				t.Fatalf("%d rows for 100 points", len(want))
			}
			for name, o := range map[string]httpapi.Options{"stream": {Source: m}, "JSON": {Source: m, NoRows: true}} {
				got, bytes := read(caller(t, o), q)
				if !slices.Equal(got, want) || name == "stream" && bytes > whole/10 {
					t.Errorf("%s, %v, limit %d: %d rows, want %d; %d bytes, %d for all rows", name, order, limit, len(got), len(want), bytes, whole)
				}
			}
		}
	}
}

// A store that can list distinguishes an unknown device and property from an empty range.
func TestStoreKnowsWhatThereIs(t *testing.T) {
	m := memstore.New()
	if err := m.Write(t.Context(), "d", []hotreader.Record{{Time: at(t, "2026-01-01T00:00:00Z"), Fields: []hotreader.Field{{Name: "temperature", Value: num("1")}}}}); err != nil {
		t.Fatal(err)
	}
	s := serve(t, httpapi.Options{Source: m, Lister: m, LookBack: 1})
	for path, want := range map[string]string{
		"/v1/devices/d/history?property=temperature,temp":                       `"warnings":[{"code":"unknown_property","property":"temp",`,
		"/v1/devices/d/latest?property=temp":                                    `did you mean temperature?`,
		"/v1/devices/e/history?property=temperature":                            `"warnings":[{"code":"unknown_device",`,
		"/v1/devices/d/history?property=temperature&start=2027-01-01T00:00:00Z": `{"items":[],"next_token":null}`,
	} {
		if got := ask(t, s, "GET", path, ""); got.status != 200 || !strings.Contains(got.body, want) || strings.Contains(got.body, "an older value may be there") {
			t.Errorf("%s: %d %s, want %s", path, got.status, got.body, want)
		}
	}
}
