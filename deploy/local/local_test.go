package local

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy"
)

// What a child wrote last is told when it ends.
func TestChildTellsHowItEnded(t *testing.T) {
	c, err := run("the child", t.TempDir(), []string{"SAID=over"}, "/bin/sh", "-c", `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do echo line $i; done; echo "$SAID" >&2; exit 3`)
	if err != nil {
		t.Fatal(err)
	}
	<-c.exited
	text := c.ended().Error()
	if !strings.HasPrefix(text, "the child ended: exit status 3; it wrote last:\nline 3\n") || !strings.HasSuffix(text, "line 13\nover") {
		t.Errorf("%q", text)
	}
	c, err = run("the child", t.TempDir(), nil, "/bin/sh", "-c", "exit 0")
	if err != nil {
		t.Fatal(err)
	}
	<-c.exited
	if text := c.ended().Error(); text != "the child ended by itself, and wrote nothing" {
		t.Errorf("%q", text)
	}
	if _, err := run("the child", t.TempDir(), nil, "/no/such/program"); err == nil || !strings.HasPrefix(err.Error(), "the child: ") {
		t.Errorf("%v", err)
	}
}

// A child inherits what every program needs, and no secret of its parent's.
func TestChildHasItsOwnEnvironment(t *testing.T) {
	t.Setenv("INTER_CLOUD_TOKEN", "of the parent")
	t.Setenv("AWS_PROFILE", "of the parent")
	c, err := run("env", t.TempDir(), []string{"A=1"}, "/usr/bin/env")
	if err != nil {
		t.Fatal(err)
	}
	<-c.exited
	if text := c.output.last(100); !strings.Contains(text, "A=1") || !strings.Contains(text, "PATH=") || strings.Contains(text, "of the parent") {
		t.Errorf("%s", text)
	}
}

// Stopping a child stops what it has started, also what does not want to.
func TestChildStopsWhole(t *testing.T) {
	c, err := run("stubborn", t.TempDir(), nil, "/bin/sh", "-c", `sleep 100 & (trap "" TERM; sleep 101) & echo ready; wait`)
	if err != nil {
		t.Fatal(err)
	}
	for c.output.last(1) != "ready" {
		time.Sleep(time.Millisecond)
	}
	c.stop()
	for range 200 {
		if !alive(-c.pid()) { // the group
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("something of its group still runs")
}

// play answers a function's events as its program would, until t ends.
func play(t *testing.T, f *function, answer func(event []byte) (body []byte, failed bool)) {
	s := httptest.NewServer(f.runtimeAPI())
	f.child = &child{exited: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/2018-06-01/runtime/invocation/next", nil)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return
			}
			event, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				return
			}
			id := resp.Header.Get("Lambda-Runtime-Aws-Request-Id")
			body, failed := answer(event)
			kind := "response"
			if failed {
				kind = "error"
			}
			if resp, err := http.Post(s.URL+"/2018-06-01/runtime/invocation/"+id+"/"+kind, "application/json", bytes.NewReader(body)); err == nil {
				resp.Body.Close()
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		s.CloseClientConnections()
		s.Close()
	})
}

func echo(event []byte) ([]byte, bool) { return event, bytes.Contains(event, []byte("fail")) }

func TestLambda(t *testing.T) {
	f := newFunction("twin-hot-reader", "eu-central-1")
	play(t, f, echo)
	dead := newFunction("dead", "eu-central-1")
	dead.child = &child{exited: make(chan struct{}), err: errors.New("exit status 1")}
	close(dead.child.exited)
	unstarted := newFunction("unstarted", "eu-central-1")
	unstarted.child = dead.child
	unstarted.initial = []byte(`{"errorType":"HotReader.Config","errorMessage":"no table"}`)
	s := httptest.NewServer(&lambdaHost{map[string]*function{f.name: f, "dead": dead, "unstarted": unstarted}})
	defer s.Close()
	for _, c := range []struct {
		name, function, body string
		header               []string
		status               int
		kind, want, failed   string
	}{
		{name: "an event", function: "twin-hot-reader", body: `{"a":1}`, status: 200, want: `{"a":1}`},
		{name: "no event", function: "twin-hot-reader", status: 200, want: `{}`},
		{name: "by its ARN", function: "arn:aws:lambda:eu-central-1:000000000000:function:twin-hot-reader", body: `[]`, status: 200, want: `[]`},
		{name: "its error", function: "twin-hot-reader", body: `{"fail":true}`, status: 200, want: `{"fail":true}`, failed: "Unhandled"},
		{name: "it has exited", function: "dead", body: `{}`, status: 200, want: "Runtime exited with error: exit status 1", failed: "Unhandled"},
		{name: "it has not started", function: "unstarted", body: `{}`, status: 200, want: `"HotReader.Config"`, failed: "Unhandled"},
		{name: "another function", function: "twin-reader", body: `{}`, status: 404, kind: "ResourceNotFoundException", want: "Function not found: twin-reader"},
		{name: "no JSON", function: "twin-hot-reader", body: `{`, status: 400, kind: "InvalidRequestContentException"},
		{name: "too much", function: "twin-hot-reader", body: `"` + strings.Repeat("x", maxEvent) + `"`, status: 413, kind: "RequestEntityTooLargeException"},
		{name: "a dry run", function: "twin-hot-reader", body: `{}`, header: []string{"X-Amz-Invocation-Type", "DryRun"}, status: 204},
		{name: "not waited for", function: "twin-hot-reader", body: `{}`, header: []string{"X-Amz-Invocation-Type", "Event"}, status: 400, kind: "InvalidParameterValueException"},
		{name: "a web page", function: "twin-hot-reader", body: `{}`, header: []string{"Origin", "https://example.com"}, status: 403, kind: "AccessDeniedException"},
		{name: "a page's image", function: "twin-hot-reader", body: `{}`, header: []string{"Sec-Fetch-Site", "cross-site"}, status: 403, kind: "AccessDeniedException"},
		{name: "another name of this machine", function: "twin-hot-reader", body: `{}`, header: []string{"Host", "rebound.example"}, status: 403, kind: "AccessDeniedException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/2015-03-31/functions/"+c.function+"/invocations", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(c.header); i += 2 {
				if req.Header.Set(c.header[i], c.header[i+1]); c.header[i] == "Host" {
					req.Host = c.header[i+1]
				}
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != c.status || resp.Header.Get("X-Amzn-Errortype") != c.kind ||
				resp.Header.Get("X-Amz-Function-Error") != c.failed || !strings.Contains(string(body), c.want) {
				t.Errorf("status %d, %v: %.200s (%v)", resp.StatusCode, resp.Header, body, err)
			}
		})
	}
	if resp, err := http.Get(s.URL + "/2015-03-31/functions/twin-hot-reader/invocations"); err != nil || resp.StatusCode != 404 {
		t.Errorf("%v, %v", resp, err)
	}
}

// An answer larger than Lambda's is the function's failure, and one that nobody
// waits for is refused.
func TestLambdaRuntimeAPI(t *testing.T) {
	f := newFunction("f", "eu-central-1")
	play(t, f, func([]byte) ([]byte, bool) { return bytes.Repeat([]byte(" "), maxEvent+1), false })
	o, _, err := f.invoke(t.Context(), []byte("{}"))
	if err != nil || !o.failed || !strings.Contains(string(o.payload), "Function.ResponseSizeTooLarge") {
		t.Errorf("%v, %.200s, %v", o.failed, o.payload, err)
	}
	s := httptest.NewServer(f.runtimeAPI())
	defer s.Close()
	resp, err := http.Post(s.URL+"/2018-06-01/runtime/invocation/unknown/response", "application/json", strings.NewReader("{}"))
	if err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%v, %v", resp, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lonely := newFunction("lonely", "eu-central-1")
	lonely.child = &child{exited: make(chan struct{})}
	if _, _, err := lonely.invoke(ctx, []byte("{}")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAPIGateway(t *testing.T) {
	var event proxyEvent
	answer := `{"statusCode":418,"headers":{"A":"one"},"multiValueHeaders":{"B":["x","y"]},"body":"/wA=","isBase64Encoded":true}`
	f := newFunction("api", "eu-central-1")
	play(t, f, func(text []byte) ([]byte, bool) {
		event = proxyEvent{}
		if err := json.Unmarshal(text, &event); err != nil {
			t.Error(err)
		}
		return []byte(answer), answer == ""
	})
	s := httptest.NewServer(apiGateway(f))
	defer s.Close()
	ask := func(method, path, body string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header["X-Two"] = []string{"1", "2"}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(text)
	}

	resp, text := ask("GET", "/prod/v1/devices/a%2Fb/history?property=p&property=q", "")
	if resp.StatusCode != 418 || text != "\xff\x00" || resp.Header.Get("A") != "one" || len(resp.Header["B"]) != 2 {
		t.Errorf("status %d, %q, %v", resp.StatusCode, text, resp.Header)
	}
	if event.Path != "/v1/devices/a%2Fb/history" || event.Resource != "/v1/devices/{id}/history" || event.PathParameters["id"] != "a/b" ||
		len(event.MultiQuery["property"]) != 2 || event.Query["property"] != "q" || len(event.MultiHeaders["X-Two"]) != 2 || event.Body != nil || event.RequestContext["stage"] != "prod" {
		t.Errorf("%+v", event)
	}
	ask("POST", "/prod/read", "\x00\xff")
	if event.Body == nil || *event.Body != base64.StdEncoding.EncodeToString([]byte("\x00\xff")) || !event.IsBase64Encoded || event.Method != "POST" {
		t.Errorf("%+v", event)
	}

	for _, c := range []struct {
		method, path, answer string
		status               int
		code                 string
	}{
		{"GET", "/prod/nothing", answer, 404, "not_found"},
		{"GET", "/read", answer, 404, "not_found"},
		{"POST", "/prod/read", "", 502, "unavailable"},
		{"POST", "/prod/read", `{"hello":"world"}`, 502, "unavailable"},
		{"POST", "/prod/read", `{"statusCode":200,"body":"***","isBase64Encoded":true}`, 502, "unavailable"},
	} {
		answer = c.answer
		resp, text := ask(c.method, c.path, "{}")
		if resp.StatusCode != c.status || resp.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(text, `"code":"`+c.code+`"`) {
			t.Errorf("%s %s: status %d: %s", c.method, c.path, resp.StatusCode, text)
		}
	}
	if resp, _ := ask("HEAD", "/prod/healthz", ""); resp.StatusCode != 404 {
		t.Errorf("HEAD: status %d", resp.StatusCode)
	}
}

// The Functions host passes requests on as they came.
func TestFunctionsHost(t *testing.T) {
	var got *http.Request
	program := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	s := httptest.NewServer(functionsHost(program.URL[strings.LastIndexByte(program.URL, ':')+1:]))
	defer s.Close()
	resp, err := http.Get(s.URL + "/v1/devices/a%2Fb/latest?property=p")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	if got.Header.Get("X-Original-URL") != "/v1/devices/a%2Fb/latest?property=p" || got.Header.Get("X-Azure-Functions-InvocationId") == "" || got.URL.RawPath != "/v1/devices/a%2Fb/latest" {
		t.Errorf("%v %v", got.URL, got.Header)
	}
	program.Close()
	if resp, err := http.Get(s.URL + "/healthz"); err != nil || resp.StatusCode != http.StatusBadGateway {
		t.Errorf("%v, %v", resp, err)
	}
}

// files writes a zip.
func files(t *testing.T, name string, all map[string]string) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for file, text := range all {
		w, err := z.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, text)
	}
	if err := errors.Join(z.Close(), os.WriteFile(name, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func tarOf(t *testing.T, all map[string]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for file, text := range all {
		if err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// image writes an OCI image with one program.
func image(t *testing.T, name, entrypoint, program string, damage bool) {
	var layer bytes.Buffer
	z := gzip.NewWriter(&layer)
	_, _ = z.Write(tarOf(t, map[string]string{"etc/passwd": "root", program: "the program"}))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	blob := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		if damage {
			text += " "
		}
		all["blobs/sha256/"+hex.EncodeToString(sum[:])] = text
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	manifest := blob(fmt.Sprintf(`{"config":{"digest":%q},"layers":[{"digest":%q}]}`,
		blob(fmt.Sprintf(`{"config":{"Entrypoint":[%q]}}`, entrypoint)), blob(layer.String())))
	all["index.json"] = fmt.Sprintf(`{"manifests":[{"digest":%q}]}`, manifest)
	if err := os.WriteFile(name, tarOf(t, all), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestUnpack(t *testing.T) {
	const host = `{"customHandler":{"description":{"defaultExecutablePath":%q},"enableForwardingHttpRequest":%v},"extensions":{"http":{"routePrefix":%q}}}`
	for _, c := range []struct {
		name  string
		cloud config.Cloud
		make  func(t *testing.T, file string)
		want  string // in the error; "" = the program is unpacked
	}{
		{"a function of AWS", config.AWS, func(t *testing.T, f string) { files(t, f, map[string]string{"bootstrap": "the program"}) }, ""},
		{"an app", config.Azure, func(t *testing.T, f string) {
			files(t, f, map[string]string{"host.json": fmt.Sprintf(host, "handler", true, ""), "handler": "the program"})
		}, ""},
		{"an image", config.GCP, func(t *testing.T, f string) { image(t, f, "/service", "service", false) }, ""},
		{"nothing", config.AWS, func(*testing.T, string) {}, "is missing; run `make dist`"},
		{"no zip", config.AWS, func(t *testing.T, f string) {
			if err := os.WriteFile(f, []byte("text"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "run `make dist` again"},
		{"no bootstrap", config.AWS, func(t *testing.T, f string) { files(t, f, map[string]string{"main": "x"}) }, "bootstrap"},
		{"another routing", config.Azure, func(t *testing.T, f string) {
			files(t, f, map[string]string{"host.json": fmt.Sprintf(host, "handler", true, "api"), "handler": "x"})
		}, "empty routePrefix"},
		{"no forwarding", config.Azure, func(t *testing.T, f string) {
			files(t, f, map[string]string{"host.json": fmt.Sprintf(host, "handler", false, ""), "handler": "x"})
		}, "enableForwardingHttpRequest"},
		{"a program elsewhere", config.Azure, func(t *testing.T, f string) {
			files(t, f, map[string]string{"host.json": fmt.Sprintf(host, "../../bin/sh", true, "")})
		}, "is no file of the app"},
		{"a damaged image", config.GCP, func(t *testing.T, f string) { image(t, f, "/service", "service", true) }, "missing or damaged"},
		{"an image of something else", config.GCP, func(t *testing.T, f string) { image(t, f, "/service", "other", false) }, "the image has no service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dist, dir := t.TempDir(), t.TempDir()
			name, err := artifact(c.cloud)
			if err != nil {
				if c.cloud == config.GCP && runtime.GOARCH != "amd64" && strings.Contains(err.Error(), "amd64") {
					return // there is no image for this machine, and that is said
				}
				t.Fatal(err)
			}
			c.make(t, filepath.Join(dist, name))
			program, err := unpack(c.cloud, dist, dir)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(program)
			info, serr := os.Stat(program)
			if err != nil || serr != nil || string(text) != "the program" || info.Mode().Perm() != 0o700 || !strings.HasPrefix(program, dir) {
				t.Errorf("%s: %q, %v, %v, %v", program, text, info, err, serr)
			}
		})
	}
}

// All that is missing is told before anything is started or written.
func TestStartTellsAllThatIsMissing(t *testing.T) {
	p := &config.Project{Dir: t.TempDir(), Twin: "t", L3: config.AWS, L4: config.Azure}
	topology, err := deploy.NewTopology(p)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Project: p, Topology: topology, Engines: t.TempDir(), Artifacts: t.TempDir()})
	if hotreader.CodeOf(err) != hotreader.CodeConfig || strings.Count(err.Error(), "make ") != 3 {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(p.Dir, ".hotreader")); err == nil {
		t.Error("something was written")
	}
}

// One process at a time serves a project, and its lock ends with it.
func TestOneServes(t *testing.T) {
	dir := t.TempDir()
	release, err := takeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := takeLock(dir); !errors.Is(err, errServing) {
		t.Errorf("%v", err)
	}
	release()
	if release, err = takeLock(dir); err != nil {
		t.Fatal(err)
	}
	release()
}

// A state file that cannot be read is said to be so, and Destroy removes what a
// process that was killed has left.
func TestStateFile(t *testing.T) {
	project := t.TempDir()
	if err := os.MkdirAll(Dir(project), 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(Dir(project), stateFile)
	if err := os.WriteFile(name, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(project); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), name) {
		t.Errorf("%v", err)
	}
	if err := replace(name, []byte(`{"twin":"t","pid":1,"sides":{"aws":{"region":"eu-central-1"}},"store":{"cloud":"aws","is":"table t"}}`)); err != nil {
		t.Fatal(err)
	}
	s, serving, err := Read(project)
	if err != nil || serving || s.Deployed()[config.AWS].Store != "table t" {
		t.Errorf("%+v, %v, %v", s, serving, err)
	}
	if there, err := Destroy(t.Context(), project); !there || err != nil { // and process 1 is left alone
		t.Errorf("%v, %v", there, err)
	}
	if there, err := Destroy(t.Context(), project); there || err != nil {
		t.Errorf("%v, %v", there, err)
	}
}

// What a stranger has put into a project folder is not written through, and a state
// file that names no process ends none.
func TestStrangersFolder(t *testing.T) {
	for name, link := range map[string]string{"the work folder": ".hotreader", "the target's": ".hotreader/local", "its lock": ".hotreader/local/lock"} {
		dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere")
		if err := errors.Join(os.Mkdir(elsewhere, 0o755), os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o700), os.Symlink(elsewhere, filepath.Join(dir, link))); err != nil {
			t.Fatal(err)
		}
		target := &Target{dir: Dir(dir), o: Options{Project: &config.Project{Dir: dir}}}
		if err := target.folder(); !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "is a symbolic link") {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := Read(dir); !errors.Is(err, hotreader.CodeConfig) {
			t.Errorf("%s is read: %v", name, err)
		}
		info, err := os.Stat(elsewhere)
		left, _ := os.ReadDir(elsewhere)
		if err != nil || info.Mode().Perm() != 0o755 || len(left) > 0 {
			t.Errorf("%s: elsewhere there is %v, %v", name, left, err)
		}
	}
	for _, pid := range []int{-1, 0} {
		dir := t.TempDir()
		if err := os.MkdirAll(Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(Dir(dir), stateFile), fmt.Appendf(nil, `{"pid":%d}`, pid), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(dir); !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "end what runs with ^C") {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}
