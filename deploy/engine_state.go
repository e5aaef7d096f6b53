package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/hashicorp/terraform-exec/tfexec"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/render"
	"hotreader/internal/bounded"
)

// standing is what a state holds.
type standing struct {
	resources []managed
	outputs   outputs
}

// outputs are what a module hands out.
type outputs struct {
	URL       string                    `json:"url"`
	Region    string                    `json:"region"`
	Store     string                    `json:"store"`
	Functions map[string]FunctionStatus `json:"functions"`
	Identity  signed                    `json:"identity"`
	Trust     string                    `json:"trust"`
}

// managed is a deployed resource.
type managed struct {
	address, kind, name string         // kind is Terraform's type, name the module's
	values              map[string]any // its attributes
	tainted             bool           // its creation was broken off
}

// holdsRows reports whether r is hot storage.
func (r managed) holdsRows() bool {
	switch r.kind {
	case "aws_dynamodb_table", "azurerm_cosmosdb_sql_container", "google_firestore_database":
		return true
	}
	return false
}

// holdsToken reports whether the inter-cloud token is in r.
func (r managed) holdsToken() bool {
	switch r.kind {
	case "aws_secretsmanager_secret_version", "azurerm_key_vault_secret", "google_secret_manager_secret_version":
		return r.name == "token"
	}
	return false
}

// rereads reports whether the provider would read the token back from the cloud,
// into plan and state, since the creation of r was broken off before it had noted
// that the token was given in secret. It is forgotten instead: a second one of it
// does no harm, it is another version of the secret.
func (r managed) rereads() bool {
	return r.kind == "aws_secretsmanager_secret_version" || r.kind == "google_secret_manager_secret_version"
}

// guarded reports whether the module's argument keep_store protects r, or r
// is that protection.
func (r managed) guarded() bool {
	return r.holdsRows() || r.kind == "aws_s3_bucket" || r.kind == "terraform_data" && r.name == "keep"
}

// state reads the state as it is stored, version 4 of its format, so that the text
// that is checked is the text that is used: `terraform show` would first start the
// providers that the state names, which takes seconds besides. No state is an empty
// one.
func (f *folder) state(ctx context.Context) (standing, error) {
	var st standing
	tf, err := f.terraform()
	if err != nil {
		return st, err
	}
	text, err := tf.StatePull(ctx)
	if err != nil {
		return st, f.explain(ctx, "read the state", err, nil)
	}
	return f.parse([]byte(text))
}

// providers are those that the clouds' modules need, beside the one that is built
// into Terraform.
var providers = map[config.Cloud]string{config.AWS: "aws", config.Azure: "azurerm", config.GCP: "google"}

var (
	providerAddress = regexp.MustCompile(`^provider\["(?:registry\.terraform\.io|registry\.opentofu\.org)/hashicorp/([a-z]+)"\]$`)
	identifier      = regexp.MustCompile(`^[a-z_][a-z0-9_-]*$`)
)

const builtIn = `provider["terraform.io/builtin/terraform"]`

// stored is a resource as a state has it.
type stored struct {
	Module, Mode, Type, Name, Provider string
	Instances                          []struct {
		Index      any            `json:"index_key"`
		Status     string         `json:"status"`
		Attributes map[string]any `json:"attributes"`
	} `json:"instances"`
}

// foreign says what of r cannot come from the cloud's module; "" = nothing. The
// names become arguments of Terraform, and the provider is a program that it runs.
func (r stored) foreign(cloud config.Cloud) string {
	provider := providerAddress.FindStringSubmatch(r.Provider)
	switch {
	case r.Module != "module.hotreader" && r.Module != "":
		return fmt.Sprintf("module %q", r.Module)
	case !identifier.MatchString(r.Type), !identifier.MatchString(r.Name):
		return fmt.Sprintf("resource %q", r.Type+"."+r.Name)
	case r.Provider != builtIn && (provider == nil || provider[1] != providers[cloud]):
		return fmt.Sprintf("provider %q", r.Provider)
	}
	return ""
}

// parse parses a state. It rejects one that names what the cloud's module does not
// have, for that was not made here.
func (f *folder) parse(text []byte) (st standing, err error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return st, nil
	}
	var raw struct {
		Version int `json:"version"`
		Outputs map[string]struct {
			Value json.RawMessage `json:"value"`
		} `json:"outputs"`
		Resources []stored        `json:"resources"`
		Encrypted json.RawMessage `json:"encrypted_data"` // OpenTofu's, with a key of the user's
	}
	op := string(f.cloud) + ": read the state"
	if err := json.Unmarshal(text, &raw); err != nil {
		return st, &hotreader.Error{Op: op, Code: hotreader.CodeCorrupt, Err: err}
	}
	if raw.Encrypted != nil && len(raw.Resources) == 0 {
		return st, nil
	}
	if raw.Version != 4 {
		return st, configError(op, "its format is version %d, and this program knows version 4", raw.Version)
	}
	for name, to := range map[string]any{"url": &st.outputs.URL, "region": &st.outputs.Region, "store": &st.outputs.Store, "functions": &st.outputs.Functions,
		"identity": &st.outputs.Identity, "trust": &st.outputs.Trust} {
		if v := raw.Outputs[name].Value; len(v) > 0 && string(v) != "null" {
			if err := json.Unmarshal(v, to); err != nil {
				return st, &hotreader.Error{Op: op + ": output " + name, Code: hotreader.CodeInternal, Err: err}
			}
		}
	}
	for _, r := range raw.Resources {
		if what := r.foreign(f.cloud); what != "" {
			return st, configError(op, "it names the %.200s, which hotreader has not made there; put the twin's own state in its place (%s, or where config_hot_reader.json says)", what, filepath.Join(f.home, stateFile))
		}
		if r.Mode != "managed" {
			continue
		}
		for _, i := range r.Instances {
			address := r.Type + "." + r.Name
			if r.Module != "" {
				address = r.Module + "." + address
			}
			switch key := i.Index.(type) {
			case string:
				address += fmt.Sprintf("[%q]", key)
			case float64:
				address += fmt.Sprintf("[%.0f]", key)
			}
			st.resources = append(st.resources, managed{address, r.Type, r.Name, i.Attributes, i.Status == "tainted"})
		}
	}
	return st, nil
}

// maxState bounds a state, in bytes: each resource has some 2 KB.
const maxState = 64 << 20

// readOwn reads a file of the work folder, which has at most so many bytes.
func readOwn(name string, most int64) ([]byte, error) {
	text, err := bounded.ReadFile(name, most)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = configError(config.WorkFolder, "%w; put an older copy in its place", err)
	}
	return text, err
}

// checkState rejects a state that was not made here, before Terraform sees it, and
// mends one that was cut short.
func (f *folder) checkState() error {
	text, err := readOwn(filepath.Join(f.home, stateFile), maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && cutShort(text) {
		text, err = f.earlierState(text)
	}
	if err == nil {
		_, err = f.parse(text)
	}
	return err
}

// cutShort reports whether a state ends before its end.
func cutShort(text []byte) bool {
	var state struct{}
	broken, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(text, &state))
	return ok && broken.Offset >= int64(len(text))
}

// earlierState puts the state of before the last run in the place of one that is
// cut short. Terraform writes its state over the old one, so a kill may leave a part
// of it, or nothing; the old one it keeps beside. What the killed run made is in
// the journal, from which adopt takes it in. It returns the state that counts.
func (f *folder) earlierState(cut []byte) ([]byte, error) {
	name := filepath.Join(f.home, stateFile)
	earlier, err := readOwn(name+".backup", maxState)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if len(cut) > 0 { // the first state, of which nothing earlier exists
			f.say(Event{Kind: Note, Text: "the first run was killed while it wrote its state; what it made is looked for"})
			return nil, os.Truncate(name, 0)
		}
		return nil, nil // a plan was killed before there was a state
	case err != nil:
		return nil, err
	case cutShort(earlier):
		return nil, &hotreader.Error{Op: string(f.cloud) + ": read the state", Code: hotreader.CodeCorrupt,
			Err: fmt.Errorf("%s and its backup are cut short; put back an older copy", name)}
	}
	f.say(Event{Kind: Note, Text: "a run was killed while it wrote its state; the state of before that run is used, and what the run made is looked for"})
	return earlier, render.ReplaceFile(name, bytes.NewReader(earlier))
}

// checkBackend is checkState for a state that is kept in a backend, which is opened
// in a folder of its own, with no providers to install.
func (f *folder) checkBackend(ctx context.Context, backend map[string]json.RawMessage) error {
	if _, local := backend["local"]; local || len(backend) == 0 {
		return nil
	}
	dir, err := os.MkdirTemp(filepath.Dir(f.dir), "backend-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := json.Marshal(map[string]any{"terraform": map[string]any{"backend": backend}})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "main.tf.json"), text, 0o600)
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "none"), 0o700)
	}
	if err != nil {
		return err
	}
	only := *f
	only.dir = dir
	tf, err := only.terraform()
	if err != nil {
		return err
	}
	// It finds none of the providers that the state names, which is as it should be;
	// whether the backend was opened is seen when the state is read.
	opened := tf.Init(ctx, tfexec.PluginDir("none"))
	if _, err := os.Stat(filepath.Join(dir, ".terraform", stateFile)); opened != nil && err != nil {
		return f.explain(ctx, "terraform init", opened, nil)
	}
	_, err = only.state(ctx)
	return err
}
