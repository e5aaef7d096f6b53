package twinmaker

import (
	"context"
	"encoding/binary"
	"math"
	"math/big"
	"time"

	"hotreader"
)

// Linear interpolation: each property has values at the steps start, start +
// interval, start + 2·interval, …, as far as they lie between two of its points
// in range, or on one. On a point the value is the point's own, digit for digit.
// Between two points it is computed, always from the earlier to the later one so
// that both orders give the same: for INTEGER and LONG exactly and then rounded
// to a whole number, halves away from zero; for others in float64. Between two
// points that are equal (as float64) stand the digits of the earlier one.
//
// A page holds the steps of a window, MaxResults ÷ properties of them counted
// from the first that has a value. Properties report at different times, so the
// end of the window is known for sure only when each property is known up to it:
// rows are read on until then, and of each property the two points around the
// window's end go into the nextToken, so that the next page has to read only
// what lies behind them.

// maxDigits bounds a number that interpolation keeps. Longer ones, which no
// store of ours but a local one can hold, are shortened to float64.
const maxDigits = 128

// maxTrackBytes bounds a track in a nextToken.
const maxTrackBytes = 1 + 2*(10+5+2+maxDigits)

// known is a point of a property, in memory of its own.
type known struct {
	t      time.Time
	digits []byte
}

// track is how far a property has come: all steps up to its point a are settled;
// point b, if there is one, is read but has steps before it that belong to a
// later page.
type track struct {
	a, b       known
	hasA, hasB bool
	done       bool // it has no point beyond a

	// The point before a, for stepping back when the window turns out shorter.
	// It is needed for one step only; lost = a second one was needed.
	z          known
	hasZ, oldZ bool // oldZ: z is used up
	lost       bool
}

const (
	trackA = 1 << iota
	trackB
	trackDone
)

func (t *track) append(b []byte) []byte {
	var flags byte
	if t.hasA {
		flags |= trackA
	}
	if t.hasB {
		flags |= trackB
	}
	if t.done {
		return append(b, trackDone)
	}
	b = append(b, flags)
	if t.hasA {
		b = t.a.append(b)
	}
	if t.hasB {
		b = t.b.append(b)
	}
	return b
}

func (k *known) append(b []byte) []byte {
	b = appendInstant(b, k.t)
	b = binary.AppendUvarint(b, uint64(len(k.digits)))
	return append(b, k.digits...)
}

func (t *track) parse(in *tokenReader) {
	flags := in.byte()
	if flags&^(trackA|trackB|trackDone) != 0 || flags&trackDone != 0 && flags != trackDone {
		in.bad = true
	}
	t.done = flags&trackDone != 0
	if t.hasA = flags&trackA != 0; t.hasA {
		t.a.parse(in)
	}
	if t.hasB = flags&trackB != 0; t.hasB {
		t.b.parse(in)
	}
}

func (k *known) parse(in *tokenReader) {
	k.t = in.instant()
	k.digits = in.bytes(maxDigits)
	if _, ok := hotreader.NumberValue(k.digits).Float64(); !hotreader.IsNumber(k.digits) || !ok {
		in.bad = true
	}
}

func (k *known) set(t time.Time, v hotreader.Value) {
	k.t = t
	k.digits = append(k.digits[:0], v.Text()...)
	if len(k.digits) > maxDigits {
		f, _ := v.Float64()
		k.digits = appendFloat(k.digits[:0], f)
	}
}

// clone returns a copy of t with memory of its own.
func (t *track) clone() track {
	c := *t
	c.a.digits = append([]byte(nil), t.a.digits...)
	c.b.digits = append([]byte(nil), t.b.digits...)
	return c
}

// grid numbers the steps in the order of reading: step s is at start + s·interval
// ascending, and at start - s·interval, with s from minus something up,
// descending.
type grid struct {
	seconds  int64
	nanos    int
	interval int64
	sign     int64
}

func (g *grid) time(s int64) time.Time {
	return time.Unix(g.seconds+g.sign*s*g.interval, int64(g.nanos)).UTC()
}

// upTo returns the last step that comes, in the order of reading, not behind t.
func (g *grid) upTo(t time.Time) int64 {
	d := t.Unix() - g.seconds
	if g.sign > 0 {
		if t.Nanosecond() < g.nanos {
			d--
		}
		return floorDiv(d, g.interval)
	}
	if t.Nanosecond() > g.nanos {
		d++
	}
	return floorDiv(-d, g.interval)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// behind reports whether a comes after b in the order of reading.
func (g *grid) behind(a, b time.Time) bool { return a.Compare(b)*int(g.sign) > 0 }

// stepper fills a page with interpolated values.
type stepper struct {
	grid   grid
	page   *page
	tracks []track
	pos    int64 // first step that the page may hold
	first  int64 // first step that it holds
	limit  int64 // last step that it may hold, as far as is known
	window int64 // steps of a page; 0 = no limit but bytes
	budget int
	read   time.Time // the last row read
	full   bool      // not one step fits the budget

	early, late, n, den, tmp big.Int
}

const unlimited = math.MaxInt64

// readSteps fills the page with interpolated values and returns the next page's
// position, nil if there is none.
func (f *filling) readSteps() (*position, error) {
	q := f.req.Query
	q.Limit = 0
	s := &stepper{
		grid:   grid{seconds: q.Start.Unix(), nanos: q.Start.Nanosecond(), interval: int64(f.req.Interpolation / time.Second), sign: 1},
		page:   f.page,
		tracks: make([]track, len(q.Properties)),
		pos:    math.MinInt64, first: unlimited, limit: unlimited,
		budget: f.budget,
	}
	if q.Order == hotreader.Descending {
		s.grid.sign = -1
	}
	if f.req.MaxResults > 0 {
		s.window = int64(max(1, f.req.MaxResults/len(q.Properties)))
	}
	for i := range f.page.columns {
		if t := declared(&q, i); t == hotreader.FirstKind || t == hotreader.AnyNumber {
			f.page.columns[i].setType(hotreader.Double)
		}
	}
	q.Types = f.page.types()
	start := &position{tracks: make([]track, len(q.Properties))}
	if f.from != nil {
		start = f.from
		s.pos, s.read = start.step, start.read
		for i := range start.tracks {
			s.tracks[i] = start.tracks[i].clone()
		}
		s.resume()
	}
	more, err := s.readRows(f.ctx, f.Reader, q, start.read)
	if err != nil {
		if !f.timeUp() || !s.cut() {
			return nil, readError(err)
		}
		more = true
	}
	if s.full {
		return nil, tooLarge(f.page.size-f.budget+f.maxBytes(), f.maxBytes())
	}
	if !more {
		for i := range s.tracks {
			s.tracks[i].done = !s.tracks[i].hasB && !s.tracks[i].lost
		}
	}
	return s.position(start), nil
}

// resume goes through the points that the nextToken carried.
func (s *stepper) resume() {
	for i := range s.tracks {
		if t := &s.tracks[i]; t.hasB {
			b := t.b
			t.b, t.hasB = known{}, false
			s.arrive(i, b.t, hotreader.NumberValue(b.digits))
		}
	}
}

// readRows reads until the page is settled, and reports whether there may be
// rows that it has not seen.
func (s *stepper) readRows(ctx context.Context, reader hotreader.Reader, q hotreader.Query, from time.Time) (more bool, err error) {
	if s.settled() || s.full {
		return true, nil
	}
	if !from.IsZero() {
		var ok bool
		if q, ok = q.Behind(from); !ok {
			return false, nil
		}
	}
	var at []int // track of each property that is read
	names, types := q.Properties, q.Types
	q.Properties, q.Types = nil, nil
	for i := range s.tracks {
		if !s.tracks[i].done {
			at = append(at, i)
			q.Properties, q.Types = append(q.Properties, names[i]), append(q.Types, types[i])
		}
	}
	if len(at) == 0 {
		return false, nil
	}
	for row, err := range reader.Read(ctx, q) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return true, err
		}
		for i, v := range row.Values {
			if v.Kind() == hotreader.Number {
				s.page.columns[at[i]].fate |= given
				s.arrive(at[i], row.Time, v)
			}
		}
		if s.read.IsZero() || s.grid.behind(row.Time, s.read) {
			s.read = row.Time
		}
		if s.full || s.limit != unlimited && s.settled() {
			return true, nil
		}
	}
	return false, nil
}

// settled reports whether the page is complete and there is another one.
func (s *stepper) settled() bool {
	more := false
	for i := range s.tracks {
		t := &s.tracks[i]
		switch {
		case t.done:
		case t.hasB || t.lost:
			more = true
		case s.upTo(t) < s.limit:
			return false
		}
	}
	return more
}

// upTo returns the last step of which is known whether t has a value there.
func (s *stepper) upTo(t *track) int64 {
	switch {
	case t.hasA:
		return s.grid.upTo(t.a.t)
	case s.read.IsZero():
		return math.MinInt64
	}
	return s.grid.upTo(s.read)
}

// cut ends the page at the steps that are settled, and reports whether there
// are any.
func (s *stepper) cut() bool {
	limit := s.limit
	for i := range s.tracks {
		if t := &s.tracks[i]; !t.done && !t.hasB && !t.lost {
			limit = min(limit, s.upTo(t))
		}
	}
	if limit < s.first || s.first == unlimited {
		return false
	}
	s.shorten(limit)
	return true
}

// position returns where the next page begins; nil if nothing is left.
func (s *stepper) position(start *position) *position {
	p := &position{kind: stepsPosition, step: s.limit + 1, read: s.read, tracks: make([]track, len(s.tracks))}
	left := false
	for i := range s.tracks {
		t := &s.tracks[i]
		p.tracks[i] = *t
		switch {
		case t.done:
			continue
		case t.lost:
			p.tracks[i] = start.tracks[i]
			p.read = start.read
		case t.hasB && !p.read.IsZero() && s.grid.behind(p.read, t.b.t):
			p.read = t.b.t
		}
		left = true
	}
	if !left {
		return nil
	}
	return p
}

// arrive takes the next point of property i.
func (s *stepper) arrive(i int, at time.Time, v hotreader.Value) {
	t := &s.tracks[i]
	if t.done || t.hasB || t.lost || t.hasA && !s.grid.behind(at, t.a.t) {
		return
	}
	t.b.set(at, v)
	last := s.grid.upTo(at)
	step := last
	if t.hasA {
		step = s.grid.upTo(t.a.t) + 1
	} else if !s.grid.time(last).Equal(at) {
		step = last + 1
	}
	line := line{s: s, i: i}
	for step = max(step, s.pos); step <= last; step++ {
		if step <= s.limit {
			s.emit(i, step, &line)
		}
		if step > s.limit || s.full {
			t.hasB = true
			return
		}
	}
	t.z, t.a, t.b = t.a, t.b, t.z
	t.hasZ, t.oldZ = t.hasA, false
	t.hasA = true
}

// emit adds a value of property i, and shortens the page if that shows that it
// is too long.
func (s *stepper) emit(i int, step int64, l *line) {
	c := &s.page.columns[i]
	if len(c.ends) == 0 {
		c.from = step
	}
	n := len(c.buf)
	at := s.grid.time(step)
	c.buf = append(appendHead(c.buf, at), c.key...)
	c.buf = append(l.append(c.buf, at), "}},"...)
	c.ends = append(c.ends, len(c.buf))
	s.page.size += len(c.buf) - n
	if step < s.first {
		s.first = step
		if s.window > 0 && step+s.window-1 < s.limit {
			s.shorten(step + s.window - 1)
		}
	}
	for s.page.size > s.budget && !s.full {
		last := s.last()
		if last == s.first {
			s.full = true
			return
		}
		s.shorten(last - 1)
	}
}

// last returns the last step in the page.
func (s *stepper) last() int64 {
	last := int64(math.MinInt64)
	for i := range s.page.columns {
		if c := &s.page.columns[i]; len(c.ends) > 0 {
			last = max(last, c.from+int64(len(c.ends))-1)
		}
	}
	return last
}

// shorten lowers the page's last step to limit and takes back what lies behind.
func (s *stepper) shorten(limit int64) {
	s.limit = limit
	for i := range s.page.columns {
		c := &s.page.columns[i]
		n := len(c.ends)
		if n == 0 || c.from+int64(n)-1 <= limit {
			continue
		}
		keep := max(limit-c.from+1, 0)
		end := 0
		if keep > 0 {
			end = c.ends[keep-1]
		}
		s.page.size -= len(c.buf) - end
		c.buf, c.ends = c.buf[:end], c.ends[:keep]
		s.stepBack(&s.tracks[i], c.from+keep)
	}
}

// stepBack unsettles a track from a step on.
func (s *stepper) stepBack(t *track, step int64) {
	for t.hasA && step <= s.grid.upTo(t.a.t) {
		if t.oldZ {
			t.lost = true
			return
		}
		t.z, t.a, t.b = t.b, t.z, t.a
		t.hasA, t.hasB = t.hasZ, true
		t.hasZ, t.oldZ = false, true
	}
}
