package boltstore

import (
	"encoding/binary"
	"iter"
	"slices"
	"time"
	"unicode/utf8"

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
	// its two elements, of 16 bytes each, taken off, to the last few bytes.
	blockBytes = (3*pageBytes-16)/2 - 16 - keyBytes - 8

	// What decode takes is more than encode makes. Earlier versions did not count
	// the shape when they filled a block, so a block of several rows may have one
	// shape more than blockBytes: up to 4 bytes for each id. A block of one row
	// has all of its record besides.
	mostShared = blockBytes + 4*maxNames
	mostBlock  = maxRecord + mostShared

	// longestGap between the rows of one block, so that deltas in nanoseconds
	// stay within an int64.
	longestGap = time.Duration(1) << 61
)

var units = [...]time.Duration{time.Nanosecond, time.Microsecond, time.Millisecond, time.Second}

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

// entry is a row of a block, or for one.
type entry struct {
	time time.Time
	ids  []uint64 // of its properties
	body []byte   // their values, as a block holds them
}

// reader takes a block apart. It must survive any bytes.
type reader struct {
	data []byte
	at   int
}

func (r *reader) uvarint() (uint64, bool) {
	if r.at < len(r.data) && r.data[r.at] < 0x80 {
		r.at++
		return uint64(r.data[r.at-1]), true
	}
	u, n := binary.Uvarint(r.data[r.at:])
	if n <= 0 {
		return 0, false
	}
	r.at += n
	return u, true
}

// value reads the next value, of which it does not check the text. It refers to
// the data.
func (r *reader) value() (v hotreader.Value, ok bool) {
	head, ok := r.uvarint()
	n := head >> 2
	kind := hotreader.Kind(head & 3)
	if kind == hotreader.Bool {
		return hotreader.BoolValue(n == 1), ok && n <= 1
	}
	if !ok || n > uint64(len(r.data)-r.at) {
		return v, false
	}
	text := r.data[r.at : r.at+int(n) : r.at+int(n)]
	r.at += int(n)
	if kind == hotreader.Number {
		return hotreader.NumberValue(text), true
	}
	return hotreader.StringValue(text), kind == hotreader.String
}

// valid reports whether Write would have taken v.
func valid(v hotreader.Value) bool {
	switch v.Kind() {
	case hotreader.Number:
		return hotreader.IsNumber(v.Text())
	case hotreader.String:
		return utf8.Valid(v.Text())
	}
	return true
}

// values sets dst to the row's values of the query's columns, null where it has
// none. table says which column a property id belongs to, -1 = none. A value that
// Write would have rejected is an error, whatever the checksums say.
func (e *entry) values(table []int, dst []hotreader.Value) error {
	clear(dst)
	r := reader{data: e.body}
	for _, id := range e.ids {
		v, ok := r.value()
		if !ok || id >= uint64(len(table)) {
			return errForm
		}
		if column := table[id]; column >= 0 {
			if !valid(v) {
				return errForm
			}
			dst[column] = v
		}
	}
	return nil
}

// decoder is the memory for the rows of one block after the other.
type decoder struct {
	rows []entry
	ids  []uint64 // of all shapes in the block
}

// decode returns the rows of a block, at least one, strictly ordered by time.
// They refer to the block, and are valid until the next call.
func (d *decoder) decode(block []byte) ([]entry, error) {
	d.rows, d.ids = d.rows[:0], d.ids[:0]
	if len(block) <= blockHead || len(block) > mostBlock || int(block[0]) >= len(units) || !validTime(block[1:]) {
		return nil, errForm
	}
	unit := units[block[0]]
	e := entry{time: timeOf(block[1:])}
	r := reader{data: block, at: blockHead}
	n, ok := r.uvarint()
	// A row takes a delta and a shape at the least.
	if !ok || n == 0 || n > uint64(len(block))/2 || n > 1 && len(block) > mostShared {
		return nil, errForm
	}
	for first := true; n > 0; n-- {
		delta, ok := r.uvarint()
		if !ok || delta > uint64(longestGap/unit) || first != (delta == 0) {
			return nil, errForm
		}
		e.time = e.time.Add(time.Duration(delta) * unit)
		if ok := d.shape(&r, &e, first); !ok || e.time.Unix() > lastSecond {
			return nil, errForm
		}
		from := r.at
		for range e.ids {
			if _, ok := r.value(); !ok {
				return nil, errForm
			}
		}
		e.body = block[from:r.at:r.at]
		d.rows = append(d.rows, e)
		first = false
	}
	if r.at != len(block) {
		return nil, errForm
	}
	return d.rows, nil
}

// shape reads the ids of a row, unless they are those of the row before.
func (d *decoder) shape(r *reader, e *entry, first bool) bool {
	n, ok := r.uvarint()
	if n == 0 {
		return ok && !first
	}
	if n > uint64(len(r.data)-r.at)+1 {
		return false
	}
	from := len(d.ids)
	for range n - 1 {
		id, ok := r.uvarint()
		if !ok {
			return false
		}
		d.ids = append(d.ids, id)
	}
	e.ids = d.ids[from:len(d.ids):len(d.ids)]
	return true
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

// encode makes blocks of rows, which are strictly ordered by time, and yields
// them with the time of their first row. If packed, each block is filled up before
// the next begins: right at the end of a series, which grows. If not, all get about
// equally many bytes, so that rows put in between or in front do not leave a trail
// of small blocks. No block has more than blockBytes, unless a single row has.
func encode(rows []entry, packed bool) iter.Seq2[time.Time, []byte] {
	return func(yield func(time.Time, []byte) bool) {
		unit := unitOf(rows)
		full := blockBytes - blockHead - binary.MaxVarintLen32
		share := full
		if !packed {
			share = shareOf(rows, unit, full)
		}
		var body []byte
		for len(rows) > 0 {
			body = appendRow(body[:0], nil, &rows[0], unit)
			n := 1
			for ; n < len(rows) && len(body) < share && rows[n].time.Sub(rows[n-1].time) <= longestGap; n++ {
				more := appendRow(body, &rows[n-1], &rows[n], unit)
				if len(more) > full {
					break
				}
				body = more
			}
			block := appendTime(append(make([]byte, 0, blockHead+binary.MaxVarintLen32+len(body)), byte(unit)), rows[0].time)
			block = append(binary.AppendUvarint(block, uint64(n)), body...)
			if !yield(rows[0].time, block) {
				return
			}
			rows = rows[n:]
		}
	}
}

// shareOf returns how many bytes of rows each block gets if as few as possible
// get equally many.
func shareOf(rows []entry, unit, full int) int {
	var row []byte
	size := func(before, e *entry) int {
		row = appendRow(row[:0], before, e, unit)
		return len(row)
	}
	first := &rows[0]
	total := size(nil, first)
	shape := total - size(first, first) // once in each block
	for i := 1; i < len(rows); i++ {
		total += size(&rows[i-1], &rows[i])
	}
	pieces := (total + full - 1) / full
	return total/pieces + shape + 1
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

// appendRow appends row, which follows before, nil = it is the first of a block.
func appendRow(dst []byte, before, row *entry, unit int) []byte {
	delta := time.Duration(0)
	if before != nil {
		delta = row.time.Sub(before.time)
	}
	dst = binary.AppendUvarint(dst, uint64(delta/units[unit]))
	if before != nil && slices.Equal(row.ids, before.ids) {
		dst = append(dst, 0)
	} else {
		dst = binary.AppendUvarint(dst, uint64(len(row.ids))+1)
		for _, id := range row.ids {
			dst = binary.AppendUvarint(dst, id)
		}
	}
	return append(dst, row.body...)
}
