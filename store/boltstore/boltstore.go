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
// Damage is found where it matters: blocks carry checksums, and bbolt knows its
// pages by number and kind. But bbolt's own pages carry no checksum, so a single
// bit that flips within one of them may go unnoticed.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
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
	pageBytes = 4096        // of the file, on every machine, so that files can be carried
	lockWait  = time.Second // for another process to close the file

	firstBytes = 1 << 10   // copied at first, if few rows are wanted
	mostBytes  = 128 << 10 // copied in one transaction; a single block may be larger
	keepBytes  = 1 << 20   // a larger buffer is not kept for the next read
)

// Options say how a store is opened. The zero value is right for most.
type Options struct {
	// ReadOnly shares the file with other processes that read it. It must
	// exist. Write then fails with CodeForbidden.
	ReadOnly bool
}

// Store is a hotreader.Store in one file. It is safe for concurrent use.
type Store struct {
	path   string
	file   *os.File // db's
	db     *bolt.DB // nil if it could not be opened
	broken atomic.Pointer[hotreader.Error]
	scans  sync.Pool // *scan
	mapped residue
}

var _ hotreader.Store = (*Store)(nil)

// Close closes the file. Reads and writes under way fail with CodeUnavailable,
// and so do later ones.
func (s *Store) Close() error {
	var err error
	if s.db != nil && s.broken.Load() == nil {
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
		if p := recover(); p != nil {
			e := damaged(op, p)
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
		if p := recover(); p != nil {
			err = damaged(op, p)
		}
	}()
	return f()
}

func damaged(op string, p any) *hotreader.Error {
	return &hotreader.Error{Op: op, Code: hotreader.CodeCorrupt,
		Err: fmt.Errorf("the file is damaged, or was changed from outside while it was open (%.200s); restore it from a copy, or delete it and import again", fmt.Sprint(p))}
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
	}
	return e
}

// scan is the memory of one read.
type scan struct {
	decoder decoder
	buf     []byte            // copies of blocks, key then value
	blocks  []piece           // of buf
	table   []int             // column of each property id, -1 = not wanted
	found   []bool            // columns whose id is known
	values  []hotreader.Value // of the columns
	rows    []position        // of one block, for descending reads
	edge    time.Time         // the last instant of the block before; for descending reads, its first
	begun   bool              // there was a block before
}

type piece struct{ key, value, end int }

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
	sc.found = resize(sc.found, len(columns))
	clear(sc.found)
	sc.table = sc.table[:0]
	sc.begun = false
	stats := hotreader.StatsOf(ctx)
	descending := q.Last || q.Order == hotreader.Descending

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
			p := sc.blocks[i]
			key, value := sc.buf[p.key:p.value], sc.buf[p.value:p.end]
			more, err := sc.block(q, sieve, key, value, descending, yield)
			if err != nil {
				return s.damagedBlock(q.Device, key, err)
			}
			if !more {
				return nil
			}
		}
	}
	return ctx.Err()
}

func (s *Store) damagedBlock(device string, key []byte, err error) error {
	at, _ := keyTime(key)
	return &hotreader.Error{Op: "boltstore: read " + s.path, Code: hotreader.CodeCorrupt,
		Err: fmt.Errorf("a block of device %.60q, at %s, is damaged: %w; restore the file from a copy, or import its data into a new one",
			device, at.Format(time.RFC3339Nano), err)}
}

// block yields the rows of one block, and returns whether the read goes on.
func (sc *scan) block(q *hotreader.Query, sieve *hotreader.Sieve, key, value []byte, descending bool, yield func(hotreader.Row, error) bool) (bool, error) {
	d := &sc.decoder
	if err := d.reset(key, value); err != nil {
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
	first := d.time
	for {
		more, err := d.head()
		if err != nil {
			return false, err
		}
		if !more || !q.End.IsZero() && d.time.After(q.End) {
			break
		}
		sc.rows = append(sc.rows, position{d.time, d.at, d.shape, d.end})
		if err := d.skip(); err != nil {
			return false, err
		}
	}
	if sc.begun && !d.time.Before(sc.edge) {
		return false, errOrder
	}
	sc.edge, sc.begun = first, true
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
func (s *Store) fill(device string, columns []string, sc *scan, rest *window, descending bool, budget int) error {
	sc.buf, sc.blocks = sc.buf[:0], sc.blocks[:0]
	op := "boltstore: read " + s.path
	return s.guard(op, func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			return inside(op, func() error {
				rest.open = sc.copyBlocks(tx, device, columns, rest, descending, budget)
				s.mapped.release(tx, len(sc.buf))
				return nil
			})
		})
	})
}

// copyBlocks is fill within a transaction. It returns whether more may follow.
func (sc *scan) copyBlocks(tx *bolt.Tx, device string, columns []string, rest *window, descending bool, budget int) bool {
	devices := tx.Bucket(deviceBucket)
	if devices == nil {
		return false
	}
	b := devices.Bucket([]byte(device))
	if b == nil {
		return false
	}
	sc.resolve(b, columns)
	c := b.Cursor()
	var key [keyBytes]byte
	var k, v []byte
	if descending {
		if rest.to.IsZero() {
			k, v = c.Last()
		} else {
			k, v = floor(c, appendKey(key[:0], rest.to))
		}
	} else {
		if !rest.from.IsZero() {
			k, v = floor(c, appendKey(key[:0], rest.from))
		}
		if k == nil {
			k, v = c.Seek([]byte{rowKey})
		}
	}
	for ; len(k) > 0 && k[0] == rowKey; k, v = step(c, descending) {
		t, ok := keyTime(k)
		if ok && !descending && !rest.to.IsZero() && t.After(rest.to) {
			return false
		}
		if len(sc.buf) > 0 && len(sc.buf)+len(v) > budget {
			if !descending {
				rest.from = t
			}
			return true
		}
		at := len(sc.buf)
		sc.buf = append(append(sc.buf, k...), v...)
		sc.blocks = append(sc.blocks, piece{at, at + len(k), len(sc.buf)})
		if descending {
			// All before this block, whatever is put there meanwhile.
			if rest.to = t.Add(-1); !rest.from.IsZero() && !t.After(rest.from) {
				return false
			}
		}
	}
	return false
}

// resolve finds the ids of columns that are not known yet. A property that
// another call writes for the first time while this read is under way gets its
// id then.
func (sc *scan) resolve(b *bolt.Bucket, columns []string) {
	var name [1 + hotreader.MaxNameBytes]byte
	for i, c := range columns {
		if sc.found[i] {
			continue
		}
		id, ok := nameID(b.Get(append(append(name[:0], nameKey), c...)))
		if !ok {
			continue
		}
		for uint64(len(sc.table)) <= id {
			sc.table = append(sc.table, -1)
		}
		sc.table[id], sc.found[i] = i, true
	}
}

// floor returns the block with the greatest key up to key, nil if none.
func floor(c *bolt.Cursor, key []byte) (k, v []byte) {
	k, v = c.Seek(key)
	if string(k) == string(key) {
		return k, v
	}
	if k == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	if len(k) == 0 || k[0] != rowKey {
		return nil, nil
	}
	return k, v
}

func step(c *bolt.Cursor, descending bool) (k, v []byte) {
	if descending {
		return c.Prev()
	}
	return c.Next()
}
