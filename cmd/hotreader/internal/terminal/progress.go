package terminal

import (
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

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

// Clear removes the line, so that other text may follow.
func (p *Progress) Clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
