// Package shell writes words of commands that people copy into a shell.
package shell

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// bare is what a shell takes without quotes. A = in front is a program's path to zsh.
var bare = regexp.MustCompile(`^[A-Za-z0-9_.:/@%+\x{80}-\x{10ffff}-][A-Za-z0-9_.:/@%+=\x{80}-\x{10ffff}-]*$`)

// Word returns text as a shell takes it for one word, and nothing more. Characters that
// cannot be seen are escaped, as bash and zsh read them.
func Word(text string) string {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }
	switch {
	case strings.ContainsFunc(text, hidden):
	case bare.MatchString(text):
		return text
	default:
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	var b strings.Builder
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' || c == '\'' || c == '\\' {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return "$'" + b.String() + "'"
}
