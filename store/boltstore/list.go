package boltstore

import (
	"context"
	"encoding/binary"
	"iter"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"hotreader"
)

var _ hotreader.Lister = (*Store)(nil)

// Devices implements hotreader.Lister. It looks at the ids of all devices, and at
// the names of those that it returns.
func (s *Store) Devices(ctx context.Context, prefix, after string, n int) ([]hotreader.Listed, error) {
	var page []hotreader.Listed
	err := ctx.Err()
	if err == nil {
		err = guard(func() error {
			return s.db.View(func(tx *bolt.Tx) (err error) {
				page, err = list(ctx, tx, prefix, after, n)
				return err
			})
		})
	}
	if err != nil {
		return nil, s.wrap("list devices", err)
	}
	return page, nil
}

func list(ctx context.Context, tx *bolt.Tx, prefix, after string, n int) ([]hotreader.Listed, error) {
	c, err := contentOf(tx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for number := range uint32(shards) {
		shard, err := c.shard(number)
		if err != nil {
			return nil, err
		}
		for id, err := range idsIn(shard) {
			if err != nil {
				return nil, err
			}
			if id := string(id); id > after && strings.HasPrefix(id, prefix) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	var page []hotreader.Listed
	for _, id := range ids[:min(max(n, 0), len(ids))] {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d, err := c.device(id)
		one := hotreader.Listed{ID: id}
		if err == nil {
			for name, nerr := range c.properties(&d) {
				if err = nerr; err != nil {
					break
				}
				one.Properties = append(one.Properties, string(name))
			}
		}
		if err != nil {
			return nil, damagedDevice(id, err)
		}
		slices.Sort(one.Properties)
		page = append(page, one)
	}
	return page, nil
}

// idsIn yields the ids of the devices in a shard.
func idsIn(shard []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for at := 0; at < len(shard); {
			id := at + deviceHead
			if id > len(shard) || id+int(binary.BigEndian.Uint16(shard[at+8:])) > len(shard) {
				yield(nil, errForm)
				return
			}
			end := id + int(binary.BigEndian.Uint16(shard[at+8:]))
			if !yield(shard[id:end], nil) {
				return
			}
			at = end
		}
	}
}
