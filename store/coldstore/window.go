package coldstore

import (
	"encoding/binary"
	"slices"
	"time"

	"hotreader"
)

// A row is a decoded row: its time, and where it is packed. There are so many that the
// garbage collector should find no pointers in them.
type row struct {
	seconds int64
	nanos   int32
	slab    uint32
	at      uint32
}

// rowBytes is about what a row takes beside what is packed.
const rowBytes = 24

// slabs hold packed rows: of each its rank, then for each column the kind and
// what the value is made of.
type slabs struct {
	first uint32 // the number of the first one
	all   [][]byte
}

// drop forgets the slabs before that of a row.
func (s *slabs) drop(r *row) {
	s.all, s.first = s.all[r.slab-s.first:], r.slab
}

// rankLen is the length of a rank: a letter, so that it is no number, when the object was
// written, and the row's place in it.
const rankLen = 1 + 4 + 4

func (r *row) time() time.Time { return time.Unix(r.seconds, int64(r.nanos)).UTC() }

func (r *row) compare(o *row) int {
	if r.seconds != o.seconds {
		return int(max(-1, min(1, r.seconds-o.seconds)))
	}
	return int(r.nanos - o.nanos)
}

// values unpacks a row, and returns its rank.
func (s *slabs) values(r *row, to []hotreader.Value) (rank []byte) {
	packed := s.all[r.slab-s.first][r.at:]
	rest := packed[rankLen:]
	for i := range to {
		kind := hotreader.Kind(rest[0])
		rest = rest[1:]
		switch kind {
		case hotreader.Null:
			to[i] = hotreader.Value{}
			continue
		case hotreader.Bool:
			to[i] = hotreader.BoolValue(rest[0] == 1)
			rest = rest[1:]
			continue
		}
		n, width := binary.Uvarint(rest)
		text := rest[width : width+int(n) : width+int(n)]
		rest = rest[width+int(n):]
		if to[i] = hotreader.StringValue(text); kind == hotreader.Number {
			to[i] = hotreader.NumberValue(text)
		}
	}
	return packed[:rankLen:rankLen]
}

// A window takes the rows of a part as they lie, and passes them on in the query's order.
// It holds all of them if they are not too many. If they are, they must be in the order of
// time: ascending, it then passes on the first ones early; descending, it keeps the last
// ones, and the part is read again for the others.
type window struct {
	scan *scan
	feed *feed

	rows     []row
	bytes    int64
	slabs    slabs
	slab     []byte // what is free of the last one
	place    uint32 // of the next row in the object
	disorder bool
	passed   *row // ascending: rows up to it were passed on
	dropped  *row // descending: rows up to it were dropped
	until    *row // descending: rows after it were passed on before
}

// leastSlab and slabBytes are how much memory for packed rows is taken at a time, at first
// and later: there may be many parts with a row each.
const (
	leastSlab = 512
	slabBytes = 64 << 10
)

// leastHeld is how much a part may hold, whatever others do; mostSmall how much the parts
// of a scan may hold so.
const (
	leastHeld = 256 << 10
	mostSmall = 4 << 20
)

// add takes the next row.
func (w *window) add(t time.Time, values []hotreader.Value) error {
	if w.until == nil {
		w.feed.looked++
	}
	w.place++
	if !w.scan.query.Contains(t) {
		return nil
	}
	r := row{seconds: t.Unix(), nanos: int32(t.Nanosecond())}
	if w.until != nil && r.compare(w.until) > 0 {
		return nil
	}
	if w.passed != nil && r.compare(w.passed) < 0 {
		return w.tooLarge()
	}
	if n := len(w.rows); n > 0 && r.compare(&w.rows[n-1]) < 0 || w.dropped != nil && r.compare(w.dropped) < 0 {
		w.disorder = true
	}
	n := int64(w.pack(&r, values) + rowBytes)
	if len(w.rows) == cap(w.rows) { // append would leave more garbage
		w.rows = slices.Grow(w.rows, max(8, len(w.rows)))
	}
	w.rows = append(w.rows, r)
	w.bytes += n
	w.scan.hold(n)
	switch held := w.scan.held.Load(); {
	case w.bytes > leastHeld && (held > w.scan.store.most || w.scan.full()):
		return w.shrink()
	case held > mostSmall && w.scan.full():
		return w.scan.fits(held)
	}
	return nil
}

// pack packs a row, and returns the bytes that it takes.
func (w *window) pack(r *row, values []hotreader.Value) int {
	size := rankLen
	for _, v := range values {
		size += 1 + binary.MaxVarintLen32 + len(v.Text())
	}
	if len(w.slab) < size {
		nth := int(w.slabs.first) + len(w.slabs.all)
		w.slab = make([]byte, max(min(leastSlab<<min(2*nth, 16), slabBytes), size))
		w.slabs.all = append(w.slabs.all, w.slab)
	}
	r.slab = w.slabs.first + uint32(len(w.slabs.all)) - 1
	r.at = uint32(len(w.slabs.all[len(w.slabs.all)-1]) - len(w.slab))
	b := w.slab[:0]
	b = append(b, 'r')
	b = binary.BigEndian.AppendUint32(b, w.feed.part.written)
	b = binary.BigEndian.AppendUint32(b, w.place)
	for _, v := range values {
		b = append(b, byte(v.Kind()))
		switch v.Kind() {
		case hotreader.Bool:
			if v.Bool() {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		case hotreader.Number, hotreader.String:
			b = append(binary.AppendUvarint(b, uint64(len(v.Text()))), v.Text()...)
		}
	}
	w.slab = w.slab[len(b):]
	return len(b)
}

// shrink makes room.
func (w *window) shrink() error {
	if w.disorder {
		held := w.scan.held.Load()
		if err := w.scan.fits(held); err != nil {
			return err
		}
		if w.bytes < w.scan.store.most && held < 2*w.scan.store.most {
			return nil
		}
		return w.tooLarge()
	}
	half := len(w.rows) / 2
	last := w.rows[half]
	for half < len(w.rows) && w.rows[half].compare(&last) == 0 {
		half++
	}
	if half == len(w.rows) {
		return w.tooLarge()
	}
	some, bytes, packed := slices.Clone(w.rows[:half]), w.bytes*int64(half)/int64(len(w.rows)), w.slabs
	w.rows = append(make([]row, 0, len(w.rows)), w.rows[half:]...)
	w.bytes -= bytes
	w.slabs.drop(&w.rows[0])
	if w.scan.query.Backward() {
		w.dropped = &last
		w.scan.hold(-bytes)
		return nil
	}
	w.passed = &last
	return w.scan.send(w.feed, batch{rows: some, slabs: packed, bytes: bytes})
}

// tooLarge is the error of rows that are in no order and cannot be sorted.
func (w *window) tooLarge() error {
	return bad(w.feed.part.object, hotreader.CodeTooLarge,
		"the object's rows are in no order of time, and there are more than can be sorted (%s of rows); write them in order of time, or ask for a shorter range", size(w.scan.store.most))
}

// end passes on what is held, after the part's last row. again reports that the part must
// be read once more.
func (w *window) end() (again bool, err error) {
	if w.disorder && w.dropped != nil {
		return false, w.tooLarge()
	}
	if w.disorder {
		slices.SortStableFunc(w.rows, func(a, b row) int { return a.compare(&b) })
	}
	if w.scan.query.Backward() {
		slices.Reverse(w.rows)
	}
	if len(w.rows) > 0 {
		err = w.scan.send(w.feed, batch{rows: w.rows, slabs: w.slabs, bytes: w.bytes})
	}
	return w.dropped != nil, err
}
