package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"

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
//	CodeConfig       a directory, another program's file, a newer format
//	CodeCorrupt      damaged or cut short
func Open(path string, o Options) (*Store, error) {
	s := &Store{path: path}
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
		err = s.guard(op, func() error { return s.claim(o.ReadOnly) })
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
		e.Code, e.Err = hotreader.CodeCorrupt, fmt.Errorf("its head is damaged (%w); restore it from a copy, or delete it and import again", err)
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
	need, err := needBytes(f)
	if err != nil {
		return false, err
	}
	// A writer makes the file longer before it says so, so ask only now.
	if info, err = f.Stat(); err == nil && info.Size() < need {
		err = refuse(hotreader.CodeCorrupt, "it is cut short: %d bytes are left of %d; restore it from a copy, or delete it and import again", info.Size(), need)
	}
	return false, err
}

// bbolt's meta page, of which there are two, pages 0 and 1: behind the page's
// header of 16 bytes magic, version, page size and flags of 4 bytes each, then
// of 8 bytes each root page, sequence, freelist page, number of pages,
// transaction and FNV-1a checksum, all in the byte order of the machine.
const (
	metaMagic  = 0xED0CDAED
	metaFormat = 2
)

// needBytes returns how long a bbolt file must be by its newest valid meta page.
func needBytes(f io.ReaderAt) (int64, error) {
	var page [80]byte
	var need int64
	var newest uint64
	valid, ours := false, false
	meta := func(at int64) (size int64) {
		if n, _ := f.ReadAt(page[:], at); n < len(page) {
			return 0
		}
		order := binary.NativeEndian
		if order.Uint32(page[16:]) != metaMagic {
			return 0
		}
		ours = true
		sum := fnv.New64a()
		sum.Write(page[16:72])
		if order.Uint32(page[20:]) != metaFormat || sum.Sum64() != order.Uint64(page[72:]) {
			return 0
		}
		size = int64(order.Uint32(page[24:]))
		if txid := order.Uint64(page[64:]); !valid || txid > newest {
			valid, newest, need = true, txid, int64(order.Uint64(page[56:]))*size
		}
		return size
	}
	if size := meta(0); size > 0 {
		meta(size)
	} else {
		for size := int64(1 << 10); size <= 1<<24; size <<= 1 {
			if meta(size) == size {
				break
			}
		}
	}
	switch {
	case valid:
		return need, nil
	case ours:
		return 0, refuse(hotreader.CodeCorrupt, "both copies of its head are damaged; restore it from a copy, or delete it and import again")
	}
	return 0, refuse(hotreader.CodeConfig, "it is not a store but a file of another kind; name another one")
}

// The file's own mark, so that another program's bbolt file is not taken for a
// store, nor a store of a later format read wrongly.
var (
	markBucket   = []byte("hotreader")
	formatKey    = []byte("format")
	formatValue  = []byte("1")
	deviceBucket = []byte("devices")
)

// claim checks the mark, and sets it in a file that holds nothing yet.
func (s *Store) claim(readOnly bool) error {
	empty := false
	err := s.db.View(func(tx *bolt.Tx) error {
		mark := tx.Bucket(markBucket)
		if mark == nil {
			if k, _ := tx.Cursor().First(); k != nil {
				return refuse(hotreader.CodeConfig, "it is a bbolt file of another program; name another one")
			}
			empty = true
			return nil
		}
		if format := mark.Get(formatKey); string(format) != string(formatValue) {
			return refuse(hotreader.CodeConfig, "its format is %.20q, this program knows only %q; a newer version of it may read the file", format, formatValue)
		}
		return nil
	})
	if err != nil || !empty || readOnly {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		mark, err := tx.CreateBucket(markBucket)
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucket(deviceBucket); err != nil {
			return err
		}
		return mark.Put(formatKey, formatValue)
	})
}
