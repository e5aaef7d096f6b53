// Package gcpfirestore is a store over a Google Cloud Firestore collection (native
// mode). As the deployer lays it out, a document is flat and holds a row, with the
// fields device_id (a string) and timestamp (UTC text of any precision), and there is
// a composite index over the two; what else a collection may look like, a
// layout.Layout says.
//
// It speaks gRPC over net/http and decodes the answers' protobuf straight into
// rows: no generated code and no gRPC library is linked.
package gcpfirestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

// DefaultDatabase is the name of a project's first database.
const DefaultDatabase = "(default)"

// Options say which collection, and how it is laid out.
type Options struct {
	Project    string        // its id, as my-project-12345
	Database   string        // "" = DefaultDatabase
	Collection string        // as Layout.Collection, which comes before it
	Layout     layout.Layout // whose Collection is an id or, below a document, a path, as plants/berlin/telemetry or devices/{device}/telemetry
}

// Store reads and writes one collection. It is a hotreader.Store, safe for
// concurrent use.
type Store struct {
	client            *Client
	project, database string
	collection        string // its path, with {device} where that has the device
	databasePath      string // projects/P/databases/D
	codecs            []timekey.Codec
	firstPause        time.Duration
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
		collection: strings.Trim(cmp.Or(o.Layout.Collection, o.Collection), "/"),
		firstPause: 50 * time.Millisecond,
	}
	o.Layout.Collection = s.collection
	s.databasePath = "projects/" + s.project + "/databases/" + s.database
	s.codecs = timekey.NewCodecs(o.Layout)
	s.Scanner = paging.Scanner{
		Cloud: layout.Firestore, Layout: o.Layout.WithDefaults(), Slack: slack, Most: maxPage, Kept: maxPooled, Clocked: true,
		Check: s.checkQuery,
		New:   s.newReading,
		Fail:  func(ctx context.Context, err error) error { return s.fail(ctx, failure.Querying, err) },
		Look:  paging.Look{Items: s.look, End: s.end},
	}
	return s
}

// inPath is the placeholder of the device in a collection's path.
const inPath = "{device}"

// place returns the parent, a resource's name, and the id of the collection that has
// a device's documents.
func (s *Store) place(device string) (parent, id string) {
	parent, id = s.databasePath+"/documents", strings.Replace(s.collection, inPath, device, 1)
	if i := strings.LastIndexByte(id, '/'); i >= 0 {
		parent, id = parent+"/"+id[:i], id[i+1:]
	}
	return parent, id
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
	err := s.Layout.Check(layout.Firestore)
	switch {
	case s.project == "":
		err = errors.New("no project is named; set GOOGLE_CLOUD_PROJECT")
	case !made(s.project, "-.:"):
		err = fmt.Errorf("invalid project ID %q: expected one like my-project-12345 in GOOGLE_CLOUD_PROJECT", s.project)
	case s.database != DefaultDatabase && !made(s.database, "-"):
		err = fmt.Errorf("invalid database ID %q: expected one like twin-data in FIRESTORE_DATABASE, or none for %s", s.database, DefaultDatabase)
	case s.collection == "":
		err = errors.New("no collection is named; set FIRESTORE_COLLECTION")
	}
	if err != nil {
		return &hotreader.Error{Op: "firestore", Code: hotreader.CodeConfig, Err: err}
	}
	return nil
}

// maxID is how many bytes the id of a document or a collection may have, and how
// many of a string are indexed.
const maxID = 1500

// checkQuery reports why q cannot be asked.
func (s *Store) checkQuery(q *hotreader.Query) error {
	if err := s.check(); err != nil {
		return err
	}
	if err := s.checkDevice(q.Device); err != nil {
		return s.invalid(failure.Querying, err)
	}
	return nil
}

// checkDevice says what is wrong with a device id that is right for others.
func (s *Store) checkDevice(device string) error {
	switch inside := strings.Contains(s.collection, inPath); {
	case len(s.PartitionOf(device, time.Time{})) > maxID:
		return fmt.Errorf("the device id has %d bytes; Firestore indexes %d, so longer ones are ambiguous", len(device), maxID)
	case inside && (strings.Contains(device, "/") || layout.CheckCollection(strings.Replace(s.collection, inPath, device, 1)) != ""):
		return fmt.Errorf("the device id %.60q cannot be in the path %s: an id there has no slash and is not ., .. or __…__", device, s.collection)
	}
	return nil
}

// roles are what it takes.
var roles = map[string]string{failure.Querying: "roles/datastore.viewer", failure.Writing: "roles/datastore.user"}

// rules go by the names of gRPC's codes, and of the reasons that Google gives.
var rules = []failure.Rule{
	{For: "NOT_FOUND", Code: hotreader.CodeNotFound,
		Text: "there is no database {database} in project {project} ({message}); check FIRESTORE_DATABASE and GOOGLE_CLOUD_PROJECT, or the store URL"},
	{For: "FAILED_PRECONDITION", Says: "index", Code: hotreader.CodeConfig,
		Text: "collection {collection} lacks a composite index that is ready; it needs two: {device} ASCENDING with {time} ASCENDING, and {device} ASCENDING with {time} DESCENDING." +
			" Create them with: {create}ascending; {create}descending. Firestore says: {message}"}, // with a link that creates the one missing here
	{For: "FAILED_PRECONDITION", Code: hotreader.CodeConfig, Text: "the database {database} of project {project} cannot answer this: {message}"},
	{For: "SERVICE_DISABLED", Code: hotreader.CodeConfig,
		Text: "Firestore's API is off in project {project}: {message}; switch it on: gcloud services enable firestore.googleapis.com --project={project}"},
	{For: "PERMISSION_DENIED", Code: hotreader.CodeForbidden, Text: "the account lacks {role} in project {project}: {message}"},
	{For: "UNAUTHENTICATED", Code: hotreader.CodeConfig, Text: "the Google credentials were rejected: {message}; check that they are valid and not expired"},
	{For: "RESOURCE_EXHAUSTED", Code: hotreader.CodeThrottled, Text: "Firestore takes no more requests just now, or a quota is used up: {message}"},
	{For: "UNAVAILABLE CANCELLED", Code: hotreader.CodeUnavailable, Text: "{error}"},
	{For: "DEADLINE_EXCEEDED", Code: hotreader.CodeUnavailable, Text: "Firestore did not answer within its own time: {message}"},
	{For: "INVALID_ARGUMENT", Doing: failure.Writing, Code: hotreader.CodeInvalid, Text: "Firestore rejects a record: {message}"},
	{For: "INVALID_ARGUMENT", Code: hotreader.CodeConfig,
		Text: "Firestore rejects the query: {message}; check the collection's name, or " + hotreader.LayoutHelp},
	{For: "UNIMPLEMENTED", Code: hotreader.CodeProtocol, Text: "{endpoint} does not know the call: {message}; check that it is Firestore"},
	{For: "token", Code: hotreader.CodeConfig,
		Text: "the Google credentials give no access token: {error}; check the service account, or run gcloud auth application-default login again"},
	{For: "damaged", Code: hotreader.CodeCorrupt, Text: "the answer cannot be read: {error}"},
	{For: "unreached", Code: hotreader.CodeUnavailable, Text: "Firestore was not reached at {endpoint}, or the answer broke off: {error}"},
	{For: "foreign:5*", Code: hotreader.CodeUnavailable, Text: "{error}, and not from Firestore"},
}

func (s *Store) op(doing string) string { return "firestore: " + doing + " collection " + s.collection }

func (s *Store) invalid(doing string, err error) error {
	return &hotreader.Error{Op: s.op(doing), Code: hotreader.CodeInvalid, Err: err}
}

// again reports whether the same request may succeed where err came of it.
func again(err error) bool {
	if st, ok := errors.AsType[*status](err); ok {
		return slices.Contains([]string{"UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED", "CANCELLED"}, st.code)
	}
	if f, ok := errors.AsType[*foreignError](err); ok {
		return f.code == http.StatusTooManyRequests || f.code >= 500
	}
	_, token := errors.AsType[*tokenError](err)
	_, broken := errors.AsType[*failure.Damaged](err)
	return !failure.Untrusted(err) && !token && !broken
}

// fail makes err, which a call returned, an *hotreader.Error.
func (s *Store) fail(ctx context.Context, doing string, err error) error {
	f := failure.Failure{Op: s.op(doing), Doing: doing, Err: err, Words: []string{
		"service", "Firestore", "endpoint", s.client.endpoint, "project", s.project, "database", s.database,
		"collection", path.Base(s.collection), "device", s.Layout.DeviceKey, "time", s.Layout.TimeKey, "role", roles[doing],
		"create", fmt.Sprintf("gcloud firestore indexes composite create --project=%s --database='%s' --collection-group=%s --field-config=field-path=%s,order=ascending --field-config=field-path=%s,order=",
			s.project, s.database, path.Base(s.collection), s.Layout.DeviceKey, s.Layout.TimeKey),
	}}
	if st, ok := errors.AsType[*status](err); ok {
		f.Names, f.Message, f.RetryAfter, f.Root = []string{st.reason, st.code}, st.message, st.retryAfter, st
	}
	if t, ok := errors.AsType[*tokenError](err); ok {
		f.Names, f.Root = []string{"token"}, t.err
	}
	if answer, ok := errors.AsType[*foreignError](err); ok {
		f.Names, f.Root = []string{failure.Foreign(answer.code)}, answer
	}
	return f.Error(ctx, rules)
}
