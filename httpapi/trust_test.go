package httpapi_test

import (
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"hotreader/httpapi"
	"hotreader/identity"
)

// Each caller has its own devices and its own rate, and its name in the log.
func TestNamedCallers(t *testing.T) {
	const grafana, mine = "grafana-token-of-at-least-32-bytes-0001", "notebook-token-of-at-least-32-bytes-01"
	shared := func(token string, c identity.Caller) identity.Shared {
		return identity.Shared{Token: static(t, token), Caller: c}
	}
	var log strings.Builder
	s := serve(t, httpapi.Options{Devices: identity.Devices{"pump"}, Rate: 0.001, Burst: 2, Logger: slog.New(slog.NewTextHandler(&log, nil)), Trust: []identity.Shared{
		shared(grafana, identity.Caller{Name: "grafana", Devices: identity.Devices{"oth*"}, Rate: 0.001, Burst: 3}),
		shared(mine, identity.Caller{Name: "notebook", Rate: 1000})}})
	for _, c := range []struct {
		token, device string
		want          []int
	}{
		{current, "pump", []int{200}}, {current, "other", []int{403, 429}},
		{grafana, "pump", []int{403}}, {grafana, "other", []int{200, 200, 429}},
		{mine, "pump", []int{200, 200, 200}}, {mine, "other", []int{200, 200, 200}},
		{"x" + mine, "other", []int{401}},
	} {
		for i, want := range c.want {
			got := ask(t, s, "GET", "/v1/devices/"+c.device+"/latest?property=temperature", "", identity.TokenHeader, c.token)
			if got.status != want {
				t.Errorf("%.8s, %s, %d: %d, want %d", c.token, c.device, i, got.status, want)
			}
		}
	}
	for _, name := range []string{"token=current", "token=grafana", "token=notebook"} {
		if !strings.Contains(log.String(), name) {
			t.Errorf("the log lacks %s", name)
		}
	}
}

// Page tokens have a key of their own. One that was signed with the token, or with the
// key before, is taken.
func TestPageKey(t *testing.T) {
	const key, before, later = "page-key-of-at-least-32-bytes-000000001", "page-key-of-at-least-32-bytes-000000000", "page-key-of-at-least-32-bytes-000000002"
	const list, page = "/v1/devices?limit=1", "/v1/devices/pump/history?property=temperature&start=2026-01-01&limit=1"
	s := serve(t, httpapi.Options{PageKey: static(t, key+","+before)})
	next := func(o httpapi.Options, path string) string {
		t.Helper()
		p, _ := getPage(t, serve(t, o), path)
		return "&next_token=" + url.QueryEscape(p.NextToken)
	}
	for _, path := range []string{list, page} {
		for name, c := range map[string]struct {
			token string
			want  int
		}{
			"its own":          {next(httpapi.Options{PageKey: static(t, key)}, path), 200},
			"the one before":   {next(httpapi.Options{PageKey: static(t, before)}, path), 200},
			"the caller token": {next(httpapi.Options{}, path), 200},
			"unknown":          {next(httpapi.Options{PageKey: static(t, later)}, path), 400},
		} {
			if resp := ask(t, s, "GET", path+c.token, ""); resp.status != c.want {
				t.Errorf("%s, %s: %d, want %d", path, name, resp.status, c.want)
			}
		}
	}
}
