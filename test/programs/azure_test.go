package programs

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/test/serving"
)

// app is a function app as its files describe it.
type app struct {
	Host struct {
		Version       string
		CustomHandler struct {
			Description struct{ DefaultExecutablePath string }
			Forward     bool `json:"enableForwardingHttpRequest"`
		}
		Extensions struct{ HTTP struct{ RoutePrefix *string } }
	}
	routes map[string]string // function -> route
}

func readApp(t *testing.T) *app {
	t.Helper()
	decode := func(file string, into any) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	a := &app{routes: map[string]string{}}
	decode("../../cmd/hotreader-azure/app/host.json", &a.Host)
	files, err := filepath.Glob("../../cmd/hotreader-azure/app/*/function.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var f struct {
			Bindings []struct {
				Type, Direction, Name, AuthLevel, Route string
				Methods                                 []string
			}
		}
		decode(file, &f)
		if len(f.Bindings) != 2 {
			t.Fatalf("%s has %d bindings", file, len(f.Bindings))
		}
		in, out := f.Bindings[0], f.Bindings[1]
		if in.Type != "httpTrigger" || in.Direction != "in" || in.Name != "req" || in.AuthLevel != "anonymous" ||
			out.Type != "http" || out.Direction != "out" || out.Name != "res" {
			t.Errorf("%s: %+v", file, f.Bindings)
		}
		a.routes[filepath.Base(filepath.Dir(file))] = in.Route
	}
	return a
}

func TestAzureApp(t *testing.T) {
	t.Parallel()
	a := readApp(t)
	if a.Host.Version != "2.0" || !a.Host.CustomHandler.Forward || a.Host.CustomHandler.Description.DefaultExecutablePath != "hotreader-azure" ||
		a.Host.Extensions.HTTP.RoutePrefix == nil || *a.Host.Extensions.HTTP.RoutePrefix != "" {
		t.Errorf("%+v", a.Host)
	}
	want := map[string]string{string(config.History): "v1/devices/{id}/history", string(config.LastEntry): "v1/devices/{id}/latest", string(config.API): "{*path}"}
	if fmt.Sprint(a.routes) != fmt.Sprint(want) {
		t.Errorf("routes %v", a.routes)
	}
}

// What the Functions host would post, were requests not forwarded, comes from a
// stranger here: it is refused as any other request without a token is, at once and
// unread, and with one there is nothing at such a path.
func TestDocumentsAreNoWayIn(t *testing.T) {
	t.Parallel()
	peer := serving.NewPeer(t, serving.Token)
	p, _ := azure.start(t, azure.twin(peer))
	for _, role := range []config.Role{config.History, config.LastEntry, config.API} {
		const inner = `{"Data":{"req":{"Url":"http://x/v1/devices/d/latest?property=temperature","Method":"GET","Headers":{"Authorization":["Bearer ` + serving.Token + `"],"X-Forwarded-For":["192.0.2.1"]}}},"Metadata":{}}`
		for _, c := range []struct {
			token string
			want  int
		}{{"", 401}, {serving.Rotated, 401}, {serving.Token, 404}} {
			if a := p.Ask(t, "POST", "/"+string(role), inner, c.token, "Content-Type", "application/json"); a.Status != c.want || strings.Contains(a.Body, "Outputs") {
				t.Errorf("%s: %d %s", role, a.Status, a.Body)
			}
		}
		c, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		_, err = fmt.Fprintf(c, "POST /%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{", role)
		answer := make([]byte, 12)
		if _, rerr := io.ReadFull(c, answer); err != nil || rerr != nil || string(answer) != "HTTP/1.1 401" {
			t.Errorf("%s, the body on its way: %q %v %v", role, answer, err, rerr)
		}
		_ = c.Close()
	}
	if peer.Calls.Load() != 0 {
		t.Error("the peer was asked")
	}
}

// Only this machine reaches the handler.
func TestListensOnLoopback(t *testing.T) {
	t.Parallel()
	p, _ := azure.start(t, azure.here())
	_, port, _ := strings.Cut(strings.TrimPrefix(p.URL, "http://"), ":")
	for _, other := range []string{"127.0.0.2", "[::1]"} { // with ":port" they would be reached
		if resp, err := http.Get("http://" + other + ":" + port + "/healthz"); err == nil {
			_ = resp.Body.Close()
			t.Errorf("it is reached at %s", other)
		}
	}
}

// counting returns a client that counts its requests.
func counting(t testing.TB, count *atomic.Int64) *http.Client {
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: counted{transport, count}}
}

type counted struct {
	http.RoundTripper
	n *atomic.Int64
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

// One answer carries more than the 32 MB that Cloud Run lets an answer have that
// is not streamed; JSON stays within its bound.
func TestStreamBeyond32MB(t *testing.T) {
	t.Parallel()
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
	p, _ := cloudRun.start(t, cloudRun.twin(peer))
	token, err := identity.Static(serving.Token)
	if err != nil {
		t.Fatal(err)
	}
	requests := new(atomic.Int64)
	source, err := remote.New(remote.Options{URL: p.URL, Credential: token, SourceCloud: "aws", Client: counting(t, requests)})
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for row, err := range hotreader.NewReader(source).Read(t.Context(), hotreader.Query{Device: "d", Properties: names}) {
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
	if a.Status != 200 || len(a.Body) > 8<<20 || !strings.Contains(a.Body, `"next_token":"`) {
		t.Errorf("%d, %d bytes", a.Status, len(a.Body))
	}
	p.Terminate(t)
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

// Cloud Logging gets lines that it can take apart, with the trace that came in;
// the remote API gets the same trace.
func TestLogAndTrace(t *testing.T) {
	t.Parallel()
	peer := serving.NewPeer(t, serving.Token)
	peer.Fill(t, "d", 1)
	p, _ := cloudRun.start(t, cloudRun.twin(peer))
	const trace, other = "105445aa7843bc8bf206b12000100000", "0af7651916cd43dd8448eb211c80319c"
	p.Ask(t, "GET", latest, "", serving.Token, "X-Cloud-Trace-Context", trace+"/1;o=1")
	p.Ask(t, "GET", latest, "", serving.Token, "X-Cloud-Trace-Context", trace+"/1;o=1", "Traceparent", "00-"+other+"-b7ad6b7169203331-01")
	if code := p.Terminate(t); code != 0 {
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
