package azurecosmos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"hotreader"
	"hotreader/internal/endpoint"
	"hotreader/store/internal/failure"
)

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
