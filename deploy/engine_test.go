package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tfjson "github.com/hashicorp/terraform-json"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/render"
	"hotreader/deploy/topology"
	"hotreader/test/packages"
)

func TestEnvironment(t *testing.T) {
	env, notes, err := environment([]string{
		"AWS_PROFILE=work", "TF_CLI_CONFIG_FILE=/etc/terraformrc", "TF_PLUGIN_CACHE_DIR=/cache",
		"TF_LOG=TRACE", "TF_VAR_token=x", "TF_INPUT=1", "INTER_CLOUD_TOKEN=a", "MINE=xx-secret-xx", "TF_WORKSPACE=",
	}, "secret", "")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"AWS_PROFILE": "work", "TF_CLI_CONFIG_FILE": "/etc/terraformrc", "TF_PLUGIN_CACHE_DIR": "/cache"}
	if fmt.Sprint(env) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", env, want)
	}
	if len(notes) != 2 || !strings.HasPrefix(notes[0], "MINE ") || !strings.HasPrefix(notes[1], "TF_LOG ") {
		t.Errorf("%q", notes)
	}
	for _, name := range []string{"TF_CLI_ARGS", "TF_CLI_ARGS_plan", "TF_WORKSPACE", "TF_DATA_DIR", "TF_REATTACH_PROVIDERS"} {
		if _, _, err := environment([]string{name + "=x"}); !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "unset "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenText(t *testing.T) {
	server, reader := topology.Side{L3: true}, topology.Side{L4: true}
	c := config.Connection{Token: config.NewSecret("new"), PreviousToken: config.NewSecret("old")}
	if got := tokenText(server, c); got != "new,old" {
		t.Errorf("a server holds %q", got)
	}
	if got := tokenText(reader, c); got != "new" {
		t.Errorf("a reader holds %q", got)
	}
	if got := tokenText(server, config.Connection{}); got != "" {
		t.Errorf("no token: %q", got)
	}
	seen := map[int]string{}
	for _, text := range []string{"", "new", "old", "new,old", "old,new"} {
		v := tokenVersion(text)
		if v < 1 || v > 1<<31-1 || seen[v] != "" || v != tokenVersion(text) {
			t.Errorf("%q has version %d", text, v)
		}
		seen[v] = text
	}
}

func TestSecondRunIsRefused(t *testing.T) {
	dir := t.TempDir()
	release, err := lockFolder(dir, "deploy")
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockFolder(dir, "destroy")
	if !errors.Is(err, hotreader.CodeOverloaded) {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"hotreader deploy, started by ", time.Now().Format("2006-01-02"), fmt.Sprintf("process %d", os.Getpid())} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing: %v", want, err)
		}
	}
	release()
	if release, err = lockFolder(dir, "destroy"); err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	release()
}

func TestLockText(t *testing.T) {
	const text = "exit status 1\nError: Error acquiring the state lock\n\nError message: resource temporarily unavailable\nLock Info:\n  ID:        1f5e\n  Path:      terraform.tfstate\n  Operation: OperationTypeApply\n  Who:       ann@office\n  Version:   1.11.4\n  Created:   2026-01-02 03:04:05.678901 +0000 UTC\n  Info:      \n"
	want := "the state is locked by ann@office since 2026-01-02 03:04:05 UTC (apply); wait for that run; if it is dead for certain, its lock is removed with `terraform force-unlock 1f5e` in /srv/twin/aws"
	if got := lockText(text, "/srv/twin/aws"); got != want {
		t.Errorf("%s", got)
	}
	if got := lockText("Error: no such bucket", ""); got != "" {
		t.Errorf("%s", got)
	}
}

func TestShortNames(t *testing.T) {
	for address, want := range map[string][2]string{
		`module.hotreader.aws_iam_role.function["hot-reader"]`:                  {"hot-reader", "aws_iam_role"},
		`module.hotreader.aws_api_gateway_method.route["GET /v1/devices/{id}"]`: {"GET /v1/devices/{id}", "aws_api_gateway_method"},
		`module.hotreader.aws_dynamodb_table.hot[0]`:                            {"hot", "aws_dynamodb_table"},
		`terraform_data.keep`: {"keep", "terraform_data"},
	} {
		if got := [2]string{shortName(address), resourceType(address)}; got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	if got := noun("aws_unheard_of_thing"); got != "unheard of thing" {
		t.Errorf("%q", got)
	}
}

func TestFindTerraform(t *testing.T) {
	t.Setenv("TF_WORKSPACE", "blue")
	if _, err := FindTerraform(t.Context(), ""); !errors.Is(err, hotreader.CodeConfig) || !strings.HasPrefix(err.Error(), "environment: TF_WORKSPACE would change") {
		t.Errorf("%v", err)
	}
	t.Setenv("TF_WORKSPACE", "")
	t.Setenv("PATH", t.TempDir())
	_, err := FindTerraform(t.Context(), "")
	if !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "neither terraform nor tofu is on PATH; install") {
		t.Errorf("%v", err)
	}
}

// TestSweep: what a killed run has left of a token does not outlive the next
// run's start.
func TestSweep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[new] twin*")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := &folder{home: filepath.Join(dir, "aws"), secret: "s3cret"}
	err := f.withToken(func(name string) error {
		i, err := os.Stat(name)
		if err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", i, err)
		}
		text, err := os.ReadFile(name)
		if string(text) != `{"token":"s3cret"}` {
			t.Errorf("%s %v", text, err)
		}
		return os.Link(name, filepath.Join(dir, "token-killed.json"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%q", left)
	}
	if err := sweep(dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("after sweep: %q", left)
	}
}

const fakeTerraform = `#!/bin/sh
# Stands in for Terraform: keeps what the token's variable file holds in the file
# applied, and fails when the file dies counts down to zero.
cmd=$1
for a in "$@"; do case $a in -var-file=*) vars=${a#-var-file=};; -out=*) out=${a#-out=};; esac; done
case $cmd in
version) echo '{"terraform_version":"1.11.4"}';;
init) mkdir -p .terraform;;
plan) if cmp -s "$vars" applied; then echo '{}' >plan; exit 0; fi; echo '{}' >plan; exit 2;;
show) echo '{"format_version":"1.2","resource_changes":[{"address":"module.hotreader.x_secret.token","mode":"managed","type":"x_secret","change":{"actions":["update"],"before":{"v":1},"after":{"v":2}}}]}';;
apply)
	n=$(cat ../../dies); n=$((n - 1)); echo $n >../../dies
	if [ $n -eq 0 ]; then kill -9 $$; fi
	cp "$vars" applied;;
state) echo '{"version":4,"outputs":{"url":{"value":"https://api.example.com"}},"resources":[]}';;
*) echo "unexpected: $*" >&2; exit 1;;
esac
`

// stood is a project in whose folder Terraform is played: hot storage on AWS, the
// twin on Google Cloud. What state says is in each cloud's state.
func stood(t *testing.T, state string) (*Engine, string) {
	t.Helper()
	dir, bin := t.TempDir(), t.TempDir()
	program := filepath.Join(bin, "terraform")
	script := strings.Replace(fakeTerraform, `"resources":[]`, `"resources":[`+state+`]`, 1)
	if script == fakeTerraform && state != "" {
		t.Fatal("the played Terraform has no state to fill")
	}
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	packages.Write(t, bin, slices.Collect(maps.Values(render.Packages))...)
	p := &config.Project{Dir: dir, Twin: "hall", L3: config.AWS, L4: config.GCP,
		Devices: []config.Device{{ID: "pump-7", Properties: []config.Property{{Name: "temperature", Type: "DOUBLE"}}}},
		Options: config.Options{GCP: config.GCPOptions{Project: "hall-project", Region: "europe-west3"}}}
	return &Engine{Project: p, Artifacts: bin, Terraform: program, Work: filepath.Join(t.TempDir(), "work"), Environ: []string{"PATH=" + os.Getenv("PATH")}, Drain: -1}, filepath.Join(dir, ".hotreader")
}

func touch(t *testing.T, elements ...string) {
	t.Helper()
	name := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(`{"version":4}`), 0o600); err != nil {
		t.Fatal(err)
	}
}

// watching is an operator that looks at each step.
type watching struct {
	Unattended
	check, report func()
}

func (w *watching) Report(Event) { w.report() }

func (w *watching) Check(context.Context) error {
	w.check()
	return nil
}

// TestPitfall21TokenRotatesWithoutAFailedRequest: at each moment the reader's
// token is one that the server takes, and a rotation that is killed at any step
// is ended by the next run.
func TestPitfall21TokenRotatesWithoutAFailedRequest(t *testing.T) {
	for dies := range 7 {
		t.Run(fmt.Sprintf("killed before step %d", dies), func(t *testing.T) {
			e, _ := stood(t, "")
			dir, work := e.Project.Dir, e.Work
			holds := func(c config.Cloud) []string {
				text, err := os.ReadFile(filepath.Join(work, string(c), "applied"))
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				var v struct{ Token string }
				if err := errors.Join(err, json.Unmarshal(text, &v)); err != nil {
					t.Fatal(err)
				}
				return strings.Split(v.Token, ",")
			}
			fits := func(when string) {
				t.Helper()
				server, reader := holds(config.AWS), holds(config.GCP)
				if len(reader) != 1 || !slices.Contains(server, reader[0]) {
					t.Errorf("%s: the reader's token is not among the server's", when)
				}
			}
			checks := 0
			e.Operator = &watching{check: func() { checks++; fits("check") }, report: func() {
				if holds(config.GCP) != nil {
					fits("while it runs")
				}
			}}
			die := func(n int) {
				if err := os.WriteFile(filepath.Join(filepath.Dir(work), "dies"), fmt.Append(nil, n), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			die(0)
			if err := e.Deploy(t.Context()); err != nil {
				t.Fatal(err)
			}
			fits("deployed")
			first := holds(config.GCP)[0]
			die(dies)
			const id = "gcp_l4_to_aws_l3hot_read"
			err := e.Rotate(t.Context(), id, false)
			fits("after the first run")
			killed := dies >= 1 && dies <= 3
			if killed != (err != nil) {
				t.Fatalf("%v", err)
			}
			if killed {
				if strings.Contains(err.Error(), first) {
					t.Error("the error holds the token")
				}
				die(0)
				if err := e.Rotate(t.Context(), id, false); dies == 3 {
					// The last step was lost after the rotation was over in the file: it is
					// another rotation, which is as safe.
					if err != nil {
						t.Fatal(err)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				fits("after the second run")
			}
			server, reader := holds(config.AWS), holds(config.GCP)
			if len(server) != 1 || server[0] != reader[0] || reader[0] == first {
				t.Error("the rotation has not ended with a new token alone")
			}
			conns, err := config.OpenConnections(dir)
			if err != nil {
				t.Fatal(err)
			}
			c, _ := conns.Get(id)
			if c.Token.Reveal() != reader[0] || !c.PreviousToken.IsZero() || c.URL != "https://api.example.com" {
				t.Errorf("the connection: url %s", c.URL)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".hotreader", "token-*")); len(left) > 0 {
				t.Errorf("%q are left", left)
			}
			if checks == 0 {
				t.Error("the link was not proven")
			}
			if err := e.Rotate(t.Context(), "azure_l4_to_aws_l3hot_read", false); !errors.Is(err, hotreader.CodeInvalid) {
				t.Errorf("another id: %v", err)
			}
		})
	}
}

// TestPitfall18RenderedFolderHoldsNoToken also says that the same project gives
// the same bytes.
func TestPitfall18RenderedFolderHoldsNoToken(t *testing.T) {
	every := []config.Cloud{config.AWS, config.Azure, config.GCP}
	for _, l3 := range every {
		for _, l4 := range every {
			e, _ := stood(t, "")
			p, dir := e.Project, e.Project.Dir
			p.L3, p.L4 = l3, l4
			p.Options.Azure = config.AzureOptions{Subscription: "00000000-0000-0000-0000-000000000000", Location: "westeurope"}
			secret := config.NewToken()
			conns, err := config.OpenConnections(dir)
			if err != nil {
				t.Fatal(err)
			}
			conns.Put(config.ConnectionID(l4, l3), config.Connection{Provider: l3, Function: "f", URL: "https://api.example.com/read", Token: secret, PreviousToken: config.NewSecret(secret.Reveal() + "p")})
			if err := conns.Save(); err != nil {
				t.Fatal(err)
			}
			one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
			for _, to := range []string{one, two} {
				if _, err := e.Render(to); err != nil {
					t.Fatalf("%s to %s: %v", l4, l3, err)
				}
			}
			files := 0
			err = fs.WalkDir(os.DirFS(one), ".", func(name string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				files++
				a, err := os.ReadFile(filepath.Join(one, name))
				if err != nil {
					return err
				}
				b, err := os.ReadFile(filepath.Join(two, name))
				if !bytes.Equal(a, b) {
					t.Errorf("%s differs when it is rendered again", name)
				}
				if bytes.Contains(a, []byte(secret.Reveal())) {
					t.Errorf("%s to %s: the token is in %s", l4, l3, name)
				}
				return err
			})
			if err != nil || files < 5 {
				t.Errorf("%s to %s: %d files, %v", l4, l3, files, err)
			}
		}
	}
}

func TestMissingCredentialsAreToldInOurWords(t *testing.T) {
	for _, c := range []struct {
		cloud config.Cloud
		says  string
		want  string
	}{
		{config.AWS, "No valid credential sources found: Please see https://registry.terraform.io/providers/hashicorp/aws", "AWS_PROFILE"},
		{config.AWS, "operation error STS: GetCallerIdentity, api error InvalidClientTokenId: The security token included in the request is invalid.", "aws sts get-caller-identity"},
		{config.Azure, "unable to build authorizer for Resource Manager API: could not configure AzureCli Authorizer", "az login"},
		{config.GCP, "google: could not find default credentials. See https://cloud.google.com/docs/authentication", "gcloud auth application-default login"},
		{config.AWS, "the bucket exists already", ""},
	} {
		said := &diagnostics{}
		if _, err := fmt.Fprintf(said, "{\"type\":\"diagnostic\",\"diagnostic\":{\"severity\":\"error\",\"summary\":%q}}\n", c.says); err != nil {
			t.Fatal(err)
		}
		err := (&folder{cloud: c.cloud}).explain(t.Context(), "plan", errors.New("exit status 1"), said)
		told := errors.Is(err, hotreader.CodeConfig) && strings.HasPrefix(err.Error(), string(c.cloud)+": ") && !strings.Contains(err.Error(), c.says)
		if told != (c.want != "") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.says, err)
		}
	}
}

// What a killed run has made is imported; what the cloud rejected, since
// it was there, is not ours.
func TestOnlyWhatIsOursIsTakenIn(t *testing.T) {
	const twin, secret, bucket, role = "mill", "module.hotreader.google_secret_manager_secret.token[0]", "module.hotreader.aws_s3_bucket.twin[0]", `module.hotreader.aws_iam_role.function["hot-reader"]`
	tagged := map[string]any{render.TwinTag: twin}
	none := map[string]any{}
	for _, c := range []struct {
		name, address, kind string
		killed              bool // or rejected by the cloud
		tags                map[string]any
		ours                bool
	}{
		{"a bucket with its tag", bucket, "aws_s3_bucket", true, tagged, true},
		{"a bucket, killed before its tag", bucket, "aws_s3_bucket", true, none, true},
		{"a bucket that was there", bucket, "aws_s3_bucket", false, none, false},
		{"a bucket of another twin", bucket, "aws_s3_bucket", true, map[string]any{render.TwinTag: "other"}, false},
		{"a bucket with other tags", bucket, "aws_s3_bucket", true, map[string]any{"team": "x"}, false},
		{"a role with its tag, though refused", role, "aws_iam_role", false, tagged, true},
		{"a role without", role, "aws_iam_role", true, none, false},
		{"Google's, that has no tag", secret, "google_secret_manager_secret", true, nil, true},
		{"Google's that was there", secret, "google_secret_manager_secret", false, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &folder{home: t.TempDir(), cloud: config.AWS}
			if c.address == secret {
				f.cloud = config.GCP
			}
			j, err := openJournal(filepath.Join(f.home, journalFile))
			if err != nil {
				t.Fatal(err)
			}
			j.add(c.address)
			if !c.killed {
				j.fail(c.address)
				if err := j.end(false, true); err != nil {
					t.Fatal(err)
				}
			}
			begun, err := f.begun()
			if err != nil {
				t.Fatal(err)
			}
			refused, found := begun[c.address]
			if !found || refused == c.killed || len(begun) != 1 {
				t.Fatalf("the journal says %v", begun)
			}
			w := &work{top: topology.Topology{Twin: twin}}
			r := &tfjson.ResourceChange{Address: c.address, Type: c.kind, Change: &tfjson.Change{Before: map[string]any{"bucket": "b", "name": "n", "tags_all": c.tags}}}
			if err := w.own(f, r, refused); (err == nil) != c.ours {
				t.Errorf("taken in: %v, want %v (%v)", err == nil, c.ours, err)
			}
		})
	}
}

// What a killed run has left in doubt stays so when the next apply fails before it
// has begun with anything, and is settled by one that goes well.
func TestDoubtOutlivesAnApplyThatFails(t *testing.T) {
	f := &folder{home: t.TempDir(), cloud: config.AWS}
	name := filepath.Join(f.home, journalFile)
	killed, err := openJournal(name)
	if err != nil {
		t.Fatal(err)
	}
	killed.add("a")
	killed.add("b")
	killed.fail("b")
	if err := killed.end(false, false); err != nil {
		t.Fatal(err)
	}
	next, err := openJournal(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.end(false, true); err != nil {
		t.Fatal(err)
	}
	if begun, err := f.begun(); err != nil || len(begun) != 2 || begun["a"] || !begun["b"] {
		t.Errorf("the journal says %v, %v", begun, err)
	}
	last, err := openJournal(name)
	if err != nil {
		t.Fatal(err)
	}
	last.add("b")
	last.done("b")
	if err := last.end(true, true); err != nil {
		t.Fatal(err)
	}
	if begun, err := f.begun(); err != nil || len(begun) != 0 {
		t.Errorf("after an apply that went well the journal says %v, %v", begun, err)
	}
}

// A file in the work folder that is larger than any of ours is not read into memory.
func TestHugeFiles(t *testing.T) {
	dir := t.TempDir()
	f := &folder{home: dir, cloud: config.AWS, report: func(Event) {}}
	for file, read := range map[string]func() error{
		stateFile:             f.checkState,
		stateFile + ".backup": func() error { _, err := f.earlierState(nil); return err },
		journalFile:           func() error { _, err := f.begun(); return err },
	} {
		name := filepath.Join(dir, file)
		if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, 1<<36)); err != nil { // sparse
			t.Fatal(err)
		}
		if err := read(); !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), name+" is larger than ") {
			t.Errorf("%s: %v", file, err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// Terraform writes its state over the old one; a kill leaves any part of the new
// one, and the old one as a backup.
func TestStateCutShort(t *testing.T) {
	state := func(resource, provider string) string {
		return `{"version":4,"resources":[{"mode":"managed","type":"` + resource + `","name":"x","provider":"provider[\"registry.terraform.io/hashicorp/` + provider + `\"]","instances":[{"attributes":{}}]}]}`
	}
	now, before := state("aws_s3_bucket", "aws"), state("aws_dynamodb_table", "aws")
	for _, c := range []struct {
		name          string
		backup        string // "" = none
		cut           bool
		counts, fails string
	}{
		{name: "whole", backup: before, counts: now},
		{name: "cut", backup: before, cut: true, counts: before},
		{name: "the first state, cut", cut: true, counts: ""},
		{name: "both cut", backup: before[:40], cut: true, fails: "read the state"},
		{name: "cut, and the backup is foreign", backup: state("x", "evil"), cut: true, fails: "evil"},
	} {
		for end := range len(now) {
			if !c.cut {
				end = len(now)
			}
			f := &folder{home: t.TempDir(), cloud: config.AWS, report: func(Event) {}}
			name := filepath.Join(f.home, stateFile)
			if err := os.WriteFile(name, []byte(now[:end]), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.backup != "" {
				if err := os.WriteFile(name+".backup", []byte(c.backup), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := f.checkState()
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("%s at byte %d: error %v, want %q", c.name, end, err, c.fails)
				}
				continue
			}
			if text, _ := os.ReadFile(name); err != nil || string(text) != c.counts {
				t.Errorf("%s at byte %d: %v, the state is %q, want %q", c.name, end, err, text, c.counts)
			}
		}
	}
}
