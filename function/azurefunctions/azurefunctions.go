// Package azurefunctions hosts the Hot Reader API on Azure Functions, as a custom
// handler: a web server on this machine that the Functions host sends the HTTP
// requests that its triggers receive.
//
// There is no other way in. A host without enableForwardingHttpRequest would send
// each request as a JSON document to the path with the function's name; with it
// anybody may post such a document there, and would get past what guards requests:
// the body would be read before the token is, and the document's headers would say
// who asks. So documents are not understood, and the program's host.json forwards.
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
)

// Handler returns the custom handler of an API.
func Handler(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { api.ServeHTTP(w, original(r)) })
}

const devices = "/v1/devices/"

// unencoded are the headers in which App Service's front end, which sets them
// itself, passes on the path and query as they came.
var unencoded = []string{"X-Waws-Unencoded-Url", "X-Original-Url"}

// original returns r as its client sent it. The host undoes the escapes of a path
// and puts others in, so that an id with ? or % in it would be another; the front
// end's headers still have them. And the host's id of an invocation becomes the
// trace id, if there is no other, so that its log and ours agree.
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

// Identity returns the function's managed identity: the one that AZURE_CLIENT_ID
// names, or else the system's.
func Identity(getenv func(string) string) (azcore.TokenCredential, error) {
	var o azidentity.ManagedIdentityCredentialOptions
	if id := getenv("AZURE_CLIENT_ID"); id != "" {
		o.ID = azidentity.ClientID(id)
	}
	c, err := azidentity.NewManagedIdentityCredential(&o)
	if err != nil {
		return nil, &hotreader.Error{Op: "managed identity", Code: hotreader.CodeConfig, Err: err}
	}
	return c, nil
}

// Secret returns a fetch, for identity.Fetched, of a secret of Azure Key Vault by
// its URI; without a version in it, of the newest. The identity needs the role
// Key Vault Secrets User on it. client sends the requests; nil = one of the
// SDK's.
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
		Transport: client,
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

// refusal says why Key Vault did not answer with a secret.
func refusal(resp *http.Response) (hotreader.Code, error) {
	err := runtime.NewResponseError(resp)
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return hotreader.CodeForbidden, fmt.Errorf("the identity lacks the role Key Vault Secrets User on it, or the vault's network refuses it: %w", err)
	case http.StatusNotFound:
		return hotreader.CodeNotFound, fmt.Errorf("there is no such secret: %w", err)
	case http.StatusTooManyRequests:
		return hotreader.CodeThrottled, err
	}
	return hotreader.CodeUnavailable, err
}
