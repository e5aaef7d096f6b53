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

	// ScanPages is Scan, but calls next after each of the store's pages except the
	// last. rest is the query for all rows not yielded yet, items how many stored
	// rows the page had, and span how much time they cover. If next returns false,
	// the sequence ends without an error. There is no call after a page for which
	// rest is not known.
	ScanPages(ctx context.Context, q hotreader.Query, next func(rest hotreader.Query, items int, span time.Duration) bool) iter.Seq2[hotreader.Row, error]
}

// AheadOptions set up reading ahead.
type AheadOptions struct {
	Parts int // parts of one read that are read in parallel; 0 = 8
	Total int // parts of all reads together, not counting the one that each is yielding; 0 = 4 × Parts

	// Values is how many values of one read the caller can take, if the size of its
	// answer bounds them. Ahead reads no more than that ahead. 0 = not known.
	Values int
}

// Ahead returns a Source of src's rows that reads a paging store's pages in parallel.
// A store without pages is returned as it is.
//
// It reads the first page as usual. If more follows, and the query has neither a limit
// nor asks for latest values, Ahead cuts the rest of the range by time into parts of
// about a page each, estimated from the first page. It reads several parts in parallel
// into bounded buffers and yields them in order. No row is read twice, except in the
// second where two parts meet, and after a part that the store throttled.
//
// Where data is denser than estimated, a part ends after its page and its rest is cut
// again. Where it is sparser, the next parts become longer. After a gap one part takes
// all that follows, since a gap costs the store nothing. Once a store throttles, Ahead
// reads the rest page by page.
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
	total atomic.Int64 // parts reserved by all reads
}

// reserve reports whether one more part may be read ahead.
func (a *ahead) reserve() bool {
	if a.total.Add(1) <= int64(a.o.Total) {
		return true
	}
	a.total.Add(-1)
	return false
}

// queuedChunks is how many chunks of a part may wait. Two more are in use, one being
// filled and one being yielded, besides a page of the store.
const queuedChunks = 4

// Scan implements hotreader.Source.
func (a *ahead) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if q.Last || q.Limit != 0 {
		return a.store.Scan(ctx, q)
	}
	return func(yield func(hotreader.Row, error) bool) {
		r := &aheadScan{ahead: a, caller: ctx, query: q, row: make([]hotreader.Value, len(q.Columns()))}
		r.ctx, r.cancel = context.WithCancel(ctx)
		defer r.stop()
		next := func(rest hotreader.Query, items int, span time.Duration) bool {
			return !r.start(rest, items, span)
		}
		for row, err := range a.store.ScanPages(ctx, q, next) {
			r.rows++
			if !yield(row, err) || err != nil {
				return
			}
		}
		r.yieldParts(yield)
	}
}

// aheadScan is one Scan. mu guards the fields below it.
type aheadScan struct {
	*ahead
	caller context.Context
	ctx    context.Context // of all reading ahead
	cancel context.CancelFunc
	query  hotreader.Query
	group  sync.WaitGroup
	row    []hotreader.Value
	last   time.Time // of the last row yielded from a part; zero = none

	mu      sync.Mutex
	stopped bool
	first   *part         // is being yielded; the others follow in order
	running int           // parts being read
	active  int           // parts begun and not yet yielded
	done    int           // parts yielded
	rows    int           // rows yielded, without those of first
	items   int           // stored rows of a full page
	length  time.Duration // estimate of the time that a page covers
	newest  time.Time     // time of the device's newest row; zero = not known
	probed  hotreader.Stats
}

// A part is a narrower scan: a stretch of the range.
type part struct {
	query  hotreader.Query
	next   *part
	length time.Duration // the length it was cut to; 0 = it was not cut
	keep   bool          // it follows a gap and is not cut

	begun    bool
	reserved bool // it counts in ahead.total
	chunks   chan *chunk
	rows     int // read
	yielded  int // rows
	stats    hotreader.Stats

	// Set before chunks is closed.
	err      error
	panicked any
}

// start reports whether reading rest in parallel is worth it, and then begins.
func (r *aheadScan) start(rest hotreader.Query, items int, span time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.measure(items, span)
	p := &part{query: rest}
	if r.length == 0 || r.from(p).IsZero() || r.fitsPage(p) || r.window() < 2 {
		return false
	}
	r.first = p
	left := r.remains(p) // launch cuts p
	r.launch()
	if !r.query.Backward() && left/probeParts > r.length {
		r.group.Go(func() { r.probe(rest) })
	}
	return true
}

// A range of more than probeParts parts is worth a probe.
const probeParts = 32

// probe reads the newest row while the first parts are read, so that the empty end of
// a range is not cut into parts. Every store answers that cheaply. It is only a hint:
// if it fails, or a rare property ends earlier, a few parts are empty or one is long.
func (r *aheadScan) probe(q hotreader.Query) {
	defer func() { _ = recover() }() // a part will panic likewise, and that one is reported
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

// from returns the bound where p begins, in the order of the read.
func (r *aheadScan) from(p *part) time.Time {
	if r.query.Backward() {
		return p.query.End
	}
	return p.query.Start
}

// remains returns how long p is, up to the newest row if that is known.
func (r *aheadScan) remains(p *part) time.Duration {
	from, to := p.query.Start, p.query.End
	if !r.newest.IsZero() && (to.IsZero() || to.After(r.newest)) {
		to = r.newest
	}
	if from.IsZero() || to.IsZero() {
		return math.MaxInt64
	}
	return to.Sub(from)
}

// fitsPage reports whether p holds about a page, and so is not worth cutting.
func (r *aheadScan) fitsPage(p *part) bool { return r.remains(p)/17*16 <= r.length }

// measure estimates the length of a part from a full page. It stays a little below,
// for a part that is too long costs one more read.
func (r *aheadScan) measure(items int, span time.Duration) {
	if items >= r.items/2 && span > 0 {
		r.items, r.length = items, wholeSeconds(float64(span)*15/16)
	}
}

// wholeSeconds returns d in whole seconds, at least one: a store may hold the rows
// within a second in any order, so they are read together.
func wholeSeconds(d float64) time.Duration {
	const most = math.MaxInt64 / 4
	return max(time.Duration(min(d, most)).Truncate(time.Second), time.Second)
}

// window returns how many parts may be begun and not yet yielded, including the one
// being yielded. It grows with the parts that the caller has taken. r.mu is held.
func (r *aheadScan) window() int {
	n := r.o.Parts + min(2*r.done, r.o.Parts)
	if left := r.o.Values - r.rows*len(r.row); left > 0 { // else the caller takes more than Values said
		page := max(r.items*len(r.row), 1)
		n = min(n, (left+page-1)/page)
	}
	return n
}

// launch begins as many parts as may be read now, in order. r.mu is held.
func (r *aheadScan) launch() {
	if r.stopped {
		return
	}
	before, window := 0, r.window()
	for p := r.first; p != nil; p = p.next {
		if !p.begun {
			// The window counts the parts before p only: later ones wait for p anyway.
			if p.reserved = p != r.first; p.reserved && (r.running >= r.o.Parts || before >= window || r.active >= 3*r.o.Parts || !r.reserve()) {
				return
			}
			// The last part of the first window is not cut. If it is too long, it ends after a page.
			if last := r.done == 0 && before+1 == window && p.next == nil; !p.keep && !last && !r.fitsPage(p) {
				r.cut(p)
			}
			p.begun, p.chunks = true, make(chan *chunk, queuedChunks)
			r.active++
			r.running++
			r.group.Go(func() { r.read(p) })
		}
		before++
	}
}

// cut shortens p to about a page and adds a part for the rest.
func (r *aheadScan) cut(p *part) {
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

// split makes p the scan of head and adds a part for rest after it. It reports whether
// that is possible: no bound may be the zero time, which would be open.
func (r *aheadScan) split(p *part, head, rest hotreader.Query, length time.Duration) bool {
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
func (r *aheadScan) read(p *part) {
	defer func() {
		p.panicked = recover() // the goroutine that yields panics again
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
			p.err = ended(r.ctx)
			return false
		}
	}
	next := func(rest hotreader.Query, items int, span time.Duration) bool {
		return send() && !r.splitAfterPage(p, rest, items, span)
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

// ended returns the error of a read whose context has ended.
func ended(ctx context.Context) error {
	err := ctx.Err()
	return &hotreader.Error{Op: "read", Code: hotreader.CodeOf(err), Err: err}
}

// splitAfterPage makes the rest of p, which holds more than a page, a part of its own.
// It reports whether it did, so that p ends after this page.
func (r *aheadScan) splitAfterPage(p *part, rest hotreader.Query, items int, span time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.measure(items, span)
	head := p.query
	if r.query.Backward() {
		head.Start = rest.End.Add(1)
	} else {
		head.End = rest.Start.Add(-1)
	}
	if r.stopped || !head.Start.Before(head.End) || r.fitsPage(&part{query: rest}) || !r.split(p, head, rest, 0) {
		return false
	}
	r.launch()
	return true
}

// learn corrects the length of parts by the rows of p, which is read to its end. If
// p was nearly empty, it is a gap: the next part is not cut.
func (r *aheadScan) learn(p *part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.length == 0 {
		return
	}
	if p.rows >= r.items/8 && p.rows > 0 {
		r.length = wholeSeconds(float64(p.length) * 15 / 16 * float64(r.items) / float64(p.rows))
		return
	}
	for p = p.next; p != nil; p = p.next {
		if !p.begun {
			p.keep = true
			return
		}
	}
}

// yieldParts yields the rows of all parts in order.
func (r *aheadScan) yieldParts(yield func(hotreader.Row, error) bool) {
	for p := r.first; p != nil; p = r.first {
		if !r.yieldPart(p, yield) {
			return
		}
		switch code := hotreader.CodeOf(p.err); {
		case p.panicked != nil:
			panic(p.panicked)
		case code == hotreader.CodeThrottled || code == hotreader.CodeOverloaded:
			r.yieldRest(p, yield)
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

// yieldPart yields the rows of p, and reports whether to go on.
func (r *aheadScan) yieldPart(p *part, yield func(hotreader.Row, error) bool) bool {
	done := r.ctx.Done()
	for c := range p.chunks {
		for i, t := range c.times {
			select {
			case <-done:
				c.release()
				yield(hotreader.Row{}, ended(r.ctx))
				return false
			default:
			}
			c.row(i, r.row)
			r.last = t
			p.yielded++
			if !yield(hotreader.Row{Time: t, Values: r.row}, nil) {
				c.release()
				return false
			}
		}
		c.release()
	}
	return true
}

// yieldRest reads page by page what follows the yielded rows of p, which the store
// throttled. Rows that were read ahead beyond p are dropped.
func (r *aheadScan) yieldRest(p *part, yield func(hotreader.Row, error) bool) {
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

// stop cancels all reading, waits for it to end, and counts what it cost.
func (r *aheadScan) stop() {
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
	r.countCost(&r.probed)
}

// drop removes p, the first part, and counts what it cost. What p left out counts
// only if its rows went to the caller.
func (r *aheadScan) drop(p *part) {
	r.first = p.next
	if !p.begun {
		return
	}
	r.active--
	if p.reserved {
		r.total.Add(-1)
	}
	r.rows += p.yielded
	p.stats.Looked.Add(int64(p.rows - p.yielded)) // Meaning counts those that were yielded
	if p.rows > 0 && p.yielded == 0 {
		r.countCost(&p.stats)
	} else {
		hotreader.StatsOf(r.caller).Add(&p.stats)
	}
}

// countCost counts a read of which the caller got no rows.
func (r *aheadScan) countCost(s *hotreader.Stats) {
	stats := hotreader.StatsOf(r.caller)
	stats.Looked.Add(s.Looked.Load())
	stats.Reads.Add(s.Reads.Load())
	stats.Bytes.Add(s.Bytes.Load())
	stats.Attempts.Add(s.Attempts.Load())
}
