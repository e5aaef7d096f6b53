package azurecosmos

import (
	"context"
	"errors"
	"fmt"

	"hotreader/layout"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/jsonpage"
	"hotreader/store/internal/paging"
)

// newest returns the n items of a partition that were written last, by an index
// that is always there. Where there is none, the container may be partitioned by
// something else.
func (s *Store) newest(ctx context.Context, value string, n int) (items []layout.Item, number bool, err error) {
	items, number, err = s.look(ctx, query{value: value, conditions: ` ORDER BY c["_ts"] DESC`}, n)
	if len(items) == 0 && err == nil {
		err = s.expectRightPartition(ctx)
	}
	return items, number, err
}

// end returns the item of a partition with the least or the greatest time, in Cosmos
// DB's order of all types.
func (s *Store) end(ctx context.Context, value string, least bool) (*layout.Item, error) {
	if s.Layout.TimeKey == "_ts" {
		return nil, nil
	}
	order := " DESC"
	if least {
		order = " ASC"
	}
	at := property(s.time)
	items, _, err := s.look(ctx, query{value: value, conditions: " AND IS_DEFINED(" + at + ") ORDER BY " + at + order}, 1)
	if len(items) == 0 {
		return nil, err
	}
	return &items[0], nil
}

// look returns the first items of a query, n at the most. If there are none and the
// partition's value may as well be a number, that is asked for.
func (s *Store) look(ctx context.Context, q query, n int) (items []layout.Item, number bool, err error) {
	q.selected = "*"
	r := s.request(q)
	items, err = s.first(ctx, &r, n)
	if len(items) == 0 && err == nil && numeric(q.value) {
		q.number = true
		r = s.request(q)
		items, err = s.first(ctx, &r, n)
	}
	return items, q.number && len(items) > 0, err
}

// first returns the items of the first page that has some.
func (s *Store) first(ctx context.Context, r *request, n int) (items []layout.Item, err error) {
	all, err := documents[map[string]any](ctx, s, r, n)
	for _, fields := range all {
		for _, name := range []string{"_rid", "_self", "_etag", "_attachments"} {
			delete(fields, name) // which no query asks for
		}
		items = append(items, layout.Item{Key: fmt.Sprint(fields["id"]), Fields: fields})
	}
	return items, err
}

// documents returns what the first page holds that holds anything.
func documents[T any](ctx context.Context, s *Store, r *request, n int) ([]T, error) {
	body := paging.NewBody()
	defer body.Release()
	for range maxStill { // a page may be empty and still not the last
		token, err := s.page(ctx, r, n, body)
		if err != nil {
			return nil, err
		}
		all, err := jsonpage.Few[T](body.Bytes, "Documents", "_count", n)
		if err != nil {
			return nil, &failure.Damaged{Err: fmt.Errorf("the items looked at are malformed: %w", err)}
		}
		if len(all) > 0 || token == "" {
			return all, nil
		}
	}
	return nil, &failure.Damaged{Err: errors.New("the items looked at are pages without any, and no end of them")}
}

// expectRightPartition looks, once, whether the container is partitioned by device at
// all: if not, a query within a device's partition finds nothing, which must not pass
// for an answer. That it cannot be found out is no error: the query itself was allowed
// and answered.
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
