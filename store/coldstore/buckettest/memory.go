package buckettest

import (
	"bytes"
	"context"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hotreader/store/coldstore"
)

// Memory is a bucket in memory. It writes down what is asked of it.
type Memory struct {
	PageSize int               // objects on a page of a list; 0 = 1000, as in the clouds
	Before   func(what string) // is called before each request, as "list PREFIX" or "read KEY"; nil = nothing is

	mu      sync.Mutex
	keys    []string // sorted
	objects map[string]kept
	written int64
	asked   []string
	bytes   int64
}

type kept struct {
	coldstore.Object
	body []byte
}

// Put writes an object; the body is the bucket's from then on.
func (m *Memory) Put(key string, body []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.written++
	if m.objects == nil {
		m.objects = map[string]kept{}
	}
	if at, ok := slices.BinarySearch(m.keys, key); !ok {
		m.keys = slices.Insert(m.keys, at, key)
	}
	m.objects[key] = kept{coldstore.Object{Key: key, Size: int64(len(body)), Version: strconv.FormatInt(m.written, 10), Modified: time.Unix(1_700_000_000+m.written, 0)}, body}
}

// Copy copies an object to another bucket, under another key.
func (m *Memory) Copy(key string, to *Memory, as string) {
	m.mu.Lock()
	body := m.objects[key].body
	m.mu.Unlock()
	to.Put(as, body)
}

// Delete deletes an object.
func (m *Memory) Delete(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	m.keys = slices.DeleteFunc(m.keys, func(k string) bool { return k == key })
}

// Asked returns what was asked since it was called last, and how many bytes that were.
func (m *Memory) Asked() (asked []string, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked, bytes = m.asked, m.bytes
	m.asked, m.bytes = nil, 0
	return asked, bytes
}

func (m *Memory) note(what string, bytes int64) {
	if m.Before != nil {
		m.Before(what)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked, m.bytes = append(m.asked, what), m.bytes+bytes
}

// String implements coldstore.Bucket.
func (m *Memory) String() string { return "memory:" }

// List implements coldstore.Bucket.
func (m *Memory) List(_ context.Context, prefix, after string) iter.Seq2[coldstore.Page, error] {
	return coldstore.Pages(func() (page coldstore.Page, err error) {
		m.note("list "+prefix, 0)
		if page.Objects, page.More = m.page(prefix, after); page.More {
			after = page.Objects[len(page.Objects)-1].Key
		}
		return page, nil
	})
}

func (m *Memory) page(prefix, after string) (page []coldstore.Object, more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	size := m.PageSize
	if size == 0 {
		size = 1000
	}
	from, _ := slices.BinarySearch(m.keys, max(prefix, after+"\x00"))
	for _, key := range m.keys[from:] {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		if len(page) == size {
			return page, true
		}
		page = append(page, m.objects[key].Object)
	}
	return page, false
}

// Read implements coldstore.Bucket.
func (m *Memory) Read(_ context.Context, o *coldstore.Object, at, n int64) (io.ReadCloser, error) {
	m.note("read "+o.Key, n)
	m.mu.Lock()
	defer m.mu.Unlock()
	is, ok := m.objects[o.Key]
	if !ok || is.Version != o.Version {
		return nil, coldstore.Changed(o)
	}
	return io.NopCloser(bytes.NewReader(is.body[at : at+n])), nil
}
