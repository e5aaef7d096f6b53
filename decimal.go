package hotreader

import (
	"bytes"
	"math"
	"strconv"
)

// IsNumber reports whether text is a number of JSON's grammar (RFC 8259,
// section 6), which is what a Value of kind Number must hold.
func IsNumber(text []byte) bool {
	i := 0
	if i < len(text) && text[i] == '-' {
		i++
	}
	switch {
	case i == len(text):
		return false
	case text[i] == '0':
		i++
	case text[i] >= '1' && text[i] <= '9':
		i = digitsEnd(text, i)
	default:
		return false
	}
	if i < len(text) && text[i] == '.' {
		from := i + 1
		if i = digitsEnd(text, from); i == from {
			return false
		}
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		i++
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		from := i
		if i = digitsEnd(text, from); i == from {
			return false
		}
	}
	return i == len(text)
}

func digitsEnd(text []byte, i int) int {
	for i < len(text) && text[i]-'0' <= 9 {
		i++
	}
	return i
}

// decimal is a number taken apart: ±0.d1d2d3… × 10^exp, where d1d2d3… are the
// digits of whole followed by those of frac, without the zeros in front.
type decimal struct {
	neg         bool
	whole, frac []byte
	exp         int64 // of the leading digit; meaningless for zero
}

// takeApart reads a number of JSON's grammar. Exponents beyond ±2^40 count as
// that, so that hostile ones cost nothing and still order rightly.
func takeApart(text []byte) (d decimal) {
	if text[0] == '-' {
		d.neg = true
		text = text[1:]
	}
	if i := bytes.IndexAny(text, "eE"); i >= 0 {
		e, err := strconv.ParseInt(string(text[i+1:]), 10, 64)
		if err != nil || e > 1<<40 || e < -1<<40 {
			e = 1 << 40
			if text[i+1] == '-' {
				e = -e
			}
		}
		d.exp, text = e, text[:i]
	}
	d.whole = text
	if i := bytes.IndexByte(text, '.'); i >= 0 {
		d.whole, d.frac = text[:i], bytes.TrimRight(text[i+1:], "0")
	}
	d.whole = bytes.TrimLeft(d.whole, "0")
	d.exp += int64(len(d.whole))
	if len(d.whole) == 0 {
		n := len(d.frac)
		d.frac = bytes.TrimLeft(d.frac, "0")
		d.exp -= int64(n - len(d.frac))
	} else if len(d.frac) == 0 {
		d.whole = bytes.TrimRight(d.whole, "0")
	}
	return d
}

func (d *decimal) zero() bool { return len(d.whole)+len(d.frac) == 0 }

func (d *decimal) at(i int) byte {
	if i < len(d.whole) {
		return d.whole[i]
	}
	if i -= len(d.whole); i < len(d.frac) {
		return d.frac[i]
	}
	return '0'
}

// AppendNumber appends the one spelling that all numbers have which CompareNumbers finds
// equal, for hashes: digits, e, exponent.
func AppendNumber(dst, digits []byte) []byte {
	d := takeApart(digits)
	if d.zero() {
		return append(dst, '0')
	}
	if d.neg {
		dst = append(dst, '-')
	}
	dst = append(append(dst, d.whole...), d.frac...)
	return strconv.AppendInt(append(dst, 'e'), d.exp, 10)
}

// CompareNumbers compares two numbers of JSON's grammar as exact decimals, of
// any length, and returns -1, 0 or +1.
func CompareNumbers(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	x, y := takeApart(a), takeApart(b)
	switch {
	case x.zero() && y.zero():
		return 0
	case x.zero():
		return zeroAgainst(y.neg)
	case y.zero():
		return -zeroAgainst(x.neg)
	case x.neg != y.neg:
		return -zeroAgainst(x.neg)
	}
	larger := -zeroAgainst(x.neg) // the answer if |x| > |y|
	if x.exp != y.exp {
		if x.exp > y.exp {
			return larger
		}
		return -larger
	}
	for i := range max(len(x.whole)+len(x.frac), len(y.whole)+len(y.frac)) {
		if p, q := x.at(i), y.at(i); p != q {
			if p > q {
				return larger
			}
			return -larger
		}
	}
	return 0
}

// zeroAgainst returns how zero compares to a negative, or positive, number.
func zeroAgainst(neg bool) int {
	if neg {
		return 1
	}
	return -1
}

// fitsDouble reports whether a Number stays a number as float64: not infinite,
// and not zero unless it is zero. Its digits are passed on untouched, so their
// count does not matter.
func (v Value) fitsDouble() bool {
	return v.plain && len(v.text) < fewDigits || looksDouble(v.text) // which is inlined
}

// fewDigits can reach neither end without an exponent.
const fewDigits = 200

func looksDouble(text []byte) bool {
	return len(text) < fewDigits && !hasExponent(text) || isDouble(text)
}

func isDouble(text []byte) bool {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return false
	}
	d := takeApart(text)
	return f != 0 || d.zero()
}

func hasExponent(text []byte) bool {
	for _, c := range text {
		if c|0x20 == 'e' {
			return true
		}
	}
	return false
}

// appendWhole checks that a number is whole and fits bits (32 or 64). It
// appends its plain digits to buf only if text is not already that.
func appendWhole(buf, text []byte, bits int) ([]byte, bool) {
	digits := text
	if text[0] == '-' {
		digits = text[1:]
	}
	if len(digits) < 10 && digitsEnd(digits, 0) == len(digits) && (digits[0] != '0' || len(text) == 1) {
		return buf, true
	}
	d := takeApart(text)
	if d.zero() {
		return append(buf, '0'), true
	}
	n := len(d.whole) + len(d.frac)
	if d.exp < int64(n) || d.exp > 19 {
		return buf, false
	}
	var u uint64 // 19 digits always fit
	for i := range int(d.exp) {
		u = u*10 + uint64(d.at(i)-'0')
	}
	limit := uint64(math.MaxInt32)
	if bits == 64 {
		limit = math.MaxInt64
	}
	if d.neg {
		limit++
	}
	if u > limit {
		return buf, false
	}
	if d.neg {
		buf = append(buf, '-')
	}
	return strconv.AppendUint(buf, u, 10), true
}

// AppendFloat appends the shortest digits that read back as f, which is finite, as
// ECMAScript does: it spells out what has no more than 21 of them.
func AppendFloat(b []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, 64)
}
