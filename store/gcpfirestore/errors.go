package gcpfirestore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"hotreader"
)

// cause says what happened and what to do, and keeps what it was made of for
// errors.As.
type cause struct {
	text string
	err  error
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.err }

// damaged is an answer that arrived and cannot be read.
type damaged struct{ err error }

func (d *damaged) Error() string { return "the answer cannot be read: " + d.err.Error() }
func (d *damaged) Unwrap() error { return d.err }

// action is what the Store does to a collection: the word for messages, and the
// role it takes.
type action struct{ verb, role string }

var (
	querying = action{"query", "roles/datastore.viewer"}
	writing  = action{"write", "roles/datastore.user"}
)

func (s *Store) op(a action) string { return "firestore: " + a.verb + " collection " + s.collection }

func (s *Store) invalid(a action, err error) error {
	return &hotreader.Error{Op: s.op(a), Code: hotreader.CodeInvalid, Err: err}
}

// again reports whether the same request may succeed where err came of it.
func again(err error) bool {
	if st, ok := errors.AsType[*status](err); ok {
		switch st.code {
		case statusUnavailable, statusResourceExhausted, statusAborted, statusInternal, statusUnknown, statusDeadlineExceeded, statusCancelled:
			return true
		}
		return false
	}
	if f, ok := errors.AsType[*foreignError](err); ok {
		return f.code == http.StatusTooManyRequests || f.code >= 500
	}
	_, refused := errors.AsType[*tls.CertificateVerificationError](err)
	_, token := errors.AsType[*tokenError](err)
	_, broken := errors.AsType[*damaged](err)
	return !refused && !token && !broken
}

// fail makes err, which a call returned, an *hotreader.Error.
func (s *Store) fail(ctx context.Context, a action, err error) error {
	e := &hotreader.Error{Op: s.op(a)}
	say := func(code hotreader.Code, format string, args ...any) error {
		e.Code, e.Err = code, &cause{fmt.Sprintf(format, args...), err}
		return e
	}
	// Whatever went wrong once the time is up went wrong because of that.
	if ctxErr := ctx.Err(); ctxErr != nil {
		e.Code, e.Err = hotreader.CodeOf(ctxErr), ctxErr
		return e
	}
	if st, ok := errors.AsType[*status](err); ok {
		e.RetryAfter = st.retryAfter
		return s.failStatus(say, a, st)
	}
	if _, ok := errors.AsType[*damaged](err); ok {
		return say(hotreader.CodeCorrupt, "%v", err)
	}
	if t, ok := errors.AsType[*tokenError](err); ok {
		return say(hotreader.CodeConfig, "the Google credentials give no access token: %v; check the service account, or run gcloud auth application-default login again", t.err)
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return say(hotreader.CodeConfig, "the certificate of %s is not trusted: %v", s.client.endpoint, certificate.Err)
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return say(hotreader.CodeConfig, "the certificate of %s is not trusted: %v", s.client.endpoint, unknown)
	}
	if f, ok := errors.AsType[*foreignError](err); ok {
		switch {
		case f.code == http.StatusTooManyRequests:
			return say(hotreader.CodeThrottled, "%v, and not from Firestore", f)
		case f.code >= 500:
			return say(hotreader.CodeUnavailable, "%v, and not from Firestore", f)
		}
		return say(hotreader.CodeProtocol, "%v, and not from Firestore; check %s", f, s.client.endpoint)
	}
	if errors.Is(err, errNoStatus) {
		return say(hotreader.CodeUnavailable, "the answer broke off: %v", err)
	}
	return say(hotreader.CodeUnavailable, "Firestore was not reached at %s, or the answer broke off: %v", s.client.endpoint, err)
}

// failStatus is fail for what Firestore says.
func (s *Store) failStatus(say func(hotreader.Code, string, ...any) error, a action, st *status) error {
	message := st.message
	if message == "" {
		message = "no more is said"
	}
	switch st.code {
	case statusNotFound:
		return say(hotreader.CodeNotFound, "there is no database %s in project %s (%s); check FIRESTORE_DATABASE and GOOGLE_CLOUD_PROJECT", s.database, s.project, message)
	case statusFailedPrecondition:
		if strings.Contains(strings.ToLower(message), "index") {
			return say(hotreader.CodeConfig, "%s", s.missingIndex(message))
		}
		return say(hotreader.CodeConfig, "the database %s of project %s cannot answer this: %s", s.database, s.project, message)
	case statusPermissionDenied:
		if st.reason == "SERVICE_DISABLED" {
			return say(hotreader.CodeConfig, "Firestore's API is off in project %s: %s; switch it on: gcloud services enable firestore.googleapis.com --project=%s", s.project, message, s.project)
		}
		return say(hotreader.CodeForbidden, "the account lacks %s in project %s: %s", a.role, s.project, message)
	case statusUnauthenticated:
		return say(hotreader.CodeConfig, "the Google credentials were refused: %s; check that they are valid and not expired", message)
	case statusResourceExhausted:
		return say(hotreader.CodeThrottled, "Firestore takes no more requests just now, or a quota is used up: %s", message)
	case statusUnavailable, statusCancelled:
		return say(hotreader.CodeUnavailable, "%v", st)
	case statusDeadlineExceeded:
		return say(hotreader.CodeUnavailable, "Firestore did not answer within its own time: %s", message)
	case statusInvalidArgument:
		if a == writing {
			return say(hotreader.CodeInvalid, "Firestore refuses a record: %s", message)
		}
		return say(hotreader.CodeConfig, "Firestore refuses the query: %s; see FIRESTORE_COLLECTION, HOTREADER_DEVICE_KEY and HOTREADER_TIME_KEY", message)
	case statusUnimplemented:
		return say(hotreader.CodeProtocol, "%s does not know the call: %s; check that it is Firestore", s.client.endpoint, message)
	}
	return say(hotreader.CodeStore, "%v", st)
}

// missingIndex says which index is to be made, and how.
func (s *Store) missingIndex(message string) string {
	command := fmt.Sprintf("gcloud firestore indexes composite create --project=%s --database='%s' --collection-group=%s --field-config=field-path=%s,order=ascending --field-config=field-path=%s,order=",
		s.project, s.database, s.collectionID, s.deviceKey, s.timeKey)
	text := fmt.Sprintf("collection %s lacks a composite index that is ready; it needs two: %s ASCENDING with %s ASCENDING, and %s ASCENDING with %s DESCENDING. Create them with: %sascending; %sdescending",
		s.collectionID, s.deviceKey, s.timeKey, s.deviceKey, s.timeKey, command, command)
	return text + ". Firestore says: " + message // with a link that creates the one missing here
}
