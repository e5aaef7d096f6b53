package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"

	"hotreader"
)

// Numbers keep their digits. Most are encoded as whole numbers, with one scale for the
// column and a rule for how many decimals their text has. A number that breaks the
// rule, such as 74.93588199999998 among numbers of eight decimals, gets a correction:
// it is the float64 that lies k steps from the scaled number. Where that does not give
// its digits, the number is encoded as text.

// digits is the number m × 10^-decimals.
type digits struct {
	m        int64
	decimals uint8
	trailing bool // the last decimal is 0
}

// parseDigits parses a number of up to 18 digits whose text follows from its value and
// its count of decimals: no exponent, no -0.
func parseDigits(text []byte) (d digits, ok bool) {
	s := text
	neg := len(s) > 0 && s[0] == '-'
	if neg {
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 19 || s[0] == '0' && len(s) > 1 && s[1] != '.' {
		return d, false
	}
	at := -1
	for i, c := range s {
		if n := c - '0'; n <= 9 {
			d.m = d.m*10 + int64(n)
			continue
		}
		if c != '.' || at >= 0 || i == 0 {
			return d, false
		}
		at = i
	}
	if at >= 0 {
		d.decimals = uint8(len(s) - at - 1)
		d.trailing = s[len(s)-1] == '0'
		if d.decimals == 0 {
			return d, false
		}
	} else if len(s) > 18 {
		return d, false
	}
	if neg {
		if d.m == 0 {
			return d, false
		}
		d.m = -d.m
	}
	return d, true
}

// maxDigits bounds what appendDigits appends: a sign, 19 digits, a point.
const maxDigits = 21

// appendDigits appends m × 10^-scale without trailing zeros, but with at least least
// decimals.
func appendDigits(dst []byte, m int64, scale, least int) []byte {
	u := uint64(m)
	if m < 0 {
		dst = append(dst, '-')
		u = -u
	}
	for scale > least && u%10 == 0 {
		u /= 10
		scale--
	}
	var text [maxDigits]byte
	i := len(text)
	for n := 0; n <= scale || u > 0; n++ {
		if n > 0 && n == scale {
			i--
			text[i] = '.'
		}
		i--
		text[i] = byte('0' + u%10)
		u /= 10
	}
	return append(dst, text[i:]...)
}

// maxSteps is the largest correction, in steps of float64.
const maxSteps = 60

// maxExact: a float64 can hold every whole number up to it.
const maxExact = 1 << 53

// nearby returns the whole number at scale that is nearest to d, and the steps between
// their float64s. ok = these give d's text again.
func nearby(d digits, scale int, buf []byte) (m int64, steps int64, _ []byte, ok bool) {
	unit := pow10[int(d.decimals)-scale]
	m = d.m / unit
	if rest := d.m % unit; rest >= unit-rest {
		m++
	} else if -rest >= unit+rest {
		m--
	}
	if m == 0 || m > maxExact || m < -maxExact {
		return 0, 0, buf, false
	}
	buf = appendDigits(buf[:0], d.m, int(d.decimals), int(d.decimals))
	x, err := strconv.ParseFloat(string(buf), 64)
	if err != nil {
		return 0, 0, buf, false
	}
	steps = int64(math.Float64bits(x)) - int64(math.Float64bits(float64(m)/float64(pow10[scale])))
	if steps == 0 || steps > maxSteps || steps < -maxSteps {
		return 0, 0, buf, false
	}
	n := len(buf)
	buf = appendStepped(buf, m, scale, steps)
	return m, steps, buf, string(buf[n:]) == string(buf[:n])
}

// appendStepped appends the shortest text of the float64 that lies steps away
// from m × 10^-scale.
func appendStepped(dst []byte, m int64, scale int, steps int64) []byte {
	f := float64(m) / float64(pow10[scale])
	return strconv.AppendFloat(dst, math.Float64frombits(uint64(int64(math.Float64bits(f))+steps)), 'f', -1, 64)
}

// numbers collects a column's numbers for one frame.
type numbers struct {
	all     []digits // of decimals asText: the number is the next one in text
	text    []byte
	lengths []int64

	m     []int64 // scaled
	pairs []byte  // corrections: gap and steps of each
	buf   []byte
}

const asText = 255 // a digits.decimals that no number has

func (n *numbers) reset() {
	n.all, n.text, n.lengths = n.all[:0], n.text[:0], n.lengths[:0]
}

func (n *numbers) add(text []byte) bool {
	d, ok := parseDigits(text)
	if !ok {
		if !hotreader.IsNumber(text) {
			return false
		}
		d = digits{decimals: asText}
		n.text = append(n.text, text...)
		n.lengths = append(n.lengths, int64(len(text)))
	}
	n.all = append(n.all, d)
	return true
}

// rule chooses the column's scale and its least number of decimals.
func (n *numbers) rule() (scale, least int) {
	var bare, trailing [maxScale + 1]int // counts by decimals
	for _, d := range n.all {
		switch {
		case d.decimals == asText:
		case d.trailing:
			trailing[d.decimals]++
		default:
			bare[d.decimals]++
		}
	}
	// A number breaks the rule if it has fewer decimals than the least, or ends in 0
	// and has more.
	fewest := math.MaxInt
	for try := range maxScale + 1 {
		broken := 0
		for d := range bare {
			if d < try {
				broken += bare[d]
			}
			if d != try {
				broken += trailing[d]
			}
		}
		if broken < fewest {
			fewest, least = broken, try
		}
	}
	// Each decimal of the scale costs every number up to 3.3 bits. A number of more
	// decimals than the scale costs about 20 bits for its correction.
	best, below, total := math.MaxInt, 0, 0
	for d := range bare {
		total += bare[d] + trailing[d]
	}
	for try := range bare {
		below += bare[try] + trailing[try]
		if try < least {
			continue
		}
		cost := below*try*10/3 + (total-below)*(20+try*10/3)
		if total-below > 0 && !steppable(n.all, try) {
			cost += (total - below) * 60
		}
		if cost < best {
			best, scale = cost, try
		}
		if below == total {
			break
		}
	}
	return max(scale, least), least
}

// steppable reports whether a correction can encode the first number of more decimals
// than scale. Those that follow are likely to be alike.
func steppable(all []digits, scale int) bool {
	for _, d := range all {
		if d.decimals != asText && int(d.decimals) > scale {
			var buf [64]byte
			_, _, _, ok := nearby(d, scale, buf[:0])
			return ok
		}
	}
	return false
}

// appendTo appends the column's numbers, of which there is at least one.
func (n *numbers) appendTo(dst []byte, w *intWriter, p *packer) []byte {
	scale, least := n.rule()
	n.m, n.pairs = n.m[:0], n.pairs[:0]
	// given are the texts so far. The loop appends all texts again after them, in
	// order with those of numbers that turn out to need one.
	given, lengths := n.text, n.lengths
	at, length := len(given), len(lengths)
	from, k := 0, 0
	corrections, last := 0, -1
	prev := int64(0)
	for i, d := range n.all {
		m, ok := fit(d, scale, least)
		if !ok {
			steps := int64(0) // from the nearest number of the scale; 0: the number is encoded as text
			if d.decimals != asText {
				m, steps, n.buf, ok = n.step(d, scale)
			}
			if !ok {
				m, steps = prev, 0 // any number will do, and this one costs least
				was := len(n.text)
				if d.decimals == asText {
					n.text = append(n.text, given[from:from+int(lengths[k])]...)
					from += int(lengths[k])
					k++
				} else {
					n.text = appendDigits(n.text, d.m, int(d.decimals), int(d.decimals))
				}
				n.lengths = append(n.lengths, int64(len(n.text)-was))
			}
			n.pairs = binary.AppendUvarint(n.pairs, uint64(i-last-1))
			n.pairs = binary.AppendVarint(n.pairs, steps)
			corrections, last = corrections+1, i
		}
		n.m = append(n.m, m)
		prev = m
	}
	if len(n.lengths)-length > len(n.all)/2 { // mostly text: encode all as text
		return n.appendText(append(dst, numbersText), given, lengths, w, p)
	}
	dst = append(dst, numbersScaled, byte(scale), byte(least))
	dst = w.append(dst, n.m, p)
	dst = binary.AppendUvarint(dst, uint64(corrections))
	if corrections == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(n.pairs)))
	dst = p.pack(dst, n.pairs, false)
	if len(n.lengths) == length {
		return dst
	}
	return appendTexts(dst, n.text[at:], n.lengths[length:], w, p)
}

// step returns the correction of a number of more decimals than scale, as nearby does.
func (n *numbers) step(d digits, scale int) (int64, int64, []byte, bool) {
	if int(d.decimals) <= scale {
		return 0, 0, n.buf, false
	}
	return nearby(d, scale, n.buf)
}

// fit returns d as a whole number at scale. ok = its text follows the rule.
func fit(d digits, scale, least int) (int64, bool) {
	decimals := int(d.decimals)
	if decimals == scale && (!d.trailing || decimals == least) {
		return d.m, true // nearly all numbers
	}
	if decimals > scale || decimals < least || d.trailing && decimals > least {
		return 0, false
	}
	unit := pow10[scale-decimals]
	high, m := bits.Mul64(uint64(max(d.m, -d.m)), uint64(unit))
	return d.m * unit, high == 0 && m <= math.MaxInt64
}

// appendText appends all numbers as text.
func (n *numbers) appendText(dst, given []byte, lengths []int64, w *intWriter, p *packer) []byte {
	n.m = n.m[:0]
	n.buf = n.buf[:0]
	k := 0
	for _, d := range n.all {
		was := len(n.buf)
		if d.decimals == asText {
			size := int(lengths[k])
			n.buf = append(n.buf, given[:size]...)
			given = given[size:]
			k++
		} else {
			n.buf = appendDigits(n.buf, d.m, int(d.decimals), int(d.decimals))
		}
		n.m = append(n.m, int64(len(n.buf)-was))
	}
	return appendTexts(dst, n.buf, n.m, w, p)
}

// appendTexts appends at least one text: first all lengths, then the bytes.
func appendTexts(dst, text []byte, lengths []int64, w *intWriter, p *packer) []byte {
	dst = append(dst, 0) // the encoding; there is only one
	dst = w.append(dst, lengths, p)
	return p.pack(dst, text, true)
}
