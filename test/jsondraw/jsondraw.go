// Package jsondraw spells JSON in all the ways that it may be spelled, for tests
// of what reads it.
package jsondraw

import (
	"fmt"
	"regexp"
	"slices"
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
	drawn := slices.Clone(parts)
	for i := range drawn {
		drawn[i] = s.Blank() + drawn[i] + s.Blank()
	}
	return opening + s.Blank() + strings.Join(drawn, ",") + closing
}

// Member spells a member of an object.
func (s *Spelling) Member(name, value string) string {
	return s.Quote(name) + s.Blank() + ":" + s.Blank() + value
}

// HalfPair reports whether an escape of body may be half a surrogate pair, which
// encoding/json reads as U+FFFD.
func HalfPair(body []byte) bool { return surrogate.Match(surrogatePair.ReplaceAll(body, nil)) }

var (
	surrogate     = regexp.MustCompile(`(?i)\\ud[89a-f]`)
	surrogatePair = regexp.MustCompile(`(?i)\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}`)
)

// Items spells up to five objects, each with some of the members names, whose
// values value spells; in one order, or each in its own.
func (s *Spelling) Items(names []string, value func(name string) string) []string {
	items := make([]string, rapid.IntRange(0, 5).Draw(s.t, "items"))
	alike := rapid.Bool().Draw(s.t, "alike")
	order := names
	if rapid.Bool().Draw(s.t, "shuffled") {
		order = rapid.Permutation(names).Draw(s.t, "order")
	}
	for i := range items {
		if !alike {
			order = rapid.Permutation(names).Draw(s.t, "order")
		}
		var parts []string
		for _, name := range order[:rapid.IntRange(0, len(order)).Draw(s.t, "some")] {
			parts = append(parts, s.Member(name, value(name)))
		}
		items[i] = s.Join("{", parts, "}")
	}
	return items
}
