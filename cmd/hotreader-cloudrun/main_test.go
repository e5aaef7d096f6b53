package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/remote"
	"hotreader/secret"
	"hotreader/test/serving"
)

var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "hotreader-cloudrun-")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if program, err = serving.Build(dir); err != nil {
			log.Fatal(err)
		}
		return m.Run()
	}())
}

// far is the environment of a twin on Google Cloud whose hot storage is peer's.
func far(peer *serving.Peer) map[string]string {
	return map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("aws", "google"), "REMOTE_READER_URL": peer.URL,
		"INTER_CLOUD_TOKEN": serving.Token, "GOOGLE_CLOUD_PROJECT": "plant-1", "HOTREADER_LOG_LEVEL": "debug"}
}

func start(t testing.TB, env map[string]string) *serving.Process {
	t.Helper()
	return serving.Start(t, program, "PORT", env)
}

// reader returns a Reader of the program, over HTTP/2 without TLS if h2.
func reader(t *testing.T, p *serving.Process, h2 bool, count *atomic.Int64) hotreader.Source {
	t.Helper()
	token, err := secret.Static(serving.Token)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!h2)
	transport.Protocols.SetUnencryptedHTTP2(h2)
	t.Cleanup(transport.CloseIdleConnections)
	r, err := remote.New(remote.Options{URL: p.URL, Token: token, SourceCloud: "aws", Client: &http.Client{Transport: counting{transport, count, h2, t}}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type counting struct {
	http.RoundTripper
	n  *atomic.Int64
	h2 bool
	t  *testing.T
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil && (resp.ProtoMajor == 2) != c.h2 {
		c.t.Errorf("spoken is %s", resp.Proto)
	}
	return resp, err
}

func TestTwinReadsAnotherCloud(t *testing.T) {
	const n = 3000
	peer := serving.NewPeer(t, serving.Token)
	peer.Fill(t, "d", n)
	p := start(t, far(peer)).WaitReady(t)
	for _, h2 := range []bool{false, true} {
		i := 0
		for row, err := range hotreader.NewReader(reader(t, p, h2, new(atomic.Int64))).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"temperature"}}) {
			if err != nil {
				t.Fatal(err)
			}
			if !row.Time.Equal(serving.At(i)) || row.Values[0].String() != serving.Digits(i) {
				t.Fatalf("row %d is %v", i, row)
			}
			i++
		}
		if i != n {
			t.Errorf("h2 %v: %d rows, want %d", h2, i, n)
		}
	}
	a := p.Ask(t, "GET", "/v1/devices/d/latest?property=temperature", "", serving.Token)
	if a.Status != 200 || !strings.Contains(a.Body, `"temperature":`+serving.Digits(n-1)) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	a = p.Ask(t, "GET", "/v1/devices/d/history?property=temperature&limit=2&order=desc", "", serving.Token)
	if a.Status != 200 || !strings.Contains(a.Body, serving.Digits(n-2)) || !strings.Contains(a.Body, "next_token") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	a = p.Ask(t, "GET", "/v1/devices/nobody/latest?property=temperature", "", serving.Token)
	if a.Status != 200 || strings.TrimSpace(a.Body) != `{"items":[]}` {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// One answer carries more than the 32 MB that Cloud Run lets an answer have that
// is not streamed; JSON stays within its bound.
func TestStreamBeyond32MB(t *testing.T) {
	const rows, columns, width = 20_000, 10, 250 // of 50 MB of base64 zstd makes three quarters
	peer := serving.NewPeer(t, serving.Token)
	random := rand.NewChaCha8([32]byte{1})
	text := make([]byte, rows*columns*width*3/4)
	_, _ = random.Read(text) // it cannot fail
	text = []byte(base64.StdEncoding.EncodeToString(text))
	var names []string
	for c := range columns {
		names = append(names, fmt.Sprintf("p%d", c))
	}
	records := make([]hotreader.Record, rows)
	for i := range records {
		records[i].Time = serving.At(i)
		for c, name := range names {
			from := (i*columns + c) * width
			records[i].Fields = append(records[i].Fields, hotreader.Field{Name: name, Value: hotreader.StringValue(text[from : from+width])})
		}
	}
	if err := peer.Store.Write(t.Context(), "d", records); err != nil {
		t.Fatal(err)
	}
	p := start(t, far(peer)).WaitReady(t)
	requests := new(atomic.Int64)
	i := 0
	for row, err := range hotreader.NewReader(reader(t, p, true, requests)).Read(t.Context(), hotreader.Query{Device: "d", Properties: names}) {
		if err != nil {
			t.Fatal(err)
		}
		if want := records[i].Fields[columns-1].Value; string(row.Values[columns-1].Text()) != string(want.Text()) {
			t.Fatalf("row %d is %v", i, row)
		}
		i++
	}
	if i != rows || requests.Load() != 1 {
		t.Errorf("%d rows in %d answers, want %d in one", i, requests.Load(), rows)
	}
	a := p.Ask(t, "GET", "/v1/devices/d/history?property="+strings.Join(names, "&property="), "", serving.Token)
	if a.Status != 200 || len(a.Body) > 8<<20 || !strings.Contains(a.Body, "next_token") {
		t.Errorf("%d, %d bytes", a.Status, len(a.Body))
	}
	p.Terminate(t)
	p.WaitExit(t)
	var most int64
	for line := range strings.Lines(p.Log()) {
		var sent struct{ Bytes int64 }
		if err := json.Unmarshal([]byte(line), &sent); err != nil {
			t.Fatal(err)
		}
		most = max(most, sent.Bytes)
	}
	if most < 32<<20 {
		t.Errorf("an answer of %d bytes shows nothing", most)
	}
}

// The remote API's refusal of our token is not one of the caller's.
func TestPitfall20TokenOfBothSides(t *testing.T) {
	peer := serving.NewPeer(t, serving.Rotated)
	peer.Fill(t, "d", 1)
	const path = "/v1/devices/d/latest?property=temperature"
	p := start(t, far(peer)).WaitReady(t)
	for _, wrong := range []string{"", serving.Rotated, "tökén"} {
		a := p.Ask(t, "GET", path, "", wrong)
		if a.Status != 401 || a.Header.Get("WWW-Authenticate") == "" || !strings.Contains(a.Body, `"unauthenticated"`) {
			t.Errorf("token %q: %d %s", wrong, a.Status, a.Body)
		}
	}
	if peer.Calls.Load() != 0 {
		t.Error("the remote API was asked for somebody without the token")
	}
	a := p.Ask(t, "GET", path, "", serving.Token)
	if a.Status != 500 || a.Header.Get("WWW-Authenticate") != "" || !strings.Contains(a.Body, `"config"`) || strings.Contains(a.Body, "127.0.0.1") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	p.Terminate(t)
	if code := p.WaitExit(t); code != 0 || !strings.Contains(p.Log(), "refuses the token") {
		t.Errorf("the log does not say why:\n%s", p.Log())
	}

	// In the middle of a rotation both are taken, and the current one is sent on.
	env := far(peer)
	env["INTER_CLOUD_TOKEN"] = serving.Rotated + "," + serving.Token
	p = start(t, env).WaitReady(t)
	for _, right := range []string{serving.Token, serving.Rotated} {
		if a := p.Ask(t, "GET", path, "", right); a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
}

func TestPitfall02OutageIsAnError(t *testing.T) {
	peer := serving.NewPeer(t, serving.Token)
	peer.Fill(t, "d", 3)
	p := start(t, far(peer)).WaitReady(t)
	for _, c := range []struct {
		name   string
		ill    http.HandlerFunc
		status int
		calls  int64
	}{
		{"a page for people", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>sign in</html>")
		}, 502, 1},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://example.com/", http.StatusFound)
		}, 500, 1},
		{"outage", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, 502, 4},
	} {
		peer.Calls.Store(0)
		peer.Set(c.ill)
		a := p.Ask(t, "GET", "/v1/devices/d/history?property=temperature", "", serving.Token)
		if a.Status != c.status || strings.Contains(a.Body, `"items"`) || peer.Calls.Load() != c.calls {
			t.Errorf("%s: %d %s after %d calls", c.name, a.Status, a.Body, peer.Calls.Load())
		}
	}
	peer.Set(nil)
	if a := p.Ask(t, "GET", "/v1/devices/d/history?property=temperature", "", serving.Token); a.Status != 200 || strings.Count(a.Body, `"time"`) != 3 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// Cloud Logging gets lines that it can take apart, with the trace that came in;
// the remote API gets the same trace.
func TestLogAndTrace(t *testing.T) {
	peer := serving.NewPeer(t, serving.Token)
	peer.Fill(t, "d", 1)
	p := start(t, far(peer)).WaitReady(t)
	const trace, other = "105445aa7843bc8bf206b12000100000", "0af7651916cd43dd8448eb211c80319c"
	const path = "/v1/devices/d/latest?property=temperature"
	p.Ask(t, "GET", path, "", serving.Token, "X-Cloud-Trace-Context", trace+"/1;o=1")
	p.Ask(t, "GET", path, "", serving.Token, "X-Cloud-Trace-Context", trace+"/1;o=1", "Traceparent", "00-"+other+"-b7ad6b7169203331-01")
	p.Terminate(t)
	if code := p.WaitExit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	var seen []string
	for line := range strings.Lines(p.Log()) {
		var l struct {
			Severity, Message, Time, Status string
			Trace                           string `json:"logging.googleapis.com/trace"`
		}
		d := json.NewDecoder(strings.NewReader(line))
		err := d.Decode(&l)
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !ok {
			t.Fatalf("%v: %s", err, line)
		}
		if _, err := time.Parse(time.RFC3339Nano, l.Time); err != nil || l.Severity != "INFO" || l.Message != "request" {
			t.Errorf("%s", line)
		}
		seen = append(seen, l.Trace)
	}
	if len(seen) != 2 || seen[0] != "projects/plant-1/traces/"+trace || seen[1] != "projects/plant-1/traces/"+other {
		t.Errorf("traces %v", seen)
	}
	if sent := peer.Traces(); len(sent) != 2 || !strings.HasPrefix(sent[0], "00-"+trace+"-") || !strings.HasPrefix(sent[1], "00-"+other+"-") {
		t.Errorf("traces sent on %v", sent)
	}
}

// SIGTERM: no new connection is taken, what is under way is answered, and the
// program ends well.
func TestDrain(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		peer := serving.NewPeer(t, serving.Token)
		peer.Fill(t, "d", 3)
		asked, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		peer.Set(func(w http.ResponseWriter, r *http.Request) {
			once.Do(func() { close(asked) })
			select {
			case <-release:
			case <-r.Context().Done():
			}
			peer.Set(nil)
			w.WriteHeader(503) // which is retried, also now
		})
		p := start(t, far(peer)).WaitReady(t)
		done := make(chan error, 1)
		go func() {
			n := 0
			for _, err := range hotreader.NewReader(reader(t, p, h2, new(atomic.Int64))).Read(context.Background(), hotreader.Query{Device: "d", Properties: []string{"temperature"}}) {
				if err != nil {
					done <- err
					return
				}
				n++
			}
			if n != 3 {
				done <- fmt.Errorf("%d rows", n)
				return
			}
			done <- nil
		}()
		<-asked
		p.Terminate(t)
		for { // until it listens no more
			resp, err := http.Get(p.URL + "/healthz")
			if err != nil {
				break
			}
			_ = resp.Body.Close()
		}
		close(release)
		if err := <-done; err != nil {
			t.Errorf("h2 %v: %v\n%s", h2, err, p.Log())
		}
		if code := p.WaitExit(t); code != 0 {
			t.Errorf("h2 %v: exit code %d\n%s", h2, code, p.Log())
		}
	}
}

func here(more ...string) map[string]string {
	env := map[string]string{"INTER_CLOUD_TOKEN": serving.Token, "GOOGLE_CLOUD_PROJECT": "plant-1", "FIRESTORE_COLLECTION": "hot",
		"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "DIGITAL_TWIN_INFO": serving.Twin("gcp", "aws")}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

// The API answers what needs no store while the store is away, and says so for
// the rest, without a word about where the store is.
func TestAPIWithoutItsStore(t *testing.T) {
	p := start(t, here()).WaitReady(t)
	if a := p.Ask(t, "GET", "/healthz", "", ""); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := p.Ask(t, "GET", "/openapi.json", "", ""); a.Status != 200 || !strings.Contains(a.Body, `"openapi"`) {
		t.Errorf("%d %.100s", a.Status, a.Body)
	}
	a := p.Ask(t, "GET", "/v1/devices/d/latest?property=temperature", "", serving.Token)
	if a.Status != 502 || !strings.Contains(a.Body, `"unavailable"`) || strings.Contains(a.Body, "127.0.0.1") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := p.Ask(t, "POST", "/read", strings.Repeat("x", 65<<10), serving.Token, "Content-Type", "application/json"); a.Status != 413 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// fails waits for the program to refuse to start, and returns what it says.
func fails(t *testing.T, env map[string]string) string {
	t.Helper()
	p := start(t, env)
	if code := p.WaitExit(t); code != 1 {
		t.Errorf("exit code %d", code)
	}
	var message strings.Builder
	lines := bufio.NewScanner(strings.NewReader(p.Log()))
	for lines.Scan() {
		var l struct{ Severity, Message string }
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Severity != "ERROR" {
			t.Errorf("%v: %s", err, lines.Text())
		}
		message.WriteString(l.Message)
	}
	return message.String()
}

func TestMissingEnvironment(t *testing.T) {
	said := fails(t, map[string]string{"HOTREADER_BURST": "many", "DIGITAL_TWIN_INFO": serving.Twin("gpc", "aws")})
	for _, want := range []string{`DIGITAL_TWIN_INFO: config_providers.layer_3_hot_provider "gpc" is no cloud; did you mean "gcp"?`, "INTER_CLOUD_TOKEN: is not set", "HOTREADER_BURST: "} {
		if !strings.Contains("\n"+said, "\n"+want) {
			t.Errorf("no line %q in\n%s", want, said)
		}
	}
}

// secrets plays Google Secret Manager.
func secrets(t *testing.T, value string) (host string, fetches *atomic.Int64) {
	t.Helper()
	fetches = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		if r.URL.Path != "/v1/projects/plant-1/secrets/token/versions/latest:access" || value == "" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"name":"x","payload":{"data":%q,"dataCrc32c":"%d"}}`, base64.StdEncoding.EncodeToString([]byte(value)),
			crc32.Checksum([]byte(value), crc32.MakeTable(crc32.Castagnoli)))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), fetches
}

func TestTokenFromSecretManager(t *testing.T) {
	const name = "projects/plant-1/secrets/token/versions/latest"
	host, fetches := secrets(t, serving.Token)
	p := start(t, here("INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", name, "SECRET_MANAGER_EMULATOR_HOST", host)).WaitReady(t)
	for _, c := range []struct {
		token string
		want  int
	}{{serving.Token, 400}, {serving.Rotated, 401}, {"", 401}} {
		if a := p.Ask(t, "GET", "/v1/devices/d/latest", "", c.token); a.Status != c.want {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	if n := fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	for value, want := range map[string]string{"": "Secret Manager Secret Accessor", "short": "at least 32"} {
		host, _ := secrets(t, value)
		said := fails(t, here("INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", name, "SECRET_MANAGER_EMULATOR_HOST", host))
		if !strings.Contains(said, "INTER_CLOUD_TOKEN_SECRET") || !strings.Contains(said, want) {
			t.Errorf("%s", said)
		}
	}
}
