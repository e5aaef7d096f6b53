package played

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// play answers a function's events as its program would, until t ends.
func play(t *testing.T, f *Function, answer func(event []byte) (body []byte, failed bool)) {
	s := httptest.NewServer(f.RuntimeAPI())
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
	f := NewFunction("twin-hot-reader", "eu-central-1")
	play(t, f, echo)
	dead := NewFunction("dead", "eu-central-1")
	dead.Exit(errors.New("exit status 1"))
	unstarted := NewFunction("unstarted", "eu-central-1")
	unstarted.Exit(errors.New("exit status 1"))
	unstarted.initial = []byte(`{"errorType":"HotReader.Config","errorMessage":"no table"}`)
	s := httptest.NewServer(Lambda{f.Name: f, "dead": dead, "unstarted": unstarted})
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
	f := NewFunction("f", "eu-central-1")
	play(t, f, func([]byte) ([]byte, bool) { return bytes.Repeat([]byte(" "), maxEvent+1), false })
	a, err := f.Invoke(t.Context(), []byte("{}"))
	if err != nil || !a.Failed || !strings.Contains(string(a.Payload), "Function.ResponseSizeTooLarge") {
		t.Errorf("%v, %.200s, %v", a.Failed, a.Payload, err)
	}
	s := httptest.NewServer(f.RuntimeAPI())
	defer s.Close()
	resp, err := http.Post(s.URL+"/2018-06-01/runtime/invocation/unknown/response", "application/json", strings.NewReader("{}"))
	if err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%v, %v", resp, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewFunction("lonely", "eu-central-1").Invoke(ctx, []byte("{}")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAPIGateway(t *testing.T) {
	var event proxyEvent
	answer := `{"statusCode":418,"headers":{"A":"one"},"multiValueHeaders":{"B":["x","y"]},"body":"/wA=","isBase64Encoded":true}`
	f := NewFunction("api", "eu-central-1")
	play(t, f, func(text []byte) ([]byte, bool) {
		event = proxyEvent{}
		if err := json.Unmarshal(text, &event); err != nil {
			t.Error(err)
		}
		return []byte(answer), answer == ""
	})
	s := httptest.NewServer(APIGateway(f))
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
	at, err := url.Parse(program.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(FunctionsHost(at))
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
