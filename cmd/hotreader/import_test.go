package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/store/all"
)

// What ^C leaves behind is what it says.
func TestInterruptedImportCountsExactly(t *testing.T) {
	url := "bolt:" + filepath.Join(t.TempDir(), "s.db")
	ctx, cancel := context.WithCancelCause(t.Context())
	in, feed := io.Pipe()
	defer feed.Close()
	go func() {
		var text strings.Builder
		text.WriteString("timestamp,v\n")
		for i := range 2500 {
			fmt.Fprintf(&text, "%s,%d\n", midnight.Add(time.Duration(i)*time.Second).Format(time.RFC3339), i)
		}
		// The pipe takes the second write when the first has been read.
		for _, text := range []string{text.String(), "2026-"} {
			if _, err := feed.Write([]byte(text)); err != nil {
				return
			}
		}
		cancel(interrupted{os.Interrupt})
	}()
	var out, talk bytes.Buffer
	if code := run(ctx, []string{"import", "--store", url, "--device", "d", "--format", "csv", "-"}, in, &out, &talk); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	store, err := all.OpenReader(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	stored := 0
	for _, err := range store.Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}}) {
		if err != nil {
			t.Fatal(err)
		}
		stored++
	}
	if want := fmt.Sprintf("%s lines before that are stored; go on with --skip %d,", terminal.Count(stored), stored); stored == 0 || !strings.HasPrefix(talk.String(), want) {
		t.Errorf("%d rows are stored; it said %q", stored, talk.String())
	}
}

// A file whose keys are data fills neither the memory nor the screen.
func TestManyColumns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.jsonl")
	var text strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&text, `{"timestamp":"%s","k%d":"1,5"}`+"\n", midnight.Add(time.Duration(i)*time.Second).Format(time.RFC3339), i)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, talk bytes.Buffer
	if code := run(t.Context(), []string{"import", "--store", "mem:", "--device", "d", file}, nil, &out, &talk); code != 0 {
		t.Errorf("exit code %d: %s", code, talk.String())
	}
	if lines := strings.Count(talk.String(), "\n"); lines != 2*shownColumns+1 || !strings.Contains(talk.String(), "and 980 columns more\n") {
		t.Errorf("%d lines: %s", lines, talk.String())
	}
}

func TestNameList(t *testing.T) {
	for text, want := range map[string]string{
		"a": "[a]", "a,b": "[a b]", `a"b`: `[a"b]`, `"a,b",c`: "[a,b c]", `"a""b"`: `[a"b]`, "": "[]", `"a`: "[a]",
	} {
		var l nameList
		if err := l.Set(text); err != nil || fmt.Sprint([]string(l)) != want {
			t.Errorf("%q = %v, %v; want %s", text, l, err, want)
		}
	}
	var l nameList
	if err := l.Set("a\nb"); err == nil {
		t.Error("two lines are taken for names")
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
