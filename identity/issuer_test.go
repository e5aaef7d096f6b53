package identity_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"hotreader"
	"hotreader/identity"
)

// An issuer is asked at most once a minute, whatever is presented; loses no caller while
// it rotates its keys as the clouds do, or is away for an hour; and a clock may be a
// minute off.
func TestKeysOverTime(t *testing.T) {
	var clock atomic.Int64
	clock.Store(start)
	old, next := key(t, jose.ES384), key(t, jose.ES256)
	i := newIssuer(t, published("old", old))
	v := trusting(&clock, identity.Trusted{Name: "hall", Issuer: i.URL, Audience: audience, Subject: role})
	token := func(k string) string {
		now := clock.Load()
		c := claims{"iss": i.URL, "aud": audience, "sub": role, "iat": now, "nbf": now, "exp": now + 300}
		if k == "next" {
			return sign(t, next, claims{"alg": "ES256", "kid": k}, c)
		}
		return sign(t, old, claims{"alg": "ES384", "kid": k}, c)
	}
	pass := func(what, k string) {
		t.Helper()
		if _, err := v.Verify(bearer(token(k))); err != nil {
			t.Errorf("%s, after %d s: %v", what, clock.Load()-start, err)
		}
	}
	minutes := func(n int, each func()) {
		for range n {
			clock.Add(60)
			each()
		}
	}
	away := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

	pass("at first", "old")
	unknown := token("old")
	unknown = unknown[strings.IndexByte(unknown, '.'):]
	for n := range 10_000 {
		if n%100 == 0 {
			clock.Add(1)
		}
		if _, err := v.Verify(bearer(base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"ES384","kid":"k%d"}`, n)) + unknown)); !errors.Is(err, hotreader.CodeUnauthenticated) {
			t.Fatalf("key id %d: %v", n, err)
		}
	}
	if n := i.fetches.Load(); n > 2 { // in 100 s
		t.Errorf("10,000 key ids, %d fetches", n)
	}
	i.set(nil, published("old", old), published("next", next)) // published five minutes before it signs
	minutes(5, func() { pass("both published", "old") })
	pass("the next one signs", "next")
	i.set(nil, published("next", next))
	minutes(12, func() { pass("the old one gone", "next") })
	if _, err := v.Verify(bearer(token("old"))); !errors.Is(err, hotreader.CodeUnauthenticated) {
		t.Errorf("a key that is published no more: %v", err)
	}

	i.set(away)
	before := i.fetches.Load()
	minutes(60, func() { pass("an outage", "next") })
	if n := i.fetches.Load() - before; n < 40 || n > 60 {
		t.Errorf("an hour's outage: %d fetches", n)
	}
	i.set(nil, published("next", next))
	minutes(1, func() { pass("after it", "next") })
	i.set(away)
	minutes(80, func() { _, _ = v.Verify(bearer(token("next"))) })
	_, err := v.Verify(bearer(token("next")))
	if e, ok := errors.AsType[*hotreader.Error](err); !ok || e.Code != hotreader.CodeUnavailable || e.RetryAfter == 0 {
		t.Errorf("an outage of more than an hour: %v", err)
	}
	i.set(nil, published("next", next))
	minutes(1, func() { pass("and after that", "next") })

	at := token("next")
	for _, shift := range []int64{-60, 60, 359} { // a minute slow, a minute fast, and at its end a minute slow
		clock.Add(shift)
		if _, err := v.Verify(bearer(at)); err != nil {
			t.Errorf("a clock %d s off: %v", shift, err)
		}
		clock.Add(-shift)
	}
}

// Of what an issuer does nothing hurts the API: it is bounded, and the error has it.
func TestHostileIssuers(t *testing.T) {
	k := key(t, jose.ES256)
	elsewhere := newIssuer(t, published("k1", k)) // to which others lead
	document := func(issuer, keys string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer, keys)
		}
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		for n := 0; n < 100<<20 && r.Context().Err() == nil; n += 1 << 10 {
			if _, err := w.Write([]byte(strings.Repeat(" ", 1<<10))); err != nil {
				return
			}
		}
	}
	own := func(r *http.Request) string { return "http://" + r.Host }
	keys := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/keys" {
				fmt.Fprint(w, text)
				return
			}
			document(own(r), own(r)+"/keys")(w, r)
		}
	}
	for want, ill := range map[string]http.HandlerFunc{
		"status 302": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
		},
		"more than 524288 bytes":       endless,
		"not the expected JSON":        func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"the issuer's document is":     func(w http.ResponseWriter, r *http.Request) { document(elsewhere.URL, elsewhere.URL+"/keys")(w, r) },
		"keys are at \"http://example": func(w http.ResponseWriter, r *http.Request) { document(own(r), "http://example.com/keys")(w, r) },
		"keys are at \"file:":          func(w http.ResponseWriter, r *http.Request) { document(own(r), "file:///etc/passwd")(w, r) },
		"keys are at \"\"":             func(w http.ResponseWriter, r *http.Request) { document(own(r), "")(w, r) },
		"101 keys":                     keys(`{"keys":[` + strings.Repeat(`{},`, 100) + `{}]}`),
		"there is no key in it":        keys(`{"keys":[{"kty":"oct","kid":"k1","k":"AAAA"},{"kty":"RSA","kid":"k1","n":"AQ","e":"AQAB"},7]}`),
		"status 500":                   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"EOF":                          func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"deadline exceeded":            func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			var clock atomic.Int64
			clock.Store(start)
			i := newIssuer(t)
			i.set(ill)
			v := trusting(&clock, identity.Trusted{Name: "hall", Issuer: i.URL, Audience: audience, Subject: role})
			token := sign(t, k, claims{"alg": "ES256", "kid": "k1"}, claims{"iss": i.URL, "aud": audience, "sub": role, "exp": start + 300})
			_, err := v.Verify(bearer(token))
			if !errors.Is(err, hotreader.CodeUnavailable) || !strings.Contains(err.Error(), want) || elsewhere.fetches.Load() > 0 {
				t.Errorf("%v; %d redirects followed", err, elsewhere.fetches.Load())
			}
		})
	}
}

// A slow issuer delays no caller whose key is known.
func TestSlowIssuer(t *testing.T) {
	var clock atomic.Int64
	_, i, v, token := hall(t, &clock)
	if _, err := v.Verify(bearer(token)); err != nil {
		t.Fatal(err)
	}
	held := make(chan struct{})
	i.set(func(http.ResponseWriter, *http.Request) { <-held })
	defer close(held)
	clock.Add(11 * 60)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			if _, err := v.Verify(bearer(token).WithContext(ctx)); err != nil || ctx.Err() != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := i.fetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
}

// Callers with a token of their own, and those whose cloud signs one, are let in beside
// each other.
func TestCallers(t *testing.T) {
	const shared, grafana, rotated = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210", "ffffffffffffffffffffffffffffffff"
	var clock atomic.Int64
	_, _, v, signed := hall(t, &clock)
	value := grafana
	for name, fetch := range map[string]identity.Fetch{
		"":        func(context.Context) (string, time.Time, error) { return shared, time.Time{}, nil },
		"grafana": func(context.Context) (string, time.Time, error) { return value, time.Time{}, nil },
	} {
		token, err := identity.Fetched(t.Context(), fetch)
		if err != nil {
			t.Fatal(err)
		}
		v.Shared = append(v.Shared, identity.Shared{Token: token, Caller: identity.Caller{Name: name}})
	}
	for token, want := range map[string]string{shared: "current", grafana: "grafana", signed: "hall", rotated: "", "": ""} {
		if c, err := v.Verify(bearer(token)); c.Name != want || (err == nil) != (want != "") {
			t.Errorf("%.8s: %+v, %v", token, c, err)
		}
	}
}

// A token is fetched anew shortly before its end, or when it is rejected, by one of the
// callers that need it; and is used to its end when none comes.
func TestSigned(t *testing.T) {
	k := key(t, jose.ES256)
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int64
		var fail atomic.Pointer[hotreader.Error]
		life := int64(3600)
		s := identity.NewSigned(func(ctx context.Context) (string, time.Time, error) {
			time.Sleep(100 * time.Millisecond)
			if e := fail.Load(); e != nil {
				return "", time.Time{}, e
			}
			n := fetches.Add(1)
			return sign(t, k, claims{"alg": "ES256", "kid": "k1"}, claims{"jti": fmt.Sprint(n), "exp": time.Now().Unix() + life}) + "\n", time.Time{}, ctx.Err()
		})
		apply := func() *http.Request {
			t.Helper()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if err := s.Apply(r); err != nil {
				t.Error(err)
			}
			return r
		}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { apply() })
		}
		all.Wait()
		time.Sleep(54 * time.Minute)
		first := apply()
		if n := fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
		sent := strings.TrimPrefix(first.Header.Get("Authorization"), "Bearer ")
		if text := identity.Hide(first, "it was "+sent); text != "it was [token]" {
			t.Error(text)
		}
		time.Sleep(2 * time.Minute)
		second := apply()
		if n := fetches.Load(); n != 2 || second.Header.Get("Authorization") == first.Header.Get("Authorization") {
			t.Errorf("%d fetches, four minutes before the end", n)
		}
		if again, err := s.Refused(t.Context(), first); !again || err != nil {
			t.Errorf("another had one: %v, %v", again, err)
		}
		if again, err := s.Refused(t.Context(), second); again || err != nil {
			t.Errorf("a new one: %v, %v", again, err)
		}
		time.Sleep(2 * time.Minute)
		if again, err := s.Refused(t.Context(), second); !again || err != nil || fetches.Load() != 3 {
			t.Errorf("an old one: %v, %v", again, err)
		}
		fail.Store(&hotreader.Error{Op: "sign", Code: hotreader.CodeForbidden})
		time.Sleep(58 * time.Minute)
		apply()
		time.Sleep(3 * time.Minute)
		if err := s.Apply(first); !errors.Is(err, hotreader.CodeForbidden) {
			t.Errorf("it has ended, and there is no other: %v", err)
		}
		fail.Store(nil)
		life = 60
		apply()
		time.Sleep(20 * time.Second)
		apply()
		if n := fetches.Load(); n != 4 {
			t.Errorf("%d fetches of short ones", n)
		}
	})
	for text, want := range map[string]string{
		"<html>": "no token that this cloud has signed", "": "no token", sign(t, k, claims{"alg": "ES256"}, claims{}): "never expires",
		sign(t, k, claims{"alg": "ES256"}, claims{"exp": start, "pad": strings.Repeat("x", 20<<10)}): "more than 16384",
	} {
		s := identity.NewSigned(func(context.Context) (string, time.Time, error) { return text, time.Time{}, nil })
		if err := s.Apply(bearer("")); !errors.Is(err, hotreader.CodeProtocol) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20s: %v", text, err)
		}
	}
}
