package azurecosmos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"hotreader"
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

// Sample returns about n items of the container, if it can those of a device, and what
// the container says of its keys. It is for layout.Guess and takes no notice of the
// store's layout. Unlike reads it asks across partitions, in a few small requests.
func (s *Store) Sample(ctx context.Context, device string, n int) (items []layout.Item, schema layout.Schema, err error) {
	if err := s.check(); err != nil {
		return nil, schema, err
	}
	paths, err := s.partitionPaths(ctx)
	if err == nil && len(paths) != 1 {
		err = &hotreader.Error{Code: hotreader.CodeConfig, Err: fmt.Errorf("the container is partitioned by %d paths (%s); only one can be read by", len(paths), strings.Join(paths, ", "))}
	}
	if err != nil {
		return nil, schema, s.fail(ctx, failure.Sampling, err)
	}
	key := layout.JoinPath(namesOf(paths[0]))
	schema = layout.Schema{Cloud: layout.CosmosDB, Keys: []layout.Key{{Partition: key}}, Device: device}
	of := New(s.client, Options{Database: s.database, Container: s.container, Layout: layout.Layout{DeviceKey: key}})
	if items, err = of.sample(ctx, device, n); err != nil {
		return nil, schema, s.fail(ctx, failure.Sampling, err)
	}
	return items, schema, nil
}

// namesOf reads a path as partition keys name it.
func namesOf(path string) (names []string) {
	for path != "" {
		path = strings.TrimPrefix(path, "/")
		end := strings.IndexByte(path, '/')
		if quoted, err := json.NewDecoder(strings.NewReader(path)).Token(); err == nil && path[0] == '"' {
			name, _ := quoted.(string)
			names, path = append(names, name), path[len(quote(name)):]
			continue
		}
		if end < 0 {
			end = len(path)
		}
		names, path = append(names, path[:end]), path[end:]
	}
	return names
}

// sample looks in the device's partition, or else in any, in a second one, and at what
// was written last.
func (s *Store) sample(ctx context.Context, device string, n int) (items []layout.Item, err error) {
	var conditions []string
	if device != "" {
		items, _, err = s.look(ctx, query{value: device, conditions: ` ORDER BY c["_ts"] DESC`}, n)
		if err != nil || len(items) > 0 {
			return items, err
		}
		conditions = append(conditions, " WHERE CONTAINS("+property(s.device)+",@d)")
	}
	for _, where := range append(conditions, "") {
		if items, err = s.across(ctx, where, device, n); err != nil || len(items) > 0 {
			break
		}
	}
	if err != nil || len(items) == 0 {
		return items, err
	}
	v, _ := items[0].At(s.device)
	value, ok := layout.Text(v)
	if !ok {
		return items, nil
	}
	more, _, err := s.look(ctx, query{value: value, conditions: ` ORDER BY c["_ts"] DESC`}, n/2)
	if text, is := v.(string); err == nil && is && device == "" {
		var others []layout.Item
		others, err = s.across(ctx, " WHERE "+property(s.device)+"!=@d", text, n/2)
		more = append(more, others...)
	}
	return layout.AppendNew(items, more...), err
}

// across returns the first items of all partitions, without an order, for which alone
// Cosmos DB needs no plan of the client.
func (s *Store) across(ctx context.Context, where, value string, n int) ([]layout.Item, error) {
	r := s.request(query{})
	delete(r.header, "X-Ms-Documentdb-Partitionkey")
	r.header["X-Ms-Documentdb-Query-Enablecrosspartition"] = []string{"True"}
	r.body = []byte(`{"query":` + quote("SELECT * FROM c"+where) + `,"parameters":[{"name":"@d","value":` + quote(value) + "}]}")
	return s.first(ctx, &r, n)
}
