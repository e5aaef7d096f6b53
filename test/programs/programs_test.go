// Package programs drives the three clouds' programs as their platforms do: with
// nothing but an environment, an event or a request, and a signal to end. What
// all of them promise is asked of all of them.
package programs

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/function/awslambda"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/test/serving"
	"hotreader/wire"
)

// program is one of the three, as a server of the API.
type program struct {
	name  string
	cloud string            // as DIGITAL_TWIN_INFO says it
	own   map[string]string // where its hot storage would be, which is not reached
	front func(t testing.TB, p *serving.Process) (url string)
	// vault plays its cloud's store of secrets.
	vault func(t testing.TB, value string) (env []string, fetches *atomic.Int64)
	grant string // what reads a secret there
}

var azure = program{
	name: "hotreader-azure", cloud: "azure",
	own: map[string]string{"COSMOS_DB_ENDPOINT": "http://127.0.0.1:1", "COSMOS_DB_KEY": "a2V5", "COSMOS_DB_DATABASE": "factory", "COSMOS_DB_CONTAINER": "hot"},
	front: func(t testing.TB, p *serving.Process) string {
		return serving.Listen(t, serving.FunctionsHost(t, p.URL))
	},
	vault: keyVault, grant: "Key Vault Secrets User",
}

var cloudRun = program{
	name: "hotreader-cloudrun", cloud: "google",
	own:   map[string]string{"GOOGLE_CLOUD_PROJECT": "plant-1", "FIRESTORE_COLLECTION": "hot", "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1"},
	front: func(_ testing.TB, p *serving.Process) string { return p.URL },
	vault: secretManager, grant: "Secret Manager Secret Accessor",
}

var lambda = program{
	name: "hotreader-lambda", cloud: "aws",
	own:   map[string]string{"DYNAMODB_TABLE_NAME": "factory-hot-iot-data", "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"},
	vault: secretsManager, grant: "secretsmanager:GetSecretValue",
}

var (
	servers = []program{azure, cloudRun}
	all     = []program{azure, cloudRun, lambda}
)

// each runs a test for each program.
func each(t *testing.T, programs []program, test func(t *testing.T, p program)) {
	for _, p := range programs {
		t.Run(p.cloud, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// twin is the environment of a twin whose hot storage is peer's, in another
// cloud.
func (p program) twin(peer *serving.Peer) map[string]string {
	l3 := "aws"
	if p.cloud == l3 {
		l3 = "azure"
	}
	return map[string]string{"DIGITAL_TWIN_INFO": serving.Twin(l3, p.cloud), "REMOTE_READER_URL": peer.URL,
		"INTER_CLOUD_TOKEN": serving.Token, "GOOGLE_CLOUD_PROJECT": "plant-1", "HOTREADER_LOG_LEVEL": "debug"}
}

// here is the environment of the program's own hot storage.
func (p program) here(more ...string) map[string]string {
	l4 := "gcp"
	if p.cloud == "google" {
		l4 = "aws"
	}
	return serving.With(p.own, append([]string{"INTER_CLOUD_TOKEN", serving.Token, "DIGITAL_TWIN_INFO", serving.Twin(p.cloud, l4)}, more...)...)
}

// start starts a server; behind is where its callers find it.
func (p program) start(t testing.TB, env map[string]string) (server *serving.Process, behind string) {
	t.Helper()
	server = serving.Start(t, p.name, env).WaitReady(t)
	return server, p.front(t, server)
}

// api starts the program's API and returns where its callers find it.
func (p program) api(t testing.TB, env map[string]string) (url string) {
	t.Helper()
	if p.front == nil {
		return serving.Gateway(t, serving.Function(t, "hot-reader-api", env))
	}
	_, url = p.start(t, env)
	return url
}

// fails wants the program to refuse to start, and returns what it says.
func (p program) fails(t testing.TB, env map[string]string) (said string) {
	t.Helper()
	if p.front == nil {
		return functionFails(t, "hot-reader-api", env).Message
	}
	server := serving.Start(t, p.name, env)
	if code := server.WaitExit(t); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if p.cloud != "google" {
		return server.Log()
	}
	lines := bufio.NewScanner(strings.NewReader(server.Log())) // that Cloud Logging can take apart
	for lines.Scan() {
		var l struct{ Severity, Message string }
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Severity != "ERROR" {
			t.Errorf("%v: %s", err, lines.Text())
		}
		said += l.Message
	}
	return said
}

const latest = "/v1/devices/d/latest?property=temperature"

// read reads n rows of d's temperature from the API at url.
func read(ctx context.Context, url string, client *http.Client, n int) error {
	token, err := identity.Static(serving.Token)
	if err != nil {
		return err
	}
	r, err := remote.New(remote.Options{URL: url, Credential: token, SourceCloud: "aws", Client: client})
	if err != nil {
		return err
	}
	i := 0
	for row, err := range hotreader.NewReader(r).Read(ctx, hotreader.Query{Device: "d", Properties: []string{"temperature"}}) {
		if err != nil {
			return err
		}
		if !row.Time.Equal(serving.At(i)) || row.Values[0].String() != serving.Digits(i) {
			return fmt.Errorf("row %d is %v", i, row)
		}
		i++
	}
	if i != n {
		return fmt.Errorf("%d rows, want %d", i, n)
	}
	return nil
}

func TestTwinReadsAnotherCloud(t *testing.T) {
	const n = 3000
	each(t, servers, func(t *testing.T, p program) {
		peer := serving.NewPeer(t, serving.Token)
		peer.Fill(t, "d", n)
		peer.Fill(t, "halle 3/pumpe é", 1)
		_, url := p.start(t, p.twin(peer))
		if err := read(t.Context(), url, counting(t, new(atomic.Int64)), n); err != nil {
			t.Error(err)
		}
		for _, c := range []struct{ path, want string }{
			{"/v1/devices/d/latest?property=temperature&property=state", `"temperature":` + serving.Digits(n-1) + `,"state":"on"`},
			{"/v1/devices/d/history?property=temperature&start=2023-11-14T22:13:21%2B00:00&limit=1", `[{"time":"2023-11-14T22:13:21.000Z","temperature":` + serving.Digits(1) + `}]`},
			{"/v1/devices/d/history?property=temperature&limit=2&order=desc", serving.Digits(n-2) + `}],"next_token":"`},
			{"/v1/devices/halle%203%2Fpumpe%20%C3%A9/latest?property=temperature", serving.Digits(0)},
			{"/v1/devices/nobody/latest?property=temperature", `{"items":[],"next_token":null,"warnings":[{"code":"unknown_device",`},
			{"/api/v1/label/device/values", `{"status":"success","data":["d","halle 3/pumpe é"]}`},
			{"/api/v1/query?query=temperature%7Bdevice%3D%22d%22%7D&time=1700002999", `"metric":{"__name__":"temperature","device":"d","twin":"factory"},"value":[1700002999,"2999.12345678901`},
			{"/health", `{"status":"ok"}`},
			{"/healthz", `{"status":"ok"}`},
			{"/openapi.json", `"openapi"`},
		} {
			a := serving.Ask(t, url, "GET", c.path, "", serving.Token)
			if a.Status != 200 || !strings.Contains(a.Body, c.want) || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
				t.Errorf("%s: %d %s", c.path, a.Status, a.Body)
			}
		}
		a := serving.Ask(t, url, "GET", "/v1/devices/d/history?property=state", "", serving.Token, "Accept", "text/csv", "Accept-Encoding", "identity")
		if a.Status != 200 || strings.Count(a.Body, "\n") != n+1 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/csv") {
			t.Errorf("%d %.80s", a.Status, a.Body)
		}
		a = serving.Ask(t, url, "POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_devices","arguments":{}}}`, serving.Token,
			"Content-Type", "application/json", "Accept", "application/json, text/event-stream")
		if a.Status != 200 || !strings.Contains(a.Body, "halle 3/pumpe é") {
			t.Errorf("MCP: %d %s", a.Status, a.Body)
		}
		if a := serving.Ask(t, url, "HEAD", "/healthz", "", ""); a.Status != 200 || a.Body != "" {
			t.Errorf("%d %q", a.Status, a.Body)
		}
	})
}

// What the API refuses comes to the caller as the API said it.
func TestRefusalsGoThrough(t *testing.T) {
	each(t, servers, func(t *testing.T, p program) {
		peer := serving.NewPeer(t, serving.Token)
		_, url := p.start(t, p.twin(peer))
		for _, c := range []struct {
			method, path, body, token string
			status                    int
			code                      hotreader.Code
			header                    string
		}{
			{"GET", latest, "", "", 401, hotreader.CodeUnauthenticated, "WWW-Authenticate"},
			{"GET", latest, "", "tökén", 401, hotreader.CodeUnauthenticated, "WWW-Authenticate"},
			{"POST", "/read", "{}", serving.Rotated, 401, hotreader.CodeUnauthenticated, "WWW-Authenticate"},
			{"POST", "/mcp", "{}", serving.Rotated, 401, hotreader.CodeUnauthenticated, "WWW-Authenticate"},
			{"GET", "/", "", "", 401, hotreader.CodeUnauthenticated, "WWW-Authenticate"},
			{"GET", "/nothing/here", "", serving.Token, 404, hotreader.CodeNotFound, ""},
			{"DELETE", "/v1/devices/d/latest", "", serving.Token, 405, hotreader.CodeInvalid, "Allow"},
			{"GET", "/v1/devices/d/latest", "", serving.Token, 400, hotreader.CodeInvalid, ""},
			{"POST", "/read", "{", serving.Token, 400, hotreader.CodeInvalid, ""},
			{"POST", "/read", strings.Repeat("x", 65<<10), serving.Token, 413, hotreader.CodeTooLarge, ""},
		} {
			a := serving.Ask(t, url, c.method, c.path, c.body, c.token, "Content-Type", "application/json")
			var p struct{ Code, TraceID string }
			if err := json.Unmarshal([]byte(a.Body), &p); err != nil || a.Status != c.status || p.Code != string(c.code) ||
				a.Header.Get("Content-Type") != wire.ProblemType || c.header != "" && a.Header.Get(c.header) == "" {
				t.Errorf("%s %s: %d %v %s", c.method, c.path, a.Status, a.Header, a.Body)
			}
		}
		a := serving.Ask(t, url, "GET", "/api/v1/labels", "", "") // Prometheus' clients read another form
		if want := `{"status":"error","errorType":"bad_data","error":"The token is missing or wrong."}`; a.Status != 401 || strings.TrimSpace(a.Body) != want || a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%d %v %s; want %s", a.Status, a.Header, a.Body, want)
		}
		if peer.Calls.Load() != 0 {
			t.Error("the peer was asked")
		}
	})
}

// A browser gets the page for people, without a token; the API's clients never do.
func TestPage(t *testing.T) {
	each(t, servers, func(t *testing.T, p program) {
		_, url := p.start(t, p.here())
		for path, kind := range map[string]string{"/": "text/html", "/page/app.js": "text/javascript"} {
			a := serving.Ask(t, url, "GET", path, "", "", "Accept", "text/html,*/*;q=0.8")
			if a.Status != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), kind) || !strings.HasPrefix(a.Header.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("%s: %d %v", path, a.Status, a.Header)
			}
		}
		if a := serving.Ask(t, url, "GET", "/", "", serving.Token, "Accept", "application/json"); a.Status != 404 || a.Header.Get("Content-Type") != wire.ProblemType {
			t.Errorf("a client of the API gets %d %s", a.Status, a.Body)
		}
	})
}

// The remote API's refusal of our token is not one of the caller's. In the middle
// of a rotation both are taken, and the current one is sent on.
func TestPitfall20TokenOfBothSides(t *testing.T) {
	each(t, servers, func(t *testing.T, p program) {
		peer := serving.NewPeer(t, serving.Rotated)
		peer.Fill(t, "d", 1)
		server, url := p.start(t, p.twin(peer))
		a := serving.Ask(t, url, "GET", latest, "", serving.Token)
		if a.Status != 500 || a.Header.Get("WWW-Authenticate") != "" || !strings.Contains(a.Body, `"config"`) || strings.Contains(a.Body, "127.0.0.1") {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		if code := server.Terminate(t); code != 0 || !strings.Contains(server.Log(), "rejects the token") {
			t.Errorf("the log does not say why:\n%s", server.Log())
		}
		_, url = p.start(t, serving.With(p.twin(peer), "INTER_CLOUD_TOKEN", serving.Rotated+","+serving.Token))
		for _, right := range []string{serving.Token, serving.Rotated} {
			if a := serving.Ask(t, url, "GET", latest, "", right); a.Status != 200 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		}
	})
}

// outages are what a peer may do for long, and what a twin's program is asked
// for: a function's error and that of a server, with so many requests.
var outages = []struct {
	name           string
	ill            http.HandlerFunc
	function, code hotreader.Code
	calls          int64
}{
	{"401", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, hotreader.CodeUnauthenticated, hotreader.CodeConfig, 1},
	{"404", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, hotreader.CodeProtocol, hotreader.CodeProtocol, 1},
	{"redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://example.com/", http.StatusFound)
	}, hotreader.CodeConfig, hotreader.CodeConfig, 1},
	{"a page for people", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>sign in</html>")
	}, hotreader.CodeProtocol, hotreader.CodeProtocol, 1},
	{"an hour's patience", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(429)
	}, hotreader.CodeThrottled, hotreader.CodeThrottled, 1},
	{"outage", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, hotreader.CodeUnavailable, hotreader.CodeUnavailable, 4},
}

// What does not heal is an error, the process lives, and the next query is
// answered.
func TestPitfall02OutageIsAnError(t *testing.T) {
	each(t, all, func(t *testing.T, p program) {
		peer := serving.NewPeer(t, serving.Token)
		peer.Fill(t, "d", 3)
		var history func() (code, body string)
		if p.front == nil {
			f := serving.Function(t, "hot-reader", p.twin(peer))
			history = func() (string, string) {
				body, err := f.Invoke(t.Context(), event("d", serving.AllTime), 20*time.Second)
				if err != nil {
					return failureType(t, err), ""
				}
				return "", string(body)
			}
		} else {
			_, url := p.start(t, p.twin(peer))
			history = func() (string, string) {
				a := serving.Ask(t, url, "GET", "/v1/devices/d/history?property=temperature", "", serving.Token)
				var problem struct{ Code string }
				if err := json.Unmarshal([]byte(a.Body), &problem); err != nil {
					t.Errorf("%v: %s", err, a.Body)
				}
				return problem.Code, a.Body
			}
		}
		for _, c := range outages {
			peer.Calls.Store(0)
			peer.Set(c.ill)
			want := string(c.code)
			if p.front == nil {
				want = awslambda.ErrorType(c.function)
			}
			code, body := history()
			if n := peer.Calls.Load(); code != want || strings.Contains(body, `"items"`) || n != c.calls {
				t.Errorf("%s: %q after %d calls, want %q after %d: %s", c.name, code, n, want, c.calls, body)
			}
		}
		peer.Set(nil)
		if code, body := history(); code != "" || strings.Count(body, `"time"`) != 3 {
			t.Errorf("%s %s", code, body)
		}
	})
}

// SIGTERM: no new connection is taken, what is under way is answered, and the
// program ends well.
func TestDrain(t *testing.T) {
	each(t, servers, func(t *testing.T, p program) {
		peer := serving.NewPeer(t, serving.Token)
		peer.Fill(t, "d", 3)
		asked, release := make(chan struct{}), make(chan struct{})
		peer.SetFor(1, func(w http.ResponseWriter, r *http.Request) {
			close(asked)
			select {
			case <-release:
			case <-r.Context().Done():
			}
			w.WriteHeader(503) // which is retried, also now
		})
		server, _ := p.start(t, p.twin(peer))
		done := make(chan error, 1)
		go func() {
			done <- read(context.WithoutCancel(t.Context()), server.URL, counting(t, new(atomic.Int64)), 3)
		}()
		<-asked
		server.Signal(t, syscall.SIGTERM)
		for { // until it listens no more
			resp, err := http.Get(server.URL + "/healthz")
			if err != nil {
				break
			}
			_ = resp.Body.Close()
		}
		close(release)
		if err := <-done; err != nil {
			t.Errorf("%v\n%s", err, server.Log())
		}
		if code := server.WaitExit(t); code != 0 {
			t.Errorf("exit code %d\n%s", code, server.Log())
		}
	})
}

// The API answers what needs no store while the store is away, and says so for
// the rest, without a word about where the store is.
func TestAPIWithoutItsStore(t *testing.T) {
	each(t, all, func(t *testing.T, p program) {
		url := p.api(t, p.here("INTER_CLOUD_TOKEN", serving.Token+","+serving.Rotated))
		for _, c := range []struct {
			method, path, body, token string
			status                    int
			want                      string
		}{
			{"GET", "/healthz", "", "", 200, `"ok"`},
			{"GET", "/openapi.json", "", "", 200, `"openapi"`},
			{"GET", latest, "", serving.Token, 502, `"unavailable"`},
			{"GET", latest, "", serving.Rotated, 502, `"unavailable"`},
			{"GET", latest, "", "", 401, `"unauthenticated"`},
			{"GET", latest, "", serving.Token + "x", 401, `"unauthenticated"`},
			{"GET", latest, "", serving.Token + "," + serving.Rotated, 401, `"unauthenticated"`},
			{"POST", "/read", strings.Repeat("x", 65<<10), serving.Token, 413, `"too_large"`},
		} {
			a := serving.Ask(t, url, c.method, c.path, c.body, c.token)
			if a.Status != c.status || !strings.Contains(a.Body, c.want) || strings.Contains(a.Body, "127.0.0.1") {
				t.Errorf("%s %s: %d %.300s", c.method, c.path, a.Status, a.Body)
			}
		}
	})
}

// A program names all that is wrong with its environment, and none of its
// secrets.
func TestMissingEnvironment(t *testing.T) {
	each(t, servers, func(t *testing.T, p program) {
		wrong := p.cloud[:3] + "x" + p.cloud[3:]
		said := p.fails(t, map[string]string{"HOTREADER_BURST": "many", "HOTREADER_RATE": "fast", "DIGITAL_TWIN_INFO": serving.Twin(wrong, "aws"), "COSMOS_DB_KEY": "hunter2!"})
		for _, want := range []string{`DIGITAL_TWIN_INFO: config_providers.layer_3_hot_provider "` + wrong + `" is no cloud; did you mean "` + p.cloud + `"?`,
			"INTER_CLOUD_TOKEN: is not set", "HOTREADER_BURST: ", "HOTREADER_RATE: "} {
			if !strings.Contains("\n"+said, "\n"+want) {
				t.Errorf("no line %q in\n%s", want, said)
			}
		}
		if strings.Contains(said, "hunter2") {
			t.Error("the key stands in the log")
		}
	})
}

// A program with a damaged catalogue of devices does not start, and says what to do;
// with a sound one it does.
func TestDamagedCatalogue(t *testing.T) {
	packed, err := catalog.Build([]catalog.Device{{ID: "d"}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sound")
	damaged := file + "-not"
	if err := errors.Join(os.WriteFile(file, packed, 0o600), os.WriteFile(damaged, packed[:len(packed)-1], 0o600)); err != nil {
		t.Fatal(err)
	}
	each(t, all, func(t *testing.T, p program) {
		said := p.fails(t, p.here("HOTREADER_CATALOG", damaged))
		if want := damaged + ": catalogue of devices: it is damaged ("; !strings.Contains(said, want) || !strings.Contains(said, "deploy again") {
			t.Errorf("want %q in\n%s", want, said)
		}
		p.api(t, p.here("HOTREADER_CATALOG", file))
	})
}

func TestPitfall20APIWithoutTokenDoesNotStart(t *testing.T) {
	each(t, all, func(t *testing.T, p program) {
		if said := p.fails(t, p.here("INTER_CLOUD_TOKEN", "")); !strings.Contains(said, "INTER_CLOUD_TOKEN: is not set") {
			t.Error(said)
		}
	})
}

// The token is fetched once from the cloud's store of secrets. Where it cannot be
// read, or is none, the program does not start.
func TestTokenFromTheCloudsSecrets(t *testing.T) {
	each(t, all, func(t *testing.T, p program) {
		env, fetches := p.vault(t, serving.Token)
		url := p.api(t, p.here(env...))
		for _, c := range []struct {
			token string
			want  int
		}{{serving.Token, 400}, {serving.Rotated, 401}, {"", 401}} {
			if a := serving.Ask(t, url, "GET", "/v1/devices/d/latest", "", c.token); a.Status != c.want {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		}
		if n := fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
		for value, want := range map[string]string{"": p.grant, "short": "at least 32"} {
			env, _ := p.vault(t, value)
			if said := p.fails(t, p.here(env...)); !strings.Contains(said, "INTER_CLOUD_TOKEN_SECRET") || !strings.Contains(said, want) {
				t.Error(said)
			}
		}
	})
}

// secretsManager plays AWS Secrets Manager.
func secretsManager(t testing.TB, value string) (env []string, fetches *atomic.Int64) {
	t.Helper()
	fetches = new(atomic.Int64)
	url := serving.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if value == "" {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","message":"no"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"SecretString": value})
	}))
	return []string{"INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:factory-token-AbCdEf",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER", url}, fetches
}

// keyVault plays App Service's identity endpoint and Key Vault.
func keyVault(t testing.TB, value string) (env []string, fetches *atomic.Int64) {
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
	url := serving.Listen(t, mux)
	return []string{"INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", url + "/secrets/token", "IDENTITY_ENDPOINT", url + "/identity", "IDENTITY_HEADER", "id", "AZURE_CLIENT_ID", "me"}, fetches
}

// secretManager plays Google Secret Manager.
func secretManager(t testing.TB, value string) (env []string, fetches *atomic.Int64) {
	t.Helper()
	const name = "projects/plant-1/secrets/token/versions/latest"
	fetches = new(atomic.Int64)
	url := serving.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		if r.URL.Path != "/v1/"+name+":access" || value == "" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"name":"x","payload":{"data":%q,"dataCrc32c":"%d"}}`, base64.StdEncoding.EncodeToString([]byte(value)),
			crc32.Checksum([]byte(value), crc32.MakeTable(crc32.Castagnoli)))
	}))
	return []string{"INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", name, "SECRET_MANAGER_EMULATOR_HOST", strings.TrimPrefix(url, "http://")}, fetches
}
