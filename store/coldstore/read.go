package coldstore

import (
	"errors"
	"fmt"
	"strings"

	"hotreader"
)

// read reads a feed's part, and finds out what the part does not say.
func (s *scan) read(f *feed) error {
	o := f.part.object
	if o.Archive != "" {
		return s.archived
	}
	var until *row
	for {
		w := &window{scan: s, feed: f, until: until}
		parts, err := s.decode(w)
		if err != nil {
			return s.failed(o, err)
		}
		if parts != nil {
			s.tell(f, parts)
			return nil
		}
		again, err := w.end()
		if err != nil || !again {
			return err
		}
		until = w.dropped
	}
}

// decode passes the rows of a part to its window, or returns the parts that it has.
func (s *scan) decode(w *window) (parts []part, err error) {
	defer func() { // the library of Parquet trusts what it reads
		if r := recover(); r != nil {
			err = fmt.Errorf("the object is damaged: %v", r)
		}
	}()
	p := &w.feed.part
	if p.group != nil {
		return nil, p.group.decode(s, w)
	}
	if s.store.format != Parquet && (s.store.format != AnyFormat || !strings.HasSuffix(p.object.Key, ".parquet")) {
		if err := s.json(w); !errors.Is(err, errParquet) {
			return nil, err
		}
	}
	return s.groups(w)
}

// failed turns an error of an object into the error that the scan returns.
func (s *scan) failed(o *Object, err error) error {
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	if e, ok := errors.AsType[*hotreader.Error](err); ok {
		if e.Op != "" {
			return e
		}
		return bad(o, e.Code, "%w", e.Err)
	}
	return bad(o, hotreader.CodeCorrupt, "the object is damaged, or half of it was written: %w", err)
}
