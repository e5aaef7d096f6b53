package azurecosmos

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"hotreader"
)

// cause says what happened and what to do, and keeps the error for errors.As.
type cause struct {
	text string
	err  error
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.err }

// action is what the Store does to a container: the word for messages, and the
// role it needs.
type action struct{ verb, role string }

var (
	querying = action{"query", "Cosmos DB Built-in Data Reader"}
	writing  = action{"write", "Cosmos DB Built-in Data Contributor"}
	creating = action{"create", "of an account key: roles for data do not allow to create"}
)

func (s *Store) op(a action) string {
	return "cosmos: " + a.verb + " container " + s.database + "/" + s.container
}

// fail makes err, which Client.do returned, an *hotreader.Error.
func (s *Store) fail(ctx context.Context, a action, err error) error {
	e := &hotreader.Error{Op: s.op(a)}
	say := func(code hotreader.Code, format string, args ...any) error {
		e.Code, e.Err = code, &cause{fmt.Sprintf(format, args...), err}
		return e
	}
	refused, isRefused := errors.AsType[*refusal](err)
	if isRefused {
		e.RetryAfter = refused.retryAfter
	}
	// Whatever went wrong once the time is up went wrong because of that.
	if ctxErr := ctx.Err(); ctxErr != nil {
		e.Code, e.Err = hotreader.CodeOf(ctxErr), ctxErr
		return e
	}
	if own, ok := errors.AsType[*hotreader.Error](err); ok {
		e.Code, e.Err = own.Code, own.Err
		return e
	}
	if body, ok := errors.AsType[*bodyError](err); ok {
		return say(hotreader.CodeUnavailable, "the answer broke off: %v", body.err)
	}
	if !isRefused {
		return s.failUnanswered(say, err)
	}
	message := refused.message
	if message == "" {
		message = "no more is said"
	}
	switch status := refused.status; {
	case status == http.StatusTooManyRequests:
		return say(hotreader.CodeThrottled, "the container takes no more requests just now (%s); raise its throughput or ask less often", message)
	case refused.message == "" && status >= 502 && status <= 504:
		return say(hotreader.CodeUnavailable, "status %d, and not from Cosmos DB", status)
	case refused.message == "" && status < 500 && !strings.HasPrefix(refused.contentType, "application/json"):
		return say(hotreader.CodeProtocol, "status %d with %s, and not from Cosmos DB; check COSMOS_DB_ENDPOINT", status, describe(refused.contentType))
	case status == http.StatusBadRequest:
		return s.failBad(say, a, message)
	case status == http.StatusUnauthorized:
		return say(hotreader.CodeConfig, "the credentials were refused: %s; check that COSMOS_DB_KEY is a key of %s, or that the identity is of its tenant, and that the clock is right", message, s.client.host)
	case status == http.StatusForbidden && strings.Contains(message, "maximum size"):
		return say(hotreader.CodeStore, "the device's partition is full: %s; Cosmos DB keeps at most 20 GB of one device: let old rows expire", message)
	case status == http.StatusForbidden && a == creating:
		return say(hotreader.CodeForbidden, "it is not allowed: %s; it needs an account key, or create the container with Azure's own tools", message)
	case status == http.StatusForbidden:
		return say(hotreader.CodeForbidden, "it is not allowed: %s; give the identity the role %q on the account, and let the account's firewall pass", message, a.role)
	case status == http.StatusNotFound && a == creating:
		return say(hotreader.CodeNotFound, "there is no such account as %s: %s; check COSMOS_DB_ENDPOINT", s.client.host, message)
	case status == http.StatusNotFound:
		return say(hotreader.CodeNotFound, "there is no container %q in a database %q of %s; check COSMOS_DB_DATABASE, COSMOS_DB_CONTAINER and COSMOS_DB_ENDPOINT", s.container, s.database, s.client.host)
	case status == http.StatusConflict:
		return say(hotreader.CodeInvalid, "an item conflicts with another one: %s; the container must have no unique keys", message)
	case status == http.StatusRequestEntityTooLarge:
		return say(hotreader.CodeTooLarge, "the request is too large: %s", message)
	case status == http.StatusRequestTimeout, status == http.StatusGone, status == http.StatusServiceUnavailable, status == statusRetryWith:
		return say(hotreader.CodeUnavailable, "Cosmos DB is not able to just now: status %d: %s%s", status, message, trace(refused))
	case status >= 500 && a == writing && !s.single && strings.HasPrefix(s.client.endpoint, "http:"):
		return say(hotreader.CodeStore, "the emulator failed: status %d: %s; if it knows no transactional batches, write items one by one: single=true in the store's URL", status, message)
	case status >= 500:
		return say(hotreader.CodeStore, "Cosmos DB failed: status %d: %s%s", status, message, trace(refused))
	}
	return say(hotreader.CodeProtocol, "status %d: %s; check COSMOS_DB_ENDPOINT", refused.status, message)
}

// failBad is fail for a request that Cosmos DB thinks wrong.
func (s *Store) failBad(say func(hotreader.Code, string, ...any) error, a action, message string) error {
	lower := strings.ToLower(message)
	switch {
	case strings.Contains(lower, "order") && strings.Contains(lower, "index"), strings.Contains(lower, "range index"), strings.Contains(lower, "indexing"):
		return say(hotreader.CodeConfig, "the container does not index its time: %s; include %s/? and %s/? in its indexing policy", message, path(s.timeKey), path(s.deviceKey))
	case strings.Contains(lower, "partition key") || strings.Contains(lower, "partitionkey") || strings.Contains(lower, "cross partition"):
		return say(hotreader.CodeConfig, "the container is not laid out as configured: %s; its partition key must be %s, see HOTREADER_DEVICE_KEY", message, path(s.deviceKey))
	case a == writing:
		return say(hotreader.CodeInvalid, "the container refuses an item: %s", message)
	}
	return say(hotreader.CodeConfig, "Cosmos DB refuses the request: %s; check HOTREADER_DEVICE_KEY, HOTREADER_TIME_KEY and HOTREADER_TIME_FORMAT", message)
}

// failUnanswered is fail for what no server said.
func (s *Store) failUnanswered(say func(hotreader.Code, string, ...any) error, err error) error {
	root := err
	if u, ok := errors.AsType[*url.Error](err); ok {
		root = u.Err // without the URL
	}
	if untrusted(err) {
		return say(hotreader.CodeConfig, "%s is not trusted: %v; check COSMOS_DB_ENDPOINT", s.client.host, root)
	}
	return say(hotreader.CodeUnavailable, "%s was not reached: %v", s.client.host, root)
}

// untrusted reports whether the other side is not who it should be, which no
// new try changes.
func untrusted(err error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, hostname := errors.AsType[x509.HostnameError](err)
	return certificate || authority || hostname || errors.Is(err, http.ErrSchemeMismatch)
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
