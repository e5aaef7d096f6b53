package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"hotreader"
	"hotreader/identity"
)

const (
	audience = "hotreader-hall"
	role     = "arn:aws:iam::123456789012:role/hall-hot-reader"
)

// key makes a key of an algorithm.
func key(t testing.TB, alg jose.SignatureAlgorithm) crypto.Signer {
	t.Helper()
	var k crypto.Signer
	var err error
	switch alg {
	case jose.ES256:
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		k, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// issuer is one with its document and its keys on this machine.
type issuer struct {
	*httptest.Server
	fetches atomic.Int64 // of keys

	mu   sync.Mutex
	keys []jose.JSONWebKey // that are published
	ill  http.HandlerFunc  // answers instead; nil = it is well
}

func newIssuer(t testing.TB, keys ...jose.JSONWebKey) *issuer {
	t.Helper()
	i := &issuer{keys: keys}
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) set(ill http.HandlerFunc, keys ...jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ill, i.keys = ill, keys
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	keys, ill := i.keys, i.ill
	i.mu.Unlock()
	if r.URL.Path != "/keys" {
		i.fetches.Add(1)
	}
	switch {
	case ill != nil:
		ill(w, r)
	case r.URL.Path == "/keys":
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys})
	default:
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	}
}

func published(id string, k crypto.Signer) jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.Public(), KeyID: id, Use: "sig"}
}

type claims map[string]any

// with returns c with other members; nil takes one out.
func (c claims) with(pairs ...any) claims {
	c = maps.Clone(c)
	for n := 0; n < len(pairs); n += 2 {
		if c[pairs[n].(string)] = pairs[n+1]; pairs[n+1] == nil {
			delete(c, pairs[n].(string))
		}
	}
	return c
}

// sign returns a token, signed whether that makes sense or not.
func sign(t testing.TB, k crypto.Signer, header, payload claims) string {
	t.Helper()
	part := func(v claims) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return signText(t, k, part(header)+"."+part(payload))
}

func signText(t testing.TB, k crypto.Signer, text string) string {
	t.Helper()
	hash := crypto.SHA256
	private, elliptic := k.(*ecdsa.PrivateKey)
	if elliptic && private.Params().BitSize == 384 {
		hash = crypto.SHA384
	}
	h := hash.New()
	h.Write([]byte(text))
	var sum []byte
	var err error
	if elliptic {
		r, s, serr := ecdsa.Sign(rand.Reader, private, h.Sum(nil))
		err = serr
		size := (private.Params().BitSize + 7) / 8
		sum = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	} else {
		sum, err = k.Sign(rand.Reader, h.Sum(nil), hash)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sum)
}

func bearer(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// trusting returns what verifies callers of an issuer, at the time in clock.
func trusting(clock *atomic.Int64, more ...identity.Trusted) *identity.Callers {
	now := func() time.Time { return time.Unix(clock.Load(), 0) }
	return &identity.Callers{Federation: identity.NewFederation(more, identity.FederationOptions{Now: now}), Logger: slog.New(slog.DiscardHandler)}
}

// hall returns an issuer with a key k1, what trusts it with the caller hall, and a token.
func hall(t testing.TB, clock *atomic.Int64) (k crypto.Signer, i *issuer, v *identity.Callers, token string) {
	t.Helper()
	clock.Store(start)
	k = key(t, jose.ES256)
	i = newIssuer(t, published("k1", k))
	v = trusting(clock, identity.Trusted{Name: "hall", Issuer: i.URL, Audience: audience, Subject: role})
	return k, i, v, sign(t, k, claims{"alg": "ES256", "kid": "k1"}, claims{"iss": i.URL, "aud": audience, "sub": role, "exp": start + 3600})
}

var start = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC).Unix()

// clouds' tokens, as they are documented, are taken.
func TestTokensOfTheClouds(t *testing.T) {
	var clock atomic.Int64
	clock.Store(start)
	for name, c := range map[string]struct {
		alg    jose.SignatureAlgorithm
		claims claims
	}{
		"aws": {jose.RS256, claims{"sub": role, "aud": audience, "iat": start, "exp": start + 3600, "jti": "x",
			"https://sts.amazonaws.com/": claims{"aws_account": "123456789012", "source_region": "eu-central-1", "principal_id": role}}},
		"aws, elliptic": {jose.ES384, claims{"sub": role, "aud": audience, "iat": start, "exp": start + 300}},
		"azure": {jose.RS256, claims{"sub": "b6f2", "oid": "b6f2", "aud": "api://" + audience, "appid": "0d1c", "appidacr": "2", "idtyp": "app",
			"iat": start - 300, "nbf": start - 300, "exp": start + 86400, "tid": "72f9", "ver": "1.0", "uti": "x", "rh": "0."}},
		"google":   {jose.RS256, claims{"sub": "113774264463038321964", "aud": audience, "azp": "113774264463038321964", "email": "hall@p.iam.gserviceaccount.com", "email_verified": true, "iat": start, "exp": start + 3600}},
		"elliptic": {jose.ES256, claims{"sub": "x", "aud": []string{audience}, "exp": start + 60}},
	} {
		k := key(t, c.alg)
		i := newIssuer(t, jose.JSONWebKey{Key: key(t, jose.RS256).Public(), KeyID: "other"}, published("k1", k))
		aud, ok := c.claims["aud"].(string)
		if !ok {
			aud = audience
		}
		v := trusting(&clock, identity.Trusted{Name: "other", Issuer: i.URL, Audience: aud, Subject: "other"},
			identity.Trusted{Name: name, Issuer: i.URL, Audience: aud, Subject: c.claims["sub"].(string), Devices: identity.Devices{"pump-*"}, Rate: 5, Burst: 7})
		caller, err := v.Verify(bearer(sign(t, k, claims{"alg": c.alg, "kid": "k1", "typ": "JWT"}, c.claims.with("iss", i.URL))))
		if err != nil || caller.Name != name || caller.Devices.Has("valve") || caller.Rate != 5 || caller.Burst != 7 {
			t.Errorf("%s: %+v, %v", name, caller, err)
		}
	}
}

// attack is a token that must not be taken.
type attack struct{ name, token string }

func TestIdentityAttacks(t *testing.T) {
	var clock atomic.Int64
	clock.Store(start)
	k, stranger, small := key(t, jose.RS256), key(t, jose.RS256), key(t, jose.ES256)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("a secret key that is published by mistake")
	i := newIssuer(t, published("k1", k), published("ec", small), published("weak", weak),
		jose.JSONWebKey{Key: k.Public(), KeyID: "enc", Use: "enc"},
		jose.JSONWebKey{Key: k.Public(), KeyID: "pss", Use: "sig", Algorithm: "PS256"},
		jose.JSONWebKey{Key: secret, KeyID: "oct", Use: "sig"},
		jose.JSONWebKey{Key: k.Public(), Use: "sig"})
	twin := newIssuer(t, published("k1", stranger))
	v := trusting(&clock,
		identity.Trusted{Name: "hall", Issuer: i.URL, Audience: audience, Subject: role},
		identity.Trusted{Name: "other twin", Issuer: twin.URL, Audience: "hotreader-other", Subject: role})
	good := claims{"iss": i.URL, "aud": audience, "sub": role, "iat": start, "nbf": start, "exp": start + 3600}
	head := claims{"alg": "RS256", "kid": "k1", "typ": "JWT"}
	taken := sign(t, k, head, good)
	if _, err := v.Verify(bearer(taken)); err != nil {
		t.Fatal(err)
	}
	for _, a := range attacks(t, i, k, stranger, small, weak, secret, head, good) {
		caller, err := v.Verify(bearer(a.token))
		if !errors.Is(err, hotreader.CodeUnauthenticated) || caller.Name != "" {
			t.Errorf("%s: %+v, %v", a.name, caller, err)
		}
		if err != nil && len(a.token) > 40 && strings.Contains(err.Error(), a.token[len(a.token)-40:]) {
			t.Errorf("%s: the error has the token", a.name)
		}
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("keys were fetched %d times", n)
	}
	for name, r := range map[string]func(*http.Request){
		"in the shared token's header": func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set("X-Forwarded-Authorization", "Bearer "+taken)
		},
		"twice":     func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+taken) },
		"as Basic":  func(r *http.Request) { r.Header.Set("Authorization", "Basic "+taken) },
		"in a list": func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+taken+", Bearer "+taken) },
		"in the query": func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "access_token=" + taken
		},
		"as a cookie": func(r *http.Request) {
			r.Header.Del("Authorization")
			r.AddCookie(&http.Cookie{Name: "token", Value: taken})
		},
	} {
		req := bearer(taken)
		r(req)
		if _, err := v.Verify(req); !errors.Is(err, hotreader.CodeUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// attacks are tokens for the good claims with something about them.
func attacks(t *testing.T, i *issuer, k, stranger, small, weak crypto.Signer, secret []byte, head, good claims) []attack {
	t.Helper()
	taken := sign(t, k, head, good)
	parts := strings.Split(taken, ".")
	text := func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte(v)) }
	mac := func(key []byte, alg, id string) string {
		unsigned := strings.TrimSuffix(sign(t, k, head.with("alg", alg, "kid", id), good), "."+"")
		unsigned = unsigned[:strings.LastIndexByte(unsigned, '.')]
		h := hmac.New(sha256.New, key)
		h.Write([]byte(unsigned))
		return unsigned + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	own := published("k1", stranger)
	other := func(pairs ...any) string { return sign(t, k, head, good.with(pairs...)) }
	by := func(signer crypto.Signer, pairs ...any) string { return sign(t, signer, head.with(pairs...), good) }
	all := []attack{
		{"none", text(`{"alg":"none","kid":"k1"}`) + "." + parts[1] + "."},
		{"None", text(`{"alg":"None","kid":"k1"}`) + "." + parts[1] + "." + parts[2]},
		{"no algorithm", by(k, "alg", nil)},
		{"HMAC with the public key, DER", mac(der, "HS256", "k1")},
		{"HMAC with the public key, PEM", mac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "HS256", "k1")},
		{"HMAC with a published secret", mac(secret, "HS256", "oct")},
		{"RS256 whose bytes are an HMAC", mac(der, "RS256", "k1")},
		{"PS256", by(k, "alg", "PS256")}, {"RS512", by(k, "alg", "RS512")}, {"EdDSA", by(k, "alg", "EdDSA")},
		{"an elliptic algorithm for an RSA key", by(k, "alg", "ES256")},
		{"another curve's algorithm", by(small, "kid", "ec", "alg", "ES384")},
		{"RSA's algorithm for an elliptic key", by(small, "kid", "ec")},
		{"a weak key", by(weak, "kid", "weak")}, {"a key for encryption", by(k, "kid", "enc")}, {"a key for another algorithm", by(k, "kid", "pss")},
		{"no key id", by(k, "kid", nil)}, {"an empty key id", by(k, "kid", "")}, {"an unknown key id", by(k, "kid", "k2")},
		{"a path as key id", by(k, "kid", "../../dev/null")}, {"a number as key id", by(k, "kid", 1)},
		{"a stranger's key", by(stranger)}, {"a stranger's key, embedded", by(stranger, "jwk", own)},
		{"a stranger's keys by address", by(stranger, "jku", i.URL+"/evil")}, {"a stranger's certificate by address", by(stranger, "x5u", i.URL+"/evil")},
		{"a critical header that is unknown", by(k, "crit", []string{"exp2"}, "exp2", 1)},
		{"a payload that is not encoded", by(k, "crit", []string{"b64"}, "b64", false)},
		{"no issuer", other("iss", nil)}, {"another issuer", other("iss", "https://evil.example.com")}, {"an issuer with a slash", other("iss", i.URL+"/")},
		{"an issuer in other letters", other("iss", strings.ToUpper(i.URL))}, {"issuers in a list", other("iss", []string{i.URL})},
		{"no audience", other("aud", nil)}, {"another audience", other("aud", "hotreader-other")}, {"no audience in the list", other("aud", []string{})},
		{"two audiences", other("aud", []string{audience, "hotreader-other"})}, {"a part of the audience", other("aud", audience[:9])}, {"a longer audience", other("aud", audience+"\x00")},
		{"no subject", other("sub", nil)}, {"another subject", other("sub", role+"2")}, {"an assumed role's session", other("sub", strings.Replace(role, ":role/", ":assumed-role/", 1)+"/x")},
		{"a wildcard as subject", other("sub", "*")}, {"the subject in other letters", other("sub", strings.ToUpper(role))}, {"subjects in a list", other("sub", []string{role})},
		{"no expiry", other("exp", nil)}, {"expired", other("exp", start-61)}, {"expired by the leeway", other("exp", start-60)},
		{"an expiry that is a text", other("exp", fmt.Sprint(start+3600))}, {"an expiry in milliseconds", other("exp", (start+3600)*1000)}, {"an expiry without end", other("exp", 1e300)},
		{"an expiry in the year 1", other("exp", -62135596800)}, {"not valid yet", other("nbf", start+61)}, {"issued tomorrow", other("iat", start+86400)},
		{"the right token of another twin", other("aud", "hotreader-other", "iss", i.URL)},
		{"cut", taken[:len(taken)-1]}, {"without a signature", parts[0] + "." + parts[1] + "."}, {"without a payload", parts[0] + ".." + parts[2]},
		{"two parts", parts[0] + "." + parts[1]}, {"four parts", taken + ".e30"}, {"five parts", taken + ".e30.e30"}, {"another's signature", parts[0] + "." + parts[1] + "." + strings.Split(other("sub", "x"), ".")[2]},
		{"claims changed behind the signature", parts[0] + "." + text(`{"iss":"`+i.URL+`","aud":"`+audience+`","sub":"`+role+`","exp":`+fmt.Sprint(start+7200)+`}`) + "." + parts[2]},
		{"a claim twice", signText(t, k, parts[0]+"."+text(`{"iss":"`+i.URL+`","aud":"`+audience+`","sub":"x","sub":"`+role+`","exp":`+fmt.Sprint(start+3600)+`}`))},
		{"claims in other letters", signText(t, k, parts[0]+"."+text(`{"ISS":"`+i.URL+`","AUD":"`+audience+`","SUB":"`+role+`","EXP":`+fmt.Sprint(start+3600)+`}`))},
		{"claims that are no object", signText(t, k, parts[0]+"."+text(`[]`))}, {"claims that are no JSON", signText(t, k, parts[0]+"."+text(`{`))},
		{"deep claims", signText(t, k, parts[0]+"."+text(strings.Repeat(`[`, 4000)+strings.Repeat(`]`, 4000)))},
		{"JSON serialization", `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`},
		{"with padding", parts[0] + "=." + parts[1] + "=." + parts[2] + "="}, {"with line breaks", parts[0] + ".\n" + parts[1] + ".\n" + parts[2]},
		{"in standard base64", strings.NewReplacer("-", "+", "_", "/").Replace(other("pad", "\xff\xfe~~~???>>>"))[:len(taken)-9] + "+/+/+/+/"},
		{"100 KB", other("pad", strings.Repeat("x", 100<<10))}, {"a byte too long", sized(t, k, head, good, 16<<10+1)},
		{"nothing", ""}, {"dots", ".."}, {"blanks", "   "}, {"bytes", "\xff\xfe.\x00.\x00"},
	}
	return all
}

// Every token is rejected, or was signed by the issuer.
func FuzzFederation(f *testing.F) {
	var clock atomic.Int64
	_, i, v, taken := hall(f, &clock)
	parts := strings.Split(taken, ".")
	f.Add(`{"alg":"ES256","kid":"k1"}`, `{"iss":"`+i.URL+`","aud":["`+audience+`"],"sub":"`+role+`","exp":1e300}`, parts[2])
	f.Add(`{"alg":"none"}`, `{"exp":null,"aud":{}}`, "")
	f.Fuzz(func(t *testing.T, header, payload, signature string) {
		text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "." + signature
		for _, token := range []string{text, header + "." + payload + "." + signature} {
			if caller, err := v.Verify(bearer(token)); !errors.Is(err, hotreader.CodeUnauthenticated) && token != taken {
				t.Errorf("%q: %+v, %v", token, caller, err)
			}
		}
	})
}

// sized returns a token of n bytes or a few more.
func sized(t *testing.T, k crypto.Signer, head, good claims, n int) string {
	t.Helper()
	for pad := (n-len(sign(t, k, head, good)))*3/4 - 9; ; pad++ {
		if token := sign(t, k, head, good.with("pad", strings.Repeat("x", pad))); len(token) >= n {
			return token
		}
	}
}
