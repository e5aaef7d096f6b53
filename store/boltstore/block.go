package boltstore

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"hotreader"
)

// A block holds rows of one device that follow each other in time, all integers
// as uvarint unless said otherwise:
//
//	unit     1 byte    times count in 0 ns, 1 µs, 2 ms, 3 s
//	time     12 bytes  of the first row, see appendTime
//	rows               how many follow, at least 1
//	row      delta     units since the row before, at least 1; 0 in the first row
//	         shape     0: the same properties as the row before;
//	                   n+1: n properties, whose ids follow
//	         values    length<<2 | kind (1 boolean, 2 number, 3 text), then its bytes;
//	                   a boolean has none, its length is its truth
//
// Its checksum is in the index that lists it, see records.go.
//
// Rows are whole and next to each other because the read path takes them one by
// one, in either direction, and copies nothing: a Value refers to its bytes in
// the block.
const (
	blockHead = 1 + timeBytes

	// blockBytes bounds a block of more than one row. A bbolt leaf keeps two
	// blocks; this fills its three pages of 4 KB, its own header and those of
	// its two elements taken off, to the last few bytes.
	blockBytes = (3*pageBytes-pageHead)/2 - element - keyBytes - 8

	// longestGap between the rows of one block, so that deltas in nanoseconds
	// stay within an int64.
	longestGap = time.Duration(1) << 61
)

var units = [...]time.Duration{time.Nanosecond, time.Microsecond, time.Millisecond, time.Second}

// What is wrong with a block.
var (
	errForm  = errors.New("its content is malformed")
	errOrder = errors.New("it overlaps its neighbour")
)

// The first and last second of what Write takes, years 0 to 9999.
const (
	firstSecond = -62167219200
	lastSecond  = 253402300799
)

// timeBytes is what a time takes: seconds since 1970 with the sign flipped, then
// nanoseconds, big endian, so that times sort as bytes.
const timeBytes = 8 + 4

func appendTime(dst []byte, t time.Time) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.Unix())^1<<63)
	return binary.BigEndian.AppendUint32(dst, uint32(t.Nanosecond()))
}

// timeOf reads the time that b begins with.
func timeOf(b []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(b)^1<<63), int64(binary.BigEndian.Uint32(b[8:]))).UTC()
}

// validTime reports whether b begins with a time that Write takes.
func validTime(b []byte) bool {
	sec, nanos := int64(binary.BigEndian.Uint64(b)^1<<63), binary.BigEndian.Uint32(b[8:])
	return sec >= firstSecond && sec <= lastSecond && nanos < 1e9
}

// decoder steps through the rows of a block, forwards: head, then value once for
// each id of the shape, and again. It must survive any bytes.
type decoder struct {
	data []byte // the block
	at   int    // offset in data of what comes next
	left int    // rows not yet stepped to
	unit time.Duration

	begun      bool
	time       time.Time // of the current row; before the first one, the block's
	ids        []uint64  // of all shapes in the block so far
	shape, end int       // the current row has the properties ids[shape:end]
}

// reset begins a block, keeping the decoder's memory.
func (d *decoder) reset(value []byte) error {
	if len(value) <= blockHead || int(value[0]) >= len(units) || !validTime(value[1:]) {
		return errForm
	}
	*d = decoder{data: value, at: blockHead, unit: units[value[0]], time: timeOf(value[1:]), ids: d.ids[:0]}
	rows, ok := d.uvarint()
	// A row takes a delta and a shape at the least.
	if !ok || rows == 0 || rows > uint64(len(value))/2 {
		return errForm
	}
	d.left = int(rows)
	return nil
}

func (d *decoder) uvarint() (uint64, bool) {
	if d.at < len(d.data) && d.data[d.at] < 0x80 {
		d.at++
		return uint64(d.data[d.at-1]), true
	}
	u, n := binary.Uvarint(d.data[d.at:])
	if n <= 0 {
		return 0, false
	}
	d.at += n
	return u, true
}

// head steps to the next row and reads its time and shape. It returns false
// behind the last row.
func (d *decoder) head() (bool, error) {
	if d.left == 0 {
		if d.at != len(d.data) {
			return false, errForm
		}
		return false, nil
	}
	delta, ok := d.uvarint()
	if !ok || delta > uint64(longestGap/d.unit) || d.begun != (delta > 0) {
		return false, errForm
	}
	n, ok := d.uvarint()
	if !ok || n == 0 && !d.begun || n > uint64(len(d.data)-d.at)+1 {
		return false, errForm
	}
	if n > 0 {
		d.shape = len(d.ids)
		for range n - 1 {
			id, ok := d.uvarint()
			if !ok {
				return false, errForm
			}
			d.ids = append(d.ids, id)
		}
		d.end = len(d.ids)
	}
	d.left--
	d.begun = true
	d.time = d.time.Add(time.Duration(delta) * d.unit)
	return true, nil
}

// value reads the next value of the current row. It refers to the block.
func (d *decoder) value() (hotreader.Value, bool) {
	head, ok := d.uvarint()
	n := head >> 2
	if !ok {
		return hotreader.Value{}, false
	}
	kind := hotreader.Kind(head & 3)
	if kind == hotreader.Bool {
		return hotreader.BoolValue(n == 1), n <= 1
	}
	if n > uint64(len(d.data)-d.at) {
		return hotreader.Value{}, false
	}
	text := d.data[d.at : d.at+int(n) : d.at+int(n)]
	d.at += int(n)
	if kind == hotreader.Number {
		return hotreader.NumberValue(text), n > 0
	}
	return hotreader.StringValue(text), kind == hotreader.String
}

// skip steps over the values of the current row.
func (d *decoder) skip() error {
	for range d.end - d.shape {
		if _, ok := d.value(); !ok {
			return errForm
		}
	}
	return nil
}

// appendValue appends v, which is not null, as a block holds it.
func appendValue(dst []byte, v hotreader.Value) []byte {
	if v.Kind() == hotreader.Bool {
		if v.Bool() {
			return append(dst, 1<<2|byte(hotreader.Bool))
		}
		return append(dst, byte(hotreader.Bool))
	}
	dst = binary.AppendUvarint(dst, uint64(len(v.Text()))<<2|uint64(v.Kind()))
	return append(dst, v.Text()...)
}

// entry is a row on its way into a block.
type entry struct {
	time time.Time
	ids  []uint64
	body []byte // its values, as a block holds them
}

// entries appends the rows of a block to dst. They refer to the block.
func (d *decoder) entries(dst []entry, value []byte) ([]entry, error) {
	d.ids = nil // the last block's entries still refer to it
	if err := d.reset(value); err != nil {
		return dst, err
	}
	for {
		more, err := d.head()
		if !more {
			return dst, err
		}
		body := d.at
		if err := d.skip(); err != nil {
			return dst, err
		}
		dst = append(dst, entry{d.time, d.ids[d.shape:d.end:d.end], value[body:d.at]})
	}
}

// merge returns the rows of both, each strictly ordered by time; where an
// instant is in both, later's row stands.
func merge(older, later []entry) []entry {
	if n := len(older); n == 0 || older[n-1].time.Before(later[0].time) {
		return append(older, later...)
	}
	all := make([]entry, 0, len(older)+len(later))
	for len(older) > 0 && len(later) > 0 {
		switch c := older[0].time.Compare(later[0].time); {
		case c < 0:
			all, older = append(all, older[0]), older[1:]
		case c > 0:
			all, later = append(all, later[0]), later[1:]
		default:
			older = older[1:]
		}
	}
	return append(append(all, older...), later...)
}

// encode makes blocks of rows, which are strictly ordered by time, and passes
// them on with the time of their first row. Blocks are filled up one after the other if packed,
// as it is right at the end of a series, and else come out about equal, so that
// rows put between or in front do not leave a trail of small blocks behind.
// No block has more than blockBytes, unless one row has.
func encode(rows []entry, packed bool, put func(first time.Time, block []byte) error) error {
	unit := unitOf(rows)
	sizes := make([]int, len(rows))
	total := 0
	for i := range rows {
		sizes[i] = size(rows, i, unit)
		total += sizes[i]
	}
	full := blockBytes - blockHead - binary.MaxVarintLen32
	share := full
	if !packed {
		pieces := (total + full - 1) / full
		share = total/max(pieces, 1) + 1
	}
	for from := 0; from < len(rows); {
		to, n := from+1, sizes[from]
		for to < len(rows) && n < share && n+sizes[to] <= full && rows[to].time.Sub(rows[to-1].time) <= longestGap {
			n += sizes[to]
			to++
		}
		if err := put(rows[from].time, appendBlock(make([]byte, 0, n+blockHead+binary.MaxVarintLen32), rows[from:to], unit)); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// unitOf returns the largest unit in which all distances between rows are
// whole. Distances too long for one block do not count.
func unitOf(rows []entry) int {
	best := len(units) - 1
	for i := 1; i < len(rows); i++ {
		gap := rows[i].time.Sub(rows[i-1].time)
		for gap <= longestGap && gap%units[best] != 0 {
			best--
		}
	}
	return best
}

// size returns how many bytes row i takes at the most: it may turn out smaller
// by its ids, or its delta if it becomes the first of a block.
func size(rows []entry, i, unit int) int {
	n := len(rows[i].body) + 1
	if i > 0 {
		n += varintLen(uint64(min(rows[i].time.Sub(rows[i-1].time), longestGap) / units[unit]))
	}
	if i == 0 || !slices.Equal(rows[i].ids, rows[i-1].ids) {
		return n + shapeLen(rows[i].ids)
	}
	return n
}

func shapeLen(ids []uint64) int {
	n := varintLen(uint64(len(ids)) + 1)
	for _, id := range ids {
		n += varintLen(id)
	}
	return n
}

func varintLen(u uint64) int {
	n := 1
	for ; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

// appendBlock appends the block of rows.
func appendBlock(dst []byte, rows []entry, unit int) []byte {
	dst = appendTime(append(dst, byte(unit)), rows[0].time)
	dst = binary.AppendUvarint(dst, uint64(len(rows)))
	for i, r := range rows {
		delta := time.Duration(0)
		if i > 0 {
			delta = r.time.Sub(rows[i-1].time)
		}
		dst = binary.AppendUvarint(dst, uint64(delta/units[unit]))
		if i > 0 && slices.Equal(r.ids, rows[i-1].ids) {
			dst = append(dst, 0)
		} else {
			dst = binary.AppendUvarint(dst, uint64(len(r.ids))+1)
			for _, id := range r.ids {
				dst = binary.AppendUvarint(dst, id)
			}
		}
		dst = append(dst, r.body...)
	}
	return dst
}
