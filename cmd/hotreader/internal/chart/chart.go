// Package chart draws series of numbers, texts and booleans with characters.
package chart

import (
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
)

// Chart draws series of rows that come one by one, in either order, in memory
// that does not grow with them. It keeps the least and the greatest value of
// each slice of time, so a spike of a single point is never averaged away.
type Chart struct {
	w          io.Writer
	paint      terminal.Paint
	width      int // columns of the terminal
	height     int // lines of a curve
	properties []string
	bins       []bin // of slices of time, the oldest first
	origin     int64 // microseconds since 1970 where bins begin
	span       int64 // microseconds of a bin; 0 before the first row
	first      time.Time
	last       time.Time
	rows       int
	all        []series
}

// A bin is what each property did in one slice of time.
type bin []slot

type slot struct {
	n        int
	min, max float64 // of the numbers; without one, min is the greater
	in, out  float64 // first and last number by time
	inAt     int64
	outAt    int64
	word     string // a text or boolean: the last one of the slice
	wordAt   int64
	words    uint16 // which of the series' words were there, by bit
}

// series is what is known of one property as a whole.
type series struct {
	n        int
	numbers  int      // of n
	words    []string // the different texts, at most mostWords
	beyond   int      // numbers that no double can hold, and no drawing show
	min, max float64
	last     string
	lastAt   int64
}

const mostWords = 12

// New returns an empty chart for a terminal of so many columns, 0 = 80, with
// curves of so many lines.
func New(w io.Writer, p terminal.Paint, width, height int, properties []string) *Chart {
	if width <= 0 {
		width = 80
	}
	width = max(width, labelWidth+3+16)
	c := &Chart{w: w, paint: p, width: width, height: max(height, 3), properties: properties, all: make([]series, len(properties))}
	c.bins = make([]bin, max(64, 8*width))
	return c
}

// Pick returns which rows from first to last make the drawing, and prepares the chart
// for them: an interval is a bin. It comes before Add. Of a range of less than a
// millisecond a bin, it returns that all rows do.
func (c *Chart) Pick(first, last time.Time) hotreader.Pick {
	first = first.Truncate(time.Microsecond)
	n := len(c.bins)
	if last.Sub(first) < time.Duration(n)*time.Millisecond {
		return hotreader.Pick{}
	}
	p := hotreader.Points(first, last, hotreader.MinPoints*n)
	c.origin, c.span = first.UnixMicro(), p.Every.Microseconds()
	return p
}

// Add takes a row; it keeps no reference to its values.
func (c *Chart) Add(row hotreader.Row) {
	at := row.Time.UnixMicro()
	if c.rows == 0 {
		c.first, c.last = row.Time, row.Time
	}
	if c.span == 0 {
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
		c.bins[i] = make(bin, len(c.properties))
	}
	for p := range c.properties {
		c.put(&c.bins[i][p], &c.all[p], at, row.Values[p])
	}
}

func (c *Chart) put(s *slot, all *series, at int64, v hotreader.Value) {
	if v.IsNull() {
		return
	}
	f, number := v.Float64()
	if !number && v.Kind() == hotreader.Number {
		all.beyond++
		return
	}
	text := string(v.Text())
	if v.Kind() == hotreader.Bool {
		text = strconv.FormatBool(v.Bool())
	}
	if all.n == 0 || at >= all.lastAt {
		all.lastAt, all.last = at, text
	}
	all.n++
	if !number {
		s.join(slot{n: 1, min: math.Inf(1), max: math.Inf(-1), inAt: math.MaxInt64, outAt: math.MinInt64, word: text, wordAt: at, words: all.bit(text)})
		return
	}
	if all.numbers++; all.numbers == 1 {
		all.min, all.max = f, f
	}
	all.min, all.max = math.Min(all.min, f), math.Max(all.max, f)
	s.join(slot{n: 1, min: f, max: f, in: f, out: f, inAt: at, outAt: at, wordAt: math.MinInt64})
}

// bit returns that of a word, and 0 for one too many.
func (s *series) bit(word string) uint16 {
	i := slices.Index(s.words, word)
	if i < 0 && len(s.words) < mostWords {
		i = len(s.words)
		s.words = append(s.words, word)
	}
	if i < 0 {
		return 0
	}
	return 1 << i
}

// join adds what another slice of time holds.
func (s *slot) join(o slot) {
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
		s.out, s.outAt = o.out, o.outAt
	}
	if o.wordAt >= s.wordAt {
		s.word, s.wordAt = o.word, o.wordAt
	}
}

// slice returns the bin of an instant, and makes all of them twice as wide as
// often as it takes to have one.
func (c *Chart) slice(at int64) int {
	for n := int64(len(c.bins)); ; c.span *= 2 {
		if i := (at - c.origin) / c.span; at >= c.origin && i < n {
			return int(i)
		}
		first := int64(0)
		if at < c.origin { // towards the past: the old bins become the upper half
			c.origin -= c.span * n
			first = n
		}
		wider := make([]bin, n)
		for i, b := range c.bins {
			joinBin(&wider[(first+int64(i))/2], b)
		}
		c.bins = wider
	}
}

func joinBin(into *bin, b bin) {
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

// Beyond returns how many numbers of the property at index p no double can hold:
// they are not drawn.
func (c *Chart) Beyond(p int) int { return c.all[p].beyond }
