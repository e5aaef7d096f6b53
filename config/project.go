package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"hotreader"
	"hotreader/identity"
	"hotreader/layout"
)

// Project is a project folder, checked.
type Project struct {
	Dir    string
	Twin   string
	L3, L4 Cloud // of hot storage, of the twin

	Cold, Archive Cloud // that are read, too; "" = not

	Devices []Device
	Days    int     // how long hot storage keeps a row; 0 = not said
	Options Options // config_hot_reader.json
}

// Options are what config_hot_reader.json says. The zero value of each field
// means a default.
type Options struct {
	AWS   AWSOptions
	Azure AzureOptions
	GCP   GCPOptions

	Settings
	MemoryMB int    // of a function; 0 = the module's default
	LogDays  int    // how long logs are kept; 0 = the module's default
	Identity string // federated, or the shared token: token, ""

	Callers []identity.Trusted // of the APIs, beside the twin's own functions

	// OTel are OpenTelemetry's variables that each function gets; nil = none.
	OTel map[string]string

	Backend map[Cloud]Backend // where Terraform keeps a cloud's state; none = in the work folder

	Cold, Archive Objects // what is read there; zero = nothing

	older layout.Layout // what the keys that are older than Layout say, until it has it
}

// AWSOptions are what exists on AWS already, and where the rest is to be.
type AWSOptions struct {
	Region        string // "" = that of the environment
	Table         string // existing hot table, its name or ARN; "" = one is made
	Workspace     string // existing TwinMaker workspace; "" = one is made
	WorkspaceRole string // ARN of the existing workspace's role; "" unless Workspace is set
	APIKey        bool   // the API's GET routes under /v1 require an API key besides the token

	// AccountLogRole sets the role by which API Gateway writes logs, one for all
	// APIs of the account and region. An account that has none rejects the API's
	// access log.
	AccountLogRole bool

	ReservedConcurrency int      // of each function; 0 = none
	WAF                 bool     // a web ACL before the API
	AllowedIPs          []string // networks that may call the API; none = all
	KMSKey              string   // ARN of a key for what is made; "" = AWS's own
}

// AzureOptions are what exists on Azure already, and where the rest is to be.
type AzureOptions struct {
	Subscription  string // its id; "" = that of the environment
	Location      string // "" = the module's default
	ResourceGroup string // existing; "" = one is made
	CosmosAccount string // existing, in ResourceGroup; "" = one is made
	Database      string // existing, in CosmosAccount; "" = one is made
	Container     string // existing, in Database; "" = one is made
	Audience      string // of the tokens of a federated twin

	MaxInstances     int      // 0 = the module's default
	AllowedIPs       []string // networks that may call the app; none = all
	Purgeable        bool     // the token's vault goes for good with destroy
	VaultKey         string   // URL of a key for what is made; "" = Microsoft's own
	VaultKeyIdentity string   // ID of the identity that may use VaultKey; "" unless it is set
}

// GCPOptions are what exists on Google Cloud already, and where the rest is to
// be.
type GCPOptions struct {
	Project    string // its id; "" = that of the environment
	Region     string // "" = the module's default
	Database   string // existing Firestore database, "(default)" too; "" = one is made
	Collection string // its id or path, which may hold {device}; "" = {twin}-hot-iot-data

	MaxInstances int    // 0 = the module's default
	KMSKey       string // for what is made; "" = Google's own
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
	info.Providers.Cold, info.Providers.Archive = string(p.Cold), string(p.Archive)
	if p.Days > 0 {
		info.Config.Days = json.RawMessage(strconv.Itoa(p.Days))
	}
	text, _ := json.Marshal(info) // texts and a number: cannot fail
	return string(text)
}

// The files of a project folder that are read here.
const (
	fileConfig    = "config.json"
	fileProviders = "config_providers.json"
	fileDevices   = "config_iot_devices.json"
	fileOptions   = "config_hot_reader.json"
)

// Files are the files of a project folder.
var Files = []string{fileConfig, fileProviders, fileDevices, fileOptions, fileConnections}

// LoadProject reads a project folder. Whatever is wrong is reported together:
// one error of CodeConfig with a line for each problem, which begins with the
// file and the key. config_inter_cloud.json is read by OpenConnections.
func LoadProject(dir string) (*Project, error) {
	op := "project folder " + dir
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		if err == nil {
			err = errors.New("it is not a folder")
		}
		return nil, &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: fmt.Errorf("cannot be read: %w; expected the folder with %s", err, fileConfig)}
	}
	l := &loader{Project: &Project{Dir: dir}}
	l.config()
	l.providers()
	l.devices()
	l.options()
	l.lower()
	l.identity()
	l.asked()
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
		l.add(name, "is missing in the folder; expected %s", want)
	}
	return nil, false
}

func (l *loader) config() {
	if doc, ok := l.open(fileConfig, `{"digital_twin_name":…,"hot_storage_size_in_days":…}`); ok {
		l.members(fileConfig, doc, l.configFields()...)
	}
}

func (l *loader) configFields() []field {
	return []field{
		{name: "digital_twin_name", need: wantTwinName, is: twinName, read: func(where string, raw json.RawMessage) {
			text, ok := l.text(where, raw)
			if err := CheckTwinName(text); ok && err != nil {
				l.add(where, "%w", err)
			}
			l.Twin = text
		}},
		l.by("hot_storage_size_in_days", days, &l.Days),
		{name: "cold_storage_size_in_days"},
		{name: "mode"},
	}
}

func (l *loader) providers() {
	if doc, ok := l.open(fileProviders, `{"layer_3_hot_provider":…,"layer_4_provider":…}`); ok {
		l.members(fileProviders, doc, l.providerFields()...)
	}
}

func (l *loader) providerFields() []field {
	cloud := func(name, need string, to *Cloud) field {
		return field{name: name, need: need, is: cloudWords, read: func(where string, raw json.RawMessage) {
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
	return []field{
		cloud("layer_3_hot_provider", "expected aws, azure or google", &l.L3), cloud("layer_4_provider", "expected aws, azure or google", &l.L4),
		cloud("layer_1_provider", "", &others), cloud("layer_2_provider", "", &others), cloud("layer_3_cold_provider", "", &l.Cold),
		cloud("layer_3_archive_provider", "", &l.Archive), cloud("layer_5_provider", "", &others),
	}
}
