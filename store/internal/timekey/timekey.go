// Package timekey is what stores share that keep a row's time in a field of
// their own, as text or as a number: the formats, the bounds of a range, and the
// order of instants, which that of such texts is not.
package timekey

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotreader"
)

// The formats.
const (
	ISO8601     = "iso8601"  // text, UTC, as 2006-01-02T15:04:05.999Z, in any precision
	EpochMillis = "epoch_ms" // a number, milliseconds since 1970, fractions allowed
	EpochSecs   = "epoch_s"  // a number, seconds since 1970, fractions allowed
)

// secondLen is the length of a time text down to its second. Behind that, texts
// of one instant differ: "Z", ".000Z", "+00:00".
const secondLen = len("2006-01-02T15:04:05")

// maxSeconds bounds what is read as a time: the years that can be written.
const maxSeconds = 253402300799 // 9999-12-31T23:59:59Z

var earliest, latest = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(maxSeconds, 999_999_999).UTC()

// Clamp opens a bound that no row reaches, for the first that can be has the time
// first. ok is false if no row can be in the range.
func Clamp(start, end, first time.Time) (_, _ time.Time, ok bool) {
	if !end.IsZero() && end.Before(first) || start.After(latest) {
		return start, end, false
	}
	if start.Before(first) {
		start = time.Time{}
	}
	if end.After(latest) {
		end = time.Time{}
	}
	return start, end, true
}

// Bounds returns the keys that enclose [start, end], "" where it is open. They
// are as close as the format allows and never too close; what they take in
// beside the range is for Order to leave out. ok is false if nothing can be
// in the range.
func Bounds(format string, start, end time.Time) (low, high string, ok bool) {
	if start, end, ok = Clamp(start, end, earliest); !ok {
		return "", "", false
	}
	if !start.IsZero() {
		if format == ISO8601 {
			low = string(hotreader.AppendTime(nil, start)[:secondLen])
		} else {
			low = string(appendEpoch(nil, format, start))
		}
	}
	if !end.IsZero() {
		if format == ISO8601 {
			// Everything that may follow a second is less than a tilde.
			high = string(hotreader.AppendTime(nil, end)[:secondLen]) + "~"
		} else {
			// Digits behind the nanosecond are cut off when read, so the last
			// instant reaches almost to the next.
			high = string(appendEpoch(nil, format, end.Add(1)))
		}
	}
	return low, high, true
}

// CheckLayout reports names of keys, or a format, with which nothing can be done.
// formats are those that the store has.
func CheckLayout(deviceKey, timeKey, format string, formats ...string) error {
	if deviceKey == timeKey {
		return fmt.Errorf("%q is named as both the device's and the time's key", timeKey)
	}
	if !slices.Contains(formats, format) {
		last := len(formats) - 1
		return fmt.Errorf("the time format %q is unknown; use %s or %s", format, strings.Join(formats[:last], ", "), formats[last])
	}
	return nil
}

// Parse reads a key, and says whether it is a time.
func Parse(format string, key []byte) (time.Time, bool) {
	if format == ISO8601 {
		return hotreader.ParseStoredTime(key)
	}
	return parseEpoch(format, key)
}

// parser is Parse for the keys of one read, one after the other: most share the
// minute of the one before, and then only the rest is looked at.
type parser struct {
	format string
	minute [minuteLen]byte // the text of the last key's, in UTC; zero = none
	begin  int64           // when it began, in seconds since 1970
}

const minuteLen = len("2006-01-02T15:04")

func (p *parser) parse(key []byte) (time.Time, bool) {
	if p.format != ISO8601 {
		return parseEpoch(p.format, key)
	}
	if len(key) <= secondLen {
		return hotreader.ParseStoredTime(key)
	}
	minute := [minuteLen]byte(key)
	if minute == p.minute && minute[0] != 0 {
		if second, nanos, ok := parseSecond(key[minuteLen:]); ok {
			return time.Unix(p.begin+second, nanos).UTC(), true
		}
	}
	t, ok := hotreader.ParseStoredTime(key)
	if ok {
		p.begin = t.Unix() - int64(t.Second())
		p.minute = minute
	}
	return t, ok
}

// parseSecond reads what most often follows a minute: ":05Z", or with up to nine
// decimals.
func parseSecond(s []byte) (second, nanos int64, ok bool) {
	tens, ones := s[1]-'0', s[2]-'0'
	if s[0] != ':' || tens > 5 || ones > 9 {
		return 0, 0, false
	}
	i, unit := 3, int64(1_000_000_000)
	if s[i] == '.' {
		for i++; i < len(s) && s[i]-'0' <= 9 && unit > 1; i++ {
			unit /= 10
			nanos += int64(s[i]-'0') * unit
		}
		if i == 4 {
			return 0, 0, false
		}
	}
	return int64(tens)*10 + int64(ones), nanos, i == len(s)-1 && s[i] == 'Z'
}

// Compare orders two keys of one instant as a store does.
func Compare(format string, a, b []byte) int {
	if format == ISO8601 {
		return bytes.Compare(a, b)
	}
	return hotreader.CompareNumbers(a, b)
}

// Append appends the key of t, which hotreader.CheckRecords has passed. Of all texts of one
// instant it is the greatest (Z is above point, plus and the digits), so that
// what a Store writes stands against what others wrote.
func Append(dst []byte, format string, t time.Time) []byte {
	if format == ISO8601 {
		return t.UTC().AppendFormat(dst, time.RFC3339Nano)
	}
	return appendEpoch(dst, format, t)
}

// appendEpoch appends t as an exact decimal.
func appendEpoch(dst []byte, format string, t time.Time) []byte {
	seconds, nanos := t.Unix(), int64(t.Nanosecond())
	if seconds < 0 {
		dst = append(dst, '-')
		if seconds = -seconds; nanos > 0 {
			seconds, nanos = seconds-1, 1_000_000_000-nanos
		}
	}
	unit := int64(1_000_000_000)
	if format == EpochMillis {
		seconds, nanos, unit = seconds*1000+nanos/1_000_000, nanos%1_000_000, 1_000_000
	}
	dst = strconv.AppendInt(dst, seconds, 10)
	if nanos > 0 {
		point := len(dst)
		dst = strconv.AppendInt(dst, unit+nanos, 10) // 1 in front keeps the zeros
		dst[point] = '.'
		dst = bytes.TrimRight(dst, "0")
	}
	return dst
}

// A decimal is digits[:n], without leading zeros, with the point behind
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

// parseEpoch reads a number of JSON's grammar as seconds or milliseconds since
// 1970. What is finer than a nanosecond is cut off, towards the past.
func parseEpoch(format string, text []byte) (time.Time, bool) {
	var d decimal
	if !d.scan(text) {
		return time.Time{}, false
	}
	if d.n == 0 {
		return time.Unix(0, 0).UTC(), true
	}
	if format == EpochMillis {
		d.point -= 3
	}
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
	return t, !t.Before(earliest) && !t.After(latest)
}
