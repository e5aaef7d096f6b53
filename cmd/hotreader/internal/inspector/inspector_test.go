package inspector

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/layout"
)

// table is a store that others fill, with one row.
type table struct {
	hotreader.Store
	items []layout.Item
	err   error
	row   func(q hotreader.Query) (hotreader.Row, bool)
}

func (*table) Close() error { return nil }

func (s *table) Sample(_ context.Context, device string, _ int) ([]layout.Item, layout.Schema, error) {
	return s.items, layout.Schema{Cloud: layout.DynamoDB, Keys: []layout.Key{{Partition: "pk", Sort: "sk"}}, Device: device}, s.err
}

func (s *table) Scan(_ context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		if row, ok := s.row(q); ok {
			yield(row, nil)
		}
	}
}

var at = time.Date(2020, 3, 2, 6, 0, 0, 0, time.UTC)

func item(pk, property string) []layout.Item {
	return []layout.Item{{Fields: map[string]any{"pk": pk, "sk": "2020-03-02T06:00:00Z", property: json.Number("21.5")}}}
}

// values answers a query for the item's instant with the item's value.
func values(q hotreader.Query) (hotreader.Row, bool) {
	row := hotreader.Row{Time: at}
	for range q.Columns() {
		row.Values = append(row.Values, hotreader.NumberValue([]byte("21.5")))
	}
	return row, true
}

func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		store table
		next  string
		code  hotreader.Code // of the error; "" = none
		says  string
	}{
		"a simple one": {table{items: item("pump-7", "temperature"), row: values},
			"hotreader latest --store 'dynamodb://t?device_key=pk&region=eu&time_key=sk' --device pump-7 --property temperature", "", ""},
		"names that a shell and --property take apart": {table{items: item("pump 7's", `t,"in"`), row: values},
			`hotreader latest --store 'dynamodb://t?device_key=pk&region=eu&time_key=sk' --device 'pump 7'\''s' --property '"t,""in"""'`, "", ""},
		"behind many empty partitions": {table{items: item("pump-7#2020-03-02", "n"), row: func(q hotreader.Query) (hotreader.Row, bool) {
			if q.Start.IsZero() {
				return hotreader.Row{}, false
			}
			return values(q)
		}}, "hotreader query --start 2020-03-02T06:00:00Z --end 2020-03-02T06:00:00Z --store 'dynamodb://t?device_key=pk&partition={device}%23{yyyy-MM-dd}&region=eu&time_key=sk' --device pump-7 --property n", "", ""},
		"a layout that finds nothing": {table{items: item("pump-7", "n"), row: func(hotreader.Query) (hotreader.Row, bool) { return hotreader.Row{}, false }},
			"", hotreader.CodeUnreadable, `no value of device "pump-7" is found`},
		"a slip in --device": {table{items: item("pump-01", "n"), row: values},
			"hotreader latest --store 'dynamodb://t?device_key=pk&region=eu&time_key=sk' --device pump-01 --property n", hotreader.CodeUnreadable, "of device \"pump\"; those are of pump-01, and there may be others: inspect without --device shows more"},
		"no items":    {table{}, "", hotreader.CodeNotFound, "nothing is stored there yet"},
		"a refusal":   {table{err: &hotreader.Error{Code: hotreader.CodeForbidden, Err: errors.New("not you")}}, "", hotreader.CodeForbidden, "not you"},
		"no layout":   {table{items: []layout.Item{{Fields: map[string]any{"pk": "d", "sk": "x"}}}}, "", hotreader.CodeUnreadable, "no key and no index has a time"},
		"no device":   {table{items: []layout.Item{{Fields: map[string]any{"pk": true, "sk": "2020-03-02T06:00:00Z", "n": json.Number("1")}}}}, "", hotreader.CodeUnreadable, "in no uniform manner from a device"},
		"no property": {table{items: []layout.Item{{Fields: map[string]any{"pk": "d", "sk": "2020-03-02T06:00:00Z"}}}}, "", hotreader.CodeUnreadable, "nothing but their keys"},
	} {
		var opened []string
		device := ""
		if strings.Contains(name, "--device") {
			device = "pump"
		}
		r, err := Run(t.Context(), Options{Device: device, Store: "dynamodb://t?region=eu&time_key=wrong&partition=x", Open: func(_ context.Context, url string) (hotreader.Store, error) {
			opened = append(opened, url)
			return &c.store, nil
		}})
		if r.Next != c.next || err == nil && c.code != "" || err != nil && (hotreader.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v\n got %s\nwant %s, %q", name, err, r.Next, c.next, c.says)
		}
		if opened[0] != "dynamodb://t?region=eu" {
			t.Errorf("%s: opened %q: a layout that may be wrong was looked at", name, opened)
		}
	}
}

// The collection of a layout is in a URL's path.
func TestWithLayout(t *testing.T) {
	l := layout.Layout{Collection: "devices/{device}/telemetry", TimeFormat: layout.Formats{"iso8601+09:00"}, TimePrefix: "A&B=", Properties: layout.Properties{Base: "a.b"}}
	got, err := withLayout("firestore://p/(default)/telemetry?endpoint=http://127.0.0.1:8080&collection=x", l)
	want := "firestore://p/(default)/devices/{device}/telemetry?endpoint=http://127.0.0.1:8080&properties=a.b&time_format=iso8601%2B09:00&time_prefix=A%26B%3D"
	if err != nil || got != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}

func TestConfig(t *testing.T) {
	l := layout.Layout{TimeKey: "ts", Collection: "devices/{device}/telemetry"}
	for _, c := range []struct{ store, want string }{
		{"dynamodb://telemetry?region=eu-central-1&time_key=ts", `{"aws":{"region":"eu-central-1","table":"telemetry"},"layout":{"time_key":"ts"}}`},
		{"dynamodb://arn:aws:dynamodb:eu-central-1:123456789012:table/telemetry", `{"aws":{"table":"arn:aws:dynamodb:eu-central-1:123456789012:table/telemetry"},"layout":{"time_key":"ts"}}`},
		{"cosmos://127.0.0.1:8081/iot/messages", `{"azure":{"container":"messages","database":"iot"},"layout":{"time_key":"ts"}}`},
		{"cosmos://localhost/iot/messages", `{"azure":{"container":"messages","database":"iot"},"layout":{"time_key":"ts"}}`},
		{"cosmos://plant.documents.azure.com/iot/messages", `{"azure":{"container":"messages","cosmos_account":"plant","database":"iot"},"layout":{"time_key":"ts"}}`},
		{"firestore://p/(default)/devices/{device}/telemetry?time_key=ts", `{"gcp":{"collection":"devices/{device}/telemetry","database":"(default)","project":"p"},"layout":{"time_key":"ts"}}`},
	} {
		got, err := json.Marshal((&Result{Store: c.store, Layout: l}).Config())
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", c.store, got, err, c.want)
		}
	}
	got, err := json.Marshal((&Result{Store: "dynamodb://t"}).Config())
	if want := `{"aws":{"table":"t"}}`; err != nil || string(got) != want {
		t.Errorf("the default layout: %s, %v; want %s", got, err, want)
	}
}

func TestRenamed(t *testing.T) {
	names := func(names ...string) (r layout.Report) {
		for _, n := range names {
			r.Properties = append(r.Properties, layout.Property{Name: n})
		}
		return r
	}
	for _, c := range []struct {
		layout layout.Layout
		report layout.Report
		want   string
	}{
		{layout.Layout{}, names("a", "b"), "null"},
		{layout.Layout{}, names("a", "motor.amps"), `{"a":"a","motor_amps":"motor.amps"}`},
		{layout.Layout{Properties: layout.Properties{Base: "payload"}}, names("a", "motor.amps"), `{"a":"payload.a","motor_amps":"payload.motor.amps"}`},
		{layout.Layout{}, names(`v1\.0`), `{"v1_0":"v1\\.0"}`},
		{layout.Layout{Properties: layout.Properties{Base: "m"}}, names("burner on.v", "burner_on_v", "Stück"), `{"St_ck":"m.Stück","burner_on_v":"m.burner on.v","burner_on_v_":"m.burner_on_v"}`},
		{layout.Layout{NameKey: "name", ValueKey: "value"}, names("motor.amps"), "null"},
	} {
		r := Result{Layout: c.layout, Report: c.report}
		if got, err := json.Marshal(r.Renamed()); string(got) != c.want {
			t.Errorf("%+v: %s, %v; want %s", c, got, err, c.want)
		}
	}
}

func TestInit(t *testing.T) {
	r := Result{Store: "dynamodb://t", Next: "x", Layout: layout.Layout{Properties: layout.Properties{Base: "m"}},
		Report: layout.Report{Devices: []string{"a", "b 2"}, Properties: []layout.Property{{Name: "v.rms", Type: "double"}, {Name: "on", Type: "boolean"}}}}
	for store, want := range map[string]string{
		"dynamodb://t":    "hotreader init --project twin --name twin --hot aws --device 'a,b 2' --property 'v_rms=double,on=boolean'",
		"cosmos://a/b/c":  "hotreader init --project twin --name twin --hot azure --device 'a,b 2' --property 'v.rms=double,on=boolean'",
		"firestore://a/b": "hotreader init --project twin --name twin --hot gcp --device 'a,b 2' --property 'v.rms=double,on=boolean'",
	} {
		if r.Store = store; r.Init() != want {
			t.Errorf("%s: %s; want %s", store, r.Init(), want)
		}
	}
	if r.Next = ""; r.Init() != "" {
		t.Errorf("%s, though nothing is read", r.Init())
	}
}
