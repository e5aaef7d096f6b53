package topology

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/identity"
	"hotreader/layout"
	"hotreader/test/golden"
)

var threeClouds = []config.Cloud{config.AWS, config.Azure, config.GCP}

// topologyProject is a project whose hot storage is on l3 and whose twin on l4.
func topologyProject(l3, l4 config.Cloud) *config.Project {
	return &config.Project{
		Twin: "factory", L3: l3, L4: l4,
		Devices: []config.Device{{ID: "pump-1", Properties: []config.Property{{Name: "temperature", Type: "DOUBLE"}}}},
		Options: config.Options{Azure: config.AzureOptions{Subscription: "11111111-2222-3333-4444-555555555555"}},
	}
}

// combinations calls f for all nine.
func combinations(t *testing.T, f func(t *testing.T, l3, l4 config.Cloud)) {
	for _, l4 := range threeClouds {
		for _, l3 := range threeClouds {
			t.Run(fmt.Sprintf("%s_l4_to_%s_l3", l4, l3), func(t *testing.T) { f(t, l3, l4) })
		}
	}
}

// Each combination is what its file in testdata says.
func TestTopologyGolden(t *testing.T) {
	seen := 0
	combinations(t, func(t *testing.T, l3, l4 config.Cloud) {
		top, err := New(topologyProject(l3, l4))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		e := json.NewEncoder(&got)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(top); err != nil {
			t.Fatal(err)
		}
		golden.File(t, fmt.Sprintf("testdata/%s_l4_to_%s_l3.json", l4, l3), got.Bytes())
		seen++
	})
	if files, err := filepath.Glob("testdata/*"); err != nil || len(files) != seen {
		t.Errorf("%d golden files for %d combinations", len(files), seen)
	}
}

// What holds for every combination, whatever the golden files say.
func TestTopologyRules(t *testing.T) {
	combinations(t, func(t *testing.T, l3, l4 config.Cloud) {
		top, err := New(topologyProject(l3, l4))
		if err != nil {
			t.Fatal(err)
		}
		roles := map[config.Cloud][]config.Role{}
		for i, s := range top.Sides {
			if i == 0 != s.L3 {
				t.Errorf("side %d is %s: hot storage's comes first", i, s.Cloud)
			}
			if s.L3 && s.Cloud != l3 || s.L4 && s.Cloud != l4 {
				t.Errorf("%s holds L3 %v, L4 %v", s.Cloud, s.L3, s.L4)
			}
			for _, f := range s.Functions {
				roles[s.Cloud] = append(roles[s.Cloud], f.Role)
				if f.Name != "factory-"+string(f.Role) {
					t.Errorf("%s is called %q", f.Role, f.Name)
				}
				if f.Store == f.Remote || f.Store != (s.Cloud == l3) {
					t.Errorf("%s on %s: store %v, remote %v", f.Role, s.Cloud, f.Store, f.Remote)
				}
			}
			// Public is only what another cloud or a user calls over HTTP.
			public := s.Cloud != config.AWS || !s.L4
			if (len(s.Public) > 0) != public {
				t.Errorf("%s: public %q", s.Cloud, s.Public)
			}
			// Nothing that is public, and nothing that asks another cloud, goes without the token.
			if want := public || !s.L3; s.Token != want {
				t.Errorf("%s: token %v, want %v", s.Cloud, s.Token, want)
			}
		}
		want := map[config.Cloud][]config.Role{l4: {config.History, config.LastEntry}}
		if l3 != l4 {
			want[l3] = []config.Role{config.API}
		}
		if !reflect.DeepEqual(roles, want) {
			t.Errorf("functions %v, want %v", roles, want)
		}
		connection := fmt.Sprintf("%s_l4_to_%s_l3hot_read", l4, l3)
		if l3 == config.AWS && l4 == config.AWS {
			connection = ""
		}
		if top.Connection != connection {
			t.Errorf("connection %q, want %q", top.Connection, connection)
		}
	})
}

// started is what the function's program makes of an environment.
func started(cloud config.Cloud, env map[string]string) (*config.Function, error) {
	get := func(name string) string { return env[name] }
	switch cloud {
	case config.Azure:
		return config.AzureFunctions(get)
	case config.GCP:
		return config.CloudRun(get)
	}
	return config.Lambda(get)
}

// completed is a function's environment with what its module and its cloud add.
func completed(p *config.Project, s Side, f Function) map[string]string {
	env := maps.Clone(f.Env)
	secret := ""
	switch s.Cloud {
	case config.AWS:
		env["_HANDLER"], env["AWS_REGION"] = string(f.Role), "eu-central-1"
		secret = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:" + names.Secret(p.Twin) + "-AbCdEf"
		if f.Store {
			env["DYNAMODB_TABLE_NAME"] = names.Table(p.Twin)
		}
	case config.Azure:
		env["FUNCTIONS_CUSTOMHANDLER_PORT"] = "8080"
		secret = "https://" + names.KeyVault(p.Twin, "") + ".vault.azure.net/secrets/" + names.AzureSecret()
		if f.Store {
			env["COSMOS_DB_ENDPOINT"] = "https://" + names.CosmosAccount(p.Twin, "") + ".documents.azure.com"
			env["COSMOS_DB_DATABASE"], env["COSMOS_DB_CONTAINER"] = names.CosmosDatabase(p.Twin), names.Container(p.Twin)
		}
	case config.GCP:
		env["PORT"], env["GOOGLE_CLOUD_PROJECT"] = "8080", "my-project"
		secret = "projects/my-project/secrets/" + names.Secret(p.Twin) + "/versions/latest"
		if f.Store {
			env["FIRESTORE_COLLECTION"], env["FIRESTORE_DATABASE"] = names.Collection(p.Twin), names.FirestoreDatabase(p.Twin)
		}
	}
	if s.Token {
		env["INTER_CLOUD_TOKEN_SECRET"] = secret
	}
	if f.Remote {
		env["REMOTE_READER_URL"] = "https://api.example.com/prod"
	}
	return env
}

// Each function starts with its environment, with the widest and the least twin
// and all options, and does what the topology says.
func TestTopologyEnvironmentIsAccepted(t *testing.T) {
	all := config.Options{Settings: config.Settings{Layout: layout.Layout{DeviceKey: "dev", TimeKey: "ts", TimeFormat: layout.Formats{"epoch_ms"}, Properties: layout.Properties{Base: "payload"}}, Rate: 12.5, LogLevel: "debug", Devices: identity.Devices{"pump-*", "valve-7"}},
		OTel: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com", "OTEL_SERVICE_NAME": "factory"}}
	for _, f := range reflect.ValueOf(&all.Settings).Elem().Fields() { // whatever numbers there are
		switch f.Kind() {
		case reflect.Int:
			f.SetInt(50)
		case reflect.Int64:
			f.SetInt(2_000_000_000)
		}
	}
	for _, twin := range []string{"a", "Abcdefghij_klmnopqrs-"} {
		for _, options := range []config.Options{{}, all} {
			combinations(t, func(t *testing.T, l3, l4 config.Cloud) {
				p := topologyProject(l3, l4)
				p.Twin, p.Options = twin, options
				if l3 == config.GCP && options.Layout.TimeFormat != nil {
					p.Options.Layout.TimeFormat = layout.Formats{"native"} // which no other cloud's program knows
				}
				top, err := New(p)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range top.Sides {
					for _, f := range s.Functions {
						got, err := started(s.Cloud, completed(p, s, f))
						if err != nil {
							t.Errorf("%s on %s does not start: %v", f.Role, s.Cloud, err)
							continue
						}
						if got.Twin != twin || got.L3 != l3 || got.L4 != l4 || got.Remote != f.Remote || (got.TokenSecret != "") != s.Token {
							t.Errorf("%s on %s reads %+v", f.Role, s.Cloud, got)
						}
						if f.Env["OTEL_SERVICE_NAME"] != p.Options.OTel["OTEL_SERVICE_NAME"] {
							t.Errorf("%s on %s is called %q", f.Role, s.Cloud, f.Env["OTEL_SERVICE_NAME"])
						}
						want := p.Options.Settings
						if !f.Store {
							want.Layout = layout.Layout{}
						}
						if len(s.Public) == 0 {
							want.Rate, want.Burst = 0, 0
						}
						if !reflect.DeepEqual(got.Settings, want) {
							t.Errorf("%s on %s reads %+v, want %+v", f.Role, s.Cloud, got.Settings, want)
						}
					}
				}
			})
		}
	}
}

// With federation the token lies on one cloud alone, that people ask; while a twin changes
// over it lies where it did before, too. On one cloud nothing changes.
func TestFederatedTopology(t *testing.T) {
	combinations(t, func(t *testing.T, l3, l4 config.Cloud) {
		p := topologyProject(l3, l4)
		shared, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		p.Options.Identity, p.Options.Azure.Audience = "federated", "api://tenant/factory"
		for want, decide := range []func(*config.Project) (Topology, error){1: New, 2: Between} {
			if decide == nil {
				continue
			}
			top, err := decide(p)
			if err != nil {
				t.Fatal(err)
			}
			if l3 == l4 {
				if !reflect.DeepEqual(top, shared) {
					t.Errorf("on one cloud there is %+v", top)
				}
				continue
			}
			holders := 0
			for _, s := range top.Sides {
				if s.Token {
					holders++
				}
				if s.Signs != s.L4 || s.Trusts == s.L4 {
					t.Errorf("%s: signs %v, trusts %v", s.Cloud, s.Signs, s.Trusts)
				}
				for _, f := range s.Functions {
					env := completed(p, s, f)
					env["HOTREADER_PAGE_KEY_SECRET"] = pageKeys[s.Cloud]
					if s.Trusts {
						env["HOTREADER_TRUST"] = `[{"issuer":"https://issuer.example.com","audience":"a","subject":"s"}]`
					}
					got, err := started(s.Cloud, env)
					if err != nil || (got.Audience == p.Audience()) != s.Signs {
						t.Errorf("%s on %s starts as %+v, %v", f.Role, s.Cloud, got, err)
					}
				}
			}
			if holders != want {
				t.Errorf("%d clouds hold the token, want %d", holders, want)
			}
		}
	})
}

var pageKeys = map[config.Cloud]string{
	config.AWS:   "arn:aws:secretsmanager:eu-central-1:123456789012:secret:factory-page-key-AbCdEf",
	config.Azure: "https://factory.vault.azure.net/secrets/page-key",
	config.GCP:   "projects/my-project/secrets/factory-page-key/versions/latest",
}

// An environment that lacks what its module adds is rejected: the test above
// would be none if the programs took anything.
func TestTopologyEnvironmentAloneIsRefused(t *testing.T) {
	combinations(t, func(t *testing.T, l3, l4 config.Cloud) {
		p := topologyProject(l3, l4)
		top, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range top.Sides {
			for _, f := range s.Functions {
				for _, name := range []string{"DYNAMODB_TABLE_NAME", "COSMOS_DB_CONTAINER", "FIRESTORE_COLLECTION", "REMOTE_READER_URL", "INTER_CLOUD_TOKEN_SECRET", "DIGITAL_TWIN_INFO"} {
					env := completed(p, s, f)
					if env[name] == "" || name == "DIGITAL_TWIN_INFO" && s.L3 && len(s.Public) > 0 {
						continue // an API over its own store needs no twin
					}
					delete(env, name)
					if name == "INTER_CLOUD_TOKEN_SECRET" {
						name = "INTER_CLOUD_TOKEN"
					}
					if _, err := started(s.Cloud, env); !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), name) {
						t.Errorf("%s on %s without %s: %v", f.Role, s.Cloud, name, err)
					}
				}
			}
		}
	})
}

// Five hundred devices make no environment larger; what the deployer sets takes
// less than half of the 4 KB that Lambda has for all variables, in the worst case.
func TestPitfall17EnvironmentDoesNotGrow(t *testing.T) {
	size := func(devices int, l3, l4 config.Cloud) (most int) {
		p := topologyProject(l3, l4)
		p.Twin = "Abcdefghij_klmnopqrs-"
		p.Options.Layout = layout.Layout{TimeFormat: layout.Formats{"epoch_ms"}, Properties: layout.Properties{Paths: map[string]string{"p": strings.Repeat("t", 1<<10-48)}}} // the most that is taken
		if text := p.Options.Variables(config.Stores)["HOTREADER_LAYOUT"]; len(text) != 1<<10 {
			t.Fatalf("the layout has %d bytes", len(text))
		}
		p.Options.Rate, p.Options.Burst, p.Options.LogLevel = 1e-9, 1000000, "debug"
		p.Devices = nil
		for i := range devices {
			d := config.Device{ID: fmt.Sprintf("device-%04d", i)}
			for j := range 10 {
				d.Properties = append(d.Properties, config.Property{Name: fmt.Sprintf("property-%d", j), Type: "DOUBLE", Initial: json.RawMessage("21.5")})
			}
			p.Devices = append(p.Devices, d)
		}
		top, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range top.Sides {
			for _, f := range s.Functions {
				n := 0 // without what has bounds of its own: devices and OpenTelemetry's
				for name, value := range completed(p, s, f) {
					n += len(name) + len(value)
				}
				most = max(most, n)
			}
		}
		return most
	}
	combinations(t, func(t *testing.T, l3, l4 config.Cloud) {
		if one, many := size(1, l3, l4), size(500, l3, l4); one != many || many > 2048 {
			t.Errorf("%d bytes with one device, %d with 500", one, many)
		}
	})
}

// What a function would reject when it starts is rejected before anything is made.
func TestTopologyChecksOpenTelemetry(t *testing.T) {
	combinations(t, func(t *testing.T, l3, l4 config.Cloud) {
		for name, clouds := range map[string][]config.Cloud{"grpc": threeClouds, "prometheus": {config.AWS, config.Azure}} {
			p := topologyProject(l3, l4)
			variable := map[string]string{"grpc": "OTEL_EXPORTER_OTLP_PROTOCOL", "prometheus": "OTEL_METRICS_EXPORTER"}[name]
			p.Options.OTel = map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com", variable: name}
			_, err := New(p)
			if slices.Contains(clouds, l3) || slices.Contains(clouds, l4) {
				if !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), variable+": ") || !strings.Contains(err.Error(), "config_hot_reader.json: otel") {
					t.Errorf("%s=%s: %v", variable, name, err)
				}
			} else if err != nil {
				t.Errorf("%s=%s: %v", variable, name, err)
			}
		}
	})
}

func TestTopologyRefuses(t *testing.T) {
	for _, p := range []*config.Project{{}, {Twin: "a", L3: "google", L4: config.AWS}, {Twin: "a", L3: config.AWS}} {
		if _, err := New(p); !errors.Is(err, hotreader.CodeConfig) {
			t.Errorf("%+v: %v, want an error of CodeConfig", p, err)
		}
	}
}
