// Package identity is about who asks: how a caller is verified, how one proves
// itself to a peer, and which devices it may read. What proves a caller is never
// printed.
package identity

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
)

// TokenHeader carries the shared token of a request between clouds. Dashboards may
// send it as Authorization: Bearer instead.
const TokenHeader = "X-Inter-Cloud-Token"

// Caller is who asks. Rates, shares of what is limited, lists of devices and logs
// go by it.
type Caller struct {
	Name    string     // of its token or subject, never the token itself; "" = not verified
	Address netip.Addr // that it asks from; the host of an API knows it, a Verifier does not
	Devices Devices    // that it may read
	Rate    float64    // requests a second; 0 = the API's
	Burst   int        // requests at once, above Rate; 0 = the API's
}

// Verifier tells who sent a request.
type Verifier interface {
	// Verify returns the caller that r proves. All ways to prove none end in the
	// same error, of CodeUnauthenticated.
	Verify(r *http.Request) (Caller, error)
}

// Credential proves to a peer who asks.
type Credential interface {
	// Apply puts the proof on r.
	Apply(r *http.Request) error

	// Refused is called when the peer refused the proof that Apply put on r. It
	// reports whether Apply has another one now. An error says why none could be
	// had.
	Refused(ctx context.Context, r *http.Request) (again bool, err error)
}

// Hide replaces what a Credential put on r in a text, which may echo it.
func Hide(r *http.Request, text string) string {
	if r == nil {
		return text
	}
	for _, sent := range []string{r.Header.Get(TokenHeader), strings.TrimPrefix(r.Header.Get("Authorization"), bearer)} {
		if sent != "" {
			text = strings.ReplaceAll(text, sent, "[token]")
		}
	}
	return text
}

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
