package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"hotreader"
	"hotreader/deploy/render"
	"hotreader/test/authority"
	"hotreader/test/golden"
	"hotreader/test/packages"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hotreader": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *golden.Update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TMPDIR", filepath.Join(env.WorkDir, ".tmp"))
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else a program with the race detector ends after a second
			env.Setenv("LONG", strings.Repeat("x", hotreader.MaxDeviceBytes+1))
			env.Values[programsKey{}] = map[string]*started{}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
			"start": startProgram,
			"end":   endProgram,
			"lines": lines,
			"get":   get,
			"cert":  cert,

			"compress": compress,
			"packages": func(ts *testscript.TestScript, _ bool, args []string) { // packages DIR: small packages of functions
				ts.Check(os.MkdirAll(ts.MkAbs(args[0]), 0o700))
				packages.Write(t, ts.MkAbs(args[0]), slices.Collect(maps.Values(render.Packages))...)
			},
		},
	})
}

// exits CODE program args...: runs a program, which must end with that code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// get URL: asks for it as Grafana does, with the token as Basic's password, and writes the
// answer to the file got.
func get(ts *testscript.TestScript, _ bool, args []string) {
	r, err := http.NewRequest(http.MethodGet, args[0], http.NoBody)
	ts.Check(err)
	r.SetBasicAuth("grafana", ts.Getenv(tokenVariable))
	answer, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("got"), body, 0o600))
}

// lines N FILE: the file, or stdout or stderr, has so many lines.
func lines(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := strings.Count(ts.ReadFile(args[1]), "\n"); got != want {
		ts.Fatalf("%s has %d lines, want %d", args[1], got, want)
	}
}

// cert CERT KEY: makes a certificate for 127.0.0.1, and its key.
func cert(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(authority.Write(ts.MkAbs(args[0]), ts.MkAbs(args[1])))
}

// compress FILE GZIP: compresses a file.
func compress(ts *testscript.TestScript, _ bool, args []string) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, ts.ReadFile(args[0]))
	ts.Check(err)
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o600))
}

type started struct {
	cmd *exec.Cmd
	out chan string // all that the stream said, when it ends
}

// start VARIABLE REGEXP stdout|stderr program args...: starts a program, waits
// for a line of that stream that matches, and puts the match's first group into
// the variable. The variable names the program for end, too.
func startProgram(ts *testscript.TestScript, _ bool, args []string) {
	name, pattern, stream := args[0], regexp.MustCompile(args[1]), args[2]
	cmd := exec.Command(args[3], args[4:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, v := range []string{"PATH", "HOME", "TMPDIR", "GORACE", "INTER_CLOUD_TOKEN", "NO_COLOR", "HOTREADER_DEVICES", "HOTREADER_RATE", "HOTREADER_LOOK_BACK", "HOTREADER_TRUST"} {
		if text := ts.Getenv(v); text != "" {
			cmd.Env = append(cmd.Env, v+"="+text)
		}
	}
	open := cmd.StdoutPipe
	if stream == "stderr" {
		open = cmd.StderrPipe
	}
	pipe, err := open()
	ts.Check(err)
	ts.Check(cmd.Start())
	s := &started{cmd, make(chan string, 1)}
	programs(ts)[name] = s
	ts.Defer(func() { _ = cmd.Process.Kill() })
	found := make(chan string, 1)
	go func() {
		var all strings.Builder
		r := bufio.NewReader(io.TeeReader(pipe, &all))
		for {
			line, err := r.ReadString('\n')
			if m := pattern.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
			if err != nil {
				break
			}
		}
		close(found)
		s.out <- all.String()
	}()
	select {
	case match, ok := <-found:
		if !ok {
			ts.Fatalf("%s ended without a line like %s: %s", args[3], pattern, <-s.out)
		}
		ts.Setenv(name, match)
	case <-time.After(time.Minute):
		ts.Fatalf("%s has not said a line like %s for a minute", args[3], pattern)
	}
}

// end VARIABLE INT|TERM|KILL CODE: ends a started program, which must end with
// that code; what it said is in the file VARIABLE.
func endProgram(ts *testscript.TestScript, _ bool, args []string) {
	s := programs(ts)[args[0]]
	if s == nil {
		ts.Fatalf("nothing was started as %s", args[0])
	}
	signals := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "KILL": os.Kill}
	ts.Check(s.cmd.Process.Signal(signals[args[1]]))
	said := <-s.out
	err := s.cmd.Wait()
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if want, err := strconv.Atoi(args[2]); err != nil || got != want {
		ts.Fatalf("exit code %d, want %s; it said: %s", got, args[2], said)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(said), 0o600))
}

type programsKey struct{}

// programs returns the programs that a script has started, by variable.
func programs(ts *testscript.TestScript) map[string]*started {
	return ts.Value(programsKey{}).(map[string]*started)
}
