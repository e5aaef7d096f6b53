// Package serving drives programs that serve the Hot Reader API themselves: it
// builds and starts the real one, and plays the API in another cloud that it may
// read from.
package serving

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/store/memstore"
	"hotreader/test/transcript"
)

// The tokens of the tests.
const (
	Token   = "0123456789abcdef0123456789abcdef"
	Rotated = "fedcba9876543210fedcba9876543210"
)

// Main runs the tests of a package with its program, built as `make dist` builds
// it, at *program.
func Main(m *testing.M, program *string) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "hotreader-program-")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		*program = filepath.Join(dir, "program")
		build := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags=-s -w", "-o", *program, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			log.Fatalf("build: %v\n%s", err, out)
		}
		return m.Run()
	}())
}

// With returns env with these variables, name, value, ….
func With(env map[string]string, more ...string) map[string]string {
	env = maps.Clone(env)
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

// Process is a running program.
type Process struct {
	URL string

	cmd    *exec.Cmd
	log    transcript.Buffer
	exited chan struct{}
	err    error
}

// Start runs program as Run does. port is the variable with the port to listen on.
func Start(t testing.TB, program, port string, env map[string]string) *Process {
	t.Helper()
	n := strconv.Itoa(FreePort(t)) // the platforms, too, choose it for the program
	p := Run(t, program, With(env, port, n))
	p.URL = "http://127.0.0.1:" + n
	return p
}

// FreePort returns a port that is free, and below those that the system gives to
// connections and to listeners of any port, which would take it meanwhile.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 12_000 + rand.N(20_000)
		if l, err := net.Listen("tcp", ":"+strconv.Itoa(port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// Run runs program, in the folder PWD of env, with env and nothing else of this
// process' environment but PATH and HOME. It is killed when the test ends, which
// fails if a token stands in its log.
func Run(t testing.TB, program string, env map[string]string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(program, args...), exited: make(chan struct{})}
	p.cmd.Dir = env["PWD"]
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for name, value := range env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.exited
		if out := p.log.String(); strings.Contains(out, Token) || strings.Contains(out, Rotated) {
			t.Errorf("the token stands in the log:\n%s", out)
		}
	})
	return p
}

// WaitReady returns when the program answers.
func (p *Process) WaitReady(t testing.TB) *Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(p.URL, "http://"))
		if err == nil {
			_ = c.Close()
			return p
		}
		select {
		case <-p.exited:
			t.Fatalf("it ended: %v\n%s", p.err, p.Log())
		case <-ctx.Done():
			t.Fatalf("it does not listen\n%s", p.Log())
		case <-time.After(time.Millisecond):
		}
	}
}

// PID is the program's process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Terminate sends SIGTERM.
func (p *Process) Terminate(t testing.TB) { p.Signal(t, syscall.SIGTERM) }

// Signal sends a signal.
func (p *Process) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the program as a crash does, and returns when it is gone.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
}

// WaitExit waits for the program to end and returns its exit code.
func (p *Process) WaitExit(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(45 * time.Second): // `hotreader serve` lets requests go on for 30 s
		t.Fatalf("it does not end\n%s", p.Log())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Log returns what the program has written to standard output and error: all of
// it only when it has ended, for what it wrote last may be on the way.
func (p *Process) Log() string { return p.log.String() }

// Answer is an HTTP answer that has been read.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Ask sends a request with the token; "" = none.
func (p *Process) Ask(t testing.TB, method, path, body, token string, headers ...string) Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set(identity.TokenHeader, token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{resp.StatusCode, resp.Header, string(b)}
}

// Peer is the Hot Reader API of another cloud. While it is ill, it answers as
// told.
type Peer struct {
	URL   string
	Store *memstore.Store
	Calls atomic.Int64
	API   http.Handler // the well one

	mu     sync.Mutex
	ill    http.HandlerFunc
	traces []string
}

// NewPeer starts a peer that takes token and stores nothing yet.
func NewPeer(t testing.TB, token string) *Peer { return PeerOf(t, token, httpapi.Options{}) }

// PeerOf starts a peer that serves as o says.
func PeerOf(t testing.TB, token string, o httpapi.Options) *Peer {
	t.Helper()
	p := &Peer{Store: memstore.New()}
	tok, err := identity.Static(token)
	if err != nil {
		t.Fatal(err)
	}
	o.Source, o.Token = p.Store, tok
	if p.API, err = httpapi.New(o); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Calls.Add(1)
		p.mu.Lock()
		ill := p.ill
		p.traces = append(p.traces, r.Header.Get("Traceparent"))
		p.mu.Unlock()
		if ill != nil {
			ill(w, r)
			return
		}
		p.API.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p.URL = s.URL
	return p
}

// Set makes the peer ill, or with nil well again.
func (p *Peer) Set(ill http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ill = ill
}

// Traces returns the traceparents that came.
func (p *Peer) Traces() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.traces...)
}

// At is the instant of row i.
func At(i int) time.Time { return time.Unix(1_700_000_000+int64(i), 0).UTC() }

// Digits is the temperature of row i, spelled so that a float would change it.
func Digits(i int) string { return fmt.Sprintf("%d.12345678901234567890", i) }

// Fill stores n rows of device.
func (p *Peer) Fill(t testing.TB, device string, n int) {
	t.Helper()
	records := make([]hotreader.Record, n)
	for i := range records {
		records[i] = hotreader.Record{Time: At(i), Fields: []hotreader.Field{
			{Name: "temperature", Value: hotreader.NumberValue([]byte(Digits(i)))},
			{Name: "state", Value: hotreader.StringValue([]byte("on"))},
		}}
	}
	if err := p.Store.Write(t.Context(), device, records); err != nil {
		t.Fatal(err)
	}
}

// Twin returns DIGITAL_TWIN_INFO of a twin with these layers.
func Twin(l3, l4 string) string {
	return `{"config":{"digital_twin_name":"factory"},"config_providers":{"layer_3_hot_provider":"` + l3 + `","layer_4_provider":"` + l4 + `"}}`
}
