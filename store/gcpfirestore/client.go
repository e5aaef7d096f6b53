package gcpfirestore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"hotreader"
	"hotreader/internal/endpoint"
	"hotreader/internal/retries"
	"hotreader/store/internal/storehttp"
)

// Endpoint is where Google serves Firestore.
const Endpoint = "https://firestore.googleapis.com"

// scope is what Firestore's API asks a token for; what it allows is for the
// role to say.
const scope = "https://www.googleapis.com/auth/datastore"

// ClientOptions are Firestore's endpoint and the credentials. The zero value leaves all
// of it to the environment.
type ClientOptions struct {
	// Endpoint is a URL without a path. "" = the emulator that
	// FIRESTORE_EMULATOR_HOST names (host:port), else Endpoint. One that begins
	// with http:// is an emulator on this machine: it is spoken to in plain text
	// and without credentials.
	Endpoint string

	// Tokens are access tokens for Google's API. nil = Application Default
	// Credentials: GOOGLE_APPLICATION_CREDENTIALS, gcloud's, or the service
	// account that the program runs as.
	Tokens oauth2.TokenSource

	// Wrap returns what sends the requests instead of the client's transport.
	// nil = the transport itself.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Client is a connection to Firestore, shared by Stores. It is safe for
// concurrent use.
type Client struct {
	transport    *http.Transport
	wrapped      http.RoundTripper // the transport, or what Wrap made of it
	endpoint     string
	tokens       *tokens        // nil: an emulator
	quotaProject string         // charged with the requests that a person's credentials make
	retries      retries.Budget // of all reads
}

// NewClient returns a client. It finds the credentials, and makes no request to
// Firestore. An error is of CodeConfig.
func NewClient(ctx context.Context, o ClientOptions) (*Client, error) {
	address := o.Endpoint
	if host := os.Getenv("FIRESTORE_EMULATOR_HOST"); address == "" && host != "" {
		address = "http://" + strings.TrimPrefix(strings.TrimPrefix(host, "http://"), "https://")
	}
	address = strings.TrimSuffix(cmp.Or(address, Endpoint), "/")
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		if at := strings.LastIndexByte(address, '@'); at >= 0 { // it may be after a key
			address = "…" + address[at:]
		}
		return nil, configError("invalid address %q of Firestore: expected host:port in FIRESTORE_EMULATOR_HOST", address)
	}
	if wrong := endpoint.Wrong(u); wrong != "" {
		return nil, configError("the endpoint %q %s; check FIRESTORE_EMULATOR_HOST and the endpoint in the store's URL", address, wrong)
	}
	c := &Client{endpoint: address, transport: newTransport(u.Scheme == "http")}
	c.wrapped = c.transport
	if o.Wrap != nil {
		c.wrapped = o.Wrap(c.transport)
	}
	c.wrapped = storehttp.Transport{RoundTripper: c.wrapped}
	if u.Scheme == "http" {
		return c, nil
	}
	c.quotaProject = os.Getenv("GOOGLE_CLOUD_QUOTA_PROJECT")
	source := o.Tokens
	if source == nil {
		credentials, err := google.FindDefaultCredentials(ctx, scope)
		if err != nil {
			return nil, configError("no Google credentials were found: %w; on Google Cloud give the program a service account, elsewhere run gcloud auth application-default login or set GOOGLE_APPLICATION_CREDENTIALS", err)
		}
		source = credentials.TokenSource
		c.quotaProject = cmp.Or(c.quotaProject, quotaProject(credentials.JSON))
	}
	c.tokens = newTokens(source)
	return c, nil
}

// Close closes the connections that are idle.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// quotaProject reads the project that a person's credentials file names.
func quotaProject(file []byte) string {
	var f struct {
		QuotaProject string `json:"quota_project_id"`
	}
	if json.Unmarshal(file, &f) != nil {
		return ""
	}
	return f.QuotaProject
}

// newTransport returns a transport for gRPC, which is HTTP/2 alone.
func newTransport(plain bool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(!plain)
	protocols.SetUnencryptedHTTP2(plain)
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           storehttp.Dial(),
		TLSHandshakeTimeout:   3 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second, // the head may come with the first document only
		IdleConnTimeout:       5 * time.Minute,
		DisableCompression:    true,
		Protocols:             protocols,
		HTTP2: &http.HTTP2Config{
			// A connection that died is found within 15 s, also under a stream
			// that waits.
			SendPingTimeout: 10 * time.Second,
			PingTimeout:     5 * time.Second,
			// What a slow reader lets pile up.
			MaxReceiveBufferPerStream: 1 << 20,
		},
	}
}

func configError(format string, args ...any) error {
	return &hotreader.Error{Op: "firestore: client", Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
}

// tokens keeps an access token until it expires. Its source cannot be
// interrupted, so that is asked aside: a caller waits no longer than its own
// time, and callers that come at the same time share one request.
type tokens struct {
	source oauth2.TokenSource
	turn   chan struct{} // holds one element while no fetch runs
	token  *oauth2.Token // guarded by turn
	header string        // for it; guarded by turn
}

func newTokens(source oauth2.TokenSource) *tokens {
	t := &tokens{source: source, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	return t
}

// authorization returns the header of that name.
func (t *tokens) authorization(ctx context.Context) (string, error) {
	select {
	case <-t.turn:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if t.token.Valid() {
		header := t.header
		t.turn <- struct{}{}
		return header, nil
	}
	type result struct {
		header string
		err    error
	}
	done := make(chan result, 1)
	go func() {
		var token *oauth2.Token
		err := hotreader.Recovered("get an access token", func() (err error) {
			token, err = t.source.Token()
			return err
		})
		if err == nil && token.AccessToken == "" {
			err = errors.New("the token is empty")
		}
		if err == nil {
			t.token, t.header = token, token.Type()+" "+token.AccessToken
		}
		done <- result{t.header, err}
		t.turn <- struct{}{}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return "", &tokenError{r.err}
		}
		return r.header, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// tokenError is a failure to get an access token.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return "get an access token: " + e.err.Error() }
func (e *tokenError) Unwrap() error { return e.err }
