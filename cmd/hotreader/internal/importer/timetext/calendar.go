package timetext

import (
	"strings"
	"time"
)

// A scanner is a place in a text.
type scanner struct {
	s  string
	at int
}

func (s *scanner) rest() string { return s.s[s.at:] }
func (s *scanner) end() bool    { return s.at == len(s.s) }

func (s *scanner) peek() byte {
	if s.end() {
		return 0
	}
	return s.s[s.at]
}

// any passes over one byte of set, and reports whether there was one.
func (s *scanner) any(set string) bool {
	if s.end() || strings.IndexByte(set, s.s[s.at]) < 0 {
		return false
	}
	s.at++
	return true
}

func (s *scanner) all(set string) {
	for s.any(set) {
	}
}

// digits reads a run of digits.
func (s *scanner) digits() string {
	from := s.at
	for s.peek() >= '0' && s.peek() <= '9' {
		s.at++
	}
	return s.s[from:s.at]
}

// word reads a run of letters.
func (s *scanner) word() string {
	from := s.at
	for c := s.peek() | 0x20; c >= 'a' && c <= 'z'; c = s.peek() | 0x20 {
		s.at++
	}
	return s.s[from:s.at]
}

func number(digits string) (n int) {
	for _, c := range digits {
		n = 10*n + int(c-'0')
	}
	return n
}

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

// german are the months and days that German writes otherwise than English.
var german = map[string]int{
	"januar": 1, "februar": 2, "mrz": 3, "mai": 5, "juni": 6, "juli": 7, "sept": 9, "okt": 10, "oktober": 10, "dez": 12, "dezember": 12,
	"mo": -1, "di": -2, "mi": -3, "do": -4, "fr": -5, "sa": -6, "so": -7, "montag": -1, "dienstag": -2, "mittwoch": -3, "donnerstag": -4, "freitag": -5, "samstag": -6, "sonntag": -7,
}

// month returns the number of the month that a word names, 0 if it names none.
func month(word string) int {
	if m := german[strings.ToLower(word)]; m > 0 {
		return m
	}
	return named(word, months)
}

// weekday reports whether a word names a day.
func weekday(word string) bool { return german[strings.ToLower(word)] < 0 || named(word, weekdays) > 0 }

// zones are abbreviations that mean one offset in the whole world.
var zones = map[string]time.Duration{
	"UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": time.Hour, "CET": time.Hour, "MEZ": time.Hour, "CEST": 2 * time.Hour, "MESZ": 2 * time.Hour,
	"EET": 2 * time.Hour, "EEST": 3 * time.Hour, "MSK": 3 * time.Hour, "JST": 9 * time.Hour, "KST": 9 * time.Hour,
	"AEST": 10 * time.Hour, "AEDT": 11 * time.Hour, "NZST": 12 * time.Hour, "NZDT": 13 * time.Hour,
	"EST": -5 * time.Hour, "EDT": -4 * time.Hour, "CDT": -5 * time.Hour, "MST": -7 * time.Hour, "MDT": -6 * time.Hour,
	"PST": -8 * time.Hour, "PDT": -7 * time.Hour, "AKST": -9 * time.Hour, "AKDT": -8 * time.Hour, "HST": -10 * time.Hour,
}

// A reader takes a text apart in which a date and a time of day follow each other.
type reader struct {
	scanner
	order            order
	year, month, day int
	compact          bool // the date has no separators
	clock            time.Duration
	hasClock         bool
}

// parseCalendar reads a date, a time of day and a zone, the last two optional, with
// most separators that people use.
func parseCalendar(text string, o order) (Reading, bool) {
	r := reader{scanner: scanner{s: text}, order: o, year: -1}
	if i := strings.IndexByte(text, ':'); i > 0 && i <= 2 && number(text[:i]) < 25 { // the time of day comes first
		if !r.timeOfDay() {
			return Reading{}, false
		}
		r.all(" ,T")
	}
	if !r.date() {
		return Reading{}, false
	}
	if !r.hasClock && !r.end() {
		r.all(" ,_-:Tt")
		if strings.HasPrefix(r.rest(), "at ") {
			r.at += 3
		}
		if c := r.peek(); c >= '0' && c <= '9' && !r.timeOfDay() {
			return Reading{}, false
		}
	}
	out := Reading{Date: !r.hasClock}
	offset, ok := r.zone(&out)
	if r.year < 0 { // as ANSI C writes it
		r.all(" ,")
		if year := r.digits(); len(year) == 4 {
			r.year = number(year)
		}
	}
	if !ok || r.year < 0 || !r.end() || r.month < 1 || r.month > 12 || r.day < 1 || r.day > 31 {
		return Reading{}, false
	}
	t := time.Date(r.year, time.Month(r.month), r.day, 0, 0, 0, 0, time.UTC)
	if t.Day() != r.day {
		return Reading{}, false
	}
	out.Time = t.Add(r.clock - offset)
	return out, true
}

// date reads a date. Without a year, a year may follow later.
func (r *reader) date() bool {
	if weekday(r.ahead()) {
		r.word()
		r.all("., ")
	}
	if m := month(r.ahead()); m > 0 {
		r.month = m
		r.word()
		r.all("., -/")
		return r.setDay(r.digits()) && r.yearAfterDay()
	}
	first := r.digits()
	switch {
	case len(first) == 8, len(first) == 12, len(first) == 14:
		r.compact = true
		r.year, r.month, r.day = number(first[:4]), number(first[4:6]), number(first[6:8])
		if rest := first[8:]; rest != "" {
			return r.setClock(rest)
		}
		return true
	case len(first) == 4 && r.order == ymd:
		r.year = number(first)
		return r.separated(&r.month) && r.separated(&r.day)
	case len(first) == 0 || len(first) > 2:
		return false
	}
	sep := r.peek()
	if !r.any("-/. ") {
		return false
	}
	r.all(" ")
	if m := month(r.ahead()); m > 0 {
		r.month = m
		r.word()
		return r.setDay(first) && r.yearAfterDay()
	}
	second := r.digits()
	if r.order == ymd || len(second) == 0 || len(second) > 2 || !r.any(string(sep)) {
		return false
	}
	r.all(" ")
	if r.order == mdy {
		first, second = second, first
	}
	r.month = number(second)
	return r.setDay(first) && r.setYear(r.digits())
}

// ahead returns the letters that follow.
func (r *reader) ahead() string {
	s := r.scanner
	return s.word()
}

func (r *reader) setDay(digits string) bool {
	r.day = number(digits)
	return len(digits) == 1 || len(digits) == 2
}

func (r *reader) setYear(digits string) bool {
	r.year = number(digits)
	switch {
	case len(digits) == 2 && r.year < 69: // as POSIX has it
		r.year += 2000
	case len(digits) == 2:
		r.year += 1900
	}
	return len(digits) == 2 || len(digits) == 4
}

// yearAfterDay reads the year after a day and the name of a month, unless a time of
// day comes first.
func (r *reader) yearAfterDay() bool {
	r.all("., -/")
	at := r.at
	if year := r.digits(); len(year) > 1 && r.peek() != ':' || len(year) == 4 {
		return r.setYear(year)
	}
	r.at = at
	return true
}

// separated reads a separator and one or two digits, or the name of a month.
func (r *reader) separated(n *int) bool {
	if !r.any("-/._ ") {
		return false
	}
	if m := month(r.ahead()); m > 0 && n == &r.month {
		r.word()
		*n = m
		return true
	}
	digits := r.digits()
	*n = number(digits)
	return len(digits) == 1 || len(digits) == 2
}

// timeOfDay reads hours and minutes, and if they are there seconds, a fraction and
// AM or PM.
func (r *reader) timeOfDay() bool {
	hour := r.digits()
	if len(hour) == 4 || len(hour) == 6 {
		return r.setClock(hour) && r.fraction()
	}
	if len(hour) == 0 || len(hour) > 2 {
		return false
	}
	h, mins, sec := number(hour), 0, 0
	if r.any(":") {
		m := r.digits()
		if mins = number(m); len(m) == 0 || len(m) > 2 {
			return false
		}
		if r.any(":") {
			s := r.digits()
			if sec = number(s); len(s) == 0 || len(s) > 2 {
				return false
			}
		}
	} else if !r.half() {
		return false
	}
	r.hasClock = true
	r.clock = time.Duration(mins)*time.Minute + time.Duration(sec)*time.Second
	if mins > 59 || sec > 59 || !r.fraction() {
		return false
	}
	half := strings.ToLower(r.halfOfDay())
	switch {
	case half != "" && (h < 1 || h > 12), h > 24, h == 24 && r.clock > 0:
		return false
	case half == "p" && h < 12:
		h += 12
	case half == "a" && h == 12:
		h = 0
	}
	r.clock += time.Duration(h) * time.Hour
	return true
}

// fraction reads a fraction of a second; digits after the nanosecond are cut off.
func (r *reader) fraction() bool {
	if !r.any(".,") {
		return true
	}
	digits := r.digits()
	scale := 100 * time.Millisecond
	for _, c := range digits {
		r.clock += time.Duration(c-'0') * scale
		scale /= 10
	}
	return digits != ""
}

// half reports whether AM or PM follows.
func (r *reader) half() bool {
	s := *r
	return s.halfOfDay() != ""
}

// halfOfDay reads AM or PM, as its first letter.
func (r *reader) halfOfDay() string {
	at := r.at
	r.all(" \u00a0\u202f")
	for _, word := range []string{"am", "pm", "a.m.", "p.m."} {
		if len(r.rest()) >= len(word) && strings.EqualFold(r.rest()[:len(word)], word) {
			r.at += len(word)
			return word[:1]
		}
	}
	r.at = at
	return ""
}

// setClock sets hours, minutes and seconds of digits without separators.
func (r *reader) setClock(digits string) bool {
	h, m, s := number(digits[:2]), number(digits[2:4]), 0
	if len(digits) == 6 {
		s = number(digits[4:])
	}
	r.hasClock = true
	r.clock = time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second
	return m < 60 && s < 60 && (h < 24 || r.clock == 24*time.Hour)
}

// zone reads what may follow: an offset, or a name, or both.
func (r *reader) zone(out *Reading) (time.Duration, bool) {
	r.all(" (")
	name := strings.ToUpper(r.word())
	offset, known := zones[name]
	if name != "" && !known && (len(name) < 2 || len(name) > 5) {
		return 0, false
	}
	if out.Instant = known; len(name) > 1 {
		out.Zone = name
	}
	if r.all(")"); r.end() || name != "" && name != "UTC" && name != "GMT" {
		return offset, true
	}
	west := false
	switch {
	case r.any("+"):
	case strings.HasPrefix(r.rest(), "\u2212"):
		r.at += len("\u2212")
		west = true
	case r.any("-"):
		west = true
	default:
		return 0, true
	}
	shift, ok := r.offset()
	out.Instant = true
	if r.peek() == '[' { // Java adds the zone's name
		r.at = len(r.s)
	}
	if west {
		shift = -shift
	}
	return shift, ok
}

func (r *reader) offset() (time.Duration, bool) {
	hours := r.digits()
	minutes := ""
	switch {
	case len(hours) == 4:
		hours, minutes = hours[:2], hours[2:]
	case r.any(":"):
		minutes = r.digits()
	}
	h, m := number(hours), number(minutes)
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute, (len(hours) == 1 || len(hours) == 2) && (minutes == "" || len(minutes) == 2) && h < 24 && m < 60
}
