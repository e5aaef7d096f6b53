package serving

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"hotreader/dev/played"
	"hotreader/test/runtimeapi"
)

// Listen serves h until the test ends.
func Listen(t testing.TB, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

// FunctionsHost plays the Azure Functions host before the handler at a URL.
func FunctionsHost(t testing.TB, handler string) http.Handler {
	t.Helper()
	to, err := url.Parse(handler)
	if err != nil {
		t.Fatal(err)
	}
	return played.FunctionsHost(to)
}

// Gateway plays API Gateway's REST API before a function, and returns the URL of
// its stage.
func Gateway(t testing.TB, f *runtimeapi.Function) (url string) {
	t.Helper()
	return Listen(t, played.APIGateway(f.Function)) + "/" + played.Stage
}
