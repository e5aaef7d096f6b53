package twinmaker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
)

func file(t testing.TB, name ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, name...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// anEvent returns a valid history event with fields replaced or added; an empty value
// leaves a field out.
func anEvent(replace ...string) []byte {
	fields := [][2]string{
		{"entityId", `"e"`}, {"componentName", `"c"`}, {"workspaceId", `"w"`},
		{"selectedProperties", `["temperature"]`},
		{"startTime", `"2024-03-01T00:00:00Z"`}, {"endTime", `"2024-03-02T00:00:00Z"`},
		{"properties", `{"id":{"definition":{"isExternalId":true},"value":{"stringValue":"d"}},
			"temperature":{"definition":{"dataType":{"type":"DOUBLE"}}},"mode":{"definition":{"dataType":{"type":"STRING"}}}}`},
	}
next:
	for i := 0; i < len(replace); i += 2 {
		for j := range fields {
			if fields[j][0] == replace[i] {
				fields[j][1] = replace[i+1]
				continue next
			}
		}
		fields = append(fields, [2]string{replace[i], replace[i+1]})
	}
	var b bytes.Buffer
	for _, f := range fields {
		if f[1] != "" {
			fmt.Fprintf(&b, ",%q:%s", f[0], f[1])
		}
	}
	b.WriteByte('}')
	b.Bytes()[0] = '{'
	return b.Bytes()
}

func TestDecodeHistory(t *testing.T) {
	decoded(t, Devices{}.DecodeHistory, "history.json", Request{
		Query: hotreader.Query{
			Device:     "press-1",
			Properties: []string{"temperature", "running", "cycles", "mode", "total"},
			Types:      []hotreader.Type{hotreader.Double, hotreader.Boolean, hotreader.Integer, hotreader.ShortString, hotreader.Long},
			Start:      instant(t, "2022-04-07T04:04:42Z"),
			End:        instant(t, "2022-04-07T04:04:45Z"),
		},
		Ref:        Reference{EntityID: "press", ComponentName: "press-1"},
		MaxResults: 200,
	})
}

func decoded(t *testing.T, decode func(context.Context, []byte) (Request, error), name string, want Request) {
	t.Helper()
	req, err := decode(t.Context(), file(t, "events", name))
	if err != nil || !reflect.DeepEqual(req, want) {
		t.Errorf("got %+v, %v\nwant %+v", req, err, want)
	}
}

func TestDecodeLastEntry(t *testing.T) {
	decoded(t, Devices{}.DecodeLastEntry, "last-entry.json", Request{
		Query: hotreader.Query{
			Device:     "press-1",
			Properties: []string{"temperature", "mode"},
			Types:      []hotreader.Type{hotreader.Double, hotreader.ShortString},
			Last:       true,
		},
		Ref: Reference{EntityID: "press", ComponentName: "press-1"},
	})
}

// TestPitfall08ComponentTypeQuery: no entityId, and properties without metadata.
func TestPitfall08ComponentTypeQuery(t *testing.T) {
	req := Request{
		Query: hotreader.Query{
			Device:     "press-1",
			Properties: []string{"temperature"},
			Types:      []hotreader.Type{hotreader.Double},
			Start:      instant(t, "2022-04-07T04:04:00Z"),
			End:        instant(t, "2022-04-07T05:04:45Z"),
			Order:      hotreader.Descending,
		},
		Ref: Reference{ExternalNames: []string{"iotDeviceId"}},
	}
	decoded(t, Devices{}.DecodeHistory, "component-type.json", req)
	if got := string(req.Ref.append(nil, "temperature", req.Query.Device)); got != `{"externalIdProperty":{"iotDeviceId":"press-1"},"propertyName":"temperature"}` {
		t.Errorf("reference %s", got)
	}

	for name, properties := range map[string]string{
		"no properties at all":       ``,
		"null":                       `null`,
		"selected one missing":       `{}`,
		"selected one null":          `{"temperature":null}`,
		"no definition":              `{"temperature":{}}`,
		"null definition":            `{"temperature":{"definition":null},"other":null}`,
		"no data type":               `{"temperature":{"definition":{}}}`,
		"null data type":             `{"temperature":{"definition":{"dataType":null}}}`,
		"null type":                  `{"temperature":{"definition":{"dataType":{"type":null}}}}`,
		"external one without value": `{"id":{"definition":{"isExternalId":true}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			devices := Devices{Twin: "factory"}
			for _, decode := range []func(context.Context, []byte) (Request, error){devices.DecodeHistory, devices.DecodeLastEntry} {
				req, err := decode(t.Context(), anEvent("properties", properties, "componentTypeId", `"factory-press-1"`))
				if err != nil {
					t.Fatal(err)
				}
				if req.Query.Device != "press-1" || declared(&req.Query, 0) != hotreader.FirstKind {
					t.Errorf("device %q, type %v", req.Query.Device, req.Query.Types)
				}
			}
		})
	}
}

// TestPitfall09DeviceID: one way to find the device, and never a guess.
func TestPitfall09DeviceID(t *testing.T) {
	lookup := func(_ context.Context, workspace, entity, component string) (Component, error) {
		switch entity {
		case "down":
			return Component{}, errors.New("no route to host")
		case "e":
			return Component{ExternalID: workspace + "/" + entity + "/" + component}, nil
		case "typed":
			return Component{TypeID: "t-dev-2"}, nil
		}
		return Component{}, nil
	}
	external := func(text string) string {
		return `{"id":{"definition":{"isExternalId":true,` + text + `}`
	}
	cases := []struct {
		name    string
		devices Devices
		event   []byte
		want    string
		code    hotreader.Code
		says    string
	}{
		{name: "the external id's value", devices: Devices{Twin: "t", Lookup: lookup},
			event: anEvent("properties", external(`"defaultValue":{"stringValue":"default"}},"value":{"stringValue":"value"}`)+`}`, "componentTypeId", `"t-type"`), want: "value"},
		{name: "its default", devices: Devices{Twin: "t", Lookup: lookup},
			event: anEvent("properties", external(`"defaultValue":{"stringValue":"default"}},"value":null`)+`}`, "componentTypeId", `"t-type"`), want: "default"},
		{name: "its default, beside a value of nulls", devices: Devices{Twin: "t", Lookup: lookup},
			event: anEvent("properties", external(`"defaultValue":{"stringValue":"default"}},"value":{"stringValue":null,"doubleValue":null}`)+`}`), want: "default"},
		{name: "its default, beside an empty value", devices: Devices{Twin: "t", Lookup: lookup},
			event: anEvent("properties", external(`"defaultValue":{"stringValue":"default"}},"value":{}`)+`}`), want: "default"},
		{name: "a number", event: anEvent("properties", external(`"x":1},"value":{"longValue":9007199254740993}`)+`}`), want: "9007199254740993"},
		{name: "a device with every character", event: anEvent("properties", external(`"x":1},"value":{"stringValue":"a/b?c#d é\u0000"}`)+`}`), want: "a/b?c#d é\x00"},
		{name: "the component type", devices: Devices{Twin: "t", Lookup: lookup},
			event: anEvent("properties", "", "componentTypeId", `"t-dev-1"`), want: "dev-1"},
		{name: "another twin's component type", devices: Devices{Twin: "t", Lookup: lookup},
			event: anEvent("properties", "", "componentTypeId", `"tt-dev-1"`), want: "w/e/c"},
		{name: "a component type with no device", devices: Devices{Twin: "t", Lookup: lookup},
			event: anEvent("properties", "", "componentTypeId", `"t-"`), want: "w/e/c"},
		{name: "the entity", devices: Devices{Lookup: lookup}, event: anEvent("properties", ""), want: "w/e/c"},
		{name: "the entity's component type", devices: Devices{Twin: "t", Lookup: lookup}, event: anEvent("properties", "", "entityId", `"typed"`), want: "dev-2"},
		{name: "a component within components", devices: Devices{Lookup: lookup}, event: anEvent("properties", "", "componentPath", `"a/c"`), want: "w/e/a/c"},
		{name: "the entity cannot be asked", devices: Devices{Lookup: lookup}, event: anEvent("properties", "", "entityId", `"down"`),
			code: hotreader.CodeUnavailable, says: "no route to host"},
		{name: "a type that the catalogue does not know", devices: Devices{Twin: "t", Catalog: devicesOf(t, 2), Lookup: lookup}, event: anEvent("properties", "", "entityId", `"down"`, "componentTypeId", `"t-mixr"`),
			code: hotreader.CodeUnavailable, says: `componentTypeId "t-mixr" is of no device of the catalogue, so TwinMaker was asked. TwinMaker's GetEntity failed: no route to host`},
		{name: "the entity does not know", devices: Devices{Twin: "t", Lookup: lookup}, event: anEvent("properties", "", "entityId", `"other"`, "componentTypeId", `"x"`),
			code: hotreader.CodeInvalid, says: `componentTypeId "x" does not begin with "t-"`},
		{name: "nobody can be asked", event: anEvent("properties", ""), code: hotreader.CodeInvalid, says: "the device id cannot be found"},
		{name: "component name is no device id", event: anEvent("properties", "", "componentName", `"d"`), code: hotreader.CodeInvalid, says: "the device id cannot be found"},
		{name: "nothing to ask about", devices: Devices{Lookup: lookup}, event: anEvent("properties", "", "entityId", "", "componentName", ""),
			code: hotreader.CodeInvalid, says: "no property of the component type says isExternalId"},
		{name: "two external ids", event: anEvent("properties", `{"a":{"definition":{"isExternalId":true},"value":{"stringValue":"1"}},"b":{"definition":{"isExternalId":true},"value":{"stringValue":"2"}}}`),
			code: hotreader.CodeInvalid, says: `the properties that say isExternalId have different ids, "1" and "2"`},
		{name: "no id that can be", event: anEvent("properties", external(`"x":1},"value":{"listValue":[]}`)+`}`),
			code: hotreader.CodeInvalid, says: "properties.id.value, the external id, holds listValue"},
		{name: "an id that is no DataValue", event: anEvent("properties", external(`"x":1},"value":"d"`)+`}`),
			code: hotreader.CodeInvalid, says: `properties.id.value is the string "d"; expected {stringValue}`},
		{name: "too long", event: anEvent("properties", external(`"x":1},"value":{"stringValue":"`+strings.Repeat("x", 2049)+`"}`)+`}`),
			code: hotreader.CodeInvalid, says: "2049 bytes"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			req, err := c.devices.DecodeHistory(t.Context(), c.event)
			if c.code != "" {
				if !errors.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("error %v (%v); want %v that says %q", err, hotreader.CodeOf(err), c.code, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if req.Query.Device != c.want {
				t.Errorf("device %q; want %q", req.Query.Device, c.want)
			}
		})
	}
}

func TestCacheLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		answer, fail := "d", error(nil)
		lookup := CacheLookup(func(_ context.Context, _, entity, _ string) (Component, error) {
			calls++
			return Component{TypeID: answer}, fail
		})
		get := func(entity string, want string, wantCalls int) {
			t.Helper()
			calls = 0
			got, err := lookup(t.Context(), "w", entity, "c")
			if got.TypeID != want || calls != wantCalls || (err != nil) != (want == "" && fail != nil) {
				t.Errorf("%q, %v after %d calls; want %q after %d", got, err, calls, want, wantCalls)
			}
		}
		fail = errors.New("down")
		get("e", "", 1)
		fail, answer = nil, ""
		get("e", "", 1) // neither the error nor the empty answer was kept
		answer = "d"
		get("e", "d", 1)
		answer = "d2"
		get("e", "d", 0)
		time.Sleep(lookupTTL)
		get("e", "d2", 1)
		for i := range cachedLookups {
			get(fmt.Sprint(i), "d2", 1)
		}
		get("e", "d2", 1) // it went when there were too many
		get(fmt.Sprint(cachedLookups-1), "d2", 0)
	})
}

// TestDecodeRefuses: events too long for test/golden, which has all others.
func TestDecodeRefuses(t *testing.T) {
	long := strings.Repeat("a", 17_881)
	for _, c := range []struct {
		name  string
		event []byte
		code  hotreader.Code
		says  string
	}{
		{"no UTF-8", []byte("{\"a\":\"\xff\"}"), hotreader.CodeInvalid, "not valid UTF-8"},
		{"deep", anEvent("x", strings.Repeat("[", 100)+strings.Repeat("]", 100)), hotreader.CodeInvalid, "it nests deeper than 64 levels"},
		{"a name of 256 bytes", anEvent("selectedProperties", `["`+long[:256]+`"]`), hotreader.CodeInvalid, "256 bytes, at most 255"},
		{"a long text in short", anEvent("orderByTime", `"`+long+`"`), hotreader.CodeInvalid, `orderByTime is the string "` + long[:40] + `…"; expected`},
		{"nextToken too long", anEvent("nextToken", `"`+long+`"`), hotreader.CodeInvalid, "nextToken has 17881 characters; expected at most 17880"},
		{"too large", anEvent("x", `"`+strings.Repeat("x", MaxEvent)+`"`), hotreader.CodeTooLarge, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := (Devices{}).DecodeHistory(t.Context(), c.event); !errors.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v; want one of %s that says: %s", err, c.code, c.says)
			}
		})
	}
}

func TestDecodeIsLenient(t *testing.T) {
	want, err := Devices{}.DecodeHistory(t.Context(), anEvent())
	if err != nil {
		t.Fatal(err)
	}
	for name, event := range map[string][]byte{
		"unknown fields":               anEvent("someFutureField", `{"a":[1,2,{"b":null}]}`, "maxresults", "0"),
		"a field twice, the last wins": anEvent(append([]string{"MAXRESULTS", `1`}, "x", `1,"endTime":"2024-03-02T00:00:00Z","selectedProperties":["temperature"]`)...),
		"nulls":                        anEvent("maxResults", "null", "nextToken", "null", "interpolation", "null", "propertyFilters", "null", "orderByTime", "null", "componentTypeId", "null"),
		"an empty nextToken":           anEvent("nextToken", `""`),
		"no filters":                   anEvent("propertyFilters", `[]`),
		"a selected property twice":    anEvent("selectedProperties", `["temperature","temperature"]`),
		"epoch seconds beside times":   anEvent("startDateTime", `"nonsense"`, "endDateTime", "1"),
		"epoch seconds alone":          anEvent("startTime", "", "endTime", "null", "startDateTime", "1709251200", "endDateTime", "1709337600"),
		"an offset, no seconds":        anEvent("startTime", `"2024-03-01T01:00+01:00"`, "endTime", `"2024-03-02T00:00"`),
		"nanoseconds":                  anEvent("startTime", `"2024-03-01T00:00:00.000000000Z"`),
		"space around":                 append(append([]byte("\r\n "), anEvent()...), '\n'),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Devices{}.DecodeHistory(t.Context(), event)
			if err != nil {
				t.Fatal(err)
			}
			if got.Query.Filters = nil; !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestPitfall03TimesAreInstants: bounds are compared as instants, whatever zone
// and width they are written in.
func TestPitfall03TimesAreInstants(t *testing.T) {
	for _, c := range [][3]string{
		{`"2024-03-01T00:30:00+01:00"`, `"2024-02-29T23:30:00Z"`, "one instant"},
		{`"2024-03-01T00:00:00Z"`, `"2024-03-01T00:00:00.000000000Z"`, "one instant in two widths"},
		{`"2024-03-01T00:00:00.9Z"`, `"2024-03-01T02:00:00.9+01:00"`, "later as an instant"},
	} {
		req, err := Devices{}.DecodeHistory(t.Context(), anEvent("startTime", c[0], "endTime", c[1]))
		if err != nil || req.Query.Start.After(req.Query.End) {
			t.Errorf("%s: %v", c[2], err)
		}
	}
	if _, err := (Devices{}).DecodeHistory(t.Context(), anEvent("startTime", `"2024-03-01T00:30:00Z"`, "endTime", `"2024-03-01T00:40:00+01:00"`)); !errors.Is(err, hotreader.CodeInvalid) {
		t.Errorf("the end is before the start, but the error is %v", err)
	}

	r := rowsOf(t, `
		a
		2024-03-01T00:00:00Z          1
		2024-03-01T00:00:00.000001Z   2
		2024-03-01T00:00:00.5Z        3
		2024-03-01T00:00:01Z          4`)
	req, err := Devices{}.DecodeHistory(t.Context(), anEvent("selectedProperties", `["a"]`, "startTime", `"2024-03-01T01:00:00.000+01:00"`, "endTime", `"2024-03-01T00:00:00.500000Z"`))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := history(t, &Responder{Reader: r}, req)
	if got, _ := a.series(t); show(got) != "0: 2024-03-01T00:00:00.000Z 1, 2024-03-01T00:00:00.000001Z 2, 2024-03-01T00:00:00.500Z 3\n" {
		t.Error(show(got))
	}
}

// TestEndAtGosZeroTime: the first instant of the year 1 is a bound like others,
// not an open one.
func TestEndAtGosZeroTime(t *testing.T) {
	req, err := Devices{}.DecodeHistory(t.Context(), anEvent("startTime", "", "endTime", `"0001-01-01T00:00:00Z"`))
	if err != nil || req.Query.End.IsZero() {
		t.Errorf("end %v, %v", req.Query.End, err)
	}
}

func filtersOf(text []byte) ([]hotreader.Filter, error) {
	var req Request
	e := &event{op: "filters", fields: map[string]json.RawMessage{"propertyFilters": text},
		described: map[string]hotreader.Type{"a": hotreader.Untyped, "b": hotreader.Untyped, "s": hotreader.Untyped, "f": hotreader.Untyped}}
	e.readFilters(&req)
	return req.Query.Filters, invalid(e.op, e.wrong)
}

func TestParseFilters(t *testing.T) {
	number := func(s string) hotreader.Value { return hotreader.NumberValue([]byte(s)) }
	cases := []struct {
		text string
		want []hotreader.Filter
		says string
	}{
		{text: ``}, {text: ` null `}, {text: `[]`},
		{text: `[{"propertyName":"a","operator":"=","value":{"doubleValue":1.50}}]`, want: []hotreader.Filter{{Property: "a", Op: hotreader.Equal, Value: number("1.50")}}},
		{text: `[{"propertyName":"a","operator":"!=","value":{"booleanValue":null,"integerValue":7,"doubleValue":null,"listValue":null}},
			{"propertyName":"b","operator":"<>","value":{"longValue":12345678901234567890123}}]`, want: []hotreader.Filter{
			{Property: "a", Op: hotreader.NotEqual, Value: number("7")},
			{Property: "b", Op: hotreader.NotEqual, Value: number("12345678901234567890123")}}},
		{text: `[{"propertyName":"a","operator":"<","value":0.1000000000000000055511151231257827},{"propertyName":"a","operator":"<=","value":-1e-300},
			{"propertyName":"s","operator":">","value":"x\u00e9"},{"propertyName":"s","operator":">=","value":{"stringValue":""}},
			{"propertyName":"f","operator":"=","value":true},{"propertyName":"f","operator":"!=","value":{"booleanValue":false}}]`, want: []hotreader.Filter{
			{Property: "a", Op: hotreader.Less, Value: number("0.1000000000000000055511151231257827")},
			{Property: "a", Op: hotreader.LessEqual, Value: number("-1e-300")},
			{Property: "s", Op: hotreader.Greater, Value: hotreader.StringValue([]byte("xé"))},
			{Property: "s", Op: hotreader.GreaterEqual, Value: hotreader.StringValue([]byte(""))},
			{Property: "f", Op: hotreader.Equal, Value: hotreader.BoolValue(true)},
			{Property: "f", Op: hotreader.NotEqual, Value: hotreader.BoolValue(false)}}},

		{text: `{}`, says: "propertyFilters is an object; expected an array"},
		{text: `[7]`, says: "propertyFilters[0] is the number 7; expected {propertyName, operator, value}"},
		{text: `[null]`, says: "propertyFilters[0] is null"},
		{text: `[`, says: "propertyFilters is an array"},
		{text: `[{"operator":"=","value":1}]`, says: "propertyFilters[0].propertyName is missing"},
		{text: `[{"propertyName":7,"operator":"=","value":1}]`, says: "propertyFilters[0].propertyName is the number 7"},
		{text: `[{"propertyName":"a","operator":null,"value":1}]`, says: "propertyFilters[0].operator is null"},
		{text: `[{"propertyName":"a","operator":"==","value":1}]`, says: `operator "==" is unknown`},
		{text: `[{"propertyName":"a","operator":"=","value":1},{"propertyName":"a","operator":"="}]`, says: "propertyFilters[1].value is missing; expected a value to compare with"},
		{text: `[{"propertyName":"a","operator":"=","value":{}}]`, says: "propertyFilters[0].value holds no value; expected one of doubleValue"},
		{text: `[{"propertyName":"a","operator":"=","value":{"doubleValue":"NaN"}}]`, says: `propertyFilters[0].value has a doubleValue that is the string "NaN"; expected a number`},
		{text: `[{"propertyName":"a","operator":"=","value":{"doubleValue":1,"stringValue":"1"}}]`, says: "holds both doubleValue and stringValue"},
		{text: `[{"propertyName":"a","operator":"=","value":{"listValue":[]}}]`, says: "holds listValue"},
		{text: `[{"propertyName":"a","operator":"=","value":{"expression":"1+1"}}]`, says: "holds expression"},
		{text: `[{"propertyName":"a","operator":"=","value":[1]}]`, says: "is an array; expected a single value"},
		{text: `[{"propertyName":"a","operator":"=","value":{"booleanValue":"true"}}]`, says: `booleanValue that is the string "true"; expected true or false`},
		{text: `[` + strings.Repeat(`0,`, 50) + `0]`, says: "propertyFilters has 51 filters; expected at most 50"},
	}
	for _, c := range cases {
		got, err := filtersOf([]byte(c.text))
		if c.says != "" {
			if !errors.Is(err, hotreader.CodeInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: error %v; want one that says %q", c.text, err, c.says)
			}
			continue
		}
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%s: %v, %v", c.text, got, err)
			continue
		}
		for i := range got {
			if got[i].Property != c.want[i].Property || got[i].Op != c.want[i].Op || got[i].Value.String() != c.want[i].Value.String() || got[i].Value.Kind() != c.want[i].Value.Kind() {
				t.Errorf("%s: filter %d is %v; want %v", c.text, i, got[i], c.want[i])
			}
		}
	}
}

// TestPitfall17EventNamesItsDevice: a function needs only the twin's name in its
// environment and no list of devices, since each event names its device.
func TestPitfall17EventNamesItsDevice(t *testing.T) {
	for i := range 100 {
		event := anEvent("properties", "", "componentTypeId", fmt.Sprintf(`"factory-device-%d"`, i))
		req, err := Devices{Twin: "factory"}.DecodeHistory(t.Context(), event)
		if want := fmt.Sprintf("device-%d", i); err != nil || req.Query.Device != want {
			t.Fatalf("device %q, %v; want %q", req.Query.Device, err, want)
		}
	}
}

// TestPitfall25BadInputIsTheCallers: invalid and hostile events are CodeInvalid or, if too
// large, CodeTooLarge, never an internal error.
func TestPitfall25BadInputIsTheCallers(t *testing.T) {
	for _, event := range [][]byte{nil, []byte("null"), []byte("{"), []byte(`{"a":`), []byte("\x00"), []byte("[]"), []byte(`""`), []byte("{}"),
		anEvent("maxResults", "0"), anEvent("selectedProperties", "null"),
		bytes.Repeat([]byte("["), MaxEvent), bytes.Repeat([]byte(`{"a":`), MaxEvent/5), bytes.Repeat([]byte("x"), MaxEvent+1)} {
		for _, decode := range []func(context.Context, []byte) (Request, error){Devices{}.DecodeHistory, Devices{}.DecodeLastEntry} {
			if bytes.Contains(event, []byte("maxResults")) {
				decode = Devices{}.DecodeHistory // the other has no such field
			}
			_, err := decode(t.Context(), event)
			if code := hotreader.CodeOf(err); code != hotreader.CodeInvalid && code != hotreader.CodeTooLarge {
				t.Errorf("%.20q: %v (%v)", event, err, code)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"history.json", "component-type.json", "last-entry.json"} {
		f.Add(file(f, "events", name))
	}
	f.Add(anEvent("interpolation", `{"interpolationType":"LINEAR","intervalInSeconds":60}`, "maxResults", "7"))
	f.Add(anEvent("propertyFilters", `[{"propertyName":"a","operator":">=","value":{"doubleValue":1.5}}]`))
	f.Add(anEvent("startTime", "", "startDateTime", "-1"))
	f.Add([]byte("null"))
	f.Add([]byte(`{"componentTypeId":"t-mixer","selectedProperties":["a"],"properties":{"alarm_key":{"definition":{"isExternalId":true}}}}`))
	f.Add(anEvent("componentPath", `"a/b"`, "tabularConditions", `{"orderBy":[]}`))
	known := Devices{Twin: "t", Catalog: devicesOf(f, 2)}
	f.Add([]byte(`{"selectedProperties":["a"],"properties":{"a":{"definition":{"isExternalId":true,"defaultValue":{"stringValue":"d"}}}}}`))
	f.Fuzz(func(t *testing.T, event []byte) {
		for _, decode := range []func(context.Context, []byte) (Request, error){Devices{Twin: "t"}.DecodeHistory, known.DecodeHistory, known.DecodeLastEntry} {
			req, err := decode(t.Context(), event)
			if err != nil {
				if code := hotreader.CodeOf(err); code != hotreader.CodeInvalid && code != hotreader.CodeTooLarge {
					t.Fatalf("%v has the code %v", err, code)
				}
				continue
			}
			if err := req.check("fuzz"); err != nil {
				t.Fatalf("a request that was read is wrong: %v", err)
			}
		}
	})
}

func FuzzParseFilters(f *testing.F) {
	f.Add([]byte(`[{"propertyName":"a","operator":"<>","value":{"doubleValue":1.50,"stringValue":null}}]`))
	f.Add([]byte(`[{"propertyName":"a","operator":"=","value":"x"},{"propertyName":"b","operator":"<","value":-0.1e9}]`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		filters, err := filtersOf(text)
		if err != nil && !errors.Is(err, hotreader.CodeInvalid) {
			t.Fatal(err)
		}
		for _, f := range filters {
			if v := f.Value; v.IsNull() || v.Kind() == hotreader.Number && !hotreader.IsNumber(v.Text()) || f.Op > hotreader.GreaterEqual {
				t.Fatalf("%q: filter %v", text, f)
			}
		}
	})
}
