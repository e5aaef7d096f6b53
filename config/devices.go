package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"hotreader"
	"hotreader/catalog"
	"hotreader/internal/component"
	"hotreader/internal/jsontext"
)

// Device is what one device reports.
type Device struct {
	ID         string
	Type       string // the component type that it shares; "" = it has one of its own
	Properties []Property
	Constants  []Constant
}

// Property is one value that a device reports.
type Property struct {
	Name    string
	Type    string          // STRING, DOUBLE, INTEGER, LONG or BOOLEAN
	Unit    string          // "" = not said
	Initial json.RawMessage // JSON of Type's kind: "text", 1.5, 7, true; nil = none
	Alarm   bool            // it is the device's alarm status
}

// Alarm returns the name of the property that is the device's alarm status, "" if none
// is.
func (d Device) Alarm() string {
	for _, p := range d.Properties {
		if p.Alarm {
			return p.Name
		}
	}
	return ""
}

// Constant is a value that a device always has.
type Constant struct {
	Name  string
	Type  string          // as Property's
	Value json.RawMessage // as Property's Initial, but never nil
}

func (l *loader) devices() {
	doc, ok := l.open(fileDevices, `[{"id":…,"properties":[{"name":…,"dataType":…}]}]`)
	if !ok {
		return
	}
	items, _ := l.items(fileDevices, doc)
	var all []catalog.Device
	for _, item := range items {
		before := len(l.problems)
		d := l.device(item.name, item.value)
		l.Devices = append(l.Devices, d)
		one := d.catalog()
		if len(l.problems) > before {
			one.Type = "" // what is wrong is not to be compared with others
		}
		all = append(all, one)
	}
	for _, p := range catalog.Check(all) {
		where := fileDevices
		if p.Device >= 0 {
			where = items[p.Device].name + "." + p.Key
		}
		l.add(where, "%s", p.Text)
	}
	l.sameAlarms(items)
}

// Catalog returns the devices as a catalogue has them.
func (p *Project) Catalog() []catalog.Device {
	all := make([]catalog.Device, len(p.Devices))
	for i, d := range p.Devices {
		all[i] = d.catalog()
	}
	return all
}

func (d Device) catalog() catalog.Device {
	one := catalog.Device{ID: d.ID, Type: d.Type}
	for _, p := range d.Properties {
		t, _ := hotreader.ParseType(p.Type)
		one.Properties = append(one.Properties, catalog.Property{Name: p.Name, Type: t, Unit: p.Unit, Initial: string(p.Initial)})
	}
	for _, c := range d.Constants {
		t, _ := hotreader.ParseType(c.Type)
		one.Properties = append(one.Properties, catalog.Property{Name: c.Name, Type: t, Constant: string(c.Value)})
	}
	return one
}

func (l *loader) device(where string, raw json.RawMessage) (d Device) {
	names := map[string]string{} // of properties and constants -> where it is
	l.members(where, raw, l.deviceFields(&d, names)...)
	for _, p := range d.Properties {
		if there, ok := names[p.Name+component.LatestSuffix]; l.L4 == AWS && ok && p.Name != "" {
			l.add(there+".name", "%.60q is the name under which the twin keeps the latest value of %.60q; rename one of them", p.Name+component.LatestSuffix, p.Name)
		}
	}
	l.alarm(where, d, names)
	return d
}

func (l *loader) deviceFields(d *Device, names map[string]string) []field {
	return []field{
		{name: "id", need: "expected the device's id, as its rows carry it", is: aText, read: func(where string, raw json.RawMessage) {
			var ok bool
			if d.ID, ok = l.text(where, raw); ok {
				l.deviceID(where, d.ID)
			}
		}},
		{name: "type", is: aText, read: func(where string, raw json.RawMessage) {
			var ok bool
			if d.Type, ok = l.text(where, raw); ok {
				l.componentType(where, d.Type)
			}
		}},
		{name: "properties", need: `expected [{"name":…,"dataType":…}]`, read: func(where string, raw json.RawMessage) {
			items, _ := l.items(where, raw)
			for _, item := range items {
				var unit string
				var alarm bool
				p := l.property(item.name, item.value, names, append([]field{{name: "initValue"}}, l.propertyMore(&unit, &alarm)...)...)
				d.Properties = append(d.Properties, Property{p.Name, p.Type, unit, p.Value, alarm})
			}
		}},
		{name: "constProperties", read: func(where string, raw json.RawMessage) {
			items, _ := l.items(where, raw)
			for _, item := range items {
				d.Constants = append(d.Constants, l.property(item.name, item.value, names, constantValue))
			}
		}},
	}
}

// constantValue is what a constant has beside a property's keys.
var constantValue = field{name: "value", need: "expected the constant's value"}

// propertyMore is what a property has beside a constant's keys.
func (l *loader) propertyMore(unit *string, alarm *bool) []field {
	return []field{
		{name: "unit", is: aText, read: func(where string, raw json.RawMessage) { *unit = l.unit(where, raw) }},
		l.by("alarm", boolean{}, alarm),
	}
}

// alarm checks a device's alarm status. names has where each name is.
func (l *loader) alarm(where string, d Device, names map[string]string) {
	status := d.Alarm()
	for i, p := range d.Properties {
		at := fmt.Sprintf("%s.properties[%d].alarm", where, i)
		switch {
		case !p.Alarm:
		case p.Type != "STRING" && p.Type != "":
			l.add(at, "is set on %.60q, which is %s; an alarm status is a STRING, one of %s", p.Name, p.Type, strings.Join(component.AlarmStates, ", "))
		case p.Initial != nil && !slices.Contains(component.AlarmStates, strings.Trim(string(p.Initial), `"`)):
			l.add(fmt.Sprintf("%s.properties[%d].initValue", where, i), "is %.60s, which is no state of an alarm; there are %s", p.Initial, strings.Join(component.AlarmStates, ", "))
		case p.Name != status:
			l.add(at, "is set on %.60q and on %.60q; a device has one alarm status", status, p.Name)
		}
	}
	for _, name := range []string{component.AlarmKey, component.AlarmStatus} {
		if there, ok := names[name]; ok && status != "" && status != name && l.L4 == AWS {
			l.add(there+".name", "%q is a name that TwinMaker's basic alarm has, and %.60q is the alarm status; rename it", name, status)
		}
	}
}

// sameAlarms checks that the devices of each type have the same alarm status.
func (l *loader) sameAlarms(items []member) {
	first := map[string]int{} // by type
	for i, d := range l.Devices {
		at, there := first[d.Type]
		switch {
		case d.Type == "":
		case !there:
			first[d.Type] = i
		case d.Alarm() != l.Devices[at].Alarm():
			l.add(items[i].name+".properties", "have %s, but those of [%d] have %s, and both devices are of the type %.60q; set \"alarm\": true on the same property of each device of a type", alarmText(d), at, alarmText(l.Devices[at]), d.Type)
		}
	}
}

// alarmText says what a device's alarm is.
func alarmText(d Device) string {
	if d.Alarm() == "" {
		return "no alarm"
	}
	return fmt.Sprintf("the alarm %.60q", d.Alarm())
}

func (l *loader) deviceID(where, id string) {
	most := hotreader.MaxDeviceBytes
	if l.L4 == AWS {
		most = 256 // of a default value in TwinMaker, which is how the id comes back
	}
	switch {
	case id == "":
		l.add(where, "is empty; expected the device's id, as its rows carry it")
	case l.unfit(where, id, most):
	case l.L4 == AWS && strings.Contains(id, dynamicReference):
		l.add(where, "%.60q holds %s…, which CloudFormation would replace", id, dynamicReference)
	}
}

// unfit reports whether text is too long or has characters that no name has.
func (l *loader) unfit(where, text string, most int) bool {
	switch {
	case len(text) > most:
		l.add(where, "%.40q has %d bytes; at most %d are allowed", text, len(text), most)
	case strings.ContainsFunc(text, unicode.IsControl):
		l.add(where, "%.60q has a control character", text)
	case strings.TrimSpace(text) != text:
		l.add(where, "%.60q has a blank at an end", text)
	default:
		return false
	}
	return true
}

// componentType checks the name of a component type that devices share.
func (l *loader) componentType(where, name string) {
	const want = "; TwinMaker takes a-z, A-Z, 0-9, _, -, . and :"
	most := hotreader.MaxNameBytes
	if l.L4 == AWS {
		most = 256 - len(l.Twin+"-") // of a component type's id
	}
	foreign := func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("_-.:", c))
	}
	switch i := strings.IndexFunc(name, foreign); {
	case name == "":
		l.add(where, "is empty; expected the name of the component type that the device shares with others, or leave it out")
	case l.unfit(where, name, most):
	case l.L4 == AWS && i >= 0:
		c, _ := utf8.DecodeRuneInString(name[i:])
		l.add(where, "%.60q has the character %q"+want, name, c)
	}
}

// unit reads a property's unit, which is for people.
func (l *loader) unit(where string, raw json.RawMessage) string {
	text, ok := l.text(where, raw)
	switch {
	case !ok:
	case len(text) > hotreader.MaxNameBytes:
		l.add(where, "has %d bytes; at most %d are allowed", len(text), hotreader.MaxNameBytes)
	case strings.ContainsFunc(text, unicode.IsControl):
		l.add(where, "%.60q has a control character", text)
	}
	return text
}

// dynamicReference begins what CloudFormation, which makes TwinMaker's component
// types, replaces by a value from elsewhere.
const dynamicReference = "{{resolve:"

// DataTypes are the words of dataType, and wants what a value of each is.
var (
	DataTypes = []string{"STRING", "DOUBLE", "INTEGER", "LONG", "BOOLEAN"}
	wants     = map[string]string{
		"STRING":  "a text of 1 to 256 characters",
		"DOUBLE":  "a number",
		"INTEGER": "a whole number of 32 bits",
		"LONG":    "a whole number of 64 bits",
		"BOOLEAN": "true or false",
	}
)

// property reads a property or a constant: its name, its type, and its value as
// JSON of that type, nil if there is none. names has where a name is already, and
// more are other keys that it may have, first that of its value.
func (l *loader) property(where string, raw json.RawMessage, names map[string]string, more ...field) (c Constant) {
	l.members(where, raw, l.propertyFields(where, &c, names, more...)...)
	return c
}

// propertyFields are the keys of a property or a constant; the first of more is its
// value.
func (l *loader) propertyFields(where string, c *Constant, names map[string]string, more ...field) []field {
	value := &more[0]
	value.read = func(at string, raw json.RawMessage) {
		if c.Type == "" {
			return
		}
		var ok bool
		if c.Value, ok = typed(c.Type, raw); !ok {
			l.add(at, "is %s; expected %s", short(raw), wants[c.Type])
		}
		if l.L4 == AWS && value.need != "" && c.Type == "STRING" && bytes.Contains(c.Value, []byte(dynamicReference)) {
			l.add(at, "is %s, which holds %s…, and CloudFormation would replace that", short(raw), dynamicReference)
		}
	}
	return append([]field{
		{name: "name", need: "expected the property's name, as rows carry it", is: aText, read: func(at string, raw json.RawMessage) {
			var ok bool
			if c.Name, ok = l.text(at, raw); !ok {
				return
			}
			there, twice := names[c.Name]
			if wrong := checkProperty(c.Name, l.L4); wrong != "" {
				l.add(at, "%s", wrong)
			} else if twice {
				l.add(at, "%.60q is the name of %s too; use a name once", c.Name, strings.TrimPrefix(there, fileDevices+": "))
			} else {
				names[c.Name] = where
			}
		}},
		{name: "dataType", need: "expected one of " + strings.Join(DataTypes, ", "), is: words{"data type", DataTypes}, read: func(at string, raw json.RawMessage) {
			text, ok := l.text(at, raw)
			if c.Type = strings.ToUpper(strings.TrimSpace(text)); ok && !slices.Contains(DataTypes, c.Type) {
				l.add(at, "%w", notOneOf(text, "data type", DataTypes...))
				c.Type = ""
			}
		}},
	}, more...)
}

// checkProperty says what is wrong with a property's name, or "".
func checkProperty(name string, twin Cloud) string {
	const want = "; TwinMaker takes a-z, A-Z, 0-9, _ and -"
	const other = `; where a layout reads the rows, put another name on the left of its "properties": {"burner_on":"m.burner on.v"}; import --rename gives a column another name; and with the twin on another cloud than AWS ("layer_4_provider") it may stay`
	switch {
	case name == "":
		return "is empty; expected the property's name, as rows carry it"
	case len(name) > hotreader.MaxNameBytes:
		return fmt.Sprintf("%.40q has %d bytes; at most %d are allowed", name, len(name), hotreader.MaxNameBytes)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Sprintf("%.60q has a control character", name)
	case twin != AWS:
		return ""
	case name == component.ExternalID:
		return fmt.Sprintf("%q is the name under which the twin keeps the device's id; take another", name)
	case len(name)+len(component.LatestSuffix) > 256:
		return fmt.Sprintf("%.40q has %d bytes; at most %d are allowed, for %s is put to it in TwinMaker", name, len(name), 256-len(component.LatestSuffix), component.LatestSuffix)
	}
	for _, c := range name {
		switch {
		case c == '.':
			return fmt.Sprintf("%.60q has the character '.'", name) + want + `. For nested properties, the layout's "properties" lists each property with its whole path: {"temperature":"payload.temperature","motor_current":"payload.motor.current"}`
		case !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'):
			return fmt.Sprintf("%.60q has the character %q", name, c) + want + other
		}
	}
	return ""
}

// typed returns raw as JSON of a data type, and whether it fits: as values of
// rows do, so that "1.5" is a DOUBLE and 2.0 an INTEGER.
func typed(dataType string, raw json.RawMessage) (json.RawMessage, bool) {
	var v hotreader.Value
	switch jsontext.KindOf(raw) {
	case jsontext.String:
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil, false
		}
		v = hotreader.StringValue([]byte(s))
	case jsontext.Number:
		v = hotreader.NumberValue(bytes.TrimSpace(raw))
	case jsontext.Boolean:
		v = hotreader.BoolValue(bytes.TrimSpace(raw)[0] == 't')
	}
	t, _ := hotreader.ParseType(dataType)
	v, _, ok := t.Convert(v, nil)
	if !ok {
		return nil, false
	}
	switch v.Kind() {
	case hotreader.Bool:
		return strconv.AppendBool(nil, v.Bool()), true
	case hotreader.Number:
		return bytes.Clone(v.Text()), true
	}
	text, err := json.Marshal(string(v.Text()))
	return text, err == nil
}
