package config

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"hotreader/test/golden"
)

// The docs' tables are what Keys says.
func TestDocsHaveKeys(t *testing.T) {
	const rule = "|---|---|---|\n"
	keys, variables := "| key | variable | |\n"+rule, "| variable | for | meaning |\n"+rule
	for _, k := range Keys {
		if k.Name != "" {
			variable := ""
			if k.Variable != "" {
				variable = "`" + k.Variable + "`"
			}
			keys += fmt.Sprintf("| `%s` | %s | %s |\n", k.Name, variable, strings.ReplaceAll(k.Help, "](docs/", "]("))
		}
		if k.Variable != "" {
			readers := map[Cloud]string{AWS: "AWS", Azure: "Azure", GCP: "Google Cloud"}[k.Cloud]
			readers = cmp.Or(readers, map[Reach]string{Stores: "store", Served: "API"}[k.Reach])
			variables += fmt.Sprintf("| `%s` | %s | %s |\n", k.Variable, readers, k.Help)
		}
	}
	for file, want := range map[string]string{"../README.md": variables, "../docs/deploying.md": keys} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(want, "\n")
		before, after, found := strings.Cut(string(text), head)
		i := strings.Index(after, "|\n\n")
		if !found || i < 0 {
			t.Fatalf("%s has no table %q", file, head)
		}
		if *golden.Update {
			if err := os.WriteFile(file, []byte(before+want+after[i+2:]), 0o666); err != nil {
				t.Fatal(err)
			}
		} else if head+after[:i+2] != want {
			t.Errorf("%s differs from config.Keys; run: go test ./config -run TestDocsHaveKeys -update", file)
		}
	}
}

// Keys has every variable that a function reads, and no other.
func TestKeysAreWhatFunctionsRead(t *testing.T) {
	for cloud, c := range map[Cloud]struct {
		load func(func(string) string) (*Function, error)
		env  map[string]string
	}{AWS: {Lambda, local()}, Azure: {AzureFunctions, cosmos()}, GCP: {CloudRun, with(firestore(), "INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", version)}} {
		read, want := map[string]bool{}, map[string]bool{}
		for _, l3 := range []Cloud{AWS, Azure, GCP} {
			env := with(c.env, "DIGITAL_TWIN_INFO", info("t", string(l3), string(cloud)))
			_, _ = c.load(func(name string) string { read[name] = true; return env[name] })
		}
		for _, k := range Keys {
			if k.Variable != "" && (k.Cloud == "" || k.Cloud == cloud) {
				want[k.Variable] = true
			}
		}
		maps.DeleteFunc(read, func(name string, _ bool) bool { return strings.HasPrefix(name, "AWS_ENDPOINT_URL_") }) // named by one row
		if got, want := slices.Sorted(maps.Keys(read)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
			t.Errorf("%s reads %q, want %q", cloud, got, want)
		}
	}
}
