package coldstore

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"hotreader"
)

// A part is an object, or a row group of one, that may hold rows of a query.
type part struct {
	object   *Object
	written  uint32    // its place in the order in which objects were written
	from, to time.Time // of its rows; zero = open
	sure     bool      // all rows are of the device
	mover    bool
	group    *group // of a Parquet file; nil = the whole object
}

// partBytes is about what a part takes, of a list that may have a hundred thousand.
const partBytes = 512

// in reports whether the part may hold rows of q's range.
func (p *part) in(q *hotreader.Query) bool {
	return (q.End.IsZero() || p.from.IsZero() || !p.from.After(q.End)) && (q.Start.IsZero() || p.to.IsZero() || !p.to.Before(q.Start))
}

// list finds the objects that may hold rows of the query.
func (s *scan) list() (parts []part, err error) {
	bucket, store := counted{s.store.bucket, s.stats}, s.store
	h := store.habit.Load()
	if h == nil {
		h = new(habit)
		for page, err := range bucket.List(s.ctx, store.prefix, "") {
			if err != nil {
				return nil, err
			}
			if h.device == "" && len(h.dating.parts) == 0 && !h.all {
				if h.learn(store, page.Objects); page.More {
					store.habit.Store(h)
				}
				if page.More && !h.all {
					parts = nil
					break
				}
			}
			if parts, err = s.take(parts, page.Objects); err != nil {
				return nil, err
			}
			if !page.More {
				return s.written(parts)
			}
		}
		if h.all {
			return s.written(parts)
		}
	}
	low, high := h.bounds(store, &s.query)
	prefix := low[:common(low, high)]
	for page, err := range bucket.List(s.ctx, prefix, low) {
		if err != nil {
			return nil, err
		}
		if parts, err = s.take(parts, page.Objects); err != nil {
			return nil, err
		}
		if n := len(page.Objects); n > 0 && page.Objects[n-1].Key > high {
			break
		}
	}
	return s.written(parts)
}

// take appends the objects of a page that may hold rows of the query.
func (s *scan) take(parts []part, page []Object) (_ []part, err error) {
	held := int64(0)
	for i := range page {
		o := page[i]
		key, ok := strings.CutPrefix(o.Key, s.store.prefix)
		if !ok {
			continue
		}
		if o.Key == s.must {
			s.must = ""
		}
		at := s.store.place(key, s.query.Device)
		p := part{object: &o, from: at.from, to: at.to, sure: at.sure, mover: at.mover}
		if !at.strange && p.in(&s.query) {
			parts = append(parts, p)
			held += partBytes + int64(len(o.Key))
		}
	}
	return parts, s.open(held)
}

// written numbers the objects in the order of writing: of one instant the later object wins.
func (s *scan) written(parts []part) ([]part, error) {
	if s.must != "" {
		return nil, Changed(&Object{Key: s.must})
	}
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(a.object.Modified.Compare(b.object.Modified), strings.Compare(a.object.Key, b.object.Key))
	})
	for i := range parts {
		parts[i].written = uint32(i)
	}
	return parts, nil
}

// A habit is how all keys below the prefix begin, as the first page of a long list shows.
// By it a query lists a part of them.
type habit struct {
	device string // "{device}/" follows this
	dating dating
	all    bool // there is none
}

// plainID matches devices that every kind of escaping leaves alone.
var plainID = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// learn finds the habit of the keys on a page.
func (h *habit) learn(s *Store, page []Object) {
	padded, hive := false, s.layout.DeviceKey+"="
	n := map[string]int{} // of objects, by what they show
	for i := range page {
		key := strings.TrimPrefix(page[i].Key, s.prefix)
		p := s.place(key, "")
		switch {
		case strings.HasPrefix(key, hive):
			n[hive]++
		case p.mover:
			n["mover"]++
		case p.strange:
		case len(p.dating.parts) == 0:
			n[""]++
		default:
			h.dating = p.dating
			names := []string{p.dating.head}
			for _, d := range p.dating.parts {
				names = append(names, d.name)
				padded = padded || len(d.form) > len("2006")
			}
			n[strings.Join(names, "/")]++
			padded = padded || strings.Contains(key[len(p.dating.head):], "/0") || strings.Contains(key, "=0")
		}
	}
	switch {
	case len(n) != 1 || n[""] > 0:
		*h = habit{all: true}
	case n[hive] > 0:
		*h = habit{device: hive}
	case n["mover"] > 0:
		*h = habit{device: "/"}
	case !padded: // months and days may be written without zeros: they are in no order
		h.dating.parts = h.dating.parts[:1]
	}
}

// bounds returns keys that enclose those of a query.
func (h *habit) bounds(s *Store, q *hotreader.Query) (low, high string) {
	switch {
	case h.device == "/":
		low = s.prefix + q.Device + "/"
		return low, low + "\xff"
	case h.device != "" && plainID.MatchString(q.Device):
		low = s.prefix + h.device + q.Device + "/"
		return low, low + "\xff"
	case h.device != "" || h.all:
		return s.prefix, s.prefix + "\xff"
	}
	low = s.prefix + h.dating.head
	high = low + "\xff"
	d := h.dating
	if !q.Start.IsZero() {
		from := q.Start.Add(-s.late)
		from = from.Add(from.Sub(d.end(from))) // the period that ends then
		low = s.prefix + d.text(from.UTC())
	}
	if !q.End.IsZero() {
		high = s.prefix + d.text(q.End.Add(s.late).UTC()) + "\xff"
	}
	return low, high
}

// common returns how many bytes two keys have in common.
func common(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
