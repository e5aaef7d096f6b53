package layout_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hotreader"
	"hotreader/layout"
	"hotreader/test/laidout"
)

// itemsOf are a shape's items, for a Firestore collection below telemetry.
func itemsOf(s *laidout.Shape) (items []layout.Item) {
	for i, fields := range s.Fields() {
		items = append(items, layout.Item{Path: fmt.Sprintf("telemetry/%d", i), Fields: fields})
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

// made are layouts of which each part meets each of the others.
func made() (all []layout.Layout) {
	for _, format := range []string{layout.ISO8601, "iso8601-03:30", layout.ISO8601Minute, "iso8601_minute+05:45", layout.ISO8601Blank, "iso8601_blank+09:00",
		layout.EpochSecs, layout.EpochMillis, layout.EpochMicros, layout.EpochNanos, "epoch_s:text", "epoch_ms:text", "epoch_us:text", "epoch_ns:text"} {
		for _, partition := range []string{"{device}", "site-4#{device}", "DEVICE#{device}", "{device}#{yyyy-MM-dd}", "{device}-{yyyy-MM}", "{yyyyMMdd}|{device}", "{device}_{yyyy-MM-dd}T{HH}", "plant/{device}/{yyyy.MM.dd}"} {
			for _, rest := range []layout.Layout{{}, {Properties: layout.Properties{Base: "payload"}}, {Properties: layout.Properties{Base: "state.reported"}},
				{NameKey: "metric", ValueKey: "value"}, {NameKey: "data.name", ValueKey: "data.val"},
				{TimeSuffix: "#{property}", ValueKey: "reading"}, {TimePrefix: "READING#"}, {TimePrefix: "T|", TimeSuffix: "|v2", Properties: layout.Properties{Base: "Body"}}} {
				f, _ := layout.ParseFormat(format)
				if f.Kind != layout.TextTime && rest.TimePrefix+rest.TimeSuffix != "" {
					continue
				}
				l := rest
				l.DeviceKey, l.TimeKey, l.Partition, l.TimeFormat = "pk", "sk", partition, layout.Formats{format}
				all = append(all, l)
			}
		}
	}
	return all
}

// A reading is one value of an item.
type reading struct {
	device, property string
	at               time.Time
	value            string
}

// write makes the items that hold readings by a layout. Those of an instant are one item
// unless an item holds one property.
func write(l *layout.Layout, readings []reading) (items []layout.Item) {
	f, _ := layout.ParseFormat(l.TimeFormat[0])
	template, _ := layout.ParseTemplate(l.Partition)
	for _, r := range readings {
		var it layout.Item
		put := func(path []string, v any) {
			m := it.Fields
			for _, name := range path[:len(path)-1] {
				if m[name] == nil {
					m[name] = map[string]any{}
				}
				m = m[name].(map[string]any)
			}
			m[path[len(path)-1]] = v
		}
		pk := template.Value(r.device, r.at.In(f.Zone()))
		sk := l.TimePrefix + string(f.Append(nil, r.at)) + strings.ReplaceAll(l.TimeSuffix, "{property}", r.property)
		last := len(items) - 1
		if !l.Narrow() && last >= 0 && items[last].Fields["pk"] == pk && items[last].Key == sk {
			it = items[last]
		} else {
			it = layout.Item{Key: sk, Fields: map[string]any{"pk": pk, "sk": sk}}
			if f.Kind == layout.NumberTime {
				it.Fields["sk"] = json.Number(sk)
			}
			items = append(items, it)
		}
		put(l.WritePath(r.property), json.Number(r.value))
		if l.NameKey != "" {
			put(layout.ParsePath(l.NameKey), r.property)
		}
	}
	return items
}

// read is what a layout reads of items: the readings in their order, as text.
func read(l layout.Layout, r layout.Report, items []layout.Item) (all []string) {
	l = l.WithDefaults()
	for _, it := range items {
		key, _ := it.At([]string{l.TimeKey})
		at, ok := l.ReadTime(key)
		value, _ := it.At(layout.ParsePath(l.DeviceKey))
		device := deviceOf(l, r.Devices, value, at)
		for _, p := range r.Properties {
			if p.Name != "temperature" && p.Name != "humidity" {
				continue
			}
			v, has := it.At(l.WritePath(p.Name))
			if name, _ := it.At(layout.ParsePath(l.NameKey)); l.NameKey != "" && name != p.Name ||
				strings.Contains(l.TimeSuffix, "{property}") && !strings.HasSuffix(it.Key, p.Name) {
				has = false
			}
			if has {
				all = append(all, fmt.Sprint(device, p.Name, at.UnixNano(), ok, v))
			}
		}
	}
	slices.Sort(all)
	return all
}

// deviceOf returns which of devices' partitions a value is.
func deviceOf(l layout.Layout, devices []string, value any, at time.Time) string {
	f, _ := layout.ParseFormat(l.TimeFormat[0])
	template, _ := layout.ParseTemplate(l.Partition)
	for _, d := range devices {
		if template.Value(d, at.In(f.Zone())) == value {
			return d
		}
	}
	return ""
}

// Whatever layout items were written by, the one that is found reads the same readings
// from them.
func TestGuessReadsWhatWasWritten(t *testing.T) {
	var readings []reading
	start := time.Date(2026, 2, 27, 23, 59, 0, 0, time.UTC)
	for i := range 8 {
		for _, device := range []string{"pump-7", "fan-12"} {
			at := start.Add(time.Duration(i) * 7 * time.Hour)
			readings = append(readings, reading{device, "temperature", at, fmt.Sprint(20 + i)}, reading{device, "humidity", at, fmt.Sprint(50 + i)})
		}
	}
	for _, l := range made() {
		items := write(&l, readings)
		var want []string
		for _, r := range readings {
			want = append(want, fmt.Sprint(r.device, r.property, r.at.UnixNano(), true, r.value))
		}
		slices.Sort(want)
		for _, schema := range []layout.Schema{{Cloud: layout.DynamoDB, Keys: []layout.Key{{Partition: "pk", Sort: "sk"}}}, {Cloud: layout.CosmosDB, Keys: []layout.Key{{Partition: "pk"}}}} {
			for _, device := range []string{"", "fan-12"} {
				schema.Device = device
				for i, it := range items { // what others keep beside
					if it.Fields["id"] = fmt.Sprintf("%x-%d", 7919*i, i); device != "" {
						maps.Copy(it.Fields, map[string]any{"type": "telemetry", "ttl": json.Number("1799999999"), "seq": json.Number("7"), "site": "s4", "received_at": "2026-05-01T00:00:00Z"})
					}
				}
				found, r := layout.Guess(items, schema)
				if got := read(found, r, items); !slices.Equal(got, want) || len(r.Problems) > 0 || device != "" && r.Device != device {
					t.Fatalf("%s, device %q, written by %+v\nfound %+v\n%+v\n got %.300q\nwant %.300q", schema.Cloud, device, l, found, r, got, want)
				}
			}
		}
	}
}

// A field whose name is that of a device is found, though ids are numbers and each item
// is of another device.
func TestGuessOfNumberedDevices(t *testing.T) {
	for _, name := range []string{"dev", "dev_id", "device", "deviceId", "deviceNo", "sensor", "sensor_id", "station", "meter", "machine", "node"} {
		for _, ids := range []string{"777", "123", "121"} {
			s := laidout.Shape{}
			for i, id := range ids {
				s.Items = append(s.Items, fmt.Sprintf(`{%q:%c,"ts":"2026-03-02T06:00:0%dZ","count":%d,"temperature":20.5}`, name, id, i, i+5))
			}
			l, r := layout.Guess(itemsOf(&s), layout.Schema{Cloud: layout.Firestore, Collection: "telemetry"})
			if l.WithDefaults().DeviceKey != name || len(r.Problems) > 0 || !slices.Contains(r.Devices, ids[:1]) {
				t.Errorf("%s of %s: %+v, devices %q, problems %q", name, ids, l, r.Devices, r.Problems)
			}
		}
	}
}

// What only one database has, and what no layout reads.
func TestGuessOfOneDatabase(t *testing.T) {
	at := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
	fields := func(text string) map[string]any {
		s := laidout.Shape{Items: []string{text}}
		return s.Fields()[0]
	}
	cosmos := layout.Schema{Cloud: layout.CosmosDB, Keys: []layout.Key{{Partition: "device_id"}}}
	dynamo := layout.Schema{Cloud: layout.DynamoDB, Keys: []layout.Key{{Partition: "pk", Sort: "sk"}}}
	fire := layout.Schema{Cloud: layout.Firestore, Collection: "telemetry"}
	const gateway = `{"device_key":"pk","time_key":"sk","time_prefix":"READING#","time_suffix":"#{property}","value_key":"value"}`
	sensors := func(names ...string) (all []layout.Item) {
		for minute := range 20 {
			for _, n := range names {
				all = append(all, layout.Item{Fields: fields(fmt.Sprintf(`{"pk":"d","sk":"READING#2026-03-02T06:%02d:59Z#%s","value":1}`, minute, n))})
			}
		}
		return all
	}
	for name, c := range map[string]struct {
		schema layout.Schema
		items  []layout.Item
		want   string // the layout as JSON
		says   string
		broken bool
	}{
		"no items": {cosmos, nil, `{}`, "no items", true},
		"text, then timestamps": {fire, []layout.Item{
			{Path: "telemetry/b", Fields: map[string]any{"device": "d", "ts": at, "n": json.Number("2")}},
			{Path: "telemetry/a", Fields: map[string]any{"device": "d", "ts": "2026-03-01T06:00:00Z", "n": json.Number("1")}}},
			`{"device_key":"device","time_key":"ts","time_format":["iso8601","native"]}`, "", false},
		"below a plant, a device in a field": {fire, []layout.Item{
			{Path: "plants/berlin/telemetry/a", Fields: map[string]any{"deviceId": "d", "ts": at, "n": json.Number("1")}},
			{Path: "plants/berlin/telemetry/b", Fields: map[string]any{"deviceId": "e", "ts": at, "n": json.Number("1")}}},
			`{"device_key":"deviceId","time_key":"ts","time_format":"native","collection":"plants/berlin/telemetry"}`, "", false},
		"below a plant and a device": {fire, []layout.Item{
			{Path: "plants/berlin/devices/d/telemetry/a", Fields: map[string]any{"ts": at, "n": json.Number("1")}},
			{Path: "plants/berlin/devices/e/telemetry/b", Fields: map[string]any{"ts": at, "n": json.Number("1")}},
			{Path: "plants/rome/devices/f/telemetry/b", Fields: map[string]any{"ts": at, "n": json.Number("1")}}},
			`{"time_key":"ts","time_format":"native","collection":"plants/berlin/devices/{device}/telemetry"}`, "plants/rome/devices/{device}/telemetry", false},
		"below different plants, no device": {fire, []layout.Item{
			{Path: "plants/berlin/telemetry/a", Fields: map[string]any{"deviceId": "d", "ts": at}},
			{Path: "plants/rome/telemetry/b", Fields: map[string]any{"deviceId": "e", "ts": at}}},
			"", "lie in different collections", true},
		"only the database's own time": {cosmos, []layout.Item{{Fields: fields(`{"id":"a","device_id":"d","temperature":1,"_ts":1772431200}`)}},
			`{"time_key":"_ts","time_format":"epoch_s"}`, "", false},
		"base64": {cosmos, []layout.Item{{Fields: fields(`{"id":"a","device_id":"d","ts":"2026-03-02T06:00:00Z","Body":"eyJ0ZW1wZXJhdHVyZSI6MjEuNX0="}`)}},
			`{"time_key":"ts"}`, "contentType application/json", false},
		"no partition key in the items": {cosmos, []layout.Item{{Fields: fields(`{"id":"a","device":"d","ts":"2026-03-02T06:00:00Z","n":1}`)}},
			`{}`, "no device_id, by which they are partitioned", true},
		"no time at all": {fire, []layout.Item{{Path: "telemetry/a", Fields: fields(`{"device":"d","n":1}`)}}, `{}`, "no field holds a time", true},
		"bytes": {dynamo, []layout.Item{{Fields: map[string]any{"pk": "d", "sk": "2026-03-02T06:00:00Z", "n": json.Number("1"), "frame": layout.Kind("bytes")}}},
			`{"device_key":"pk","time_key":"sk"}`, "frame, where it is bytes", false},
		"the device in the sort key": {dynamo, []layout.Item{
			{Fields: fields(`{"pk":"site-4","sk":"pump-7#2026-03-02T06:00:00Z","n":1}`)}, {Fields: fields(`{"pk":"site-4","sk":"pump-8#2026-03-02T06:00:00Z","n":1}`)}},
			"", "what precedes the time in sk differs", true},
		"a key that is no time among others": {dynamo, []layout.Item{
			{Fields: fields(`{"pk":"d","sk":"1767225600","n":1}`)}, {Fields: fields(`{"pk":"d","sk":"2026-03-02T06:00:00Z","n":2}`)}, {Fields: fields(`{"pk":"d","sk":"META","n":3}`)}},
			`{"device_key":"pk","time_key":"sk","time_format":["epoch_s:text","iso8601"]}`, `1 of 3 items are not read, for their sk is no such time, as the text "META"`, true},
		"one key without a suffix": {dynamo, slices.Concat(sensors("t", "p"), []layout.Item{{Fields: fields(`{"pk":"d","sk":"READING#2026-03-02T06:09:00Z","value":1}`)}}),
			gateway, `1 of 41 items are not read, for their sk is no such time, as the text "READING#2026-03-02T06:09:00Z"`, true},
		"one key with another prefix": {dynamo, slices.Concat(sensors("t", "p"), []layout.Item{{Fields: fields(`{"pk":"d","sk":"ALARM#2026-03-02T06:01:00Z","code":1}`)}}),
			gateway, `as the text "ALARM#2026-03-02T06:01:00Z"`, true},
		"one of three with another prefix": {dynamo, []layout.Item{
			{Fields: fields(`{"pk":"d","sk":"READING#2026-03-02T06:01:59Z#t","value":1}`)}, {Fields: fields(`{"pk":"d","sk":"READING#2026-03-02T06:01:59Z#p","value":1}`)},
			{Fields: fields(`{"pk":"d","sk":"ALARM#2026-03-02T06:01:00Z","value":1}`)}},
			gateway, "what precedes the time in sk differs", true},
		"the dates of another clock": {dynamo, []layout.Item{
			{Fields: fields(`{"pk":"d#2026-03-01","sk":"2026-03-01T03:00:00Z","n":1}`)}, {Fields: fields(`{"pk":"d#2026-03-02","sk":"2026-03-01T15:00:00Z","n":1}`)}},
			"", "are those of UTC+09:00, but the times are not", true},
		"a late item": {dynamo, []layout.Item{
			{Fields: fields(`{"pk":"d#2026-03-01","sk":"2026-03-01T03:00:00Z","n":1}`)}, {Fields: fields(`{"pk":"d#2026-03-02","sk":"2026-03-01T23:50:00Z","n":1}`)},
			{Fields: fields(`{"pk":"d#2026-03-02","sk":"2026-03-02T03:00:00Z","n":1}`)}, {Fields: fields(`{"pk":"d#2026-03-02","sk":"2026-03-02T15:00:00Z","n":1}`)}},
			`{"device_key":"pk","time_key":"sk","partition":"{device}#{yyyy-MM-dd}"}`, `1 of 4 items lie in another date's partition than that of their time, as in "d#2026-03-02" that of 2026-03-01T23:50:00Z`, true},
		"a brace before the time": {dynamo, []layout.Item{{Fields: fields(`{"pk":"d","sk":"{2026-03-02T06:00:00Z","n":1}`)}}, `{}`, "no layout can say", true},
		"a name and a path": {dynamo, []layout.Item{{Fields: fields(`{"pk":"d","sk":"2026-03-02T06:00:00Z","a.b":1,"a":{"b":2}}`)}},
			`{"device_key":"pk","time_key":"sk"}`, "the name counts", false},
		"a number and a text of one id": {cosmos, []layout.Item{
			{Fields: fields(`{"device_id":42,"timestamp":"2026-03-02T06:00:00Z","n":1}`)}, {Fields: fields(`{"device_id":"42","timestamp":"2026-03-02T06:00:01Z","n":1}`)}},
			`{}`, `holds the number 42 and the text "42"`, true},
		"the dates of UTC": {dynamo, []layout.Item{
			{Fields: fields(`{"pk":"d#2026-03-01","sk":"2026-03-02T01:00:00+09:00","n":1}`)}, {Fields: fields(`{"pk":"d#2026-03-02","sk":"2026-03-02T12:00:00+09:00","n":1}`)}},
			"", "are those of UTC+00:00", true},
		"partitions of nothing but dates": {dynamo, []layout.Item{
			{Fields: fields(`{"pk":"2026-03-01","sk":"2026-03-01T01:00:00Z","n":1}`)}, {Fields: fields(`{"pk":"2026-03-02","sk":"2026-03-02T12:00:00Z","n":1}`)}},
			"", "in no uniform manner from a device", true},
		"a counter behind the time": {dynamo, []layout.Item{
			{Fields: fields(`{"pk":"d","sk":"2026-03-02T06:00:00Z#0001","value":1}`)}, {Fields: fields(`{"pk":"d","sk":"2026-03-02T06:00:01Z#0002","value":1}`)}},
			"", "the layout cannot leave it out", true},
		"an id behind the time": {dynamo, []layout.Item{
			{Fields: fields(`{"pk":"d","sk":"2026-03-02T06:00:00Z#55ba50fb-b8a3-4b88-87da-6c0c9433448d","temperature":1}`)},
			{Fields: fields(`{"pk":"d","sk":"2026-03-02T06:00:01Z#59103aeb-c6d1-47cf-8010-436e31d40e1f","temperature":1}`)}},
			"", "the layout cannot leave it out", true},
		"seconds and milliseconds": {dynamo, []layout.Item{
			{Fields: fields(`{"pk":"d","sk":1772431200,"n":1}`)}, {Fields: fields(`{"pk":"d","sk":1772431201000,"n":1}`)}},
			`{"device_key":"pk","time_key":"sk","time_format":["epoch_s","epoch_ms"]}`, "", false},
		"one item of a property that the key names": {dynamo, []layout.Item{{Fields: fields(`{"pk":"d","sk":"READING#2026-03-02T06:00:59Z#temperature","value":21.5}`)}},
			`{"device_key":"pk","time_key":"sk","time_prefix":"READING#","time_suffix":"#{property}","value_key":"value"}`, "name of a property", false},
		"one item with a constant": {dynamo, []layout.Item{{Fields: fields(`{"pk":"d","sk":"2026-03-02T06:00:59Z#v1","temperature":21.5}`)}},
			`{"device_key":"pk","time_key":"sk","time_suffix":"#v1"}`, "", false},
		"a time ahead": {dynamo, []layout.Item{{Fields: fields(`{"pk":"d","sk":"4026-03-02T06:00:00Z","n":1}`)}}, `{"device_key":"pk","time_key":"sk"}`, "ahead of now", false},
		"an object beside them": {dynamo, []layout.Item{{Fields: fields(`{"pk":"d","sk":"2026-03-02T06:00:00Z","temperature":1,"flow":2,"motor":{"current":3}}`)}},
			`{"device_key":"pk","time_key":"sk"}`, `named motor.NAME; for TwinMaker, which takes no dots, give each a name in "properties"`, false},
		"a dot in a name": {dynamo, []layout.Item{{Fields: fields(`{"pk":"d","sk":"2026-03-02T06:00:00Z","pay.load":{"n":1}}`)}},
			`{"device_key":"pk","time_key":"sk","properties":"pay\\.load"}`, "", false},
	} {
		l, r := layout.Guess(c.items, c.schema)
		text, err := json.Marshal(l)
		said := strings.Join(slices.Concat(r.Reasons, r.NotPlaced, r.Problems), "\n")
		if err != nil || c.want != "" && string(text) != c.want || !strings.Contains(said, c.says) || (len(r.Problems) > 0) != c.broken {
			t.Errorf("%s: %s, problems %q, in all %q; want %s, %q", name, text, r.Problems, said, c.want, c.says)
		}
	}
}

// Whatever a table holds, a guess is a layout that can be told, and properties and a
// device that can be asked for.
func TestGuessOfAnything(t *testing.T) {
	part := rapid.SampledFrom([]string{"", "", "READING#", "ALARM#", "T#", "#", "x", "{", "site-4#", "pump-7", "pump-8", "2026", "2026-03-01", "2026-03", "-", "a#b", "META", ".",
		"2026-03-01T06:00:00Z", "2026-03-02T06:01:59Z", "2026-03-02 06:00:00", "2026-03-02T15:00:00+09:00", "2026-03-02T06:00Z", "1772431259123", "1772431259", "#temperature", "#pressure", "Z#a#b"})
	text := rapid.Custom(func(t *rapid.T) any {
		return part.Draw(t, "a") + part.Draw(t, "b") + part.Draw(t, "c")
	})
	value := rapid.OneOf(text, rapid.Just(any(nil)), rapid.Just(any(true)), rapid.Just(any(json.Number("1772431259"))), rapid.Just(any(json.Number("1772431259123"))),
		rapid.Just(any(json.Number("42"))), rapid.Just(any(layout.Kind("bytes"))), rapid.Just(any([]any{})), rapid.Just(any(time.Unix(1772431259, 0))),
		rapid.Just(any(map[string]any{"b": json.Number("1"), "": "x", "ts": "2026-03-02T06:00:00Z"})))
	field := rapid.SampledFrom([]string{"pk", "sk", "pk", "sk", "value", "sensor", "val", "a", "a.b", "", "temperature", "id", "device", "payload"})
	rapid.Check(t, func(t *rapid.T) {
		var items []layout.Item
		for i := range rapid.IntRange(1, 8).Draw(t, "items") {
			it := layout.Item{Key: fmt.Sprint(i), Path: fmt.Sprintf("telemetry/%d", i), Fields: rapid.MapOfN(field, value, 0, 5).Draw(t, "fields")}
			it.Fields["pk"], it.Fields["sk"] = text.Draw(t, "pk"), text.Draw(t, "sk")
			items = append(items, it)
		}
		for _, schema := range []layout.Schema{{Cloud: layout.DynamoDB, Keys: []layout.Key{{Partition: "pk", Sort: "sk"}}},
			{Cloud: layout.CosmosDB, Keys: []layout.Key{{Partition: "pk"}}}, {Cloud: layout.Firestore, Collection: "telemetry"}} {
			schema.Device = rapid.SampledFrom([]string{"", "pump-7", "a#b"}).Draw(t, "device")
			l, r := layout.Guess(items, schema)
			if err := l.Check(schema.Cloud); err != nil {
				t.Errorf("%s: %+v: %v", schema.Cloud, l, err)
			}
			q := hotreader.Query{Device: "d", Properties: []string{"p"}}
			if r.Device != "" {
				q.Device = r.Device
			}
			for _, p := range r.Properties {
				q.Properties = append(q.Properties, p.Name)
			}
			if err := q.Check(); err != nil {
				t.Errorf("%s: %+v: %v", schema.Cloud, r, err)
			}
		}
	})
}

// A property's type is one that all its values fit.
func TestGuessTypes(t *testing.T) {
	for text, want := range map[string]string{
		`[true,false]`: "boolean", `[1,2]`: "integer", `[1,3000000000]`: "long", `[1,0.5]`: "double", `[1,1e3]`: "double",
		`["1.013","21"]`: "double", `["21.5","ok"]`: "string", `[1,"ok"]`: "string", `[1,true]`: "string", `[null,null]`: "string", `[null,1]`: "integer", `[[1],[2]]`: "string",
	} {
		var values []any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&values); err != nil {
			t.Fatal(err)
		}
		var items []layout.Item
		for i, v := range values {
			items = append(items, layout.Item{Fields: map[string]any{"pk": "pump-7", "sk": fmt.Sprintf("2020-03-02T06:00:0%dZ", i), "a": v}})
		}
		_, r := layout.Guess(items, layout.Schema{Cloud: layout.DynamoDB, Keys: []layout.Key{{Partition: "pk", Sort: "sk"}}})
		if len(r.Properties) != 1 || r.Properties[0].Type != want {
			t.Errorf("%s: %+v, want %s", text, r.Properties, want)
		}
	}
}
