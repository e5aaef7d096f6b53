package plain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotreader"
)

// TimeFormat is how a file writes its times. The zero value is ISO8601.
type TimeFormat uint8

// The formats of times. Epochs are decimals, read exactly; digits behind the
// nanosecond are cut off.
const (
	ISO8601     TimeFormat = iota // what hotreader.ParseTime reads, and with a blank before the zone
	EpochSecs                     // seconds since 1970, as 1772431200.25
	EpochMillis                   // milliseconds since 1970
)

// OptionsError is an error that other Options would avoid. If no field says
// which, Options.Time has to name the time's column or key.
type OptionsError struct {
	Err        error
	Time       []string // for Options.Time, the likeliest first
	Comma      rune     // for Options.Comma
	TimeFormat TimeFormat
}

func (e *OptionsError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *OptionsError) Unwrap() error { return e.Err }

func bothTimes() error {
	return &OptionsError{Time: []string{"timestamp", TimeName},
		Err: fmt.Errorf("both \"timestamp\" and %q are there, and either may hold the time", TimeName)}
}

// noTime is the error of a file whose names, of columns or keys, lack want.
func noTime(what, want string, names []string) error {
	e := &OptionsError{Err: fmt.Errorf("no %s is named %q, which holds the time; there are %.200q", what, want, names)}
	for _, name := range names {
		if likelyTime(name) && len(e.Time) < 3 {
			e.Time = append(e.Time, name)
		}
	}
	return e
}

// likelyTime reports whether people call a time so.
func likelyTime(name string) bool {
	name = strings.ToLower(name)
	for _, begin := range []string{"time", "date", "zeit", "datum"} {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	return slices.Contains([]string{"ts", "t", "at", "when", "epoch", "_time"}, name)
}

// otherComma returns what seems to separate the only column's names, or 0.
func otherComma(columns []string) rune {
	if len(columns) != 1 {
		return 0
	}
	for _, comma := range []rune{';', '\t', '|'} {
		if strings.ContainsRune(columns[0], comma) {
			return comma
		}
	}
	return 0
}

func (f TimeFormat) parse(text string) (time.Time, error) {
	if f == ISO8601 {
		t, err := hotreader.ParseTime([]byte(text))
		if err == nil {
			return t, nil
		}
		// Ruby, Go and psql write a blank before the zone.
		if i := strings.LastIndexByte(text, ' '); i > len(time.DateOnly) && i+1 < len(text) && (text[i+1] == '+' || text[i+1] == '-') {
			if t, err := hotreader.ParseTime([]byte(text[:i] + text[i+1:])); err == nil {
				return t, nil
			}
		}
		return t, epochMeant(text, err)
	}
	unit, decimals := "seconds", 9
	if f == EpochMillis {
		unit, decimals = "milliseconds", 6
	}
	t, ok := epoch(text, decimals)
	if !ok {
		return t, fmt.Errorf("%.50q is not a time: want %s since 1970, of the years 0 to 9999, in plain digits", text, unit)
	}
	return t, nil
}

// epochMeant adds to err which format text is in, if it seems to be an epoch.
func epochMeant(text string, err error) error {
	if t, ok := epoch(text, 9); ok && t.Year() >= 1975 && t.Year() < 2200 {
		return &OptionsError{TimeFormat: EpochSecs, Err: err}
	}
	if t, ok := epoch(text, 6); ok && t.Year() >= 1975 && t.Year() < 2200 {
		return &OptionsError{TimeFormat: EpochMillis, Err: err}
	}
	return err
}

// epoch reads a decimal of a unit that has so many decimals in nanoseconds.
func epoch(text string, decimals int) (time.Time, bool) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, broken := strings.Cut(digits, ".")
	if broken && fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return time.Time{}, false
	}
	units, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	if len(fraction) > decimals {
		fraction = fraction[:decimals]
	}
	nanos, err := strconv.ParseInt(fraction+strings.Repeat("0", decimals-len(fraction)), 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	perSecond, nanosPerUnit := int64(1), int64(1_000_000_000)
	for range 9 - decimals {
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
	t := time.Unix(seconds, nanos).UTC()
	return t, t.Year() >= 0 && t.Year() <= 9999
}
