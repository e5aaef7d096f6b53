// Package inspector looks at a few items of an unknown store, finds their layout, and
// tries it.
package inspector

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/internal/shell"
	"hotreader/layout"
)

// Options say what is inspected.
type Options struct {
	Store  string // its URL
	Device string // whose items are looked at; "" = any
	Open   func(ctx context.Context, url string) (hotreader.Store, error)
}

// Result is what was found, and the shape of inspect --json.
type Result struct {
	Needless bool          `json:"needs_no_layout,omitempty"` // the store has a layout of its own
	Layout   layout.Layout `json:"layout"`                    // as config_hot_reader.json has it
	Store    string        `json:"store"`                     // the store's URL with the layout
	layout.Report
	Latest []Value `json:"latest"` // of Device, read with the layout
	Next   string  `json:"next"`   // the command to go on with; "" = none will do
}

// A Value is the latest of a property.
type Value struct {
	Property string    `json:"property"`
	Time     time.Time `json:"time"`
	Value    any       `json:"value"`
}

// sampled is how many items are looked at, more or less.
const sampled = 40

// A sampler is a store that others fill.
type sampler interface {
	Sample(ctx context.Context, device string, n int) ([]layout.Item, layout.Schema, error)
}

// Run inspects. Its result is valid even with an error, which says why the
// layout does not read the store.
func Run(ctx context.Context, o Options) (r Result, err error) {
	plain, err := withLayout(o.Store, layout.Layout{})
	if err != nil {
		return r, err
	}
	store, err := o.Open(ctx, plain)
	if err != nil {
		return r, err
	}
	defer store.Close()
	s, ok := store.(sampler)
	if !ok {
		return Result{Needless: true, Store: o.Store, Report: tidy(layout.Report{}), Latest: []Value{}}, nil
	}
	items, schema, err := s.Sample(ctx, o.Device, sampled)
	if err != nil {
		return r, err
	}
	if len(items) == 0 {
		return r, &hotreader.Error{Op: "inspect", Code: hotreader.CodeNotFound, Err: errors.New("nothing is stored there yet, so there is nothing to look at")}
	}
	l, report := layout.Guess(items, schema)
	r = Result{Layout: l, Report: report, Latest: []Value{}}
	if r.Store, err = withLayout(o.Store, l); err != nil {
		return r, err
	}
	if r.Device != "" && r.Property != "" {
		err = r.try(ctx, &o)
	}
	r.Report = tidy(r.Report)
	if len(r.Problems) > 0 { // which say more than that the layout reads nothing
		err = &hotreader.Error{Op: "inspect", Code: hotreader.CodeUnreadable, Err: errors.New(strings.Join(r.Problems, "; "))}
	}
	return r, err
}

// rejected is what TwinMaker rejects in a property's name.
var rejected = regexp.MustCompile(`\\?[^a-zA-Z0-9_-]`)

// Renamed returns the layout's "properties" that give each property a name that TwinMaker
// takes, with its whole path; nil where all have one, or none can be had.
func (r *Result) Renamed() map[string]string {
	if r.Layout.Narrow() || !slices.ContainsFunc(r.Properties, func(p layout.Property) bool { return rejected.MatchString(p.Name) }) {
		return nil
	}
	paths := map[string]string{}
	for _, p := range r.Properties {
		name := rejected.ReplaceAllString(p.Name, "_")
		for paths[name] != "" {
			name += "_"
		}
		paths[name] = r.path(p.Name)
	}
	return paths
}

// path returns where a property is.
func (r *Result) path(property string) string {
	if base := r.Layout.Properties.Base; base != "" {
		return base + "." + property
	}
	return property
}

// Init is the command that writes a project folder for what was seen, with the names
// that Renamed gives on AWS; "" = none will do.
func (r *Result) Init() string {
	if r.Next == "" || len(r.Problems) > 0 || len(r.Devices) == 0 {
		return ""
	}
	var devices, properties []string
	for _, id := range r.Devices {
		devices = append(devices, listed(id))
	}
	cloud := slices.Collect(maps.Keys(r.Config()))
	cloud = slices.DeleteFunc(cloud, func(key string) bool { return key == "layout" })
	renamed := map[string]string{} // by path
	if cloud[0] == "aws" {
		for name, path := range r.Renamed() {
			renamed[path] = name
		}
	}
	for _, p := range r.Properties {
		properties = append(properties, listed(cmp.Or(renamed[r.path(p.Name)], p.Name)+"="+p.Type))
	}
	return fmt.Sprintf("hotreader init --project twin --name twin --hot %s --device %s --property %s",
		cloud[0], shell.Word(strings.Join(devices, ",")), shell.Word(strings.Join(properties, ",")))
}

// Config is what config_hot_reader.json says of a store that exists: its names, from the
// URL, and the layout.
func (r *Result) Config() map[string]any {
	address, query, _ := strings.Cut(r.Store, "?")
	scheme, address, _ := strings.Cut(address, "://")
	parts := append(strings.SplitN(address, "/", 3), "", "")
	cloud, names := "aws", map[string]string{"table": address}
	switch scheme {
	case "dynamodb":
		if values, err := url.ParseQuery(query); err == nil {
			names["region"] = values.Get("region")
		}
	case "cosmos":
		account, domain, _ := strings.Cut(parts[0], ".")
		if !strings.Contains("."+domain, ".documents.") { // as of an emulator
			account = ""
		}
		cloud, names = "azure", map[string]string{"cosmos_account": account, "database": parts[1], "container": parts[2]}
	case "firestore":
		cloud, names = "gcp", map[string]string{"project": parts[0], "database": parts[1], "collection": parts[2]}
	}
	maps.DeleteFunc(names, func(_, value string) bool { return value == "" })
	all, l := map[string]any{cloud: names}, r.Layout
	l.Collection = "" // it is among the names
	if !reflect.DeepEqual(l, layout.Layout{}) {
		all["layout"] = l
	}
	return all
}

// tidy makes lists of what is missing, as JSON's readers like it.
func tidy(r layout.Report) layout.Report {
	for _, list := range []*[]string{&r.Devices, &r.Reasons, &r.NotPlaced, &r.Problems} {
		if *list == nil {
			*list = []string{}
		}
	}
	if r.Properties == nil {
		r.Properties = []layout.Property{}
	}
	return r
}

// try reads the latest values with the layout that was found, and says how to go on.
func (r *Result) try(ctx context.Context, o *Options) error {
	store, err := o.Open(ctx, r.Store)
	if err != nil {
		return err
	}
	defer store.Close()
	q := hotreader.Query{Device: r.Device, Last: true}
	for _, p := range r.Properties[:min(len(r.Properties), hotreader.MaxProperties)] {
		q.Properties = append(q.Properties, p.Name)
	}
	command := "latest"
	if r.Latest, err = latest(ctx, store, q); err == nil && len(r.Latest) == 0 && !r.Newest.IsZero() {
		// As where the newest lies beyond more empty partitions than are looked into.
		command = fmt.Sprintf("query --start %[1]s --end %[1]s", r.Newest.Format(time.RFC3339Nano))
		q.Start, q.End = r.Newest, r.Newest
		r.Latest, err = latest(ctx, store, q)
	}
	if err != nil {
		return err
	}
	if len(r.Latest) == 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("with this layout no value of device %q is found, though items of it were seen", r.Device))
		return nil
	}
	if !slices.ContainsFunc(r.Latest, func(v Value) bool { return v.Property == r.Property }) {
		r.Property = r.Latest[0].Property
	}
	r.Next = fmt.Sprintf("hotreader %s --store %s --device %s --property %s", command, shell.Word(r.Store), shell.Word(r.Device), shell.Word(listed(r.Property)))
	return nil
}

// latest returns the newest value of each property that has one.
func latest(ctx context.Context, source hotreader.Source, q hotreader.Query) ([]Value, error) {
	all := []Value{}
	for row, err := range hotreader.NewReader(source).Read(ctx, q) {
		if err != nil {
			return all, err
		}
		for i, v := range row.Values {
			name := q.Properties[i]
			if !v.IsNull() && !slices.ContainsFunc(all, func(v Value) bool { return v.Property == name }) {
				all = append(all, Value{name, row.Time, valueOf(v)})
			}
		}
	}
	return all, nil
}

func valueOf(v hotreader.Value) any {
	switch v.Kind() {
	case hotreader.Bool:
		return v.Bool()
	case hotreader.Number:
		return json.Number(v.Text())
	}
	return string(v.Text())
}

// withLayout returns a store's URL with the parameters of l instead of those of its own
// layout.
func withLayout(storeURL string, l layout.Layout) (string, error) {
	address, query, _ := strings.Cut(storeURL, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", &hotreader.Error{Op: "inspect", Code: hotreader.CodeConfig, Err: errors.New("what follows the ? of the store URL cannot be read")}
	}
	for _, key := range layout.Keys {
		values.Del(key)
	}
	if rest, ok := strings.CutPrefix(address, "firestore://"); ok && l.Collection != "" { // is in the path
		if parts := strings.SplitN(rest, "/", 3); len(parts) == 3 {
			address = "firestore://" + parts[0] + "/" + parts[1] + "/" + l.Collection
		}
		l.Collection = ""
	}
	maps.Copy(values, l.URL())
	if len(values) == 0 {
		return address, nil
	}
	return address + "?" + readable.Replace(values.Encode()), nil
}

// readable leaves signs as they are that need no escape in a query.
var readable = strings.NewReplacer("%7B", "{", "%7D", "}", "%2F", "/", "%3A", ":", "%2C", ",")

// listed returns a name as --property takes it, which commas separate.
func listed(name string) string {
	if strings.ContainsAny(name, ",\"\n\r") {
		return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	}
	return name
}
