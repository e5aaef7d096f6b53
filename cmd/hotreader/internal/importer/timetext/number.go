package timetext

import (
	"math/bits"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/layout"
)

// parseEpoch reads a decimal, whose mark may be a comma, as f counts.
func parseEpoch(f *layout.Format, text string) (time.Time, bool) {
	digits := []byte(strings.Replace(strings.TrimPrefix(text, "+"), ",", ".", 1))
	if !hotreader.IsNumber(digits) {
		return time.Time{}, false
	}
	return f.Parse(digits)
}

// parseSerial reads a spreadsheet's days since the end of 1899. A time of day is a
// fraction that is hardly ever exact: it is rounded to the second where its last
// digit may mean that, else to the millisecond, as spreadsheets do. It may be in a
// column of its own, after a blank.
func parseSerial(text string) (time.Time, bool) {
	text = strings.ReplaceAll(text, ",", ".")
	if day, clock, two := strings.Cut(text, " "); two {
		share, err := strconv.ParseFloat(clock, 64)
		if err != nil || !(share >= 0 && share < 1) {
			return time.Time{}, false
		}
		if whole, zeros, _ := strings.Cut(day, "."); strings.Trim(zeros, "0") == "" {
			day = whole
		}
		text = day + strings.TrimPrefix(strconv.FormatFloat(share, 'f', -1, 64), "0")
	}
	whole, fraction, _ := strings.Cut(text, ".")
	days, err := strconv.Atoi(whole)
	if err != nil || strings.Trim(fraction, "0123456789") != "" || days < 1 || days > 2_958_465 { // 9999-12-31
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
