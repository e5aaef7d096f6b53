//go:build engines

package azurecosmos_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/azurecosmos"
	"hotreader/store/storetest/cloud"
	"hotreader/test/laidout"
)

// doc is an item of the device d, or of the one that it names.
func doc(id string, members map[string]any) map[string]any {
	item := map[string]any{"id": id, "device_id": "d"}
	maps.Copy(item, members)
	return item
}

// stored is a container with items as other programs wrote them.
func stored(t *testing.T, l layout.Layout, items ...map[string]any) *azurecosmos.Store {
	t.Helper()
	o := options(l)
	s := open(t, o)
	for _, item := range items {
		put(t, o, item["device_id"], item)
	}
	return s
}

// want reads q in both directions and compares the rows and the warnings.
func want(t *testing.T, s *azurecosmos.Store, q hotreader.Query, warnings string, rows ...string) {
	t.Helper()
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		stats := new(hotreader.Stats)
		q.Device, q.Order = "d", order
		got, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, q)
		if err != nil {
			t.Fatal(err)
		}
		if order == hotreader.Descending {
			slices.Reverse(got)
		}
		var said []string
		for _, w := range stats.Warnings() {
			said = append(said, w.String())
		}
		if !slices.Equal(got, rows) || !strings.Contains(strings.Join(said, "\n"), warnings) || warnings == "" && len(said) > 0 {
			t.Errorf("%v of %q: rows %q, want %q; it says %q, want %q", order, q.Properties, got, rows, said, warnings)
		}
	}
}

const noon = "2024-01-01T12:00:00Z"

// Several documents of one device and instant are one row, whatever is asked for.
func TestDocumentsOfOneInstant(t *testing.T) {
	s := stored(t, layout.Layout{}, doc("a", map[string]any{"timestamp": noon, "temperature": 20.5}),
		doc("b", map[string]any{"timestamp": "2024-01-01T12:00:00.000Z", "humidity": 55}))
	both := hotreader.Query{Properties: []string{"temperature", "humidity"}}
	want(t, s, both, "", "12:00:00 20.5 55")
	want(t, s, hotreader.Query{Properties: []string{"temperature"}}, "", "12:00:00 20.5")
	want(t, s, hotreader.Query{Properties: []string{"humidity"}}, "", "12:00:00 55")
	both.Last = true
	want(t, s, both, "", "12:00:00 20.5 55")

	// The later write stands, even with the smaller id; within a second of Cosmos DB's
	// clock it is the greater id.
	for _, later := range []string{"z", "a"} {
		o := options(layout.Layout{})
		s := open(t, o)
		put(t, o, "d", doc("m", map[string]any{"timestamp": noon, "n": 1}))
		time.Sleep(1100 * time.Millisecond)
		put(t, o, "d", doc(later, map[string]any{"timestamp": noon, "n": 2}))
		want(t, s, hotreader.Query{Properties: []string{"n"}}, "n: 1 value replaced", "12:00:00 2")
		want(t, s, hotreader.Query{Properties: []string{"n"}, Last: true}, "n: 1 value replaced", "12:00:00 2")
	}
}

// Cosmos DB's own time of writing may be the time. It counts seconds, so what a second
// has is one row.
func TestOwnTimeOfWriting(t *testing.T) {
	var s *azurecosmos.Store
	var second time.Time
	for ok := false; !ok; ok = time.Since(second) < time.Second { // a busy machine may need longer
		o := options(layout.Layout{TimeKey: "_ts", TimeFormat: layout.Formats{layout.EpochSecs}})
		s = open(t, o)
		second = time.Now().Truncate(time.Second).Add(time.Second)
		time.Sleep(time.Until(second))
		for id, item := range map[string]map[string]any{"1": {"n": 1}, "2": {"m": 5}, "3": {"n": 3}} {
			put(t, o, "d", doc(id, item))
		}
	}
	at := second.UTC().Format("15:04:05")
	want(t, s, hotreader.Query{Properties: []string{"n", "m"}}, "n: 1 value replaced", at+" 3 5")
	want(t, s, hotreader.Query{Properties: []string{"n", "m"}, Last: true}, "n: 1 value replaced", at+" 3 5")
	want(t, s, hotreader.Query{Properties: []string{"m"}}, "", at+" 5")
	err := s.Write(t.Context(), "d", []hotreader.Record{{Time: time.Now()}})
	cloud.WantError(t, "write", err, hotreader.CodeConfig, "nothing can be written with _ts as a key")
}

// A container whose documents changed over from texts to numbers.
func TestMixedTimes(t *testing.T) {
	items := []map[string]any{doc("old", map[string]any{"timestamp": "2024-01-01T11:00:00Z", "n": 1}), doc("new", map[string]any{"timestamp": 1704110400000, "n": 2})}
	n := hotreader.Query{Properties: []string{"n"}}
	want(t, stored(t, layout.Layout{}, items...), n, `set time_format to ["iso8601","epoch_ms"] to have both`, "11:00:00 1")
	want(t, stored(t, layout.Layout{TimeFormat: layout.Formats{layout.EpochMillis}}, items...), n, `item old: timestamp is the text "2024-01-01T11:00:00Z"`, "12:00:00 2")
	s := stored(t, layout.Layout{TimeFormat: layout.Formats{layout.ISO8601, layout.EpochMillis}}, items...)
	want(t, s, n, "", "11:00:00 1", "12:00:00 2")
	n.Last = true
	want(t, s, n, "", "12:00:00 2")
}

// Times that no range finds are told, though it has rows.
func TestTimesThatNoRangeFinds(t *testing.T) {
	n := hotreader.Query{Properties: []string{"n"}, Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	for says, when := range map[string]any{"item odd: timestamp is null": nil, "item odd: timestamp is an object": map[string]any{"a": 1},
		`set time_format to ["iso8601","epoch_ms:text"] to have both`: "1704110400000"} {
		want(t, stored(t, layout.Layout{}, doc("1", map[string]any{"timestamp": noon, "n": 1}), doc("odd", map[string]any{"timestamp": when, "n": 2})), n, says, "12:00:00 1")
	}
	border := layout.Layout{DeviceKey: "device_id", Partition: "{device}-{yyyy}"}
	s := stored(t, border, map[string]any{"id": "in", "device_id": "d-2024", "timestamp": noon, "n": 1}, map[string]any{"id": "out", "device_id": "d-2024", "timestamp": "2023-12-31T23:59:59Z", "n": 2})
	n.End = n.Start.AddDate(0, 1, 0)
	want(t, s, n, `item out has the device_id "d-2024", which is not of its timestamp, the text "2023-12-31T23:59:59Z"`, "12:00:00 1")
}

// Of one instant in two formats, the value that was written last stands, and the other is
// counted.
func TestTwoFormatsOfOneInstant(t *testing.T) {
	both := layout.Layout{TimeFormat: layout.Formats{layout.ISO8601, layout.EpochMillis}}
	text, number := doc("m", map[string]any{"timestamp": noon, "n": 1, "m": 5}), doc("m", map[string]any{"timestamp": 1704110400000, "n": 2})
	for _, c := range []struct {
		items []map[string]any
		row   string
	}{{[]map[string]any{text, number}, "12:00:00 2 5"}, {[]map[string]any{number, text}, "12:00:00 1 5"}} {
		o := options(both)
		s := open(t, o)
		for i, item := range c.items {
			item["id"] = string(rune('z' - i))
			put(t, o, "d", item)
			time.Sleep(1100 * time.Millisecond) // Cosmos DB's clock counts seconds
		}
		want(t, s, hotreader.Query{Properties: []string{"n", "m"}}, "n: 1 value replaced", c.row)
	}
}

// What others nest is read by its path; a name with dots may be one name.
func TestNestedProperties(t *testing.T) {
	s := stored(t, layout.Layout{},
		doc("1", map[string]any{"timestamp": "2024-01-01T12:00:01Z", "payload": map[string]any{"temperature": 20.5, "list": []any{1, "é", nil}}}),
		doc("2", map[string]any{"timestamp": "2024-01-01T12:00:02Z", "payload": map[string]any{"temperature": 1}, "payload.temperature": 21.5}),
		doc("3", map[string]any{"timestamp": "2024-01-01T12:00:03Z", "payload": 5}))
	want(t, s, hotreader.Query{Properties: []string{"payload.temperature"}}, "", "12:00:01 20.5", "12:00:02 21.5")
	want(t, s, hotreader.Query{Properties: []string{"payload.list"}}, "", `12:00:01 "[1,\"é\",null]"`)
	s = stored(t, layout.Layout{}, doc("3", map[string]any{"timestamp": noon, "payload": 5}))
	want(t, s, hotreader.Query{Properties: []string{"payload.none"}}, "payload is the number 5")
	s = stored(t, layout.Layout{TimeKey: "Body.ts", Properties: layout.Properties{Base: "Body"}}, doc("1", map[string]any{"Body": map[string]any{"ts": noon, "t": 1, "a.b": 2}}))
	want(t, s, hotreader.Query{Properties: []string{"t", "a.b"}}, "", "12:00:00 1 2")
}

// Documents with one property each, as gateways write them, are joined into rows.
func TestNarrowDocuments(t *testing.T) {
	s := stored(t, layout.Layout{NameKey: "sensor.name", ValueKey: "sensor.value"},
		doc("1", map[string]any{"timestamp": noon, "sensor": map[string]any{"name": "t", "value": 1}}),
		doc("2", map[string]any{"timestamp": noon, "sensor": map[string]any{"name": "h", "value": "x"}}),
		doc("3", map[string]any{"timestamp": noon, "sensor": map[string]any{"name": "other", "value": 3}}))
	want(t, s, hotreader.Query{Properties: []string{"h", "t"}}, "", `12:00:00 "x" 1`)
	want(t, s, hotreader.Query{Properties: []string{"p"}}, "the newest items are of h, other, t")
}

// A device's id may be a number.
func TestNumbersAsDevices(t *testing.T) {
	o := options(layout.Layout{})
	s := open(t, o)
	put(t, o, 17, map[string]any{"id": "1", "device_id": 17, "timestamp": noon, "n": 1})
	for range 2 {
		cloud.WantRows(t, s, hotreader.Query{Device: "17", Properties: []string{"n"}}, "12:00:00 1")
	}
	cloud.WantRows(t, s, hotreader.Query{Device: "017", Properties: []string{"n"}})
	cloud.WantRows(t, s, hotreader.Query{Device: "abc", Properties: []string{"n"}})
}

// Nothing that is there passes for nothing.
func TestNoEmptySuccess(t *testing.T) {
	n := hotreader.Query{Device: "d", Properties: []string{"n"}}
	for when, says := range map[any]string{
		"2025-01-09T18:07:00+09:00": "time_format to iso8601+09:00",
		"2026-03-02 06:00:00":       "time_format to iso8601_blank",
		"2026-03-02T06:00Z":         "time_format to iso8601_minute",
		"1704110400":                "time_format to epoch_s:text",
		1704110400:                  "time_format to epoch_s",
		"READING#" + noon:           `time_prefix to "READING#"`,
		true:                        "its timestamp is true",
	} {
		s := stored(t, layout.Layout{}, doc("x1", map[string]any{"timestamp": when, "n": 1}))
		ranged, last := n, n
		ranged.Start, ranged.End = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		last.Last = true
		for _, q := range []hotreader.Query{n, ranged, last} {
			_, err := cloud.Rows(t.Context(), s, q)
			cloud.WantError(t, says, err, hotreader.CodeUnreadable, says, "Item x1")
		}
	}
	_, err := cloud.Rows(t.Context(), stored(t, layout.Layout{}, doc("x1", map[string]any{"when": noon, "n": 1})), n)
	cloud.WantError(t, "no such field", err, hotreader.CodeUnreadable, "it has no timestamp", "when", "set time_key")
	s := stored(t, layout.Layout{}, doc("1", map[string]any{"timestamp": noon, "temperature": 1}))
	want(t, s, hotreader.Query{Properties: []string{"temp"}}, "temperature")
	s = stored(t, layout.Layout{}, map[string]any{"id": "1", "device_id": "e", "timestamp": noon, "n": 1})
	want(t, s, hotreader.Query{Properties: []string{"n"}}, `nothing has the device_id "d"`)
}

// What is found in containers that nobody told us about leads to their latest values.
func TestInspected(t *testing.T) {
	for _, s := range laidout.Shapes {
		s = s.Renamed("iothub-connection-device-id", "iothubConnectionDeviceId") // the emulator cannot be asked by a path with a dash
		t.Run(s.Name, func(t *testing.T) {
			o := options(layout.Layout{DeviceKey: s.Partition})
			open(t, o)
			for i, fields := range s.Fields() {
				partition, _ := layout.Item{Fields: fields}.At(layout.ParsePath(s.Partition))
				if fields["id"] == nil {
					fields["id"] = fmt.Sprint(i)
				}
				put(t, o, partition, fields)
			}
			with := func(l layout.Layout) hotreader.Source {
				of := o
				of.Layout = l
				return azurecosmos.New(client(t), of)
			}
			s.Check(t, with(layout.Layout{}).(*azurecosmos.Store), with)
		})
	}
}
