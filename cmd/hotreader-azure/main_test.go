package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/test/serving"
	"hotreader/wire"
)

var program string

func TestMain(m *testing.M) { serving.Main(m, &program) }

func kind() serving.Kind {
	return serving.Kind{Program: program, Port: "FUNCTIONS_CUSTOMHANDLER_PORT",
		Far: map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("aws", "azure")},
		Here: map[string]string{"INTER_CLOUD_TOKEN": serving.Token, "COSMOS_DB_ENDPOINT": "http://127.0.0.1:1", "COSMOS_DB_KEY": "a2V5",
			"COSMOS_DB_DATABASE": "factory", "COSMOS_DB_CONTAINER": "hot", "DIGITAL_TWIN_INFO": serving.Twin("azure", "gcp")}}
}

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
	decode("app/host.json", &a.Host)
	files, err := filepath.Glob("app/*/function.json")
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

func TestApp(t *testing.T) {
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

// host plays the Functions host, which passes requests on as they came.
type host struct{ handler string }

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	url := h.handler + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		url += "?" + r.URL.RawQuery
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, url, strings.NewReader(string(body)))
	if err != nil {
		panic(err)
	}
	req.Header = r.Header.Clone()
	req.Header.Set("X-Azure-Functions-InvocationId", "11111111-2222-3333-4444-555555555555")
	resp, err := (&http.Transport{DisableCompression: true}).RoundTrip(req)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// behind returns p behind a host.
func behind(t *testing.T, p *serving.Process) *serving.Process {
	t.Helper()
	s := httptest.NewServer(&host{p.URL})
	t.Cleanup(s.Close)
	return &serving.Process{URL: s.URL}
}

func TestTwinReadsAnotherCloud(t *testing.T) {
	const n = 3000
	peer := serving.NewPeer(t, serving.Token)
	peer.Fill(t, "d", n)
	peer.Fill(t, "halle 3/pumpe é", 1)
	p := kind().Twin(t, peer)
	front := behind(t, p)
	if err := serving.Holds(t.Context(), serving.Source(t, front.URL, nil), n); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ path, want string }{
		{"/v1/devices/d/latest?property=temperature&property=state", `"temperature":` + serving.Digits(n-1) + `,"state":"on"`},
		{"/v1/devices/d/history?property=temperature&start=2023-11-14T22:13:21%2B00:00&limit=1", `[{"time":"2023-11-14T22:13:21.000Z","temperature":` + serving.Digits(1) + `}]`},
		{"/v1/devices/halle%203%2Fpumpe%20%C3%A9/latest?property=temperature", serving.Digits(0)},
		{"/v1/devices/nobody/latest?property=temperature", `{"items":[]}`},
		{"/healthz", `{"status":"ok"}`},
		{"/openapi.json", `"openapi"`},
	} {
		a := front.Ask(t, "GET", c.path, "", serving.Token)
		if a.Status != 200 || !strings.Contains(a.Body, c.want) || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: %d %s", c.path, a.Status, a.Body)
		}
	}
	a := front.Ask(t, "GET", "/v1/devices/d/history?property=state", "", serving.Token, "Accept", "text/csv", "Accept-Encoding", "identity")
	if a.Status != 200 || strings.Count(a.Body, "\n") != n+1 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/csv") {
		t.Errorf("%d %.80s", a.Status, a.Body)
	}
	if a := front.Ask(t, "HEAD", "/healthz", "", ""); a.Status != 200 || a.Body != "" {
		t.Errorf("%d %q", a.Status, a.Body)
	}
}

// What the API refuses comes out of the host as the API said it.
func TestRefusalsGoThrough(t *testing.T) {
	peer := serving.NewPeer(t, serving.Token)
	p := kind().Twin(t, peer)
	front := behind(t, p)
	for _, c := range []struct {
		method, path, body, token string
		status                    int
		code                      hotreader.Code
		header                    string
	}{
		{"GET", "/v1/devices/d/latest?property=a", "", "", 401, hotreader.CodeUnauthenticated, "WWW-Authenticate"},
		{"POST", "/read", "{}", serving.Rotated, 401, hotreader.CodeUnauthenticated, "WWW-Authenticate"},
		{"GET", "/", "", "", 401, hotreader.CodeUnauthenticated, "WWW-Authenticate"},
		{"GET", "/nothing/here", "", serving.Token, 404, hotreader.CodeNotFound, ""},
		{"DELETE", "/v1/devices/d/latest", "", serving.Token, 405, hotreader.CodeInvalid, "Allow"},
		{"GET", "/v1/devices/d/latest", "", serving.Token, 400, hotreader.CodeInvalid, ""},
		{"POST", "/read", "{", serving.Token, 400, hotreader.CodeInvalid, ""},
		{"POST", "/read", strings.Repeat("x", 65<<10), serving.Token, 413, hotreader.CodeTooLarge, ""},
	} {
		a := front.Ask(t, c.method, c.path, c.body, c.token, "Content-Type", "application/json")
		var p struct{ Code, TraceID string }
		if err := json.Unmarshal([]byte(a.Body), &p); err != nil || a.Status != c.status || p.Code != string(c.code) ||
			a.Header.Get("Content-Type") != wire.ProblemType || c.header != "" && a.Header.Get(c.header) == "" {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, a.Status, a.Header, a.Body)
		}
	}
	if peer.Calls.Load() != 0 {
		t.Error("the peer was asked")
	}
}

// What the Functions host would post, were requests not forwarded, comes from a
// stranger here: it is refused as any other request without a token is, at once and
// unread, and with one there is nothing at such a path.
func TestDocumentsAreNoWayIn(t *testing.T) {
	peer := serving.NewPeer(t, serving.Token)
	p := kind().Twin(t, peer)
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

func TestDrain(t *testing.T) { kind().Drains(t, nil) }

// Only this machine reaches the handler.
func TestListensOnLoopback(t *testing.T) {
	p := kind().Start(t, kind().Here).WaitReady(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(p.URL, "http://"), ":")
	for _, other := range []string{"127.0.0.2", "[::1]"} { // with ":port" they would be reached
		if resp, err := http.Get("http://" + other + ":" + port + "/healthz"); err == nil {
			_ = resp.Body.Close()
			t.Errorf("it is reached at %s", other)
		}
	}
}

func TestAPIWithoutItsStore(t *testing.T) { kind().WithoutItsStore(t) }

func TestMissingEnvironment(t *testing.T) {
	p := kind().Start(t, map[string]string{"HOTREADER_RATE": "fast", "DIGITAL_TWIN_INFO": serving.Twin("azrue", "aws"), "COSMOS_DB_KEY": "hunter2!"})
	if code := p.WaitExit(t); code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{`DIGITAL_TWIN_INFO: config_providers.layer_3_hot_provider "azrue" is no cloud; did you mean "azure"?`, "INTER_CLOUD_TOKEN: is not set", "HOTREADER_RATE: "} {
		if !strings.Contains("\n"+p.Log(), "\n"+want) {
			t.Errorf("no line %q in\n%s", want, p.Log())
		}
	}
	if strings.Contains(p.Log(), "hunter2") {
		t.Error("the key stands in the log")
	}
}

// vault plays App Service's identity endpoint and Key Vault.
func vault(t *testing.T, value string) (env []string, fetches *atomic.Int64) {
	t.Helper()
	fetches = new(atomic.Int64)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /identity", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Identity-Header") != "id" || r.URL.Query().Get("resource") != "https://vault.azure.net" || r.URL.Query().Get("client_id") != "me" {
			w.WriteHeader(400)
			return
		}
		_, _ = fmt.Fprintf(w, `{"access_token":"entra","expires_on":"%d","resource":"https://vault.azure.net","token_type":"Bearer"}`, time.Now().Add(time.Hour).Unix())
	})
	mux.HandleFunc("GET /secrets/token", func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		if r.Header.Get("Authorization") != "Bearer entra" || value == "" {
			w.WriteHeader(403)
			_, _ = io.WriteString(w, `{"error":{"code":"Forbidden","message":"Caller is not authorized to perform action on resource."}}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"value":%q,"id":"x"}`, value)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return []string{"INTER_CLOUD_TOKEN_SECRET", s.URL + "/secrets/token", "IDENTITY_ENDPOINT", s.URL + "/identity", "IDENTITY_HEADER", "id", "AZURE_CLIENT_ID", "me"}, fetches
}

func TestTokenFromKeyVault(t *testing.T) { kind().TakesTokenFrom(t, vault, "Key Vault Secrets User") }
