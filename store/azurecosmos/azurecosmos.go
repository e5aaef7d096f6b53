// Package azurecosmos is a store over a container of Azure Cosmos DB (NoSQL
// API). As the deployer lays it out, it has one flat item a row, partition key
// /device_id, and the time in /timestamp as UTC text of any precision; other
// containers are read by a layout.Layout.
//
// A read is one query within one partition, named in the request's header: it
// can neither reach another device's rows nor fan out over partitions. Requests
// go through a small client of Cosmos DB's REST API (see Client); a page's JSON
// is decoded straight into rows.
//
// # Numbers
//
// Cosmos DB keeps a number as an IEEE 754 double, and not its spelling. A number
// whose digits a double does not bring back, such as 9007199254740993, would
// come out as another one; Write stores it as text with its digits instead, so
// that none is lost. Where the query declares the property's type it is a number
// again, to the last digit; where it does not, and it comes first, the series is
// text.
//
// # Ids
//
// An item's id is "{device}_{time}", and of an item with one property
// "{device}_{time}_{property}", so that a row written again replaces itself. What an
// id must not hold (/ \ ? # and control characters, and ~ itself) is written as ~ and
// two hexadecimal digits. An id longer than Cosmos DB's 1,023 bytes keeps its front and
// its time, with "~." and the hash of the device's ID in between.
package azurecosmos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"hotreader"
	"hotreader/internal/endpoint"
	"hotreader/layout"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

// Options say which container, and how it is laid out.
type Options struct {
	Database  string
	Container string
	Layout    layout.Layout // its device_key is the partition key

	// PageItems bounds the items of a page. 0 = as many as Cosmos DB puts into
	// one, up to 4 MB. A small page spreads a long read's request units over
	// time.
	PageItems int

	// Single makes Write send each item by itself. Without it up to a hundred go
	// as one transactional batch, which some emulators do not know.
	Single bool
}

// Store reads and writes one container. It is a hotreader.Store, safe for
// concurrent use.
type Store struct {
	client              *Client
	database, container string
	pageItems           int
	single              bool

	device, time []string      // paths of the two keys
	codec        timekey.Codec // that Write uses
	link, docs   string        // of the container: for signatures, and its documents' URL path
	checked      atomic.Bool
	paging.Scanner
}

var _ hotreader.Store = (*Store)(nil)

// New returns a Store over a container that exists, or will when it is first
// read.
func New(client *Client, o Options) *Store {
	s := &Store{
		client:    client,
		database:  o.Database,
		container: o.Container,
		pageItems: o.PageItems,
		single:    o.Single,
	}
	s.Scanner = paging.Scanner{
		Cloud: layout.CosmosDB, Layout: o.Layout.WithDefaults(), Slack: slack, Most: 1 << 20, Kept: paging.MaxPooled, Unranked: true, Clocked: true,
		Check: func(*hotreader.Query) error { return s.check() },
		New:   s.newReading,
		Fail:  func(ctx context.Context, err error) error { return s.fail(ctx, failure.Querying, err) },
		Look:  paging.Look{Items: s.newest, End: s.end},
	}
	s.device, s.time = layout.ParsePath(s.Layout.DeviceKey), layout.ParsePath(s.Layout.TimeKey)
	s.codec = timekey.NewCodecs(s.Layout)[0]
	s.link = "dbs/" + s.database + "/colls/" + s.container
	s.docs = "/dbs/" + url.PathEscape(s.database) + "/colls/" + url.PathEscape(s.container) + "/docs"
	return s
}

// Close does nothing: the client belongs to the caller.
func (s *Store) Close() error { return nil }

// check reports options with which nothing can be done.
func (s *Store) check() error {
	err := s.Layout.Check(layout.CosmosDB)
	switch {
	case s.database == "" || s.container == "":
		err = errors.New("no database or no container is named; set COSMOS_DB_DATABASE and COSMOS_DB_CONTAINER")
	case strings.ContainsAny(s.database+s.container, `/\?#`):
		err = fmt.Errorf(`the database %q or the container %q has one of / \ ? # in its name, which Cosmos DB does not allow`, s.database, s.container)
	case s.pageItems < 0:
		err = fmt.Errorf("%d items a page is negative", s.pageItems)
	}
	if err != nil {
		return &hotreader.Error{Op: "cosmos", Code: hotreader.CodeConfig, Err: err}
	}
	return nil
}

// CreateContainer creates the database and the container of o, if they are not
// there. A container that is there already is left alone, if its partition key
// is that of o. Of an item only what queries compare is indexed, which makes writing
// cheap. It needs an account key: roles for data do not allow it.
func CreateContainer(ctx context.Context, client *Client, o Options) error {
	s := New(client, o)
	if err := s.check(); err != nil {
		return err
	}
	p := paging.NewBody()
	defer p.Release()
	_, err := client.do(ctx, &request{verb: http.MethodPost, path: "/dbs", kind: "dbs", body: []byte(`{"id":` + quote(s.database) + "}")}, p)
	if err != nil && statusOf(err) != http.StatusConflict {
		return s.fail(ctx, failure.Creating, err)
	}
	indexed := []string{`{"path":` + quote(path(s.device)+"/?") + "}"}
	for _, key := range []string{s.Layout.TimeKey, s.Layout.NameKey} {
		if key != "" && !slices.Contains(system, key) { // those are indexed anyway
			indexed = append(indexed, `{"path":`+quote(path(layout.ParsePath(key))+"/?")+"}")
		}
	}
	// Of version 2, partition keys may be longer than 100 bytes.
	body := fmt.Sprintf(`{"id":%s,"partitionKey":{"paths":[%s],"kind":"Hash","version":2},"indexingPolicy":{"indexingMode":"consistent",`+
		`"includedPaths":[%s],"excludedPaths":[{"path":"/*"}]}}`, quote(s.container), quote(path(s.device)), strings.Join(indexed, ","))
	_, err = client.do(ctx, &request{verb: http.MethodPost, path: "/dbs/" + url.PathEscape(s.database) + "/colls", kind: "colls", link: "dbs/" + s.database, body: []byte(body)}, p)
	if err == nil {
		return nil
	}
	if statusOf(err) != http.StatusConflict {
		return s.fail(ctx, failure.Creating, err)
	}
	if _, err = s.checkPartition(ctx); err != nil {
		return s.fail(ctx, failure.Creating, err)
	}
	return nil
}

// checkPartition asks for the container's partition key and compares it. known
// is false if the answer does not have it.
func (s *Store) checkPartition(ctx context.Context) (known bool, err error) {
	got, err := s.partitionPaths(ctx)
	if err != nil {
		return false, err
	}
	want := path(s.device)
	plain := strings.NewReplacer(`"`, "") // a name may be quoted, whether it must be or not
	if len(got) != 1 || plain.Replace(got[0]) != plain.Replace(want) {
		return true, &hotreader.Error{Code: hotreader.CodeConfig,
			Err: fmt.Errorf("the container's partition key is %s; it must be %s, or "+hotreader.LayoutHelp, strings.Join(got, ", "), want)}
	}
	return true, nil
}

// partitionPaths asks for the paths of the container's partition key.
func (s *Store) partitionPaths(ctx context.Context) ([]string, error) {
	p := paging.NewBody()
	defer p.Release()
	container, _ := strings.CutSuffix(s.docs, "/docs")
	if _, err := s.client.do(ctx, &request{verb: http.MethodGet, path: container, kind: "colls", link: s.link}, p); err != nil {
		return nil, err
	}
	var properties struct {
		PartitionKey struct{ Paths []string }
	}
	if err := json.Unmarshal(p.Bytes, &properties); err != nil || len(properties.PartitionKey.Paths) == 0 {
		return nil, &hotreader.Error{Code: hotreader.CodeProtocol, Err: errors.New("the container's properties cannot be read; check the endpoint")}
	}
	return properties.PartitionKey.Paths, nil
}

// path returns a path as partition keys and indexes name it.
func path(names []string) string {
	var path strings.Builder
	for _, name := range names {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool {
			return r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
		}) {
			name = quote(name)
		}
		path.WriteString("/" + name)
	}
	return path.String()
}

// roles are what it takes.
var roles = map[string]string{
	failure.Querying: "Cosmos DB Built-in Data Reader",
	failure.Sampling: "Cosmos DB Built-in Data Reader",
	failure.Writing:  "Cosmos DB Built-in Data Contributor",
}

// rules go by the HTTP status of what Cosmos DB says.
var rules = []failure.Rule{
	{For: "429", Code: hotreader.CodeThrottled, Text: "the container takes no more requests just now ({message}); raise its throughput or ask less often"},
	{For: "400", Says: "order&index|range index|indexing", Code: hotreader.CodeConfig,
		Text: "the container does not index its time: {message}; include {time}/? and {device}/? in its indexing policy"},
	{For: "400", Says: "partition key|partitionkey|cross partition", Code: hotreader.CodeConfig,
		Text: "the container is not laid out as configured: {message}; its partition key must be {device}, or " + hotreader.LayoutHelp},
	{For: "400", Doing: failure.Writing, Code: hotreader.CodeInvalid, Text: "the container rejects an item: {message}"},
	{For: "400", Code: hotreader.CodeConfig,
		Text: "Cosmos DB rejects the request: {message}; " + hotreader.LayoutHelp},
	{For: "401", Code: hotreader.CodeConfig,
		Text: "the credentials were rejected: {message}; check that COSMOS_DB_KEY is a key of {endpoint}, or that the identity is of its tenant, and that the clock is right"},
	{For: "403", Says: "maximum size", Code: hotreader.CodeStore,
		Text: "the device's partition is full: {message}; Cosmos DB keeps at most 20 GB of one device: let old rows expire"},
	{For: "403", Doing: failure.Creating, Code: hotreader.CodeForbidden,
		Text: "it is not allowed: {message}; it needs an account key, or create the container with Azure's own tools"},
	{For: "403", Code: hotreader.CodeForbidden,
		Text: "it is not allowed: {message}; give the identity the role {role} on the account, and let the account's firewall pass"},
	{For: "404", Doing: failure.Creating, Code: hotreader.CodeNotFound, Text: "there is no such account as {endpoint}: {message}; check COSMOS_DB_ENDPOINT"},
	{For: "404", Code: hotreader.CodeNotFound,
		Text: "there is no container {container} of {endpoint}; check COSMOS_DB_DATABASE, COSMOS_DB_CONTAINER and COSMOS_DB_ENDPOINT, or the store URL"},
	{For: "409", Code: hotreader.CodeInvalid, Text: "an item conflicts with another one: {message}; the container must have no unique keys"},
	{For: "413", Code: hotreader.CodeTooLarge, Text: "the request is too large: {message}"},
	{For: "408 410 449 503", Code: hotreader.CodeUnavailable, Text: "Cosmos DB is not able to just now: status {status}: {message}{trace}"},
	{For: "emulator:5*", Doing: failure.Writing, Code: hotreader.CodeStore,
		Text: "the emulator failed: status {status}: {message}; if it knows no transactional batches, write items one by one: single=true in the store's URL"},
	{For: "5*", Code: hotreader.CodeStore, Text: "Cosmos DB failed: status {status}: {message}{trace}"},
	{For: "untrusted", Code: hotreader.CodeConfig, Text: "{endpoint} is not trusted: {error}; check COSMOS_DB_ENDPOINT{tls}"},
	{For: "unreached", Code: hotreader.CodeUnavailable, Text: "{endpoint} was not reached: {error}{tls}"},
	{For: "foreign:431", Code: hotreader.CodeProtocol, Text: "{error}: a proxy before Cosmos DB rejects so long a header; check COSMOS_DB_ENDPOINT"},
	{For: "foreign:50*", Code: hotreader.CodeUnavailable, Text: "{error}, and not from Cosmos DB"},
	{For: "foreign:*", Code: hotreader.CodeProtocol, Text: "{error} with {kind}, and not from Cosmos DB; check COSMOS_DB_ENDPOINT{tls}"},
	{For: "1* 2* 3* 4*", Code: hotreader.CodeProtocol, Text: "status {status}: {message}; check COSMOS_DB_ENDPOINT"},
}

func (s *Store) op(doing string) string {
	return "cosmos: " + doing + " container " + s.database + "/" + s.container
}

// fail makes err, which Client.do returned, an *hotreader.Error.
func (s *Store) fail(ctx context.Context, doing string, err error) error {
	f := failure.Failure{Op: s.op(doing), Doing: doing, Err: err, Words: []string{
		"service", "Cosmos DB", "endpoint", s.client.host,
		"container", fmt.Sprintf("%q in a database %q", s.container, s.database),
		"time", path(s.time), "device", path(s.device), "role", strconv.Quote(roles[doing]), "tls", s.client.tls(),
	}}
	if r, ok := errors.AsType[*refusal](err); ok {
		status := strconv.Itoa(r.status)
		f.Names, f.Message, f.RetryAfter = []string{status}, r.message, r.retryAfter
		if !s.single && strings.HasPrefix(s.client.endpoint, "http:") {
			f.Names = append(f.Names, "emulator:"+status)
		}
		if r.foreign() {
			f.Names, f.Root = []string{failure.Foreign(r.status)}, errors.New("status "+status)
		}
		f.Words = append(f.Words, "status", status, "trace", trace(r), "kind", describe(r.contentType))
	}
	return f.Error(ctx, rules)
}

// tls says what to do where an emulator may speak http, or https, instead.
func (c *Client) tls() string {
	switch host := (&url.URL{Host: c.host}).Hostname(); {
	case strings.HasPrefix(c.endpoint, "http:"):
		return "; it was asked over http: if it speaks https, say tls=true in the store's URL"
	case endpoint.Loopback(host):
		return "; for an emulator set SSL_CERT_FILE to its certificate or, if it speaks http, say tls=false in the store's URL"
	}
	return ""
}

// foreign reports whether something in front of Cosmos DB has answered, which
// throttles as it does.
func (r *refusal) foreign() bool {
	if r.message != "" || r.status == http.StatusTooManyRequests {
		return false
	}
	return r.status >= 502 && r.status <= 504 || r.status < 500 && !strings.HasPrefix(r.contentType, "application/json")
}

func describe(contentType string) string {
	if contentType == "" {
		return "no content type"
	}
	return contentType
}

func trace(r *refusal) string {
	if r.activity == "" {
		return ""
	}
	return " (activity " + r.activity + ")"
}
