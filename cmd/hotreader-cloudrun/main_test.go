package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/test/serving"
)

var program string

func TestMain(m *testing.M) { serving.Main(m, &program) }

func kind() serving.Kind {
	return serving.Kind{Program: program, Port: "PORT",
		Far: map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("aws", "google"), "GOOGLE_CLOUD_PROJECT": "plant-1", "HOTREADER_LOG_LEVEL": "debug"},
		Here: map[string]string{"INTER_CLOUD_TOKEN": serving.Token, "GOOGLE_CLOUD_PROJECT": "plant-1", "FIRESTORE_COLLECTION": "hot",
			"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "DIGITAL_TWIN_INFO": serving.Twin("gcp", "aws")}}
}

// client speaks HTTP/1.1, or HTTP/2 without TLS if h2, and counts its requests.
func client(t *testing.T, h2 bool, count *atomic.Int64) *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!h2)
	transport.Protocols.SetUnencryptedHTTP2(h2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: counting{transport, count, h2, t}}
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
	p := kind().Twin(t, peer)
	for _, h2 := range []bool{false, true} {
		if err := serving.Holds(t.Context(), serving.Source(t, p.URL, client(t, h2, new(atomic.Int64))), n); err != nil {
			t.Errorf("h2 %v: %v", h2, err)
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
	p := kind().Twin(t, peer)
	requests := new(atomic.Int64)
	i := 0
	for row, err := range hotreader.NewReader(serving.Source(t, p.URL, client(t, true, requests))).Read(t.Context(), hotreader.Query{Device: "d", Properties: names}) {
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
	p := kind().Twin(t, peer)
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
	p = kind().Start(t, serving.With(kind().Far, "REMOTE_READER_URL", peer.URL, "INTER_CLOUD_TOKEN", serving.Rotated+","+serving.Token)).WaitReady(t)
	for _, right := range []string{serving.Token, serving.Rotated} {
		if a := p.Ask(t, "GET", path, "", right); a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
}

func TestPitfall02OutageIsAnError(t *testing.T) {
	peer := serving.NewPeer(t, serving.Token)
	peer.Fill(t, "d", 3)
	p := kind().Twin(t, peer)
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
	p := kind().Twin(t, peer)
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

func TestDrain(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		kind().Drains(t, client(t, h2, new(atomic.Int64)))
	}
}

func TestAPIWithoutItsStore(t *testing.T) { kind().WithoutItsStore(t) }

// fails waits for the program to refuse to start, and returns what it says.
func fails(t *testing.T, env map[string]string) string {
	t.Helper()
	p := kind().Start(t, env)
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
func secrets(t *testing.T, value string) (env []string, fetches *atomic.Int64) {
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
	return []string{"INTER_CLOUD_TOKEN_SECRET", "projects/plant-1/secrets/token/versions/latest", "SECRET_MANAGER_EMULATOR_HOST", strings.TrimPrefix(s.URL, "http://")}, fetches
}

func TestTokenFromSecretManager(t *testing.T) {
	kind().TakesTokenFrom(t, secrets, "Secret Manager Secret Accessor")
}
