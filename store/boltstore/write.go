package boltstore

import (
	"context"
	"encoding/binary"
	"slices"
	"time"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"

	"hotreader"
)

const (
	// writeRows is how many rows one transaction takes, so that memory does not
	// grow with a call.
	writeRows = 50_000

	// maxRecord bounds the bytes of one record; DynamoDB's bound is 400 KB.
	maxRecord = 16 << 20

	// maxNames bounds the different properties of a device, so that a reader's
	// table of them stays small.
	maxNames = 1 << 16
)

// Write stores records. Whatever their number, the memory it takes beside them
// is bounded; of a call with more than 50,000 records, an error may leave the
// earlier ones, by time, stored.
func (s *Store) Write(ctx context.Context, device string, records []hotreader.Record) error {
	if err := check(device, records); err != nil {
		return s.wrap("write", err)
	}
	sorted := make([]*hotreader.Record, len(records))
	for i := range records {
		sorted[i] = &records[i]
	}
	slices.SortStableFunc(sorted, func(a, b *hotreader.Record) int { return a.Time.Compare(b.Time) })
	kept := sorted[:0]
	for i, r := range sorted { // of one instant the last stands
		if i+1 == len(sorted) || !sorted[i+1].Time.Equal(r.Time) {
			kept = append(kept, r)
		}
	}
	op := "boltstore: write " + s.path
	for part := range slices.Chunk(kept, writeRows) {
		if err := ctx.Err(); err != nil {
			return s.wrap("write", err)
		}
		err := s.guard(op, func() error {
			return s.db.Update(func(tx *bolt.Tx) error {
				return inside(op, func() error { return s.write(tx, device, part) })
			})
		})
		if err != nil {
			return s.wrap("write", err)
		}
	}
	return s.wrap("write", ctx.Err())
}

// write stores rows that are strictly ordered by time.
func (s *Store) write(tx *bolt.Tx, device string, rows []*hotreader.Record) error {
	devices, err := tx.CreateBucketIfNotExists(deviceBucket)
	if err != nil {
		return err
	}
	b, err := devices.CreateBucketIfNotExists([]byte(device))
	if err != nil {
		return err
	}
	b.FillPercent = 1 // series grow at their end
	later, err := newEntries(b, rows)
	if err != nil {
		return err
	}
	c := b.Cursor()
	var d decoder
	var bound [keyBytes]byte
	for len(later) > 0 {
		// The block whose range the next row falls into; rows before the first
		// block join it.
		k, v := floor(c, appendKey(bound[:0], later[0].time))
		if k == nil {
			k, v = c.Seek([]byte{rowKey})
		}
		var older []entry
		n := len(later)
		end := true // nothing follows: a series grows, fill its blocks up
		if k != nil {
			k = slices.Clone(k)
			if older, err = d.entries(nil, k, v); err != nil {
				return s.damagedBlock(device, k, err)
			}
			end = older[len(older)-1].time.Before(later[0].time)
			if next, _ := c.Next(); next != nil {
				end = false
				t, ok := keyTime(next)
				if !ok {
					return s.damagedBlock(device, next, errForm)
				}
				n, _ = slices.BinarySearchFunc(later, t, func(e entry, t time.Time) int { return e.time.Compare(t) })
			}
		}
		all := merge(older, later[:n:n])
		later = later[n:]
		if k != nil && !all[0].time.Equal(older[0].time) {
			if err := b.Delete(k); err != nil {
				return err
			}
		}
		if err := encode(all, end, b.Put); err != nil {
			return err
		}
	}
	return nil
}

// newEntries encodes rows, giving ids to properties that the device did not have
// before.
func newEntries(b *bolt.Bucket, rows []*hotreader.Record) ([]entry, error) {
	known := make(map[string]uint64)
	entries := make([]entry, len(rows))
	var same []uint64 // ids of the row before, shared while they are the same
	var ids []uint64
	for i, r := range rows {
		e := &entries[i]
		e.time = r.Time.UTC().Round(0)
		ids = ids[:0]
		n := 0
		for _, f := range r.Fields {
			n += len(f.Value.Text()) + binary.MaxVarintLen32
		}
		if n > maxRecord {
			return nil, refuse(hotreader.CodeTooLarge, "the record at %s has %d bytes; at most %d fit", e.time.Format(time.RFC3339Nano), n, maxRecord)
		}
		e.body = make([]byte, 0, n)
		for _, f := range r.Fields {
			if f.Value.IsNull() {
				continue
			}
			id, ok := known[f.Name]
			if !ok {
				var err error
				if id, err = claimID(b, f.Name); err != nil {
					return nil, err
				}
				known[f.Name] = id
			}
			ids = append(ids, id)
			e.body = appendValue(e.body, f.Value)
		}
		if i == 0 || !slices.Equal(ids, same) {
			same = slices.Clone(ids)
		}
		e.ids = same
	}
	return entries, nil
}

// claimID returns the id of a property of the device, which it gets at its first
// value: 0, 1, 2 and so on.
func claimID(b *bolt.Bucket, name string) (uint64, error) {
	key := append([]byte{nameKey}, name...)
	if id, ok := nameID(b.Get(key)); ok {
		return id, nil
	}
	next, err := b.NextSequence() // counts from 1
	if err != nil {
		return 0, err
	}
	id := next - 1
	if id >= maxNames {
		return 0, refuse(hotreader.CodeTooLarge, "the device has %d properties already; no more fit", maxNames)
	}
	return id, b.Put(key, binary.AppendUvarint(nil, id))
}

// nameID reads what claimID stored; false if there is none.
func nameID(stored []byte) (uint64, bool) {
	id, n := binary.Uvarint(stored)
	return id, n > 0 && n == len(stored) && id < maxNames
}

// check refuses what could be written but never be read, or not be passed on.
func check(device string, records []hotreader.Record) error {
	if device == "" || len(device) > hotreader.MaxDeviceBytes || !utf8.ValidString(device) {
		return refuse(hotreader.CodeInvalid, "the device id %.60q must be valid UTF-8 of 1 to %d bytes", device, hotreader.MaxDeviceBytes)
	}
	for i := range records {
		r := &records[i]
		if y := r.Time.UTC().Year(); r.Time.IsZero() || y < 0 || y > 9999 {
			return refuse(hotreader.CodeInvalid, "record %d of device %.60q has no time within the years 0 to 9999", i+1, device)
		}
		for k := range r.Fields {
			f := &r.Fields[k]
			switch {
			case f.Name == "" || len(f.Name) > hotreader.MaxNameBytes || !utf8.ValidString(f.Name):
				return refuse(hotreader.CodeInvalid, "record %d: the property name %.60q must be valid UTF-8 of 1 to %d bytes", i+1, f.Name, hotreader.MaxNameBytes)
			case slices.ContainsFunc(r.Fields[:k], func(g hotreader.Field) bool { return g.Name == f.Name }):
				return refuse(hotreader.CodeInvalid, "record %d has the property %q twice", i+1, f.Name)
			case f.Value.Kind() == hotreader.Number && !hotreader.IsNumber(f.Value.Text()):
				return refuse(hotreader.CodeInvalid, "record %d: %.60q of property %q is not a number", i+1, f.Value.Text(), f.Name)
			case f.Value.Kind() == hotreader.String && !utf8.Valid(f.Value.Text()):
				return refuse(hotreader.CodeInvalid, "record %d: the text of property %q is not valid UTF-8", i+1, f.Name)
			}
		}
	}
	return nil
}
