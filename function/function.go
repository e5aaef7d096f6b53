// Package function assembles the read path once, for the functions' programs and
// for the command: the Source that a checked environment asks for.
package function

import (
	"context"
	"runtime/debug"

	"hotreader"
	"hotreader/config"
	"hotreader/identity"
	"hotreader/observe"
	"hotreader/remote"
	"hotreader/route"
)

// Version returns the version of the program's module, or "dev".
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

// Parts are what a read path is assembled from. What a path does not need may be
// zero.
type Parts struct {
	// Local opens hot storage on this cloud. It is not called if that is remote.
	Local func() (hotreader.Source, error)

	Token   *identity.Token              // sent to a remote API, and asked of an API's callers; nil = none
	Program string                       // its name, for the User-Agent
	TraceID func(context.Context) string // as remote.Options have it

	// Values bounds how many values the caller takes of one read: no more are read
	// ahead. 0 = unknown.
	Values int

	Observer *observe.Observer // nil = none
}

// Source returns what f's queries are read from: the store on this cloud, or the
// API of another one.
func (p Parts) Source(f *config.Function) (hotreader.Source, error) {
	if p.Token != nil {
		p.Observer.Made(p.Token.Made)
	}
	if !f.Remote {
		store, err := p.Local()
		if err != nil {
			return nil, err
		}
		return p.Store(store), nil
	}
	return p.Remote(remote.Options{URL: f.RemoteURL, SourceCloud: string(f.L4)})
}

// Store returns a store's Source with its pages read in parallel, within a span.
func (p Parts) Store(store hotreader.Source) hotreader.Source {
	return p.Observer.Reads("read store", route.Ahead(store, route.AheadOptions{Values: p.Values}))
}

// Remote returns the Source of the API that o names, with retries and a breaker,
// within a span.
func (p Parts) Remote(o remote.Options) (hotreader.Source, error) {
	o.TraceID = p.TraceID
	if p.Token != nil {
		o.Credential = p.Token
	}
	if p.Program != "" {
		o.UserAgent = p.Program + "/" + Version()
	}
	o.Client = remote.NewClient()
	o.Client.Transport = p.Observer.Peer(o.Client.Transport)
	far, err := remote.New(o)
	if err != nil {
		return nil, err
	}
	tried := p.Observer.Retried(p.Observer.Breaker(route.NewBreaker(far, route.BreakerOptions{})), func(src hotreader.Source) hotreader.Source {
		return route.NewRetry(src, route.RetryOptions{})
	})
	return p.Observer.Reads("read remote", tried), nil
}
