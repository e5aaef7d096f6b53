package layout_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hotreader/layout"
	"hotreader/test/laidout"
)

// itemsOf are a shape's items, for a Firestore collection below telemetry.
func itemsOf(s *laidout.Shape) (items []layout.Item) {
	for i, fields := range s.Fields() {
		items = append(items, layout.Item{Key: fmt.Sprintf("telemetry/%d", i), Fields: fields})
	}
	return items
}

// Whatever a database says of its keys, much or nothing, each shape's layout is found.
func TestGuess(t *testing.T) {
	for _, s := range laidout.Shapes {
		for _, schema := range []layout.Schema{
			{Cloud: layout.DynamoDB, Keys: []layout.Key{{Partition: s.Partition, Sort: s.Sort}}},
			{Cloud: layout.CosmosDB, Keys: []layout.Key{{Partition: s.Partition}}},
			{Cloud: layout.Firestore, Collection: "telemetry"},
		} {
			if schema.Cloud == layout.DynamoDB && s.Nested() || schema.Cloud == layout.Firestore && s.Keyed {
				continue
			}
			schema.Device = s.Device
			if schema.Cloud == layout.Firestore && schema.Device == "" {
				schema.Device = s.Of // where nothing says which field it is
			}
			name := string(schema.Cloud) + ": " + s.Name
			l, r := layout.Guess(itemsOf(&s), schema)
			said := strings.Join(slices.Concat(r.Reasons, r.NotPlaced, r.Problems), "\n")
			if !strings.Contains(said, s.Says) || (len(r.Problems) > 0) != s.Broken {
				t.Errorf("%s: said %q, problems %q; want %q", name, said, r.Problems, s.Says)
			}
			if s.Broken {
				continue
			}
			if !reflect.DeepEqual(l, s.Layout) {
				t.Errorf("%s:\n got %+v\nwant %+v\n%s", name, l, s.Layout, said)
			}
			var names []string
			for _, p := range r.Properties {
				names = append(names, p.Name)
			}
			if want := laidout.Names(s.Latest); r.Device != s.Of || !slices.Equal(names, want) || !slices.Contains(want, r.Property) {
				t.Errorf("%s: device %q, properties %q, to try %q; want %q, %q\n%s", name, r.Device, names, r.Property, s.Of, want, said)
			}
			if err := l.Check(schema.Cloud); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
