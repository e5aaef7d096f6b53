package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotreader/internal/jsontext"
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

// CacheSize is a number of bytes. The zero value is the default of the program.
type CacheSize int64

// noCache is a CacheSize of nothing.
const noCache CacheSize = -1

// Bytes returns the size, or what it is where it was not given.
func (s CacheSize) Bytes(byDefault int64) int64 {
	switch s {
	case 0:
		return byDefault
	case noCache:
		return 0
	}
	return int64(s)
}

// String returns s as the variable has it.
func (s CacheSize) String() string { return strconv.FormatInt(s.Bytes(0), 10) }

// ReadCache reads what serve's flags of the same names say; "" = the default.
func (s *Settings) ReadCache(size, settle, age string) error {
	o := &Options{Settings: *s}
	var wrong []error
	for n, text := range []string{size, settle, age} {
		if text == "" {
			continue
		}
		name := []string{"cache", "settle", "cache_age"}[n]
		i := slices.IndexFunc(Keys, func(k Key) bool { return k.Name == name })
		if err := Keys[i].rule.(variableRule).parse(text, Keys[i].at(o)); err != nil {
			wrong = append(wrong, fmt.Errorf("--%s: %w", strings.ReplaceAll(name, "_", "-"), err))
		}
	}
	*s = o.Settings
	return errors.Join(wrong...)
}

// cacheSize is how many bytes a cache may take.
type cacheSize struct{}

func (c cacheSize) read(l *loader, where string, raw json.RawMessage, to any) {
	if err := c.parse(string(raw), to); err != nil {
		l.add(where, "is %s; expected a number of bytes, as 67108864, or 0 for no cache", short(raw))
	}
}

func (cacheSize) parse(text string, to any) error {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/4 {
		return fmt.Errorf("%.40q is not a number of bytes; expected one as 67108864, or 0 for no cache", text)
	}
	size := CacheSize(n)
	if n == 0 {
		size = noCache
	}
	*to.(*CacheSize) = size
	return nil
}

// Span is a time. The zero value means a default.
type Span time.Duration

// Duration returns s as Go has it.
func (s Span) Duration() time.Duration { return time.Duration(s) }

// String returns s as the variable has it.
func (s Span) String() string { return time.Duration(s).String() }

// span is a time as Go writes it.
type span struct{ least, most time.Duration }

func (s span) read(l *loader, where string, raw json.RawMessage, to any) {
	var text string
	if jsontext.KindOf(raw) != jsontext.String || json.Unmarshal(raw, &text) != nil {
		l.add(where, "is %s; expected a time, as \"30s\"", short(raw))
	} else if err := s.parse(text, to); err != nil {
		l.add(where, "%w", err)
	}
}

func (s span) parse(text string, to any) error {
	d, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil || d < s.least || d > s.most {
		return fmt.Errorf("%.40q is not a time from %v to %v; expected one as 30s, 5m or 24h", text, s.least, s.most)
	}
	*to.(*Span) = Span(d)
	return nil
}
