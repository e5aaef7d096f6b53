//go:build engines && linux

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hotreader/config"
	"hotreader/deploy/doctor"
	"hotreader/deploy/local"
	"hotreader/deploy/topology"
	"hotreader/test/serving"
	"hotreader/test/transcript"
)

// engines is where `make engines` puts the emulators.
const engines = "../../.engines"

// delivered makes the functions' packages for this machine as `make dist` does,
// once, and returns the folder.
func delivered(t *testing.T) string {
	t.Helper()
	dir, err := makeDelivered()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var makeDelivered = sync.OnceValues(func() (string, error) {
	programs, err := filepath.Abs("../../bin/test")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(programs, "dist")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for _, name := range []string{"hotreader-lambda-" + runtime.GOARCH + ".zip", "hotreader-azure-" + runtime.GOARCH + ".zip", "hotreader-cloudrun.tar"} {
		make := exec.Command("go", "run", "./scripts/dist", "-o", filepath.Join(programs, "one"), "-only", name)
		make.Dir = "../.."
		if out, err := make.CombinedOutput(); err != nil {
			return "", fmt.Errorf("make dist: %w\n%s", err, out)
		}
		if err := os.Rename(filepath.Join(programs, "one", name), filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	return dir, nil
})

// project copies an example's project folder.
func project(t *testing.T, example string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), example)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../../examples", example))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// deployed is `hotreader deploy --target local` that runs.
type deployed struct {
	cmd            *exec.Cmd
	project        string
	stdout, stderr transcript.Buffer
}

func deployLocal(t *testing.T, project string, flags ...string) *deployed {
	t.Helper()
	absolute, err := filepath.Abs(engines)
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"deploy", "--target", "local", "--project", project, "--engines", absolute, "--artifacts", delivered(t)}, flags...)
	d := &deployed{cmd: exec.Command(serving.Program(t, "hotreader"), args...), project: project}
	d.cmd.Stdout, d.cmd.Stderr = &d.stdout, &d.stderr
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.cmd.ProcessState == nil {
			_ = d.cmd.Process.Kill()
			_ = d.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("deploy said:\n%s\n%s", d.stdout.String(), d.stderr.String())
		}
	})
	return d
}

// end waits for the end and returns the exit code.
func (d *deployed) end(t *testing.T) int {
	t.Helper()
	err := d.cmd.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return d.cmd.ProcessState.ExitCode()
}

// serving waits until it serves and has said what to type, and returns its
// state.
func (d *deployed) serving(t *testing.T) *local.State {
	t.Helper()
	for range 3600 { // three minutes, for a busy machine
		if strings.Contains(d.stdout.String(), "doctor --project") {
			state, serving, err := local.Read(d.project)
			if err != nil || !serving {
				t.Fatalf("serving %v, %v", serving, err)
			}
			return state
		}
		if alive(d.cmd.Process.Pid) != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("it does not serve")
	return nil
}

// alive is an error if there is no such process, or nothing but its remains.
func alive(pid int) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil && strings.Contains(string(text), ") Z ") {
		return errors.New("a zombie")
	}
	return err
}

// ended waits until none of the state's programs runs.
func ended(t *testing.T, s *local.State) {
	t.Helper()
	for range 1200 { // a minute, for a busy machine
		if !slices.ContainsFunc(s.Runs, func(r local.Run) bool { return alive(r.PID) == nil }) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, r := range s.Runs {
		if alive(r.PID) == nil {
			t.Errorf("%s, process %d, still runs", r.Name, r.PID)
		}
	}
}

// examine runs `hotreader doctor --json`.
func examine(t *testing.T, project string) (doctor.Report, int) {
	t.Helper()
	cmd := exec.Command(serving.Program(t, "hotreader"), "doctor", "--target", "local", "--project", project, "--json")
	out, err := cmd.Output()
	var r doctor.Report
	if jerr := json.Unmarshal(out, &r); jerr != nil {
		t.Fatalf("%v: %v: %s", err, jerr, out)
	}
	return r, cmd.ProcessState.ExitCode()
}

// Every example is a project that can be deployed to this machine, and is well
// there.
func TestPitfall13EveryExampleIsWired(t *testing.T) {
	t.Parallel()
	all, err := os.ReadDir("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	deployedOnes := 0
	for _, e := range all {
		if !e.IsDir() || e.Name() == serves { // which has a test of its own
			continue
		}
		deployedOnes++
		t.Run(e.Name(), func(t *testing.T) {
			t.Parallel()
			dir := project(t, e.Name())
			d := deployLocal(t, dir, "--once", "--json")
			if code := d.end(t); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			var answer struct {
				State  local.State
				Doctor doctor.Report
			}
			if err := json.Unmarshal([]byte(d.stdout.String()), &answer); err != nil {
				t.Fatal(err)
			}
			r := answer.Doctor
			if !r.OK || len(r.Broken) > 0 || len(r.Checks) < 2 {
				t.Errorf("%+v", r)
			}
			for _, c := range r.Checks { // no device has reported
				if c.Verdict != doctor.OK && !(c.Verdict == doctor.Warning && (strings.Contains(c.Says, "holds nothing of") || strings.Contains(c.Says, "holds no document yet"))) {
					t.Errorf("%s: %s: %s", c.Component(), c.Name, c.Says)
				}
			}
			if len(answer.State.Runs) < 2 {
				t.Errorf("%+v", answer.State)
			}
			ended(t, &answer.State)
			for _, name := range []string{"state.json", "config_inter_cloud.json"} {
				if _, err := os.Stat(filepath.Join(local.Dir(dir), name)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is left: %v", name, err)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "config_inter_cloud.json")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the clouds' credentials file was touched: %v", err)
			}
		})
	}
	if deployedOnes < 5 {
		t.Errorf("%d examples", deployedOnes)
	}
}

// serves is the example that is also served.
const serves = "azure-reads-aws"

// A project that serves: what it tells people to type works, also where the table has
// a layout of its own, the token is where it belongs, and a program that ends is told
// of, and named.
func TestLocalServes(t *testing.T) {
	t.Parallel()
	dir := project(t, serves)
	laidOut := `{"layout":{"device_key":"pk","time_key":"sk","partition":"site 4#{device}","time_prefix":"READING#","time_format":"iso8601+09:00","properties":"payload"}}`
	if err := os.WriteFile(filepath.Join(dir, "config_hot_reader.json"), []byte(laidOut), 0o600); err != nil {
		t.Fatal(err)
	}
	d := deployLocal(t, dir)
	state := d.serving(t)

	file := filepath.Join(local.Dir(dir), "config_inter_cloud.json")
	for name, want := range map[string]fs.FileMode{file: 0o600, local.Dir(dir): 0o700, filepath.Join(dir, ".hotreader"): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	conns, err := config.OpenConnections(local.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	link, ok := conns.Get("azure_l4_to_aws_l3hot_read")
	if !ok || link.URL != state.Sides["aws"].URL {
		t.Fatalf("%+v", link)
	}
	secret := link.Token.Reveal()

	typed := 0
	for line := range strings.Lines(d.stdout.String()) {
		line = strings.TrimSpace(line)
		if !strings.Contains(line, serving.Program(t, "hotreader")) {
			continue
		}
		typed++
		cmd := exec.Command("/bin/sh", "-c", strings.Replace(line, "FILE.csv", "../../examples/pump.csv", 1))
		cmd.Env = append(os.Environ(), "INTER_CLOUD_TOKEN="+secret)
		out, err := cmd.CombinedOutput()
		want := map[string]string{" import ": "pump-7: 1,423 lines", " query ": "60.42", " doctor ": "ok      reader on azure: history"}
		for word, text := range want {
			if strings.Contains(line, word) && (err != nil || !strings.Contains(string(out), text)) && word != " query " {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
			if word == " query " && strings.Contains(line, word) && err != nil {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
		}
	}
	if typed != 3 {
		t.Errorf("%d commands are told", typed)
	}
	if r, code := examine(t, dir); code != 0 || !r.OK || slices.ContainsFunc(r.Checks, func(c doctor.Check) bool {
		return c.Verdict != doctor.OK && !strings.Contains(c.Says, "1 of 3 properties; none of: ") // of the file's one
	}) {
		t.Errorf("exit code %d, %+v", code, r)
	}

	// The token: in its file and in the environment of the functions, nowhere else.
	shown := map[string]string{"stdout": d.stdout.String(), "stderr": d.stderr.String()}
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || name == file {
			return err
		}
		text, err := os.ReadFile(name)
		shown[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append(state.Runs, local.Run{Name: "deploy", PID: d.cmd.Process.Pid}) {
		args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.PID))
		if err != nil {
			t.Fatal(err)
		}
		shown["arguments of "+r.Name] = string(args)
	}
	for where, text := range shown {
		if strings.Contains(text, secret) {
			t.Errorf("the token is in %s", where)
		}
	}

	// A second one is refused.
	if second := deployLocal(t, dir, "--once"); second.end(t) != 3 || !strings.Contains(second.stderr.String(), "deployed here already") {
		t.Errorf("exit code %d", second.cmd.ProcessState.ExitCode())
	}

	// The API's function ends.
	i := slices.IndexFunc(state.Runs, func(r local.Run) bool { return strings.HasSuffix(r.Name, "-hot-reader-api") })
	if err := syscall.Kill(state.Runs[i].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 3000 { // a minute, for a busy machine
		if strings.Contains(d.stderr.String(), "hot-reader-api on aws ended: signal: killed") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if text := d.stderr.String(); !strings.Contains(text, "hot-reader-api on aws ended: signal: killed") {
		t.Errorf("it is not told: %s", text)
	}
	if r, code := examine(t, dir); code != 1 || !slices.Equal(r.Broken, []string{"API on aws"}) {
		t.Errorf("exit code %d, broken %q: %+v", code, r.Broken, r)
	}

	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := d.end(t); code != 130 {
		t.Errorf("exit code %d after ^C", code)
	}
	ended(t, state)
	if _, _, err := local.Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a state is left: %v", err)
	}
}

// Who is killed takes the programs along, and leaves nothing that the next run
// stumbles over.
func TestLocalDiesWhole(t *testing.T) {
	t.Parallel()
	dir := project(t, "google-reads-azure")
	d := deployLocal(t, dir)
	state := d.serving(t)
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	d.end(t)
	ended(t, state)
	if _, still, err := local.Read(dir); still || err != nil {
		t.Errorf("serving %v, %v", still, err)
	}
	if again := deployLocal(t, dir, "--once"); again.end(t) != 0 {
		t.Error("it does not start again")
	}
	d = deployLocal(t, dir)
	state = d.serving(t)
	if out, err := exec.Command(serving.Program(t, "hotreader"), "destroy", "--target", "local", "--project", dir).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if code := d.end(t); code != 0 {
		t.Errorf("exit code %d after destroy", code)
	}
	ended(t, state)
	if _, err := os.Stat(local.Dir(dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", local.Dir(dir), err)
	}
}

// A deployment with a fault, made by an environment that a mistake would make,
// has that fault named.
func TestPitfall14FaultsInTheWiringAreNamed(t *testing.T) {
	t.Parallel()
	garbage := serving.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html><head><title>Parked</title></head></html>")) // the caller may be gone
	}))
	type env = map[config.Role]map[string]string
	for _, c := range []struct {
		name   string
		l4     config.Cloud
		env    env
		told   func(*doctor.Input)
		broken string
	}{
		{name: "token of the reader", l4: config.AWS, env: env{config.History: {"INTER_CLOUD_TOKEN": token}, config.LastEntry: {"INTER_CLOUD_TOKEN": token}}, broken: "reader on aws"},
		{name: "token of the API", l4: config.AWS, env: env{config.API: {"INTER_CLOUD_TOKEN": token}}, broken: "API on azure"},
		{name: "token of both", l4: config.GCP, env: env{config.API: {"INTER_CLOUD_TOKEN": token}, config.History: {"INTER_CLOUD_TOKEN": token}}, broken: "credentials file"},
		{name: "URL of one reader", l4: config.AWS, env: env{config.History: {"REMOTE_READER_URL": garbage}}, broken: "reader on aws"},
		{name: "URL of the reader", l4: config.GCP, env: env{config.History: {"REMOTE_READER_URL": garbage}}, broken: "reader on gcp"},
		{name: "container", l4: config.AWS, env: env{config.API: {"COSMOS_DB_CONTAINER": "dropped"}}, broken: "hot storage on azure"},
		{name: "garbage", l4: config.AWS, told: func(in *doctor.Input) {
			d := in.Deployed[config.Azure]
			d.URL, in.Link.URL = garbage, garbage
			in.Deployed[config.Azure] = d
		}, broken: "API on azure"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := &config.Project{Dir: t.TempDir(), Twin: "faulty", L3: config.Azure, L4: c.l4,
				Devices: []config.Device{{ID: "press-1", Properties: []config.Property{{Name: "temperature", Type: "DOUBLE"}}}}}
			top, err := topology.New(p)
			if err != nil {
				t.Fatal(err)
			}
			target, err := local.Start(t.Context(), local.Options{Project: p, Topology: top, Engines: engines, Artifacts: delivered(t), Env: c.env})
			if err != nil {
				t.Fatal(err)
			}
			defer target.Close()
			conns, err := config.OpenConnections(target.Dir())
			if err != nil {
				t.Fatal(err)
			}
			state := target.State()
			in := doctor.Input{Topology: top, Device: doctor.DeviceOf(p, p.Devices[0]), Project: p.Dir, Deployed: state.Deployed(),
				Link: doctor.LinkOf(conns, top.Connection), Target: " --target local"}
			if c.told != nil {
				c.told(&in)
			}
			r := doctor.Run(t.Context(), in)
			if r.OK || !slices.Equal(r.Broken, []string{c.broken}) {
				t.Errorf("broken %q, want %q: %+v", r.Broken, c.broken, r.Checks)
			}
		})
	}
}

// A function that does not start is reported with its own words, and nothing is
// left running.
func TestLocalTellsWhyAFunctionDoesNotStart(t *testing.T) {
	t.Parallel()
	p := &config.Project{Dir: t.TempDir(), Twin: "faulty", L3: config.Azure, L4: config.AWS}
	top, err := topology.New(p)
	if err != nil {
		t.Fatal(err)
	}
	_, err = local.Start(t.Context(), local.Options{Project: p, Topology: top, Engines: engines, Artifacts: delivered(t),
		Env: map[config.Role]map[string]string{config.History: {"HOTREADER_LOG_LEVEL": "loud"}}})
	if err == nil || !strings.Contains(err.Error(), "faulty-hot-reader on aws ended") || !strings.Contains(err.Error(), "HOTREADER_LOG_LEVEL") {
		t.Errorf("%v", err)
	}
	if _, _, err := local.Read(p.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a state is left: %v", err)
	}
}
