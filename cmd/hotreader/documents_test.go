package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// ranElsewhere are the commands that documents show and that are parsed here, but run by
// another test, and why.
var ranElsewhere = map[string]string{
	"demo":         "testdata/demo.txtar",
	"serve":        "serves until it is ended: TestTour, testdata/serve.txtar",
	"mcp":          "speaks with a program on stdin: testdata/mcp.txtar",
	"inspect":      "takes a cloud's table: TestInspectLeadsToLatest",
	"plan":         "takes an account: testdata/plan.txtar, deploy/render's tests on moto",
	"deploy":       "takes an account, or the emulators: testdata/deploy.txtar, test/e2e",
	"status":       "takes an account: testdata/deploy.txtar",
	"destroy":      "takes an account: testdata/deploy.txtar",
	"doctor":       "takes something deployed: testdata/doctor.txtar, test/e2e",
	"restore":      "takes archived objects: TestRestore",
	"token rotate": "takes something deployed: deploy's tests",
	"render":       "takes the functions' packages: testdata/plan.txtar",
	"image push":   "Terraform runs it: TestImagePush",
	"init":         "asks on a terminal: TestInitAsks",
	"validate":     "testdata/project.txtar",
}

// A shown command is one of a document.
type documented struct {
	file, line string
	inText     bool // within a sentence: flags may lack their values
}

var (
	block   = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```|((?:^    [^\n]*\n)+)|`([^`\n]+)`")
	joined  = regexp.MustCompile(`\s(?:&&|\|\||\\?\|)\s`)
	sourced = regexp.MustCompile(`source <\((.*?)\)`)
	begins  = regexp.MustCompile(`^(?:\$ )?(?:[A-Z_]+=\S+ )*((?:go run \./cmd/)?hotreader|make|curl|go test)\b(.*)`)
	output  = regexp.MustCompile(`^([^'"#]*(?:'[^']*'[^'"#]*)*) > (\S+)`)
)

// commandsOf returns the commands that a document shows, in their order.
func commandsOf(file, text string) (all []documented) {
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		if m[1] != "" && m[1] != "sh" {
			continue
		}
		lines := sourced.ReplaceAllString(strings.ReplaceAll(m[2]+m[3]+m[4], "\\\n", " "), "$1")
		for line := range strings.Lines(lines) {
			for _, part := range joined.Split(line, -1) {
				part = strings.TrimSpace(part)
				if m := begins.FindStringSubmatch(part); m != nil && (m[2] == "" || m[2][0] == ' ') {
					line := strings.TrimPrefix(m[1], "go run ./cmd/") + strings.TrimRight(m[2], "& ")
					all = append(all, documented{file, line, !strings.Contains(lines, "\n")})
				}
			}
		}
	}
	return all
}

// check returns what is wrong with a command: there is no such one, or no such flag,
// target, variable.
func (s *documented) check(t *testing.T) error {
	words := slices.DeleteFunc(shellWords(t, output.ReplaceAllString(s.line, "$1")), func(w string) bool { return w == "…" })
	args := words[1:]
	if s.inText && len(args) == 1 && words[0] == "hotreader" || s.inText && len(args) == 0 {
		args = append(args, "--help") // it is only named
	}
	switch words[0] {
	case "make":
		return checkMake(args)
	case "curl":
		f := pflag.NewFlagSet("curl", pflag.ContinueOnError)
		f.SetOutput(io.Discard)
		f.StringArrayP("header", "H", nil, "")
		f.StringP("data", "d", "", "")
		f.BoolP("fail", "f", false, "")
		f.BoolP("silent", "s", false, "")
		f.BoolP("show-error", "S", false, "")
		if err := f.Parse(args); errors.Is(err, pflag.ErrHelp) {
			return nil
		} else if err != nil {
			return err
		}
		if f.NArg() != 1 {
			return fmt.Errorf("%d URLs: %q", f.NArg(), f.Args())
		}
		_, err := url.Parse(strings.ReplaceAll(f.Arg(0), "127.0.0.1:…", "127.0.0.1:1"))
		return err
	case "go":
		return nil
	default:
		_, err := s.command(args)
		return err
	}
}

// checkMake checks targets and variables by the Makefile.
func checkMake(args []string) error {
	text, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		return err
	}
	for _, a := range args {
		name, _, variable := strings.Cut(a, "=")
		pattern := `(?m)^` + regexp.QuoteMeta(name) + `:`
		if variable {
			pattern = `(?m)^` + regexp.QuoteMeta(name) + `\s*\?=`
		}
		if !regexp.MustCompile(pattern).Match(text) {
			return fmt.Errorf("the Makefile has no %s", name)
		}
	}
	return nil
}

// command returns the command that args name, and checks its flags and arguments.
func (s *documented) command(args []string) (*cobra.Command, error) {
	if slices.Equal(args, []string{"COMMAND", "--help"}) {
		args = []string{"--help"}
	}
	cmd, rest, err := newApp(strings.NewReader(""), io.Discard, io.Discard).root().Find(args)
	if err == nil && cmd.HasSubCommands() && len(rest) > 0 && rest[0][0] != '-' {
		err = fmt.Errorf("unknown command %q", rest[0])
	}
	if err != nil {
		return nil, err
	}
	if s.inText && len(rest) > 0 && strings.HasPrefix(rest[len(rest)-1], "--") && rest[len(rest)-1] != "--help" {
		if f := cmd.Flags().Lookup(rest[len(rest)-1][2:]); f != nil && f.NoOptDefVal == "" {
			rest = append(slices.Clone(rest), "1")
		}
	}
	if err := cmd.ParseFlags(rest); errors.Is(err, pflag.ErrHelp) {
		return cmd, nil
	} else if err != nil {
		return nil, err
	}
	return cmd, cmd.ValidateArgs(cmd.Flags().Args())
}

// Each command that a document shows exists, with its flags. Those of a block that need
// no account are run, one after the other, in a folder with a store and the examples.
func TestDocumentedCommands(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var all []documented
	for _, pattern := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "examples/*/README.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file) // #nosec G304 -- the documents'
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, commandsOf(strings.TrimPrefix(file, root+"/"), string(text))...)
		}
	}
	for _, s := range all {
		if err := s.check(t); err != nil {
			t.Errorf("%s: %s: %v", s.file, s.line, err)
		}
	}
	t.Chdir(t.TempDir())
	for name, to := range map[string]string{"examples": "examples", "pump.csv": "examples/pump.csv"} {
		if err := os.Symlink(filepath.Join(root, to), name); err != nil {
			t.Fatal(err)
		}
	}
	ran := 0
	for _, s := range all {
		ran += s.run(t)
	}
	if ran < 15 {
		t.Errorf("%d commands ran of %d", ran, len(all))
	}
}

// run runs a command of ours unless it is run elsewhere, and returns how many it ran.
func (s *documented) run(t *testing.T) int {
	line, into := s.line, ""
	if m := output.FindStringSubmatch(line); m != nil {
		line, into = m[1], m[2]
	}
	words := shellWords(t, line)
	if words[0] != "hotreader" || s.inText || slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "…") }) {
		return 0
	}
	cmd, err := s.command(words[1:])
	if err != nil {
		return 0 // which is reported above
	}
	name := strings.TrimPrefix(cmd.CommandPath(), "hotreader ")
	store, remote := cmd.Flags().Lookup("store"), cmd.Flags().Lookup("remote")
	switch {
	case ranElsewhere[name] != "", slices.Contains(words, "--watch"), // TestTerminal
		store != nil && store.Value.String() != "bolt:pump.db", // a cloud's: TestInspectLeadsToLatest, and the stores' own
		remote != nil && remote.Changed:                        // TestTour
		return 0
	}
	var out, talk bytes.Buffer
	if code := run(t.Context(), words[1:], strings.NewReader(""), &out, &talk); code != 0 || out.Len() == 0 {
		t.Errorf("%s: %s: exit code %d, %d bytes: %s", s.file, s.line, code, out.Len(), &talk)
	}
	if into != "" {
		if err := os.WriteFile(into, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return 1
}

// What is wrong with a command is found.
func TestDocumentedCommandsAreChecked(t *testing.T) {
	for line, want := range map[string]string{
		"hotreader qeury --store bolt:a":                  "unknown command",
		"hotreader query --stroe bolt:a":                  "unknown flag: --stroe",
		"hotreader query extra":                           "extra",
		"hotreader token rotate":                          "which connection",
		"hotreader query --limit many":                    "many",
		"X=1 hotreader plan --project 'a b' --bad  # why": "unknown flag: --bad",
		"true && hotreader latest --nope | jq .":          "unknown flag: --nope",
		"make tset":                                       "no tset",
		"make soak SPAK=1":                                "no SPAK",
		"curl --bad http://a/":                            "unknown flag: --bad",
		"curl -H a":                                       "0 URLs",
		"hotreader query --limit 5":                       "", "make soak SEED=1": "", "hotreader COMMAND --help": "", "curl -d @f http://127.0.0.1:…/x": "",
	} {
		found := commandsOf("a.md", "text\n```sh\n"+line+"\n```\n")
		if len(found) != 1 {
			t.Errorf("%s: %+v", line, found)
			continue
		}
		if err := found[0].check(t); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}
