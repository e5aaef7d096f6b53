package timetext

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// ParseZone reads a zone's name, as Europe/Berlin, or an offset, as +01:00 or GMT-5.
func ParseZone(name string) (*time.Location, error) {
	var out Reading
	r := reader{rest: name}
	if offset, ok := r.zone(&out); ok && out.Instant && r.rest == "" && name != "" {
		if _, known := zones[name]; !known || name == "UTC" || name == "GMT" || name == "Z" {
			return time.FixedZone(name, int(offset/time.Second)), nil
		}
	}
	const either = "a zone's name as Europe/Berlin, or an offset as +01:00 for a clock that never changes"
	if name == "" || name == "Local" {
		return nil, errors.New("give " + either)
	}
	zone, err := time.LoadLocation(name)
	place := abbreviated(name)
	switch {
	case place != "" && (err != nil || name == "EST" || name == "MST"): // they have no summer time there
		return nil, fmt.Errorf("%s does not say when its clock changes; give your zone, as %s, or an offset, as +01:00, if it never does", name, place)
	case err != nil:
		if place = spelled(name); place != "" {
			return nil, fmt.Errorf("zone %s is unknown; did you mean %s?", name, place)
		}
		return nil, fmt.Errorf("zone %s is unknown; give %s", name, either)
	}
	return zone, nil
}

// places are zones that people abbreviate, most with a sibling in summer.
var places = map[string]string{
	"America/New_York": "EST EDT ET EASTERN", "America/Chicago": "CST CDT CT CENTRAL", "America/Denver": "MST MDT MT MOUNTAIN",
	"America/Los_Angeles": "PST PDT PT PACIFIC", "America/Anchorage": "AKST AKDT ALASKA", "Pacific/Honolulu": "HST HAWAII",
	"Europe/London": "BST", "Europe/Lisbon": "WET WEST", "Europe/Berlin": "CET CEST MEZ MESZ", "Europe/Helsinki": "EET EEST",
	"Europe/Moscow": "MSK", "Asia/Kolkata": "IST", "Asia/Tokyo": "JST", "Asia/Seoul": "KST",
	"Australia/Sydney": "AEST AEDT", "Pacific/Auckland": "NZST NZDT",
}

// abbreviated returns a zone that people abbreviate so, or call as Central Time; "" if
// there is none.
func abbreviated(name string) string {
	name = strings.TrimSuffix(strings.ToUpper(name), " TIME")
	name = strings.TrimSuffix(strings.TrimSuffix(name, " STANDARD"), " DAYLIGHT")
	for place, words := range places {
		if slices.Contains(strings.Fields(words), name) {
			return place
		}
	}
	return ""
}

// spelled returns the zone that is meant by a name in another case, with blanks, or of a
// city alone; "" if there is none.
func spelled(name string) string {
	letters := []byte(strings.ReplaceAll(strings.ToLower(name), " ", "_"))
	for i := range letters {
		if i == 0 || strings.IndexByte("/_-", letters[i-1]) >= 0 {
			letters[i] = byte(unicode.ToUpper(rune(letters[i])))
		}
	}
	for _, region := range []string{"", "Europe/", "America/", "Asia/", "Australia/", "Africa/", "Pacific/", "Atlantic/"} {
		if _, err := time.LoadLocation(region + string(letters)); err == nil {
			return region + string(letters)
		}
	}
	return ""
}

// An offset within a column's name, as loggers write it: "Date Time, GMT-05:00".
var offsetName = regexp.MustCompile(`\b(?:UTC|GMT) ?([+-]\d{1,2}(?::?\d\d)?)\b`)

// ZoneIn returns the zone that a column's name has: an offset, a zone's name, or an
// abbreviation. Of the last, example is a zone that may be meant.
func ZoneIn(column string) (zone, example string) {
	if m := offsetName.FindStringSubmatch(column); m != nil {
		return m[1], ""
	}
	for word := range strings.FieldsFuncSeq(column, func(r rune) bool { return !unicode.IsLetter(r) && !strings.ContainsRune("/_", r) }) {
		if strings.Contains(word, "/") {
			if _, err := time.LoadLocation(word); err == nil {
				return word, ""
			}
		}
		for word := range strings.FieldsFuncSeq(word, func(r rune) bool { return r == '/' || r == '_' }) {
			if place := abbreviated(word); place != "" && word == strings.ToUpper(word) {
				return word, place
			}
		}
	}
	return "", ""
}

// maxSeries is how many series a Clock remembers.
const maxSeries = 100_000

// A Clock makes instants of what a clock on a wall showed. The order of the file
// distinguishes the two passes of a repeated hour, series by series.
type Clock struct {
	Zone       *time.Location
	Descending bool // the file begins with its newest row

	// Earlier and Later count the readings within an hour that comes twice, by the
	// pass that they were taken for.
	Earlier, Later int64

	last map[string]time.Time
}

// Fixed reports whether the clock is not known to change in the half year before at.
func (c *Clock) Fixed(at time.Time) bool {
	if c.Zone == nil {
		return true
	}
	_, now := at.In(c.Zone).Zone()
	_, then := at.AddDate(0, -6, 0).In(c.Zone).Zone()
	return now == then
}

// Instant returns the instant of a reading of the series.
func (c *Clock) Instant(series string, r Reading) (time.Time, error) {
	if r.Instant {
		return r.Time, nil
	}
	if c.Zone == nil {
		if r.Zone != "" {
			return time.Time{}, fmt.Errorf("the zone %s is not known, or is several; name yours, as --zone America/Chicago", r.Zone)
		}
		return r.Time, nil
	}
	first, second, ok := c.both(r)
	if !ok {
		return time.Time{}, fmt.Errorf("%s does not exist in %s, whose clocks skip it; if the file's clock does not change, give --zone with an offset, as +01:00",
			r.Time.Format("2006-01-02 15:04:05"), c.Zone)
	}
	_, known := c.last[series]
	room := known || len(c.last) < maxSeries
	at := first
	if !first.Equal(second) {
		if !room {
			return at, fmt.Errorf("%s comes twice in %s, and of more than %d devices or properties nothing is remembered that would tell the two apart; split the file by device",
				r.Time.Format("2006-01-02 15:04:05"), c.Zone, maxSeries)
		}
		if at, ok = c.choose(series, first, second); !ok {
			return at, fmt.Errorf("%s comes twice in %s, and the lines around it are not in order of time, which would tell the two apart; sort the file by time",
				r.Time.Format("2006-01-02 15:04:05"), c.Zone)
		}
	}
	if c.last == nil {
		c.last = map[string]time.Time{}
	}
	if room {
		c.last[series] = at
	}
	return at, nil
}

// both returns the instants at which the clock shows a reading, the earlier first; ok
// is false if it never does.
func (c *Clock) both(r Reading) (first, second time.Time, ok bool) {
	wall := r.Time
	for _, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} { // a zone changes less than daily
		_, offset := wall.Add(near).In(c.Zone).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second)
		name, is := t.In(c.Zone).Zone()
		if is != offset || r.Zone != "" && r.Zone != name {
			continue
		}
		if !ok {
			first = t
		}
		second, ok = t, true
	}
	if second.Before(first) {
		first, second = second, first
	}
	return first, second, ok
}

// choose returns the instant of the pass that the order means; ok is false if neither
// fits.
func (c *Clock) choose(series string, first, second time.Time) (at time.Time, ok bool) {
	last, known := c.last[series]
	later := known && !first.After(last)
	if c.Descending {
		later = !known || second.Before(last)
	}
	if later {
		c.Later++
		return second, c.Descending || !second.Before(last)
	}
	c.Earlier++
	return first, !c.Descending || !first.After(last)
}
