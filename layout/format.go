package layout

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/internal/nearest"
)

// The time formats. Those of text may be followed by the offset that their clock
// has, as in iso8601+09:00; those that count since 1970 by :text.
const (
	ISO8601       = "iso8601"        // 2006-01-02T15:04:05.999Z, in any precision
	ISO8601Minute = "iso8601_minute" // the same, and 2006-01-02T15:04Z beside it
	ISO8601Blank  = "iso8601_blank"  // 2006-01-02 15:04:05.999, in any precision
	EpochSecs     = "epoch_s"        // seconds since 1970, fractions allowed
	EpochMillis   = "epoch_ms"
	EpochMicros   = "epoch_us"
	EpochNanos    = "epoch_ns"
	Native        = "native" // Firestore's own timestamp
)

// FormatNames lists the formats without offsets and :text.
var FormatNames = []string{ISO8601, ISO8601Minute, ISO8601Blank, EpochSecs, EpochMillis, EpochMicros, EpochNanos, Native}

// A TimeKind is what keeps a time in an item.
type TimeKind uint8

// The kinds.
const (
	TextTime TimeKind = iota
	NumberTime
	NativeTime
)

// A Format is a parsed time format.
type Format struct {
	Name string // as configured
	Kind TimeKind

	base   string
	offset time.Duration // of the clock, east of UTC
	places int           // epoch: decimal places of a second in the unit
}

// ParseFormat reads the name of a format.
func ParseFormat(name string) (Format, error) {
	f := Format{Name: name, base: name}
	if base, ok := strings.CutSuffix(name, ":text"); ok && strings.HasPrefix(base, "epoch_") {
		f.base = base
	} else if i := strings.IndexAny(name, "+-"); i > 0 && strings.HasPrefix(name, ISO8601) {
		zone, err := time.Parse("-07:00", name[i:])
		if err != nil {
			return f, fmt.Errorf("time_format %q has no offset like +09:00 after its name", name)
		}
		_, seconds := zone.Zone()
		f.base, f.offset = name[:i], time.Duration(seconds)*time.Second
	}
	if !slices.Contains(FormatNames, f.base) {
		meant := ""
		if word := nearest.Word(strings.TrimSpace(f.base), FormatNames); word != "" {
			meant = fmt.Sprintf("did you mean %s? ", word)
		}
		return f, fmt.Errorf("time_format %.40q is unknown; %suse %s, with an offset as in iso8601+09:00, or with :text as in epoch_s:text",
			name, meant, strings.Join(FormatNames, ", "))
	}
	if f.base == Native {
		f.Kind = NativeTime
	} else if places, ok := map[string]int{EpochSecs: 0, EpochMillis: 3, EpochMicros: 6, EpochNanos: 9}[f.base]; ok {
		f.places = places
		if f.base == name {
			f.Kind = NumberTime
		}
	}
	return f, nil
}

// Epoch reports whether times count since 1970.
func (f *Format) Epoch() bool { return strings.HasPrefix(f.base, "epoch_") }

// Plain reports whether f is iso8601 in UTC, which most tables have.
func (f *Format) Plain() bool { return f.Name == ISO8601 }

// Zone returns the zone that the clock and the dates of partitions have.
func (f *Format) Zone() *time.Location {
	if f.offset == 0 {
		return time.UTC
	}
	return time.FixedZone("", int(f.offset/time.Second))
}

// Step is the length within which texts may be in another order than instants.
func (f *Format) Step() time.Duration {
	if f.base == ISO8601Minute {
		return time.Minute
	}
	return time.Second
}

// First is the first time that f can write.
func (f *Format) First() time.Time {
	switch {
	case f.Kind == NativeTime:
		return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	case f.Kind == TextTime && f.Epoch():
		return time.Unix(0, 0).UTC()
	}
	return Earliest.Add(max(0, -f.offset)) // the clock's year has four digits
}

// Last is the last time that f can write.
func (f *Format) Last() time.Time {
	if f.Kind == TextTime && f.Epoch() {
		return time.Unix(9_999_999_999, 999_999_999).UTC()
	}
	return Latest.Add(-max(0, f.offset))
}

// Finest returns the finest difference of two times that f keeps.
func (f *Format) Finest() time.Duration {
	if f.Kind == NativeTime {
		return time.Microsecond
	}
	return 1
}

// secondLen is the length of a time text down to its second. After that, texts of
// one instant differ: "Z", ".000Z", "+00:00".
const secondLen = len("2006-01-02T15:04:05")

// maxSeconds bounds what is read as a time: the years that can be written.
const maxSeconds = 253402300799 // 9999-12-31T23:59:59Z

// Earliest and Latest bound the times of rows.
var (
	Earliest = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	Latest   = time.Unix(maxSeconds, 999_999_999).UTC()
)

// wholeDigits is how many digits a time in seconds has as text, from 2001 to 2286.
// Only texts of one width are in the order of their instants.
const wholeDigits = 10

// Parse reads a time, and reports whether it is one. It does not allocate.
func (f *Format) Parse(text []byte) (time.Time, bool) {
	switch {
	case f.Epoch():
		if f.Kind == TextTime && f.width(text) != wholeDigits+f.places {
			return time.Time{}, false
		}
		return f.parseEpoch(text)
	case f.Plain():
		return hotreader.ParseStoredTime(text)
	}
	return f.parseISO(text)
}

// width returns how many digits a text begins with; -1 if something else than a
// fraction follows them.
func (f *Format) width(text []byte) int {
	n := 0
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	if n < len(text) && (text[n] != '.' || len(bytes.Trim(text[n+1:], "0123456789")) > 0 || n+1 == len(text)) {
		return -1
	}
	return n
}

// parseISO reads a text whose clock may have an offset, a blank for the T, or no
// seconds, as f says.
func (f *Format) parseISO(text []byte) (time.Time, bool) {
	var buf [48]byte
	if len(text) < len("2006-01-02T15:04") || len(text) > len(buf)-len(":00Z") {
		return time.Time{}, false
	}
	s := append(buf[:0], text...)
	if (s[10] == ' ') != (f.base == ISO8601Blank) {
		return time.Time{}, false
	}
	s[10] = 'T'
	if f.base == ISO8601Minute && (len(s) == 16 || s[16] != ':') {
		s = append(append(s[:16], ":00"...), text[16:]...)
	}
	if f.offset != 0 {
		if s = f.cutZone(s); s == nil {
			return time.Time{}, false
		}
	}
	t, ok := hotreader.ParseStoredTime(s)
	if ok && f.offset != 0 {
		t = t.Add(-f.offset)
	}
	return t, ok
}

// cutZone returns s without its zone, which must be f's offset or missing; nil if it
// is another.
func (f *Format) cutZone(s []byte) []byte {
	if len(s) < secondLen {
		return nil
	}
	i := secondLen + bytes.IndexAny(s[secondLen:], "+-zZ")
	if i < secondLen {
		return s
	}
	if offset, ok := readOffset(s[i:]); !ok || offset != f.offset {
		return nil
	}
	return bytes.TrimSuffix(s[:i], []byte(" "))
}

// readOffset reads an offset as clocks write it: +09:00, +0900, +09.
func readOffset(zone []byte) (time.Duration, bool) {
	if len(zone) == len("+09:00") && zone[3] == ':' {
		zone = append(zone[:3:3], zone[4:]...)
	}
	if len(zone) != len("+09") && len(zone) != len("+0900") || zone[0] != '+' && zone[0] != '-' {
		return 0, false
	}
	n := [2]int{}
	for i, c := range zone[1:] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n[i/2] = 10*n[i/2] + int(c-'0')
	}
	offset := time.Duration(n[0])*time.Hour + time.Duration(n[1])*time.Minute
	if zone[0] == '-' {
		offset = -offset
	}
	return offset, n[0] < 24 && n[1] < 60
}

// Append appends the text or the digits of t. Of all texts of one instant it is the
// greatest (Z is above point, plus and the digits), so that what a store writes
// wins against what others wrote.
func (f *Format) Append(dst []byte, t time.Time) []byte {
	n := len(dst)
	if f.Epoch() {
		dst = appendEpoch(dst, f.places, t)
		if lacks := wholeDigits + f.places - f.width(dst[n:]); f.Kind == TextTime && !t.Before(f.First()) && lacks > 0 {
			dst = slices.Insert(dst, n, slices.Repeat([]byte("0"), lacks)...)
		}
		return dst
	}
	dst = t.In(f.Zone()).AppendFormat(dst, time.RFC3339Nano)
	if f.base == ISO8601Blank {
		dst[n+10] = ' '
	}
	return dst
}

// Bounds returns the texts or digits that enclose [start, end], "" where it is open.
// They are as close as the format allows and never too close. ok is false if nothing
// can be in the range.
func (f *Format) Bounds(start, end time.Time) (low, high string, ok bool) {
	if start, end, ok = Clamp(start, end, f.First()); !ok || start.After(f.Last()) {
		return "", "", false
	}
	if end.After(f.Last()) {
		end = time.Time{}
	}
	cut := secondLen
	if f.base == ISO8601Minute {
		cut = len("2006-01-02T15:04")
	}
	if !start.IsZero() {
		if low = string(f.Append(nil, start)); !f.Epoch() {
			low = low[:cut]
		}
	}
	if !end.IsZero() {
		if f.Epoch() {
			// Digits after the nanosecond are cut off when read, so the last instant
			// reaches almost to the next.
			high = string(f.Append(nil, end.Add(1)))
		} else {
			high = string(f.Append(nil, end))[:cut]
		}
		if f.Kind == TextTime { // everything that may follow is less than a tilde
			high += "~"
		}
	}
	return low, high, true
}

// Clamp opens a bound that no row reaches, where first is the first that can be. ok is
// false if no row can be in the range.
func Clamp(start, end, first time.Time) (_, _ time.Time, ok bool) {
	if !end.IsZero() && end.Before(first) || start.After(Latest) {
		return start, end, false
	}
	if start.Before(first) {
		start = time.Time{}
	}
	if end.After(Latest) {
		end = time.Time{}
	}
	return start, end, true
}

// appendEpoch appends t as an exact decimal, in units of so many decimal places of a
// second.
func appendEpoch(dst []byte, places int, t time.Time) []byte {
	seconds, nanos := t.Unix(), int64(t.Nanosecond())
	if seconds < 0 {
		dst = append(dst, '-')
		if seconds = -seconds; nanos > 0 {
			seconds, nanos = seconds-1, 1_000_000_000-nanos
		}
	}
	var buf [10]byte
	fraction := strconv.AppendInt(buf[:0], 1_000_000_000+nanos, 10)[1:] // 1 in front keeps the zeros
	n := len(dst)
	dst = append(strconv.AppendInt(dst, seconds, 10), fraction[:places]...)
	for len(dst) > n+1 && dst[n] == '0' {
		dst = append(dst[:n], dst[n+1:]...)
	}
	if rest := bytes.TrimRight(fraction[places:], "0"); len(rest) > 0 {
		dst = append(append(dst, '.'), rest...)
	}
	return dst
}

// A decimal is digits[:n], without leading zeros, with the point after
// digits[:point]; digits that are not there are zeros.
type decimal struct {
	digits   [64]byte // a store has 38 at the most
	n, point int
	negative bool
}

// scan reads a number of JSON's grammar, if it has no more than 64 digits.
func (d *decimal) scan(text []byte) bool {
	text, d.negative = bytes.CutPrefix(text, []byte("-"))
	fraction := false
	for i, c := range text {
		switch {
		case c == '.':
			fraction = true
		case c|0x20 == 'e':
			e, err := strconv.Atoi(string(text[i+1:]))
			d.point += e
			return err == nil && e >= -1000 && e <= 1000
		case d.n == 0 && c == '0':
			if fraction {
				d.point--
			}
		case d.n == len(d.digits):
			return false
		default:
			d.digits[d.n] = c
			d.n++
			if !fraction {
				d.point++
			}
		}
	}
	return true
}

// whole returns the digits from one place up to another as a number.
func (d *decimal) whole(from, to int) (n int64) {
	for i := from; i < to; i++ {
		n *= 10
		if i >= 0 && i < d.n {
			n += int64(d.digits[i] - '0')
		}
	}
	return n
}

// parseEpoch reads a number of JSON's grammar, in f's units since 1970. What is finer
// than a nanosecond is cut off, towards the past. A number that is no text and as long
// as those of a coarser unit are from 2001 to 2286 is one of that unit, and none here.
func (f *Format) parseEpoch(text []byte) (time.Time, bool) {
	var d decimal
	if !d.scan(text) {
		return time.Time{}, false
	}
	if d.n == 0 {
		return time.Unix(0, 0).UTC(), true
	}
	for coarser := 0; coarser < f.places && f.Kind == NumberTime && !d.negative; coarser += 3 {
		if d.point == wholeDigits+coarser { // of 1970 here, of today in a coarser unit
			return time.Time{}, false
		}
	}
	d.point -= f.places
	if d.point > 12 { // beyond the year 9999
		return time.Time{}, false
	}
	seconds, nanos := d.whole(0, d.point), d.whole(d.point, d.point+9)
	if d.negative {
		finer := d.digits[min(max(d.point+9, 0), d.n):d.n]
		if len(bytes.Trim(finer, "0")) > 0 {
			nanos++
		}
		seconds, nanos = -seconds, -nanos
	}
	t := time.Unix(seconds, nanos).UTC()
	return t, !t.Before(Earliest) && !t.After(Latest)
}
