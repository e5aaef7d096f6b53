//go:build engines

package gcpfirestore_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/gcpfirestore"
	"hotreader/test/laidout"
)

// stored is a JSON value as Google's client takes it.
func stored(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		m := map[string]any{}
		for name, member := range v {
			m[name] = stored(member)
		}
		return m
	}
	return v
}

// What is found in collections that nobody told us about leads to their latest values.
func TestInspected(t *testing.T) {
	client := theirs(t)
	for _, s := range laidout.Shapes {
		if s.Keyed {
			continue
		}
		if s.Device == "" { // where nothing says which field it is
			s.Device = s.Of
		}
		t.Run(s.Name, func(t *testing.T) {
			collection := newCollection("inspected")
			for _, fields := range s.Fields() {
				if _, err := client.Collection(collection).NewDoc().Set(t.Context(), stored(fields)); err != nil {
					t.Fatal(err)
				}
			}
			s.Check(t, ours(t, gcpfirestore.Options{Collection: collection}), func(l layout.Layout) hotreader.Source {
				return ours(t, gcpfirestore.Options{Collection: collection, Layout: l})
			})
		})
	}
}

// Sub-collections of devices, found by the collection's id or by one of their paths, and
// with timestamps of Firestore's own.
func TestInspectedBelowDevices(t *testing.T) {
	client := theirs(t)
	root, id := newCollection("devices"), newCollection("telemetry")
	at := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
	for i := range 40 {
		for _, device := range []string{"pump-7", "pump-8"} {
			document := map[string]any{"recorded": at.Add(time.Duration(i) * time.Second), "values": map[string]any{"temperature": i, "state": "on"}}
			if _, err := client.Collection(fmt.Sprintf("%s/%s/%s", root, device, id)).NewDoc().Set(t.Context(), document); err != nil {
				t.Fatal(err)
			}
		}
	}
	template := root + "/{device}/" + id
	for _, collection := range []string{id, root + "/pump-8/" + id, template} {
		for _, device := range []string{"", "pump-7", "pump-8"} {
			s := laidout.Shape{Name: collection, Device: device, Of: device, Latest: "state=on temperature=39", Says: "the document above"}
			sample := ours(t, gcpfirestore.Options{Collection: collection})
			items, schema, err := sample.Sample(t.Context(), device, 24)
			if err != nil {
				t.Errorf("%s: %v", collection, err)
				continue
			}
			l, r := layout.Guess(items, schema)
			want := layout.Layout{TimeKey: "recorded", TimeFormat: layout.Formats{layout.Native}, Properties: layout.Properties{Base: "values"}, Collection: template}
			if l.Collection != want.Collection || l.TimeKey != want.TimeKey || l.Properties.Base != "values" || len(r.Problems) > 0 {
				t.Errorf("%s, %q: %+v, %q", collection, device, l, r.Problems)
			}
			if got, err := laidout.Latest(t.Context(), ours(t, gcpfirestore.Options{Layout: l}), r.Device, []string{"temperature", "state"}); err != nil || got != s.Latest || device != "" && r.Device != device {
				t.Errorf("%s, %q: the latest of %q is %q, %v; want %q", collection, device, r.Device, got, err, s.Latest)
			}
		}
	}
}
