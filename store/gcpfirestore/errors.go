package gcpfirestore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"

	"hotreader"
	"hotreader/store/internal/failure"
)

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
