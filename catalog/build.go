package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"hotreader"
)

// Problem is what is wrong with a list of devices.
type Problem struct {
	Device int    // its place in the list; -1 = it is the list's
	Key    string // id, type or properties; "" for the list
	Text   string
}

// Check returns what keeps a list of devices from being a catalogue: the rules that
// go beyond a single device. Places in its texts are indexes, as [3].
func Check(devices []Device) (wrong []Problem) {
	bad := func(i int, key, format string, args ...any) {
		wrong = append(wrong, Problem{i, key, fmt.Sprintf(format, args...)})
	}
	if len(devices) > MaxDevices {
		bad(-1, "", "has %d devices; at most %d are allowed in a twin; split it into several", len(devices), MaxDevices)
	}
	ids, types := make(map[string]int, len(devices)), map[string]int{}
	for i, d := range devices {
		first, twice := ids[d.ID]
		switch {
		case d.ID == "": // the reader of the list says so
		case twice:
			bad(i, "id", "%.60q is the id of [%d] too; list a device once", d.ID, first)
		default:
			ids[d.ID] = i
		}
	}
	for i, d := range devices {
		if d.Type == "" {
			continue
		}
		if same, taken := ids[d.Type]; taken {
			bad(i, "type", "%.60q is the id of the device [%d]; give the type a name that no device has", d.Type, same)
		}
		first, there := types[d.Type]
		if !there {
			types[d.Type] = i
		} else if what := difference(d.Properties, devices[first].Properties); what != "" {
			bad(i, "properties", "of %.60q differ from those of [%d] %.60q, and both are of the type %.60q: %s; devices of one type have the same properties", d.ID, first, devices[first].ID, d.Type, what)
		}
	}
	return wrong
}

// difference says in what the properties of two devices of one type differ, "" if
// in nothing that the type has.
func difference(here, there []Property) string {
	if slices.EqualFunc(here, there, declaredAlike) {
		return "" // in one order, as nearly always
	}
	known := make(map[string]Property, len(there))
	for _, p := range there {
		known[p.Name] = p
	}
	for _, p := range here {
		q, ok := known[p.Name]
		if !ok {
			return fmt.Sprintf("only the first has %.60q", p.Name)
		}
		if !declaredAlike(p, q) {
			return fmt.Sprintf("%.60q is %s in the first and %s in the second", p.Name, declared(p), declared(q))
		}
		delete(known, p.Name)
	}
	for _, p := range there {
		if _, left := known[p.Name]; left {
			return fmt.Sprintf("only the second has %.60q", p.Name)
		}
	}
	return ""
}

func declaredAlike(a, b Property) bool {
	return a.Name == b.Name && a.Type == b.Type && (a.Constant == "") == (b.Constant == "")
}

// declared is a property's declaration in words.
func declared(p Property) string {
	if p.Constant != "" {
		return "a constant " + p.Type.String()
	}
	return p.Type.String()
}

// Of returns the catalogue of devices, as it is when it has been packed.
func Of(devices []Device) (*Catalog, error) {
	packed, err := Build(devices)
	if err != nil {
		return nil, err
	}
	return Open(packed)
}

// Build makes the packed form of a list of devices. The same list gives the same
// bytes, in whatever order it comes. An error is of CodeConfig.
func Build(devices []Device) ([]byte, error) {
	var wrong []error
	for _, p := range Check(devices) {
		where := ""
		if p.Device >= 0 {
			where = fmt.Sprintf("[%d].%s: ", p.Device, p.Key)
		}
		wrong = append(wrong, errors.New(where+p.Text))
	}
	for i, d := range devices {
		if what := d.unfit(); what != "" {
			wrong = append(wrong, fmt.Errorf("[%d]: %s", i, what))
		}
	}
	fail := func(err error) ([]byte, error) {
		return nil, &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: err}
	}
	if wrong != nil {
		return fail(errors.Join(wrong...))
	}
	sorted := slices.Clone(devices)
	slices.SortFunc(sorted, func(a, b Device) int { return strings.Compare(a.ID, b.ID) })
	b := builder{texts: map[string]uint32{"": 0}, textAt: []uint32{0}, setOf: map[string]uint32{}, propertyOf: map[Property]uint32{}}
	b.addTypes(sorted)
	for _, d := range sorted {
		b.devices = append(b.devices, b.text(d.ID), b.typeOf[d.Type], b.set(d.Properties))
	}
	n := counts{len(sorted), len(b.types) / 2, len(b.members), len(b.sets), len(b.listed), len(b.properties) / 4, len(b.textAt), len(b.bytes)}
	if size := n.layout().end; size > maxBytes {
		return fail(fmt.Errorf("it has %d bytes; at most %d are allowed; give the devices fewer properties, or shorter texts", size, maxBytes))
	}
	return b.packed(n), nil
}

// unfit says what the packed form has no place for, or "".
func (d Device) unfit() string {
	if d.ID == "" || !utf8.ValidString(d.ID) || !utf8.ValidString(d.Type) {
		return fmt.Sprintf("the id %.60q and the type %.60q must be UTF-8, and the id not empty", d.ID, d.Type)
	}
	for _, p := range d.Properties {
		switch {
		case p.Name == "" || !utf8.ValidString(p.Name) || !utf8.ValidString(p.Unit) || !utf8.ValidString(p.Constant+p.Initial):
			return fmt.Sprintf("the property %.60q must have a name, and all of it be UTF-8", p.Name)
		case p.Constant != "" && p.Initial != "":
			return fmt.Sprintf("the property %.60q is a constant and has an initial value; expected one of them", p.Name)
		case !stored(p.Type):
			return fmt.Sprintf("the property %.60q has a type that no catalogue holds", p.Name)
		}
	}
	return ""
}

// builder collects the records of a packed catalogue.
type builder struct {
	devices, types, members, sets, listed, properties []uint32

	typeOf     map[string]uint32 // plus 1
	setOf      map[string]uint32 // by what it lists
	propertyOf map[Property]uint32
	texts      map[string]uint32
	textAt     []uint32
	bytes      []byte
}

func (b *builder) text(text string) uint32 {
	return once(b.texts, text, &b.textAt, &b.bytes, []byte(text))
}

// once returns the number of the thing at key, whose value is appended to all, and its
// place to at, unless it is there.
func once[T any](numbers map[string]uint32, key string, at *[]uint32, all *[]T, value []T) uint32 {
	n, ok := numbers[key]
	if !ok {
		n = uint32(len(*at))
		numbers[key] = n
		*at = append(*at, uint32(len(*all)))
		*all = append(*all, value...)
	}
	return n
}

// addTypes adds the types of the devices, which are sorted, and their members.
func (b *builder) addTypes(devices []Device) {
	members := map[string][]uint32{}
	for i, d := range devices {
		if d.Type != "" {
			members[d.Type] = append(members[d.Type], uint32(i))
		}
	}
	b.typeOf = map[string]uint32{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		b.types = append(b.types, b.text(name), uint32(len(b.members)))
		b.members = append(b.members, members[name]...)
		b.typeOf[name] = uint32(len(b.types) / 2)
	}
}

// set returns the number of a set of properties.
func (b *builder) set(properties []Property) uint32 {
	var list []uint32
	for _, p := range properties {
		list = append(list, b.property(p))
	}
	return once(b.setOf, string(appendNumbers(nil, list...)), &b.sets, &b.listed, list)
}

func (b *builder) property(p Property) uint32 {
	n, ok := b.propertyOf[p]
	if !ok {
		kind, value := uint32(p.Type), ""
		switch {
		case p.Constant != "":
			kind, value = kind|constantValue<<8, p.Constant
		case p.Initial != "":
			kind, value = kind|initialValue<<8, p.Initial
		}
		n = uint32(len(b.properties) / 4)
		b.propertyOf[p] = n
		b.properties = append(b.properties, b.text(p.Name), b.text(p.Unit), b.text(value), kind)
	}
	return n
}

// packed returns all of it as it is stored.
func (b *builder) packed(n counts) []byte {
	out := make([]byte, 0, n.layout().end)
	out = append(out, magic...)
	out = appendNumbers(out, version, 0)
	out = appendNumbers(out, uint32(n.devices), uint32(n.types), uint32(n.members), uint32(n.sets), uint32(n.listed), uint32(n.properties), uint32(n.texts), uint32(n.bytes))
	out = appendNumbers(out, b.devices...)
	out = appendNumbers(out, append(b.types, uint32(n.members))...)
	out = appendNumbers(out, b.members...)
	out = appendNumbers(out, append(b.sets, uint32(n.listed))...)
	out = appendNumbers(out, b.listed...)
	out = appendNumbers(out, b.properties...)
	out = appendNumbers(out, append(b.textAt, uint32(n.bytes))...)
	out = append(out, b.bytes...)
	binary.LittleEndian.PutUint32(out[checkAt:], crc32.Checksum(out[countsAt:], castagnoli))
	return out
}

func appendNumbers(dst []byte, all ...uint32) []byte {
	for _, n := range all {
		dst = binary.LittleEndian.AppendUint32(dst, n)
	}
	return dst
}
