package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"hotreader"
	"hotreader/identity"
	"hotreader/internal/component"
	"hotreader/internal/jsontext"
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

	DeviceKey  string  // attribute with the device's id; "" = device_id
	TimeKey    string  // attribute with the instant; "" = timestamp
	TimeFormat string  // iso8601, epoch_ms, epoch_s or, in Firestore, native; "" = iso8601
	Rate       float64 // requests a second and token; 0 = the server's default
	Burst      int     // 0 = the server's default
	MemoryMB   int     // of a function; 0 = the module's default
	LogDays    int     // how long logs are kept; 0 = the module's default
	LogLevel   string  // debug, info, warn or error; "" = info

	Readable identity.Devices // that may be read; none = all

	// OTel are OpenTelemetry's variables that each function gets; nil = none.
	OTel map[string]string

	Backend map[Cloud]Backend // where Terraform keeps a cloud's state; none = in the work folder
}

// AWSOptions are what exists on AWS already, and where the rest is to be.
type AWSOptions struct {
	Region        string // "" = that of the environment
	Table         string // existing hot table; "" = one is made
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
	Collection string // "" = {twin}-hot-iot-data
}

// Backend is a Terraform backend.
type Backend struct {
	Type   string                     // s3, azurerm, gcs or local
	Config map[string]json.RawMessage // its arguments
}

// TwinInfo returns DIGITAL_TWIN_INFO: what the functions read of the project,
// and no more, for Lambda allows 4 KB for all variables together.
func (p *Project) TwinInfo() string {
	var info struct {
		Config struct {
			Name string `json:"digital_twin_name"`
		} `json:"config"`
		Providers struct {
			L3 Cloud `json:"layer_3_hot_provider"`
			L4 Cloud `json:"layer_4_provider"`
		} `json:"config_providers"`
	}
	info.Config.Name, info.Providers.L3, info.Providers.L4 = p.Twin, p.L3, p.L4
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
	l := &loader{dir: dir}
	p := &Project{Dir: dir}
	l.config(p)
	l.providers(p)
	l.devices(p)
	l.options(p)
	if err := l.err(op); err != nil {
		return nil, err
	}
	return p, nil
}

// loader reads the files of a project folder.
type loader struct {
	problems
	dir string
}

// open returns the document of a file.
func (l *loader) open(name, want string) (json.RawMessage, bool) {
	before := len(l.problems)
	text := l.read(l.dir, name)
	if text == nil {
		if want != "" && len(l.problems) == before {
			l.add(name, "is missing in the folder; want %s", want)
		}
		return nil, false
	}
	return l.document(name, text)
}

func (l *loader) config(p *Project) {
	doc, ok := l.open(fileConfig, `{"digital_twin_name":…,"hot_storage_size_in_days":…}`)
	if !ok {
		return
	}
	o, _ := l.object(fileConfig, doc)
	if o == nil && jsontext.KindOf(doc) != jsontext.Object {
		return
	}
	known := []string{"digital_twin_name", "hot_storage_size_in_days", "cold_storage_size_in_days", "mode"}
	const name = "digital_twin_name"
	if raw := o.get(name); raw == nil {
		l.missing(fileConfig, o, name, known, "want a letter, then up to 20 letters, digits, _ or -")
	} else if text, ok := l.text(below(fileConfig, name), raw); ok {
		p.Twin = text
		if err := CheckTwinName(text); err != nil {
			l.add(below(fileConfig, name), "%w", err)
		}
	}
	l.typos(fileConfig, o, known[1:], known)
	const days = "hot_storage_size_in_days"
	if raw := o.get(days); given(raw) {
		p.Days = l.whole(below(fileConfig, days), raw, 1, 36500)
	}
}

// typos reports keys that look like misspelt ones of optional, which are not
// there. Other keys that are not known are somebody else's.
func (l *loader) typos(where string, o object, optional, known []string) {
	for _, want := range optional {
		if typed := o.mistyped(want, known); o.get(want) == nil && typed != "" {
			l.add(below(where, typed), "is unknown; did you mean %s?", want)
		}
	}
}

// given reports whether a value is there and not null.
func given(raw json.RawMessage) bool { return raw != nil && jsontext.KindOf(raw) != jsontext.Null }

func (l *loader) providers(p *Project) {
	doc, ok := l.open(fileProviders, `{"layer_3_hot_provider":…,"layer_4_provider":…}`)
	if !ok {
		return
	}
	o, _ := l.object(fileProviders, doc)
	if o == nil && jsontext.KindOf(doc) != jsontext.Object {
		return
	}
	needed := []string{"layer_3_hot_provider", "layer_4_provider"}
	known := slices.Concat(needed, []string{"layer_1_provider", "layer_2_provider", "layer_3_cold_provider", "layer_3_archive_provider", "layer_5_provider"})
	l.typos(fileProviders, o, known[len(needed):], known)
	for i, key := range known {
		where, raw := below(fileProviders, key), o.get(key)
		if raw == nil {
			if i < len(needed) {
				l.missing(fileProviders, o, key, known, "want aws, azure or google")
			}
			continue
		}
		if i >= len(needed) && !given(raw) {
			continue
		}
		text, ok := l.text(where, raw)
		if !ok || i >= len(needed) && strings.TrimSpace(text) == "" {
			continue
		}
		cloud, err := ParseCloud(text)
		if err != nil {
			l.add(where, "%w", err)
		}
		switch key {
		case "layer_3_hot_provider":
			p.L3 = cloud
		case "layer_4_provider":
			p.L4 = cloud
		}
	}
}

// dataTypes are the words of dataType.
var dataTypes = []string{"STRING", "DOUBLE", "INTEGER", "LONG", "BOOLEAN"}

func (l *loader) devices(p *Project) {
	doc, ok := l.open(fileDevices, `[{"id":…,"properties":[{"name":…,"dataType":…}]}]`)
	if !ok {
		return
	}
	items, ok := l.list(fileDevices, doc)
	if !ok {
		return
	}
	first := map[string]int{}
	for i, item := range items {
		where := fmt.Sprintf("%s: [%d]", fileDevices, i)
		d := l.device(where, item, p.L4)
		if d.ID != "" {
			if n, twice := first[d.ID]; twice {
				l.add(where+".id", "%.60q is the id of [%d] too; a device stands there once", d.ID, n)
			} else {
				first[d.ID] = i
			}
		}
		p.Devices = append(p.Devices, d)
	}
}

func (l *loader) device(where string, raw json.RawMessage, twin Cloud) (d Device) {
	o, _ := l.object(where, raw)
	if o == nil && jsontext.KindOf(raw) != jsontext.Object {
		return d
	}
	known := []string{"id", "properties", "constProperties"}
	if raw := o.get("id"); raw == nil {
		l.missing(where, o, "id", known, "want the device's id, as its rows carry it")
	} else if id, ok := l.text(where+".id", raw); ok {
		d.ID = id
		most := hotreader.MaxDeviceBytes
		if twin == AWS {
			most = 256 // of a default value in TwinMaker, which is how the id comes back
		}
		switch {
		case id == "":
			l.add(where+".id", "is empty; want the device's id, as its rows carry it")
		case len(id) > most:
			l.add(where+".id", "%.40q has %d bytes; at most %d are allowed", id, len(id), most)
		case strings.ContainsFunc(id, unicode.IsControl):
			l.add(where+".id", "%.60q has a control character", id)
		case strings.TrimSpace(id) != id:
			l.add(where+".id", "%.60q has a blank at an end", id)
		case twin == AWS && strings.Contains(id, dynamicReference):
			l.add(where+".id", "%.60q holds %s…, which CloudFormation would replace", id, dynamicReference)
		}
	}
	names := map[string]string{} // of properties and constants -> where it stands
	if raw := o.get("properties"); raw == nil {
		l.missing(where, o, "properties", known, `want [{"name":…,"dataType":…}]`)
	} else if items, ok := l.list(where+".properties", raw); ok {
		for i, item := range items {
			at := fmt.Sprintf("%s.properties[%d]", where, i)
			name, kind, value := l.property(at, item, "initValue", false, names, twin)
			d.Properties = append(d.Properties, Property{name, kind, value})
		}
	}
	if raw := o.get("constProperties"); given(raw) {
		items, _ := l.list(where+".constProperties", raw)
		for i, item := range items {
			at := fmt.Sprintf("%s.constProperties[%d]", where, i)
			name, kind, value := l.property(at, item, "value", true, names, twin)
			d.Constants = append(d.Constants, Constant{name, kind, value})
		}
	} else if typed := o.mistyped("constProperties", known); typed != "" {
		l.add(below(where, typed), "is unknown; did you mean constProperties?")
	}
	if twin == AWS {
		for _, p := range d.Properties {
			if there, ok := names[p.Name+component.LatestSuffix]; ok && p.Name != "" {
				l.add(there+".name", "%.60q is the name under which the twin keeps the last entry of %.60q; rename one of them", p.Name+component.LatestSuffix, p.Name)
			}
		}
	}
	return d
}

// dynamicReference begins what CloudFormation, which makes TwinMaker's component
// types, replaces by a value from elsewhere.
const dynamicReference = "{{resolve:"

// property reads a property or a constant: its name, its type, and the value
// under key as JSON of that type, nil if there is none.
func (l *loader) property(where string, raw json.RawMessage, key string, wanted bool, names map[string]string, twin Cloud) (name, dataType string, value json.RawMessage) {
	o, _ := l.object(where, raw)
	if o == nil && jsontext.KindOf(raw) != jsontext.Object {
		return "", "", nil
	}
	known := []string{"name", "dataType", key}
	if raw := o.get("name"); raw == nil {
		l.missing(where, o, "name", known, "want the property's name, as rows carry it")
	} else if text, ok := l.text(where+".name", raw); ok {
		name = text
		if wrong := checkProperty(name, twin); wrong != "" {
			l.add(where+".name", "%s", wrong)
		} else if there, twice := names[name]; twice {
			l.add(where+".name", "%.60q is the name of %s too; a name stands there once", name, strings.TrimPrefix(there, fileDevices+": "))
		} else {
			names[name] = where
		}
	}
	if raw := o.get("dataType"); raw == nil {
		l.missing(where, o, "dataType", known, "want one of "+strings.Join(dataTypes, ", "))
	} else if text, ok := l.text(where+".dataType", raw); ok {
		dataType = strings.ToUpper(strings.TrimSpace(text))
		if !slices.Contains(dataTypes, dataType) {
			l.add(where+".dataType", "%w", notOneOf(text, "data type", dataTypes...))
			dataType = ""
		}
	}
	switch raw := o.get(key); {
	case raw == nil || !wanted && !given(raw):
		if wanted {
			l.missing(where, o, key, known, "want the constant's value")
		} else if typed := o.mistyped(key, known); raw == nil && typed != "" {
			l.add(below(where, typed), "is unknown; did you mean %s?", key)
		}
	case dataType != "":
		fits, ok := typed(dataType, raw)
		if !ok {
			l.add(below(where, key), "is %s; want %s", short(raw), wants[dataType])
		}
		value = fits
		if twin == AWS && wanted && dataType == "STRING" && bytes.Contains(fits, []byte(dynamicReference)) {
			l.add(below(where, key), "is %s, which holds %s…, and CloudFormation would replace that", short(raw), dynamicReference)
		}
	}
	return name, dataType, value
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

// wants says what a value of a type is.
var wants = map[string]string{
	"STRING":  "a text of 1 to 256 characters",
	"DOUBLE":  "a number",
	"INTEGER": "a whole number of 32 bits",
	"LONG":    "a whole number of 64 bits",
	"BOOLEAN": "true or false",
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
