package layout

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Template makes a partition's value of a device and, in some tables, of the date:
// {device}, site-4#{device}, {device}#{yyyy-MM-dd}, {device}-{yyyy}-{MM}.
type Template struct {
	parts []string // constants and, at odd places, what a brace holds
	unit  string   // the finest part of the date: "", yyyy, MM, dd or HH
}

// units are the parts of a date, the coarsest first, and how Go writes them.
var units = []struct{ name, form string }{{"yyyy", "2006"}, {"MM", "01"}, {"dd", "02"}, {"HH", "15"}}

// ParseTemplate reads a template.
func ParseTemplate(text string) (t Template, err error) {
	fail := func(what string) (Template, error) {
		return Template{}, fmt.Errorf("partition is %q, %s; expected as {device}, site-4#{device} or {device}#{yyyy-MM-dd}", text, what)
	}
	rest, device, finest := text, 0, -1
	var seen [4]bool
	for {
		before, inside, braced := strings.Cut(rest, "{")
		t.parts = append(t.parts, before)
		if strings.Contains(before, "}") {
			return fail("which has a } without a {")
		}
		if !braced {
			break
		}
		name, after, closed := strings.Cut(inside, "}")
		if !closed {
			return fail("which has a { without a }")
		}
		if name == "device" {
			device++
		} else {
			left := name
			for i, u := range units {
				if strings.Contains(left, u.name) {
					left = strings.Replace(left, u.name, "", 1)
					seen[i], finest = true, max(finest, i)
				}
			}
			if left == name || strings.ContainsAny(left, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ{") {
				return fail("where {" + name + "} is neither {device} nor made of yyyy, MM, dd and HH")
			}
		}
		t.parts = append(t.parts, name)
		rest = after
	}
	if device != 1 {
		return fail(fmt.Sprintf("which has {device} %d times", device))
	}
	if finest >= 0 {
		if slices.Contains(seen[:finest+1], false) {
			return fail("whose date lacks a part: a day needs its month, a month its year")
		}
		t.unit = units[finest].name
	}
	return t, nil
}

// Dated reports whether partitions are made of dates, too.
func (l *Layout) Dated() bool {
	t, err := ParseTemplate(l.Partition)
	return err == nil && t.Dated()
}

// Dated reports whether partitions are made of dates, too.
func (t *Template) Dated() bool { return t.unit != "" }

// Value returns the partition's value for a device and, if the template is dated, a
// moment in the zone that dates are in.
func (t *Template) Value(device string, at time.Time) string {
	var b strings.Builder
	for i, part := range t.parts {
		switch {
		case i%2 == 0:
			b.WriteString(part)
		case part == "device":
			b.WriteString(device)
		default:
			for _, u := range units {
				part = strings.ReplaceAll(part, u.name, at.Format(u.form))
			}
			b.WriteString(part)
		}
	}
	return b.String()
}

// Period returns the period that one partition of a dated template covers around at:
// [from, to).
func (t *Template) Period(at time.Time) (from, to time.Time) {
	y, m, d := at.Date()
	switch t.unit {
	case "yyyy":
		from = time.Date(y, 1, 1, 0, 0, 0, 0, at.Location())
		return from, from.AddDate(1, 0, 0)
	case "MM":
		from = time.Date(y, m, 1, 0, 0, 0, 0, at.Location())
		return from, from.AddDate(0, 1, 0)
	case "dd":
		from = time.Date(y, m, d, 0, 0, 0, 0, at.Location())
		return from, from.AddDate(0, 0, 1)
	}
	from = time.Date(y, m, d, at.Hour(), 0, 0, 0, at.Location())
	return from, from.Add(time.Hour)
}
