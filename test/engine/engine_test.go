package engine

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotreader/dev/emulators"
)

func TestMissingEngineSaysWhatToDo(t *testing.T) {
	t.Setenv("HOTREADER_TEST_ENGINE", t.TempDir())
	if _, err := find("HOTREADER_TEST_ENGINE", "dynamodb", "no.jar"); err == nil || !strings.Contains(err.Error(), "make engines") {
		t.Errorf("a named folder without the engine: %v, want an instruction", err)
	}
	t.Setenv("HOTREADER_TEST_ENGINE", "")
	if _, err := find("HOTREADER_TEST_ENGINE", "no-such-engine", "no.jar"); err == nil || !strings.Contains(err.Error(), "make engines") {
		t.Errorf("no folder: %v, want an instruction", err)
	}
}

func TestNamedFolderIsUsed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "engine.jar"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOTREADER_TEST_ENGINE", dir)
	if got, err := find("HOTREADER_TEST_ENGINE", "x", "engine.jar"); err != nil || got != dir {
		t.Errorf("find = %q, %v", got, err)
	}
}

// The shell's part: what is started ends when the pipe does, and its own end is
// noticed although the pipe is open.
func TestEngineEndsWithThePipe(t *testing.T) {
	p, err := start(t.TempDir(), "/bin/sh", "-c", "echo begun; while :; do sleep 0.1; done")
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
		t.Fatalf("it ended before the pipe did: %s", p.output.Last(100))
	default:
	}
	p.stop() // hangs, and so fails, if the pipe's end is not its end
}

func TestEngineThatCrashesIsNoticed(t *testing.T) {
	p, err := start(t.TempDir(), "/bin/sh", "-c", "echo out of luck; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if got := p.output.Last(100); !strings.Contains(got, "out of luck") {
		t.Errorf("its words were lost: %q", got)
	}
	if err := p.await(func(context.Context) error { return errors.New("no answer") }); err == nil || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("await = %v, want what the engine wrote", err)
	}
}

func TestAnotherProgramIsNotTheEmulator(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	for _, e := range []emulators.Emulator{emulators.DynamoDB(), emulators.CosmosDB(), emulators.Firestore()} {
		if err := e.Answers(t.Context(), strings.TrimPrefix(other.URL, "http://")); err == nil {
			t.Errorf("a server without the header was taken for %s", e.Name)
		}
	}
}
