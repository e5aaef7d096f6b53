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

// maxTemplate is how many bytes CloudFormation takes of a template that is sent as text.
const maxTemplate = 51_200

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
		t["workspace"], t["role"], t["create_workspace"] = o.Workspace, o.WorkspaceRole[strings.LastIndexByte(o.WorkspaceRole, '/')+1:], false
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
		bad := func(format string, args ...any) {
			wrong = append(wrong, &config.Problem{Where: "config_iot_devices.json: " + where, Err: fmt.Errorf(format, args...)})
		}
		text, id := componentType(p.Twin, devices), componentTypeID(p.Twin, d)
		if len(text) > maxTemplate {
			bad("its component type makes a template of %d bytes, and CloudFormation takes %d; give it fewer properties", len(text), maxTemplate)
		}
		if other, taken := ids[id]; taken {
			bad("its component type %q is that of the %s, too; rename one of them", id, other)
		}
		ids[id], stacks[names.Stack(p.Twin, stack)] = where, text
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

// definitions are the property definitions of a component type, by name. Package config
// has checked the names and the values.
type definitions map[string]map[string]any

// define adds a property of a data type.
func (d definitions) define(name, dataType string, more map[string]any) {
	more["DataType"] = map[string]string{"Type": dataType}
	d[name] = more
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
func componentType(twin string, devices []config.Device) string {
	d := devices[0]
	properties := definitions{}
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
		"PropertyDefinitions": properties,
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
	return t.String()
}

// external adds the property that is the external id and, for an alarm, the alarm
// status, and returns the first one's name. What the basic alarm defines is inherited:
// only what differs is said.
func (d definitions) external(device config.Device) string {
	id, own := map[string]any{"StringValue": device.ID}, device.Type == ""
	status := device.Alarm()
	switch {
	case status == "" && own:
		d.define(component.ExternalID, "STRING", map[string]any{"IsExternalId": true, "DefaultValue": id})
	case status == "":
		d.define(component.ExternalID, "STRING", map[string]any{"IsExternalId": true, "IsRequiredInEntity": true})
	case own:
		d[component.AlarmKey] = map[string]any{"DefaultValue": id}
	}
	if status == "" {
		return component.ExternalID
	}
	if status != component.AlarmStatus {
		d[component.AlarmStatus] = map[string]any{"Configurations": map[string]string{twinmaker.StoredAs: status}}
	}
	return component.AlarmKey
}

// constant adds a constant, with its value if all devices have the same one.
func (d definitions) constant(c config.Constant, devices []config.Device) {
	more := map[string]any{"DefaultValue": map[string]any{valueKeys[c.Type]: c.Value}}
	for _, other := range devices {
		same := func(o config.Constant) bool { return o.Name == c.Name && string(o.Value) == string(c.Value) }
		if !slices.ContainsFunc(other.Constants, same) {
			more = map[string]any{}
		}
	}
	d.define(c.Name, c.Type, more)
}

// valueKeys are CloudFormation's keys of a value, by data type.
var valueKeys = map[string]string{
	"BOOLEAN": "BooleanValue", "DOUBLE": "DoubleValue", "INTEGER": "IntegerValue", "LONG": "LongValue", "STRING": "StringValue",
}

// readBy is a function of a component type, by the parameter that has its ARN.
func readBy(parameter, external string) any {
	return map[string]any{
		"ImplementedBy":      map[string]any{"Lambda": map[string]any{"Arn": ref(parameter)}},
		"RequiredProperties": []string{external},
	}
}
