// Package boltstore keeps rows in one bbolt file: the embedded store, for the
// demo, for tests and for one machine without a cloud.
//
// Rows lie in blocks of about 6 KB, a few hundred rows each (see block.go), so a
// file is little larger than the digits in it, and a scan is a walk over
// neighbouring bytes. Every record has a checksum, which the record above it
// holds (see records.go), and every value is checked when it is decoded: a
// changed or crafted record is an error, never a wrong row. bbolt's own pages
// are trusted; a file that makes bbolt itself fail is outside the promise.
//
// A read holds a transaction only while it copies the next few blocks, never
// while the caller looks at rows. So a slow reader does not keep a writer from
// reusing pages, and a loop that reads may write. What is written while a read
// is under way may or may not show in it; what was there before does, once, in
// order.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"hotreader"
)

const (
	pageBytes = 4096        // of the file, on every machine, so that files can be carried
	lockWait  = time.Second // for another process to close the file
)

// Options say how a store is opened. The zero value is right for most.
type Options struct {
	// ReadOnly shares the file with other processes that read it. It must
	// exist. Write then fails with CodeForbidden.
	ReadOnly bool
}

// Store is a hotreader.Store in one file. It is safe for concurrent use.
type Store struct {
	path  string
	db    *bolt.DB
	scans sync.Pool // *scan
}

var (
	_ hotreader.Store   = (*Store)(nil)
	_ hotreader.Updater = (*Store)(nil)
)

// Open opens the store in the file at path, and creates it if there is none
// (unless o says ReadOnly). It rejects a file that is not a store, or is damaged,
// and leaves it as it is:
//
//	CodeNotFound     the file (ReadOnly) or its directory does not exist
//	CodeForbidden    no permission
//	CodeUnavailable  another process has it open
//	CodeConfig       a directory, another program's file, another format
//	CodeCorrupt      damaged or cut short
func Open(path string, o Options) (*Store, error) {
	s := &Store{path: path}
	if err := guard(func() error { return s.open(o.ReadOnly) }); err != nil {
		if s.db != nil {
			_ = s.db.Close() // err says more
		}
		return nil, s.wrap("open", err)
	}
	return s, nil
}

func (s *Store) open(readOnly bool) error {
	empty, err := missing(s.path, readOnly)
	if err != nil {
		return err
	}
	if !empty {
		// bbolt may change a file that it opens to write, so what it is comes first.
		if s.db, err = openFile(s.path, true); err != nil {
			return err
		}
		if empty, err = s.examine(readOnly); err != nil || readOnly {
			return err
		}
		if err := s.db.Close(); err != nil {
			return err
		}
	}
	if s.db, err = openFile(s.path, false); err != nil || !empty {
		return err
	}
	if err := s.db.Update(format); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

func openFile(path string, readOnly bool) (*bolt.DB, error) {
	return bolt.Open(path, 0o600, &bolt.Options{
		Timeout:      lockWait,
		ReadOnly:     readOnly,
		PageSize:     pageBytes,
		FreelistType: bolt.FreelistMapType,
		NoStatistics: true,
	})
}

// missing reports whether there is nothing at path yet, or rejects what bbolt
// should not open.
func missing(path string, readOnly bool) (bool, error) {
	if path == "" {
		return false, refuse(hotreader.CodeConfig, "no file is named")
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !readOnly {
		_, err := os.Stat(filepath.Dir(path))
		return true, err
	}
	switch {
	case err != nil:
		return false, err
	case info.IsDir():
		return false, refuse(hotreader.CodeConfig, "it is a directory; name a file in it")
	case !info.Mode().IsRegular():
		return false, refuse(hotreader.CodeConfig, "it is not a regular file (%v)", info.Mode().Type())
	case info.Size() == 0 && readOnly:
		return false, errEmpty
	case info.Size() > 0 && info.Size() < 2*pageBytes: // bbolt's two heads
		return false, errForeign
	}
	return info.Size() == 0, nil // empty: its maker was killed before it could fill it
}

// examine rejects a file that is cut short, where bbolt would end the process,
// and what is not a store of this format. It reports whether there is nothing in
// the file yet.
func (s *Store) examine(readOnly bool) (empty bool, err error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return false, err
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		if info.Size() < tx.Size() {
			return refuse(hotreader.CodeCorrupt, "it is cut short: %d bytes are left of %d; restore a copy of it, or delete it and import its data again",
				info.Size(), tx.Size())
		}
		b := tx.Bucket(bucketName)
		if b == nil {
			// Its maker was killed between bbolt's first transaction and ours.
			empty = tx.ID() <= 1
			switch {
			case !empty:
				return errForeign
			case readOnly:
				return errEmpty
			}
			return nil
		}
		if version := b.Get(formatKey); string(version) != string(formatValue) {
			return refuse(hotreader.CodeConfig, "its format is %.20q, this program knows only %q; import its data into a new file, or use the version of this program that wrote it",
				version, formatValue)
		}
		_, err := contentOf(tx)
		return err
	})
	return empty, err
}

// format makes a store of a file that holds nothing.
func format(tx *bolt.Tx) error {
	if tx.Bucket(bucketName) != nil {
		return nil
	}
	b, err := tx.CreateBucket(bucketName)
	if err != nil {
		return err
	}
	if err := b.Put(formatKey, formatValue); err != nil {
		return err
	}
	return putRoot(tx, make([]byte, rootBytes))
}

// syncDir makes a new file in dir outlast a power cut, where directories can be
// synced.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil || runtime.GOOS == "windows" {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Close closes the file. Reads and writes under way fail with CodeUnavailable,
// and so do later ones.
func (s *Store) Close() error { return s.wrap("close", s.db.Close()) }

// guard runs f. bbolt panics with a text when a page is not the one that it
// expects: guard returns that as damage of the file. Any other panic is a defect
// and goes on.
func guard(f func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case string:
			err = errPage
		default:
			panic(p)
		}
	}()
	return f()
}

// damage is what is wrong with a file.
type damage string

func (d damage) Error() string { return string(d) }

const (
	errPage  damage = "a page of the file is damaged"
	errLost  damage = "it is not where it should be"
	errCheck damage = "its checksum does not match"
	errForm  damage = "its content is malformed"
	errOrder damage = "it overlaps its neighbour"
)

var (
	errForeign = refuse(hotreader.CodeConfig, "it is not a store but a file of another kind or program; name another one, and import a file of rows into it first")
	errEmpty   = refuse(hotreader.CodeConfig, "it is empty; import something into it first")
)

// refuse returns an error that still lacks its Op.
func refuse(code hotreader.Code, format string, args ...any) error {
	return &hotreader.Error{Code: code, Err: fmt.Errorf(format, args...)}
}

func damagedBlock(device string, t time.Time, err error) error {
	return fmt.Errorf("a block of device %.60q, at %s, is damaged: %w", device, t.Format(time.RFC3339Nano), err)
}

func damagedDevice(device string, err error) error {
	return fmt.Errorf("the directory of device %.60q is damaged: %w", device, err)
}

// wrap makes an *hotreader.Error of what bbolt or the system returned.
func (s *Store) wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	e := &hotreader.Error{Op: "boltstore: " + verb + " " + s.path, Code: hotreader.CodeStore, Err: err}
	if inner, ok := errors.AsType[*hotreader.Error](err); ok {
		e.Code, e.Err = inner.Code, inner.Err
		return e
	}
	_, damaged := errors.AsType[damage](err)
	switch {
	case damaged:
		e.Code, e.Err = hotreader.CodeCorrupt, fmt.Errorf("%w; restore a copy of the file, or import its data into a new one", err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Code = hotreader.CodeOf(err)
	case errors.Is(err, fs.ErrNotExist):
		e.Code, e.Err = hotreader.CodeNotFound, fmt.Errorf("%w; check the path, an import makes the file but not its directory", err)
	case errors.Is(err, fs.ErrPermission):
		e.Code, e.Err = hotreader.CodeForbidden, fmt.Errorf("%w; run as the file's owner, or let that one allow it", err)
	case errors.Is(err, bolterrors.ErrTimeout):
		e.Code, e.Err = hotreader.CodeUnavailable, errors.New("another process has the file open, an import or a server perhaps; "+
			"wait for it or stop it (on Linux, fuser names it). Several may read at once, if all of them open it read-only")
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch):
		return s.wrap(verb, errForeign)
	case errors.Is(err, bolterrors.ErrChecksum):
		return s.wrap(verb, errPage)
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		e.Code, e.Err = hotreader.CodeUnavailable, errors.New("the store is closed")
	case errors.Is(err, bolterrors.ErrDatabaseReadOnly):
		e.Code, e.Err = hotreader.CodeForbidden, errors.New("the store is opened read-only")
	}
	return e
}
