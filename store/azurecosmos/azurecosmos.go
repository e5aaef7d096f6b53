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
	"strings"
	"sync/atomic"

	"hotreader"
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
