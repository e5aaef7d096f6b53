// Package jsondraw spells JSON in all the ways that it may be spelled, for tests
// of what reads it.
package jsondraw

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// Spelling spells one JSON text. Mostly it is plain, as stores spell it, for a
// decoder's fast path has to be met, and left, in the middle.
type Spelling struct {
	t     *rapid.T
	plain bool
	blank *rapid.Generator[string]
}

// New draws a spelling.
func New(t *rapid.T) *Spelling {
	s := &Spelling{t: t, plain: rapid.Bool().Draw(t, "plain")}
	blanks := []string{"", "", "", "", "", "", "", "", "", " ", "\n\t"}
	if s.plain {
		blanks = []string{""}
	}
	s.blank = rapid.SampledFrom(blanks)
	return s
}

// Blank draws what may stand between two tokens.
func (s *Spelling) Blank() string { return s.blank.Draw(s.t, "blank") }

// Quote spells a string.
func (s *Spelling) Quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || !s.plain && r <= 0xffff && rapid.IntRange(0, 30).Draw(s.t, "escape") == 23:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Join spells an object or a list of parts that are spelled already.
func (s *Spelling) Join(opening string, parts []string, closing string) string {
	text := opening + s.Blank()
	for i, part := range parts {
		if i > 0 {
			text += "," + s.Blank()
		}
		text += part + s.Blank()
	}
	return text + closing
}

// Member spells a member of an object.
func (s *Spelling) Member(name, value string) string {
	return s.Quote(name) + s.Blank() + ":" + s.Blank() + value
}
