package coldstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"hotreader"
)

// A span is bytes of an object, from at up to to.
type span struct {
	at, to int64
	bytes  []byte // nil = not fetched
}

// ranges reads parts of an object, as few as possible.
type ranges struct {
	scan   *scan
	object *Object
	spans  []span
	blocks []span // of spans that are too long to be fetched at once, the last ones of late
}

// plan fetches spans that will be read. Neighbouring spans are one request, with
// the small gaps between them.
func (r *ranges) plan(spans []span) error {
	slices.SortFunc(spans, func(a, b span) int { return int(a.at - b.at) })
	total := int64(0)
	for _, s := range spans {
		total += s.to - s.at
	}
	r.spans = nil
	spare := total / 10
	for _, s := range spans {
		last := len(r.spans) - 1
		if last >= 0 && s.at-r.spans[last].to <= spare && total <= wholeGroup {
			spare -= max(0, s.at-r.spans[last].to)
			r.spans[last].to = max(s.to, r.spans[last].to)
		} else {
			r.spans = append(r.spans, s)
		}
	}
	if total > wholeGroup {
		return nil
	}
	var side errgroup.Group // one round trip
	side.SetLimit(8)
	for i := range r.spans {
		side.Go(func() error {
			return hotreader.Recovered("cold storage: read "+r.object.Key, func() error { return r.fetch(&r.spans[i]) })
		})
	}
	return side.Wait()
}

func (r *ranges) fetch(s *span) error {
	s.bytes = make([]byte, s.to-s.at)
	b := r.scan.body(r.object, s.at, s.to-s.at)
	defer func() { _ = b.Close() }() // it was only read
	_, err := io.ReadFull(b, s.bytes)
	return err
}

// tail fetches the file's end, and returns the footer that is in it.
func (r *ranges) tail(longest *atomic.Int64) ([]byte, error) {
	size := r.object.Size
	if size < 12 {
		return nil, errors.New("the file is too short")
	}
	s := span{at: max(0, size-max(leastTail, longest.Load())), to: size}
	if err := r.fetch(&s); err != nil {
		return nil, err
	}
	end := s.bytes[len(s.bytes)-8:]
	footer := int64(binary.LittleEndian.Uint32(end))
	switch {
	case string(end[4:]) != "PAR1":
		return nil, fmt.Errorf("the file does not end as Parquet does, but with %q", end[4:])
	case footer > maxFooter || footer > size-12:
		return nil, fmt.Errorf("the file's footer has %d bytes", footer)
	}
	if from := size - 8 - footer; from < s.at {
		before := span{at: from, to: s.at}
		if err := r.fetch(&before); err != nil {
			return nil, err
		}
		s = span{before.at, s.to, append(before.bytes, s.bytes...)}
	}
	if seen := footer + 8; seen > longest.Load() {
		longest.Store(min(seen, 1<<20))
	}
	return s.bytes[int64(len(s.bytes))-8-footer:][:footer], nil
}

// ReadAt implements io.ReaderAt.
func (r *ranges) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		at := off + int64(n)
		if s := r.at(at); s != nil {
			n += copy(p[n:], s.bytes[at-s.at:])
			continue
		}
		i := slices.IndexFunc(r.spans, func(s span) bool { return s.at <= at && at < s.to })
		if i < 0 {
			return n, fmt.Errorf("byte %d is outside what was to be read", at)
		}
		block := span{at: at, to: min(at+blockBytes, r.spans[i].to)}
		if err = r.fetch(&block); err == nil {
			if r.blocks = append(r.blocks, block); len(r.blocks) > len(r.spans) {
				r.blocks = r.blocks[1:]
			}
		}
	}
	return n, err
}

// at returns the bytes that are there from an offset on; nil = none.
func (r *ranges) at(at int64) *span {
	for _, all := range [][]span{r.spans, r.blocks} {
		for i := range all {
			if s := &all[i]; s.bytes != nil && s.at <= at && at < s.to {
				return s
			}
		}
	}
	return nil
}
