package route

import (
	"cmp"
	"context"
	"iter"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"hotreader"
)

// Paged is a Source over a store that answers page by page.
type Paged interface {
	hotreader.Source

	// ScanPages is Scan, but calls next behind each of the store's pages that
	// is not the last: rest asks for all that has not been yielded yet; items is
	// how many stored rows the page had, and span how much time they cover. Where
	// next returns false, the sequence ends, without an error. A page behind which
	// rest cannot be told has no such call.
	ScanPages(ctx context.Context, q hotreader.Query, next func(rest hotreader.Query, items int, span time.Duration) bool) iter.Seq2[hotreader.Row, error]
}

// AheadOptions set up reading ahead.
type AheadOptions struct {
	Parts int // of one read, at once; 0 = 8
	Total int // of all reads together, beside the one that each read is at; 0 = 4 × Parts

	// Values is how many values the caller takes of one read at the most, where
	// an answer's size bounds that: no more are read ahead. 0 = not known.
	Values int
}

// Ahead returns a Source of src's rows that waits less for a store that answers
// page by page. A store without pages is returned as it is.
//
// The first page is read as ever. If there is more, and neither a limit nor a
// last entry is asked for, the rest of the range is cut by time into parts that
// hold about a page each, by what the first page shows; several are read side
// by side into bounded buffers and yielded in order. No row is asked for twice,
// but for those of one second where two parts meet, and what was read behind a
// part that the store throttled.
//
// Where data is denser than foreseen a part ends behind its page, and what is
// left of it is cut anew; where it is sparser, parts become longer; and over a
// gap one part takes all that follows, for to the store a gap is nothing. A
// store that throttles is asked page by page from then on, as without Ahead.
//
// Errors and order are those of src. No goroutine outlives the read.
func Ahead(src hotreader.Source, o AheadOptions) hotreader.Source {
	store, ok := src.(Paged)
	if !ok {
		return src
	}
	o.Parts = cmp.Or(max(o.Parts, 0), 8)
	o.Total = cmp.Or(max(o.Total, 0), 4*o.Parts)
	return &ahead{store: store, o: o}
}

type ahead struct {
	store Paged
	o     AheadOptions
	total atomic.Int64 // parts that were begun ahead
}

// take reports whether one more part may be begun ahead.
func (a *ahead) take() bool {
	if a.total.Add(1) <= int64(a.o.Total) {
		return true
	}
	a.total.Add(-1)
	return false
}

// queue is how many chunks wait of a part. It holds two more, one being filled and
// one being emptied, beside a page of the store.
const queue = 4

// Scan implements hotreader.Source.
func (a *ahead) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if q.Last || q.Limit != 0 {
		return a.store.Scan(ctx, q)
	}
	return func(yield func(hotreader.Row, error) bool) {
		r := &overlap{ahead: a, caller: ctx, query: q, row: make([]hotreader.Value, len(q.Columns()))}
		r.ctx, r.cancel = context.WithCancel(ctx)
		defer r.stop()
		next := func(rest hotreader.Query, items int, span time.Duration) bool {
			return !r.begin(rest, items, span)
		}
		for row, err := range a.store.ScanPages(ctx, q, next) {
			r.rows++
			if !yield(row, err) || err != nil {
				return
			}
		}
		r.pass(yield)
	}
}

// overlap is one Scan. What is not under mu is of the goroutine that yields.
type overlap struct {
	*ahead
	caller context.Context
	ctx    context.Context // of all that is read ahead
	cancel context.CancelFunc
	query  hotreader.Query
	group  sync.WaitGroup
	row    []hotreader.Value
	last   time.Time // of the row yielded last of a part; zero = none

	mu      sync.Mutex
	stopped bool
	first   *part         // that is being yielded; the others follow in order
	running int           // parts being read
	active  int           // parts begun and not yet yielded
	done    int           // parts yielded
	rows    int           // yielded; of the part that is being yielded, none
	items   int           // of a full page
	length  time.Duration // that about so many cover
	newest  time.Time     // row; zero = not known
	probed  hotreader.Stats
}

// A part is a stretch of the range: a narrower scan.
type part struct {
	query  hotreader.Query
	next   *part
	length time.Duration // by which it was cut; 0 = it was not
	whole  bool          // not to be cut: behind a gap

	begun  bool
	ahead  bool // of the one that was being yielded
	chunks chan *chunk
	rows   int // read
	passed int // of them, yielded
	stats  hotreader.Stats

	// Set before chunks is closed.
	err   error
	fault any // it panicked
}

// begin reads rest side by side from now on, and reports whether that is worth it.
func (r *overlap) begin(rest hotreader.Query, items int, span time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.measure(items, span)
	p := &part{query: rest}
	if r.length == 0 || r.from(p).IsZero() || r.short(p) || r.window() < 2 {
		return false
	}
	r.first = p
	left := r.remains(p) // before it is cut
	r.launch()
	if !r.query.Backward() && left/wide > r.length {
		r.group.Go(func() { r.probe(rest) })
	}
	return true
}

// wide is from how many parts on it is asked where the rows end.
const wide = 32

// probe asks for the newest row, beside the first parts, so that a range that
// goes on without rows is not cut to its end. It is a last entry, which is cheap
// in every store. That it fails, or that a rare property ends earlier, costs
// nothing but a few parts that are empty, or one that is long.
func (r *overlap) probe(q hotreader.Query) {
	defer func() { _ = recover() }() // the parts will meet it, too
	q.Last, q.Filters = true, nil
	for row, err := range r.store.Scan(hotreader.WithStats(r.ctx, &r.probed), q) {
		if err == nil {
			r.probed.Looked.Add(1)
			r.mu.Lock()
			r.newest = row.Time
			r.mu.Unlock()
		}
		return
	}
}

// from returns the bound of p that comes first in the order of the read.
func (r *overlap) from(p *part) time.Time {
	if r.query.Backward() {
		return p.query.End
	}
	return p.query.Start
}

// remains returns how long p is, as far as there are rows.
func (r *overlap) remains(p *part) time.Duration {
	from, to := p.query.Start, p.query.End
	if !r.newest.IsZero() && (to.IsZero() || to.After(r.newest)) {
		to = r.newest
	}
	if from.IsZero() || to.IsZero() {
		return math.MaxInt64
	}
	return to.Sub(from)
}

// short reports whether p holds about a page, and so is not worth being cut.
func (r *overlap) short(p *part) bool { return r.remains(p)/17*16 <= r.length }

// measure takes over what a full page shows. A part is to be a little shorter,
// for one that is too long costs a read more.
func (r *overlap) measure(items int, span time.Duration) {
	if items >= r.items/2 && span > 0 {
		r.items, r.length = items, whole(float64(span)*15/16)
	}
}

// whole returns d in whole seconds, at least one: rows of one second may stand
// in any order, so a store reads them together.
func whole(d float64) time.Duration {
	const most = math.MaxInt64 / 4
	return max(time.Duration(min(d, most)).Truncate(time.Second), time.Second)
}

// window returns how many parts may be begun and not yet yielded, the one being
// yielded included; more the more were wanted. r.mu is held.
func (r *overlap) window() int {
	n := r.o.Parts + min(2*r.done, r.o.Parts)
	if left := r.o.Values - r.rows*len(r.row); left > 0 { // else more is taken than was foreseen
		page := max(r.items*len(r.row), 1)
		n = min(n, (left+page-1)/page)
	}
	return n
}

// launch begins parts in order, as many as may be under way. r.mu is held.
func (r *overlap) launch() {
	if r.stopped {
		return
	}
	before, window := 0, r.window()
	for p := r.first; p != nil; p = p.next {
		if !p.begun {
			// Parts that were begun behind p do not count: they wait for it.
			if p.ahead = p != r.first; p.ahead && (r.running >= r.o.Parts || before >= window || r.active >= 3*r.o.Parts || !r.take()) {
				return
			}
			// At first the last one takes all that is left: if that is more, it ends behind a page.
			if last := r.done == 0 && before+1 == window && p.next == nil; !p.whole && !last && !r.short(p) {
				r.cut(p)
			}
			p.begun, p.chunks = true, make(chan *chunk, queue)
			r.active++
			r.running++
			r.group.Go(func() { r.read(p) })
		}
		before++
	}
}

// cut shortens p to about a page and puts what is left behind it.
func (r *overlap) cut(p *part) {
	head, rest := p.query, p.query
	if r.query.Backward() {
		head.Start = head.End.Add(-r.length).Truncate(time.Second).Add(time.Second)
		rest.End = head.Start.Add(-1)
	} else {
		rest.Start = rest.Start.Add(r.length).Truncate(time.Second)
		head.End = rest.Start.Add(-1)
	}
	r.split(p, head, rest, r.length)
}

// split makes p the scan of head, with a part for rest behind it, and reports
// whether that can be: no bound may be the zero time, which would be open.
func (r *overlap) split(p *part, head, rest hotreader.Query, length time.Duration) bool {
	left, to := &part{query: rest, next: p.next}, head.End
	if r.query.Backward() {
		to = head.Start
	}
	if to.IsZero() || r.from(left).IsZero() {
		return false
	}
	p.query, p.next, p.length = head, left, length
	return true
}

// read fills p's chunks.
func (r *overlap) read(p *part) {
	defer func() {
		p.fault = recover() // for the goroutine that yields
		r.mu.Lock()
		r.running--
		r.launch()
		r.mu.Unlock()
		close(p.chunks)
	}()
	c := newChunk()
	defer func() { c.release() }()
	send := func() bool {
		if len(c.times) == 0 {
			return true
		}
		select {
		case p.chunks <- c:
			c = newChunk()
			return true
		case <-r.ctx.Done():
			p.err = over(r.ctx)
			return false
		}
	}
	next := func(rest hotreader.Query, items int, span time.Duration) bool {
		return send() && !r.overflow(p, rest, items, span)
	}
	for row, err := range r.store.ScanPages(hotreader.WithStats(r.ctx, &p.stats), p.query, next) {
		if err != nil {
			p.err = err
			break
		}
		p.rows++
		c.add(row)
		if c.full() && !send() {
			break
		}
	}
	if p.err == nil && send() {
		r.learn(p)
	}
}

// over is the error of a read whose context has ended.
func over(ctx context.Context) error {
	err := ctx.Err()
	return &hotreader.Error{Op: "read ahead", Code: hotreader.CodeOf(err), Err: err}
}

// overflow is told that p holds more than a page. It reports whether p is to
// end there, because the rest is a part of its own.
func (r *overlap) overflow(p *part, rest hotreader.Query, items int, span time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.measure(items, span)
	head := p.query
	if r.query.Backward() {
		head.Start = rest.End.Add(1)
	} else {
		head.End = rest.Start.Add(-1)
	}
	if r.stopped || !head.Start.Before(head.End) || r.short(&part{query: rest}) || !r.split(p, head, rest, 0) {
		return false
	}
	r.launch()
	return true
}

// learn corrects the length of parts by what p, read to its end, held.
func (r *overlap) learn(p *part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.length == 0 {
		return
	}
	if p.rows >= r.items/8 && p.rows > 0 {
		r.length = whole(float64(p.length) * 15 / 16 * float64(r.items) / float64(p.rows))
		return
	}
	for p = p.next; p != nil; p = p.next {
		if !p.begun {
			p.whole = true
			return
		}
	}
}

// pass yields the parts in order.
func (r *overlap) pass(yield func(hotreader.Row, error) bool) {
	for p := r.first; p != nil; p = r.first {
		if !r.emit(p, yield) {
			return
		}
		switch code := hotreader.CodeOf(p.err); {
		case p.fault != nil:
			panic(p.fault)
		case code == hotreader.CodeThrottled || code == hotreader.CodeOverloaded:
			r.plainly(p, yield)
			return
		case p.err != nil:
			yield(hotreader.Row{}, p.err)
			return
		}
		r.mu.Lock()
		r.drop(p)
		r.done++
		r.launch()
		r.mu.Unlock()
	}
}

// emit yields the rows of p, and reports whether the caller wants what follows.
func (r *overlap) emit(p *part, yield func(hotreader.Row, error) bool) bool {
	done := r.ctx.Done()
	for c := range p.chunks {
		for i, t := range c.times {
			select {
			case <-done:
				c.release()
				yield(hotreader.Row{}, over(r.ctx))
				return false
			default:
			}
			c.row(i, r.row)
			r.last = t
			p.passed++
			if !yield(hotreader.Row{Time: t, Values: r.row}, nil) {
				c.release()
				return false
			}
		}
		c.release()
	}
	return true
}

// plainly reads what is left behind the rows of p, which was throttled, page by
// page. What has been read of it ahead is given up.
func (r *overlap) plainly(p *part, yield func(hotreader.Row, error) bool) {
	r.stop()
	q, more := r.query, true
	if from := r.from(p); r.query.Backward() {
		q.End = from
	} else {
		q.Start = from
	}
	if !r.last.IsZero() && q.Contains(r.last) {
		q, more = q.Behind(r.last)
	}
	if more {
		r.store.Scan(r.caller, q)(yield)
	}
}

// stop ends all that is under way, waits for it, and counts what it took.
func (r *overlap) stop() {
	r.mu.Lock()
	again := r.stopped
	r.stopped = true
	r.mu.Unlock()
	if again {
		return
	}
	r.cancel()
	r.group.Wait()
	for p := r.first; p != nil; p = r.first {
		if p.begun {
			for c := range p.chunks {
				c.release()
			}
		}
		r.drop(p)
	}
	r.cost(&r.probed)
}

// drop takes the first part, p, out of the list, and counts what it took. What
// it left out is the caller's business only where its rows are.
func (r *overlap) drop(p *part) {
	r.first = p.next
	if !p.begun {
		return
	}
	r.active--
	if p.ahead {
		r.total.Add(-1)
	}
	r.rows += p.passed
	p.stats.Looked.Add(int64(p.rows - p.passed)) // the others are counted above
	if p.rows > 0 && p.passed == 0 {
		r.cost(&p.stats)
	} else {
		hotreader.StatsOf(r.caller).Add(&p.stats)
	}
}

// cost counts a read whose rows were for nobody.
func (r *overlap) cost(s *hotreader.Stats) {
	stats := hotreader.StatsOf(r.caller)
	stats.Looked.Add(s.Looked.Load())
	stats.Reads.Add(s.Reads.Load())
	stats.Bytes.Add(s.Bytes.Load())
	stats.Attempts.Add(s.Attempts.Load())
}
