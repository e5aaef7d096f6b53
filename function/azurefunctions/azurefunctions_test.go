package azurefunctions

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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

// unread is a body that nobody may touch.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) { u.t.Error("the body was read"); return 0, io.EOF }

// There is one way in. What would be the host's document, were requests not
// forwarded, is a request like any other: the API gets it as it came, unread, with
// the address and the headers of who sent it, and writes its own answer.
func TestDocumentsAreNoWayIn(t *testing.T) {
	for _, path := range []string{"/hot-reader-api", "/hot-reader", "/hot-reader-last-entry", "/hot-reader-api/", "/HOT-READER-API", "/hot-reader-api?code=x"} {
		for _, method := range []string{"POST", "PUT", "GET"} {
			r := httptest.NewRequestWithContext(t.Context(), method, path, unread{t})
			r.RemoteAddr = "192.0.2.1:1"
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			calls := 0
			Handler(http.HandlerFunc(func(to http.ResponseWriter, got *http.Request) {
				calls++
				if got.Method != method || got.URL.RequestURI() != path || got.RemoteAddr != r.RemoteAddr || got.Body != r.Body || len(got.Header) != 1 {
					t.Errorf("%s %s became %s %s from %s, %v", method, path, got.Method, got.URL, got.RemoteAddr, got.Header)
				}
				if to != http.ResponseWriter(w) {
					t.Error("the answer is held back")
				}
				to.WriteHeader(http.StatusUnauthorized)
			})).ServeHTTP(w, r)
			if calls != 1 || w.Code != http.StatusUnauthorized || w.Body.Len() != 0 {
				t.Errorf("%s %s: %d calls, %d %q", method, path, calls, w.Code, w.Body)
			}
		}
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
			w := post(t, Handler(capture(&got)), c.came, "body", name, c.header)
			if got.target != c.want || got.body != "body" || w.Code != http.StatusTeapot || !strings.HasPrefix(w.Body.String(), `{"é"`) {
				t.Errorf("%s, %s: %+v, %d %s", c.came, c.header, got, w.Code, w.Body)
			}
		}
	}
	var got seen
	post(t, Handler(capture(&got)), "/read", "", "X-Azure-Functions-Invocationid", "i-1", "Traceparent", "00-x")
	if got.header.Get("X-Request-Id") != "" {
		t.Error("a second trace id beside the caller's")
	}
}
