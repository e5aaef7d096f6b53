package terminal

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"
)

// Table writes aligned columns. It holds the first rows back to find the
// widths, then writes each at once, so a table of any length needs no memory.
type Table struct {
	w      *bufio.Writer
	paint  Paint
	head   []string
	right  []bool
	widths []int
	held   [][]Cell // nil once the widths stand
	begun  bool
}

// Cell is a text and how it is to be painted; nil = plainly.
type Cell struct {
	Text string
	Look func(string) string
}

const tableSample = 100

// NewTable returns a table with these headings.
func NewTable(w io.Writer, p Paint, head ...string) *Table {
	t := &Table{w: bufio.NewWriter(w), paint: p, head: head, right: make([]bool, len(head)), widths: make([]int, len(head))}
	for i, h := range head {
		t.head[i] = Printable(h)
		t.widths[i] = utf8.RuneCountInString(t.head[i])
	}
	return t
}

// Right aligns columns to the right, before the first row is written.
func (t *Table) Right(columns ...int) {
	for _, i := range columns {
		t.right[i] = t.right[i] || !t.begun
	}
}

// Row writes one row; it keeps no reference to cells. What a terminal would obey is shown.
func (t *Table) Row(cells ...Cell) {
	for i := range cells {
		cells[i].Text = Printable(cells[i].Text)
	}
	if t.begun {
		t.write(cells)
		return
	}
	for i, c := range cells {
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c.Text))
	}
	t.held = append(t.held, append([]Cell(nil), cells...))
	if len(t.held) == tableSample {
		t.begin()
	}
}

// Texts writes one row of texts, unpainted.
func (t *Table) Texts(texts ...string) {
	cells := make([]Cell, len(texts))
	for i, text := range texts {
		cells[i].Text = text
	}
	t.Row(cells...)
}

func (t *Table) begin() {
	t.begun = true
	head := make([]Cell, len(t.head))
	for i, h := range t.head {
		head[i] = Cell{h, t.paint.Bold}
	}
	t.write(head)
	for _, r := range t.held {
		t.write(r)
	}
	t.held = nil
}

func (t *Table) write(cells []Cell) {
	for len(cells) > 0 && cells[len(cells)-1].Text == "" {
		cells = cells[:len(cells)-1]
	}
	for i, c := range cells {
		if i > 0 {
			_, _ = t.w.WriteString("  ") // the writer keeps its error for End
		}
		text := c.Text
		if c.Look != nil {
			text = c.Look(text)
		}
		blanks := strings.Repeat(" ", max(0, t.widths[i]-utf8.RuneCountInString(c.Text)))
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

// End writes what is held back. A table without rows is its head alone.
func (t *Table) End() error {
	if !t.begun {
		t.begin()
	}
	return t.w.Flush()
}
