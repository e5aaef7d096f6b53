package azurecosmos

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"hotreader"
	"hotreader/internal/bounded/azurebound"
	"hotreader/internal/endpoint"
	"hotreader/internal/retries"
	"hotreader/store/internal/storehttp"
)

// Client speaks to one Cosmos DB account through its REST API: it signs,
// honours throttling, tries again what may heal, as far as the budget of all its
// callers goes, and leaves an answer's bytes to the Store. It is safe for
// concurrent use; one serves a whole program.
type Client struct {
	endpoint    string // as https://account.documents.azure.com:443
	host        string // of endpoint, for messages
	credentials credentials
	http        *http.Client
	retries     retries.Budget // of all reads
}

// ClientOptions are the account's endpoint and the credentials. The zero value leaves
// all of it to the environment.
type ClientOptions struct {
	Endpoint string // "" = COSMOS_DB_ENDPOINT. https, or http to this machine, for an emulator
	Key      string // an account key in base64. "" = COSMOS_DB_KEY; if that is not set, Credential

	// Credential gives tokens, where there is no key. nil = as the function that
	// makes the client says.
	Credential azcore.TokenCredential

	// Transport sends the requests. nil = a client's own, with time limits fit
	// for requests that take milliseconds.
	Transport http.RoundTripper

	// Wrap returns what sends the requests instead of a transport. nil = the
	// transport itself.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// NewClient returns a client with the identity that every Azure tool would find
// on this machine: environment, workload, managed identity, az login. It is for
// programs that people start; a function's is NewFunctionClient. An error is of
// CodeConfig.
func NewClient(o ClientOptions) (*Client, error) {
	return newClient(o, azurebound.Default)
}

// NewFunctionClient returns a client with the managed identity of the function:
// the one that AZURE_CLIENT_ID names, or else the system's. It links none of the
// other kinds of sign-in. An error is of CodeConfig.
func NewFunctionClient(o ClientOptions) (*Client, error) {
	return newClient(o, func() (azcore.TokenCredential, error) { return azurebound.Managed(os.Getenv("AZURE_CLIENT_ID")) })
}

func newClient(o ClientOptions, identify func() (azcore.TokenCredential, error)) (*Client, error) {
	endpoint, err := parseEndpoint(cmp.Or(o.Endpoint, os.Getenv("COSMOS_DB_ENDPOINT")))
	if err != nil {
		return nil, err
	}
	c := &Client{endpoint: endpoint.Scheme + "://" + endpoint.Host, host: endpoint.Host}
	key := o.Key
	if key == "" && o.Credential == nil {
		key = os.Getenv("COSMOS_DB_KEY")
	}
	switch {
	case key != "":
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key))
		if err != nil || len(raw) == 0 {
			return nil, configError("the account key is not base64; copy it whole from the account's keys into COSMOS_DB_KEY")
		}
		c.credentials = accountKey(raw)
	case endpoint.Scheme == "http":
		return nil, configError("the endpoint %s is not https, so no token is sent there; set COSMOS_DB_KEY to the emulator's key", c.endpoint)
	default:
		source := o.Credential
		if source == nil {
			if source, err = identify(); err != nil {
				return nil, configError("the identity cannot be set up: %w", err)
			}
		}
		c.credentials = newIdentity(source, "https://"+endpoint.Hostname()+"/.default")
	}
	transport := o.Transport
	if transport == nil {
		transport = newTransport()
	}
	if o.Wrap != nil {
		transport = o.Wrap(transport)
	}
	c.http = storehttp.Client(transport)
	return c, nil
}

// parseEndpoint reads an account's URL, and rejects one that would send secrets to
// other servers.
func parseEndpoint(text string) (*url.URL, error) {
	if text == "" {
		return nil, configError("no endpoint is named; set COSMOS_DB_ENDPOINT, as https://ACCOUNT.documents.azure.com")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, configError("the endpoint %q is not a URL: %w", text, err)
	case u.User != nil:
		return nil, configError("the endpoint carries user information; the key belongs into COSMOS_DB_KEY")
	case u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, configError("the endpoint %q is not that of an account; write it https://ACCOUNT.documents.azure.com", text)
	}
	if wrong := endpoint.Wrong(u); wrong != "" {
		return nil, configError("the endpoint %q %s", text, wrong)
	}
	return u, nil
}

// newTransport returns a transport for requests that take milliseconds: it finds
// a dead connection or endpoint soon enough to try again within a caller's
// deadline, and keeps connections open between queries.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           storehttp.Dial(),
		TLSHandshakeTimeout:   3 * time.Second,
		ResponseHeaderTimeout: 10 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   64,
		ReadBufferSize:        64 << 10, // pages have megabytes
		DisableCompression:    true,     // Cosmos DB has none; an unasked-for one would be a foreign hand
	}
}

func configError(format string, args ...any) error {
	return &hotreader.Error{Op: "cosmos: client", Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
}
