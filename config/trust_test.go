package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/identity"
)

// An API may know several callers, and then needs no shared token; a reader may
// have its cloud say who it is.
func TestTrust(t *testing.T) {
	server := map[string]string{"_HANDLER": "hot-reader-api", "AWS_REGION": "eu-central-1", "DYNAMODB_TABLE_NAME": "factory-hot-iot-data"}
	reader := with(local(), "DIGITAL_TWIN_INFO", info("factory", "azure", "aws"), "REMOTE_READER_URL", api, "DYNAMODB_TABLE_NAME", "")
	const signed = `{"issuer":"https://issuer.example.com","audience":"a","subject":"s"}`
	const key = "HOTREADER_PAGE_KEY_SECRET"
	for name, c := range map[string]struct {
		env  map[string]string
		more []string
		want string // what the error says; "" = it is right
	}{
		"signed":                     {server, []string{trustVariable, "[" + signed + "]", key, arn}, ""},
		"beside a token":             {server, []string{trustVariable, "[" + signed + "]", "INTER_CLOUD_TOKEN", token}, ""},
		"a token of its own":         {server, []string{trustVariable, `[{"name":"grafana","token_secret":"` + arn + `","devices":["pump-*"],"rate":0.5,"burst":3}]`, key, arn}, ""},
		"this machine":               {server, []string{trustVariable, `[{"issuer":"http://127.0.0.1:9/x","audience":"a","subject":"s"}]`, key, arn}, ""},
		"no key for pages":           {server, []string{trustVariable, "[" + signed + "]"}, key + ": is not set"},
		"key's name":                 {server, []string{"INTER_CLOUD_TOKEN", token, key, "x"}, key + ": is not the ARN"},
		"nobody":                     {server, []string{trustVariable, " ", key, arn}, "does not start without a token"},
		"no list":                    {server, []string{trustVariable, signed, key, arn}, "expected an array"},
		"an empty list":              {server, []string{trustVariable, "[]", key, arn}, "has 0 callers"},
		"no JSON":                    {server, []string{trustVariable, "[", key, arn}, "is not JSON"},
		"no subject":                 {server, []string{trustVariable, `[{"issuer":"https://issuer.example.com","audience":"a"}]`, key, arn}, "expected issuer, audience and subject, or token_secret alone"},
		"no proof":                   {server, []string{trustVariable, `[{"name":"x"}]`, key, arn}, "does not say how the caller proves itself"},
		"both proofs":                {server, []string{trustVariable, `[{"issuer":"https://i","audience":"a","subject":"s","token_secret":"` + arn + `"}]`, key, arn}, "token_secret alone"},
		"http":                       {server, []string{trustVariable, `[{"issuer":"http://issuer.example.com","audience":"a","subject":"s"}]`, key, arn}, "is not https"},
		"a query":                    {server, []string{trustVariable, `[{"issuer":"https://issuer.example.com?x","audience":"a","subject":"s"}]`, key, arn}, "invalid issuer"},
		"a wildcard list of devices": {server, []string{trustVariable, `[{"issuer":"https://i.example.com","audience":"a","subject":"s","devices":["*x"]}]`, key, arn}, "does not fit"},
		"no devices":                 {server, []string{trustVariable, `[{"issuer":"https://i.example.com","audience":"a","subject":"s","devices":[]}]`, key, arn}, "would be all devices"},
		"rate":                       {server, []string{trustVariable, `[{"issuer":"https://i.example.com","audience":"a","subject":"s","rate":-1}]`, key, arn}, "requests a second"},
		"a name of logs":             {server, []string{trustVariable, `[{"name":"previous","token_secret":"` + arn + `"}]`, key, arn}, "choose another"},
		"a name with a line":         {server, []string{trustVariable, `[{"name":"a\nb","token_secret":"` + arn + `"}]`, key, arn}, "does not fit"},
		"a name twice":               {server, []string{trustVariable, `[{"name":"x","token_secret":"` + arn + `"},{"name":"x","issuer":"https://i","audience":"a","subject":"s"}]`, key, arn}, "is there twice"},
		"a caller twice":             {server, []string{trustVariable, "[" + signed + "," + signed + "]", key, arn}, `"caller-2" proves itself as "caller-1" does`},
		"a secret twice":             {server, []string{trustVariable, `[{"name":"x","token_secret":"` + arn + `"},{"name":"y","token_secret":"` + arn + `"}]`, key, arn}, `"y" proves itself as "x" does`},
		"a key twice":                {server, []string{trustVariable, `[{"name":"x","name":"y","token_secret":"` + arn + `"}]`, key, arn}, "is there twice"},
		"an unknown key":             {server, []string{trustVariable, `[{"device":["x"],"token_secret":"` + arn + `"}]`, key, arn}, "did you mean devices"},
		"the token, not its name":    {server, []string{trustVariable, `[{"token_secret":"` + token + `"}]`, key, arn}, "is not the ARN of a secret"},
		"federated":                  {reader, []string{"HOTREADER_IDENTITY", "federated", "HOTREADER_AUDIENCE", "hotreader-factory"}, ""},
		"federated without audience": {reader, []string{"HOTREADER_IDENTITY", "federated"}, "HOTREADER_AUDIENCE: is not set"},
		"audience without federated": {reader, []string{"HOTREADER_AUDIENCE", "x", "INTER_CLOUD_TOKEN", token}, "HOTREADER_IDENTITY is not federated"},
		"misspelt":                   {reader, []string{"HOTREADER_IDENTITY", "federate", "HOTREADER_AUDIENCE", "x"}, `did you mean "federated"?`},
		"no identity, no token":      {reader, nil, "or HOTREADER_IDENTITY to federated"},
		"an audience with a blank":   {reader, []string{"HOTREADER_IDENTITY", "federated", "HOTREADER_AUDIENCE", "a b"}, "without a blank"},
	} {
		f, err := load(with(maps.Clone(c.env), c.more...))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want == "" && f.Role == API && len(f.Trust) != 1 || c.want == "" && f.Role != API && f.Audience != "hotreader-factory":
			t.Errorf("%s: %+v", name, f)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), token)):
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
	for _, of := range []string{"name", "issuer", "audience", "subject", "token_secret", "devices", "rate", "burst"} {
		want := "[0]." + of + ": is null"
		if of == "devices" {
			want += ", which would be all devices; leave it out for all, or list them"
		}
		_, err := FileTrust(`[{"token_secret":"/run/grafana","` + of + `":null}]`)
		if of == "token_secret" {
			_, err = FileTrust(`[` + signed[:len(signed)-1] + `,"token_secret":null}]`)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", of, err, want)
		}
	}
	got, err := FileTrust(`[` + signed + `,{"name":"grafana","token_secret":"/run/grafana","devices":["pump-*","valve"],"rate":5,"burst":10}]`)
	want := []identity.Trusted{{Name: "caller-1", Issuer: "https://issuer.example.com", Audience: "a", Subject: "s"},
		{Name: "grafana", TokenSecret: "/run/grafana", Devices: identity.Devices{"pump-*", "valve"}, Rate: 5, Burst: 10}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := FileTrust(`[{"token_secret":""}]`); err == nil || !strings.Contains(err.Error(), "expected a file") {
		t.Errorf("%v", err)
	}
}

// identity of a project: what goes, what it needs, and where there is nothing to prove.
func TestIdentityOfAProject(t *testing.T) {
	for _, c := range []struct {
		l3, l4, options string
		audience        string // "" = not federated
		wrong           string // "" = nothing
	}{
		{"aws", "google", `{}`, "", ""},
		{"aws", "google", `{"identity":"token"}`, "", ""},
		{"aws", "google", `{"identity":"Federated"}`, "hotreader-factory", ""},
		{"azure", "aws", `{"identity":"federated"}`, "hotreader-factory", ""},
		{"aws", "azure", `{"identity":"federated","azure":{"audience":"api://tenant/factory"}}`, "api://tenant/factory", ""},
		{"aws", "azure", `{"identity":"federated"}`, "", "azure.audience: is missing while identity is federated"},
		{"azure", "azure", `{"identity":"federated"}`, "", ""},
		{"aws", "google", `{"identity":"federation"}`, "", `identity: "federation"`},
		{"aws", "azure", `{"identity":"federated","azure":{"audience":"a b"}}`, "", "azure.audience: "},
	} {
		files := goodProject()
		files[fileProviders] = `{"layer_3_hot_provider":"` + c.l3 + `","layer_4_provider":"` + c.l4 + `"}`
		files[fileOptions] = c.options
		p, err := LoadProject(folder(t, files))
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), "config_hot_reader.json: "+c.wrong) {
				t.Errorf("%s to %s, %s: %v", c.l4, c.l3, c.options, err)
			}
			continue
		}
		if err != nil || p.Federated() != (c.audience != "") || c.audience != "" && p.Audience() != c.audience {
			t.Errorf("%s to %s, %s: %+v, %v", c.l4, c.l3, c.options, p, err)
		}
	}
}

// The callers of a project: which API takes them, and what has no place.
func TestCallersOfAProject(t *testing.T) {
	const (
		signed = `{"name":"hall2","issuer":"https://issuer.example.com","audience":"a","subject":"s"}`
		onAWS  = `{"name":"aws","token_secret":"arn:aws:secretsmanager:eu-central-1:123456789012:secret:grafana-abc123"}`
		onAz   = `{"name":"azure","token_secret":"https://hall.vault.azure.net/secrets/grafana","devices":["valve-*"],"rate":5,"burst":10}`
		onGCP  = `{"name":"gcp","token_secret":"projects/plant-1/secrets/grafana/versions/latest"}`
	)
	list := func(all ...string) string { return "[" + strings.Join(all, ",") + "]" }
	long := strings.Replace(signed, `"a"`, `"`+strings.Repeat("a", 1000)+`"`, 1)
	for _, c := range []struct {
		l3, l4, callers string
		want            map[Cloud]string // the names that each cloud's API takes
		wrong           string           // "" = nothing
	}{
		{"aws", "google", "null", nil, ""},
		{"aws", "google", list(signed), map[Cloud]string{AWS: "hall2", GCP: "hall2"}, ""},
		{"azure", "aws", list(signed, onAz), map[Cloud]string{Azure: "hall2 azure"}, ""},
		{"gcp", "gcp", list(onGCP, strings.Replace(onGCP, `"gcp"`, `"other"`, 1)), nil, `[1]: "other" proves itself as "gcp" does`},
		{"gcp", "gcp", list(onGCP), map[Cloud]string{GCP: "gcp"}, ""},
		{"aws", "azure", list(onAWS, onAz), map[Cloud]string{AWS: "aws", Azure: "azure"}, ""},
		{"aws", "azure", list(onAWS, onGCP), nil, "[1]: has no API to ask"},
		{"gcp", "aws", list(onAWS), nil, "[0]: has no API to ask"},
		{"aws", "aws", list(signed), nil, "[0]: has no API to ask"},
		{"aws", "google", list(long), nil, ": has 1"},
		{"azure", "google", list(long), map[Cloud]string{Azure: "hall2", GCP: "hall2"}, ""},
		{"aws", "google", "[]", nil, ": has 0 callers"},
		{"aws", "google", `[{"token_secret":"arn:aws:secretsmanager:eu-central-1:123456789012:secret:*-abc123"}]`, nil, "[0].token_secret: is not the name of a secret"},
		{"aws", "google", `[{"token_secret":"arn:aws:secretsmanager:eu-central-1:123456789012:secret:grafana"}]`, nil, "[0].token_secret: is not the name of a secret"},
		{"azure", "google", `[{"token_secret":"https://hall.example.com/secrets/grafana"}]`, nil, "[0].token_secret: is not the name of a secret"},
		{"azure", "google", `[{"token_secret":"` + token + `"}]`, nil, "[0].token_secret: is not the name of a secret"},
	} {
		files := goodProject()
		files[fileProviders] = `{"layer_3_hot_provider":"` + c.l3 + `","layer_4_provider":"` + c.l4 + `"}`
		files[fileOptions] = `{"callers":` + c.callers + `}`
		p, err := LoadProject(folder(t, files))
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), "config_hot_reader.json: callers"+c.wrong) || strings.Contains(err.Error(), token) {
				t.Errorf("%s to %s, %s: %v", c.l4, c.l3, c.callers, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s to %s, %s: %v", c.l4, c.l3, c.callers, err)
			continue
		}
		for _, cloud := range []Cloud{AWS, Azure, GCP} {
			var got []string
			for _, caller := range p.Callers(cloud) {
				got = append(got, caller.Name)
			}
			if strings.Join(got, " ") != c.want[cloud] {
				t.Errorf("%s to %s, %s: the API on %s takes %q", c.l4, c.l3, c.callers, cloud, got)
			}
		}
	}
}

// FuzzTrust: whatever HOTREADER_TRUST holds, its callers are told apart, each proves
// itself in one way, and each has a list of devices that can be read.
func FuzzTrust(f *testing.F) {
	f.Add(`[{"name":"hall","issuer":"https://a.example.com","audience":"x","subject":"y","devices":["pump-*"],"rate":5,"burst":10}]`)
	f.Add(`[{"token_secret":"/run/token"},{"issuer":"http://127.0.0.1:8080","audience":"x","subject":"y"}]`)
	f.Add(`[{"name":"a","name":"b","issuer":"http://evil","audience":"","subject":"*","devices":[],"rate":-1,"burst":1e9}]`)
	f.Add(`{}`)
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ReadTrust(text, func(string) string { return "" })
		if err != nil {
			if hotreader.CodeOf(err) != hotreader.CodeConfig {
				t.Errorf("%v has the code %q", err, hotreader.CodeOf(err))
			}
			return
		}
		names := map[string]bool{}
		for _, c := range all {
			federated := c.Issuer != "" && c.Audience != "" && c.Subject != ""
			plain := strings.HasPrefix(c.Issuer, "http://") && !strings.HasPrefix(c.Issuer, "http://127.") && !strings.HasPrefix(c.Issuer, "http://localhost") && !strings.HasPrefix(c.Issuer, "http://[::1]")
			if names[c.Name] || c.Name == "" || federated == (c.TokenSecret != "") || plain || c.Rate < 0 || c.Burst < 0 || slices.Contains(c.Devices, "") {
				t.Errorf("%q gives %+v", text, c)
			}
			names[c.Name] = true
		}
	})
}
