// Package all opens any store by its URL:
//
//	mem:                                      in memory, empty
//	bolt:FILE                                 one file
//	dynamodb://TABLE?region=R&endpoint=URL    TABLE: its name or ARN; what is left out is as the environment says
//	cosmos://HOST/DB/CONTAINER                HOST[:PORT] of the account; of this machine: an emulator, over http, or https with tls=true
//	firestore://PROJECT/DATABASE/COLLECTION   COLLECTION: its id, or its path, which may hold {device}
//	s3://BUCKET/PREFIX                        objects, for reading: JSON, JSON lines, Parquet
//	azblob://ACCOUNT/CONTAINER/PREFIX         the same on Azure
//	gs://BUCKET/PREFIX                        and on Google Cloud
//	file:DIR                                  and in a folder
//
// Tables, containers and collections also take the keys of a layout (package
// layout); a container takes single=true for an emulator that knows no transactional
// batches, and a collection endpoint. The credentials come from the environment, as for the
// clouds' own tools.
//
// It links every store's client, so only the command imports it; a function
// links its own cloud's alone.
package all

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader"
	"hotreader/internal/endpoint"
	"hotreader/internal/nearest"
	"hotreader/internal/shell"
	"hotreader/layout"
	"hotreader/store/awsdynamodb"
	"hotreader/store/azurecosmos"
	"hotreader/store/boltstore"
	"hotreader/store/coldstore/coldurl"
	"hotreader/store/gcpfirestore"
	"hotreader/store/memstore"
)

// A scheme is what a store URL begins with.
type scheme struct {
	name, form string
	parameters []string
	cloud      layout.Cloud // whose layouts it takes; "" = none

	// open opens the store whose URL has rest after the scheme's colon.
	open func(o *opening, rest string) (hotreader.Store, error)
}

var schemes = []scheme{
	{"mem", "mem:", nil, "", openMemory},
	{"bolt", "bolt:FILE", nil, "", openBolt},
	{"dynamodb", "dynamodb://TABLE?region=R", []string{"region", "endpoint"}, layout.DynamoDB, openDynamoDB},
	{"cosmos", "cosmos://HOST/DB/CONTAINER", []string{"single", "tls"}, layout.CosmosDB, openCosmos},
	{"firestore", "firestore://PROJECT/DATABASE/COLLECTION", []string{"endpoint"}, layout.Firestore, openFirestore},
	{"s3", "s3://BUCKET/PREFIX", append([]string{"region", "endpoint"}, coldurl.Parameters...), "", openObjects},
	{"azblob", "azblob://ACCOUNT/CONTAINER/PREFIX", append([]string{"endpoint"}, coldurl.Parameters...), "", openObjects},
	{"gs", "gs://BUCKET/PREFIX", append([]string{"endpoint"}, coldurl.Parameters...), "", openObjects},
	{"file", "file:DIR", coldurl.Parameters, "", openObjects},
}

// An opening is a store URL that is being opened.
type opening struct {
	ctx        context.Context
	url        string // as errors have it
	scheme     *scheme
	parameters url.Values
	layout     layout.Layout
	readOnly   bool
	scope      string // of Google's credentials, for objects
	wrap       func(http.RoundTripper) http.RoundTripper
}

func (o *opening) get(parameter string) string { return o.parameters.Get(parameter) }

// Open opens the store that storeURL names, to read and to write. A file is
// created if it is not there; a table is not. An error of the URL is of
// CodeConfig.
func Open(ctx context.Context, storeURL string) (hotreader.Store, error) {
	return open(storeURL, opening{ctx: ctx})
}

// OpenReader opens a store to be read only: a file must be there, and others
// may read it at the same time.
func OpenReader(ctx context.Context, storeURL string) (hotreader.Store, error) {
	return open(storeURL, opening{ctx: ctx, readOnly: true})
}

// OpenSeen is OpenReader for a store whose requests, where it makes any, are sent
// by what wrap makes of their transport.
func OpenSeen(ctx context.Context, storeURL string, wrap func(http.RoundTripper) http.RoundTripper) (hotreader.Store, error) {
	return open(storeURL, opening{ctx: ctx, readOnly: true, wrap: wrap})
}

// importable are the endings of files that import reads.
var importable = []string{".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".gz", ".zst"}

func open(full string, o opening) (hotreader.Store, error) {
	o.url = shown(full)
	name, rest, ok := strings.Cut(full, ":")
	i := slices.IndexFunc(schemes, func(s scheme) bool { return s.name == name })
	switch {
	case !ok && i >= 0:
		return nil, bad("store URL %q lacks the colon; write it %s", o.url, schemes[i].form)
	case !ok && slices.Contains(importable, strings.ToLower(filepath.Ext(full))):
		return nil, bad("store URL %q is no store but a file of rows; import it first: hotreader import --store bolt:FILE.db --device ID %s", o.url, shell.Word(o.url))
	case !ok:
		return nil, bad("store URL %q has no scheme; for a file write bolt:%s", o.url, o.url)
	case i < 0:
		return nil, unknown(o.url, name)
	}
	o.scheme = &schemes[i]
	rest, query, _ := strings.Cut(rest, "?")
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return nil, bad("store URL %q: what follows the ? cannot be read: %w", o.url, err)
	}
	known := slices.Clone(o.scheme.parameters)
	if o.scheme.cloud != "" {
		known = append(known, layout.Keys...)
	}
	if err := only(o.url, parameters, known...); err != nil {
		return nil, err
	}
	o.parameters = parameters
	if o.layout, err = layout.FromURL(parameters); err != nil {
		return nil, bad("store URL %q: %w", o.url, err)
	}
	return o.scheme.open(&o, rest)
}

// checkLayout reports what the store cannot have of a layout. The sentences begin
// with the parameter.
func (o *opening) checkLayout() error {
	if wrong := o.layout.Problems(o.scheme.cloud); len(wrong) > 0 {
		return bad("store URL %q: %s", o.url, strings.Join(wrong, "; "))
	}
	return nil
}

// unknown says which schemes there are.
func unknown(storeURL, name string) error {
	var names, forms []string
	for _, s := range schemes {
		names, forms = append(names, s.name), append(forms, s.form)
	}
	if i := slices.Index(names, nearest.Word(name, names)); i >= 0 {
		return bad("store URL %q: there is no %q store; did you mean %s?", storeURL, name, forms[i])
	}
	return bad("store URL %q: there is no %q store; there are mem:, bolt:FILE, dynamodb://TABLE, cosmos://HOST/DB/CONTAINER, firestore://PROJECT/DATABASE/COLLECTION; for reading s3://BUCKET/PREFIX, azblob://ACCOUNT/CONTAINER/PREFIX, gs://BUCKET/PREFIX and file:DIR", storeURL, name)
}

// parts returns what is between the slashes after "//": as many parts as needed,
// none of them empty. The last may have more slashes.
func (o *opening) parts(rest string, wanted int) ([]string, error) {
	path, ok := strings.CutPrefix(rest, "//")
	parts := strings.SplitN(path, "/", wanted)
	if !ok || len(parts) != wanted || slices.Contains(parts, "") {
		return nil, bad("store URL %q: write it %s", o.url, o.scheme.form)
	}
	return parts, nil
}

func openMemory(o *opening, rest string) (hotreader.Store, error) {
	if rest != "" {
		return nil, bad("store URL %q: a store in memory has no name; write it mem:", o.url)
	}
	return memstore.New(), nil
}

func openBolt(o *opening, rest string) (hotreader.Store, error) {
	if rest == "" {
		return nil, bad("store URL %q names no file; write it bolt:FILE", o.url)
	}
	s, err := boltstore.Open(rest, boltstore.Options{ReadOnly: o.readOnly})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func openDynamoDB(o *opening, rest string) (hotreader.Store, error) {
	parts, err := o.parts(rest, 1)
	if err != nil {
		return nil, err
	}
	table, region := parts[0], o.get("region")
	if arn := strings.SplitN(table, ":", 6); len(arn) == 6 && arn[0] == "arn" && arn[2] == "dynamodb" && strings.HasPrefix(arn[5], "table/") {
		region = cmp.Or(region, arn[3])
	} else if strings.ContainsAny(table, "/:") {
		return nil, bad("store URL %q: write it %s, where TABLE is a name or as arn:aws:dynamodb:REGION:ACCOUNT:table/NAME", o.url, o.scheme.form)
	}
	if err := o.checkLayout(); err != nil {
		return nil, err
	}
	client, err := awsdynamodb.NewClient(o.ctx, awsdynamodb.ClientOptions{Region: region, Endpoint: o.get("endpoint")})
	if err != nil {
		return nil, err
	}
	if o.wrap != nil {
		client = dynamodb.New(client.Options(), func(d *dynamodb.Options) { d.HTTPClient = do{o.wrap(roundTrip(d.HTTPClient.Do))} })
	}
	return awsdynamodb.New(client, awsdynamodb.Options{Table: table, Layout: o.layout}), nil
}

// roundTrip and do are the two kinds of functions that send requests.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type do struct{ http.RoundTripper }

func (d do) Do(r *http.Request) (*http.Response, error) { return d.RoundTrip(r) }

func openCosmos(o *opening, rest string) (hotreader.Store, error) {
	parts, err := o.parts(rest, 3)
	if err == nil && strings.Contains(parts[2], "/") {
		_, err = o.parts("", 3)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"single", "tls"} {
		if v := o.get(name); o.parameters.Has(name) && v != "true" && v != "false" {
			return nil, bad("store URL %q: %s is true or false", o.url, name)
		}
	}
	if err := o.checkLayout(); err != nil {
		return nil, err
	}
	endpoint := "https://" + parts[0]
	if tls := o.get("tls"); tls == "false" || tls == "" && loopback(parts[0]) {
		endpoint = "http://" + parts[0]
	}
	client, err := azurecosmos.NewClient(azurecosmos.ClientOptions{Endpoint: endpoint, Wrap: o.wrap})
	if err != nil {
		return nil, err
	}
	return azurecosmos.New(client, azurecosmos.Options{Database: parts[1], Container: parts[2], Single: o.get("single") == "true", Layout: o.layout}), nil
}

// loopback reports whether host, which may have a port, is this machine.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return endpoint.Loopback(host)
}

func openFirestore(o *opening, rest string) (hotreader.Store, error) {
	parts, err := o.parts(rest, 3)
	if err != nil {
		return nil, err
	}
	path := strings.Trim(parts[2], "/")
	if o.layout.Collection != "" && o.layout.Collection != path {
		return nil, bad("store URL %q: collection is %q, but the path has the collection %q; leave the parameter out", o.url, o.layout.Collection, path)
	}
	o.layout.Collection = path
	if err := o.checkLayout(); err != nil {
		return nil, err
	}
	client, err := gcpfirestore.NewClient(o.ctx, gcpfirestore.ClientOptions{Endpoint: o.get("endpoint"), Wrap: o.wrap})
	if err != nil {
		return nil, err
	}
	return firestore{gcpfirestore.New(client, gcpfirestore.Options{
		Project: parts[0], Database: parts[1], Layout: o.layout,
	}), client}, nil
}

// firestore is a store with a client of its own.
type firestore struct {
	*gcpfirestore.Store
	client *gcpfirestore.Client
}

func (f firestore) Close() error { return errors.Join(f.Store.Close(), f.client.Close()) }

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

// only rejects parameters that are not among names, and empty or double ones.
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

func bad(format string, args ...any) error {
	return &hotreader.Error{Op: "store", Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
}
