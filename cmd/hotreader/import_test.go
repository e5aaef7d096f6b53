package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/store/all"
)

// ^C ends an import that waits for a line that does not come, and what it leaves
// behind is what it says.
func TestInterruptedImport(t *testing.T) {
	for _, lines := range []int{1, 2500} {
		url := "bolt:" + filepath.Join(t.TempDir(), "s.db")
		ctx, cancel := context.WithCancelCause(t.Context())
		in, feed := io.Pipe()
		defer feed.Close()
		go func() {
			text := "timestamp,v\n"
			for i := range lines {
				text += midnight.Add(time.Duration(i)*time.Second).Format(time.RFC3339) + ",1\n"
			}
			// The pipe takes the second write when the first has been read.
			for _, text := range []string{text, "2026-"} {
				if _, err := feed.Write([]byte(text)); err != nil {
					return
				}
			}
			cancel(interrupted{os.Interrupt})
		}()
		var out, talk bytes.Buffer
		if code := run(ctx, []string{"import", "--store", url, "--device", "d", "--format", "csv", "-"}, in, &out, &talk); code != exitInterrupted || out.Len() > 0 {
			t.Errorf("%d lines: exit code %d, want %d; it printed %q", lines, code, exitInterrupted, out.String())
		}
		want := "hotreader: interrupted\n"
		if stored := countRows(t, url); stored > 0 {
			want = fmt.Sprintf("standard input: a table with commas, time in timestamp (iso8601)\n%s lines before that are stored; go on with --skip %d, or repeat the import as a whole\n", terminal.Count(stored), stored) + want
		} else if lines > 1 {
			t.Error("nothing is stored")
		}
		if talk.String() != want {
			t.Errorf("%d lines: it said %q, want %q", lines, talk.String(), want)
		}
	}
}

// countRows returns how many rows of d a store has, 0 if there is none.
func countRows(t *testing.T, url string) (n int) {
	store, err := all.OpenReader(t.Context(), url)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, err := range hotreader.NewReader(store).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
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
	if lines := strings.Count(talk.String(), "\n"); lines != 2*shown+2 || !strings.Contains(talk.String(), "and 980 columns more\n") {
		t.Errorf("%d lines: %s", lines, talk.String())
	}
}
