// Package catalog is the list of a twin's devices: their component types,
// properties, types and units. Deploy packs it (Build) into every function's
// package, beside the program, which opens it at its start (Open). It needs no
// service and no permission.
//
// The packed form is made to be opened fast: records of fixed size, sorted, with a
// checksum. Open checks every record once and decodes none, so that no accessor can
// fail later; an accessor decodes what it returns. See layout.go.
package catalog

import (
	"context"
	"slices"
	"sort"
	"strings"

	"hotreader"
)

// File is the name of the packed catalogue in a function's package, beside the
// program.
const File = "hotreader-catalog"

// MaxDevices is how many devices a catalogue has at most.
const MaxDevices = 10_000

// Device is a device of the twin.
type Device struct {
	ID         string
	Type       string     // the component type that it shares with other devices; "" = it has one of its own
	Properties []Property // as the project folder lists them, constants last; shared, not to be changed
}

// Property is a property of a device.
type Property struct {
	Name string
	Type hotreader.Type
	Unit string // "" = not said

	Constant string // JSON of the value that the device always has; "" = the device reports values
	Initial  string // JSON of the value before the first one; "" = not said
}

// List returns devices of a Lister, as its Devices does.
func List(ctx context.Context, of hotreader.Lister, prefix, after string, n int) (all []Device, err error) {
	page, err := of.Devices(ctx, prefix, after, n)
	for _, listed := range page {
		d := Device{ID: listed.ID, Type: listed.Type, Properties: make([]Property, len(listed.Properties))}
		for i, name := range listed.Properties {
			d.Properties[i].Name = name
		}
		all = append(all, d)
	}
	return all, err
}

// Type is a component type that devices share.
type Type struct {
	Name    string
	Devices int // how many
}

// Catalog is an open catalogue. It is safe for concurrent use.
type Catalog struct {
	data string
	counts
	layout
}

// Len returns how many devices there are.
func (c *Catalog) Len() int { return c.devices }

// Device returns the device of an id.
func (c *Catalog) Device(id string) (Device, bool) {
	i := sort.Search(c.devices, func(i int) bool { return c.id(i) >= id })
	if i == c.devices || c.id(i) != id {
		return Device{}, false
	}
	var d decoder
	return d.device(c, i), true
}

// Devices returns the first n devices, by id, whose id begins with prefix and comes
// after the id after. typeName, unless it is "", narrows them as DevicesOf does. The
// last id of one page is after for the next.
func (c *Catalog) Devices(prefix, typeName, after string, n int) []Device {
	all := c.span(typeName)
	from := sort.Search(all.n, func(i int) bool {
		id := c.id(all.at(i))
		return id >= prefix && id > after
	})
	to := from
	for to < all.n && to-from < n && strings.HasPrefix(c.id(all.at(to)), prefix) {
		to++
	}
	var d decoder
	devices := make([]Device, 0, to-from)
	for i := from; i < to; i++ {
		devices = append(devices, d.device(c, all.at(i)))
	}
	return devices
}

// IDs returns the ids of all devices, in order.
func (c *Catalog) IDs() []string {
	ids := make([]string, c.devices)
	for i := range ids {
		ids[i] = c.id(i)
	}
	return ids
}

// Only returns a catalogue of those devices that may holds for, as if there were no others.
func (c *Catalog) Only(may func(id string) bool) (*Catalog, error) {
	return Of(slices.DeleteFunc(c.Devices("", "", "", c.devices), func(d Device) bool { return !may(d.ID) }))
}

// DevicesOf returns the devices of a component type, by id. The type of a device that
// shares none has the device's id for a name.
func (c *Catalog) DevicesOf(typeName string) []Device {
	if typeName == "" {
		return nil
	}
	return c.Devices("", typeName, "", c.devices)
}

// Count returns how many devices a component type has, as DevicesOf takes it.
func (c *Catalog) Count(typeName string) int {
	if typeName == "" {
		return 0
	}
	return c.span(typeName).n
}

// Types returns the component types that devices share, by name.
func (c *Catalog) Types() []Type {
	all := make([]Type, c.types)
	for t := range all {
		all[t] = Type{c.typeName(t), c.memberEnd(t) - c.firstMember(t)}
	}
	return all
}

// span is some devices, by id: their indexes.
type span struct {
	n  int
	at func(int) int
}

// span returns the devices of a type, all for "".
func (c *Catalog) span(typeName string) span {
	if typeName == "" {
		return span{c.devices, func(i int) int { return i }}
	}
	t := sort.Search(c.types, func(t int) bool { return c.typeName(t) >= typeName })
	if t < c.types && c.typeName(t) == typeName {
		first := c.firstMember(t)
		return span{c.memberEnd(t) - first, func(i int) int { return c.member(first + i) }}
	}
	i := sort.Search(c.devices, func(i int) bool { return c.id(i) >= typeName })
	if i < c.devices && c.id(i) == typeName && c.typeOf(i) == 0 {
		return span{1, func(int) int { return i }}
	}
	return span{}
}

// decoder makes Devices. Devices of one set of properties that follow each other
// share what was decoded.
type decoder struct {
	set  int // plus 1; 0 = none yet
	last []Property
}

func (d *decoder) device(c *Catalog, i int) Device {
	if set := c.setOf(i); d.set != set+1 {
		d.set, d.last = set+1, c.propertiesOf(set)
	}
	one := Device{ID: c.id(i), Properties: d.last}
	if t := c.typeOf(i); t > 0 {
		one.Type = c.typeName(t - 1)
	}
	return one
}

func (c *Catalog) propertiesOf(set int) []Property {
	first := c.firstListed(set)
	all := make([]Property, c.firstListed(set+1)-first)
	for i := range all {
		all[i] = c.property(c.number(c.listedAt + 4*(first+i)))
	}
	return all
}
