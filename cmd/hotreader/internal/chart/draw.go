package chart

import (
	"bufio"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hotreader/cmd/hotreader/internal/terminal"
)

// End draws all series, one below the other.
func (c *Chart) End() error {
	w := bufio.NewWriter(c.w)
	drawn := 0
	for p, name := range c.properties {
		s := &c.all[p]
		if s.n == 0 {
			continue
		}
		if drawn > 0 {
			fmt.Fprintln(w)
		}
		drawn++
		if 2*s.numbers > s.n { // words among numbers are not drawn
			c.curve(w, p, name, s)
		} else {
			c.strip(w, p, name, s)
		}
	}
	return w.Flush()
}

const labelWidth = 10 // columns left of the axis

func (c *Chart) title(w *bufio.Writer, name, rest string) {
	name = clip(terminal.Printable(name), c.columns())
	rest = clip(rest, c.columns()-utf8.RuneCountInString(name)-1)
	fmt.Fprintf(w, "%*s  %s  %s\n", labelWidth, "", c.paint.Bold(name), c.paint.Dim(rest))
}

// columns returns how wide the drawing is.
func (c *Chart) columns() int { return c.width - labelWidth - 3 }

// dots spreads a property's bins over n columns of equal time.
func (c *Chart) dots(p, n int) []slot {
	out := make([]slot, n)
	from, to := c.first.UnixMicro(), c.last.UnixMicro()
	for i, b := range c.bins {
		if b == nil || b[p].n == 0 {
			continue
		}
		at := max(0, c.origin+int64(i)*c.span-from)
		x := 0
		if to > from {
			x = int(float64(at) / float64(to-from) * float64(n))
		}
		out[min(x, n-1)].join(b[p])
	}
	return out
}

// filled returns how many bins have a value of a property. Unlike the number of rows it
// is the same for all rows and for those of Pick.
func (c *Chart) filled(p int) (n int) {
	for _, b := range c.bins {
		if b != nil && b[p].n > 0 {
			n++
		}
	}
	return n
}

// A canvas is lines of Braille cells, each two dots wide and four high.
type canvas [][]rune

func newCanvas(columns, lines int) canvas {
	cells := make(canvas, lines)
	for i := range cells {
		cells[i] = make([]rune, columns)
	}
	return cells
}

// brailleBits are the dots of a cell, by column and line (Unicode, block 2800).
var brailleBits = [2][4]rune{{1, 2, 4, 64}, {8, 16, 32, 128}}

// mark sets the dots of a column from one line to another.
func (v canvas) mark(x, from, to int) {
	for y := min(from, to); y <= max(from, to); y++ {
		v[y/4][x/2] |= brailleBits[x%2][y%4]
	}
}

func (v canvas) line(i int) string {
	text := []rune(strings.Repeat(" ", len(v[i])))
	for x, r := range v[i] {
		if r != 0 {
			text[x] = 0x2800 | r
		}
	}
	return strings.TrimRight(string(text), " ")
}

// curve draws numbers.
func (c *Chart) curve(w *bufio.Writer, p int, name string, s *series) {
	lines := c.height
	low, high := s.min, s.max
	if high == low {
		pad := math.Max(math.Abs(low)*0.01, 0.5)
		low, high = low-pad, high+pad
	}
	last := terminal.Printable(s.last)
	if f, err := strconv.ParseFloat(last, 64); err == nil { // in the digits of min and max
		last = short(f)
	}
	c.title(w, name, fmt.Sprintf("min %s  max %s  last %s  %s", short(s.min), short(s.max), last, c.days()))
	cells := newCanvas(c.columns(), lines)
	cells.plot(c.dots(p, 2*c.columns()), c.filled(p), func(f float64) int {
		return min(4*lines-1, max(0, int(math.Round((high-f)/(high-low)*float64(4*lines-1)))))
	})
	for i := range cells {
		label, tick := "", "│"
		switch {
		case i == 0:
			label, tick = short(high), "┤"
		case i == lines-1:
			label, tick = short(low), "┤"
		case i == (lines-1)/2 && lines >= 5:
			label, tick = rough(high-(high-low)*(float64(i)+0.5)/float64(lines), high-low), "┤"
		}
		fmt.Fprintf(w, "%s%s%s\n", c.paint.Dim(fmt.Sprintf("%*s ", labelWidth, label)), c.paint.Dim(tick), c.paint.Line(cells.line(i)))
	}
	c.axis(w)
}

// plot draws the dots of n bins, each from its least to its greatest value, and
// joins neighbours, and rows that are merely sparse; longer gaps stay open.
func (v canvas) plot(dots []slot, n int, level func(float64) int) {
	before := -1
	for x, d := range dots {
		if d.n == 0 || d.min > d.max {
			continue
		}
		v.mark(x, level(d.min), level(d.max))
		if gap := x - before; before >= 0 && (gap == 1 || gap <= max(4, 4*len(dots)/max(1, n))) {
			from, to := level(dots[before].out), level(d.in)
			for i := 1; i <= gap; i++ {
				v.mark(before+i, from+(to-from)*(i-1)/gap, from+(to-from)*i/gap)
			}
		}
		before = x
	}
}

// axis writes the line of time below a drawing, with ticks at round times.
func (c *Chart) axis(w *bufio.Writer) {
	columns := c.columns()
	line := []rune(strings.Repeat("─", columns))
	labels := []rune(strings.Repeat(" ", columns))
	micros := c.last.UnixMicro() - c.first.UnixMicro()
	step, layout := ticks(c.last.Sub(c.first), columns/16)
	free := 0 // the first column that no label has taken
	for at := c.first.Truncate(step); !at.After(c.last); at = at.Add(step) {
		if at.Before(c.first) {
			continue
		}
		x := 0
		if micros > 0 {
			x = int(float64(at.UnixMicro()-c.first.UnixMicro()) / float64(micros) * float64(columns-1))
		}
		line[x] = '┬'
		text := []rune(at.Format(layout))
		from := max(0, min(x-len(text)/2, columns-len(text)))
		if from < free || len(text) > columns {
			continue
		}
		copy(labels[from:], text)
		free = from + len(text) + 2
	}
	fmt.Fprintln(w, c.paint.Dim(fmt.Sprintf("%*s └%s", labelWidth, "", string(line))))
	fmt.Fprintln(w, c.paint.Dim(strings.TrimRight(fmt.Sprintf("%*s  %s", labelWidth, "", string(labels)), " ")))
}

// ticks returns the least round step that makes at most n+1 ticks of span, and
// how their times are written.
func ticks(span time.Duration, n int) (step time.Duration, layout string) {
	const day = 24 * time.Hour
	steps := []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond,
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
		day, 2 * day, 7 * day, 14 * day, 30 * day, 90 * day, 365 * day}
	n = max(n, 1)
	for _, step = range steps {
		if span/step <= time.Duration(n) {
			break
		}
	}
	for span/step > time.Duration(n) {
		step *= 2
	}
	switch {
	case step >= day:
		layout = "2006-01-02"
	case span > 20*time.Hour:
		layout = "Jan 2 15:04"
	case step >= time.Minute:
		layout = "15:04"
	case step >= time.Second:
		layout = "15:04:05"
	default:
		layout = "15:04:05.000"
	}
	return step, layout
}

// clip shortens text to n characters.
func clip(text string, n int) string {
	switch {
	case utf8.RuneCountInString(text) <= n:
		return text
	case n < 1:
		return ""
	}
	return string([]rune(text)[:n-1]) + "…"
}

// days says which days a chart shows, unless its axis does.
func (c *Chart) days() string {
	if c.last.Sub(c.first) > 20*time.Hour {
		return "UTC"
	}
	first, last := c.first.Format(time.DateOnly), c.last.Format(time.DateOnly)
	if first == last {
		return first + " UTC"
	}
	return first + " to " + last + " UTC"
}

// strip draws texts and booleans: one line for each different one, filled while
// it holds.
func (c *Chart) strip(w *bufio.Writer, p int, name string, s *series) {
	columns := c.columns()
	rest := fmt.Sprintf("last %s  %s", terminal.Printable(s.last), c.days())
	if len(s.words) == mostWords {
		rest += fmt.Sprintf("  (the first %d different values)", mostWords)
	}
	c.title(w, name, rest)
	dots := c.dots(p, columns)
	word := ""
	for i := range dots { // what held last goes on holding
		if dots[i].n == 0 {
			dots[i].word = word
		}
		word = dots[i].word
	}
	for n, value := range s.words {
		label := clip(terminal.Printable(value), labelWidth)
		var text strings.Builder
		for _, d := range dots {
			if d.words&(1<<n) != 0 || d.n == 0 && d.word == value {
				text.WriteRune('█')
			} else {
				text.WriteByte(' ')
			}
		}
		fmt.Fprintf(w, "%s%s\n", c.paint.Dim(fmt.Sprintf("%*s ┤", labelWidth, label)), c.paint.Line(strings.TrimRight(text.String(), " ")))
	}
	c.axis(w)
}

// rough writes a number with two digits more than distinguish it from
// another that is a range away.
func rough(f, of float64) string {
	places := 1 - int(math.Floor(math.Log10(of)))
	if places < 0 || places > 6 {
		return short(f)
	}
	return strconv.FormatFloat(f, 'f', places, 64)
}

// short writes a number in at most nine characters.
func short(f float64) string {
	for _, digits := range []int{5, 4, 3} {
		if text := strconv.FormatFloat(f, 'g', digits, 64); len(text) <= 9 {
			return text
		}
	}
	return strconv.FormatFloat(f, 'g', 2, 64)
}
