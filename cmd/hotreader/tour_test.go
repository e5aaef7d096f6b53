package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode"
)

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
	_, tour, _ := strings.Cut(string(readme), "\n## Five minutes\n")
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
		if strings.Contains(line, "--remote") {
			name += " --remote"
		}
		answers[name] = out.String()
	}
	if !strings.HasPrefix(answers["import"], "pump-7: 1,423 lines ") {
		t.Errorf("import: %s", answers["import"])
	}
	if !strings.ContainsFunc(answers["query"], func(r rune) bool { return unicode.Is(unicode.Braille, r) }) {
		t.Errorf("no chart is drawn: %s", answers["query"])
	}
	if !strings.Contains(answers["latest"], `"temperature":`) {
		t.Errorf("latest: %s", answers["latest"])
	}
	if got := answers["query --remote"]; strings.Count(got, `"temperature":`) != 10 {
		t.Errorf("query --remote: %s", got)
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
