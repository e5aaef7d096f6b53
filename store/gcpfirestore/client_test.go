package gcpfirestore

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"hotreader"
	"hotreader/store/internal/paging"
	"hotreader/store/storetest/cloud"
)

// zeros are messages of no bytes without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
func (zeros) Close() error               { return nil }

func TestEmptyMessagesEnd(t *testing.T) {
	err := (&stream{body: zeros{}}).each(t.Context(), func() {}, func([]byte) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "would never end") {
		t.Error(err)
	}
}

func TestEndpoints(t *testing.T) {
	for _, c := range []struct{ given, env, want string }{
		{"", "127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"", "http://127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"http://localhost:1/", "127.0.0.1:8080", "http://localhost:1"},
		{"ftp://x", "", ""},
		{"https://", "", ""},
		{"https://a:b@c", "", ""},
		{"https://c/v1", "", ""},
		{"", "a b", ""},
	} {
		t.Setenv("FIRESTORE_EMULATOR_HOST", c.env)
		got, err := NewClient(t.Context(), ClientOptions{Endpoint: c.given})
		if c.want == "" {
			if hotreader.CodeOf(err) != hotreader.CodeConfig {
				t.Errorf("%+v: %v, want an error of config", c, err)
			}
			continue
		}
		if err != nil || got.endpoint != c.want || got.tokens != nil {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
	t.Setenv("FIRESTORE_EMULATOR_HOST", "")
	c, err := NewClient(t.Context(), ClientOptions{Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "a"})})
	if err != nil || c.endpoint != Endpoint || c.tokens == nil {
		t.Errorf("%+v, %v", c, err)
	}
}

// Rows go in plain text to this machine alone.
func TestPlainTextStaysHere(t *testing.T) {
	for host, here := range map[string]bool{
		"127.0.0.1:8080": true, "localhost:8080": true, "[::1]:8080": true,
		"192.0.2.7:80": false, "[2001:db8::7]:80": false, "0.0.0.0:80": false, "firestore:8080": false, "localhost.example.com:80": false,
	} {
		for _, c := range []struct{ given, env string }{{"http://" + host, ""}, {"", host}, {"", "http://" + host}, {"", "https://" + host}} {
			t.Setenv("FIRESTORE_EMULATOR_HOST", c.env)
			_, err := NewClient(t.Context(), ClientOptions{Endpoint: c.given, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "a"})})
			if here && err != nil || !here && (hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "http is for an emulator on this machine; check FIRESTORE_EMULATOR_HOST")) {
				t.Errorf("%+v: %v", c, err)
			}
		}
	}
	t.Setenv("FIRESTORE_EMULATOR_HOST", "")
	if _, err := NewClient(t.Context(), ClientOptions{Endpoint: "https://192.0.2.7", Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "a"})}); err != nil {
		t.Errorf("https: %v", err)
	}
}

func TestCredentialsAreFound(t *testing.T) {
	t.Setenv("FIRESTORE_EMULATOR_HOST", "")
	t.Setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "")
	file := filepath.Join(t.TempDir(), "adc.json")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	_, err := NewClient(t.Context(), ClientOptions{})
	if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "gcloud auth application-default login") {
		t.Errorf("no file: %v", err)
	}
	const adc = `{"type":"authorized_user","client_id":"i","client_secret":"s","refresh_token":"r","quota_project_id":"payer"}`
	if err := os.WriteFile(file, []byte(adc), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(t.Context(), ClientOptions{})
	if err != nil || c.tokens == nil || c.quotaProject != "payer" {
		t.Errorf("%+v, %v", c, err)
	}
	t.Setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "other")
	if c, err = NewClient(t.Context(), ClientOptions{}); err != nil || c.quotaProject != "other" {
		t.Errorf("%+v, %v", c, err)
	}
}

// tokenFunc is an oauth2.TokenSource.
type tokenFunc func() (*oauth2.Token, error)

func (f tokenFunc) Token() (*oauth2.Token, error) { return f() }

func TestTokenIsSent(t *testing.T) {
	heads := make(chan http.Header, 10)
	s, c := secure(t, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "secret"}), func(w http.ResponseWriter, r *http.Request) {
		heads <- r.Header
		grpcAnswer(w, nil, "0")
	})
	c.transport.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
	store := storeOf(c, Options{})
	store.Look = paging.Look{}
	cloud.WantRows(t, store, qN)
	h := <-heads
	if h.Get("Authorization") != "Bearer secret" || h.Get("X-Goog-User-Project") != "payer" {
		t.Errorf("headers %v", h)
	}
}

func TestTokenIsKeptUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		tokens := newTokens(tokenFunc(func() (*oauth2.Token, error) {
			n := calls.Add(1)
			time.Sleep(time.Second)
			return &oauth2.Token{AccessToken: strings.Repeat("x", int(n)), Expiry: time.Now().Add(time.Hour)}, nil
		}))
		get := func(want string) {
			got, err := tokens.authorization(t.Context())
			if err != nil || got != want {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { get("Bearer x") })
		}
		all.Wait()
		if calls.Load() != 1 {
			t.Errorf("ten callers made %d requests", calls.Load())
		}
		time.Sleep(59 * time.Minute)
		get("Bearer x")
		time.Sleep(2 * time.Minute)
		get("Bearer xx")
		if calls.Load() != 2 {
			t.Errorf("%d requests", calls.Load())
		}
	})
}

// A source that hangs takes no more than the caller's own time, and what it
// brings later is used.
func TestSlowTokenSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := newTokens(tokenFunc(func() (*oauth2.Token, error) {
			time.Sleep(time.Minute)
			return &oauth2.Token{AccessToken: "late"}, nil
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 2 {
			if _, err := tokens.authorization(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		}
		if got, err := tokens.authorization(t.Context()); err != nil || got != "Bearer late" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestTokenSourceFails(t *testing.T) {
	for _, source := range []tokenFunc{
		func() (*oauth2.Token, error) { return nil, errors.New("invalid_grant") },
		func() (*oauth2.Token, error) { return new(oauth2.Token), nil },
	} {
		_, c := secure(t, source, func(http.ResponseWriter, *http.Request) { t.Error("a request without a token was sent") })
		if _, err := rows(t, storeOf(c, Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "token") {
			t.Errorf("error %v", err)
		}
	}
}

// An answer that stops after its head ends.
func TestSilence(t *testing.T) {
	cloud.Silent(t, "application/grpc", func(over http.RoundTripper) hotreader.Source {
		c, err := NewClient(t.Context(), ClientOptions{Endpoint: "http://127.0.0.1:1", Wrap: func(http.RoundTripper) http.RoundTripper { return over }})
		if err != nil {
			t.Fatal(err)
		}
		return storeOf(c, Options{})
	})
}
