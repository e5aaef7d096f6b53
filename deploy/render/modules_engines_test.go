//go:build engines

package render

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotreader/config"
	"hotreader/deploy/terraform"
	"hotreader/test/engine"
)

const plantToken = "0123456789abcdef0123456789abcdef0123456789a"

// said is what the stand-ins' clouds say of their resources.
var said = map[string]string{
	"azurerm_client_config.subscription_id":                  "11111111-2222-3333-4444-555555555555",
	"azurerm_key_vault.vault_uri":                            "https://plant.vault.azure.net/",
	"azurerm_key_vault_secret.versionless_id":                "https://plant.vault.azure.net/secrets/inter-cloud-token",
	"azurerm_function_app_flex_consumption.default_hostname": "plant-abc.westeurope-01.azurewebsites.net",
	"google_project.project_id":                              "plant-1",
	"google_service_account.email":                           "functions@plant-1.iam.gserviceaccount.com",
	"google_cloud_run_v2_service.uri":                        "https://plant-abc.a.run.app",
}

// rendering is a rendered folder, of which Terraform speaks to a stand-in.
type rendering struct {
	t       *testing.T
	dir     string
	program string
	env     []string
	cloud   *standIn
	calls   string // a line for each run of the command hotreader
}

// render writes r's folder, and a program hotreader for the modules to run.
func renderModule(t *testing.T, cloud config.Cloud, provider string, r root) *rendering {
	t.Helper()
	f := &rendering{t: t, dir: t.TempDir()}
	f.calls = filepath.Join(f.dir, "calls.txt")
	var reattach string
	f.cloud, reattach = startStandIn(t, readExtract(t, provider), said)
	f.program, f.env = engine.Terraform(t)
	bin := filepath.Join(f.dir, "bin")
	script := "#!/bin/sh\n" +
		"echo \"$* image=$HOTREADER_IMAGE publish=$HOTREADER_PUBLISH_URL keep=$HOTREADER_KEEP_STORE\" >>" + f.calls + "\n" +
		"[ \"$1 $2\" != 'store keep' ] || [ \"$HOTREADER_KEEP_STORE\" = false ]\n"
	f.write("bin/hotreader", []byte(script), 0o755)
	f.env = append(append(os.Environ(), f.env...), reattach, "TF_IN_AUTOMATION=1", "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	f.write("main.tf.json", r.text, 0o600)
	f.write("package/"+Packages[cloud], []byte("package"), 0o600)
	files, err := terraform.Module(string(cloud))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		f.write("module/"+name, text, 0o600)
	}
	f.token(plantToken)
	f.must("init", "-input=false", "-no-color")
	return f
}

func (f *rendering) write(name string, text []byte, mode os.FileMode) {
	f.t.Helper()
	file := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(file, text, mode); err != nil {
		f.t.Fatal(err)
	}
}

// token writes the variables of a run.
func (f *rendering) token(token string) {
	f.t.Helper()
	text, err := json.Marshal(map[string]string{"token": token, "page_key": plantToken + "-pages"})
	if err != nil {
		f.t.Fatal(err)
	}
	f.write("run.tfvars.json", text, 0o600)
}

// change replaces an argument of the module.
func (f *rendering) change(name string, value any) {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "main.tf.json"))
	if err != nil {
		f.t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		f.t.Fatal(err)
	}
	doc["module"].(map[string]any)["hotreader"].(map[string]any)[name] = value
	if text, err = json.Marshal(doc); err != nil {
		f.t.Fatal(err)
	}
	f.write("main.tf.json", text, 0o600)
}

// run runs Terraform and keeps what it says in the folder.
func (f *rendering) run(args ...string) (string, int) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), f.program, args...)
	cmd.Dir, cmd.Env = f.dir, f.env
	out, err := cmd.CombinedOutput()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		f.t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(f.dir, "log.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	if _, err := log.Write(out); err != nil {
		f.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (f *rendering) must(args ...string) string {
	f.t.Helper()
	out, code := f.run(args...)
	if code != 0 {
		f.t.Fatalf("terraform %s: exit code %d: %s", args[0], code, out)
	}
	return out
}

const variables1, noColor, noInput = "-var-file=run.tfvars.json", "-no-color", "-input=false"

func (f *rendering) apply() {
	f.t.Helper()
	f.must("plan", variables1, noColor, noInput, "-out=plan.bin")
	f.must("apply", variables1, noColor, noInput, "plan.bin")
}

// unchanged checks that another plan has nothing to do.
func (f *rendering) unchanged() {
	f.t.Helper()
	if out, code := f.run("plan", variables1, noColor, noInput, "-detailed-exitcode"); code != 0 {
		f.t.Errorf("another plan has exit code %d: %s", code, out)
	}
}

// state returns the addresses of what Terraform knows.
func (f *rendering) state() []string {
	return strings.Fields(f.must("state", "list"))
}

// noToken looks for tokens in all that Terraform left.
func (f *rendering) noToken(tokens ...string) {
	f.t.Helper()
	files := 0
	err := filepath.WalkDir(f.dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "run.tfvars.json" {
			return err
		}
		files++
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if e.Name() == "plan.bin" { // a zip
			text = []byte(f.must("show", "-json", "plan.bin"))
		}
		for _, token := range tokens {
			if bytes.Contains(text, []byte(token)) {
				f.t.Errorf("the token is in %s", name)
			}
		}
		return nil
	})
	if err != nil || files < 5 {
		f.t.Errorf("%d files looked at: %v", files, err)
	}
}

// Terraform takes every root module, with every module's references, and can plan
// it from nothing.
func TestModulesPlan(t *testing.T) {
	t.Parallel()
	for _, m := range modules {
		if m.provider == "" {
			continue
		}
		for _, r := range roots(t, m.cloud) {
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				f := renderModule(t, m.cloud, m.provider, r)
				args := []string{"plan", variables1, noColor, noInput, "-out=plan.bin"}
				if strings.Contains(string(r.text), `"`+RemoteVariable+`": {`) {
					args = append(args, "-var", RemoteVariable+"=https://reader.example.com")
				}
				f.must(args...)
				var plan struct {
					Changes []struct {
						Address string
						Change  struct{ Actions []string }
					} `json:"resource_changes"`
				}
				if err := json.Unmarshal([]byte(f.must("show", "-json", "plan.bin")), &plan); err != nil {
					t.Fatal(err)
				}
				store := 0
				for _, c := range plan.Changes {
					if strings.Contains(c.Address, ".hot") && strings.Contains(c.Address, "firestore") || strings.Contains(c.Address, "cosmosdb") {
						store++
					}
				}
				if made := !strings.Contains(r.name, "options"); len(plan.Changes) < 8 || made && (store > 0) != r.side.L3 {
					t.Errorf("%d resources, %d of hot storage: %+v", len(plan.Changes), store, plan.Changes)
				}
				f.noToken(plantToken)
			})
		}
	}
}

// Terraform takes a twin's hot storage through its life on each cloud: made,
// unchanged, with another token, kept, and destroyed.
func TestModulesLive(t *testing.T) {
	t.Parallel()
	const second = "fedcba9876543210fedcba9876543210fedcba98765"
	for _, c := range []struct {
		cloud            config.Cloud
		provider, secret string // the write-only argument
		url              string
		calls            []string // of hotreader, when all is made
		kept             string   // refuses to go
	}{
		{config.Azure, "azurerm", "azurerm_key_vault_secret.value_wo", "https://plant-abc.westeurope-01.azurewebsites.net", []string{
			"vault wait https://plant.vault.azure.net/ image= publish= keep=",
			"app push ./package/hotreader-azure-amd64.zip image= publish=https://plant-abc.scm.westeurope-01.azurewebsites.net keep=",
		}, "azurerm_cosmosdb_sql_container.hot"},
		{config.GCP, "google", "google_secret_manager_secret_version.secret_data_wo", "https://plant-abc.a.run.app", []string{
			"image push ./package/hotreader-cloudrun.tar image=europe-west1-docker.pkg.dev/plant-1/plant-7-",
		}, ""},
	} {
		t.Run(string(c.cloud), func(t *testing.T) {
			t.Parallel()
			all := roots(t, c.cloud)
			i := slices.IndexFunc(all, func(r root) bool { return r.side.L3 && !r.side.L4 })
			f := renderModule(t, c.cloud, c.provider, all[i])
			f.apply()
			f.unchanged()

			var outputs map[string]struct{ Value json.RawMessage }
			if err := json.Unmarshal([]byte(f.must("output", "-json")), &outputs); err != nil {
				t.Fatal(err)
			}
			var functions map[string]struct{ Name, ID, URL string }
			if err := json.Unmarshal(outputs["functions"].Value, &functions); err != nil {
				t.Fatal(err)
			}
			if got := functions["hot-reader-api"]; got.Name != "Plant_7-hot-reader-api" || got.ID == "" || got.URL != c.url {
				t.Errorf("the functions are %+v", functions)
			}
			if got := string(outputs["url"].Value); got != `"`+c.url+`"` {
				t.Errorf("the URL is %s", got)
			}
			if got := f.cloud.secrets[c.secret]; !slices.Equal(got, []string{plantToken}) {
				t.Errorf("the cloud got the tokens %q", got)
			}
			calls := f.lines()
			if len(calls) != len(c.calls) {
				t.Errorf("hotreader was run for %q", calls)
			}
			for i, want := range c.calls {
				if !strings.HasPrefix(calls[i], want) {
					t.Errorf("hotreader was run for %q, want %q", calls[i], want)
				}
			}

			// Another token: the secret first, then what reads it, and never no secret.
			made := len(f.cloud.events)
			f.token(second + "," + plantToken)
			f.change("token_version", 2)
			f.apply()
			want := map[config.Cloud][]string{
				config.Azure: {"update azurerm_key_vault_secret", "update azurerm_function_app_flex_consumption"},
				config.GCP:   {"create google_secret_manager_secret_version", "update google_cloud_run_v2_service", "delete google_secret_manager_secret_version"},
			}[c.cloud]
			if got := f.cloud.events[made:]; !slices.Equal(got, want) {
				t.Errorf("with another token there is %q, want %q", got, want)
			}
			if got := f.cloud.secrets[c.secret]; !slices.Equal(got, []string{plantToken, second + "," + plantToken}) {
				t.Errorf("the cloud got the tokens %q", got)
			}
			f.unchanged()

			if c.kept != "" {
				// Another account would be an empty one.
				f.change("vault_key", "https://keys.vault.azure.net/keys/twin")
				f.must("plan", variables1, noColor, noInput, "-out=plan.bin")
				if out, code := f.run("apply", variables1, noColor, noInput, "plan.bin"); code == 0 || slices.Contains(f.cloud.events, "delete azurerm_cosmosdb_account") {
					t.Errorf("another account took hot storage's place: exit code %d: %s", code, out)
				}
				f.change("vault_key", nil)
				out, code := f.run("destroy", variables1, noColor, noInput, "-auto-approve")
				if code == 0 || !slices.ContainsFunc(f.state(), func(a string) bool { return strings.Contains(a, c.kept) }) {
					t.Errorf("hot storage was not kept: exit code %d: %s", code, out)
				}
			}
			f.change("keep_store", false)
			f.apply()
			f.must("destroy", variables1, noColor, noInput, "-auto-approve")
			if left := f.state(); len(left) != 0 {
				t.Errorf("Terraform still knows %q", left)
			}
			for kind, n := range f.cloud.live {
				if n != 0 {
					t.Errorf("%d of %s are left", n, kind)
				}
			}
			f.noToken(plantToken, second)
		})
	}
}

func (f *rendering) lines() []string {
	text, err := os.ReadFile(f.calls)
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// TestModulesFormatted has Terraform say that the modules are written as it writes.
func TestModulesFormatted(t *testing.T) {
	program, env := engine.Terraform(t)
	for _, m := range modules {
		cmd := exec.CommandContext(t.Context(), program, "fmt", "-check", "-diff", "-recursive", filepath.Join("..", "terraform", string(m.cloud)))
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", m.cloud, err, out)
		}
	}
}
