// Package jsontext reads and writes JSON without allocating: the answers of
// stores, which are hostile input, a request's envelope, and rows. encoding/json
// allocates for each value, and turns broken UTF-8 into U+FFFD without a word.
package jsontext

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of what is passed over. The deepest documents that
// a store keeps are DynamoDB's: 32 levels, each two levels of JSON.
const maxDepth = 128

// errCut is the error where Data ends too early.
var errCut = errors.New("it ends too early")

// Scanner is a place in JSON text. The methods pass over blanks, read what
// follows, and step over it. After an error nothing more may be read. Set the
// place with Reset; a fast path of a decoder's own may read Data and move Pos
// itself.
type Scanner struct {
	Data []byte
	Pos  int

	broken  bool   // half a surrogate pair was in the last string
	arena   []byte // strings that are not spelled as they read
	scratch []byte // such a name
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

// Wrong returns the error that says where s is and that it is not at want.
func (s *Scanner) Wrong(want string) error {
	if s.Pos >= len(s.Data) {
		return errCut
	}
	return fmt.Errorf("at byte %d: expected %s, got %q", s.Pos, want, s.Data[s.Pos])
}

// blank reports whether c is one of JSON's blanks.
func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// Space passes over blanks.
func (s *Scanner) Space() {
	for s.Pos < len(s.Data) && blank(s.Data[s.Pos]) {
		s.Pos++
	}
}

// Is reports whether c is next, and steps over it if so.
func (s *Scanner) Is(c byte) bool {
	for ; s.Pos < len(s.Data); s.Pos++ {
		if s.Data[s.Pos] == c {
			s.Pos++
			return true
		}
		if !blank(s.Data[s.Pos]) {
			break
		}
	}
	return false
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

// Name reads a member's name and the colon after it. It is valid until the next
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

// Member goes to the next member of an object, of which the brace is read, and reads its
// name. more is false at the object's end. first says that none was read yet.
func (s *Scanner) Member(first bool) (name []byte, more bool, err error) {
	if s.Is('}') {
		return nil, false, nil
	}
	if !first {
		if err := s.Token(','); err != nil {
			return nil, false, err
		}
	}
	name, err = s.Name()
	return name, err == nil, err
}

// Text reads a string, which must be valid UTF-8. It is valid until Reset. Where
// an escape is half a surrogate pair, U+FFFD replaces it, as in encoding/json,
// and Broken reports it.
func (s *Scanner) Text() ([]byte, error) {
	s.broken = false
	if err := s.Token('"'); err != nil {
		return nil, err
	}
	from, start := s.Pos, len(s.arena)
	if end := PlainString(s.Data, from); end > 0 {
		s.Pos = end + 1
		return s.Data[from:end:end], nil
	}
	for s.Pos < len(s.Data) {
		c := s.Data[s.Pos]
		if c < ' ' {
			return nil, s.Wrong("no control character in a string")
		}
		s.Pos++
		switch c {
		case '"':
			text := s.arena[start:len(s.arena):len(s.arena)]
			if !utf8.Valid(text) {
				return nil, fmt.Errorf("at byte %d: a string is not valid UTF-8", from)
			}
			return text, nil
		case '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		default:
			s.arena = append(s.arena, c)
		}
	}
	return nil, errCut
}

// Broken reports whether Text, called last, met an escape that is half a
// surrogate pair. JSON can write such a string, and no text can hold it.
func (s *Scanner) Broken() bool { return s.broken }

// escape reads what follows a backslash and keeps what it means.
func (s *Scanner) escape() error {
	if s.Pos >= len(s.Data) {
		return errCut
	}
	if at := strings.IndexByte(`"\/bfnrt`, s.Data[s.Pos]); at >= 0 {
		s.arena = append(s.arena, "\"\\/\b\f\n\r\t"[at])
		s.Pos++
		return nil
	}
	r, err := s.unit()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(r) {
		high, back := r, s.Pos
		r = utf8.RuneError
		if bytes.HasPrefix(s.Data[back:], []byte(`\u`)) {
			s.Pos++
			low, err := s.unit()
			if err != nil {
				return err
			}
			if r = utf16.DecodeRune(high, low); r == utf8.RuneError {
				s.Pos = back // low is no other half: it is on its own
			}
		}
		s.broken = s.broken || r == utf8.RuneError
	}
	s.arena = utf8.AppendRune(s.arena, r)
	return nil
}

// unit reads u and four hexadecimal digits.
func (s *Scanner) unit() (rune, error) {
	const length = len("u0000")
	if s.Data[s.Pos] != 'u' {
		return 0, s.Wrong("an escape")
	}
	if len(s.Data)-s.Pos < length {
		return 0, errCut
	}
	n, err := strconv.ParseUint(string(s.Data[s.Pos+1:s.Pos+length]), 16, 16)
	if err != nil {
		return 0, s.Wrong("u and four hexadecimal digits")
	}
	s.Pos += length
	return rune(n), nil
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
	from := s.Pos
	s.Pos = digitsEnd(s.Data, from)
	digits := s.Data[from:s.Pos]
	if len(digits) == 0 || digits[0] == '0' && len(digits) > 1 {
		return 0, s.Wrong("a count")
	}
	n, err := strconv.ParseInt(string(digits), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("at byte %d: expected a count of at most %d", from, math.MaxInt32)
	}
	return int(n), nil
}

// Number reads a number and returns its digits.
func (s *Scanner) Number() ([]byte, error) {
	s.Space()
	from, end := s.Pos, NumberEnd(s.Data, s.Pos)
	if end == 0 {
		return nil, s.Wrong("a value")
	}
	s.Pos = end
	return s.Data[from:end:end], nil
}

// Skip passes over any value, checked to be JSON.
func (s *Scanner) Skip() error { return s.skip(0) }

func (s *Scanner) skip(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("at byte %d: it is nested deeper than %d levels", s.Pos, maxDepth)
	}
	s.Space()
	if s.Pos >= len(s.Data) {
		return errCut
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

// Raw reads any value, checked to be JSON, and returns it as it is written.
func (s *Scanner) Raw() ([]byte, error) {
	s.Space()
	from := s.Pos
	err := s.Skip()
	return s.Data[from:s.Pos:s.Pos], err
}

// Nesting follows a JSON text byte by byte, without checking it.
type Nesting struct {
	Depth           int  // open objects and arrays
	Quoted, escaped bool // within a string
}

// Add takes the next byte.
func (n *Nesting) Add(c byte) {
	switch {
	case n.escaped:
		n.escaped = false
	case n.Quoted && c == '\\':
		n.escaped = true
	case c == '"':
		n.Quoted = !n.Quoted
	case n.Quoted:
	case c == '{' || c == '[':
		n.Depth++
	case c == '}' || c == ']':
		n.Depth--
	}
}

// Members yields the members of an object that Raw has checked.
func Members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		s := Scanner{Data: object}
		for s.Is('{') || s.Is(',') {
			name, err := s.Name()
			if err != nil {
				return // it has no members
			}
			key := string(name)
			value, err := s.Raw()
			if err != nil || !yield(key, value) {
				return
			}
		}
	}
}

// Elements yields the elements of a list that Raw has checked.
func Elements(list []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s := Scanner{Data: list}
		for s.Is('[') || s.Is(',') {
			element, err := s.Raw()
			if err != nil || !yield(element) {
				return // it has no elements, or the caller needs no more
			}
		}
	}
}

// Unquote returns the text of a string that Raw has checked.
func Unquote(quoted []byte) string {
	s := Scanner{Data: quoted}
	text, _ := s.Text()
	return string(text)
}

// NumberEnd returns the index after a number that begins at data[i], 0 if there
// is none.
func NumberEnd(data []byte, i int) int {
	i = DecimalEnd(data, i)
	if i > 0 && i < len(data) && data[i]|0x20 == 'e' {
		if i++; i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		first := i
		if i = digitsEnd(data, first); i == first {
			return 0
		}
	}
	return i
}

// DecimalEnd is NumberEnd for a number's digits without its exponent.
func DecimalEnd(data []byte, i int) int {
	if i < len(data) && data[i] == '-' {
		i++
	}
	first := i
	if i = digitsEnd(data, first); i == first || data[first] == '0' && i > first+1 {
		return 0
	}
	if i < len(data) && data[i] == '.' {
		first = i + 1
		if i = digitsEnd(data, first); i == first {
			return 0
		}
	}
	return i
}

func digitsEnd(data []byte, i int) int {
	for i < len(data) && data[i]-'0' <= 9 {
		i++
	}
	return i
}

// PlainString returns the index of the closing quote of a string that begins at
// data[i], after its opening quote, and is printable ASCII without escapes, 0
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
