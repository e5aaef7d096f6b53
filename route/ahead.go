package route

import (
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
// but for those of one second where two parts meet.
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
	if o.Parts <= 0 {
		o.Parts = 8
	}
	if o.Total <= 0 {
		o.Total = 4 * o.Parts
	}
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

// What a part holds at the most, beside a page of the store: queue chunks and
// two more, one being filled and one being emptied.
const (
	queue      = 4
	chunkCells = 1 << 13 // values
	chunkRows  = 1 << 11
	chunkText  = 1 << 17 // bytes; a row more where it is large
)

// Scan implements hotreader.Source.
func (a *ahead) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if q.Last || q.Limit != 0 {
		return a.store.Scan(ctx, q)
	}
	return func(yield func(hotreader.Row, error) bool) {
		var r *overlap
		defer func() {
			if r != nil {
				r.stop()
			}
		}()
		pages, values := 0, 0
		next := func(rest hotreader.Query, items int, span time.Duration) bool {
			pages++
			r = a.begin(ctx, &q, rest, items, span, pages, values)
			return r == nil
		}
		for row, err := range a.store.ScanPages(ctx, q, next) {
			if a.o.Values > 0 && err == nil {
				values += count(row.Values)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
		if r != nil {
			r.pass(yield)
		}
	}
}

func count(values []hotreader.Value) (n int) {
	for _, v := range values {
		if !v.IsNull() {
			n++
		}
	}
	return n
}

// overlap is the part of a read that is read side by side.
type overlap struct {
	*ahead
	ctx    context.Context
	cancel context.CancelFunc
	query  hotreader.Query
	down   bool
	group  sync.WaitGroup

	// Of the goroutine that yields.
	row  []hotreader.Value
	last time.Time // of the row yielded last; zero = none

	mu      sync.Mutex
	stopped bool
	calm    bool          // the store throttles
	first   *part         // that is being yielded; the others follow in order
	running int           // parts being read
	active  int           // parts begun and not yet yielded
	done    int           // parts yielded
	items   int           // of a full page
	length  time.Duration // that about so many cover
	values  int           // yielded, if o.Values is set
	page    int           // values of a page
	newest  time.Time     // row; zero = not known
	probed  hotreader.Stats
}

// A part is a stretch of the range, from and to inclusive, in the order of the
// read; to may be zero, which is open.
type part struct {
	from, to time.Time
	next     *part
	length   time.Duration // by which it was cut; 0 = it was not
	whole    bool          // not to be cut: behind a gap
	far      bool          // all that the first page left, or its end

	begun  bool
	ahead  bool // of the one that was being yielded
	rows   int  // read
	passed int  // of them, yielded
	ctx    context.Context
	cancel context.CancelFunc
	chunks chan *chunk
	stats  *hotreader.Stats
	read   bool // to its end, or to where it failed

	// Set before chunks is closed.
	err   error
	fault any // it panicked
}

// begin returns the reading of rest, or nil if it is not worth being cut.
func (a *ahead) begin(ctx context.Context, q *hotreader.Query, rest hotreader.Query, items int, span time.Duration, pages, values int) *overlap {
	r := &overlap{ahead: a, query: *q, down: q.Order == hotreader.Descending,
		values: values, page: max(values/pages, 1)}
	r.measure(items, span)
	p := r.stretch(rest)
	p.far = true
	if r.length == 0 || p.from.IsZero() || r.short(p) || r.window() < 2 {
		return nil
	}
	r.ctx, r.cancel = context.WithCancel(ctx)
	r.row = make([]hotreader.Value, len(q.Columns()))
	r.mu.Lock()
	defer r.mu.Unlock()
	left := r.remains(p) // before it is cut
	r.first = p
	r.launch()
	if !r.down && left/wide > r.length {
		r.group.Go(func() { r.probe(rest) })
	}
	return r
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

// stretch returns the part that q asks for.
func (r *overlap) stretch(q hotreader.Query) *part {
	if r.down {
		return &part{from: q.End, to: q.Start}
	}
	return &part{from: q.Start, to: q.End}
}

// narrowed returns the query for p.
func (r *overlap) narrowed(p *part) hotreader.Query {
	q := r.query
	q.Start, q.End = p.from, p.to
	if r.down {
		q.Start, q.End = p.to, p.from
	}
	return q
}

// remains returns how long p is, as far as there are rows.
func (r *overlap) remains(p *part) time.Duration {
	to := p.to
	if !r.newest.IsZero() && (to.IsZero() || to.After(r.newest)) {
		to = r.newest
	}
	switch {
	case to.IsZero():
		return math.MaxInt64
	case r.down:
		return p.from.Sub(to)
	}
	return to.Sub(p.from)
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
	if r.calm {
		return 1
	}
	n := r.o.Parts + min(2*r.done, r.o.Parts)
	if r.o.Values > r.values { // else more is taken than was foreseen
		n = min(n, (r.o.Values-r.values+r.page-1)/r.page)
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
			if !p.whole && !r.calm && !(p.far && before+1 >= window) && !r.short(p) {
				r.cut(p)
			}
			r.start(p)
		}
		before++
	}
}

// cut shortens p to about a page and puts what is left behind it.
func (r *overlap) cut(p *part) {
	rest := &part{to: p.to, next: p.next, far: p.far}
	var end time.Time
	if r.down {
		end = p.from.Add(-r.length).Truncate(time.Second).Add(time.Second)
		rest.from = end.Add(-1)
	} else {
		rest.from = p.from.Add(r.length).Truncate(time.Second)
		end = rest.from.Add(-1)
	}
	if end.IsZero() || rest.from.IsZero() { // which would be open
		return
	}
	p.to, p.next, p.far, p.length = end, rest, false, r.length
}

// start reads p in a goroutine. r.mu is held.
func (r *overlap) start(p *part) {
	p.begun, p.read, p.err, p.fault, p.rows, p.passed = true, false, nil, nil, 0, 0
	p.stats = new(hotreader.Stats)
	p.chunks = make(chan *chunk, queue)
	p.ctx, p.cancel = context.WithCancel(r.ctx)
	r.active++
	r.running++
	r.group.Go(func() { r.read(p) })
}

// read fills p's chunks.
func (r *overlap) read(p *part) {
	defer func() {
		p.fault = recover() // for the goroutine that yields
		r.mu.Lock()
		p.read = true
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
		case <-p.ctx.Done():
			return false
		}
	}
	sent := true
	next := func(rest hotreader.Query, items int, span time.Duration) bool {
		sent = send()
		return sent && !r.overflow(p, rest, items, span)
	}
	for row, err := range r.store.ScanPages(hotreader.WithStats(p.ctx, p.stats), r.narrowed(p), next) {
		if err != nil {
			p.err = err
			break
		}
		p.rows++
		c.add(row)
		if c.full() {
			if sent = send(); !sent {
				break
			}
		}
	}
	if !sent || !send() {
		err := p.ctx.Err()
		p.err = &hotreader.Error{Op: "read ahead", Code: hotreader.CodeOf(err), Err: err}
	}
	if p.err == nil {
		r.learn(p)
	}
}

// overflow is told that p holds more than a page. It reports whether p is to
// end there, because the rest is a part of its own.
func (r *overlap) overflow(p *part, rest hotreader.Query, items int, span time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.measure(items, span)
	left := r.stretch(rest)
	left.next = p.next
	end := left.from.Add(-1)
	moved := end.After(p.from)
	if r.down {
		end = left.from.Add(1)
		moved = end.Before(p.from)
	}
	if r.stopped || r.calm || !moved || left.from.IsZero() || end.IsZero() || r.short(left) {
		return false
	}
	p.to, p.next, p.length = end, left, 0
	r.launch()
	return true
}

// learn corrects the length of parts by what p, read to its end, held.
func (r *overlap) learn(p *part) {
	if p.length == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
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
	for {
		r.mu.Lock()
		p := r.first
		r.mu.Unlock()
		if p == nil {
			return
		}
		more, err := r.part(p, yield)
		if err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		if !more {
			return
		}
		p.cancel()
		hotreader.StatsOf(r.ctx).Add(p.stats)
		r.mu.Lock()
		r.first = p.next
		r.end(p)
		r.done++
		r.launch()
		r.mu.Unlock()
	}
}

// part yields the rows of p. more is false if the caller has had enough.
func (r *overlap) part(p *part, yield func(hotreader.Row, error) bool) (more bool, err error) {
	done, values := r.ctx.Done(), 0
	for c := range p.chunks {
		for i, t := range c.times {
			select {
			case <-done:
				c.release()
				return false, r.over()
			default:
			}
			c.row(i, r.row)
			if r.o.Values > 0 {
				values += count(r.row)
			}
			r.last = t
			p.passed++
			if !yield(hotreader.Row{Time: t, Values: r.row}, nil) {
				c.release()
				return false, nil
			}
		}
		c.release()
	}
	if r.o.Values > 0 {
		r.mu.Lock()
		r.values += values
		r.mu.Unlock()
	}
	switch code := hotreader.CodeOf(p.err); {
	case p.fault != nil:
		panic(p.fault)
	case code == hotreader.CodeThrottled || code == hotreader.CodeOverloaded:
		return r.plainly(p, yield)
	}
	return true, p.err
}

func (r *overlap) over() error {
	err := r.ctx.Err()
	return &hotreader.Error{Op: "read ahead", Code: hotreader.CodeOf(err), Err: err}
}

// plainly reads what a throttled part left, page by page, and asks for no more
// than that from now on.
func (r *overlap) plainly(p *part, yield func(hotreader.Row, error) bool) (bool, error) {
	r.quiet(p)
	q, more := r.narrowed(p), true
	if !r.last.IsZero() && !r.last.Before(q.Start) && (q.End.IsZero() || !r.last.After(q.End)) {
		q, more = q.Behind(r.last)
	}
	if !more {
		return true, nil
	}
	return r.rest(p, q, yield)
}

// quiet takes back the parts behind p that are still being read.
func (r *overlap) quiet(p *part) {
	r.mu.Lock()
	r.calm = true
	var under []*part
	for n := p.next; n != nil; n = n.next {
		if n.begun && !n.read {
			under = append(under, n)
		}
	}
	r.mu.Unlock()
	for _, n := range under {
		n.abandon()
		r.cost(n.stats, n.rows)
		r.mu.Lock()
		r.end(n)
		n.begun = false
		r.mu.Unlock()
	}
}

// rest yields what q asks for, but for rows that were yielded before.
func (r *overlap) rest(p *part, q hotreader.Query, yield func(hotreader.Row, error) bool) (bool, error) {
	for row, err := range r.store.Scan(hotreader.WithStats(r.ctx, p.stats), q) {
		if err != nil {
			return false, err
		}
		if !r.last.IsZero() && (r.down && !row.Time.Before(r.last) || !r.down && !row.Time.After(r.last)) {
			continue
		}
		r.last = row.Time
		if !yield(row, nil) {
			return false, nil
		}
	}
	return true, nil
}

// abandon ends the reading of p.
func (p *part) abandon() {
	p.cancel()
	for c := range p.chunks {
		c.release()
	}
}

// end makes room for another part. r.mu is held.
func (r *overlap) end(p *part) {
	r.active--
	if p.ahead {
		r.total.Add(-1)
	}
}

// stop ends all that is under way and waits for it.
func (r *overlap) stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.cancel()
	for p := r.first; p != nil; p = p.next {
		if p.begun {
			p.abandon()
		}
	}
	r.group.Wait()
	for p := r.first; p != nil; p = p.next {
		if !p.begun {
			continue
		}
		if p == r.first { // the rows that were yielded are among it
			for _, l := range p.stats.LeftOut() {
				hotreader.StatsOf(r.ctx).LeaveOut(l.Property, l.Reason, l.Count)
			}
		}
		r.cost(p.stats, p.rows-p.passed)
		r.end(p)
	}
	r.cost(&r.probed, int(r.probed.Looked.Load()))
}

// cost counts reads of which so many rows were for nobody.
func (r *overlap) cost(s *hotreader.Stats, rows int) {
	stats := hotreader.StatsOf(r.ctx)
	stats.Looked.Add(int64(rows))
	stats.Reads.Add(s.Reads.Load())
	stats.Bytes.Add(s.Bytes.Load())
	stats.Attempts.Add(s.Attempts.Load())
}

// A chunk is some rows of a part, values one after the other.
type chunk struct {
	times []time.Time
	kinds []hotreader.Kind
	ends  []uint32 // of the values' text
	text  []byte
}

// chunks keeps chunks between reads, of all Sources.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

func newChunk() *chunk { return chunks.Get().(*chunk) }

func (c *chunk) release() {
	if cap(c.text) > 4*chunkText || cap(c.kinds) > 4*chunkCells {
		return
	}
	c.times, c.kinds, c.ends, c.text = c.times[:0], c.kinds[:0], c.ends[:0], c.text[:0]
	chunks.Put(c)
}

func (c *chunk) full() bool {
	return len(c.times) >= chunkRows || len(c.kinds) >= chunkCells || len(c.text) >= chunkText
}

func (c *chunk) add(row hotreader.Row) {
	c.times = append(c.times, row.Time)
	for _, v := range row.Values {
		c.kinds = append(c.kinds, v.Kind())
		switch {
		case v.Kind() != hotreader.Bool:
			c.text = append(c.text, v.Text()...)
		case v.Bool():
			c.text = append(c.text, '1')
		default:
			c.text = append(c.text, '0')
		}
		c.ends = append(c.ends, uint32(len(c.text)))
	}
}

// row puts the values of row i into values.
func (c *chunk) row(i int, values []hotreader.Value) {
	i *= len(values)
	from := uint32(0)
	if i > 0 {
		from = c.ends[i-1]
	}
	for k := range values {
		to := c.ends[i+k]
		text := c.text[from:to:to]
		switch c.kinds[i+k] {
		case hotreader.Number:
			values[k] = hotreader.NumberValue(text)
		case hotreader.String:
			values[k] = hotreader.StringValue(text)
		case hotreader.Bool:
			values[k] = hotreader.BoolValue(text[0] == '1')
		default:
			values[k] = hotreader.Value{}
		}
		from = to
	}
}
