package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hotreader/codec/twinmaker"
	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/internal/component"
)

// Limits of TwinMaker and CloudFormation.
const (
	maxTemplate     = 51_200 // bytes of a template that is sent as text
	maxPropertyName = 256
	maxStringValue  = 256 // characters
)

// twinMaker is the module's argument twinmaker.
func twinMaker(p *config.Project) (map[string]any, error) {
	o := p.Options.AWS
	components, err := componentTypes(p)
	if err != nil {
		return nil, err
	}
	t := map[string]any{
		"workspace":        names.Workspace(p.Twin),
		"create_workspace": true,
		"workspace_stack":  names.Stack(p.Twin, "twinmaker"),
		"workspace_body":   workspaceTemplate(p.Twin),
		"bucket":           names.Bucket(p.Twin),
		"role":             names.WorkspaceRole(p.Twin),
		"components":       components,
	}
	if o.Workspace != "" {
		// arn:aws:iam::123456789012:role/path/NAME
		role := o.WorkspaceRole[strings.LastIndexByte(o.WorkspaceRole, '/')+1:]
		if role == "" {
			return nil, configError("config_hot_reader.json", "aws.workspace is %q, but its role is not named; set aws.workspace_role to the ARN of the role that TwinMaker assumes for it, for that role has to be allowed to invoke the functions", o.Workspace)
		}
		t["workspace"], t["role"], t["create_workspace"] = o.Workspace, role, false
	}
	return t, nil
}

// template is a CloudFormation template.
type template struct {
	Version     string                       `json:"AWSTemplateFormatVersion"`
	Description string                       `json:"Description"`
	Parameters  map[string]map[string]string `json:"Parameters"`
	Resources   map[string]resource          `json:"Resources"`
}

type resource struct {
	Type       string         `json:"Type"`
	Properties map[string]any `json:"Properties"`
}

func newTemplate(description string, parameters ...string) template {
	t := template{
		Version: "2010-09-09", Description: description,
		Parameters: map[string]map[string]string{}, Resources: map[string]resource{},
	}
	for _, name := range parameters {
		t.Parameters[name] = map[string]string{"Type": "String"}
	}
	return t
}

func (t template) String() string {
	text, err := json.Marshal(t) // keys sorted
	if err != nil {
		panic(err) // of strings, numbers and JSON that was read before
	}
	return string(text)
}

func ref(name string) any { return map[string]string{"Ref": name} }

// workspaceTemplate makes the TwinMaker workspace.
func workspaceTemplate(twin string) string {
	t := newTemplate("TwinMaker workspace of the digital twin "+twin, "WorkspaceId", "Role", "Bucket")
	t.Resources["Workspace"] = resource{"AWS::IoTTwinMaker::Workspace", map[string]any{
		"WorkspaceId": ref("WorkspaceId"),
		"Description": "Digital twin " + twin,
		"Role":        ref("Role"),
		"S3Location":  ref("Bucket"),
	}}
	return t.String()
}

// componentTypes returns a template for each component type, by the name of its stack:
// one for each device without a type, and one for each type that devices share. One
// for each, and not several in one, because a component type that moves from one stack
// to another would be made there before it is gone here, which TwinMaker rejects.
func componentTypes(p *config.Project) (map[string]string, error) {
	stacks, ids := map[string]string{}, map[string]string{}
	var wrong []error
	for _, devices := range byType(p.Devices) {
		d := devices[0]
		where, stack := fmt.Sprintf("device %q", d.ID), "device-"+names.LogicalID(d.ID)
		if d.Type != "" {
			where, stack = fmt.Sprintf("type %q", d.Type), "type-"+names.LogicalID(d.Type)
		}
		text, problems := componentType(p.Twin, devices)
		id := componentTypeID(p.Twin, d)
		if other, taken := ids[id]; taken {
			problems = append(problems, fmt.Errorf("its component type %q is that of the %s, too; rename one of them", id, other))
		}
		ids[id] = where
		for _, problem := range problems {
			wrong = append(wrong, &config.Problem{Where: "config_iot_devices.json: " + where, Err: problem})
		}
		stacks[names.Stack(p.Twin, stack)] = text
	}
	if len(wrong) > 0 {
		return nil, configError("component types", "%w", errors.Join(wrong...))
	}
	return stacks, nil
}

// byType returns the devices of each component type. One without a type has its own.
func byType(devices []config.Device) (all [][]config.Device) {
	at := map[string]int{}
	for _, d := range devices {
		i, there := at[d.Type]
		if there && d.Type != "" {
			all[i] = append(all[i], d)
			continue
		}
		at[d.Type] = len(all)
		all = append(all, []config.Device{d})
	}
	return all
}

// componentTypeID names the component type of a device.
func componentTypeID(twin string, d config.Device) string {
	if d.Type != "" {
		return twin + "-" + d.Type
	}
	return names.ComponentType(twin, d.ID)
}

// definitions are the property definitions of a component type, and what is wrong with
// them.
type definitions struct {
	all   map[string]any
	wrong []error
}

func (d *definitions) add(name string, definition map[string]any) {
	if problem := checkPropertyName(name); problem != nil {
		d.wrong = append(d.wrong, problem)
		return
	}
	if _, ok := d.all[name]; ok {
		d.wrong = append(d.wrong, fmt.Errorf("property %q is there twice (beside those that are listed, a component has %q and, for each property, NAME%s; one with an alarm has %q and %q); rename it",
			name, component.ExternalID, component.LatestSuffix, component.AlarmKey, component.AlarmStatus))
		return
	}
	d.all[name] = definition
}

// define adds a property of a data type.
func (d *definitions) define(name, dataType string, more map[string]any) {
	more["DataType"] = map[string]string{"Type": dataType}
	d.add(name, more)
}

// componentType is the template of the component type of a device, or of those that
// share it:
//
//	deviceId            the external id: the device
//	temperature         telemetry: a time series that the reader brings
//	temperature_latest  its newest value, which the last-entry reader brings
//	serial              a constant, with its value
//
// What differs between the devices of a type, their ids and some constants, is given by
// each entity. Where a property is the alarm status, the type extends TwinMaker's
// basic alarm: alarm_key is the external id, and alarm_status the property.
func componentType(twin string, devices []config.Device) (text string, wrong []error) {
	d := devices[0]
	properties := &definitions{all: map[string]any{}}
	external := properties.external(d)
	for _, p := range d.Properties {
		if p.Alarm && p.Name == component.AlarmStatus {
			continue // inherited
		}
		properties.define(p.Name, p.Type, map[string]any{"IsStoredExternally": true, "IsTimeSeries": true})
	}
	for _, p := range d.Properties {
		properties.define(p.Name+component.LatestSuffix, p.Type, map[string]any{
			"IsStoredExternally": true,
			"IsTimeSeries":       false,
			"Configurations":     map[string]string{twinmaker.StoredAs: p.Name},
		})
	}
	for _, c := range d.Constants {
		properties.constant(c, devices)
	}
	what := "a device"
	if d.Type != "" {
		what = "the devices of a type"
	}
	t := newTemplate("TwinMaker component type of "+what+" of the digital twin "+twin, "WorkspaceId", "History", "LastEntry")
	definition := map[string]any{
		"WorkspaceId":         ref("WorkspaceId"),
		"ComponentTypeId":     componentTypeID(twin, d),
		"Description":         strings.ToUpper(what[:1]) + what[1:] + " of the digital twin " + twin,
		"PropertyDefinitions": properties.all,
		// Both, for a component type with a stored property and no reader of it is
		// abstract, and no entity can have it.
		"Functions": map[string]any{
			"dataReader":                           readBy("History", external),
			"attributePropertyValueReaderByEntity": readBy("LastEntry", external),
		},
	}
	if d.Alarm() != "" {
		definition["ExtendsFrom"] = []string{component.AlarmType}
	}
	t.Resources["ComponentType"] = resource{"AWS::IoTTwinMaker::ComponentType", definition}
	text, wrong = t.String(), properties.wrong
	if len(text) > maxTemplate {
		wrong = append(wrong, fmt.Errorf("its component type makes a template of %d bytes, and CloudFormation takes %d; give it fewer properties", len(text), maxTemplate))
	}
	return text, wrong
}

// external adds the property that is the external id and, for an alarm, the alarm
// status, and returns the first one's name. What the basic alarm defines is inherited:
// only what differs is said.
func (d *definitions) external(device config.Device) string {
	id, problem := stringValue(device.ID)
	own := device.Type == ""
	if problem != nil && own {
		d.wrong = append(d.wrong, fmt.Errorf("its id %w", problem))
	}
	status := device.Alarm()
	switch {
	case status == "" && own:
		d.define(component.ExternalID, "STRING", map[string]any{"IsExternalId": true, "DefaultValue": id})
	case status == "":
		d.define(component.ExternalID, "STRING", map[string]any{"IsExternalId": true, "IsRequiredInEntity": true})
	case own:
		d.add(component.AlarmKey, map[string]any{"DefaultValue": id})
	}
	if status == "" {
		return component.ExternalID
	}
	if status != component.AlarmStatus {
		d.add(component.AlarmStatus, map[string]any{"Configurations": map[string]string{twinmaker.StoredAs: status}})
	}
	return component.AlarmKey
}

// constant adds a constant, with its value if all devices have the same one.
func (d *definitions) constant(c config.Constant, devices []config.Device) {
	value, problem := dataValue(c)
	if problem != nil {
		d.wrong = append(d.wrong, problem)
	}
	more := map[string]any{"DefaultValue": value}
	for _, other := range devices {
		same := func(o config.Constant) bool { return o.Name == c.Name && string(o.Value) == string(c.Value) }
		if !slices.ContainsFunc(other.Constants, same) {
			more = map[string]any{}
		}
	}
	d.define(c.Name, c.Type, more)
}

// readBy is a function of a component type, by the parameter that has its ARN.
func readBy(parameter, external string) any {
	return map[string]any{
		"ImplementedBy":      map[string]any{"Lambda": map[string]any{"Arn": ref(parameter)}},
		"RequiredProperties": []string{external},
	}
}

// checkPropertyName keeps TwinMaker's rule for the names of properties.
func checkPropertyName(name string) error {
	if name == "" || len(name) > maxPropertyName {
		return fmt.Errorf("property %.40q has a name of %d characters; TwinMaker takes 1 to %d (%s included)", name, len(name), maxPropertyName, component.LatestSuffix)
	}
	for i, c := range name {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return fmt.Errorf("property %.40q has the character %q at byte %d; TwinMaker takes letters, digits, _ and -", name, c, i+1)
		}
	}
	return nil
}

// dataValue is a constant's value as CloudFormation writes it.
func dataValue(c config.Constant) (any, error) {
	key, ok := map[string]string{
		"BOOLEAN": "BooleanValue", "DOUBLE": "DoubleValue", "INTEGER": "IntegerValue", "LONG": "LongValue", "STRING": "StringValue",
	}[c.Type]
	if !ok {
		return nil, fmt.Errorf("constant %q is of the type %q; expected STRING, DOUBLE, INTEGER, LONG or BOOLEAN", c.Name, c.Type)
	}
	if c.Type == "STRING" {
		var text string
		if err := json.Unmarshal(c.Value, &text); err != nil {
			return nil, fmt.Errorf("constant %q: %w", c.Name, err)
		}
		value, err := stringValue(text)
		if err != nil {
			return nil, fmt.Errorf("constant %q %w", c.Name, err)
		}
		return value, nil
	}
	if !json.Valid(c.Value) {
		return nil, fmt.Errorf("constant %q has no value", c.Name)
	}
	return map[string]any{key: c.Value}, nil
}

// stringValue is a text as CloudFormation writes it.
func stringValue(text string) (any, error) {
	if n := len([]rune(text)); n == 0 || n > maxStringValue {
		return nil, fmt.Errorf("has %d characters; TwinMaker takes 1 to %d", n, maxStringValue)
	}
	if strings.Contains(text, "{{resolve:") {
		return nil, errors.New("holds {{resolve:…, which CloudFormation would replace")
	}
	return map[string]any{"StringValue": text}, nil
}
