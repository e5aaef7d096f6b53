package config

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/layout"
	"hotreader/test/golden"
)

const (
	vault   = "https://plant.vault.azure.net/secrets/inter-cloud-token"
	version = "projects/plant-1/secrets/inter-cloud-token/versions/latest"
)

// cosmos and firestore are complete environments where hot storage is here and
// the twin on AWS.
func cosmos() map[string]string {
	return map[string]string{"FUNCTIONS_CUSTOMHANDLER_PORT": "7071", "DIGITAL_TWIN_INFO": info("factory", "azure", "aws"), "INTER_CLOUD_TOKEN": token,
		"COSMOS_DB_ENDPOINT": "https://plant.documents.azure.com:443/", "COSMOS_DB_DATABASE": "factory", "COSMOS_DB_CONTAINER": "hot-iot-data"}
}

func firestore() map[string]string {
	return map[string]string{"DIGITAL_TWIN_INFO": info("factory", "google", "aws"), "INTER_CLOUD_TOKEN": token,
		"GOOGLE_CLOUD_PROJECT": "plant-1", "FIRESTORE_COLLECTION": "hot-iot-data"}
}

// servers are the two functions that read a server's environment, each with a
// complete one.
var servers = []struct {
	name   string
	load   func(func(string) string) (*Function, error)
	env    func() map[string]string
	here   string
	store  []string // the variables of hot storage
	secret string
	isHere func(*Function) bool
}{
	{"azure", AzureFunctions, cosmos, "azure", []string{"COSMOS_DB_ENDPOINT", "COSMOS_DB_DATABASE", "COSMOS_DB_CONTAINER"}, vault, func(f *Function) bool {
		return f.Cosmos == Cosmos{"https://plant.documents.azure.com:443/", "factory", "hot-iot-data"} && f.Port == 7071
	}},
	{"gcp", CloudRun, firestore, "gcp", []string{"GOOGLE_CLOUD_PROJECT", "FIRESTORE_COLLECTION"}, version, func(f *Function) bool {
		return f.Firestore == Firestore{"plant-1", "", "hot-iot-data"} && f.Port == 8080 && f.Project == "plant-1"
	}},
}

func of(load func(func(string) string) (*Function, error), env map[string]string) (*Function, error) {
	return load(func(name string) string { return env[name] })
}

// What is served follows from where the layers are, and needs no more than that.
func TestServerSides(t *testing.T) {
	for _, s := range servers {
		none := make([]string, 0, 2*len(s.store))
		for _, name := range s.store {
			none = append(none, name, "")
		}
		far := with(with(s.env(), none...), "DIGITAL_TWIN_INFO", info("factory", "aws", s.here), "REMOTE_READER_URL", api)
		for _, c := range []struct {
			name   string
			env    map[string]string
			remote bool
		}{
			{"hot storage here", s.env(), false},
			{"hot storage here, whatever the URL", with(s.env(), "REMOTE_READER_URL", "nonsense"), false},
			{"both here", with(s.env(), "DIGITAL_TWIN_INFO", info("factory", s.here, s.here)), false},
			{"both here, whatever the URL", with(s.env(), "DIGITAL_TWIN_INFO", info("factory", s.here, s.here), "REMOTE_READER_URL", api), false},
			{"no twin", with(s.env(), "DIGITAL_TWIN_INFO", ""), false},
			{"the twin's cloud not said", with(s.env(), "DIGITAL_TWIN_INFO", info("factory", s.here, "")), false},
			{"a twin without a name", with(s.env(), "DIGITAL_TWIN_INFO", `{"config_providers":{"layer_3_hot_provider":"`+s.here+`","layer_4_provider":"aws"}}`), false},
			{"the twin here", far, true},
			{"the twin here, token by name", with(far, "INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", s.secret), true},
		} {
			t.Run(s.name+"/"+c.name, func(t *testing.T) {
				f, err := of(s.load, c.env)
				if err != nil {
					t.Fatal(err)
				}
				if f.Role != API || f.Remote != c.remote || (f.Token == nil) == (f.TokenSecret == "") {
					t.Errorf("got %+v", f)
				}
				if c.remote && (f.RemoteURL != api || f.Cosmos != Cosmos{} || f.Firestore != Firestore{}) || !c.remote && (!s.isHere(f) || f.RemoteURL != "") {
					t.Errorf("got %+v", f)
				}
			})
		}
	}
}

func TestServerRefuses(t *testing.T) {
	for _, s := range servers {
		elsewhere := "aws"
		for _, c := range []struct {
			name string
			env  []string // changes
			says []string
		}{
			{"neither here", []string{"DIGITAL_TWIN_INFO", info("a", "aws", "aws")}, []string{"layer_3_hot_provider and layer_4_provider are both aws, but this program is for " + s.here}},
			{"neither here, two clouds", []string{"DIGITAL_TWIN_INFO", info("a", "aws", map[string]string{"azure": "gcp", "gcp": "azure"}[s.here]), "REMOTE_READER_URL", api}, []string{"but this program is for " + s.here}},
			{"hot storage elsewhere, twin unknown", []string{"DIGITAL_TWIN_INFO", info("a", elsewhere, "")}, []string{"layer_4_provider is missing"}},
			{"two clouds without a URL", []string{"DIGITAL_TWIN_INFO", info("a", elsewhere, s.here)}, []string{"REMOTE_READER_URL: is not set"}},
			{"URL without a twin", []string{"DIGITAL_TWIN_INFO", "", "REMOTE_READER_URL", api}, []string{"DIGITAL_TWIN_INFO: is not set while REMOTE_READER_URL is"}},
			{"URL without providers", []string{"DIGITAL_TWIN_INFO", `{}`, "REMOTE_READER_URL", api}, []string{"layer_3_hot_provider is missing", "layer_4_provider is missing"}},
			{"URL with one provider", []string{"DIGITAL_TWIN_INFO", info("a", s.here, ""), "REMOTE_READER_URL", api}, []string{"layer_4_provider is missing"}},
			{"URL over http", []string{"DIGITAL_TWIN_INFO", info("a", elsewhere, s.here), "REMOTE_READER_URL", "http://api.example.com"}, []string{"expected https"}},
			{"URL with user info", []string{"DIGITAL_TWIN_INFO", info("a", elsewhere, s.here), "REMOTE_READER_URL", "https://u:hunter2@api.example.com"}, []string{"carries user info"}},
			{"no token", []string{"INTER_CLOUD_TOKEN", ""}, []string{"does not start without a token"}},
			{"no token where the twin is", []string{"DIGITAL_TWIN_INFO", info("a", elsewhere, s.here), "REMOTE_READER_URL", api, "INTER_CLOUD_TOKEN", ""}, []string{"INTER_CLOUD_TOKEN: is not set"}},
			{"two tokens", []string{"INTER_CLOUD_TOKEN_SECRET", s.secret}, []string{"exactly one"}},
			{"the token in the secret's place", []string{"INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", token}, []string{"INTER_CLOUD_TOKEN_SECRET: is not the"}},
			{"twin name", []string{"DIGITAL_TWIN_INFO", info("9", s.here, "aws")}, []string{"begins with '9'"}},
			{"rate", []string{"HOTREADER_RATE", "-1"}, []string{"HOTREADER_RATE"}},
		} {
			t.Run(s.name+"/"+c.name, func(t *testing.T) { refuses(t, s.load, with(s.env(), c.env...), c.says...) })
		}
	}
}

func refuses(t *testing.T, load func(func(string) string) (*Function, error), env map[string]string, says ...string) {
	t.Helper()
	f, err := of(load, env)
	if f != nil || hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Fatalf("got %+v, %v", f, err)
	}
	for _, want := range says {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q\ndoes not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), token) {
		t.Errorf("%q\ngives a secret away", err)
	}
}

// refusal is what a function says of one variable.
type refusal struct{ name, variable, value, says string }

func refusesEach(t *testing.T, load func(func(string) string) (*Function, error), env func() map[string]string, all []refusal) {
	t.Helper()
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			refuses(t, load, with(env(), c.variable, c.value), c.variable+": ", c.says)
		})
	}
}

func TestAzureFunctionsRefuses(t *testing.T) {
	refusesEach(t, AzureFunctions, cosmos, []refusal{
		{"no port", "FUNCTIONS_CUSTOMHANDLER_PORT", "", "is not set"},
		{"port 0", "FUNCTIONS_CUSTOMHANDLER_PORT", "0", `invalid port "0"`},
		{"port", "FUNCTIONS_CUSTOMHANDLER_PORT", "65536", "invalid port"},
		{"no endpoint", "COSMOS_DB_ENDPOINT", "", "is not set"},
		{"endpoint without a scheme", "COSMOS_DB_ENDPOINT", "plant.documents.azure.com", "is not a URL"},
		{"endpoint with a key", "COSMOS_DB_ENDPOINT", "https://hunter2@plant.documents.azure.com", "carries user info"},
		{"connection string", "COSMOS_DB_ENDPOINT", "AccountEndpoint=https://plant.documents.azure.com:443/;AccountKey=hunter2;", "is not a URL"},
		{"endpoint with a path", "COSMOS_DB_ENDPOINT", "https://plant.documents.azure.com/dbs/x", "more than an account's URL"},
		{"endpoint over http", "COSMOS_DB_ENDPOINT", "http://plant.documents.azure.com", "is http"},
		{"emulator without a key", "COSMOS_DB_ENDPOINT", "http://127.0.0.1:8081", "set COSMOS_DB_KEY"},
		{"no database", "COSMOS_DB_DATABASE", "", "is not set"},
		{"database", "COSMOS_DB_DATABASE", "a/b", "invalid name of a database"},
		{"no container", "COSMOS_DB_CONTAINER", "", "is not set"},
		{"container", "COSMOS_DB_CONTAINER", "x ", "invalid name of a container"},
		{"key", "COSMOS_DB_KEY", "hunter2!", "is not base64"},
		{"time format of Firestore", "HOTREADER_TIME_FORMAT", "native", "time_format is native, which only Firestore has"},
	})
	if _, err := of(AzureFunctions, with(cosmos(), "COSMOS_DB_ENDPOINT", "http://127.0.0.1:8081", "COSMOS_DB_KEY", "a2V5")); err != nil {
		t.Error(err)
	}
}

func TestCloudRunRefuses(t *testing.T) {
	refusesEach(t, CloudRun, firestore, []refusal{
		{"port", "PORT", "http", `invalid port "http"`},
		{"no project", "GOOGLE_CLOUD_PROJECT", "", "is not set"},
		{"project", "GOOGLE_CLOUD_PROJECT", "Plant One", "invalid project ID"},
		{"no collection", "FIRESTORE_COLLECTION", "/", "is not set"},
		{"path of a document", "FIRESTORE_COLLECTION", "plants/berlin", "is the path of a document"},
		{"empty part", "FIRESTORE_COLLECTION", "plants//telemetry", "has an empty part"},
		{"dots", "FIRESTORE_COLLECTION", "..", "is no id"},
		{"Firestore's own", "FIRESTORE_COLLECTION", "__all__", "Firestore's own"},
		{"layout of a document", "HOTREADER_LAYOUT", `{"time_key":"__name__"}`, "HOTREADER_LAYOUT: time_key is"},
		{"database", "FIRESTORE_DATABASE", "(Default)", "invalid database ID"},
		{"emulator", "FIRESTORE_EMULATOR_HOST", "http://localhost:8080", "expected host:port"},
		{"emulator without a port", "FIRESTORE_EMULATOR_HOST", "localhost", "expected host:port"},
		{"emulator behind a key", "FIRESTORE_EMULATOR_HOST", "user:hunter2@h:1", `invalid address "…@h:1"`},
		{"emulator elsewhere", "FIRESTORE_EMULATOR_HOST", "192.0.2.7:80", "not on this machine"},
	})
	refuses(t, CloudRun, with(firestore(), "INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", version, "SECRET_MANAGER_EMULATOR_HOST", "10.0.0.1:80"),
		"SECRET_MANAGER_EMULATOR_HOST: ", "not on this machine")
	f, err := of(CloudRun, with(firestore(), "PORT", "9000", "HOTREADER_HOST", "127.0.0.1", "FIRESTORE_DATABASE", "(default)", "FIRESTORE_COLLECTION", "/plants/berlin/telemetry/",
		"FIRESTORE_EMULATOR_HOST", "[::1]:8080", "HOTREADER_TIME_FORMAT", "native"))
	if err != nil || f.Port != 9000 || f.Host != "127.0.0.1" || !reflect.DeepEqual(f.Layout, layout.Layout{TimeFormat: layout.Formats{"native"}}) || f.Firestore != (Firestore{"plant-1", "(default)", "plants/berlin/telemetry"}) {
		t.Errorf("%+v, %v", f, err)
	}
}

// The collection stands in its own variable, in the layout, or alike in both.
func TestCollectionOfALayout(t *testing.T) {
	for _, variable := range []string{"", "devices/{device}/telemetry"} {
		f, err := of(CloudRun, with(firestore(), "FIRESTORE_COLLECTION", variable, "HOTREADER_LAYOUT", `{"collection":"/devices/{device}/telemetry","time_format":["native","iso8601"]}`))
		if err != nil || f.Firestore.Collection != "devices/{device}/telemetry" || !reflect.DeepEqual(f.Layout, layout.Layout{TimeFormat: layout.Formats{"native", "iso8601"}}) {
			t.Errorf("%+v, %v", f, err)
		}
	}
	refuses(t, CloudRun, with(firestore(), "FIRESTORE_COLLECTION", "devices/{device}/t", "HOTREADER_LAYOUT", `{"partition":"x#{device}"}`), "HOTREADER_LAYOUT: partition is", "give one of them")
	refuses(t, CloudRun, with(firestore(), "HOTREADER_LAYOUT", `{"collection":"devices/{device}/t"}`), `FIRESTORE_COLLECTION: is "hot-iot-data", but the layout's collection is`)
}

// The identity of a function is shown to Key Vault and to nobody else.
func TestSecretNames(t *testing.T) {
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{vault, true}, {vault + "/0123456789abcdef0123456789abcdef", true}, {"https://plant.vault.azure.cn/secrets/t", true},
		{"http://127.0.0.1:8443/secrets/t", true}, {"https://localhost:8443/secrets/t", true},
		{"http://plant.vault.azure.net/secrets/t", false}, {"https://plant.vault.azure.net.example.com/secrets/t", false},
		{"https://example.com/secrets/t", false}, {"https://plant.vault.azure.net:444/secrets/t", false}, {"https://vault.azure.net/secrets/t", false},
		{"https://a.b.vault.azure.net/secrets/t", false}, {"https://plant.vault.azure.net/keys/t", false}, {"https://plant.vault.azure.net/secrets/", false},
		{"https://plant.vault.azure.net/secrets/t/v/x", false}, {"https://u@plant.vault.azure.net/secrets/t", false},
		{"https://plant.vault.azure.net/secrets/t?x=y", false}, {"plant.vault.azure.net/secrets/t", false},
	} {
		if wrong := checkSecretURI(c.name); (wrong == "") != c.ok {
			t.Errorf("%s: %q", c.name, wrong)
		}
	}
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{version, true}, {"projects/123/secrets/a_B-1/versions/7", true}, {"projects/p/locations/europe-west3/secrets/s/versions/latest", true},
		{"projects/p/secrets/s", false}, {"projects/p/secrets/s/versions/", false}, {"projects/p/secrets/../versions/1", false},
		{"projects/p/secrets/s/versions/1:access", false}, {"projects/p/locations/evil.example.com%2F/secrets/s/versions/1", false}, {"/" + version, false},
	} {
		if wrong := (&env{here: GCP}).checkSecret(c.name); (wrong == "") != c.ok {
			t.Errorf("%s: %q", c.name, wrong)
		}
	}
}

func FuzzEnvironment(f *testing.F) {
	f.Add("hot-reader", info("factory", "aws", "aws"), "", token, "", "table", "hot")
	f.Add("hot-reader", info("factory", "gcp", "aws"), api, token, "", "", "hot")
	f.Add("hot-reader-api", `{"config":{"digital_twin_name":null}}`, "https://u:p@h", "short", arn, "a:b", "..")
	f.Add("", info("factory", "azure", "aws"), "", token, "", "https://plant.documents.azure.com", "hot")
	f.Add("", info("factory", "aws", "gcp"), api, "", version, "http://[::1]", "a/b/c")
	f.Fuzz(func(t *testing.T, handler, twin, url, secret, named, place, collection string) {
		env := map[string]string{"_HANDLER": handler, "DIGITAL_TWIN_INFO": twin, "REMOTE_READER_URL": url, "INTER_CLOUD_TOKEN": secret, "INTER_CLOUD_TOKEN_SECRET": named,
			"AWS_REGION": "eu-central-1", "DYNAMODB_TABLE_NAME": place, "FUNCTIONS_CUSTOMHANDLER_PORT": "1",
			"COSMOS_DB_ENDPOINT": place, "COSMOS_DB_DATABASE": "d", "COSMOS_DB_CONTAINER": "c", "GOOGLE_CLOUD_PROJECT": "p", "FIRESTORE_COLLECTION": collection}
		for here, load := range map[Cloud]func(func(string) string) (*Function, error){AWS: Lambda, Azure: AzureFunctions, GCP: CloudRun} {
			fn, err := of(load, env)
			switch {
			case err != nil && hotreader.CodeOf(err) != hotreader.CodeConfig:
				t.Errorf("%v has the code %s", err, hotreader.CodeOf(err))
			case err != nil:
			case (fn.Role == API || fn.Remote) && fn.Token == nil && fn.TokenSecret == "":
				t.Errorf("no token: %+v", fn)
			case fn.Remote && (fn.RemoteURL == "" || fn.L4 != here && here != AWS || fn.L3 == fn.L4):
				t.Errorf("remote without need or means: %+v", fn)
			case !fn.Remote && fn.Table == "" && fn.Cosmos == Cosmos{} && fn.Firestore == Firestore{}:
				t.Errorf("local without a store: %+v", fn)
			case !fn.Remote && here != AWS && fn.L3 != "" && fn.L3 != here:
				t.Errorf("local, but hot storage is elsewhere: %+v", fn)
			}
		}
	})
}

// TestDevicesOfEveryFunction: each cloud's function reads the list, and does not
// start with one that is broken.
func TestDevicesOfEveryFunction(t *testing.T) {
	lambdas := []string{"hot-reader", "hot-reader-last-entry", "hot-reader-api"}
	check := func(name string, load func(func(string) string) (*Function, error), env map[string]string) {
		t.Run(name, func(t *testing.T) {
			f, err := of(load, with(env, "HOTREADER_DEVICES", "pump-7, valve-*"))
			if err != nil || !f.Devices.Has("valve-1") || f.Devices.Has("pump-8") {
				t.Errorf("%+v, %v", f, err)
			}
			if f, err = of(load, env); err != nil || len(f.Devices) != 0 {
				t.Errorf("%+v, %v", f, err)
			}
			refuses(t, load, with(env, "HOTREADER_DEVICES", "pump-7,"), "HOTREADER_DEVICES: entry 2 is empty")
		})
	}
	for _, handler := range lambdas {
		check(handler, Lambda, with(local(), "_HANDLER", handler, "INTER_CLOUD_TOKEN", token))
	}
	for _, s := range servers {
		check(s.name, s.load, s.env())
	}
}

// The docs' tables are what Keys says.
func TestDocsHaveKeys(t *testing.T) {
	const rule = "|---|---|---|\n"
	keys, variables := "| key | variable | |\n"+rule, "| variable | for | meaning |\n"+rule
	for _, k := range Keys {
		if k.Name != "" {
			variable := ""
			if k.Variable != "" {
				variable = "`" + k.Variable + "`"
			}
			keys += fmt.Sprintf("| `%s` | %s | %s |\n", k.Name, variable, k.Help)
		}
		if k.Variable != "" {
			readers := map[Cloud]string{AWS: "AWS", Azure: "Azure", GCP: "Google Cloud"}[k.Cloud]
			readers = cmp.Or(readers, map[Reach]string{Stores: "store", Served: "API"}[k.Reach])
			variables += fmt.Sprintf("| `%s` | %s | %s |\n", k.Variable, readers, k.Help)
		}
	}
	for file, want := range map[string]string{"../docs/configuration.md": variables, "../docs/deploying.md": keys} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(want, "\n")
		before, after, found := strings.Cut(string(text), head)
		i := strings.Index(after, "|\n\n")
		if !found || i < 0 {
			t.Fatalf("%s has no table %q", file, head)
		}
		if *golden.Update {
			if err := os.WriteFile(file, []byte(before+want+after[i+2:]), 0o666); err != nil {
				t.Fatal(err)
			}
		} else if head+after[:i+2] != want {
			t.Errorf("%s differs from config.Keys; run: go test ./config -run TestDocsHaveKeys -update", file)
		}
	}
}

// Keys has every variable that a function reads, and no other.
func TestKeysAreWhatFunctionsRead(t *testing.T) {
	for cloud, c := range map[Cloud]struct {
		load func(func(string) string) (*Function, error)
		env  map[string]string
	}{AWS: {Lambda, local()}, Azure: {AzureFunctions, cosmos()}, GCP: {CloudRun, with(firestore(), "INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", version)}} {
		read, want := map[string]bool{}, map[string]bool{}
		for _, l3 := range []Cloud{AWS, Azure, GCP} {
			env := with(c.env, "DIGITAL_TWIN_INFO", info("t", string(l3), string(cloud)))
			_, _ = c.load(func(name string) string { read[name] = true; return env[name] })
		}
		for _, k := range Keys {
			if k.Variable != "" && (k.Cloud == "" || k.Cloud == cloud) {
				want[k.Variable] = true
			}
		}
		maps.DeleteFunc(read, func(name string, _ bool) bool { return strings.HasPrefix(name, "AWS_ENDPOINT_URL_") }) // named by one row
		if got, want := slices.Sorted(maps.Keys(read)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
			t.Errorf("%s reads %q, want %q", cloud, got, want)
		}
	}
}
