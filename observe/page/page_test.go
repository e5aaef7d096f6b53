package page

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/observe"
	"hotreader/remote"
	"hotreader/route"
	"hotreader/secret"
	"hotreader/store/memstore"
	"hotreader/wire"
)

const token = "0123456789abcdef0123456789abcdef"

// page returns the series of what h shows.
func page(t *testing.T, h http.Handler) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, Path, nil))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
	all := map[string]string{}
	for line := range strings.Lines(w.Body.String()) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			all[line[:i]] = strings.TrimSpace(line[i+1:])
		}
	}
	return all
}

// TestFailingPeer: attempts and retries, as the programs that read from another
// cloud are put together.
func TestFailingPeer(t *testing.T) {
	well := false
	api, err := httpapi.New(httpapi.Options{Source: memstore.New(), Token: static(t)})
	if err != nil {
		t.Fatal(err)
	}
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !well {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		api.ServeHTTP(w, r)
	}))
	defer peer.Close()
	seen, err := observe.New(observe.Options{Getenv: func(string) string { return "" }, Program: "p", Version: "1.2.3", Page: true})
	if err != nil {
		t.Fatal(err)
	}
	far, err := remote.New(remote.Options{URL: peer.URL, Token: static(t)})
	if err != nil {
		t.Fatal(err)
	}
	tried := seen.Retried(seen.Breaker(route.NewBreaker(far, route.BreakerOptions{})), func(r hotreader.Source) hotreader.Source {
		return route.NewRetry(r, route.RetryOptions{Retries: 2, Base: time.Nanosecond})
	})
	h, err := httpapi.New(httpapi.Options{Source: seen.Reads("read remote", tried), Token: static(t), Logger: slog.New(seen.Log(slog.DiscardHandler))})
	if err != nil {
		t.Fatal(err)
	}
	ours, shown := seen.Handler(h), Handler(seen)
	query := func() int {
		r := httptest.NewRequest(http.MethodGet, "/v1/devices/d/latest?property=p", nil)
		r.Header.Set(wire.TokenHeader, token)
		w := httptest.NewRecorder()
		ours.ServeHTTP(w, r)
		return w.Code
	}
	const latest, count = `,route="GET /v1/devices/{id}/latest"}`, "hotreader_queries_total"
	hold(t, shown, "before", map[string]string{count + `{code="unavailable"` + latest: "", "hotreader_remote_attempts_total": "0", "hotreader_breaker_open": "0",
		`hotreader_build_info{version="1.2.3"}`: "1", "hotreader_token_age_seconds": ""})
	if status := query(); status != http.StatusBadGateway {
		t.Fatal(status)
	}
	hold(t, shown, "after three attempts", map[string]string{count + `{code="unavailable"` + latest: "1", "hotreader_remote_attempts_total": "3", "hotreader_remote_retries_total": "2"})
	well = true
	if status := query(); status != http.StatusOK {
		t.Fatal(status)
	}
	hold(t, shown, "well again", map[string]string{count + `{code="ok"` + latest: "1", "hotreader_remote_attempts_total": "4", "hotreader_remote_retries_total": "2", "hotreader_breaker_openings_total": "0"})
}

func hold(t *testing.T, h http.Handler, when string, want map[string]string) {
	t.Helper()
	got := page(t, h)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %s is %q, want %s", when, name, got[name], value)
		}
	}
}

// peer fails, unless it is well.
type peer struct{ well bool }

func (p *peer) Scan(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if p.well {
		return func(func(hotreader.Row, error) bool) {}
	}
	return hotreader.Fail(&hotreader.Error{Op: "peer", Code: hotreader.CodeUnavailable})
}

// TestBreakerOpens: by the contract's minute of failure, twice.
func TestBreakerOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen, err := observe.New(observe.Options{Getenv: func(string) string { return "" }, Program: "p", Page: true})
		if err != nil {
			t.Fatal(err)
		}
		far, shown := &peer{}, Handler(seen)
		r := seen.Breaker(route.NewBreaker(far, route.BreakerOptions{}))
		read := func(times int) {
			for range times {
				for range hotreader.NewReader(r).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"p"}}) {
				}
				time.Sleep(10 * time.Second)
			}
		}
		read(6)
		hold(t, shown, "for less than a minute", map[string]string{"hotreader_breaker_open": "0", "hotreader_breaker_openings_total": "0"})
		read(1)
		hold(t, shown, "for a minute", map[string]string{"hotreader_breaker_open": "1", "hotreader_breaker_openings_total": "1"})
		time.Sleep(15 * time.Second)
		hold(t, shown, "when it may be tried", map[string]string{"hotreader_breaker_open": "0", "hotreader_breaker_openings_total": "1"})
		far.well = true
		read(3)
		hold(t, shown, "well again", map[string]string{"hotreader_breaker_open": "0", "hotreader_breaker_openings_total": "1"})
		far.well = false
		read(7)
		hold(t, shown, "ill again", map[string]string{"hotreader_breaker_open": "1", "hotreader_breaker_openings_total": "2"})
	})
}

func static(t *testing.T) *secret.Token {
	t.Helper()
	s, err := secret.Static(token)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
