package azurecosmos

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

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

// A reading is one read of a container: the request and the decoder.
type reading struct {
	store   *Store
	request request
	items   int // that came
	decoder decoder
	chain   paging.Chain
}

func (s *Store) newReading() paging.Answer {
	r := &reading{store: s}
	r.chain = paging.Chain{Items: &r.decoder, MaxStill: maxStill}
	return r
}

// Begin implements paging.Answer.
func (r *reading) Begin(q *hotreader.Query, columns []string, left []int64) bool {
	s := r.store
	low, high, ok := timekey.Bounds(s.format, q.Start, q.End)
	if !ok {
		return false
	}
	r.items = 0
	r.chain.Begin()
	r.decoder.layout(s.keyKind(), left)
	r.request = request{
		verb:   http.MethodPost,
		path:   s.docs,
		kind:   "docs",
		link:   s.link,
		header: queryHeader(q.Device),
		body:   s.queryBody(q, columns, low, high),
	}
	return true
}

// Release implements paging.Answer.
func (r *reading) Release() {
	r.request, r.decoder.left = request{}, nil
	r.decoder.Release(paging.MaxPooled)
}

// Page implements paging.Answer.
func (r *reading) Page(ctx context.Context, n int, o *timekey.Order) (items int, more bool, err error) {
	s, header := r.store, r.request.header
	header["X-Ms-Max-Item-Count"] = []string{strconv.Itoa(s.pageSize(n))}
	body := paging.NewBody()
	defer body.Release()
	answer, err := s.client.do(ctx, &r.request, body)
	stats := hotreader.StatsOf(ctx)
	stats.Reads.Add(1)
	stats.Bytes.Add(int64(len(body.Bytes)))
	if err != nil {
		return 0, false, err
	}
	if kind := answer.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		return 0, false, &hotreader.Error{Code: hotreader.CodeProtocol,
			Err: fmt.Errorf("%s answered with %s, which Cosmos DB does not; check COSMOS_DB_ENDPOINT", s.client.host, describe(kind))}
	}
	items, err = r.chain.Rows(ctx, body.Bytes, o)
	r.items += items
	if err != nil || o.Stopped() {
		return items, false, err
	}
	token := answer.Get("X-Ms-Continuation")
	if token == "" && r.items == 0 {
		return 0, false, s.expectRightPartition(ctx)
	}
	if token == "" {
		return items, false, nil
	}
	header["X-Ms-Continuation"] = []string{token}
	return items, true, r.chain.GoOn(token, items)
}

// expectRightPartition looks, once, whether the container is partitioned by
// device at all: if not, a query within a device's partition finds nothing,
// which must not pass for an answer. That it cannot be found out is no error:
// the query itself was allowed and answered.
func (s *Store) expectRightPartition(ctx context.Context) error {
	if s.checked.Load() {
		return nil
	}
	known, err := s.checkPartition(ctx)
	if known && err == nil {
		s.checked.Store(true)
	}
	if !known {
		return ctx.Err()
	}
	return err
}

// pageSize returns how many items a page is to hold at the most where n are
// wanted, 0 = as many as fit; -1 = as many as Cosmos DB puts into one.
func (s *Store) pageSize(n int) int {
	if most := s.pageItems; most > 0 && (n == 0 || n > most) {
		n = most
	}
	if n == 0 {
		return -1
	}
	return n
}
