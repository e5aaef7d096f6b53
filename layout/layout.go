// Package layout says how a table, a container or a collection of another
// program is laid out: which fields hold the device, the time and the properties,
// and how they are written. Stores ask for and read items by it.
//
// A Layout is data, as configuration has it. Its zero value is the layout that the
// deployer's own tables have: flat items {device_id, timestamp, property: value, …}
// with the time as UTC text.
package layout

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/internal/nearest"
)

// Layout is what config_hot_reader.json, HOTREADER_LAYOUT and the parameters of a
// store URL say. Names of keys may be dotted paths into nested objects; `\.` is a dot
// within a name.
type Layout struct {
	DeviceKey string `json:"device_key,omitempty"` // the field of the device, or of the partition's value; "" = device_id
	TimeKey   string `json:"time_key,omitempty"`   // the field of the time; "" = timestamp
	Partition string `json:"partition,omitempty"`  // how a partition's value is made, see Template; "" = {device}

	TimeFormat Formats `json:"time_format,omitempty"` // one or, where a collection changed over, two; none = iso8601
	TimePrefix string  `json:"time_prefix,omitempty"` // the text before the time
	TimeSuffix string  `json:"time_suffix,omitempty"` // the text after it; {property} in it names a narrow item's property

	Properties Properties `json:"properties,omitzero"`  // where properties are; zero = at top level
	NameKey    string     `json:"name_key,omitempty"`   // of narrow items, one property each: the field of its name
	ValueKey   string     `json:"value_key,omitempty"`  // and of its value
	Index      string     `json:"index,omitempty"`      // DynamoDB: a secondary index, its name or ARN
	Collection string     `json:"collection,omitempty"` // Firestore: the collection, its id or path; {device} in it is the device
}

// Formats are time formats by name. In JSON one of them may stand without the list.
type Formats []string

// UnmarshalJSON reads a name or a list of names.
func (f *Formats) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*f = Formats{one}
		return nil
	}
	var all []string
	if err := json.Unmarshal(text, &all); err != nil {
		return errors.New("time_format must be a name or a list of two names")
	}
	*f = all
	return nil
}

// MarshalJSON writes one name without a list.
func (f Formats) MarshalJSON() ([]byte, error) {
	if len(f) == 1 {
		return json.Marshal(f[0])
	}
	return json.Marshal([]string(f))
}

// Properties say where an item has its properties: all in the object at Base, or
// some by path. In JSON it is a path, or an object of paths by name.
type Properties struct {
	Base  string            // "" = the item itself
	Paths map[string]string // by property
}

// IsZero reports whether properties are at top level.
func (p Properties) IsZero() bool { return p.Base == "" && len(p.Paths) == 0 }

// UnmarshalJSON reads a path, or an object of paths.
func (p *Properties) UnmarshalJSON(text []byte) error {
	*p = Properties{}
	if json.Unmarshal(text, &p.Base) == nil {
		return nil
	}
	if json.Unmarshal(text, &p.Paths) == nil {
		seen := map[string]bool{}
		for name := range jsontext.Members(text) {
			if seen[name] {
				return fmt.Errorf("properties names %q twice", name)
			}
			seen[name] = true
		}
		return nil
	}
	return errors.New(`properties must be a path ("payload") or an object of paths by name ({"temperature": "payload.t"})`)
}

// MarshalJSON writes what UnmarshalJSON reads.
func (p Properties) MarshalJSON() ([]byte, error) {
	if p.Paths != nil {
		return json.Marshal(p.Paths)
	}
	return json.Marshal(p.Base)
}

// Parse reads a Layout's JSON.
func Parse(text []byte) (l Layout, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err = d.Decode(&l); err == nil && d.More() {
		err = errors.New("something follows the object")
	}
	if err == nil {
		return l, nil
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		meant := nearest.Word(strings.Trim(name, `"`), Keys)
		if meant != "" {
			meant = fmt.Sprintf("did you mean %s? ", meant)
		}
		return l, fmt.Errorf("a layout has no key %s; %sthere are %s", name, meant, strings.Join(Keys, ", "))
	}
	return l, fmt.Errorf("the layout cannot be read: %w; it is a JSON object with some of %s", err, strings.Join(Keys, ", "))
}

// Keys are the names of a Layout's settings, in JSON and in a store URL.
var Keys = []string{"device_key", "time_key", "partition", "time_format", "time_prefix", "time_suffix",
	"properties", "name_key", "value_key", "index", "collection"}

// FromURL reads the parameters of a store URL that Keys name. Two formats are
// separated by a comma; properties is a path, name:path pairs separated by commas, or
// what it is in JSON.
func FromURL(values url.Values) (l Layout, err error) {
	l = Layout{DeviceKey: values.Get("device_key"), TimeKey: values.Get("time_key"), Partition: values.Get("partition"),
		TimePrefix: values.Get("time_prefix"), TimeSuffix: values.Get("time_suffix"), NameKey: values.Get("name_key"),
		ValueKey: values.Get("value_key"), Index: values.Get("index"), Collection: values.Get("collection")}
	if formats := values.Get("time_format"); formats != "" {
		// A + is a blank where it was not escaped.
		l.TimeFormat = strings.Split(strings.ReplaceAll(formats, " ", "+"), ",")
	}
	where := values.Get("properties")
	switch {
	case strings.HasPrefix(where, "{"), strings.HasPrefix(where, `"`):
		return l, l.Properties.UnmarshalJSON([]byte(where))
	case !strings.Contains(where, ":"):
		l.Properties.Base = where
		return l, nil
	}
	l.Properties.Paths = map[string]string{}
	for pair := range strings.SplitSeq(where, ",") {
		name, path, ok := strings.Cut(pair, ":")
		if !ok {
			return l, fmt.Errorf("properties has %q; expected a path, or name:path pairs separated by commas", pair)
		}
		if _, twice := l.Properties.Paths[name]; twice {
			return l, fmt.Errorf("properties names %q twice", name)
		}
		l.Properties.Paths[name] = path
	}
	return l, nil
}

// URL returns the parameters of a store URL that FromURL reads as l.
func (l Layout) URL() url.Values {
	values := url.Values{}
	for key, text := range map[string]string{"device_key": l.DeviceKey, "time_key": l.TimeKey, "partition": l.Partition,
		"time_format": strings.Join(l.TimeFormat, ","), "time_prefix": l.TimePrefix, "time_suffix": l.TimeSuffix, "properties": l.Properties.Base,
		"name_key": l.NameKey, "value_key": l.ValueKey, "index": l.Index, "collection": l.Collection} {
		if text != "" {
			values.Set(key, text)
		}
	}
	if l.Properties.Paths != nil || strings.ContainsAny(l.Properties.Base, `:{"`) {
		text, _ := l.Properties.MarshalJSON() // of texts: cannot fail
		values.Set("properties", string(text))
	}
	return values
}

// WithDefaults returns l with the names and the format that its zero value
// means.
func (l Layout) WithDefaults() Layout {
	l.DeviceKey = cmp.Or(l.DeviceKey, "device_id")
	l.TimeKey = cmp.Or(l.TimeKey, "timestamp")
	l.Partition = cmp.Or(l.Partition, "{device}")
	if len(l.TimeFormat) == 0 {
		l.TimeFormat = Formats{ISO8601}
	}
	return l
}

// Cloud says of which cloud's store a Layout is.
type Cloud string

// The clouds' stores.
const (
	DynamoDB  Cloud = "DynamoDB"
	CosmosDB  Cloud = "Cosmos DB"
	Firestore Cloud = "Firestore"
)

// Narrow reports whether an item holds one property.
func (l *Layout) Narrow() bool { return l.ValueKey != "" }

// namesInKey reports whether the time's text names the property.
func (l *Layout) namesInKey() bool { return strings.Contains(l.TimeSuffix, "{property}") }

// Check reports all that contradicts itself, or that the cloud does not have.
func (l Layout) Check(cloud Cloud) error {
	if wrong := l.Problems(cloud); len(wrong) > 0 {
		return errors.New("layout: " + strings.Join(wrong, "; "))
	}
	return nil
}

// Problems is Check, with a sentence for each problem.
func (l Layout) Problems(cloud Cloud) (wrong []string) {
	l = l.WithDefaults()
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	l.checkFields(cloud, bad)
	l.checkPaths(cloud, bad)
	l.checkTime(cloud, bad)
	l.checkNarrow(bad)
	if _, err := ParseTemplate(l.Partition); err != nil {
		bad("%v", err)
	}
	switch inPath := strings.Contains(l.Collection, "{device}"); {
	case l.Index != "" && cloud != DynamoDB:
		bad("index is %q, but only DynamoDB has secondary indexes", l.Index)
	case l.Collection != "" && cloud != Firestore:
		bad("collection is %q, but only Firestore has collections", l.Collection)
	case inPath && strings.Count(l.Collection, "{device}") != 1:
		bad("collection %q names {device} more than once", l.Collection)
	case inPath && l.DeviceKey != Layout{}.WithDefaults().DeviceKey:
		bad("device_key is %q, but collection %q has the device in its path already; give one of them", l.DeviceKey, l.Collection)
	case inPath && l.Partition != "{device}":
		bad("partition is %q, but collection %q has the device in its path already; give one of them", l.Partition, l.Collection)
	case strings.ContainsFunc(l.Collection, unicode.IsControl): // as a device's id may have them
		bad("collection %.80q has a control character", l.Collection)
	}
	if says := CheckCollection(l.Collection); cloud == Firestore && l.Collection != "" && says != "" {
		bad("collection %.80q %s", l.Collection, says)
	}
	return wrong
}

// CheckCollection says what is wrong with a collection of Firestore, its id or its
// path; "" if nothing.
func CheckCollection(path string) string {
	parts := strings.Split(path, "/")
	if len(parts)%2 == 0 {
		return "is the path of a document; expected that of a collection, as telemetry or plants/berlin/telemetry"
	}
	for _, id := range parts {
		switch {
		case id == "":
			return "has an empty part"
		case id == "." || id == "..":
			return "has the part " + id + ", which is no id"
		case len(id) > 1500 || !utf8.ValidString(id):
			return "has an invalid part: expected up to 1,500 bytes of UTF-8"
		case reserved(id):
			return "has a part of the form __…__, which is Firestore's own"
		}
	}
	return ""
}

// reserved reports whether a name is one of Firestore's own.
func reserved(name string) bool {
	return len(name) >= 4 && strings.HasPrefix(name, "__") && strings.HasSuffix(name, "__")
}

// checkFields reports a field that two settings name, or that is said to be within
// another one that holds a text or a number. In DynamoDB keys are never nested.
func (l *Layout) checkFields(cloud Cloud, bad func(string, ...any)) {
	type named struct{ key, path string }
	fields := []named{{"device_key", l.DeviceKey}, {"time_key", l.TimeKey}, {"name_key", l.NameKey}, {"value_key", l.ValueKey}}
	for i, f := range fields {
		for _, other := range append(fields[i+1:len(fields):len(fields)], named{"properties", l.Properties.Base}) {
			switch {
			case f.path == "" || other.path == "":
			case f.path == other.path:
				bad("%s and %s are both %q; they must be two fields", f.key, other.key, f.path)
			case cloud != DynamoDB && strings.HasPrefix(other.path, f.path+"."):
				bad("%s is %q, within the %s %q, which has nothing within it", other.key, other.path, f.key, f.path)
			case cloud != DynamoDB && strings.HasPrefix(f.path, other.path+".") && other.key != "properties":
				bad("%s is %q, within the %s %q, which has nothing within it", f.key, f.path, other.key, other.path)
			}
		}
	}
}

// maxPath is how many bytes a path may have: those of a property's name.
const maxPath = hotreader.MaxNameBytes

func (l *Layout) checkPaths(cloud Cloud, bad func(string, ...any)) {
	paths := map[string]string{"device_key": l.DeviceKey, "time_key": l.TimeKey, "properties": l.Properties.Base, "name_key": l.NameKey, "value_key": l.ValueKey}
	for name, p := range l.Properties.Paths {
		paths["properties."+name] = cmp.Or(p, ".") // an empty one is wrong, too
	}
	for _, key := range slices.Sorted(maps.Keys(paths)) {
		p := paths[key]
		names := ParsePath(p)
		if key == "device_key" || key == "time_key" {
			names = KeyPath(cloud, p)
		}
		switch {
		case p != "" && slices.Contains(names, ""):
			bad("%s is %.60q, which has an empty name between its dots; write a dot within a name as \\.", key, p)
		case len(p) > maxPath:
			bad("%s has %d bytes; at most %d are allowed", key, len(p), maxPath)
		case strings.ContainsFunc(p, unicode.IsControl) || !utf8.ValidString(p):
			bad("%s is %.60q, which has a character that is no part of a name", key, p)
		case cloud == Firestore && slices.ContainsFunc(names, reserved):
			bad("%s is %.60q, but names of the form __…__ are Firestore's own", key, p)
		}
	}
}

func (l *Layout) checkTime(cloud Cloud, bad func(string, ...any)) {
	if len(l.TimeFormat) > 2 || len(l.TimeFormat) == 2 && l.TimeFormat[0] == l.TimeFormat[1] {
		bad("time_format lists %s; expected one, or two different ones", strings.Join(l.TimeFormat, ", "))
	}
	var formats []Format
	for _, name := range l.TimeFormat {
		f, err := ParseFormat(name)
		switch {
		case err != nil:
			bad("%v", err)
		case f.Kind == NativeTime && cloud != Firestore:
			bad("time_format is native, which only Firestore has")
		case f.Kind != TextTime && l.TimePrefix+l.TimeSuffix != "":
			bad("time_format is %s, which is no text, so that there can be no time_prefix or time_suffix", name)
		}
		formats = append(formats, f)
	}
	if cloud == DynamoDB && len(formats) == 2 && formats[0].Kind != formats[1].Kind {
		bad("time_format lists %s, but the keys of a DynamoDB table are all texts or all numbers", strings.Join(l.TimeFormat, " and "))
	}
	if before, _, ok := strings.Cut(l.TimeSuffix, "{property}"); ok && before == "" {
		bad("time_suffix is %q; something must separate the time from {property}, as in #{property}", l.TimeSuffix)
	}
	if rest := strings.Replace(l.TimeSuffix, "{property}", "", 1) + l.TimePrefix; strings.ContainsAny(rest, "{}") {
		bad("time_prefix and time_suffix are constants; only {property} in time_suffix is replaced")
	}
}

func (l *Layout) checkNarrow(bad func(string, ...any)) {
	switch {
	case l.NameKey != "" && l.namesInKey():
		bad("name_key is %q, but time_suffix has {property}, too; give one of them", l.NameKey)
	case l.ValueKey == "" && l.NameKey != "":
		bad("name_key is given without value_key; narrow items need both")
	case l.ValueKey == "" && l.namesInKey():
		bad("time_suffix names the property, so value_key must say where its value is")
	case l.ValueKey != "" && l.NameKey == "" && !l.namesInKey():
		bad("value_key is given without name_key, or {property} in time_suffix, to say which property it is")
	case l.ValueKey != "" && !l.Properties.IsZero():
		bad("properties and value_key are both given; an item holds one property or several")
	}
}

// ParsePath splits a dotted path into its names.
func ParsePath(path string) []string {
	var names []string
	name := ""
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\' && i+1 < len(path) && path[i+1] == '.':
			name, i = name+".", i+1
		case path[i] == '.':
			names, name = append(names, name), ""
		default:
			name += path[i : i+1]
		}
	}
	return append(names, name)
}

// KeyPath returns the path of device_key or time_key. DynamoDB's keys are attributes,
// whose names may have dots.
func KeyPath(cloud Cloud, key string) []string {
	if cloud == DynamoDB {
		return []string{key}
	}
	return ParsePath(key)
}

// Paths returns where a property may be in an item, the likeliest first: a name with
// dots may be one name, or a path into nested objects. It is not for narrow items.
func (l *Layout) Paths(property string) [][]string {
	if p, ok := l.Properties.Paths[property]; ok {
		return [][]string{ParsePath(p)}
	}
	var base []string
	if l.Properties.Base != "" {
		base = ParsePath(l.Properties.Base)
	}
	paths := [][]string{slices.Concat(base, []string{property})}
	if nested := strings.Split(property, "."); len(nested) > 1 && !slices.Contains(nested, "") {
		paths = append(paths, slices.Concat(base, nested))
	}
	return paths
}

// WritePath returns where a property's value is written.
func (l *Layout) WritePath(property string) []string {
	if l.Narrow() {
		return ParsePath(l.ValueKey)
	}
	return l.Paths(property)[0]
}

// Holds reports whether a value is of the kind that keeps times.
func (f Format) Holds(v hotreader.Value) bool {
	return f.Kind == TextTime && v.Kind() == hotreader.String || f.Kind == NumberTime && v.Kind() == hotreader.Number
}
