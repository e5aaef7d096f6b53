// Package terminal writes for people: colours, tables, a line of progress and
// round numbers. On anything but a terminal the text is plain.
package terminal

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
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
	columns, _ := size(w)
	return columns
}

// Low reports whether w is a terminal with fewer lines than that.
func Low(w io.Writer, lines int) bool {
	_, rows := size(w)
	return 0 < rows && rows < lines
}

func size(w io.Writer) (columns, rows int) {
	if !Is(w) {
		return 0, 0
	}
	if out, ok := w.(*Output); ok {
		w = out.W
	}
	if columns, rows, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && columns > 0 {
		return columns, rows
	}
	return 80, 24
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

// Input is a Reader whose reads end with a context, as those of a pipe
// or a terminal do not by themselves.
type Input struct {
	Context context.Context
	R       io.Reader
	buf     []byte // of the read that Context may have left unfinished
}

func (i *Input) Read(p []byte) (int, error) {
	if len(i.buf) < len(p) {
		i.buf = make([]byte, len(p))
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := i.R.Read(i.buf[:len(p)])
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		return copy(p, i.buf[:r.n]), r.err
	case <-i.Context.Done():
		return 0, i.Context.Err() // p is not touched any more
	}
}

// Paint colours text, or does not.
type Paint bool

// NewPaint returns the paint for w: colours only for a terminal, and not with NO_COLOR
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

// Count writes n with its thousands apart.
func Count[N int | int64](n N) string {
	digits := fmt.Sprint(n)
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Plural writes a count and its noun.
func Plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Size writes a number of bytes as people do.
func Size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// Took writes a duration with the digits that matter.
func Took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// Progress is a line on a terminal that changes as work goes on, and nothing
// elsewhere. The zero value shows nothing.
type Progress struct {
	w     io.Writer
	width int // 0 = off
	shown bool
	next  time.Time
}

// NewProgress returns the line of w.
func NewProgress(w io.Writer) *Progress { return &Progress{w: w, width: Width(w)} }

// Show puts a text in the line, at most ten times a second.
func (p *Progress) Show(format string, args ...any) {
	if p.width == 0 {
		return
	}
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(100 * time.Millisecond)
		p.Put(fmt.Sprintf(format, args...))
	}
}

// Put puts a text in the line.
func (p *Progress) Put(text string) {
	if p.width == 0 {
		return
	}
	if utf8.RuneCountInString(text) >= p.width {
		text = string([]rune(text)[:p.width-1])
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", text)
	p.shown = true
}

// Clear removes the line, if there is one, so that other text may follow.
func (p *Progress) Clear() {
	if p != nil && p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
