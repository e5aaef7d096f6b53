// Package azurecosmos is a store over a container of Azure Cosmos DB (NoSQL
// API), as the deployer and many others lay it out: one flat item a row,
// partition key /device_id, the time in /timestamp as UTC text of any precision,
// or as a number.
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
// An item's id is "{device}_{time}", so that a row written again replaces itself.
// What an id must not hold (/ \ ? # and control characters, and ~ itself) is
// written as ~ and two hexadecimal digits. An id longer than Cosmos DB's 1,023
// bytes keeps its front and its time; in between stands "~." and the hash of the
// device's id.
package azurecosmos

import (
	"cmp"
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
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

// The ways in which a container may keep time, for Options.TimeFormat.
const (
	ISO8601     = timekey.ISO8601     // text, UTC, as 2006-01-02T15:04:05.999Z, in any precision
	EpochMillis = timekey.EpochMillis // a number, milliseconds since 1970
	EpochSecs   = timekey.EpochSecs   // a number, seconds since 1970
)

// Options say which container, and how it is laid out.
type Options struct {
	Database   string
	Container  string
	DeviceKey  string // "" = device_id; the property of the partition key
	TimeKey    string // "" = timestamp
	TimeFormat string // "" = ISO8601

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
	client                     *Client
	database, container        string
	deviceKey, timeKey, format string
	pageItems                  int
	single                     bool

	link, docs string // of the container: for signatures, and its documents' URL path
	checked    atomic.Bool
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
		deviceKey: cmp.Or(o.DeviceKey, "device_id"),
		timeKey:   cmp.Or(o.TimeKey, "timestamp"),
		format:    cmp.Or(o.TimeFormat, ISO8601),
		pageItems: o.PageItems,
		single:    o.Single,
	}
	s.Scanner = paging.Scanner{
		Format: s.format, Slack: slack, Most: 1 << 20, Kept: paging.MaxPooled,
		Check: func(*hotreader.Query) error { return s.check() },
		New:   s.newReading,
		Fail:  func(ctx context.Context, err error) error { return s.fail(ctx, querying, err) },
	}
	s.link = "dbs/" + s.database + "/colls/" + s.container
	s.docs = "/dbs/" + url.PathEscape(s.database) + "/colls/" + url.PathEscape(s.container) + "/docs"
	return s
}

// Close does nothing: the client belongs to the caller.
func (s *Store) Close() error { return nil }

// check reports options with which nothing can be done.
func (s *Store) check() error {
	err := timekey.CheckLayout(s.deviceKey, s.timeKey, s.format, ISO8601, EpochMillis, EpochSecs)
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
// is that of o. Of an item only the two keys are indexed, which makes writing
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
		return s.fail(ctx, creating, err)
	}
	// Of version 2, partition keys may be longer than 100 bytes.
	body := fmt.Sprintf(`{"id":%s,"partitionKey":{"paths":[%s],"kind":"Hash","version":2},"indexingPolicy":{"indexingMode":"consistent",`+
		`"includedPaths":[{"path":%s},{"path":%s}],"excludedPaths":[{"path":"/*"}]}}`,
		quote(s.container), quote(path(s.deviceKey)), quote(path(s.deviceKey)+"/?"), quote(path(s.timeKey)+"/?"))
	_, err = client.do(ctx, &request{verb: http.MethodPost, path: "/dbs/" + url.PathEscape(s.database) + "/colls", kind: "colls", link: "dbs/" + s.database, body: []byte(body)}, p)
	if err == nil {
		return nil
	}
	if statusOf(err) != http.StatusConflict {
		return s.fail(ctx, creating, err)
	}
	if _, err = s.checkPartition(ctx); err != nil {
		return s.fail(ctx, creating, err)
	}
	return nil
}

// checkPartition asks for the container's partition key and compares it. known
// is false if it was not told.
func (s *Store) checkPartition(ctx context.Context) (known bool, err error) {
	p := paging.NewBody()
	defer p.Release()
	container, _ := strings.CutSuffix(s.docs, "/docs")
	if _, err := s.client.do(ctx, &request{verb: http.MethodGet, path: container, kind: "colls", link: s.link}, p); err != nil {
		return false, err
	}
	var properties struct {
		PartitionKey struct{ Paths []string }
	}
	if err := json.Unmarshal(p.Bytes, &properties); err != nil || len(properties.PartitionKey.Paths) == 0 {
		return false, &hotreader.Error{Code: hotreader.CodeProtocol, Err: errors.New("the container's properties cannot be read; check the endpoint")}
	}
	got, want := properties.PartitionKey.Paths, path(s.deviceKey)
	if !slices.Equal(got, []string{want}) && !slices.Equal(got, []string{quotedPath(s.deviceKey)}) {
		return true, &hotreader.Error{Code: hotreader.CodeConfig,
			Err: fmt.Errorf("the container's partition key is %s; it must be %s, or "+hotreader.LayoutHelp, strings.Join(got, ", "), want)}
	}
	return true, nil
}

// path returns the path of a property as partition keys and indexes name it.
func path(property string) string {
	if property == "" || strings.ContainsFunc(property, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
	}) {
		return quotedPath(property)
	}
	return "/" + property
}

func quotedPath(property string) string { return "/" + quote(property) }
