package storetest

import (
	"context"
	"iter"
	"strings"
	"testing"
	"time"

	"hotreader"
)

// Layouts is RunRows for each of layouts of a store that has passed all of Run. Histories
// are read from an instant on, where they need a start.
func Layouts[L any](t *testing.T, layouts map[string]L, harness func(l L, from time.Time) Harness) {
	for name, l := range layouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // much of it is waiting for the engine
			harness(l, time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).RunRows(t)
		})
	}
}

// Dated returns a source that its partitions may make need a start and an end: one that
// is open is from, or three months later. What lies there, and empty months beside, is
// all that the checks write.
func Dated(src hotreader.Source, partition string, from time.Time) hotreader.Source {
	if !strings.Contains(partition, "yyyy") {
		return src
	}
	return dated{src, from, from.AddDate(0, 3, 0)}
}

type dated struct {
	hotreader.Source
	from, until time.Time
}

// Scan implements hotreader.Source.
func (d dated) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if q.Start.IsZero() && (q.End.IsZero() || q.End.After(d.from)) {
		q.Start = d.from
	}
	if q.End.IsZero() && q.Start.Before(d.until) {
		q.End = d.until
	}
	return d.Source.Scan(ctx, q)
}
