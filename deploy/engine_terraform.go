package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-version"
	install "github.com/hashicorp/hc-install"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"
	"github.com/hashicorp/hc-install/src"
	"github.com/hashicorp/terraform-exec/tfexec"
	tfjson "github.com/hashicorp/terraform-json"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/render"
	"hotreader/internal/bounded"
)

// stopTime is how long Terraform may take, after it was asked to stop, to finish
// the requests that are under way and write its state. adopt finds again what
// it could not write.
const stopTime = 10 * time.Minute

// folder is one cloud's work folder, and Terraform in it. All that lies there has
// been put there by us, or by Terraform.
type folder struct {
	cloud   config.Cloud
	dir     string
	home    string            // .hotreader/CLOUD, with the journal and, without a backend, the state
	binary  string            // of Terraform or OpenTofu
	env     map[string]string // of Terraform
	secret  string            // the token's text, "current" or "current,previous"; "" = the side has none
	pageKey string            // the key of page tokens; "" = the side has none
	report  func(Event)

	names map[string]string // the cloud's names of the resources of a plan, by address
}

const (
	stateFile   = "terraform.tfstate"
	planFile    = "plan"         // the saved plan
	journalFile = "journal"      // what an apply that is under way has begun
	initFile    = "initialised"  // what init was done for
	tokenFiles  = "token-*.json" // in .hotreader: a token for Terraform
)

// environment is what Terraform may see of ours. The user's credentials and
// endpoints pass; settings that would change what is run do not, and no token
// ever does.
func environment(environ []string, secrets ...string) (env map[string]string, notes []string, err error) {
	env = map[string]string{}
	var refused []string
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		switch {
		case name == "":
			continue
		case value == "" && strings.HasPrefix(name, "TF_"):
			continue
		case name == "TF_CLI_ARGS", strings.HasPrefix(name, "TF_CLI_ARGS_"),
			name == "TF_WORKSPACE", name == "TF_DATA_DIR", name == "TF_REATTACH_PROVIDERS":
			refused = append(refused, name)
			continue
		case name == "TF_LOG", strings.HasPrefix(name, "TF_LOG_"):
			notes = append(notes, name+" is not handed to Terraform: its log would show the token")
			continue
		case strings.HasPrefix(name, "TF_VAR_"), name == "TF_INPUT", name == "TF_IN_AUTOMATION",
			name == "TF_APPEND_USER_AGENT", name == "TF_DISABLE_PLUGIN_TLS", name == "TF_SKIP_PROVIDER_VERIFY",
			name == "INTER_CLOUD_TOKEN":
			continue
		case slices.ContainsFunc(secrets, func(s string) bool { return s != "" && strings.Contains(value, s) }):
			notes = append(notes, name+" is not handed to Terraform: it holds the token")
			continue
		}
		env[name] = value
	}
	if len(refused) > 0 {
		slices.Sort(refused)
		return nil, nil, configError("environment", "%s would change what Terraform does here; unset it (unset %s)",
			strings.Join(refused, ", "), strings.Join(refused, " "))
	}
	slices.Sort(notes)
	return env, notes, nil
}

// terraform returns a runner. Each command gets its own, for a runner keeps the
// writer of the last one.
func (f *folder) terraform() (*tfexec.Terraform, error) {
	tf, err := tfexec.NewTerraform(f.dir, f.binary)
	if err != nil {
		return nil, err
	}
	if err := tf.SetEnv(maps.Clone(f.env)); err != nil {
		return nil, err
	}
	_ = tf.SetWaitDelay(stopTime) // fails on Windows alone, where there is nothing to wait for
	return tf, nil
}

// withToken runs do with the name of a file that holds the token, readable by
// us alone and gone afterwards. A run that was killed leaves its file to the
// next one, which removes it (see sweep).
func (f *folder) withToken(do func(varFile string) error) error {
	secrets := map[string]string{}
	for name, text := range map[string]string{"token": f.secret, "page_key": f.pageKey} {
		if text != "" {
			secrets[name] = text
		}
	}
	if len(secrets) == 0 {
		return do("")
	}
	file, err := os.CreateTemp(filepath.Dir(f.home), tokenFiles) // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	text, err := json.Marshal(secrets)
	if err == nil {
		_, err = file.Write(text)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return do(file.Name())
}

// sweep removes what a killed run has left in .hotreader that must not stay.
func sweep(dir string) error {
	return removeAll(dir, tokenFiles)
}

// removeAll removes the files of a folder that fit a pattern of their names.
func removeAll(dir, pattern string) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, file := range files {
		if fits, _ := filepath.Match(pattern, file.Name()); fits {
			err = errors.Join(err, os.Remove(filepath.Join(dir, file.Name())))
		}
	}
	return err
}

// init installs the providers and opens the backend, unless that was done for
// the same root and module. Terraform would install and run whatever program a
// state names, so the state is looked at before.
func (f *folder) init(ctx context.Context) error {
	if err := f.checkState(); err != nil {
		return err
	}
	want, backend, err := f.initStamp()
	if err != nil {
		return err
	}
	stamp := filepath.Join(f.dir, initFile)
	if have, err := bounded.ReadFile(stamp, bounded.Text); err == nil && string(have) == want {
		if _, err := os.Stat(filepath.Join(f.dir, ".terraform")); err == nil {
			return nil
		}
	}
	f.say(Event{Kind: Began, What: "providers", Name: "terraform init"})
	if err := f.checkBackend(ctx, backend); err != nil {
		return err
	}
	tf, err := f.terraform()
	if err != nil {
		return err
	}
	if err := tf.Init(ctx); err != nil {
		return f.explain(ctx, "terraform init", err, nil)
	}
	return os.WriteFile(stamp, []byte(want), 0o600)
}

// initStamp says what init depends on, and which backend it opens.
func (f *folder) initStamp() (stamp string, backend map[string]json.RawMessage, err error) {
	text, err := os.ReadFile(filepath.Join(f.dir, "main.tf.json"))
	if err != nil {
		return "", nil, err
	}
	var root struct {
		Terraform struct {
			Backend   map[string]json.RawMessage `json:"backend"`
			Providers json.RawMessage            `json:"required_providers"`
			Version   string                     `json:"required_version"`
		} `json:"terraform"`
	}
	if err := json.Unmarshal(text, &root); err != nil {
		return "", nil, err
	}
	module, err := os.ReadFile(filepath.Join(f.dir, "module", "versions.tf"))
	if err != nil {
		return "", nil, err
	}
	of, err := json.Marshal(root)
	return digest(append(of, module...)) + "\n", root.Terraform.Backend, err
}

// plan makes the saved plan and returns what it says, an empty one if there is
// nothing to do. The token is not in it. failed, if not nil, gets the diagnostics.
// With targets it is of these addresses alone, and of what they need.
func (f *folder) plan(ctx context.Context, failed func(*diagnostics), targets ...string) (*tfjson.Plan, error) {
	changed := false
	err := f.withToken(func(varFile string) error {
		tf, err := f.terraform()
		if err != nil {
			return err
		}
		opts := []tfexec.PlanOption{tfexec.Out(planFile)}
		for _, address := range targets {
			opts = append(opts, tfexec.Target(address))
		}
		if varFile != "" {
			opts = append(opts, tfexec.VarFile(varFile))
		}
		said := new(diagnostics)
		changed, err = tf.PlanJSON(ctx, said, opts...)
		if err != nil && failed != nil {
			failed(said)
		}
		return f.explain(ctx, "plan", err, said)
	})
	if err != nil {
		return nil, err
	}
	if !changed {
		return &tfjson.Plan{}, nil
	}
	tf, err := f.terraform()
	if err != nil {
		return nil, err
	}
	plan, err := tf.ShowPlanFile(ctx, planFile)
	return plan, f.explain(ctx, "show the plan", err, nil)
}

// apply carries out the saved plan, exactly that, and reports each resource.
func (f *folder) apply(ctx context.Context) error {
	return f.applying(ctx, "apply", tfexec.DirOrPlan(planFile))
}

// destroy destroys all that is deployed, without a question.
func (f *folder) destroy(ctx context.Context) error {
	return f.applying(ctx, "destroy", tfexec.Destroy(true))
}

// bring does to the addresses, and to what they depend on, what the root module
// says, without a question.
func (f *folder) bring(ctx context.Context, addresses []string) error {
	var opts []tfexec.ApplyOption
	for _, a := range addresses {
		opts = append(opts, tfexec.Target(a))
	}
	return f.applying(ctx, "apply", opts...)
}

// applying runs an apply. It keeps a journal while it runs, so that what was made
// but not written down can be found.
func (f *folder) applying(ctx context.Context, what string, opts ...tfexec.ApplyOption) error {
	journal, err := openJournal(filepath.Join(f.home, journalFile))
	if err != nil {
		return err
	}
	said := &diagnostics{on: func(m message) { f.progress(ctx, m, journal) }}
	err = f.withToken(func(varFile string) error {
		tf, err := f.terraform()
		if err != nil {
			return err
		}
		if varFile != "" {
			opts = append(opts, tfexec.VarFile(varFile))
		}
		return tf.ApplyJSON(ctx, said, opts...)
	})
	f.drop(planFile) // used up, whatever came of it
	f.drop(importFile)
	// Of what has begun and not come to a good end, the cloud may hold something
	// that the state does not: a request that was broken off has perhaps been
	// carried out.
	err = errors.Join(err, journal.end(err == nil, ended(err)))
	if err == nil {
		f.dropBackups()
	}
	return f.explain(ctx, what, err, said)
}

// dropBackups removes the states that Terraform has kept each time that adopt
// changed one: all that was in them is in the state now.
func (f *folder) dropBackups() {
	for _, dir := range []string{f.home, f.dir} {
		_ = removeAll(dir, stateFile+".*.backup") // the next run tries again
	}
}

// ended reports whether a command with this error has come to its own end.
func ended(err error) bool {
	if err == nil {
		return true
	}
	exit, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err)
	return ok && exit.ExitCode() >= 0
}

// drop removes a file of the work folder, if it is there.
func (f *folder) drop(name string) { _ = os.Remove(filepath.Join(f.dir, name)) }

func (f *folder) say(e Event) {
	e.Cloud = f.cloud
	f.report(e)
}

// FindTerraform returns the path of Terraform or OpenTofu of at least render.MinVersion:
// the program that name says, or else terraform or tofu of PATH. It installs
// nothing.
func FindTerraform(ctx context.Context, name string) (string, error) {
	const op = "terraform"
	if _, _, err := environment(os.Environ()); err != nil { // no program is at fault
		return "", err
	}
	names := []string{"terraform", "tofu"}
	if name != "" {
		names = []string{name}
	}
	var old error
	for _, n := range names {
		path, err := exec.LookPath(n)
		if err != nil {
			continue
		}
		// Absolute, for it runs in another folder.
		if path, err = filepath.Abs(path); err != nil {
			return "", err
		}
		v, err := versionOf(ctx, path)
		switch {
		case ctx.Err() != nil:
			return "", &hotreader.Error{Op: op, Code: hotreader.CodeOf(ctx.Err()), Err: ctx.Err()}
		case err != nil:
			old = configError(op, "%s does not say its version: %v", path, err)
		case v.Core().LessThan(version.Must(version.NewVersion(render.MinVersion))):
			old = configError(op, "%s is version %s; at least %s is needed, for it keeps the token out of the state. Install it from https://developer.hashicorp.com/terraform/install, or say --install-terraform", path, v, render.MinVersion)
		default:
			return path, nil
		}
	}
	if old != nil {
		return "", old
	}
	if name != "" {
		return "", configError(op, "%s is not there, or cannot be run", name)
	}
	return "", configError(op, "neither terraform nor tofu is on PATH; install Terraform (https://developer.hashicorp.com/terraform/install) or OpenTofu (https://opentofu.org/docs/intro/install), version %s or newer, name one with --terraform, or say --install-terraform", render.MinVersion)
}

func versionOf(ctx context.Context, path string) (*version.Version, error) {
	dir, err := os.MkdirTemp("", "hotreader-version-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	tf, err := tfexec.NewTerraform(dir, path)
	if err != nil {
		return nil, err
	}
	env, _, err := environment(os.Environ())
	if err != nil {
		return nil, err
	}
	if err := tf.SetEnv(env); err != nil {
		return nil, err
	}
	v, _, err := tf.Version(ctx, true)
	return v, err
}

// InstallTerraform downloads the newest Terraform 1.x from HashiCorp, checks its
// signature and puts it into the user's cache folder, unless one is there. It
// returns its path.
func InstallTerraform(ctx context.Context) (string, error) {
	const op = "terraform: install"
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: err}
	}
	dir := filepath.Join(cache, "hotreader", "terraform")
	if path, err := FindTerraform(ctx, filepath.Join(dir, product.Terraform.BinaryName())); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: err}
	}
	wanted, err := version.NewConstraint(">= " + render.MinVersion + ", < 2.0.0")
	if err != nil {
		return "", err
	}
	path, err := install.NewInstaller().Ensure(ctx, []src.Source{
		&releases.LatestVersion{Product: product.Terraform, Constraints: wanted, InstallDir: dir},
	})
	if err != nil {
		return "", &hotreader.Error{Op: op, Code: hotreader.CodeUnavailable, Err: fmt.Errorf("%w; install it yourself: https://developer.hashicorp.com/terraform/install", err)}
	}
	return path, nil
}
