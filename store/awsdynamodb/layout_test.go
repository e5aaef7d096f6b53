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

// lies is a table whose HASH and RANGE keys have the given names and kinds, with items
// as JSON.
func lies(t *testing.T, hash, ranged string, hashKind, rangeKind types.ScalarAttributeType, items ...string) (*dynamodb.Client, string) {
	t.Helper()
	client := engine.DynamoDBClient(t)
	table := strings.NewReplacer("/", "-", " ", "-", ",", "", "_", "-", "'", "").Replace(t.Name()) + fmt.Sprint(time.Now().UnixNano())
	table = table[max(0, len(table)-200):]
	if _, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{TableName: &table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &hash, AttributeType: hashKind}, {AttributeName: &ranged, AttributeType: rangeKind}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash}, {AttributeName: &ranged, KeyType: types.KeyTypeRange}}}); err != nil {
		t.Fatal(err)
	}
	for _, text := range items {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: engine.Attribute(v).(*types.AttributeValueMemberM).Value}); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return client, table
}

const (
	textKey   = types.ScalarAttributeTypeS
	numberKey = types.ScalarAttributeTypeN
)

// queries are the ways in which a device's rows are asked for.
func queries(properties ...string) map[string]hotreader.Query {
	q := hotreader.Query{Device: "d", Properties: properties}
	from, down, last := q, q, q
	from.Start, from.End = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	down.Order, last.Last = hotreader.Descending, true
	return map[string]hotreader.Query{"whole": q, "a range": from, "descending": down, "latest": last}
}

// Tables whose times are written otherwise give no empty answer: without the layout an
// error shows an item and names what to set, and with it come the rows.
func TestTimesAsTheyLie(t *testing.T) {
	for _, c := range []struct {
		name  string
		kind  types.ScalarAttributeType
		items []string
		says  []string
		l     layout.Layout
		want  string
	}{
		{"local offset", textKey, []string{`{"device_id":"d","timestamp":"2025-01-09T18:07:00+09:00","n":1}`, `{"device_id":"d","timestamp":"2025-01-09T18:07:01.5+09:00","n":2}`},
			[]string{"2025-01-09T18:07:0", "+09:00", "time_format to iso8601+09:00"}, layout.Layout{TimeFormat: layout.Formats{"iso8601+09:00"}}, "09:07:00 1|09:07:01.5 2"},
		{"a blank", textKey, []string{`{"device_id":"d","timestamp":"2026-03-02 06:00:00","n":1}`, `{"device_id":"d","timestamp":"2026-03-02 06:00:01.25","n":2}`},
			[]string{"time_format to iso8601_blank"}, layout.Layout{TimeFormat: layout.Formats{layout.ISO8601Blank}}, "06:00:00 1|06:00:01.25 2"},
		{"no seconds", textKey, []string{`{"device_id":"d","timestamp":"2026-03-02T06:00Z","n":1}`}, []string{"time_format to iso8601_minute"},
			layout.Layout{TimeFormat: layout.Formats{layout.ISO8601Minute}}, "06:00:00 1"},
		{"epoch text", textKey, []string{`{"device_id":"d","timestamp":"1767225600","n":1}`, `{"device_id":"d","timestamp":"1767225601","n":2}`},
			[]string{"time_format to epoch_s:text"}, layout.Layout{TimeFormat: layout.Formats{"epoch_s:text"}}, "00:00:00 1|00:00:01 2"},
		{"an offset without a colon", textKey, []string{`{"device_id":"d","timestamp":"2025-01-09T18:07:00+0900","n":1}`, `{"device_id":"d","timestamp":"2025-01-09T18:07:01.5+0900","n":2}`},
			[]string{"time_format to iso8601+09:00"}, layout.Layout{TimeFormat: layout.Formats{"iso8601+09:00"}}, "09:07:00 1|09:07:01.5 2"},
		{"an offset behind a blank", textKey, []string{`{"device_id":"d","timestamp":"2025-01-09 18:07:00 -0330","n":1}`},
			[]string{"time_format to iso8601_blank-03:30"}, layout.Layout{TimeFormat: layout.Formats{"iso8601_blank-03:30"}}, "21:37:00 1"},
		{"epoch text with a fraction", textKey, []string{`{"device_id":"d","timestamp":"1767225600.5","n":1}`},
			[]string{"time_format to epoch_s:text ("}, layout.Layout{TimeFormat: layout.Formats{"epoch_s:text"}}, "00:00:00.5 1"},
		{"a prefix", textKey, []string{`{"device_id":"d","timestamp":"READING#2026-03-02T06:00:00Z","n":1}`}, []string{`time_prefix to "READING#"`},
			layout.Layout{TimePrefix: "READING#"}, "06:00:00 1"},
		{"milliseconds", numberKey, []string{`{"device_id":"d","timestamp":1767225600123,"n":1}`}, []string{"the number 1767225600123", "time_format to epoch_ms"},
			layout.Layout{TimeFormat: layout.Formats{layout.EpochMillis}}, "00:00:00.123 1"},
		{"microseconds", numberKey, []string{`{"device_id":"d","timestamp":1767225600123456,"n":1}`}, []string{"time_format to epoch_us"},
			layout.Layout{TimeFormat: layout.Formats{layout.EpochMicros}}, "00:00:00.123456 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, table := lies(t, "device_id", "timestamp", textKey, c.kind, c.items...)
			for name, q := range queries("n") {
				_, err := cloud.Rows(t.Context(), awsdynamodb.New(client, awsdynamodb.Options{Table: table}), q)
				cloud.WantError(t, name, err, hotreader.CodeUnreadable, append(c.says, "timestamp")...)
				rows, err := cloud.Rows(t.Context(), awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: c.l}), q)
				want := strings.Split(c.want, "|")
				if name == "descending" || name == "latest" {
					want = []string{want[len(want)-1]}
					rows = rows[:min(1, len(rows))]
				}
				if err != nil || strings.Join(rows, "|") != strings.Join(want, "|") {
					t.Errorf("%s: %q, %v; want %q", name, rows, err, want)
				}
			}
		})
	}
	for _, c := range []struct{ stored, is, set string }{
		{"1767225600123", layout.EpochMillis, layout.EpochSecs}, {"1767225600", layout.EpochSecs, layout.EpochMillis},
		{"1767225600.25", layout.EpochSecs, layout.EpochNanos}, {"1767225600123", layout.EpochMillis, layout.EpochMicros},
		{"1767225600123456", layout.EpochMicros, layout.EpochNanos},
	} {
		client, table := lies(t, "device_id", "timestamp", textKey, numberKey, `{"device_id":"d","timestamp":`+c.stored+`,"n":1}`)
		for name, q := range queries("n") { // one unit over another
			_, err := cloud.Rows(t.Context(), awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: layout.Layout{TimeFormat: layout.Formats{c.set}}}), q)
			cloud.WantError(t, name, err, hotreader.CodeUnreadable, "time_format to "+c.is)
		}
	}
}

// Where a table's times change their unit, no answer has half of the rows without a
// word: it says what to set, and once that is set it is whole.
func TestTimesOfTwoUnits(t *testing.T) {
	units := map[string]string{layout.EpochSecs: "1767225600", layout.EpochMillis: "1767225601000", layout.EpochMicros: "1767225602000000", layout.EpochNanos: "1767225603000000000"}
	for own, stored := range units {
		for other, more := range units {
			if own == other {
				continue
			}
			item := func(digits string, n int) string {
				return fmt.Sprintf(`{"device_id":"d","timestamp":%s,"n":%d}`, digits, n)
			}
			client, table := lies(t, "device_id", "timestamp", textKey, numberKey, item(stored, 1), item(more, 2))
			for name, q := range queries("n") {
				q.Limit = 1
				s := awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: layout.Layout{TimeFormat: layout.Formats{own}}})
				for range 2 { // the second has what the first has seen
					stats := new(hotreader.Stats)
					rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, q)
					says := fmt.Sprintf(`set time_format to ["%s","%s"] to have both`, own, other)
					if err != nil || len(rows) != 1 || !slices.ContainsFunc(stats.Warnings(), func(w hotreader.Warning) bool {
						return w.Reason == hotreader.MixedTimes && strings.Contains(w.Detail, more) && strings.HasSuffix(w.Detail, says)
					}) {
						t.Errorf("%s, with %s beside, %s: %q, %v, %v", own, other, name, rows, err, stats.Warnings())
					}
				}
				stats := new(hotreader.Stats)
				q.Limit = 0
				both := awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: layout.Layout{TimeFormat: layout.Formats{own, other}}})
				if rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), both, q); err != nil || len(rows) != 2 && !q.Last || len(stats.Warnings()) > 0 {
					t.Errorf("%s and %s, %s: %q, %v, %v", own, other, name, rows, err, stats.Warnings())
				}
			}
		}
	}
}

// A key's name may have dots, which lead nowhere: messages show the key as it is.
func TestKeysWithDots(t *testing.T) {
	client, table := lies(t, "device.id", "payload.ts", textKey, textKey, `{"device.id":"d","payload.ts":"2026-03-02 06:00:00","n":1}`)
	l := layout.Layout{DeviceKey: "device.id", TimeKey: "payload.ts"}
	for name, q := range queries("n") {
		l.TimeFormat = nil
		_, err := cloud.Rows(t.Context(), awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: l}), q)
		cloud.WantError(t, name, err, hotreader.CodeUnreadable, `its payload.ts is the text "2026-03-02 06:00:00"`, "time_format to iso8601_blank", "hotreader inspect --store")
		l.TimeFormat = layout.Formats{layout.ISO8601Blank}
		cloud.WantRows(t, awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: l}), q, "06:00:00 1")
	}
}

// What an answer without rows means is told: by a look at an item, once a minute.
func TestNothingIsExplained(t *testing.T) {
	client, table := lies(t, "device_id", "timestamp", textKey, textKey, `{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","temperature":1,"payload":5,"body":{"t":2,"list":[1,"x"]}}`)
	s := awsdynamodb.New(client, awsdynamodb.Options{Table: table})
	year := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		q    hotreader.Query
		rows string
		warn string
	}{
		{"a slip in a name", hotreader.Query{Device: "d", Properties: []string{"temp"}}, "", "temp: unknown_property: the newest has body, payload, temperature"},
		{"a slip, latest", hotreader.Query{Device: "d", Properties: []string{"temp"}, Last: true}, "", "temp: unknown_property: the newest has body, payload, temperature"},
		{"a slip, latest of many", hotreader.Query{Device: "d", Properties: []string{"temp"}, Last: true, LookBack: 1}, "", "temp: look_back: 1 were looked at; an older value may be there|temp: unknown_property: the newest has body, payload, temperature"},
		{"no data in the range", hotreader.Query{Device: "d", Properties: []string{"temperature"}, Start: year}, "", ""},
		{"a slip in one of two", hotreader.Query{Device: "d", Properties: []string{"temperature", "temp"}}, "00:00:00 1 null", "temp: unknown_property: the newest has body, payload, temperature"},
		{"a slip in one of two, latest", hotreader.Query{Device: "d", Properties: []string{"temp", "temperature"}, Last: true}, "00:00:00 null 1", "temp: unknown_property: the newest has"},
		{"a slip in a filter", hotreader.Query{Device: "d", Properties: []string{"temperature"}, Filters: []hotreader.Filter{{Property: "temprature", Op: hotreader.Equal, Value: hotreader.Int64Value(1)}}},
			"", "temprature: unknown_property: the newest has body"},
		{"another device", hotreader.Query{Device: "e", Properties: []string{"temperature"}, Start: year}, "", `: unknown_device: nothing has the device_id "e"`},
		{"through a scalar", hotreader.Query{Device: "d", Properties: []string{"payload.t"}}, "", "payload.t: unknown_property: payload is the number 5"},
		{"within an object", hotreader.Query{Device: "d", Properties: []string{"body.t"}}, "00:00:00 2", ""},
		{"an object and a list", hotreader.Query{Device: "d", Properties: []string{"body", "body.list", "body.t"}}, `00:00:00 "{\"list\":[1,\"x\"],\"t\":2}" "[1,\"x\"]" 2`, ""},
	} {
		for range 2 { // the second has what the first has seen
			stats := new(hotreader.Stats)
			rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, c.q)
			var warn []string
			for _, w := range stats.Warnings() {
				warn = append(warn, fmt.Sprintf("%s: %s: %s", w.Property, w.Reason, w.Detail))
			}
			if text := strings.Join(warn, "|"); err != nil || !strings.Contains(strings.Join(rows, "|"), c.rows) || (len(rows) > 0) != (c.rows != "") || !strings.HasPrefix(text, c.warn) || (text == "") != (c.warn == "") {
				t.Errorf("%s: rows %q, %v, warnings %q; want %q, %q", c.name, rows, err, warn, c.rows, c.warn)
			}
		}
	}
}

// What says where the properties are may be wrong: the answer names that setting, and what
// is there.
func TestWrongPlaceOfProperties(t *testing.T) {
	for _, c := range []struct {
		item, property string
		l              layout.Layout
		says           string
	}{
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","payload":{"t":1}}`, "t", layout.Layout{Properties: layout.Properties{Base: "playload"}}, "no playload, but payload; payload has it: set properties to payload"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","payload":{"t":1,"u":2}}`, "v", layout.Layout{Properties: layout.Properties{Base: "payload"}}, "in payload, where properties says it is, the newest has t, u"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","payload":5}`, "t", layout.Layout{Properties: layout.Properties{Base: "payload"}}, "payload is the number 5; set properties"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","t":1}`, "t", layout.Layout{Properties: layout.Properties{Base: "payload"}}, "no payload, but t; it is at top level: remove properties from the layout"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","t":1}`, "t", layout.Layout{Properties: layout.Properties{Paths: map[string]string{"t": "payload.t"}}}, "it has t; it is at top level: remove its entry from the layout's properties"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","temperature":1}`, "Temperature", layout.Layout{}, "the newest has temperature; did you mean temperature?"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","payload":{"temperature":1}}`, "Temperature", layout.Layout{Properties: layout.Properties{Base: "payload"}}, "the newest has temperature; did you mean temperature?"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","payload":{"t":1}}`, "t", layout.Layout{Properties: layout.Properties{Paths: map[string]string{"t": "payload.x"}}}, "nothing at payload.x; payload has t"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","payload":{"motor":{"speed":1}}}`, "c", layout.Layout{Properties: layout.Properties{Paths: map[string]string{"c": "payload.motor.current"}}}, "nothing at payload.motor.current; payload.motor has speed"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","body":5}`, "c", layout.Layout{Properties: layout.Properties{Paths: map[string]string{"c": "payload.c"}}}, "nothing at payload.c; it has body"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","payload":"{\"t\":21.5}"}`, "t", layout.Layout{Properties: layout.Properties{Base: "payload"}}, "payload is text that holds JSON; let what writes it store an object"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","payload":"{\"t\":21.5}"}`, "t", layout.Layout{}, "the newest has payload; payload is text that holds JSON; let what writes it store an object"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","at":1,"pay.load":{"m":{"t":1}}}`, "m.t", layout.Layout{}, `the newest has at, pay.load; pay.load has it: set properties to pay\.load`},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","motor":{"a":1}}`, "motor.amps", layout.Layout{Properties: layout.Properties{Paths: map[string]string{"a": "b", "motor_amps": "motor.a"}}}, "properties of the layout name motor_amps, a, and the newest has motor"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","payload":{"t":1}}`, "t", layout.Layout{Properties: layout.Properties{Paths: map[string]string{"u": "payload.u"}}}, "properties of the layout name u, and the newest has payload; payload has it, and properties does not list it"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z#t","value":1}`, "t", layout.Layout{TimeSuffix: "#{property}", ValueKey: "val"}, "is of it and has no val, but value; set value_key"},
		{`{"device_id":"d","timestamp":"2026-01-01T00:00:00Z","name":"t","value":1}`, "t", layout.Layout{NameKey: "name", ValueKey: "val"}, "is of it and has no val, but name, value; set value_key"},
	} {
		client, table := lies(t, "device_id", "timestamp", textKey, textKey, c.item)
		for name, q := range queries(c.property) {
			stats := new(hotreader.Stats)
			_, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: c.l}), q)
			if w := stats.Warnings(); err != nil || len(w) != 1 || w[0].Reason != hotreader.UnknownProperty || !strings.HasSuffix(w[0].Detail, c.says) {
				t.Errorf("%s, %s: %v, %v; want %q", c.item, name, err, w, c.says)
			}
		}
	}
}

// Texts that count since 1970 sort before dates: where a table changed over, latest says
// that newer items may be there.
func TestTextsThatSortElsewhere(t *testing.T) {
	iso, epoch := `{"device_id":"d","timestamp":"2026-03-01T00:00:00Z","n":1}`, `{"device_id":"d","timestamp":"1772431259123","n":2}`
	client, table := lies(t, "device_id", "timestamp", textKey, textKey, iso, epoch, `{"device_id":"d","timestamp":"META","n":3}`, `{"device_id":"d","timestamp":"#1","n":3}`)
	for _, c := range []struct{ own, both string }{{layout.ISO8601, `["iso8601","epoch_ms:text"]`}, {"epoch_ms:text", `["epoch_ms:text","iso8601"]`}} {
		s := awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: layout.Layout{TimeFormat: layout.Formats{c.own}}})
		stats := new(hotreader.Stats)
		q := hotreader.Query{Device: "d", Properties: []string{"n"}, Start: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
		rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, q)
		if w := stats.Warnings(); err != nil || len(rows) != 1 || !slices.ContainsFunc(w, func(w hotreader.Warning) bool {
			return w.Reason == hotreader.MixedTimes && strings.HasSuffix(w.Detail, "set time_format to "+c.both+" to have both")
		}) {
			t.Errorf("%s: %q, %v, %v", c.own, rows, err, w)
		}
	}
}

// An item that no time can be read of is counted once, though two formats are read.
func TestUnreadableOfTwoFormatsIsCountedOnce(t *testing.T) {
	for _, second := range []string{layout.ISO8601Blank, "iso8601+09:00", "epoch_s:text"} {
		client, table := lies(t, "device_id", "timestamp", textKey, textKey, `{"device_id":"d","timestamp":"2026-03-02T06:00:00Z","n":1}`,
			`{"device_id":"d","timestamp":"2026-03-02T06:11:xx","n":1}`, `{"device_id":"d","timestamp":"2026-03-02 06:12:xx","n":1}`)
		for _, formats := range []layout.Formats{{layout.ISO8601, second}, {second, layout.ISO8601}} {
			stats := new(hotreader.Stats)
			s := awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: layout.Layout{TimeFormat: formats}})
			rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, hotreader.Query{Device: "d", Properties: []string{"n"}, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)})
			if err != nil || len(rows) != 1 || stats.Skipped() != 2 {
				t.Errorf("%s: %q, %v, %v", formats, rows, err, stats.Warnings())
			}
		}
	}
}

// A descending history with a start goes on over any number of empty partitions; without
// one it says how far it looked, and not that nothing is known.
func TestDescendingOverEmptyPartitions(t *testing.T) {
	client, table := lies(t, "pk", "sk", textKey, textKey, `{"pk":"d#2024-01-10","sk":"2024-01-10T06:00:00Z","n":1}`, `{"pk":"d#2025-06-01","sk":"2025-06-01T06:00:00Z","n":2}`)
	s := awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: layout.Layout{DeviceKey: "pk", TimeKey: "sk", Partition: "{device}#{yyyy-MM-dd}"}})
	q := hotreader.Query{Device: "d", Properties: []string{"n"}, Order: hotreader.Descending, Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2025, 7, 1, 0, 0, 0, 0, time.UTC)}
	cloud.WantRows(t, s, q, "06:00:00 2", "06:00:00 1")
	for end, rows := range map[int]int{2025: 1, 2027: 0} {
		stats := new(hotreader.Stats)
		q.Start, q.End = time.Time{}, time.Date(end, 7, 1, 0, 0, 0, 0, time.UTC)
		got, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, q)
		if w := stats.Warnings(); err != nil || len(got) != rows || len(w) != 1 || w[0].Reason != hotreader.LookBackEnded || !strings.Contains(w[0].String(), "400 empty partitions in a row were looked into, from d#") {
			t.Errorf("from %d: %q, %v, %v", end, got, err, w)
		}
	}
}

// Device ids may be numbers.
func TestNumericDevices(t *testing.T) {
	client, table := lies(t, "device_id", "timestamp", numberKey, textKey, `{"device_id":7,"timestamp":"2026-01-01T00:00:00Z","n":1}`)
	for name, q := range queries("n") {
		q.Device = "7"
		cloud.WantRows(t, awsdynamodb.New(client, awsdynamodb.Options{Table: table}), q, "00:00:00 1")
		s := awsdynamodb.New(client, awsdynamodb.Options{Table: table})
		for range 2 { // the second time it knows that ids are numbers
			for _, id := range []string{"pump", "007", "7.0", "7e0", "7.", "+7", "-0"} {
				q.Device = id
				stats := new(hotreader.Stats)
				rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, q)
				if w := stats.Warnings(); err != nil || len(rows) > 0 || len(w) != 1 || w[0].Reason != hotreader.UnknownDevice {
					t.Errorf("%s: device %q: %q, %v, warnings %v", name, id, rows, err, w)
				}
			}
			q.Device = "7"
			cloud.WantRows(t, s, q, "00:00:00 1")
		}
	}
}

// A table that is partitioned by date is one history.
func TestDatedPartitions(t *testing.T) {
	now := time.Now().UTC()
	day := func(n int) string { return now.AddDate(0, 0, -n).Format(time.DateOnly) }
	item := func(n, value int) string {
		return fmt.Sprintf(`{"pk":"d#%s","sk":"%sT06:00:00Z","n":%d}`, day(n), day(n), value)
	}
	client, table := lies(t, "pk", "sk", textKey, textKey, item(3, 3), item(2, 2), item(1, 1))
	l := layout.Layout{DeviceKey: "pk", TimeKey: "sk", Partition: "{device}#{yyyy-MM-dd}"}
	s := awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: l})
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	_, err := cloud.Rows(t.Context(), s, q)
	cloud.WantError(t, "without a start", err, hotreader.CodeInvalid, "start", "{device}#{yyyy-MM-dd}")
	q.Start = now.AddDate(0, 0, -10)
	cloud.WantRows(t, s, q, "06:00:00 3", "06:00:00 2", "06:00:00 1")
	q.Limit, q.Order = 2, hotreader.Descending
	cloud.WantRows(t, s, q, "06:00:00 1", "06:00:00 2")
	cloud.WantRows(t, s, hotreader.Query{Device: "d", Properties: []string{"n"}, Last: true}, "06:00:00 1")
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} { // nobody asks for three million days
		stats := new(hotreader.Stats)
		rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, hotreader.Query{Device: "d", Properties: []string{"n"}, Start: q.Start, End: layout.Latest, Order: order})
		if w := stats.Warnings(); err != nil || len(rows) != 3 || len(w) != 1 || w[0].Reason != hotreader.LookBackEnded || !strings.Contains(w[0].Detail, "after that of "+day(-1)) {
			t.Errorf("an end that is far: %q, %v, %v", rows, err, w)
		}
	}
	stats := new(hotreader.Stats)
	rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, hotreader.Query{Device: "d", Properties: []string{"m"}, Last: true})
	if w := stats.Warnings(); err != nil || len(rows) > 0 || len(w) == 0 || w[0].Reason != hotreader.LookBackEnded || !strings.HasPrefix(w[0].Detail, fmt.Sprintf("400 empty partitions in a row were looked into, from d#%s back to d#%s, and nothing older was read", day(4), day(403))) {
		t.Errorf("a property that never was: %q, %v, %v", rows, err, w)
	}
	stats = new(hotreader.Stats)
	_, err = cloud.Rows(hotreader.WithStats(t.Context(), stats), s, hotreader.Query{Device: "dd", Properties: []string{"m"}, Last: true})
	if w := stats.Warnings(); err != nil || len(w) != 1 || !strings.HasSuffix(w[0].Detail, "is the device's id right, and the partition's template, {device}#{yyyy-MM-dd}? If its data is older, give an end nearer to the data") {
		t.Errorf("a device that is none: %v, %v", err, w)
	}
}

// A device that is silent in the newest of its partitions is known, and so are its
// properties.
func TestSilentPartitions(t *testing.T) {
	now := time.Now().UTC()
	day := func(n int) string { return now.AddDate(0, 0, -n).Format(time.DateOnly) }
	client, table := lies(t, "pk", "sk", textKey, textKey, fmt.Sprintf(`{"pk":"d#%s","sk":"%sT06:00:00Z","n":3}`, day(9), day(9)), fmt.Sprintf(`{"pk":"d#%s","sk":"%sT06:00:00Z","old":1,"n":2}`, day(10), day(10)))
	s := awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: layout.Layout{DeviceKey: "pk", TimeKey: "sk", Partition: "{device}#{yyyy-MM-dd}"}})
	for _, c := range []struct {
		device, property string
		days             int
		rows             int
		warn             string
	}{
		{"d", "n", 20, 2, ""},
		{"d", "temp", 20, 0, "unknown_property: the newest has n"},
		{"d", "n,temp", 20, 2, "unknown_property: the newest has n"},
		{"d", "n", 5, 0, `unknown_device: the range has no items, and of the partitions only "d#` + day(0) + `" was looked at`},
		{"e", "n", 20, 0, `unknown_device: the range has no items, and of the partitions only "e#` + day(0) + `" was looked at`},
	} {
		for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
			stats := new(hotreader.Stats)
			rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, hotreader.Query{Device: c.device, Properties: strings.Split(c.property, ","), Start: now.AddDate(0, 0, -c.days), Order: order})
			var warn []string
			for _, w := range stats.Warnings() {
				warn = append(warn, fmt.Sprintf("%s: %s", w.Reason, w.Detail))
			}
			if text := strings.Join(warn, "|"); err != nil || len(rows) != c.rows || !strings.HasPrefix(text, c.warn) || (text == "") != (c.warn == "") {
				t.Errorf("%s of %s, %d days, %v: %q, %v, %q; want %q", c.property, c.device, c.days, order, rows, err, warn, c.warn)
			}
		}
	}
}

// A table that changed over from one time format to another is one history.
func TestTwoFormats(t *testing.T) {
	client, table := lies(t, "device_id", "timestamp", textKey, textKey,
		`{"device_id":"d","timestamp":"1767225600","n":1}`, `{"device_id":"d","timestamp":"1767225602","n":3}`,
		`{"device_id":"d","timestamp":"2026-01-01T00:00:01Z","n":2}`, `{"device_id":"d","timestamp":"2026-01-01T00:00:02Z","m":4}`, `{"device_id":"d","timestamp":"x","n":0}`)
	s := awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: layout.Layout{TimeFormat: layout.Formats{"epoch_s:text", layout.ISO8601}}})
	stats := new(hotreader.Stats)
	rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, hotreader.Query{Device: "d", Properties: []string{"n", "m"}})
	if want := "00:00:00 1 null|00:00:01 2 null|00:00:02 3 4"; err != nil || strings.Join(rows, "|") != want {
		t.Errorf("%q, %v; want %q", rows, err, want)
	}
	cloud.WantRows(t, s, hotreader.Query{Device: "d", Properties: []string{"n"}, Last: true}, "00:00:02 3")
	cloud.WantRows(t, s, hotreader.Query{Device: "d", Properties: []string{"n"}, Order: hotreader.Descending, Limit: 2}, "00:00:02 3", "00:00:01 2")
}

// In an index several items may have one key: they are one row, and the item with the
// greatest key of the table stands.
func TestItemsOfOneInstantInAnIndex(t *testing.T) {
	client := engine.DynamoDBClient(t)
	o := awsdynamodb.Options{Table: "index-" + fmt.Sprint(time.Now().UnixNano()), Layout: layout.Layout{Index: "by-device"}}
	create(t, client, o)
	for _, item := range []string{`{"id":"2","n":2}`, `{"id":"1","n":1,"m":5}`, `{"id":"3","k":7}`} {
		d := json.NewDecoder(strings.NewReader(strings.Replace(item, "{", `{"device_id":"d","timestamp":"2026-01-01T00:00:00Z",`, 1)))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &o.Table, Item: engine.Attribute(v).(*types.AttributeValueMemberM).Value}); err != nil {
			t.Fatal(err)
		}
	}
	byARN := o
	byARN.Layout.Index = "arn:aws:dynamodb:eu-central-1:000000000000:table/" + o.Table + "/index/by-device"
	for _, o := range []awsdynamodb.Options{o, byARN} {
		for name, q := range queries("n", "m", "k") {
			stats := new(hotreader.Stats)
			rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), awsdynamodb.New(client, o), q)
			if err != nil || strings.Join(rows, "|") != "00:00:00 2 5 7" || stats.Skipped() != 1 {
				t.Errorf("%s: %q, %v, %d replaced", name, rows, err, stats.Skipped())
			}
		}
	}
	missing := o
	missing.Layout.Index = "by-site"
	_, err := cloud.Rows(t.Context(), awsdynamodb.New(client, missing), queries("n")["whole"])
	cloud.WantError(t, "an index that is not there", err, hotreader.CodeConfig, "by-site")
}

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
			if len(r.Problems) != 1 || !strings.Contains(r.Problems[0], `"fan-1"; those are of`) {
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
