package twinmaker

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/memstore"
)

// The device of a component type stands under the external id, though that has no value.
func TestReferenceHasTheExternalID(t *testing.T) {
	const event = `{"workspaceId":"w","componentTypeId":"t-mixer-1","selectedProperties":["alarm_status"],"startTime":"2024-03-01T00:00:00Z","endTime":"2024-03-02T00:00:00Z",
		"properties":{"alarm_key":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true}},"alarm_status":{"definition":{"dataType":{"type":"STRING"}}}MORE}}`
	for more, want := range map[string]string{
		"": `{"alarm_key":"mixer-1"}`,
		`,"deviceId":{"definition":{"isExternalId":true}}`:                                               `{"alarm_key":"mixer-1","deviceId":"mixer-1"}`,
		`,"deviceId":{"definition":{"isExternalId":true,"defaultValue":{"stringValue":"mixer-2"}}}`:      `{"alarm_key":"mixer-2","deviceId":"mixer-2"}`,
		`,"deviceId":{"definition":{"isExternalId":true},"value":{"stringValue":"mixer-2"}}`:             `{"alarm_key":"mixer-2","deviceId":"mixer-2"}`,
		`,"serial":{"definition":{"isExternalId":false,"defaultValue":{"stringValue":"not an id, so"}}}`: `{"alarm_key":"mixer-1"}`,
	} {
		req, err := Devices{Twin: "t"}.DecodeHistory(t.Context(), []byte(strings.Replace(event, "MORE", more, 1)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := (&Responder{Reader: hotreader.NewReader(memstore.New())}).AppendHistory(t.Context(), nil, req)
		if want = `{"entityPropertyReference":{"externalIdProperty":` + want + `,"propertyName":"alarm_status"},"values":[]}`; err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s, %v; want %s", body, err, want)
		}
	}
}

const typed = `{"id":{"definition":{"isExternalId":true},"value":{"stringValue":"d"}},
	"temperature":{"definition":{"dataType":{"type":"DOUBLE"}}},"n":{"definition":{"dataType":{"type":"INTEGER"}}},"big":{"definition":{"dataType":{"type":"LONG"}}},
	"mode":{"definition":{"dataType":{"type":"STRING"}}},"ok":{"definition":{"dataType":{"type":"BOOLEAN"}}},
	"gps":{"definition":{"dataType":{"type":"MAP"}}},"wear":{"definition":{"dataType":{"type":"LIST"}}},"untyped":{},
	"near":{"definition":{"dataType":{"type":"RELATIONSHIP"}}}}`

// A filter that no row could pass is no empty answer.
func TestFiltersThatCannotHold(t *testing.T) {
	for _, c := range []struct{ name, value, says string }{
		{"ok", `{"booleanValue":true}`, ""},
		{"ok", `{"stringValue":"true"}`, `propertyFilters[0].value is "true", which property "ok", declared BOOLEAN, cannot have`},
		{"ok", `{"integerValue":1}`, "declared BOOLEAN, cannot have"},
		{"temperature", `{"doubleValue":1.5}`, ""},
		{"temperature", `{"integerValue":1}`, ""},
		{"temperature", `{"stringValue":"1.5"}`, ""}, // numeric text is a number
		{"temperature", `{"stringValue":"hot"}`, "declared DOUBLE, cannot have"},
		{"temperature", `{"booleanValue":true}`, "declared DOUBLE, cannot have"},
		{"temperature", `1e999`, "declared DOUBLE, cannot have"},
		{"n", `{"integerValue":2147483647}`, ""},
		{"n", `{"longValue":2147483648}`, "declared INTEGER, cannot have"},
		{"n", `{"doubleValue":1.5}`, "declared INTEGER, cannot have"},
		{"big", `{"longValue":2147483648}`, ""},
		{"mode", `{"stringValue":"on"}`, ""},
		{"mode", `{"doubleValue":7}`, ""},
		{"mode", `{"booleanValue":true}`, "declared STRING, cannot have"},
		{"mode", `{"stringValue":"` + strings.Repeat("x", 257) + `"}`, "declared STRING, cannot have"},
		{"gps", `{"stringValue":"{}"}`, ""},
		{"untyped", `{"booleanValue":true}`, ""},
		{"near", `{"stringValue":"x"}`, ""},
		{"pressure", `{"doubleValue":1}`, `propertyFilters[0].propertyName is "pressure", which is not among the component's properties`},
	} {
		filters := `[{"propertyName":"` + c.name + `","operator":"=","value":` + c.value + `}]`
		for _, decode := range []func(context.Context, []byte) (Request, error){Devices{}.DecodeHistory, Devices{}.DecodeLastEntry} {
			_, err := decode(t.Context(), anEvent("properties", typed, "propertyFilters", filters))
			if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, hotreader.CodeInvalid) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%s: %v; want %q", filters, err, c.says)
			}
		}
	}
	// A selected property that the event does not describe is known all the same.
	if _, err := (Devices{}).DecodeHistory(t.Context(), anEvent("selectedProperties", `["pressure"]`, "propertyFilters", `[{"propertyName":"pressure","operator":">","value":1}]`)); err != nil {
		t.Error(err)
	}
}

// What a filter compares is what the answer has: of a BOOLEAN, true for 1 and "True".
func TestFiltersOnBooleans(t *testing.T) {
	rows := rowsOf(t, "ok temperature\n2024-03-01T00:00:00Z 1 10\n2024-03-01T00:00:01Z \"True\" 11\n2024-03-01T00:00:02Z 0 12\n2024-03-01T00:00:03Z true 13\n2024-03-01T00:00:04Z \"false\" 14\n2024-03-01T00:00:05Z 2 15")
	for filter, want := range map[string]string{"= true": "true true true", "= false": "false false", "!= true": "false false", "!= false": "true true true"} {
		op, value, _ := strings.Cut(filter, " ")
		req, err := Devices{}.DecodeHistory(t.Context(), anEvent("properties", typed, "selectedProperties", `["ok"]`, "propertyFilters", `[{"propertyName":"ok","operator":"`+op+`","value":{"booleanValue":`+value+`}}]`))
		if err != nil {
			t.Fatal(err)
		}
		a, _ := history(t, &Responder{Reader: rows}, req)
		var got []string
		for _, v := range a.PropertyValues[0].Values {
			got = append(got, string(v.Value["booleanValue"]))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("ok %s: %v", filter, got)
		}
	}
}

// A filter on the external id is of devices: it compares their IDs, as text.
func TestFiltersOnTheExternalID(t *testing.T) {
	const properties = `{"alarm_key":{"definition":{"isExternalId":true,"isStoredExternally":false}VALUE},"a":{"definition":{"dataType":{"type":"DOUBLE"}}},
		"site":{"definition":{"dataType":{"type":"STRING"},"isTimeSeries":false,"isStoredExternally":false,"defaultValue":{"stringValue":"hall"}}}}`
	d := Devices{Twin: "t", Catalog: devicesOf(t, 70)}
	r := &Responder{Reader: hotreader.NewReader(filled(t, slices.Repeat([]int{1}, 70)))}
	event := func(value, filters string, more ...string) []byte {
		return anEvent(append(more, "componentTypeId", `"t-mixer"`, "selectedProperties", `["a"]`, "propertyFilters", filters, "properties", strings.Replace(properties, "VALUE", value, 1), "startTime", `"2020-01-01T00:00:00Z"`)...)
	}
	on := func(op, id string) string {
		return `{"propertyName":"alarm_key","operator":"` + op + `","value":{"stringValue":"` + id + `"}}`
	}
	for _, c := range []struct {
		filters     string
		first, last string // of the fleet's devices
		n           int
		of3         bool // the entity of mixer-0003 has values
	}{
		{on("=", mixer(3)), mixer(3), mixer(3), 1, true},
		{on("=", mixer(69)), mixer(69), mixer(69), 1, false},
		{on("!=", mixer(3)), mixer(0), mixer(69), 69, false},
		{on("<", mixer(3)), mixer(0), mixer(2), 3, false},
		{on("<=", mixer(3)), mixer(0), mixer(3), 4, true},
		{on(">", mixer(3)), mixer(4), mixer(69), 66, false},
		{on(">=", mixer(2)) + "," + on("<", mixer(4)), mixer(2), mixer(3), 2, true},
		{on("=", mixer(3)) + `,{"propertyName":"a","operator":">","value":1e9}`, "", "", 0, false},
	} {
		filters := "[" + c.filters + "]"
		fleet, err := d.DecodeHistory(t.Context(), event("", filters, "entityId", "", "componentName", ""))
		if err != nil {
			t.Fatal(err)
		}
		fleet.MaxResults = 2
		all, _ := walk(t, r, fleet)
		if len(all.keys) != c.n || c.n > 0 && (all.keys[0] != c.first+".a" || all.keys[c.n-1] != c.last+".a") {
			t.Errorf("%s: %v", filters, all.keys)
		}
		last, err := d.DecodeLastEntry(t.Context(), event(`,"value":{"stringValue":"mixer-0003"}`, filters))
		if err != nil {
			t.Fatal(err)
		}
		a, _ := history(t, r, last)
		latest, err := r.AppendLastEntry(t.Context(), nil, last)
		if has := len(a.PropertyValues[0].Values) > 0; err != nil || has != c.of3 || strings.Contains(string(latest), `"a":`) != c.of3 {
			t.Errorf("%s: %v, %s, %v", filters, a, latest, err)
		}
	}
	for filter, says := range map[string]string{
		`{"propertyName":"alarm_key","operator":"=","value":{"booleanValue":true}}`: `value is true, which property "alarm_key", declared STRING, cannot have`,
		`{"propertyName":"site","operator":"=","value":{"stringValue":"hall"}}`:     `"site", which is a constant and in no record`,
	} {
		if _, err := d.DecodeHistory(t.Context(), event("", "["+filter+"]")); !errors.Is(err, hotreader.CodeInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", filter, err)
		}
	}
}

// Texts that no alarm has are told: a panel shows nothing of them.
func TestAlarmStates(t *testing.T) {
	rows := rowsOf(t, "status\n2024-03-01T00:00:00Z \"NORMAL\"\n2024-03-01T00:00:01Z \"ACTIVE\"\n2024-03-01T00:00:02Z \"ACTIVE!\"\n2024-03-01T00:00:03Z \"on\"")
	const status = `"alarm_status":{"definition":{"dataType":{"type":"STRING"},"configuration":{"storedAs":"status"}}}}`
	for key, want := range map[string]string{"alarm_key": "status: 2 values that no alarm has; an alarm panel knows NORMAL, ACTIVE, ACKNOWLEDGED, SNOOZE_DISABLED", "deviceId": ""} {
		req, err := Devices{}.DecodeHistory(t.Context(), anEvent("selectedProperties", `["alarm_status"]`, "properties", `{"`+key+`":{"definition":{"isExternalId":true},"value":{"stringValue":"d"}},`+status))
		if err != nil {
			t.Fatal(err)
		}
		stats := new(hotreader.Stats)
		if _, err := (&Responder{Reader: rows}).AppendHistory(hotreader.WithStats(t.Context(), stats), nil, req); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, w := range stats.Warnings() {
			got += w.String()
		}
		if got != want {
			t.Errorf("%s: %q; want %q", key, got, want)
		}
	}
}

func TestTabularConditions(t *testing.T) {
	for conditions, says := range map[string]string{
		`null`: "", `{}`: "", `{"orderBy":null,"propertyFilters":[]}`: "",
		`{"propertyFilters":[{"propertyName":"n","operator":"=","value":{"integerValue":1}}]}`: "tabularConditions has propertyFilters, but this data connector has no tabular properties",
		`{"orderBy":[{"propertyName":"n"}]}`:                                                   "tabularConditions has orderBy",
		`[]`:                                                                                   "tabularConditions is an array; expected an object",
	} {
		_, err := Devices{}.DecodeLastEntry(t.Context(), anEvent("startTime", "", "endTime", "", "tabularConditions", conditions))
		if says == "" && err != nil || says != "" && (!errors.Is(err, hotreader.CodeInvalid) || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v; want %q", conditions, err, says)
		}
	}
}

// Lists and maps are the text of their JSON, as storage has them. Longer text than
// TwinMaker takes is left out, and told.
func TestListsAndMaps(t *testing.T) {
	store := memstore.New()
	text := func(s string) hotreader.Value { return hotreader.StringValue([]byte(s)) }
	write := func(second int64, gps, wear string) {
		if err := store.Write(t.Context(), "d", []hotreader.Record{{Time: time.Unix(1_709_251_200+second, 0), Fields: []hotreader.Field{{Name: "gps", Value: text(gps)}, {Name: "wear", Value: text(wear)}}}}); err != nil {
			t.Fatal(err)
		}
	}
	write(0, `{"lat":48.1,"lon":11.50}`, `[1,2.50]`)
	write(1, `{"lat":48.2}`, `[`+strings.Repeat("1,", 128)+`1]`)
	ask := func() Request {
		t.Helper()
		req, err := Devices{}.DecodeHistory(t.Context(), anEvent("properties", typed, "selectedProperties", `["gps","wear"]`))
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	var stats hotreader.Stats
	body, err := (&Responder{Reader: hotreader.NewReader(store)}).AppendHistory(hotreader.WithStats(t.Context(), &stats), nil, ask())
	if want := `"value":{"stringValue":"{\"lat\":48.1,\"lon\":11.50}"}},`; err != nil || !strings.Contains(string(body), want) ||
		!strings.Contains(string(body), `"propertyName":"wear"},"values":[{"time":"2024-03-01T00:00:00.000Z","value":{"stringValue":"[1,2.50]"}}]`) || stats.Skipped() != 1 {
		t.Errorf("%s, %v, %v", body, err, stats.Warnings())
	}
	if _, err := (Devices{}).DecodeHistory(t.Context(), anEvent("properties", typed, "selectedProperties", `["near"]`)); !errors.Is(err, hotreader.CodeInvalid) {
		t.Errorf("a relationship: %v", err)
	}
}

// warning is a Reader without rows, and with a warning.
type warning struct{ hotreader.Warning }

func (w warning) Read(ctx context.Context, _ hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(func(hotreader.Row, error) bool) { hotreader.StatsOf(ctx).Warn(w.Warning) }
}

// An empty answer whose device or property neither the catalogue nor storage knows is a
// mistake. What one of them knows has no values yet.
func TestUnknownToBothIsAnError(t *testing.T) {
	d := Devices{Twin: "t", Catalog: devicesOf(t, 2)}
	device, property := hotreader.Warning{Reason: hotreader.UnknownDevice}, hotreader.Warning{Reason: hotreader.UnknownProperty, Property: "tempp"}
	for _, c := range []struct {
		name, id, selected string
		warning            hotreader.Warning
		says               string
	}{
		{"a device that nobody knows", "mxer", "a", device, `device "mxer" is not in the catalogue of devices, and nothing is stored for it`},
		{"a slip in a device", "mixr-0001", "a", device, `nothing is stored for it; did you mean "mixer-0001"?`},
		{"a device that has reported nothing", mixer(1), "a", device, ""},
		{"a property that nobody knows", mixer(1), "tempp", property, `property "tempp" is not in the catalogue for the device "mixer-0001", but alarm_status, a, b, and no record that was looked at has it`},
		{"a slip in a property", mixer(1), "alarm_statis", hotreader.Warning{Reason: hotreader.UnknownProperty, Property: "alarm_statis"}, `for the device "mixer-0001", and no record that was looked at has it; did you mean alarm_status?`},
		{"a property that has not come yet", mixer(1), "a", hotreader.Warning{Reason: hotreader.UnknownProperty, Property: "a"}, ""},
		{"a property that storage knows", mixer(1), "tempp", hotreader.Warning{}, ""},
	} {
		properties := `{"id":{"definition":{"isExternalId":true},"value":{"stringValue":"` + c.id + `"}}}`
		r := &Responder{Reader: warning{c.warning}}
		req, err := d.DecodeHistory(t.Context(), anEvent("properties", properties, "selectedProperties", `["`+c.selected+`"]`))
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.AppendHistory(t.Context(), nil, req)
		_, last := r.AppendLastEntry(t.Context(), nil, req)
		for _, err := range []error{err, last} {
			if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, hotreader.CodeInvalid) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%s: %v; want %q", c.name, err, c.says)
			}
		}
	}
}

// A component within components is named as the event names it.
func TestComponentPath(t *testing.T) {
	for _, c := range []struct{ name, path, want, says string }{
		{`"c"`, `"a/c"`, `{"entityId":"e","componentName":"c","componentPath":"a/c","propertyName":"temperature"}`, ""},
		{``, `"a/c"`, `{"entityId":"e","componentPath":"a/c","propertyName":"temperature"}`, ""},
		{`"c"`, `null`, `{"entityId":"e","componentName":"c","propertyName":"temperature"}`, ""},
		{``, `7`, "", "componentPath is the number 7; expected a string"},
	} {
		event := anEvent("componentName", c.name, "componentPath", c.path)
		req, err := Devices{}.DecodeHistory(t.Context(), event)
		if c.says != "" {
			if !errors.Is(err, hotreader.CodeInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %q", err, c.says)
			}
			continue
		}
		r := &Responder{Reader: seconds(5, "temperature")}
		body, err2 := r.AppendHistory(t.Context(), nil, req)
		last, err3 := r.AppendLastEntry(t.Context(), nil, req)
		if errors.Join(err, err2, err3) != nil || !strings.Contains(string(body), `"entityPropertyReference":`+c.want) || !strings.Contains(string(last), `"propertyReference":`+c.want) {
			t.Errorf("%s\n%s\n%v; want %s", body, last, errors.Join(err, err2, err3), c.want)
		}
	}
	if _, err := (Devices{}).DecodeHistory(t.Context(), anEvent("entityId", "", "componentName", "", "componentPath", `"a/c"`)); !errors.Is(err, hotreader.CodeInvalid) {
		t.Errorf("a path without an entity: %v", err)
	}
}
