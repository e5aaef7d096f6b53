package storehttp_test

import (
	"net/http"
	"strings"
	"testing"

	"hotreader/store/internal/storehttp"
	"hotreader/test/serving"
)

// A store that ends each connection is asked a few times a request, not without end.
func TestGoAwayEnds(t *testing.T) {
	server, connections := serving.GoAway(t)
	transport := &http.Transport{DialContext: storehttp.Dial(), ForceAttemptHTTP2: true,
		TLSClientConfig: server.Client().Transport.(*http.Transport).TLSClientConfig}
	resp, err := storehttp.Client(transport).Get(server.URL)
	if err == nil {
		resp.Body.Close()
	}
	if n := connections.Load(); err == nil || !strings.Contains(err.Error(), "ends each without an answer") || n != 3 {
		t.Errorf("%d connections, %v", n, err)
	}
}
