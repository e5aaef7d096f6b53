package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"hotreader"
)

// Federation verifies callers by tokens that their own clouds sign (OpenID Connect).
// Of a token must be right: the signature, by a key that the issuer publishes, the
// algorithm, the issuer, the one audience, the one subject, and the time. Make it with
// NewFederation. It is safe for concurrent use.
type Federation struct {
	trusted []Trusted
	issuers map[string]*issuer
	now     func() time.Time
}

// FederationOptions may be zero.
type FederationOptions struct {
	Client *http.Client     // fetches keys; nil = a new one. It follows no redirect, whatever it says
	Now    func() time.Time // nil = time.Now
}

const (
	maxToken = 16 << 10 // bytes

	// clockSkew is how far the clocks of issuer and API may be apart.
	clockSkew = time.Minute

	// maxLife is how long a token may still stand. The clouds' stand a day at most.
	maxLife = 25 * time.Hour
)

// algorithms are those that the clouds sign with. None of them has a key that verifies
// what another signs.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384}

// NewFederation returns a verifier of those of all that have an issuer, nil if none
// has. Keys are fetched when they are needed.
func NewFederation(all []Trusted, o FederationOptions) *Federation {
	f := &Federation{issuers: map[string]*issuer{}, now: o.Now}
	if f.now == nil {
		f.now = time.Now
	}
	client := keyClient(o.Client)
	for _, t := range all {
		if t.Issuer == "" {
			continue
		}
		f.trusted = append(f.trusted, t)
		f.issuers[t.Issuer] = &issuer{url: t.Issuer, client: client, now: f.now}
	}
	if len(f.trusted) == 0 {
		return nil
	}
	return f
}

// parse returns what is presented if it has the form of a token that a cloud signs,
// else nil. Nothing of it is verified.
func (f *Federation) parse(presented string) *jwt.JSONWebToken {
	if f == nil || len(presented) > maxToken || strings.ContainsAny(presented, "\r\n") { // which base64 passes over
		return nil
	}
	token, err := jwt.ParseSigned(presented, algorithms)
	if err != nil {
		return nil
	}
	return token
}

// verify returns the caller that a token proves. It checks the claims before the
// signature, so that only tokens that name a trusted subject cause keys to be fetched.
func (f *Federation) verify(ctx context.Context, token *jwt.JSONWebToken) (Caller, error) {
	var claims jwt.Claims
	if token.UnsafeClaimsWithoutVerification(&claims) != nil {
		return Caller{}, refused("its claims cannot be read")
	}
	known := f.find(&claims)
	if known == nil {
		return Caller{}, refused("no caller is trusted with the issuer %.200q, the subject %.200q and the audience %.200q", claims.Issuer, claims.Subject, claims.Audience)
	}
	if wrong := f.untimely(&claims); wrong != "" {
		return Caller{}, refused("%s", wrong)
	}
	h := token.Headers[0]
	key, err := f.issuers[known.Issuer].key(ctx, h.KeyID, h.Algorithm)
	if err != nil {
		return Caller{}, err
	}
	if token.Claims(key, &struct{}{}) != nil {
		return Caller{}, refused("its signature is wrong")
	}
	return known.Caller(), nil
}

// find returns the caller with the claims' issuer, subject and audience. It finds none for
// a token with several audiences, for each of them could present it to the others.
func (f *Federation) find(claims *jwt.Claims) *Trusted {
	i := slices.IndexFunc(f.trusted, func(t Trusted) bool {
		return t.Issuer == claims.Issuer && t.Subject == claims.Subject && slices.Equal(claims.Audience, jwt.Audience{t.Audience})
	})
	if i < 0 {
		return nil
	}
	return &f.trusted[i]
}

// untimely says why a token does not stand now, or "".
func (f *Federation) untimely(claims *jwt.Claims) string {
	now := f.now()
	early, late := now.Add(-clockSkew), now.Add(clockSkew)
	switch {
	case claims.Expiry == nil:
		return "it never expires"
	case !claims.Expiry.Time().After(early):
		return "it has expired"
	case claims.Expiry.Time().After(now.Add(maxLife)):
		return "it is valid for longer than a day"
	case claims.NotBefore != nil && claims.NotBefore.Time().After(late):
		return "it is not valid yet"
	case claims.IssuedAt != nil && claims.IssuedAt.Time().After(late):
		return "it was issued in the future"
	}
	return ""
}

// refused is the error for a token that proves no caller; the reason is for the log.
func refused(format string, args ...any) error {
	return &hotreader.Error{Op: "identity token", Code: hotreader.CodeUnauthenticated, Err: fmt.Errorf(format, args...)}
}

// algorithmOf returns the algorithm that a published key verifies, "" for a key that is
// of no use here: too weak, too slow, private, or for something else.
func algorithmOf(key *jose.JSONWebKey) string {
	algorithm := ""
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits >= 2048 && bits <= 8192 {
			algorithm = string(jose.RS256)
		}
	case *ecdsa.PublicKey:
		algorithm = map[string]string{"P-256": string(jose.ES256), "P-384": string(jose.ES384)}[k.Curve.Params().Name]
	}
	if key.KeyID == "" || key.Use != "" && key.Use != "sig" || key.Algorithm != "" && key.Algorithm != algorithm {
		return ""
	}
	return algorithm
}

var errNoKeys = errors.New("there is no key in it that can be used")
