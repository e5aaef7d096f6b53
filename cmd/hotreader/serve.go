package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/function"
	"hotreader/function/mounts"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/internal/bounded"
	"hotreader/internal/endpoint"
	"hotreader/internal/punctual"
	"hotreader/observe"
	"hotreader/observe/page"
	"hotreader/store/all"
	"hotreader/web"
)

const defaultListen = "127.0.0.1:8080"

// drain is how long requests under way may go on after a signal ends the
// server: a little longer than the longest of them.
const drain = 30 * time.Second

// What is answered at once is bounded, so that memory is bounded, too. A
// dashboard asks for all its panels in one moment: they wait a little rather
// than fail.
const (
	answers = 32
	queue   = 256
	wait    = 5 * time.Second
)

type serving struct {
	project, store, remote   string
	tiers                    lowerTiers
	twin                     *twin // of project; nil = none
	listen, tokenFile        string
	cert, key                string
	insecure                 bool
	rate                     float64
	burst, lookBack, maxRows int
	cache, settle, cacheAge  string
	devices, catalog         string
	level                    string
	metrics                  string
}

const serveText = `Serve a store as a Hot Reader API, for other clouds, dashboards and people: POST
/read, GET /v1/devices, GET /v1/devices/{id}, and its /history and /latest, described
in /openapi.json. /health tells without a token whether the server is up. The token
comes in X-Inter-Cloud-Token, or as Authorization: Bearer.

With --remote the rows are those of another Hot Reader API. Its token is the one that
callers send here.

With --project one server answers for all devices of a twin, wherever its rows are. It
reads them over the connection of config_inter_cloud.json, with that connection's token
(read again when it is rejected, as after a rotation), or from the table on AWS if the
twin and its hot storage are both there. --store or --remote beside it says otherwise;
a store of hot storage's cloud gets the project's layout unless its URL has one. The
devices are those of config_iot_devices.json, and the settings those of
config_hot_reader.json unless a flag or a variable is given. It does not start if no
request can be answered from the store.

In a browser, http://ADDRESS/ is a page with devices, charts and newest values. It asks
for the token.

/api/v1/ is Prometheus' HTTP API, for Grafana's Prometheus data source and promtool:
each property is a metric with the labels device and type. The token is the password
of Basic, or a Bearer token. /mcp is for assistants (Model Context Protocol): they list
devices and read values. The devices of both are those of --project or of the catalogue;
without one, those of a mem: or bolt: store, or of the API that --remote names.

The first line on stderr is the address, as in

  listening on http://127.0.0.1:8080

and each request is a line after it, in JSON unless it is a terminal.

` + tokenText + `
While it is rotated, give two: current,previous. The file is read again when a
token is rejected, at most each five minutes. Without a token nothing is served.
Make one with: openssl rand -hex 32

HOTREADER_TRUST names other callers, beside or instead of those with the token, each with
its devices and its rate: token_secret is a file with its token, and issuer, audience
and subject are those of a token that its cloud signs. HOTREADER_PAGE_KEY_SECRET is a
file with the key of page tokens; with HOTREADER_TRUST alone one is made at the start,
and next_tokens end with the process.

HOTREADER_RATE, HOTREADER_BURST, HOTREADER_DEVICES, HOTREADER_LOOK_BACK,
HOTREADER_MAX_ROWS, HOTREADER_CACHE, HOTREADER_SETTLE, HOTREADER_CACHE_AGE,
HOTREADER_COLD, HOTREADER_ARCHIVE, HOTREADER_CATALOG and HOTREADER_LOG_LEVEL stand
for the flags that are not given.

Plain http is for this machine only. On any other address give --tls-cert and
--tls-key, or say with --insecure that a proxy in front does the encryption.

With --metrics there is a page for Prometheus, http://ADDRESS/metrics, on a
listener of its own; :9464 is this machine's alone, 0.0.0.0:9464 every one's. The
OTEL_* variables send traces and metrics to a collector, as OpenTelemetry has
them: OTEL_EXPORTER_OTLP_ENDPOINT names it.

SIGTERM and ^C end it when the requests under way are answered; the exit code is
0 after SIGTERM, 130 after ^C.

` + storeURLs

func (a *app) serve() *cobra.Command {
	s := serving{}
	levels := []string{"debug", "info", "warn", "error"}
	cmd := &cobra.Command{
		Use:   "serve (--project DIR | --store URL | --remote URL)",
		Short: "Serve a store as a Hot Reader API",
		Long:  serveText,
		Example: `  export INTER_CLOUD_TOKEN=$(openssl rand -hex 32)
  hotreader serve --store bolt:pump.db
  hotreader serve --project factory
  hotreader serve --store bolt:pump.db --listen :8443 --tls-cert cert.pem --tls-key key.pem
  curl -H "X-Inter-Cloud-Token: $INTER_CLOUD_TOKEN" 'http://127.0.0.1:8080/v1/devices/pump-7/latest?property=temperature'`,
		Args: noArgs,
	}
	f := cmd.Flags()
	s.flags(f, levels)
	words(cmd, "log-level", levels...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := s.complete(f); err != nil {
			return err
		}
		if err := s.check(f); err != nil {
			return err
		}
		var level slog.Level
		if err := level.UnmarshalText([]byte(s.level)); err != nil {
			return usagef("serve: --log-level %s is unknown; %s", s.level, meantOr(s.level, levels))
		}
		return a.runServe(cmd.Context(), &s, level)
	}
	return cmd
}

// complete gives the flags that are not there what the environment says or, after that,
// the project.
func (s *serving) complete(f *pflag.FlagSet) (err error) {
	if err := fill(f, os.LookupEnv); err != nil || s.project == "" {
		return err
	}
	if s.catalog != "" {
		return usagef("serve: --project has a catalogue of its own; leave --catalog (or HOTREADER_CATALOG) out")
	}
	if s.twin, err = openTwin(s.project); err != nil {
		return err
	}
	return fill(f, s.twin.setting)
}

// check says what is wrong with the flags.
func (s *serving) check(f *pflag.FlagSet) error {
	switch {
	case s.metrics != "" && !isAddress(s.metrics):
		return usagef("serve: --metrics: invalid address %s: expected :port, or host:port to be reached from elsewhere", s.metrics)
	case f.Changed("devices") && s.devices == "":
		return usagef("serve: --devices (or HOTREADER_DEVICES) is empty, which would be all devices; name some, or leave it out")
	case s.store == "" && s.remote == "" && s.project == "":
		return usagef("serve: which store? Give --project DIR, --store URL or --remote URL")
	case s.store != "" && s.remote != "":
		return usagef("serve: --store and --remote are both given; choose one")
	case (s.cert == "") != (s.key == ""):
		return usagef("serve: --tls-cert and --tls-key go together; one is missing")
	case !isAddress(s.listen):
		return usagef("serve: --listen: invalid address %s: expected host:port, :port or host:0", s.listen)
	case s.rate != 0 && !config.IsRate(s.rate):
		return usagef("serve: --rate %g does not fit; expected requests a second, at least %g, or 0 for any number", s.rate, config.LeastRate)
	case s.burst < 0:
		return usagef("serve: --burst cannot be negative; 0 is twice the rate")
	case s.lookBack < 1:
		return usagef("serve: --look-back %d does not fit; expected a whole number of rows, at least 1", s.lookBack)
	case s.maxRows < 0:
		return usagef("serve: --max-rows %d does not fit; expected a whole number of rows, or 0 for the default", s.maxRows)
	}
	return s.tiers.check("serve", s.store)
}

func (s *serving) flags(f *pflag.FlagSet, levels []string) {
	f.StringVar(&s.project, "project", "", "serve all devices of this twin: its project `folder`")
	f.StringVar(&s.store, "store", "", "serve this store (a store `URL`), for reading")
	s.tiers.flags(f)
	f.StringVar(&s.remote, "remote", "", "serve what this Hot Reader API has (an https `URL`, or http to this machine)")
	f.StringVar(&s.listen, "listen", defaultListen, "`address` to listen on; port 0 takes a free one")
	f.StringVar(&s.tokenFile, "token-file", "", "`file` with the token, instead of "+tokenVariable)
	f.StringVar(&s.cert, "tls-cert", "", "`file` with the certificate chain, PEM")
	f.StringVar(&s.key, "tls-key", "", "`file` with the certificate's key, PEM")
	f.BoolVar(&s.insecure, "insecure", false, "allow plain http on an address that is not this machine's alone")
	f.Float64Var(&s.rate, "rate", 100, "`number` of requests a second that a token may make; 0 = any number")
	f.IntVar(&s.burst, "burst", 0, "`number` of requests that it may make at once; 0 = twice the rate")
	f.StringVar(&s.devices, "devices", "", "serve only these devices, a `list` of ids and ID prefixes: pump-7,valve-*")
	f.StringVar(&s.catalog, "catalog", "", "`file` with the packed catalogue of devices (default: hotreader-catalog beside this program, if it is there)")
	f.IntVar(&s.lookBack, "look-back", hotreader.LookBack, "look at this many `rows` at most for latest values")
	f.IntVar(&s.maxRows, "max-rows", 0, "let a query look at this many stored `rows` at most; 0 = 5000000, of Firestore 500000")
	f.StringVar(&s.cache, "cache", "", "keep this many `bytes` of what was read in memory (default 67108864); 0 = none")
	f.StringVar(&s.settle, "settle", "", "never answer from the cache with rows that are newer than this `time` (default 30s)")
	f.StringVar(&s.cacheAge, "cache-age", "", "never answer from the cache with what was read before this `time` (default 24h)")
	f.StringVar(&s.level, "log-level", "info", "least `level` to log: "+strings.Join(levels, ", "))
	f.StringVar(&s.metrics, "metrics", "", "show metrics to Prometheus on this `address`, as :9464; not shown without it")
	f.SortFlags = false
}

// variableFlags are the flags for which a variable of the functions stands, HOTREADER_LOOK_BACK
// for look-back.
var variableFlags = []string{"archive", "burst", "cache", "cache-age", "catalog", "cold", "devices", "log-level", "look-back", "max-rows", "rate", "settle"}

// fill gives the flags that are not there what the functions' variables of the same
// meaning say.
func fill(f *pflag.FlagSet, variable func(string) (string, bool)) error {
	for _, flag := range variableFlags {
		name := "HOTREADER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		text, ok := variable(name)
		if !ok || f.Changed(flag) || text == "" && flag != "devices" { // which must not become all
			continue
		}
		err := f.Set(flag, text)
		if _, ok := errors.AsType[*strconv.NumError](err); ok {
			return usagef("serve: %s is %.40q; expected a number", name, text)
		}
		if err != nil {
			return usagef("serve: %s: %v", name, err)
		}
	}
	return nil
}

func (a *app) runServe(ctx context.Context, s *serving, level slog.Level) error {
	signal.Ignore(syscall.SIGPIPE) // the log's reader may have gone; the callers have not
	if s.cert == "" && !s.insecure && !loopback(s.listen) {
		return usagef("serve: --listen %s is plain http that other machines can reach, and read the token from; "+
			"give --tls-cert and --tls-key, or --insecure if a proxy in front encrypts", s.listen)
	}
	if s.twin != nil {
		if err := s.twin.place(ctx, s); err != nil {
			return err
		}
	}
	devices, err := identity.ParseDevices(s.devices)
	if err != nil {
		return usagef("serve: --devices: %v", err)
	}
	logs := a.logger(level)
	own, err := s.identify(ctx)
	if err != nil {
		return err
	}
	seen, err := observe.New(observe.Options{Getenv: os.Getenv, Program: "hotreader-serve", Version: thisBuild().Version, Logger: logs, Page: s.metrics != ""})
	if err != nil {
		return err
	}
	defer func() { _ = seen.Close(ctx) }() // it has logged what it could not deliver
	s.metrics = cmp.Or(s.metrics, seen.Page())
	parts := function.Parts{Identity: own, Cache: function.DefaultCache, Observer: seen, Program: "hotreader-serve"}
	stores := &opened{ctx: ctx, wrap: seen.Store}
	defer func() { _ = stores.Close() }() // they were read
	parts.Local, parts.Objects = func() (hotreader.Source, error) { return stores.open(s.store) }, stores.open
	handler, err := s.api(parts, devices, logs)
	if err == nil && storeCloud(s.store) != "" {
		err = try(ctx, s.store)
	}
	if err != nil {
		return err
	}
	listener, err := s.listener(ctx)
	if err != nil {
		return err
	}
	metrics, end, err := s.page(ctx, seen)
	if err != nil {
		_ = listener.Close()
		return err
	}
	defer end()
	a.note("listening on %s://%s", s.scheme(), listener.Addr())
	a.warnOfReaders(s.tokenFile)
	if own.Token == nil && os.Getenv("HOTREADER_PAGE_KEY_SECRET") == "" {
		a.note("next_tokens are signed with a key that ends with this process; HOTREADER_PAGE_KEY_SECRET names a file with one that stays")
	}
	if metrics != nil {
		a.note("metrics on http://%s%s", metrics, page.Path)
	}
	return httpapi.Serve(ctx, httpapi.Server(handler), listener, httpapi.Drain{Reads: drain, Close: drain})
}

// api assembles what is served.
func (s *serving) api(parts function.Parts, devices identity.Devices, logs *slog.Logger) (_ http.Handler, err error) {
	f := s.tiers.function(config.Function{Role: config.API, Remote: s.remote != "", RemoteURL: s.remote, L3: storeCloud(s.store), Settings: config.Settings{
		Rate: s.rate, Burst: s.burst, Devices: devices, LookBack: s.lookBack, MaxRows: s.maxRows}})
	if s.twin != nil {
		if parts.Catalog, f.Twin = s.twin.devices, s.twin.Twin; s.twin.peer != nil {
			parts.Credential = s.twin.peer
		}
		if f.Remote {
			f.L3 = s.twin.L3
		}
	} else if parts.Catalog, err = function.OpenCatalog(s.catalog); err != nil {
		return nil, err
	}
	if err := f.ReadCache(s.cache, s.settle, s.cacheAge); err != nil {
		return nil, usagef("serve: %v", err)
	}
	if f.Rate == 0 {
		f.Rate = -1
	}
	return parts.API(f, httpapi.Options{
		Answers: answers, Queue: queue, Wait: wait,
		Logger: logs, Version: thisBuild().Version, Mounts: mounts.All(mounts.Options{Twin: f.Twin, Version: thisBuild().Version}), Page: web.Serve,
	})
}

// try returns an error if no request can be answered from a store: it has another layout,
// is not there, or this machine has no credentials for it.
func try(ctx context.Context, store string) error {
	s, err := all.OpenReader(ctx, store)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it was read
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for _, err := range hotreader.NewReader(s).Read(ctx, hotreader.Query{Device: "-", Properties: []string{"-"}, Limit: 1}) {
		if code := hotreader.CodeOf(err); code == hotreader.CodeConfig || code == hotreader.CodeNotFound {
			return err
		}
	}
	return nil
}

// storeCloud is the cloud of the store at a URL; "" = this machine.
func storeCloud(url string) config.Cloud {
	scheme, _, _ := strings.Cut(url, ":")
	return map[string]config.Cloud{"dynamodb": config.AWS, "cosmos": config.Azure, "firestore": config.GCP}[scheme]
}

// page shows metrics, if it is to, until end is called.
func (s *serving) page(ctx context.Context, seen *observe.Observer) (at net.Addr, end func(), err error) {
	if s.metrics == "" {
		return nil, func() {}, nil
	}
	if strings.HasPrefix(s.metrics, ":") {
		s.metrics = "127.0.0.1" + s.metrics
	}
	return httpapi.ServeSeparately(ctx, "--metrics", s.metrics, page.Handler(seen))
}

func (s *serving) scheme() string {
	if s.cert != "" {
		return "https"
	}
	return "http"
}

// listener listens for requests, with TLS if there is a certificate.
func (s *serving) listener(ctx context.Context) (net.Listener, error) {
	if s.cert == "" {
		return httpapi.Listen(ctx, "--listen", s.listen)
	}
	chain, err := bounded.ReadFile(s.cert, bounded.Text)
	key, unread := bounded.ReadFile(s.key, bounded.Text)
	pair, wrong := tls.X509KeyPair(chain, key)
	if err = cmp.Or(err, unread, wrong); err != nil {
		return nil, &hotreader.Error{Op: "serve: certificate", Code: hotreader.CodeConfig, Err: err}
	}
	l, err := httpapi.Listen(ctx, "--listen", s.listen)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(punctual.Listener(l, 5*time.Second), &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}), nil
}

// logger writes requests to stderr: as JSON, or on a terminal as text.
func (a *app) logger(level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if terminal.Is(a.stderr) {
		return slog.New(slog.NewTextHandler(a.stderr, o))
	}
	return slog.New(slog.NewJSONHandler(a.stderr, o))
}

// isAddress reports whether text has the form of an address to listen on.
func isAddress(text string) bool {
	_, port, err := net.SplitHostPort(text)
	return err == nil && port != "" && !strings.Contains(text, "/")
}

// loopback reports whether only this machine can reach address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	return endpoint.Loopback(host)
}
