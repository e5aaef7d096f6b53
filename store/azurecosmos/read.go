package azurecosmos

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"hotreader"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

// slack is how many items are asked for beyond those needed. A row can only be
// passed on when the next one shows that its second is over.
const slack = 7

// maxStill is how many empty pages in a row may say that the answer goes on
// where it stood.
const maxStill = 16

// A reading is one read of a container: the request and the decoder.
type reading struct {
	store   *Store
	request request
	decoder decoder
	chain   paging.Chain
}

func (s *Store) newReading() paging.Answer {
	r := &reading{store: s}
	r.chain = paging.Chain{Items: &r.decoder, MaxStill: maxStill}
	return r
}

// Begin implements paging.Answer.
func (r *reading) Begin(a *paging.Ask) bool {
	low, high, ok := a.Codec.Bounds(a.Query.Start, a.Query.End)
	if !ok {
		return false
	}
	r.chain.Begin()
	r.decoder.prepare(a, r.store.Layout.Narrow())
	r.request = r.store.request(r.store.rows(a, low, high))
	return true
}

// Release implements paging.Answer.
func (r *reading) Release() {
	r.request, r.decoder.ask, r.decoder.ranks = request{}, nil, nil
	clear(r.decoder.own[:])
	r.decoder.Release(paging.MaxPooled)
}

// Page implements paging.Answer.
func (r *reading) Page(ctx context.Context, n int, o *timekey.Order) (items int, more bool, err error) {
	body := paging.NewBody()
	defer body.Release()
	token, err := r.store.page(ctx, &r.request, n, body)
	if err != nil {
		return 0, false, err
	}
	items, err = r.chain.Rows(ctx, body.Bytes, o)
	if err != nil || o.Stopped() || token == "" {
		return items, false, err
	}
	return items, true, r.chain.GoOn(token, items)
}

// page asks for the next page of a query, of n items at the most, 0 = as many as fit.
// It returns what the page after it is to be asked for with, "" = there is none, and
// has set that in the request.
func (s *Store) page(ctx context.Context, r *request, n int, body *paging.Body) (token string, err error) {
	r.header["X-Ms-Max-Item-Count"] = []string{strconv.Itoa(s.pageSize(n))}
	answer, err := s.client.do(ctx, r, body)
	stats := hotreader.StatsOf(ctx)
	stats.Reads.Add(1)
	stats.Bytes.Add(int64(len(body.Bytes)))
	if err != nil {
		return "", err
	}
	if kind := answer.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		return "", &hotreader.Error{Code: hotreader.CodeProtocol,
			Err: fmt.Errorf("%s answered with %s, which Cosmos DB does not; check COSMOS_DB_ENDPOINT", s.client.host, describe(kind))}
	}
	if token = answer.Get("X-Ms-Continuation"); token != "" {
		r.header["X-Ms-Continuation"] = []string{token}
	}
	return token, nil
}

// pageSize returns how many items a page is to hold at the most if the query needs
// n, 0 = as many as fit; -1 = as many as Cosmos DB puts into one.
func (s *Store) pageSize(n int) int {
	if most := s.pageItems; most > 0 && (n == 0 || n > most) {
		n = most
	}
	if n == 0 {
		return -1
	}
	return n
}
