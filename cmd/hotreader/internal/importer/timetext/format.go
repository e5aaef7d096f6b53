// Package timetext reads times as people's files write them, and finds out how a
// file writes them.
package timetext

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/itchyny/timefmt-go"

	"hotreader/layout"
)

// A Reading is what a text says: an instant, or what a clock on a wall showed, which
// is an instant once its zone is known.
type Reading struct {
	Time    time.Time // in UTC; of a wall clock, its fields
	Instant bool      // the text has a zone, or counts since 1970
	Zone    string    // the zone's abbreviation, as CET, where the text has one
	Date    bool      // the text has no time of day
}

// A Format is how a file writes times.
type Format struct {
	Name string // as --time-format takes it
	kind kind
	// epoch is the layout's format of the same name, of an epoch.
	epoch layout.Format
	order order
	// zone is the offset that a name has, as in iso8601+09:00.
	zone *time.Location
}

type kind uint8

const (
	calendar kind = iota
	epoch
	excel
	strftime
)

// The orders of day, month and year.
type order uint8

const (
	ymd order = iota
	dmy
	mdy
	strict // a layout that reads as it is written alone
)

var (
	iso = Format{Name: layout.ISO8601, order: ymd}
	// Their names are strftime layouts that describe them; what they read is wider.
	dayFirst   = Format{Name: "%d/%m/%Y %H:%M:%S", order: dmy}
	monthFirst = Format{Name: "%m/%d/%Y %H:%M:%S", order: mdy}

	// shortYearFirst is asked for, and never read.
	shortYearFirst = Format{Name: "%y-%m-%d", order: ymd}

	epochs = []Format{counting(layout.EpochSecs), counting(layout.EpochMillis), counting(layout.EpochMicros), counting(layout.EpochNanos)}
	serial = Format{Name: Excel, kind: excel}
)

// counting returns the format of a unit.
func counting(name string) Format {
	f, err := layout.ParseFormat(name)
	if err != nil {
		panic(err) // the name is the layout's own
	}
	return Format{Name: name, kind: epoch, epoch: f}
}

// Excel is the name of a spreadsheet's days.
const Excel = "excel"

// Names are the names of formats, but for strftime layouts.
var Names = []string{layout.ISO8601, layout.ISO8601Minute, layout.ISO8601Blank, layout.EpochSecs, layout.EpochMillis, layout.EpochMicros, layout.EpochNanos, Excel}

// ParseFormat reads a name, or a strftime layout.
func ParseFormat(name string) (Format, error) {
	if strings.Contains(name, "%") {
		return parseLayout(name)
	}
	base := strings.TrimSuffix(name, ":text")
	for _, f := range append(epochs[:4:4], serial) {
		if f.Name == base && (base == name || f.kind == epoch) {
			return f, nil
		}
	}
	f := iso
	f.Name = name
	if i := strings.IndexAny(name, "+-"); i > 0 {
		base = name[:i]
		zone, err := ParseZone(name[i:])
		if err != nil {
			return f, err
		}
		f.zone = zone
	}
	if !slices.Contains(Names[:3], base) {
		return f, fmt.Errorf("%s is unknown; there are %s, and strftime layouts like '%%d.%%m.%%Y %%H:%%M'", name, strings.Join(Names, ", "))
	}
	return f, nil
}

// parseLayout checks a strftime layout.
func parseLayout(layout string) (Format, error) {
	f := Format{Name: layout, kind: strftime, order: strict}
	if !slices.ContainsFunc([]string{"%Y", "%y", "%s", "%G", "%c", "%D", "%F", "%x", "%v", "%+"}, func(d string) bool { return strings.Contains(layout, d) }) {
		return f, fmt.Errorf("%s names no year, as %%Y would; where the date is in another column, give --time DATE+TIME", layout)
	}
	sample := time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC)
	if _, err := timefmt.Parse(timefmt.Format(sample, layout), layout); err != nil {
		return f, fmt.Errorf("%s is no strftime layout: %w", layout, unwrapped(err))
	}
	year, month, day := strings.Index(strings.ToLower(layout), "%y"), strings.Index(layout, "%m"), strings.Index(layout, "%d")
	switch {
	case year < 0 || month < 0 || day < 0:
	case day < month:
		f.order = dmy
	case month < day && month < year:
		f.order = mdy
	}
	return f, nil
}

func unwrapped(err error) error {
	if inner, ok := err.(interface{ Unwrap() error }); ok && inner.Unwrap() != nil {
		return inner.Unwrap()
	}
	return err
}

// Numeric reports whether times are numbers.
func (f *Format) Numeric() bool { return f.kind == epoch || f.kind == excel }

// Parse reads a time, and reports whether it is one of f.
func (f *Format) Parse(text string) (Reading, bool) {
	text = strings.TrimSpace(text)
	switch f.kind {
	case epoch:
		t, ok := parseEpoch(&f.epoch, text)
		return Reading{Time: t, Instant: true}, ok
	case excel:
		t, ok := parseSerial(text)
		return Reading{Time: t}, ok
	case strftime:
		return f.parseLayout(text)
	}
	r, ok := parseCalendar(text, f.order)
	if ok && f.zone != nil && !r.Instant {
		_, offset := r.Time.In(f.zone).Zone()
		r.Time, r.Instant = r.Time.Add(-time.Duration(offset)*time.Second), true
	}
	return r, ok && inYears(r.Time)
}

// widths are how many digits a directive of strftime has.
var widths = map[byte]int{'Y': 4, 'y': 2, 'm': 2, 'd': 2, 'H': 2, 'I': 2, 'M': 2, 'S': 2, 'j': 3}

// padded returns text with the zeros before its numbers that layout has, so that 600 is
// read by %H%M: loggers leave them out.
func padded(text, layout string) string {
	words, forms := strings.Fields(text), strings.Fields(layout)
	if len(words) != len(forms) {
		return text
	}
	for i, form := range forms {
		want := 0
		for _, directive := range strings.Split(form, "%")[1:] {
			if len(directive) == 1 {
				want += widths[directive[0]]
			}
		}
		if 2*strings.Count(form, "%") == len(form) && len(words[i]) < want && strings.Trim(words[i], "0123456789") == "" {
			words[i] = strings.Repeat("0", want-len(words[i])) + words[i]
		}
	}
	return strings.Join(words, " ")
}

func inYears(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }

// Hint says what f reads, in words.
func (f *Format) Hint() string {
	switch {
	case f.kind == epoch:
		unit := map[string]string{layout.EpochSecs: "seconds", layout.EpochMillis: "milliseconds", layout.EpochMicros: "microseconds", layout.EpochNanos: "nanoseconds"}[f.Name]
		return f.Name + ", " + unit + " since 1970"
	case f.kind == excel:
		return "excel, days since 1900 of a spreadsheet"
	case f.kind == strftime:
		return f.Name
	case f.order == dmy:
		return "day, month, year"
	case f.order == mdy:
		return "month, day, year"
	}
	return f.Name
}

// parseLayout reads a text by a strftime layout. The hour 24 is the next day's
// first, which strftime does not know.
func (f *Format) parseLayout(text string) (Reading, bool) {
	zoned := strings.Contains(f.Name, "%z") || strings.Contains(f.Name, ":z") || strings.Contains(f.Name, "%s") || strings.Contains(f.Name, "%Z") || strings.Contains(f.Name, "%+")
	read := func(text string) (Reading, bool) {
		t, err := timefmt.ParseInLocation(text, f.Name, time.UTC)
		if err != nil || !inYears(t.UTC()) {
			return Reading{}, false
		}
		r := Reading{Time: t.UTC(), Instant: zoned}
		if name, offset := t.Zone(); zoned && offset == 0 && name != "UTC" && name != "GMT" && name != "" && name != "Z" {
			known, ok := zones[name] // Go knows abbreviations of its own zone alone
			if !ok {
				return Reading{Time: r.Time, Zone: name}, true
			}
			r.Time, r.Zone = r.Time.Add(-known), name
			r.Instant = true
		}
		return r, true
	}
	r, ok := read(text)
	if !ok {
		text = padded(text, f.Name)
		r, ok = read(text)
	}
	if !ok && strings.ContainsAny(f.Name, "HTRk") {
		if i := strings.LastIndex(text, "24"); i >= 0 {
			if r, ok = read(text[:i] + "00" + text[i+2:]); ok {
				ok = r.Time.Truncate(time.Hour).Equal(r.Time)
				r.Time = r.Time.AddDate(0, 0, 1)
			}
		}
	}
	if !ok && f.order != strict { // with or without seconds, and the like
		r, ok = parseCalendar(text, f.order)
		ok = ok && inYears(r.Time)
	}
	return r, ok
}
