package azurecosmos

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

// slack is how many items are asked for beyond those wanted. A row can only be
// passed on when the next one shows that its second is over.
const slack = 7

// maxStill is how many empty pages in a row may say that the answer goes on
// where it stood.
const maxStill = 16

// Scan brings the container's rows, page by page.
//
// A query for few rows, such as the last entry, asks for few items, so that it
// costs a small read however long the device's history is. Rows of one second
// are held until the second is over, and no others.
func (s *Store) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return s.ScanPages(ctx, q, nil)
}

// ScanPages implements route.Paged.
func (s *Store) ScanPages(ctx context.Context, q hotreader.Query, next func(rest hotreader.Query, items int, span time.Duration) bool) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		if err := s.check(); err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		low, high, ok := timekey.Bounds(s.format, q.Start, q.End)
		if !ok {
			return
		}
		r, ok := s.readings.Get().(*reading)
		if !ok {
			r = new(reading)
		}
		defer s.readings.Put(r)
		defer r.release()
		columns := q.Columns()
		r.store, r.items = s, 0
		r.size = paging.Size{Query: &q, Slack: slack, Most: 1 << 20}
		r.decoder.layout(len(columns), s.keyKind())
		r.order.Begin(ctx, s.format, &q, len(columns), yield)
		r.request = request{
			verb:   http.MethodPost,
			path:   s.docs,
			kind:   "docs",
			link:   s.link,
			header: queryHeader(q.Device),
			body:   s.queryBody(q.Device, columns, low, high, q.Backward()),
		}
		r.next = next
		if err := r.read(ctx); err != nil {
			yield(hotreader.Row{}, err)
		}
	}
}

// A reading is one read of a container: the request, the decoder, and the rows
// of the second that is being put together.
type reading struct {
	store   *Store
	request request
	size    paging.Size
	items   int // that came
	decoder decoder
	order   timekey.Order

	next func(rest hotreader.Query, items int, span time.Duration) bool // may be nil
}

// release drops what the reading refers to, so that the pool does not keep it.
func (r *reading) release() {
	r.store, r.size, r.request, r.next = nil, paging.Size{}, request{}, nil
	r.decoder.Release(maxPooled)
	r.order.Release(maxPooled)
}

// read follows the pages to the end of the answer. A page may be empty and still
// not the last.
func (r *reading) read(ctx context.Context) error {
	stats := hotreader.StatsOf(ctx)
	still := 0
	for number := 1; ; number++ {
		r.request.header["X-Ms-Max-Item-Count"] = []string{strconv.Itoa(r.pageItems())}
		before := r.items
		p := newPage()
		header, err := r.store.client.do(ctx, &r.request, p)
		stats.Reads.Add(1)
		stats.Bytes.Add(int64(len(p.body)))
		more := false
		if err != nil {
			err = r.store.fail(ctx, querying, err)
		} else {
			more, err = r.page(ctx, header, p, number)
		}
		p.release()
		if err != nil || !more {
			return err
		}
		if ctx.Err() != nil {
			return r.store.fail(ctx, querying, ctx.Err())
		}
		next := header.Get("X-Ms-Continuation")
		if next == "" {
			if r.items == 0 {
				if err := r.expectRightPartition(ctx); err != nil {
					return err
				}
			}
			r.order.Pass()
			return nil
		}
		if last := r.request.header["X-Ms-Continuation"]; len(last) == 0 || last[0] != next {
			still = 0
		} else if still++; r.items > before || still == maxStill {
			return r.corrupt(number, errors.New("it goes on where it began, so reading on would never end"))
		}
		r.request.header["X-Ms-Continuation"] = []string{next}
		if r.next != nil {
			if rest, span, ok := r.order.Rest(); ok && !r.next(rest, r.items-before, span) {
				return nil
			}
		}
	}
}

// page passes the rows of one page on, but for those of its last second. It
// returns false if no more are wanted.
func (r *reading) page(ctx context.Context, header http.Header, p *page, number int) (bool, error) {
	if kind := header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		return false, &hotreader.Error{Op: r.store.op(querying), Code: hotreader.CodeProtocol,
			Err: fmt.Errorf("%s answered with %s, which Cosmos DB does not; check COSMOS_DB_ENDPOINT", r.store.client.host, describe(kind))}
	}
	d, o, done := &r.decoder, &r.order, ctx.Done()
	if err := d.Open(p.body); err != nil {
		return false, r.corrupt(number, err)
	}
	for {
		at, more, err := d.item(o.Slot())
		if err != nil {
			return false, r.corrupt(number, err)
		}
		if !more {
			break
		}
		r.items++
		o.Unreadable(d.skipped)
		d.skipped = 0
		select {
		case <-done:
			return false, r.store.fail(ctx, querying, ctx.Err())
		default:
		}
		if !o.Add(at) {
			return false, nil
		}
	}
	o.Keep()
	return true, nil
}

func (r *reading) corrupt(number int, err error) error {
	return &hotreader.Error{Op: r.store.op(querying), Code: hotreader.CodeCorrupt,
		Err: fmt.Errorf("page %d of the answer is malformed: %w", number, err)}
}

// expectRightPartition looks, once, whether the container is partitioned by
// device at all: if not, a query within a device's partition finds nothing,
// which must not pass for an answer. That it cannot be found out is no error:
// the query itself was allowed and answered.
func (r *reading) expectRightPartition(ctx context.Context) error {
	s := r.store
	if s.checked.Load() {
		return nil
	}
	known, err := s.checkPartition(ctx)
	if !known {
		if ctx.Err() != nil {
			return s.fail(ctx, querying, ctx.Err())
		}
		return nil
	}
	if err != nil {
		return s.fail(ctx, querying, err)
	}
	s.checked.Store(true)
	return nil
}

// pageItems returns how many items the next page is to hold at the most; -1 =
// as many as Cosmos DB puts into one.
func (r *reading) pageItems() int {
	n := r.size.Next(r.order.Passed())
	if most := r.store.pageItems; most > 0 && (n == 0 || n > most) {
		n = most
	}
	if n == 0 {
		return -1
	}
	return n
}
