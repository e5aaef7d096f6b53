package azurecosmos

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"hotreader"
)

// credentials prove us, in the authorization header.
type credentials interface {
	// authorize returns the header for a request of the resource link, of the
	// kind given, at date, which is the text of the x-ms-date header.
	authorize(ctx context.Context, verb, kind, link, date string) (string, error)

	// refused is called after the header was not accepted. It reports whether another
	// may be.
	refused(header string) bool
}

// accountKey signs with a key of the account. See "Access control on Cosmos DB
// resources" in Cosmos DB's REST reference.
type accountKey []byte

func (k accountKey) authorize(_ context.Context, verb, kind, link, date string) (string, error) {
	mac := hmac.New(sha256.New, k)
	mac.Write([]byte(strings.ToLower(verb) + "\n" + kind + "\n" + link + "\n" + strings.ToLower(date) + "\n\n"))
	return url.QueryEscape("type=master&ver=1.0&sig=" + base64.StdEncoding.EncodeToString(mac.Sum(nil))), nil
}

func (accountKey) refused(string) bool { return false }

// String hides the key.
func (accountKey) String() string { return "[key]" }

// GoString hides the key.
func (accountKey) GoString() string { return "[key]" }

// early is how long before its end a token is replaced.
const early = 5 * time.Minute

// identity presents tokens of Microsoft Entra ID. It keeps one until shortly
// before its end; callers that need a new one at the same time share it.
type identity struct {
	source  azcore.TokenCredential
	scope   string
	turn    chan struct{} // holds one element while no call asks for a token
	current atomic.Pointer[token]
}

type token struct {
	header string
	until  time.Time
}

func newIdentity(source azcore.TokenCredential, scope string) *identity {
	i := &identity{source: source, scope: scope, turn: make(chan struct{}, 1)}
	i.turn <- struct{}{}
	return i
}

func (i *identity) authorize(ctx context.Context, _, _, _, _ string) (string, error) {
	if t := i.current.Load(); t != nil && time.Now().Before(t.until) {
		return t.header, nil
	}
	select {
	case <-i.turn:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { i.turn <- struct{}{} }()
	if t := i.current.Load(); t != nil && time.Now().Before(t.until) {
		return t.header, nil
	}
	got, err := i.source.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{i.scope}})
	if err != nil {
		return "", identityError(ctx, err)
	}
	t := &token{url.QueryEscape("type=aad&ver=1.0&sig=" + got.Token), got.ExpiresOn.Add(-early)}
	if got.RefreshOn.After(time.Now()) && got.RefreshOn.Before(t.until) {
		t.until = got.RefreshOn
	}
	i.current.Store(t)
	return t.header, nil
}

func (i *identity) refused(header string) bool {
	if t := i.current.Load(); t != nil && t.header == header {
		i.current.CompareAndSwap(t, nil)
	}
	return true
}

// identityError says why there is no token.
func identityError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	code := hotreader.CodeConfig
	if failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && failed.RawResponse != nil &&
		(failed.RawResponse.StatusCode >= 500 || failed.RawResponse.StatusCode == http.StatusTooManyRequests) {
		code = hotreader.CodeUnavailable
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return &hotreader.Error{Code: code,
		Err: fmt.Errorf("no token was given to this identity: %s; give the function a managed identity, run az login, or set COSMOS_DB_KEY", text)}
}
