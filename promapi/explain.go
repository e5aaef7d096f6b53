package promapi

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"hotreader"
	"hotreader/internal/nearest"
)

// Bounds of what is looked at to explain an answer that is empty.
const (
	maxExplained = 3      // selectors
	maxMatchers  = 4      // of each
	maxSeries    = 10_000 // of each matcher
	newestOf     = 100    // rows from the newest on
)

// unmet is a selector that brought no sample.
type unmet struct {
	matchers []*labels.Matcher
	parts    []*part // none if it selects no series
}

// explain says why an expression has no result: a name or a label's value is mistyped, or
// the newest row is of another time. Where warnings say what is left out, they are it.
func (r *run) explain(result parser.Value) {
	vector, _ := result.(promql.Vector)
	matrix, _ := result.(promql.Matrix)
	if len(vector)+len(matrix) > 0 || len(r.told.of) > 0 {
		return
	}
	var all []*device
	for _, u := range r.unmet[:min(len(r.unmet), maxExplained)] {
		var text string
		if len(u.parts) > 0 {
			text = u.parts[0].newest()
		} else {
			if all == nil {
				all = r.allDevices()
			}
			text = r.meant(all, u.matchers)
		}
		if text != "" && !slices.Contains(r.infos, text) {
			r.infos = append(r.infos, text)
		}
	}
}

// allDevices returns those that the caller may read, as far as they can be listed: the
// answer is right without.
func (c *call) allDevices() (all []*device) {
	_ = c.devices("", func(d *device) { all = append(all, d) })
	return all
}

// meant says what matchers that select none of the devices' series may have meant. It
// looks for the one without which the others select some.
func (c *call) meant(devices []*device, matchers []*labels.Matcher) string {
	there := ""
	for i, m := range matchers[:min(len(matchers), maxMatchers)] {
		if m.Type != labels.MatchEqual || m.Value == "" {
			continue
		}
		if !slices.Contains(labelNames, m.Name) {
			return fmt.Sprintf("no series has a label %s; there are %s", m.Name, strings.Join(labelNames[1:], ", "))
		}
		others := newSelection(slices.Concat(matchers[:i], matchers[i+1:]))
		if others.never {
			continue
		}
		written, n := map[string]string{}, 0 // by what may have been meant
		chosen := c.chooser(others)
		use := func(s identity) {
			if n++; n > maxSeries {
				return
			}
			switch value := s.value(m.Name); {
			case m.Name == metricLabel || m.Name == propertyLabel:
				own := selector(metricLabel, s.metric)
				if s.metric != s.property.Name {
					own = "{" + selector(propertyLabel, s.property.Name) + "}"
				}
				written[s.metric], written[s.property.Name] = own, own
			case value != "":
				written[value] = selector(m.Name, value)
			}
		}
		for _, d := range devices {
			chosen.among(d, use)
		}
		if near := nearest.Word(m.Value, slices.Sorted(maps.Keys(written))); near != "" {
			return fmt.Sprintf("no series is selected; did you mean %.300s instead of %.300s?", written[near], selector(m.Name, m.Value))
		}
		if all := slices.Compact(slices.Sorted(maps.Values(written))); len(all) > 0 && there == "" {
			there = fmt.Sprintf("no series is selected; there are %.300s", strings.Join(all, ", "))
		}
	}
	return cmp.Or(there, "no series is selected; check the names and the labels, and their case")
}

// selector is how an expression selects by a label.
func selector(label, value string) string {
	if label == metricLabel {
		return value
	}
	return label + "=" + strconv.Quote(value)
}

// named says how to select the property whose name is in text, which cannot be parsed: a name that is
// not one of a metric. Text, or what is before its { or [, may also be near the name.
func (c *call) named(text string) string {
	names, best := map[string]bool{}, ""
	_ = c.choose(nil, func(s identity) { // the error is right without
		name := s.property.Name
		if s.metric == name || len(names) == maxSeries {
			return
		}
		names[name] = true
		if len(name) > len(best) && strings.Contains(text, name) && !strings.Contains(text, strconv.Quote(name)) {
			best = name
		}
	})
	if all := slices.Sorted(maps.Keys(names)); best == "" {
		before, _, _ := strings.Cut(text, "{")
		bare, _, _ := strings.Cut(before, "[")
		best = cmp.Or(nearest.Word(strings.TrimSpace(before), all), nearest.Word(strings.TrimSpace(bare), all))
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; for the property %.300q, select it with {property=%.300[1]q}", best)
}

// newest says of which time the device's newest row is.
func (p *part) newest() string {
	q := hotreader.Query{Device: p.device.id, Last: true, LookBack: newestOf}
	p.ask(&q)
	for row, err := range p.run.api.o.Reader.Read(p.run.ctx, q) {
		if err != nil || row.Time.IsZero() { // as from a foreign peer
			break // the answer is right without
		}
		at := func(t millis) string { return time.UnixMilli(t).UTC().Format(time.RFC3339) }
		return fmt.Sprintf("%s has no value from %s to %s; its newest is of %s", selector(deviceLabel, p.device.id), at(p.window.start), at(p.window.end), hotreader.AppendTime(nil, row.Time))
	}
	return ""
}
