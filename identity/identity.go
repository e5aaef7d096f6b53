// Package identity is about callers: how an API verifies one, how one proves
// itself to a peer, and which devices it may read. What proves a caller is never
// printed.
package identity

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
)

// TokenHeader carries the shared token of a request between clouds. Dashboards may
// send it as Authorization: Bearer instead.
const TokenHeader = "X-Inter-Cloud-Token"

// Caller is the sender of a request. Rates, shares of what is limited, lists of devices
// and logs go by it.
type Caller struct {
	Name    string     // of its token or subject, never the token itself; "" = not verified
	Address netip.Addr // that it asks from; the host of an API knows it, a Verifier does not
	Devices Devices    // that it may read
	Rate    float64    // requests a second; 0 = the API's
	Burst   int        // requests at once, above Rate; 0 = the API's
}

// Verifier finds the sender of a request.
type Verifier interface {
	// Verify returns the caller that r proves. Every request that proves none gets
	// the same error, of CodeUnauthenticated.
	Verify(r *http.Request) (Caller, error)
}

// Credential proves the sender of a request to a peer.
type Credential interface {
	// Apply puts the proof on r.
	Apply(r *http.Request) error

	// Refused is called after the peer rejected the proof that Apply put on r. It
	// reports whether Apply has another one now. An error says why there is
	// none.
	Refused(ctx context.Context, r *http.Request) (again bool, err error)
}

// Hide replaces what a Credential put on r in a text, which may echo it: whole or in
// part, as it is, in hex or in base64.
func Hide(r *http.Request, text string) string {
	if r == nil {
		return text
	}
	for _, sent := range []string{r.Header.Get(TokenHeader), strings.TrimPrefix(r.Header.Get("Authorization"), bearer)} {
		if len(sent) < hiddenPart {
			continue
		}
		text = hide(text, sent)
		digits := hex.EncodeToString([]byte(sent))
		text = hide(hide(text, digits), strings.ToUpper(digits))
		for at := range 3 { // where a group of base64 may begin
			text = hide(hide(text, base64.RawStdEncoding.EncodeToString([]byte(sent[at:]))), base64.RawURLEncoding.EncodeToString([]byte(sent[at:])))
		}
	}
	return text
}

// hiddenPart is the length from which on a part of a secret is hidden.
const hiddenPart = 12

// hide replaces all parts of secret in text.
func hide(text, secret string) string {
	for i := 0; i+hiddenPart <= len(text); i++ {
		n := hiddenPart
		if !strings.Contains(secret, text[i:i+n]) {
			continue
		}
		for i+n < len(text) && strings.Contains(secret, text[i:i+n+1]) {
			n++
		}
		text = text[:i] + hidden + text[i+n:]
		i += len(hidden) - 1
	}
	return text
}

const hidden = "[token]"

// presented is the token that r carries: in TokenHeader or, if that is not there, as
// Authorization: Bearer. Of either there is to be one.
func presented(r *http.Request) string {
	values, own := r.Header[TokenHeader]
	if !own {
		values = r.Header["Authorization"]
	}
	if len(values) != 1 {
		return ""
	}
	if own {
		return values[0]
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Apply implements Credential: it sends the current token.
func (t *Token) Apply(r *http.Request) error {
	r.Header.Set(TokenHeader, t.Current())
	return nil
}

// Refused implements Credential: the token may have been rotated, so it is
// fetched again.
func (t *Token) Refused(ctx context.Context, r *http.Request) (again bool, err error) {
	if _, err = t.Refresh(ctx); r.Header.Get(TokenHeader) != t.Current() { // by this call or by another's
		return true, nil
	}
	return false, err
}
