package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/wire"
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
		"properties as a list":      strings.Replace(path, "property=temperature&property=on", "property=temperature,on", 1),
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
		"a type":            path + "&type=temperature=double",
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
	for n := 1; n < len(token); n++ { // an empty one is none
		if got := ask(t, s, "GET", path+"&next_token="+token[:n], ""); got.status != 400 {
			t.Errorf("cut to %d: %d %s", n, got.status, got.body)
		}
	}
	for _, more := range []string{"A", "AAAA", "=", "%0A", "." + token, token} {
		if got := ask(t, s, "GET", path+"&next_token="+token+more, ""); got.status != 400 {
			t.Errorf("%.10q behind it: %d %s", more, got.status, got.body)
		}
	}
	typed := path + "&type=temperature=double"
	if token, _ := getPage(t, s, typed); token.NextToken == "" {
		t.Error("no token of a typed query")
	} else if _, a := getPage(t, s, typed+"&next_token="+token.NextToken); a.status != 200 {
		t.Error(a.body)
	} else {
		problem(t, ask(t, s, "GET", strings.Replace(typed, "double", "long", 1)+"&next_token="+token.NextToken, ""), 400, hotreader.CodeInvalid)
	}
	// It outlives a redeploy and a rotation, but not a change of the secret.
	redeployed := serve(t, httpapi.Options{Token: static(t, "brand-new-token-of-at-least-32-bytes-03,"+current)})
	if p, _ := getPage(t, redeployed, path+"&next_token="+token); len(p.Items) != 1 {
		t.Errorf("after a rotation: %v", p)
	}
	stranger := serve(t, httpapi.Options{Token: static(t, "another-token-of-at-least-32-bytes-0004,"+previous)})
	problem(t, ask(t, stranger, "GET", path+"&next_token="+token, "", identity.TokenHeader, previous), 400, hotreader.CodeInvalid)
}

// Where the look-back ended the search, each kind of answer says so.
func TestLookBack(t *testing.T) {
	const last = `{"iot_device_id":"pump","selected_properties":["on"]}`
	for lookBack, ended := range map[int]bool{1: true, 2: false, 0: false} {
		s := serve(t, httpapi.Options{LookBack: lookBack})
		for _, got := range []answer{
			ask(t, s, "GET", "/v1/devices/pump/latest?property=on", ""),
			ask(t, s, "POST", "/read", lastEntry(last)),
		} {
			if got.status != 200 || strings.Contains(got.body, `"warnings":[{"code":"look_back","property":"on"`) != ended {
				t.Errorf("%d rows: %d %s", lookBack, got.status, got.body)
			}
		}
		if got := ask(t, s, "GET", "/v1/devices/pump/latest?property=on", "", "Accept", "text/csv"); (got.header.Get("Warning-Count") == "1") != ended {
			t.Errorf("%d rows: %d warnings of CSV", lookBack, len(got.header["Warning-Count"]))
		}
	}
}

// TestDevicesOnEveryRoute: with a list of devices, every route serves only those. It
// rejects all others with the same answer, whether they exist or not, without asking the
// store.
func TestDevicesOnEveryRoute(t *testing.T) {
	allowed, err := identity.ParseDevices("pump, halle 3/*")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, httpapi.Options{Devices: allowed})
	of := func(device string) string {
		return `{"iot_device_id":"` + device + `",` + all + `,"selected_properties":["temperature"]}`
	}
	last := func(device string) string {
		return `{"iot_device_id":"` + device + `","selected_properties":["temperature"]}`
	}
	requests := map[string]func(device string) answer{
		"POST /read": func(d string) answer { return ask(t, s, "POST", "/read", envelope(of(d))) },
		"POST /read, last entry": func(d string) answer {
			return ask(t, s, "POST", "/read", lastEntry(last(d)))
		},
		"POST /read, rows":             func(d string) answer { return ask(t, s, "POST", "/read", envelope(of(d)), "Accept", wire.MediaType) },
		"POST /read, rows, last entry": func(d string) answer { return ask(t, s, "POST", "/read", lastEntry(last(d)), "Accept", wire.MediaType) },
		"history": func(d string) answer {
			return ask(t, s, "GET", "/v1/devices/"+d+"/history?property=temperature", "")
		},
		"history, CSV": func(d string) answer {
			return ask(t, s, "GET", "/v1/devices/"+d+"/history?property=temperature", "", "Accept", "text/csv")
		},
		"latest": func(d string) answer { return ask(t, s, "GET", "/v1/devices/"+d+"/latest?property=temperature", "") },
		"device": func(d string) answer { return ask(t, s, "GET", "/v1/devices/"+d, "") },
	}
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			if got := request("pump"); got.status != 200 {
				t.Errorf("a device of the list: %d %s", got.status, got.body)
			}
			exists, absent := request("other"), request("nobody")
			problem(t, exists, 403, hotreader.CodeForbidden)
			problem(t, absent, 403, hotreader.CodeForbidden)
			if a, b := untraced(exists.body), untraced(absent.body); a != b {
				t.Errorf("it tells which devices there are:\n%s\n%s", a, b)
			}
			for _, body := range []string{exists.body, absent.body} {
				for _, hidden := range []string{"other", "nobody", "pump", "halle", "98765"} {
					if strings.Contains(body, hidden) {
						t.Errorf("the refusal tells %q: %s", hidden, body)
					}
				}
			}
		})
	}
	for path, status := range map[string]int{
		"/v1/devices/halle%203%2Fpumpe%3F%23%C3%A9%252F/latest?property=temperature": 200, // odd
		"/v1/devices/pump/../other/latest?property=temperature":                      404,
		"/v1/devices/pump%2F..%2Fother/latest?property=temperature":                  403,
		"/v1/devices/..%2Fpump/latest?property=temperature":                          403,
		"/v1/devices/other%00pump/latest?property=temperature":                       403,
		"/v1/devices/PUMP/latest?property=temperature":                               403,
		"/v1/devices/%20pump/latest?property=temperature":                            403,
		"/v1/devices/pump%20/latest?property=temperature":                            403,
		"/v1/devices/pump*/latest?property=temperature":                              403,
		"/v1/devices/other/latest?property=temperature&id=pump":                      400,
		"/v1/devices/pump;other/latest?property=temperature":                         403,
	} {
		if got := ask(t, s, "GET", path, ""); got.status != status || strings.Contains(got.body, "98765") {
			t.Errorf("%s: %d %s; want %d", path, got.status, got.body, status)
		}
	}
}

// untraced removes the trace id from a problem.
func untraced(body string) string {
	before, rest, _ := strings.Cut(body, `"trace_id":"`)
	_, after, _ := strings.Cut(rest, `"`)
	return before + after
}

// TestDeviceOutsideIsNotRead: no request for a device that is not in the list reaches the
// store, and a page token of such a device is not valid after the list was narrowed.
func TestDeviceOutsideIsNotRead(t *testing.T) {
	var asked atomic.Int32
	rows := series{n: 10, during: func(context.Context, int) { asked.Add(1) }}
	wide, narrow := serve(t, httpapi.Options{Source: rows}), serve(t, httpapi.Options{Source: rows, Devices: identity.Devices{"pump"}})
	const path = "/v1/devices/valve/history?property=a&limit=2"
	page := ask(t, wide, "GET", path, "")
	_, rest, ok := strings.Cut(page.body, `"next_token":"`)
	token, _, _ := strings.Cut(rest, `"`)
	if page.status != 200 || !ok {
		t.Fatalf("%d %s", page.status, page.body)
	}
	asked.Store(0)
	problem(t, ask(t, narrow, "GET", path+"&next_token="+token, ""), 403, hotreader.CodeForbidden)
	problem(t, ask(t, narrow, "POST", "/read", envelope(seriesAll)), 403, hotreader.CodeForbidden)
	if asked.Load() != 0 {
		t.Error("the store was asked")
	}
}
