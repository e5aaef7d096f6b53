package httpapi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hotreader"
)

const timeForms = "expected ISO 8601, as 2026-01-01T00:00:00Z; seconds or milliseconds since 1970; or a time relative to now, as -24h or now-7d"

// instant reads the time that a parameter says. relative is its text if it counts
// from now, else "".
func (p *parameters) instant(name string) (t time.Time, relative string) {
	text, ok := p.single(name)
	if !ok {
		return time.Time{}, ""
	}
	t, isRelative, err := readInstant(text, p.now)
	if err != nil {
		hint := ""
		if strings.Contains(text, " ") {
			hint = " (a + in a URL is written %2B)"
		}
		p.bad("%s: %.50q is not a time: %v%s", name, text, err, hint)
		return time.Time{}, ""
	}
	if isRelative {
		relative = text
	}
	return t, relative
}

// lastInstant reads the end of a range.
func (p *parameters) lastInstant(name string) (time.Time, string) {
	before := len(p.wrong)
	t, relative := p.instant(name)
	if _, ok := p.values[name]; ok && t.IsZero() && len(p.wrong) == before {
		t = t.Add(-1) // the year 1 was given; the zero time would leave the range open
	}
	return t, relative
}

// readInstant reads a time in any of the forms that clients have.
func readInstant(text string, now time.Time) (t time.Time, relative bool, err error) {
	if rest, ok := strings.CutPrefix(text, "now"); ok || strings.HasPrefix(text, "-") && strings.Trim(text, "-0123456789.") != "" {
		t, err = relativeTo(now, rest)
		return t, true, err
	}
	if text != "" && strings.Trim(text, "0123456789.") == "" {
		t, err = epoch(text)
		return t, false, err
	}
	if t, err = hotreader.ParseTime([]byte(text)); err != nil {
		err = errors.New(timeForms)
	}
	return t, false, err
}

// Numbers below are seconds, others milliseconds: both limits are in the year 5138,
// and 1973. What is less than leastEpoch is more likely a date without dashes.
const (
	leastEpoch  = 100_000_000
	leastMillis = 100_000_000_000
	leastMicros = 100_000_000_000_000
)

// epoch reads decimal seconds or milliseconds since 1970, exactly.
func epoch(text string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if strings.Trim(fraction, "0123456789") != "" || err != nil {
		return time.Time{}, errors.New(timeForms)
	}
	decimals := 9
	switch {
	case n >= leastMicros:
		return time.Time{}, fmt.Errorf("micro- or nanoseconds since 1970 are not taken; %s", timeForms)
	case n >= leastMillis:
		decimals = 6
	case n != 0 && n < leastEpoch:
		return time.Time{}, fmt.Errorf("as seconds since 1970 it would be %s; %s", time.Unix(n, 0).UTC().Format(time.DateOnly), timeForms)
	}
	nanos, _ := strconv.ParseInt((fraction + "000000000")[:decimals], 10, 64) // digits
	if decimals == 6 {
		return time.UnixMilli(n).Add(time.Duration(nanos)).UTC(), nil
	}
	return time.Unix(n, nanos).UTC(), nil
}

// units are those of a time relative to now. A day has 24 hours.
var units = []struct {
	name string
	is   time.Duration
}{{"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}, {"w", 7 * 24 * time.Hour}}

// relativeTo reads how far from now a time is, as "" or -1d12h.
func relativeTo(now time.Time, text string) (time.Time, error) {
	if text == "" {
		return now, nil
	}
	forms := errors.New("expected now, or how far from now, as -24h or now-7d, in ms, s, m, h, d or w")
	ago := text[0] == '-'
	if !ago && text[0] != '+' {
		return now, forms
	}
	all, ok := span(text[1:])
	switch {
	case !ok:
		return now, forms
	case all > mostFar:
		return now, fmt.Errorf("it is more than %d years away", mostFar/(365*24*time.Hour))
	case ago:
		all = -all
	}
	return now.Add(all), nil
}

// span reads a length of time, as 24h or 1d12h; one above mostFar is mostFar+1.
func span(text string) (all time.Duration, ok bool) {
	for first := true; first || text != ""; first = false {
		end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		if end < 1 {
			return 0, false
		}
		n, err := strconv.ParseInt(text[:end], 10, 64)
		text = text[end:]
		unit := time.Duration(0)
		for _, u := range units {
			if rest, ok := strings.CutPrefix(text, u.name); ok {
				unit, text = u.is, rest
				break
			}
		}
		if unit == 0 {
			return 0, false
		}
		if err != nil || n > int64((mostFar-min(all, mostFar))/unit) {
			all = mostFar + 1
		} else {
			all += time.Duration(n) * unit
		}
	}
	return all, true
}

const mostFar = 200 * 365 * 24 * time.Hour
