package boltstore

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"hotreader"
)

const (
	firstBytes = 1 << 10   // copied at first, if the query needs few rows
	mostBytes  = 128 << 10 // copied in one transaction; a single block may be larger
	keepBytes  = 1 << 20   // a larger buffer is not kept for the next read

	// A read never waits for anything, so Go would leave it a processor for 10 ms
	// at a time. With some dozens of reads, a new request would wait a quarter of
	// a second before it begins.
	longestTurn = time.Millisecond
)

// scan is the memory of one read.
type scan struct {
	device  string
	columns []string
	want    window            // what the read asks for
	rest    window            // what of it has not been copied yet
	budget  int               // bytes to copy next
	buf     []byte            // copies of blocks
	pieces  []piece           // of buf
	decoder decoder           // of the current block
	table   []int             // column of each property id, -1 = not selected
	names   uint32            // check of the names that table was made of, 0 = not made
	values  []hotreader.Value // of the columns
	edge    time.Time         // the instant that the block before ended with, zero = there was none
}

// piece is a block, buf[from:to].
type piece struct {
	time     time.Time // of its first row
	from, to int
}

// window is a range of instants, both ends inclusive, zero = open, and the order
// of the query.
type window struct {
	from, to   time.Time
	descending bool
	more       bool // there may be something in it
}

// before and after report whether t is outside of the window.
func (w *window) before(t time.Time) bool { return !w.from.IsZero() && t.Before(w.from) }
func (w *window) after(t time.Time) bool  { return !w.to.IsZero() && t.After(w.to) }

// overlapping yields those entries of a list that may have something in the window,
// in its order. An entry reaches to where the next begins.
func (w *window) overlapping(list refs) iter.Seq[ref] {
	return func(yield func(ref) bool) {
		if !w.descending {
			i := 0
			if !w.from.IsZero() {
				i = max(list.floor(w.from), 0)
			}
			for ; i < list.len() && !w.after(list.at(i).time) && yield(list.at(i)); i++ {
			}
			return
		}
		i := list.len() - 1
		if !w.to.IsZero() {
			i = list.floor(w.to)
		}
		for ; i >= 0 && yield(list.at(i)) && (w.from.IsZero() || list.at(i).time.After(w.from)); i-- {
		}
	}
}

// Scan brings the rows of the device.
func (s *Store) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		q := q.Closed(time.Now())
		sc, _ := s.scans.Get().(*scan)
		if sc == nil {
			sc = new(scan)
		}
		defer func() {
			if cap(sc.buf) <= keepBytes {
				s.scans.Put(sc)
			}
		}()
		sc.begin(q.Device, q.Columns(), window{from: q.Start, to: q.End, descending: q.Backward(), more: true})
		if q.Last || q.Limit > 0 {
			sc.budget = firstBytes
		}
		if err := s.read(ctx, sc, yield); err != nil {
			yield(hotreader.Row{}, s.wrap("read", err))
		}
	}
}

func (sc *scan) begin(device string, columns []string, w window) {
	sc.device, sc.columns = device, columns
	sc.want, sc.rest, sc.budget, sc.edge = w, w, mostBytes, time.Time{}
	sc.table, sc.names = sc.table[:0], 0
	sc.values = slices.Grow(sc.values[:0], len(columns))[:len(columns)]
}

// read yields the rows that sc needs. It returns an error instead of yielding it.
func (s *Store) read(ctx context.Context, sc *scan, yield func(hotreader.Row, error) bool) error {
	stats := hotreader.StatsOf(ctx)
	turn := time.Now()
	for sc.rest.more {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := guard(func() error { return s.db.View(sc.fill) }); err != nil {
			return err
		}
		stats.Reads.Add(1)
		stats.Bytes.Add(int64(len(sc.buf)))
		sc.budget = min(8*sc.budget, mostBytes)
		for _, p := range sc.pieces {
			if err := ctx.Err(); err != nil {
				return err
			}
			if now := time.Now(); now.Sub(turn) > longestTurn {
				runtime.Gosched()
				turn = now
			}
			more, err := sc.yieldBlock(sc.buf[p.from:p.to], yield)
			if err != nil {
				return damagedBlock(sc.device, p.time, err)
			}
			if !more {
				return nil
			}
		}
	}
	return ctx.Err()
}

// fill copies the next blocks of the rest, at least one if there is any and about
// as many bytes as the budget says, in the order of the read, and narrows the
// rest to what follows them.
//
// What is written between two fills does not move rows across the border between
// what was copied and what was not. That is where a block begins, not the first
// of the device, and there one will always begin: rows in front of it go into the
// block before, and blocks are split but never joined.
func (sc *scan) fill(tx *bolt.Tx) error {
	sc.buf, sc.pieces = sc.buf[:0], sc.pieces[:0]
	w := sc.rest
	sc.rest.more = false
	c, err := contentOf(tx)
	if err != nil {
		return err
	}
	d, err := c.device(sc.device)
	if err == nil && d.indexes != nil {
		err = sc.resolve(c, &d)
	}
	if err != nil {
		return damagedDevice(sc.device, err)
	}
	for r, err := range c.blocksOf(&d, &w) {
		if err != nil {
			return damagedDevice(sc.device, err)
		}
		block, err := c.block(&d, r)
		if err != nil {
			return damagedBlock(sc.device, r.time, err)
		}
		if len(sc.buf) > 0 && len(sc.buf)+len(block) > sc.budget {
			sc.rest.more = true
			if !w.descending {
				sc.rest.from = r.time
			}
			return nil
		}
		sc.pieces = append(sc.pieces, piece{r.time, len(sc.buf), len(sc.buf) + len(block)})
		sc.buf = append(sc.buf, block...)
		if w.descending {
			sc.rest.to = r.time.Add(-1) // all before this block, whatever is put there meanwhile
		}
	}
	return nil
}

// resolve finds the ids of the columns. A property that another call writes for
// the first time while this read is under way gets its id then.
func (sc *scan) resolve(c content, d *device) error {
	if sc.names == d.names {
		return nil
	}
	sc.table = sc.table[:0]
	for name, err := range c.properties(d) {
		if err != nil {
			return err
		}
		sc.table = append(sc.table, slices.IndexFunc(sc.columns, func(c string) bool { return c == string(name) }))
	}
	sc.names = d.names
	return nil
}

// yieldBlock yields the rows of a block that are in the window, and returns whether
// the read goes on.
func (sc *scan) yieldBlock(block []byte, yield func(hotreader.Row, error) bool) (more bool, err error) {
	rows, err := sc.decoder.decode(block)
	if err != nil {
		return false, err
	}
	w := &sc.want
	first, last := rows[0].time, rows[len(rows)-1].time
	if w.descending {
		first, last = last, first
	}
	if c := first.Compare(sc.edge); !sc.edge.IsZero() && (c == 0 || c < 0 != w.descending) {
		return false, errOrder
	}
	sc.edge = last
	for i := range rows {
		r := &rows[i]
		if w.descending {
			r = &rows[len(rows)-1-i]
		}
		switch {
		case w.before(r.time) && w.descending, w.after(r.time) && !w.descending:
			return false, nil
		case w.before(r.time), w.after(r.time):
			continue
		}
		if err := r.values(sc.table, sc.values); err != nil {
			return false, err
		}
		if !yield(hotreader.Row{Time: r.time, Values: sc.values}, nil) {
			return false, nil
		}
	}
	return true, nil
}
