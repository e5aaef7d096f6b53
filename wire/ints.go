package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// A sequence of whole numbers is kept as differences. Each difference is folded
// to an unsigned number (zigzag) and split in a token of one byte, which says
// its size and leading bits, and the bits that remain. Tokens are packed as a
// block, for they repeat; the rest is noise and is stored bare.
//
//	z < 16    token z, no bits
//	else      e = position of the highest bit of z (4…63)
//	          token 16 + 4(e-4) + the two bits below it; e-2 bits remain

// token splits z.
func token(z uint64) (tok byte, rest uint64, n uint) {
	if z < 16 {
		return byte(z), 0, 0
	}
	e := uint(bits.Len64(z) - 1)
	n = e - 2
	return byte(16 + 4*(e-4) + uint(z>>n)&3), z & (1<<n - 1), n
}

// restBits returns how many bits remain behind tok.
func restBits(tok byte) uint {
	if tok < 16 {
		return 0
	}
	return uint(tok-16)/4 + 2
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(z uint64) int64 { return int64(z>>1) ^ -int64(z&1) }

// intWriter appends sequences; its buffers are reused.
type intWriter struct {
	tokens, rest []byte
}

// append appends v, at least one number, with the differences taken that many
// times that is shortest. Differences wrap around, so any numbers will do.
func (w *intWriter) append(dst []byte, v []int64, p *packer) []byte {
	order, start := shape(v)
	dst = append(dst, byte(order))
	dst = binary.AppendVarint(dst, start)
	w.tokens, w.rest = w.tokens[:0], w.rest[:0]
	from, prev, step := 1, start, int64(0)
	if order == 0 {
		from = 0
	}
	var acc uint64
	var held uint
	for _, x := range v[from:] {
		d := x - prev
		switch order {
		case 1:
			prev = x
		case 2:
			prev, d, step = x, d-step, d
		}
		tok, rest, n := token(zigzag(d))
		w.tokens = append(w.tokens, tok)
		for n > 0 { // held < 32, so 32 more always fit
			k := min(n, 32)
			acc |= (rest & (1<<k - 1)) << held
			held += k
			if held >= 32 {
				w.rest = binary.LittleEndian.AppendUint32(w.rest, uint32(acc))
				acc >>= 32
				held -= 32
			}
			rest >>= k
			n -= k
		}
	}
	for ; held > 0; held -= min(held, 8) {
		w.rest = append(w.rest, byte(acc))
		acc >>= 8
	}
	dst = p.pack(dst, w.tokens, false)
	return append(dst, w.rest...)
}

// shape chooses how often differences of v are taken, and the number to start
// from: the first, or, where none are taken, the middle.
func shape(v []int64) (order int, start int64) {
	var sum float64
	var one, two int
	prev, step := v[0], int64(0)
	for _, x := range v[1:] {
		d := x - prev
		one += bits.Len64(zigzag(d))
		two += bits.Len64(zigzag(d - step))
		prev, step = x, d
		sum += float64(x - v[0])
	}
	start = v[0]
	if mean := sum / float64(len(v)); math.Abs(mean) < 1<<62 {
		start += int64(mean)
	}
	zero := 0
	for _, x := range v {
		zero += bits.Len64(zigzag(x - start))
	}
	switch {
	case zero < one && zero < two:
		return 0, start
	case two < one:
		return 2, v[0]
	}
	return 1, v[0]
}

// ints reads n numbers of a sequence into v, which is reused.
func (c *cursor) ints(v []int64, n int) []int64 {
	v = v[:0]
	order := c.byte()
	start := c.varint()
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
	var total uint
	for _, tok := range tokens {
		total += restBits(tok)
	}
	rest := c.take(int(total+7) / 8)
	if c.bad != "" {
		return v
	}
	if order > 0 {
		v = append(v, start)
	}
	var acc uint64
	var held uint
	prev, step := start, int64(0)
	for _, tok := range tokens {
		z := uint64(tok)
		if tok >= 16 {
			k := restBits(tok)
			var low uint64
			for got := uint(0); got < k; {
				if held == 0 {
					if len(rest) >= 4 {
						acc, held, rest = uint64(binary.LittleEndian.Uint32(rest)), 32, rest[4:]
					} else {
						acc, held, rest = uint64(rest[0]), 8, rest[1:]
					}
				}
				take := min(k-got, held)
				low |= (acc & (1<<take - 1)) << got
				acc >>= take
				held -= take
				got += take
			}
			z = (4|uint64(tok-16)&3)<<k | low
		}
		d := unzigzag(z)
		switch order {
		case 0:
			v = append(v, start+d)
			continue
		case 2:
			d += step
			step = d
		}
		prev += d
		v = append(v, prev)
	}
	if acc != 0 {
		c.fail("bits are left over behind a sequence")
	}
	return v
}
