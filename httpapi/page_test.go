package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
)

// next returns the path in a Link header, relative to path.
func next(t testing.TB, path, link string) string {
	t.Helper()
	target, rel, ok := strings.Cut(link, ">; ")
	if !ok || rel != `rel="next"` || target[0] != '<' {
		t.Fatalf("Link is %q", link)
	}
	base, err := url.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	u, err := base.Parse(target[1:])
	if err != nil {
		t.Fatal(err)
	}
	return u.String()
}

type page struct {
	Items     []map[string]any
	NextToken string `json:"next_token"`
}

func getPage(t testing.TB, s *httptest.Server, path string) (page, answer) {
	t.Helper()
	got := ask(t, s, "GET", path, "")
	var p page
	if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != 200 {
		t.Fatalf("%d %s: %v", got.status, got.body, err)
	}
	if (p.NextToken != "") != (got.header.Get("Link") != "") || strings.Contains(got.body, `"next_token":""`) {
		t.Errorf("Link %q beside %s", got.header.Get("Link"), got.body)
	}
	return p, got
}

// TestPages: with every limit, in both orders, the pages hold the same rows, none twice,
// and no page is empty.
func TestPages(t *testing.T) {
	const rows = 13
	s := serve(t, httpapi.Options{Source: series{n: rows}})
	for _, order := range []string{"asc", "desc"} {
		for limit := 1; limit <= rows+1; limit++ {
			path := fmt.Sprintf("/v1/devices/d/history?property=a&order=%s&limit=%d", order, limit)
			var got []string
			for path != "" {
				p, a := getPage(t, s, path)
				if len(p.Items) == 0 || len(p.Items) > limit {
					t.Fatalf("limit %d: a page of %d rows", limit, len(p.Items))
				}
				for _, item := range p.Items {
					got = append(got, fmt.Sprint(item["a"]))
				}
				if path = ""; p.NextToken != "" {
					path = next(t, "/v1/devices/d/history", a.header.Get("Link"))
				}
			}
			if len(got) != rows {
				t.Fatalf("%s, limit %d: %d rows", order, limit, len(got))
			}
			for i, v := range got {
				if want := i; order == "asc" && v != fmt.Sprintf("%d.5", want) || order == "desc" && v != fmt.Sprintf("%d.5", rows-1-want) {
					t.Errorf("%s, limit %d: row %d is %s", order, limit, i, v)
				}
			}
		}
	}
}

func TestNextTokenBelongsToItsQuery(t *testing.T) {
	s := serve(t, httpapi.Options{})
	const path = "/v1/devices/pump/history?property=temperature&property=on&start=2026-01-01&end=2026-01-02&limit=1"
	p, _ := getPage(t, s, path)
	token := p.NextToken
	if token == "" || len(token) > 17_880 {
		t.Fatalf("the token is %q", token)
	}
	for name, changed := range map[string]string{
		"another limit":             strings.Replace(path, "limit=1", "limit=2", 1),
		"no limit":                  strings.Replace(path, "&limit=1", "", 1),
		"the same instant":          strings.Replace(path, "start=2026-01-01", "start=2026-01-01T01:00:00%2B01:00", 1),
		"the default order, spelt":  path + "&order=ascending",
		"the same query":            path,
		"parameters in other order": "/v1/devices/pump/history?limit=1&end=2026-01-02&start=2026-01-01&property=temperature&property=on",
	} {
		if p, _ := getPage(t, s, changed+"&next_token="+token); p.Items[0]["time"] != "2026-01-01T00:00:01.000Z" {
			t.Errorf("%s: the page begins at %v", name, p.Items[0])
		}
	}
	for name, changed := range map[string]string{
		"another device":    strings.Replace(path, "pump", "other", 1),
		"another property":  strings.Replace(path, "property=on", "property=state", 1),
		"other order":       path + "&order=desc",
		"properties turned": strings.Replace(path, "property=temperature&property=on", "property=on&property=temperature", 1),
		"one property":      strings.Replace(path, "&property=on", "", 1),
		"names glued":       strings.Replace(path, "property=temperature&property=on", "property=temperatureon", 1),
		"another start":     strings.Replace(path, "start=2026-01-01", "start=2025-01-01", 1),
		"no start":          strings.Replace(path, "&start=2026-01-01", "", 1),
		"another end":       strings.Replace(path, "end=2026-01-02", "end=2026-01-03", 1),
		"no end":            strings.Replace(path, "&end=2026-01-02", "", 1),
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, s, "GET", changed+"&next_token="+token, "")
			problem(t, got, 400, hotreader.CodeInvalid)
		})
	}
	for i := range token {
		for _, c := range []byte("Aw") {
			bent := token[:i] + string(c) + token[i+1:]
			if bent == token {
				continue
			}
			if got := ask(t, s, "GET", path+"&next_token="+bent, ""); got.status != 400 {
				t.Errorf("changed at %d: %d %s", i, got.status, got.body)
			}
		}
	}
	for n := range token {
		if got := ask(t, s, "GET", path+"&next_token="+token[:n], ""); got.status != 400 {
			t.Errorf("cut to %d: %d %s", n, got.status, got.body)
		}
	}
	for _, more := range []string{"A", "AAAA", "=", "%0A", "." + token, token} {
		if got := ask(t, s, "GET", path+"&next_token="+token+more, ""); got.status != 400 {
			t.Errorf("%.10q behind it: %d %s", more, got.status, got.body)
		}
	}
	// It outlives a redeploy and a rotation, but not a change of the secret.
	redeployed := serve(t, httpapi.Options{Token: static(t, "brand-new-token-of-at-least-32-bytes-03,"+current)})
	if p, _ := getPage(t, redeployed, path+"&next_token="+token); len(p.Items) != 1 {
		t.Errorf("after a rotation: %v", p)
	}
	stranger := serve(t, httpapi.Options{Token: static(t, "another-token-of-at-least-32-bytes-0004,"+previous)})
	problem(t, ask(t, stranger, "GET", path+"&next_token="+token, "", identity.TokenHeader, previous), 400, hotreader.CodeInvalid)
}
