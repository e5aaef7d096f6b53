package timetext

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

var months = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}
var weekdays = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

// named returns the number of the name, from 1, that word is or, with three letters
// or more, begins; 0 if it is none.
func named(word string, names []string) int {
	if len(word) < 3 {
		return 0
	}
	for i, name := range names {
		if strings.HasPrefix(name, strings.ToLower(word)) {
			return i + 1
		}
	}
	return 0
}

// others are the months that German, French, Spanish, Italian, Dutch and Portuguese write
// otherwise than English, by what they begin with, and the days of German.
var others = map[string]int{
	"gen": 1, "ene": 1, "janv": 1, "janu": 1, "jane": 1, "fév": 2, "fev": 2, "feb": 2, "mär": 3, "mrz": 3, "mars": 3, "maar": 3, "mrt": 3, "marz": 3, "març": 3,
	"avr": 4, "abr": 4, "mai": 5, "mei": 5, "mag": 5, "may": 5, "juin": 6, "juni": 6, "giu": 6, "jun": 6, "juil": 7, "juli": 7, "lug": 7, "jul": 7,
	"aoû": 8, "aou": 8, "ago": 8, "aug": 8, "set": 9, "sept": 9, "okt": 10, "out": 10, "ott": 10, "oct": 10, "nov": 11, "déc": 12, "dez": 12, "dic": 12, "dec": 12,
	"mo": -1, "di": -2, "mi": -3, "do": -4, "fr": -5, "sa": -6, "so": -7, "montag": -1, "dienstag": -2, "mittwoch": -3, "donnerstag": -4, "freitag": -5, "samstag": -6, "sonntag": -7,
}

// month returns the number of the month that a word names, 0 if it names none.
func month(word string) int {
	if m := named(word, months); m > 0 {
		return m
	}
	letters := []rune(strings.ToLower(word))
	for n := min(len(letters), 4); n > 2; n-- {
		if m := others[string(letters[:n])]; m > 0 {
			return m
		}
	}
	return 0
}

// weekday reports whether a word names a day.
func weekday(word string) bool { return others[strings.ToLower(word)] < 0 || named(word, weekdays) > 0 }

// zones are abbreviations that mean one offset in the whole world.
var zones = map[string]time.Duration{
	"UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": time.Hour, "CET": time.Hour, "MEZ": time.Hour, "CEST": 2 * time.Hour, "MESZ": 2 * time.Hour,
	"EET": 2 * time.Hour, "EEST": 3 * time.Hour, "MSK": 3 * time.Hour, "JST": 9 * time.Hour, "KST": 9 * time.Hour,
	"AEST": 10 * time.Hour, "AEDT": 11 * time.Hour, "NZST": 12 * time.Hour, "NZDT": 13 * time.Hour,
	"EST": -5 * time.Hour, "EDT": -4 * time.Hour, "CDT": -5 * time.Hour, "MST": -7 * time.Hour, "MDT": -6 * time.Hour,
	"PST": -8 * time.Hour, "PDT": -7 * time.Hour, "AKST": -9 * time.Hour, "AKDT": -8 * time.Hour, "HST": -10 * time.Hour,
}

// What a date, a time of day and a zone look like, each from where the last one ended.
var (
	letters    = regexp.MustCompile(`^\pL+`)
	afterDay   = regexp.MustCompile(`^[., ]*`)
	nameFirst  = regexp.MustCompile(`^(\pL+)[., /-]*(\d{1,2})`)
	dayMonth   = regexp.MustCompile(`^(\d{1,2})[-/. ] *(?:de )?(\pL+)`)
	numbers    = regexp.MustCompile(`^(\d{1,2})([-/. ]) *(\d{1,2})([-/. ]) *(\d{4}|\d{2})`)
	ordinal    = regexp.MustCompile(`^(\d{4})-(\d{3})`)
	yearFirst  = regexp.MustCompile(`^(\d{4})[-/._ 年](\pL{3,}|\d{1,2})[-/._ 月](\d{1,2})日?`)
	noSigns    = regexp.MustCompile(`^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?`)
	beforeYear = regexp.MustCompile(`^[., /-]*(?:de )?`)
	year       = regexp.MustCompile(`^(\d{4}|\d{2})`)
	lastYear   = regexp.MustCompile(`^[ ,]*(\d{4})`) // as ANSI C writes it

	clockFirst  = regexp.MustCompile(`^(\d{1,2})[:h]`)
	afterClock  = regexp.MustCompile(`^[ ,T]*`)
	beforeClock = regexp.MustCompile(`^[ ,_:Tt-]*(?:at )?`)
	clockSigns  = regexp.MustCompile(`^(\d{1,2})(?:[:h](\d{1,2})(?::(\d{1,2}))?(?:[.,](\d+))?)?(?:[ \x{a0}\x{202f}]*([AaPp])(?:[Mm]|\.[Mm]\.))?`)
	clockBare   = regexp.MustCompile(`^(\d\d)(\d\d)(\d\d)?(?:[.,](\d+))?`)
	zoneName    = regexp.MustCompile(`^[ (]*([A-Za-z]*)\)*`)
	zoneOffset  = regexp.MustCompile(`^([+\x{2212}-])(\d{1,2}):?(\d\d)?(?s:\[.*)?`) // Java adds the zone's name
)

// A reader takes a text apart in which a date and a time of day follow each other.
type reader struct {
	rest             string
	year, month, day int
	clock            time.Duration
	hasClock         bool
}

func digit(s string, i int) bool { return i >= 0 && i < len(s) && s[i] >= '0' && s[i] <= '9' }

// take passes over what form matches, and returns its parts; nil if it does not match, or
// would cut a number.
func (r *reader) take(form *regexp.Regexp) []string {
	parts := form.FindStringSubmatch(r.rest)
	if parts == nil || digit(parts[0], len(parts[0])-1) && digit(r.rest, len(parts[0])) {
		return nil
	}
	r.rest = r.rest[len(parts[0]):]
	return parts
}

func number(digits string) int {
	n, _ := strconv.Atoi(digits) // a few digits, or none
	return n
}

// parseCalendar reads a date, a time of day and a zone, the last two optional, with
// most separators that people use.
func parseCalendar(text string, o order) (Reading, bool) {
	if o == ymd && strings.HasSuffix(text, "Z") { // what machines write needs no search
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return Reading{Time: t, Instant: true}, true
		}
	}
	r := reader{rest: text, year: -1}
	if first := clockFirst.FindStringSubmatch(text); first != nil && number(first[1]) < 25 {
		if !r.timeOfDay() {
			return Reading{}, false
		}
		r.take(afterClock)
	}
	if !r.date(o) {
		return Reading{}, false
	}
	if !r.hasClock {
		if r.take(beforeClock); digit(r.rest, 0) && !r.timeOfDay() {
			return Reading{}, false
		}
	}
	out := Reading{Date: !r.hasClock}
	offset, ok := r.zone(&out)
	if r.year < 0 {
		if last := r.take(lastYear); last != nil {
			r.year = number(last[1])
		}
	}
	t := time.Date(r.year, time.Month(r.month), r.day, 0, 0, 0, 0, time.UTC)
	out.Time = t.Add(r.clock - offset)
	return out, ok && r.year >= 0 && r.rest == "" && int(t.Month()) == r.month && t.Day() == r.day
}

// date reads a date. Without a year, a year may follow later.
func (r *reader) date(o order) bool {
	if name := letters.FindString(r.rest); weekday(name) {
		r.rest = r.rest[len(name):]
		r.take(afterDay)
	}
	if d := r.take(nameFirst); d != nil {
		r.month, r.day = month(d[1]), number(d[2])
		return r.month > 0 && r.yearAfterDay()
	}
	if d := r.take(noSigns); d != nil {
		r.year, r.month, r.day = number(d[1]), number(d[2]), number(d[3])
		return d[4] == "" || r.setClock(d[4:7], "")
	}
	if d := r.take(dayMonth); d != nil {
		r.month, r.day = month(d[2]), number(d[1])
		return r.month > 0 && r.yearAfterDay()
	}
	if o == ymd {
		d := r.take(ordinal)
		if d != nil {
			first := time.Date(number(d[1]), 1, number(d[2]), 0, 0, 0, 0, time.UTC)
			r.year, r.month, r.day = first.Year(), int(first.Month()), first.Day()
			return r.year == number(d[1]) && r.day > 0
		}
		if d = r.take(yearFirst); d == nil {
			return false
		}
		if r.year, r.month, r.day = number(d[1]), month(d[2]), number(d[3]); r.month == 0 {
			r.month = number(d[2])
		}
		return true
	}
	d := r.take(numbers)
	if d == nil || d[2] != d[4] {
		return false
	}
	if r.day, r.month = number(d[1]), number(d[3]); o == mdy {
		r.day, r.month = r.month, r.day
	}
	r.setYear(d[5])
	return true
}

// setYear takes two digits for a year as POSIX does.
func (r *reader) setYear(digits string) {
	switch r.year = number(digits); {
	case len(digits) == 2 && r.year < 69:
		r.year += 2000
	case len(digits) == 2:
		r.year += 1900
	}
}

// yearAfterDay reads the year after a day and the name of a month, unless a time of
// day comes first.
func (r *reader) yearAfterDay() bool {
	r.take(beforeYear)
	at := r.rest
	if y := r.take(year); y != nil && (len(y[1]) == 4 || !strings.HasPrefix(r.rest, ":")) {
		r.setYear(y[1])
		return true
	}
	r.rest = at
	return !digit(at, 0) || !digit(at, 1) || !digit(at, 2) // else it is a number that is no year
}

// timeOfDay reads hours and minutes, and if they are there seconds, a fraction and
// AM or PM.
func (r *reader) timeOfDay() bool {
	if c := r.take(clockBare); c != nil {
		return r.setClock(c[1:4], c[4])
	}
	c := r.take(clockSigns)
	if c == nil || c[2] == "" && c[5] == "" {
		return false
	}
	h := number(c[1])
	switch half := strings.ToLower(c[5]); {
	case half != "" && (h < 1 || h > 12):
		return false
	case half == "p":
		h = h%12 + 12
	case half == "a":
		h %= 12
	}
	return r.setClock([]string{strconv.Itoa(h), c[2], c[3]}, c[4])
}

// setClock sets hours, minutes and seconds, and a fraction of one, of which digits after
// the nanosecond are cut off.
func (r *reader) setClock(parts []string, fraction string) bool {
	h, m, s := number(parts[0]), number(parts[1]), number(parts[2])
	nanos := number((fraction + "000000000")[:9])
	r.hasClock = true
	r.clock = time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second + time.Duration(nanos)
	return m < 60 && s < 60 && r.clock <= 24*time.Hour
}

// zone reads what may follow: an offset, or a name, or both.
func (r *reader) zone(out *Reading) (time.Duration, bool) {
	name := strings.ToUpper(r.take(zoneName)[1])
	offset, known := zones[name]
	if name != "" && !known && (len(name) < 2 || len(name) > 5) {
		return 0, false
	}
	if out.Instant = known; len(name) > 1 {
		out.Zone = name
	}
	if name != "" && name != "UTC" && name != "GMT" {
		return offset, true
	}
	shift := r.take(zoneOffset)
	if shift == nil {
		return 0, true
	}
	out.Instant = true
	h, m := number(shift[2]), number(shift[3])
	offset = time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	if shift[1] != "+" {
		offset = -offset
	}
	return offset, h < 24 && m < 60
}
