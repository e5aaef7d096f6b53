package coldstore

import (
	"cmp"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"hotreader"
)

// A place is what an object's key says of it.
type place struct {
	from, to time.Time // of its rows; zero = open
	sure     bool      // all of it is of the device
	mover    bool      // a mover wrote it
	strange  bool      // it holds nothing of the device, or is no data
	dating   dating    // without parts: it has no date of arrival
}

// Names of a mover's objects after the device. On Azure, IDs of items take the place of the
// times.
var (
	moverChunk  = regexp.MustCompile(`^(.+)/chunk-\d+(\.[a-z.]+)$`)
	moverSingle = regexp.MustCompile(`^(.+)_to_(.+)_chunk\d+(\.[a-z.]+)$`)
	moverKey    = regexp.MustCompile(`^.+/(.+/chunk-\d+|.+_to_.+_chunk\d+)\.[a-z.]+$`)
	extension   = regexp.MustCompile(`^\.[a-z0-9]{1,10}$`)
)

// extensions are those of objects that hold rows.
var extensions = map[string]bool{"": true, ".json": true, ".jsonl": true, ".ndjson": true, ".gz": true, ".zst": true, ".parquet": true}

// stamp is how RangeName writes a time: as wide for all, so that names are in its order.
const stamp = "20060102T150405.000000000Z"

var rangeName = regexp.MustCompile(`^(\d{8}T\d{6}\.\d{9}Z)-(\d{8}T\d{6}\.\d{9}Z)\.`)

// RangeName is how export names what holds rows between two instants, without its ending.
func RangeName(from, to time.Time) string {
	return from.UTC().Format(stamp) + "-" + to.UTC().Format(stamp)
}

// ParseRange returns the instants of a name that RangeName made.
func ParseRange(name string) (from, to time.Time, ok bool) {
	m := rangeName.FindStringSubmatch(name)
	if m == nil {
		return from, to, false
	}
	from, err := time.Parse(stamp, m[1])
	to, also := time.Parse(stamp, m[2])
	return from, to, err == nil && also == nil
}

// place derives from an object's key, after the prefix, what it may hold of a device.
func (s *Store) place(key, device string) place {
	name := path.Base(key)
	if ext := path.Ext(name); name == "" || name[0] == '_' || name[0] == '.' || strings.HasSuffix(key, "/") ||
		extension.MatchString(ext) && !extensions[ext] {
		return place{strange: true}
	}
	if rest, ok := strings.CutPrefix(key, device+"/"); ok {
		if from, to, ok := s.moved(rest, device); ok {
			return place{from: from, to: to, sure: true, mover: true}
		}
	}
	p := s.arrived(key, device)
	if len(p.dating.parts) == 0 && !p.strange && moverKey.MatchString(key) {
		p.mover = true
		p.strange = s.ofAnother(key, device)
	}
	if from, to, ok := ParseRange(name); ok && len(p.dating.parts) == 0 {
		p.from, p.to = from, to
	}
	switch s.format {
	case Mover:
		p.strange = p.strange || !p.mover
	case Parquet:
		p.strange = p.strange || !strings.HasSuffix(key, ".parquet")
	}
	return p
}

// moved returns the range in the name of a mover's object of the device.
func (s *Store) moved(rest, device string) (from, to time.Time, ok bool) {
	if m := moverSingle.FindStringSubmatch(rest); m != nil {
		from, ok = s.keyTime(m[1])
		to, also := s.keyTime(m[2])
		return from, to, ok && also
	}
	m := moverChunk.FindStringSubmatch(rest)
	if m == nil {
		return from, to, false
	}
	for i, c := range m[1] {
		if c != '-' {
			continue
		}
		from, ok = s.keyTime(strings.TrimPrefix(m[1][:i], device+"_"))
		to, also := s.keyTime(strings.TrimPrefix(m[1][i+1:], device+"_"))
		if ok && also {
			return from, to, true
		}
	}
	return from, to, false
}

// ofAnother reports whether a mover's key is that of another device. Ids are not
// escaped, so the name of one device may be the beginning of another's.
func (s *Store) ofAnother(key, device string) bool {
	for i, c := range key {
		if c != '/' || key[:i] == device {
			continue
		}
		if _, _, ok := s.moved(key[i+1:], key[:i]); ok {
			return true
		}
	}
	return false
}

// keyTime reads a time in a key.
func (s *Store) keyTime(text string) (time.Time, bool) {
	times := s.times()
	v := hotreader.StringValue([]byte(text))
	if hotreader.IsNumber([]byte(text)) {
		if t, ok := times.Read(hotreader.NumberValue([]byte(text))); ok {
			return t, true
		}
	}
	if t, ok := times.Read(v); ok {
		return t, true
	}
	return hotreader.ParseStoredTime([]byte(text))
}

// A dating is how a key writes the date of its arrival: the text before it, and its
// parts.
type dating struct {
	head  string
	parts []datePart
}

// A datePart is a part of a key: a name in Hive's style, with =, and Go's format of the
// date after it.
type datePart struct{ name, form string }

// text returns the part of a key that a date makes.
func (d *dating) text(t time.Time) string {
	text := []byte(d.head)
	for _, p := range d.parts {
		text = append(t.AppendFormat(append(text, p.name...), p.form), '/')
	}
	return string(text)
}

// end returns when the period that a date names is over.
func (d *dating) end(at time.Time) time.Time {
	switch form := d.parts[len(d.parts)-1].form; {
	case strings.Contains(form, "15"):
		return at.Add(time.Hour)
	case strings.HasSuffix(form, "2"):
		return at.AddDate(0, 0, 1)
	case strings.HasSuffix(form, "1"):
		return at.AddDate(0, 1, 0)
	}
	return at.AddDate(1, 0, 0)
}

// fields are the parts of a date that stand in parts of a key of their own.
var fields = []struct {
	name *regexp.Regexp // in Hive's style
	form string
}{
	{regexp.MustCompile(`^(year|y|yyyy)=$`), "2006"}, {regexp.MustCompile(`^(month|m|mm)=$`), "01"},
	{regexp.MustCompile(`^(day|d|dd)=$`), "02"}, {regexp.MustCompile(`^(hour|h|hh|hr)=$`), "15"},
}

// wholeForms are those of dates that stand in one part, in Hive's style.
var wholeForms = []string{"2006-01-02-15", "2006-01-02T15", "2006010215", "2006-01-02", "20060102", "2006-01"}

// arrived reads the date of arrival that Firehose's and Hive's keys have.
func (s *Store) arrived(key, device string) (p place) {
	parts := strings.Split(key, "/")
	head, seen, at, form := 0, 0, "", ""
	for i, part := range parts[:len(parts)-1] {
		if strings.HasPrefix(part, "_") || strings.HasPrefix(part, ".") {
			return place{strange: true}
		}
		name, value, hive := strings.Cut(part, "=")
		if !hive {
			name, value = "", part
		} else if name == s.layout.DeviceKey {
			id, err := url.PathUnescape(value)
			if p.sure = err == nil && id == device; !p.sure {
				return place{strange: true}
			}
		}
		if hive {
			name += "="
		}
		next, fields := nextField(name, value, seen)
		if t, err := time.Parse(form+next, at+value); next != "" && err == nil {
			seen += fields
			p.dating.parts = append(p.dating.parts, datePart{name, next})
			form, at, p.from = form+next+"/", at+value+"/", t
		} else if form == "" {
			head = i + 1
		}
	}
	if form == "" {
		return p
	}
	if head > 0 {
		p.dating.head = strings.Join(parts[:head], "/") + "/"
	}
	p.from, p.to = p.from.Add(-s.late), p.dating.end(p.from).Add(s.late-1)
	return p
}

// nextField returns how a part of a key writes the next part of a date, of which so many
// have been seen, and how many it writes; "" if it does not.
func nextField(name, value string, seen int) (form string, n int) {
	if seen < len(fields) {
		switch f := fields[seen]; {
		case name != "" && !f.name.MatchString(name):
		case len(value) == len(f.form):
			return f.form, 1
		case name != "" && len(value) == 1 && seen > 0: // without a leading zero
			return f.form[1:], 1
		}
	}
	for _, form := range wholeForms {
		if _, err := time.Parse(form, value); seen == 0 && name != "" && err == nil {
			return form, len(fields)
		}
	}
	return "", 0
}

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
