package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"hotreader"
)

// Signed proves a caller with a token that the caller's own cloud signs. Make it with
// NewSigned. It is safe for concurrent use.
type Signed struct {
	fetch   Fetch
	turn    chan struct{} // holds one element while no fetch runs
	current atomic.Pointer[signed]
}

// signed is a token. Its times have no monotonic clock, which stops while a
// function is frozen.
type signed struct {
	text            string
	fetched         time.Time
	renewed, expire time.Time // when another one is to be fetched; when it ends
}

const (
	renewBefore = 5 * time.Minute // the end of a token
	signedAgain = time.Minute     // after which a rejected token is fetched again
)

// NewSigned returns a credential of the tokens that fetch gets. Each is used until
// shortly before its end.
func NewSigned(fetch Fetch) *Signed {
	s := &Signed{fetch: fetch, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

// Apply implements Credential. An error is fetch's, of CodeProtocol if what it got is no
// token, or says that the request's context has ended.
func (s *Signed) Apply(r *http.Request) error {
	t, err := s.token(r.Context(), func(t *signed) bool { return now().Before(t.renewed) })
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", bearer+t.text)
	return nil
}

const bearer = "Bearer "

func now() time.Time { return time.Now().Round(0) }

// token returns the current token if it is good enough, else a new one. If none comes,
// the current one must do until it ends.
func (s *Signed) token(ctx context.Context, good func(*signed) bool) (*signed, error) {
	if t := s.current.Load(); t != nil && good(t) {
		return t, nil
	}
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, &hotreader.Error{Op: opSigned, Code: hotreader.CodeOf(ctx.Err()), Err: ctx.Err()}
	}
	old := s.current.Load()
	if old != nil && good(old) { // it came while this one waited
		return old, nil
	}
	t, err := s.renew(ctx)
	switch {
	case err == nil:
		s.current.Store(t)
	case old != nil && now().Before(old.expire):
		return old, nil
	}
	return t, err
}

const opSigned = "identity token: fetch"

func (s *Signed) renew(ctx context.Context) (*signed, error) {
	text, _, err := s.fetch(ctx)
	if err != nil {
		return nil, err
	}
	var claims jwt.Claims
	text = strings.TrimSpace(text)
	token, err := jwt.ParseSigned(text, algorithms)
	if err == nil {
		err = token.UnsafeClaimsWithoutVerification(&claims)
	}
	switch {
	case err == nil && claims.Expiry == nil:
		err = errors.New("it never expires")
	case err == nil && len(text) > maxToken:
		err = fmt.Errorf("it has %d bytes, more than %d", len(text), maxToken)
	}
	if err != nil {
		return nil, &hotreader.Error{Op: opSigned, Code: hotreader.CodeProtocol, Err: fmt.Errorf("what came is no token that this cloud has signed: %w", err)}
	}
	t := &signed{text: text, fetched: now(), expire: claims.Expiry.Time()}
	left := t.expire.Sub(t.fetched)
	t.renewed = t.fetched.Add(max(left-renewBefore, left/2))
	return t, nil
}

// Refused implements Credential: it replaces a token that is older than a minute.
func (s *Signed) Refused(ctx context.Context, r *http.Request) (again bool, err error) {
	sent := strings.TrimPrefix(r.Header.Get("Authorization"), bearer)
	t, err := s.token(ctx, func(t *signed) bool { return t.text != sent || now().Sub(t.fetched) < signedAgain })
	return err == nil && t.text != sent, err
}
