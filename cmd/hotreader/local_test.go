package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/doctor"
	"hotreader/deploy/local"
)

// What deploy --target local prints is pasted into a shell: no name of the project folder
// runs there, and the commands get the names as they are.
func TestPrintedCommandsRunNoName(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	const hostile = "a';>PWN;'\n>PWN\n$(>PWN)`>PWN`\" #"
	bin, here := t.TempDir(), t.TempDir()
	for _, name := range []string{"hotreader", "go", "jq", "tail", "curl"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!"+bash+"\nprintf '%s\\0' \"$@\"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, clouds := range [][2]config.Cloud{{config.GCP, config.AWS}, {config.AWS, config.Azure}} {
		var out bytes.Buffer
		p := &config.Project{Twin: "hall", L3: clouds[0], L4: clouds[1], Dir: hostile}
		newApp(nil, &out, &out).sayLocal(p, &local.State{
			Store: local.StoreState{Cloud: p.L3, Is: hostile, URL: "firestore://p/d/" + hostile},
			Sides: map[string]local.Served{string(p.L3): {URL: "http://127.0.0.1:1"}, string(p.L4): {URL: "http://127.0.0.1:2", LambdaURL: "http://127.0.0.1:3"}},
		}, []string{"KEY=local"}, doctor.Device{ID: hostile, Properties: []string{hostile}, Types: []hotreader.Type{hotreader.Double}})
		cmd := exec.CommandContext(t.Context(), bash)
		cmd.Dir, cmd.Env, cmd.Stdin = here, []string{"PATH=" + bin}, &out
		shown := out.String()
		for line := range strings.Lines(shown) { // zsh reads what is behind a #, too
			if note := strings.TrimSpace(line); strings.HasPrefix(note, "#") && strings.Contains(note, "PWN") {
				t.Errorf("a name is behind a #: %s", note)
			}
		}
		ran, err := cmd.CombinedOutput()
		if left, _ := os.ReadDir(here); err != nil || len(left) > 0 {
			t.Errorf("%v, %q made %v, of\n%s", err, ran, left, shown)
		}
		if n := bytes.Count(ran, []byte("\x00"+hostile+"\x00")); n < 3 {
			t.Errorf("%d words are the name, in %q", n, ran)
		}
	}
}
