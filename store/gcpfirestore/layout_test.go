//go:build engines

package gcpfirestore_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/gcpfirestore"
	"hotreader/store/storetest/cloud"
	"hotreader/test/laidout"
)

// lies puts documents, as another program would, into a new collection, each in a commit
// of its own. A key is an id, or the id of a document above and the rest of the path.
func lies(t *testing.T, documents ...map[string]any) (collection string) {
	t.Helper()
	collection = newCollection("lies")
	client := theirs(t)
	for i, fields := range documents {
		path := fmt.Sprintf("%s/%c", collection, 'z'-i) // what is written later has the smaller id
		if at, ok := fields["at"]; ok {
			delete(fields, "at")
			path = collection + "/" + at.(string)
		}
		if _, err := client.Doc(path).Set(t.Context(), fields); err != nil {
			t.Fatal(err)
		}
	}
	return collection
}

func instant(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at
}

type document = map[string]any

// Collections as others fill them: what comes without a layout is an error or a warning
// that names the setting, and with it come the rows, in each way of asking.
func TestDocumentsAsTheyLie(t *testing.T) {
	const t1, t2 = "2026-03-02T06:00:01Z", "2026-03-02T06:00:02Z"
	for _, c := range []struct {
		name       string
		documents  []document
		without    string // what is told without the layout
		l          layout.Layout
		properties []string
		want       string
	}{
		{"local offset", []document{{"timestamp": "2026-03-02T15:00:01+09:00", "n": 1}, {"timestamp": "2026-03-02T15:00:02.5+09:00", "n": 2}},
			"set time_format to iso8601+09:00", layout.Layout{TimeFormat: layout.Formats{"iso8601+09:00"}}, []string{"n"}, "06:00:01 1|06:00:02.5 2"},
		{"epoch as text", []document{{"timestamp": "1772431201", "n": 1}}, "set time_format to epoch_s:text", layout.Layout{TimeFormat: layout.Formats{"epoch_s:text"}}, []string{"n"}, "06:00:01 1"},
		{"nanoseconds", []document{{"timestamp": 1772431201000000001, "n": 1}, {"timestamp": 1772431201000000003, "n": 2}}, "set time_format to epoch_ns",
			layout.Layout{TimeFormat: layout.Formats{layout.EpochNanos}}, []string{"n"}, "06:00:01.000000001 1|06:00:01.000000003 2"},
		{"text, then timestamps", []document{{"timestamp": t1, "n": 1}, {"timestamp": instant(t2), "n": 2}},
			`set time_format to ["iso8601","native"] to have both`, layout.Layout{TimeFormat: layout.Formats{layout.ISO8601, layout.Native}}, []string{"n"}, "06:00:01 1|06:00:02 2"},
		{"text, then numbers", []document{{"timestamp": t1, "n": 1}, {"timestamp": 1772431202500, "n": 2}},
			`set time_format to ["iso8601","epoch_ms"] to have both`, layout.Layout{TimeFormat: layout.Formats{layout.ISO8601, layout.EpochMillis}}, []string{"n"}, "06:00:01 1|06:00:02.5 2"},
		{"of one instant in two formats, the one written last", []document{{"timestamp": instant(t1), "n": 2, "m": 3}, {"timestamp": t1, "n": 1, "k": 4}}, "mixed_times",
			layout.Layout{TimeFormat: layout.Formats{layout.ISO8601, layout.Native}}, []string{"n", "m", "k"}, "06:00:01 1 3 4"},
		{"of one instant in two formats, in the other order", []document{{"timestamp": t1, "n": 1, "k": 4}, {"timestamp": instant(t1), "n": 2, "m": 3}}, "mixed_times",
			layout.Layout{TimeFormat: layout.Formats{layout.ISO8601, layout.Native}}, []string{"n", "m", "k"}, "06:00:01 2 3 4"},
		{"a time that is null", []document{{"timestamp": t1, "n": 1}, {"timestamp": nil, "n": 2}}, "mixed_times item y: timestamp is null", layout.Layout{}, []string{"n"}, "06:00:01 1"},
		{"a time that is a map", []document{{"timestamp": t1, "n": 1}, {"timestamp": document{"a": 1}, "n": 2}}, "mixed_times item y: timestamp is an object", layout.Layout{}, []string{"n"}, "06:00:01 1"},
		{"texts that count since 1970 from some day on", []document{{"timestamp": t1, "n": 1}, {"timestamp": "1772431202500", "n": 2}},
			`["iso8601","epoch_ms:text"] to have both`, layout.Layout{TimeFormat: layout.Formats{layout.ISO8601, "epoch_ms:text"}}, []string{"n"}, "06:00:01 1|06:00:02.5 2"},
		{"the time in a map", []document{{"payload": document{"ts": t1, "n": 1}}}, "set time_key", layout.Layout{TimeKey: "payload.ts", Properties: layout.Properties{Base: "payload"}}, []string{"n"}, "06:00:01 1"},
		{"one property a document", []document{{"timestamp": t1, "name": "a", "value": 1}, {"timestamp": t1, "name": "b", "value": "x"}, {"timestamp": t1, "name": "a", "value": 2}, {"timestamp": t1, "name": "c", "value": 2}},
			"a unknown_property", layout.Layout{NameKey: "name", ValueKey: "value"}, []string{"a", "b"}, `06:00:01 2 "x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, d := range c.documents {
				d["device_id"] = "d"
			}
			collection := lies(t, c.documents...)
			for name, q := range queries(c.properties...) {
				stats := new(hotreader.Stats)
				_, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), ours(t, gcpfirestore.Options{Collection: collection}), q)
				told := fmt.Sprint(err)
				for _, w := range stats.Warnings() {
					told += fmt.Sprintln("", w.Property, w.Reason, w.Detail)
				}
				if !strings.Contains(told, c.without) {
					t.Errorf("%s: without the layout: %s; want %s", name, told, c.without)
				}
				rows, err := cloud.Rows(t.Context(), ours(t, gcpfirestore.Options{Collection: collection, Layout: c.l}), q)
				want := strings.Split(c.want, "|")
				if name == "descending" || name == "latest" {
					want, rows = want[len(want)-1:], rows[:min(1, len(rows))]
				}
				if err != nil || strings.Join(rows, "|") != strings.Join(want, "|") {
					t.Errorf("%s: %q, %v; want %q", name, rows, err, want)
				}
			}
		})
	}
}

// queries are the ways in which a device's rows are asked for.
func queries(properties ...string) map[string]hotreader.Query {
	q := hotreader.Query{Device: "d", Properties: properties}
	from, down, last := q, q, q
	from.Start, from.End = instant("2020-01-01T00:00:00Z"), instant("2030-01-01T00:00:00Z")
	down.Order, last.Last = hotreader.Descending, true
	return map[string]hotreader.Query{"whole": q, "a range": from, "descending": down, "latest": last}
}

// Of several documents of an instant, under ids that tell nothing, each property has the
// value written last, and what that replaced is counted.
func TestTheLastWriteWinsWhateverTheID(t *testing.T) {
	const at = "2026-03-02T06:00:00Z"
	collection := lies(t, document{"device_id": "d", "timestamp": at, "n": 1, "m": 1}, document{"device_id": "d", "timestamp": "2026-03-02T06:00:00.000Z", "n": 2},
		document{"device_id": "d", "timestamp": at, "k": 3, "n": nil})
	for name, q := range queries("n", "m", "k") {
		stats := new(hotreader.Stats)
		rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), ours(t, gcpfirestore.Options{Collection: collection}), q)
		if err != nil || strings.Join(rows, "|") != "06:00:00 2 1 3" || stats.Skipped() != 1 {
			t.Errorf("%s: %q, %v, %d replaced", name, rows, err, stats.Skipped())
		}
	}
}

// Values lie within maps, whose names may have dots themselves; maps and lists come as
// JSON, and a path that ends early is told.
func TestNestedValues(t *testing.T) {
	collection := lies(t, document{"device_id": "d", "timestamp": "2026-03-02T06:00:00Z", "payload": document{"t": 1.5, "list": []any{1, "<é>", instant("2026-01-01T00:00:00Z"), nil}, "raw": []byte("x")},
		"payload.t": "literal", "flat": 5, "deep": document{"a": document{"b": document{"c": true}}}, "a b": document{"x-y": 7}})
	s := ours(t, gcpfirestore.Options{Collection: collection})
	for property, want := range map[string]string{
		"payload.t": `"literal"`, "payload.list": `"[1,\"<é>\",\"2026-01-01T00:00:00Z\",null]"`, "deep.a.b.c": "true", "deep.a": `"{\"b\":{\"c\":true}}"`, "a b.x-y": "7",
	} {
		cloud.WantRows(t, s, hotreader.Query{Device: "d", Properties: []string{property}}, "06:00:00 "+want)
	}
	cloud.WantRows(t, s, hotreader.Query{Device: "d", Properties: []string{"deep.a.b.c", "deep.a.b", "flat", "deep"}},
		`06:00:00 true "{\"c\":true}" 5 "{\"a\":{\"b\":{\"c\":true}}}"`)
	for property, want := range map[string]string{"flat.t": "flat is the number 5", "payload": "payload", "payload.x": "no item that was looked at has this property"} {
		stats := new(hotreader.Stats)
		rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, hotreader.Query{Device: "d", Properties: []string{property}})
		if told := fmt.Sprint(stats.Warnings()); err != nil || len(rows) > 0 || !strings.Contains(told, want) {
			t.Errorf("%s: %q, %v, %s; want %q", property, rows, err, told, want)
		}
	}
}

// Each device's documents may lie below a document of its own.
func TestBelowADocument(t *testing.T) {
	collection := lies(t, document{"at": "d/telemetry/1", "timestamp": "2026-03-02T06:00:00Z", "n": 1}, document{"at": "e/telemetry/1", "timestamp": "2026-03-02T06:00:00Z", "n": 2})
	for _, o := range []gcpfirestore.Options{
		{Collection: collection + "/{device}/telemetry"}, {Collection: "other", Layout: layout.Layout{Collection: collection + "/{device}/telemetry"}},
	} {
		s := ours(t, o)
		for name, q := range queries("n") {
			cloud.WantRows(t, s, q, "06:00:00 1")
			stats := new(hotreader.Stats)
			q.Device = "f"
			if rows, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, q); err != nil || len(rows) > 0 || !strings.Contains(fmt.Sprint(stats.Warnings()), "no document is in "+collection+"/f/telemetry") {
				t.Errorf("%s: %q, %v, %v", name, rows, err, stats.Warnings())
			}
			for _, device := range []string{"a/b", ".", "..", "__x__", "/"} {
				q.Device = device
				_, err := cloud.Rows(t.Context(), s, q)
				cloud.WantError(t, device, err, hotreader.CodeInvalid, "cannot be in the path")
				cloud.WantError(t, device, s.Write(t.Context(), device, []hotreader.Record{cloud.Record(instant("2026-01-01T00:00:00Z"))}), hotreader.CodeInvalid, "cannot be in the path")
			}
		}
	}
}

// Ids of devices may be numbers.
func TestDevicesThatAreNumbers(t *testing.T) {
	collection := lies(t, document{"device_id": 7, "timestamp": "2026-03-02T06:00:00Z", "n": 1}, document{"device_id": 8.0, "timestamp": "2026-03-02T06:00:00Z", "n": 2})
	for name, q := range queries("n") {
		s := ours(t, gcpfirestore.Options{Collection: collection})
		for device, want := range map[string]string{"7": "06:00:00 1", "8": "06:00:00 2"} {
			q.Device = device
			cloud.WantRows(t, s, q, want)
		}
		q.Device = "pump"
		if rows, err := cloud.Rows(t.Context(), s, q); err != nil || len(rows) > 0 {
			t.Errorf("%s: %q, %v", name, rows, err)
		}
	}
}

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
