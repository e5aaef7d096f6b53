package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"hotreader"
	"hotreader/internal/component"
	"hotreader/internal/jsontext"
	"hotreader/layout"
)

// Project is a project folder, checked.
type Project struct {
	Dir     string
	Twin    string
	L3, L4  Cloud // of hot storage, of the twin
	Devices []Device
	Days    int     // how long hot storage keeps a row; 0 = not said
	Options Options // config_hot_reader.json
}

// Device is what one device reports.
type Device struct {
	ID         string
	Properties []Property
	Constants  []Constant
}

// Property is one value that a device reports.
type Property struct {
	Name    string
	Type    string          // STRING, DOUBLE, INTEGER, LONG or BOOLEAN
	Initial json.RawMessage // JSON of Type's kind: "text", 1.5, 7, true; nil = none
}

// Constant is a value that a device always has.
type Constant struct {
	Name  string
	Type  string          // as Property's
	Value json.RawMessage // as Property's Initial, but never nil
}

// Options are what config_hot_reader.json says. The zero value of each field
// stands for a default.
type Options struct {
	AWS   AWSOptions
	Azure AzureOptions
	GCP   GCPOptions

	Settings
	MemoryMB int // of a function; 0 = the module's default
	LogDays  int // how long logs are kept; 0 = the module's default

	// OTel are OpenTelemetry's variables that each function gets; nil = none.
	OTel map[string]string

	Backend map[Cloud]Backend // where Terraform keeps a cloud's state; none = in the work folder

	older layout.Layout // what the keys that are older than Layout say, until it has it
}

// AWSOptions are what exists on AWS already, and where the rest is to be.
type AWSOptions struct {
	Region        string // "" = that of the environment
	Table         string // existing hot table, its name or ARN; "" = one is made
	Workspace     string // existing TwinMaker workspace; "" = one is made
	WorkspaceRole string // ARN of the existing workspace's role; "" unless Workspace is set
	APIKey        bool   // the API's GET routes under /v1 want an API key besides the token

	// AccountLogRole sets the role by which API Gateway writes logs, one for all
	// APIs of the account and region. An account that has none refuses the API's
	// access log.
	AccountLogRole bool
}

// AzureOptions are what exists on Azure already, and where the rest is to be.
type AzureOptions struct {
	Subscription  string // its id; "" = that of the environment
	Location      string // "" = the module's default
	ResourceGroup string // existing; "" = one is made
	CosmosAccount string // existing, in ResourceGroup; "" = one is made
	Database      string // existing, in CosmosAccount; "" = one is made
	Container     string // existing, in Database; "" = one is made
}

// GCPOptions are what exists on Google Cloud already, and where the rest is to
// be.
type GCPOptions struct {
	Project    string // its id; "" = that of the environment
	Region     string // "" = the module's default
	Database   string // existing Firestore database, "(default)" too; "" = one is made
	Collection string // its id or path, which may hold {device}; "" = {twin}-hot-iot-data
}

// Backend is a Terraform backend.
type Backend struct {
	Type   string                     // s3, azurerm, gcs or local
	Config map[string]json.RawMessage // its arguments
}

// TwinInfo returns DIGITAL_TWIN_INFO: what the functions read of the project,
// and no more, for Lambda allows 4 KB for all variables together.
func (p *Project) TwinInfo() string {
	var info twinInfo
	info.Config.Name, info.Providers.L3, info.Providers.L4 = &p.Twin, string(p.L3), string(p.L4)
	text, _ := json.Marshal(info) // three strings: cannot fail
	return string(text)
}

// The files of a project folder that are read here.
const (
	fileConfig    = "config.json"
	fileProviders = "config_providers.json"
	fileDevices   = "config_iot_devices.json"
	fileOptions   = "config_hot_reader.json"
)

// LoadProject reads a project folder. Whatever is wrong is reported together:
// one error of CodeConfig with a line for each problem, which begins with the
// file and the key. config_inter_cloud.json is read by OpenConnections.
func LoadProject(dir string) (*Project, error) {
	op := "project folder " + dir
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		if err == nil {
			err = errors.New("it is not a folder")
		}
		return nil, &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: fmt.Errorf("cannot be read: %w; want the folder with %s", err, fileConfig)}
	}
	l := &loader{Project: &Project{Dir: dir}}
	l.config()
	l.providers()
	l.devices()
	l.options()
	if err := l.err(op); err != nil {
		return nil, err
	}
	return l.Project, nil
}

// loader reads the files of a project folder.
type loader struct {
	problems
	*Project // as far as it is read
}

// open returns the document of a file. want says what a file is for that must be
// there.
func (l *loader) open(name, want string) (json.RawMessage, bool) {
	text, _, err := readFile(filepath.Join(l.Dir, name))
	switch {
	case err != nil:
		l.add(name, "%w", err)
	case text != nil:
		return l.document(name, text)
	case want != "":
		l.add(name, "is missing in the folder; want %s", want)
	}
	return nil, false
}

func (l *loader) config() {
	doc, ok := l.open(fileConfig, `{"digital_twin_name":…,"hot_storage_size_in_days":…}`)
	if !ok {
		return
	}
	l.members(fileConfig, doc,
		field{"digital_twin_name", wantTwinName, func(where string, raw json.RawMessage) {
			text, ok := l.text(where, raw)
			if err := CheckTwinName(text); ok && err != nil {
				l.add(where, "%w", err)
			}
			l.Twin = text
		}},
		field{name: "hot_storage_size_in_days", read: func(where string, raw json.RawMessage) { l.Days = l.whole(where, raw, 1, 36500) }},
		field{name: "cold_storage_size_in_days"},
		field{name: "mode"})
}

func (l *loader) providers() {
	doc, ok := l.open(fileProviders, `{"layer_3_hot_provider":…,"layer_4_provider":…}`)
	if !ok {
		return
	}
	cloud := func(name, need string, to *Cloud) field {
		return field{name, need, func(where string, raw json.RawMessage) {
			text, ok := l.text(where, raw)
			if !ok || need == "" && strings.TrimSpace(text) == "" {
				return
			}
			var err error
			if *to, err = ParseCloud(text); err != nil {
				l.add(where, "%w", err)
			}
		}}
	}
	var others Cloud // for which nothing is deployed
	l.members(fileProviders, doc,
		cloud("layer_3_hot_provider", "want aws, azure or google", &l.L3), cloud("layer_4_provider", "want aws, azure or google", &l.L4),
		cloud("layer_1_provider", "", &others), cloud("layer_2_provider", "", &others), cloud("layer_3_cold_provider", "", &others),
		cloud("layer_3_archive_provider", "", &others), cloud("layer_5_provider", "", &others))
}

func (l *loader) devices() {
	doc, ok := l.open(fileDevices, `[{"id":…,"properties":[{"name":…,"dataType":…}]}]`)
	if !ok {
		return
	}
	first := map[string]int{}
	items, _ := l.items(fileDevices, doc)
	for _, item := range items {
		where := item.name
		d := l.device(where, item.value)
		n, twice := first[d.ID]
		switch {
		case d.ID == "":
		case twice:
			l.add(where+".id", "%.60q is the id of [%d] too; a device stands there once", d.ID, n)
		default:
			first[d.ID] = len(l.Devices)
		}
		l.Devices = append(l.Devices, d)
	}
}

func (l *loader) device(where string, raw json.RawMessage) (d Device) {
	names := map[string]string{} // of properties and constants -> where it stands
	l.members(where, raw,
		field{"id", "want the device's id, as its rows carry it", func(where string, raw json.RawMessage) {
			var ok bool
			if d.ID, ok = l.text(where, raw); ok {
				l.deviceID(where, d.ID)
			}
		}},
		field{"properties", `want [{"name":…,"dataType":…}]`, func(where string, raw json.RawMessage) {
			items, _ := l.items(where, raw)
			for _, item := range items {
				p := l.property(item.name, item.value, field{name: "initValue"}, names)
				d.Properties = append(d.Properties, Property{p.Name, p.Type, p.Value})
			}
		}},
		field{name: "constProperties", read: func(where string, raw json.RawMessage) {
			items, _ := l.items(where, raw)
			for _, item := range items {
				d.Constants = append(d.Constants, l.property(item.name, item.value, field{name: "value", need: "want the constant's value"}, names))
			}
		}})
	for _, p := range d.Properties {
		if there, ok := names[p.Name+component.LatestSuffix]; l.L4 == AWS && ok && p.Name != "" {
			l.add(there+".name", "%.60q is the name under which the twin keeps the last entry of %.60q; rename one of them", p.Name+component.LatestSuffix, p.Name)
		}
	}
	return d
}

func (l *loader) deviceID(where, id string) {
	most := hotreader.MaxDeviceBytes
	if l.L4 == AWS {
		most = 256 // of a default value in TwinMaker, which is how the id comes back
	}
	switch {
	case id == "":
		l.add(where, "is empty; want the device's id, as its rows carry it")
	case len(id) > most:
		l.add(where, "%.40q has %d bytes; at most %d are allowed", id, len(id), most)
	case strings.ContainsFunc(id, unicode.IsControl):
		l.add(where, "%.60q has a control character", id)
	case strings.TrimSpace(id) != id:
		l.add(where, "%.60q has a blank at an end", id)
	case l.L4 == AWS && strings.Contains(id, dynamicReference):
		l.add(where, "%.60q holds %s…, which CloudFormation would replace", id, dynamicReference)
	}
}

// dynamicReference begins what CloudFormation, which makes TwinMaker's component
// types, replaces by a value from elsewhere.
const dynamicReference = "{{resolve:"

// dataTypes are the words of dataType, and what a value of each is.
var (
	dataTypes = []string{"STRING", "DOUBLE", "INTEGER", "LONG", "BOOLEAN"}
	wants     = map[string]string{
		"STRING":  "a text of 1 to 256 characters",
		"DOUBLE":  "a number",
		"INTEGER": "a whole number of 32 bits",
		"LONG":    "a whole number of 64 bits",
		"BOOLEAN": "true or false",
	}
)

// property reads a property or a constant: its name, its type, and its value as
// JSON of that type, nil if there is none. names has where a name stands already.
func (l *loader) property(where string, raw json.RawMessage, value field, names map[string]string) (c Constant) {
	value.read = func(at string, raw json.RawMessage) {
		if c.Type == "" {
			return
		}
		var ok bool
		if c.Value, ok = typed(c.Type, raw); !ok {
			l.add(at, "is %s; want %s", short(raw), wants[c.Type])
		}
		if l.L4 == AWS && value.need != "" && c.Type == "STRING" && bytes.Contains(c.Value, []byte(dynamicReference)) {
			l.add(at, "is %s, which holds %s…, and CloudFormation would replace that", short(raw), dynamicReference)
		}
	}
	l.members(where, raw,
		field{"name", "want the property's name, as rows carry it", func(at string, raw json.RawMessage) {
			var ok bool
			if c.Name, ok = l.text(at, raw); !ok {
				return
			}
			there, twice := names[c.Name]
			if wrong := checkProperty(c.Name, l.L4); wrong != "" {
				l.add(at, "%s", wrong)
			} else if twice {
				l.add(at, "%.60q is the name of %s too; a name stands there once", c.Name, strings.TrimPrefix(there, fileDevices+": "))
			} else {
				names[c.Name] = where
			}
		}},
		field{"dataType", "want one of " + strings.Join(dataTypes, ", "), func(at string, raw json.RawMessage) {
			text, ok := l.text(at, raw)
			if c.Type = strings.ToUpper(strings.TrimSpace(text)); ok && !slices.Contains(dataTypes, c.Type) {
				l.add(at, "%w", notOneOf(text, "data type", dataTypes...))
				c.Type = ""
			}
		}},
		value)
	return c
}

// checkProperty says what is wrong with a property's name, or "".
func checkProperty(name string, twin Cloud) string {
	const want = "; TwinMaker takes a-z, A-Z, 0-9, _ and -"
	switch {
	case name == "":
		return "is empty; want the property's name, as rows carry it"
	case len(name) > hotreader.MaxNameBytes:
		return fmt.Sprintf("%.40q has %d bytes; at most %d are allowed", name, len(name), hotreader.MaxNameBytes)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Sprintf("%.60q has a control character", name)
	case twin != AWS:
		return ""
	case name == component.ExternalID:
		return fmt.Sprintf("%q is the name under which the twin keeps the device's id; take another", name)
	case len(name)+len(component.LatestSuffix) > 256:
		return fmt.Sprintf("%.40q has %d bytes; at most %d are allowed, for %s is put to it in TwinMaker", name, len(name), 256-len(component.LatestSuffix), component.LatestSuffix)
	}
	for _, c := range name {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return fmt.Sprintf("%.60q has the character %q", name, c) + want
		}
	}
	return ""
}

// typed returns raw as JSON of a data type, and whether it fits: as values of
// rows do, so that "1.5" is a DOUBLE and 2.0 an INTEGER.
func typed(dataType string, raw json.RawMessage) (json.RawMessage, bool) {
	var v hotreader.Value
	switch jsontext.KindOf(raw) {
	case jsontext.String:
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil, false
		}
		v = hotreader.StringValue([]byte(s))
	case jsontext.Number:
		v = hotreader.NumberValue(bytes.TrimSpace(raw))
	case jsontext.Boolean:
		v = hotreader.BoolValue(bytes.TrimSpace(raw)[0] == 't')
	}
	t, _ := hotreader.ParseType(dataType)
	v, _, ok := t.Convert(v, nil)
	if !ok {
		return nil, false
	}
	switch v.Kind() {
	case hotreader.Bool:
		return strconv.AppendBool(nil, v.Bool()), true
	case hotreader.Number:
		return bytes.Clone(v.Text()), true
	}
	text, err := json.Marshal(string(v.Text()))
	return text, err == nil
}
