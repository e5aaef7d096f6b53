// Package terminal writes for people: colours, tables, a line of progress and
// round numbers. On anything but a terminal the text is plain.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// Is reports whether a stream is a terminal.
func Is(stream any) bool {
	if out, ok := stream.(*Output); ok {
		stream = out.W
	}
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width returns the columns of w if it is a terminal, else 0.
func Width(w io.Writer) int {
	if !Is(w) {
		return 0
	}
	if out, ok := w.(*Output); ok {
		w = out.W
	}
	if width, _, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}

// Output passes on to W, and keeps its first error for the end.
type Output struct {
	W   io.Writer
	Err error
}

func (o *Output) Write(p []byte) (int, error) {
	n, err := o.W.Write(p)
	if err != nil {
		err = fmt.Errorf("writing the answer: %w", err)
		if o.Err == nil {
			o.Err = err
		}
	}
	return n, err
}

// Paint colours text, or does not.
type Paint bool

// NewPaint returns the paint for w: colours only for a terminal that wants them
// (https://no-color.org).
func NewPaint(w io.Writer) Paint {
	return Paint(Is(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

func (p Paint) in(code, text string) string {
	if !p || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Good is green.
func (p Paint) Good(text string) string { return p.in("32", text) }

// Bad is red.
func (p Paint) Bad(text string) string { return p.in("31", text) }

// Dim is for what matters less.
func (p Paint) Dim(text string) string { return p.in("2", text) }

// Bold is for headings.
func (p Paint) Bold(text string) string { return p.in("1", text) }

// Line is for drawings.
func (p Paint) Line(text string) string { return p.in("36", text) }

// Printable makes control characters visible, so that stored or sent text
// cannot command the terminal.
func Printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) && r != utf8.RuneError {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "<%02x>", r)
		}
	}
	return b.String()
}

// Visible is Printable for a stream, but for its line ends and tabs.
type Visible struct {
	W    io.Writer
	rest []byte // the beginning of a character
	out  []byte
}

func (v *Visible) Write(p []byte) (int, error) {
	v.rest = append(v.rest, p...)
	b := v.rest
	v.out = v.out[:0]
	for len(b) > 0 && (utf8.FullRune(b) || len(b) >= utf8.UTFMax) {
		r, size := utf8.DecodeRune(b)
		switch {
		case r == '\n' || r == '\t' || unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			v.out = append(v.out, b[:size]...)
		case size == 1:
			v.out = fmt.Appendf(v.out, "<%02x>", b[0])
		default:
			v.out = fmt.Appendf(v.out, "<%02x>", r)
		}
		b = b[size:]
	}
	v.rest = append(v.rest[:0], b...)
	if _, err := v.W.Write(v.out); err != nil {
		return 0, err
	}
	return len(p), nil
}
