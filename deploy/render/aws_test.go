package render

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/topology"
	"hotreader/layout"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden holds text against a golden file in testdata.
func golden(t *testing.T, name string, text []byte) {
	t.Helper()
	name = filepath.Join("testdata", filepath.FromSlash(name))
	if *update {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, text) {
		t.Errorf("%s is not what is made now (-update writes it):\n%s", name, text)
	}
}

// TestPitfall22NothingPublicOnOneCloud: an API stands only where another cloud
// has to ask.
func TestPitfall22NothingPublicOnOneCloud(t *testing.T) {
	for _, r := range roots(t, config.AWS) {
		var functions map[string]struct{ Token bool }
		if err := json.Unmarshal(r.Module["hotreader"]["functions"], &functions); err != nil {
			t.Fatal(err)
		}
		_, api := functions[string(config.API)]
		if want := r.side.L3 && !r.side.L4; api != want || want && len(functions) != 1 {
			t.Errorf("%s has the functions %v", r.name, functions)
		}
		_, twin := r.Module["hotreader"]["twinmaker"]
		_, table := r.Module["hotreader"]["table"]
		if twin != r.side.L4 || table != r.side.L3 {
			t.Errorf("%s: twinmaker %v, table %v", r.name, twin, table)
		}
		for role, f := range functions {
			if f.Token != r.side.Token {
				t.Errorf("%s: %s needs a token: %v", r.name, role, f.Token)
			}
		}
	}
}

// TestAWSLiterals: what the user wrote is text, also where Terraform would see a
// template in it.
func TestAWSLiterals(t *testing.T) {
	p := &config.Project{Twin: "t", L3: config.AWS, L4: config.AWS, Options: config.Options{Settings: config.Settings{Layout: layout.Layout{TimeKey: "${file(\"x\")}", DeviceKey: "%{if}"}}}}
	top, err := topology.New(p)
	if err != nil {
		t.Fatal(err)
	}
	text, err := rendered(top.Sides[0], Inputs{Project: p, Package: "package/x.zip"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"$${file(\"x\")}"`, `"%%{if}"`} {
		if n := strings.Count(string(text), want); n < 2 { // the table's key and a variable
			t.Errorf("%s is there %d times in\n%s", want, n, text)
		}
	}
	rest := strings.NewReplacer("$${", "", "%%{", "", "${path.root}", "", "${module.hotreader.", "").Replace(string(text))
	if strings.Contains(rest, "${") || strings.Contains(rest, "%{") {
		t.Errorf("a template was let through:\n%s", rest)
	}
}

func TestWorkspaceWithoutItsRole(t *testing.T) {
	p := &config.Project{Twin: "t", L3: config.AWS, L4: config.AWS, Options: config.Options{AWS: config.AWSOptions{Workspace: "hall"}}}
	_, err := twinMaker(p)
	if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "aws.workspace_role") {
		t.Errorf("got %v", err)
	}
	p.Options.AWS.WorkspaceRole = "arn:aws:iam::123456789012:role/hall/keeper"
	twin, err := twinMaker(p)
	if err != nil || twin["role"] != "keeper" || twin["workspace"] != "hall" || twin["create_workspace"] != false {
		t.Errorf("%v, %v", twin, err)
	}
}
