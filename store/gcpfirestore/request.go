package gcpfirestore

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/timekey"
)

// The requests are written field by field, by the numbers that
// google/firestore/v1/{firestore,query,write,document,common}.proto give.
// Tests read them back with Google's generated code.

// message appends a field that is a message, which write writes.
func message(b []byte, number protowire.Number, write func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, number, protowire.BytesType)
	from := len(b)
	b = write(b)
	size := len(b) - from
	// Its length comes in front of it and has a width of its own.
	width := protowire.SizeVarint(uint64(size))
	for range width {
		b = append(b, 0)
	}
	copy(b[from+width:], b[from:from+size])
	protowire.AppendVarint(b[:from], uint64(size))
	return b
}

func text(b []byte, number protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), s)
}

func raw(b []byte, number protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), m)
}

func varint(b []byte, number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

// The fields of a Value, in document.proto.
const (
	valueBool      = 1
	valueInteger   = 2
	valueDouble    = 3
	valueReference = 5
	valueMap       = 6
	valuePlace     = 8
	valueArray     = 9
	valueTimestamp = 10
	valueNull      = 11
	valueString    = 17
	valueBytes     = 18
)

func appendDouble(b []byte, f float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, valueDouble, protowire.Fixed64Type), math.Float64bits(f))
}

// timestampValue is a Value that is t.
func timestampValue(t time.Time) []byte {
	return message(nil, valueTimestamp, func(b []byte) []byte {
		if s := t.Unix(); s != 0 {
			b = varint(b, 1, uint64(s))
		}
		if n := t.Nanosecond(); n != 0 {
			b = varint(b, 2, uint64(n))
		}
		return b
	})
}

// Of query.proto.
const (
	opLessOrEqual    = 2
	opGreaterOrEqual = 4
	opEqual          = 5
	opIn             = 8
	opAnd            = 1
	ascending        = 1
	descending       = 2
)

// A query is what does not change from page to page.
type query struct {
	parent, collection string
	deviceKey, timeKey string   // paths
	fields             []string // paths to select; none = whole documents
	devices            [][]byte // Values of which the device's field has one; none = whatever it has
	low, high          []byte   // Values that the time is between; nil = none, and without low in no order
	ordered            bool     // also without low
	descending         bool
	group              bool // all collections of that id, wherever they lie
}

// query returns the query for whole documents that have one of the given Values for
// their device, from low on.
func (s *Store) query(device string, low []byte, devices ...[]byte) query {
	q := query{deviceKey: fieldPath(layout.ParsePath(s.Layout.DeviceKey)), timeKey: fieldPath(layout.ParsePath(s.Layout.TimeKey)), low: low}
	if q.parent, q.collection = s.place(device); !strings.Contains(s.collection, inPath) {
		q.devices = devices
	}
	return q
}

// deviceValue is the Value that the device's field has.
func deviceValue(value string, number bool) []byte {
	if n, ok := wholeNumber(value); ok && number {
		return varint(nil, valueInteger, uint64(n))
	}
	return text(nil, valueString, value)
}

// deviceValues are the Values that the device's field may have.
func deviceValues(device string) [][]byte {
	values := [][]byte{deviceValue(device, false)}
	if _, ok := wholeNumber(device); ok {
		values = append(values, deviceValue(device, true))
	}
	return values
}

// wholeNumber reads a number as Firestore would spell it.
func wholeNumber(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == s
}

// fieldPath writes a path as a request has it.
func fieldPath(path []string) string {
	var b strings.Builder
	for i, name := range path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(quoted(name))
	}
	return b.String()
}

// quoted writes a field's name as a segment of a path.
func quoted(name string) string {
	simple := name != ""
	for i := range len(name) {
		c := name[i]
		simple = simple && (c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || i > 0 && c >= '0' && c <= '9')
	}
	if simple {
		return name
	}
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// documentName is what Firestore calls a document's name in a query.
const documentName = "__name__"

// appendQuery appends the request for at most limit documents of q after
// cursor, the Values of the last document's order; nil = from the beginning.
func appendQuery(b []byte, q *query, limit int, cursor []byte) []byte {
	order := func(b []byte, path string) []byte {
		return message(b, 4, func(b []byte) []byte {
			b = message(b, 1, func(b []byte) []byte { return text(b, 2, path) })
			if q.descending {
				return varint(b, 2, descending)
			}
			return varint(b, 2, ascending)
		})
	}
	b = text(b, 1, q.parent)
	return message(b, 2, func(b []byte) []byte { // a StructuredQuery
		if len(q.fields) > 0 {
			b = message(b, 1, func(b []byte) []byte {
				for _, f := range q.fields {
					b = message(b, 2, func(b []byte) []byte { return text(b, 2, f) })
				}
				return b
			})
		}
		b = message(b, 2, func(b []byte) []byte {
			if b = text(b, 2, q.collection); q.group {
				b = varint(b, 3, 1)
			}
			return b
		})
		if len(q.devices) > 0 || q.low != nil {
			b = message(b, 3, func(b []byte) []byte { return message(b, 1, q.appendFilter) })
		}
		if q.low != nil || q.ordered {
			// The name is part of the order anyway; it must be said for the cursor
			// to have a place in it.
			b = order(order(b, q.timeKey), documentName)
		}
		b = message(b, 5, func(b []byte) []byte { return varint(b, 1, uint64(limit)) })
		if cursor != nil {
			b = raw(b, 7, cursor) // after it, for its field before is not set
		}
		return b
	})
}

// appendFilter appends a CompositeFilter.
func (q *query) appendFilter(b []byte) []byte {
	compare := func(path string, op uint64, value []byte) {
		b = message(b, 2, func(b []byte) []byte {
			return message(b, 2, func(b []byte) []byte { // a FieldFilter
				b = message(b, 1, func(b []byte) []byte { return text(b, 2, path) })
				return raw(varint(b, 2, op), 3, value)
			})
		})
	}
	b = varint(b, 1, opAnd)
	switch len(q.devices) {
	case 0:
	case 1:
		compare(q.deviceKey, opEqual, q.devices[0])
	default:
		compare(q.deviceKey, opIn, message(nil, valueArray, func(b []byte) []byte {
			for _, v := range q.devices {
				b = raw(b, 1, v)
			}
			return b
		}))
	}
	if q.low != nil {
		compare(q.timeKey, opGreaterOrEqual, q.low)
	}
	if q.high != nil {
		compare(q.timeKey, opLessOrEqual, q.high)
	}
	return b
}

// appendCursor appends a Cursor: the time's Value and the name of a document.
func appendCursor(b, when, name []byte) []byte {
	b = raw(b, 1, when)
	return message(b, 1, func(b []byte) []byte { return raw(b, valueReference, name) })
}

// bounds returns the Values that enclose [start, end]. They are as close as the
// format allows and never too close; Order leaves out what they
// hold beside the range. There always is a low one: a comparison finds values
// of its own type only, so it keeps away what is not of the format and costs no
// reads then. ok is false if nothing can be in the range.
func bounds(c *timekey.Codec, start, end time.Time) (low, high []byte, ok bool) {
	if c.Kind == layout.NativeTime {
		start, end, ok = layout.Clamp(start, end, c.First()) // the first is the zero time
		if low = timestampValue(start); !end.IsZero() {
			high = timestampValue(end)
		}
		return low, high, ok
	}
	from, to, ok := c.Bounds(start, end)
	if c.Kind == layout.NumberTime {
		low = whole(cmp.Or(from, string(c.Format.Append(nil, c.First()))), false)
		if to != "" {
			high = whole(to, true)
		}
		return low, high, ok
	}
	low = text(nil, valueString, from)
	if to != "" {
		high = text(nil, valueString, to)
	}
	return low, high, ok
}

// whole is the Value of the whole number next to digits, below or above them.
func whole(digits string, above bool) []byte {
	front, fraction, _ := strings.Cut(digits, ".")
	n, err := strconv.ParseInt(front, 10, 64)
	if err != nil { // such numbers are doubles in a document, too
		f, _ := strconv.ParseFloat(digits, 64)
		return appendDouble(nil, f)
	}
	switch negative := front[0] == '-'; {
	case fraction == "":
	case above && !negative:
		n++
	case negative && !above:
		n--
	}
	return varint(nil, valueInteger, uint64(n))
}

// appendWrite appends a Write of a CommitRequest that sets a whole document or, of one
// that is there, the fields of a DocumentMask.
func appendWrite(b, name, fields, mask []byte) []byte {
	return message(b, 2, func(b []byte) []byte {
		b = message(b, 1, func(b []byte) []byte {
			b = raw(b, 1, name)
			return append(b, fields...)
		})
		if mask != nil {
			b = message(b, 3, func(b []byte) []byte { return append(b, mask...) })
		}
		return b
	})
}

// A tree is a map that is being written: Values, and maps within it.
type tree map[string]any

// put puts a Value at a path. It returns false if something else is there, or on the
// path to it.
func (t tree) put(path []string, value []byte) bool {
	last := len(path) - 1
	for _, name := range path[:last] {
		if t[name] == nil {
			t[name] = tree{}
		}
		below, ok := t[name].(tree)
		if !ok {
			return false
		}
		t = below
	}
	if t[path[last]] != nil {
		return false
	}
	t[path[last]] = value
	return true
}

// append appends t's entries, as a map's or a Document's field of that number.
func (t tree) append(b []byte, number protowire.Number) []byte {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		b = message(b, number, func(b []byte) []byte {
			return message(text(b, 1, name), 2, func(b []byte) []byte {
				if below, ok := t[name].(tree); ok {
					return message(b, valueMap, func(b []byte) []byte { return below.append(b, 1) })
				}
				return append(b, t[name].([]byte)...)
			})
		})
	}
	return b
}

// appendValue appends the Value of v, which is not null; n is what keeps it if it
// is a number.
func appendValue(b []byte, v hotreader.Value, n number) []byte {
	switch v.Kind() {
	case hotreader.Bool:
		return varint(b, valueBool, protowire.EncodeBool(v.Bool()))
	case hotreader.Number:
		switch n.kind {
		case valueInteger:
			return varint(b, valueInteger, uint64(n.integer))
		case valueDouble:
			return appendDouble(b, n.double)
		}
	}
	return raw(b, valueString, v.Text())
}
