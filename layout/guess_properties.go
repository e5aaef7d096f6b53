package layout

import (
	"cmp"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"hotreader"
)

// Folded names of fields that say something of a message, not of the device.
var (
	envelope = []string{"rid", "self", "etag", "attachments", "ts", "lsn", "id", "ttl", "partitionid", "eventprocessedutctime",
		"eventenqueuedutctime", "iothub", "systemproperties", "messageid", "correlationid", "connectiondevicegenerationid", "schemaversion"}
	strongNames = []string{"name", "metric", "metricname", "measurename", "measurement", "measure", "property", "propertyname", "tag", "tagname",
		"variable", "signal", "channel", "parameter", "attribute", "datapoint"}
	weakNames  = []string{"key", "type", "sensor", "sensorid", "sensortype", "field", "topic", "point", "code", "quantity", "kind"}
	valueNames = []string{"value", "val", "v", "measurevalue", "reading", "datavalue", "numericvalue", "valuenumber"}
)

// findProperties finds where the properties are: an item of its own each, or in one
// object, or at top level.
func (g *guess) findProperties() {
	if g.findNarrow() {
		return
	}
	if strings.Contains(g.layout.TimeSuffix, "{property}") {
		g.problem("what follows the time in %s differs (as in %s), and no field holds the value alone that such an item would have; the layout cannot leave it out",
			g.layout.TimeKey, Describe(g.time.first()))
		g.layout.TimeSuffix = ""
	}
	base := g.base()
	g.layout.Properties.Base = JoinPath(base)
	var aside []string
	for i := range g.fields {
		f := &g.fields[i]
		switch {
		case f == g.time || f == g.device || g.isDevice(f):
		case len(base) > 0 && !within(f.path, base), len(base) == 0 && g.isEnvelope(f):
			aside = append(aside, f.name())
		default:
			g.list(strings.Join(f.path[len(base):], "."), f.values)
		}
		if !g.isEnvelope(f) {
			g.encoded(f)
		}
	}
	if len(aside) > 0 {
		g.aside("%s: of the message, not among the properties", strings.Join(aside, ", "))
	}
}

// isDevice reports whether a field says once more which device it is.
func (g *guess) isDevice(f *field) bool {
	same := 0
	for i, v := range f.values {
		if v == g.devices[i] {
			same++
		} else if v != absent && g.devices[i] != "" {
			return false
		}
	}
	return same > 0 && same > f.n/2
}

func within(path, base []string) bool {
	return len(path) > len(base) && slices.Equal(path[:len(base)], base)
}

// isEnvelope reports whether a field's name, or that of what it is in, is one of a
// message's. IoT Hub's application properties are, beside its SystemProperties.
func (g *guess) isEnvelope(f *field) bool {
	name := folded(f.path[0])
	if name == "properties" {
		return slices.ContainsFunc(g.fields, func(f field) bool { return folded(f.path[0]) == "systemproperties" })
	}
	return slices.Contains(envelope, name)
}

// base returns the path of the object that holds the properties; nil = the item.
func (g *guess) base() []string {
	scores := map[string]int{}
	var places []string
	for i := range g.fields {
		f := &g.fields[i]
		if f == g.time || f == g.device || g.isEnvelope(f) {
			continue
		}
		place := JoinPath(f.path[:len(f.path)-1])
		if len(f.path) == 1 {
			place = ""
		}
		if scores[place] == 0 {
			places = append(places, place)
		}
		scores[place] += g.promise(f)
	}
	// An object of objects is the base of all of them.
	for _, place := range slices.Clone(places) {
		for above := ParsePath(place); place != "" && len(above) > 1; {
			above = above[:len(above)-1]
			if key := JoinPath(above); scores[key] > 0 || g.siblings(above) {
				places = appendNew(places, key)
				scores[key] += scores[place]
			}
		}
	}
	if len(places) == 0 {
		return nil
	}
	best := slices.MaxFunc(places, func(a, b string) int {
		return cmp.Or(cmp.Compare(scores[a], scores[b]), cmp.Compare(len(b), len(a)), cmp.Compare(b, a))
	})
	if best == "" {
		for _, place := range places {
			if place != "" && scores[place] > 0 {
				g.because("properties are at top level and in %s; took the top level, where those are named %s.NAME; for TwinMaker, which takes no dots, give each a name in \"properties\"", place, strings.Join(ParsePath(place), "."))
			}
		}
		return nil
	}
	if scores[""] > 0 {
		g.because("properties are in %s and at top level; took %[1]s, which has more of them. Without \"properties\" all are read, those of %[1]s under names like %s.NAME", best, strings.Join(ParsePath(best), "."))
	}
	return ParsePath(best)
}

// siblings reports whether several objects lie at a path.
func (g *guess) siblings(path []string) bool {
	var names []string
	for i := range g.fields {
		if f := &g.fields[i]; within(f.path, path) && f != g.time && f != g.device {
			names = appendNew(names, f.path[len(path)])
		}
	}
	return len(names) > 1
}

// promise says how much a field looks like a property: numbers do, also those written as
// texts. What is the same in all items does less, as a place or a version.
func (g *guess) promise(f *field) int {
	n := 0
	for _, v := range f.values {
		switch v := v.(type) {
		case json.Number, bool:
			n += 4
		case string:
			if _, isTime := GuessTime(v); isTime || deviceScore(f) >= 5 {
				continue
			}
			if n++; number.MatchString(v) {
				n += 3
			}
		}
	}
	if f.n > 1 && !slices.ContainsFunc(f.values, func(v any) bool { return v != absent && !reflect.DeepEqual(v, f.first()) }) {
		n = (n + 3) / 4
	}
	return n
}

// number is a number as devices write it into a text.
var number = regexp.MustCompile(`^[-+]?\d+(\.\d+)?([eE][-+]?\d+)?$`)

// list adds a property to the report.
func (g *guess) list(name string, values []any) {
	p := Property{Name: name}
	newest := -1
	for i, v := range values {
		if v == absent || g.times[i].IsZero() {
			continue
		}
		p.Items++
		p.Kinds = appendNew(p.Kinds, kindOf(v))
		if newest < 0 || !g.times[i].Before(g.times[newest]) {
			newest = i
		}
	}
	q := hotreader.Query{Device: "d", Properties: []string{name}}
	if err := q.Check(); err != nil {
		g.aside("the property %.60q, which no query can ask for", name)
		return
	}
	if newest < 0 {
		return
	}
	slices.Sort(p.Kinds)
	p.Type = typeOf(values)
	p.Example = example(values[newest])
	for _, v := range values {
		if k, ok := v.(Kind); ok {
			g.aside("%s, where it is %s", name, string(k))
			break
		}
	}
	if i := slices.IndexFunc(g.Properties, func(p Property) bool { return p.Name == name }); i >= 0 {
		g.because("%s is the name of a property and a path to one; the name counts where an item has both", name)
		g.Properties[i] = p // names come after paths
		return
	}
	g.Properties = append(g.Properties, p)
}

// typeOf returns the narrowest type that all values fit.
func typeOf(values []any) string {
	types := []string{"boolean", "integer", "long", "double", "string"}
	fits := func(v any) []string {
		switch v := v.(type) {
		case nil:
			return types
		case bool:
			return []string{"boolean", "string"}
		case json.Number:
			n, err := strconv.ParseInt(v.String(), 10, 64)
			switch {
			case err != nil:
				return types[3:]
			case n != int64(int32(n)): // #nosec G115 -- it is what is asked
				return types[2:]
			}
			return types[1:]
		case string:
			if hotreader.IsNumber([]byte(v)) {
				return types[3:]
			}
		}
		return types[4:]
	}
	left := types
	for _, v := range values {
		if v != absent {
			of := fits(v)
			left = slices.DeleteFunc(slices.Clone(left), func(t string) bool { return !slices.Contains(of, t) })
		}
	}
	if len(left) == len(types) { // nothing but null
		return "string"
	}
	return left[0]
}

// encoded reports texts that hold what would be properties.
func (g *guess) encoded(f *field) {
	for _, v := range f.values {
		if what := Encoded(v); what != "" {
			g.aside("what is within %s: it is %s", f.name(), what)
			return
		}
	}
}

// findNarrow finds the fields of items that hold one property each.
func (g *guess) findNarrow() bool {
	value := g.oneOf(valueNames)
	if value != nil && value == g.only() {
		g.oneName()
	}
	inKey := strings.Contains(g.layout.TimeSuffix, "{property}")
	if value == nil && inKey {
		value = g.only()
	}
	if value == nil || inKey && g.serial() {
		return false
	}
	if inKey {
		g.layout.ValueKey = value.name()
		g.because("each item holds one property: %s names it, %s has its value", g.layout.TimeKey, value.name())
		g.listNarrow(value, func(i int) string { return g.inKey(i) })
		return true
	}
	name := g.nameField(value)
	if name == nil {
		return false
	}
	g.layout.NameKey, g.layout.ValueKey = name.name(), value.name()
	g.because("each item holds one property: %s names it, %s has its value", name.name(), value.name())
	g.listNarrow(value, func(i int) string {
		text, _ := name.values[i].(string)
		return text
	})
	return true
}

// oneName takes a word after all the times for the name of a property where items hold
// nothing but a value.
func (g *guess) oneName() {
	i := strings.IndexFunc(g.layout.TimeSuffix, unicode.IsLetter)
	if i > 0 && !strings.ContainsAny(g.layout.TimeSuffix[i:], separators+"{}") && strings.ContainsAny(g.layout.TimeSuffix[:i], separators) {
		g.because("%q after the times was taken for the name of a property, for an item has nothing but a value", g.layout.TimeSuffix[i:])
		g.layout.TimeSuffix = g.layout.TimeSuffix[:i] + "{property}"
	}
}

// inKey returns the property that the time's text of an item names.
func (g *guess) inKey(i int) string {
	text, _ := g.time.values[i].(string)
	before, after, _ := strings.Cut(g.layout.TimeSuffix, "{property}")
	_, name, _ := strings.Cut(strings.TrimPrefix(text, g.layout.TimePrefix), before)
	return strings.TrimSuffix(name, after)
}

// serial reports whether what keys say after their times only makes them unique, as a
// counter or a UUID does, and names nothing.
func (g *guess) serial() bool {
	seen := map[string]bool{}
	for i := range g.items {
		name := g.inKey(i)
		if strings.Trim(name, "0123456789abcdefABCDEF-") != "" || !strings.ContainsAny(name, "0123456789") || seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}

// nameField returns the field that names the property of which value is; nil if there is
// none.
func (g *guess) nameField(value *field) *field {
	for _, names := range [][]string{strongNames, weakNames} {
		f := g.oneOf(names)
		if f == nil || f == value {
			continue
		}
		if slices.ContainsFunc(f.values, func(v any) bool { _, text := v.(string); return v != absent && !text }) {
			continue
		}
		if n := len(f.distinct()); n > 1 && n < f.n || n > 1 && f.n < 4 || n == 1 && slices.Contains(strongNames, f.last()) {
			return f
		}
		g.because("%s may name the property that %s has, but it is %q in all items; took %s for the property", f.name(), value.name(), f.distinct(), value.name())
	}
	return nil
}

// oneOf returns the field with one of the given last names that most items have; nil if
// fewer than four of five do.
func (g *guess) oneOf(names []string) *field {
	var best *field
	rank := len(names)
	for i := range g.fields {
		f := &g.fields[i]
		if n := slices.Index(names, f.last()); n >= 0 && n < rank && 5*f.n >= 4*len(g.items) && f != g.time && f != g.device && !g.isEnvelope(f) {
			best, rank = f, n
		}
	}
	return best
}

// only returns the one field that can be a value; nil if there are several.
func (g *guess) only() *field {
	var one *field
	for i := range g.fields {
		f := &g.fields[i]
		if f == g.time || f == g.device || g.isEnvelope(f) || g.promise(f) == 0 || 5*f.n < 4*len(g.items) {
			continue
		}
		if one != nil {
			return nil
		}
		one = f
	}
	return one
}

func (g *guess) listNarrow(value *field, name func(i int) string) {
	values := map[string][]any{}
	var names []string
	for i := range g.items {
		if n := name(i); n != "" && !g.times[i].IsZero() {
			if values[n] == nil {
				names = append(names, n)
				values[n] = slices.Repeat([]any{absent}, len(g.items))
			}
			values[n][i] = value.values[i]
		}
	}
	slices.Sort(names)
	for _, n := range names {
		g.list(n, values[n])
	}
	var aside []string
	for i := range g.fields {
		f := &g.fields[i]
		if f != g.time && f != g.device && f != value && f.name() != g.layout.NameKey {
			aside = append(aside, f.name())
		}
	}
	if len(aside) > 0 {
		g.aside("%s: an item has one property", strings.Join(aside, ", "))
	}
}

// propertyOf returns a property of an item to try with, a number if there is one; "" if
// it has none.
func (g *guess) propertyOf(i int) string {
	one := g.layout
	other := ""
	for _, p := range g.Properties {
		v, ok := g.valueOf(&one, p.Name, i)
		switch v.(type) {
		case json.Number:
			return p.Name
		case nil, Kind:
			ok = false
		}
		if ok && other == "" {
			other = p.Name
		}
	}
	return other
}

// valueOf returns what item i has of a property.
func (g *guess) valueOf(l *Layout, property string, i int) (v any, ok bool) {
	if l.Narrow() {
		name := g.inKey(i)
		if l.NameKey != "" {
			v, _ := g.items[i].At(ParsePath(l.NameKey))
			name, _ = v.(string)
		}
		if name != property {
			return nil, false
		}
		return g.items[i].At(ParsePath(l.ValueKey))
	}
	for _, path := range l.Paths(property) {
		if v, ok := g.items[i].At(path); ok {
			return v, true
		}
	}
	return nil, false
}
