package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// terminalWidth returns the columns of w if it is a terminal, else 0.
func terminalWidth(w io.Writer) int {
	if out, ok := w.(*watched); ok {
		w = out.w
	}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}

// watched remembers that a write failed, for those who do not look.
type watched struct {
	w   io.Writer
	err error
}

func (o *watched) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// paint colours text, or does not.
type paint bool

// newPaint returns the paint for w: colours only for a terminal that wants them
// (https://no-color.org).
func newPaint(w io.Writer) paint {
	return paint(terminalWidth(w) > 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

func (p paint) in(code, text string) string {
	if !p || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p paint) good(text string) string { return p.in("32", text) }
func (p paint) bad(text string) string  { return p.in("31", text) }
func (p paint) dim(text string) string  { return p.in("2", text) }
func (p paint) bold(text string) string { return p.in("1", text) }
func (p paint) line(text string) string { return p.in("36", text) }

// printable makes control characters visible, so that stored or sent text
// cannot command the terminal.
func printable(text string) string {
	clean := true
	for _, r := range text {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			clean = false
			break
		}
	}
	if clean {
		return text
	}
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

// visible is printable for a stream, but for its line ends and tabs.
type visible struct {
	w    io.Writer
	rest []byte // the beginning of a character
	out  []byte
}

func (v *visible) Write(p []byte) (int, error) {
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
	if _, err := v.w.Write(v.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// progress is a line on a terminal that changes as work goes on, and nothing
// elsewhere.
type progress struct {
	w     io.Writer
	width int // 0 = off
	shown bool
	next  time.Time
}

func newProgress(w io.Writer) *progress { return &progress{w: w, width: terminalWidth(w)} }

// show puts a text in the line, at most ten times a second.
func (p *progress) show(format string, args ...any) {
	if p.width == 0 {
		return
	}
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(100 * time.Millisecond)
	p.put(fmt.Sprintf(format, args...))
}

func (p *progress) put(text string) {
	if p.width == 0 {
		return
	}
	if utf8.RuneCountInString(text) >= p.width {
		text = string([]rune(text)[:p.width-1])
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", text)
	p.shown = true
}

// clear removes the line, so that other text may follow.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// count writes n with its thousands apart.
func count[N int | int64](n N) string {
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

// size writes a number of bytes as people do.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// took writes a duration with the digits that matter.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// plural writes a count and its noun.
func plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}
