//go:build engines

package awsdynamodb_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/awsdynamodb"
	"hotreader/store/storetest/cloud"
	"hotreader/test/engine"
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

// keyed is a table with keys of texts, and secondary indexes by name.
func keyed(t *testing.T, own [2]string, indexes map[string][2]string, items ...map[string]any) (*dynamodb.Client, string) {
	t.Helper()
	client := engine.DynamoDBClient(t)
	table := strings.ReplaceAll(t.Name(), "/", "-") + fmt.Sprint(time.Now().UnixNano())
	in := dynamodb.CreateTableInput{TableName: &table, BillingMode: types.BillingModePayPerRequest}
	schema := func(key [2]string) (elements []types.KeySchemaElement) {
		for i, name := range key {
			if name == "" {
				continue
			}
			elements = append(elements, types.KeySchemaElement{AttributeName: &name, KeyType: []types.KeyType{types.KeyTypeHash, types.KeyTypeRange}[i]})
			if !slices.ContainsFunc(in.AttributeDefinitions, func(d types.AttributeDefinition) bool { return *d.AttributeName == name }) {
				in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &name, AttributeType: textKey})
			}
		}
		return elements
	}
	in.KeySchema = schema(own)
	for name, key := range indexes {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{IndexName: &name, KeySchema: schema(key), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}})
	}
	if _, err := client.CreateTable(t.Context(), &in); err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: engine.Attribute(item).(*types.AttributeValueMemberM).Value}); err != nil {
			t.Fatal(err)
		}
	}
	return client, table
}

// Tables whose own key says nothing of a device and its time are read by an index that
// does; without one, that is said.
func TestInspectedIndexes(t *testing.T) {
	var items []map[string]any
	for i := range 20 {
		items = append(items, map[string]any{"id": fmt.Sprintf("m-%02d", 7*i%20), "kind": "telemetry", "deviceId": fmt.Sprintf("pump-%d", i%3),
			"at": fmt.Sprintf("2026-03-02T06:00:%02dZ", i), "temperature": json.Number(fmt.Sprint(20 + i))})
	}
	for _, c := range []struct {
		name    string
		own     [2]string
		indexes map[string][2]string
		index   string
		says    string
		broken  bool
	}{
		{"an id of each message", [2]string{"id"}, map[string][2]string{"by-device": {"deviceId", "at"}}, "by-device", "took index by-device (deviceId, at), for in the table's own key (id) no time is at the second place", false},
		{"several indexes", [2]string{"id", "at"}, map[string][2]string{"a-kind": {"kind", "at"}, "by-device": {"deviceId", "at"}, "z-kind": {"kind", "deviceId"}}, "by-device", "not index a-kind", false},
		{"no index", [2]string{"id"}, nil, "", "add a secondary index", true},
		{"no time in any key", [2]string{"deviceId", "id"}, map[string][2]string{"by-kind": {"kind", "deviceId"}}, "", "at holds times", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, table := keyed(t, c.own, c.indexes, items...)
			for _, device := range []string{"", "pump-1"} {
				sampled, schema, err := awsdynamodb.New(client, awsdynamodb.Options{Table: table}).Sample(t.Context(), device, 40)
				if err != nil {
					t.Fatal(err)
				}
				l, r := layout.Guess(sampled, schema)
				said := strings.Join(slices.Concat(r.Reasons, r.Problems), "\n")
				if l.Index != c.index || !strings.Contains(said, c.says) || (len(r.Problems) > 0) != c.broken {
					t.Fatalf("%q: %+v, %q; want index %s, %q", device, l, said, c.index, c.says)
				}
				if c.broken {
					continue
				}
				want := map[string]string{"pump-0": "temperature=38", "pump-1": "temperature=39"}[r.Device]
				got, err := laidout.Latest(t.Context(), awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: l}), r.Device, []string{"temperature"})
				if err != nil || got != want || device != "" && r.Device != device {
					t.Errorf("the latest of %q is %q, %v; want %q", r.Device, got, err, want)
				}
			}
		})
	}
}

// A sample is of several devices, of the oldest and the newest items, and of the device
// that is asked for, however many others there are.
func TestSampleOfMany(t *testing.T) {
	var items []map[string]any
	for d := range 12 {
		for i := range 30 {
			sk := fmt.Sprintf("%d", 1_760_000_000+i)
			if i >= 20 {
				sk = fmt.Sprintf("2026-03-02T06:00:%02dZ", i)
			}
			items = append(items, map[string]any{"pk": fmt.Sprintf("site-4#pump-%02d", d), "sk": sk, "n": json.Number(fmt.Sprint(i))})
		}
	}
	client, table := keyed(t, [2]string{"pk", "sk"}, nil, items...)
	s := awsdynamodb.New(client, awsdynamodb.Options{Table: table})
	for _, device := range []string{"", "pump-11", "site-4#pump-11", "fan-1"} {
		stats := new(hotreader.Stats)
		sampled, schema, err := s.Sample(hotreader.WithStats(t.Context(), stats), device, 40)
		if err != nil {
			t.Fatal(err)
		}
		l, r := layout.Guess(sampled, schema)
		if len(l.TimeFormat) != 2 || len(sampled) > 80 || stats.Reads.Load() > 12 {
			t.Errorf("%q: %d items in %d requests, %+v", device, len(sampled), stats.Reads.Load(), l)
		}
		switch device {
		case "":
			if len(r.Devices) < 3 || l.Partition != "site-4#{device}" {
				t.Errorf("devices %q, partition %q", r.Devices, l.Partition)
			}
		case "fan-1":
			if len(r.Problems) != 1 || !strings.Contains(r.Problems[0], `"fan-1"; there are`) {
				t.Errorf("a device that is not there: %q", r.Problems)
			}
		default:
			if r.Device != device || len(r.Problems) > 0 {
				t.Errorf("%s: device %q of %q, %q", device, r.Device, l.Partition, r.Problems)
			}
		}
	}
	none, empty := keyed(t, [2]string{"pk", "sk"}, nil)
	if sampled, _, err := awsdynamodb.New(none, awsdynamodb.Options{Table: empty}).Sample(t.Context(), "d", 40); err != nil || len(sampled) > 0 {
		t.Errorf("an empty table: %v, %v", sampled, err)
	}
	if _, _, err := awsdynamodb.New(none, awsdynamodb.Options{Table: "nobody"}).Sample(t.Context(), "", 40); hotreader.CodeOf(err) != hotreader.CodeNotFound {
		t.Errorf("no table: %v", err)
	}
}

// A clock that changes between two offsets is read whole by the two formats together, in
// the order of instants, also in the hour that comes twice.
func TestTwoOffsets(t *testing.T) {
	client, table := lies(t, "device_id", "timestamp", textKey, textKey,
		`{"device_id":"d","timestamp":"2025-10-26T02:10:00+02:00","n":1}`, `{"device_id":"d","timestamp":"2025-10-26T02:50:00+02:00","n":2}`,
		`{"device_id":"d","timestamp":"2025-10-26T02:20:00+01:00","n":3}`, `{"device_id":"d","timestamp":"2025-10-26T02:40:00.5+01:00","n":4}`,
		`{"device_id":"d","timestamp":"2026-03-29T03:00:00+02:00","n":5}`)
	s := awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: layout.Layout{TimeFormat: layout.Formats{"iso8601+01:00", "iso8601+02:00"}}})
	want := []string{"00:10:00 1", "00:50:00 2", "01:20:00 3", "01:40:00.5 4", "01:00:00 5"}
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	cloud.WantRows(t, s, q, want...)
	q.Start, q.End = time.Date(2025, 10, 26, 0, 50, 0, 0, time.UTC), time.Date(2025, 10, 26, 1, 20, 0, 0, time.UTC)
	cloud.WantRows(t, s, q, want[1:3]...)
	q = hotreader.Query{Device: "d", Properties: []string{"n"}, Order: hotreader.Descending}
	slices.Reverse(want)
	cloud.WantRows(t, s, q, want...)
	q.Limit = 2
	cloud.WantRows(t, s, q, want[:2]...)
	cloud.WantRows(t, s, hotreader.Query{Device: "d", Properties: []string{"n"}, Last: true}, want[0])
}
