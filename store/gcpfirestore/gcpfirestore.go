// Package gcpfirestore is a store over a Google Cloud Firestore collection
// (native mode), as the deployer and many others lay it out: one flat document
// a row, with the fields device_id (a string) and timestamp (UTC text of any
// precision, a timestamp of Firestore's own, or a number), and a composite index
// over the two.
//
// It speaks gRPC over net/http and decodes the answers' protobuf straight into
// rows: no generated code and no gRPC library is linked.
package gcpfirestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"hotreader"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

// The ways in which a collection may keep time. A collection keeps one of them:
// Firestore orders values of different types apart from each other, so documents
// whose time is of another type are not seen.
const (
	ISO8601     = timekey.ISO8601     // a string, UTC, as 2006-01-02T15:04:05.999Z, in any precision
	EpochMillis = timekey.EpochMillis // a number, milliseconds since 1970
	EpochSecs   = timekey.EpochSecs   // a number, seconds since 1970
	Native      = "native"            // Firestore's own timestamp, of microseconds
)

// DefaultDatabase is the name of a project's first database.
const DefaultDatabase = "(default)"

// Options say which collection, and how it is laid out.
type Options struct {
	Project    string // its id, as my-project-12345
	Database   string // "" = DefaultDatabase
	Collection string // its id, or for one below a document its path, as plants/berlin/telemetry
	DeviceKey  string // "" = device_id; the name of the field with the device, a string
	TimeKey    string // "" = timestamp; the name of the field with the time
	TimeFormat string // "" = ISO8601; how that field keeps time
}

// Store reads and writes one collection. It is a hotreader.Store, safe for
// concurrent use.
type Store struct {
	client                     *Client
	project, database          string
	collection                 string // its path
	databasePath               string // projects/P/databases/D
	parent                     string // of the collection, a resource name
	collectionID               string // the last part of its path
	deviceKey, timeKey, format string
	firstPause                 time.Duration
	known                      atomic.Bool // a document was seen that is laid out as configured
	paging.Scanner
}

var _ hotreader.Store = (*Store)(nil)

// New returns a Store over a collection. A collection has no life of its own: it
// is there when a document is.
func New(client *Client, o Options) *Store {
	s := &Store{
		client:     client,
		project:    o.Project,
		database:   cmp.Or(o.Database, DefaultDatabase),
		collection: strings.Trim(o.Collection, "/"),
		deviceKey:  cmp.Or(o.DeviceKey, "device_id"),
		timeKey:    cmp.Or(o.TimeKey, "timestamp"),
		format:     cmp.Or(o.TimeFormat, ISO8601),
		firstPause: 50 * time.Millisecond,
	}
	s.databasePath = "projects/" + s.project + "/databases/" + s.database
	s.parent, s.collectionID = s.databasePath+"/documents", s.collection
	if i := strings.LastIndexByte(s.collection, '/'); i >= 0 {
		s.parent, s.collectionID = s.parent+"/"+s.collection[:i], s.collection[i+1:]
	}
	s.Scanner = paging.Scanner{
		Format: s.format, Slack: slack, Most: maxPage, Kept: maxPooled,
		Check: s.checkQuery,
		New:   s.newReading,
		Fail:  func(ctx context.Context, err error) error { return s.fail(ctx, querying, err) },
	}
	return s
}

// Close does nothing: the client belongs to the caller.
func (s *Store) Close() error { return nil }

// made reports whether name is made of the characters of some id's alphabet
// alone, beside small letters and digits.
func made(name, others string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(others, r)
	})
}

// reserved reports whether a name is one of Firestore's own, which begin and end
// with two underscores ("Quotas and limits" in its documentation).
func reserved(name string) bool {
	return len(name) >= 4 && strings.HasPrefix(name, "__") && strings.HasSuffix(name, "__")
}

// check reports options with which nothing can be done.
func (s *Store) check() error {
	err := timekey.CheckLayout(s.deviceKey, s.timeKey, s.format, ISO8601, EpochMillis, EpochSecs, Native)
	switch {
	case s.project == "":
		err = errors.New("no project is named; set GOOGLE_CLOUD_PROJECT")
	case !made(s.project, "-.:"):
		err = fmt.Errorf("%q is no project id; set GOOGLE_CLOUD_PROJECT to one like my-project-12345", s.project)
	case s.database != DefaultDatabase && !made(s.database, "-"):
		err = fmt.Errorf("%q is no database id; set FIRESTORE_DATABASE to one like twin-data, or leave it out for %s", s.database, DefaultDatabase)
	case s.collection == "":
		err = errors.New("no collection is named; set FIRESTORE_COLLECTION")
	case !validCollection(s.collection):
		err = fmt.Errorf("%q is no collection; set FIRESTORE_COLLECTION to its id, or to its path as COLLECTION/DOCUMENT/COLLECTION", s.collection)
	case reserved(s.deviceKey) || reserved(s.timeKey):
		err = fmt.Errorf("the fields %q and %q must not begin and end with two underscores", s.deviceKey, s.timeKey)
	}
	if err != nil {
		return &hotreader.Error{Op: "firestore", Code: hotreader.CodeConfig, Err: err}
	}
	return nil
}

// maxID is how many bytes the id of a document or a collection may have, and how
// many of a string are indexed.
const maxID = 1500

func validCollection(path string) bool {
	parts := strings.Split(path, "/")
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || reserved(p) || len(p) > maxID || !utf8.ValidString(p) {
			return false
		}
	}
	return len(parts)%2 == 1
}

// checkQuery reports why q cannot be asked.
func (s *Store) checkQuery(q *hotreader.Query) error {
	if err := s.check(); err != nil {
		return err
	}
	if err := checkDevice(q.Device); err != nil {
		return s.invalid(querying, err)
	}
	return nil
}

// checkDevice says what is wrong with a device id that is right for others, ""
// if nothing.
func checkDevice(device string) error {
	if len(device) > maxID {
		return fmt.Errorf("the device id has %d bytes; Firestore indexes %d, so longer ones cannot be told apart", len(device), maxID)
	}
	return nil
}
