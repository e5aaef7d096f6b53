package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"hotreader"
	"hotreader/store/all"
	"hotreader/test/slowtable"
)

const oldToken, newToken = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"

// A token file that has changed is read when a token is rejected.
func TestServedTokenIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "token")
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(oldToken)
		token, err := servedToken(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		write(newToken + "," + oldToken)
		time.Sleep(6 * time.Minute)
		if changed, err := token.Refresh(t.Context()); !changed || err != nil {
			t.Fatal(changed, err)
		}
		for i, text := range []string{newToken, oldToken} {
			if slot, ok := token.Match(text); !ok || slot != i {
				t.Errorf("token %d is in slot %d, %t", i, slot, ok)
			}
		}
	})
}

// The reader of the log may end before the server does.
func TestServeOutlivesItsLogsReader(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Args = []string{"hotreader", "serve", "--store", "mem:", "--listen", "127.0.0.1:0"}
	cmd.Env = append(os.Environ(), tokenVariable+"="+oldToken)
	cmd.Stderr = theirs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	theirs.Close()
	line, err := bufio.NewReader(log).ReadString('\n')
	_, url, ok := strings.Cut(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatal(line, err)
	}
	log.Close()
	for range 3 { // each writes a line of the log
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/devices/d/latest?property=p", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
}

// A cloud's store is read ahead, by query and by serve.
func TestStoreIsReadAhead(t *testing.T) {
	const rows, page = 5000, 400
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
	t.Setenv(tokenVariable, strings.Repeat("0123456789abcdef", 4))
	table := slowtable.New(rows, page)
	server := httptest.NewServer(table)
	defer server.Close()
	store := "dynamodb://rows?region=eu-central-1&endpoint=" + server.URL
	query := func(from ...string) {
		t.Helper()
		table.Queries.Store(0)
		table.Continued.Store(0)
		var out, talk bytes.Buffer
		args := append([]string{"query", "--device", "d", "--property", "temperature", "--format", "csv"}, from...)
		if code := run(t.Context(), args, nil, &out, &talk); code != 0 {
			t.Fatalf("exit code %d: %s", code, talk.String())
		}
		if n := strings.Count(out.String(), "\n"); n != rows+1 {
			t.Errorf("%s: %d lines, want %d", from, n, rows+1)
		}
		if table.Queries.Load() <= rows/page || table.Continued.Load() > 0 {
			t.Errorf("%s: %d queries, of which %d go on behind a page", from, table.Queries.Load(), table.Continued.Load())
		}
	}
	query("--store", store)

	query("--remote", serveURL(t, "serve", "--store", store, "--listen", "127.0.0.1:0", "--log-level", "error"))
}

func TestHelpQuotesNames(t *testing.T) {
	var help, talk bytes.Buffer
	run(t.Context(), []string{"query", "--help"}, nil, &help, &talk)
	for _, name := range []string{"a, b", "{a}"} {
		quoted := `"` + name + `"`
		var l nameList
		if err := l.Set(quoted); err != nil || len(l) != 1 || l[0] != name || !strings.Contains(help.String(), "'"+quoted+"'") {
			t.Errorf("%s = %q, %v; help: %s", quoted, l, err, &help)
		}
	}
}

func TestFullDevice(t *testing.T) {
	for _, args := range []string{"", "--help", "--version", "version", "version --json", "query --help", "help latest", "completion bash"} {
		var talk bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), nil, full{}, &talk); code != exitFailed || !strings.Contains(talk.String(), "no space left") {
			t.Errorf("hotreader %s: exit code %d, %q", args, code, talk.String())
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestBuildWithoutVersionControl(t *testing.T) {
	if b := buildOf(nil); b.Commit != "" || b.Modified != nil || b.Version == "" {
		t.Errorf("%+v", b)
	}
	b := buildOf(&debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}}})
	if b.Commit != "abc" || b.Modified == nil || *b.Modified {
		t.Errorf("%+v", b)
	}
}

// An assistant reads over standard input and output, and nothing else is written there.
func TestAssistantOnStandardInput(t *testing.T) {
	url := "bolt:" + filepath.Join(t.TempDir(), "s.db")
	store, err := all.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	row := hotreader.Record{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.Int64Value(70)}}}
	if err := store.Write(t.Context(), "pump-7", []hotreader.Record{row}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	in, asked := io.Pipe()
	answers, out := io.Pipe()
	var said bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"mcp", "--store", url}, in, out, &said) }()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(ctx, &mcp.IOTransport{Reader: answers, Writer: asked}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for tool, want := range map[string]string{"list_devices": "pump-7", "latest": `"value":70`} {
		arguments := map[string]string{"list_devices": "{}", "latest": `{"device":"pump-7"}`}[tool]
		got, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: json.RawMessage(arguments)})
		if err != nil || got.IsError || !strings.Contains(got.Content[0].(*mcp.TextContent).Text, want) {
			t.Fatal(err, got)
		}
	}
	_ = session.Close() // closes the pipes
	if code := <-ended; code != 0 || said.Len() > 0 {
		t.Errorf("exit code %d; %s", code, said.String())
	}
}

// Files that the command line names have an end, whatever they are.
func TestFilesWithoutEnd(t *testing.T) {
	const endless = "/dev/zero"
	for _, args := range [][]string{
		{"cost", "--prices", endless},
		{"devices", "--remote", "http://127.0.0.1:1", "--token-file", endless},
		{"serve", "--store", "mem:", "--token-file", endless},
		{"serve", "--store", "mem:", "--catalog", endless},
		{"serve", "--store", "mem:", "--listen", "127.0.0.1:0", "--tls-cert", endless, "--tls-key", "none"},
	} {
		t.Setenv(tokenVariable, oldToken)
		var out, talk bytes.Buffer
		code := run(t.Context(), args, strings.NewReader(""), &out, &talk)
		if code == 0 || !strings.Contains(talk.String(), "is larger than") {
			t.Errorf("%q: code %d, %s%s", args, code, &out, &talk)
		}
	}
}
