package render

import (
	"encoding/json"
	"errors"
	"fmt"
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

// componentTypes returns a template for each device, by the name of its stack.
// One for each, and not several in one, because a component type that moves
// from one stack to another would be made there before it is gone here, which
// TwinMaker refuses.
func componentTypes(p *config.Project) (map[string]string, error) {
	stacks := make(map[string]string, len(p.Devices))
	var wrong []error
	for _, d := range p.Devices {
		text, problems := componentType(p.Twin, d)
		for _, problem := range problems {
			wrong = append(wrong, fmt.Errorf("config_iot_devices.json: device %q: %w", d.ID, problem))
		}
		stacks[names.Stack(p.Twin, "device-"+names.LogicalID(d.ID))] = text
	}
	if len(wrong) > 0 {
		return nil, configError("component types", "%w", errors.Join(wrong...))
	}
	return stacks, nil
}

// componentType is the template of a device's component type:
//
//	deviceId            the external id: the device
//	temperature         telemetry: a time series that the reader brings
//	temperature_latest  its newest value, which the last-entry reader brings
//	serial              a constant, with its value
func componentType(twin string, d config.Device) (text string, wrong []error) {
	properties := map[string]any{}
	define := func(name, dataType string, more map[string]any) {
		if problem := checkPropertyName(name); problem != nil {
			wrong = append(wrong, problem)
			return
		}
		if _, ok := properties[name]; ok {
			wrong = append(wrong, fmt.Errorf("property %q is there twice (beside those that are listed, a component has %q and, for each property, NAME%s); rename it", name, component.ExternalID, component.LatestSuffix))
			return
		}
		more["DataType"] = map[string]string{"Type": dataType}
		properties[name] = more
	}
	id, problem := stringValue(d.ID)
	if problem != nil {
		wrong = append(wrong, fmt.Errorf("its id %w", problem))
	}
	define(component.ExternalID, "STRING", map[string]any{"IsExternalId": true, "DefaultValue": id})
	for _, p := range d.Properties {
		define(p.Name, p.Type, map[string]any{"IsStoredExternally": true, "IsTimeSeries": true})
	}
	for _, p := range d.Properties {
		define(p.Name+component.LatestSuffix, p.Type, map[string]any{
			"IsStoredExternally": true,
			"IsTimeSeries":       false,
			"Configurations":     map[string]string{twinmaker.StoredAs: p.Name},
		})
	}
	for _, c := range d.Constants {
		value, problem := dataValue(c)
		if problem != nil {
			wrong = append(wrong, problem)
		}
		define(c.Name, c.Type, map[string]any{"DefaultValue": value})
	}
	t := newTemplate("TwinMaker component type of a device of the digital twin "+twin, "WorkspaceId", "History", "LastEntry")
	t.Resources["ComponentType"] = resource{"AWS::IoTTwinMaker::ComponentType", map[string]any{
		"WorkspaceId":         ref("WorkspaceId"),
		"ComponentTypeId":     names.ComponentType(twin, d.ID),
		"Description":         "A device of the digital twin " + twin,
		"PropertyDefinitions": properties,
		// Both, for a component type with a stored property and no reader of it is
		// abstract, and no entity can have it.
		"Functions": map[string]any{
			"dataReader":                           readBy("History"),
			"attributePropertyValueReaderByEntity": readBy("LastEntry"),
		},
	}}
	text = t.String()
	if len(text) > maxTemplate {
		wrong = append(wrong, fmt.Errorf("its component type makes a template of %d bytes, and CloudFormation takes %d; give it fewer properties", len(text), maxTemplate))
	}
	return text, wrong
}

// readBy is a function of a component type, by the parameter that has its ARN.
func readBy(parameter string) any {
	return map[string]any{
		"ImplementedBy":      map[string]any{"Lambda": map[string]any{"Arn": ref(parameter)}},
		"RequiredProperties": []string{component.ExternalID},
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
		return nil, fmt.Errorf("constant %q is of the type %q; want STRING, DOUBLE, INTEGER, LONG or BOOLEAN", c.Name, c.Type)
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
