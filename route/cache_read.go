package route

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"hotreader"
)

// apart is how many kept rows between two ranges are worth a request of their own. Fewer
// are read again.
const apart = 2000

// mostScans is how many scans one read makes where each part should be read alone. The
// oldest parts are, for they are good for the longest time. All after them is one scan, so
// the next reads get further.
const mostScans = 8

// cacheRead is one Scan of a Cache: some parts that are kept, and some that are read.
type cacheRead struct {
	cache  *Cache
	series *shelf
	ctx    context.Context
	query  hotreader.Query
	out    *sink
	now    time.Time // when it was planned
	hasty  bool      // its failure may come of its own short time
	steps  []cacheStep
	scans  int // of steps

	allowance allowance

	// Once done is closed, other reads may look at these and at steps.
	done  chan struct{}
	err   error // that is the others' error, too
	large bool  // it does not fit
	whole bool  // all has come
	ended bool
}

// cacheStep is a stretch of a read, in the order of the read.
type cacheStep struct {
	kept []*piece

	// Or what is read, by one scan, and kept in pieces. What is not settled is a piece
	// without an end.
	from, to int64 // what is settled

	query  hotreader.Query
	pieces []*piece
	at     int // where the last row belongs
	read   time.Time
	stats  hotreader.Stats
}

func (p *piece) settled() bool { return p.to != math.MaxInt64 }

// stretch is a stretch of the grid of which all is kept, or nothing.
type stretch struct {
	from, to int64
	rest     bool // it goes on after to
	kept     []*piece
	rows     int // of kept
}

// plan makes the steps of r; c.mu is held.
func (c *Cache) plan(r *cacheRead) {
	s, g := r.series, r.series.grid
	from, to, rest := g.span(&r.query, r.now.Add(-c.o.Settle))
	var runs []stretch
	for n := from; n < to; {
		next := stretch{from: n, to: to}
		if i := s.at(n); i < len(s.parts) {
			switch p := s.parts[i]; {
			case p.from > n:
				next.to = min(to, p.from)
			case c.usable(p, r):
				next.to, next.kept, next.rows = p.to, []*piece{p}, len(p.rows.times)
			default:
				next.to = min(to, p.to)
			}
		}
		runs = appendRun(runs, next)
		n = next.to
	}
	if rest {
		runs = appendRun(runs, stretch{from: to, to: to, rest: true})
	}
	if !s.single {
		runs = joined(runs)
	}
	for i := range runs {
		if s.single && r.scans == mostScans-1 && runs[i].kept == nil {
			r.add(&stretch{from: runs[i].from, to: to, rest: rest})
			break
		}
		r.add(&runs[i])
	}
	if r.query.Backward() {
		slices.Reverse(r.steps)
		for i := range r.steps {
			slices.Reverse(r.steps[i].kept)
			slices.Reverse(r.steps[i].pieces)
		}
	}
}

// usable reports whether r may be answered with p.
func (c *Cache) usable(p *piece, r *cacheRead) bool {
	if !c.fresh(p, r.now) || !r.series.single && c.due(p, r.now) {
		return false
	}
	g := r.series.grid
	return !p.counted || r.query.Contains(g.time(p.from)) && r.query.Contains(g.time(p.to).Add(-1))
}

// appendRun appends next, to the last run if that is of its kind.
func appendRun(runs []stretch, next stretch) []stretch {
	if n := len(runs); n > 0 && (runs[n-1].kept == nil) == (next.kept == nil) {
		last := &runs[n-1]
		last.to, last.rest, last.rows = next.to, next.rest, last.rows+next.rows
		last.kept = append(last.kept, next.kept...)
		return runs
	}
	return append(runs, next)
}

// joined reads few kept rows again where that spares a request.
func joined(runs []stretch) []stretch {
	var all []stretch
	for i, next := range runs {
		if next.kept != nil && i > 0 && i+1 < len(runs) && next.rows < apart {
			next.kept = nil
		}
		all = appendRun(all, next)
	}
	return all
}

// add makes the steps of one run, in the order of time.
func (r *cacheRead) add(run *stretch) {
	if run.kept != nil {
		r.steps = append(r.steps, cacheStep{kept: run.kept})
		return
	}
	pieces := r.series.grid.cut(run.from, run.to, r.now)
	if run.rest {
		pieces = append(pieces, &piece{from: run.to, to: math.MaxInt64, rows: new(chunk)})
	}
	for r.series.single && len(pieces) > 1 && r.scans < mostScans-1 {
		r.step(pieces[:1])
		pieces = pieces[1:]
	}
	r.step(pieces)
}

// step adds a step that reads pieces with one scan.
func (r *cacheRead) step(pieces []*piece) {
	g, q := r.series.grid, r.query
	first, last := pieces[0], pieces[len(pieces)-1]
	switch start := g.time(first.from); {
	case first.settled() && first.from == g.begin():
		q.Start = time.Time{}
	case first.settled() || start.After(q.Start):
		q.Start = start
	}
	to := last.from
	if last.settled() {
		to, q.End = last.to, g.time(last.to).Add(-1)
	}
	for _, p := range pieces {
		p.of, p.backward = r.series, q.Backward()
	}
	r.steps = append(r.steps, cacheStep{from: first.from, to: to, query: q, pieces: pieces})
	r.scans++
}

// awaits reports whether r waits for other: that one reads what r would read, as settled
// as it is, but for Settle at each end, by which windows until now differ. For less, r
// would have to wait again; for more, longer than its own read takes.
func (r *cacheRead) awaits(other *cacheRead) bool {
	if other.answers(&r.query) {
		return true
	}
	most := r.cache.o.Settle.Milliseconds()/r.series.grid.unit + 1
	from, to := r.reads()
	first, last := other.reads()
	return from < last && first < to && max(from-first, first-from, to-last, last-to) <= most
}

// reads returns the points between which r reads what is settled.
func (r *cacheRead) reads() (from, to int64) {
	for i := range r.steps {
		if s := &r.steps[i]; s.from < s.to {
			if from == to {
				from, to = s.from, s.to
			}
			from, to = min(from, s.from), max(to, s.to)
		}
	}
	return from, to
}

// answers reports whether r is the answer of q as well: it is the same query, and r began
// within the time that is read anew.
func (r *cacheRead) answers(q *hotreader.Query) bool {
	return q.Start.Equal(r.query.Start) && q.End.Equal(r.query.End) && q.Order == r.query.Order &&
		r.cache.o.Now().Sub(r.now) < r.cache.o.Settle
}

// share waits for r, and yields what answers q as well. It returns false if nothing does.
func (r *cacheRead) share(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) bool {
	defer r.leave()
	select {
	case <-r.done:
	case <-ctx.Done():
		yield(hotreader.Row{}, ended(ctx))
		return true
	}
	switch {
	case !r.answers(&q):
		return false
	case r.err != nil:
		yield(hotreader.Row{}, r.err)
	case r.whole:
		r.warn(hotreader.StatsOf(ctx))
		newSink(ctx, q, yield).all(r.steps)
	default:
		return false
	}
	return true
}

// leave is the end of a user of r.
func (r *cacheRead) leave() {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	r.cache.use(r.steps, -1)
}

// run reads, and yields all rows.
func (r *cacheRead) run() {
	defer r.leave()
	defer r.end(false) // a panic
	stats := hotreader.StatsOf(r.ctx)
	for i := range r.steps {
		for _, p := range r.steps[i].kept {
			stats.Aged(r.now.Sub(p.read))
		}
	}
	for i := range r.steps {
		switch step := &r.steps[i]; {
		case step.kept == nil:
			if !r.scan(i) {
				return
			}
		case r.large && !r.out.pieces(step.kept):
			return
		}
	}
	r.end(true)
	r.warn(stats)
	if !r.large {
		r.out.all(r.steps)
	}
}

// scan reads a step. It returns false if the read is at its end. What does not fit is
// passed on as it comes.
func (r *cacheRead) scan(i int) bool {
	step := &r.steps[i]
	step.read = r.cache.o.Now()
	defer func() { hotreader.StatsOf(r.ctx).Cost(&step.stats) }()
	ctx := hotreader.WithStats(withAllowance(r.ctx, &r.allowance), &step.stats)
	for row, err := range r.cache.source.Scan(ctx, step.query) {
		switch {
		case err != nil:
			if r.ctx.Err() == nil && !r.hasty {
				r.err = err
			}
			r.end(false)
			r.warn(hotreader.StatsOf(r.ctx))
			if r.large || r.out.all(r.steps[:i+1]) {
				r.out.yield(hotreader.Row{}, err)
			}
			return false
		case r.large:
			if r.query.Contains(row.Time) && !r.out.yield(row, nil) {
				return false
			}
		case !r.hold(step.piece(row.Time), row):
			r.large = true
			r.end(false)
			if !r.out.all(r.steps[:i+1]) {
				return false
			}
		}
	}
	return true
}

// piece returns where a row of t belongs, which comes after those that it was asked for
// before.
func (s *cacheStep) piece(t time.Time) *piece {
	n := s.pieces[0].of.grid.point(t)
	for s.at < len(s.pieces)-1 {
		if p := s.pieces[s.at]; n >= p.from && n < p.to {
			break
		}
		s.at++
	}
	return s.pieces[s.at]
}

// hold adds a row to p. It returns false if memory ends.
func (r *cacheRead) hold(p *piece, row hotreader.Row) bool {
	before := p.rows.bytes()
	p.rows.add(row)
	more := p.rows.bytes() - before
	if more == 0 {
		return true
	}
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	if len(p.rows.text) > math.MaxUint32-chunkText || !r.cache.reserve(more) {
		return false
	}
	p.bytes += more
	return true
}

// end lets others go on. All of r is kept if it is whole.
func (r *cacheRead) end(whole bool) {
	c, s := r.cache, r.series
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.ended {
		return
	}
	r.ended, r.whole = true, whole && !r.large
	if r.whole && !c.o.Now().Round(0).Before(r.now.Round(0)) {
		for i := range r.steps {
			c.keepStep(r, &r.steps[i])
		}
	}
	s.reads = slices.DeleteFunc(s.reads, func(o *cacheRead) bool { return o == r })
	c.tidy(s)
	close(r.done)
}

// keepStep keeps what a step has read; c.mu is held.
func (c *Cache) keepStep(r *cacheRead, step *cacheStep) {
	warnings := step.stats.Warnings()
	counted := slices.ContainsFunc(warnings, func(w hotreader.Warning) bool { return !unknown(w) })
	if counted && len(step.pieces) > 1 {
		r.series.single = true
		begin := r.series.grid.begin() // a piece of no time holds the shelf for the next read
		if c.reserve(pieceBytes) && !c.keep(&piece{of: r.series, from: begin - 1, to: begin, rows: new(chunk), read: step.read, bytes: pieceBytes}) {
			c.used -= pieceBytes
		}
		return
	}
	rows, texts := int64(0), int64(0)
	for i := range warnings { // a query's texts may lie in memory that is used again
		w := &warnings[i]
		w.Property, w.Detail = strings.Clone(w.Property), strings.Clone(w.Detail)
		texts += warningBytes + int64(len(w.Property)+len(w.Detail))
	}
	for _, p := range step.pieces {
		rows += int64(len(p.rows.times))
	}
	for _, p := range step.pieces {
		p.read = step.read.Add(-time.Duration(step.stats.Age.Load()))
		if !p.settled() || p.read.Sub(r.series.grid.time(p.to)) < c.o.Settle {
			continue
		}
		if !c.reserve(texts) {
			return
		}
		p.bytes += texts
		p.warnings, p.counted = warnings, counted
		p.cost = step.stats.Bytes.Load() * int64(len(p.rows.times)) / max(rows, 1)
		c.keep(p)
	}
}

// unknown reports whether w is of an answer without any row.
func unknown(w hotreader.Warning) bool {
	return w.Reason == hotreader.UnknownDevice || w.Reason == hotreader.UnknownProperty
}

// warn adds the warnings of all parts to stats. An unknown property stays unknown, as
// without a cache, until the query's meaning has a value of it.
func (r *cacheRead) warn(stats *hotreader.Stats) {
	rows := 0
	var all []hotreader.Warning
	for i := range r.steps {
		step := &r.steps[i]
		all = append(all, step.stats.Warnings()...)
		for _, p := range step.kept {
			all = append(all, p.warnings...)
			rows += len(p.rows.times)
		}
		for _, p := range step.pieces {
			rows += len(p.rows.times)
		}
	}
	for _, w := range all {
		if rows == 0 || w.Reason != hotreader.UnknownDevice {
			stats.Warn(w)
		}
	}
}

// sink takes the rows of one answer.
type sink struct {
	ctx    context.Context
	query  hotreader.Query
	yield  func(hotreader.Row, error) bool
	values []hotreader.Value
}

func newSink(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) *sink {
	return &sink{ctx, q, yield, make([]hotreader.Value, len(q.Columns()))}
}

// all takes what steps hold. It returns false if the query needs no more.
func (s *sink) all(steps []cacheStep) bool {
	for i := range steps {
		if !s.pieces(steps[i].kept) || !s.pieces(steps[i].pieces) {
			return false
		}
	}
	return true
}

// pieces takes pieces, which are in the order of the query.
func (s *sink) pieces(pieces []*piece) bool {
	for _, p := range pieces {
		n := len(p.rows.times)
		for i := range n {
			if p.backward != s.query.Backward() {
				i = n - 1 - i
			}
			t := p.rows.times[i]
			if !s.query.Contains(t) {
				continue
			}
			if s.ctx.Err() != nil {
				s.yield(hotreader.Row{}, ended(s.ctx))
				return false
			}
			p.rows.row(i, s.values)
			if !s.yield(hotreader.Row{Time: t, Values: s.values}, nil) {
				return false
			}
		}
	}
	return true
}
