package main

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"
)

// table writes aligned columns. It holds the first rows back to find the
// widths, then writes each at once, so a table of any length needs no memory.
type table struct {
	w      *bufio.Writer
	paint  paint
	head   []string
	right  []bool // column is aligned to the right
	widths []int
	held   [][]cell // nil once the widths stand
	begun  bool
}

// cell is a text and how it is to be painted; nil = plainly.
type cell struct {
	text string
	look func(string) string
}

const tableSample = 100

func newTable(w io.Writer, p paint, head ...string) *table {
	t := &table{w: bufio.NewWriter(w), paint: p, head: head, right: make([]bool, len(head)), widths: make([]int, len(head))}
	for i, h := range head {
		t.widths[i] = utf8.RuneCountInString(h)
	}
	return t
}

// row writes one row; it keeps no reference to cells.
func (t *table) row(cells ...cell) {
	if t.begun {
		t.write(cells)
		return
	}
	for i, c := range cells {
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c.text))
	}
	t.held = append(t.held, append([]cell(nil), cells...))
	if len(t.held) == tableSample {
		t.begin()
	}
}

func (t *table) begin() {
	t.begun = true
	head := make([]cell, len(t.head))
	for i, h := range t.head {
		head[i] = cell{h, t.paint.bold}
	}
	t.write(head)
	for _, r := range t.held {
		t.write(r)
	}
	t.held = nil
}

func (t *table) write(cells []cell) {
	for len(cells) > 0 && cells[len(cells)-1].text == "" {
		cells = cells[:len(cells)-1]
	}
	for i, c := range cells {
		if i > 0 {
			_, _ = t.w.WriteString("  ") // the writer keeps its error for end
		}
		text := c.text
		if c.look != nil {
			text = c.look(text)
		}
		blanks := strings.Repeat(" ", max(0, t.widths[i]-utf8.RuneCountInString(c.text)))
		switch {
		case t.right[i]:
			text = blanks + text
		case i < len(cells)-1:
			text += blanks
		}
		_, _ = t.w.WriteString(text)
	}
	_ = t.w.WriteByte('\n')
}

// end writes what is held back. A table without rows is its head alone.
func (t *table) end() error {
	if !t.begun {
		t.begin()
	}
	return t.w.Flush()
}
