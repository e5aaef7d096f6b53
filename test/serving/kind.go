package serving

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"hotreader"
	"hotreader/identity"
	"hotreader/remote"
)

// Kind is a program that serves, and what its tests must know of it to check what
// holds for each.
type Kind struct {
	Program string
	Port    string            // the variable with its port
	Here    map[string]string // the environment where hot storage is here, and not reached
	Far     map[string]string // that of a twin here with hot storage elsewhere, without the peer's URL and the token
}

// Start starts the program.
func (k Kind) Start(t testing.TB, env map[string]string) *Process {
	t.Helper()
	return Start(t, k.Program, k.Port, env)
}

// Twin starts the program for a twin here whose hot storage is peer's.
func (k Kind) Twin(t testing.TB, peer *Peer) *Process {
	t.Helper()
	return k.Start(t, With(k.Far, "REMOTE_READER_URL", peer.URL, "INTER_CLOUD_TOKEN", Token)).WaitReady(t)
}

// Source returns the Source behind a program's API. client nil = remote's own.
func Source(t testing.TB, url string, client *http.Client) hotreader.Source {
	t.Helper()
	token, err := identity.Static(Token)
	if err != nil {
		t.Fatal(err)
	}
	src, err := remote.New(remote.Options{URL: url, Credential: token, SourceCloud: "aws", Client: client})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// Holds reports what is wrong with a Source that has the first n rows of Fill's
// device d; nil = nothing.
func Holds(ctx context.Context, src hotreader.Source, n int) error {
	i := 0
	for row, err := range hotreader.NewReader(src).Read(ctx, hotreader.Query{Device: "d", Properties: []string{"temperature"}}) {
		if err != nil {
			return err
		}
		if !row.Time.Equal(At(i)) || row.Values[0].String() != Digits(i) {
			return fmt.Errorf("row %d is %v", i, row)
		}
		i++
	}
	if i != n {
		return fmt.Errorf("%d rows, want %d", i, n)
	}
	return nil
}

// Drains checks SIGTERM: no new connection is taken, what is under way is
// answered, and the program ends well.
func (k Kind) Drains(t *testing.T, client *http.Client) {
	t.Helper()
	peer := NewPeer(t, Token)
	peer.Fill(t, "d", 3)
	asked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	peer.Set(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		select {
		case <-release:
		case <-r.Context().Done():
		}
		peer.Set(nil)
		w.WriteHeader(http.StatusServiceUnavailable) // which is retried, also now
	})
	p := k.Twin(t, peer)
	src, done := Source(t, p.URL, client), make(chan error, 1)
	go func() { done <- Holds(context.Background(), src, 3) }()
	<-asked
	p.Terminate(t)
	for { // until it listens no more
		resp, err := http.Get(p.URL + "/healthz")
		if err != nil {
			break
		}
		_ = resp.Body.Close()
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("%v\n%s", err, p.Log())
	}
	if code := p.WaitExit(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.Log())
	}
}

// WithoutItsStore checks that the API answers what needs no store while the store
// is away, and says so for the rest, without a word about where the store is.
func (k Kind) WithoutItsStore(t *testing.T) {
	t.Helper()
	p := k.Start(t, k.Here).WaitReady(t)
	for _, c := range []struct {
		method, path, body, token string
		status                    int
		want                      string
	}{
		{"GET", "/healthz", "", "", 200, "ok"},
		{"GET", "/openapi.json", "", "", 200, `"openapi"`},
		{"GET", "/v1/devices/d/latest?property=temperature", "", Token, 502, `"unavailable"`},
		{"POST", "/read", strings.Repeat("x", 65<<10), Token, 413, `"too_large"`},
	} {
		a := p.Ask(t, c.method, c.path, c.body, c.token, "Content-Type", "application/json")
		if a.Status != c.status || !strings.Contains(a.Body, c.want) || strings.Contains(a.Body, "127.0.0.1") {
			t.Errorf("%s %s: %d %.200s", c.method, c.path, a.Status, a.Body)
		}
	}
}

// TakesTokenFrom checks that the token comes from the cloud's store of secrets,
// once, and that the program does not start without it. plays plays the store with
// a value, "" for one that may not be read, and returns the variables that name it;
// role is what is said to be missing then.
func (k Kind) TakesTokenFrom(t *testing.T, plays func(t *testing.T, value string) (env []string, fetches *atomic.Int64), role string) {
	t.Helper()
	env, fetches := plays(t, Token)
	p := k.Start(t, With(k.Here, append(env, "INTER_CLOUD_TOKEN", "")...)).WaitReady(t)
	for token, want := range map[string]int{Token: 400, Rotated: 401, "": 401} {
		if a := p.Ask(t, "GET", "/v1/devices/d/latest", "", token); a.Status != want {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	if n := fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	for value, want := range map[string]string{"": role, "short": "at least 32"} {
		env, _ := plays(t, value)
		p := k.Start(t, With(k.Here, append(env, "INTER_CLOUD_TOKEN", "")...))
		if code := p.WaitExit(t); code != 1 || !strings.Contains(p.Log(), "INTER_CLOUD_TOKEN_SECRET") || !strings.Contains(p.Log(), want) {
			t.Errorf("exit code %d, %s", code, p.Log())
		}
	}
}
