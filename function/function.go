// Package function assembles the read path once, for the functions' programs and
// for the command: the Source that a checked environment asks for.
package function

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/config"
	"hotreader/httpapi"
	"hotreader/observe"
	"hotreader/remote"
	"hotreader/route"
	"hotreader/wire"
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

	// Objects opens cold storage or the archive on this cloud, by its URL; nil = it
	// cannot be read.
	Objects func(url string) (hotreader.Source, error)

	Identity
	Catalog *catalog.Catalog             // the twin's devices; nil = none
	Program string                       // its name, for the User-Agent
	TraceID func(context.Context) string // as remote.Options have it

	// Values bounds how many values the caller takes of one read: no more are read
	// ahead. 0 = unknown.
	Values int

	Cache int64 // bytes that are kept where HOTREADER_CACHE does not say so; 0 = none

	Observer *observe.Observer // nil = none
}

// Source returns what f's queries are read from: the store on this cloud, or the
// API of another one, and the lower tiers that f names. No read looks at more rows than
// f allows, and what was read is kept as f says.
func (p Parts) Source(f *config.Function) (hotreader.Source, error) {
	layers, err := p.layers(f)
	return layers[wire.TargetLayer], err
}

// peer says which API f asks.
func peer(f *config.Function) remote.Options {
	return remote.Options{URL: f.RemoteURL, SourceCloud: string(f.L4)}
}

// Store returns a store's Source with its pages read in parallel, within a span.
func (p Parts) Store(store hotreader.Source) hotreader.Source {
	return p.Observer.Reads("read store", route.Ahead(store, route.AheadOptions{Values: p.Values}))
}

// Remote returns the Source of the API that o names, with retries and a breaker,
// within a span.
func (p Parts) Remote(o remote.Options) (hotreader.Source, error) {
	far, err := p.far(o)
	if err != nil {
		return nil, err
	}
	tried := p.Observer.Retried(p.Observer.Breaker(route.NewBreaker(far, route.BreakerOptions{})), func(src hotreader.Source) hotreader.Source {
		return route.NewRetry(src, route.RetryOptions{})
	})
	return p.Observer.Reads("read remote", tried), nil
}

// far returns the API that o names.
func (p Parts) far(o remote.Options) (*remote.Source, error) {
	o.TraceID = p.TraceID
	if o.Credential = p.Credential; o.Credential == nil && p.Token != nil {
		o.Credential = p.Token
	}
	if p.Program != "" {
		o.UserAgent = p.Program + "/" + Version()
	}
	o.Client = remote.NewClient()
	o.Client.Transport = p.Observer.Peer(o.Client.Transport)
	return remote.New(o)
}

// API returns the Hot Reader API over what f's queries are read from, for the
// devices and at the rates of f. o has the rest.
func (p Parts) API(f *config.Function, o httpapi.Options) (http.Handler, error) {
	p.TraceID = httpapi.TraceID
	var stores []hotreader.Source
	if local := p.Local; local != nil {
		p.Local = func() (hotreader.Source, error) {
			store, err := local()
			stores = append(stores, store)
			return store, err
		}
	}
	if objects := p.Objects; objects != nil {
		p.Objects = func(url string) (hotreader.Source, error) {
			store, err := objects(url)
			stores = append(stores, store)
			return store, err
		}
	}
	layers, err := p.layers(f)
	if err != nil {
		return nil, err
	}
	o.Lister = Lister(stores...)
	for layer, src := range layers {
		layers[layer] = route.TranslateRefusals(src)
	}
	o.Layers, o.Catalog = layers, p.Catalog
	for _, layer := range []string{wire.ArchiveLayer, wire.ColdLayer, wire.TargetLayer} { // the longest history stays
		if src := layers[layer]; src != nil {
			o.Source = src
		}
	}
	if f.Remote && o.Catalog == nil {
		far, err := p.far(peer(f))
		if err != nil {
			return nil, err
		}
		o.Lister = far.Lister()
	}
	o.Devices, o.Rate, o.Burst = f.Devices, f.Rate, f.Burst
	o.Token, o.Trust, o.Federation, o.PageKey = p.Token, p.Trust, p.Federation, p.PageKey
	o.LookBack = f.LookBack
	o.Observer, o.Version = p.Observer, cmp.Or(o.Version, Version())
	api, err := httpapi.New(o)
	if err != nil {
		return nil, err
	}
	return p.Observer.Handler(api), nil
}

// Program is one that serves HTTP itself, on Azure Functions and on Cloud Run.
type Program struct {
	Name   string // which a remote API and the observer get
	Getenv func(string) string
	Logger *slog.Logger

	Secrets                                                   // of the cloud
	Local   func(*observe.Observer) (hotreader.Source, error) // as Parts.Local
	Objects func(url string) (hotreader.Source, error)        // as Parts.Objects
	Serve   func(http.Handler) *http.Server                   // its server
	Page    func(*observe.Observer) http.Handler              // of metrics; nil = it would have no readers

	Mounts    []httpapi.Mount
	Web       func(http.ResponseWriter, *http.Request) bool // the page for people, as httpapi.Options have it
	Host      string                                        // to listen on; "" = every address
	MaxStream int                                           // as httpapi.Options have it
}

// What a Program answers at once is bounded, and with that the memory of answers
// that are made. A dashboard asks for all its panels in one moment: they wait a
// little rather than fail.
const (
	answers = 16
	queue   = 256
	wait    = 5 * time.Second
)

// drain is for platforms that kill a program 10 s after SIGTERM.
var drain = httpapi.Drain{Reads: 7 * time.Second, Close: 9 * time.Second}

// Run serves the API of f until ctx ends.
func (p Program) Run(ctx context.Context, f *config.Function) error {
	seen, err := observe.New(observe.Options{Getenv: p.Getenv, Program: p.Name, Version: Version(), Unasked: p.Page == nil, Logger: p.Logger})
	if err != nil {
		return err
	}
	defer func() { _ = seen.Close(ctx) }() // it has logged what it could not deliver
	p.Secrets.Logger = p.Logger
	own, err := Identify(ctx, f, p.Secrets)
	if err != nil {
		return err
	}
	devices, err := OpenCatalog(f.Catalog)
	if err != nil {
		return err
	}
	api, err := p.api(f, Parts{Identity: own, Catalog: devices, Program: p.Name, Cache: DefaultCache, Observer: seen})
	if err != nil {
		return err
	}
	l, err := httpapi.Listen(ctx, "listen", net.JoinHostPort(p.Host, strconv.Itoa(f.Port)))
	if err != nil {
		return err
	}
	if address := seen.Page(); address != "" && p.Page != nil { // for a collector beside the program
		_, end, err := httpapi.ServeSeparately(ctx, "listen for OTEL_METRICS_EXPORTER=prometheus", address, p.Page(seen))
		if err != nil {
			_ = l.Close()
			return err
		}
		defer end()
	}
	return httpapi.Serve(ctx, p.Serve(api), l, drain)
}

func (p Program) api(f *config.Function, parts Parts) (http.Handler, error) {
	parts.Local = func() (hotreader.Source, error) { return p.Local(parts.Observer) }
	parts.Objects = p.Objects
	return parts.API(f, httpapi.Options{
		Answers: answers, Queue: queue, Wait: wait, Address: forwarded,
		MaxStream: p.MaxStream, Logger: p.Logger, Mounts: p.Mounts, Page: p.Web,
	})
}

// forwarded is the address of a request's caller. The connection is that of the
// platform's own front, which puts the caller's address after what
// is in X-Forwarded-For already; anyone may have written all before that.
func forwarded(r *http.Request) netip.Addr {
	all := r.Header["X-Forwarded-For"]
	if len(all) == 0 {
		return netip.Addr{}
	}
	last := all[len(all)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if a, err := netip.ParseAddrPort(last); err == nil { // as Azure writes it
		return a.Addr()
	}
	a, _ := netip.ParseAddr(last) // callers without a known address share one
	return a
}
