package httpapi_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/test/transcript"
)

// echo answers with the path and what it reads of the device that the query names.
type echo struct{ in httpapi.Inside }

func (e echo) Serve(w http.ResponseWriter, r *http.Request) error {
	devices := r.URL.Query()["device"]
	if len(devices) == 0 {
		token, from := e.in.Caller(r.Context())
		fmt.Fprintf(w, "%s %s by %s from %s", r.Method, r.URL.Path, token, from)
	}
	for _, device := range devices {
		fmt.Fprintf(w, "%s %s %t", r.Method, r.URL.Path, e.in.May(r.Context(), device))
		if err := e.read(w, r, device); err != nil {
			return err
		}
	}
	return nil
}

func (e echo) read(w http.ResponseWriter, r *http.Request, device string) error {
	for _, err := range e.in.Reader.Read(r.Context(), hotreader.Query{Device: device, Properties: []string{"temperature"}}) {
		if err != nil {
			status, text := e.in.Problem(r.Context(), err)
			fmt.Fprintf(w, " %d %s", status, text)
			return err
		}
		fmt.Fprint(w, " row")
		break
	}
	for _, err := range e.in.Reader.Read(context.Background(), hotreader.Query{Device: device, Properties: []string{"temperature"}}) {
		if !errors.Is(err, hotreader.CodeForbidden) {
			fmt.Fprint(w, " read without a caller")
		}
		break
	}
	return nil
}

// TestPage: what needs no token is answered before it is asked for, all else as ever.
func TestPage(t *testing.T) {
	s := serve(t, httpapi.Options{Page: func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/" {
			return false
		}
		fmt.Fprint(w, "page")
		return true
	}})
	for path, want := range map[string]int{"/": 200, "/page": 401, "/v1/devices": 401, "/health": 200} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if got := do(t, r); got.status != want || (got.body == "page") != (path == "/") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

// peek is a Source that notes how far back it is asked to look.
type peek struct {
	hotreader.Source
	lookBack *int
}

func (p peek) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	*p.lookBack = q.LookBack
	return p.Source.Scan(ctx, q)
}

// latest reads latest values.
type latest struct{ in httpapi.Inside }

func (l latest) Serve(_ http.ResponseWriter, r *http.Request) error {
	for range l.in.Reader.Read(r.Context(), hotreader.Query{Device: "pump", Properties: []string{"temperature"}, Last: true}) {
		break
	}
	return nil
}

// A part that is mounted looks back as far as the API itself.
func TestMountsLookBack(t *testing.T) {
	got := 0
	s := serve(t, httpapi.Options{Source: peek{store(t), &got}, LookBack: 7, Mounts: []httpapi.Mount{
		{Path: "/latest", Make: func(in httpapi.Inside) (httpapi.Mounted, error) { return latest{in}, nil }}}})
	if status := ask(t, s, "GET", "/latest", "").status; status != 200 || got != 7 {
		t.Errorf("%d, looks back over %d rows; want 7", status, got)
	}
}

func TestMounts(t *testing.T) {
	devices, err := identity.ParseDevices("pump")
	if err != nil {
		t.Fatal(err)
	}
	mount := func(in httpapi.Inside) (httpapi.Mounted, error) { return echo{in}, nil }
	s := serve(t, httpapi.Options{Devices: devices, Mounts: []httpapi.Mount{{Path: "/below/", Make: mount}, {Path: "/alone", Make: mount}}})
	basic := func(password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+password))
	}
	for _, c := range []struct {
		name, method, path, header, value string
		status                            int
		want                              string
	}{
		{"own header", "GET", "/below/x/y", identity.TokenHeader, current, 200, "GET /below/x/y by current from 127.0.0.1"},
		{"Basic", "GET", "/below/", "Authorization", basic(current), 200, "GET /below/"},
		{"Basic, the previous token", "GET", "/below/", "Authorization", basic(previous), 200, "GET /below/ by previous from 127.0.0.1"},
		{"Bearer", "POST", "/alone", "Authorization", "Bearer " + current, 200, "POST /alone"},
		{"a wrong one", "GET", "/below/", "Authorization", basic("wrong"), 401, "unauthenticated"},
		{"none", "GET", "/below/", "X-Other", "1", 401, "unauthenticated"},
		{"a wrong one of ours beside a right one", "GET", "/below/", identity.TokenHeader, "wrong", 401, "unauthenticated"},
		{"Basic elsewhere", "GET", "/v1/devices/pump/latest?property=temperature", "Authorization", basic(current), 200, `"items":[{`},
		{"a wrong one elsewhere", "GET", "/v1/devices", "Authorization", basic("wrong"), 401, "unauthenticated"},
		{"Basic where clouds ask", "POST", "/read", "Authorization", basic(current), 401, "unauthenticated"},
		{"Basic on a wrong path", "POST", "/prometheus/query", "Authorization", basic(current), 404, "no such path"},
		{"Basic with a method that is not served", "POST", "/v1/devices", "Authorization", basic(current), 405, "use GET"},
		{"no path", "GET", "/-/healthy", "Authorization", basic(current), 404, "no such path; after the API's URL comes one of /read, /v1/devices, /v1/devices/{id}, /v1/devices/{id}/history, /v1/devices/{id}/latest, /below/, /alone ("},
		{"a base URL that ends in a slash", "GET", "//v1/devices/pump/latest?property=temperature", "Authorization", basic(current), 200, `"items":[{`},
		{"the same", "GET", "//below/a%2Fb", "Authorization", basic(current), 200, "GET /below/a/b"},
		{"two more slashes", "GET", "///v1/devices", "Authorization", basic(current), 404, "no such path"},
		{"below one that is alone", "GET", "/alone/x", identity.TokenHeader, current, 404, "not_found"},
		{"an own device", "GET", "/alone?device=pump", identity.TokenHeader, current, 200, "GET /alone true row"},
		{"another", "GET", "/alone?device=other", identity.TokenHeader, current, 200, "GET /alone false 403 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), c.method, s.URL+c.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(c.header, c.value)
			if strings.HasPrefix(c.name, "a wrong one of ours") {
				r.Header.Set("Authorization", basic(current))
			}
			got := do(t, r)
			if got.status != c.status || !strings.Contains(got.body, c.want) || strings.Contains(got.body, "without a caller") {
				t.Errorf("%d %s; want %d, %s", got.status, got.body, c.status, c.want)
			}
		})
	}
}

// ownForm is a part whose clients read errors in its own form.
type ownForm struct {
	serve func(r *http.Request)
}

func (o ownForm) Serve(w http.ResponseWriter, r *http.Request) error {
	o.serve(r)
	fmt.Fprint(w, "served")
	return nil
}

func (ownForm) Refuse(w http.ResponseWriter, _ *http.Request, err error, status int, text string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "refused: %s, %s", hotreader.CodeOf(err), text)
}

// A request that is rejected before its part is asked, or in it, is answered in the
// part's form, with the status that it has elsewhere.
func TestMountsRefuseInTheirForm(t *testing.T) {
	for _, c := range []struct {
		name, path string
		o          httpapi.Options
		status     int
		want       string
	}{
		{name: "no token", path: "/own/x", status: 401, want: "refused: unauthenticated, The token is missing or wrong."},
		{name: "a base URL with a path too many", path: "/before/own/x", status: 404, want: "refused: not_found, There is nothing here to read from: no such path; after the API"},
		{name: "a panic", path: "/own/panic", status: 500, want: "refused: internal, The reader failed: The operator finds"},
		{name: "too many requests", path: "/own/x", o: httpapi.Options{Rate: 0.001, Burst: 1}, status: 429, want: "refused: throttled, Too many requests. Try again later."},
		{name: "no place", path: "/own/again", o: httpapi.Options{Answers: 1, Wait: 1}, status: 503, want: "refused: overloaded, No capacity just now. Try again later: The operator"},
		{name: "elsewhere", path: "/v2/devices", status: 404, want: `{"type":"about:blank"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var inner answer
			var request func(path string) answer
			part := ownForm{func(r *http.Request) {
				switch r.URL.Path {
				case "/own/panic":
					panic("for the test")
				case "/own/again": // while this one holds its place
					inner = request("/own/x")
				}
			}}
			c.o.Mounts = []httpapi.Mount{{Path: "/own/", Make: func(httpapi.Inside) (httpapi.Mounted, error) { return part, nil }}}
			s := serve(t, c.o)
			request = func(path string) answer {
				if c.status == 401 {
					return ask(t, s, "GET", path, "", identity.TokenHeader, "")
				}
				return ask(t, s, "GET", path, "")
			}
			got := request(c.path)
			switch c.status {
			case http.StatusTooManyRequests:
				got = request(c.path)
			case http.StatusServiceUnavailable:
				got = inner
			}
			safe(t, got)
			if got.status != c.status || !strings.HasPrefix(got.body, c.want) {
				t.Errorf("%d %s; want %d, %s", got.status, got.body, c.status, c.want)
			}
		})
	}
}

// The line of the log names the device that a part reads, and none of several.
func TestMountsNameTheirDevice(t *testing.T) {
	log := &transcript.Buffer{}
	mount := func(in httpapi.Inside) (httpapi.Mounted, error) { return echo{in}, nil }
	s := serve(t, httpapi.Options{Devices: identity.Devices{"pump*"}, Mounts: []httpapi.Mount{{Path: "/alone", Make: mount}}, Logger: logger(log)})
	for query, want := range map[string]string{"": "", "?device=pump": "pump", "?device=pump&device=pump": "pump", "?device=pump&device=pump-2": "", "?device=pump&device=pump-2&device=pump": "", "?device=other": "other"} {
		before := len(log.String())
		ask(t, s, "GET", "/alone"+query, "")
		if line := log.String()[before:]; !strings.Contains(line, `"device":"`+want+`",`) {
			t.Errorf("%q: want the device %q in %s", query, want, line)
		}
	}
}
