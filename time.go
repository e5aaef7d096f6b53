package hotreader

import (
	"errors"
	"fmt"
	"time"
)

var errTime = errors.New("expected a time as 2006-01-02T15:04:05.999999999Z or +01:00; seconds, fraction and zone may be left out (then UTC)")

// ParseTime reads an ISO 8601 instant, as stores, twins and people write them:
// date, T or a blank, hours and minutes, then, each optional, seconds, a
// fraction of any length and a zone (Z, +01:00, +0100, +01). Without a zone it
// is UTC; a date alone is its midnight. Digits after the nanosecond are cut
// off. The result is in UTC. It does not allocate unless it fails.
func ParseTime(text []byte) (time.Time, error) {
	t, _, ok := parseTime(text)
	if !ok {
		return time.Time{}, fmt.Errorf("%.50q is not a time: %w", text, errTime)
	}
	return t, nil
}

// ParseStoredTime is ParseTime for a store's own time text, which must carry
// seconds, and be in UTC so that its order within the store holds from second
// to second. It does not say what is wrong, for such items are counted and
// passed over.
func ParseStoredTime(text []byte) (time.Time, bool) {
	t, offset, ok := parseTime(text)
	return t, ok && offset == 0 && len(text) >= len("2006-01-02T15:04:05") && text[10] == 'T' && text[16] == ':'
}

func parseTime(s []byte) (t time.Time, offset int64, ok bool) {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return t, 0, false
	}
	century, ok1 := two(s[0:])
	years, ok2 := two(s[2:])
	month, ok3 := two(s[5:])
	day, ok4 := two(s[8:])
	year := century*100 + years
	if !(ok1 && ok2 && ok3 && ok4) || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return t, 0, false
	}
	seconds := daysSince1970(year, month, day) * 86400
	if s = s[10:]; len(s) == 0 {
		return time.Unix(seconds, 0).UTC(), 0, true
	}
	if len(s) < 6 || s[0] != 'T' && s[0] != 't' && s[0] != ' ' || s[3] != ':' {
		return t, 0, false
	}
	hour, ok1 := two(s[1:])
	minute, ok2 := two(s[4:])
	if !(ok1 && ok2) || hour > 23 || minute > 59 {
		return t, 0, false
	}
	seconds += hour*3600 + minute*60
	s = s[6:]
	var nanos int64
	if len(s) > 0 && s[0] == ':' {
		if len(s) < 3 {
			return t, 0, false
		}
		second, ok := two(s[1:])
		if !ok || second > 59 {
			return t, 0, false
		}
		seconds += second
		s = s[3:]
		if len(s) > 0 && (s[0] == '.' || s[0] == ',') {
			end := digitsEnd(s, 1)
			if end == 1 {
				return t, 0, false
			}
			scale := int64(100_000_000)
			for _, c := range s[1:end] {
				nanos += int64(c-'0') * scale
				scale /= 10
			}
			s = s[end:]
		}
	}
	if offset, ok = parseZone(s); !ok {
		return t, 0, false
	}
	return time.Unix(seconds-offset, nanos).UTC(), offset, true
}

// parseZone reads what may follow the clock, in seconds east of UTC.
func parseZone(s []byte) (int64, bool) {
	if len(s) == 0 || len(s) == 1 && s[0]|0x20 == 'z' {
		return 0, true
	}
	if len(s) < 3 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	hours, ok := two(s[1:])
	var minutes int64
	switch rest := s[3:]; {
	case len(rest) == 0:
	case len(rest) == 3 && rest[0] == ':':
		var ok2 bool
		minutes, ok2 = two(rest[1:])
		ok = ok && ok2
	case len(rest) == 2:
		var ok2 bool
		minutes, ok2 = two(rest)
		ok = ok && ok2
	default:
		return 0, false
	}
	if !ok || hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := hours*3600 + minutes*60
	if s[0] == '-' {
		offset = -offset
	}
	return offset, true
}

func two(s []byte) (int64, bool) {
	a, b := s[0]-'0', s[1]-'0'
	return int64(a)*10 + int64(b), a <= 9 && b <= 9
}

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSince1970 counts days in the proleptic Gregorian calendar, for years from
// 0. Years begin in March here, so that the leap day is a year's last.
func daysSince1970(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	year += 400 // keep the divisions below away from negative numbers
	yearDay := (153*(month-3)+2)/5 + day - 1
	const to1970 = 719468 + 146097 // days from March 1 of the year -400
	return year*365 + year/4 - year/100 + year/400 + yearDay - to1970
}

// AppendTime appends t in UTC as 2006-01-02T15:04:05.000Z, with six or nine
// decimals where three would lose something. t's year must be 0 to 9999.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendTwo(appendTwo(dst, year/100), year%100)
	dst = appendTwo(append(dst, '-'), int(month))
	dst = appendTwo(append(dst, '-'), day)
	dst = appendTwo(append(dst, 'T'), hour)
	dst = appendTwo(append(dst, ':'), minute)
	return AppendSecond(append(dst, ':'), second, t.Nanosecond())
}

// AppendSecond appends what AppendTime has after an instant's minute.
func AppendSecond(dst []byte, second, nanos int) []byte {
	dst = appendThree(append(appendTwo(dst, second), '.'), nanos/1_000_000)
	if nanos %= 1_000_000; nanos != 0 {
		dst = appendThree(dst, nanos/1000)
		if nanos %= 1000; nanos != 0 {
			dst = appendThree(dst, nanos)
		}
	}
	return append(dst, 'Z')
}

func appendTwo(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

func appendThree(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10))
}
