package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/huff0"
)

// cursor reads a frame's body. bad keeps the first error; all reads after it return
// zero.
type cursor struct {
	b   []byte
	bad string
	p   *packer
	raw []byte // the last block, unpacked

	bits []byte // of the last integer sequence
}

func (c *cursor) fail(format string, args ...any) {
	if c.bad == "" {
		c.bad = fmt.Sprintf(format, args...)
		c.b = nil
	}
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.fail("it is too short")
		return 0
	}
	b := c.b[0]
	c.b = c.b[1:]
	return b
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.fail("it is too short")
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) uvarint() uint64 {
	u, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail("a number in it is broken")
		return 0
	}
	c.b = c.b[n:]
	return u
}

func (c *cursor) varint() int64 {
	u := c.uvarint()
	return unzigzag(u)
}

// size reads a number that must not exceed limit.
func (c *cursor) size(what string, limit int) int {
	u := c.uvarint()
	if u > uint64(limit) {
		c.fail("%s is %d, at most %d is allowed", what, u, limit)
		return 0
	}
	return int(u)
}

// block reads a block that unpacks to n bytes; the caller has bounded n. The result is
// valid until the next block.
func (c *cursor) block(n int) []byte {
	switch method := c.byte(); method {
	case blockStored:
		return c.take(n)
	case blockRepeat:
		b := c.byte()
		if c.bad != "" {
			return nil
		}
		c.grow(n)
		fill(c.raw, b)
		return c.raw
	case blockHuffman, blockZstd:
		packed := c.take(c.size("a block's length", maxFrameBytes))
		if c.bad != "" {
			return nil
		}
		c.grow(n)
		var out []byte
		var err error
		if method == blockZstd {
			out, err = c.p.decoder().DecodeAll(packed, c.raw[:0:n])
		} else {
			out, err = c.unhuff(packed, c.raw[:0:n])
		}
		if err != nil || len(out) != n {
			c.fail("a block of %d bytes does not unpack (%d bytes, %v)", n, len(out), err)
			return nil
		}
		return out
	default:
		c.fail("a block of unknown kind %d", method)
		return nil
	}
}

func (c *cursor) unhuff(packed, dst []byte) ([]byte, error) {
	if c.p.huff == nil {
		c.p.huff = &huff0.Scratch{Reuse: huff0.ReusePolicyNone}
	}
	s, data, err := huff0.ReadTable(packed, c.p.huff)
	if err != nil {
		return nil, err
	}
	return s.Decoder().Decompress1X(dst, data)
}

func fill(dst []byte, b byte) {
	for i := range dst {
		dst[i] = b
	}
}

func (c *cursor) grow(n int) {
	if cap(c.raw) < n {
		c.raw = make([]byte, n)
	}
	c.raw = c.raw[:n]
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}
