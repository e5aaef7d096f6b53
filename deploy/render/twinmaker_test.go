package render

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"hotreader"
	"hotreader/catalog"
	"hotreader/codec/twinmaker"
	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/deploy/topology"
	"hotreader/internal/component"
	"hotreader/layout"
	"hotreader/test/golden"
)

var machine = config.Device{
	ID: "machine-1",
	Properties: []config.Property{
		{Name: "temperature", Type: "DOUBLE", Initial: json.RawMessage(`20.5`)},
		{Name: "count", Type: "LONG"}, {Name: "step", Type: "INTEGER"},
		{Name: "on", Type: "BOOLEAN"}, {Name: "state", Type: "STRING"},
	},
	Constants: []config.Constant{
		{Name: "serial", Type: "STRING", Value: json.RawMessage(`"${a} \"ü\""`)},
		{Name: "made", Type: "LONG", Value: json.RawMessage(`9007199254740993`)},
		{Name: "limit", Type: "DOUBLE", Value: json.RawMessage(`-1.5e3`)},
		{Name: "spare", Type: "BOOLEAN", Value: json.RawMessage(`false`)},
		{Name: "axes", Type: "INTEGER", Value: json.RawMessage(`6`)},
	},
}

func indented(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

func TestTwinMakerTemplates(t *testing.T) {
	text := componentType("pump", []config.Device{machine})
	golden.File(t, "testdata/aws/component-type.json", indented(t, text))
	golden.File(t, "testdata/aws/workspace.json", indented(t, workspaceTemplate("pump")))
}

// TestPitfall19ComponentTypesAreComplete: both readers, by ARNs that name no
// version, an external id with a value, and a reader for all that is stored
// elsewhere.
func TestPitfall19ComponentTypesAreComplete(t *testing.T) {
	text := componentType("pump", []config.Device{machine})
	var got struct {
		Parameters map[string]any
		Resources  map[string]struct {
			Properties struct {
				Functions map[string]struct {
					ImplementedBy struct {
						Lambda struct{ Arn map[string]string }
					}
					RequiredProperties []string
				}
				PropertyDefinitions map[string]struct {
					IsExternalID                     bool `json:"IsExternalId"`
					IsTimeSeries, IsStoredExternally bool
					DefaultValue                     struct{ StringValue string }
					Configurations                   map[string]string
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	p := got.Resources["ComponentType"].Properties
	for function, parameter := range map[string]string{"dataReader": "History", "attributePropertyValueReaderByEntity": "LastEntry"} {
		f := p.Functions[function]
		if f.ImplementedBy.Lambda.Arn["Ref"] != parameter || got.Parameters[parameter] == nil || len(f.RequiredProperties) != 1 || f.RequiredProperties[0] != component.ExternalID {
			t.Errorf("%s is %+v", function, f)
		}
	}
	id := p.PropertyDefinitions[component.ExternalID]
	if !id.IsExternalID || id.DefaultValue.StringValue != machine.ID {
		t.Errorf("%s is %+v", component.ExternalID, id)
	}
	for _, m := range machine.Properties {
		series, latest := p.PropertyDefinitions[m.Name], p.PropertyDefinitions[m.Name+component.LatestSuffix]
		if !series.IsTimeSeries || !series.IsStoredExternally || latest.IsTimeSeries || !latest.IsStoredExternally || latest.Configurations[twinmaker.StoredAs] != m.Name {
			t.Errorf("%s: %+v, %+v", m.Name, series, latest)
		}
	}
}

// TestPitfall13ComponentTypesAskTheReader: an event, as TwinMaker makes it of
// such a component type, is read as a query for the device and what is stored.
func TestPitfall13ComponentTypesAskTheReader(t *testing.T) {
	text := componentType("pump", []config.Device{machine})
	var got struct {
		Resources struct {
			ComponentType struct {
				Properties struct{ PropertyDefinitions map[string]map[string]any }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	lower := func(s string) string { return strings.ToLower(s[:1]) + s[1:] }
	properties := map[string]any{}
	for name, cfn := range got.Resources.ComponentType.Properties.PropertyDefinitions {
		definition := map[string]any{}
		for key, value := range cfn {
			if key == "Configurations" { // of which TwinMaker has one
				key = "Configuration"
			}
			if m, ok := value.(map[string]any); ok && key != "Configuration" {
				small := map[string]any{}
				for k, v := range m {
					small[lower(k)] = v
				}
				value = small
			}
			definition[lower(key)] = value
		}
		properties[name] = map[string]any{"definition": definition}
	}
	event, err := json.Marshal(map[string]any{
		"workspaceId": "w", "entityId": "e", "componentName": "c",
		"selectedProperties": []string{"temperature_latest", "state"}, "properties": properties,
	})
	if err != nil {
		t.Fatal(err)
	}
	req, err := twinmaker.Devices{Twin: "pump"}.DecodeLastEntry(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	q := req.Query
	if q.Device != machine.ID || len(q.Properties) != 2 || q.Properties[0] != "temperature" || q.Properties[1] != "state" ||
		q.Types[0] != hotreader.Double || q.Types[1] != hotreader.ShortString {
		t.Errorf("query %+v", q)
	}
	if req.Names[0].Property != "temperature_latest" {
		t.Errorf("names %+v", req.Names)
	}
}

// mixers are two devices of one type, with an alarm status of that name.
func mixers(status string) []config.Device {
	of := func(id, serial string) config.Device {
		return config.Device{ID: id, Type: "mixer",
			Properties: []config.Property{{Name: "temperature", Type: "DOUBLE"}, {Name: status, Type: "STRING", Alarm: true}},
			Constants: []config.Constant{
				{Name: "serial", Type: "STRING", Value: json.RawMessage(serial)}, {Name: "axes", Type: "INTEGER", Value: json.RawMessage(`6`)}}}
	}
	return []config.Device{of("mixer-1", `"A"`), of("mixer-2", `"B"`)}
}

// componentTypeOf returns a template's component type.
func componentTypeOf(t *testing.T, text string) (c struct {
	ComponentTypeID     string `json:"ComponentTypeId"`
	ExtendsFrom         []string
	PropertyDefinitions map[string]map[string]any
	Functions           map[string]struct{ RequiredProperties []string }
}) {
	t.Helper()
	var all struct {
		Resources map[string]struct{ Properties json.RawMessage }
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(all.Resources["ComponentType"].Properties, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// A type that devices share is made once, with what they have in common.
func TestSharedComponentTypes(t *testing.T) {
	devices := append(mixers("status"), machine)
	plain := config.Device{ID: "valve-1", Type: "valve", Properties: machine.Properties}
	stacks, err := componentTypes(&config.Project{Twin: "pump", Devices: append(devices, plain)})
	if err != nil || len(stacks) != 3 {
		t.Fatalf("%d stacks, %v", len(stacks), err)
	}
	ids := map[string]bool{}
	for _, text := range stacks {
		c := componentTypeOf(t, text)
		ids[c.ComponentTypeID] = true
		if id := c.PropertyDefinitions[component.ExternalID]; c.ComponentTypeID == "pump-valve" && (id["DefaultValue"] != nil || id["IsExternalId"] != true || id["IsRequiredInEntity"] != true) {
			t.Errorf("the external id of a shared type is %v", id)
		}
	}
	if !ids["pump-mixer"] || !ids["pump-valve"] || !ids["pump-machine-1"] {
		t.Errorf("%v", ids)
	}
	c := componentTypeOf(t, stacks[names.Stack("pump", "type-"+names.LogicalID("mixer"))])
	if serial, axes := c.PropertyDefinitions["serial"], c.PropertyDefinitions["axes"]; serial["DefaultValue"] != nil || axes["DefaultValue"] == nil {
		t.Errorf("serial %v, axes %v; want the value that all have, and only that", serial, axes)
	}
	_, err = componentTypes(&config.Project{Twin: "pump", Devices: []config.Device{{ID: "a b"}, {ID: "c", Type: strings.TrimPrefix(names.ComponentType("pump", "a b"), "pump-")}}})
	if err == nil || !strings.Contains(err.Error(), `is that of the device "a b", too`) {
		t.Errorf("one id for two component types: %v", err)
	}
}

// A type with an alarm status extends TwinMaker's basic alarm: what panels ask for,
// alarm_key and alarm_status, is there, and is the device and its status.
func TestAlarmTypes(t *testing.T) {
	for _, status := range []string{"alarm_status", "status"} {
		for _, devices := range [][]config.Device{mixers(status), {{ID: "mixer-1", Properties: mixers(status)[0].Properties}}} {
			text := componentType("pump", devices)
			if devices[0].Type != "" {
				golden.File(t, "testdata/aws/"+status+"-type.json", indented(t, text))
			}
			c := componentTypeOf(t, text)
			if len(c.ExtendsFrom) != 1 || c.ExtendsFrom[0] != "com.amazon.iottwinmaker.alarm.basic" || c.PropertyDefinitions[component.ExternalID] != nil {
				t.Errorf("it extends %v; external id %v", c.ExtendsFrom, c.PropertyDefinitions[component.ExternalID])
			}
			for name, f := range c.Functions {
				if len(f.RequiredProperties) != 1 || f.RequiredProperties[0] != component.AlarmKey {
					t.Errorf("%s requires %v", name, f.RequiredProperties)
				}
			}
			if key := c.PropertyDefinitions[component.AlarmKey]; (key["DefaultValue"] != nil) != (devices[0].Type == "") {
				t.Errorf("alarm_key is %v", key)
			}
			if inherited := c.PropertyDefinitions[component.AlarmStatus]; (inherited == nil) != (status == component.AlarmStatus) {
				t.Errorf("alarm_status is %v", inherited)
			}
			if c.PropertyDefinitions[status+component.LatestSuffix] == nil || status == "status" && c.PropertyDefinitions[status] == nil {
				t.Errorf("%s is not among the properties", status)
			}
			// As TwinMaker asks with it, for all devices or for one.
			event := `{"workspaceId":"w","componentTypeId":"` + c.ComponentTypeID + `","selectedProperties":["alarm_status"],"properties":{"alarm_key":{"definition":{"isExternalId":true}},
				"alarm_status":{"definition":{"dataType":{"type":"STRING"},"isTimeSeries":true,"configuration":CONFIGURATION}}}}`
			configuration, err := json.Marshal(c.PropertyDefinitions[component.AlarmStatus]["Configurations"])
			if err != nil {
				t.Fatal(err)
			}
			packed, err := Catalog(&config.Project{Devices: devices})
			if err != nil {
				t.Fatal(err)
			}
			known, err := catalog.Open(packed)
			if err != nil {
				t.Fatal(err)
			}
			req, err := twinmaker.Devices{Twin: "pump", Catalog: known}.DecodeHistory(t.Context(), []byte(strings.Replace(event, "CONFIGURATION", string(configuration), 1)))
			if err != nil || req.Query.Properties[0] != status || (req.Fleet != nil) != (devices[0].Type != "") || req.Fleet == nil && req.Query.Device != "mixer-1" {
				t.Errorf("%+v, %v", req, err)
			}
		}
	}
}

func TestComponentTypeTooLarge(t *testing.T) {
	many := config.Device{ID: "d"}
	for i := range 300 {
		many.Properties = append(many.Properties, config.Property{Name: strings.Repeat("x", 20) + string(rune('a'+i%26)) + strings.Repeat("y", i/26), Type: "DOUBLE"})
	}
	_, err := componentTypes(&config.Project{Twin: "t", Devices: []config.Device{many}})
	if err == nil || !strings.Contains(err.Error(), "fewer properties") {
		t.Errorf("a template of more than CloudFormation takes: %v", err)
	}
}

// TestComponentTypesAreStable: a device more or less changes no other's stack.
func TestComponentTypesAreStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.StringN(1, 40, 200), 1, 20, rapid.ID[string]).Draw(t, "ids")
		p := &config.Project{Twin: "pump"}
		for _, id := range ids {
			p.Devices = append(p.Devices, config.Device{ID: id, Properties: machine.Properties})
		}
		all, err := componentTypes(p)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != len(ids) {
			t.Fatalf("%d stacks of %d devices", len(all), len(ids))
		}
		p.Devices = p.Devices[1:]
		fewer, err := componentTypes(p)
		if err != nil {
			t.Fatal(err)
		}
		if len(fewer) != len(all)-1 {
			t.Fatalf("%d stacks, of %d before one device went", len(fewer), len(all))
		}
		for name, text := range fewer {
			if all[name] != text {
				t.Fatalf("stack %s changed with another device", name)
			}
		}
	})
}

// TestPitfall22NothingPublicOnOneCloud: an API is deployed only where another cloud
// has to ask.
func TestPitfall22NothingPublicOnOneCloud(t *testing.T) {
	for _, r := range roots(t, config.AWS) {
		var functions map[string]struct{ Token bool }
		if err := json.Unmarshal(r.Module["hotreader"]["functions"], &functions); err != nil {
			t.Fatal(err)
		}
		_, api := functions[string(config.API)]
		if want := !r.side.L4; api != want || want && len(functions) != 1 {
			t.Errorf("%s has the functions %v", r.name, functions)
		}
		_, twin := r.Module["hotreader"]["twinmaker"]
		_, table := r.Module["hotreader"]["table"]
		if twin != r.side.L4 || table != r.side.L3 {
			t.Errorf("%s: twinmaker %v, table %v", r.name, twin, table)
		}
		for role, f := range functions {
			if f.Token != r.side.Token {
				t.Errorf("%s: %s needs a token: %v", r.name, role, f.Token)
			}
		}
	}
}

// TestAWSLiterals: what the user wrote is text, also where Terraform would see a
// template in it.
func TestAWSLiterals(t *testing.T) {
	p := &config.Project{Twin: "t", L3: config.AWS, L4: config.AWS, Options: config.Options{Settings: config.Settings{Layout: layout.Layout{TimeKey: "${file(\"x\")}", DeviceKey: "%{if}"}}}}
	top, err := topology.New(p)
	if err != nil {
		t.Fatal(err)
	}
	text, err := rendered(top.Sides[0], Inputs{Project: p, Package: "package/x.zip"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"$${file(\"x\")}"`, `"%%{if}"`} {
		if n := strings.Count(string(text), want); n < 2 { // the table's key and a variable
			t.Errorf("%s is there %d times in\n%s", want, n, text)
		}
	}
	rest := strings.NewReplacer("$${", "", "%%{", "", "${path.root}", "", "${module.hotreader.", "").Replace(string(text))
	if strings.Contains(rest, "${") || strings.Contains(rest, "%{") {
		t.Errorf("a template was let through:\n%s", rest)
	}
}

func TestExistingWorkspace(t *testing.T) {
	p := &config.Project{Twin: "t", L3: config.AWS, L4: config.AWS, Options: config.Options{AWS: config.AWSOptions{
		Workspace: "hall", WorkspaceRole: "arn:aws:iam::123456789012:role/hall/keeper"}}}
	twin, err := twinMaker(p)
	if err != nil || twin["role"] != "keeper" || twin["workspace"] != "hall" || twin["create_workspace"] != false {
		t.Errorf("%v, %v", twin, err)
	}
}
