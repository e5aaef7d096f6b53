// Package all opens any store by its URL:
//
//	mem:                                      in memory, empty
//	bolt:FILE                                 one file
//	dynamodb://TABLE?region=R&endpoint=URL    both may be left out: then as the environment says
//	cosmos://HOST/DB/CONTAINER                HOST[:PORT] of the account; of this machine: an emulator, over http
//	firestore://PROJECT/DATABASE/COLLECTION   COLLECTION: its id, or its path
//
// Tables, containers and collections also take device_key, time_key and
// time_format, as Options of their packages; a container takes single=true for
// an emulator that knows no transactional batches, and a collection endpoint.
// Who asks is for the environment to say, as the clouds' own tools have it.
//
// It links every store's client, so only the command imports it; a function
// links its own cloud's alone.
package all

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader"
	"hotreader/internal/endpoint"
	"hotreader/internal/nearest"
	"hotreader/store/awsdynamodb"
	"hotreader/store/azurecosmos"
	"hotreader/store/boltstore"
	"hotreader/store/gcpfirestore"
	"hotreader/store/memstore"
)

// schemes are the words before a store URL's colon.
var schemes = []string{"mem", "bolt", "dynamodb", "cosmos", "firestore"}

// Open opens the store that storeURL names, to read and to write. A file is
// created if it is not there; a table is not. An error of the URL is of
// CodeConfig.
func Open(ctx context.Context, storeURL string) (hotreader.Store, error) {
	return open(ctx, storeURL, false, nil)
}

// OpenReader opens a store to be read only: a file must be there, and others
// may read it at the same time.
func OpenReader(ctx context.Context, storeURL string) (hotreader.Store, error) {
	return open(ctx, storeURL, true, nil)
}

// OpenSeen is OpenReader for a store whose requests, where it makes any, are sent
// by what wrap makes of their transport.
func OpenSeen(ctx context.Context, storeURL string, wrap func(http.RoundTripper) http.RoundTripper) (hotreader.Store, error) {
	return open(ctx, storeURL, true, wrap)
}

func open(ctx context.Context, full string, readOnly bool, wrap func(http.RoundTripper) http.RoundTripper) (hotreader.Store, error) {
	storeURL := shown(full)
	scheme, rest, ok := strings.Cut(full, ":")
	if !ok {
		if slices.Contains(schemes, storeURL) {
			return nil, bad("store URL %q lacks the colon; write it %s", storeURL, form(storeURL))
		}
		return nil, bad("store URL %q has no scheme; for a file write bolt:%s", storeURL, storeURL)
	}
	rest, query, _ := strings.Cut(rest, "?")
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return nil, bad("store URL %q: what follows the ? cannot be read: %w", storeURL, err)
	}
	switch scheme {
	case "mem":
		if rest != "" {
			return nil, bad("store URL %q: a store in memory has no name; write it mem:", storeURL)
		}
		if err := only(storeURL, parameters); err != nil {
			return nil, err
		}
		return memstore.New(), nil
	case "bolt":
		if rest == "" {
			return nil, bad("store URL %q names no file; write it bolt:FILE", storeURL)
		}
		if err := only(storeURL, parameters); err != nil {
			return nil, err
		}
		s, err := boltstore.Open(rest, boltstore.Options{ReadOnly: readOnly})
		if err != nil {
			return nil, err
		}
		return s, nil
	case "dynamodb":
		table, ok := strings.CutPrefix(rest, "//")
		if !ok || table == "" || strings.Contains(table, "/") {
			return nil, bad("store URL %q: write it %s", storeURL, form(scheme))
		}
		if err := only(storeURL, parameters, "region", "endpoint", "device_key", "time_key", "time_format"); err != nil {
			return nil, err
		}
		if err := timeFormat(storeURL, parameters, awsdynamodb.ISO8601, awsdynamodb.EpochMillis, awsdynamodb.EpochSecs); err != nil {
			return nil, err
		}
		client, err := awsdynamodb.NewClient(ctx, awsdynamodb.ClientOptions{Region: parameters.Get("region"), Endpoint: parameters.Get("endpoint")})
		if err != nil {
			return nil, err
		}
		if wrap != nil {
			client = dynamodb.New(client.Options(), func(o *dynamodb.Options) { o.HTTPClient = do{wrap(roundTrip(o.HTTPClient.Do))} })
		}
		return awsdynamodb.New(client, awsdynamodb.Options{
			Table:      table,
			DeviceKey:  parameters.Get("device_key"),
			TimeKey:    parameters.Get("time_key"),
			TimeFormat: parameters.Get("time_format"),
		}), nil
	case "cosmos":
		return openCosmos(storeURL, rest, parameters, wrap)
	case "firestore":
		return openFirestore(ctx, storeURL, rest, parameters, wrap)
	}
	if meant := nearest.Word(scheme, schemes); meant != "" {
		return nil, bad("store URL %q: there is no %q store; did you mean %s?", storeURL, scheme, form(meant))
	}
	return nil, bad("store URL %q: there is no %q store; there are mem:, bolt:FILE, dynamodb://TABLE, cosmos://HOST/DB/CONTAINER and firestore://PROJECT/DATABASE/COLLECTION", storeURL, scheme)
}

// roundTrip and do are the two ways to say how requests are sent.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type do struct{ http.RoundTripper }

func (d do) Do(r *http.Request) (*http.Response, error) { return d.RoundTrip(r) }

func openCosmos(storeURL, rest string, parameters url.Values, wrap func(http.RoundTripper) http.RoundTripper) (hotreader.Store, error) {
	path, ok := strings.CutPrefix(rest, "//")
	parts := strings.Split(path, "/")
	if !ok || len(parts) != 3 || slices.Contains(parts, "") {
		return nil, bad("store URL %q: write it %s", storeURL, form("cosmos"))
	}
	if err := only(storeURL, parameters, "device_key", "time_key", "time_format", "single"); err != nil {
		return nil, err
	}
	if err := timeFormat(storeURL, parameters, azurecosmos.ISO8601, azurecosmos.EpochMillis, azurecosmos.EpochSecs); err != nil {
		return nil, err
	}
	single := parameters.Get("single")
	if parameters.Has("single") && single != "true" && single != "false" {
		return nil, bad("store URL %q: single is true or false", storeURL)
	}
	endpoint := "https://" + parts[0]
	if loopback(parts[0]) {
		endpoint = "http://" + parts[0]
	}
	client, err := azurecosmos.NewClient(azurecosmos.ClientOptions{Endpoint: endpoint, Wrap: wrap})
	if err != nil {
		return nil, err
	}
	return azurecosmos.New(client, azurecosmos.Options{
		Database:   parts[1],
		Container:  parts[2],
		DeviceKey:  parameters.Get("device_key"),
		TimeKey:    parameters.Get("time_key"),
		TimeFormat: parameters.Get("time_format"),
		Single:     single == "true",
	}), nil
}

// loopback reports whether host, which may have a port, is this machine.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return endpoint.Loopback(host)
}

func openFirestore(ctx context.Context, storeURL, rest string, parameters url.Values, wrap func(http.RoundTripper) http.RoundTripper) (hotreader.Store, error) {
	path, ok := strings.CutPrefix(rest, "//")
	parts := strings.SplitN(path, "/", 3)
	if !ok || len(parts) != 3 || slices.Contains(parts, "") {
		return nil, bad("store URL %q: write it %s", storeURL, form("firestore"))
	}
	if err := only(storeURL, parameters, "endpoint", "device_key", "time_key", "time_format"); err != nil {
		return nil, err
	}
	if err := timeFormat(storeURL, parameters, gcpfirestore.ISO8601, gcpfirestore.EpochMillis, gcpfirestore.EpochSecs, gcpfirestore.Native); err != nil {
		return nil, err
	}
	client, err := gcpfirestore.NewClient(ctx, gcpfirestore.ClientOptions{Endpoint: parameters.Get("endpoint"), Wrap: wrap})
	if err != nil {
		return nil, err
	}
	return firestore{gcpfirestore.New(client, gcpfirestore.Options{
		Project:    parts[0],
		Database:   parts[1],
		Collection: parts[2],
		DeviceKey:  parameters.Get("device_key"),
		TimeKey:    parameters.Get("time_key"),
		TimeFormat: parameters.Get("time_format"),
	}), client}, nil
}

// firestore is a store with a client of its own.
type firestore struct {
	*gcpfirestore.Store
	client *gcpfirestore.Client
}

func (f firestore) Close() error { return errors.Join(f.Store.Close(), f.client.Close()) }

// timeFormat refuses a time format that is not among formats.
func timeFormat(storeURL string, parameters url.Values, formats ...string) error {
	if f := parameters.Get("time_format"); f != "" && !slices.Contains(formats, f) {
		return bad("store URL %q: time_format is one of %s", storeURL, strings.Join(formats, ", "))
	}
	return nil
}

// shown is a store URL as errors have it: without what a key may have been put
// into, though there is no place for one.
func shown(storeURL string) string {
	storeURL, _, asked := strings.Cut(storeURL, "?")
	if scheme, rest, ok := strings.Cut(storeURL, "://"); ok {
		host, path, _ := strings.Cut(rest, "/")
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			storeURL = scheme + "://…@" + host[at+1:] + "/" + path
		}
	}
	if asked {
		storeURL += "?…"
	}
	return storeURL
}

// only refuses parameters that are not among names, and empty or double ones.
func only(storeURL string, parameters url.Values, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		values := parameters[name]
		switch {
		case !slices.Contains(names, name):
			if meant := nearest.Word(name, names); meant != "" {
				return bad("store URL %q: parameter %q is unknown; did you mean %s?", storeURL, name, meant)
			}
			if len(names) == 0 {
				return bad("store URL %q: parameter %q is unknown; this store takes none", storeURL, name)
			}
			return bad("store URL %q: parameter %q is unknown; there are %s", storeURL, name, strings.Join(names, ", "))
		case len(values) > 1:
			return bad("store URL %q: parameter %q is given %d times", storeURL, name, len(values))
		}
	}
	return nil
}

// form returns how a URL of scheme is written.
func form(scheme string) string {
	switch scheme {
	case "bolt":
		return "bolt:FILE"
	case "dynamodb":
		return "dynamodb://TABLE?region=R"
	case "cosmos":
		return "cosmos://HOST/DB/CONTAINER"
	case "firestore":
		return "firestore://PROJECT/DATABASE/COLLECTION"
	}
	return scheme + ":"
}

func bad(format string, args ...any) error {
	return &hotreader.Error{Op: "store", Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
}
