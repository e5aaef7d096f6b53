package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/test/golden"
)

// What --help says of each command; help and no command at all say the same.
func TestHelp(t *testing.T) {
	said := func(args ...string) string {
		t.Helper()
		var out, talk bytes.Buffer
		if code := run(t.Context(), append([]string{}, args...), strings.NewReader(""), &out, &talk); code != 0 || talk.Len() > 0 {
			t.Errorf("%q: code %d, %s", args, code, &talk)
		}
		return out.String()
	}
	var all strings.Builder
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		text := said(append(path, "--help")...)
		fmt.Fprintf(&all, "-- %s --\n%s", c.CommandPath(), text)
		if got := said(append([]string{"help"}, path...)...); got != text {
			t.Errorf("help %q says something else:\n%s", path, got)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newApp(strings.NewReader(""), &all, &all).root())
	golden.File(t, "testdata/help.golden", []byte(all.String()))
	if said() != said("--help") {
		t.Error("no command says something else than --help")
	}
}

// TestRunbookHasTheExitCodes: the runbook's table has each code's exit code as
// it is.
func TestRunbookHasTheExitCodes(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "runbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| \\d{3}[^|]*\\| `HotReader\\.\\w+` \\| (\\d) \\|").FindAllStringSubmatch(string(b), -1) {
		told[m[1]] = m[2]
	}
	for _, code := range hotreader.Codes() {
		if want := fmt.Sprint(exitCode(&hotreader.Error{Code: code})); told[string(code)] != want {
			t.Errorf("%s: %q is told, it exits with %s", code, told[string(code)], want)
		}
	}
}

// What the documents show of the command is what it prints. With -update it is
// put there.
func TestDocumentsShowWhatCostPrints(t *testing.T) {
	block := regexp.MustCompile("(?s)```\n\\$ (hotreader cost[^\n]*)\n(.*?)```\n")
	for file, want := range map[string]int{"../../docs/cost.md": 4} {
		text, err := os.ReadFile(file) // #nosec G304 -- the documents'
		if err != nil {
			t.Fatal(err)
		}
		shown := 0
		after := block.ReplaceAllFunc(text, func(b []byte) []byte {
			shown++
			m := block.FindSubmatch(b)
			var out, talk bytes.Buffer
			if code := run(t.Context(), strings.Fields(string(m[1]))[1:], strings.NewReader(""), &out, &talk); code != 0 {
				t.Errorf("%s: %s: exit code %d: %s", file, m[1], code, &talk)
			}
			return fmt.Appendf(nil, "```\n$ %s\n%s```\n", m[1], &out)
		})
		if shown != want {
			t.Errorf("%s shows the command %d times, want %d", file, shown, want)
		}
		if bytes.Equal(text, after) {
			continue
		}
		if *golden.Update {
			if err := os.WriteFile(file, after, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		t.Errorf("%s does not show what the command prints; run the test with -update", file)
	}
}

// The README's tour, typed line by line, with another port.
func TestTour(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.Symlink(filepath.Join(root, "examples"), "examples"); err != nil {
		t.Fatal(err)
	}
	t.Setenv(tokenVariable, "0123456789abcdef0123456789abcdef")
	const address = "127.0.0.1:8090"
	var url string
	answers := map[string]string{}
	_, tour, found := strings.Cut(string(readme), "\n## Your own data\n")
	if !found {
		t.Fatal("README.md has no section that a reader tries with own data")
	}
	tour, _, _ = strings.Cut(tour, "\n## ")
	for line := range strings.Lines(tour) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "hotreader" {
			continue
		}
		if words[1] == "serve" {
			if !strings.HasSuffix(line, " --listen "+address+" &\n") {
				t.Fatalf("the tour serves elsewhere: %s", line)
			}
			url = serveURL(t, strings.Fields(strings.Replace(strings.TrimSuffix(line, "&\n"), address, "127.0.0.1:0", 1))[1:]...)
			continue
		}
		var out, talk bytes.Buffer
		args := strings.Fields(strings.Replace(line, "http://"+address, url, 1))[1:]
		if code := run(t.Context(), args, nil, &out, &talk); code != 0 {
			t.Fatalf("%s exit code %d: %s", line, code, talk.String())
		}
		name := words[1]
		for _, flag := range []string{" --remote", " --points"} {
			if strings.Contains(line, flag) {
				name += flag
			}
		}
		answers[name] = out.String()
	}
	if !strings.HasPrefix(answers["import"], "pump-7: 1,423 lines ") {
		t.Errorf("import: %s", answers["import"])
	}
	if !strings.ContainsFunc(answers["query"], func(r rune) bool { return unicode.Is(unicode.Braille, r) }) {
		t.Errorf("no chart is drawn: %s", answers["query"])
	}
	if n := strings.Count(answers["query --points"], "\n"); n < 40 || n > 400 { // four of 24 hours have rows
		t.Errorf("query --points: %d rows", n)
	}
	if !strings.Contains(answers["latest"], `"temperature":`) {
		t.Errorf("latest: %s", answers["latest"])
	}
	if got := answers["query --remote"]; strings.Count(got, `"temperature":`) != 10 {
		t.Errorf("query --remote: %s", got)
	}
}

// The commands of the docs' first charts run as they stand there, on the README's file.
func TestFirstCharts(t *testing.T) {
	pump, err := os.ReadFile("../../examples/pump.csv")
	if err != nil {
		t.Fatal(err)
	}
	for file, section := range map[string]string{"installing.md": "Your first chart", "grafana.md": "From a file to a panel"} {
		text, err := os.ReadFile("../../docs/" + file) // #nosec G304 -- the documents'
		_, text, found := bytes.Cut(text, []byte("\n## "+section+"\n"))
		if err != nil || !found {
			t.Fatal(file, err)
		}
		text, _, _ = bytes.Cut(text, []byte("\n## "))
		t.Run(file, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("pump.csv", pump, 0o600); err != nil {
				t.Fatal(err)
			}
			ran := 0
			for line := range strings.Lines(string(text)) {
				words := strings.Fields(line)
				if len(words) < 2 || words[0] != "hotreader" || words[1] == "serve" {
					continue
				}
				var out, talk bytes.Buffer
				if code := run(t.Context(), words[1:], nil, &out, &talk); code != 0 || out.Len() == 0 {
					t.Errorf("%s exit code %d: %s", line, code, &talk)
				}
				ran++
			}
			if ran < 2 {
				t.Errorf("%d commands", ran)
			}
		})
	}
}

// serveURL runs hotreader serve until the test ends, and returns its URL.
func serveURL(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.Context())) // which ends before the cleanup
	talk, said := io.Pipe()
	ended := make(chan int)
	go func() { ended <- run(ctx, args, nil, io.Discard, said) }()
	line, err := bufio.NewReader(talk).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, talk) }()
	t.Cleanup(func() {
		cancel(interrupted{syscall.SIGTERM})
		if code := <-ended; code != 0 {
			t.Errorf("serve ended with %d", code)
		}
	})
	return strings.TrimPrefix(strings.TrimSpace(line), "listening on ")
}

// tinyLayout writes the smallest image there is, as an OCI layout in a tar.
func tinyLayout(t *testing.T) (file, manifest string) {
	t.Helper()
	files := map[string]string{}
	blob := func(text string) string {
		d := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
		files["blobs/sha256/"+d] = text
		return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d}`, d, len(text))
	}
	manifest = `{"schemaVersion":2,"config":` + blob(`{"os":"linux"}`) + `,"layers":[` + blob("layer") + `]}`
	files["index.json"] = `{"schemaVersion":2,"manifests":[` + blob(manifest) + `]}`
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, manifest
}

// TestImagePush runs the command as the module does: the file as its argument, the
// reference in the environment.
func TestImagePush(t *testing.T) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	file, manifest := tinyLayout(t)
	t.Setenv("HOTREADER_IMAGE", strings.TrimPrefix(s.URL, "http://")+"/plant/images/hotreader:sha256-1")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"image", "push", file}, nil, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	resp, err := http.Get(s.URL + "/v2/plant/images/hotreader/manifests/sha256-1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != manifest {
		t.Errorf("the registry has %s, %v", got, err)
	}
}

func TestHiddenCommandsRefuse(t *testing.T) {
	file, _ := tinyLayout(t)
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		code int
		says string
	}{
		{"no image", nil, []string{"image", "push", file}, exitUsage, "HOTREADER_IMAGE is not set"},
		{"no file", nil, []string{"image", "push"}, exitUsage, "takes one argument, not 0"},
		{"no such file", map[string]string{"HOTREADER_IMAGE": "127.0.0.1:1/p/r/app:1"}, []string{"image", "push", file + ".none"}, exitConfig, "no such file"},
		{"no address", nil, []string{"app", "push", file}, exitUsage, "HOTREADER_PUBLISH_URL is not set"},
		{"another address", map[string]string{"HOTREADER_PUBLISH_URL": "https://evil.example"}, []string{"app", "push", file}, exitConfig, "not an address of the service"},
		{"another vault", nil, []string{"vault", "wait", "https://evil.example"}, exitConfig, "not an address of the service"},
		{"kept", map[string]string{"HOTREADER_KEEP_STORE": "true"}, []string{"store", "keep", "rows"}, exitConfig, "keep_store = false"},
		{"kept by default", nil, []string{"store", "keep", "rows"}, exitConfig, "keep_store = false"},
		{"not kept", map[string]string{"HOTREADER_KEEP_STORE": "false"}, []string{"store", "keep", "rows"}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range []string{"HOTREADER_IMAGE", "HOTREADER_PUBLISH_URL", "HOTREADER_KEEP_STORE"} {
				t.Setenv(name, c.env[name])
			}
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), c.args, nil, &stdout, &stderr)
			if code != c.code || !strings.Contains(stderr.String(), c.says) {
				t.Errorf("exit code %d, %q, want %d and %q", code, &stderr, c.code, c.says)
			}
		})
	}
}
