package layout

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Schema is what a database says of its items' keys, and the other arguments of Guess.
type Schema struct {
	Cloud      Cloud
	Keys       []Key  // the table's own, then its indexes'; none: any field can be compared
	Collection string // Firestore: as it is asked for
	Device     string // of the items to look at, "" = any
}

// A Key is what items can be asked for by.
type Key struct {
	Index     string // a secondary index's name; "" = the table's own key
	Partition string // the path of the field that must be known
	Sort      string // that by which items are in order; "" = any, but in DynamoDB none
	Partial   bool   // an index that lacks some of the items' fields
}

// A Report is what Guess saw beside the Layout.
type Report struct {
	Items      int        `json:"items"`      // looked at
	Devices    []string   `json:"devices"`    // ids that were seen
	Device     string     `json:"device"`     // one of them, to try with: that of the newest item; "" = none
	Newest     time.Time  `json:"newest"`     // the time of that item
	Property   string     `json:"property"`   // one of its properties, to try with; "" = none
	Properties []Property `json:"properties"` // in the order of their names
	Reasons    []string   `json:"reasons"`    // which reading was taken where there are several, and why
	NotPlaced  []string   `json:"not_placed"` // what no part of the layout reads
	Problems   []string   `json:"problems"`   // why the layout cannot read the items, or not all; none = it can
}

// A Property is one that was seen.
type Property struct {
	Name    string   `json:"name"`
	Kinds   []string `json:"kinds"` // number, text, boolean, list, object, timestamp
	Type    string   `json:"type"`  // what all of its values fit, as init takes it
	Items   int      `json:"items"` // how many have it
	Example string   `json:"example"`
}

// A field is what the items have at one path.
type field struct {
	path   []string
	values []any // by item; absent where it has none
	n      int   // how many have one
}

type none struct{}

// absent is the value of an item without the field.
var absent any = none{}

// name returns the path as a layout has it.
func (f *field) name() string { return JoinPath(f.path) }

// last returns the name that the path ends with, as names are compared.
func (f *field) last() string { return folded(f.path[len(f.path)-1]) }

// first returns the first value that is there.
func (f *field) first() any {
	return f.values[slices.IndexFunc(f.values, func(v any) bool { return v != absent })]
}

// JoinPath writes a path as ParsePath reads it.
func JoinPath(names []string) string {
	var escaped []string
	for _, name := range names {
		escaped = append(escaped, strings.ReplaceAll(name, ".", `\.`))
	}
	return strings.Join(escaped, ".")
}

// folded returns a name without what people write differently.
func folded(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(strings.ToLower(name))
}

// A guess is a Layout that is being found.
type guess struct {
	Report
	layout  Layout
	items   []Item
	schema  Schema
	fields  []field // in the order of their paths
	time    *field
	device  *field
	times   []time.Time      // by item; zero = none is read
	zones   []*time.Location // by item: of its time's format
	devices []string         // by item
}

// Guess finds the layout of items without a description, from what they hold and
// what the database says of its keys. The same items in the same order give the same
// layout. Where Report.Problems says something, the layout is as close as it comes.
func Guess(items []Item, s Schema) (Layout, Report) {
	g := guess{items: items, schema: s}
	g.Items = len(items)
	g.times, g.devices = make([]time.Time, len(items)), make([]string, len(items))
	if len(items) == 0 {
		g.problem("there are no items to look at")
		return g.layout, g.Report
	}
	g.fields = flatten(items)
	if g.findKeys() {
		g.findDevice()
		g.findProperties()
		g.choose()
	}
	if wrong := g.layout.Problems(s.Cloud); len(wrong) > 0 {
		g.problem("no layout can say how they lie: %s", strings.Join(wrong, "; "))
		g.layout, g.Device = Layout{}, ""
	}
	return g.layout.short(), g.Report
}

func (g *guess) problem(format string, args ...any) {
	g.Problems = append(g.Problems, fmt.Sprintf(format, args...))
}

func (g *guess) because(format string, args ...any) {
	g.Reasons = append(g.Reasons, fmt.Sprintf(format, args...))
}

func (g *guess) aside(format string, args ...any) {
	g.NotPlaced = append(g.NotPlaced, fmt.Sprintf(format, args...))
}

// short returns l without what it says of a default.
func (l Layout) short() Layout {
	d := Layout{}.WithDefaults()
	if l.DeviceKey == d.DeviceKey {
		l.DeviceKey = ""
	}
	if l.TimeKey == d.TimeKey {
		l.TimeKey = ""
	}
	if l.Partition == d.Partition {
		l.Partition = ""
	}
	if slices.Equal(l.TimeFormat, d.TimeFormat) {
		l.TimeFormat = nil
	}
	return l
}

// maxDeep bounds how deep fields are looked for.
const maxDeep = 6

// flatten returns the fields of items that hold no others.
func flatten(items []Item) []field {
	all := map[string]*field{}
	var walk func(at int, m map[string]any, above []string)
	walk = func(at int, m map[string]any, above []string) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			path := append(slices.Clone(above), name)
			if below, ok := m[name].(map[string]any); ok && len(path) < maxDeep && len(below) > 0 {
				walk(at, below, path)
				continue
			}
			key := JoinPath(path)
			if all[key] == nil {
				all[key] = &field{path: path, values: slices.Repeat([]any{absent}, len(items))}
			}
			all[key].values[at] = m[name]
			all[key].n++
		}
	}
	for i, it := range items {
		walk(i, it.Fields, nil)
	}
	var fields []field
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fields = append(fields, *all[key])
	}
	return fields
}

// at returns the field at a path; nil if no item has it.
func (g *guess) at(path []string) *field {
	i := slices.IndexFunc(g.fields, func(f field) bool { return slices.Equal(f.path, path) })
	if i < 0 {
		return nil
	}
	return &g.fields[i]
}

// keyName is how the layout writes the path of a key.
func (g *guess) keyName(f *field) string {
	if g.schema.Cloud == DynamoDB {
		return f.path[0]
	}
	return f.name()
}

// Text returns the text of a value that can be a name, a number's digits included.
func Text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, v != ""
	case json.Number:
		return string(v), true
	}
	return "", false
}

// texts returns the texts of a field's values, by item; "" = none.
func (f *field) texts() []string {
	all := make([]string, len(f.values))
	for i, v := range f.values {
		all[i], _ = Text(v)
	}
	return all
}

// distinct returns the texts of a field's values, each once, in the order in which they
// come.
func (f *field) distinct() []string {
	var all []string
	for _, v := range f.values {
		if text, ok := Text(v); ok && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// kindOf names the kind of a value as people call it.
func kindOf(v any) string {
	switch v := v.(type) {
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "text"
	case time.Time:
		return "timestamp"
	case []any:
		return "list"
	case map[string]any:
		return "object"
	case Kind:
		return string(v)
	}
	return "null"
}

// example shows a value.
func example(v any) string {
	switch v := v.(type) {
	case string:
		return clip(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case Kind:
		return string(v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return Describe(v)
	}
	return clip(string(text))
}
