// Package boltstore keeps rows in one bbolt file: the embedded store, for the
// demo, for tests and for whoever has one machine and no cloud.
//
// Rows lie in blocks of about 6 KB, a few hundred rows each, every block with
// its checksum (see block.go), so a file is little larger than the digits in it
// and a scan is a walk over neighbouring bytes.
//
// A read holds a transaction only while it copies the next few blocks, never
// while the caller looks at rows. So a slow reader does not keep a writer from
// reusing pages, a loop that reads may write, and damage of the mapped file is
// met in one place, where it becomes an error. What is written while a read is
// under way may or may not show in it; what was there before does, once, in
// order.
//
// Damage of the file is found where it matters, and nowhere else is looked for
// it: what a read needs is proved by checksums from the file's head down to the
// rows, also that there are no more of them (see records.go). It costs a
// thousandth of what is read, and a few KB at each read.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"hotreader"
)

const (
	lockWait = time.Second // for another process to close the file

	firstBytes = 1 << 10   // copied at first, if few rows are wanted
	mostBytes  = 128 << 10 // copied in one transaction; a single block may be larger
	keepBytes  = 1 << 20   // a larger buffer is not kept for the next read

	// A read never waits for anything, so Go would let it have a processor for
	// 10 ms at a time. With some dozens of them, each request that comes then
	// waits for a quarter of a second to be as much as looked at.
	longestTurn = time.Millisecond
)

// Options say how a store is opened. The zero value is right for most.
type Options struct {
	// ReadOnly shares the file with other processes that read it. It must
	// exist. Write then fails with CodeForbidden.
	ReadOnly bool
}

// Store is a hotreader.Store in one file. It is safe for concurrent use.
type Store struct {
	path    string
	reading string   // the operation, in errors
	file    *os.File // db's
	db      *bolt.DB // nil if it could not be opened
	broken  atomic.Pointer[hotreader.Error]
	newest  atomic.Int64 // transaction known to be in the file; there is none without
	wrote   atomic.Bool
	scans   sync.Pool // *scan
	mapped  residue
}

var _ hotreader.Store = (*Store)(nil)

// Close closes the file. Reads and writes under way fail with CodeUnavailable,
// and so do later ones.
func (s *Store) Close() error {
	var err error
	if s.db != nil && s.broken.Load() == nil {
		if s.wrote.Swap(false) {
			// bbolt has two heads in turn. Both shall lead to what was written,
			// should one of them get lost. If this fails, it is there nevertheless.
			_ = s.update("close", nil)
		}
		err = s.guard("boltstore: close "+s.path, s.db.Close)
	} else if s.file != nil {
		// bbolt broke off somewhere inside and may hold its locks for good, and
		// the file mapped.
		unlock(s.file)
		if err = s.file.Close(); errors.Is(err, os.ErrClosed) {
			err = nil
		}
	}
	return s.wrap("close", err)
}

// guard runs f, in which bbolt may panic or the mapped file may turn out to be
// shorter than it was, and returns that as an error. The store is then broken:
// nobody knows which of bbolt's locks are held.
func (s *Store) guard(op string, f func() error) (err error) {
	if e := s.broken.Load(); e != nil {
		return e
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			e := damaged(op)
			s.broken.Store(e)
			err = e
		}
	}()
	return f()
}

// inside runs f within a transaction. Its panic need not break the store, for
// the transaction is rolled back in good order.
func inside(op string, f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = damaged(op)
		}
	}()
	return f()
}

// damaged returns what a panic is taken for. Its own text would help nobody who
// has a damaged file.
func damaged(op string) *hotreader.Error {
	return &hotreader.Error{Op: op, Code: hotreader.CodeCorrupt, Err: advise(errPage)}
}

// advise says what to do about damage.
func advise(err error) error {
	return fmt.Errorf("%w; restore a copy of it, or import its data into a new one", err)
}

func isDamage(err error) bool {
	for _, e := range []error{errPage, errLost, errCheck, errForm, errOrder} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func damagedBlock(device string, t time.Time, err error) error {
	return refuse(hotreader.CodeCorrupt, "a block of device %.60q, at %s, is damaged: %w; restore a copy of the file, or import its data into a new one",
		device, t.Format(time.RFC3339Nano), err)
}

func damagedDevice(device string, err error) error {
	return refuse(hotreader.CodeCorrupt, "the directory of device %.60q is damaged: %w; restore a copy of the file, or import its data into a new one", device, err)
}

// seen notes that a transaction is in the file.
func (s *Store) seen(id int64) {
	for {
		old := s.newest.Load()
		if old >= id || s.newest.CompareAndSwap(old, id) {
			return
		}
	}
}

// wrap makes an *hotreader.Error of what bbolt or the system returned.
func (s *Store) wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	op := "boltstore: " + verb + " " + s.path
	if e, ok := errors.AsType[*hotreader.Error](err); ok {
		if e.Op == "" { // see refuse
			return &hotreader.Error{Op: op, Code: e.Code, Err: e.Err}
		}
		return err
	}
	e := &hotreader.Error{Op: op, Code: hotreader.CodeStore, Err: err}
	switch {
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		e.Code, e.Err = hotreader.CodeUnavailable, errors.New("the store is closed")
	case errors.Is(err, bolterrors.ErrDatabaseReadOnly):
		e.Code, e.Err = hotreader.CodeForbidden, errors.New("the store is opened read-only")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Code = hotreader.CodeOf(err)
	case isDamage(err):
		e.Code, e.Err = hotreader.CodeCorrupt, advise(err)
	}
	return e
}

// scan is the memory of one read.
type scan struct {
	decoder decoder
	buf     []byte            // copies of blocks
	blocks  []piece           // of buf
	table   []int             // column of each property id, -1 = not wanted
	names   uint32            // check of the names that table is for, 0 = of none
	values  []hotreader.Value // of the columns
	rows    []position        // of one block, for descending reads
	edge    time.Time         // the last instant of the block before; for descending reads, its first
	begun   bool              // there was a block before
}

// piece is a block, data[at:end].
type piece struct {
	time    time.Time // of its first row
	at, end int
}

type position struct {
	time           time.Time
	at, shape, end int
}

// Read answers q.
func (s *Store) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		sieve, err := hotreader.NewSieve(ctx, q)
		if err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		defer sieve.Close()
		sc, _ := s.scans.Get().(*scan)
		if sc == nil {
			sc = new(scan)
		}
		defer func() {
			if cap(sc.buf) <= keepBytes {
				s.scans.Put(sc)
			}
		}()
		if err := s.read(ctx, &q, sieve, sc, yield); err != nil {
			yield(hotreader.Row{}, s.wrap("read", err))
		}
	}
}

// read yields the rows of q. The error it returns is still to be yielded.
func (s *Store) read(ctx context.Context, q *hotreader.Query, sieve *hotreader.Sieve, sc *scan, yield func(hotreader.Row, error) bool) error {
	columns := sieve.Columns()
	sc.values = resize(sc.values, len(columns))
	sc.table, sc.names = sc.table[:0], 0
	sc.begun = false
	stats := hotreader.StatsOf(ctx)
	descending := q.Last || q.Order == hotreader.Descending

	turn := time.Now()
	// rest is what has not been copied yet.
	rest := window{from: q.Start, to: q.End, open: true}
	budget := mostBytes
	if sieve.Want() > 0 {
		budget = firstBytes
	}
	for rest.open {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.fill(q.Device, columns, sc, &rest, descending, budget); err != nil {
			return err
		}
		stats.Reads.Add(1)
		stats.Bytes.Add(int64(len(sc.buf)))
		budget = min(8*budget, mostBytes)
		for i := range sc.blocks {
			if err := ctx.Err(); err != nil {
				return err
			}
			if now := time.Now(); now.Sub(turn) > longestTurn {
				runtime.Gosched()
				turn = now
			}
			p := sc.blocks[i]
			more, err := sc.block(q, sieve, sc.buf[p.at:p.end], descending, yield)
			if err != nil {
				return damagedBlock(q.Device, p.time, err)
			}
			if !more {
				return nil
			}
		}
	}
	return ctx.Err()
}

// block yields the rows of one block, and returns whether the read goes on.
func (sc *scan) block(q *hotreader.Query, sieve *hotreader.Sieve, value []byte, descending bool, yield func(hotreader.Row, error) bool) (bool, error) {
	d := &sc.decoder
	if err := d.reset(value); err != nil {
		return false, err
	}
	if !descending {
		for {
			more, err := d.head()
			if !more {
				sc.edge, sc.begun = d.time, true
				return err == nil, err
			}
			if sc.begun && !d.time.After(sc.edge) {
				return false, errOrder
			}
			if !q.Start.IsZero() && d.time.Before(q.Start) {
				if err := d.skip(); err != nil {
					return false, err
				}
				continue
			}
			if !q.End.IsZero() && d.time.After(q.End) {
				return false, nil
			}
			if more, err := sc.row(q, sieve, yield); !more {
				return false, err
			}
		}
	}
	sc.rows = sc.rows[:0]
	begin := d.time
	for {
		more, err := d.head()
		if err != nil {
			return false, err
		}
		if more && sc.begun && !d.time.Before(sc.edge) {
			return false, errOrder
		}
		if !more || !q.End.IsZero() && d.time.After(q.End) {
			break
		}
		sc.rows = append(sc.rows, position{d.time, d.at, d.shape, d.end})
		if err := d.skip(); err != nil {
			return false, err
		}
	}
	sc.edge, sc.begun = begin, true
	for _, p := range slices.Backward(sc.rows) {
		if !q.Start.IsZero() && p.time.Before(q.Start) {
			return false, nil
		}
		d.time, d.at, d.shape, d.end = p.time, p.at, p.shape, p.end
		if more, err := sc.row(q, sieve, yield); !more {
			return false, err
		}
	}
	return true, nil
}

// row reads the values of the decoder's current row and yields them if they
// belong to the answer. It returns whether the read goes on.
func (sc *scan) row(q *hotreader.Query, sieve *hotreader.Sieve, yield func(hotreader.Row, error) bool) (bool, error) {
	d := &sc.decoder
	clear(sc.values)
	for _, id := range d.ids[d.shape:d.end] {
		v, ok := d.value()
		if !ok {
			return false, errForm
		}
		if id < uint64(len(sc.table)) && sc.table[id] >= 0 {
			sc.values[sc.table[id]] = v
		}
	}
	if sieve.Keep(d.time, sc.values) && !yield(hotreader.Row{Time: d.time, Values: sc.values[:len(q.Properties)]}, nil) {
		return false, nil
	}
	return !sieve.Done(), nil
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// window is a range of instants, both ends inclusive, zero = open.
type window struct {
	from, to time.Time
	open     bool // there may be something in it
}

// fill copies the next blocks of rest, at least one if there is any and about
// budget bytes, in the order of the read, and narrows rest to what lies behind
// them.
//
// What is written between two fills does not move rows across the border between
// what was copied and what was not. That is where a block begins, not the first
// of the device, and there one will always begin: rows in front of it go into the
// block before, and blocks are split but never joined.
func (s *Store) fill(device string, columns []string, sc *scan, rest *window, descending bool, budget int) error {
	sc.buf, sc.blocks = sc.buf[:0], sc.blocks[:0]
	least := s.newest.Load()
	return s.guard(s.reading, func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			return inside(s.reading, func() (err error) {
				id := tx.ID()
				if int64(id) < least {
					return errPage // bbolt's newest head is not valid any more
				}
				rest.open, err = sc.copyBlocks(tx, device, columns, rest, descending, budget)
				s.mapped.release(tx, len(sc.buf)+indexRefs*refBytes)
				return err
			})
		})
	})
}

// copyBlocks is fill within a transaction. It returns whether more may follow.
func (sc *scan) copyBlocks(tx *bolt.Tx, device string, columns []string, rest *window, descending bool, budget int) (bool, error) {
	t, err := treeOf(tx)
	if err != nil {
		return false, err
	}
	root, err := t.root(tx.ID())
	if err != nil {
		return false, err
	}
	shard, err := t.shard(root, shardOf(device))
	if err != nil {
		return false, err
	}
	d, err := t.device(shard, device)
	if err == nil && d.indexes != nil {
		err = sc.resolve(&t, &d, columns)
	}
	if err != nil {
		return false, damagedDevice(device, err)
	}

	step, from := 1, rest.from
	if descending {
		step, from = -1, rest.to
	}
	// Where the read begins. Descending, there may be nothing before.
	begin := func(list refs) int {
		switch {
		case !from.IsZero() && descending:
			return list.floor(from)
		case !from.IsZero():
			return max(list.floor(from), 0)
		case descending:
			return list.len() - 1
		}
		return 0
	}
	for i := begin(d.indexes); i >= 0 && i < d.indexes.len(); i += step {
		r := d.indexes.at(i)
		if !descending && !rest.to.IsZero() && r.time.After(rest.to) {
			return false, nil
		}
		list, err := t.index(&d, r)
		if err != nil {
			return false, damagedDevice(device, err)
		}
		for j := begin(list); j >= 0 && j < list.len(); j += step {
			r := list.at(j)
			if !descending && !rest.to.IsZero() && r.time.After(rest.to) {
				return false, nil
			}
			block, err := t.block(&d, r)
			if err != nil {
				return false, damagedBlock(device, r.time, err)
			}
			if len(sc.buf) > 0 && len(sc.buf)+len(block) > budget {
				if !descending {
					rest.from = r.time
				}
				return true, nil
			}
			at := len(sc.buf)
			sc.buf = append(sc.buf, block...)
			sc.blocks = append(sc.blocks, piece{r.time, at, len(sc.buf)})
			if descending {
				// All before this block, whatever is put there meanwhile.
				if rest.to = r.time.Add(-1); !rest.from.IsZero() && !r.time.After(rest.from) {
					return false, nil
				}
			}
		}
		from = time.Time{} // the next index is read from its begin, or end
	}
	return false, nil
}

// resolve finds the ids of columns. A property that another call writes for the
// first time while this read is under way gets its id then.
func (sc *scan) resolve(t *tree, d *device, columns []string) error {
	if sc.names == d.names {
		return nil
	}
	names, err := t.properties(d)
	if err != nil {
		return err
	}
	sc.table = sc.table[:0]
	for len(names) > 0 {
		name, rest, ok := nextName(names)
		if !ok {
			return errForm
		}
		column := -1
		for i, c := range columns {
			if c == string(name) {
				column = i
			}
		}
		sc.table = append(sc.table, column)
		names = rest
	}
	sc.names = d.names
	return nil
}
