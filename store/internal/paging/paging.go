// Package paging is what stores share that answer page by page: the loop over
// the pages, how large the next is to be, and the memory that a page is read into.
package paging

import (
	"context"
	"iter"
	"sync"
	"time"

	"hotreader"
	"hotreader/store/internal/timekey"
)

// An Answer is a store's answer to one query. It serves one read after another.
type Answer interface {
	// Begin prepares the requests for q, whose rows have the given columns. left
	// counts, by column, values that no hotreader.Value can hold. Begin returns
	// false if no row can be in the range.
	Begin(q *hotreader.Query, columns []string, left []int64) bool

	// Page asks for the next page, of n items at the most, 0 = as many as the
	// store puts into one, and passes its rows to o until that is stopped. It
	// returns how many items came, and whether there is another page.
	Page(ctx context.Context, n int, o *timekey.Order) (items int, more bool, err error)

	// Release drops what the answer refers to, so that a pool does not keep it.
	Release()
}

// A Scanner makes a hotreader.Source of a store's Answers.
//
// A query for few rows, such as the last entry, asks for few items, so that it
// costs a small read however long the device's history is. Rows of one second
// are held until the second is over, and no others.
type Scanner struct {
	Format      string // how keys keep time
	Slack, Most int    // see Size
	Kept        int    // bytes of held rows for which memory is kept between reads

	Check func(q *hotreader.Query) error // whether q can be asked at all
	New   func() Answer
	Fail  func(ctx context.Context, err error) error // makes Page's errors ours

	readings sync.Pool // of *reading
}

// A reading is one read: the answer, and the rows of the second that is being
// put together.
type reading struct {
	answer Answer
	order  timekey.Order
}

// Scan brings the rows of q, page by page.
func (s *Scanner) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return s.ScanPages(ctx, q, nil)
}

// ScanPages implements route.Paged.
func (s *Scanner) ScanPages(ctx context.Context, q hotreader.Query, next func(rest hotreader.Query, items int, span time.Duration) bool) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		q := q.Closed(time.Now())
		if err := s.Check(&q); err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		r, ok := s.readings.Get().(*reading)
		if !ok {
			r = &reading{answer: s.New()}
		}
		defer s.readings.Put(r)
		defer r.order.Release(s.Kept)
		defer r.answer.Release()
		columns := q.Columns()
		if !r.answer.Begin(&q, columns, r.order.Begin(ctx, s.Format, &q, columns, yield)) {
			return
		}
		size := Size{Query: &q, Slack: s.Slack, Most: s.Most}
		if err := r.read(ctx, &size, next); err != nil {
			yield(hotreader.Row{}, s.Fail(ctx, err))
		}
	}
}

// read follows the pages to the end of the answer. A page may be empty and still
// not the last.
func (r *reading) read(ctx context.Context, size *Size, next func(rest hotreader.Query, items int, span time.Duration) bool) error {
	o := &r.order
	for {
		items, more, err := r.answer.Page(ctx, size.Next(o.Passed()), o)
		switch {
		case err != nil:
			return err
		case o.Stopped():
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !more:
			o.Pass()
			return nil
		}
		if next != nil {
			if rest, span, ok := o.Rest(); ok && !next(rest, items, span) {
				return nil
			}
		}
	}
}
