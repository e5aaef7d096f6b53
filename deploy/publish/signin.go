package publish

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"hotreader"
)

// Scopes of Azure's tokens. The publishing service accepts the one that az uses.
const (
	AzureManagement = "https://management.core.windows.net//.default"
	AzureVault      = "https://vault.azure.net/.default"
)

// AzureToken signs in to Azure as Terraform's provider does: with ARM_CLIENT_ID and the
// variables that belong to it or, without them, as the SDK does by default, which is
// with az login on a developer's machine.
func AzureToken(getenv func(string) string, scope string) (Token, error) {
	c, err := azureCredential(getenv)
	if err != nil {
		return nil, &hotreader.Error{Op: "sign in to Azure", Code: hotreader.CodeConfig, Err: err}
	}
	return func(ctx context.Context) (string, error) {
		t, err := c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		if err != nil {
			return "", &hotreader.Error{Op: "sign in to Azure", Code: hotreader.CodeConfig, Err: fmt.Errorf("run az login, or set what Terraform's azurerm provider takes from the environment: %w", err)}
		}
		return t.Token, nil
	}, nil
}

func azureCredential(getenv func(string) string) (azcore.TokenCredential, error) {
	tenant, client := getenv("ARM_TENANT_ID"), getenv("ARM_CLIENT_ID")
	isTrue := func(name string) bool { return strings.EqualFold(getenv(name), "true") || getenv(name) == "1" }
	switch {
	case client != "" && getenv("ARM_CLIENT_SECRET") != "":
		return azidentity.NewClientSecretCredential(tenant, client, getenv("ARM_CLIENT_SECRET"), nil)
	case client != "" && getenv("ARM_CLIENT_CERTIFICATE_PATH") != "":
		text, err := os.ReadFile(getenv("ARM_CLIENT_CERTIFICATE_PATH"))
		if err != nil {
			return nil, err
		}
		chain, key, err := azidentity.ParseCertificates(text, []byte(getenv("ARM_CLIENT_CERTIFICATE_PASSWORD")))
		if err != nil {
			return nil, errors.New("the certificate of ARM_CLIENT_CERTIFICATE_PATH cannot be read with ARM_CLIENT_CERTIFICATE_PASSWORD")
		}
		return azidentity.NewClientCertificateCredential(tenant, client, chain, key, nil)
	case client != "" && isTrue("ARM_USE_OIDC"):
		return azidentity.NewClientAssertionCredential(tenant, client, func(ctx context.Context) (string, error) { return idToken(ctx, getenv) }, nil)
	case isTrue("ARM_USE_MSI"):
		var o azidentity.ManagedIdentityCredentialOptions
		if client != "" {
			o.ID = azidentity.ClientID(client)
		}
		return azidentity.NewManagedIdentityCredential(&o)
	}
	return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{TenantID: tenant})
}

// idToken returns the OIDC token of a CI workflow.
func idToken(ctx context.Context, getenv func(string) string) (string, error) {
	if t := getenv("ARM_OIDC_TOKEN"); t != "" {
		return t, nil
	}
	if name := getenv("ARM_OIDC_TOKEN_FILE_PATH"); name != "" {
		text, err := os.ReadFile(name)
		return strings.TrimSpace(string(text)), err
	}
	// GitHub's: https://docs.github.com/actions/reference/security/oidc.
	at := cmp.Or(getenv("ARM_OIDC_REQUEST_URL"), getenv("ACTIONS_ID_TOKEN_REQUEST_URL"))
	u, err := url.Parse(at)
	if err != nil || at == "" {
		return "", errors.New("ARM_USE_OIDC is set, but none of ARM_OIDC_TOKEN, ARM_OIDC_TOKEN_FILE_PATH and ARM_OIDC_REQUEST_URL")
	}
	q := u.Query()
	q.Set("audience", "api://AzureADTokenExchange")
	u.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+cmp.Or(getenv("ARM_OIDC_REQUEST_TOKEN"), getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")))
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		Value string `json:"value"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil || answer.Value == "" {
		return "", fmt.Errorf("the workflow's identity service answers status %d without a token", resp.StatusCode)
	}
	return answer.Value, nil
}

// GoogleToken signs in to Google Cloud as Terraform's provider does: with
// GOOGLE_OAUTH_ACCESS_TOKEN, GOOGLE_CREDENTIALS (a file's name or its content) or the
// application default credentials.
func GoogleToken(ctx context.Context, getenv func(string) string) (Token, error) {
	const scope = "https://www.googleapis.com/auth/cloud-platform"
	bad := func(err error) error {
		return &hotreader.Error{Op: "sign in to Google Cloud", Code: hotreader.CodeConfig, Err: fmt.Errorf("run gcloud auth application-default login, or set what Terraform's google provider takes from the environment: %w", err)}
	}
	if t := getenv("GOOGLE_OAUTH_ACCESS_TOKEN"); t != "" {
		return func(context.Context) (string, error) { return t, nil }, nil
	}
	var found *google.Credentials
	var err error
	if text := getenv("GOOGLE_CREDENTIALS"); text != "" {
		raw := []byte(text)
		if !strings.HasPrefix(strings.TrimSpace(text), "{") {
			if raw, err = os.ReadFile(text); err != nil {
				return nil, bad(errors.New("GOOGLE_CREDENTIALS is neither a file that can be read nor JSON"))
			}
		}
		var kind struct {
			Type google.CredentialsType `json:"type"`
		}
		if err := json.Unmarshal(raw, &kind); err != nil {
			return nil, bad(errors.New("GOOGLE_CREDENTIALS is not JSON"))
		}
		found, err = google.CredentialsFromJSONWithType(ctx, raw, kind.Type, scope)
	} else {
		found, err = google.FindDefaultCredentials(ctx, scope)
	}
	if err != nil {
		return nil, bad(err)
	}
	source := oauth2.ReuseTokenSource(nil, found.TokenSource)
	return func(context.Context) (string, error) {
		t, err := source.Token()
		if err != nil {
			return "", bad(err)
		}
		return t.AccessToken, nil
	}, nil
}
