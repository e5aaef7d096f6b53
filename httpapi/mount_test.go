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
		fmt.Fprintf(w, "%s %s", r.Method, r.URL.Path)
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
		{"own header", "GET", "/below/x/y", identity.TokenHeader, current, 200, "GET /below/x/y"},
		{"Basic", "GET", "/below/", "Authorization", basic(current), 200, "GET /below/"},
		{"Basic, the previous token", "GET", "/below/", "Authorization", basic(previous), 200, "GET /below/"},
		{"Bearer", "POST", "/alone", "Authorization", "Bearer " + current, 200, "POST /alone"},
		{"a wrong one", "GET", "/below/", "Authorization", basic("wrong"), 401, "unauthenticated"},
		{"none", "GET", "/below/", "X-Other", "1", 401, "unauthenticated"},
		{"a wrong one of ours beside a right one", "GET", "/below/", identity.TokenHeader, "wrong", 401, "unauthenticated"},
		{"Basic elsewhere", "GET", "/v1/devices/pump/latest?property=temperature", "Authorization", basic(current), 401, "unauthenticated"},
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
