package coldstore

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"
)

// What Parquet says of itself is checked before the library makes room for it: a hundred
// bytes can claim to be a list of two billion things.

// errClaims is the error of data that claims to be more than it is.
var errClaims = errors.New("it claims to hold more than it does, or than can be read")

// maxThings bounds the objects of all lists of a footer. Each needs up to 1 KB of memory.
const maxThings = 1 << 17

// claims steps through the compact form of Thrift.
type claims struct {
	data   []byte
	things int // objects of lists
}

// measure returns the size in bytes of the object at the start of data.
// io.ErrUnexpectedEOF means that the object continues after data.
func measure(data []byte) (int, error) {
	t := claims{data: data}
	err := t.object(0)
	return len(data) - len(t.data), err
}

// Kinds of Thrift's compact form.
const (
	thriftTrue = iota + 1
	thriftFalse
	thriftByte
	thriftI16
	thriftI32
	thriftI64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftObject
)

func (t *claims) take(n uint64) ([]byte, error) {
	if n > uint64(len(t.data)) {
		return nil, io.ErrUnexpectedEOF
	}
	b := t.data[:n]
	t.data = t.data[n:]
	return b, nil
}

func (t *claims) number() (uint64, error) {
	v, n := binary.Uvarint(t.data)
	if n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if n < 0 {
		return 0, errClaims
	}
	t.data = t.data[n:]
	return v, nil
}

func (t *claims) object(depth int) error {
	for {
		head, err := t.take(1)
		if err != nil || head[0] == 0 {
			return err
		}
		if head[0]>>4 == 0 { // the field's number follows
			if _, err := t.number(); err != nil {
				return err
			}
		}
		if kind := head[0] & 15; kind > thriftFalse { // a Boolean is its kind
			if err := t.value(kind, depth+1); err != nil {
				return err
			}
		}
	}
}

func (t *claims) value(kind byte, depth int) (err error) {
	const maxDepth = 16
	if depth > maxDepth {
		return errClaims
	}
	switch kind {
	case thriftTrue, thriftFalse, thriftByte:
		_, err = t.take(1)
	case thriftI16, thriftI32, thriftI64:
		_, err = t.number()
	case thriftDouble:
		_, err = t.take(8)
	case thriftBinary:
		n, nerr := t.number()
		if err = nerr; err == nil {
			_, err = t.take(n)
		}
	case thriftList, thriftSet:
		err = t.list(depth)
	case thriftObject:
		err = t.object(depth)
	default: // Parquet has no maps
		err = errClaims
	}
	return err
}

func (t *claims) list(depth int) error {
	head, err := t.take(1)
	if err != nil {
		return err
	}
	n, kind := uint64(head[0]>>4), head[0]&15
	if n == 15 {
		if n, err = t.number(); err != nil {
			return err
		}
	}
	if n > uint64(len(t.data)) { // a byte each at least
		return io.ErrUnexpectedEOF
	}
	if kind == thriftObject {
		if t.things += int(n); t.things > maxThings {
			return errClaims
		}
	}
	for range n {
		if err := t.value(kind, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// runs checks that runs of levels or of places in a dictionary, of so many bits each, are
// not more than n values.
func runs(data []byte, bits, n int) error {
	n += 512 // what fills up the last run: DuckDB writes runs of 256 values
	for len(data) > 0 {
		head, width := binary.Uvarint(data)
		if width <= 0 || head>>1 > uint64(n) {
			return errClaims
		}
		values, size := int(head>>1), (bits+7)/8
		if head&1 != 0 {
			values, size = 8*values, bits*values
		}
		if n -= values; n < 0 {
			return errClaims
		}
		data = data[min(width+size, len(data)):]
	}
	return nil
}

// deltas checks that differences are not more than n values, and returns what follows
// them.
func deltas(data []byte, n int) (rest []byte, err error) {
	t := claims{data: data}
	var head [4]uint64 // values of a block, parts of a block, values, the first value
	for i := range head {
		if head[i], err = t.number(); err != nil {
			return nil, err
		}
	}
	block, parts, left := head[0], head[1], head[2]
	if left > uint64(n) || block > 1<<16 || parts == 0 || parts > block {
		return nil, errClaims
	}
	for left -= min(left, 1); left > 0; {
		if _, err := t.number(); err != nil { // the least difference
			return nil, err
		}
		widths, err := t.take(parts)
		if err != nil {
			return nil, err
		}
		for _, bits := range widths {
			if left == 0 {
				break
			}
			size := block / parts * uint64(bits) / 8
			_, _ = t.take(min(size, uint64(len(t.data)))) // the last may be cut
			left -= min(left, block/parts)
		}
	}
	return t.data, nil
}

// values checks the values of a page, which has n at most.
func checkValues(data []byte, encoding format.Encoding, n int) error {
	switch encoding {
	case format.PlainDictionary, format.RLEDictionary: //nolint:staticcheck // older files have the first
		if len(data) == 0 {
			return nil
		}
		return runs(data[1:], int(data[0]), n)
	case format.RLE: // Booleans, after their length
		return runs(data[min(4, len(data)):], 1, n)
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		_, err := deltas(data, n)
		return err
	case format.DeltaByteArray: // of each text, what it has of the one before
		rest, err := deltas(data, n)
		if err != nil {
			return err
		}
		shared, err := new(delta.BinaryPackedEncoding).DecodeInt32(nil, data)
		if err != nil {
			return err
		}
		all := int64(0)
		for _, n := range shared {
			all += int64(max(n, 0))
		}
		if _, err = deltas(rest, n); err == nil && all > maxPage {
			err = errClaims
		}
		return err
	}
	return nil
}
