package main

import (
	"bytes"
	"context"
	"iter"
	"testing"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/chart"
)

// counted is a Source of a row a second, and counts what it brings.
type counted struct {
	rows int
	read *int
}

func (c counted) Scan(_ context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		for i := range c.rows {
			if q.Backward() {
				i = c.rows - 1 - i
			}
			*c.read++
			if !yield(hotreader.Row{Time: time.Unix(int64(i), 0).UTC(), Values: []hotreader.Value{hotreader.Int64Value(int64(i % 977))}}, nil) {
				return
			}
		}
	}
}

// A chart of a million rows asks for what it draws; one of a part of the rows, which
// has no ends that are cheap to find, asks for all of that.
func TestChartAsksForFewer(t *testing.T) {
	read := 0
	reader := hotreader.NewReader(counted{1_000_000, &read})
	q := hotreader.Query{Device: "d", Properties: []string{"p"}}
	drawing := func() *chart.Chart { return chart.New(new(bytes.Buffer), false, 80, 10, q.Properties) }
	pick, err := pickFor(t.Context(), drawing(), reader, q)
	if err != nil || pick.Kind != hotreader.PickM4 || read > 4 {
		t.Fatalf("%+v after %d rows, %v", pick, read, err)
	}
	n, fewer := 0, q
	fewer.Pick = pick
	for _, err := range reader.Read(t.Context(), fewer) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n < 640 || n > 4*640 {
		t.Errorf("%d rows make a chart of 640 slices", n)
	}
	own := hotreader.Points(time.Unix(0, 0), time.Unix(9, 0), 4)
	for name, change := range map[string]func(*hotreader.Query){
		"limit": func(q *hotreader.Query) { q.Limit = 5 },
		"filter": func(q *hotreader.Query) {
			q.Filters = []hotreader.Filter{{Property: "p", Op: hotreader.Equal, Value: hotreader.Int64Value(5)}}
		},
		"own pick": func(q *hotreader.Query) { q.Pick = own },
		"no rows":  func(q *hotreader.Query) { q.Start = time.Unix(1e9, 0) },
		"few":      func(q *hotreader.Query) { q.End = time.Unix(0, 5e8) },
	} {
		asked := q
		change(&asked)
		if got, err := pickFor(t.Context(), drawing(), reader, asked); err != nil || got != asked.Pick {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
