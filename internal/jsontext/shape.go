package jsontext

import "encoding/binary"

// A Shape is how a number is spelled: where its sign, its point and its digits
// are. The numbers of one column mostly have the same, and then one look shows
// that the next is a number too. The zero value is that of no number.
type Shape struct {
	exact, at uint64 // the sign and the point, and where they are
	digits    uint64 // the highest bit of each digit
	length    int    // 0 = the shape is not known
	first     int    // eight times the index of a digit that must not be 0; -1 = it may
	last      int    // length of the number before
}

// Number is NumberEnd for a number that most likely is spelled as the one
// before. It does not see whether digits follow.
func (s *Shape) Number(data []byte, i int) int {
	if s.length > 0 && len(data)-i >= 8 {
		eight := binary.LittleEndian.Uint64(data[i:])
		if (eight^s.exact)&s.at == 0 && notDigits(eight)&s.digits == 0 && (s.first < 0 || byte(eight>>(s.first&63)) != '0') {
			return i + s.length
		}
	}
	return s.learn(data, i)
}

func (s *Shape) learn(data []byte, i int) int {
	end := NumberEnd(data, i)
	length := end - i
	if again := length == s.last; end == 0 || length > 8 || !again {
		s.length, s.last = 0, length // whose lengths change is not worth learning
		return end
	}
	*s = Shape{length: length, first: -1, last: length}
	whole, before := 0, true
	for k, c := range data[i:end] {
		if c-'0' <= 9 {
			s.digits |= 0x80 << (8 * k)
			if before {
				whole++
			}
			continue
		}
		s.exact |= uint64(c) << (8 * k)
		s.at |= 0xff << (8 * k)
		before = before && c == '-'
	}
	if whole > 1 {
		s.first = 0
		if data[i] == '-' {
			s.first = 8
		}
	}
	return end
}

// notDigits marks those of eight bytes that are not digits by their highest bit.
func notDigits(eight uint64) uint64 {
	const each, high = 0x0101010101010101, 0x8080808080808080
	eight ^= each * '0' // digits become 0 to 9, and nothing else does
	return (eight&^high + each*(0x80-10) | eight) & high
}

// Plain reports whether none of eight bytes is a quote, a backslash, a control
// character, or beyond ASCII.
func Plain(eight uint64) bool { return notPlain(eight) == 0 }

// notPlain marks the first of eight bytes, the lowest first, that is a quote or
// not plain, by its highest bit; bytes behind it may be marked too. 0 = none.
//
// A byte less than n shows in its highest bit once n is subtracted, if that was
// not set before; a borrow reaches only bytes behind.
func notPlain(eight uint64) uint64 {
	const each, high = 0x0101010101010101, 0x8080808080808080
	quote, backslash := eight^each*'"', eight^each*'\\'
	return (eight-each*' ')&^eight&high | (quote-each)&^quote&high | (backslash-each)&^backslash&high | eight&high
}
