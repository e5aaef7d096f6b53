// Package cell reads what people write into the cells of a table: numbers with
// decimal commas and thousands' points, and the words for a value that is missing.
package cell

import (
	"slices"
	"strings"
	"unicode/utf8"

	"hotreader"
	"hotreader/codec/plain"
)

// Style is how a file writes its numbers and missing values. The zero value is ready.
type Style struct {
	Decimal   rune     // 0 = a point
	Thousands rune     // 0 = none; a blank means every kind of blank
	Missing   []string // words for a missing value, beside those that are known
	Units     []string // texts beside a number that do not count, as °C
}

// Number appends the number that text spells, in JSON's grammar and with its digits,
// and reports whether it is one.
func (s *Style) Number(dst []byte, text string) ([]byte, bool) {
	n := len(dst)
	text = s.withoutUnit(text)
	if s.Thousands == 0 && (s.Decimal == 0 || s.Decimal == '.') {
		if dst = append(dst, text...); hotreader.IsNumber(dst[n:]) {
			return dst, true
		}
		dst = dst[:n]
	}
	switch {
	case strings.HasPrefix(text, "-"):
		dst, text = append(dst, '-'), text[1:]
	case strings.HasPrefix(text, "\u2212"):
		dst, text = append(dst, '-'), text[len("\u2212"):]
	case strings.HasPrefix(text, "+"):
		text = text[1:]
	}
	mantissa, exponent := text, ""
	if i := strings.IndexAny(text, "eE"); i > 0 {
		mantissa, exponent = text[:i], text[i:]
	}
	mark := "."
	if s.Decimal != 0 {
		mark = string(s.Decimal)
	}
	whole, fraction, broken := strings.Cut(mantissa, mark)
	whole, ok := s.ungroup(whole)
	if !ok || strings.Trim(whole+fraction, "0123456789") != "" || whole+fraction == "" {
		return dst[:n], false
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	dst = append(dst, whole...)
	if broken && fraction != "" {
		dst = append(append(dst, '.'), fraction...)
	}
	if dst = append(dst, exponent...); !hotreader.IsNumber(dst[n:]) {
		return dst[:n], false
	}
	return dst, true
}

// Marks that people do not distinguish.
const (
	blanks      = " \u00a0\u202f\u2009"
	apostrophes = "'\u2019"
)

func alike(marks string, a, b rune) bool {
	return strings.ContainsRune(marks, a) && strings.ContainsRune(marks, b)
}

// groups reports whether r separates thousands.
func (s *Style) groups(r rune) bool {
	return r == s.Thousands || alike(blanks, r, s.Thousands) || alike(apostrophes, r, s.Thousands)
}

// withoutUnit takes a unit away from beside a number.
func (s *Style) withoutUnit(text string) string {
	for _, unit := range s.Units {
		if rest, ok := strings.CutSuffix(text, unit); ok {
			return strings.TrimRight(rest, blanks)
		}
		if rest, ok := strings.CutPrefix(text, unit); ok {
			return strings.TrimLeft(rest, blanks)
		}
	}
	return text
}

// Bare returns text without the style's units and marks between thousands, but with
// points and commas.
func (s *Style) Bare(text string) string {
	return strings.Map(func(r rune) rune {
		if s.groups(r) && r != '.' && r != ',' {
			return -1
		}
		return r
	}, s.withoutUnit(strings.TrimSpace(text)))
}

// ungroup takes the marks between thousands away; each group but the first must have
// three digits.
func (s *Style) ungroup(whole string) (string, bool) {
	if s.Thousands == 0 {
		return whole, true
	}
	if !strings.ContainsFunc(whole, s.groups) {
		return whole, true
	}
	joined, first := "", true
	for whole != "" {
		group, size := whole, 0
		if i := strings.IndexFunc(whole, s.groups); i >= 0 {
			_, size = utf8.DecodeRuneInString(whole[i:])
			group = whole[:i]
		}
		if len(group) != 3 && (!first || len(group) == 0 || len(group) > 3) || len(group)+size == len(whole) && size > 0 {
			return "", false
		}
		joined, whole, first = joined+group, whole[len(group)+size:], false
	}
	return joined, true
}

// never are words that are no value in any column; soft are words that are one in a
// column of texts.
var (
	never = []string{"nan", "null", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity", "-nan", "+nan", `\n`, "#n/a", "#na", "#value!", "#div/0!", "#ref!", "#num!", "#name?", "#null!", "<na>", "nat", "-1.#ind", "1.#qnan", "1.#inf", "-1.#inf"}
	soft  = []string{"-", "--", "---", "\u2013", "\u2014", "na", "n/a", "n.a.", "n.a", "n/d", "none", "nil", "missing", "?", ".", "..", "...", "*", "nodata", "no data"}
)

// IsMissing reports whether text says that there is no value. texts: its column is one
// of texts.
func (s *Style) IsMissing(text string, texts bool) bool {
	for _, word := range s.Missing {
		if text == word || s.same(text, word) {
			return true
		}
	}
	if len(text) > len("+infinity") {
		return false
	}
	lower := strings.ToLower(text)
	return slices.Contains(never, lower) || !texts && slices.Contains(soft, lower)
}

// same reports whether both are one number, as -999 and -999.0.
func (s *Style) same(text, word string) bool {
	if word == "" || word[0] != '-' && (word[0] < '0' || word[0] > '9') {
		return false
	}
	a, ok := s.Number(nil, text)
	if !ok {
		return false
	}
	var told Style
	b, ok := told.Number(nil, word)
	if !ok {
		b, ok = s.Number(nil, word)
	}
	return ok && hotreader.CompareNumbers(a, b) == 0
}

// booleans are true and false, as the spreadsheets of several languages write them.
var booleans = map[string]bool{"true": true, "wahr": true, "vrai": true, "verdadero": true, "vero": true, "waar": true,
	"false": false, "falsch": false, "faux": false, "falso": false, "onwaar": false}

// Boolean returns the boolean that text spells, and whether it is one.
func Boolean(text string) (value, ok bool) {
	if len(text) > len("verdadero") {
		return false, false
	}
	value, ok = booleans[strings.ToLower(text)]
	return value, ok
}

// Commas counts how cells write numbers, to find out what their marks mean.
type Commas struct {
	Decimal   int // only if a comma is the decimal mark, as 1,5
	Grouped   int // as 1.234,5 or 1.234.567: and a point is the thousands' mark
	Thousands int // only if a comma is the thousands' mark, as 1,234.5 or 1,234,567
	Either    int // 1,234
	Point     int // 1.5 or 1.2345, which is not grouped
	Small     int // 0.234, or 1.234e5: nobody groups so

	Unsure string // the first like 1.234, which may be grouped
}

// Add counts a cell.
func (c *Commas) Add(text string) {
	text = strings.TrimSpace(text)
	bare := strings.TrimLeft(text, "+-\u2212")
	if len(bare) == 0 || len(bare) > 40 || strings.Trim(bare, "0123456789.,eE+-") != "" {
		return
	}
	read := func(decimal, thousands rune) bool {
		s := Style{Decimal: decimal, Thousands: thousands}
		_, ok := s.Number(nil, text)
		return ok
	}
	comma, point := strings.Contains(bare, ","), strings.Contains(bare, ".")
	switch {
	case comma && point:
		if read(',', '.') {
			c.Grouped++
		} else if read('.', ',') {
			c.Thousands++
		}
	case comma:
		decimal, thousands := read(',', 0), read('.', ',')
		switch {
		case decimal && thousands:
			c.Either++
		case decimal:
			c.Decimal++
		case thousands:
			c.Thousands++
		}
	case point && !read('.', 0) && read(',', '.'): // 1.234.567
		c.Grouped++
	case point && read('.', 0) && !read(',', '.'):
		c.Point++
	case point && (bare[0] == '0' || strings.ContainsAny(bare, "eE")):
		c.Small++
	case point && c.Unsure == "":
		c.Unsure = text
	}
}

// Open reports whether no cell shows what a point means.
func (c *Commas) Open() bool {
	return c.Decimal+c.Grouped+c.Thousands+c.Either+c.Point+c.Small == 0
}

// Marks returns the decimal and thousands' mark of the cells that were added, 0 where
// they do not show it.
func (c *Commas) Marks() (decimal, thousands rune) {
	switch {
	case c.Decimal+c.Grouped > 0 && c.Thousands+c.Point == 0:
		if c.Grouped > 0 {
			thousands = '.'
		}
		return ',', thousands
	case c.Thousands > 0 && c.Decimal+c.Grouped == 0:
		return '.', ','
	}
	return 0, 0
}

// Unguard takes away what our own CSV sets before a text that a spreadsheet would run.
func Unguard(text string) string { return plain.Unguard(text) }
