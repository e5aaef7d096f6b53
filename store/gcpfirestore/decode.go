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
	skipped  int    // values of columns that no hotreader.Value can hold
}

// layout makes d ready for documents with the given columns.
func (d *decoder) layout(columns []string, timeKey, format string) {
	d.names = append(d.names[:0], columns...)
	d.values, d.when, d.format = len(columns), -1, format
	for i, name := range columns {
		if name == timeKey {
			d.when = i
		}
	}
	if d.when < 0 {
		d.when = len(columns)
		d.names = append(d.names, timeKey)
	}
	d.arena = d.arena[:0]
}

// release drops what d refers to.
func (d *decoder) release() {
	clear(d.names)
	d.names, d.name, d.time, d.text = d.names[:0], nil, nil, nil
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

// span reads a length at m[i] and returns the bounds of so many bytes behind it.
// end is 0 if they are not there.
func span(m []byte, i int) (from, end int) {
	v, from := uvarint(m, i)
	if from == 0 || v > uint64(len(m)-from) {
		return 0, 0
	}
	return from, from + int(v)
}

// skip passes over the field whose tag stands at m[i]. It returns 0 if there is
// none.
func skip(m []byte, i int) int {
	_, _, n := protowire.ConsumeField(m[i:])
	if n < 0 {
		return 0
	}
	return i + n
}

// message decodes one RunQueryResponse. values are one a column, null where the
// document does not have it. They are unchanged if the message has no document.
func (d *decoder) message(m []byte, values []hotreader.Value) error {
	d.document, d.done, d.skipped = false, false, 0
	for i := 0; i < len(m); {
		tag, at := uvarint(m, i)
		switch {
		case at == 0:
			return errMalformed
		case tag == tagDocument:
			from, end := span(m, at)
			if end == 0 || d.document {
				return errMalformed
			}
			d.document = true
			if err := d.fields(m[from:end], values); err != nil {
				return err
			}
			i = end
		case tag == tagDone:
			v, end := uvarint(m, at)
			if end == 0 {
				return errMalformed
			}
			d.done, i = v != 0, end
		default:
			if i = skip(m, i); i == 0 {
				return errMalformed
			}
		}
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
	for i := 0; i < len(m); {
		tag, at := uvarint(m, i)
		if at == 0 {
			return errMalformed
		}
		if tag != tagName && tag != tagField {
			if i = skip(m, i); i == 0 {
				return errMalformed
			}
			continue
		}
		from, end := span(m, at)
		if end == 0 {
			return errMalformed
		}
		i = end
		if tag == tagName {
			d.name = m[from:end:end]
			continue
		}
		key, value, err := entry(m[from:end])
		if err != nil {
			return err
		}
		found := slices.IndexFunc(d.names, func(name string) bool { return name == string(key) })
		if found < 0 {
			continue
		}
		v, usable, err := d.value(value)
		if err != nil {
			return err
		}
		if found < d.values {
			values[found] = v
			if !usable {
				d.skipped++
			}
		}
		if found == d.when {
			d.time = value
			if err := d.readTime(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry takes a field's key and value apart.
func entry(m []byte) (key, value []byte, err error) {
	for i := 0; i < len(m); {
		tag, at := uvarint(m, i)
		switch {
		case at == 0:
			return nil, nil, errMalformed
		case tag == tagKey:
			from, end := span(m, at)
			if end == 0 || key != nil {
				return nil, nil, errMalformed
			}
			key, i = m[from:end:end], end
		case tag == tagValue:
			from, end := span(m, at)
			if end == 0 || value != nil {
				return nil, nil, errMalformed
			}
			value, i = m[from:end:end], end
		default:
			if i = skip(m, i); i == 0 {
				return nil, nil, errMalformed
			}
		}
	}
	return key, value, nil
}

// value decodes a Value. usable is false for what no hotreader.Value can hold:
// NaN and the infinities, timestamps, bytes, places, references, lists, maps.
func (d *decoder) value(m []byte) (v hotreader.Value, usable bool, err error) {
	usable = len(m) == 0 // no kind is set: null
	d.stamp = nil
	for i := 0; i < len(m); {
		tag, at := uvarint(m, i)
		switch tag {
		case tagDouble:
			if len(m)-at < 8 {
				return v, false, errMalformed
			}
			v, usable = d.double(math.Float64frombits(binary.LittleEndian.Uint64(m[at:])))
			d.stamp, i = nil, at+8
		case tagString:
			from, end := span(m, at)
			if end == 0 {
				return v, false, errMalformed
			}
			if !utf8.Valid(m[from:end]) {
				return v, false, errUTF8
			}
			v, usable = hotreader.StringValue(m[from:end:end]), true
			d.stamp, i = nil, end
		case tagInteger:
			n, end := uvarint(m, at)
			if end == 0 {
				return v, false, errMalformed
			}
			v, usable = d.integer(int64(n)), true
			d.stamp, i = nil, end
		case tagBool, tagNull:
			n, end := uvarint(m, at)
			if end == 0 {
				return v, false, errMalformed
			}
			v, usable = hotreader.Value{}, true
			if tag == tagBool {
				v = hotreader.BoolValue(n != 0)
			}
			d.stamp, i = nil, end
		case tagTimestamp, tagReference, tagMap, tagPlace, tagArray, tagBytes:
			from, end := span(m, at)
			if end == 0 {
				return v, false, errMalformed
			}
			v, usable, d.stamp = hotreader.Value{}, false, nil
			if tag == tagTimestamp {
				d.stamp = m[from:end:end]
			}
			i = end
		default: // what may come one day
			if at == 0 {
				return v, false, errMalformed
			}
			if i = skip(m, i); i == 0 {
				return v, false, errMalformed
			}
		}
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
