package function

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/identity"
)

// Identity is how a program proves itself to others, and how it knows its callers.
type Identity struct {
	Token      *identity.Token      // sent to a remote API, and asked of an API's callers; nil = none
	Credential identity.Credential  // sent to a remote API instead; nil = Token
	Trust      []identity.Shared    // callers of an API with a token of their own
	Federation *identity.Federation // callers of an API whose cloud signs a token; nil = none
	PageKey    *identity.Token      // page tokens are signed with it; nil = with Token
}

// PageKeys are what page tokens are signed with; none if every caller may read all.
func (i *Identity) PageKeys() identity.PageKeys {
	if i.Token == nil && i.PageKey == nil {
		return nil
	}
	return identity.PageKeys{i.PageKey, i.Token}
}

// Secrets fetch secrets and signed tokens from a cloud.
type Secrets struct {
	Secret func(name string) identity.Fetch     // reads a secret
	Sign   func(audience string) identity.Fetch // gets a token that the cloud signs for this program; nil = it signs none

	// Logger logs that a caller's token cannot be read, and the others are served; nil = the
	// program does not start then.
	Logger *slog.Logger
}

// startTime is how long the start of a program may wait for others, as for the
// token: Lambda allows 10 s, and a platform that waits for a port would sooner
// start it again.
const startTime = 8 * time.Second

// Identify returns the Identity of f. It reads secrets at once.
func Identify(ctx context.Context, f *config.Function, secrets Secrets) (i Identity, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	read := func(variable, name string, to **identity.Token) {
		if name == "" || err != nil {
			return
		}
		if *to, err = identity.Fetched(ctx, secrets.Secret(name)); err != nil {
			err = fmt.Errorf("%s: %w", variable, err)
		}
	}
	i.Token = f.Token
	read("INTER_CLOUD_TOKEN_SECRET", f.TokenSecret, &i.Token)
	read("HOTREADER_PAGE_KEY_SECRET", f.PageKeySecret, &i.PageKey)
	if err != nil {
		return i, err
	}
	for _, t := range f.Trust {
		if t.TokenSecret != "" {
			shared := identity.Shared{Caller: t.Caller()}
			read("HOTREADER_TRUST: "+t.Name, t.TokenSecret, &shared.Token)
			if err != nil && secrets.Logger != nil {
				secrets.Logger.LogAttrs(ctx, slog.LevelError, "a caller's token cannot be read; the caller is rejected", slog.String("error", err.Error()))
				err = nil
			}
			i.Trust = append(i.Trust, shared)
		}
	}
	i.Federation = identity.NewFederation(f.Trust, identity.FederationOptions{})
	if f.Audience != "" {
		i.Credential = identity.NewSigned(secrets.Sign(f.Audience))
	}
	if err == nil {
		err = i.distinct()
	}
	return i, err
}

// distinct rejects callers with the same token, for one would get what the other may.
func (i *Identity) distinct() error {
	all := i.Trust
	if i.Token != nil {
		all = append([]identity.Shared{{Token: i.Token, Caller: identity.Caller{Name: "INTER_CLOUD_TOKEN"}}}, all...)
	}
	for n, t := range all {
		if other := slices.IndexFunc(all[:n], func(o identity.Shared) bool { return t.Token.Shares(o.Token) }); other >= 0 {
			return &hotreader.Error{Op: "HOTREADER_TRUST", Code: hotreader.CodeConfig,
				Err: fmt.Errorf("%q and %q have the same token, so they cannot be told apart; give each a token of its own", all[other].Caller.Name, t.Caller.Name)}
		}
	}
	return nil
}
