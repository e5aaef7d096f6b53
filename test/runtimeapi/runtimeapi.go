// Package runtimeapi starts a bootstrap under test as Lambda does: the real
// program, behind Lambda's Runtime API as package played plays it.
package runtimeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader/dev/played"
	"hotreader/test/transcript"
)

// Function is a running bootstrap.
type Function struct {
	*played.Function

	process *exec.Cmd
	stderr  transcript.Buffer
	exited  chan struct{}
	exitErr error
}

// Failure is the error that a function reported for one event, or at its start.
type Failure = played.Failure

// ErrExited says that the program ended instead of answering.
var ErrExited = errors.New("the function exited")

// Start runs program with handler as _HANDLER and env, and nothing else of this
// process' environment but PATH and HOME. It is killed when the test ends.
func Start(t testing.TB, program, handler string, env map[string]string) *Function {
	t.Helper()
	f := &Function{Function: played.NewFunction(handler, "eu-central-1"), exited: make(chan struct{})}
	f.Trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
	f.Timeout = time.Hour // Invoke says how long
	var invoked atomic.Int64
	f.NewID = func() string { return fmt.Sprintf("8476a536-e9f4-11e8-9739-%012d", invoked.Add(1)) }
	server := httptest.NewServer(f.RuntimeAPI())
	f.process = exec.Command(program)
	f.process.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for _, variables := range []map[string]string{f.Env(handler, strings.TrimPrefix(server.URL, "http://")), env} {
		for k, v := range variables {
			f.process.Env = append(f.process.Env, k+"="+v)
		}
	}
	f.process.Stdout, f.process.Stderr = &f.stderr, &f.stderr
	if err := f.process.Start(); err != nil {
		server.Close()
		t.Fatalf("start %s: %v", program, err)
	}
	go func() {
		f.exitErr = f.process.Wait()
		f.Exit(f.exitErr)
		close(f.exited)
	}()
	t.Cleanup(func() {
		_ = f.process.Process.Kill() // it may have ended
		<-f.exited
		server.CloseClientConnections()
		server.Close()
		if t.Failed() {
			t.Logf("%s said:\n%s", handler, f.Log())
		}
	})
	return f
}

// WaitReady waits for the first poll. It fails if the program exits before.
func (f *Function) WaitReady(ctx context.Context) error {
	select {
	case <-f.Polled():
		return nil
	case <-f.exited:
		return fmt.Errorf("%w before its first poll (%v): %s", ErrExited, f.exitErr, f.Log())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WaitExit waits for the program to end by itself and returns its exit code and
// what it posted as its initialization error, if it did.
func (f *Function) WaitExit(ctx context.Context) (code int, init *Failure, err error) {
	select {
	case <-f.exited:
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
	if initial := f.Initial(); initial != nil {
		init = &Failure{}
		if err := json.Unmarshal(initial, init); err != nil {
			return 0, nil, fmt.Errorf("init error is no JSON: %q", initial)
		}
	}
	return f.process.ProcessState.ExitCode(), init, nil
}

// Invoke hands the function an event that it must answer within timeout, and
// returns its answer, or its error as a *Failure.
func (f *Function) Invoke(ctx context.Context, body []byte, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	a, err := f.Function.Invoke(ctx, body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("no answer within %v: %w", timeout, err)
	case a.Platform:
		return nil, fmt.Errorf("%w: %s: %s", ErrExited, a.Payload, f.Log())
	case !a.Failed:
		return a.Payload, nil
	}
	failure := &Failure{}
	if err := json.Unmarshal(a.Payload, failure); err != nil {
		return nil, fmt.Errorf("the function's error is no JSON: %q", a.Payload)
	}
	return nil, failure
}

// Kill ends the program as a crash does, and returns when it is gone.
func (f *Function) Kill(t testing.TB) {
	t.Helper()
	if err := f.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-f.exited
}

// Pid returns the process' number.
func (f *Function) Pid() int { return f.process.Process.Pid }

// Log returns what the program has written so far.
func (f *Function) Log() string { return f.stderr.String() }
