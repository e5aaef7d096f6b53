package function

import (
	"context"
	"fmt"
	"time"

	"hotreader/config"
	"hotreader/identity"
)

// Who is how a program proves who it is, and whom it takes for whom.
type Who struct {
	Token      *identity.Token      // sent to a remote API, and asked of an API's callers; nil = none
	Credential identity.Credential  // sent to a remote API instead; nil = Token
	Trust      []identity.Shared    // callers of an API with a token of their own
	Federation *identity.Federation // callers of an API whose cloud signs a token; nil = none
	PageKey    *identity.Token      // page tokens are signed with it; nil = with Token
}

// PageKeys are what page tokens are signed with, none where any may read all.
func (w *Who) PageKeys() identity.PageKeys {
	if w.Token == nil && w.PageKey == nil {
		return nil
	}
	return identity.PageKeys{w.PageKey, w.Token}
}

// Ways are a cloud's ways to secrets and identities.
type Ways struct {
	Secret func(name string) identity.Fetch     // reads a secret
	Sign   func(audience string) identity.Fetch // gets a token that the cloud signs for this program; nil = it signs none
}

// startTime is how long the start of a program may wait for others, as for the
// token: Lambda allows 10 s, and a platform that waits for a port would sooner
// start it again.
const startTime = 8 * time.Second

// Identify returns who f is, and whom it takes for whom. Secrets are read at once.
func Identify(ctx context.Context, f *config.Function, ways Ways) (w Who, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	read := func(variable, name string, to **identity.Token) {
		if name == "" || err != nil {
			return
		}
		if *to, err = identity.Fetched(ctx, ways.Secret(name)); err != nil {
			err = fmt.Errorf("%s: %w", variable, err)
		}
	}
	w.Token = f.Token
	read("INTER_CLOUD_TOKEN_SECRET", f.TokenSecret, &w.Token)
	read("HOTREADER_PAGE_KEY_SECRET", f.PageKeySecret, &w.PageKey)
	for _, t := range f.Trust {
		if t.TokenSecret != "" {
			shared := identity.Shared{Caller: t.Caller()}
			read("HOTREADER_TRUST: "+t.Name, t.TokenSecret, &shared.Token)
			w.Trust = append(w.Trust, shared)
		}
	}
	w.Federation = identity.NewFederation(f.Trust, identity.FederationOptions{})
	if f.Audience != "" {
		w.Credential = identity.NewSigned(ways.Sign(f.Audience))
	}
	return w, err
}
