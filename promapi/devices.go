package promapi

import (
	"context"
	"net/http"

	"hotreader/catalog"

	"github.com/prometheus/prometheus/model/labels"
)

// listPage is how many devices a Lister is asked for at once.
const listPage = 1000

// devices calls use with the devices that the caller may read, by id: all, or the one of id.
func (c *call) devices(id string, use func(*device)) error {
	add := func(d catalog.Device) {
		if c.api.o.May == nil || c.api.o.May(c.ctx, d.ID) {
			use(&device{d.ID, d.Type, d.Properties})
		}
	}
	switch list := c.api.o.Catalog; {
	case list != nil && id != "":
		if d, ok := list.Device(id); ok {
			add(d)
		}
	case list != nil:
		for _, d := range list.Devices("", "", "", list.Len()) {
			add(d)
		}
	case c.api.o.Lister == nil:
		return refuse(http.StatusNotFound, "not_found", "this server has no list of devices: its store cannot list them, and it was given no catalogue")
	case id != "": // the first of all that begin with it
		return c.listed(id, 1, func(d catalog.Device) {
			if d.ID == id {
				add(d)
			}
		})
	default:
		return c.listed("", catalog.MaxDevices, add)
	}
	return nil
}

// listed calls add with the devices of the Lister, most of them at most.
func (c *call) listed(prefix string, most int, add func(catalog.Device)) error {
	for after, n := "", 0; ; {
		page, err := catalog.List(c.ctx, c.api.o.Lister, prefix, after, min(listPage, most))
		if err != nil {
			return err
		}
		if n += len(page); n > most {
			return tooMuch("the store has more than %d devices; select one by its label device, or give the server a catalogue", most)
		}
		for _, d := range page {
			add(d)
			after = d.ID
		}
		if len(page) < listPage {
			return c.ctx.Err()
		}
	}
}

// selection are matchers, sorted by what they are about.
type selection struct {
	device   []*labels.Matcher
	property []*labels.Matcher
	never    bool // a label that no series has is asked for
}

func newSelection(matchers []*labels.Matcher) (s selection) {
	for _, m := range matchers {
		switch m.Name {
		case deviceLabel, twinLabel, typeLabel:
			s.device = append(s.device, m)
		case metricLabel, propertyLabel:
			s.property = append(s.property, m)
		default:
			s.never = s.never || !m.Matches("")
		}
	}
	return s
}

// id returns the one device that s is about, or "".
func (s *selection) id() string {
	for _, m := range s.device {
		if m.Name == deviceLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

func matches(s *identity, all []*labels.Matcher) bool {
	for _, m := range all {
		if !m.Matches(s.value(m.Name)) {
			return false
		}
	}
	return true
}

// choose calls use with each property that the matchers select, device by device.
func (c *call) choose(matchers []*labels.Matcher, use func(identity)) error {
	s := newSelection(matchers)
	if s.never {
		return nil
	}
	chosen := c.chooser(s)
	if err := c.devices(s.id(), func(d *device) { chosen.among(d, use) }); err != nil {
		return err
	}
	return c.ctx.Err()
}

// chooser chooses properties by the names of their metrics.
type chooser struct {
	ctx      context.Context // there may be many devices, and a device may have many properties
	twin     string
	by       selection
	metrics  map[string]string   // by property; "" = not selected
	last     []catalog.Property  // devices of one type share their properties
	selected []*catalog.Property // of last
}

func (c *call) chooser(s selection) *chooser {
	return &chooser{ctx: c.ctx, twin: c.api.o.Twin, by: s, metrics: map[string]string{}}
}

// among calls use with each property of the device that is selected.
func (c *chooser) among(d *device, use func(identity)) {
	if c.ctx.Err() != nil || !matches(&identity{device: d, twin: c.twin}, c.by.device) {
		return
	}
	for _, p := range c.of(d.properties) {
		use(identity{d, p, c.metrics[p.Name], c.twin})
	}
}

// of returns those of properties that are selected, valid until the next call.
func (c *chooser) of(properties []catalog.Property) []*catalog.Property {
	if len(properties) > 0 && len(c.last) == len(properties) && &c.last[0] == &properties[0] {
		return c.selected
	}
	c.last, c.selected = properties, c.selected[:0]
	for i := range properties {
		p := &properties[i]
		name, known := c.metrics[p.Name]
		if !known {
			if c.ctx.Err() != nil {
				break
			}
			if name = metricName(p.Name); !matches(&identity{property: p, metric: name}, c.by.property) {
				name = ""
			}
			c.metrics[p.Name] = name
		}
		if name != "" {
			c.selected = append(c.selected, p)
		}
	}
	return c.selected
}
