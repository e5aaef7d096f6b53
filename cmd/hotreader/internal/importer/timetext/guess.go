package timetext

import (
	"regexp"
	"slices"
	"strings"
)

// A Guess is what samples of a column seem to be.
type Guess struct {
	Format  Format
	Matched int  // samples that it reads
	Dates   int  // of these: without a time of day
	Words   bool // a time is more than digits, so it is hardly anything else

	// Other is the format that reads them as well, and otherwise: day and month, or
	// day and year, are ambiguous.
	Other *Format
}

// Calendar guesses how samples write dates. hint is the column's name, which may say
// so, as in "Date (MM/DD/YYYY)".
func Calendar(samples []string, hint string) Guess {
	var read [3]Guess
	for i, f := range []Format{iso, dayFirst, monthFirst} {
		read[i] = f.count(samples)
	}
	y, d, m := &read[0], &read[1], &read[2]
	switch {
	case y.Matched > 0 && y.Matched >= d.Matched && y.Matched >= m.Matched:
		return *y
	case d.Matched == m.Matched && d.Matched > 0:
		return undecided(d, m, samples, hint)
	case d.Matched > m.Matched:
		if yearMayLead(samples) && !strings.Contains(strings.ToLower(hint), "dd") {
			d.Other = &shortYearFirst
		}
		return *d
	}
	return *m
}

// undecided chooses where both orders read all samples.
func undecided(d, m *Guess, samples []string, hint string) Guess {
	hint = strings.ToLower(hint)
	day, month := strings.Index(hint, "dd"), strings.Index(hint, "mm")
	switch {
	case day >= 0 && month > day, pointed(samples):
		return *d
	case month >= 0 && day > month:
		return *m
	}
	for _, s := range samples {
		a, okA := dayFirst.Parse(s)
		b, okB := monthFirst.Parse(s)
		if okA && okB && !a.Time.Equal(b.Time) {
			d.Other = &monthFirst
			break
		}
	}
	return *d
}

var shortDate = regexp.MustCompile(`^(\d\d)[-/](\d\d)[-/](\d\d)\b`)

// yearMayLead reports whether the first number of all samples may be the year as the last
// one may: it is not what goes on from day to day.
func yearMayLead(samples []string) bool {
	first, last := map[string]bool{}, map[string]bool{}
	for _, s := range samples {
		d := shortDate.FindStringSubmatch(s)
		if d == nil || number(d[2]) > 12 || number(d[3]) < 1 || number(d[3]) > 31 {
			return false
		}
		first[d[1]], last[d[3]] = true, true
	}
	return len(first) <= len(last)
}

// In a date with points the day comes first.
var points = regexp.MustCompile(`\b\d{1,2}\. ?\d{1,2}\.`)

func pointed(samples []string) bool { return len(samples) > 0 && points.MatchString(samples[0]) }

func (f Format) count(samples []string) Guess {
	g := Guess{Format: f}
	for _, s := range samples {
		r, ok := f.Parse(s)
		if !ok {
			continue
		}
		g.Matched++
		if r.Date {
			g.Dates++
		}
		g.Words = g.Words || strings.Trim(strings.TrimSpace(s), "0123456789") != ""
	}
	return g
}

// Numbers guesses which unit numbers have that count since 1970: one that puts them
// all between 1975 and 2200.
func Numbers(samples []string) Guess {
	best := Guess{}
	for _, f := range epochs {
		g := Guess{Format: f}
		for _, s := range samples {
			if r, ok := f.Parse(s); ok && r.Time.Year() >= 1975 && r.Time.Year() < 2200 {
				g.Matched++
			}
		}
		if g.Matched > best.Matched {
			best = g
		}
	}
	return best
}

// Serials counts samples that may be a spreadsheet's days, from 1990 to 2064.
func Serials(samples []string) Guess {
	g := Guess{Format: serial}
	for _, s := range samples {
		if r, ok := serial.Parse(s); ok && r.Time.Year() >= 1990 && r.Time.Year() < 2065 {
			g.Matched++
		}
	}
	return g
}

// DateLayout returns the strftime layout of a date, as f reads it.
func DateLayout(text string, f Format) string {
	letters := map[order][]string{dmy: {"%d", "%m", "%Y"}, mdy: {"%m", "%d", "%Y"}}[f.order]
	if letters == nil {
		letters = []string{"%Y", "%m", "%d"}
	}
	text = strings.TrimSpace(text)
	if len(text) == 8 && strings.Trim(text, "0123456789") == "" {
		return strings.Join(letters, "")
	}
	layout, at := "", 0
	for i := 0; i < len(text); {
		n := i
		for n < len(text) && text[n] >= '0' && text[n] <= '9' {
			n++
		}
		if n == i || at == len(letters) {
			layout += text[i : i+1]
			i++
			continue
		}
		letter := letters[at]
		if letter == "%Y" && n-i == 2 {
			letter = "%y"
		}
		layout, at, i = layout+letter, at+1, n
	}
	return layout
}

// IsClock reports whether text is a time of day alone.
func IsClock(text string) bool {
	r := reader{rest: strings.TrimSpace(text)}
	return strings.Contains(text, ":") && r.timeOfDay() && r.rest == ""
}

// Named reports whether people call a time so, from 1, the likeliest; 0 = they do not.
func Named(name string) int {
	name = strings.ToLower(strings.TrimSpace(name))
	if i := strings.LastIndexByte(name, '.'); i >= 0 { // of a nested key
		name = name[i+1:]
	}
	name = strings.TrimLeft(name, "$_#@ ")
	for i, names := range [][]string{
		{"timestamp"}, {"time"},
		{"ts", "datetime", "date_time", "date time", "timestamp_utc", "time_utc", "utc", "timestamputc", "timeutc"},
	} {
		if slices.Contains(names, name) {
			return i + 1
		}
	}
	for _, begin := range []string{"time", "date", "zeit", "datum", "uhr", "fecha", "data/ora", "tijd", "heure", "horodat", "tidpunkt"} {
		if strings.HasPrefix(name, begin) {
			return 4
		}
	}
	if slices.Contains([]string{"t", "at", "when", "epoch", "eventtime", "enqueuedtime", "zeitstempel", "zeitpunkt", "messzeitpunkt", "last_changed", "last_updated", "received_at", "recorded_at", "created_at", "measured_at", "observed_at", "unix", "unixtime", "day"}, name) {
		return 5
	}
	if strings.HasSuffix(name, "time") || strings.HasSuffix(name, "timestamp") || strings.HasSuffix(name, "_at") || strings.HasSuffix(name, "date") || strings.HasSuffix(name, "_ts") {
		return 6
	}
	return 0
}
