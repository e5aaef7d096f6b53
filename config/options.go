package config

import (
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
	l.settle(&l.Options, l.L3, &l.Options.GCP.Collection, func(name string) string {
		if name == "collection" {
			name = "gcp.collection"
		}
		return below(fileOptions, name)
	})
	l.makes()
}

// makes reports what a table that is made here cannot have.
func (l *loader) makes() {
	s := l.Options.Layout
	switch {
	case l.L3 != AWS || l.Options.AWS.Table != "":
	case s.Index != "":
		l.add(fileOptions+": aws.table", "is missing while the layout's index is %.80q; want the table that has the index, for none is made with one", s.Index)
	case s.NameKey != "":
		l.add(fileOptions+": aws.table", "is missing while the layout's name_key is %.80q; want the table that has such items, for in one that is made here an instant's properties would replace each other (time_suffix \"#{property}\" keeps them apart)", s.NameKey)
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
