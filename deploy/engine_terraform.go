package deploy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"
	tfjson "github.com/hashicorp/terraform-json"

	"hotreader"
	"hotreader/config"
)

// stopTime is how long Terraform may take, after it was asked to stop, to finish
// the requests that are under way and write its state. What it could not write
// is found again by adopt.
const stopTime = 10 * time.Minute

// folder is one cloud's work folder, and Terraform in it. All that lies there has
// been put there by us, or by Terraform.
type folder struct {
	cloud  config.Cloud
	dir    string
	home   string            // .hotreader/CLOUD, with the journal and, without a backend, the state
	binary string            // of Terraform or OpenTofu
	env    map[string]string // of Terraform
	secret string            // the token's text, "current" or "current,previous"; "" = the side has none
	report func(Event)

	names map[string]string // the cloud's names of the resources of a plan, by address
}

const (
	stateFile   = "terraform.tfstate"
	planFile    = "plan"         // the saved plan
	journalFile = "journal"      // what an apply that is under way has begun
	initFile    = "initialised"  // what init was done for
	tokenFiles  = "token-*.json" // in .hotreader: a token on its way to Terraform
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
	if f.secret == "" {
		return do("")
	}
	file, err := os.CreateTemp(filepath.Dir(f.home), tokenFiles) // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	text, err := json.Marshal(map[string]string{"token": f.secret})
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
	names, err := filepath.Glob(filepath.Join(dir, tokenFiles))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
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
	if have, err := os.ReadFile(stamp); err == nil && string(have) == want {
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
		Terraform json.RawMessage `json:"terraform"`
	}
	if err := json.Unmarshal(text, &root); err != nil {
		return "", nil, err
	}
	var opens struct {
		Terraform struct{ Backend map[string]json.RawMessage }
	}
	if err := json.Unmarshal(text, &opens); err != nil {
		return "", nil, err
	}
	var all bytes.Buffer
	all.Write(root.Terraform)
	module := os.DirFS(filepath.Join(f.dir, "module"))
	err = fs.WalkDir(module, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(module, name)
		if bytes.Contains(text, []byte("required_providers")) || bytes.Contains(text, []byte("module \"")) {
			all.Write(text)
		}
		return err
	})
	return digest(all.Bytes()) + "\n", opens.Terraform.Backend, err
}

// plan makes the saved plan and returns what it says, an empty one if there is
// nothing to do. The token is not in it. failed, if not nil, is told what is wrong.
func (f *folder) plan(ctx context.Context, failed func(*diagnostics)) (*tfjson.Plan, error) {
	changed := false
	err := f.withToken(func(varFile string) error {
		tf, err := f.terraform()
		if err != nil {
			return err
		}
		opts := []tfexec.PlanOption{tfexec.Out(planFile)}
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

// destroy destroys all that stands, and asks nobody.
func (f *folder) destroy(ctx context.Context) error {
	return f.applying(ctx, "destroy", tfexec.Destroy(true))
}

// bring does to the addresses, and to what they depend on, what the root module
// says, and asks nobody.
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
	for _, name := range []string{planFile, importFile} { // used up, whatever came of it
		_ = os.Remove(filepath.Join(f.dir, name))
	}
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
// changed one: all that was in them stands in the state now.
func (f *folder) dropBackups() {
	for _, dir := range []string{f.home, f.dir} {
		names, _ := filepath.Glob(filepath.Join(dir, stateFile+".*.backup"))
		for _, name := range names {
			_ = os.Remove(name)
		}
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

func (f *folder) say(e Event) {
	e.Cloud = f.cloud
	if f.report != nil {
		f.report(e)
	}
}

// message is a line of Terraform's machine-readable output:
// https://developer.hashicorp.com/terraform/internals/machine-readable-ui
type message struct {
	Type string `json:"type"`
	Hook struct {
		Resource struct {
			Addr string `json:"addr"`
			Type string `json:"resource_type"`
		} `json:"resource"`
		Action  string  `json:"action"`
		IDValue string  `json:"id_value"`
		Elapsed float64 `json:"elapsed_seconds"`
	} `json:"hook"`
	Diagnostic *struct {
		Severity string `json:"severity"`
		Summary  string `json:"summary"`
		Detail   string `json:"detail"`
		Address  string `json:"address"`
	} `json:"diagnostic"`
}

// diagnostics reads that output: it hands on what happens and keeps what is
// wrong.
type diagnostics struct {
	on func(message)

	mu     sync.Mutex
	rest   []byte
	errors []message
	other  []string // lines that are not JSON
}

// Write takes a part of the output, of any length.
func (d *diagnostics) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rest = append(d.rest, p...)
	for {
		line, rest, ok := bytes.Cut(d.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			if text := strings.TrimSpace(string(line)); text != "" {
				d.other = append(d.other, text)
			}
		} else if m.Diagnostic != nil {
			if m.Diagnostic.Severity == "error" {
				d.errors = append(d.errors, m)
			}
		} else if d.on != nil {
			d.on(m)
		}
		d.rest = append(d.rest[:0], rest...)
	}
}

// progress reports what Terraform does to a resource.
func (f *folder) progress(ctx context.Context, m message, journal *journal) {
	r := m.Hook.Resource
	if strings.Contains(r.Addr, "data.") && m.Hook.Action == "read" {
		return
	}
	e := Event{Address: r.Addr, What: noun(r.Type), Name: cmp.Or(f.names[r.Addr], shortName(r.Addr)), Action: actionOf(m.Hook.Action), ID: m.Hook.IDValue,
		Elapsed: time.Duration(m.Hook.Elapsed * float64(time.Second))}
	switch m.Type {
	case "apply_start":
		journal.add(r.Addr)
		e.Kind = Began
	case "apply_progress":
		e.Kind = Goes
	case "apply_complete":
		journal.done(r.Addr)
		e.Kind = Done
	case "apply_errored":
		if ctx.Err() == nil { // else ^C has broken it off, and perhaps too late
			journal.fail(r.Addr)
		}
		e.Kind = Failed
	default:
		return
	}
	f.say(e)
}

// explain turns what a command of Terraform said into an error that names the
// resource, the cloud's own message and the next step.
func (f *folder) explain(ctx context.Context, what string, err error, said *diagnostics) error {
	if err == nil {
		return nil
	}
	op := string(f.cloud) + ": " + what
	if ctx.Err() != nil {
		return &hotreader.Error{Op: op, Code: hotreader.CodeOf(ctx.Err()),
			Err: errors.New("stopped; what was made so far is in the state, and the next deploy goes on from there")}
	}
	text := err.Error()
	var lines []string
	if said != nil {
		for _, m := range said.errors {
			lines = append(lines, f.describe(m))
		}
		if len(lines) == 0 {
			lines = said.other
		}
	}
	if lock := lockText(text+"\n"+detail(said), f.dir); lock != "" {
		return &hotreader.Error{Op: op, Code: hotreader.CodeOverloaded, Err: errors.New(f.scrub(lock))}
	}
	if len(lines) == 0 {
		lines = []string{plainTerraform(text)}
	}
	if remedy := signIn(f.cloud, strings.Join(lines, "\n")); remedy != "" {
		return configError(string(f.cloud), "%s", remedy)
	}
	next := "; correct it and run the same command again: it goes on from what stands"
	if !ended(err) {
		next = "; Terraform was killed; run the same command again: it takes in what was made but not written down"
	}
	return &hotreader.Error{Op: op, Code: hotreader.CodeStore, Err: errors.New(f.scrub(strings.Join(lines, "; ") + next))}
}

// notSignedIn is what each provider says when it finds no credentials, or none
// that are still valid, and what to do then.
var notSignedIn = map[config.Cloud]struct {
	says   *regexp.Regexp
	remedy string
}{
	config.AWS: {regexp.MustCompile(`No valid credential sources found|failed to refresh cached credentials|ExpiredToken|InvalidClientTokenId|The SSO session has expired`),
		"no valid AWS credentials; name a profile with AWS_PROFILE (and sign in with `aws sso login` if it is of that kind), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and run the same command again. `aws sts get-caller-identity` shows who you are"},
	config.Azure: {regexp.MustCompile(`could not configure AzureCli Authorizer|unable to build authorizer|[Pp]lease run 'az login'|AADSTS70043|AADSTS700082`),
		"not signed in to Azure; run `az login`, or set what Terraform's azurerm provider takes from the environment, and run the same command again. `az account show` shows who you are"},
	config.GCP: {regexp.MustCompile(`could not find default credentials|invalid_grant|invalid_rapt`),
		"not signed in to Google Cloud; run `gcloud auth application-default login`, or name a key file with GOOGLE_APPLICATION_CREDENTIALS, and run the same command again"},
}

// signIn says how to sign in, if that is what text is about; else "".
func signIn(cloud config.Cloud, text string) string {
	if n, ok := notSignedIn[cloud]; ok && n.says.MatchString(text) {
		return n.remedy
	}
	return ""
}

func detail(said *diagnostics) string {
	if said == nil {
		return ""
	}
	var b strings.Builder
	for _, m := range said.errors {
		b.WriteString(m.Diagnostic.Summary + "\n" + m.Diagnostic.Detail + "\n")
	}
	return b.String()
}

// describe says what is wrong with which resource, in the cloud's own words.
func (f *folder) describe(m message) string {
	d := m.Diagnostic
	text := strings.TrimSpace(d.Summary)
	if more := strings.TrimSpace(d.Detail); more != "" {
		text += ": " + more
	}
	text = strings.Join(strings.Fields(text), " ")
	if d.Address == "" {
		return text
	}
	return fmt.Sprintf("%s (%s): %s", noun(resourceType(d.Address)), d.Address, text)
}

// scrub hides the token, should a message hold it against all expectation.
func (f *folder) scrub(text string) string {
	for part := range strings.SplitSeq(f.secret, ",") {
		if part != "" {
			text = strings.ReplaceAll(text, part, "[token]")
		}
	}
	return text
}

var (
	lockField = regexp.MustCompile(`(?m)^[│\s]*(ID|Operation|Who|Created):\s*(.+?)\s*$`)
	colours   = regexp.MustCompile("\x1b\\[[0-9;]*m")
)

// lockText explains a state that somebody else has locked, "" if text is about
// something else. A lock is never broken here: its holder may be alive.
func lockText(text, dir string) string {
	if !strings.Contains(text, "Error acquiring the state lock") {
		return ""
	}
	field := map[string]string{}
	for _, m := range lockField.FindAllStringSubmatch(colours.ReplaceAllString(text, ""), -1) {
		if field[m[1]] == "" {
			field[m[1]] = m[2]
		}
	}
	who := field["Who"]
	if who == "" {
		who = "somebody"
	}
	since := field["Created"]
	if t, err := time.Parse("2006-01-02 15:04:05.999999999 -0700 MST", since); err == nil {
		since = t.UTC().Format(time.DateTime) + " UTC"
	}
	if since == "" {
		since = "an unknown time"
	}
	work := strings.TrimPrefix(field["Operation"], "OperationType")
	if work == "" {
		work = "a run"
	}
	out := fmt.Sprintf("the state is locked by %s since %s (%s); wait for that run", who, since, strings.ToLower(work))
	if id := field["ID"]; id != "" {
		out += "; if it is dead for certain, its lock is removed with `terraform force-unlock " + id + "` in " + dir
	}
	return out
}

// plainTerraform is the essence of what Terraform prints for people.
func plainTerraform(text string) string {
	text = colours.ReplaceAllString(text, "")
	text = strings.Map(func(r rune) rune {
		if strings.ContainsRune("│╷╵", r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// journal is the list of the resources that an apply has begun with, in a file,
// so that it outlives a kill.
type journal struct {
	name  string
	file  *os.File
	begun map[string]bool // and not done, by this run or an earlier one; true = it failed
}

func openJournal(name string) (*journal, error) {
	open, err := readJournal(name)
	if err != nil {
		return nil, err
	}
	// Appended to: what an earlier run has left open is still open.
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &journal{name, file, open}, nil
}

func (j *journal) add(address string) {
	if !j.begun[address] {
		j.begun[address] = false
	}
	_, _ = io.WriteString(j.file, address+"\n")
}

// failed begins the line of a resource whose creation the cloud has refused: it
// may be there all the same, but then somebody else has made it.
const failed = "failed "

func (j *journal) fail(address string) {
	j.begun[address] = true
	_, _ = io.WriteString(j.file, failed+address+"\n")
}

func (j *journal) done(address string) { delete(j.begun, address) }

// end closes the journal. If all went well there is nothing to remember; if
// Terraform has ended by itself, the state holds whatever was done; else all that
// was begun is in doubt.
func (j *journal) end(well, ended bool) error {
	err := j.file.Close()
	switch {
	case well || ended && len(j.begun) == 0:
		return errors.Join(err, os.Remove(j.name))
	case ended:
		var text strings.Builder
		for _, address := range slices.Sorted(maps.Keys(j.begun)) {
			if j.begun[address] {
				text.WriteString(failed)
			}
			text.WriteString(address + "\n")
		}
		return errors.Join(err, replaceFile(j.name, []byte(text.String())))
	}
	return err
}

// settled ends what an earlier run's journal has left open: all of it is in the
// state, or not on the cloud.
func (f *folder) settled() error {
	err := os.Remove(filepath.Join(f.home, journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// begun returns the resources that a killed run has begun with; true = the cloud
// has refused to make it, in this run or in an earlier one.
func (f *folder) begun() (map[string]bool, error) {
	return readJournal(filepath.Join(f.home, journalFile))
}

// readJournal returns what a journal holds, nothing if there is none.
func readJournal(name string) (map[string]bool, error) {
	all := map[string]bool{}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if address, refused := strings.CutPrefix(strings.TrimSpace(line), failed); address != "" {
			all[address] = all[address] || refused
		}
	}
	return all, nil
}
