package azurefunctions

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// seen is the request that the API got.
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

// Requests reach the API unchanged, except that an id which the host has changed is
// taken from the front end's header.
func TestForwarded(t *testing.T) {
	for _, c := range []struct{ came, header, want string }{
		{"/v1/devices/d/latest?property=a", "", "/v1/devices/d/latest?property=a"},
		{"/v1/devices/a", "/v1/devices/a%3Fb/latest?property=a", "/v1/devices/a%3Fb/latest?property=a"},
		{"/v1/devices/aAb/latest?property=a", "/v1/devices/a%2541b/latest?property=a", "/v1/devices/a%2541b/latest?property=a"},
		{"/v1/devices/d/latest", "/elsewhere", "/v1/devices/d/latest"},
		{"/v1/devices/d/latest", "/v1/devices/%zz/latest", "/v1/devices/d/latest"},
		{"/read", "", "/read"},
		{"/hot-reader/x", "", "/hot-reader/x"}, // a document's path is a path like any other
		{"/hot-reader-api?code=x", "", "/hot-reader-api?code=x"},
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
