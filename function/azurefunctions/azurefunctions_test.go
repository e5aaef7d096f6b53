package azurefunctions

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"hotreader/wire"
)

// seen is what the API got.
type seen struct {
	method, target, body string
	header               http.Header
}

func capture(got *seen) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*got = seen{r.Method, r.URL.RequestURI(), string(body), r.Header}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Add("Vary", "A")
		w.Header().Add("Vary", "B")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, `{"é":"<\"&>"}`)
	})
}

func post(t *testing.T, h http.Handler, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestDocuments(t *testing.T) {
	for _, c := range []struct {
		name, path, req string
		want            seen
	}{
		{"as documented", "/hot-reader-api", `{"Url":"http://localhost:7071/read","Method":"POST","Query":"{}","Headers":{"Content-Type":["application/json"]},"Params":{},"Body":"{\"a\":1}"}`,
			seen{"POST", "/read", `{"a":1}`, http.Header{"Content-Type": {"application/json"}}}},
		{"body is JSON", "/hot-reader-api", `{"Url":"http://x/read","Method":"POST","Body":{"a":1.50}}`, seen{"POST", "/read", `{"a":1.50}`, nil}},
		{"no body", "/hot-reader-api", `{"Url":"http://x/read","Method":"POST","Body":null}`, seen{"POST", "/read", "", nil}},
		{"headers as text", "/hot-reader-api", `{"Url":"http://x/healthz","Method":"GET","Headers":{"x-a":"1","x-b":["2","3"],"x-c":4}}`,
			seen{"GET", "/healthz", "", http.Header{"X-A": {"1"}, "X-B": {"2", "3"}}}},
		{"query in the URL", "/hot-reader", `{"Url":"https://x/v1/devices/d/history?property=a&property=b&start=2020-01-01T00%3A00%3A00%2B01%3A00","Method":"GET","Query":"{\"property\":\"a,b\"}","Params":{"id":"d"}}`,
			seen{"GET", "/v1/devices/d/history?property=a&property=b&start=2020-01-01T00%3A00%3A00%2B01%3A00", "", nil}},
		{"query as text", "/hot-reader-last-entry", `{"Url":"https://x/v1/devices/d/latest","Method":"GET","Query":"{\"property\":\"a&b\"}","Params":{"id":"d"}}`,
			seen{"GET", "/v1/devices/d/latest?property=a%26b", "", nil}},
		{"query as an object", "/hot-reader-last-entry", `{"Url":"https://x/v1/devices/d/latest","Method":"GET","Query":{"property":["a","b"]},"Params":"{\"id\":\"d\"}"}`,
			seen{"GET", "/v1/devices/d/latest?property=a&property=b", "", nil}},
		{"device with a slash", "/hot-reader", `{"Url":"https://x/v1/devices/a%2Fb/history?property=a","Method":"GET","Params":{"id":"a%2Fb"}}`,
			seen{"GET", "/v1/devices/a%2Fb/history?property=a", "", nil}},
		{"device like a URL", "/hot-reader", `{"Url":"https://x/v1/devices/a?b#é 50%/history?property=a","Method":"GET","Params":{"id":"a?b#é 50%"}}`,
			seen{"GET", "/v1/devices/a%3Fb%23%C3%A9%2050%25/history?property=a", "", nil}},
		{"no parameter", "/hot-reader", `{"Url":"https://x/v1/devices/d/history?property=a","Method":"GET"}`,
			seen{"GET", "/v1/devices/d/history?property=a", "", nil}},
		{"what a document cannot carry is not asked for", "/hot-reader-api", `{"Url":"https://x/read","Method":"POST","Headers":{"Accept":["` + wire.MediaType + `, application/json;q=0.5"],"Accept-Encoding":["gzip"]}}`,
			seen{"POST", "/read", "", nil}},
		{"CSV is", "/hot-reader-api", `{"Url":"https://x/read","Method":"POST","Headers":{"Accept":["text/csv"]}}`, seen{"POST", "/read", "", http.Header{"Accept": {"text/csv"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got seen
			w := post(t, Handler(capture(&got), nil), c.path, `{"Data":{"req":`+c.req+`},"Metadata":{}}`, "X-Azure-Functions-Invocationid", "i-1")
			if got.method != c.want.method || got.target != c.want.target || got.body != c.want.body {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if got.header.Get("X-Request-Id") != "i-1" {
				t.Errorf("the trace id is %q", got.header.Get("X-Request-Id"))
			}
			got.header.Del("X-Request-Id")
			if len(got.header) != len(c.want.header) {
				t.Errorf("headers %v", got.header)
			}
			for name, values := range c.want.header {
				if strings.Join(got.header[name], "|") != strings.Join(values, "|") {
					t.Errorf("%s: %q", name, got.header[name])
				}
			}
			const want = `{"Outputs":{"res":{"statusCode":418,"status":418,"headers":{"Content-Type":"application/json","Vary":"A, B"},"body":"{\"é\":\"<\\\"&>\"}"}},"Logs":[],"ReturnValue":null}`
			if w.Code != 200 || strings.TrimSpace(w.Body.String()) != want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// What is no document fails the function, and never reaches the API.
func TestBadDocuments(t *testing.T) {
	var got seen
	h := Handler(capture(&got), nil)
	for _, body := range []string{"", "null", "[]", "{", `{"Data":null}`, `{"Data":{}}`, `{"Data":{"req":5}}`, `{"Data":{"req":{}}}`, `{"Data":{"req":{"Method":"GET"}}}`,
		`{"Data":{"req":{"Method":"G T","Url":"http://x/read"}}}`, `{"Data":{"req":{"Method":"GET","Url":"http://x"}}}`,
		`{"Data":{"req":{"Method":"GET","Url":"read"}}}`, `{"Data":{"req":{"Method":"GET","Url":"http://x/read","Body":"` + strings.Repeat("x", 2<<20) + `"}}}`} {
		w := post(t, h, "/hot-reader-api", body)
		var p struct{ Code string }
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 400 || p.Code != "invalid" || got.method != "" {
			t.Errorf("%.60q: %d %s, %+v", body, w.Code, w.Body, got)
		}
	}
}

// An answer that is no text would be another one in a document.
func TestBinaryAnswerFailsTheFunction(t *testing.T) {
	h := Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff}) }), nil)
	if w := post(t, h, "/hot-reader-api", `{"Data":{"req":{"Method":"GET","Url":"http://x/read"}}}`); w.Code != 500 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Forwarded requests go through as they are, except that an id which the host
// has changed comes from the front end's header.
func TestForwarded(t *testing.T) {
	for _, c := range []struct{ came, header, want string }{
		{"/v1/devices/d/latest?property=a", "", "/v1/devices/d/latest?property=a"},
		{"/v1/devices/a", "/v1/devices/a%3Fb/latest?property=a", "/v1/devices/a%3Fb/latest?property=a"},
		{"/v1/devices/aAb/latest?property=a", "/v1/devices/a%2541b/latest?property=a", "/v1/devices/a%2541b/latest?property=a"},
		{"/v1/devices/d/latest", "/elsewhere", "/v1/devices/d/latest"},
		{"/v1/devices/d/latest", "/v1/devices/%zz/latest", "/v1/devices/d/latest"},
		{"/read", "", "/read"},
		{"/hot-reader/x", "", "/hot-reader/x"},
	} {
		for _, name := range unencoded {
			var got seen
			w := post(t, Handler(capture(&got), nil), c.came, "body", name, c.header)
			if got.target != c.want || got.body != "body" || w.Code != http.StatusTeapot || !strings.HasPrefix(w.Body.String(), `{"é"`) {
				t.Errorf("%s, %s: %+v, %d %s", c.came, c.header, got, w.Code, w.Body)
			}
		}
	}
	var got seen
	post(t, Handler(capture(&got), nil), "/read", "", "X-Azure-Functions-Invocationid", "i-1", "Traceparent", "00-x")
	if got.header.Get("X-Request-Id") != "" {
		t.Error("a second trace id beside the caller's")
	}
}

func FuzzDocument(f *testing.F) {
	f.Add("hot-reader", `{"Data":{"req":{"Url":"https://x/v1/devices/a?b/history?property=a","Method":"GET","Params":{"id":"a?b"},"Query":"{}"}}}`)
	f.Add("hot-reader-api", `{"Data":{"req":{"Url":"http://x/read","Method":"POST","Headers":{"A":["b"]},"Body":{"a":1}}}}`)
	f.Add("hot-reader-last-entry", `{"Data":{"req":{"Url":"//","Method":"GET","Params":{"id":"%2F%"}}}}`)
	f.Fuzz(func(t *testing.T, name, body string) {
		h := Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := url.ParseRequestURI(r.URL.RequestURI()); err != nil {
				t.Errorf("%q: %v", body, err)
			}
		}), nil)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL.Path = "/" + name
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 400 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
