// Package serving drives programs that serve the Hot Reader API themselves: it
// builds and starts the real one, and plays the API in another cloud that it may
// read from.
package serving

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hotreader"
	"hotreader/dev/played"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/store/memstore"
	"hotreader/test/runtimeapi"
	"hotreader/test/transcript"
)

// The tokens of the tests.
const (
	Token   = "0123456789abcdef0123456789abcdef"
	Rotated = "fedcba9876543210fedcba9876543210"
)

// ports are the variables that tell a program of a cloud where to listen.
var ports = map[string]string{"hotreader-azure": "FUNCTIONS_CUSTOMHANDLER_PORT", "hotreader-cloudrun": "PORT"}

// Process is a running program.
type Process struct {
	Name string
	URL  string
	Home string // its working folder; all that it writes is there

	cmd    *exec.Cmd
	log    transcript.Buffer
	exited chan struct{}
	err    error
}

// Start runs the program of that name with env, and nothing else of this
// process' environment but PATH. It listens where URL says. It is killed when the
// test ends, which fails if a token stands in its log.
func Start(t testing.TB, name string, env map[string]string, args ...string) *Process {
	t.Helper()
	return StartAt(t, Port(t), name, env, args...)
}

// StartAt is Start on a port that the test has by Port.
func StartAt(t testing.TB, port int, name string, env map[string]string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: name, URL: fmt.Sprintf("http://127.0.0.1:%d", port), Home: t.TempDir(), exited: make(chan struct{})}
	variable := ports[name]
	if variable == "" {
		args = append(slices.Clip(args), "--listen", fmt.Sprintf("127.0.0.1:%d", port))
	}
	p.cmd = exec.Command(Program(t, name), args...)
	p.cmd.Dir = p.Home
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.Home, "TMPDIR=" + p.Home}
	if variable != "" {
		p.cmd.Env = append(p.cmd.Env, variable+"="+strconv.Itoa(port))
	}
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
		tokenless(t, p.Log())
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.Log()[max(0, len(p.Log())-8000):])
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

// Signal sends a signal.
func (p *Process) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Terminate asks the program to end, as the platforms do, and returns its exit
// code.
func (p *Process) Terminate(t testing.TB) int {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	return p.WaitExit(t)
}

// Pid returns the process' number.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

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
	case <-time.After(time.Minute):
		t.Fatalf("it does not end\n%s", p.Log())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Log returns what the program has written to stdout and stderr: all of
// it only when it has ended, for what it wrote last may be on the way.
func (p *Process) Log() string { return p.log.String() }

// Again starts this test binary once more, with env, in another role. It ends
// with the test.
func Again(t testing.TB, env ...string) (*exec.Cmd, io.WriteCloser, io.Reader) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program)
	c.Env = append(os.Environ(), env...)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()
	})
	return c, in, out
}

// Answer is an HTTP answer that has been read.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Ask sends a request with the token; "" = none.
func (p *Process) Ask(t testing.TB, method, path, body, token string, headers ...string) Answer {
	t.Helper()
	return Ask(t, p.URL, method, path, body, token, headers...)
}

// Ask sends a request with the token to the server at a URL; "" = none.
func Ask(t testing.TB, url, method, path, body, token string, headers ...string) Answer {
	t.Helper()
	a, err := TryAsk(t.Context(), url, method, path, body, token, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TryAsk is Ask for those that may get no answer, or ask in another goroutine.
func TryAsk(ctx context.Context, url, method, path, body, token string, headers ...string) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url+path, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if token != "" {
		req.Header.Set(identity.TokenHeader, token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, string(b)}, err
}

// Peer is the Hot Reader API of another cloud. While it is ill, it answers as
// told.
type Peer struct {
	URL   string
	Store *memstore.Store
	Calls atomic.Int64

	mu     sync.Mutex
	ill    http.HandlerFunc
	times  int // how often it still answers so; below 1 = always
	traces []string
}

// NewPeer starts a peer that takes token and stores nothing yet. change sets
// more of its options.
func NewPeer(t testing.TB, token string, change ...func(*httpapi.Options)) *Peer {
	t.Helper()
	p := &Peer{Store: memstore.New()}
	tok, err := identity.Static(token)
	if err != nil {
		t.Fatal(err)
	}
	o := httpapi.Options{Source: p.Store, Token: tok}
	for _, set := range change {
		set(&o)
	}
	api, err := httpapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Calls.Add(1)
		p.mu.Lock()
		ill := p.ill
		if p.times--; p.times == 0 {
			p.ill = nil
		}
		p.traces = append(p.traces, r.Header.Get("Traceparent"))
		p.mu.Unlock()
		if ill != nil {
			ill(w, r)
			return
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p.URL = s.URL
	return p
}

// Set makes the peer ill, or with nil well again.
func (p *Peer) Set(ill http.HandlerFunc) { p.SetFor(0, ill) }

// SetFor makes the peer ill for so many requests; 0 = for good.
func (p *Peer) SetFor(requests int, ill http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ill, p.times = ill, requests
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

// With returns env with more variables, each a name and a value.
func With(env map[string]string, pairs ...string) map[string]string {
	env = maps.Clone(env)
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	return env
}

// AllTime is the range of an event that has all rows.
const AllTime = `,"startTime":"2020-01-01T00:00:00Z","endTime":"2030-01-01T00:00:00Z"`

// Event is TwinMaker's, for entity e and component c, whose type names device.
// selected are properties in JSON.
func Event(device, selected, more string) []byte {
	return []byte(`{"workspaceId":"w","entityId":"e","componentName":"c","componentTypeId":"factory-` + device + `",
		"selectedProperties":[` + selected + `],"properties":{"temperature":{"definition":{"dataType":{"type":"DOUBLE"}}},
		"state":{"definition":{"dataType":{"type":"STRING"}}}}` + more + `}`)
}

// Envelope is what another cloud sends to POST /read.
func Envelope(kind, device, more string) string {
	return `{"source_cloud":"aws","target_layer":"L3-Hot-Read","message_type":"` + kind + `","timestamp":"2026-01-01T00:00:00Z","trace_id":"t-1",` +
		`"payload":{"iot_device_id":"` + device + `","start_time":"2020-01-01T00:00:00Z","end_time":"2030-01-01T00:00:00Z","selected_properties":["temperature","state"]` + more + `}}`
}

// Accept gives each connection to an address of this machine, numbered from 1, to
// serve, and closes it when serve returns, until the test ends.
func Accept(t testing.TB, serve func(n int, c net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(n, c)
			}()
		}
	}()
	return l.Addr().String()
}

// GoAway is a server of HTTP/2 that answers each request with a GOAWAY frame, which says
// that it was not looked at, and hangs up. It counts the connections.
func GoAway(t testing.TB) (s *httptest.Server, connections *atomic.Int32) {
	t.Helper()
	connections = new(atomic.Int32)
	s = httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{NextProtos: []string{"h2"}}
	s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
		defer c.Close()
		connections.Add(1)
		_, _ = c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // SETTINGS
		_, _ = io.CopyN(io.Discard, c, 24)                // the preface
		for frame := make([]byte, 9); frame[3] != 1; {    // HEADERS
			if _, err := io.ReadFull(c, frame); err != nil {
				return
			}
			_, _ = io.CopyN(io.Discard, c, int64(frame[0])<<16|int64(frame[1])<<8|int64(frame[2]))
		}
		_, _ = c.Write([]byte{0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, connections
}

// Proxy is a TCP proxy to a server. tamper may change what the server sends,
// or end the connection, as a middlebox could. It gets the number of the connection,
// how many bytes were sent before, and the bytes.
func Proxy(t testing.TB, to string, tamper func(connection int, sent int, p []byte) (cut bool)) (addr string) {
	t.Helper()
	return Accept(t, func(n int, in net.Conn) {
		out, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer out.Close()
		go func() {
			_, _ = io.Copy(out, in)
			out.Close()
		}()
		buf := make([]byte, 512)
		for sent := 0; ; {
			k, err := out.Read(buf)
			if err != nil || tamper(n, sent, buf[:k]) {
				return
			}
			if _, err := in.Write(buf[:k]); err != nil {
				return
			}
			sent += k
		}
	})
}

// Listen serves h until the test ends.
func Listen(t testing.TB, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

// FunctionsHost plays the Azure Functions host before the handler at a URL.
func FunctionsHost(t testing.TB, handler string) http.Handler {
	t.Helper()
	to, err := url.Parse(handler)
	if err != nil {
		t.Fatal(err)
	}
	return played.FunctionsHost(to)
}

// Gateway plays API Gateway's REST API before a function, and returns the URL of
// its stage.
func Gateway(t testing.TB, f *runtimeapi.Function) (url string) {
	t.Helper()
	return Listen(t, played.APIGateway(f.Function)) + "/" + played.Stage
}

// WatchMemory looks at a process until it has ended, or until peak is called,
// which returns the most memory, in bytes, that it had at once, without the pages
// of files: those the system takes back when it needs them.
func WatchMemory(tb testing.TB, pid int) (peak func() int64) {
	stop, most := make(chan struct{}), make(chan int64)
	go func() {
		var m int64
		for {
			m = max(m, Memory(pid))
			select {
			case <-stop:
				most <- m
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(stop)
		m := <-most
		if m == 0 {
			tb.Fatalf("process %d shows no memory", pid)
		}
		return m
	}
}

// Memory returns what memory a process has now, in bytes, without the pages of
// files; 0 = it has ended.
func Memory(pid int) (bytes int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		name, kb, _ := strings.Cut(line, ":")
		if name == "RssAnon" || name == "RssShmem" {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 10, 64)
			bytes += n << 10
		}
	}
	return bytes
}
