package config

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// options reads config_hot_reader.json, of which every key must be known.
func (l *loader) options() {
	doc, ok := l.open(fileOptions, "")
	if !ok {
		return
	}
	l.fields(fileOptions, doc, l.level("")...)
	of := func(name string) string {
		i := slices.IndexFunc(Keys, func(k Key) bool { return k.Name == name })
		return *Keys[i].at(&l.Options).(*string)
	}
	for _, k := range Keys {
		// TwinMaker calls only what its workspace's role is allowed to call.
		if k.needs == "" || of(k.Name) == "" || of(k.needs) != "" || k.Name == "aws.workspace" && l.L4 != AWS {
			continue
		}
		_, name, _ := strings.Cut(k.Name, ".")
		l.add(fileOptions+": "+k.needs, "is missing while %s is there; want %s", name, k.want)
	}
	if both, alike := l.Options.oneKey(); alike {
		l.add(fileOptions+": time_key", "is %.40q, which is the device's key; want two attributes", both)
	}
}

// level returns the fields of the object whose keys begin with prefix, as "aws.".
func (l *loader) level(prefix string) (fields []field) {
	for _, k := range Keys {
		rest, ok := strings.CutPrefix(k.Name, prefix)
		name, _, inner := strings.Cut(rest, ".")
		if !ok || rest == "" || slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
			continue
		}
		read := func(where string, raw json.RawMessage) { k.rule.read(l, where, raw, k.at(&l.Options)) }
		if inner {
			read = func(where string, raw json.RawMessage) { l.fields(where, raw, l.level(prefix+name+".")...) }
		}
		fields = append(fields, field{name: name, read: read})
	}
	return fields
}

// oneKey returns the attribute that is named for both the device and the instant.
func (s Settings) oneKey() (string, bool) {
	instant := cmp.Or(s.TimeKey, "timestamp")
	return instant, instant == cmp.Or(s.DeviceKey, "device_id")
}
