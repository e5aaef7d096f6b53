// Package azurefunctions hosts the Hot Reader API on Azure Functions as a custom
// handler: a local web server to which the Functions host forwards the HTTP requests
// of its triggers.
//
// The program's host.json sets enableForwardingHttpRequest. Without it, the host would
// send each request as a JSON document to a path with the function's name. This
// package does not accept such documents: anybody could post one, and get around the
// checks of a request, since the body would be read before the token is verified and
// the document's headers would name the caller.
package azurefunctions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"hotreader"
	"hotreader/identity"
	"hotreader/internal/bounded"
	"hotreader/internal/bounded/azurebound"
)

// Handler returns the custom handler of an API.
func Handler(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { api.ServeHTTP(w, original(r)) })
}

const devices = "/v1/devices/"

// unencoded are the headers in which App Service's front end passes on the original
// path and query. It always sets them itself, so a client cannot.
var unencoded = []string{"X-Waws-Unencoded-Url", "X-Original-Url"}

// original returns r as its client sent it. The Functions host unescapes a path and
// escapes it differently, which changes an id with ? or % in it; the front end's
// headers have the original. The host's invocation id becomes the trace id if there is
// no other, so that it is in both logs.
func original(r *http.Request) *http.Request {
	id := r.Header.Get("X-Azure-Functions-Invocationid")
	if id != "" && r.Header.Get("Traceparent") == "" && r.Header.Get("X-Request-Id") == "" {
		r.Header.Set("X-Request-Id", id)
	}
	for _, name := range unencoded {
		text := r.Header.Get(name)
		if !strings.HasPrefix(text, devices) {
			continue
		}
		u, err := url.ParseRequestURI(text)
		if err != nil {
			continue
		}
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
		r.RequestURI = u.RequestURI()
		break
	}
	return r
}

// vaultVersion is the version of Key Vault's REST API.
const vaultVersion = "7.4"

// Identity returns the function's managed identity: the one that AZURE_CLIENT_ID names,
// else the system-assigned one.
func Identity(getenv func(string) string) (azcore.TokenCredential, error) {
	c, err := azurebound.Managed(getenv("AZURE_CLIENT_ID"))
	if err != nil {
		return nil, &hotreader.Error{Op: "managed identity", Code: hotreader.CodeConfig, Err: err}
	}
	return c, nil
}

// Sign returns a function for identity.NewSigned that gets a token of the function's
// managed identity for an audience: the Application ID URI of an app registration, or
// its id.
func Sign(getenv func(string) string, audience string) identity.Fetch {
	who, err := Identity(getenv)
	return func(ctx context.Context) (string, time.Time, error) {
		if err != nil {
			return "", time.Time{}, err
		}
		t, err := who.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{audience + "/.default"}})
		if err != nil {
			code := hotreader.CodeUnavailable
			if _, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
				code = hotreader.CodeForbidden
			}
			if c := hotreader.CodeOf(ctx.Err()); c != "" {
				code = c
			}
			return "", time.Time{}, &hotreader.Error{Op: "managed identity: get token", Code: code,
				Err: fmt.Errorf("for the audience %.200s: %w", audience, err)}
		}
		return t.Token, time.Time{}, nil
	}
}

// Secret returns a function for identity.Fetched that fetches a secret of Azure Key
// Vault by its URI, the newest version if the URI has none. The identity needs the role
// Key Vault Secrets User on it. client sends the requests; nil = http.DefaultClient.
func Secret(who azcore.TokenCredential, client policy.Transporter, uri string) identity.Fetch {
	const op = "key vault: get secret"
	audience, plain := "https://vault.azure.net", false
	if u, err := url.Parse(uri); err == nil {
		plain = u.Scheme == "http" // an emulator on this machine
		if _, domain, ok := strings.Cut(u.Hostname(), ".vault."); ok {
			audience = "https://vault." + domain
		}
	}
	auth := runtime.NewBearerTokenPolicy(who, []string{audience + "/.default"}, &policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: plain})
	pipeline := runtime.NewPipeline("hotreader", "1", runtime.PipelineOptions{PerRetry: []policy.Policy{auth}}, &policy.ClientOptions{
		Transport: bounded.Client{Next: client},
		Retry:     policy.RetryOptions{MaxRetries: 3, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 2 * time.Second},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	})
	return func(ctx context.Context) (text string, made time.Time, err error) {
		fail := func(code hotreader.Code, err error) error {
			if c := hotreader.CodeOf(ctx.Err()); c != "" {
				code = c
			}
			return &hotreader.Error{Op: op, Code: code, Err: err}
		}
		req, err := runtime.NewRequest(ctx, http.MethodGet, uri)
		if err != nil {
			return "", made, fail(hotreader.CodeConfig, errors.New("the secret's URI cannot be read"))
		}
		req.Raw().URL.RawQuery = "api-version=" + vaultVersion
		req.Raw().Header.Set("Accept", "application/json")
		resp, err := pipeline.Do(req)
		if err != nil {
			if _, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
				return "", made, fail(hotreader.CodeForbidden, fmt.Errorf("no token was given to the managed identity; give the function one: %w", err))
			}
			return "", made, fail(hotreader.CodeUnavailable, err)
		}
		if resp.StatusCode != http.StatusOK {
			return "", made, fail(refusal(resp))
		}
		var answer struct {
			Value      string `json:"value"`
			Attributes struct {
				Created int64 `json:"created"` // seconds; of this version
			} `json:"attributes"`
		}
		if err := runtime.UnmarshalAsJSON(resp, &answer); err != nil {
			return "", made, fail(hotreader.CodeProtocol, errors.New("the answer is not Key Vault's"))
		}
		if created := answer.Attributes.Created; created > 0 {
			made = time.Unix(created, 0)
		}
		return answer.Value, made, nil
	}
}

// refusal returns the error for an answer without a secret.
func refusal(resp *http.Response) (hotreader.Code, error) {
	err := runtime.NewResponseError(resp)
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return hotreader.CodeForbidden, fmt.Errorf("the identity lacks the role Key Vault Secrets User on it, or the vault's network rejects it: %w", err)
	case http.StatusNotFound:
		return hotreader.CodeNotFound, fmt.Errorf("there is no such secret: %w", err)
	case http.StatusTooManyRequests:
		return hotreader.CodeThrottled, err
	}
	return hotreader.CodeUnavailable, err
}
