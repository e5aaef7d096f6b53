package security

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hotreader/test/serving"
)

// front stands before a program as a platform does, which moves its clients from
// one revision to the next.
type front struct {
	to atomic.Pointer[httputil.ReverseProxy]
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.to.Load().ServeHTTP(w, r) }

func (f *front) turn(t testing.TB, p *serving.Process) {
	t.Helper()
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	f.to.Store(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }})
}

// stand starts a front before p.
func stand(t testing.TB, p *serving.Process) (f *front, at string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f = &front{}
	f.turn(t, p)
	s := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return f, "http://" + l.Addr().String()
}

// underLoad has clients ask at all the time, with the token that current has: none may
// fail. Every step sees traffic, and outlasts what began before it, by some: a client
// that was slow may still be on its way with what the step replaces.
func underLoad(t *testing.T, at string, current func() string) (some, stop func()) {
	ctx, end := context.WithCancel(t.Context())
	var asked [4]atomic.Int64
	var clients sync.WaitGroup
	for i := range asked {
		clients.Go(func() {
			for ctx.Err() == nil {
				method, path, body := "GET", "/v1/devices/pump/latest?property=temperature", ""
				if i%2 == 1 {
					method, path, body = "POST", "/read", serving.Envelope("query", "pump", "")
				}
				a, err := serving.TryAsk(context.WithoutCancel(ctx), at, method, path, body, current())
				if err != nil || a.Status != 200 {
					t.Errorf("request %d of client %d: %v, %d %s", asked[i].Load(), i, err, a.Status, a.Body)
					return
				}
				asked[i].Add(1)
			}
		})
	}
	some = func() {
		t.Helper()
		for i := range asked {
			for from := asked[i].Load(); asked[i].Load() < from+10 && !t.Failed(); {
				time.Sleep(time.Millisecond)
			}
		}
	}
	some()
	return some, func() {
		end()
		clients.Wait()
	}
}

// TestRotationUnderLoad: old token, both, new token, with servers that are
// replaced and ended meanwhile, while clients ask all the time: no request
// fails. Afterwards the old token is refused.
func TestRotationUnderLoad(t *testing.T) {
	store := bolt(t)
	revision := func(tokens string) *serving.Process {
		return start(t, "hotreader", map[string]string{"INTER_CLOUD_TOKEN": tokens}, "serve", "--store", store, "--rate", "0", "--log-level", "warn")
	}
	first := revision(token)
	f, at := stand(t, first)
	var current atomic.Value
	current.Store(token)
	some, stop := underLoad(t, at, func() string { return current.Load().(string) })
	defer stop()
	both := revision(rotated + "," + token) // hot storage's side takes both
	f.turn(t, both)
	some()
	first.Terminate(t)
	some()
	current.Store(rotated) // the twin's side sends the new one
	some()
	last := revision(rotated) // the old one is forgotten
	f.turn(t, last)
	some()
	both.Terminate(t)
	some()
	stop()
	for old, status := range map[string]int{token: 401, rotated: 200} {
		if a := serving.Ask(t, last.URL, "GET", "/v1/devices/pump/latest?property=temperature", "", old); a.Status != status {
			t.Errorf("afterwards: %d, want %d", a.Status, status)
		}
	}
}

// TestChangeOverUnderLoad: a twin changes from the shared token to what its cloud signs,
// and back, in the order of hotreader deploy, while people ask its reader all the time:
// no request fails, and a paging that began before goes on through all of it. With
// federation the API takes the shared token no more.
func TestChangeOverUnderLoad(t *testing.T) {
	const audience = "hotreader-hall"
	store, key, signer := bolt(t), filepath.Join(t.TempDir(), "page-key"), serving.NewSigner(t, "gcp")
	if err := os.WriteFile(key, []byte("a-key-of-page-tokens-0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	shared := map[string]string{"INTER_CLOUD_TOKEN": token}
	trust := map[string]string{"HOTREADER_TRUST": "[" + signer.Trusted(audience) + "]", "HOTREADER_PAGE_KEY_SECRET": key}
	both := serving.With(trust, "INTER_CLOUD_TOKEN", token)
	api := func(env map[string]string) *serving.Process {
		return start(t, "hotreader", env, "serve", "--store", store, "--rate", "0", "--log-level", "warn")
	}
	server := api(shared)
	servers, apiAt := stand(t, server)
	asked := map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("aws", "google"), "REMOTE_READER_URL": apiAt, "INTER_CLOUD_TOKEN": token, "HOTREADER_RATE": "1000000", "HOTREADER_CACHE": "0"}
	reads := func(env map[string]string) *serving.Process {
		all := serving.With(asked)
		maps.Copy(all, env)
		return start(t, "hotreader-cloudrun", all)
	}
	reader := reads(nil)
	readers, at := stand(t, reader)
	some, stop := underLoad(t, at, func() string { return token })
	defer stop()
	next := ""
	page := func(when string) {
		t.Helper()
		a := serving.Ask(t, at, "GET", "/v1/devices/pump/history?property=temperature&limit=1&next_token="+url.QueryEscape(next), "", token)
		_, rest, ok := strings.Cut(a.Body, `"next_token":"`)
		if a.Status != 200 {
			t.Errorf("%s, the next page: %d %s", when, a.Status, a.Body)
		}
		if next = ""; ok {
			next, _, _ = strings.Cut(rest, `"`)
		}
	}
	page("at first")
	for _, step := range []struct {
		name   string
		api    map[string]string // nil = the reader changes
		reader map[string]string
	}{
		{"the API takes both", both, nil},
		{"the reader sends what its cloud signs", nil, signer.Env(audience)},
		{"the API takes the token no more", trust, nil},
		{"the API takes both again", both, nil},
		{"the reader sends the token", nil, map[string]string{}},
		{"the API takes what is signed no more", serving.With(shared, "HOTREADER_PAGE_KEY_SECRET", key), nil},
	} {
		old := server
		if step.api != nil {
			server = api(step.api)
			servers.turn(t, server)
		} else {
			old, reader = reader, reads(step.reader)
			readers.turn(t, reader)
		}
		some()
		page(step.name)
		old.Terminate(t)
		some()
		federated := len(step.api) == len(trust) && step.api["HOTREADER_TRUST"] != ""
		if a := serving.Ask(t, server.URL, "GET", "/v1/devices/pump/latest?property=temperature", "", token); (a.Status == 401) != federated {
			t.Errorf("%s: the shared token is answered %d", step.name, a.Status)
		}
	}
	stop()
	if signer.Signed.Load() == 0 {
		t.Error("nothing was signed")
	}
}
