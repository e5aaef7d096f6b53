package importer

import (
	"fmt"
	"strings"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
)

// order watches how the times of a file go, series by series.
type order struct {
	line    int // of the record that is read
	reached map[series]*reach
	late    int64  // lines with a time that their series has passed
	first   string // the first of them
	clock   bool   // it looks as if a clock was set back there
}

// series is a device, and of pairs the property.
type series struct{ device, property string }

// reach is how far the times of a series came.
type reach struct {
	time time.Time
	step time.Duration // to it, from the one before
	back bool          // they went back since
}

// watch looks at the time of a record whose fields begin at from. Among lines that go
// back some may have an instant that was there, and a value of it that they replace.
func (r *rows) watch(at time.Time, from int, wall bool) {
	o := &r.order
	p := o.reached[series{r.device, r.pair}]
	if p == nil {
		if o.reached == nil {
			o.reached = map[series]*reach{}
		}
		if len(o.reached) < remembered {
			o.reached[series{strings.Clone(r.device), strings.Clone(r.pair)}] = &reach{time: at}
		}
		return
	}
	step, way := at.Sub(p.time), "back"
	if r.clock.Descending {
		step, way = -step, "forward"
	}
	switch {
	case step > 0:
		*p = reach{time: at, step: step}
		return
	case step == 0 && !p.back && !r.into.differs(r.device, at, r.into.fields[from:]):
		return
	}
	p.back = p.back || step < 0
	if o.late++; o.late > 1 {
		return
	}
	o.first = fmt.Sprintf("line %d: the time goes %s by %v, to %.50q", o.line, way, (-step).Round(time.Millisecond), r.timeText())
	if step == 0 {
		o.first = fmt.Sprintf("line %d: the time is that of the line before, %.50q, and values differ", o.line, r.timeText())
	}
	// An hour less the step from line to line, which varies.
	o.clock = wall && r.clock.Fixed(at) && -step <= time.Hour && -step+max(2*p.step, 30*time.Minute) >= time.Hour
}

// differs reports whether the last row of a device has the instant of the next, and
// another value of one of its properties.
func (b *batch) differs(device string, at time.Time, fields []hotreader.Field) bool {
	rows := b.records[device]
	if len(rows) == 0 || !rows[len(rows)-1].Time.Equal(at) {
		return false
	}
	for _, old := range rows[len(rows)-1].Fields {
		for _, f := range fields {
			if f.Name == old.Name && f.Value.String() != old.Value.String() {
				return true
			}
		}
	}
	return false
}

// warning says what became of lines that go back, "" if there are none.
func (o *order) warning(zone *time.Location, twice bool) string {
	if o.late == 0 {
		return ""
	}
	text := o.first + "; " + terminal.Plural(o.late, "line has a time that was passed", "lines have times that were passed") + ", and lines of one instant replace each other's values"
	switch {
	case o.clock && zone != nil:
		text += fmt.Sprintf("; in %s clocks do not change: if one was set back there, give its zone, as --zone Europe/Berlin, in place of that", zone)
	case o.clock:
		text += "; if a clock was set back there, give its zone, as --zone Europe/Berlin"
	case twice:
		text += fmt.Sprintf("; sort the file by time: its order is what tells the two passes of an hour apart that %s has twice", zone)
	}
	return text
}
