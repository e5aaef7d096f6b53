package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"hotreader/config"
	"hotreader/deploy/topology"
	"hotreader/identity"
	"hotreader/layout"
	"hotreader/test/golden"
)

// root is a root module of one side of a project.
type root struct {
	name string // of its golden file
	side topology.Side
	text []byte

	Terraform struct {
		Providers map[string]struct{ Source, Version string } `json:"required_providers"`
	}
	Provider map[string]json.RawMessage
	Module   map[string]map[string]json.RawMessage
}

// roots renders the root modules of cloud: one for each combination that touches
// it, and some that name what exists already, set everything else, or have a layout.
func roots(t testing.TB, cloud config.Cloud) []root {
	t.Helper()
	all := []config.Cloud{config.AWS, config.Azure, config.GCP}
	var of []root
	add := func(name string, p *config.Project, url string) {
		top, err := topology.New(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range top.Sides {
			if s.Cloud != cloud {
				continue
			}
			in := Inputs{Project: p, Trust: trustOf(t, p, cloud), Package: "package/" + Packages[cloud]}
			if s.Signs || s.Trusts {
				in.PageKeyVersion = 1
			}
			if s.Trusts {
				in.Trust = `[{"name":"Plant_7-hot-reader","issuer":"https://issuer.example.com","audience":"hotreader-Plant_7","subject":"a"}]`
			}
			if s.Token {
				in.TokenVersion = 1
			}
			if s.Functions[0].Remote {
				in.RemoteURL = url
			}
			in.Lower = map[string]string{}
			for variable, at := range s.Functions[0].Lower {
				in.Lower[variable] = "https://" + string(at) + ".example.com"
			}
			text, err := rendered(s, in)
			if err != nil {
				t.Fatal(err)
			}
			r := root{name: name, side: s, text: text}
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			of = append(of, r)
		}
	}
	for _, l3 := range all {
		for _, l4 := range all {
			p := &config.Project{Twin: "Plant_7", L3: l3, L4: l4}
			add(fmt.Sprintf("%s-l3-%s-l4-%s", cloud, l3, l4), p, "https://reader.example.com/prod")
			if l3 != l4 {
				p.Options.Identity, p.Options.Azure.Audience = "federated", "api://tenant/plant"
				add(fmt.Sprintf("%s-federated-l3-%s-l4-%s", cloud, l3, l4), p, "https://reader.example.com/prod")
			}
		}
	}
	tierRoots(cloud, func(name string, p *config.Project) { add(string(cloud)+name, p, "https://reader.example.com/prod") })
	set := config.Options{
		AWS: config.AWSOptions{Region: "eu-north-1", Table: "rows", Workspace: "hall", WorkspaceRole: "arn:aws:iam::123456789012:role/hall", APIKey: true,
			ReservedConcurrency: 20, WAF: true, AllowedIPs: []string{"192.0.2.0/24"}, KMSKey: "arn:aws:kms:eu-north-1:123456789012:key/1"},
		Azure: config.AzureOptions{Subscription: "11111111-2222-3333-4444-555555555555", Location: "northeurope", ResourceGroup: "plant", CosmosAccount: "plant-db", Database: "twin", Container: "rows",
			MaxInstances: 5, AllowedIPs: []string{"192.0.2.0/24"}, Purgeable: true, VaultKey: "https://keys.vault.azure.net/keys/twin", VaultKeyIdentity: "/subscriptions/s/keys"},
		GCP: config.GCPOptions{Project: "plant-1", Region: "europe-north1", Database: "(default)", Collection: "plants/7/rows",
			MaxInstances: 3, KMSKey: "projects/plant-1/locations/europe-north1/keyRings/r/cryptoKeys/k"},
		Settings: config.Settings{Layout: layout.Layout{DeviceKey: "device-id", TimeKey: "when", TimeFormat: layout.Formats{"epoch_ms"}}, Rate: 2.5, Burst: 7, LogLevel: "debug"}, MemoryMB: 1024, LogDays: 3,
	}
	add(string(cloud)+"-options-l3", &config.Project{Twin: "p", L3: cloud, L4: cloud, Options: set}, "")
	// A table with a layout of its own, or one that is made in such a way.
	set.Layout = layout.Layout{
		DeviceKey: "meta.sensor-id", TimeKey: "payload.ts", TimeFormat: layout.Formats{"iso8601+09:00", "epoch_s:text"}, TimePrefix: "READING#",
		Partition: "site-4#{device}#{yyyy-MM-dd}", Properties: layout.Properties{Paths: map[string]string{"t": "payload.temp"}},
	}
	if cloud == config.AWS {
		set.Layout.Index = "arn:aws:dynamodb:eu-north-1:123456789012:table/rows/index/by-time"
	}
	add(string(cloud)+"-layout-there-l3", &config.Project{Twin: "p", L3: cloud, L4: cloud, Options: set}, "")
	made := config.Options{Settings: set.Settings}
	made.Layout.Index, made.Layout.TimeFormat, made.Layout.TimePrefix = "", layout.Formats{"epoch_us"}, ""
	if cloud == config.GCP {
		made.GCP.Collection = "devices/{device}/telemetry"
		made.Layout.Partition, made.Layout.DeviceKey = "", "" // the path has the device
	}
	add(string(cloud)+"-layout-made-l3", &config.Project{Twin: "p", L3: cloud, L4: cloud, Options: made}, "")
	set.Layout = layout.Layout{}
	other := config.AWS
	if cloud == config.AWS {
		other = config.GCP
	}
	add(string(cloud)+"-callers", &config.Project{Twin: "p", L3: cloud, L4: map[bool]config.Cloud{true: config.GCP, false: cloud}[cloud == config.AWS], Options: config.Options{Callers: []identity.Trusted{
		{Name: "hall", Issuer: "https://issuer.example.com", Audience: "hotreader-hall", Subject: "s"},
		{Name: "grafana", TokenSecret: map[config.Cloud]string{config.AWS: "arn:aws:secretsmanager:eu-north-1:123456789012:secret:grafana-abc123",
			config.Azure: "https://plant.vault.azure.net/secrets/grafana", config.GCP: "projects/plant-2/secrets/grafana/versions/latest"}[cloud], Devices: identity.Devices{"pump-*"}, Rate: 5, Burst: 10},
	}}}, "")
	add(string(cloud)+"-options-l4", &config.Project{Twin: "p", L3: other, L4: cloud, Options: set}, AskURL)
	return of
}

// trustOf is HOTREADER_TRUST of the API on cloud, without the twin's own functions.
func trustOf(t testing.TB, p *config.Project, cloud config.Cloud) string {
	t.Helper()
	callers := p.Callers(cloud)
	text, err := json.Marshal(callers)
	if err != nil {
		t.Fatal(err)
	}
	if len(callers) == 0 {
		return ""
	}
	return string(text)
}

// tierRoots adds projects with lower tiers: all on one cloud, each on a cloud of its own,
// and cold storage alone.
func tierRoots(cloud config.Cloud, add func(name string, p *config.Project)) {
	at := map[config.Cloud]config.Objects{config.AWS: {Bucket: "plant-cold", Prefix: "rows/"}, config.GCP: {Bucket: "plant-cold"},
		config.Azure: {Account: "plantcold", Container: "rows", Prefix: "a/", ResourceGroup: "data"}}
	next := map[config.Cloud]config.Cloud{config.AWS: config.Azure, config.Azure: config.GCP, config.GCP: config.AWS}
	other, third := next[cloud], next[next[cloud]]
	add("-tiers-here", &config.Project{Twin: "p", Days: 30, L3: cloud, L4: cloud, Cold: cloud, Archive: cloud, Options: config.Options{Cold: at[cloud], Archive: at[cloud]}})
	add("-tiers-elsewhere", &config.Project{Twin: "p", L3: cloud, L4: cloud, Cold: other, Archive: third, Options: config.Options{Cold: at[other], Archive: at[third]}})
	add("-tiers-cold-alone", &config.Project{Twin: "p", L3: other, L4: third, Cold: cloud, Options: config.Options{Cold: at[cloud]}})
}

func TestRoots(t *testing.T) {
	for _, cloud := range []config.Cloud{config.AWS, config.Azure, config.GCP} {
		of := roots(t, cloud)
		if len(of) != 5+4+3+5 {
			t.Errorf("%s has %d root modules, want one for each of 5 combinations and, of these, 4 with federation, 3 with lower tiers, and 5", cloud, len(of))
		}
		for _, r := range of {
			golden.File(t, "testdata/root/"+r.name+".json", r.text)
		}
	}
}

// A module takes what is rendered for it, and gets all that it requires.
func TestPitfall13ModulesTakeWhatIsRendered(t *testing.T) {
	for _, m := range modules {
		variables, err := newModule(t, m.cloud).variables()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range roots(t, m.cloud) {
			if wrong := argumentProblems(variables, r.Module["hotreader"]); len(wrong) > 0 {
				t.Errorf("%s: %s", r.name, strings.Join(wrong, "\n"))
			}
		}
	}
}

func argumentProblems(variables map[string]variable, arguments map[string]json.RawMessage) []string {
	var wrong []string
	for name, v := range variables {
		if v.required && arguments[name] == nil {
			wrong = append(wrong, name+" is not given")
		}
	}
	for name, raw := range arguments {
		v, ok := variables[name]
		switch {
		case name == "source":
			continue
		case !ok:
			wrong = append(wrong, name+" is no variable of the module")
			continue
		}
		var text string
		if json.Unmarshal(raw, &text) == nil && strings.HasPrefix(text, "${var.") {
			continue // of whatever type
		}
		if err := fits(raw, v.of); err != nil {
			wrong = append(wrong, name+": "+err.Error())
		}
	}
	slices.Sort(wrong)
	return wrong
}

// fits reports whether JSON is of type t; unlike Terraform it requires every
// attribute of an object to be one that t has.
func fits(raw json.RawMessage, t cty.Type) error {
	of, err := ctyjson.ImpliedType(raw)
	if err != nil {
		return err
	}
	v, err := ctyjson.Unmarshal(raw, of)
	if err != nil {
		return err
	}
	if _, err := convert.Convert(v, t); err != nil {
		return err
	}
	return surplus(v, t)
}

func surplus(v cty.Value, t cty.Type) error {
	if !v.Type().IsObjectType() || v.IsNull() {
		return nil
	}
	for name, v := range v.AsValueMap() {
		inner := t
		switch {
		case t.IsObjectType() && !t.HasAttribute(name):
			return fmt.Errorf("it has %s, which is not wanted", name)
		case t.IsObjectType():
			inner = t.AttributeType(name)
		case t.IsMapType():
			inner = t.ElementType()
		}
		if err := surplus(v, inner); err != nil {
			return err
		}
	}
	return nil
}

func TestArgumentProblems(t *testing.T) {
	variables := map[string]variable{
		"name":  {of: cty.String, required: true},
		"days":  {of: cty.Number},
		"store": {of: cty.Object(map[string]cty.Type{"id": cty.String})},
		"names": {of: cty.Map(cty.Object(map[string]cty.Type{"id": cty.String}))},
	}
	for _, c := range []struct{ arguments, want string }{
		{`{"name":"a","source":"./module"}`, ""},
		{`{"name":"${var.remote_url}","days":3,"store":{"id":"a"},"names":{"a":{"id":"b"}}}`, ""},
		{`{}`, "name is not given"},
		{`{"name":"a","day":3}`, "day is no variable"},
		{`{"name":"a","days":"three"}`, "days: a number is required"},
		{`{"name":["a"]}`, "name: string required"},
		{`{"name":"a","store":{}}`, `attribute "id" is required`},
		{`{"name":"a","store":{"id":"a","ID":"b"}}`, "store: it has ID, which is not wanted"},
		{`{"name":"a","names":{"x":{"id":"a","more":1}}}`, "names: it has more, which is not wanted"},
	} {
		var arguments map[string]json.RawMessage
		if err := json.Unmarshal([]byte(c.arguments), &arguments); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(argumentProblems(variables, arguments), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.arguments, got, c.want)
		}
	}
}

// The provider blocks are held against the schemas too, and the versions of the
// root module and the module are the same.
func TestRootProviders(t *testing.T) {
	for _, m := range modules {
		if m.provider == "" {
			continue
		}
		s := readExtract(t, m.provider).Schemas["provider "+m.provider]
		for _, r := range roots(t, m.cloud) {
			for _, p := range jsonProblems(r.Provider[m.provider], s) {
				t.Errorf("%s: provider %s: %s", r.name, m.provider, p)
			}
			if len(r.Provider) != 1 || len(r.Terraform.Providers) != 1 {
				t.Errorf("%s: the providers are %v and %v", r.name, r.Terraform.Providers, r.Provider)
			}
			for _, b := range newModule(t, m.cloud).blocks("terraform") {
				v, diags := b.Body.Blocks[0].Body.Attributes[m.provider].Expr.Value(nil)
				if diags.HasErrors() {
					t.Fatal(diags)
				}
				want := r.Terraform.Providers[m.provider]
				if got := v.AsValueMap(); got["source"].AsString() != want.Source || got["version"].AsString() != want.Version {
					t.Errorf("the module wants %v, the root module %+v", got, want)
				}
			}
		}
	}
	broken := `{"features":{"vault":{}},"storage_use_azuread":"maybe","subscription":"x"}`
	got := jsonProblems(json.RawMessage(broken), readExtract(t, "azurerm").Schemas["provider azurerm"])
	if len(got) != 3 {
		t.Errorf("of three mistakes these were found: %q", got)
	}
}

// jsonProblems checks a block in Terraform's JSON.
func jsonProblems(raw json.RawMessage, s *schema) []string {
	var block map[string]json.RawMessage
	if err := json.Unmarshal(raw, &block); err != nil {
		return []string{err.Error()}
	}
	var wrong []string
	for name, raw := range block {
		if b := s.Blocks[name]; b != nil {
			for _, w := range jsonProblems(raw, &b.schema) {
				wrong = append(wrong, name+"."+w)
			}
			continue
		}
		_, t, ok := s.attribute(name)
		if !ok {
			wrong = append(wrong, "there is no argument "+name)
		} else if err := fits(raw, t); err != nil {
			wrong = append(wrong, name+": "+err.Error())
		}
	}
	for name := range s.Attributes {
		if flags, _, _ := s.attribute(name); slices.Contains(flags, "required") && block[name] == nil {
			wrong = append(wrong, name+" is missing")
		}
	}
	for name, b := range s.Blocks {
		if b.Min > 0 && block[name] == nil {
			wrong = append(wrong, "block "+name+" is missing")
		}
	}
	return wrong
}

// Each module's functions start with the environment that it gives them.
func TestPitfall13FunctionsTakeTheirEnvironment(t *testing.T) {
	for _, c := range []struct {
		cloud    config.Cloud
		provider string
		load     func(func(string) string) (*config.Function, error)
		store    []string
	}{
		{config.Azure, "azurerm", config.AzureFunctions, []string{"COSMOS_DB_CONTAINER", "COSMOS_DB_DATABASE", "COSMOS_DB_ENDPOINT"}},
		{config.GCP, "google", config.CloudRun, []string{"FIRESTORE_COLLECTION", "FIRESTORE_DATABASE"}},
	} {
		for _, r := range roots(t, c.cloud) {
			env := evaluate(t, c.cloud, c.provider, r).environment(t)
			env["FUNCTIONS_CUSTOMHANDLER_PORT"], env["PORT"] = "7071", "8080" // the cloud's
			f, err := c.load(func(name string) string { return env[name] })
			if err != nil {
				t.Errorf("%s: %v", r.name, err)
				continue
			}
			remote := r.side.Functions[0].Remote
			if f.Remote != remote || f.HotElsewhere == (remote || r.side.L3) || (f.TokenSecret != "") != r.side.Token || f.Token != nil || f.Twin == "" ||
				(len(f.Trust) > 0) != (r.Module["hotreader"]["trust"] != nil) || (f.Audience != "") != r.side.Signs || (f.PageKeySecret != "") != (r.side.Signs || r.side.Trusts) {
				t.Errorf("%s: the function is %+v", r.name, f)
			}
			for _, name := range c.store {
				if _, there := env[name]; there != r.side.L3 {
					t.Errorf("%s: that %s is set is %v, that hot storage is here %v", r.name, name, there, r.side.L3)
				}
			}
			for variable := range r.side.Functions[0].Lower {
				if !strings.HasPrefix(env[variable], "https://") {
					t.Errorf("%s: %s is %q", r.name, variable, env[variable])
				}
			}
			if _, there := env["REMOTE_READER_URL"]; there != remote {
				t.Errorf("%s: REMOTE_READER_URL is %q", r.name, env["REMOTE_READER_URL"])
			}
			for _, function := range r.side.Functions {
				for name, want := range function.Env {
					if env[name] != want {
						t.Errorf("%s: %s is %q, want %q", r.name, name, env[name], want)
					}
				}
			}
			if name := "HOTREADER_TOKEN_VERSION"; (env[name] == "1") != r.side.Token {
				t.Errorf("%s: %s is %q: no new instances with a new token", r.name, name, env[name])
			}
		}
	}
}

// The functions may do what they need and nothing else: read the one container or
// database, if it is here, and the one secret; on Azure the host has its two containers
// and sends its traces. The package is another identity's.
func TestPitfall15LeastPrivilege(t *testing.T) {
	for _, r := range roots(t, config.Azure) {
		a := evaluate(t, config.Azure, "azurerm", r)
		var got []string
		for _, b := range a.resources("azurerm_role_assignment") {
			for _, in := range a.instances(b) {
				got = append(got, in.text(b, "principal_id")+" "+in.text(b, "role_definition_name")+" "+in.text(b, "scope"))
			}
		}
		slices.Sort(got)
		want := []string{"<azurerm_user_assigned_identity.package.principal_id> Storage Blob Data Contributor <azurerm_storage_container.package.id>",
			"THE DEPLOYER Key Vault Secrets Officer THE VAULT",
			"THE FUNCTIONS Monitoring Metrics Publisher THE APP'S INSIGHTS",
			"THE FUNCTIONS Storage Blob Data Owner THE APP'S STORAGE/blobServices/default/containers/azure-webjobs-hosts",
			"THE FUNCTIONS Storage Blob Data Owner THE APP'S STORAGE/blobServices/default/containers/azure-webjobs-secrets"}
		if r.side.Token {
			want = append(want, "THE FUNCTIONS Key Vault Secrets User THE SECRET")
		}
		if r.side.Signs || r.side.Trusts {
			want = append(want, "THE FUNCTIONS Key Vault Secrets User THE PAGE KEY")
		}
		if r.name == "azure-callers" {
			want = append(want, "THE FUNCTIONS Key Vault Secrets User /subscriptions/sub/resourceGroups/"+a.groupName(t)+"/providers/Microsoft.KeyVault/vaults/plant/secrets/grafana")
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the roles are %q, want %q", r.name, got, want)
		}
		reads := a.resources("azurerm_cosmosdb_sql_role_assignment")
		if n := len(reads); n != 0 && !r.side.L3 || n != 1 && r.side.L3 {
			t.Errorf("%s: %d roles in Cosmos DB", r.name, n)
		}
		for _, b := range reads {
			env := a.environment(t)
			account := a.text(b, "account_name")
			scope := "/subscriptions/sub/resourceGroups/" + a.groupName(t) + "/providers/Microsoft.DocumentDB/databaseAccounts/" + account
			if got, want := a.text(b, "scope"), scope+"/dbs/"+env["COSMOS_DB_DATABASE"]+"/colls/"+env["COSMOS_DB_CONTAINER"]; got != want {
				t.Errorf("%s: the role is on %s, want %s", r.name, got, want)
			}
			if got, want := a.text(b, "role_definition_id"), scope+"/sqlRoleDefinitions/00000000-0000-0000-0000-000000000001"; got != want {
				t.Errorf("%s: the role is %s, want %s, the data reader", r.name, got, want)
			}
			if got := a.text(b, "principal_id"); got != "THE FUNCTIONS" {
				t.Errorf("%s: the role is %s's", r.name, got)
			}
		}
	}
	for _, r := range roots(t, config.GCP) {
		a := evaluate(t, config.GCP, "google", r)
		me := "serviceAccount:functions@plant-1.iam.gserviceaccount.com"
		var got []string
		for _, kind := range []string{"google_project_iam_member", "google_secret_manager_secret_iam_member", "google_cloud_run_v2_service_iam_member"} {
			for _, b := range a.resources(kind) {
				for _, in := range a.instances(b) {
					got = append(got, strings.TrimSpace(in.text(b, "member")+" "+in.text(b, "role")+" "+in.text(b, "secret_id")+in.conditions(b)))
				}
			}
		}
		slices.Sort(got)
		env := a.environment(t)
		want := []string{"allUsers roles/run.invoker"}
		if r.side.L3 {
			want = append(want, me+` roles/datastore.viewer resource.name == "projects/plant-1/databases/`+env["FIRESTORE_DATABASE"]+`"`)
		}
		for _, name := range []string{"INTER_CLOUD_TOKEN_SECRET", "HOTREADER_PAGE_KEY_SECRET"} {
			if secret := env[name]; secret != "" {
				want = append(want, me+" roles/secretmanager.secretAccessor "+strings.Split(secret, "/")[3])
			}
		}
		if r.name == "gcp-callers" {
			want = append(want, me+" roles/secretmanager.secretAccessor grafana")
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the grants are %q, want %q", r.name, got, want)
		}
	}
}

// The functions may list and read what begins with the prefix of a lower tier that is
// here, and nothing else of a bucket; nothing where the tiers are elsewhere.
func TestTiersLeastPrivilege(t *testing.T) {
	for cloud, kind := range map[config.Cloud]string{config.Azure: "azurerm_role_assignment", config.GCP: "google_project_iam_member"} {
		for _, r := range roots(t, cloud) {
			a := evaluate(t, cloud, map[config.Cloud]string{config.Azure: "azurerm", config.GCP: "google"}[cloud], r)
			var got []string
			for _, b := range a.blocks("resource") {
				if b.Labels[0] != kind || b.Labels[1] != "objects" {
					continue
				}
				for _, each := range a.instances(b.Body) {
					line := each.text(b.Body, "role_definition_name") + each.text(b.Body, "role") + " " + each.text(b.Body, "scope") + " " + each.text(b.Body, "condition")
					got = append(got, line+each.conditions(b.Body))
				}
			}
			if len(r.side.Tiers) == 0 {
				if len(got) > 0 {
					t.Errorf("%s: %q", r.name, got)
				}
				continue
			}
			// Both tiers of a project lie in one place here.
			want := []string{`roles/storage.objectViewer  `, `resource.name.startsWith("projects/_/buckets/plant-cold/objects/") || resource.name == "projects/_/buckets/plant-cold" && api`}
			if cloud == config.Azure {
				const blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
				want = []string{"Storage Blob Data Reader /subscriptions/sub/resourceGroups/data/providers/Microsoft.Storage/storageAccounts/plantcold/blobServices/default/containers/rows ",
					"@Resource[" + blobs + ":path] StringStartsWith 'a/'", "@Request[" + blobs + ":prefix] StringStartsWith 'a/'"}
			}
			for _, part := range want {
				if len(got) != 1 || !strings.Contains(got[0], part) {
					t.Errorf("%s: %q, want %q", r.name, got, part)
				}
			}
		}
	}
}

// The token goes into a write-only argument and nowhere else: not into another
// argument, a local value, an output, a provisioner or a condition.
func TestPitfall18TokenIsWriteOnly(t *testing.T) {
	for _, m := range modules {
		module := newModule(t, m.cloud)
		var uses []string
		for _, file := range slices.Sorted(maps.Keys(module.body)) {
			walk(module.body[file], func(name string, x hclsyntax.Expression) {
				for _, v := range x.Variables() {
					if attribute, ok := v[min(1, len(v)-1)].(hcl.TraverseAttr); ok && v.RootName() == "var" && (attribute.Name == "token" || attribute.Name == "page_key") {
						uses = append(uses, name)
					}
				}
			})
		}
		want := map[config.Cloud]string{
			config.AWS:   "secret_string_wo",
			config.Azure: "value_wo",
			config.GCP:   "secret_data_wo",
		}[m.cloud]
		if !slices.Equal(uses, []string{want, want}) { // each once
			t.Errorf("%s: token and page key are used in %q, want %q alone", m.cloud, uses, want)
		}
		for _, b := range module.blocks("variable") {
			if (b.Labels[0] == "token" || b.Labels[0] == "page_key") && (b.Body.Attributes["ephemeral"] == nil || b.Body.Attributes["sensitive"] == nil) {
				t.Errorf("%s: the variable token is not ephemeral and sensitive, or the page key's", m.cloud)
			}
		}
	}
}

// What is needed is made first, and goes last: what a resource refers to, or says
// that it depends on, in whatever form.
func TestPitfall14WhatIsNeededIsMadeFirst(t *testing.T) {
	for _, c := range []struct {
		cloud config.Cloud
		what  string
		needs []string
	}{
		{config.Azure, "azurerm_function_app_flex_consumption.app", []string{"azurerm_key_vault_secret.token", "azurerm_role_assignment.token_read",
			"azurerm_role_assignment.storage", "azurerm_role_assignment.package", "azurerm_storage_container.host", "azurerm_role_assignment.insights", "azurerm_cosmosdb_sql_role_assignment.read", "azurerm_resource_group.hotreader"}},
		{config.Azure, "azurerm_key_vault_secret.token", []string{"azurerm_role_assignment.token_write", "terraform_data.token_write"}},
		{config.Azure, "azurerm_cosmosdb_sql_role_assignment.read", []string{"azurerm_cosmosdb_account.hot", "azurerm_cosmosdb_sql_database.hot", "azurerm_cosmosdb_sql_container.hot"}},
		{config.Azure, "terraform_data.keep", []string{"azurerm_cosmosdb_sql_container.hot"}},
		{config.Azure, "terraform_data.package", []string{"azurerm_function_app_flex_consumption.app"}},
		{config.Azure, "output.url", []string{"terraform_data.package"}},
		{config.GCP, "google_cloud_run_v2_service.hotreader", []string{"terraform_data.image", "google_artifact_registry_repository.images",
			"google_secret_manager_secret_version.token", "google_secret_manager_secret_iam_member.token_read",
			"google_project_iam_member.read", "google_firestore_index.hot", "google_project_service.api"}},
		{config.GCP, "google_firestore_index.hot", []string{"google_firestore_database.hot", "google_project_service.api"}},
		{config.GCP, "google_project_iam_member.read", []string{"google_firestore_database.hot", "google_project_service.api"}},
		{config.GCP, "google_secret_manager_secret.token", []string{"google_project_service.api"}},
		{config.GCP, "google_cloud_run_v2_service_iam_member.public", []string{"google_cloud_run_v2_service.hotreader"}},
		{config.GCP, "output.url", []string{"google_cloud_run_v2_service_iam_member.public"}},
	} {
		got := newModule(t, c.cloud).needs(c.what)
		for _, want := range c.needs {
			if !got[want] {
				t.Errorf("%s: %s may be made before %s; it needs %q", c.cloud, c.what, want, slices.Sorted(maps.Keys(got)))
			}
		}
	}
}
