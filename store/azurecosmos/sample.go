package azurecosmos

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/failure"
)

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
