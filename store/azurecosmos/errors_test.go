package azurecosmos

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/paging"
	"hotreader/store/storetest/cloud"
)

// Pitfall 2: whatever goes wrong is an error that says what to do, and never an
// empty answer.
func TestPitfall02FailuresAreErrors(t *testing.T) {
	html := cloud.Answer{Status: 502, Body: "<html>bad gateway</html>", Header: map[string]string{"Content-Type": "text/html"}}
	status := func(a cloud.Answer, n int) cloud.Answer {
		a.Status = n
		return a
	}
	with := func(a cloud.Answer, name, value string) cloud.Answer {
		a.Header = map[string]string{name: value}
		return a
	}
	for _, test := range []struct {
		name  string
		a     cloud.Answer
		code  hotreader.Code
		says  string
		tries int
	}{
		{"no container", with(refuse(404, "NotFound", `Message: {"Errors":["Resource Not Found. Learn more: https://aka.ms/cosmosdb-tsg-not-found"]}`+"\r\nActivityId: 1, Request URI: /apps/x"), "x-ms-substatus", "1003"),
			hotreader.CodeNotFound, `there is no container "hot" in a database "twin" of account.documents.azure.com:443; check COSMOS_DB_DATABASE, COSMOS_DB_CONTAINER`, 1},
		{"key", refuse(401, "Unauthorized", "The input authorization token can't serve the request. Please check that the expected payload is built as per the protocol"),
			hotreader.CodeConfig, "COSMOS_DB_KEY is a key of account.documents.azure.com", 1},
		{"role", refuse(403, "Forbidden", "Request blocked by Auth: principal [x] does not have required RBAC permissions to perform action [Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery]"),
			hotreader.CodeForbidden, `executeQuery]; give the identity the role "Cosmos DB Built-in Data Reader"`, 1},
		{"firewall", refuse(403, "Forbidden", "Request originated from IP 1.2.3.4 through public internet. This is blocked by your Cosmos DB account firewall settings."),
			hotreader.CodeForbidden, "let the account's firewall pass", 1},
		{"throttled", refuse(429, "429", "Request rate is large"), hotreader.CodeThrottled, "raise its throughput or ask less often", maxThrottled},
		{"no index", refuse(400, "BadRequest", `Message: {"errors":[{"severity":"Error","message":"The order by query does not have a corresponding composite index that it can be served from."}]}`),
			hotreader.CodeConfig, "corresponding composite index that it can be served from.; include /timestamp/? and /device_id/? in its indexing policy", 1},
		{"no range index", refuse(400, "BadRequest", `Message: {"Errors":["Order-by over correlated collections is not supported without a range index."]}`), hotreader.CodeConfig, "include /timestamp/?", 1},
		{"cross partition", refuse(400, "BadRequest", "Cross partition query is required but disabled."), hotreader.CodeConfig, "its partition key must be /device_id", 1},
		{"syntax", refuse(400, "BadRequest", `Message: {"errors":[{"severity":"Error","location":{"start":1,"end":2},"code":"SC1001","message":"Syntax error, incorrect syntax near 'x'."}]}`),
			hotreader.CodeConfig, "Syntax error, incorrect syntax near 'x'.", 1},
		{"met", refuse(449, "RetryWith", "conflict"), hotreader.CodeUnavailable, "status 449: RetryWith: conflict (activity 00000000-activity)", maxThrottled},
		{"time-out", refuse(408, "RequestTimeout", "slow"), hotreader.CodeUnavailable, "status 408", maxTries},
		{"gone", refuse(410, "Gone", "moved"), hotreader.CodeUnavailable, "status 410", maxTries},
		{"service", refuse(503, "ServiceUnavailable", "busy"), hotreader.CodeUnavailable, "busy", maxTries},
		{"failure", refuse(500, "InternalServerError", "sorry"), hotreader.CodeStore, "sorry (activity 00000000-activity)", maxTries},
		{"gateway", html, hotreader.CodeUnavailable, "status 502, and not from Cosmos DB", maxTries},
		{"a page of a portal", status(html, 403), hotreader.CodeProtocol, "status 403 with text/html, and not from Cosmos DB; check COSMOS_DB_ENDPOINT", 1},
		{"redirect", with(status(html, 302), "Location", "https://elsewhere.example/"), hotreader.CodeProtocol, "status 302", 1},
		{"HTML", cloud.Answer{Body: "<html>welcome</html>", Header: map[string]string{"Content-Type": "text/html"}}, hotreader.CodeProtocol, "answered with text/html, which Cosmos DB does not", 1},
		{"other JSON", cloud.Answer{Body: `{"items":[]}`}, hotreader.CodeCorrupt, "page 1 of the answer is malformed: it has no Documents", 1},
		{"teapot", refuse(418, "x", "y"), hotreader.CodeProtocol, "status 418: x: y", 1},
		{"refused", cloud.Answer{Fail: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}, hotreader.CodeUnavailable, "account.documents.azure.com:443 was not reached: dial: connection refused", maxTries},
		{"authority", cloud.Answer{Fail: x509.UnknownAuthorityError{}}, hotreader.CodeConfig, "account.documents.azure.com:443 is not trusted: x509: certificate signed by unknown authority", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			f.Serve = func(cloud.Sent) cloud.Answer { return test.a }
			_, err := rows(t, f.store(Options{}), qN)
			cloud.WantError(t, test.name, err, test.code, test.says, "cosmos: query container twin/hot: ")
			if len(f.Requests) != test.tries {
				t.Errorf("%s: tried %d times, want %d", test.name, len(f.Requests), test.tries)
			}
			for _, line := range []string{"ActivityId", "Request URI", "\n", docsKey} {
				if err != nil && strings.Contains(err.Error(), line) {
					t.Errorf("%s: it says %q", test.name, err)
				}
			}
		})
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for _, test := range []struct {
		o    Options
		says string
	}{
		{Options{Database: "d"}, "set COSMOS_DB_DATABASE and COSMOS_DB_CONTAINER"},
		{Options{Container: "c"}, "set COSMOS_DB_DATABASE"},
		{Options{Database: "a/b", Container: "c"}, "which Cosmos DB does not allow"},
		{Options{Database: "d", Container: "c", Layout: layout.Layout{DeviceKey: "x", TimeKey: "x"}}, `device_key and time_key are both "x"`},
		{Options{Database: "d", Container: "c", Layout: layout.Layout{TimeFormat: layout.Formats{"julian"}}}, `"julian" is unknown; use iso8601`},
		{Options{Database: "d", Container: "c", PageItems: -1}, "negative"},
	} {
		f := newFake(t)
		s := New(f.client(), test.o)
		_, reading := rows(t, s, qN)
		writing := s.Write(t.Context(), "d", nil)
		creating := CreateContainer(t.Context(), f.client(), test.o)
		for _, err := range []error{reading, writing, creating} {
			if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%+v: %v, want %q", test.o, err, test.says)
			}
		}
	}
}

// The caller's own end is what is told, whatever failed because of it.
func TestDeadlineAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f := newFake(t)
		f.Serve = func(cloud.Sent) cloud.Answer {
			time.Sleep(2 * time.Second)
			return cloud.Answer{Fail: errors.New("net/http: request canceled")}
		}
		for _, err := range hotreader.NewReader(f.store(Options{})).Read(ctx, qN) {
			if hotreader.CodeOf(err) != hotreader.CodeDeadline || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		}
		if len(f.Requests) != 1 {
			t.Errorf("%d requests", len(f.Requests))
		}
	})
}

// A real server, a real client: who redirects does not get the signature, and a
// certificate of an unknown authority ends the matter at once.
func TestSignatureStaysWithTheEndpoint(t *testing.T) {
	visited := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited++ }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	read := func(endpoint string) error {
		c, err := NewClient(ClientOptions{Endpoint: endpoint, Key: docsKey})
		if err != nil {
			t.Fatal(err)
		}
		_, err = rows(t, New(c, Options{Database: "d", Container: "c"}), qN)
		return err
	}
	if err := read(server.URL); hotreader.CodeOf(err) != hotreader.CodeProtocol || visited > 0 {
		t.Errorf("error %v, %d visits", err, visited)
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited++ }))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	if err := read(secure.URL); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "not trusted") || visited > 0 {
		t.Errorf("error %v, %d visits", err, visited)
	}
	// And what speaks no TLS at all.
	if err := read(strings.Replace(server.URL, "http:", "https:", 1)); hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Errorf("error %v", err)
	}
	server.Close()
	if err := read(server.URL); hotreader.CodeOf(err) != hotreader.CodeUnavailable {
		t.Errorf("error %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		ms, s string
		want  time.Duration
	}{
		{"1500", "", 1500 * time.Millisecond}, {"0.5", "", 500 * time.Microsecond}, {"", "3", 3 * time.Second}, {"20", "3", 20 * time.Millisecond},
		{"", "", 0}, {"soon", "", 0}, {"-1", "-1", 0}, {"1e300", "99999999", 0}, {"NaN", "", 0}, {"", "Wed, 21 Oct 2015 07:28:00 GMT", 0},
	} {
		h := http.Header{}
		h.Set("x-ms-retry-after-ms", c.ms)
		h.Set("Retry-After", c.s)
		if got := retryAfter(h); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestHugeAnswerIsRefused(t *testing.T) {
	f := newFake(t, cloud.Answer{Body: strings.Repeat(" ", paging.MaxBody+1)})
	if _, err := rows(t, f.store(Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeProtocol {
		t.Errorf("error %v", err)
	}
	f.Done()
}
