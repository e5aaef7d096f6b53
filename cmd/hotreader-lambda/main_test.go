package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/test/runtimeapi"
	"hotreader/test/serving"
)

const (
	token   = serving.Token
	rotated = serving.Rotated
)

// program is the built bootstrap, as `make dist` builds it.
var program string

func TestMain(m *testing.M) { serving.Main(m, &program) }

func remoteEnv(url string) map[string]string {
	return map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("azure", "aws"), "REMOTE_READER_URL": url,
		"INTER_CLOUD_TOKEN": token, "HOTREADER_LOG_LEVEL": "debug"}
}

// start starts the bootstrap, and checks at the end that it has told nobody the
// token.
func start(t *testing.T, handler string, env map[string]string) *runtimeapi.Function {
	t.Helper()
	f := runtimeapi.Start(t, program, handler, env)
	t.Cleanup(func() {
		if out := f.Log(); strings.Contains(out, token) || strings.Contains(out, rotated) {
			t.Errorf("the token stands in the log:\n%s", out)
		}
	})
	return f
}

const allTime = `,"startTime":"2020-01-01T00:00:00Z","endTime":"2030-01-01T00:00:00Z"`

// event is TwinMaker's, for entity e and component c, whose type names device.
func event(device, more string) []byte {
	return []byte(`{"workspaceId":"w","entityId":"e","componentName":"c","componentTypeId":"factory-` + device + `",
		"selectedProperties":["temperature"],"properties":{"temperature":{"definition":{"dataType":{"type":"DOUBLE"}}},
		"state":{"definition":{"dataType":{"type":"STRING"}}}}` + more + `}`)
}

type answer struct {
	PropertyValues []struct {
		Values []struct {
			Time  string
			Value struct{ DoubleValue json.Number }
		}
	}
	NextToken *string
}

func invoke(t *testing.T, f *runtimeapi.Function, event []byte) (answer, error) {
	t.Helper()
	body, err := f.Invoke(t.Context(), event, 20*time.Second)
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatalf("%v: %.300s", err, body)
	}
	if len(a.PropertyValues) != 1 {
		t.Fatalf("not one property: %.300s", body)
	}
	return a, nil
}

// check compares an answer with rows from to to.
func check(t *testing.T, a answer, from, to int) {
	t.Helper()
	values := a.PropertyValues[0].Values
	if len(values) != to-from {
		t.Fatalf("%d values, want %d", len(values), to-from)
	}
	for i, v := range values {
		when, err := hotreader.ParseTime([]byte(v.Time))
		if err != nil || !when.Equal(serving.At(from+i)) || v.Value.DoubleValue.String() != serving.Digits(from+i) {
			t.Fatalf("value %d is %+v, %v", from+i, v, err)
		}
	}
}

func failureType(t *testing.T, err error) string {
	t.Helper()
	f, ok := errors.AsType[*runtimeapi.Failure](err)
	if !ok {
		t.Fatalf("%v is no function error", err)
	}
	if strings.Contains(f.Message, "127.0.0.1") || strings.Contains(f.Message, token) {
		t.Errorf("%q shows the inside", f.Message)
	}
	return f.Type
}

func TestTwinReadsAnotherCloud(t *testing.T) {
	const n = 5000
	for name, jsonOnly := range map[string]bool{"rows": false, "an old peer's JSON": true} {
		t.Run(name, func(t *testing.T) {
			p := serving.PeerOf(t, token, httpapi.Options{NoRows: jsonOnly})
			p.Fill(t, "d", n)
			f := start(t, "hot-reader", remoteEnv(p.URL))
			a, err := invoke(t, f, event("d", allTime))
			if err != nil {
				t.Fatal(err)
			}
			check(t, a, 0, n)
			if a.NextToken != nil {
				t.Error("a token behind the last page")
			}

			more := allTime + `,"maxResults":1700`
			for from := 0; from < n; from += 1700 {
				if a, err = invoke(t, f, event("d", more)); err != nil {
					t.Fatal(err)
				}
				check(t, a, from, min(from+1700, n))
				if (a.NextToken == nil) != (from+1700 >= n) {
					t.Fatalf("next token %v behind row %d", a.NextToken, from+1700)
				}
				if a.NextToken != nil {
					more = allTime + `,"maxResults":1700,"nextToken":"` + *a.NextToken + `"`
				}
			}

			last := start(t, "hot-reader-last-entry", remoteEnv(p.URL))
			body, err := last.Invoke(t.Context(), event("d", ""), 20*time.Second)
			if err != nil || !strings.Contains(string(body), `"propertyValue":{"doubleValue":`+serving.Digits(n-1)+`}`) {
				t.Errorf("%s, %v", body, err)
			}
		})
	}
}

// A device that is not known has no values, and that is no failure.
func TestUnknownDeviceIsEmpty(t *testing.T) {
	f := start(t, "hot-reader", remoteEnv(serving.NewPeer(t, token).URL))
	a, err := invoke(t, f, event("nobody", allTime))
	if err != nil {
		t.Fatal(err)
	}
	check(t, a, 0, 0)
}

// The three ways in which events name a device end at the same rows, without a
// call to TwinMaker where the event is enough.
func TestPitfall09DeviceIsFoundOneWay(t *testing.T) {
	p := serving.NewPeer(t, token)
	p.Fill(t, "machine/1", 3)
	var lookups atomic.Int64
	twinmaker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lookups.Add(1)
		if r.URL.Path != "/workspaces/w/entities/e" {
			w.WriteHeader(404)
			return
		}
		io.WriteString(w, `{"entityId":"e","workspaceId":"w","components":{"c":{"componentTypeId":"com.example.machine","properties":{
			"serial":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true},"value":{"stringValue":"machine/1"}}}}}}`)
	}))
	defer twinmaker.Close()
	f := start(t, "hot-reader", serving.With(remoteEnv(p.URL), "AWS_ENDPOINT_URL_IOTTWINMAKER", twinmaker.URL))
	external := `"properties":{"serial":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true},"value":{"stringValue":"machine/1"}},`
	for _, c := range []struct {
		name    string
		event   []byte
		lookups int64
	}{
		{"component type", event("machine/1", allTime), 0},
		{"external id", []byte(strings.Replace(string(event("other", allTime)), `"properties":{`, external, 1)), 0},
		{"GetEntity", []byte(strings.Replace(string(event("x", allTime)), `factory-x`, `com.example.machine`, 1)), 1},
		{"GetEntity, remembered", []byte(strings.Replace(string(event("x", allTime)), `factory-x`, `com.example.machine`, 1)), 1},
	} {
		a, err := invoke(t, f, c.event)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		check(t, a, 0, 3)
		if n := lookups.Load(); n != c.lookups {
			t.Errorf("%s: %d lookups, want %d", c.name, n, c.lookups)
		}
	}
}

// A component-type query has no entity, and a property may lack its metadata.
func TestPitfall08QueryByComponentType(t *testing.T) {
	p := serving.NewPeer(t, token)
	p.Fill(t, "d", 2)
	f := start(t, "hot-reader", remoteEnv(p.URL))
	body, err := f.Invoke(t.Context(), []byte(`{"workspaceId":"w","componentTypeId":"com.example.machine","selectedProperties":["state","unheard"],
		"properties":{"serial":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true},"value":{"stringValue":"d"}}}`+allTime+`}`), 20*time.Second)
	want := `{"propertyValues":[{"entityPropertyReference":{"externalIdProperty":{"serial":"d"},"propertyName":"state"},` +
		`"values":[{"time":"2023-11-14T22:13:20.000Z","value":{"stringValue":"on"}},{"time":"2023-11-14T22:13:21.000Z","value":{"stringValue":"on"}}]},` +
		`{"entityPropertyReference":{"externalIdProperty":{"serial":"d"},"propertyName":"unheard"},"values":[]}]}`
	if err != nil || string(body) != want {
		t.Errorf("got  %s, %v\nwant %s", body, err, want)
	}
}

// TwinMaker never retries; the reader does, so that it sees one call and one
// answer.
func TestPitfall12RetriesAreTheReaders(t *testing.T) {
	p := serving.NewPeer(t, token)
	p.Fill(t, "d", 2000)
	f := start(t, "hot-reader", remoteEnv(p.URL))
	for name, ill := range map[string]func(http.ResponseWriter){
		"503":   func(w http.ResponseWriter) { w.WriteHeader(503) },
		"429":   func(w http.ResponseWriter) { w.Header().Set("Retry-After", "1"); w.WriteHeader(429) },
		"reset": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"cut": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/vnd.hotreader.rows")
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		p.Calls.Store(0)
		var times atomic.Int64
		p.Set(func(w http.ResponseWriter, r *http.Request) {
			if times.Add(1) > 2 {
				p.API.ServeHTTP(w, r)
				return
			}
			ill(w)
		})
		a, err := invoke(t, f, event("d", allTime))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		check(t, a, 0, 2000)
		if n := p.Calls.Load(); n != 3 {
			t.Errorf("%s: %d requests, want 3", name, n)
		}
	}
}

// What does not heal is a function error, the process lives, and the next query
// is answered.
func TestPitfall02OutageIsAnError(t *testing.T) {
	p := serving.NewPeer(t, token)
	p.Fill(t, "d", 10)
	f := start(t, "hot-reader", remoteEnv(p.URL))
	for _, c := range []struct {
		name string
		ill  http.HandlerFunc
		want string
		most int64 // requests
	}{
		{"401", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, "HotReader.Unauthenticated", 1},
		{"404", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "HotReader.NotFound", 1},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://example.com/", http.StatusFound)
		}, "HotReader.Config", 1},
		{"a page for people", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<html>sign in</html>")
		}, "HotReader.Protocol", 1},
		{"an hour's patience", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(429)
		}, "HotReader.Throttled", 1},
		{"outage", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, "HotReader.Unavailable", 4},
	} {
		p.Calls.Store(0)
		p.Set(c.ill)
		_, err := invoke(t, f, event("d", allTime))
		if got := failureType(t, err); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if n := p.Calls.Load(); n < 1 || n > c.most {
			t.Errorf("%s: %d requests, want at most %d", c.name, n, c.most)
		}
	}
	p.Set(nil)
	a, err := invoke(t, f, event("d", allTime))
	if err != nil {
		t.Fatal(err)
	}
	check(t, a, 0, 10)
}

// A peer that hangs is given up before Lambda's own deadline.
func TestPitfall24HangingPeer(t *testing.T) {
	p := serving.NewPeer(t, token)
	release := make(chan struct{})
	defer close(release)
	p.Set(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // else the server does not see the caller leave
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	f := start(t, "hot-reader", remoteEnv(p.URL))
	_, err := f.Invoke(t.Context(), event("d", allTime), 2*time.Second)
	if got := failureType(t, err); got != "HotReader.Deadline" {
		t.Error(got)
	}
}

func TestBadEventsAreInvalid(t *testing.T) {
	p := serving.NewPeer(t, token)
	for _, handler := range []string{"hot-reader", "hot-reader-last-entry", "hot-reader-api"} {
		f := start(t, handler, serving.With(remoteEnv(p.URL), "DYNAMODB_TABLE_NAME", "factory-hot-iot-data"))
		for _, e := range []string{`{}`, `null`, `[]`, `{`, `"x"`, ``} {
			_, err := f.Invoke(t.Context(), []byte(e), 20*time.Second)
			if got := failureType(t, err); got != "HotReader.InvalidQuery" {
				t.Errorf("%s, %q: %s", handler, e, got)
			}
		}
	}
	if p.Calls.Load() != 0 {
		t.Error("the peer was asked")
	}
}

// The trace that the peer sees is the invocation's.
func TestTraceFollowsTheInvocation(t *testing.T) {
	p := serving.NewPeer(t, token)
	f := start(t, "hot-reader", remoteEnv(p.URL))
	if _, err := invoke(t, f, event("d", allTime)); err != nil {
		t.Fatal(err)
	}
	const want = "00-8476a536e9f411e89739000000000001-"
	if len(p.Traces()) != 1 || !strings.HasPrefix(p.Traces()[0], want) {
		t.Errorf("traces %v, want %s…", p.Traces(), want)
	}
}

// secrets plays AWS Secrets Manager.
func secrets(t *testing.T, value func() string) (url string, fetches *atomic.Int64) {
	t.Helper()
	fetches = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if v := value(); v != "" {
			_ = json.NewEncoder(w).Encode(map[string]string{"SecretString": v})
			return
		}
		w.WriteHeader(400)
		io.WriteString(w, `{"__type":"AccessDeniedException","message":"no"}`)
	}))
	t.Cleanup(server.Close)
	return server.URL, fetches
}

const arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:factory-token-AbCdEf"

func TestTokenFromSecretsManager(t *testing.T) {
	p := serving.NewPeer(t, token)
	p.Fill(t, "d", 3)
	url, fetches := secrets(t, func() string { return token })
	env := serving.With(remoteEnv(p.URL), "INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", arn, "AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
	f := start(t, "hot-reader", env)
	for range 3 {
		a, err := invoke(t, f, event("d", allTime))
		if err != nil {
			t.Fatal(err)
		}
		check(t, a, 0, 3)
	}
	if n := fetches.Load(); n != 1 {
		t.Errorf("%d fetches for three queries", n)
	}
}

// fails waits for the program to refuse to start, and returns what it reported.
func fails(t *testing.T, handler string, env map[string]string) *runtimeapi.Failure {
	t.Helper()
	f := start(t, handler, env)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	code, failure, err := f.WaitExit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if code == 0 || failure == nil {
		t.Fatalf("exit code %d, init error %v", code, failure)
	}
	select {
	case <-f.Polled():
		t.Error("it polled for an event first")
	default:
	}
	if !strings.Contains(f.Log(), failure.Message) {
		t.Errorf("standard error has\n%s\nand Lambda\n%s", f.Log(), failure.Message)
	}
	return failure
}

func TestMissingEnvironment(t *testing.T) {
	failure := fails(t, "hot-raeder", map[string]string{"AWS_REGION": "", "REMOTE_READER_URL": "http://example.com", "HOTREADER_BURST": "many"})
	if failure.Type != "HotReader.Config" {
		t.Errorf("type %s", failure.Type)
	}
	for _, want := range []string{`_HANDLER: "hot-raeder" is no handler; did you mean "hot-reader"?`, "DIGITAL_TWIN_INFO: is not set",
		"REMOTE_READER_URL: is http", "INTER_CLOUD_TOKEN: is not set", "HOTREADER_BURST: ", "AWS_REGION: is not set"} {
		if !strings.Contains("\n"+failure.Message, "\n"+want) {
			t.Errorf("no line %q in\n%s", want, failure.Message)
		}
	}
}

func TestPitfall20APIWithoutTokenDoesNotStart(t *testing.T) {
	failure := fails(t, "hot-reader-api", map[string]string{"DYNAMODB_TABLE_NAME": "factory-hot-iot-data"})
	if !strings.Contains(failure.Message, "INTER_CLOUD_TOKEN: is not set") {
		t.Errorf("%v", failure)
	}
}

func TestSecretThatCannotBeReadStopsTheStart(t *testing.T) {
	for value, want := range map[string]string{"": "secretsmanager:GetSecretValue", "short": "at least 32"} {
		url, _ := secrets(t, func() string { return value })
		failure := fails(t, "hot-reader-api", map[string]string{"DYNAMODB_TABLE_NAME": "factory-hot-iot-data",
			"INTER_CLOUD_TOKEN_SECRET": arn, "AWS_ENDPOINT_URL_SECRETS_MANAGER": url})
		if !strings.Contains(failure.Message, "INTER_CLOUD_TOKEN_SECRET") || !strings.Contains(failure.Message, want) {
			t.Errorf("%v", failure)
		}
	}
}

func TestOutsideLambda(t *testing.T) {
	cmd := exec.Command(program)
	cmd.Env = []string{"_HANDLER=hot-reader"}
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), "AWS_LAMBDA_RUNTIME_API: is not set") || !strings.Contains(string(out), "DIGITAL_TWIN_INFO: is not set") {
		t.Errorf("%v: %s", err, out)
	}
}

// call sends the API function a request of a REST API.
func call(t *testing.T, f *runtimeapi.Function, method, path, token string) (status int, body string) {
	t.Helper()
	event, err := json.Marshal(map[string]any{"resource": "/{proxy+}", "path": path, "httpMethod": method,
		"multiValueHeaders": map[string][]string{"X-Inter-Cloud-Token": {token}}, "requestContext": map[string]any{"requestId": "r-1"}})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := f.Invoke(t.Context(), event, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		StatusCode int
		Body       string
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, a.Body
}

// The API answers what needs no store while the store is away, and says so for
// the rest, without a word about where the store is.
func TestAPIWithoutItsStore(t *testing.T) {
	f := start(t, "hot-reader-api", map[string]string{"DYNAMODB_TABLE_NAME": "factory-hot-iot-data",
		"INTER_CLOUD_TOKEN": token + "," + rotated, "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"})
	if status, body := call(t, f, "GET", "/healthz", ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if status, body := call(t, f, "GET", "/openapi.json", token); status != 200 || !strings.Contains(body, `"openapi"`) {
		t.Errorf("%d %.100s", status, body)
	}
	const latest = "/v1/devices/d/latest"
	for _, wrong := range []string{"", "x", token + "x", token + "," + rotated} {
		if status, body := call(t, f, "GET", latest, wrong); status != 401 {
			t.Errorf("token %q: %d %s", wrong, status, body)
		}
	}
	event := `{"path":"` + latest + `","httpMethod":"GET","headers":{"X-Inter-Cloud-Token":"` + rotated + `"},"queryStringParameters":{"property":"temperature"}}`
	raw, err := f.Invoke(t.Context(), []byte(event), 20*time.Second)
	if err != nil || !strings.Contains(string(raw), `"statusCode":502`) || !strings.Contains(string(raw), `\"code\":\"unavailable\"`) || strings.Contains(string(raw), "127.0.0.1") {
		t.Errorf("%s, %v", raw, err)
	}
}
