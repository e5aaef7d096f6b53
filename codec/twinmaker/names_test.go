package twinmaker

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/memstore"
)

// definitions are those of a component type as the deployer makes it: a time series, its
// latest value under another name, and a property with another name in the store.
const definitions = `{
	"deviceId":{"definition":{"isExternalId":true,"defaultValue":{"stringValue":"d"}}},
	"temperature":{"definition":{"dataType":{"type":"DOUBLE"},"isTimeSeries":true,"isStoredExternally":true}},
	"temperature_latest":{"definition":{"dataType":{"type":"DOUBLE"},"isTimeSeries":false,"configuration":{"storedAs":"temperature"}}},
	"speed":{"definition":{"dataType":{"type":"LONG"},"isTimeSeries":true,"configuration":{"storedAs":"v (m/s)"}}},
	"speed_latest":{"definition":{"dataType":{"type":"LONG"}}},
	"odd_latest":{"definition":{"dataType":{"type":"DOUBLE"},"isTimeSeries":true}},
	"alone_latest":{"definition":{"dataType":{"type":"DOUBLE"},"configuration":{}}}}`

func TestStoredNames(t *testing.T) {
	for _, c := range []struct {
		name, selected string
		properties     []string
		types          []hotreader.Type
		names          []Name // nil = the query's
	}{
		{"the configuration says it", `["temperature_latest"]`,
			[]string{"temperature"}, []hotreader.Type{hotreader.Double}, []Name{{"temperature_latest", 0}}},
		{"without it, the time series beside it", `["speed_latest"]`,
			[]string{"v (m/s)"}, []hotreader.Type{hotreader.Long}, []Name{{"speed_latest", 0}}},
		{"two of one", `["temperature","speed","temperature_latest"]`,
			[]string{"temperature", "v (m/s)"}, []hotreader.Type{hotreader.Double, hotreader.Long},
			[]Name{{"temperature", 0}, {"speed", 1}, {"temperature_latest", 0}}},
		{"its own time series, and none beside it", `["odd_latest","alone_latest"]`,
			[]string{"odd_latest", "alone_latest"}, []hotreader.Type{hotreader.Double, hotreader.Double}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := Devices{}.DecodeLastEntry(t.Context(), anEvent("startTime", "", "endTime", "",
				"properties", definitions, "selectedProperties", c.selected))
			if err != nil {
				t.Fatal(err)
			}
			if q := req.Query; !reflect.DeepEqual(q.Properties, c.properties) || !reflect.DeepEqual(q.Types, c.types) || q.Device != "d" {
				t.Errorf("query %+v", q)
			}
			if !reflect.DeepEqual(req.Names, c.names) {
				t.Errorf("names %+v, want %+v", req.Names, c.names)
			}
		})
	}
	t.Run("a filter's", func(t *testing.T) {
		req, err := Devices{}.DecodeHistory(t.Context(), anEvent("properties", definitions,
			"propertyFilters", `[{"propertyName":"speed","operator":">","value":{"longValue":3}}]`))
		if err != nil || len(req.Query.Filters) != 1 || req.Query.Filters[0].Property != "v (m/s)" {
			t.Errorf("%+v, %v", req.Query.Filters, err)
		}
	})
}

func TestStoredNamesRefused(t *testing.T) {
	for _, c := range []struct{ selected, properties, want string }{
		{`["temperature"]`, `{"temperature":{"definition":{"configuration":[]}}}`, "properties.temperature.definition.configuration is an array"},
		{`["temperature"]`, `{"temperature":{"definition":{"configuration":{"storedAs":""}}}}`, "configuration.storedAs"},
		{`["temperature","temperature_latest"]`, definitions, "two that are both \"temperature\""},
	} {
		_, err := Devices{}.DecodeHistory(t.Context(), anEvent("selectedProperties", c.selected, "properties", c.properties))
		if hotreader.CodeOf(err) != hotreader.CodeInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.properties, err, c.want)
		}
	}
	_, err := Devices{}.DecodeLastEntry(t.Context(), anEvent("startTime", "", "endTime", "", "selectedProperties", `["a","b"]`,
		"properties", `{"a":{"definition":{"dataType":{"type":"LONG"}}},"b":{"definition":{"dataType":{"type":"DOUBLE"},"configuration":{"storedAs":"a"}}}}`))
	if hotreader.CodeOf(err) != hotreader.CodeInvalid || !strings.Contains(err.Error(), "declared otherwise") {
		t.Errorf("got %v", err)
	}
	req := Request{Query: hotreader.Query{Device: "d", Properties: []string{"a"}}, Names: []Name{{"b", 1}}}
	if _, err := new(Responder).AppendLastEntry(t.Context(), nil, req); hotreader.CodeOf(err) != hotreader.CodeInvalid {
		t.Errorf("a name of no property: %v", err)
	}
}

// TestAnswersHaveTheNamesAsked: a property stored under another name has the requested
// name in the answer.
func TestAnswersHaveTheNamesAsked(t *testing.T) {
	store := memstore.New()
	number := func(text string) hotreader.Value { return hotreader.NumberValue([]byte(text)) }
	err := store.Write(t.Context(), "d", []hotreader.Record{{
		Time:   time.Date(2024, 3, 1, 6, 0, 0, 0, time.UTC),
		Fields: []hotreader.Field{{Name: "temperature", Value: number("21.5")}, {Name: "v (m/s)", Value: number("4")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := Responder{Reader: hotreader.NewReader(store)}

	event := anEvent("startTime", "", "endTime", "", "properties", definitions,
		"selectedProperties", `["temperature_latest","temperature","speed_latest"]`)
	req, err := Devices{}.DecodeLastEntry(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := r.AppendLastEntry(t.Context(), nil, req)
	const want = `{"propertyValues":{` +
		`"temperature_latest":{"propertyReference":{"entityId":"e","componentName":"c","propertyName":"temperature_latest"},"propertyValue":{"doubleValue":21.5}},` +
		`"temperature":{"propertyReference":{"entityId":"e","componentName":"c","propertyName":"temperature"},"propertyValue":{"doubleValue":21.5}},` +
		`"speed_latest":{"propertyReference":{"entityId":"e","componentName":"c","propertyName":"speed_latest"},"propertyValue":{"longValue":4}}}}`
	if err != nil || string(answer) != want {
		t.Errorf("%s, %v\nwant %s", answer, err, want)
	}

	req, err = Devices{}.DecodeHistory(t.Context(), anEvent("properties", definitions, "selectedProperties", `["speed"]`))
	if err != nil {
		t.Fatal(err)
	}
	answer, err = r.AppendHistory(t.Context(), nil, req)
	if err != nil || !json.Valid(answer) || !strings.Contains(string(answer), `"propertyName":"speed"},"values":[{"time":"2024-03-01T06:00:00.000Z","value":{"longValue":4}}]`) {
		t.Errorf("%s, %v", answer, err)
	}
}
