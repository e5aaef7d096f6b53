package storetest

import (
	"context"
	"iter"
	"time"

	"hotreader"
)

// Dated is a store with dated partitions, of which a history needs a start: one that is
// open is From, and an open end about a year later.
type Dated struct {
	hotreader.Source
	From time.Time
}

// Scan implements hotreader.Source.
func (d Dated) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if q.Start.IsZero() && (q.End.IsZero() || q.End.After(d.From)) {
		q.Start = d.From
	}
	if until := d.From.AddDate(1, 1, 0); q.End.IsZero() && q.Start.Before(until) {
		q.End = until
	}
	return d.Source.Scan(ctx, q)
}
