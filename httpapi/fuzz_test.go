package httpapi_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/wire"
)

// direct asks a handler for the history of device "d", without a server.
func direct(t testing.TB, h http.Handler, ctx context.Context, token string) answer { //nolint:revive // t comes first in tests
	t.Helper()
	r := httptest.NewRequestWithContext(ctx, "GET", "/v1/devices/d/history?property=a", nil)
	r.Header.Set(identity.TokenHeader, token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// FuzzHandler: no request makes the handler fail, nor succeed without a complete answer,
// nor shows a device that it does not name.
func FuzzHandler(f *testing.F) {
	f.Add("GET", history+"&order=desc&limit=2&start=2026-01-01&end=2026-01-02", "text/csv", "")
	f.Add("GET", "/v1/devices/a%2Fb/latest?property=on&property=state", "", "")
	f.Add("POST", "/read", wire.MediaType, envelope(pumpAll))
	f.Add("POST", "/read", "application/json", lastEntry(`{"iot_device_id":"pump","selected_properties":["temperature"]}`))
	f.Add("POST", "/read", "", envelope(strings.Replace(pumpAll, "}", `,"filters":[{"property_name":"on","operator":"=","value":true}],"interpolation":{"interval_in_seconds":1},"max_results":3}`, 1)))
	f.Add("HEAD", "/openapi.json", "*/*", "x")
	f.Add("OPTIONS", "/healthz", "", "")
	h, err := httpapi.New(httpapi.Options{Source: store(f), Token: static(f, current), Rate: -1})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path, accept, body string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" || method == "" {
			return // net/http answers these
		}
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", strings.NewReader(body))
		r.Method, r.URL, r.RequestURI = method, u, path
		r.Header.Set(identity.TokenHeader, current)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "98765.4321") && !strings.Contains(path+body, "other") {
			t.Fatalf("another device's rows came: %s", w.Body)
		}
		if w.Code == http.StatusNoContent || method == http.MethodHead {
			return
		}
		switch media, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";"); {
		case w.Code != 200 && media != wire.ProblemType:
			t.Fatalf("%d as %s: %s", w.Code, media, w.Body)
		case media == "application/json" || media == wire.ProblemType:
			if !json.Valid(w.Body.Bytes()) {
				t.Fatalf("this is no JSON: %s", w.Body)
			}
		case media == "text/csv":
			if _, err := csv.NewReader(w.Body).ReadAll(); err != nil {
				t.Fatal(err)
			}
		case media == wire.MediaType:
			if _, _, err := decode(t, w.Body, body); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("an answer of type %q", media)
		}
	})
}
