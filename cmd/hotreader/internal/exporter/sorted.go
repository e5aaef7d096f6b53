package exporter

import (
	"context"
	"errors"
	"iter"
	"time"

	"hotreader"
)

// Sorted is a Source whose rows lie in no order of time, as those of DynamoDB's export to
// S3. A range with more rows than can be sorted at once is read in halves.
type Sorted struct{ hotreader.Source }

// Scan implements hotreader.Source.
func (s Sorted) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		var last time.Time
		for r, err := range s.Source.Scan(ctx, q) {
			if errors.Is(err, hotreader.CodeTooLarge) && !q.Start.IsZero() && !q.End.IsZero() && q.End.Sub(q.Start) > time.Second {
				s.halves(ctx, q, last, yield)
				return
			}
			if errors.Is(err, hotreader.CodeTooLarge) && q.Start.IsZero() {
				err = &hotreader.Error{Op: "export", Code: hotreader.CodeTooLarge, Err: errors.Join(err, errors.New("with --start the range is read in parts"))}
			}
			if last = r.Time; !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// halves goes on after the row at an instant; zero = none came.
func (s Sorted) halves(ctx context.Context, q hotreader.Query, last time.Time, yield func(hotreader.Row, error) bool) {
	if !last.IsZero() {
		q, _ = q.Behind(last)
	}
	middle := q.Start.Add(q.End.Sub(q.Start) / 2)
	for _, part := range [2][2]time.Time{{q.Start, middle}, {middle.Add(1), q.End}} {
		q.Start, q.End = part[0], part[1]
		for r, err := range s.Scan(ctx, q) {
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}
