package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/klauspost/compress/huff0"

	"hotreader"
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

// cells is a column of one frame.
type cells struct {
	kinds []byte
	spans []span // where each value is in text; a boolean is its span's end, 0 or 1
	text  []byte
}

type span struct{ from, to uint32 }

// readColumn reads n cells.
func (s *decoderState) readColumn(col *cells, n int) {
	c := &s.c
	col.kinds = slices.Grow(col.kinds[:0], n)[:n]
	col.spans = slices.Grow(col.spans[:0], n)[:n]
	col.text = col.text[:0]
	present := c.readPresent(col.kinds)
	if present == 0 {
		return
	}
	counts := c.readKinds(col.kinds, present)
	s.readBools(counts[hotreader.Bool])
	s.readNumbers(col, counts[hotreader.Number])
	s.readStrings(col, counts[hotreader.String])
	if c.bad != "" {
		return
	}
	if counts[hotreader.Number] == n { // as in most columns: take the spans over as they are
		col.spans, s.nums = s.nums, col.spans
		return
	}
	bools, nums, strs := 0, 0, 0
	for i, kind := range col.kinds {
		switch hotreader.Kind(kind) {
		case hotreader.Bool:
			col.spans[i].to = uint32(s.bools[bools/8] >> (bools % 8) & 1)
			bools++
		case hotreader.Number:
			col.spans[i] = s.nums[nums]
			nums++
		case hotreader.String:
			col.spans[i] = s.strs[strs]
			strs++
		}
	}
}

// readPresent sets the kinds of present cells to 1, for readKinds, and the others to
// 0. It returns how many are present.
func (c *cursor) readPresent(kinds []byte) (present int) {
	n := len(kinds)
	switch how := c.byte(); how {
	case presentNone:
		clear(kinds)
	case presentAll:
		fill(kinds, 1)
		return n
	case presentMap:
		bits := c.bitmap(n)
		if c.bad != "" {
			return 0
		}
		for i := range kinds {
			kinds[i] = bits[i/8] >> (i % 8) & 1
			present += int(kinds[i])
		}
		if present == 0 || present == n {
			c.fail("a column's map of what is present is wrong")
		}
	default:
		c.fail("a column is present in the unknown encoding %d", how)
	}
	return present
}

// bitmap reads a block of n bits.
func (c *cursor) bitmap(n int) []byte {
	bits := c.block((n + 7) / 8)
	if c.bad == "" && n%8 != 0 && bits[n/8]>>(n%8) != 0 {
		c.fail("bits are left over")
	}
	return bits
}

// readKinds sets the kinds of the present cells, and counts the cells of each kind.
func (c *cursor) readKinds(kinds []byte, present int) (counts [4]int) {
	only := c.byte()
	switch {
	case c.bad != "":
	case only >= byte(hotreader.Bool) && only <= byte(hotreader.String):
		counts[only] = present
		for i := range kinds {
			kinds[i] *= only
		}
	case only == kindsMixed:
		mixed := c.block(present)
		for i := range kinds {
			if kinds[i] == 0 || c.bad != "" {
				continue
			}
			kind := mixed[0]
			mixed = mixed[1:]
			if kind < byte(hotreader.Bool) || kind > byte(hotreader.String) {
				c.fail("a value of unknown kind %d", kind)
				break
			}
			kinds[i] = kind
			counts[kind]++
		}
	default:
		c.fail("a column of unknown kind %d", only)
	}
	return counts
}

func (s *decoderState) readBools(n int) {
	if n > 0 && s.c.bad == "" {
		s.bools = append(s.bools[:0], s.c.bitmap(n)...) // copied: the next block overwrites it
	}
}

// readStrings reads n strings into col.text and s.strs.
func (s *decoderState) readStrings(col *cells, n int) {
	s.readTexts(col, n)
	for _, at := range s.strs {
		if !utf8.Valid(col.text[at.from:at.to]) {
			s.c.fail("a string is not valid UTF-8")
			return
		}
	}
}

// readTexts reads n texts into col.text and s.strs.
func (s *decoderState) readTexts(col *cells, n int) {
	c := &s.c
	s.strs = s.strs[:0]
	if n == 0 || c.bad != "" {
		return
	}
	if how := c.byte(); how != 0 {
		c.fail("texts in the unknown encoding %d", how)
	}
	s.sizes = c.ints(s.sizes, n)
	from := int64(len(col.text))
	to := from
	for _, size := range s.sizes {
		if size < 0 || size > MaxRowBytes {
			c.fail("a text has %d bytes, at most %d are allowed", size, MaxRowBytes)
			return
		}
		to += size
	}
	if to > maxFrameText {
		c.fail("it has more than %d bytes of text", maxFrameText)
	}
	if c.bad != "" {
		return
	}
	col.text = append(col.text, c.block(int(to-from))...)
	if c.bad != "" {
		return
	}
	for _, size := range s.sizes {
		s.strs = append(s.strs, span{uint32(from), uint32(from + size)})
		from += size
	}
}

// readNumberTexts reads n numbers encoded as text into col.text and s.strs.
func (s *decoderState) readNumberTexts(col *cells, n int) {
	s.readTexts(col, n)
	for _, at := range s.strs {
		if text := col.text[at.from:at.to]; !hotreader.IsNumber(text) {
			s.c.fail("what should be a number is %.40q", text)
			return
		}
	}
}

// readNumbers reads n numbers into col.text and s.nums.
func (s *decoderState) readNumbers(col *cells, n int) {
	c := &s.c
	if n == 0 || c.bad != "" {
		return
	}
	switch how := c.byte(); how {
	case numbersText:
		s.readNumberTexts(col, n)
		s.nums, s.strs = s.strs, s.nums // readTexts has put them into strs
		return
	case numbersScaled:
	default:
		c.fail("numbers in the unknown encoding %d", how)
	}
	scale, least := int(c.byte()), int(c.byte())
	if scale > maxScale || least > scale {
		c.fail("numbers of %d to %d decimals", least, scale)
	}
	s.scaled = c.ints(s.scaled, n)
	s.readNumberTexts(col, s.readCorrections(n))
	if c.bad != "" {
		return
	}
	text := slices.Grow(col.text, n*maxDigits)
	nums, texts := slices.Grow(s.nums[:0], n)[:n], s.strs
	for i, m := range s.scaled {
		from, step := len(text), int64(0)
		if len(s.steps) > 0 {
			step = s.steps[i]
		}
		switch step {
		case 0:
			text = appendDigits(text, m, scale, least)
		case stepText:
			nums[i], texts = texts[0], texts[1:]
			continue
		default:
			text = appendStepped(text, m, scale, step)
		}
		nums[i] = span{uint32(from), uint32(len(text))}
	}
	col.text, s.nums = text, nums
}

// stepText marks, among the steps, a number that is encoded as text.
const stepText = maxSteps + 1

// readCorrections reads the steps that correct n scaled numbers into s.steps, which
// stays empty if there are none. It returns how many numbers are encoded as text.
func (s *decoderState) readCorrections(n int) (texts int) {
	c := &s.c
	s.steps = s.steps[:0]
	count := c.size("the count of corrections", n)
	if count == 0 {
		return 0
	}
	in := cursor{b: c.block(c.size("the length of corrections", count*2*binary.MaxVarintLen16))}
	s.steps = slices.Grow(s.steps, n)[:n]
	clear(s.steps)
	next := -1
	for range count {
		next += in.size("a gap", n) + 1
		step := in.varint()
		switch {
		case in.bad != "":
		case next >= n:
			in.fail("corrections are left over")
		case step == 0:
			s.steps[next] = stepText
			texts++
		case step > maxSteps || step < -maxSteps || s.scaled[next] == 0 || s.scaled[next] > maxExact || s.scaled[next] < -maxExact:
			in.fail("a correction is out of range")
		default:
			s.steps[next] = step
		}
	}
	if len(in.b) > 0 {
		in.fail("corrections are left over")
	}
	if in.bad != "" {
		c.fail("%s", in.bad)
	}
	return texts
}
