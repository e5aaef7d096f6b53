package httpapi

import (
	"fmt"
	"slices"
	"strings"

	"hotreader"
	"hotreader/catalog"
	"hotreader/internal/nearest"
)

// declare gives the properties of q the types that the catalogue has for them, where
// the request declares none.
func (a *api) declare(q *hotreader.Query) {
	if a.o.Catalog == nil {
		return
	}
	d, ok := a.o.Catalog.Device(q.Device)
	if !ok {
		return
	}
	types := make([]hotreader.Type, len(q.Properties))
	copy(types, q.Types)
	for i, name := range q.Properties {
		if at := indexOf(d.Properties, name); at >= 0 && types[i] == hotreader.Untyped {
			types[i] = d.Properties[at].Type
		}
	}
	q.Types = types
}

func indexOf(properties []catalog.Property, name string) int {
	return slices.IndexFunc(properties, func(p catalog.Property) bool { return p.Name == name })
}

// doubt is what the catalogue does not list of what a query asks for. What the store
// has a value of all the same is none.
type doubt struct {
	query      *hotreader.Query
	device     bool     // the catalogue does not list it
	properties []int    // of a device that it lists, those that it does not
	listed     []string // that it has instead
}

// doubt costs no read: the catalogue is in memory.
func (a *api) doubt(q *hotreader.Query) (u doubt) {
	if a.o.Catalog == nil {
		return u
	}
	u.query = q
	d, ok := a.o.Catalog.Device(q.Device)
	if !ok {
		u.device = true
		return u
	}
	for i, name := range q.Properties {
		if indexOf(d.Properties, name) < 0 {
			u.properties = append(u.properties, i)
		}
	}
	if len(u.properties) > 0 {
		for _, p := range d.Properties {
			u.listed = append(u.listed, p.Name)
		}
	}
	return u
}

// see takes note of what a row has.
func (u *doubt) see(values []hotreader.Value) {
	u.device = false
	if len(u.properties) > 0 {
		u.properties = slices.DeleteFunc(u.properties, func(i int) bool { return !values[i].IsNull() })
	}
}

func (u *doubt) warn(stats *hotreader.Stats) {
	if u.device {
		stats.Warn(hotreader.Warning{Reason: hotreader.UnknownDevice, Detail: "the catalogue does not list it"})
	}
	for _, i := range u.properties {
		name := u.query.Properties[i]
		detail := "the catalogue does not list it for this device"
		if near := nearest.Word(name, u.listed); near != "" {
			detail += "; did you mean " + near + "?"
		} else if len(u.listed) > 0 {
			detail += fmt.Sprintf(", but %.300s", strings.Join(u.listed, ", "))
		}
		stats.Warn(hotreader.Warning{Reason: hotreader.UnknownProperty, Property: name, Detail: detail})
	}
}
