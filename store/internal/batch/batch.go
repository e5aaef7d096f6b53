// Package batch is what stores share that write records in batches: each instant
// once, and a few requests at a time.
package batch

import (
	"context"
	"fmt"
	"iter"

	"golang.org/x/sync/errgroup"

	"hotreader"
)

// Make checks records and makes each what a store writes, one item or, where items hold
// one property, several. item adds them by their keys; of two with the same key the
// later wins, for one request must not name a key twice.
func Make[T any](device string, records []hotreader.Record, item func(r *hotreader.Record, add func(key string, made T)) error) ([]T, error) {
	if err := hotreader.CheckRecords(device, records); err != nil {
		return nil, err
	}
	all := make([]T, 0, len(records))
	places := make(map[string]int, len(records))
	add := func(key string, made T) {
		if at, again := places[key]; again {
			all[at] = made
			return
		}
		places[key] = len(all)
		all = append(all, made)
	}
	for i := range records {
		if err := item(&records[i], add); err != nil {
			return nil, fmt.Errorf("record %d of device %.60q: %w", i+1, device, err)
		}
	}
	return all, nil
}

// Parts returns the fields of each item that a record makes: all of them or, where an item
// holds one property, each that has a value, with its name.
func Parts(fields []hotreader.Field, narrow bool) iter.Seq2[string, []hotreader.Field] {
	return func(yield func(string, []hotreader.Field) bool) {
		if !narrow {
			yield("", fields)
			return
		}
		for i, f := range fields {
			if !f.Value.IsNull() && !yield(f.Name, fields[i:i+1]) {
				return
			}
		}
	}
}

// Group divides items into groups of at most n items and, but for a single one,
// size bytes.
func Group(items [][]byte, n, size int) (groups [][][]byte) {
	from, bytes := 0, 0
	for i, item := range items {
		if i-from == n || i > from && bytes+len(item) > size {
			groups, from, bytes = append(groups, items[from:i]), i, 0
		}
		bytes += len(item)
	}
	if from < len(items) {
		groups = append(groups, items[from:])
	}
	return groups
}

// Send sends requests concurrently, for a request is mostly waiting. No two of
// them may hold the same key, so that their order does not matter. The first
// failure ends it and is returned, for what comes after follows from it.
func Send[T any](ctx context.Context, requests []T, parallel int, send func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, r := range requests {
		group.Go(func() error {
			if err := ctx.Err(); err != nil { // after a failure, or the caller's end
				return err
			}
			return send(ctx, r)
		})
	}
	return group.Wait()
}

// CheckFlat rejects a merge if the layout has properties within another attribute,
// which would be replaced as a whole.
func CheckFlat(records []hotreader.Record, path func(property string) []string) error {
	for i := range records {
		for _, f := range records[i].Fields {
			if p := path(f.Name); len(p) > 1 {
				return fmt.Errorf("the layout has the property %q within %q, which cannot be merged; write whole items", f.Name, p[0])
			}
		}
	}
	return nil
}
