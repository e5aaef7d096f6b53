// Package jsonscan steps through the JSON of a store's answer, which is hostile
// input, without allocating: strings refer to the answer's bytes, and those with
// escapes, which are rare, to an arena that lives as long as the answer.
package jsonscan

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"hotreader"
)

// maxDepth bounds the nesting of what is passed over. The deepest documents that
// a store keeps are DynamoDB's: 32 levels, each two levels of JSON.
const maxDepth = 128

// ErrCut is the error where Data ends too early.
var ErrCut = errors.New("it ends too early")

// Scanner is a place in JSON text. The functions read what stands there, blanks
// in front of it passed over, and step behind it. After an error nothing more
// may be read. Set the place with Reset; a fast path of a decoder's own may read
// Data and move Pos itself.
type Scanner struct {
	Data []byte
	Pos  int

	broken  bool   // half a surrogate pair was in the last string
	arena   []byte // unescaped strings
	scratch []byte // an unescaped name
}

// Reset begins at data's front. What was read before is no longer valid.
func (s *Scanner) Reset(data []byte) { s.Data, s.Pos, s.arena = data, 0, s.arena[:0] }

// Release drops what s refers to, and memory of more than maxKept bytes.
func (s *Scanner) Release(maxKept int) {
	s.Data = nil
	if cap(s.arena) > maxKept {
		s.arena = nil
	}
}

// Wrong returns the error that says where s stands and that it is not at want.
func (s *Scanner) Wrong(want string) error {
	if s.Pos >= len(s.Data) {
		return ErrCut
	}
	return fmt.Errorf("at byte %d: want %s, got %q", s.Pos, want, s.Data[s.Pos])
}

// Blank reports whether c is one of JSON's blanks.
func Blank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// Space passes over blanks.
func (s *Scanner) Space() {
	for s.Pos < len(s.Data) && Blank(s.Data[s.Pos]) {
		s.Pos++
	}
}

// Is reports whether c stands next, and steps behind it if so.
func (s *Scanner) Is(c byte) bool {
	s.Space()
	if s.Pos >= len(s.Data) || s.Data[s.Pos] != c {
		return false
	}
	s.Pos++
	return true
}

// Token reads c.
func (s *Scanner) Token(c byte) error {
	if !s.Is(c) {
		return s.Wrong(fmt.Sprintf("%q", c))
	}
	return nil
}

// End checks that nothing but blanks follows.
func (s *Scanner) End() error {
	if s.Space(); s.Pos < len(s.Data) {
		return s.Wrong("nothing more")
	}
	return nil
}

// Name reads a member's name and the colon behind it. It is valid until the next
// call.
func (s *Scanner) Name() ([]byte, error) {
	arena := s.arena
	s.arena = s.scratch[:0]
	name, err := s.Text()
	s.scratch, s.arena = s.arena, arena
	if err != nil {
		return nil, err
	}
	return name, s.Token(':')
}

// Text reads a string, which must be valid UTF-8. It is valid until Reset. Where
// an escape is half a surrogate pair, U+FFFD stands for it, as in encoding/json,
// and Broken tells.
func (s *Scanner) Text() ([]byte, error) {
	s.broken = false
	if err := s.Token('"'); err != nil {
		return nil, err
	}
	from := s.Pos
	ascii := true
	for i := from; i < len(s.Data); i++ {
		switch c := s.Data[i]; {
		case c == '"':
			s.Pos = i + 1
			text := s.Data[from:i:i]
			if !ascii && !utf8.Valid(text) {
				return nil, fmt.Errorf("at byte %d: a string is not valid UTF-8", from)
			}
			return text, nil
		case c == '\\':
			s.Pos = i
			return s.escaped(from)
		case c < ' ':
			s.Pos = i
			return nil, s.Wrong("no control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, ErrCut
}

// Broken reports whether Text, called last, met an escape that is half a
// surrogate pair. JSON can write such a string, and no text can hold it.
func (s *Scanner) Broken() bool { return s.broken }

// escaped reads a string that begins at from and has its first escape at Pos.
func (s *Scanner) escaped(from int) ([]byte, error) {
	start := len(s.arena)
	s.arena = append(s.arena, s.Data[from:s.Pos]...)
	for s.Pos < len(s.Data) {
		c := s.Data[s.Pos]
		switch {
		case c == '"':
			s.Pos++
			text := s.arena[start:len(s.arena):len(s.arena)]
			if !utf8.Valid(text) {
				return nil, fmt.Errorf("at byte %d: a string is not valid UTF-8", from)
			}
			return text, nil
		case c < ' ':
			return nil, s.Wrong("no control character in a string")
		case c != '\\':
			s.arena = append(s.arena, c)
			s.Pos++
			continue
		}
		s.Pos++
		if s.Pos >= len(s.Data) {
			return nil, ErrCut
		}
		c = s.Data[s.Pos]
		if at := strings.IndexByte(`"\/bfnrt`, c); at >= 0 {
			s.arena = append(s.arena, "\"\\/\b\f\n\r\t"[at])
			s.Pos++
			continue
		}
		if c != 'u' {
			return nil, s.Wrong("an escape")
		}
		s.Pos++
		r, err := s.hex()
		if err != nil {
			return nil, err
		}
		half := utf16.IsSurrogate(r)
		if half {
			high := r
			r = utf8.RuneError
			if s.Pos+6 <= len(s.Data) && s.Data[s.Pos] == '\\' && s.Data[s.Pos+1] == 'u' {
				back := s.Pos
				s.Pos += 2
				low, err := s.hex()
				if err != nil {
					return nil, err
				}
				if r = utf16.DecodeRune(high, low); r == utf8.RuneError {
					s.Pos = back
				} else {
					half = false
				}
			}
		}
		s.broken = s.broken || half
		s.arena = utf8.AppendRune(s.arena, r)
	}
	return nil, ErrCut
}

// hex reads the four digits of an escape.
func (s *Scanner) hex() (rune, error) {
	var r rune
	for range 4 {
		if s.Pos >= len(s.Data) {
			return 0, ErrCut
		}
		switch c := s.Data[s.Pos]; {
		case c-'0' <= 9:
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, s.Wrong("a hexadecimal digit")
		}
		s.Pos++
	}
	return r, nil
}

// Boolean reads true or false.
func (s *Scanner) Boolean() (bool, error) {
	s.Space()
	switch {
	case s.word("true"):
		return true, nil
	case s.word("false"):
		return false, nil
	}
	return false, s.Wrong("true or false")
}

// Null reports whether null stands next, and steps behind it if so.
func (s *Scanner) Null() bool {
	s.Space()
	return s.word("null")
}

func (s *Scanner) word(w string) bool {
	if len(s.Data)-s.Pos < len(w) || string(s.Data[s.Pos:s.Pos+len(w)]) != w {
		return false
	}
	s.Pos += len(w)
	return true
}

// Whole reads a count, a number of digits alone.
func (s *Scanner) Whole() (int, error) {
	s.Space()
	from, n := s.Pos, 0
	for ; s.Pos < len(s.Data) && s.Data[s.Pos]-'0' <= 9; s.Pos++ {
		if n = n*10 + int(s.Data[s.Pos]-'0'); n > math.MaxInt32 {
			return 0, fmt.Errorf("at byte %d: a count is too large", from)
		}
	}
	if s.Pos == from || s.Pos > from+1 && s.Data[from] == '0' {
		return 0, s.Wrong("a count")
	}
	return n, nil
}

// Number reads a number and returns its digits.
func (s *Scanner) Number() ([]byte, error) {
	s.Space()
	from := s.Pos
	for s.Pos < len(s.Data) && strings.IndexByte("+-.0123456789Ee", s.Data[s.Pos]) >= 0 {
		s.Pos++
	}
	digits := s.Data[from:s.Pos:s.Pos]
	if !hotreader.IsNumber(digits) {
		if s.Pos >= len(s.Data) {
			return nil, ErrCut
		}
		return nil, fmt.Errorf("at byte %d: want a value", from)
	}
	return digits, nil
}

// Skip passes over any value, checked to be JSON.
func (s *Scanner) Skip() error { return s.skip(0) }

func (s *Scanner) skip(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("at byte %d: it is nested deeper than %d levels", s.Pos, maxDepth)
	}
	s.Space()
	if s.Pos >= len(s.Data) {
		return ErrCut
	}
	c := s.Data[s.Pos]
	switch c {
	case '"':
		mark := len(s.arena)
		_, err := s.Text()
		s.arena = s.arena[:mark]
		return err
	case 't', 'f', 'n':
		if s.word("true") || s.word("false") || s.word("null") {
			return nil
		}
		return s.Wrong("a value")
	case '{', '[':
	default:
		_, err := s.Number()
		return err
	}
	s.Pos++
	closing := c + 2 // in ASCII, for both
	if s.Is(closing) {
		return nil
	}
	for {
		if c == '{' {
			if _, err := s.Name(); err != nil {
				return err
			}
		}
		if err := s.skip(depth + 1); err != nil {
			return err
		}
		if s.Is(closing) {
			return nil
		}
		if err := s.Token(','); err != nil {
			return err
		}
	}
}

// PlainNumber returns the index behind a number without an exponent that begins
// at data[i], 0 if there is none. What follows is for the caller to look at: an
// exponent may, or nothing.
func PlainNumber(data []byte, i int) int {
	if i < len(data) && data[i] == '-' {
		i++
	}
	first := i
	for i < len(data) && data[i]-'0' <= 9 {
		i++
	}
	if i == first || data[first] == '0' && i > first+1 {
		return 0
	}
	if i == len(data) || data[i] != '.' {
		return i
	}
	i++
	point := i
	for i < len(data) && data[i]-'0' <= 9 {
		i++
	}
	if i == point {
		return 0
	}
	return i
}

// PlainString returns the index of the closing quote of a string that begins at
// data[i], behind its opening quote, and is printable ASCII without escapes, 0
// if it is not.
func PlainString(data []byte, i int) int {
	for i < len(data) && plain[data[i]] {
		i++
	}
	if i < len(data) && data[i] == '"' {
		return i
	}
	return 0
}

// plain says which bytes of a string are themselves: printable ASCII.
var plain = func() (is [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()
