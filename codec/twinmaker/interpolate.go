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
// interval, start + 2·interval, …, if the step is on one of its points in range or
// between two. On a point the value is the point's own, digit for digit. Between two
// points it is computed from the earlier to the later one, so that both orders give
// the same: for INTEGER and LONG exactly, then rounded to a whole number, halves away
// from zero; for others in float64. Between two points that are equal (as float64) the
// value has the digits of the earlier one.
//
// A page holds a window of MaxResults ÷ properties steps, counted from the first that
// has a value. Properties report at different times, so the window is certain only
// when each property has been read up to its end. The nextToken carries the two points
// of each property around that end, so that the next page reads only what follows.

// maxDigits bounds a number in a nextToken. A longer one, which only the embedded
// store can hold, is shortened to float64.
const maxDigits = 128

// maxTrackBytes bounds a track in a nextToken.
const maxTrackBytes = 1 + 2*(10+5+2+maxDigits)

// point is a point of a property. It owns its memory.
type point struct {
	t      time.Time
	digits []byte
}

// track is how far a property has come.
type track struct {
	settled                point // all steps up to it are in this page or an earlier one
	pending                point // has been read, but steps before it belong to a later page
	hasSettled, hasPending bool
	done                   bool // there is no point after settled

	// For stepping back once, when the window gets shorter. If it would have to step
	// back twice, the next page reads the property again from where this page began.
	before     point // the point before settled
	hasBefore  bool
	beforeUsed bool
	reread     bool
}

const (
	trackSettled = 1 << iota
	trackPending
	trackDone
)

func (t *track) append(b []byte) []byte {
	var flags byte
	if t.hasSettled {
		flags |= trackSettled
	}
	if t.hasPending {
		flags |= trackPending
	}
	if t.done {
		return append(b, trackDone)
	}
	b = append(b, flags)
	if t.hasSettled {
		b = t.settled.append(b)
	}
	if t.hasPending {
		b = t.pending.append(b)
	}
	return b
}

func (k *point) append(b []byte) []byte {
	b = appendInstant(b, k.t)
	b = binary.AppendUvarint(b, uint64(len(k.digits)))
	return append(b, k.digits...)
}

func (t *track) parse(in *tokenReader) {
	flags := in.byte()
	if flags&^(trackSettled|trackPending|trackDone) != 0 || flags&trackDone != 0 && flags != trackDone {
		in.bad = true
	}
	t.done = flags&trackDone != 0
	if t.hasSettled = flags&trackSettled != 0; t.hasSettled {
		t.settled.parse(in)
	}
	if t.hasPending = flags&trackPending != 0; t.hasPending {
		t.pending.parse(in)
	}
}

func (k *point) parse(in *tokenReader) {
	k.t = in.instant()
	k.digits = in.bytes(maxDigits)
	if _, ok := hotreader.NumberValue(k.digits).Float64(); !hotreader.IsNumber(k.digits) || !ok {
		in.bad = true
	}
}

func (k *point) set(t time.Time, v hotreader.Value) {
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
	c.settled.digits = append([]byte(nil), t.settled.digits...)
	c.pending.digits = append([]byte(nil), t.pending.digits...)
	return c
}

// grid numbers the steps so that they grow in the order of reading: step s is at start
// + s·interval ascending, and at start - s·interval descending, where s is negative.
type grid struct {
	seconds  int64
	nanos    int
	interval int64
	sign     int64
}

func (g *grid) time(s int64) time.Time {
	return time.Unix(g.seconds+g.sign*s*g.interval, int64(g.nanos)).UTC()
}

// upTo returns the last step that is not after t in the order of reading.
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

// isAfter reports whether a comes after b in the order of reading.
func (g *grid) isAfter(a, b time.Time) bool { return a.Compare(b)*int(g.sign) > 0 }

// stepper fills a page with interpolated values.
type stepper struct {
	ctx    context.Context // for reading
	grid   grid
	page   *page
	tracks []track
	pos    int64     // first step that the page may hold
	first  int64     // first step that it holds; unlimited = none yet
	limit  int64     // last step that it may hold, as far as is known
	window int64     // steps of a page; 0 = as many as the budget allows
	budget int       // bytes
	read   time.Time // of the last row read

	overBudget bool // a single step exceeds the budget

	early, late, n, den, tmp big.Int // see line.appendWhole
}

const unlimited = math.MaxInt64

// readSteps fills the page with interpolated values and returns the next page's
// position, nil if there is none.
func (f *pageFiller) readSteps() (*position, error) {
	q := f.req.Query
	q.Limit = 0
	s := &stepper{
		ctx:    f.ctx,
		grid:   grid{seconds: q.Start.Unix(), nanos: q.Start.Nanosecond(), interval: int64(f.req.Interpolation / time.Second), sign: 1},
		page:   f.page,
		tracks: make([]track, len(q.Properties)),
		pos:    math.MinInt64, first: unlimited, limit: unlimited,
		window: int64(f.want),
		budget: f.budget,
	}
	if q.Order == hotreader.Descending {
		s.grid.sign = -1
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
		if !f.timeUp() || !s.endEarly() {
			return nil, readError(err)
		}
		more = true
	}
	if s.overBudget {
		return nil, tooLarge(f.page.size-f.budget+f.maxBytes(), f.maxBytes())
	}
	if !more {
		for i := range s.tracks {
			s.tracks[i].done = !s.tracks[i].hasPending && !s.tracks[i].reread
		}
	}
	return s.position(start), nil
}

// resume adds the pending points of the nextToken.
func (s *stepper) resume() {
	for i := range s.tracks {
		if t := &s.tracks[i]; t.hasPending {
			b := t.pending
			t.pending, t.hasPending = point{}, false
			s.addPoint(i, b.t, hotreader.NumberValue(b.digits))
		}
	}
}

// readRows reads rows until the page is complete. more = there may be further rows.
func (s *stepper) readRows(ctx context.Context, reader hotreader.Reader, q hotreader.Query, from time.Time) (more bool, err error) {
	if s.complete() || s.overBudget {
		return true, nil
	}
	if !from.IsZero() {
		var ok bool
		if q, ok = q.Behind(from); !ok {
			return false, nil
		}
	}
	var tracks []int // index of the track of each property in q
	names, types := q.Properties, q.Types
	q.Properties, q.Types = nil, nil
	for i := range s.tracks {
		if !s.tracks[i].done {
			tracks = append(tracks, i)
			q.Properties, q.Types = append(q.Properties, names[i]), append(q.Types, types[i])
		}
	}
	if len(tracks) == 0 {
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
				s.page.columns[tracks[i]].fate |= given
				s.addPoint(tracks[i], row.Time, v)
			}
		}
		if s.read.IsZero() || s.grid.isAfter(row.Time, s.read) {
			s.read = row.Time
		}
		if s.overBudget || s.limit != unlimited && s.complete() {
			return true, nil
		}
	}
	return false, nil
}

// complete reports whether the page is complete and another one follows.
func (s *stepper) complete() bool {
	more := false
	for i := range s.tracks {
		t := &s.tracks[i]
		switch {
		case t.done:
		case t.hasPending || t.reread:
			more = true
		case s.knownUpTo(t) < s.limit:
			return false
		}
	}
	return more
}

// knownUpTo returns the last step for which it is known whether t has a value.
func (s *stepper) knownUpTo(t *track) int64 {
	switch {
	case t.hasSettled:
		return s.grid.upTo(t.settled.t)
	case s.read.IsZero():
		return math.MinInt64
	}
	return s.grid.upTo(s.read)
}

// endEarly ends the page at the last step that is known for all properties. It reports
// whether the page then holds any.
func (s *stepper) endEarly() bool {
	limit := s.limit
	for i := range s.tracks {
		if t := &s.tracks[i]; !t.done && !t.hasPending && !t.reread {
			limit = min(limit, s.knownUpTo(t))
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
		case t.reread:
			p.tracks[i] = start.tracks[i]
			p.read = start.read
		case t.hasPending && !p.read.IsZero() && s.grid.isAfter(p.read, t.pending.t):
			p.read = t.pending.t
		}
		left = true
	}
	if !left {
		return nil
	}
	return p
}

// addPoint takes the next point of property i and adds the values up to it.
func (s *stepper) addPoint(i int, at time.Time, v hotreader.Value) {
	t := &s.tracks[i]
	if t.done || t.hasPending || t.reread || t.hasSettled && !s.grid.isAfter(at, t.settled.t) {
		return
	}
	t.pending.set(at, v)
	last := s.grid.upTo(at)
	step := last + 1 // before the first point there are no values
	if t.hasSettled {
		step = s.grid.upTo(t.settled.t) + 1
	} else if s.grid.time(last).Equal(at) {
		step = last
	}
	line := line{s: s, i: i}
	for step = max(step, s.pos); step <= last; step++ {
		if step <= s.limit {
			s.addValue(i, step, &line)
		}
		if step > s.limit || s.overBudget {
			t.hasPending = true
			return
		}
		if step%1024 == 0 && step >= s.first && s.ctx.Err() != nil { // thousands of steps may lie between two points
			t.hasPending = true
			s.shorten(step)
			return
		}
	}
	t.before, t.settled, t.pending = t.settled, t.pending, t.before
	t.hasBefore, t.beforeUsed = t.hasSettled, false
	t.hasSettled = true
}

// addValue adds the value of property i at step, and shortens the page if it gets too
// long.
func (s *stepper) addValue(i int, step int64, l *line) {
	c := &s.page.columns[i]
	if len(c.ends) == 0 {
		c.from = step
	}
	n := len(c.buf)
	at := s.grid.time(step)
	s.page.setHead(at)
	c.buf = append(append(c.buf, s.page.head...), c.key...)
	c.buf = append(l.append(c.buf, at), "}},"...)
	c.ends = append(c.ends, len(c.buf))
	s.page.size += len(c.buf) - n
	if step < s.first {
		s.first = step
		if s.window > 0 && step+s.window-1 < s.limit {
			s.shorten(step + s.window - 1)
		}
	}
	for s.page.size > s.budget && !s.overBudget {
		last := s.last()
		if last == s.first {
			s.overBudget = true
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

// shorten lowers the page's last step to limit and removes the values after it.
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
		c.buf, c.ends = shrunk(c.buf, end), shrunk(c.ends, int(keep))
		s.stepBack(&s.tracks[i], c.from+keep)
	}
}

// shrunk returns the first n of s, in memory of that size if s has much more: of a
// hundred properties, each may have filled the page for a while.
func shrunk[T any](s []T, n int) []T {
	if n > cap(s)/2 || cap(s)-n < 8<<10 {
		return s[:n]
	}
	return append(make([]T, 0, n), s[:n]...)
}

// stepBack makes t's points pending again until settled is before step.
func (s *stepper) stepBack(t *track, step int64) {
	for t.hasSettled && step <= s.grid.upTo(t.settled.t) {
		if t.beforeUsed {
			t.reread = true
			return
		}
		t.before, t.settled, t.pending = t.pending, t.before, t.settled
		t.hasSettled, t.hasPending = t.hasBefore, true
		t.hasBefore, t.beforeUsed = false, true
	}
}
