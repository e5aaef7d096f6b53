package boltstore

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

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
	if err := hotreader.CheckRecords(device, records); err != nil {
		return s.wrap("write", refuse(hotreader.CodeInvalid, "%w", err))
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
	for part := range slices.Chunk(kept, writeRows) {
		if err := ctx.Err(); err != nil {
			return s.wrap("write", err)
		}
		if err := s.update("write", func(w *writer) error { return w.write(device, part) }); err != nil {
			return s.wrap("write", err)
		}
	}
	return s.wrap("write", ctx.Err())
}

// update runs f in a transaction that changes the file. If f is nil, nothing is
// changed but the transaction's number.
func (s *Store) update(verb string, f func(w *writer) error) error {
	op := "boltstore: " + verb + " " + s.path
	least := s.newest.Load()
	var id int
	err := s.guard(op, func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			return inside(op, func() error {
				id = tx.ID()
				if int64(id) <= least {
					return errPage // bbolt's newest head is not valid any more
				}
				w, err := newWriter(tx)
				if err == nil && f != nil {
					err = f(w)
				}
				if err == nil {
					err = w.finish()
				}
				return err
			})
		})
	})
	if err == nil {
		s.seen(int64(id))
		s.wrote.Store(f != nil)
	}
	return err
}

// writer is a transaction that changes the file. It reads only what was there
// before it, for it writes each record once, and knows what it wrote.
type writer struct {
	tx     *bolt.Tx
	tree   tree
	bucket *bolt.Bucket
	sound  map[uint64]bool // pages known to be
	root   []byte
	device device

	indexes []ref
	current int   // of indexes, -1 = none yet
	blocks  []ref // of the current index, once it is loaded
	changed bool
	ids     map[string]uint64
	names   []byte
}

func newWriter(tx *bolt.Tx) (*writer, error) {
	w := &writer{tx: tx, sound: make(map[uint64]bool), current: -1, ids: make(map[string]uint64)}
	var err error
	if w.tree, err = treeOf(tx); err != nil {
		return nil, err
	}
	root, err := w.tree.root(tx.ID() - 1)
	if err != nil {
		return nil, err
	}
	w.root = slices.Clone(root)
	k := keyOf(rootKind, 0, 0)
	if err := w.tree.sound(k[:], w.sound); err != nil {
		return nil, err
	}
	w.bucket = tx.Bucket(bucketName)
	w.bucket.FillPercent = 1 // series grow at their end
	return w, nil
}

// finish must be the last that is done.
func (w *writer) finish() error { return putRoot(w.tx, w.bucket, w.root) }

// put stores a record, and returns its check.
func (w *writer) put(k key, value []byte) (uint32, error) {
	if err := w.tree.sound(k[:], w.sound); err != nil {
		return 0, err
	}
	return checksum(w.device.id, k, value), w.bucket.Put(k[:], value)
}

// write stores rows of one device, strictly ordered by time.
func (w *writer) write(id string, rows []*hotreader.Record) error {
	number := shardOf(id)
	shard, err := w.tree.shard(w.root, number)
	if err != nil {
		return err
	}
	if w.device, err = w.tree.device(shard, id); err != nil {
		return damagedDevice(id, err)
	}
	d := &w.device
	for i := range d.indexes.len() {
		w.indexes = append(w.indexes, d.indexes.at(i))
	}
	var names []byte
	if w.indexes == nil {
		d.id = id
		d.number = binary.BigEndian.Uint32(w.root[12:])
		binary.BigEndian.PutUint32(w.root[12:], d.number+1)
	} else if names, err = w.tree.properties(d); err != nil {
		return damagedDevice(id, err)
	}
	if err := w.readNames(names); err != nil {
		return damagedDevice(id, err)
	}
	later, err := w.entries(rows)
	if err != nil {
		return err
	}
	if err := w.merge(later); err != nil {
		return err
	}

	if len(w.names) > len(names) || d.indexes == nil {
		if d.names, err = w.put(keyOf(nameKind, d.number, 0), w.names); err != nil {
			return err
		}
	}
	head := make([]byte, 0, headBytes+len(w.indexes)*refBytes)
	for _, u := range []uint32{d.names, d.next, d.block} {
		head = binary.BigEndian.AppendUint32(head, u)
	}
	sum, err := w.put(keyOf(headKind, d.number, 0), appendRefs(head, w.indexes))
	if err != nil {
		return err
	}

	at, err := deviceAt(shard, id)
	if err != nil {
		return err
	}
	shard = slices.Clone(shard)
	if at < 0 {
		at = len(shard)
		shard = binary.BigEndian.AppendUint32(shard, d.number)
		shard = binary.BigEndian.AppendUint32(shard, 0)
		shard = binary.BigEndian.AppendUint16(shard, uint16(len(id)))
		shard = append(shard, id...)
	}
	binary.BigEndian.PutUint32(shard[at+4:], sum)
	w.device = device{} // whose shard is not its own
	if sum, err = w.put(keyOf(shardKind, number, 0), shard); err != nil {
		return err
	}
	binary.BigEndian.PutUint32(w.root[rootHead+4*number:], sum)
	return nil
}

// merge puts rows into the blocks of the device.
func (w *writer) merge(later []entry) error {
	d := &w.device
	var dec decoder
	for len(later) > 0 {
		if err := w.load(later[0].time); err != nil {
			return damagedDevice(d.id, err)
		}
		// The block whose range the next row falls into; rows before the first
		// block join it.
		at := max(floorRef(w.blocks, later[0].time), 0)
		var older []entry
		n := len(later)
		end := true // nothing follows: a series grows, fill its blocks up
		old := w.blocks[at:min(at+1, len(w.blocks))]
		if len(old) > 0 {
			block, err := w.tree.block(d, old[0])
			if err == nil {
				older, err = dec.entries(nil, block)
			}
			if err != nil {
				return damagedBlock(d.id, old[0].time, err)
			}
			end = older[len(older)-1].time.Before(later[0].time)
			var next *ref
			if at+1 < len(w.blocks) {
				next = &w.blocks[at+1]
			} else if w.current+1 < len(w.indexes) {
				next = &w.indexes[w.current+1]
			}
			if next != nil {
				end = false
				n, _ = slices.BinarySearchFunc(later, next.time, func(e entry, t time.Time) int { return e.time.Compare(t) })
			}
		}
		all := merge(older, later[:n:n])
		later = later[n:]
		var made []ref
		err := encode(all, end, func(first time.Time, block []byte) (err error) {
			r := ref{time: first}
			if len(made) < len(old) {
				r.number = old[len(made)].number
			} else {
				r.number = d.block
				d.block++
			}
			r.sum, err = w.put(keyOf(blockKind, d.number, r.number), block)
			made = append(made, r)
			return err
		})
		if err != nil {
			return err
		}
		w.blocks = slices.Replace(w.blocks, at, at+len(old), made...)
		w.changed = true
	}
	return w.flush()
}

// load makes the index current into which t falls. Times come in order.
func (w *writer) load(t time.Time) error {
	if len(w.indexes) == 0 {
		w.indexes = []ref{{time: t, number: w.device.next}}
		w.device.next++
		w.current, w.blocks = 0, nil
		return nil
	}
	if w.current >= 0 && (w.current+1 == len(w.indexes) || t.Before(w.indexes[w.current+1].time)) {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.current = max(floorRef(w.indexes, t), 0)
	list, err := w.tree.index(&w.device, w.indexes[w.current])
	if err != nil {
		return err
	}
	w.blocks = w.blocks[:0]
	for i := range list.len() {
		w.blocks = append(w.blocks, list.at(i))
	}
	return nil
}

// flush stores the current index, as several if it has become too long.
func (w *writer) flush() error {
	if !w.changed {
		return nil
	}
	w.changed = false
	d := &w.device
	share := indexRefs
	if n := len(w.blocks); w.current+1 < len(w.indexes) { // else the series grows; fill them up
		pieces := (n + indexRefs - 1) / indexRefs
		share = (n + pieces - 1) / pieces
	}
	var made []ref
	for part := range slices.Chunk(w.blocks, share) {
		r := ref{time: part[0].time, number: w.indexes[w.current].number}
		if len(made) > 0 {
			r.number = d.next
			d.next++
		}
		var err error
		if r.sum, err = w.put(keyOf(indexKind, d.number, r.number), appendRefs(nil, part)); err != nil {
			return err
		}
		made = append(made, r)
	}
	w.indexes = slices.Replace(w.indexes, w.current, w.current+1, made...)
	return nil
}

func appendRefs(dst []byte, list []ref) []byte {
	dst = slices.Grow(dst, len(list)*refBytes)
	for _, r := range list {
		dst = appendRef(dst, r)
	}
	return dst
}

// floorRef returns the number of the last entry not behind t, -1 if all are.
func floorRef(list []ref, t time.Time) int {
	n, found := slices.BinarySearchFunc(list, t, func(r ref, t time.Time) int { return r.time.Compare(t) })
	if found {
		return n
	}
	return n - 1
}

// entries encodes rows, giving ids to properties that the device did not have
// before.
func (w *writer) entries(rows []*hotreader.Record) ([]entry, error) {
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
			id, err := w.claimID(f.Name)
			if err != nil {
				return nil, err
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

func (w *writer) readNames(names []byte) error {
	w.names = slices.Clone(names)
	for rest := w.names; len(rest) > 0; {
		name, more, ok := nextName(rest)
		if !ok {
			return errForm
		}
		w.ids[string(name)] = uint64(len(w.ids))
		rest = more
	}
	return nil
}

// claimID returns the id of a property of the device, which it gets at its first
// value: 0, 1, 2 and so on.
func (w *writer) claimID(name string) (uint64, error) {
	if id, ok := w.ids[name]; ok {
		return id, nil
	}
	id := uint64(len(w.ids))
	if id >= maxNames {
		return 0, refuse(hotreader.CodeTooLarge, "the device has %d properties already; no more fit", maxNames)
	}
	w.ids[name] = id
	w.names = append(binary.AppendUvarint(w.names, uint64(len(name))), name...)
	return id, nil
}
