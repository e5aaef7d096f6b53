package timetext

import (
	"errors"
	"fmt"
	"time"
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
	if name == "" || name == "Local" {
		return nil, errors.New("give a zone's name as Europe/Berlin, or an offset as +01:00")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("zone %s is unknown; give a name as Europe/Berlin, or an offset as +01:00", name)
	}
	return zone, nil
}

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
	at := first
	if !first.Equal(second) {
		if at, ok = c.choose(series, first, second); !ok {
			return at, fmt.Errorf("%s comes twice in %s, and the lines around it are not in order of time, which would tell the two apart; sort the file by time",
				r.Time.Format("2006-01-02 15:04:05"), c.Zone)
		}
	}
	if c.last == nil {
		c.last = map[string]time.Time{}
	}
	c.last[series] = at
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
