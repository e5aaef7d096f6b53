package coldstore

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
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
	if h != nil && !time.Now().Before(h.until) {
		h = nil
	}
	low, high := h.bounds(store, &s.query)
	for page, err := range bucket.List(s.ctx, low[:common(low, high)], low) {
		if err != nil {
			return nil, err
		}
		if h == nil && page.More {
			if h, err = s.learn(bucket, page.Objects); err != nil {
				return nil, err
			}
			if store.habit.Store(h); !h.all {
				return s.list()
			}
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

// A habit is how all keys below the prefix begin, as the first page of a long list shows, and
// what comes after the last key that has it: nothing. By it a query lists a part of them.
type habit struct {
	device string // "{device}/" follows this
	dating dating
	all    bool // there is none
	until  time.Time
}

// habitFor is how long a habit counts before it is learned anew.
const habitFor = time.Minute

// plainID matches devices that every kind of escaping leaves alone.
var plainID = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// learn finds the habit of the keys of a list, of which it gets the first page.
func (s *scan) learn(bucket Bucket, page []Object) (*habit, error) {
	h := &habit{until: time.Now().Add(habitFor)}
	h.learn(s.store, page)
	last := s.store.prefix
	switch {
	case h.all || h.device == "/":
		return h, nil
	case h.device != "":
		last += strings.TrimSuffix(h.device, "=") + ">"
	default:
		last += h.dating.parts[0].name + strconv.Itoa(lastYear+1)
	}
	for page, err := range bucket.List(s.ctx, s.store.prefix, last) {
		if err != nil {
			return nil, err
		}
		h.all = page.More || slices.ContainsFunc(page.Objects, func(o Object) bool { return o.Key > last && holdsRows(o.Key) })
		break
	}
	return h, nil
}

// learn finds the habit of the keys on a page.
func (h *habit) learn(s *Store, page []Object) {
	hive := s.layout.DeviceKey + "="
	n := map[string]int{} // of objects, by what they show
	var padded, bare [4]bool
	for i := range page {
		key := strings.TrimPrefix(page[i].Key, s.prefix)
		p := s.place(key, "")
		switch {
		case strings.HasPrefix(key, hive):
			n[hive]++
		case p.mover && p.strange: // the key says of which device it is
			n["mover"]++
		case p.mover || moverKey.MatchString(key): // or its device looks like a date
			n[""]++
		case p.strange:
		case len(p.dating.parts) == 0 || p.dating.head != "":
			n[""]++
		default:
			h.dating = p.dating
			var forms []string
			for i, d := range p.dating.parts {
				forms = append(forms, d.name+d.form)
				padded[i], bare[i] = padded[i] || d.padded, bare[i] || d.bare
			}
			n[strings.Join(forms, "/")]++
		}
	}
	switch {
	case len(n) != 1 || n[""] > 0:
		h.all = true
	case n[hive] > 0:
		h.device = hive
	case n["mover"] > 0:
		h.device = "/"
	default: // months and days that may be written without zeros are in no order
		ordered := 1
		for ordered < len(h.dating.parts) && padded[ordered] && !bare[ordered] {
			ordered++
		}
		h.dating.parts = h.dating.parts[:ordered]
	}
}

// bounds returns keys that enclose those of a query.
func (h *habit) bounds(s *Store, q *hotreader.Query) (low, high string) {
	low, high = s.prefix, s.prefix+"\xff"
	switch {
	case h == nil || h.all || h.device != "" && h.device != "/" && !plainID.MatchString(q.Device):
		return low, high
	case h.device != "":
		low += strings.TrimPrefix(h.device, "/") + q.Device + "/"
		return low, low + "\xff"
	}
	if from := q.Start.Add(-s.late).UTC(); !q.Start.IsZero() {
		from = from.Add(from.Sub(h.dating.end(from))) // the period that ends then
		if from.Year() >= firstYear {
			low += h.dating.text(from)
		}
	}
	if to := q.End.Add(s.late).UTC(); !q.End.IsZero() && to.Year() <= lastYear {
		high = s.prefix + h.dating.text(to) + "\xff"
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
