package gcpfirestore

import (
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"hotreader"
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

// appendTimestamp appends a Value that is t.
func appendTimestamp(b []byte, t time.Time) []byte {
	return message(b, valueTimestamp, func(b []byte) []byte {
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
	opAnd            = 1
	ascending        = 1
	descending       = 2
)

// A query is what does not change from page to page.
type query struct {
	fields     []string // paths to select
	device     string
	low, high  []byte // Values; high nil = none
	descending bool
}

// fieldPath writes a field's name as a path of one segment.
func fieldPath(name string) string {
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

// appendQuery appends the request for at most limit documents of q behind
// cursor, the Values of the last document's order; nil = from the beginning.
func (s *Store) appendQuery(b []byte, q *query, limit int, cursor []byte) []byte {
	reference := func(path string) func([]byte) []byte {
		return func(b []byte) []byte { return text(b, 2, path) }
	}
	device, when := fieldPath(s.deviceKey), fieldPath(s.timeKey)
	compare := func(b []byte, path string, op uint64, value func([]byte) []byte) []byte {
		return message(b, 2, func(b []byte) []byte { // one of the composite's filters
			return message(b, 2, func(b []byte) []byte { // a FieldFilter
				b = message(b, 1, reference(path))
				b = varint(b, 2, op)
				return message(b, 3, value)
			})
		})
	}
	order := func(b []byte, path string) []byte {
		return message(b, 4, func(b []byte) []byte {
			b = message(b, 1, reference(path))
			if q.descending {
				return varint(b, 2, descending)
			}
			return varint(b, 2, ascending)
		})
	}
	b = text(b, 1, s.parent)
	return message(b, 2, func(b []byte) []byte { // a StructuredQuery
		b = message(b, 1, func(b []byte) []byte {
			for _, f := range q.fields {
				b = message(b, 2, reference(f))
			}
			return b
		})
		b = message(b, 2, func(b []byte) []byte { return text(b, 2, s.collectionID) })
		b = message(b, 3, func(b []byte) []byte {
			return message(b, 1, func(b []byte) []byte { // a CompositeFilter
				b = varint(b, 1, opAnd)
				b = compare(b, device, opEqual, func(b []byte) []byte { return text(b, valueString, q.device) })
				b = compare(b, when, opGreaterOrEqual, func(b []byte) []byte { return append(b, q.low...) })
				if q.high != nil {
					b = compare(b, when, opLessOrEqual, func(b []byte) []byte { return append(b, q.high...) })
				}
				return b
			})
		})
		// The name is part of the order anyway; it must be said for the cursor
		// to have a place in it.
		b = order(b, when)
		b = order(b, documentName)
		b = message(b, 5, func(b []byte) []byte { return varint(b, 1, uint64(limit)) })
		if cursor != nil {
			b = raw(b, 7, cursor) // behind it, for its field before is not set
		}
		return b
	})
}

// appendSample appends the request for a few documents of the collection, any,
// with their keys alone.
func (s *Store) appendSample(b []byte, limit int) []byte {
	b = text(b, 1, s.parent)
	return message(b, 2, func(b []byte) []byte {
		b = message(b, 1, func(b []byte) []byte {
			for _, name := range []string{s.deviceKey, s.timeKey} {
				b = message(b, 2, func(b []byte) []byte { return text(b, 2, fieldPath(name)) })
			}
			return b
		})
		b = message(b, 2, func(b []byte) []byte { return text(b, 2, s.collectionID) })
		return message(b, 5, func(b []byte) []byte { return varint(b, 1, uint64(limit)) })
	})
}

// appendCursor appends a Cursor: the time's Value and the name of a document.
func appendCursor(b, when, name []byte) []byte {
	b = raw(b, 1, when)
	return message(b, 1, func(b []byte) []byte { return raw(b, valueReference, name) })
}

// bounds returns the Values that enclose [start, end]. They are as close as the
// format allows and never too close; what they take in beside the range is for
// Order to leave out. There always is a low one: a comparison finds values
// of its own type only, so it keeps away what is not of the collection's format
// and costs no reads then. ok is false if nothing can be in the range.
func bounds(format string, start, end time.Time) (low, high []byte, ok bool) {
	first := firstTime(format)
	if start, end, ok = timekey.Clamp(start, end, first); !ok {
		return nil, nil, false
	}
	if format == ISO8601 {
		from, to, _ := timekey.Bounds(format, start, end)
		low = text(nil, valueString, from)
		if to != "" {
			high = text(nil, valueString, to)
		}
		return low, high, true
	}
	if start.IsZero() {
		start = first
	}
	bound := func(t time.Time, more int64) []byte {
		switch format {
		case EpochMillis:
			return varint(nil, valueInteger, uint64(t.Unix()*1000+int64(t.Nanosecond()/1_000_000)+more))
		case EpochSecs:
			return varint(nil, valueInteger, uint64(t.Unix()+more))
		}
		return appendTimestamp(nil, t)
	}
	low = bound(start, 0)
	if !end.IsZero() {
		high = bound(end, 1) // a number may have a fraction
	}
	return low, high, true
}

// lastTime is the last instant that a row can have.
var lastTime = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)

// firstTime is the first. Firestore's timestamps begin with the year 1.
func firstTime(format string) time.Time {
	if format == Native {
		return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
}

// appendWrite appends a Write of a CommitRequest that sets a whole document.
func appendWrite(b, name []byte, fields []byte) []byte {
	return message(b, 2, func(b []byte) []byte {
		return message(b, 1, func(b []byte) []byte {
			b = raw(b, 1, name)
			return append(b, fields...)
		})
	})
}

// appendField appends an entry of a Document's fields.
func appendField(b []byte, name string, value func([]byte) []byte) []byte {
	return message(b, 2, func(b []byte) []byte {
		b = text(b, 1, name)
		return message(b, 2, value)
	})
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
