// Package runtimeapi plays the part of AWS Lambda for a bootstrap under test: it
// serves the Runtime API, starts the real program against it and hands it
// events, one at a time, as Lambda does.
//
// The four calls are those of
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html.
package runtimeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hotreader/test/transcript"
)

// Function is a running bootstrap.
type Function struct {
	Ready time.Time // first poll

	server   *httptest.Server
	process  *exec.Cmd
	stderr   transcript.Buffer
	events   chan event
	ready    chan struct{}
	exited   chan struct{}
	exitErr  error
	mu       sync.Mutex
	calls    map[string]chan answer
	invoked  int
	initFail []byte
}

type event struct {
	id       string
	body     []byte
	deadline time.Time
}

type answer struct {
	body   []byte
	failed bool
}

// Failure is the error that a function reported for one event, or at its start.
type Failure struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// Error returns the type and the message.
func (f *Failure) Error() string { return f.Type + ": " + f.Message }

// ErrExited says that the program ended instead of answering.
var ErrExited = errors.New("the function exited")

// Start runs program with handler as _HANDLER and env, and nothing else of this
// process' environment but PATH and HOME. It is killed when the test ends.
func Start(t testing.TB, program, handler string, env map[string]string) *Function {
	t.Helper()
	f := &Function{
		events: make(chan event),
		ready:  make(chan struct{}),
		exited: make(chan struct{}),
		calls:  map[string]chan answer{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", f.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) { f.answered(w, r, false) })
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) { f.answered(w, r, true) })
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.initFail = body
		f.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	f.server = httptest.NewServer(mux)
	f.process = exec.Command(program)
	f.process.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "_HANDLER=" + handler,
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(f.server.URL, "http://"),
		"AWS_LAMBDA_FUNCTION_NAME=" + handler, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"}
	for k, v := range env {
		f.process.Env = append(f.process.Env, k+"="+v)
	}
	f.process.Stdout, f.process.Stderr = &f.stderr, &f.stderr
	if err := f.process.Start(); err != nil {
		f.server.Close()
		t.Fatalf("start %s: %v", program, err)
	}
	go func() {
		f.exitErr = f.process.Wait()
		close(f.exited)
	}()
	t.Cleanup(func() {
		_ = f.process.Process.Kill()
		<-f.exited
		f.server.CloseClientConnections()
		f.server.Close()
		if t.Failed() {
			t.Logf("%s said:\n%s", handler, f.Log())
		}
	})
	return f
}

func (f *Function) next(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	if f.Ready.IsZero() {
		f.Ready = time.Now()
		close(f.ready)
	}
	f.mu.Unlock()
	select {
	case e := <-f.events:
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", e.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(e.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:123456789012:function:under-test")
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
		_, _ = w.Write(e.body)
	case <-r.Context().Done():
	}
}

func (f *Function) answered(w http.ResponseWriter, r *http.Request, failed bool) {
	body, err := io.ReadAll(r.Body)
	f.mu.Lock()
	call := f.calls[r.PathValue("id")]
	delete(f.calls, r.PathValue("id"))
	f.mu.Unlock()
	if err != nil || call == nil {
		http.Error(w, "no such invocation", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	call <- answer{body, failed}
}

// WaitReady waits for the first poll. It fails if the program exits before.
func (f *Function) WaitReady(ctx context.Context) error {
	select {
	case <-f.ready:
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
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.initFail != nil {
		init = &Failure{}
		if err := json.Unmarshal(f.initFail, init); err != nil {
			return 0, nil, fmt.Errorf("init error is no JSON: %q", f.initFail)
		}
	}
	return f.process.ProcessState.ExitCode(), init, nil
}

// Invoke hands the function an event that it must answer within timeout, and
// returns its answer, or its error as a *Failure.
func (f *Function) Invoke(ctx context.Context, body []byte, timeout time.Duration) ([]byte, error) {
	f.mu.Lock()
	f.invoked++
	id := fmt.Sprintf("8476a536-e9f4-11e8-9739-%012d", f.invoked)
	call := make(chan answer, 1)
	f.calls[id] = call
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	gone := func() error {
		return fmt.Errorf("%w (%v): %s", ErrExited, f.exitErr, f.Log())
	}
	select {
	case f.events <- event{id, body, deadline}:
	case <-f.exited:
		return nil, gone()
	case <-ctx.Done():
		return nil, fmt.Errorf("the function does not poll: %w", ctx.Err())
	}
	select {
	case a := <-call:
		if !a.failed {
			return a.body, nil
		}
		failure := &Failure{}
		if err := json.Unmarshal(a.body, failure); err != nil {
			return nil, fmt.Errorf("the function's error is no JSON: %q", a.body)
		}
		return nil, failure
	case <-f.exited:
		return nil, gone()
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer within %v: %w", timeout, ctx.Err())
	}
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
