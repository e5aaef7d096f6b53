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
	_, err := s.Update(ctx, device, records, hotreader.Replace)
	return err
}

// Update is Write, but for what mode says.
func (s *Store) Update(ctx context.Context, device string, records []hotreader.Record, mode hotreader.Mode) (n hotreader.Changes, err error) {
	if err := hotreader.CheckRecords(device, records); err != nil {
		return n, s.wrap("write", refuse(hotreader.CodeInvalid, "%w", err))
	}
	sorted := make([]*hotreader.Record, len(records))
	for i := range records {
		sorted[i] = &records[i]
	}
	slices.SortStableFunc(sorted, func(a, b *hotreader.Record) int { return a.Time.Compare(b.Time) })
	for part := range slices.Chunk(sorted, writeRows) {
		if err := ctx.Err(); err != nil {
			return n, s.wrap("write", err)
		}
		var more hotreader.Changes
		err := guard(func() error {
			return s.db.Update(func(tx *bolt.Tx) (err error) {
				more, err = writeTo(tx, device, part, mode)
				return err
			})
		})
		if err != nil {
			return n, s.wrap("write", err)
		}
		n.Add(more)
	}
	return n, s.wrap("write", ctx.Err())
}

// writer is a transaction that changes the records of a device. It writes each
// record once, after it has read what was there before.
type writer struct {
	content
	device  device
	indexes refs
	current int  // of indexes, -1 = none yet
	blocks  refs // of the current index, once it is loaded
	changed bool
	ids     map[string]uint64 // of the properties
	names   []byte            // record of them
	known   int               // bytes of names that are stored already
	meeting
}

// put stores a record of the device, and returns its check.
func (w *writer) put(k key, value []byte) (uint32, error) {
	return checksum(w.device.id, k, value), w.bucket.Put(k[:], value)
}

// writeTo stores rows of one device, ordered by time.
func writeTo(tx *bolt.Tx, id string, rows []*hotreader.Record, mode hotreader.Mode) (hotreader.Changes, error) {
	w, err := newWriter(tx, id)
	if err != nil {
		return hotreader.Changes{}, err
	}
	w.meeting = meeting{mode: mode, over: map[uint64]int64{}}
	later, err := w.entries(rows)
	if err != nil {
		return w.changes, err
	}
	later = w.once(later)
	w.changes.Added += int64(len(later)) // until they meet one that is there
	if err := w.merge(later); err != nil {
		return w.changes, err
	}
	for name, id := range w.ids {
		if n := w.over[id]; n > 0 {
			w.changes.Replaces(name, n)
		}
	}
	return w.changes, w.save(tx)
}

func newWriter(tx *bolt.Tx, id string) (*writer, error) {
	c, err := contentOf(tx)
	if err != nil {
		return nil, err
	}
	c.bucket.FillPercent = 1 // series grow at their end
	c.root = slices.Clone(c.root)
	w := &writer{content: c, current: -1, ids: make(map[string]uint64)}
	if err := w.load(id); err != nil {
		return nil, damagedDevice(id, err)
	}
	return w, nil
}

// save stores what leads to the device's indexes.
func (w *writer) save(tx *bolt.Tx) (err error) {
	d := &w.device
	if len(w.names) > w.known || d.indexes == nil {
		if d.names, err = w.put(keyOf(nameKind, d.number, 0), w.names); err != nil {
			return err
		}
	}
	var head []byte
	for _, u := range []uint32{d.names, d.nextIndex, d.nextBlock} {
		head = binary.BigEndian.AppendUint32(head, u)
	}
	sum, err := w.put(keyOf(headKind, d.number, 0), append(head, w.indexes...))
	if err != nil {
		return err
	}
	if err := w.enter(sum); err != nil {
		return err
	}
	return putRoot(tx, w.root)
}

// load reads what there is of the device, or begins a new one.
func (w *writer) load(id string) (err error) {
	if w.device, err = w.content.device(id); err != nil {
		return err
	}
	d := &w.device
	if d.indexes == nil {
		d.id = id
		d.number = binary.BigEndian.Uint32(w.root[rootDevices:])
		binary.BigEndian.PutUint32(w.root[rootDevices:], d.number+1)
		return nil
	}
	w.indexes = slices.Clone(d.indexes)
	for name, err := range w.properties(d) {
		if err != nil {
			return err
		}
		if _, err := w.idOf(string(name)); err != nil {
			return err
		}
	}
	w.known = len(w.names)
	return nil
}

// enter writes the check of the device's head into its shard, and the shard's into
// the root.
func (w *writer) enter(sum uint32) error {
	d := &w.device
	number := shardOf(d.id)
	shard, err := w.shard(number)
	if err != nil {
		return err
	}
	at, err := deviceAt(shard, d.id)
	if err != nil {
		return err
	}
	shard = slices.Clone(shard)
	if at < 0 {
		at = len(shard)
		shard = binary.BigEndian.AppendUint32(shard, d.number)
		shard = binary.BigEndian.AppendUint32(shard, 0)
		shard = binary.BigEndian.AppendUint16(shard, uint16(len(d.id)))
		shard = append(shard, d.id...)
	}
	binary.BigEndian.PutUint32(shard[at+4:], sum)
	k := keyOf(shardKind, number, 0)
	binary.BigEndian.PutUint32(w.root[rootHead+4*number:], checksum("", k, shard))
	return w.bucket.Put(k[:], shard)
}

// merge puts rows into the blocks of the device.
func (w *writer) merge(later []entry) error {
	for len(later) > 0 {
		if err := w.seek(later[0].time); err != nil {
			return damagedDevice(w.device.id, err)
		}
		// The block whose range the next row falls into; rows before the first
		// block join it.
		at := max(w.blocks.floor(later[0].time), 0)
		n := len(later)
		next, last := w.following(at)
		if !last {
			n, _ = slices.BinarySearchFunc(later, next, func(e entry, t time.Time) int { return e.time.Compare(t) })
		}
		if err := w.rewrite(at, later[:n:n], last); err != nil {
			return err
		}
		later = later[n:]
	}
	return w.flush()
}

// following returns when the block after block number at begins; last: there is
// none.
func (w *writer) following(at int) (next time.Time, last bool) {
	switch {
	case at+1 < w.blocks.len():
		return w.blocks.at(at + 1).time, false
	case w.current+1 < w.indexes.len():
		return w.indexes.at(w.current + 1).time, false
	}
	return next, true
}

// rewrite replaces block at, if there is one, by blocks of its rows and later ones.
func (w *writer) rewrite(at int, later []entry, last bool) error {
	d := &w.device
	var older []entry
	number := d.nextBlock // of the first block made, unless it replaces one
	end := at
	if at < w.blocks.len() {
		r := w.blocks.at(at)
		block, err := w.block(d, r)
		if err == nil {
			older, err = new(decoder).decode(block)
		}
		if err != nil {
			return damagedBlock(d.id, r.time, err)
		}
		number, end = r.number, at+1
	}
	// If nothing follows, the series grows at its end: fill its blocks up.
	packed := last && (len(older) == 0 || older[len(older)-1].time.Before(later[0].time))
	var made refs
	for first, block := range encode(w.join(older, later), packed) {
		sum, err := w.put(keyOf(blockKind, d.number, number), block)
		if err != nil {
			return err
		}
		made = appendRef(made, ref{first, number, sum})
		if number == d.nextBlock {
			d.nextBlock++
		}
		number = d.nextBlock
	}
	w.blocks = slices.Replace(w.blocks, at*refBytes, end*refBytes, made...)
	w.changed = true
	return nil
}

// seek makes that index the current one into which t falls. Calls come in the order
// of t.
func (w *writer) seek(t time.Time) error {
	if len(w.indexes) == 0 {
		w.indexes = appendRef(nil, ref{time: t, number: w.device.nextIndex})
		w.device.nextIndex++
		w.current = 0
		return nil
	}
	if w.current >= 0 && (w.current+1 == w.indexes.len() || t.Before(w.indexes.at(w.current+1).time)) {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.current = max(w.indexes.floor(t), 0)
	list, err := w.index(&w.device, w.indexes.at(w.current))
	w.blocks = slices.Clone(list)
	return err
}

// flush stores the current index, as several if it has become too long.
func (w *writer) flush() error {
	if !w.changed {
		return nil
	}
	w.changed = false
	d := &w.device
	share := indexRefs
	if n := w.blocks.len(); w.current+1 < w.indexes.len() { // if not, the series grows at its end: fill them up
		pieces := (n + indexRefs - 1) / indexRefs
		share = (n + pieces - 1) / pieces
	}
	number := w.indexes.at(w.current).number
	var made refs
	for part := range slices.Chunk(w.blocks, share*refBytes) {
		sum, err := w.put(keyOf(indexKind, d.number, number), part)
		if err != nil {
			return err
		}
		made = appendRef(made, ref{part.at(0).time, number, sum})
		if number == d.nextIndex {
			d.nextIndex++
		}
		number = d.nextIndex
	}
	w.indexes = slices.Replace(w.indexes, w.current*refBytes, (w.current+1)*refBytes, made...)
	return nil
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
			id, err := w.idOf(f.Name)
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

// idOf returns the id of a property of the device, which it gets at its first
// value: 0, 1, 2 and so on.
func (w *writer) idOf(name string) (uint64, error) {
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
