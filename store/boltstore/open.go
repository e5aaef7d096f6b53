package boltstore

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"hotreader"
)

// Open opens the store in the file at path, and makes it if there is none
// (unless o says ReadOnly). Anything that is not a store of ours, or is one no
// longer, is refused and left as it is:
//
//	CodeNotFound     the file (ReadOnly) or its directory does not exist
//	CodeForbidden    no permission
//	CodeUnavailable  another process has it open
//	CodeConfig       a directory, another program's file, another format
//	CodeCorrupt      damaged or cut short
func Open(path string, o Options) (*Store, error) {
	s := &Store{path: path, reading: "boltstore: read " + path}
	op := "boltstore: open " + path
	created, err := inspect(path, o.ReadOnly)
	if err != nil {
		return nil, openError(op, err)
	}
	err = s.guard(op, func() (err error) {
		s.db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:      lockWait,
			ReadOnly:     o.ReadOnly,
			PageSize:     pageBytes,
			FreelistType: bolt.FreelistMapType,
			NoStatistics: true,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, mode)
				s.file = f
				return f, err
			},
		})
		return err
	})
	if err == nil {
		err = s.guard(op, func() error { return s.claim(op, o.ReadOnly) })
	}
	if err == nil && created {
		err = syncDir(filepath.Dir(path))
	}
	if err == nil {
		return s, nil
	}
	_ = s.Close() // err says more
	return nil, openError(op, err)
}

// refuse returns an error that still lacks its Op.
func refuse(code hotreader.Code, format string, args ...any) error {
	return &hotreader.Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// openError makes an *hotreader.Error of what kept a file from being opened.
func openError(op string, err error) error {
	if e, ok := errors.AsType[*hotreader.Error](err); ok {
		return &hotreader.Error{Op: op, Code: e.Code, Err: e.Err}
	}
	e := &hotreader.Error{Op: op, Code: hotreader.CodeStore, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Code, e.Err = hotreader.CodeNotFound, fmt.Errorf("%w; check the path, an import makes the file but not its directory", err)
	case errors.Is(err, fs.ErrPermission):
		e.Code, e.Err = hotreader.CodeForbidden, fmt.Errorf("%w; run as the file's owner, or let that one allow it", err)
	case errors.Is(err, bolterrors.ErrTimeout):
		e.Code, e.Err = hotreader.CodeUnavailable, errors.New("another process has the file open, an import or a server perhaps; "+
			"wait for it or stop it (on Linux, fuser names it). Several may read at once, if all of them open it read-only")
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		e.Code, e.Err = hotreader.CodeCorrupt, errHead
	case isDamage(err):
		e.Code, e.Err = hotreader.CodeCorrupt, advise(err)
	}
	return e
}

// inspect looks at what is at path before it is mapped into memory, where a
// file that is too short would end the process. created = there is nothing yet.
func inspect(path string, readOnly bool) (created bool, err error) {
	if path == "" {
		return false, refuse(hotreader.CodeConfig, "no file is named")
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !readOnly {
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return false, err
		}
		return true, nil
	}
	switch {
	case err != nil:
		return false, err
	case info.IsDir():
		return false, refuse(hotreader.CodeConfig, "it is a directory; name a file in it")
	case !info.Mode().IsRegular():
		return false, refuse(hotreader.CodeConfig, "it is no regular file (%v)", info.Mode().Type())
	case info.Size() == 0 && !readOnly:
		return true, nil // made by a process that was killed before it could fill it
	case info.Size() == 0:
		return false, refuse(hotreader.CodeConfig, "it is empty; import something into it first")
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	// Another process that is writing changes the head and makes the file longer.
	for wait := time.Duration(0); !share(f); wait += lockStep {
		if wait >= lockWait {
			return false, bolterrors.ErrTimeout
		}
		time.Sleep(lockStep)
	}
	return false, examine(f)
}

// lockStep is the time between two tries to lock the file.
const lockStep = 20 * time.Millisecond

// bbolt's head is a page, of which there are two, pages 0 and 1, that are
// written in turn: behind the page's header magic, version, page size and flags
// of 4 bytes each, then of 8 bytes each root page, sequence, freelist page,
// number of pages, transaction and FNV-1a checksum, all in the byte order of the
// machine.
const (
	metaMagic  = 0xED0CDAED
	metaFormat = 2
	metaBytes  = 80
)

type meta struct {
	ours, valid bool
	size        uint32 // of a page
	freelist    uint64
	pages       uint64
	id          uint64 // of the transaction
}

func readMeta(f io.ReaderAt, at int64) (m meta) {
	var page [metaBytes]byte
	if n, _ := f.ReadAt(page[:], at); n < len(page) {
		return m
	}
	order := binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(page[16:72])
	m = meta{
		ours: order.Uint32(page[16:]) == metaMagic, size: order.Uint32(page[24:]),
		freelist: order.Uint64(page[48:]), pages: order.Uint64(page[56:]), id: order.Uint64(page[64:]),
	}
	m.valid = m.ours && order.Uint32(page[20:]) == metaFormat && sum.Sum64() == order.Uint64(page[72:])
	return m
}

var errHead = errors.New("its head is damaged; restore a copy of it, or delete it and import its data again")

// examine looks at what bbolt would take for granted: the two heads, and its
// list of free pages.
//
// bbolt does with one valid head, for the other may be torn by a power failure.
// But then the newest write may be lost without a word; and as a head lies
// within one sector of a disk, which is written whole or not at all, a head that
// is not valid is damage.
func examine(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	m, older := readMeta(f, 0), readMeta(f, pageBytes)
	if !m.valid || older.valid && older.id > m.id {
		m, older = older, m
	}
	switch {
	case !m.ours && !older.ours:
		for size := int64(1 << 10); size <= 1<<24; size <<= 1 {
			if readMeta(f, size).valid {
				return refuse(hotreader.CodeConfig, "it is a bbolt file of another program; name another one")
			}
		}
		return refuse(hotreader.CodeConfig, "it is not a store but a file of another kind; name another one")
	case m.valid && m.size != pageBytes:
		return refuse(hotreader.CodeConfig, "it is a bbolt file of another program; name another one")
	case m.valid && uint64(info.Size())/pageBytes < m.pages:
		return refuse(hotreader.CodeCorrupt, "it is cut short: %d bytes are left of %d; restore a copy of it, or delete it and import its data again",
			info.Size(), m.pages*pageBytes)
	case !m.valid || !older.valid || older.id+1 != m.id || m.pages < 4:
		return refuse(hotreader.CodeCorrupt, "%w", errHead)
	}
	return examineFree(f, m)
}

// examineFree looks at the list of free pages: one that is in use must not be
// written on, and bbolt would take memory for as many as the page claims. It is
// a page whose elements are page numbers, in order; if there are 65,535 or more,
// the first element is their count.
func examineFree(f *os.File, m meta) error {
	damaged := func() error { return refuse(hotreader.CodeCorrupt, "%w", advise(errPage)) }
	if m.freelist < 2 || m.freelist >= m.pages {
		return damaged()
	}
	order := binary.NativeEndian
	r := bufio.NewReader(io.NewSectionReader(f, int64(m.freelist)*pageBytes, int64(m.pages-m.freelist)*pageBytes))
	var head [pageHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	more, n := uint64(order.Uint32(head[12:])), uint64(order.Uint16(head[10:]))
	if order.Uint64(head[:]) != m.freelist || order.Uint16(head[8:]) != freelistPage || more >= m.pages-m.freelist {
		return damaged()
	}
	var word [8]byte
	used := n
	if n == 0xffff {
		if _, err := io.ReadFull(r, word[:]); err != nil {
			return err
		}
		n = order.Uint64(word[:])
		used = n + 1
	}
	// bbolt reckons with the pages that the list itself then takes.
	const each = pageBytes / 8
	if n >= m.pages || more < (used+1)/each || more > (used+more+5)/each {
		return damaged()
	}
	last := uint64(1)
	for range n {
		if _, err := io.ReadFull(r, word[:]); err != nil {
			return err
		}
		id := order.Uint64(word[:])
		if id <= last || id >= m.pages || id >= m.freelist && id <= m.freelist+more {
			return damaged()
		}
		last = id
	}
	return nil
}

// claim checks the file's own mark, so that another program's bbolt file is not
// taken for a store, nor a store of another format read wrongly. It sets the
// mark in a file that holds nothing yet.
func (s *Store) claim(op string, readOnly bool) error {
	empty := false
	err := s.db.View(func(tx *bolt.Tx) error {
		return inside(op, func() error {
			s.seen(int64(tx.ID()))
			t, err := treeOf(tx)
			if err != nil {
				return err
			}
			if t.home == nil {
				root, err := t.page(t.top)
				switch {
				case err != nil:
					return err
				case tx.ID() > 1 && (kindOf(root) != leafPage || countOf(root) == 0):
					return errPage // emptied by no program
				case tx.ID() > 1:
					return refuse(hotreader.CodeConfig, "it is a bbolt file of another program; name another one")
				}
				if empty = true; readOnly {
					return refuse(hotreader.CodeConfig, "it is empty; import something into it first")
				}
				return nil
			}
			format, _, err := t.find(t.home, formatKey)
			switch {
			case err != nil:
				return err
			case format == nil:
				return errPage
			case string(format) != string(formatValue):
				return refuse(hotreader.CodeConfig, "its format is %.20q, this program knows only %q; import its data into a new file, or use the version of this program that wrote it", format, formatValue)
			}
			_, err = t.root(tx.ID())
			return err
		})
	})
	if err != nil || !empty {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket(bucketName)
		if err != nil {
			return err
		}
		if err := b.Put(formatKey, formatValue); err != nil {
			return err
		}
		return putRoot(tx, b, make([]byte, rootBytes))
	})
}
