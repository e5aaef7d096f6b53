package remote_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/identity"
	"hotreader/remote"
)

// pages answers GET /v1/devices with one page after the other, and again.
func pages(asked *[]string, bodies ...string) http.RoundTripper {
	return transport(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, bodies[len(*asked)%len(bodies)])
		*asked = append(*asked, r.URL.RequestURI())
		return w.Result(), nil
	})
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func lister(t *testing.T, peer http.RoundTripper) *remote.Lister {
	t.Helper()
	token, err := identity.Static(strings.Repeat("0123456789abcdef", 2))
	if err != nil {
		t.Fatal(err)
	}
	r, err := remote.New(remote.Options{URL: "https://peer.example/read", Credential: token, Client: &http.Client{Transport: peer}})
	if err != nil {
		t.Fatal(err)
	}
	return r.Lister()
}

// The whole list is asked for once a minute, whatever is asked of it.
func TestLister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		l := lister(t, pages(&asked,
			`{"items":[{"id":"pump-1","type":"pump","properties":2,"names":["a","b"]}],"next_token":"x"}`,
			`{"items":[{"id":"pump-2","type":null,"properties":0,"names":[]},{"id":"valve","type":null,"properties":1,"names":["c"]}],"next_token":null}`))
		for _, c := range []struct {
			prefix, after string
			n             int
			want          string
		}{
			{"", "", 10, "[{pump-1 pump [a b]} {pump-2  []} {valve  [c]}]"},
			{"", "", 1, "[{pump-1 pump [a b]}]"},
			{"pump", "pump-1", 10, "[{pump-2  []}]"},
			{"pump-2", "", 1, "[{pump-2  []}]"},
			{"", "valve", 10, "[]"},
			{"x", "", 10, "[]"},
		} {
			page, err := l.Devices(t.Context(), c.prefix, c.after, c.n)
			if got := fmt.Sprint(page); err != nil || got != c.want {
				t.Errorf("%q after %q: %s, %v; want %s", c.prefix, c.after, got, err, c.want)
			}
		}
		time.Sleep(time.Minute)
		if _, err := l.Devices(t.Context(), "", "", 1); err != nil || len(asked) != 2 {
			t.Errorf("after a minute: %q, %v", asked, err)
		}
		time.Sleep(1)
		if _, err := l.Devices(t.Context(), "", "", 1); err != nil || fmt.Sprint(asked[2:]) != "[/v1/devices?names=true /v1/devices?names=true&next_token=x]" {
			t.Errorf("after more than a minute: %q, %v", asked, err)
		}
	})
}

// A list of few bytes must not become much memory.
func TestListsAreBounded(t *testing.T) {
	for name, c := range map[string]struct{ body, says string }{
		"nothings": {`{"items":[` + strings.Repeat(`{},`, 3_000_000) + `{}],"next_token":null}`, "not in the order of ids"},
		"names":    {`{"items":[{"id":"a","properties":3000000,"names":[` + strings.Repeat(`"",`, 2_999_999) + `""]}],"next_token":null}`, "more than 32 MB"},
	} {
		l := lister(t, transport(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(c.body))}, nil
		}))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := l.Devices(t.Context(), "", "", 1)
		runtime.ReadMemStats(&after)
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 64 || hotreader.CodeOf(err) != hotreader.CodeProtocol || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d MB, %v", name, took, err)
		}
	}
}

// A list that cannot be right is an error, and not kept.
func TestListerRefuses(t *testing.T) {
	for body, want := range map[string]string{
		`{"items":[{"id":"b","properties":0},{"id":"a","properties":0}],"next_token":null}`: "not in the order of ids",
		`{"items":[{"id":"a","properties":1}],"next_token":null}`:                           "lacks names",
		`{"items":[],"next_token":"x"}`:                                                     "empty page",
		`[]`:                                                                                "cannot be read",
		`{"items":[{"id":"a","properties":400000,"names":["` + strings.Repeat("x", 100) + `"` + strings.Repeat(`,""`, 399_999) + `]},{"id":"b","properties":1700000,"names":[""` + strings.Repeat(`,""`, 1_699_999) + `]}],"next_token":null}`: "more than 32 MB",
	} {
		var asked []string
		l := lister(t, pages(&asked, body))
		for range 2 {
			if _, err := l.Devices(t.Context(), "", "", 1); hotreader.CodeOf(err) != hotreader.CodeProtocol || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", body, err, want)
			}
		}
		if len(asked) != 2 {
			t.Errorf("%s is asked for %d times", body, len(asked))
		}
	}
}
