package boltstore

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// bbolt reads its pages as if nothing could ever happen to them: one damaged
// number, and it walks in a circle until the process dies, takes what lies
// outside of the page, or asks for gigabytes. So reads go through this file,
// which believes nothing, and what bbolt is to change on a write is looked at
// here first.
//
// bbolt's file, all integers in the byte order of the machine: a page begins
// with its number (8 bytes), kind (2), count of elements (2), and how many pages
// it has more than one (4). 16 bytes an element follow, then keys and values,
// one right behind the other. A leaf's element is kind (4; 1 = a bucket), offset
// of its key from itself (4), length of key (4) and value (4); a branch's is
// offset (4), length of key (4) and page (8). A bucket's value is the page of
// its root (8) and a counter (8); a small bucket has none, 0, and its only page
// follows there.
const (
	pageBytes  = 4096 // of the file, on every machine, so that files can be carried
	pageHead   = 16
	element    = 16
	bucketHead = 16

	branchPage   = 1
	leafPage     = 2
	freelistPage = 16

	bucketFlag = 1

	// mostLevels of a tree: each has at least two elements to choose from.
	mostLevels = 64
)

// tree is the content of the file in one transaction. Its bytes are valid within
// that.
type tree struct {
	data []byte // the file, as far as it is in use
	top  uint64 // page of the root
	home []byte // root page of the only bucket; nil = the file holds nothing
}

// treeOf returns what tx sees. In one that writes, this is what was there before.
func treeOf(tx *bolt.Tx) (tree, error) {
	at := tx.DB().Info().Data // where the file is mapped as long as there are transactions
	return treeIn(unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), int(tx.Size())), uint64(tx.Cursor().Bucket().Root()))
}

// treeIn returns the tree of a file's content whose root is on page top.
func treeIn(data []byte, top uint64) (tree, error) {
	t := tree{data: data, top: top}
	root, err := t.page(t.top)
	if err != nil {
		return t, err
	}
	value, flags, err := t.find(root, bucketName)
	switch {
	case err != nil || value == nil:
		return t, err
	case flags != bucketFlag || len(value) < bucketHead:
		return t, errPage
	}
	if id := binary.NativeEndian.Uint64(value); id != 0 {
		t.home, err = t.page(id)
		return t, err
	}
	if t.home = value[bucketHead:]; len(t.home) < pageHead || kindOf(t.home) != leafPage {
		return t, errPage
	}
	return t, nil
}

func kindOf(page []byte) uint16 { return binary.NativeEndian.Uint16(page[8:]) }
func countOf(page []byte) int   { return int(binary.NativeEndian.Uint16(page[10:])) }

// page returns page id and those that it has more than one.
func (t *tree) page(id uint64) ([]byte, error) {
	pages := uint64(len(t.data) / pageBytes)
	if id < 2 || id >= pages {
		return nil, errPage
	}
	head := t.data[id*pageBytes:]
	more := uint64(binary.NativeEndian.Uint32(head[12:]))
	if binary.NativeEndian.Uint64(head) != id || more >= pages-id {
		return nil, errPage
	}
	if kind := kindOf(head); kind != branchPage && kind != leafPage {
		return nil, errPage
	}
	size := (more + 1) * pageBytes
	return head[:size:size], nil
}

// keyAt returns the key of element i, and in a leaf also its value and kind, in a
// branch its page.
func keyAt(page []byte, i int) (key, value []byte, flags uint32, child uint64, ok bool) {
	at := pageHead + i*element
	if at+element > len(page) {
		return nil, nil, 0, 0, false
	}
	e := page[at : at+element]
	word := func(i int) uint32 { return binary.NativeEndian.Uint32(e[4*i:]) }
	var from, k, v uint64
	if kindOf(page) == leafPage {
		flags, from, k, v = word(0), uint64(word(1)), uint64(word(2)), uint64(word(3))
	} else {
		from, k, child = uint64(word(0)), uint64(word(1)), binary.NativeEndian.Uint64(e[8:])
	}
	from += uint64(at)
	if from+k+v > uint64(len(page)) {
		return nil, nil, 0, 0, false
	}
	return page[from : from+k], page[from+k : from+k+v : from+k+v], flags, child, true
}

// search returns the number of the last element whose key is not behind key, -1
// if there is none.
func search(page []byte, key []byte) (int, error) {
	low, high := 0, countOf(page)
	for low < high {
		mid := (low + high) / 2
		k, _, _, _, ok := keyAt(page, mid)
		if !ok {
			return 0, errPage
		}
		if bytes.Compare(k, key) <= 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low - 1, nil
}

// find returns what is stored under key, nil if nothing is, in the tree whose
// root is page.
func (t *tree) find(page, key []byte) (value []byte, flags uint32, err error) {
	for range mostLevels {
		i, err := search(page, key)
		if err != nil {
			return nil, 0, err
		}
		if kindOf(page) == leafPage {
			if i < 0 {
				return nil, 0, nil
			}
			k, value, flags, _, ok := keyAt(page, i)
			switch {
			case !ok:
				return nil, 0, errPage
			case !bytes.Equal(k, key):
				return nil, 0, nil
			}
			return value, flags, nil
		}
		_, _, _, child, ok := keyAt(page, max(i, 0))
		if !ok {
			return nil, 0, errPage
		}
		if page, err = t.page(child); err != nil {
			return nil, 0, err
		}
	}
	return nil, 0, errPage
}

// sound returns an error if a page on the way to key is not as bbolt writes it,
// so that it may not be given to bbolt for change. The pages of the bucket that
// are found to be sound are added to seen.
func (t *tree) sound(key []byte, seen map[uint64]bool) error {
	for _, way := range []struct {
		id   uint64
		page []byte
		key  []byte
		kind uint32 // of elements
	}{{t.top, nil, bucketName, bucketFlag}, {0, t.home, key, 0}} {
		page := way.page
		for level := 0; ; level++ {
			var err error
			if page == nil {
				if page, err = t.page(way.id); err != nil {
					return err
				}
			}
			id := binary.NativeEndian.Uint64(page) // 0 within another page
			if !seen[id] && !t.regular(page, way.kind) || level == mostLevels {
				return errPage
			}
			seen[id] = true
			if kindOf(page) == leafPage {
				break
			}
			i, err := search(page, way.key)
			if err != nil {
				return err
			}
			_, _, _, way.id, _ = keyAt(page, max(i, 0))
			page = nil
		}
	}
	return nil
}

// regular reports whether page is as bbolt writes it: keys in order, nothing
// between them and their values, and no page too many.
func (t *tree) regular(page []byte, kind uint32) bool {
	n := countOf(page)
	if n == 0 {
		return kindOf(page) == leafPage && len(page) <= pageBytes
	}
	end := pageHead + n*element
	var before []byte
	for i := range n {
		key, value, flags, child, ok := keyAt(page, i)
		if !ok || len(key) == 0 || i > 0 && bytes.Compare(before, key) >= 0 {
			return false
		}
		if kindOf(page) == leafPage {
			if flags != kind {
				return false
			}
		} else if child < 2 || child >= uint64(len(t.data)/pageBytes) {
			return false
		}
		if cap(page)-cap(key) != end {
			return false
		}
		end += len(key) + len(value)
		before = key
	}
	if inline := binary.NativeEndian.Uint64(page) == 0; inline {
		return end == len(page)
	}
	return (end+pageBytes-1)/pageBytes*pageBytes == len(page)
}
