package coldstore

import (
	"net/url"
	"path"
	"regexp"
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

// holdsRows reports whether an object is data, by its name.
func holdsRows(key string) bool {
	name := path.Base(key)
	ext := path.Ext(name)
	return name != "" && name[0] != '_' && name[0] != '.' && !strings.HasSuffix(key, "/") && (!extension.MatchString(ext) || extensions[ext])
}

// place derives from an object's key, after the prefix, what it may hold of a device.
func (s *Store) place(key, device string) place {
	if !holdsRows(key) {
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
	if from, to, ok := ParseRange(path.Base(key)); ok && len(p.dating.parts) == 0 {
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

// moved returns the range in the name of a mover's object of the device. Names may have
// fewer digits of a second than rows: the end is that of its last digit.
func (s *Store) moved(rest, device string) (from, to time.Time, ok bool) {
	from, to, ok = s.named(rest, device)
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if to.Nanosecond()%int(unit) == 0 {
			return from, to.Add(unit - 1), ok
		}
	}
	return from, to, ok
}

func (s *Store) named(rest, device string) (from, to time.Time, ok bool) {
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

// keyTime reads a time in a key. A number may be an id, or a date without marks: it counts
// since 1970 only where that leads into this century.
func (s *Store) keyTime(text string) (time.Time, bool) {
	times := s.times()
	v := hotreader.StringValue([]byte(text))
	if hotreader.IsNumber([]byte(text)) {
		if t, ok := times.Read(hotreader.NumberValue([]byte(text))); ok && t.Year() >= 2000 && t.Year() <= lastYear {
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
type datePart struct {
	name, form   string
	padded, bare bool // a number below ten has a leading zero, or has none
}

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

// wholeForms are those of dates that stand in one part, after a name that says date.
var (
	wholeForms = []string{"2006-01-02-15", "2006-01-02T15", "2006010215", "2006-01-02", "20060102", "2006-01"}
	wholeName  = regexp.MustCompile(`(?i)^(.+_)?(dt|ds|date|day|ymd|month|hour|datehour)=$`)
)

// The years of dates of arrival. Other numbers are those of devices, lots and the like.
const firstYear, lastYear = 1970, 2100

// arrived reads the date of arrival that Firehose's and Hive's keys have. One that has
// another date as well, which is not within the first, has none.
func (s *Store) arrived(key, device string) (p place) {
	parts := strings.Split(key, "/")
	parts = parts[:len(parts)-1]
	for _, part := range parts {
		if strings.HasPrefix(part, "_") || strings.HasPrefix(part, ".") {
			return place{strange: true}
		}
		if value, ok := strings.CutPrefix(part, s.layout.DeviceKey+"="); ok {
			id, err := url.PathUnescape(value)
			if p.sure = err == nil && id == device; !p.sure {
				return place{strange: true}
			}
		}
	}
	for i := 0; i < len(parts); i++ {
		date, from := s.date(parts[i:])
		switch d := &p.dating; {
		case len(date) == 0:
			continue
		case len(d.parts) == 0:
			p.from, p.to = from, (&dating{parts: date}).end(from)
			d.head, d.parts = strings.Join(append(parts[:i:i], ""), "/"), date
		case from.Before(p.from) || !from.Before(p.to):
			return place{sure: p.sure}
		}
		i += len(date) - 1
	}
	if len(p.dating.parts) > 0 {
		p.from, p.to = p.from.Add(-s.late), p.to.Add(s.late-1)
	}
	return p
}

// date reads the date with which parts of a key begin, and when its period begins. A year
// alone may be any number.
func (s *Store) date(parts []string) (date []datePart, from time.Time) {
	seen, form, at := 0, "", ""
	for _, part := range parts {
		name, value, hive := strings.Cut(part, "=")
		if !hive {
			name, value = "", part
		} else if name += "="; name == s.layout.DeviceKey+"=" {
			break
		}
		next, n := nextField(name, value, seen)
		form += strings.TrimPrefix(next, "0")
		t, err := time.Parse(form, at+value)
		if next == "" || err != nil || t.Year() < firstYear || t.Year() > lastYear {
			break
		}
		date = append(date, datePart{name, next, value[0] == '0', len(value) == 1})
		seen, form, at, from = seen+n, form+"/", at+value+"/", t
	}
	if len(date) == 1 && date[0].name == "" {
		return nil, from
	}
	return date, from
}

// nextField returns how a part of a key writes the next part of a date, of which so many
// have been seen, and how many it writes; "" if it does not.
func nextField(name, value string, seen int) (form string, n int) {
	if seen < len(fields) {
		switch f := fields[seen]; {
		case name != "" && !f.name.MatchString(name):
		case len(value) == len(f.form), name != "" && len(value) == 1 && seen > 0: // without a leading zero
			return f.form, 1
		}
	}
	for _, form := range wholeForms {
		if seen == 0 && len(value) == len(form) && wholeName.MatchString(name) {
			if _, err := time.Parse(form, value); err == nil {
				return form, len(fields)
			}
		}
	}
	return "", 0
}
