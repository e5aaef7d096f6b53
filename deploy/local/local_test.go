package local

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/config"
	"hotreader/deploy/topology"
)

// What a child wrote last is reported when it ends.
func TestChildTellsHowItEnded(t *testing.T) {
	c, err := run("the child", t.TempDir(), []string{"SAID=over"}, "/bin/sh", "-c", `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do echo line $i; done; echo "$SAID" >&2; exit 3`)
	if err != nil {
		t.Fatal(err)
	}
	<-c.exited
	text := c.ended().Error()
	if !strings.HasPrefix(text, "the child ended: exit status 3; it wrote last:\nline 3\n") || !strings.HasSuffix(text, "line 13\nover") {
		t.Errorf("%q", text)
	}
	c, err = run("the child", t.TempDir(), nil, "/bin/sh", "-c", "exit 0")
	if err != nil {
		t.Fatal(err)
	}
	<-c.exited
	if text := c.ended().Error(); text != "the child ended by itself, and wrote nothing" {
		t.Errorf("%q", text)
	}
	dir := t.TempDir()
	if c, err = runFunction("f on aws", dir, []string{"A=1"}, "/usr/bin/env"); err != nil {
		t.Fatal(err)
	}
	<-c.exited
	if log, err := os.ReadFile(filepath.Join(dir, "f on aws"+LogSuffix)); err != nil || !strings.Contains(string(log), "A=1\n") {
		t.Errorf("the log: %s, %v", log, err)
	}
	if _, err := run("the child", t.TempDir(), nil, "/no/such/program"); err == nil || !strings.HasPrefix(err.Error(), "the child: ") {
		t.Errorf("%v", err)
	}
}

// A program that never gets ready is an error, after three ports.
func TestNoFreePort(t *testing.T) {
	tries := 0
	_, _, err := onFreePort(t.Context(), func(string) (*child, error) {
		tries++
		return run("the child", t.TempDir(), nil, "/bin/sh", "-c", "exit 4")
	}, func(context.Context, string) error { return errors.New("not ready") })
	if tries != 3 || err == nil || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("%d tries: %v", tries, err)
	}
}

// A child inherits what every program needs, and no secret of its parent's.
func TestChildHasItsOwnEnvironment(t *testing.T) {
	t.Setenv("INTER_CLOUD_TOKEN", "of the parent")
	t.Setenv("AWS_PROFILE", "of the parent")
	c, err := run("env", t.TempDir(), []string{"A=1"}, "/usr/bin/env")
	if err != nil {
		t.Fatal(err)
	}
	<-c.exited
	if text := c.output.Last(100); !strings.Contains(text, "A=1") || !strings.Contains(text, "PATH=") || strings.Contains(text, "of the parent") {
		t.Errorf("%s", text)
	}
}

// Stopping a child stops what it has started, also what ignores signals.
func TestChildStopsWhole(t *testing.T) {
	c, err := run("stubborn", t.TempDir(), nil, "/bin/sh", "-c", `sleep 100 & (trap "" TERM; sleep 101) & echo ready; wait`)
	if err != nil {
		t.Fatal(err)
	}
	for c.output.Last(1) != "ready" {
		time.Sleep(time.Millisecond)
	}
	c.stop()
	for range 6000 { // a minute, for a busy machine
		if !alive(-c.pid()) { // the group
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("something of its group still runs")
}

// files writes a zip.
func files(t *testing.T, name string, all map[string]string) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for file, text := range all {
		w, err := z.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, text)
	}
	if err := errors.Join(z.Close(), os.WriteFile(name, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func tarOf(t *testing.T, all map[string]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for file, text := range all {
		if err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// image writes an OCI image with one program.
func image(t *testing.T, name, entrypoint, program string, damage bool) {
	var layer bytes.Buffer
	z := gzip.NewWriter(&layer)
	_, _ = z.Write(tarOf(t, map[string]string{"etc/passwd": "root", program: "the program"}))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	blob := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		if damage {
			text += " "
		}
		all["blobs/sha256/"+hex.EncodeToString(sum[:])] = text
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	manifest := blob(fmt.Sprintf(`{"config":{"digest":%q},"layers":[{"digest":%q}]}`,
		blob(fmt.Sprintf(`{"config":{"Entrypoint":[%q]}}`, entrypoint)), blob(layer.String())))
	all["index.json"] = fmt.Sprintf(`{"manifests":[{"digest":%q}]}`, manifest)
	if err := os.WriteFile(name, tarOf(t, all), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestUnpack(t *testing.T) {
	const host = `{"customHandler":{"description":{"defaultExecutablePath":%q},"enableForwardingHttpRequest":%v},"extensions":{"http":{"routePrefix":%q}}}`
	for _, c := range []struct {
		name  string
		cloud config.Cloud
		make  func(t *testing.T, file string)
		want  string // in the error; "" = the program is unpacked
	}{
		{"a function of AWS", config.AWS, func(t *testing.T, f string) { files(t, f, map[string]string{"bootstrap": "the program"}) }, ""},
		{"an app", config.Azure, func(t *testing.T, f string) {
			files(t, f, map[string]string{"host.json": fmt.Sprintf(host, "handler", true, ""), "handler": "the program"})
		}, ""},
		{"an image", config.GCP, func(t *testing.T, f string) { image(t, f, "/service", "service", false) }, ""},
		{"nothing", config.AWS, func(*testing.T, string) {}, "is missing; run `make functions`"},
		{"no zip", config.AWS, func(t *testing.T, f string) {
			if err := os.WriteFile(f, []byte("text"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "run `make functions` again"},
		{"no bootstrap", config.AWS, func(t *testing.T, f string) { files(t, f, map[string]string{"main": "x"}) }, "bootstrap"},
		{"another routing", config.Azure, func(t *testing.T, f string) {
			files(t, f, map[string]string{"host.json": fmt.Sprintf(host, "handler", true, "api"), "handler": "x"})
		}, "empty routePrefix"},
		{"no forwarding", config.Azure, func(t *testing.T, f string) {
			files(t, f, map[string]string{"host.json": fmt.Sprintf(host, "handler", false, ""), "handler": "x"})
		}, "enableForwardingHttpRequest"},
		{"a program elsewhere", config.Azure, func(t *testing.T, f string) {
			files(t, f, map[string]string{"host.json": fmt.Sprintf(host, "../../bin/sh", true, "")})
		}, "is no file of the app"},
		{"a damaged image", config.GCP, func(t *testing.T, f string) { image(t, f, "/service", "service", true) }, "is damaged"},
		{"an image of something else", config.GCP, func(t *testing.T, f string) { image(t, f, "/service", "other", false) }, "the image has no service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dist, dir := t.TempDir(), t.TempDir()
			name, err := artifact(c.cloud)
			if err != nil {
				if c.cloud == config.GCP && runtime.GOARCH != "amd64" && strings.Contains(err.Error(), "amd64") {
					return // there is no image for this machine, and that is said
				}
				t.Fatal(err)
			}
			c.make(t, filepath.Join(dist, name))
			program, err := unpack(c.cloud, dist, dir)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(program)
			info, serr := os.Stat(program)
			if err != nil || serr != nil || string(text) != "the program" || info.Mode().Perm() != 0o700 || !strings.HasPrefix(program, dir) {
				t.Errorf("%s: %q, %v, %v, %v", program, text, info, err, serr)
			}
		})
	}
}

// All that is missing is reported before anything is started or written.
func TestStartTellsAllThatIsMissing(t *testing.T) {
	p := &config.Project{Dir: t.TempDir(), Twin: "t", L3: config.AWS, L4: config.Azure}
	top, err := topology.New(p)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Project: p, Topology: top, Engines: t.TempDir(), Artifacts: t.TempDir()})
	if hotreader.CodeOf(err) != hotreader.CodeConfig || strings.Count(err.Error(), "make ") != 3 {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(p.Dir, ".hotreader")); err == nil {
		t.Error("something was written")
	}
}

// One process at a time serves a project, and its lock ends with it.
func TestOneServes(t *testing.T) {
	dir := t.TempDir()
	release, err := takeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := takeLock(dir); !errors.Is(err, errServing) {
		t.Errorf("%v", err)
	}
	release()
	if release, err = takeLock(dir); err != nil {
		t.Fatal(err)
	}
	release()
}

// A state file that cannot be read is said to be so, and Destroy removes what a
// process that was killed has left.
func TestStateFile(t *testing.T) {
	project := t.TempDir()
	if err := os.MkdirAll(Dir(project), 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(Dir(project), stateFile)
	if err := os.WriteFile(name, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(project); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), name) {
		t.Errorf("%v", err)
	}
	if err := os.Truncate(name, 1<<36); err != nil { // sparse
		t.Fatal(err)
	}
	if _, _, err := Read(project); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "is larger than 1 MB; remove it") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(name, []byte(`{"twin":"t","pid":1,"sides":{"aws":{"region":"eu-central-1"}},"store":{"cloud":"aws","is":"table t"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, serving, err := Read(project)
	if err != nil || serving || s.Deployed()[config.AWS].Store != "table t" {
		t.Errorf("%+v, %v, %v", s, serving, err)
	}
	if there, err := Destroy(t.Context(), project); !there || err != nil { // and process 1 is left alone
		t.Errorf("%v, %v", there, err)
	}
	if there, err := Destroy(t.Context(), project); there || err != nil {
		t.Errorf("%v, %v", there, err)
	}
}

// What a stranger has put into a project folder is not written through, and a state
// file that names no process ends none.
func TestStrangersFolder(t *testing.T) {
	for name, link := range map[string]string{"the work folder": ".hotreader", "the target's": ".hotreader/local", "its lock": ".hotreader/local/lock"} {
		dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere")
		if err := errors.Join(os.Mkdir(elsewhere, 0o755), os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o700), os.Symlink(elsewhere, filepath.Join(dir, link))); err != nil {
			t.Fatal(err)
		}
		target := &Target{dir: Dir(dir), o: Options{Project: &config.Project{Dir: dir}}}
		if err := target.folder(); !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "is a symbolic link") {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := Read(dir); !errors.Is(err, hotreader.CodeConfig) {
			t.Errorf("%s is read: %v", name, err)
		}
		info, err := os.Stat(elsewhere)
		left, _ := os.ReadDir(elsewhere)
		if err != nil || info.Mode().Perm() != 0o755 || len(left) > 0 {
			t.Errorf("%s: elsewhere there is %v, %v", name, left, err)
		}
	}
	for _, pid := range []int{-1, 0} {
		dir := t.TempDir()
		if err := os.MkdirAll(Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(Dir(dir), stateFile), fmt.Appendf(nil, `{"pid":%d}`, pid), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(dir); !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "end what runs with ^C") {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}

// The program finds the project's devices beside it, as in the package that is
// deployed, and none of a project before.
func TestCatalogueLiesBesideTheProgram(t *testing.T) {
	p, dir := &config.Project{Devices: []config.Device{{ID: "pump-7", Type: "pump"}}}, t.TempDir()
	for range 2 {
		if err := placeCatalog(p, dir); err != nil {
			t.Fatal(err)
		}
	}
	packed, err := os.ReadFile(filepath.Join(dir, catalog.File))
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := c.Device("pump-7"); !ok || d.Type != "pump" {
		t.Errorf("the device is %+v, %v", d, ok)
	}
	for range 2 {
		if err := placeCatalog(&config.Project{}, dir); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("without devices %q is left", left)
	}
}

// Of devices that share a type there is an event as an alarm panel makes it, too.
func TestEventsForPeople(t *testing.T) {
	alarm := []config.Property{{Name: "status", Type: "STRING", Alarm: true}}
	for _, c := range []struct {
		devices []config.Device
		device  string // that is asked for
		want    string // the files; and, in each, this
		has     string
	}{
		{nil, "", "[]", ""},
		{[]config.Device{{ID: "empty"}}, "", "[]", ""},
		{[]config.Device{{ID: "empty"}, {ID: "pump-7", Properties: alarm}}, "", "[hot-reader-last-entry.json hot-reader.json]", `"entityId": "pump-7"`},
		{[]config.Device{{ID: "pump-6", Properties: alarm}, {ID: "pump-7", Properties: alarm}}, "pump-7", "[hot-reader-last-entry.json hot-reader.json]", `"entityId": "pump-7"`},
		{[]config.Device{{ID: "v", Type: "valve", Properties: []config.Property{{Name: "t"}}}, {ID: "m", Type: "mixer", Properties: alarm}}, "m", "[component-type.json hot-reader-last-entry.json hot-reader.json]", `"componentTypeId": "plant-mixer"`},
	} {
		target := &Target{dir: t.TempDir(), o: Options{Device: c.device, Project: &config.Project{Devices: c.devices}, Topology: topology.Topology{Twin: "plant", L4: config.AWS}}}
		if err := target.writeEvents(); err != nil {
			t.Fatal(err)
		}
		names := []string{}
		files, _ := os.ReadDir(target.dir)
		for _, f := range files {
			names = append(names, f.Name())
			if text, _ := os.ReadFile(filepath.Join(target.dir, f.Name())); !strings.Contains(string(text), c.has) {
				t.Errorf("%v: %s: %s", c.devices, f.Name(), text)
			}
		}
		if fmt.Sprint(names) != c.want {
			t.Errorf("%v: %v", c.devices, names)
		}
	}
}
