package serving

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Signer plays a cloud that signs tokens for its programs: AWS STS, Azure's managed
// identity or Google's metadata server, and the issuer with its keys.
type Signer struct {
	URL    string // of the issuer
	Signed atomic.Int64

	cloud string
	key   *ecdsa.PrivateKey
}

// NewSigner starts a cloud's: aws, azure or gcp.
func NewSigner(t testing.TB, cloud string) *Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &Signer{cloud: cloud, key: key}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Subject is of the cloud's programs.
func (s *Signer) Subject() string { return "hot-reader-on-" + s.cloud }

// Trusted is the caller in HOTREADER_TRUST who has the cloud's tokens for an audience.
func (s *Signer) Trusted(audience string) string {
	return fmt.Sprintf(`{"name":"twin-on-%s","issuer":%q,"audience":%q,"subject":%q}`, s.cloud, s.URL, audience, s.Subject())
}

// Env is where the cloud's programs find it.
func (s *Signer) Env(audience string) map[string]string {
	env := map[string]string{"HOTREADER_IDENTITY": "federated", "HOTREADER_AUDIENCE": audience}
	switch s.cloud {
	case "aws":
		env["AWS_ENDPOINT_URL_STS"] = s.URL + "/sts"
		env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = "local", "local"
	case "azure":
		env["IDENTITY_ENDPOINT"], env["IDENTITY_HEADER"] = s.URL+"/msi/token", "only-for-this-app"
	case "gcp":
		env["GCE_METADATA_HOST"] = strings.TrimPrefix(s.URL, "http://")
	}
	return env
}

// ServeHTTP implements http.Handler.
func (s *Signer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	switch at := r.URL.Path; {
	case at == "/.well-known/openid-configuration":
		answer(map[string]string{"issuer": s.URL, "jwks_uri": s.URL + "/keys"})
	case at == "/keys":
		answer(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.key.Public(), KeyID: s.cloud, Use: "sig"}}})
	case strings.TrimSuffix(at, "/") == "/sts" && s.cloud == "aws" && r.FormValue("Action") == "GetWebIdentityToken" && strings.Contains(r.Header.Get("Authorization"), "/sts/aws4_request"):
		fmt.Fprintf(w, `<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetWebIdentityTokenResult><WebIdentityToken>%s</WebIdentityToken><Expiration>%s</Expiration></GetWebIdentityTokenResult><ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></GetWebIdentityTokenResponse>`,
			s.sign(r.FormValue("Audience.member.1")), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	case at == "/msi/token" && s.cloud == "azure" && r.Header.Get("X-Identity-Header") == "only-for-this-app":
		answer(map[string]string{"access_token": s.sign(r.FormValue("resource")), "expires_on": strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10), "resource": r.FormValue("resource"), "token_type": "Bearer"})
	case at == "/computeMetadata/v1/instance/service-accounts/default/identity" && s.cloud == "gcp" && r.Header.Get("Metadata-Flavor") == "Google":
		w.Header().Set("Metadata-Flavor", "Google")
		fmt.Fprint(w, s.sign(r.FormValue("audience")))
	default:
		http.NotFound(w, r)
	}
}

// sign returns a token for an audience.
func (s *Signer) sign(audience string) string {
	s.Signed.Add(1)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: s.key, KeyID: s.cloud}}, nil)
	if err != nil {
		return err.Error() // which is no token
	}
	now := time.Now()
	text, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: s.URL, Subject: s.Subject(), Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour))}).Serialize()
	if err != nil {
		return err.Error()
	}
	return text
}
