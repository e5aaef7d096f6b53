package promapi

import (
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/internal/turns"
)

type empty struct{}

func (empty) Read(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(func(hotreader.Row, error) bool) {}
}

type token struct{}

// Few expressions are parsed, and few queries evaluated and lists made, at once; and however many one token
// asks for, another's are not behind them.
func TestTurns(t *testing.T) {
	devices, err := catalog.Of(nil)
	if err != nil {
		t.Fatal(err)
	}
	api, err := New(Options{Reader: empty{}, Catalog: devices, Caller: func(ctx context.Context) (string, netip.Addr) {
		return ctx.Value(token{}).(string), netip.Addr{}
	}})
	if err != nil {
		t.Fatal(err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	ask := func(ctx context.Context, name, path, want string) {
		t.Helper()
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, Prefix+path, http.NoBody).WithContext(context.WithValue(ctx, token{}, name)))
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s, %s: %d %s; want %s", name, path, w.Code, w.Body, want)
		}
	}
	paths := []string{"query?query=v", "query_range?query=v&start=0&end=1&step=1", "series?match[]=v", "labels?match[]=v", "label/device/values?match[]=v"}
	for places, paths := range map[*turns.Limit][]string{api.running: append(paths, "metadata"), api.parsing: paths} {
		var held []*turns.Place
		hold := func(name string) {
			place, err := places.Enter(t.Context(), name, netip.Addr{})
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, place)
		}
		for range places.PerToken {
			hold("greedy")
		}
		for _, path := range paths {
			ask(late, "greedy", path, "busy")
			ask(t.Context(), "modest", path, "success")
		}
		hold("modest")
		for _, path := range paths {
			ask(late, "modest", path, "busy")
		}
		for _, place := range held {
			place.Leave()
		}
	}
}
