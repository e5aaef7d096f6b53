//go:build engines

package awsdynamodb_test

import (
	"encoding/json"
	"testing"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/awsdynamodb"
	"hotreader/test/laidout"
)

// What is found in tables that nobody told us about leads to their latest values.
func TestInspected(t *testing.T) {
	for _, s := range laidout.Shapes {
		if s.Nested() {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			first := s.Fields()[0]
			hash, ranged := textKey, textKey
			if _, number := first[s.Partition].(json.Number); number {
				hash = numberKey
			}
			if _, number := first[s.Sort].(json.Number); number {
				ranged = numberKey
			}
			client, table := lies(t, s.Partition, s.Sort, hash, ranged, s.Items...)
			s.Check(t, awsdynamodb.New(client, awsdynamodb.Options{Table: table}), func(l layout.Layout) hotreader.Source {
				return awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: l})
			})
		})
	}
}
