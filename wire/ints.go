package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// A sequence of whole numbers is encoded as differences. Each difference becomes an
// unsigned number (zigzag), which is split into a token of one byte, its size and
// leading bits, and its remaining bits. Tokens repeat, so they are packed as a block;
// the remaining bits are noise and are stored as they are.
//
//	z < 16    token z, no bits
//	else      e = position of the highest bit of z (4…63)
//	          token 16 + 4(e-4) + the two bits below it; e-2 bits remain

// token splits z into its token and the n bits that remain.
func token(z uint64) (tok byte, rest uint64, n uint) {
	if z < 16 {
		return byte(z), 0, 0
	}
	e := uint(bits.Len64(z) - 1)
	n = e - 2
	return byte(16 + 4*(e-4) + uint(z>>n)&3), z & (1<<n - 1), n
}

// tokenBits is how many bits remain for each token, and tokenLead the bits in front of
// them, which the token itself says.
var tokenBits, tokenLead = func() (remain, lead [256]uint8) {
	for tok := range 256 {
		if lead[tok] = uint8(tok); tok >= 16 {
			remain[tok], lead[tok] = uint8(tok-16)/4+2, 4|uint8(tok-16)&3
		}
	}
	return remain, lead
}()

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(z uint64) int64 { return int64(z>>1) ^ -int64(z&1) }

// intWriter appends sequences; its buffers are reused.
type intWriter struct {
	tokens, rest []byte
}

// append appends v, which has at least one number, as differences of the order that
// makes it shortest. Differences wrap around, so v may hold any numbers.
func (w *intWriter) append(dst []byte, v []int64, p *packer) []byte {
	order, start := chooseOrder(v)
	dst = append(dst, byte(order))
	dst = binary.AppendVarint(dst, start)
	from, prev, step := 1, start, int64(0)
	if order == 0 {
		from = 0
	}
	v = v[from:]
	w.tokens = slices.Grow(w.tokens[:0], len(v))[:len(v)]
	w.rest = slices.Grow(w.rest[:0], 8*len(v)+8) // at most 62 bits of each
	tokens, rest := w.tokens, w.rest[:cap(w.rest)]
	at := 0
	var acc uint64 // bits not written yet, from the lowest on
	var held uint  // how many
	for i, x := range v {
		d := x - prev
		switch order {
		case 1:
			prev = x
		case 2:
			prev, d, step = x, d-step, d
		}
		tok, low, n := token(zigzag(d))
		tokens[i] = tok
		for n > 32 { // held < 32, so 32 more always fit
			acc |= low & (1<<32 - 1) << held
			binary.LittleEndian.PutUint32(rest[at:], uint32(acc))
			at += 4
			acc >>= 32
			low >>= 32
			n -= 32
		}
		acc |= low << held
		if held += n; held >= 32 {
			binary.LittleEndian.PutUint32(rest[at:], uint32(acc))
			at += 4
			acc >>= 32
			held -= 32
		}
	}
	for ; held > 0; held -= min(held, 8) {
		rest[at] = byte(acc)
		at++
		acc >>= 8
	}
	dst = p.pack(dst, w.tokens, false)
	return append(dst, rest[:at]...)
}

// chooseOrder samples a long sequence: the first 256 numbers of each 1024.
const (
	sample      = 256
	sampleEvery = 1024
)

// chooseOrder returns the order of differences that encodes v shortest, and the start:
// the first number or, for order 0, their mean, to which each number is the difference.
func chooseOrder(v []int64) (order int, start int64) {
	var sum float64
	var one, two, looked int
	for from := 0; from < len(v); from += sampleEvery {
		part := v[from:min(from+sample, len(v))]
		prev, step := part[0], int64(0)
		for _, x := range part[1:] {
			d := x - prev
			one += bits.Len64(zigzag(d))
			two += bits.Len64(zigzag(d - step))
			prev, step = x, d
			sum += float64(x - v[0])
		}
		looked += len(part)
	}
	start = v[0]
	if mean := sum / float64(looked); math.Abs(mean) < 1<<62 {
		start += int64(mean)
	}
	zero := 0
	for from := 0; from < len(v); from += sampleEvery {
		for _, x := range v[from:min(from+sample, len(v))] {
			zero += bits.Len64(zigzag(x - start))
		}
	}
	switch {
	case zero < one && zero < two:
		return 0, start
	case two < one:
		return 2, v[0]
	}
	return 1, v[0]
}

// ints reads a sequence of n numbers into v, whose memory it reuses.
func (c *cursor) ints(v []int64, n int) []int64 {
	v = v[:0]
	order, start := c.byte(), c.varint()
	if order > 2 {
		c.fail("a sequence of unknown order %d", order)
	}
	m := n
	if order > 0 {
		m--
	}
	tokens := c.block(m)
	if c.bad != "" {
		return v
	}
	c.readBits(tokens)
	if c.bad != "" {
		return v
	}
	v = slices.Grow(v, n)[:n]
	out := v
	if order > 0 {
		v[0], out = start, v[1:]
	}
	c.sum(out[:len(tokens)], tokens, order, start)
	return v
}

// word is how many bytes sum reads at once.
const word = 8

// readBits reads the remaining bits of tokens into c.bits, padded so that sum can
// always read a whole word.
func (c *cursor) readBits(tokens []byte) {
	var total uint
	for _, tok := range tokens {
		total += uint(tokenBits[tok])
	}
	size := int(total+7) / 8
	rest := c.take(size)
	if c.bad == "" && total%8 != 0 && rest[size-1]>>(total%8) != 0 {
		c.fail("bits are left over after a sequence")
	}
	c.bits = slices.Grow(c.bits[:0], size+word+1)[:size+word+1]
	clear(c.bits[copy(c.bits, rest):])
}

// sum joins tokens and remaining bits to differences, and adds these up into out.
func (c *cursor) sum(out []int64, tokens []byte, order byte, start int64) {
	rest, at := c.bits, uint(0) // the next bit
	prev, step := start, int64(0)
	for i, tok := range tokens {
		k := uint(tokenBits[tok])
		low := binary.LittleEndian.Uint64(rest[at/8:]) >> (at % 8)
		if k > 8*word-7 {
			low |= uint64(rest[at/8+word]) << (64 - at%8)
		}
		at += k
		d := unzigzag(uint64(tokenLead[tok])<<k | low&(1<<k-1))
		switch order {
		case 0:
			out[i] = start + d
			continue
		case 2:
			d += step
			step = d
		}
		prev += d
		out[i] = prev
	}
}
