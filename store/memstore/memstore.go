// Package memstore keeps rows in memory. It is the reference that the other stores
// are compared with, and so simple that it is plainly right.
package memstore

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"hotreader"
)

// Store is a hotreader.Store in memory. It is safe for concurrent use.
type Store struct {
	mu      sync.RWMutex
	devices map[string][]hotreader.Record // by time, no instant twice; replaced, never changed
	names   map[string]map[string]bool    // of each device's properties
}

var (
	_ hotreader.Store   = (*Store)(nil)
	_ hotreader.Updater = (*Store)(nil)
	_ hotreader.Lister  = (*Store)(nil)
)

// New returns an empty Store.
func New() *Store {
	return &Store{devices: map[string][]hotreader.Record{}, names: map[string]map[string]bool{}}
}

// Close does nothing; the Store may be used on.
func (s *Store) Close() error { return nil }

// Scan brings the rows that the device has when the sequence is ranged over. What
// is written later does not show in it.
func (s *Store) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		q := q.Closed(time.Now())
		s.mu.RLock()
		records := s.devices[q.Device]
		s.mu.RUnlock()
		hotreader.StatsOf(ctx).Reads.Add(1)

		from, to := 0, len(records)
		if !q.Start.IsZero() {
			from = search(records, q.Start)
		}
		if !q.End.IsZero() {
			to = search(records, q.End.Add(1))
		}
		columns := q.Columns()
		values := make([]hotreader.Value, len(columns))
		for n := range max(to-from, 0) { // a range without rows may end before it begins
			if ctx.Err() != nil {
				break
			}
			record := &records[from+n]
			if q.Backward() {
				record = &records[to-1-n]
			}
			for i, name := range columns {
				values[i] = field(record, name)
			}
			if !yield(hotreader.Row{Time: record.Time, Values: values}, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(hotreader.Row{}, &hotreader.Error{Op: "memstore: read", Code: hotreader.CodeOf(err), Err: err})
		}
	}
}

func field(r *hotreader.Record, name string) hotreader.Value {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			return r.Fields[i].Value
		}
	}
	return hotreader.Value{}
}

// search returns the index of the first record at or after t.
func search(records []hotreader.Record, t time.Time) int {
	i, _ := slices.BinarySearchFunc(records, t, func(r hotreader.Record, t time.Time) int { return r.Time.Compare(t) })
	return i
}

// Write stores copies of records.
func (s *Store) Write(ctx context.Context, device string, records []hotreader.Record) error {
	_, err := s.Update(ctx, device, records, hotreader.Replace)
	return err
}

// Update is Write, but for what mode says.
func (s *Store) Update(ctx context.Context, device string, records []hotreader.Record, mode hotreader.Mode) (n hotreader.Changes, err error) {
	if err := hotreader.CheckRecords(device, records); err != nil {
		return n, &hotreader.Error{Op: "memstore: write", Code: hotreader.CodeInvalid, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return n, &hotreader.Error{Op: "memstore: write", Code: hotreader.CodeOf(err), Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Old ones first and a stable sort: of one instant the last write comes last.
	old := len(s.devices[device])
	all := slices.Clone(s.devices[device])
	names := s.names[device]
	if names == nil && len(records) > 0 {
		names = map[string]bool{}
		s.names[device] = names
	}
	for _, r := range records {
		r = clone(r)
		for _, f := range r.Fields {
			names[f.Name] = true
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b hotreader.Record) int { return a.Time.Compare(b.Time) })
	kept := all[:0]
	for _, r := range all {
		last := len(kept) - 1
		if last < 0 || !kept[last].Time.Equal(r.Time) {
			kept = append(kept, r)
			continue
		}
		if mode == hotreader.Merge {
			var over []string
			if r, over = union(kept[last], r); over != nil {
				n.Over++
			}
			for _, name := range over {
				n.Replaces(name, 1)
			}
		}
		if same(kept[last], r) {
			n.Same++
		} else {
			n.Changed++
		}
		kept[last] = r
	}
	n.Added = int64(len(kept) - old)
	s.devices[device] = kept
	return n, nil
}

// union returns r with the properties of old that it lacks; over are those of which it
// replaces another value.
func union(old, r hotreader.Record) (all hotreader.Record, over []string) {
	for _, f := range old.Fields {
		if v := field(&r, f.Name); v.IsNull() {
			r.Fields = append(r.Fields, f)
		} else if !hotreader.Same(v, f.Value) {
			over = append(over, f.Name)
		}
	}
	return r, over
}

func same(a, b hotreader.Record) bool {
	return len(a.Fields) == len(b.Fields) && !slices.ContainsFunc(a.Fields, func(f hotreader.Field) bool {
		return !hotreader.Same(f.Value, field(&b, f.Name))
	})
}

// Devices implements hotreader.Lister.
func (s *Store) Devices(ctx context.Context, prefix, after string, n int) ([]hotreader.Listed, error) {
	if err := ctx.Err(); err != nil {
		return nil, &hotreader.Error{Op: "memstore: list devices", Code: hotreader.CodeOf(err), Err: err}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var ids []string
	for id := range s.names {
		if id > after && strings.HasPrefix(id, prefix) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var page []hotreader.Listed
	for _, id := range ids[:min(max(n, 0), len(ids))] {
		page = append(page, hotreader.Listed{ID: id, Properties: slices.Sorted(maps.Keys(s.names[id]))})
	}
	return page, nil
}

func clone(r hotreader.Record) hotreader.Record {
	c := hotreader.Record{Time: r.Time.UTC().Round(0)}
	for _, f := range r.Fields {
		if !f.Value.IsNull() {
			c.Fields = append(c.Fields, hotreader.Field{Name: f.Name, Value: f.Value.Clone()})
		}
	}
	return c
}
