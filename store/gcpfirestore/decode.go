package gcpfirestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

// A decoder reads RunQueryResponses, one document each, into values that refer
// to the message's bytes. It never allocates for a document, but for lists and maps
// that are asked for: the digits of numbers go into an arena that lives as long as
// the messages that were read together.
type decoder struct {
	nodes   []node
	found   [][]byte // by node: the Value that was found there; nil = none
	columns []string
	left    []int64 // by column: values that no hotreader.Value can hold
	places  []place // where columns are, the likeliest first
	narrow  bool    // a document has one property
	codec   *timekey.Codec
	native  bool
	when    int // nodes
	label   int // of a narrow document, its property's name; -1 = the time's text has it
	one     int // and value

	arena []byte // digits and ranks

	// Of the message read last.
	document bool // it has one
	done     bool // it says that no more will come
	name     []byte
	update   []byte          // its update time, a Timestamp
	rank     []byte          // of when it was written
	time     []byte          // the time's Value as it came; nil = none
	key      hotreader.Value // the time, unless native
	at       time.Time       // the time, if native
	timely   bool            // at is set
}

// A node is a field of a document, or of a map in it, that is asked for or leads to
// one that is.
type node struct {
	parent int // -1 = the document
	name   string
	wanted bool
	leads  bool
}

// A place is a node where a column may be.
type place struct{ column, node int }

// prepare makes d ready for documents of a layout with a's columns.
func (d *decoder) prepare(l *layout.Layout, a *paging.Ask) {
	d.release()
	d.columns, d.left, d.codec = a.Columns, a.Left, a.Codec
	d.native, d.narrow = a.Codec.Kind == layout.NativeTime, l.Narrow()
	d.when = d.want(layout.ParsePath(l.TimeKey))
	if d.label = -1; l.NameKey != "" {
		d.label = d.want(layout.ParsePath(l.NameKey))
	}
	if d.narrow {
		d.one = d.want(layout.ParsePath(l.ValueKey))
	} else {
		for i, name := range a.Columns {
			for _, path := range l.Paths(name) {
				if !slices.ContainsFunc(path, reserved) { // no document has a field of such a name
					d.places = append(d.places, place{i, d.want(path)})
				}
			}
		}
	}
	d.found = append(d.found[:0], make([][]byte, len(d.nodes))...)
}

// want returns the node at a path.
func (d *decoder) want(path []string) int {
	at := -1
	for _, name := range path {
		parent := at
		if parent >= 0 {
			d.nodes[parent].leads = true
		}
		at = slices.IndexFunc(d.nodes, func(n node) bool { return n.parent == parent && n.name == name })
		if at < 0 {
			at = len(d.nodes)
			d.nodes = append(d.nodes, node{parent: parent, name: name})
		}
	}
	d.nodes[at].wanted = true
	return at
}

// paths returns what to ask for: the paths of all needed nodes, but for those that
// are within another.
func (d *decoder) paths() (paths []string) {
	for _, n := range d.nodes {
		path, within := []string{n.name}, false
		for at := n.parent; at >= 0; at = d.nodes[at].parent {
			path, within = append(path, d.nodes[at].name), within || d.nodes[at].wanted
		}
		if slices.Reverse(path); n.wanted && !within {
			paths = append(paths, fieldPath(path))
		}
	}
	return paths
}

// release drops what d refers to.
func (d *decoder) release() {
	clear(d.nodes)
	clear(d.found)
	*d = decoder{nodes: d.nodes[:0], found: d.found[:0], places: d.places[:0], arena: d.arena[:0]}
	if cap(d.arena) > maxPooled {
		d.arena = nil
	}
}

// Tags, field number and wire type, of what is looked for.
const (
	tagDocument = 1<<3 | 2 // of a RunQueryResponse
	tagDone     = 6<<3 | 0
	tagName     = 1<<3 | 2 // of a Document
	tagField    = 2<<3 | 2
	tagUpdate   = 4<<3 | 2
	tagMember   = 1<<3 | 2 // of a map
	tagElement  = 1<<3 | 2 // of an array
	tagKey      = 1<<3 | 2 // of an entry of its fields
	tagValue    = 2<<3 | 2

	tagBool      = valueBool<<3 | 0
	tagInteger   = valueInteger<<3 | 0
	tagDouble    = valueDouble<<3 | 1
	tagReference = valueReference<<3 | 2
	tagMap       = valueMap<<3 | 2
	tagPlace     = valuePlace<<3 | 2
	tagArray     = valueArray<<3 | 2
	tagTimestamp = valueTimestamp<<3 | 2
	tagNull      = valueNull<<3 | 0
	tagString    = valueString<<3 | 2
	tagBytes     = valueBytes<<3 | 2
)

// uvarint reads a varint at m[i]. end is 0 if there is none.
func uvarint(m []byte, i int) (v uint64, end int) {
	if i < len(m) && m[i] < 0x80 {
		return uint64(m[i]), i + 1
	}
	v, n := protowire.ConsumeVarint(m[i:])
	if n < 0 {
		return 0, 0
	}
	return v, i + n
}

// A walk goes over the fields of a message.
type walk struct {
	m   []byte
	i   int
	bad bool // it is no message

	// Of the field that next found.
	tag    uint64
	number uint64 // a varint, or eight bytes
	bytes  []byte // bytes, a text or a message
}

// next goes to the next field, of whatever kind. It returns false if there is none.
func (w *walk) next() bool {
	if w.i >= len(w.m) {
		return false
	}
	tag, at := uvarint(w.m, w.i)
	end := 0
	switch {
	case at == 0:
	case tag&7 == uint64(protowire.VarintType):
		w.number, end = uvarint(w.m, at)
	case tag&7 == uint64(protowire.BytesType):
		if size, from := uvarint(w.m, at); from > 0 && size <= uint64(len(w.m)-from) {
			end = from + int(size)
			w.bytes = w.m[from:end:end]
		}
	case tag&7 == uint64(protowire.Fixed64Type) && len(w.m)-at >= 8:
		w.number, end = binary.LittleEndian.Uint64(w.m[at:]), at+8
	default:
		if _, _, n := protowire.ConsumeField(w.m[w.i:]); n > 0 {
			end = w.i + n
		}
	}
	w.tag, w.i, w.bad = tag, end, end == 0
	return end > 0
}

// message decodes one RunQueryResponse. values are one a column, null where the
// document does not have it. They are unchanged if the message has no document.
func (d *decoder) message(m []byte, values []hotreader.Value) error {
	d.document, d.done = false, false
	w := walk{m: m}
	for w.next() {
		switch w.tag {
		case tagDocument:
			if d.document {
				return errMalformed
			}
			d.document = true
			if err := d.fields(w.bytes, values); err != nil {
				return err
			}
		case tagDone:
			d.done = w.number != 0
		}
	}
	if w.bad {
		return errMalformed
	}
	if d.document && len(d.name) == 0 {
		return errors.New("a document has no name")
	}
	return nil
}

// fields decodes a Document.
func (d *decoder) fields(m []byte, values []hotreader.Value) error {
	clear(values)
	clear(d.found)
	d.name, d.update = nil, nil
	w := walk{m: m}
	for w.next() {
		switch w.tag {
		case tagName:
			d.name = w.bytes
		case tagUpdate:
			d.update = w.bytes
		case tagField:
			if err := d.find(w.bytes, -1); err != nil {
				return err
			}
		}
	}
	if w.bad {
		return errMalformed
	}
	if err := d.place(values); err != nil {
		return err
	}
	return d.written()
}

// find looks for the query's fields in an entry of a map.
func (d *decoder) find(m []byte, parent int) error {
	key, value, err := entry(m)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(d.nodes, func(n node) bool { return n.parent == parent && n.name == string(key) })
	if at < 0 {
		return nil
	}
	if d.found[at] != nil {
		return errMalformed
	}
	d.found[at] = value
	if !d.nodes[at].leads {
		return nil
	}
	v, err := valueOf(value)
	if err != nil || v.tag != tagMap {
		return err
	}
	w := walk{m: v.bytes}
	for w.next() {
		if w.tag == tagMember {
			if err := d.find(w.bytes, at); err != nil {
				return err
			}
		}
	}
	if w.bad {
		return errMalformed
	}
	return nil
}

// entry decodes an entry of a map. Its value is not nil.
func entry(m []byte) (key, value []byte, err error) {
	w := walk{m: m}
	for w.next() {
		switch {
		case w.tag == tagKey && key == nil:
			key = w.bytes
		case w.tag == tagValue && value == nil:
			value = w.bytes
		case w.tag == tagKey || w.tag == tagValue:
			return nil, nil, errMalformed
		}
	}
	if w.bad {
		return nil, nil, errMalformed
	}
	if value == nil {
		value = []byte{}
	}
	return key, value, nil
}

// place decodes the time, and the columns into values.
func (d *decoder) place(values []hotreader.Value) (err error) {
	d.time, d.key, d.timely = d.found[d.when], hotreader.Value{}, false
	if d.native {
		err = d.stamp()
	} else if d.time != nil {
		d.key, _, err = d.value(d.time)
	}
	if err != nil {
		return err
	}
	if d.narrow {
		return d.single(values)
	}
	taken := -1
	for _, p := range d.places {
		m := d.found[p.node]
		if m == nil || p.column == taken {
			continue
		}
		v, usable, err := d.value(m)
		if err != nil {
			return err
		}
		if values[p.column] = v; !usable {
			d.left[p.column]++
		}
		if !usable || !v.IsNull() {
			taken = p.column
		}
	}
	return nil
}

// single decodes the property of a narrow document.
func (d *decoder) single(values []hotreader.Value) error {
	var name []byte
	if d.label < 0 {
		name = d.codec.Property(d.key.Text())
	} else if m := d.found[d.label]; m != nil {
		v, _, err := d.value(m)
		if err != nil {
			return err
		}
		name = v.Text()
	}
	column := slices.IndexFunc(d.columns, func(c string) bool { return c == string(name) })
	if column < 0 || d.found[d.one] == nil {
		return nil
	}
	v, usable, err := d.value(d.found[d.one])
	if values[column] = v; !usable && err == nil {
		d.left[column]++
	}
	return err
}

// written makes the rank: the update time, and of documents of one commit the id.
func (d *decoder) written() error {
	seconds, nanos, ok := secondsNanos(d.update)
	if !ok {
		return errMalformed
	}
	from := len(d.arena)
	d.arena = binary.BigEndian.AppendUint64(d.arena, uint64(seconds))
	d.arena = binary.BigEndian.AppendUint32(d.arena, uint32(nanos))
	d.arena = append(d.arena, idOf(d.name)...)
	d.rank = d.arena[from:len(d.arena):len(d.arena)]
	return nil
}

// idOf returns the id in a document's name.
func idOf(name []byte) []byte { return name[bytes.LastIndexByte(name, '/')+1:] }

// valueOf finds what a Value is: its one field that is known. A tag of 0: there is
// none.
func valueOf(m []byte) (v walk, err error) {
	w := walk{m: m}
	for w.next() {
		switch w.tag {
		case tagBool, tagInteger, tagDouble, tagReference, tagMap, tagPlace, tagArray, tagTimestamp, tagNull, tagString, tagBytes:
			if v.tag != 0 {
				return v, errMalformed
			}
			v = w
		}
	}
	if w.bad || v.tag == tagString && !utf8.Valid(v.bytes) {
		return v, errMalformed
	}
	return v, nil
}

// value decodes a Value. usable is false for what no hotreader.Value can hold:
// NaN and the infinities, timestamps, bytes, places, references, and lists and maps
// that hold one of those, but for timestamps.
func (d *decoder) value(m []byte) (v hotreader.Value, usable bool, err error) {
	w, err := valueOf(m)
	if err != nil {
		return v, false, err
	}
	switch w.tag {
	case 0: // null, or what may come one day
		return v, len(m) == 0, nil
	case tagNull:
		return v, true, nil
	case tagDouble:
		v, usable = d.double(math.Float64frombits(w.number))
	case tagString:
		v, usable = hotreader.StringValue(w.bytes), true
	case tagInteger:
		v, usable = d.integer(int64(w.number)), true
	case tagBool:
		v, usable = hotreader.BoolValue(w.number != 0), true
	case tagMap, tagArray:
		if text, err := jsonOf(m); err != nil || text != nil {
			return hotreader.StringValue(text), text != nil, err
		}
	}
	return v, usable, nil
}

func (d *decoder) integer(n int64) hotreader.Value {
	from := len(d.arena)
	d.arena = strconv.AppendInt(d.arena, n, 10)
	return hotreader.NumberValue(d.arena[from:len(d.arena):len(d.arena)])
}

// double writes the shortest digits that read back as f, as
// ECMAScript does, which spells out what has no more than 21 digits.
func (d *decoder) double(f float64) (hotreader.Value, bool) {
	if f != f || f-f != 0 {
		return hotreader.Value{}, false
	}
	from := len(d.arena)
	d.arena = hotreader.AppendFloat(d.arena, f)
	return hotreader.NumberValue(d.arena[from:len(d.arena):len(d.arena)]), true
}

// stamp reads the time of a row, which is to be a timestamp.
func (d *decoder) stamp() error {
	w, err := valueOf(d.time)
	if err != nil || w.tag != tagTimestamp {
		return err
	}
	d.at, d.timely, err = timestamp(w.bytes)
	return err
}

// timestamp reads a google.protobuf.Timestamp. ok is false if it is beyond what one
// may be.
func timestamp(m []byte) (t time.Time, ok bool, err error) {
	seconds, nanos, ok := secondsNanos(m)
	if !ok {
		return t, false, errMalformed
	}
	t = time.Unix(seconds, nanos).UTC()
	return t, seconds >= firstStamp && !t.After(layout.Latest) && nanos >= 0 && nanos < 1_000_000_000, nil
}

// firstStamp is when timestamps begin, with the year 1.
var firstStamp = time.Time{}.Unix()
