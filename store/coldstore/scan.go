package coldstore

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hotreader"
	"hotreader/store/internal/timekey"
)

// A scan is one read. It fetches and decodes parts of objects concurrently, and merges their
// rows in the order of time.
type scan struct {
	store   *Store
	ctx     context.Context
	query   hotreader.Query
	columns []string
	must    string // the key of an object that must be listed; "" = none
	stats   *hotreader.Stats
	order   timekey.Order
	left    []int64 // see timekey.Order

	yielded int64 // rows
	looked  int64 // rows of parts that were read to their end

	running  sync.WaitGroup
	held     atomic.Int64 // bytes of decoded rows
	usual    int64        // about how many of them a part has
	came     bool         // rows of one: usual is no guess any more
	opening  int          // parts that were begun, and nothing has come of them
	nth      int          // parts that were begun
	moved    bool         // a part was begun, or its rows came, since decodeAhead
	news     atomic.Bool  // there are some in found
	foundMu  sync.Mutex
	found    []part       // that other parts turned out to have, before the scan needs their rows
	pages    atomic.Int64 // bytes of the list, and of open pages of Parquet
	waiting  feeds        // not begun
	begun    feeds
	archived error // of the parts that must be restored first
	readable int64
	odd      odd

	stopped bool            // the query needs no more rows
	rest    hotreader.Query // all that was not passed on
	more    bool            // there may be some
}

// maxHeld bounds the bytes of the rows that one scan holds for long.
const maxHeld = 32 << 20

// maxOpening is how many parts are opened at once where the scan needs all: those that
// no key places may all have the first row, and there may be a hundred thousand.
const maxOpening = 64

// maxAhead is how many parts are fetched before the scan needs their rows.
const maxAhead = 4

// A feed brings the rows of a part, batch by batch, in the query's order.
type feed struct {
	part    part
	near    time.Time // no row comes before it, in the query's order
	batches chan batch
	may     chan struct{} // closed: it may decode
	granted bool
	nth     int         // as which it was begun
	opened  bool        // something has come of it
	split   atomic.Bool // into other parts
	rows    []row
	slabs   slabs // of rows
	bytes   int64 // of rows
	odd     odd   // whole when batches is closed
	left    []int64
	looked  int64
}

// lose counts values of the i-th of n columns that no Value can hold.
func (f *feed) lose(n, i int, values int64) {
	if f.left == nil {
		f.left = make([]int64, n)
	}
	f.left[i] += values
}

// A batch is what a feed brings at a time.
type batch struct {
	rows  []row
	slabs slabs
	bytes int64
	err   error
}

// odd are items that could not be read.
type odd struct {
	n     int64
	first string // what is wrong with the first
}

// feeds is a heap; first is the feed whose rows the scan needs next.
type feeds struct {
	all      []*feed
	backward bool
}

func (h *feeds) Len() int { return len(h.all) }
func (h *feeds) Less(i, j int) bool {
	c := h.all[i].head().Compare(h.all[j].head())
	if h.backward {
		c = -c
	}
	a, b := h.all[i], h.all[j]
	return c < 0 || c == 0 && (len(a.rows) < len(b.rows) || len(a.rows) == len(b.rows) && a.nth < b.nth) // one that is not known first, which was opened first
}
func (h *feeds) Swap(i, j int) { h.all[i], h.all[j] = h.all[j], h.all[i] }
func (h *feeds) Push(x any)    { h.all = append(h.all, x.(*feed)) }
func (h *feeds) Pop() any {
	last := len(h.all) - 1
	f := h.all[last]
	h.all[last], h.all = nil, h.all[:last]
	return f
}

// head returns the time that the feed's next row has, or that it cannot come before.
func (f *feed) head() time.Time {
	if len(f.rows) > 0 {
		return f.rows[0].time()
	}
	return f.near
}

// Times before and after all rows.
var (
	never  = time.Unix(-1<<40, 0)
	always = time.Unix(1<<40, 0)
)

// wait adds parts to those that wait.
func (s *scan) wait(parts []part) {
	for _, p := range parts {
		f := &feed{part: p, near: p.from}
		switch {
		case s.query.Backward() && p.to.IsZero():
			f.near = always
		case s.query.Backward():
			f.near = p.to
		case p.from.IsZero():
			f.near = never
		}
		heap.Push(&s.waiting, f)
	}
}

// tell adds the parts that a feed's part turned out to have.
func (s *scan) tell(f *feed, parts []part) {
	s.foundMu.Lock()
	defer s.foundMu.Unlock()
	s.found = append(s.found, parts...)
	f.split.Store(true)
	s.news.Store(true)
}

// collect adds what was found to the parts that wait.
func (s *scan) collect() {
	if !s.news.Load() {
		return
	}
	s.foundMu.Lock()
	defer s.foundMu.Unlock()
	s.wait(s.found)
	s.found = nil
	s.news.Store(false)
}

// beginNext begins to read the part that the scan needs next, and that many parts more.
func (s *scan) beginNext(ahead int) {
	for s.waiting.Len() > 0 && (s.wanted() && s.mayOpen() || s.room(ahead)) {
		s.begin()
	}
	if s.moved && ahead > 0 {
		s.decodeAhead()
	}
}

// begin begins to read the part that the scan needs next.
func (s *scan) begin() {
	f := heap.Pop(&s.waiting).(*feed)
	s.nth++
	f.nth, f.batches, f.may = s.nth, make(chan batch, 1), make(chan struct{})
	heap.Push(&s.begun, f)
	s.moved = true
	s.opening++
	s.running.Go(func() {
		defer close(f.batches)
		if err := hotreader.Recovered("cold storage: read "+f.part.object.Key, func() error { return s.read(f) }); err != nil {
			_ = s.send(f, batch{err: err}) // the scan may have ended
		}
	})
}

// grant lets a part be decoded.
func (f *feed) grant() {
	if !f.granted {
		f.granted = true
		close(f.may)
	}
}

// permit waits until a part may be decoded. By then its first bytes are here, so that
// the scan need not wait for them when it needs the rows.
func (s *scan) permit(f *feed) error {
	select {
	case <-f.may:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// decodeAhead lets parts be decoded before the scan needs their rows, the next ones first, as
// far as memory allows.
func (s *scan) decodeAhead() {
	s.moved = false
	likely := s.held.Load()
	var left []*feed
	for _, f := range s.begun.all {
		switch {
		case f.split.Load():
		case !f.granted:
			left = append(left, f)
		case len(f.rows) == 0:
			likely += s.usual
		}
	}
	slices.SortFunc(left, func(a, b *feed) int {
		if s.query.Backward() {
			a, b = b, a
		}
		return a.near.Compare(b.near)
	})
	for _, f := range left {
		if likely >= s.store.most/8 || s.store.held.Load() >= s.store.room/2 {
			return
		}
		f.grant()
		likely += s.usual
	}
}

// send passes a batch on; it returns an error if the scan has ended.
func (s *scan) send(f *feed, b batch) error {
	select {
	case f.batches <- b:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// run merges the parts' rows.
func (s *scan) run(yield func(hotreader.Row, error) bool) error {
	parts, err := s.list()
	if err != nil {
		return err
	}
	few := s.query.Last || s.query.Limit > 0 && s.query.Limit <= hotreader.LookBack
	if s.archived = s.notRestored(parts); s.archived != nil && !few {
		return s.archived
	}
	s.waiting.backward, s.begun.backward = s.query.Backward(), s.query.Backward()
	s.wait(parts)
	if len(parts) > 0 { // compressed JSON grows so much
		s.usual = 10 * parts[0].object.Size
	}
	codec := timekey.NewestCodec(s.store.layout)
	s.left = s.order.Begin(s.ctx, &codec, &s.query, s.columns, func(row hotreader.Row, err error) bool {
		if err == nil {
			s.yielded++
		}
		return yield(row, err)
	})
	defer func() {
		s.stats.Looked.Add(max(0, s.looked-s.yielded)) // Meaning counts those that were yielded
		s.stopped = s.order.Stopped()
		s.rest, s.more = s.order.Behind()
		s.order.Release(0)
	}()
	ahead := maxAhead
	if few {
		ahead = 0
	}
	for s.ctx.Err() == nil {
		s.collect()
		if s.waiting.Len() > 0 && s.wanted() && !s.order.Reached(s.waiting.all[0].near) {
			return nil
		}
		s.beginNext(ahead)
		if s.begun.Len() == 0 {
			break
		}
		f := s.begun.all[0]
		if len(f.rows) == 0 {
			if !s.order.Reached(f.near) {
				return nil
			}
			if err := s.receive(f); err != nil {
				return err
			}
			continue
		}
		if !s.pass(f) {
			return nil
		}
	}
	if s.ctx.Err() != nil || !s.order.Pass() {
		return s.ctx.Err()
	}
	return s.unreadable()
}

// wanted reports whether the next part that waits may have the next row.
func (s *scan) wanted() bool {
	if s.begun.Len() == 0 {
		return true
	}
	c := s.waiting.all[0].near.Compare(s.begun.all[0].head())
	return c <= 0 && !s.query.Backward() || c >= 0 && s.query.Backward()
}

// mayOpen reports whether one more part may be opened. If not, that which is waited for
// next is one that is being opened.
func (s *scan) mayOpen() bool {
	return s.opening < maxOpening || len(s.begun.all[0].rows) > 0
}

// room reports whether one more part may be read ahead: there are few of which the rows
// have not come, or that turned out to have others.
func (s *scan) room(ahead int) bool {
	unknown, split := 0, 0
	for _, f := range s.begun.all {
		switch {
		case f.split.Load():
			split++
		case len(f.rows) == 0:
			unknown++
		}
	}
	return unknown < ahead && unknown+split < 2*ahead && s.held.Load() < s.store.most/4 && s.store.held.Load() < s.store.room/2
}

// receive waits for the next batch of the first feed.
func (s *scan) receive(f *feed) error {
	f.grant()
	s.moved = true
	b, ok := <-f.batches
	if !f.opened {
		f.opened = true
		s.opening--
	}
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	s.hold(-f.bytes)
	f.slabs, f.bytes = b.slabs, b.bytes
	if f.rows = b.rows; ok && b.err == nil {
		if !s.came {
			s.usual, s.came = 0, true
		}
		s.usual = max(s.usual, b.bytes)
		heap.Fix(&s.begun, 0)
		return nil
	}
	if b.err != nil {
		return b.err
	}
	if !ok {
		heap.Pop(&s.begun)
		for i, n := range f.left {
			s.left[i] += n
		}
		s.looked += f.looked
		if s.odd.n == 0 {
			s.odd.first = f.odd.first
		}
		s.odd.n += f.odd.n
	}
	return nil
}

// pass passes the first feed's next row on.
func (s *scan) pass(f *feed) bool {
	r := &f.rows[0]
	rank := f.slabs.values(r, s.order.Slot())
	s.readable++
	if f.near = r.time(); !s.order.AddAt(f.near, rank) {
		return false
	}
	f.rows = f.rows[1:]
	heap.Fix(&s.begun, 0)
	return true
}

// unreadable counts the items that could not be read. That none could is an error.
func (s *scan) unreadable() error {
	if s.odd.n == 0 {
		return nil
	}
	if s.readable == 0 {
		return &hotreader.Error{Op: "cold storage: read " + s.store.bucket.String(), Code: hotreader.CodeUnreadable,
			Err: fmt.Errorf("none of %d items can be read; of the first, %s; %s", s.odd.n, s.odd.first, hotreader.LayoutHelp)}
	}
	s.stats.Warn(hotreader.Warning{Reason: hotreader.Unreadable, Count: s.odd.n, Detail: "of the first, " + s.odd.first})
	return nil
}

// size writes a number of bytes as people do.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d bytes", n)
}
