package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hotreader"
)

// chart draws series of rows that come one by one, in either order, in memory
// that does not grow with them. It keeps the least and the greatest value of
// each slice of time, so a spike of a single point is never averaged away.
type chart struct {
	w          io.Writer
	paint      paint
	width      int // columns of the terminal
	height     int // lines of a curve
	properties []string
	bins       []chartBin // of slices of time, the oldest first
	origin     int64      // microseconds since 1970 where bins begin
	span       int64      // microseconds of a bin; 0 before the first row
	first      time.Time
	last       time.Time
	rows       int
	series     []chartSeries
}

// chartBin is what each property did in one slice of time.
type chartBin []chartSlot

type chartSlot struct {
	n        int
	min, max float64
	in, out  float64 // first and last value by time
	inAt     int64
	outAt    int64
	word     string // a text or boolean: the last one of the slice
	words    uint16 // which of the series' words were there, by bit
}

// chartSeries is what is known of one property as a whole.
type chartSeries struct {
	n        int
	words    []string // the different texts, at most chartWords
	numeric  bool
	beyond   int // numbers that no double can hold, and no drawing show
	min, max float64
	last     string
	lastAt   int64
}

const chartWords = 12

func newChart(w io.Writer, p paint, width, height int, properties []string) *chart {
	if width <= 0 {
		width = 80
	}
	width = max(width, chartLabel+3+16)
	c := &chart{w: w, paint: p, width: width, height: max(height, 3), properties: properties, series: make([]chartSeries, len(properties))}
	c.bins = make([]chartBin, max(64, 8*width))
	return c
}

// add takes a row; it keeps no reference to its values.
func (c *chart) add(row hotreader.Row) {
	at := row.Time.UnixMicro()
	if c.rows == 0 {
		c.first, c.last = row.Time, row.Time
		c.span, c.origin = 1, at
	}
	if row.Time.Before(c.first) {
		c.first = row.Time
	}
	if row.Time.After(c.last) {
		c.last = row.Time
	}
	c.rows++
	i := c.slice(at)
	if c.bins[i] == nil {
		c.bins[i] = make(chartBin, len(c.properties))
	}
	for p := range c.properties {
		c.put(&c.bins[i][p], &c.series[p], at, row.Values[p])
	}
}

func (c *chart) put(s *chartSlot, all *chartSeries, at int64, v hotreader.Value) {
	if v.IsNull() {
		return
	}
	f, number := v.Float64()
	if !number && v.Kind() == hotreader.Number {
		all.beyond++
		return
	}
	word, bit := "", uint16(0)
	if !number {
		if word = string(v.Text()); v.Kind() == hotreader.Bool {
			word = strconv.FormatBool(v.Bool())
		}
		if !slices.Contains(all.words, word) && len(all.words) < chartWords {
			all.words = append(all.words, word)
		}
		if i := slices.Index(all.words, word); i >= 0 {
			bit = 1 << i
		}
	}
	if all.n == 0 {
		all.numeric, all.min, all.max = number, f, f
	}
	all.min, all.max = math.Min(all.min, f), math.Max(all.max, f)
	if all.n == 0 || at >= all.lastAt {
		all.lastAt, all.last = at, word
		if number {
			all.last = string(v.Text())
		}
	}
	all.n++
	s.join(chartSlot{1, f, f, f, f, at, at, word, bit})
}

// join adds what another slice of time holds.
func (s *chartSlot) join(o chartSlot) {
	switch {
	case o.n == 0:
		return
	case s.n == 0:
		*s = o
		return
	}
	s.n += o.n
	s.words |= o.words
	s.min, s.max = math.Min(s.min, o.min), math.Max(s.max, o.max)
	if o.inAt < s.inAt {
		s.in, s.inAt = o.in, o.inAt
	}
	if o.outAt >= s.outAt {
		s.out, s.outAt, s.word = o.out, o.outAt, o.word
	}
}

// slice returns the bin of an instant, and makes all of them twice as wide as
// often as it takes to have one.
func (c *chart) slice(at int64) int {
	for {
		n := int64(len(c.bins))
		if i := (at - c.origin) / c.span; at >= c.origin && i < n {
			return int(i)
		}
		if at < c.origin { // grow towards the past: the old bins become the upper half
			c.origin -= c.span * n
			wider := make([]chartBin, n)
			for i, b := range c.bins {
				joinBin(&wider[n/2+int64(i)/2], b)
			}
			c.bins = wider
		} else {
			wider := make([]chartBin, n)
			for i, b := range c.bins {
				joinBin(&wider[i/2], b)
			}
			c.bins = wider
		}
		c.span *= 2
	}
}

func joinBin(into *chartBin, b chartBin) {
	if b == nil {
		return
	}
	if *into == nil {
		*into = b
		return
	}
	for i := range b {
		(*into)[i].join(b[i])
	}
}

// end draws all series, one below the other.
func (c *chart) end() error {
	w := bufio.NewWriter(c.w)
	drawn := 0
	for p, name := range c.properties {
		s := &c.series[p]
		if s.n == 0 {
			continue
		}
		if drawn > 0 {
			fmt.Fprintln(w)
		}
		drawn++
		if s.numeric {
			c.curve(w, p, name, s)
		} else {
			c.strip(w, p, name, s)
		}
	}
	return w.Flush()
}

const chartLabel = 10 // columns left of the axis

func (c *chart) title(w *bufio.Writer, name, rest string) {
	name = clip(printable(name), c.columns())
	rest = clip(rest, c.columns()-utf8.RuneCountInString(name)-1)
	fmt.Fprintf(w, "%*s  %s  %s\n", chartLabel, "", c.paint.bold(name), c.paint.dim(rest))
}

// columns returns how wide the drawing is.
func (c *chart) columns() int { return c.width - chartLabel - 3 }

// dots spreads a property's bins over n columns of equal time.
func (c *chart) dots(p, n int) []chartSlot {
	out := make([]chartSlot, n)
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

// curve draws numbers in Braille, two dots a column and four a line.
func (c *chart) curve(w *bufio.Writer, p int, name string, s *chartSeries) {
	columns, lines := c.columns(), c.height
	low, high := s.min, s.max
	if high == low {
		pad := math.Max(math.Abs(low)*0.01, 0.5)
		low, high = low-pad, high+pad
	}
	last := s.last
	if f, err := strconv.ParseFloat(last, 64); err == nil && len(last) > 14 {
		last = short(f)
	}
	c.title(w, name, fmt.Sprintf("min %s  max %s  last %s  %s", short(s.min), short(s.max), last, c.days()))
	dots := c.dots(p, 2*columns)
	cells := make([][]rune, lines)
	for i := range cells {
		cells[i] = make([]rune, columns)
	}
	level := func(f float64) int {
		return min(4*lines-1, max(0, int(math.Round((high-f)/(high-low)*float64(4*lines-1)))))
	}
	// The bits of a Braille cell, by column and line (Unicode, block 2800).
	bits := [2][4]rune{{1, 2, 4, 64}, {8, 16, 32, 128}}
	mark := func(x, from, to int) {
		for y := min(from, to); y <= max(from, to); y++ {
			cells[y/4][x/2] |= bits[x%2][y%4]
		}
	}
	before := -1
	for x, d := range dots {
		if d.n == 0 {
			continue
		}
		mark(x, level(d.min), level(d.max))
		// Join neighbours, and rows that are merely sparse; leave longer gaps open.
		if before >= 0 {
			gap := x - before
			if gap == 1 || gap <= max(4, 4*len(dots)/max(1, s.n)) {
				from, to := level(dots[before].out), level(d.in)
				for i := 1; i <= gap; i++ {
					y0, y1 := from+(to-from)*(i-1)/gap, from+(to-from)*i/gap
					mark(before+i, y0, y1)
				}
			}
		}
		before = x
	}
	for i, line := range cells {
		label, tick := "", "│"
		switch i {
		case 0:
			label, tick = short(high), "┤"
		case lines - 1:
			label, tick = short(low), "┤"
		case (lines - 1) / 2:
			if lines >= 5 {
				label, tick = rough(high-(high-low)*(float64(i)+0.5)/float64(lines), high-low), "┤"
			}
		}
		text := make([]rune, 0, columns)
		for _, r := range line {
			if r == 0 {
				text = append(text, ' ')
			} else {
				text = append(text, 0x2800|r)
			}
		}
		fmt.Fprintf(w, "%s%s%s\n", c.paint.dim(fmt.Sprintf("%*s ", chartLabel, label)), c.paint.dim(tick), c.paint.line(strings.TrimRight(string(text), " ")))
	}
	c.axis(w)
}

// axis writes the line of time below a drawing, with ticks at round times.
func (c *chart) axis(w *bufio.Writer) {
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
	fmt.Fprintln(w, c.paint.dim(fmt.Sprintf("%*s └%s", chartLabel, "", string(line))))
	fmt.Fprintln(w, c.paint.dim(strings.TrimRight(fmt.Sprintf("%*s  %s", chartLabel, "", string(labels)), " ")))
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
func (c *chart) days() string {
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
func (c *chart) strip(w *bufio.Writer, p int, name string, s *chartSeries) {
	columns := c.columns()
	rest := fmt.Sprintf("last %s  %s", printable(s.last), c.days())
	if len(s.words) == chartWords {
		rest += fmt.Sprintf("  (the first %d different values)", chartWords)
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
		label := clip(printable(value), chartLabel)
		var text strings.Builder
		for _, d := range dots {
			if d.words&(1<<n) != 0 || d.n == 0 && d.word == value {
				text.WriteRune('█')
			} else {
				text.WriteByte(' ')
			}
		}
		fmt.Fprintf(w, "%s%s\n", c.paint.dim(fmt.Sprintf("%*s ┤", chartLabel, label)), c.paint.line(strings.TrimRight(text.String(), " ")))
	}
	c.axis(w)
}

// rough writes a number with two digits more than it takes to tell it from
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
