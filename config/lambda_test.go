package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/layout"
)

const (
	token = "0123456789abcdef0123456789abcdef"
	arn   = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:twin/token-AbCdEf"
	api   = "https://api.example.com/prod"
)

func info(twin, l3, l4 string) string {
	text, _ := json.Marshal(map[string]any{
		"config":           map[string]string{"digital_twin_name": twin},
		"config_providers": map[string]string{"layer_3_hot_provider": l3, "layer_4_provider": l4},
	})
	return string(text)
}

// local is a complete environment of a reader on the cloud of its storage.
func local() map[string]string {
	return map[string]string{
		"_HANDLER": "hot-reader", "AWS_REGION": "eu-central-1",
		"DIGITAL_TWIN_INFO":   info("factory", "aws", "aws"),
		"DYNAMODB_TABLE_NAME": "factory-hot-iot-data",
	}
}

func with(env map[string]string, pairs ...string) map[string]string {
	env = maps.Clone(env)
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	return env
}

func load(env map[string]string) (*Function, error) {
	return Lambda(func(name string) string { return env[name] })
}

func TestLambda(t *testing.T) {
	remote := with(local(), "DIGITAL_TWIN_INFO", info("factory", "azure", "aws"),
		"REMOTE_READER_URL", api, "INTER_CLOUD_TOKEN", token, "DYNAMODB_TABLE_NAME", "")
	server := map[string]string{"_HANDLER": "hot-reader-api", "AWS_REGION": "eu-central-1",
		"DYNAMODB_TABLE_NAME": "factory-hot-iot-data", "INTER_CLOUD_TOKEN": token + "," + strings.ToUpper(token)}
	for _, c := range []struct {
		name  string
		env   map[string]string
		check func(*Function) bool
	}{
		{"local", local(), func(f *Function) bool {
			return f.Role == History && f.Twin == "factory" && f.L3 == AWS && f.L4 == AWS && !f.Remote &&
				f.Table == "factory-hot-iot-data" && f.Token == nil && reflect.DeepEqual(f.Settings, Settings{})
		}},
		{"last entry", with(local(), "_HANDLER", "hot-reader-last-entry"), func(f *Function) bool { return f.Role == LastEntry }},
		{"local, even with a URL", with(local(), "REMOTE_READER_URL", api, "INTER_CLOUD_TOKEN", token), func(f *Function) bool {
			return !f.Remote && f.Table != ""
		}},
		{"remote needs no table", remote, func(f *Function) bool {
			return f.Remote && f.RemoteURL == api && f.L3 == Azure && f.L4 == AWS && f.Table == "" && f.Token.Current() == token
		}},
		{"token by name", with(remote, "INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", arn), func(f *Function) bool {
			return f.TokenSecret == arn && f.Token == nil
		}},
		{"google is gcp", with(remote, "DIGITAL_TWIN_INFO", info("factory", " Google ", "AWS")), func(f *Function) bool {
			return f.L3 == GCP && f.L4 == AWS
		}},
		{"unknown keys", with(local(), "DIGITAL_TWIN_INFO", `{"config":{"digital_twin_name":"a","mode":"DEBUG"},"config_iot_devices":[{"id":1}],"config_providers":{"layer_1_provider":7}}`),
			func(f *Function) bool { return f.Twin == "a" && f.L3 == "" }},
		{"API without a twin", server, func(f *Function) bool {
			_, previous := f.Token.Match(strings.ToUpper(token))
			return f.Role == API && f.Twin == "" && previous
		}},
		{"API is local whatever the providers", with(server, "DIGITAL_TWIN_INFO", info("factory", "aws", "azure"), "REMOTE_READER_URL", "nonsense"), func(f *Function) bool {
			return !f.Remote && f.RemoteURL == "" && f.L4 == Azure
		}},
		{"layout", with(local(), "HOTREADER_LAYOUT", `{"time_key":"payload.ts","properties":{"t":"payload.temp"}}`, "HOTREADER_DEVICE_KEY", "dev", "HOTREADER_TIME_KEY", "payload.ts"), func(f *Function) bool {
			return reflect.DeepEqual(f.Layout, layout.Layout{DeviceKey: "dev", TimeKey: "payload.ts", Properties: layout.Properties{Paths: map[string]string{"t": "payload.temp"}}})
		}},
		{"table by its ARN", with(local(), "DYNAMODB_TABLE_NAME", "arn:aws:dynamodb:eu-central-1:123456789012:table/t_1"), func(f *Function) bool { return strings.HasSuffix(f.Table, "/t_1") }},
		{"a layout that is not of this cloud's store", with(remote, "HOTREADER_LAYOUT", `{"time_format":"native"}`), func(f *Function) bool { return f.Remote }},
		{"everything else", with(local(), "HOTREADER_DEVICE_KEY", "dev", "HOTREADER_TIME_KEY", "ts", "HOTREADER_TIME_FORMAT", "Epoch_MS",
			"HOTREADER_RATE", "0.5", "HOTREADER_BURST", "7", "HOTREADER_LOOK_BACK", " 1000000", "HOTREADER_LOG_LEVEL", "WARN",
			"HOTREADER_MAX_ROWS", "10", "HOTREADER_CACHE", "1000000", "HOTREADER_SETTLE", "2m", "HOTREADER_CACHE_AGE", "1h"), func(f *Function) bool {
			return reflect.DeepEqual(f.Settings, Settings{Layout: layout.Layout{DeviceKey: "dev", TimeKey: "ts", TimeFormat: layout.Formats{"epoch_ms"}}, Rate: 0.5, Burst: 7, LookBack: 1_000_000, LogLevel: "warn",
				MaxRows: 10, Cache: 1_000_000, Settle: Span(2 * time.Minute), CacheAge: Span(time.Hour)})
		}},
		{"no cache", with(local(), "HOTREADER_CACHE", "0"), func(f *Function) bool {
			return f.Cache.Bytes(5) == 0 && f.Variables(Stores)["HOTREADER_CACHE"] == "0"
		}},
		{"the default cache", local(), func(f *Function) bool {
			return f.Cache.Bytes(5) == 5 && f.Variables(Stores)["HOTREADER_CACHE"] == ""
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := load(c.env)
			if err != nil {
				t.Fatal(err)
			}
			if !c.check(f) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestLambdaRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		env  []string // changes to local()
		says []string
	}{
		{"handler missing", []string{"_HANDLER", ""}, []string{"_HANDLER: is not set", "hot-reader-last-entry"}},
		{"handler mistyped", []string{"_HANDLER", "hot-reader-last-entyr"}, []string{`_HANDLER: "hot-reader-last-entyr"`, `did you mean "hot-reader-last-entry"?`}},
		{"handler of another language", []string{"_HANDLER", "lambda_function.lambda_handler"}, []string{"_HANDLER", "expected one of hot-reader, hot-reader-last-entry, hot-reader-api"}},
		{"no twin", []string{"DIGITAL_TWIN_INFO", " "}, []string{"DIGITAL_TWIN_INFO: is not set", "digital_twin_name"}},
		{"twin is null", []string{"DIGITAL_TWIN_INFO", "null"}, []string{"DIGITAL_TWIN_INFO: is null"}},
		{"twin is an array", []string{"DIGITAL_TWIN_INFO", "[]"}, []string{"DIGITAL_TWIN_INFO: the whole is a JSON array"}},
		{"twin is broken", []string{"DIGITAL_TWIN_INFO", `{"config":`}, []string{"DIGITAL_TWIN_INFO: is not JSON"}},
		{"twin has a tail", []string{"DIGITAL_TWIN_INFO", info("a", "aws", "aws") + "x"}, []string{"DIGITAL_TWIN_INFO: is not JSON: more text follows"}},
		{"twin name is a number", []string{"DIGITAL_TWIN_INFO", `{"config":{"digital_twin_name":5}}`}, []string{"config.digital_twin_name is a JSON number"}},
		{"twin name missing", []string{"DIGITAL_TWIN_INFO", `{"config":{}}`}, []string{"config.digital_twin_name is missing"}},
		{"twin name empty", []string{"DIGITAL_TWIN_INFO", info("", "aws", "aws")}, []string{"digital_twin_name is empty"}},
		{"twin name begins wrong", []string{"DIGITAL_TWIN_INFO", info("9lives", "aws", "aws")}, []string{`begins with '9'`}},
		{"twin name with a blank", []string{"DIGITAL_TWIN_INFO", info("my twin", "aws", "aws")}, []string{`character ' ' at place 3`}},
		{"twin name with é", []string{"DIGITAL_TWIN_INFO", info("usiné", "aws", "aws")}, []string{`character 'é' at place 5`}},
		{"twin name long", []string{"DIGITAL_TWIN_INFO", info(strings.Repeat("a", 22), "aws", "aws")}, []string{"22 characters, at most 21"}},
		{"cloud mistyped", []string{"DIGITAL_TWIN_INFO", info("a", "asw", "azrue")}, []string{
			`layer_3_hot_provider "asw" is no cloud; did you mean "aws"?`, `layer_4_provider "azrue" is no cloud; did you mean "azure"?`}},
		{"cloud unheard of", []string{"DIGITAL_TWIN_INFO", info("a", "hetzner-cloud", "aws")}, []string{`"hetzner-cloud" is no cloud`, "expected one of aws, azure, google, gcp"}},
		{"two clouds without a URL", []string{"DIGITAL_TWIN_INFO", info("a", "gcp", "aws")}, []string{"REMOTE_READER_URL: is not set"}},
		{"URL without providers", []string{"DIGITAL_TWIN_INFO", `{"config":{"digital_twin_name":"a"}}`, "REMOTE_READER_URL", api, "INTER_CLOUD_TOKEN", token},
			[]string{"layer_3_hot_provider is missing", "layer_4_provider is missing"}},
		{"URL without a token", []string{"DIGITAL_TWIN_INFO", info("a", "gcp", "aws"), "REMOTE_READER_URL", api}, []string{"INTER_CLOUD_TOKEN: is not set"}},
		{"URL over http", []string{"DIGITAL_TWIN_INFO", info("a", "gcp", "aws"), "REMOTE_READER_URL", "http://api.example.com", "INTER_CLOUD_TOKEN", token}, []string{"expected https"}},
		{"a service in plain text", []string{"AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://u:hunter2@192.0.2.7:4566", "AWS_ENDPOINT_URL", "http://192.0.2.7", "AWS_ENDPOINT_URL_DYNAMODB", "192.0.2.7:8000", "AWS_ENDPOINT_URL_IOTTWINMAKER", "http://127.0.0.1:4566"}, []string{
			"3 ", "AWS_ENDPOINT_URL: is http to another machine", "AWS_ENDPOINT_URL_DYNAMODB: invalid service URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER: is http to another machine"}},
		{"two tokens", []string{"INTER_CLOUD_TOKEN", token, "INTER_CLOUD_TOKEN_SECRET", arn}, []string{"exactly one"}},
		{"short token", []string{"INTER_CLOUD_TOKEN", "hunter2"}, []string{"INTER_CLOUD_TOKEN: it has 7 bytes"}},
		{"secret is no ARN", []string{"INTER_CLOUD_TOKEN_SECRET", "hunter2"}, []string{"INTER_CLOUD_TOKEN_SECRET: is not the ARN"}},
		{"API without a token", []string{"_HANDLER", "hot-reader-api"}, []string{"INTER_CLOUD_TOKEN: is not set", "does not start without a token"}},
		{"no table", []string{"DYNAMODB_TABLE_NAME", ""}, []string{"DYNAMODB_TABLE_NAME: is not set"}},
		{"table is a URL", []string{"DYNAMODB_TABLE_NAME", "https://x"}, []string{`DYNAMODB_TABLE_NAME: has the character ':'`}},
		{"table too short", []string{"DYNAMODB_TABLE_NAME", "ab"}, []string{"DYNAMODB_TABLE_NAME: invalid table name"}},
		{"table of another service", []string{"DYNAMODB_TABLE_NAME", "arn:aws:s3:::bucket"}, []string{`DYNAMODB_TABLE_NAME: invalid table name: expected`, "or the ARN of a table"}},
		{"no region", []string{"AWS_REGION", ""}, []string{"AWS_REGION: is not set"}},
		{"one attribute for both", []string{"HOTREADER_TIME_KEY", "device_id"}, []string{"HOTREADER_TIME_KEY: device_key and time_key are both", "must be two fields"}},
		{"long attribute", []string{"HOTREADER_DEVICE_KEY", strings.Repeat("k", 256)}, []string{"HOTREADER_DEVICE_KEY: device_key has 256 bytes"}},
		{"layout", []string{"HOTREADER_LAYOUT", `{"timekey":"t"}`}, []string{`HOTREADER_LAYOUT: a layout has no key "timekey"; did you mean time_key?`, "device_key, time_key, partition"}},
		{"layout that is no JSON", []string{"HOTREADER_LAYOUT", "time_key=t"}, []string{"HOTREADER_LAYOUT: the layout cannot be read"}},
		{"layout against itself", []string{"HOTREADER_LAYOUT", `{"name_key":"n","collection":"c","partition":"x"}`}, []string{"3 to be changed",
			"HOTREADER_LAYOUT: name_key is given without value_key", "HOTREADER_LAYOUT: collection is \"c\", but only Firestore", "HOTREADER_LAYOUT: partition is \"x\""}},
		{"layout and the older variables", []string{"HOTREADER_LAYOUT", `{"time_key":"at","time_format":["iso8601","iso8601_blank"]}`, "HOTREADER_TIME_KEY", "ts", "HOTREADER_TIME_FORMAT", "epoch_s"}, []string{
			`HOTREADER_TIME_KEY: is "ts", but the layout's time_key is "at"; give one of them`, `HOTREADER_TIME_FORMAT: is "epoch_s", but the layout's time_format is "iso8601,iso8601_blank"`}},
		{"time format", []string{"HOTREADER_TIME_FORMAT", "epoch_sm"}, []string{`HOTREADER_TIME_FORMAT: time_format "epoch_sm" is unknown; did you mean epoch_s?`}},
		{"rate 0", []string{"HOTREADER_RATE", "0"}, []string{"HOTREADER_RATE"}},
		{"rate NaN", []string{"HOTREADER_RATE", "NaN"}, []string{"HOTREADER_RATE"}},
		{"rate infinite", []string{"HOTREADER_RATE", "Inf"}, []string{"HOTREADER_RATE"}},
		{"burst", []string{"HOTREADER_BURST", "-1"}, []string{"HOTREADER_BURST"}},
		{"look-back of nothing", []string{"HOTREADER_LOOK_BACK", "0"}, []string{"HOTREADER_LOOK_BACK", "from 1 to 1000000"}},
		{"look-back of too much", []string{"HOTREADER_LOOK_BACK", "1000001"}, []string{"HOTREADER_LOOK_BACK", "from 1 to 1000000"}},
		{"rows", []string{"HOTREADER_MAX_ROWS", "0"}, []string{"HOTREADER_MAX_ROWS", "from 1 to 1000000000"}},
		{"cache", []string{"HOTREADER_CACHE", "64MB"}, []string{`HOTREADER_CACHE: "64MB" is not a number of bytes`}},
		{"cache of less than nothing", []string{"HOTREADER_CACHE", "-1"}, []string{`HOTREADER_CACHE: "-1" is not a number of bytes`}},
		{"settle", []string{"HOTREADER_SETTLE", "30"}, []string{`HOTREADER_SETTLE: "30" is not a time from 1s to 24h0m0s`}},
		{"settle of nothing", []string{"HOTREADER_SETTLE", "0s"}, []string{`HOTREADER_SETTLE: "0s" is not a time`}},
		{"age", []string{"HOTREADER_CACHE_AGE", "1d"}, []string{`HOTREADER_CACHE_AGE: "1d" is not a time from 1s`}},
		{"log level", []string{"HOTREADER_LOG_LEVEL", "verbose"}, []string{"HOTREADER_LOG_LEVEL", "debug, info, warn, error"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := load(with(local(), c.env...))
			if f != nil || hotreader.CodeOf(err) != hotreader.CodeConfig {
				t.Fatalf("got %+v, %v", f, err)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q\ndoes not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), token) {
				t.Errorf("%q\ngives a secret away", err)
			}
		})
	}
}

// All problems come at once, each on a line that begins with its variable, and
// none twice: a provider that is there, but wrong, is not called missing as well,
// nor different from the other one; what is wrong beside it still comes.
func TestProblemsTogether(t *testing.T) {
	const l3, l4 = "DIGITAL_TWIN_INFO: config_providers.layer_3_hot_provider ", "DIGITAL_TWIN_INFO: config_providers.layer_4_provider "
	twin := func(text, url string) map[string]string {
		return map[string]string{"_HANDLER": "hot-reader", "AWS_REGION": "eu-central-1", "DIGITAL_TWIN_INFO": text, "REMOTE_READER_URL": url, "INTER_CLOUD_TOKEN": token, "DYNAMODB_TABLE_NAME": "table"}
	}
	for _, c := range []struct {
		name string
		load func(func(string) string) (*Function, error)
		env  map[string]string
		want []string // prefixes
	}{
		{"all on AWS", Lambda, map[string]string{"HOTREADER_RATE": "fast", "HOTREADER_BURST": "x", "HOTREADER_LOG_LEVEL": "loud", "_HANDLER": "hot-reader", "REMOTE_READER_URL": "http://x.example", "HOTREADER_TIME_FORMAT": "unix"},
			[]string{"DIGITAL_TWIN_INFO: is not set", "REMOTE_READER_URL: is http", l3 + "is missing", l4 + "is missing", "INTER_CLOUD_TOKEN: is not set",
				"HOTREADER_TIME_FORMAT: ", "HOTREADER_RATE: ", "HOTREADER_BURST: ", "HOTREADER_LOG_LEVEL: ", "AWS_REGION: "}},
		{"all on Azure", AzureFunctions, map[string]string{"HOTREADER_BURST": "x"},
			[]string{"INTER_CLOUD_TOKEN: ", "HOTREADER_BURST: ", "COSMOS_DB_ENDPOINT: ", "COSMOS_DB_DATABASE: ", "COSMOS_DB_CONTAINER: ", "FUNCTIONS_CUSTOMHANDLER_PORT: "}},
		{"all on Google Cloud", CloudRun, map[string]string{"HOTREADER_BURST": "x", "PORT": "x"},
			[]string{"INTER_CLOUD_TOKEN: ", "HOTREADER_BURST: ", "GOOGLE_CLOUD_PROJECT: ", "FIRESTORE_COLLECTION: ", "PORT: "}},
		{"both mistyped", Lambda, twin(info("a", "azur", "awss"), "https://x.example"), []string{l3 + `"azur"`, l4 + `"awss"`}},
		{"one mistyped, one missing", Lambda, twin(info("a", "azur", ""), "https://x.example"), []string{l3 + `"azur"`, l4 + "is missing"}},
		{"one missing, one mistyped", Lambda, twin(info("a", "", "azur"), "http://x.example"), []string{l4 + `"azur"`, "REMOTE_READER_URL: is http", l3 + "is missing"}},
		{"one mistyped, no URL", Lambda, twin(info("a", "azur", "aws"), ""), []string{l3 + `"azur"`}},
		{"one cloud, a URL with a password", Lambda, twin(info("a", "aws", "aws"), "https://me:hunter2@x.example"), []string{"REMOTE_READER_URL: carries user info"}},
		{"no JSON", Lambda, twin("{", "https://x.example"), []string{"DIGITAL_TWIN_INFO: is not JSON"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := of(c.load, c.env)
			same(t, lines(t, err), c.want)
		})
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	f, err := load(with(local(), "INTER_CLOUD_TOKEN", token))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(f), fmt.Sprintf("%+v", f), fmt.Sprintf("%#v", f), fmt.Sprintf("%+v", *f)} {
		if strings.Contains(text, token) {
			t.Errorf("%q gives the token away", text)
		}
	}
}
