// Package function puts the read path together, once, for the functions' programs
// and for the command: the Source that a checked environment asks for.
package function

import (
	"context"
	"runtime/debug"

	"hotreader"
	"hotreader/config"
	"hotreader/observe"
	"hotreader/remote"
	"hotreader/route"
	"hotreader/secret"
)

// Version returns the version of the program's module, or "dev".
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

// Parts are what a read path is put together from. The zero value of what is not
// needed on the route is right.
type Parts struct {
	// Local opens hot storage on this cloud. It is not called where that is remote.
	Local func() (hotreader.Source, error)

	Token   *secret.Token                // that a remote API is shown
	Program string                       // which that API is told
	TraceID func(context.Context) string // as remote.Options have it

	// Values is how many values a caller takes of one read at the most; 0 = not
	// known.
	Values int

	Observer *observe.Observer // nil = none
}

// Source returns what f's queries are read from: the store on this cloud, or the
// API of another one.
func (p Parts) Source(f *config.Function) (hotreader.Source, error) {
	if !f.Remote {
		store, err := p.Local()
		if err != nil {
			return nil, err
		}
		return p.Store(store), nil
	}
	far, err := p.Remote(remote.Options{URL: f.RemoteURL, SourceCloud: string(f.L4)})
	if err != nil {
		return nil, err
	}
	return route.NewRouter(f.Route(), nil, far)
}

// Store returns a store's Source with its pages read side by side, and seen.
func (p Parts) Store(store hotreader.Source) hotreader.Source {
	return p.Observer.Reads("read store", route.Ahead(store, route.AheadOptions{Values: p.Values}))
}

// Remote returns the Source of the API that o names, retried, left alone while it
// is sick, and seen.
func (p Parts) Remote(o remote.Options) (hotreader.Source, error) {
	o.Token, o.TraceID = p.Token, p.TraceID
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
