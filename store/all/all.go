// Package all opens any store by its URL:
//
//	mem:                                      in memory, empty
//	bolt:FILE                                 one file
//	dynamodb://TABLE?region=R&endpoint=URL    both may be left out: then as the environment says
//	cosmos://HOST/DB/CONTAINER                not in this build
//	firestore://PROJECT/DATABASE/COLLECTION   not in this build
//
// It links every store's client, so only the command imports it; a function
// links its own cloud's alone.
package all

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"hotreader"
	"hotreader/internal/nearest"
	"hotreader/store/awsdynamodb"
	"hotreader/store/boltstore"
	"hotreader/store/memstore"
)

// schemes are the words before a store URL's colon.
var schemes = []string{"mem", "bolt", "dynamodb", "cosmos", "firestore"}

// Open opens the store that storeURL names, to read and to write. A file is
// created if it is not there; a table is not. An error of the URL is of
// CodeConfig.
func Open(ctx context.Context, storeURL string) (hotreader.Store, error) {
	return open(ctx, storeURL, false)
}

// OpenReader opens a store to be read only: a file must be there, and others
// may read it at the same time.
func OpenReader(ctx context.Context, storeURL string) (hotreader.Store, error) {
	return open(ctx, storeURL, true)
}

func open(ctx context.Context, storeURL string, readOnly bool) (hotreader.Store, error) {
	scheme, rest, ok := strings.Cut(storeURL, ":")
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
		if f := parameters.Get("time_format"); f != "" && !slices.Contains([]string{awsdynamodb.ISO8601, awsdynamodb.EpochMillis, awsdynamodb.EpochSecs}, f) {
			return nil, bad("store URL %q: time_format is one of %s, %s, %s", storeURL, awsdynamodb.ISO8601, awsdynamodb.EpochMillis, awsdynamodb.EpochSecs)
		}
		client, err := awsdynamodb.NewClient(ctx, awsdynamodb.ClientOptions{Region: parameters.Get("region"), Endpoint: parameters.Get("endpoint")})
		if err != nil {
			return nil, err
		}
		return awsdynamodb.New(client, awsdynamodb.Options{
			Table:      table,
			DeviceKey:  parameters.Get("device_key"),
			TimeKey:    parameters.Get("time_key"),
			TimeFormat: parameters.Get("time_format"),
		}), nil
	case "cosmos", "firestore":
		return nil, bad("store URL %q: %s is not in this build; there are mem:, bolt: and dynamodb:", storeURL, scheme)
	}
	if meant := nearest.Word(scheme, schemes); meant != "" {
		return nil, bad("store URL %q: there is no %q store; did you mean %s?", storeURL, scheme, form(meant))
	}
	return nil, bad("store URL %q: there is no %q store; there are mem:, bolt:FILE and dynamodb://TABLE", storeURL, scheme)
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
