// Package identity is about who asks: how a caller is verified, how one proves
// itself to a peer, and which devices it may read. What proves a caller is never
// printed.
package identity

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"hotreader"
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
	if r != nil && r.Header.Get(TokenHeader) != "" {
		return strings.ReplaceAll(text, r.Header.Get(TokenHeader), "[token]")
	}
	return text
}

// Shared verifies callers by the token that they share with the API.
type Shared struct {
	Token   *Token
	Devices Devices      // that the token may read
	Logger  *slog.Logger // is told if the token cannot be fetched again
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

// Verify implements Verifier. The caller's name is its token's: current, previous.
func (s Shared) Verify(r *http.Request) (Caller, error) {
	presented := presented(r)
	slot, ok := s.Token.Match(presented)
	if !ok {
		// The token may have been rotated. The fetch must not end with this caller,
		// for then anybody could prevent it by hanging up.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
		defer cancel()
		if _, err := s.Token.Refresh(ctx); err != nil {
			s.Logger.LogAttrs(ctx, slog.LevelError, "the token could not be fetched again", slog.String("error", err.Error()))
		}
		if slot, ok = s.Token.Match(presented); !ok {
			return Caller{}, &hotreader.Error{Op: "request", Code: hotreader.CodeUnauthenticated}
		}
	}
	return Caller{Name: [...]string{"current", "previous"}[slot], Devices: s.Devices}, nil
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
