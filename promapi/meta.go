package promapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"hotreader"
)

// Lists come from the catalogue or the store's own list. They hold whether or not a
// series has samples between the parameters start and end, which are not looked at.

// each calls use with the series that the parameter match[] selects, each once; with all
// if it is not given.
func (c *call) each(use func(identity)) error {
	if n := len(c.r.Form["match[]"]); n > maxSelectors {
		return invalid("match[]", fmt.Sprintf("it is given %d times; at most %d are allowed", n, maxSelectors))
	}
	if err := bounded("match[]", c.r.Form["match[]"]...); err != nil {
		return err
	}
	var sets [][]*labels.Matcher
	if err := c.within(c.api.parsing, func() (err error) {
		if sets, err = c.api.parser.ParseMetricSelectors(c.r.Form["match[]"]); err != nil {
			err = invalid("match[]", err.Error())
		}
		return err
	}); err != nil {
		return err
	}
	for _, set := range sets {
		if !slices.ContainsFunc(set, func(m *labels.Matcher) bool { return !m.Matches("") }) {
			return invalid("match[]", "match[] must contain at least one non-empty matcher")
		}
	}
	if sets == nil {
		sets = [][]*labels.Matcher{nil}
	}
	type key struct{ device, property string }
	seen := map[key]bool{}
	return c.within(c.api.running, func() error {
		for _, set := range sets {
			if err := c.choose(set, func(s identity) {
				if len(sets) > 1 {
					k := key{s.device.id, s.property.Name}
					if seen[k] {
						return
					}
					seen[k] = true
				}
				if noSeries(s.property) == "" {
					use(s)
				}
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *call) series() error {
	if len(c.r.Form["match[]"]) == 0 {
		return invalid("match[]", "no match[] parameter provided")
	}
	limit, err := limit(c.r)
	if err != nil {
		return err
	}
	c.data = append(c.data, '[')
	n := 0
	err = c.each(func(s identity) {
		if n++; limit > 0 && n > limit || c.full() {
			return
		}
		if n > 1 {
			c.data = append(c.data, ',')
		}
		c.data = appendLabels(c.data, s.labels())
	})
	if limit > 0 && n > limit {
		c.warnings = append(c.warnings, truncated)
	}
	c.data = append(c.data, ']')
	return err
}

// names answers with a set of names, sorted.
func (c *call) names(of func(identity, map[string]bool)) error {
	limit, err := limit(c.r)
	if err != nil {
		return err
	}
	set := map[string]bool{}
	if err := c.each(func(s identity) { of(s, set) }); err != nil {
		return err
	}
	all := slices.Sorted(maps.Keys(set))
	c.list(len(all), limit, func(i int) { c.data = append(c.data, quote(all[i])...) })
	return nil
}

func (c *call) labels() error {
	return c.names(func(s identity, set map[string]bool) {
		for _, name := range labelNames {
			if s.value(name) != "" {
				set[name] = true
			}
		}
	})
}

func (c *call) labelValues(name string) error {
	return c.names(func(s identity, set map[string]bool) {
		if value := s.value(name); value != "" {
			set[value] = true
		}
	})
}

// describing is a metric's metadata.
type describing struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// metadata answers with the metrics' units. Devices may have a property of one name in
// several units.
func (c *call) metadata() error {
	most, err := limit(c.r)
	if err != nil {
		return err
	}
	of := map[string][]describing{}
	collect := func(s identity) {
		one := describing{"gauge", "Property " + s.property.Name, s.property.Unit}
		if s.property.Type == hotreader.Untyped { // it may be a text
			one.Type = "unknown"
		}
		wanted := c.r.Form.Get("metric")
		if noSeries(s.property) == "" && (wanted == "" || wanted == s.metric) && !slices.Contains(of[s.metric], one) {
			of[s.metric] = append(of[s.metric], one)
		}
	}
	if err := c.within(c.api.running, func() error { return c.choose(nil, collect) }); err != nil {
		return err
	}
	all := slices.Sorted(maps.Keys(of))
	if most > 0 && len(all) > most {
		for _, name := range all[most:] {
			delete(of, name)
		}
	}
	c.data, err = json.Marshal(of)
	return err
}

// buildinfo says what clients may ask.
func (c *call) buildinfo() (err error) {
	c.data, err = json.Marshal(map[string]string{
		"version": engineVersion, "application": "hotreader", "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": runtime.Version(),
	})
	return err
}
