package gcpfirestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"hotreader"
	"hotreader/store/internal/timekey"
)

// A decoder reads RunQueryResponses, one document each, into values that refer
// to the message's bytes. It never allocates for a document: the digits of
// numbers go into an arena that lives as long as the messages that were read
// together.
type decoder struct {
	names  []string // fields to find: the query's columns, then the time's if it is none of them
	values int      // of a row: the columns
	when   int      // index of the time's field in names
	format string
	left   []int64 // by column: values that no hotreader.Value can hold

	arena []byte // digits
	stamp []byte // of the Value decoded last, if it is a timestamp

	// Of the message read last.
	document bool // it has one
	done     bool // it says that no more will come
	name     []byte
	time     []byte // the time's Value as it came; nil = none
	at       time.Time
	text     []byte // the time's text or digits; nil for Native
	timely   bool   // at is set: there is a time of the right type
}

// layout makes d ready for documents with the given columns. left counts, by
// column, what no hotreader.Value can hold.
func (d *decoder) layout(columns []string, timeKey, format string, left []int64) {
	d.left = left
	d.names = append(append(d.names[:0], columns...), timeKey)
	d.values, d.when, d.format = len(columns), slices.Index(d.names, timeKey), format
	d.arena = d.arena[:0]
}

// release drops what d refers to.
func (d *decoder) release() {
	clear(d.names)
	*d = decoder{names: d.names[:0], arena: d.arena}
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

var errUTF8 = errors.New("a string is not valid UTF-8")

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
	d.name, d.time, d.text, d.timely = nil, nil, nil, false
	w := walk{m: m}
	for w.next() {
		switch w.tag {
		case tagName:
			d.name = w.bytes
		case tagField:
			if err := d.field(w.bytes, values); err != nil {
				return err
			}
		}
	}
	if w.bad {
		return errMalformed
	}
	return nil
}

// field decodes one field of a Document: its key and its value.
func (d *decoder) field(m []byte, values []hotreader.Value) error {
	var key, value []byte
	w := walk{m: m}
	for w.next() {
		switch {
		case w.tag == tagKey && key == nil:
			key = w.bytes
		case w.tag == tagValue && value == nil:
			value = w.bytes
		case w.tag == tagKey || w.tag == tagValue:
			return errMalformed
		}
	}
	if w.bad {
		return errMalformed
	}
	found := slices.IndexFunc(d.names, func(name string) bool { return name == string(key) })
	if found < 0 {
		return nil
	}
	v, usable, err := d.value(value)
	if err != nil {
		return err
	}
	if found < d.values {
		values[found] = v
		if !usable {
			d.left[found]++
		}
	}
	if found == d.when {
		d.time = value
		return d.readTime(v)
	}
	return nil
}

// value decodes a Value. usable is false for what no hotreader.Value can hold:
// NaN and the infinities, timestamps, bytes, places, references, lists, maps.
func (d *decoder) value(m []byte) (v hotreader.Value, usable bool, err error) {
	usable = len(m) == 0 // no kind is set: null
	d.stamp = nil
	w := walk{m: m}
	for w.next() {
		var stamp []byte
		switch w.tag {
		case tagDouble:
			v, usable = d.double(math.Float64frombits(w.number))
		case tagString:
			if !utf8.Valid(w.bytes) {
				return v, false, errUTF8
			}
			v, usable = hotreader.StringValue(w.bytes), true
		case tagInteger:
			v, usable = d.integer(int64(w.number)), true
		case tagBool:
			v, usable = hotreader.BoolValue(w.number != 0), true
		case tagNull:
			v, usable = hotreader.Value{}, true
		case tagTimestamp:
			v, usable, stamp = hotreader.Value{}, false, w.bytes
		case tagReference, tagMap, tagPlace, tagArray, tagBytes:
			v, usable = hotreader.Value{}, false
		default: // what may come one day
			continue
		}
		d.stamp = stamp
	}
	if w.bad {
		return v, false, errMalformed
	}
	return v, usable, nil
}

func (d *decoder) integer(n int64) hotreader.Value {
	from := len(d.arena)
	d.arena = strconv.AppendInt(d.arena, n, 10)
	return hotreader.NumberValue(d.arena[from:len(d.arena):len(d.arena)])
}

// double writes the shortest digits that read back as f, in the way of
// ECMAScript, which spells out what has no more than 21 digits.
func (d *decoder) double(f float64) (hotreader.Value, bool) {
	if f != f || f-f != 0 {
		return hotreader.Value{}, false
	}
	from := len(d.arena)
	d.arena = appendDigits(d.arena, f)
	return hotreader.NumberValue(d.arena[from:len(d.arena):len(d.arena)]), true
}

func appendDigits(b []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, 64)
}

// readTime reads the time of a row out of its field's Value, which decodes to v.
func (d *decoder) readTime(v hotreader.Value) error {
	d.text, d.timely = nil, false
	switch {
	case d.format == Native:
		if d.stamp == nil {
			return nil
		}
		seconds, nanos, ok := secondsNanos(d.stamp)
		if !ok {
			return errMalformed
		}
		if seconds >= firstTime(Native).Unix() && seconds <= lastTime.Unix() && nanos >= 0 && nanos < 1_000_000_000 {
			d.at, d.timely = time.Unix(seconds, nanos).UTC(), true
		}
	case d.format == ISO8601 && v.Kind() == hotreader.String, d.format != ISO8601 && v.Kind() == hotreader.Number:
		d.text = v.Text()
		d.at, d.timely = timekey.Parse(d.format, d.text)
	}
	return nil
}

// typeName says what a Value is, for messages.
func typeName(m []byte) string {
	number, _, n := protowire.ConsumeTag(m)
	if n < 0 {
		return "nothing"
	}
	names := map[protowire.Number]string{valueBool: "a boolean", valueInteger: "a number", valueDouble: "a number",
		valueReference: "a reference", valueMap: "a map", valuePlace: "a geo point", valueArray: "an array", valueTimestamp: "a timestamp",
		valueNull: "null", valueString: "a string", valueBytes: "bytes"}
	if name := names[number]; name != "" {
		return name
	}
	return fmt.Sprintf("of kind %d", number)
}
