package timetext

import (
	"math/big"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// plain takes a decimal apart, whose mark may be a comma, and which may have an
// exponent.
func plain(text string) (whole, fraction string, negative, ok bool) {
	text = strings.Replace(text, ",", ".", 1)
	if i := strings.IndexAny(text, "eE"); i > 0 {
		e, err := strconv.Atoi(text[i+1:])
		if err != nil || e < -20 || e > 20 {
			return "", "", false, false
		}
		r, good := new(big.Rat).SetString(text)
		if !good {
			return "", "", false, false
		}
		text = r.FloatString(20)
	}
	text, negative = strings.CutPrefix(strings.TrimPrefix(text, "+"), "-")
	whole, fraction, broken := strings.Cut(text, ".")
	if broken && fraction == "" {
		fraction = "0"
	}
	return whole, fraction, negative, whole != "" && strings.Trim(whole+fraction, "0123456789") == ""
}

// parseEpoch reads a decimal of a unit with so many decimal places of a second. Digits
// after the nanosecond are cut off.
func parseEpoch(text string, places int) (time.Time, bool) {
	whole, fraction, negative, ok := plain(text)
	units, err := strconv.ParseInt(whole, 10, 64)
	if !ok || err != nil {
		return time.Time{}, false
	}
	decimals := 9 - places
	if len(fraction) > decimals {
		fraction = fraction[:decimals]
	}
	nanos, _ := strconv.ParseInt("0"+fraction+strings.Repeat("0", decimals-len(fraction)), 10, 64) // digits only, ten at most
	perSecond, nanosPerUnit := int64(1), int64(1_000_000_000)
	for range places {
		perSecond, nanosPerUnit = 10*perSecond, nanosPerUnit/10
	}
	seconds := units / perSecond
	nanos += units % perSecond * nanosPerUnit
	if negative {
		seconds, nanos = -seconds, -nanos
	}
	const most = 1 << 40 // seconds; beyond the year 9999, and far from where a time overflows
	if seconds < -most || seconds > most {
		return time.Time{}, false
	}
	return time.Unix(seconds, nanos).UTC(), true
}

// parseSerial reads a spreadsheet's days since the end of 1899. A time of day is a
// fraction that is hardly ever exact: it is rounded to the second where its last
// digit may mean that, else to the millisecond, as spreadsheets do.
func parseSerial(text string) (time.Time, bool) {
	whole, fraction, negative, ok := plain(text)
	days, err := strconv.Atoi(whole)
	if !ok || negative || err != nil || days < 1 || days > 2_958_465 { // 9999-12-31
		return time.Time{}, false
	}
	if days < 60 { // spreadsheets know a February 29 of 1900
		days++
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > 15 {
		fraction = fraction[:15]
	}
	digits, _ := strconv.ParseUint("0"+fraction, 10, 64) // digits only
	scale := uint64(1)
	for range fraction {
		scale *= 10
	}
	high, low := bits.Mul64(digits, uint64(24*time.Hour))
	nanos, _ := bits.Div64(high, low, scale)
	clock := time.Duration(nanos)
	if second := clock.Round(time.Second); (second - clock).Abs() <= max(24*time.Hour/time.Duration(scale)/2, time.Millisecond/2) {
		clock = second
	} else {
		clock = clock.Round(time.Millisecond)
	}
	return time.Date(1899, 12, 30+days, 0, 0, 0, 0, time.UTC).Add(clock), true
}
