package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hotreader/internal/nearest"
	"hotreader/layout"
)

// mostLayoutBytes leaves room for all else in the 4 KB that Lambda has for the
// variables of a function.
const mostLayoutBytes = 1 << 10

// laid is a layout: the same JSON object in the file and in the variable.
type laid struct{}

func (laid) read(l *loader, where string, raw json.RawMessage, to any) {
	if _, ok := l.object(where, raw); !ok { // none of its names is there twice
		return
	}
	if err := (laid{}).parse(string(raw), to); err != nil {
		l.add(where, "%w", err)
	} else if n := len(layoutText(*to.(*layout.Layout))); l.L3 == AWS && n > mostLayoutBytes {
		l.add(where, "has %d bytes; expected at most %d, for Lambda has 4 KB for all variables of a function", n, mostLayoutBytes)
	}
}

func (laid) parse(text string, to any) (err error) {
	*to.(*layout.Layout), err = layout.Parse([]byte(text))
	return err
}

// layoutText is what HOTREADER_LAYOUT holds.
func layoutText(l layout.Layout) string {
	text, _ := json.Marshal(l) // of texts: cannot fail
	return string(text)
}

// attribute is the name of an item's attribute. What is wrong with it the layout
// says.
type attribute struct{}

func (attribute) read(l *loader, where string, raw json.RawMessage, to any) {
	*to.(*string), _ = l.text(where, raw)
}

func (attribute) parse(text string, to any) error { //nolint:unparam // as a variableRule has it
	*to.(*string) = text
	return nil
}

// format is the name of one time format, in any letter case.
type format struct{}

func (format) read(l *loader, where string, raw json.RawMessage, to any) {
	if text, ok := l.text(where, raw); ok && text != "" {
		if err := (format{}).parse(text, to); err != nil {
			l.add(where, "%w", err)
		}
	}
}

func (format) parse(text string, to any) error {
	name := strings.ToLower(strings.TrimSpace(text))
	if _, err := layout.ParseFormat(name); err != nil {
		return err
	}
	*to.(*layout.Formats) = layout.Formats{name}
	return nil
}

// Unlisted says which properties of the devices the layout's object of properties does not
// list, by name: they are read at top level.
func (p *Project) Unlisted() (all []string) {
	paths, of := p.Options.Layout.Properties.Paths, map[string][]string{}
	for _, d := range p.Devices {
		for _, property := range d.Properties {
			if _, ok := paths[property.Name]; !ok && len(paths) > 0 {
				of[property.Name] = append(of[property.Name], d.ID)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		devices, more := of[name], ""
		if len(devices) > 5 {
			devices, more = devices[:5], ", …"
		}
		all = append(all, fmt.Sprintf("%s of %s%s is not listed, so it is read at top level of an item; list it with its path", nearest.Listed(name), nearest.Listed(devices...), more))
	}
	return all
}

// Unread names the options that name a hot storage on a cloud that has none.
func (p *Project) Unread() (names []string) {
	o := &p.Options
	for _, option := range []struct {
		cloud       Cloud
		name, value string
	}{
		{AWS, "aws.table", o.AWS.Table}, {Azure, "azure.cosmos_account", o.Azure.CosmosAccount},
		{GCP, "gcp.database", o.GCP.Database}, {GCP, "gcp.collection", o.GCP.Collection},
	} {
		if option.cloud != p.L3 && option.value != "" {
			names = append(names, option.name)
		}
	}
	return names
}

// olderPart is what the keys that are older than the layout can say of it.
func olderPart(l layout.Layout) layout.Layout {
	older := layout.Layout{DeviceKey: l.DeviceKey, TimeKey: l.TimeKey}
	if len(l.TimeFormat) == 1 {
		older.TimeFormat = l.TimeFormat
	}
	return older
}

// stores are the clouds' databases, as package layout calls them.
var stores = map[Cloud]layout.Cloud{AWS: layout.DynamoDB, Azure: layout.CosmosDB, GCP: layout.Firestore}

// settle makes one layout of what the keys say, and reports what the store on a cloud
// cannot have of it. collection is what Firestore's own key says; the layout may say
// it instead. place says where the key of a name of the layout is.
func (p *problems) settle(o *Options, store Cloud, collection *string, place func(name string) string) {
	l, older := &o.Layout, o.older
	o.older = layout.Layout{}
	if store == GCP {
		l.Collection, older.Collection = strings.Trim(l.Collection, "/"), *collection
	}
	inside, beside := l.URL(), older.URL()
	where := place("layout")
	for _, name := range layout.Keys {
		if !beside.Has(name) {
			continue
		}
		if len(inside) == 0 && where == place("layout") {
			where = place(name)
		}
		if here, there := beside.Get(name), inside.Get(name); there != "" && here != there {
			p.add(place(name), "is %.60q, but the layout's %s is %.60q; give one of them", here, name, there)
		}
	}
	l.DeviceKey, l.TimeKey, l.Collection = cmp.Or(l.DeviceKey, older.DeviceKey), cmp.Or(l.TimeKey, older.TimeKey), cmp.Or(l.Collection, older.Collection)
	if l.TimeFormat == nil {
		l.TimeFormat = older.TimeFormat
	}
	if db, known := stores[store]; known {
		for _, problem := range l.Problems(db) {
			at := where
			if name, _, _ := strings.Cut(problem, " "); beside.Has(name) {
				at = place(name)
			}
			p.add(at, "%s", problem)
		}
	}
	if store == GCP {
		*collection, l.Collection = l.Collection, ""
	}
}
