package httpapi

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

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

// listing is a Source of devices that a catalogue lists. What the catalogue has of a
// device wins, for its Source looks at a few items at most; but where nothing was found,
// what those items have instead shows a layout that is wrong.
type listing struct {
	hotreader.Source
	*catalog.Catalog
}

// Scan implements hotreader.Source.
func (l listing) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	rows := l.Source.Scan(ctx, q)
	if _, listed := l.Device(q.Device); !listed {
		return rows
	}
	return func(yield func(hotreader.Row, error) bool) {
		found := false
		rows(func(row hotreader.Row, err error) bool {
			found = found || slices.ContainsFunc(row.Values, func(v hotreader.Value) bool { return !v.IsNull() })
			return yield(row, err)
		})
		stats := hotreader.StatsOf(ctx)
		stats.Listed(q.Properties, q.Properties)
		for _, name := range q.Properties {
			if found {
				stats.Retract(hotreader.UnknownProperty, name)
			}
		}
	}
}

func indexOf(properties []catalog.Property, name string) int {
	return slices.IndexFunc(properties, func(p catalog.Property) bool { return p.Name == name })
}

// doubt is what the catalogue, or a store that can list, does not list of what a query
// asks for. What the store has a value of all the same is none.
type doubt struct {
	columns    []string         // of the query
	of         string           // its device
	device     bool             // it is not listed
	among      []string         // devices that are, and that the caller may read
	properties []int            // columns, those of filters too, that a device lacks which is listed
	constants  map[int]string   // columns that have one value for all times: that, as JSON
	listed     []string         // that it has instead
	lister     hotreader.Lister // is asked where doubts are left; nil = the catalogue was
}

// Doubting returns reader, which warns of properties that lister's device lacks and of
// which nothing came. lister may be nil.
func Doubting(reader hotreader.Reader, lister hotreader.Lister) hotreader.Reader {
	if lister == nil {
		return reader
	}
	return doubting{reader, lister}
}

type doubting struct {
	hotreader.Reader
	hotreader.Lister
}

func (d doubting) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		u := (&api{o: Options{Lister: d.Lister}}).doubt(&q)
		for row, err := range d.Reader.Read(ctx, q) {
			if err == nil {
				u.see(row.Values)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
		u.ask(ctx)
		u.device = false // without rows the caller says that
		u.warn(ctx)
	}
}

// doubt costs no read: the catalogue is in memory, and a store is asked only for what
// the answer had no value of.
func (a *api) doubt(q *hotreader.Query) (u doubt) {
	u.columns, u.of = q.Columns(), q.Device
	if a.o.Catalog == nil {
		if u.lister = a.o.Lister; u.lister != nil {
			for i := range u.columns {
				u.properties = append(u.properties, i)
			}
		}
		return u
	}
	d, ok := a.o.Catalog.Device(q.Device)
	if !ok {
		u.device = true
		return u
	}
	for i, name := range u.columns {
		switch at := indexOf(d.Properties, name); {
		case at < 0:
			u.properties = append(u.properties, i)
		case d.Properties[at].Constant != "":
			if u.constants == nil {
				u.constants = map[int]string{}
			}
			u.constants[i] = d.Properties[at].Constant
		}
	}
	if len(u.properties) > 0 {
		for _, p := range d.Properties {
			u.listed = append(u.listed, p.Name)
		}
	}
	return u
}

// see takes note of what a row has, which passed the filters.
func (u *doubt) see(values []hotreader.Value) {
	u.device = false
	if len(u.properties) > 0 {
		u.properties = slices.DeleteFunc(u.properties, func(i int) bool { return i >= len(values) || !values[i].IsNull() })
	}
	maps.DeleteFunc(u.constants, func(i int, _ string) bool { return i >= len(values) || !values[i].IsNull() })
}

// ask removes the doubts that a store's own list settles.
func (u *doubt) ask(ctx context.Context) {
	if u.lister == nil || len(u.properties) == 0 {
		return
	}
	page, err := u.lister.Devices(ctx, u.of, "", 1)
	if err != nil { // the answer itself is good
		u.properties = nil
		return
	}
	if u.device = len(page) == 0 || page[0].ID != u.of; u.device {
		u.properties = nil
		return
	}
	u.listed = page[0].Properties
	u.properties = slices.DeleteFunc(u.properties, func(i int) bool { return slices.Contains(u.listed, u.columns[i]) })
}

// maxHints is for how many properties the warning says what may have been meant: a
// device may have many, and each is compared.
const maxHints = 3

func (u *doubt) warn(ctx context.Context) {
	stats, by := hotreader.StatsOf(ctx), "the catalogue does not list it"
	if u.lister != nil {
		by = "the store does not list it"
	}
	if u.device {
		stats.Retract(hotreader.UnknownDevice, "") // in the store's words
		detail := by
		if near := nearest.Word(u.of, u.among); near != "" {
			detail += "; did you mean " + nearest.Listed(near) + "?"
		}
		stats.Warn(hotreader.Warning{Reason: hotreader.UnknownDevice, Detail: detail})
	}
	for i, value := range u.constants {
		name := u.columns[i]
		stats.Retract(hotreader.LookBackEnded, name) // there is no older value
		stats.Retract(hotreader.UnknownProperty, name)
		stats.Warn(hotreader.Warning{Reason: hotreader.Constant, Property: name, Detail: fmt.Sprintf("its value is %.300s", value)})
	}
	for n, i := range u.properties {
		name := u.columns[i]
		if u.lister != nil { // which lists all that any row ever had
			stats.Retract(hotreader.LookBackEnded, name)
		}
		detail := by + " for this device"
		if n < maxHints && len(u.listed) > 0 {
			if near := nearest.Word(name, u.listed); near != "" {
				detail += "; did you mean " + nearest.Listed(near) + "?"
			} else {
				detail += fmt.Sprintf(", but %.300s", nearest.Listed(u.listed[:min(len(u.listed), 30)]...))
			}
		}
		stats.Warn(hotreader.Warning{Reason: hotreader.UnknownProperty, Property: name, Detail: detail})
	}
}
