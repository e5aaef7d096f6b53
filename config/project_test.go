package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"hotreader"
	"hotreader/catalog"
	"hotreader/identity"
	"hotreader/layout"
)

// goodProject is a whole project folder, file by file.
func goodProject() map[string]string {
	return map[string]string{
		"config.json":           `{"digital_twin_name":"factory","hot_storage_size_in_days":30,"cold_storage_size_in_days":90,"mode":"DEBUG","more":{"is":["kept"]}}`,
		"config_providers.json": `{"layer_1_provider":"aws","layer_3_hot_provider":" Google ","layer_4_provider":"AWS","layer_5_provider":"","layer_6_provider":7}`,
		"config_iot_devices.json": `[
			{"id":"pump-1","type":"pump","properties":[{"name":"temperature","dataType":"DOUBLE","unit":"°C","initValue":21.5},{"name":"on","dataType":"boolean"}],
			 "constProperties":[{"name":"serial","dataType":"STRING","value":"A-7"},{"name":"year","dataType":"INTEGER","value":2024.0}]},
			{"id":"pump 2","properties":[],"room":"kept"}]`,
	}
}

// folder writes files into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// lines returns the problems of an error of CodeConfig.
func lines(t *testing.T, err error) []string {
	t.Helper()
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok || e.Code != hotreader.CodeConfig {
		t.Fatalf("%v: want an error of CodeConfig", err)
	}
	all := strings.Split(e.Err.Error(), "\n")
	if want := fmt.Sprintf("%d to be changed", len(all)-1); all[0] != want {
		t.Errorf("the error begins with %q, want %q", all[0], want)
	}
	return all[1:]
}

// same compares lines with what they must begin with.
func same(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestLoadProject(t *testing.T) {
	files := goodProject()
	files["config_hot_reader.json"] = `{
		"aws":{"region":"eu-central-1","table":"old-table","workspace":"old","workspace_role":"arn:aws:iam::123456789012:role/old","api_key":true,"account_log_role":true,
			"reserved_concurrency":20,"waf":true,"allowed_ips":["192.0.2.0/24","2001:db8::/32"],"kms_key":"arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab"},
		"azure":{"subscription":"11111111-2222-3333-4444-55555555AAAA","location":"West Europe","resource_group":"rg","cosmos_account":"acc","database":"db","container":"c",
			"max_instances":5,"allowed_ips":["192.0.2.7/32"],"purgeable":true,"vault_key":"https://keys.vault.azure.net/keys/twin","vault_key_identity":"/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/keys"},
		"gcp":{"project":"my-project","region":"europe-west3","database":"(default)","collection":"plants/berlin/telemetry","max_instances":3,"kms_key":"projects/p-1234/locations/europe-west3/keyRings/r/cryptoKeys/k"},
		"device_key":"dev","time_key":"ts","time_format":"Native","rate":0.5,"burst":10,"memory_mb":512,"log_days":14,"log_level":"WARN",
		"devices":["pump-1"," pump *"],
		"otel":{"OTEL_EXPORTER_OTLP_ENDPOINT":"https://otel.example.com","OTEL_TRACES_SAMPLER_ARG":0.5,"OTEL_SDK_DISABLED":false,"OTEL_SERVICE_NAME":null},
		"backend":{"aws":{"type":"s3","config":{"bucket":"b","key":"k","use_lockfile":true}},"gcp":{"type":"local"}}}`
	dir := folder(t, files)
	got, err := LoadProject(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := &Project{
		Dir: dir, Twin: "factory", L3: GCP, L4: AWS, Days: 30,
		Devices: []Device{
			{ID: "pump-1", Type: "pump",
				Properties: []Property{{"temperature", "DOUBLE", "°C", json.RawMessage("21.5"), false}, {"on", "BOOLEAN", "", nil, false}},
				Constants:  []Constant{{"serial", "STRING", json.RawMessage(`"A-7"`)}, {"year", "INTEGER", json.RawMessage("2024")}}},
			{ID: "pump 2"},
		},
		Options: Options{
			AWS: AWSOptions{Region: "eu-central-1", Table: "old-table", Workspace: "old", WorkspaceRole: "arn:aws:iam::123456789012:role/old", APIKey: true, AccountLogRole: true,
				ReservedConcurrency: 20, WAF: true, AllowedIPs: []string{"192.0.2.0/24", "2001:db8::/32"}, KMSKey: "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab"},
			Azure: AzureOptions{Subscription: "11111111-2222-3333-4444-55555555aaaa", Location: "westeurope", ResourceGroup: "rg", CosmosAccount: "acc", Database: "db", Container: "c",
				MaxInstances: 5, AllowedIPs: []string{"192.0.2.7/32"}, Purgeable: true, VaultKey: "https://keys.vault.azure.net/keys/twin",
				VaultKeyIdentity: "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/keys"},
			GCP:      GCPOptions{Project: "my-project", Region: "europe-west3", Database: "(default)", Collection: "plants/berlin/telemetry", MaxInstances: 3, KMSKey: "projects/p-1234/locations/europe-west3/keyRings/r/cryptoKeys/k"},
			Settings: Settings{Layout: layout.Layout{DeviceKey: "dev", TimeKey: "ts", TimeFormat: layout.Formats{"native"}}, Rate: 0.5, Burst: 10, Devices: identity.Devices{"pump-1", "pump *"}, LogLevel: "warn"},
			MemoryMB: 512, LogDays: 14,
			OTel: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com", "OTEL_TRACES_SAMPLER_ARG": "0.5", "OTEL_SDK_DISABLED": "false"},
			Backend: map[Cloud]Backend{
				AWS: {"s3", map[string]json.RawMessage{"bucket": json.RawMessage(`"b"`), "key": json.RawMessage(`"k"`), "use_lockfile": json.RawMessage("true")}},
				GCP: {"local", map[string]json.RawMessage{}},
			},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLoadProjectWithoutOptions(t *testing.T) {
	files := goodProject()
	for name, text := range files {
		files[name] = "\xef\xbb\xbf" + text + "\r\n" // as Windows' editors write it
	}
	p, err := LoadProject(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(p.Options, Options{}) {
		t.Errorf("options %+v, want none", p.Options)
	}
}

// Each file, changed in one way, gives exactly these lines.
func TestLoadProjectRefuses(t *testing.T) {
	const (
		c, pr, d, o = "config.json", "config_providers.json", "config_iot_devices.json", "config_hot_reader.json"
		device      = `[{"id":"a","properties":[%s]}]`
	)
	property := func(text string) string { return fmt.Sprintf(device, text) }
	for _, tc := range []struct {
		name, file, text string
		want             []string // prefixes
	}{
		{"missing", c, "", []string{`config.json: is missing in the folder; expected {"digital_twin_name":…`}},
		{"empty", c, " \n", []string{"config.json: is empty"}},
		{"half written", c, "{\n \"digital_twin_name\": \"fac", []string{"config.json: is not JSON: it ends in the middle, at line 2, column 27"}},
		{"not JSON", c, "{\n  digital_twin_name: 1}", []string{"config.json: is not JSON at line 2, column 3: invalid character 'd'"}},
		{"text behind", c, `{"digital_twin_name":"a"}` + "\n}", []string{"config.json: has more text after its end, at line 2, column 1"}},
		{"two documents", c, `{"digital_twin_name":"a"}{}`, []string{"config.json: has more text after its end, at line 1, column 26"}},
		{"no UTF-8", c, "{\"a\":\"\xff\"}", []string{"config.json: is not valid UTF-8 at line 1, column 7"}},
		{"UTF-16", c, "\xff\xfe{\x00}\x00", []string{"config.json: is UTF-16; save it as UTF-8"}},
		{"no object", c, `[]`, []string{"config.json: is an array; expected an object {…}"}},
		{"null", c, `null`, []string{"config.json: is null; expected an object {…}"}},
		{"empty object", c, `{}`, []string{"config.json: digital_twin_name: is missing; expected a letter"}},
		{"twice", c, `{"digital_twin_name":"a","digital_twin_name":"b"}`, []string{"config.json: digital_twin_name: is there twice"}},
		{"name mistyped", c, `{"digital_twin_nam":"a"}`, []string{`config.json: digital_twin_name: is missing; "digital_twin_nam" is there, did you mean that?`}},
		{"name in other case", c, `{"Digital_Twin_Name":"a"}`, []string{`config.json: digital_twin_name: is missing; "Digital_Twin_Name" is there`}},
		{"name of a wrong type", c, `{"digital_twin_name":7}`, []string{"config.json: digital_twin_name: is a number; expected a text in quotes"}},
		{"wrong character", c, `{"digital_twin_name":"my twin"}`, []string{`config.json: digital_twin_name: "my twin" has the character ' ' at place 3;`}},
		{"wrong first", c, `{"digital_twin_name":"1a"}`, []string{`config.json: digital_twin_name: "1a" begins with '1', which is not a letter`}},
		{"umlaut", c, `{"digital_twin_name":"müll"}`, []string{`config.json: digital_twin_name: "müll" has the character 'ü' at place 2;`}},
		{"too long", c, `{"digital_twin_name":"abcdefghijklmnopqrstuv"}`, []string{`config.json: digital_twin_name: "abcdefghijklmnopqrstuv" has 22 characters, at most 21`}},
		{"days", c, `{"digital_twin_name":"a","hot_storage_size_in_days":0}`, []string{"config.json: hot_storage_size_in_days: is 0; expected a whole number from 1 to 36500"}},
		{"days as text", c, `{"digital_twin_name":"a","hot_storage_size_in_days":"30"}`, []string{`config.json: hot_storage_size_in_days: is "30"; expected a whole number`}},
		{"days with a fraction", c, `{"digital_twin_name":"a","hot_storage_size_in_days":1.5}`, []string{"config.json: hot_storage_size_in_days: is 1.5; expected a whole number"}},

		{"no providers", pr, `{}`, []string{"config_providers.json: layer_3_hot_provider: is missing; expected aws, azure or google", "config_providers.json: layer_4_provider: is missing"}},
		{"provider mistyped", pr, `{"layer_3_hot_provider":"azur","layer_4_provider":"gogle"}`, []string{
			`config_providers.json: layer_3_hot_provider: "azur" is no cloud; did you mean "azure"?`,
			`config_providers.json: layer_4_provider: "gogle" is no cloud; did you mean "google"?`}},
		{"provider's key mistyped", pr, `{"layer3_hot_provider":"aws","layer_4_provider":"aws"}`, []string{
			`config_providers.json: layer_3_hot_provider: is missing; "layer3_hot_provider" is there, did you mean that?`}},
		{"one beside it is not meant", pr, `{"layer_3_cold_provider":"aws","layer_4_provider":"aws"}`, []string{
			`config_providers.json: layer_3_hot_provider: is missing; expected aws, azure or google`}},
		{"provider is null", pr, `{"layer_3_hot_provider":null,"layer_4_provider":""}`, []string{
			"config_providers.json: layer_3_hot_provider: is null; expected a text in quotes", `config_providers.json: layer_4_provider: "" is no cloud`}},
		{"provider not needed", pr, `{"layer_3_hot_provider":"aws","layer_4_provider":"aws","layer_2_provider":"asw"}`, []string{
			`config_providers.json: layer_2_provider: "asw" is no cloud; did you mean "aws"?`}},

		{"no list", d, `{"id":"a"}`, []string{"config_iot_devices.json: is an object; expected an array […]"}},
		{"no device", d, `["a"]`, []string{"config_iot_devices.json: [0]: is a string; expected an object {…}"}},
		{"empty device", d, `[{}]`, []string{"config_iot_devices.json: [0].id: is missing", "config_iot_devices.json: [0].properties: is missing"}},
		{"id", d, `[{"id":"","properties":[]},{"id":7,"properties":[]},{"id":"a\nb","properties":[]},{"id":" a","properties":[]}]`, []string{
			"config_iot_devices.json: [0].id: is empty", "config_iot_devices.json: [1].id: is a number", "config_iot_devices.json: [2].id: \"a\\nb\" has a control character", `config_iot_devices.json: [3].id: " a" has a blank`}},
		{"device twice", d, `[{"id":"a","properties":[]},{"id":"b","properties":[]},{"id":"a","properties":[]}]`, []string{
			`config_iot_devices.json: [2].id: "a" is the id of [0] too`}},
		{"type", d, `[{"id":"a","type":"","properties":[]},{"id":"b","type":7,"properties":[]},{"id":"c","type":"pump 7","properties":[]},{"id":"d","type":"` + strings.Repeat("t", 300) + `","properties":[]}]`, []string{
			"config_iot_devices.json: [0].type: is empty; expected the name of the component type", "config_iot_devices.json: [1].type: is a number",
			`config_iot_devices.json: [2].type: "pump 7" has the character ' '; TwinMaker takes`, "config_iot_devices.json: [3].type: \"tttttttttttttttttttttttttttttttttttttttt\" has 300 bytes; at most 248 are"}},
		{"type and device of one name", d, `[{"id":"a","type":"b","properties":[]},{"id":"b","properties":[]}]`, []string{`config_iot_devices.json: [0].type: "b" is the id of the device [1]`}},
		{"one type, other properties", d, `[{"id":"a","type":"t","properties":[{"name":"p","dataType":"LONG"}]},{"id":"b","type":"t","properties":[{"name":"p","dataType":"DOUBLE"}]}]`, []string{
			`config_iot_devices.json: [1].properties: of "b" differ from those of [0] "a", and both are of the type "t": "p" is DOUBLE in the first and LONG in the second`}},
		{"what is wrong is not compared", d, `[{"id":"a","type":"t","properties":[{"name":"p","dataType":"LONG"}]},{"id":"b","type":"t","properties":[{"name":"p","dataType":"LUNG"}]}]`, []string{
			`config_iot_devices.json: [1].properties[0].dataType: "LUNG" is no data type`}},
		{"alarm", d, property(`{"name":"t","dataType":"LONG","alarm":true},{"name":"u","dataType":"STRING","alarm":"yes"},{"name":"v","dataType":"STRING","alarm":true},{"name":"w","dataType":"STRING","alarms":true},{"name":"alarm_key","dataType":"STRING"}`), []string{
			`config_iot_devices.json: [0].properties[1].alarm: is "yes"; expected true or false`, "config_iot_devices.json: [0].properties[3].alarms: is unknown; did you mean alarm?",
			`config_iot_devices.json: [0].properties[0].alarm: is set on "t", which is LONG; an alarm status is a STRING`, `config_iot_devices.json: [0].properties[2].alarm: is set on "t" and on "v"; a device has one`,
			`config_iot_devices.json: [0].properties[4].name: "alarm_key" is a name that TwinMaker's basic alarm has`}},
		{"alarm in no state", d, property(`{"name":"t","dataType":"STRING","alarm":true,"initValue":"OK"}`), []string{
			`config_iot_devices.json: [0].properties[0].initValue: is "OK", which is no state of an alarm; there are NORMAL, ACTIVE, ACKNOWLEDGED, SNOOZE_DISABLED`}},
		{"one type, other alarms", d, `[{"id":"a","type":"t","properties":[{"name":"p","dataType":"STRING","alarm":true}]},{"id":"b","type":"t","properties":[{"name":"p","dataType":"STRING"}]}]`, []string{
			`config_iot_devices.json: [1].properties: have no alarm, but those of [0] have the alarm "p", and both devices are of the type "t"; set "alarm": true on the same property`}},
		{"unit", d, property(`{"name":"t","dataType":"LONG","unit":7},{"name":"u","dataType":"LONG","unit":"\n"},{"name":"v","dataType":"LONG","units":"K"}`), []string{
			"config_iot_devices.json: [0].properties[0].unit: is a number", `config_iot_devices.json: [0].properties[1].unit: "\n" has a control character`,
			"config_iot_devices.json: [0].properties[2].units: is unknown; did you mean unit?"}},
		{"properties mistyped", d, `[{"id":"a","property":[]}]`, []string{`config_iot_devices.json: [0].properties: is missing; "property" is there`}},
		{"days mistyped", c, `{"digital_twin_name":"a","hot_storage_size_in_day":1,"team":"x"}`, []string{`config.json: hot_storage_size_in_day: is unknown; did you mean hot_storage_size_in_days?`}},
		{"layer mistyped", pr, `{"layer_3_hot_provider":"google","layer_4_provider":"aws","layer_3_archiv_provider":"aws","owner":1}`, []string{
			`config_providers.json: layer_3_archiv_provider: is unknown; did you mean layer_3_archive_provider?`}},
		{"what CloudFormation replaces", d, `[{"id":"{{resolve:ssm:x}}","properties":[],"constProperties":[{"name":"k","dataType":"STRING","value":"a {{resolve:ssm:y}}"}]}]`, []string{
			`config_iot_devices.json: [0].id: "{{resolve:ssm:x}}" holds {{resolve:…`,
			`config_iot_devices.json: [0].constProperties[0].value: is "a {{resolve:ssm:y}}", which holds {{resolve:…`}},
		{"constants mistyped", d, `[{"id":"a","properties":[],"constproperties":[]}]`, []string{`config_iot_devices.json: [0].constproperties: is unknown; did you mean constProperties?`}},
		{"property", d, property(`{}`), []string{"config_iot_devices.json: [0].properties[0].name: is missing", "config_iot_devices.json: [0].properties[0].dataType: is missing; expected one of STRING, DOUBLE, INTEGER, LONG, BOOLEAN"}},
		{"property twice", d, property(`{"name":"t","dataType":"LONG"},{"name":"t","dataType":"LONG"}`), []string{`config_iot_devices.json: [0].properties[1].name: "t" is the name of [0].properties[0] too`}},
		{"constant like a property", d, `[{"id":"a","properties":[{"name":"t","dataType":"LONG"}],"constProperties":[{"name":"t","dataType":"LONG","value":1}]}]`, []string{
			`config_iot_devices.json: [0].constProperties[0].name: "t" is the name of [0].properties[0] too`}},
		{"data type", d, property(`{"name":"t","dataType":"DUOBLE"},{"name":"u","dataType":"bool"},{"name":"v","dataType":"NUMBER"}`), []string{
			`config_iot_devices.json: [0].properties[0].dataType: "DUOBLE" is no data type; did you mean "DOUBLE"?`,
			`config_iot_devices.json: [0].properties[1].dataType: "bool" is no data type; did you mean "BOOLEAN"?`,
			`config_iot_devices.json: [0].properties[2].dataType: "NUMBER" is no data type; expected one of`}},
		{"values that do not fit", d, property(`{"name":"a","dataType":"INTEGER","initValue":2147483648},{"name":"b","dataType":"LONG","initValue":1.5},{"name":"c","dataType":"DOUBLE","initValue":"warm"},` +
			`{"name":"d","dataType":"BOOLEAN","initValue":"yes"},{"name":"e","dataType":"STRING","initValue":""},{"name":"f","dataType":"STRING","initValue":{"a":1}},{"name":"g","dataType":"DOUBLE","initValue":1e999}`), []string{
			"config_iot_devices.json: [0].properties[0].initValue: is 2147483648; expected a whole number of 32 bits",
			"config_iot_devices.json: [0].properties[1].initValue: is 1.5; expected a whole number of 64 bits",
			`config_iot_devices.json: [0].properties[2].initValue: is "warm"; expected a number`,
			`config_iot_devices.json: [0].properties[3].initValue: is "yes"; expected true or false`,
			`config_iot_devices.json: [0].properties[4].initValue: is ""; expected a text of 1 to 256 characters`,
			"config_iot_devices.json: [0].properties[5].initValue: is an object; expected a text of 1 to 256 characters",
			"config_iot_devices.json: [0].properties[6].initValue: is 1e999; expected a number"}},
		{"initValue mistyped", d, property(`{"name":"t","dataType":"LONG","initvalue":1}`), []string{"config_iot_devices.json: [0].properties[0].initvalue: is unknown; did you mean initValue?"}},
		{"constant without value", d, `[{"id":"a","properties":[],"constProperties":[{"name":"t","dataType":"LONG"},{"name":"u","dataType":"STRING","value":null}]}]`, []string{
			"config_iot_devices.json: [0].constProperties[0].value: is missing", "config_iot_devices.json: [0].constProperties[1].value: is null; expected a text of 1 to 256"}},
		{"names TwinMaker does not take", d, property(`{"name":"temp °C","dataType":"LONG"},{"name":"deviceId","dataType":"STRING"},{"name":"motor.current","dataType":"DOUBLE"}`), []string{
			`config_iot_devices.json: [0].properties[0].name: "temp °C" has the character ' '; TwinMaker takes a-z, A-Z, 0-9, _ and -; where a layout reads the rows, put another name on the left of its "properties"`,
			`config_iot_devices.json: [0].properties[1].name: "deviceId" is the name under which the twin keeps the device's id`,
			`config_iot_devices.json: [0].properties[2].name: "motor.current" has the character '.'; TwinMaker takes a-z, A-Z, 0-9, _ and -. For nested properties, the layout's "properties"`}},
		{"name of a last entry", d, property(`{"name":"t","dataType":"LONG"},{"name":"t_latest","dataType":"LONG"}`), []string{
			`config_iot_devices.json: [0].properties[1].name: "t_latest" is the name under which the twin keeps the latest value of "t"`}},

		{"unknown option", o, `{"memory":1,"xyzzy":2,"aws":{"regoin":"eu-central-1"},"google":{}}`, []string{
			"config_hot_reader.json: memory: is unknown; did you mean memory_mb?",
			"config_hot_reader.json: xyzzy: is unknown; there are aws, azure, gcp, cold, archive, layout, device_key",
			"config_hot_reader.json: aws.regoin: is unknown; did you mean region?",
			"config_hot_reader.json: google: is unknown; did you mean gcp?"}},
		{"a role without a name", o, `{"aws":{"workspace":"abc","workspace_role":"arn:aws:iam::123456789012:role/x/"}}`, []string{`config_hot_reader.json: aws.workspace_role: "arn:aws:iam::123456789012:role/x/" does not fit; expected arn:aws:iam::ACCOUNT:role/NAME`}},
		{"options of a wrong shape", o, `{"aws":{"region":"Frankfurt","table":"a b","workspace_role":"x","api_key":"yes"}}`, []string{
			`config_hot_reader.json: aws.region: "Frankfurt" does not fit; expected a region, as eu-central-1`,
			`config_hot_reader.json: aws.table: "a b" does not fit`,
			`config_hot_reader.json: aws.workspace_role: "x" does not fit; expected arn:aws:iam::ACCOUNT:role/NAME`,
			`config_hot_reader.json: aws.api_key: is "yes"; expected true or false`,
			`config_hot_reader.json: aws.workspace: is missing while workspace_role is there`}},
		{"workspace without its role", o, `{"aws":{"workspace":"old"}}`, []string{"config_hot_reader.json: aws.workspace_role: is missing while workspace is there"}},
		{"Azure's parents", o, `{"azure":{"cosmos_account":"acc"}}`, []string{"config_hot_reader.json: azure.resource_group: is missing while cosmos_account is there"}},
		{"Azure's parents, deeper", o, `{"azure":{"container":"acc"}}`, []string{"config_hot_reader.json: azure.database: is missing while container is there"}},
		{"networks", o, `{"aws":{"allowed_ips":[]},"azure":{"allowed_ips":["192.0.2.7","192.0.2.7/24",7]}}`, []string{
			"config_hot_reader.json: aws.allowed_ips: is empty, which would be all networks",
			`config_hot_reader.json: azure.allowed_ips[0]: "192.0.2.7" does not fit; expected a network`, `config_hot_reader.json: azure.allowed_ips[1]: "192.0.2.7/24" does not fit`,
			"config_hot_reader.json: azure.allowed_ips[2]: is a number"}},
		{"keys of one's own", o, `{"aws":{"reserved_concurrency":0,"kms_key":"alias/mine"},"azure":{"max_instances":1001,"vault_key":"https://keys.vault.azure.net/keys/twin/0123"},"gcp":{"kms_key":"k"}}`, []string{
			`config_hot_reader.json: aws.reserved_concurrency: is 0; expected a whole number from 1 to 10000`, `config_hot_reader.json: aws.kms_key: "alias/mine" does not fit; expected arn:aws:kms:`,
			`config_hot_reader.json: azure.max_instances: is 1001`, `config_hot_reader.json: azure.vault_key: "https://keys.vault.azure.net/keys/twin/0123" does not fit; expected https://VAULT`,
			`config_hot_reader.json: gcp.kms_key: "k" does not fit; expected projects/P/`, "config_hot_reader.json: azure.vault_key_identity: is missing while vault_key is there"}},
		{"numbers", o, `{"rate":0,"burst":1.5,"memory_mb":64,"log_days":10}`, []string{
			"config_hot_reader.json: rate: is 0; expected requests a second", "config_hot_reader.json: burst: is 1.5;", "config_hot_reader.json: memory_mb: is 64; expected a whole number from 128 to 10240",
			"config_hot_reader.json: log_days: is 10, which CloudWatch does not offer; the nearest are 7 and 14"}},
		{"no numbers", o, `{"rate":"5","burst":true,"memory_mb":false}`, []string{`config_hot_reader.json: rate: is "5"; expected requests`, "config_hot_reader.json: burst: is true; expected a whole number", "config_hot_reader.json: memory_mb: is false; expected"}},
		{"words", o, `{"time_format":"iso","log_level":"verbose"}`, []string{
			`config_hot_reader.json: time_format: time_format "iso" is unknown; did you mean iso8601?`, `config_hot_reader.json: log_level: "verbose" is no log level`}},
		{"keys", o, `{"device_key":7,"time_key":"a\u0000"}`, []string{"config_hot_reader.json: device_key: is a number", `config_hot_reader.json: time_key: time_key is "a\x00", which has a character`}},
		{"keys alike", o, `{"device_key":"timestamp"}`, []string{`config_hot_reader.json: device_key: device_key and time_key are both "timestamp"`}},
		{"layout", o, `{"layout":{"time_format":"epoch_s","time_prefix":"R#","index":"i","partition":"{yyyy}"},"time_key":"a","device_key":"a"}`, []string{
			`config_hot_reader.json: device_key: device_key and time_key are both "a"`, "config_hot_reader.json: layout: time_format is epoch_s, which is no text",
			`config_hot_reader.json: layout: partition is "{yyyy}"`, `config_hot_reader.json: layout: index is "i", but only DynamoDB`}},
		{"layout and the older keys", o, `{"time_key":"ts","layout":{"time_key":"at","collection":"a"},"gcp":{"collection":"b"}}`, []string{
			`config_hot_reader.json: time_key: is "ts", but the layout's time_key is "at"; give one of them`, `config_hot_reader.json: gcp.collection: is "b", but the layout's collection is "a"`}},
		{"layout, mistyped", o, `{"layout":{"timekey":"ts"}}`, []string{`config_hot_reader.json: layout: a layout has no key "timekey"; did you mean time_key?`}},
		{"layout, twice the same", o, `{"layout":{"time_key":"ts","time_key":"at"}}`, []string{"config_hot_reader.json: layout.time_key: is there twice"}},
		{"layout, no object", o, `{"layout":"flat"}`, []string{"config_hot_reader.json: layout: is a string; expected an object"}},
		{"what a shell runs, on lines of its own", o, `{"azure":{"resource_group":"g","location":"westeurope","cosmos_account":"acc","container":"c","database":"d\u0085e"},"gcp":{"collection":"a\nb"}}`, []string{
			`config_hot_reader.json: azure.database: "d\u0085e" does not fit`, `config_hot_reader.json: gcp.collection: collection "a\nb" has a control character`}},
		{"collection", o, `{"gcp":{"collection":"a/b"}}`, []string{`config_hot_reader.json: gcp.collection: collection "a/b" is the path of a document`}},
		{"OpenTelemetry", o, `{"otel":{"HOTREADER_RATE":"1","OTEL_EXPORTER_OTLP_TRACES_HEADERS":"k=AKIAIOSFODNN7EXAMPLE","OTEL_SERVICE_NAME":["a"],"OTEL_RESOURCE_ATTRIBUTES":"` + strings.Repeat("a", 1024) + `"}}`, []string{
			"config_hot_reader.json: otel.HOTREADER_RATE: is none of OpenTelemetry's variables;", "config_hot_reader.json: otel.OTEL_EXPORTER_OTLP_TRACES_HEADERS: may hold a key,",
			"config_hot_reader.json: otel.OTEL_SERVICE_NAME: is an array;", "config_hot_reader.json: otel: has 1"}},
		{"readable devices", o, `{"devices":["a,b","p*mp","",7]}`, []string{
			`config_hot_reader.json: devices[0]: "a,b" has a comma;`, `config_hot_reader.json: devices[1]: "p*mp" does not fit;`,
			`config_hot_reader.json: devices[2]: "" does not fit;`, `config_hot_reader.json: devices[3]: is a number`}},
		{"readable devices, none", o, `{"devices":[]}`, []string{"config_hot_reader.json: devices: is empty, which would be all devices;"}},
		{"readable devices, null", o, `{"devices":null}`, []string{"config_hot_reader.json: devices: is null, which would be all devices; leave it out for all, or list them"}},
		{"readable devices, many", o, `{"devices":["pump*","` + strings.Repeat("a", 1100) + `"]}`, []string{"config_hot_reader.json: devices: has 1107 bytes; expected at most 1024"}},
		{"readable devices without the twin's", o, `{"devices":["valve*"]}`, []string{`config_hot_reader.json: devices: leaves out "pump-1" of config_iot_devices.json`}},
		{"OpenTelemetry, no object", o, `{"otel":"https://otel.example.com"}`, []string{"config_hot_reader.json: otel: is a string; expected an object"}},
		{"backend", o, `{"backend":{"aws":{"type":"S3"},"azur":{},"gcp":{}}}`, []string{
			`config_hot_reader.json: backend.aws.type: "S3" is no backend that is known here; did you mean "s3"?`,
			"config_hot_reader.json: backend.azur: is unknown; did you mean azure?",
			"config_hot_reader.json: backend.gcp.type: is missing"}},
		{"backend's arguments", o, `{"backend":{"aws":{"config":{"access_key":"AKIAIOSFODNN7EXAMPLE","bucket":"${var.b}","key":"a/../b","encrypt":"yes","region":["x"]},"type":"s3"},"gcp":{"type":"local","config":{"path":"/x"}}}}`, []string{
			"config_hot_reader.json: backend.aws.config.access_key: is not taken from a project folder, where it could name a credential, a file or another server; expected bucket, dynamodb_table, encrypt, key,",
			`config_hot_reader.json: backend.aws.config.bucket: is "${var.b}"; expected letters, digits`, "config_hot_reader.json: backend.aws.config.key: is ",
			`config_hot_reader.json: backend.aws.config.encrypt: is "yes"; expected true or false`, "config_hot_reader.json: backend.aws.config.region: is an array; expected letters",
			"config_hot_reader.json: backend.gcp.config.path: is not taken from a project folder; a backend of the type local has no arguments"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := goodProject()
			if files[tc.file] = tc.text; tc.text == "" {
				delete(files, tc.file)
			}
			p, err := LoadProject(folder(t, files))
			if p != nil {
				t.Errorf("a project came with the error")
			}
			same(t, lines(t, err), tc.want)
			if strings.Contains(err.Error(), "AKIA") {
				t.Errorf("a credential is in the error: %v", err)
			}
		})
	}
}

// What is wrong in several files comes at once.
func TestLoadProjectReportsAllFiles(t *testing.T) {
	_, err := LoadProject(folder(t, map[string]string{
		"config.json": `{"digital_twin_name":"-"}`, "config_providers.json": `{"layer_3_hot_provider":"x"}`,
		"config_iot_devices.json": `[{"id":1}]`, "config_hot_reader.json": `{"a":1}`}))
	seen := map[string]int{}
	for _, line := range lines(t, err) {
		file, _, _ := strings.Cut(line, ":")
		seen[file]++
	}
	want := map[string]int{"config.json": 1, "config_providers.json": 2, "config_iot_devices.json": 2, "config_hot_reader.json": 1}
	if !maps.Equal(seen, want) {
		t.Errorf("lines by file %v, want %v\n%v", seen, want, err)
	}
}

func TestLoadProjectFolder(t *testing.T) {
	file := filepath.Join(folder(t, map[string]string{"f": ""}), "f")
	for _, dir := range []string{file, file + "-none"} {
		if _, err := LoadProject(dir); !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v: want an error of CodeConfig that names the folder", err)
		}
	}
	files := goodProject()
	delete(files, "config.json")
	dir := folder(t, files)
	if err := os.Mkdir(filepath.Join(dir, "config.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadProject(dir); err == nil || lines(t, err)[0] != "config.json: is not a file" {
		t.Errorf("%v", err)
	}
}

// A backend takes nothing from a project folder that can name a program, a file, a
// credential or another server, nor does a name lead to another host.
func TestBackendArguments(t *testing.T) {
	refused := func(backend, name, value string) {
		t.Helper()
		files := goodProject()
		files[fileOptions] = fmt.Sprintf(`{"backend":{"aws":{"type":%q,"config":{%q:%s}}}}`, backend, name, value)
		_, err := LoadProject(folder(t, files))
		if !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "config_hot_reader.json: backend.aws.config."+name+": is ") {
			t.Errorf("%s: %s = %s: %v", backend, name, value, err)
		}
	}
	for _, backend := range []string{"s3", "azurerm", "gcs", "local"} {
		for name := range strings.FieldsSeq(`access_key secret_key token profile shared_credentials_file shared_credentials_files shared_config_files
			endpoint endpoints iam_endpoint sts_endpoint dynamodb_endpoint custom_ca_bundle http_proxy https_proxy assume_role role_arn web_identity_token_file
			ec2_metadata_service_endpoint skip_region_validation acl sse_customer_key
			msi_endpoint metadata_host environment sas_token client_secret client_secret_file_path client_id_file_path client_certificate client_certificate_path
			client_certificate_password oidc_token oidc_token_file_path oidc_request_url oidc_request_token
			credentials access_token encryption_key impersonate_service_account storage_custom_endpoint path workspace_dir`) {
			refused(backend, name, `"x"`)
		}
	}
	for backend, arguments := range backendArguments {
		for name := range arguments {
			for _, value := range []string{`"evil.example/#"`, `"a@evil.example"`, `"../x"`, `"/etc/x"`, `"-x"`, `"${file(\"/etc/passwd\")}"`, `"%{if true}"`, `{"a":"b"}`, `["x"]`, `7`, `""`, `"x\ny"`} {
				refused(backend, name, value)
			}
		}
	}
}

func TestLoadProjectIsBounded(t *testing.T) {
	files := goodProject()
	files["config.json"] = `{"digital_twin_name":"a","x":"` + strings.Repeat("x", maxFile) + `"}`
	files["config_iot_devices.json"] = strings.Repeat("[", 1<<20)
	files["config_hot_reader.json"] = `{"` + strings.Repeat("k", 1<<20) + `":1,"log_level":"` + strings.Repeat("v", 1<<20) + `"}`
	_, err := LoadProject(folder(t, files))
	got := lines(t, err)
	if len(got) != 4 || got[0] != "config.json: is larger than 64 MB" || !strings.HasPrefix(got[1], "config_iot_devices.json: is not JSON") {
		t.Errorf("%d lines, the first %.200q", len(got), got)
	}
	if len(err.Error()) > 2000 || !utf8.ValidString(err.Error()) {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

// Where no more problems are told, none are looked for: what a mistyped name may mean takes time.
func TestNoProblemsBeyondTheLast(t *testing.T) {
	raw := json.RawMessage(`{"a0":1`)
	for i := range 50 * most {
		raw = fmt.Appendf(raw, `,"a%d":1`, i+1)
	}
	read := testing.AllocsPerRun(1, func() { new(problems).object("", raw) })
	told := testing.AllocsPerRun(1, func() { new(problems).fields("f", raw, field{name: "cloud"}) })
	if told-read > 20*most {
		t.Errorf("%.0f allocations to read it, %.0f to check it", read, told)
	}
}

// A file with very many mistakes has its first ones told.
func TestLoadProjectTellsTheFirstProblems(t *testing.T) {
	files := goodProject()
	files["config_iot_devices.json"] = "[{}" + strings.Repeat(",{}", 100_000) + "]"
	_, err := LoadProject(folder(t, files))
	if all := lines(t, err); len(all) != 1000 || !strings.Contains(all[999], "there may be more") {
		t.Errorf("%d lines, the last is %q", len(all), all[len(all)-1])
	}
}

// What TwinMaker does not take is taken where the twin is elsewhere.
func TestLoadProjectNamesByCloud(t *testing.T) {
	files := goodProject()
	files["config_providers.json"] = `{"layer_3_hot_provider":"aws","layer_4_provider":"azure"}`
	files["config_iot_devices.json"] = `[{"id":"` + strings.Repeat("d", 2048) + `","properties":[{"name":"temp °C","dataType":"DOUBLE"},{"name":"deviceId","dataType":"STRING"},{"name":"a","dataType":"LONG"},{"name":"a_latest","dataType":"LONG"}]}]`
	if _, err := LoadProject(folder(t, files)); err != nil {
		t.Error(err)
	}
	files["config_providers.json"] = `{"layer_3_hot_provider":"azure","layer_4_provider":"aws"}`
	_, err := LoadProject(folder(t, files))
	if got := lines(t, err); len(got) != 4 {
		t.Errorf("%q, want 4 lines", got)
	}
}

// Values are JSON of their type, digit for digit.
func TestLoadProjectValues(t *testing.T) {
	for _, c := range []struct{ dataType, value, want string }{
		{"DOUBLE", "21.50", "21.50"},
		{"DOUBLE", `"21.5"`, "21.5"},
		{"DOUBLE", "0.1000000000000000055511151231257827021181583404541015625", "0.1000000000000000055511151231257827021181583404541015625"},
		{"INTEGER", "7.0", "7"},
		{"LONG", "9007199254740993", "9007199254740993"},
		{"LONG", `"-1e3"`, "-1000"},
		{"STRING", `"a\u00e4<b>"`, "\"aä\\u003cb\\u003e\""},
		{"STRING", "7", `"7"`},
		{"BOOLEAN", " false ", "false"},
		{"DOUBLE", "null", ""},
	} {
		files := goodProject()
		files["config_iot_devices.json"] = fmt.Sprintf(`[{"id":"a","properties":[{"name":"p","dataType":%q,"initValue":%s}]}]`, c.dataType, c.value)
		p, err := LoadProject(folder(t, files))
		if err != nil {
			t.Errorf("%s %s: %v", c.dataType, c.value, err)
			continue
		}
		if got := string(p.Devices[0].Properties[0].Initial); got != c.want {
			t.Errorf("%s %s is %s, want %s", c.dataType, c.value, got, c.want)
		}
	}
}

// The environment must not grow with the devices: Lambda has 4 KB for all of it.
func TestPitfall17TwinInfoHasNoDevices(t *testing.T) {
	size := func(devices int) int {
		files := goodProject()
		list := make([]string, devices)
		for i := range list {
			list[i] = fmt.Sprintf(`{"id":"device-%04d","properties":[{"name":"temperature","dataType":"DOUBLE"},{"name":"humidity","dataType":"DOUBLE"}]}`, i)
		}
		files["config_iot_devices.json"] = "[" + strings.Join(list, ",") + "]"
		files["config.json"] = `{"digital_twin_name":"abcdefghijklmnopqrst-","mode":"` + strings.Repeat("x", 5000) + `"}`
		p, err := LoadProject(folder(t, files))
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Devices) != devices {
			t.Fatalf("%d devices came, want %d", len(p.Devices), devices)
		}
		// The functions must read what they are given.
		f, err := load(with(local(), "DIGITAL_TWIN_INFO", p.TwinInfo(), "REMOTE_READER_URL", api, "INTER_CLOUD_TOKEN", token))
		if err != nil {
			t.Fatal(err)
		}
		if f.Twin != p.Twin || f.L3 != GCP || f.L4 != AWS || !f.Remote {
			t.Errorf("the function reads %+v", f)
		}
		return len(p.TwinInfo())
	}
	one, many := size(1), size(500)
	if one != many || many > 200 {
		t.Errorf("DIGITAL_TWIN_INFO has %d bytes with one device and %d with 500", one, many)
	}
}

// As many devices as a twin may have are loaded, and are a catalogue; one more is
// an error.
func TestLoadProjectWithManyDevices(t *testing.T) {
	property := func(i int) string {
		return fmt.Sprintf(`{"name":"temperature_%02d","dataType":"DOUBLE","unit":"°C"}`, i)
	}
	var properties []string
	for i := range 20 {
		properties = append(properties, property(i))
	}
	var list []string
	for i := range catalog.MaxDevices + 1 {
		list = append(list, fmt.Sprintf(`{"id":"device-%05d","properties":[%s]}`, i, strings.Join(properties, ",\n")))
	}
	files := goodProject()
	files[fileDevices] = "[" + strings.Join(list[1:], ",") + "]"
	p, err := LoadProject(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if packed, err := catalog.Build(p.Catalog()); err != nil || len(p.Devices) != catalog.MaxDevices {
		t.Errorf("%d devices, %d bytes: %v", len(p.Devices), len(packed), err)
	}
	files[fileDevices] = "[" + strings.Join(list, ",") + "]"
	_, err = LoadProject(folder(t, files))
	same(t, lines(t, err), []string{"config_iot_devices.json: has 10001 devices; at most 10000 are allowed in a twin"})
}

func FuzzLoadProject(f *testing.F) {
	g := goodProject()
	f.Add(g["config.json"], g["config_providers.json"], g["config_iot_devices.json"], `{"backend":{"aws":{"type":"s3","config":{"bucket":"b"}}},"rate":1}`)
	f.Add(g["config.json"], g["config_providers.json"], `[{"id":"a","type":"t","properties":[{"name":"p","dataType":"LONG","unit":"K","initValue":1}]},{"id":"b","type":"t","properties":[{"name":"p","dataType":"LONG"}]}]`, `{}`)
	f.Add("\xef\xbb\xbf{}", `{"a":1,"a":2}`, `[{"id":"x","properties":[{"name":"\ud800","dataType":"long","initValue":1e400}]}]`, `{"gcp":{"collection":"//"}}`)
	f.Add(`{"digital_twin_name":"a"} x`, `[[[[`, `[1,null,{},[]]`, `{"log_days":1e9,"rate":-0,"memory_mb":1e-9}`)
	f.Fuzz(func(t *testing.T, c, pr, d, o string) {
		files := map[string]string{"config.json": c, "config_providers.json": pr, "config_iot_devices.json": d, "config_hot_reader.json": o}
		p, err := LoadProject(folder(t, files))
		if err != nil {
			for _, line := range lines(t, err) {
				if file, _, _ := strings.Cut(line, ":"); files[file] == "" && !strings.Contains(line, "is empty") {
					t.Errorf("line %q names no file", line)
				}
			}
			return
		}
		if err := CheckTwinName(p.Twin); err != nil || p.L3 == "" || p.L4 == "" {
			t.Errorf("%+v was let through: %v", p, err)
		}
		if _, err := catalog.Build(p.Catalog()); err != nil {
			t.Errorf("a project is taken of which no catalogue can be made: %v", err)
		}
		for _, device := range p.Devices {
			for _, property := range device.Properties {
				if property.Initial != nil && !json.Valid(property.Initial) {
					t.Errorf("%+v is not JSON", property)
				}
			}
		}
	})
}
