package layout

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// dateForms are how templates write the dates in keys, the finest first.
func dateForms() []string {
	var forms []string
	for _, parts := range []int{4, 3, 2, 1} {
		for _, separator := range []string{"-", "/", "", "_", "."} {
			names := make([]string, parts)
			for i := range names {
				names[i] = units[i].name
			}
			if parts == 4 {
				forms = append(forms, "{"+strings.Join(names[:3], separator)+"}T{HH}")
			}
			if parts > 1 || separator == "-" {
				forms = append(forms, "{"+strings.Join(names, separator)+"}")
			}
		}
	}
	return forms
}

// dates finds the form of the date that is in all values, that of the item's own
// time in a zone, and takes the values apart there.
func (g *guess) dates(values []string, zones []*time.Location) (form string, parts []part) {
	for _, form := range dateForms() {
		if parts, ok := g.cutDates(values, form, zones, 0); ok {
			return form, parts
		}
	}
	for _, v := range values {
		parts = append(parts, part{v, "", v})
	}
	return "", parts
}

// otherClock is dates where a few items lie in another date's partition, or all dates are
// those of another clock than that of the times.
func (g *guess) otherClock(values []string, whole []part) (form string, parts []part) {
	if !slices.ContainsFunc(values, dateLike.MatchString) {
		return "", whole
	}
	for _, form := range dateForms() {
		if parts, ok := g.cutDates(values, form, g.zones, len(values)/4); ok {
			n, one := 0, 0
			for i, v := range values {
				if parts[i].text == "" && v != "" && !g.times[i].IsZero() {
					n, one = n+1, i
				}
			}
			g.problem("%d of %d items lie in another date's partition than that of their time, as in %q that of %s: by another clock, or by when they arrived; a query does not find them there",
				n, len(values), values[one], g.times[one].In(g.zones[one]).Format(time.RFC3339))
			return form, parts
		}
	}
	for _, minutes := range offsets() {
		zone := time.FixedZone("", 60*minutes)
		zones := slices.Repeat([]*time.Location{zone}, len(values))
		if form, parts = g.dates(values, zones); form != "" {
			g.problem("the dates in %s, as %q, are those of UTC%s, but the times are not; a layout has one of them for both, so that items around midnight are not found",
				g.device.name(), values[0], time.Time{}.In(zone).Format("-07:00"))
			return form, parts
		}
	}
	return "", whole
}

// dateLike is what has a year and a month of ours in it.
var dateLike = regexp.MustCompile(`(19|20)\d\d[-/_.]?(0[1-9]|1[0-2])`)

// offsets are those of the world's clocks in minutes, the likeliest first.
func offsets() []int {
	all := []int{0}
	for m := 60; m <= 14*60; m += 60 {
		all = append(all, m, -m)
	}
	for m := 30; m <= 13*60; m += 15 {
		if m%60 != 0 {
			all = append(all, m, -m)
		}
	}
	return all
}

// cutDates takes the values apart at their dates; up to so many may have another date.
func (g *guess) cutDates(values []string, form string, zones []*time.Location, odd int) (parts []part, ok bool) {
	t, err := ParseTemplate("{device}" + form)
	if err != nil {
		return nil, false
	}
	dates := map[string]bool{}
	for i, v := range values {
		if v == "" || g.times[i].IsZero() {
			parts = append(parts, part{})
			continue
		}
		date := t.Value("", g.times[i].In(zones[i]))
		before, after, found := strings.Cut(v, date)
		if !found || digitAt(before, len(before)-1) || digitAt(after, 0) || finer.MatchString(after) {
			if odd--; odd < 0 {
				return nil, false
			}
			parts = append(parts, part{})
			continue
		}
		dates[date] = true
		parts = append(parts, part{before, after, before + after})
	}
	// A year alone may as well belong to an id.
	return parts, len(dates) > 1 || len(dates) == 1 && form != "{yyyy}"
}

// finer is the rest of a date that is finer than the form that was tried.
var finer = regexp.MustCompile(`^[-/._T]\d\d(\D|$)`)

func digitAt(s string, i int) bool { return i >= 0 && i < len(s) && s[i] >= '0' && s[i] <= '9' }
