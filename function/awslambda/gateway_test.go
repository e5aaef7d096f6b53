package awslambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/wire"
)

const token = "0123456789abcdef0123456789abcdef"

// kind is one of the forms in which AWS passes a request on.
type kind struct {
	name   string
	v2     bool
	domain string
	decode bool // the path comes decoded
	stage  string
}

var kinds = []kind{
	{"REST API", false, "abc.execute-api.eu-central-1.amazonaws.com", false, "prod"},
	{"HTTP API, 1.0", false, "abc.execute-api.eu-central-1.amazonaws.com", true, "prod"},
	{"HTTP API, 2.0", true, "abc.execute-api.eu-central-1.amazonaws.com", true, "prod"},
	{"HTTP API, 2.0, default stage", true, "abc.execute-api.eu-central-1.amazonaws.com", true, "$default"},
	{"function URL", true, "abc.lambda-url.eu-central-1.on.aws", false, "$default"},
}

// event returns the event of a request with an escaped target. It is built with
// aws-lambda-go's own types, so that their field names are the judge of ours.
func (k kind) event(t testing.TB, method, target, body string, binary bool, header http.Header) []byte {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatal(err)
	}
	path := u.EscapedPath()
	if k.decode {
		path = u.Path
	}
	if binary {
		body = base64.StdEncoding.EncodeToString([]byte(body))
	}
	single := map[string]string{}
	for name, values := range header {
		single[strings.ToLower(name)] = strings.Join(values, ",")
	}
	var event any
	if k.v2 {
		if k.stage != "$default" {
			path = "/" + k.stage + path
		}
		e := events.APIGatewayV2HTTPRequest{Version: "2.0", RouteKey: "$default", RawPath: path, RawQueryString: u.RawQuery,
			Headers: single, Body: body, IsBase64Encoded: binary}
		e.RequestContext.Stage, e.RequestContext.DomainName = k.stage, k.domain
		e.RequestContext.RequestID = "gateway-request"
		e.RequestContext.HTTP.Method, e.RequestContext.HTTP.Path, e.RequestContext.HTTP.SourceIP = method, path, "192.0.2.1"
		event = e
	} else {
		if k.decode { // an HTTP API
			path = "/" + k.stage + path
		}
		e := events.APIGatewayProxyRequest{Resource: "/{proxy+}", Path: path, HTTPMethod: method, MultiValueHeaders: header,
			Headers: single, MultiValueQueryStringParameters: u.Query(), Body: body, IsBase64Encoded: binary,
			PathParameters: map[string]string{"proxy": strings.TrimPrefix(strings.TrimPrefix(path, "/prod"), "/")}}
		e.RequestContext.Stage, e.RequestContext.DomainName = k.stage, k.domain
		e.RequestContext.RequestID, e.RequestContext.Identity.SourceIP = "gateway-request", "192.0.2.1"
		event = e
	}
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	if !k.v2 && k.decode { // the events package has no version for the HTTP API's 1.0
		text = append([]byte(`{"version":"1.0",`), text[1:]...)
	}
	return text
}

// answer is a proxy response as its client sees it.
type answer struct {
	status int
	header http.Header
	body   []byte
	binary bool
}

func parseAnswer(t testing.TB, k kind, raw []byte) answer {
	t.Helper()
	if len(raw) > MaxAnswer {
		t.Errorf("the answer has %d bytes", len(raw))
	}
	var (
		a    = answer{header: http.Header{}}
		body string
	)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if k.v2 {
		var r events.APIGatewayV2HTTPResponse
		if err := d.Decode(&r); err != nil {
			t.Fatalf("%v: %.300s", err, raw)
		}
		a.status, body, a.binary = r.StatusCode, r.Body, r.IsBase64Encoded
		for name, value := range r.Headers {
			a.header.Set(name, value)
		}
	} else {
		var r events.APIGatewayProxyResponse
		if err := d.Decode(&r); err != nil {
			t.Fatalf("%v: %.300s", err, raw)
		}
		a.status, body, a.binary = r.StatusCode, r.Body, r.IsBase64Encoded
		for name, values := range r.MultiValueHeaders {
			a.header[http.CanonicalHeaderKey(name)] = values
		}
	}
	a.body = []byte(body)
	if a.binary {
		var err error
		if a.body, err = base64.StdEncoding.DecodeString(body); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func invoke(t testing.TB, h lambda.Handler, k kind, method, target, body string, header http.Header) answer {
	t.Helper()
	raw, err := h.Invoke(inLambda(t.Context()), k.event(t, method, target, body, false, header))
	if err != nil {
		t.Fatal(err)
	}
	return parseAnswer(t, k, raw)
}

// hostile are device ids that have to survive a gateway.
var hostile = []string{"d", "a b", "a/b", "a?b", "a#b", "é", "50%", "a%41b", "a%2Fb", "a&b=c", "a+b", "漢字/?#", `"\`, "v1/devices/x", "read", "x/history", strings.Repeat("/?#é", 300)}

func TestGatewayPaths(t *testing.T) {
	var got *http.Request
	h := API(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }), nil, nil)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			for _, target := range []string{"/read", "/healthz", "/openapi.json", "/", "/unknown/path"} {
				invoke(t, h, k, "GET", target, "", nil)
				if got.URL.EscapedPath() != target || got.RequestURI != target {
					t.Errorf("%s came as %s", target, got.URL.EscapedPath())
				}
			}
			for _, id := range hostile {
				for _, tail := range []string{"/history", "/latest", ""} {
					if tail == "" && k.decode && id == "x/history" {
						continue // which is the history of x there
					}
					want := "/v1/devices/" + url.PathEscape(id) + tail
					invoke(t, h, k, "GET", want+"?property=a%26b&property=%C3%A9&start=2020-01-01T00%3A00%3A00%2B01%3A00", "", nil)
					parts := strings.Split(got.URL.EscapedPath(), "/")
					if len(parts) != 4+strings.Count(tail, "/") {
						t.Fatalf("%q came as %q", want, got.URL.EscapedPath())
					}
					if back, err := url.PathUnescape(parts[3]); err != nil || back != id || tail != "" && "/"+parts[4] != tail {
						t.Errorf("%.80q came as %.80q", id, got.URL.EscapedPath())
					}
					q := got.URL.Query()
					if fmt.Sprint(q["property"]) != "[a&b é]" || q.Get("start") != "2020-01-01T00:00:00+01:00" {
						t.Errorf("query came as %s", got.URL.RawQuery)
					}
				}
			}
		})
	}
}

// Custom domains put their mapping's base path before the path.
func TestGatewayBasePath(t *testing.T) {
	var got string
	h := API(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.URL.EscapedPath() }), nil, nil)
	for _, c := range []struct{ event, want string }{
		{`{"resource":"/{proxy+}","path":"/twin/read","pathParameters":{"proxy":"read"}}`, "/read"},
		{`{"resource":"/{proxy+}","path":"/twin/v1/devices/a%2Fb/history","pathParameters":{"proxy":"v1/devices/a%2Fb/history"}}`, "/v1/devices/a%2Fb/history"},
		{`{"resource":"/read","path":"/twin/read"}`, "/read"},
		{`{"resource":"/v1/devices/{id}/history","path":"/base/path/v1/devices/a%2Fb/history","pathParameters":{"id":"a/b"}}`, "/v1/devices/a%2Fb/history"},
		{`{"resource":"/read","path":"/read"}`, "/read"},
		{`{"path":"/read"}`, "/read"},
		{`{"path":"read"}`, "/read"},
		{`{"path":""}`, "/"},
	} {
		if _, err := h.Invoke(t.Context(), []byte(`{"httpMethod":"GET",`+c.event[1:])); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.event, got, err, c.want)
		}
	}
	// HTTP APIs decode the path and its parameters.
	for _, c := range []struct{ event, want string }{
		{`{"rawPath":"/hot/healthz","pathParameters":{"proxy":"healthz"}}`, "/healthz"},
		{`{"routeKey":"ANY /{proxy+}","rawPath":"/hot/healthz","pathParameters":{"proxy":"healthz"}}`, "/healthz"},
		{`{"routeKey":"ANY /{proxy+}","rawPath":"/a/b/v1/devices/50% of/it/latest","pathParameters":{"proxy":"v1/devices/50% of/it/latest"}}`, "/v1/devices/50%25%20of%2Fit/latest"},
		{`{"routeKey":"ANY /{proxy+}","rawPath":"/hot/v1/devices/a/b","pathParameters":{"proxy":"v1/devices/a/b"}}`, "/v1/devices/a%2Fb"},
		{`{"routeKey":"POST /read","rawPath":"/hot/read"}`, "/read"},
		{`{"routeKey":"GET /v1/devices/{id}/history","rawPath":"/hot/v1/devices/a/history/history","pathParameters":{"id":"a/history"}}`, "/v1/devices/a%2Fhistory/history"},
		{`{"routeKey":"GET /v1/devices/{id}","rawPath":"/hot/v1/devices/a","pathParameters":{"id":"a"}}`, "/v1/devices/a"},
		{`{"routeKey":"GET /v1/devices/{id}","rawPath":"/v1/devices/a"}`, "/v1/devices/a"},
		{`{"routeKey":"ANY /v1/{proxy+}","rawPath":"/v1/devices","pathParameters":{"proxy":"devices"}}`, "/v1/devices"},
		{`{"routeKey":"$default","rawPath":"/v1/devices"}`, "/v1/devices"},
	} {
		event := `{"version":"2.0","requestContext":{"stage":"$default","domainName":"api.example.com","http":{"method":"GET"}},` + c.event[1:]
		if _, err := h.Invoke(t.Context(), []byte(event)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.event, got, err, c.want)
		}
	}
}

func TestGatewayRequest(t *testing.T) {
	binary := "\x00\xff\xfe not UTF-8"
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			var (
				got  *http.Request
				body []byte
			)
			h := API(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = r
				body, _ = io.ReadAll(r.Body)
			}), nil, nil)
			header := http.Header{"X-Inter-Cloud-Token": {token}, "Accept": {"application/json", "text/csv"}, "Host": {"api.example.com"}}
			for _, c := range []struct {
				body   string
				binary bool
			}{{"{}", false}, {"{}", true}, {binary, true}, {"", false}} {
				if _, err := h.Invoke(inLambda(t.Context()), k.event(t, "POST", "/read", c.body, c.binary, header)); err != nil {
					t.Fatal(err)
				}
				if string(body) != c.body || got.ContentLength != int64(len(c.body)) || got.Method != "POST" {
					t.Errorf("%s %q, length %d", got.Method, body, got.ContentLength)
				}
			}
			if got.Header.Get("X-Inter-Cloud-Token") != token || got.Host != "api.example.com" || got.RemoteAddr != "192.0.2.1:0" {
				t.Errorf("%+v", got)
			}
			if accept := strings.Join(got.Header["Accept"], ","); accept != "application/json,text/csv" {
				t.Errorf("Accept came as %q", accept)
			}
			if got.Header.Get("X-Request-Id") != "gateway-request" {
				t.Errorf("the trace id is %q", got.Header.Get("X-Request-Id"))
			}
			header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			if _, err := h.Invoke(inLambda(t.Context()), k.event(t, "POST", "/read", "", false, header)); err != nil || got.Header.Get("X-Request-Id") != "" {
				t.Errorf("a second trace id beside the caller's: %v", err)
			}
		})
	}
}

func TestGatewayAnswers(t *testing.T) {
	quotes := strings.Repeat(`"`, 100_000)
	for _, k := range kinds {
		for _, c := range []struct {
			name    string
			method  string
			handler http.HandlerFunc
			status  int
			body    string // "" = as is
			binary  bool
		}{
			{"nothing", "GET", func(http.ResponseWriter, *http.Request) {}, 200, "", false},
			{"text", "GET", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a\"\\\n\r\t\x01\x7fé\u2028<>&") }, 200, "a\"\\\n\r\t\x01\x7fé\u2028<>&", false},
			{"binary", "GET", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0xff, 0, 0x1f, 0x8b}) }, 200, "\xff\x00\x1f\x8b", true},
			{"text that is shorter in base64", "GET", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, quotes) }, 200, quotes, true},
			{"status", "GET", func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(103)
				w.WriteHeader(404)
				w.WriteHeader(200)
				w.Header().Set("X-Late", "1")
				io.WriteString(w, "no")
			}, 404, "no", false},
			{"HEAD", "HEAD", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "body") }, 200, "", false},
			{"204", "OPTIONS", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204, "", false},
		} {
			t.Run(k.name+"/"+c.name, func(t *testing.T) {
				h := API(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "x/y")
					w.Header().Add("Vary", "A")
					w.Header().Add("Vary", "B")
					w.Header().Set("Content-Length", "7")
					c.handler(w, r)
				}), nil, nil)
				a := invoke(t, h, k, c.method, "/x", "", nil)
				if a.status != c.status || string(a.body) != c.body || a.binary != c.binary {
					t.Errorf("%d %.60q, binary %v", a.status, a.body, a.binary)
				}
				if a.header.Get("Content-Type") != "x/y" || strings.ReplaceAll(strings.Join(a.header["Vary"], ","), " ", "") != "A,B" ||
					a.header.Get("Content-Length") != "" || a.header.Get("X-Late") != "" {
					t.Errorf("header %v", a.header)
				}
			})
		}
	}
}

// What cannot be answered as the handler answers is a problem, never a part of an
// answer with a good status, and the log has the cause.
func TestGatewayFailures(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		status  int
		code    hotreader.Code
		log     string
	}{
		{"oversize", func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				w.Write(make([]byte, 100_000))
			}
		}, 413, hotreader.CodeTooLarge, "more than"},
		{"oversize, and then aborted", func(w http.ResponseWriter, _ *http.Request) {
			if _, err := w.Write(make([]byte, MaxBody+1)); err != nil {
				panic(http.ErrAbortHandler)
			}
		}, 413, hotreader.CodeTooLarge, "more than"},
		{"aborted", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "half an ans")
			panic(http.ErrAbortHandler)
		}, 502, hotreader.CodeUnavailable, "broke off"},
		{"panic", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "half an ans")
			panic("hunter2")
		}, 500, hotreader.CodeInternal, "hunter2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			a := invoke(t, API(c.handler, slog.New(slog.NewJSONHandler(&log, nil)), nil), kinds[0], "GET", "/x", "", nil)
			var p struct {
				Code    string
				TraceID string `json:"trace_id"`
			}
			if err := json.Unmarshal(a.body, &p); err != nil || a.status != c.status || p.Code != string(c.code) || p.TraceID != "gateway-request" ||
				a.header.Get("Content-Type") != wire.ProblemType {
				t.Errorf("%d %s, %v", a.status, a.body, err)
			}
			if strings.Contains(string(a.body), "hunter2") || !strings.Contains(log.String(), c.log) {
				t.Errorf("answer %s, log %s", a.body, &log)
			}
		})
	}
	t.Run("body is no base64", func(t *testing.T) {
		raw, err := API(http.NotFoundHandler(), nil, nil).Invoke(t.Context(), []byte(`{"httpMethod":"POST","path":"/read","body":"*","isBase64Encoded":true}`))
		if err != nil || parseAnswer(t, kinds[0], raw).status != 400 {
			t.Errorf("%s, %v", raw, err)
		}
	})
	for _, event := range []string{"", "null", "{}", "[]", `{"path":"/read"}`, `{"httpMethod":5}`} {
		_, err := API(http.NotFoundHandler(), nil, nil).Invoke(inLambda(t.Context()), []byte(event))
		if e := functionError(t, err); e.Type != "HotReader.InvalidQuery" {
			t.Errorf("%q: %+v", event, e)
		}
	}
}

func realAPI(t testing.TB, r hotreader.Source) lambda.Handler {
	t.Helper()
	tok, err := identity.Static(token)
	if err != nil {
		t.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Options{Source: r, Token: tok, MaxAnswer: MaxBody, MaxTime: MaxTime})
	if err != nil {
		t.Fatal(err)
	}
	return API(api, nil, nil)
}

func TestGatewayServesHostileDevices(t *testing.T) {
	for _, id := range hostile {
		h := realAPI(t, filled(t, id, 1))
		for _, k := range kinds {
			a := invoke(t, h, k, "GET", "/v1/devices/"+url.PathEscape(id)+"/latest?property=temperature", "", http.Header{"X-Inter-Cloud-Token": {token}})
			if a.status != 200 || !strings.Contains(string(a.body), `"temperature":0.125`) {
				t.Errorf("%s, %.60q: %d %s", k.name, id, a.status, a.body)
			}
		}
	}
}

func TestPitfall20GatewayWantsTheToken(t *testing.T) {
	h := realAPI(t, filled(t, "d", 1))
	for _, k := range kinds {
		for name, header := range map[string]http.Header{
			"none": {}, "wrong": {"X-Inter-Cloud-Token": {token + "x"}}, "not ASCII": {"X-Inter-Cloud-Token": {"tökén"}},
			"empty": {"X-Inter-Cloud-Token": {""}}, "two": {"X-Inter-Cloud-Token": {token, token}},
		} {
			a := invoke(t, h, k, "GET", "/v1/devices/d/latest?property=temperature", "", header)
			if a.status != 401 || a.header.Get("WWW-Authenticate") == "" || strings.Contains(string(a.body), "0.125") {
				t.Errorf("%s, token %s: %d %s", k.name, name, a.status, a.body)
			}
		}
	}
}

// More rows than a gateway lets through come in several answers, each within the
// limit and each saying that there is more, in every format.
func TestPitfall25GatewayAnswersFit(t *testing.T) {
	const n = 30_000
	h := realAPI(t, noisy{n})
	k := kinds[0]
	head := http.Header{"X-Inter-Cloud-Token": {token}, "Content-Type": {"application/json"}}

	t.Run("rows", func(t *testing.T) {
		head := head.Clone()
		head.Set("Accept", wire.MediaType)
		q := hotreader.Query{Device: "d", Properties: []string{"a", "b", "c"}}
		rows, answers := 0, 0
		for more := true; more; answers++ {
			a := invoke(t, h, k, "POST", "/read", string(wire.NewEnvelope(q, "azure", "").Append(nil)), head)
			if a.status != 200 || !a.binary || a.header.Get("Content-Type") != wire.MediaType {
				t.Fatalf("%d %v %.200s", a.status, a.header, a.body)
			}
			d := wire.NewDecoder(bytes.NewReader(a.body), q)
			for {
				row, err := d.Read()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if want := at(rows); !row.Time.Equal(want) {
					t.Fatalf("row %d is of %s, want %s", rows, row.Time, want)
				}
				rows++
			}
			more = d.More()
			d.Close()
			q, _ = q.Behind(at(rows - 1))
		}
		if rows != n || answers < 2 {
			t.Errorf("%d rows in %d answers, want %d in several", rows, answers, n)
		}
	})
	for _, format := range []string{"application/json", "text/csv"} {
		t.Run("GET "+format, func(t *testing.T) {
			head := head.Clone()
			head.Set("Accept", format)
			answers := 0
			for target := "/v1/devices/d/history?property=a&property=b&property=c"; target != ""; answers++ {
				a := invoke(t, h, k, "GET", target, "", head)
				if a.status != 200 {
					t.Fatalf("%d %s", a.status, a.body)
				}
				target = ""
				if link := a.header.Get("Link"); link != "" {
					target = "/v1/devices/d/history" + link[1:strings.Index(link, ">")]
				}
			}
			if answers < 2 {
				t.Errorf("all in %d answer", answers)
			}
		})
	}
	t.Run("TwinMaker's JSON, compressed and not", func(t *testing.T) {
		for _, encoding := range []string{"identity", "gzip"} {
			head := head.Clone()
			head.Set("Accept-Encoding", encoding)
			q := hotreader.Query{Device: "d", Properties: []string{"a", "b", "c"}}
			a := invoke(t, h, k, "POST", "/read", string(wire.NewEnvelope(q, "azure", "").Append(nil)), head)
			if a.status != 200 || a.binary != (encoding == "gzip") || len(a.body) > MaxBody {
				t.Errorf("%s: %d, %d bytes, binary %v", encoding, a.status, len(a.body), a.binary)
			}
		}
	})
}

// noisy is a Source of n rows of long texts that do not compress.
type noisy struct{ n int }

func (r noisy) Scan(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		random := rand.NewChaCha8([32]byte{})
		raw, text := make([]byte, 180), make([]byte, 240)
		for i := range r.n {
			_, _ = random.Read(raw)
			base64.StdEncoding.Encode(text, raw)
			values := []hotreader.Value{hotreader.StringValue(text[:80]), hotreader.StringValue(text[80:160]), hotreader.StringValue(text[160:])}
			if !yield(hotreader.Row{Time: at(i), Values: values}, nil) {
				return
			}
		}
	}
}

// Whatever comes as an event: an HTTP answer, or a function error of ours.
func FuzzGateway(f *testing.F) {
	for _, k := range kinds {
		f.Add(k.event(f, "GET", "/v1/devices/a%2Fb/history?property=x", "", false, http.Header{"X-Inter-Cloud-Token": {token}}))
		f.Add(k.event(f, "POST", "/read", "{}", true, nil))
	}
	f.Add([]byte(`{"httpMethod":"GET","path":"//%zz%"}`))
	f.Add([]byte(`{"httpMethod":"G T","path":"/"}`))
	h := API(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.Write(io.Discard); err == nil {
			io.WriteString(w, r.URL.Path)
		}
	}), nil, nil)
	f.Fuzz(func(t *testing.T, event []byte) {
		raw, err := h.Invoke(t.Context(), event)
		if err != nil {
			functionError(t, err)
			return
		}
		if !utf8.Valid(raw) {
			t.Fatalf("%q", raw)
		}
		v2 := bytes.Contains(raw, []byte(`,"headers":`))
		if a := parseAnswer(t, kind{v2: v2}, raw); a.status != 200 && a.status != 400 {
			t.Errorf("status %d", a.status)
		}
	})
}

// The gateway, played by a server, before the API, read by another cloud.
func TestGatewayServesAnotherCloud(t *testing.T) {
	h := realAPI(t, noisy{30_000})
	k := kinds[0]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		raw, err := h.Invoke(inLambda(r.Context()), k.event(t, r.Method, r.URL.RequestURI(), string(body), true, r.Header))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		a := parseAnswer(t, k, raw)
		maps.Copy(w.Header(), a.header)
		w.WriteHeader(a.status)
		w.Write(a.body)
	}))
	defer server.Close()
	n := 0
	for row, err := range hotreader.NewReader(newRemote(t, server.URL)).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"a", "b", "c"}}) {
		if err != nil {
			t.Fatal(err)
		}
		if !row.Time.Equal(at(n)) {
			t.Fatalf("row %d is of %s", n, row.Time)
		}
		n++
	}
	if n != 30_000 {
		t.Errorf("%d rows", n)
	}
	for _, err := range hotreader.NewReader(newRemote(t, server.URL+"/nowhere")).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"a"}}) {
		if hotreader.CodeOf(err) != hotreader.CodeNotFound {
			t.Errorf("got %v", err)
		}
	}
}
