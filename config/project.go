package config

import (
	"encoding/json"
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

	Backend map[Cloud]Backend // where Terraform keeps a cloud's state; none = in the work folder
}

// AWSOptions are what exists on AWS already, and where the rest is to be.
type AWSOptions struct {
	Region        string // "" = that of the environment
	Table         string // existing hot table; "" = one is made
	Workspace     string // existing TwinMaker workspace; "" = one is made
	WorkspaceRole string // ARN of the existing workspace's role; "" unless Workspace is set
	APIKey        bool   // the API wants an API key besides the token
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

// LoadProject reads a project folder. Whatever is wrong is reported together:
// one error of CodeConfig with a line for each problem, which begins with the
// file and the key.
func LoadProject(dir string) (*Project, error) {
	return nil, nil // being written
}
