//go:build engines && linux

package e2e

import (
	"archive/zip"
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hotreader/test/engine"
	"hotreader/test/packages"
	"hotreader/test/serving"
)

// TestDeploy runs the program, Terraform and the real AWS provider against moto:
// each way in which AWS can be a side of a project.
func TestDeploy(t *testing.T) {
	t.Parallel()
	artifacts := lambdaPackage(t)
	t.Run("hot storage on AWS", func(t *testing.T) { t.Parallel(); deployHotStorage(t, artifacts) })
	t.Run("both on AWS", func(t *testing.T) { t.Parallel(); deployBoth(t, artifacts) })
	t.Run("twin on AWS", func(t *testing.T) { t.Parallel(); deployTwin(t, artifacts) })
}

// lambdaPackage is a folder with the package for Lambda: moto runs no function, so that
// this machine's package does for the other processor's.
func lambdaPackage(t *testing.T) string {
	t.Helper()
	artifacts := t.TempDir()
	text, err := os.ReadFile(filepath.Join(delivered(t), "hotreader-lambda-"+runtime.GOARCH+".zip"))
	if err == nil {
		err = os.WriteFile(filepath.Join(artifacts, "hotreader-lambda-arm64.zip"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return artifacts
}

// deployHotStorage: hot storage on AWS, and the twin on Azure, which is another
// team's. The API is created, whatever kills the program on the way.
func deployHotStorage(t *testing.T, artifacts string) {
	p := newTrial(t, "hall", "aws", "azure", artifacts)
	const id, api = "azure_l4_to_aws_l3hot_read", "hall-hot-reader-api"

	var plan struct {
		Changes bool
		Clouds  []struct {
			Cloud   string
			Changes []struct{ Action, What, Name string }
			Public  []string
		}
	}
	p.json(&plan, 0, "plan", "--only", "aws", "--json")
	if !plan.Changes || len(plan.Clouds) != 1 || len(plan.Clouds[0].Public) != 1 {
		t.Errorf("plan: %+v", plan)
	}
	for _, c := range plan.Clouds[0].Changes {
		if c.Action != "create" || c.What == "" || c.Name == "" {
			t.Errorf("plan: %+v", c)
		}
	}
	if _, err := os.Stat(p.file("config_inter_cloud.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("plan has written a connection: %v", err)
	}
	p.run(2, "deploy", "--only", "aws") // nobody to ask

	// Killed in the middle, hotreader and Terraform alike; the next run goes on with
	// the same token.
	p.killAt("created API "+api, "deploy", "--only", "aws", "--yes")
	first := p.connection(id).Token
	if len(first) < 32 {
		t.Fatal("the token is short")
	}
	p.run(0, "deploy", "--only", "aws", "--yes")
	entry := p.connection(id)
	if entry.Token != first || entry.Provider != "aws" || entry.Function != api || !strings.HasPrefix(entry.URL, "https://") {
		t.Errorf("connection: provider %s, function %s, url %s, the same token: %v", entry.Provider, entry.Function, entry.URL, entry.Token == first)
	}
	t.Run("TestPitfall14TokenSavedIsTokenChecked", func(t *testing.T) {
		if p.secret() != first {
			t.Error("the secret does not hold the connection's token")
		}
	})
	if n := len(slices.DeleteFunc(engine.MotoNames(t)["REST APIs"], func(name string) bool { return name != api })); n != 1 {
		t.Errorf("%d APIs of that name stand", n)
	}

	p.start(api)

	// Drift.
	engine.MotoCall{Service: "lambda", Method: http.MethodPut, Path: "/2015-03-31/functions/" + api + "/configuration", Body: `{"MemorySize":256}`}.Text(t)
	if out, _ := p.run(0, "status", "--only", "aws"); !strings.Contains(out, "changed by hand?") || !strings.Contains(out, "function "+api+": memory_size") || !strings.Contains(out, "0 days old") {
		t.Errorf("status: %s", out)
	}

	p.explainsTerraformsLock()

	t.Run("TestPitfall21TokenIsRotated", func(t *testing.T) {
		p.run(0, "token", "rotate", "--only", "aws", "--yes", id)
		now := p.connection(id)
		if now.Token == first || now.PreviousToken != first {
			t.Fatal("a rotation has to make a new token and to keep the previous one")
		}
		if p.secret() != now.Token+","+first {
			t.Error("the server does not take both tokens")
		}
		p.run(0, "token", "rotate", "--only", "aws", "--yes", "--finish", id)
		end := p.connection(id)
		if end.Token != now.Token || end.PreviousToken != "" || p.secret() != now.Token {
			t.Error("the rotation has not ended with the new token alone")
		}
		p.run(3, "token", "rotate", "--only", "aws", "--yes", "--finish", id)
	})

	out, _ := p.run(0, "render", "--only", "aws", "--out", p.file("rendered"))
	if strings.TrimSpace(out) != p.file("rendered/aws") {
		t.Errorf("render: %s", out)
	}
	t.Run("TestPitfall18TokenHasTwoHomes", func(t *testing.T) { p.findNoToken(t) })

	p.run(2, "destroy", "--only", "aws", "--yes")
	p.run(2, "destroy", "--only", "aws", "--yes", "--confirm", "hal")
	p.refusesTheSecond("destroy", "--only", "aws", "--yes", "--confirm", p.twin)
	p.nothingIsLeft()
	if _, ok := p.connections()[id]; ok {
		t.Error("the connection is still there")
	}
}

// deployBoth: the twin and its hot storage on AWS. Nothing is public, and hot
// storage that holds something stays.
func deployBoth(t *testing.T, artifacts string) {
	p := newTrial(t, "mill", "aws", "aws", artifacts)
	p.killAt("created hot table", "deploy", "--yes", "--no-check")
	p.run(0, "deploy", "--yes", "--no-check") // moto runs no functions
	if out, _ := p.run(0, "plan", "--exit-code"); !strings.Contains(out, "no changes") || strings.Contains(out, "public") {
		t.Errorf("plan after deploy: %s", out)
	}
	t.Run("TestPitfall13ReadersAreCalled", func(t *testing.T) {
		stack := engine.MotoPost("cloudformation", "", "Action=DescribeStacks&Version=2010-05-15").Text(t)
		for _, name := range []string{"mill-hot-reader", "mill-hot-reader-last-entry"} {
			if !strings.Contains(stack, "function:"+name+"<") {
				t.Errorf("no component type is told of %s", name)
			}
		}
	})
	p.start("mill-hot-reader", "mill-hot-reader-last-entry")
	for _, service := range []string{"REST APIs", "secrets"} {
		if text := strings.Join(engine.MotoNames(t)[service], " "); strings.Contains(text, "mill") {
			t.Errorf("%s: %s", service, text)
		}
	}
	engine.MotoPost("dynamodb", "DynamoDB_20120810.PutItem",
		`{"TableName":"mill-hot-iot-data","Item":{"device_id":{"S":"pump-7"},"timestamp":{"S":"2026-01-01T00:00:00Z"}}}`).Text(t)
	if _, said := p.run(3, "destroy", "--yes", "--confirm", "mill"); !strings.Contains(said, "holds data") || !strings.Contains(said, "--delete-data") {
		t.Errorf("destroy of what holds data: %s", said)
	}
	p.destroyed("--delete-data")
}

// deployTwin: the twin on AWS, and hot storage on Azure, whose team hands the
// connection over.
func deployTwin(t *testing.T, artifacts string) {
	p := newTrial(t, "dam", "azure", "aws", artifacts)
	const id = "aws_l4_to_azure_l3hot_read"
	if _, said := p.run(3, "deploy", "--only", "aws", "--yes"); !strings.Contains(said, id) {
		t.Errorf("deploy without the other side: %s", said)
	}
	connections := p.file("config_inter_cloud.json")
	given := `{"connections":{"` + id + `":{"provider":"azure","function":"dam-hot-reader-api","url":"https://dam.azurewebsites.net/api/read","token":"` + token + `"},"other":{"provider":"gcp","function":"f","url":"https://other.example.com","token":"` + token + `x","theirs":1}}}`
	for _, broken := range []string{given[:len(given)/2], `{"version":7,"connections":[]}`, ""} {
		p.write("config_inter_cloud.json", broken)
		p.run(3, "deploy", "--only", "aws", "--yes")
		p.run(3, "destroy", "--only", "aws", "--yes", "--confirm", "dam")
		if got, err := os.ReadFile(connections); err != nil || string(got) != broken {
			t.Errorf("a broken credentials file was changed: %v", err)
		}
	}
	p.write("config_inter_cloud.json", given)
	p.interruptAt("created role dam-hot-reader", "deploy", "--only", "aws", "--yes")
	p.run(0, "deploy", "--only", "aws", "--yes")
	if out, _ := p.run(0, "plan", "--only", "aws", "--exit-code"); !strings.Contains(out, "no changes") {
		t.Errorf("plan after deploy: %s", out)
	}
	if p.secret() != token {
		t.Error("the secret does not hold the connection's token")
	}
	for _, name := range []string{"dam-hot-reader", "dam-hot-reader-last-entry"} {
		if text := engine.MotoGet("lambda", "/2015-03-31/functions/"+name).Text(t); !strings.Contains(text, "https://dam.azurewebsites.net/api/read") {
			t.Errorf("%s is not told where to ask: %s", name, text)
		}
	}
	p.start("dam-hot-reader", "dam-hot-reader-last-entry")
	p.findNoToken(t)
	p.destroyed("--only", "aws")
	if got := p.connections(); len(got) != 2 { // hot storage still stands
		t.Errorf("the other team's entries: %d of 2 are left", len(got))
	}
}

// TestDeployFromAStranger: with the real Terraform and AWS provider, what a stranger
// has put beside the state and into a backend runs nothing. The same root module
// beside the same file, given to Terraform itself, does.
func TestDeployFromAStranger(t *testing.T) {
	t.Parallel()
	artifacts := t.TempDir()
	packages.Write(t, artifacts, "hotreader-lambda-arm64.zip")
	p := newTrial(t, "weir", "aws", "azure", artifacts)
	ran := filepath.Join(t.TempDir(), "ran")
	p.write("evil", "[profile evil]\ncredential_process = /bin/sh -c 'touch "+ran+"'\n")
	override := `{"provider":{"aws":{"profile":"evil","shared_config_files":["` + p.file("evil") + `"]}}}`
	if err := os.MkdirAll(p.file(".hotreader/aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.write(".hotreader/aws/x_override.tf.json", override)
	p.run(0, "plan", "--only", "aws")
	p.run(0, "status", "--only", "aws")
	if _, err := os.Stat(ran); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a program of the stranger's has run: %v", err)
	}
	p.run(0, "render", "--only", "aws", "--out", p.file("rendered"))
	p.write("rendered/aws/x_override.tf.json", override)
	terraform, _ := engine.Terraform(t)
	for _, args := range [][]string{{"init", "-input=false"}, {"plan", "-input=false", "-var=token=" + token}} {
		c := exec.Command(terraform, args...)
		c.Dir, c.Env = p.file("rendered/aws"), p.env
		_ = c.Run() // the credentials that the program gives are none
	}
	if _, err := os.Stat(ran); err != nil {
		t.Errorf("Terraform itself does not run it, so that this proves nothing: %v", err)
	}

	// A bucket of the stranger's, with a state that names a provider.
	engine.MotoCall{Service: "s3", Method: http.MethodPut, Path: "/weir-evil", Body: "<CreateBucketConfiguration><LocationConstraint>" + engine.Region + "</LocationConstraint></CreateBucketConfiguration>"}.Text(t)
	engine.MotoCall{Service: "s3", Method: http.MethodPut, Path: "/weir-evil/state", Body: `{"version":4,"terraform_version":"1.11.0","serial":1,"lineage":"x","outputs":{},"resources":[{"mode":"managed","type":"evil_thing","name":"e","provider":"provider[\"registry.terraform.io/evil/evil\"]","instances":[{"schema_version":0,"attributes":{}}]}]}`}.Text(t)
	p.write("config_hot_reader.json", `{"aws":{"region":"`+engine.Region+`"},"backend":{"aws":{"type":"s3","config":{"bucket":"weir-evil","key":"state","region":"`+engine.Region+`"}}}}`)
	if err := os.RemoveAll(p.watch.own); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"plan", "status"} {
		if _, said := p.run(3, command, "--only", "aws"); !strings.Contains(said, "registry.terraform.io/evil/evil") || !strings.Contains(said, "hotreader has not made") {
			t.Errorf("%s: %s", command, said)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(p.watch.own, "*/aws/.terraform/providers/*/*")); len(found) > 0 {
		t.Errorf("installed: %q", found)
	}
	engine.MotoCall{Service: "s3", Method: http.MethodDelete, Path: "/weir-evil/state", Body: ""}.Text(t)
	p.run(0, "plan", "--only", "aws") // what is a state of ours, or none, goes
}

// trial is a project folder, and how the program is run in it.
type trial struct {
	t         *testing.T
	dir, twin string
	home      string
	artifacts string
	env       []string
	watch     *watch
	said      strings.Builder // all that the program has said
}

func newTrial(t *testing.T, twin, l3, l4, artifacts string) *trial {
	t.Helper()
	program, env := engine.Terraform(t)
	p := &trial{t: t, dir: t.TempDir(), home: t.TempDir(), twin: twin, artifacts: artifacts}
	p.env = slices.Concat([]string{"PATH=" + filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + p.home, "TMPDIR=" + t.TempDir(), "INTER_CLOUD_TOKEN=" + token, "TF_LOG=TRACE"}, env, engine.MotoEnv(t))
	p.write("config.json", `{"digital_twin_name":"`+twin+`","hot_storage_size_in_days":30}`)
	p.write("config_providers.json", `{"layer_3_hot_provider":"`+l3+`","layer_4_provider":"`+l4+`"}`)
	p.write("config_iot_devices.json", `[{"id":"pump-7","properties":[{"name":"temperature","dataType":"DOUBLE"}]}]`)
	p.write("config_hot_reader.json", `{"aws":{"region":"`+engine.Region+`"}}`)
	p.watch = watchProcesses(t, p.dir, p.home)
	return p
}

func (p *trial) file(name string) string { return filepath.Join(p.dir, filepath.FromSlash(name)) }

func (p *trial) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(p.file(name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *trial) command(args ...string) *exec.Cmd {
	args = append(slices.Clip(args), "--project", ".", "--artifacts", p.artifacts)
	c := exec.Command(serving.Program(p.t, "hotreader"), args...)
	c.Dir = p.dir
	c.Env = p.env
	return c
}

// run runs the program, which has to end with the exit code want.
func (p *trial) run(want int, args ...string) (stdout, stderr string) {
	p.t.Helper()
	began := time.Now()
	var out, talk strings.Builder
	c := p.command(args...)
	c.Stdout, c.Stderr = &out, &talk
	err := c.Run()
	p.said.WriteString(out.String() + talk.String())
	if got := c.ProcessState.ExitCode(); got != want {
		p.t.Fatalf("hotreader %s: exit code %d, want %d: %v\n%s%s", strings.Join(args, " "), got, want, err, out.String(), talk.String())
	}
	p.t.Logf("hotreader %s: %.1f s", strings.Join(args, " "), time.Since(began).Seconds())
	return out.String(), talk.String()
}

func (p *trial) json(to any, want int, args ...string) {
	p.t.Helper()
	out, _ := p.run(want, args...)
	if err := json.Unmarshal([]byte(out), to); err != nil {
		p.t.Fatalf("%v\n%s", err, out)
	}
}

// interruptAt starts the program and, as soon as it says something, types ^C. It
// has to end with what is under way written down.
func (p *trial) interruptAt(moment string, args ...string) {
	p.t.Helper()
	c := p.until(moment, args...)
	_ = c.Process.Signal(os.Interrupt)
	err := c.Wait()
	if got := c.ProcessState.ExitCode(); got != 130 {
		p.t.Errorf("after ^C: exit code %d: %v", got, err)
	}
	if pids := p.watch.terraforms(); len(pids) > 0 {
		p.t.Errorf("after ^C Terraform runs: %d", pids)
	}
	for _, name := range []string{".hotreader/aws/.terraform.tfstate.lock.info"} {
		if _, err := os.Stat(p.file(name)); !errors.Is(err, fs.ErrNotExist) {
			p.t.Errorf("after ^C %s is left: %v", name, err)
		}
	}
}

// killAt starts the program and kills it as kill -9 does, and Terraform with it,
// as soon as it says something.
func (p *trial) killAt(moment string, args ...string) {
	p.t.Helper()
	c := p.until(moment, args...)
	_ = c.Process.Kill()
	for _, pid := range p.watch.terraforms() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = c.Wait()
	for deadline := time.Now().Add(20 * time.Second); len(p.watch.terraforms()) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatal("Terraform outlives the program that was killed")
		}
	}
}

// until starts the program and returns when it has said something on standard
// error.
func (p *trial) until(moment string, args ...string) *exec.Cmd {
	p.t.Helper()
	c := p.command(args...)
	pipe, err := c.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadString('\n')
		p.said.WriteString(line)
		if strings.Contains(line, moment) {
			break
		}
		if err != nil {
			_ = c.Wait()
			p.t.Fatalf("hotreader %s ended before it said %q:\n%s", strings.Join(args, " "), moment, &p.said)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return c
}

// start starts the program as each of the functions that moto holds, with exactly
// the handler and the variables that it was given, and waits until it polls. A
// token by name is fetched on the way.
func (p *trial) start(names ...string) {
	p.t.Helper()
	for _, name := range names {
		var c struct {
			Handler     string
			Environment struct{ Variables map[string]string }
		}
		if err := json.Unmarshal([]byte(engine.MotoGet("lambda", "/2015-03-31/functions/"+name+"/configuration").Text(p.t)), &c); err != nil {
			p.t.Fatal(err)
		}
		env := maps.Clone(c.Environment.Variables)
		maps.Copy(env, variables(engine.MotoEnv(p.t))) // of the platform
		if err := serving.Function(p.t, c.Handler, env).WaitReady(p.t.Context()); err != nil {
			p.t.Errorf("%s does not start as it was deployed: %v", name, err)
		}
	}
}

// destroyed destroys the project, after which nothing may be left.
func (p *trial) destroyed(args ...string) {
	p.t.Helper()
	p.run(0, append([]string{"destroy", "--yes", "--confirm", p.twin}, args...)...)
	p.nothingIsLeft()
}

func (p *trial) nothingIsLeft() {
	p.t.Helper()
	p.t.Run("TestPitfall16DestroyLeavesNothing", func(t *testing.T) {
		for service, names := range engine.MotoNames(t) {
			if left := regexp.MustCompile(`\b`+p.twin+`-[\w-]*`).FindAllString(strings.Join(names, " "), -1); len(left) > 0 {
				t.Errorf("%s: %q are left", service, left)
			}
		}
		if _, err := os.Stat(p.file(".hotreader/aws")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the work folder is left: %v", err)
		}
	})
}

// refusesTheSecond runs the program, which has something to change. While it
// works another run is refused, and told whose that one is.
func (p *trial) refusesTheSecond(args ...string) {
	p.t.Helper()
	began := time.Now()
	c := p.until(" to "+args[0], args...)
	_, said := p.run(4, "deploy", "--only", "aws", "--yes")
	for _, want := range []string{"hotreader " + args[0] + ", started by", "process " + strconv.Itoa(c.Process.Pid), began.Format("2006-01-02 15:")} {
		if !strings.Contains(said, want) {
			p.t.Errorf("the second run is not told %q: %s", want, said)
		}
	}
	if err := c.Wait(); err != nil {
		p.t.Fatalf("hotreader %s: %v", strings.Join(args, " "), err)
	}
}

// explainsTerraformsLock: a state that another Terraform holds is left alone.
func (p *trial) explainsTerraformsLock() {
	p.t.Helper()
	state := p.file(".hotreader/aws/terraform.tfstate")
	f, err := os.OpenFile(state, os.O_RDWR, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close() // and so unlocks
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK}); err != nil {
		p.t.Fatal(err)
	}
	info := p.file(".hotreader/aws/.terraform.tfstate.lock.info")
	text := `{"ID":"5f0e9a1c-0000-0000-0000-000000000000","Operation":"OperationTypeApply","Info":"","Who":"ann@office","Version":"1.11.4","Created":"2026-01-02T03:04:05.6Z","Path":"terraform.tfstate"}`
	if err := os.WriteFile(info, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	defer os.Remove(info)
	_, said := p.run(4, "plan", "--only", "aws")
	for _, want := range []string{"ann@office", "2026-01-02 03:04:05", "force-unlock 5f0e9a1c"} {
		if !strings.Contains(said, want) {
			p.t.Errorf("a locked state: %q is missing: %s", want, said)
		}
	}
}

type connection struct {
	Provider, Function, URL, Token string
	PreviousToken                  string `json:"previous_token"`
	Issuer, Audience, Subject      string
	PageKey                        string `json:"page_key"`
}

func (p *trial) connections() map[string]connection {
	p.t.Helper()
	text, err := os.ReadFile(p.file("config_inter_cloud.json"))
	if err != nil {
		p.t.Fatal(err)
	}
	var file struct{ Connections map[string]connection }
	if err := json.Unmarshal(text, &file); err != nil {
		p.t.Fatal(err)
	}
	for _, c := range file.Connections {
		p.watch.secrets(c.Token, c.PreviousToken, c.PageKey)
	}
	return file.Connections
}

func (p *trial) connection(id string) connection {
	p.t.Helper()
	c, ok := p.connections()[id]
	if !ok {
		p.t.Fatalf("there is no connection %s", id)
	}
	return c
}

// secret returns what the secret store holds.
func (p *trial) secret() string {
	p.t.Helper()
	var got struct{ SecretString string }
	text := engine.MotoPost("secretsmanager", "secretsmanager.GetSecretValue", `{"SecretId":"`+p.twin+`-inter-cloud-token"}`).Text(p.t)
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		p.t.Fatal(err)
	}
	return got.SecretString
}

// findNoToken looks for every token that there was: in all files below the
// project but for the connections, in every plan that was saved, in what was
// said, and in the arguments and environments of Terraform and its providers.
func (p *trial) findNoToken(t *testing.T) {
	t.Helper()
	p.connections()
	places := p.watch.seen()
	places["what the program said"] = p.said.String()
	look := func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == "providers" {
			return fs.SkipDir
		}
		if err != nil || !e.Type().IsRegular() || name == p.file("config_inter_cloud.json") {
			return err
		}
		if i, err := e.Info(); err != nil || i.Mode().Perm()&0o077 != 0 && e.Name() != ".terraform.lock.hcl" { // which Terraform opens itself, and names providers alone
			t.Errorf("%s has mode %v: %v", name, i.Mode(), err)
		}
		text, err := os.ReadFile(name)
		places[name] = string(text)
		return err
	}
	if err := errors.Join(filepath.WalkDir(p.dir, look), filepath.WalkDir(p.watch.own, look)); err != nil {
		t.Fatal(err)
	}
	secrets := p.watch.secrets()
	if len(secrets) == 0 {
		t.Fatal("there is no token to look for")
	}
	processes := 0
	for place, text := range places {
		if strings.HasPrefix(place, "process") {
			processes++
		}
		for _, s := range secrets {
			if strings.Contains(unzipped(text), s) {
				t.Errorf("a token is in %s", place)
			}
		}
	}
	if processes == 0 {
		t.Error("no process of Terraform was seen")
	}
}

// unzipped is text and, if it is a zip, all that is in it.
func unzipped(text string) string {
	z, err := zip.NewReader(strings.NewReader(text), int64(len(text)))
	if err != nil {
		return text
	}
	var b strings.Builder
	b.WriteString(text)
	for _, f := range z.File {
		if r, err := f.Open(); err == nil {
			_, _ = io.Copy(&b, r)
			r.Close()
		}
	}
	return b.String()
}

// watch looks at the processes that work in a project, and at the plans they
// save, again and again.
type watch struct {
	t   *testing.T
	dir string
	own string // Terraform's folders are below

	mu     sync.Mutex
	places map[string]string
	tokens map[string]bool
}

func watchProcesses(t *testing.T, dir, home string) *watch {
	w := &watch{t: t, dir: dir, own: filepath.Join(home, ".cache", "hotreader", "work"), places: map[string]string{}, tokens: map[string]bool{}}
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				w.look()
			}
		}
	}()
	return w
}

func (w *watch) look() {
	for _, pid := range w.terraforms() {
		for _, part := range []string{"cmdline", "environ"} {
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, part)); err == nil && len(text) > 0 {
				w.put(fmt.Sprintf("process %d's %s", pid, part), string(text))
			}
		}
	}
	plans, _ := filepath.Glob(filepath.Join(w.own, "*/aws/plan"))
	for _, name := range plans {
		if text, err := os.ReadFile(name); err == nil {
			w.put(fmt.Sprintf("a saved plan of %d bytes", len(text)), string(text))
		}
	}
	files, _ := filepath.Glob(filepath.Join(w.dir, ".hotreader/token-*"))
	for _, f := range files {
		if i, err := os.Stat(f); err == nil && i.Mode().Perm() != 0o600 {
			w.t.Errorf("%s has mode %v", f, i.Mode())
		}
	}
}

func (w *watch) put(place, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.places[place] = text
}

func (w *watch) seen() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.places)
}

// secrets adds to the tokens that there were, and returns all of them.
func (w *watch) secrets(more ...string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range more {
		if s != "" {
			w.tokens[s] = true
		}
	}
	return slices.Collect(maps.Keys(w.tokens))
}

// terraforms returns the processes that work in Terraform's folders.
func (w *watch) terraforms() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if dir, err := os.Readlink("/proc/" + e.Name() + "/cwd"); err == nil && strings.HasPrefix(dir, w.own+"/") {
			pids = append(pids, pid)
		}
	}
	return pids
}
