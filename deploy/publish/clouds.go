package publish

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"hotreader"
	"hotreader/internal/bounded"
	"hotreader/internal/endpoint"
)

var referenceForm = regexp.MustCompile(`^([a-zA-Z0-9.-]+(?::[0-9]+)?)/([a-z0-9._/-]+):([A-Za-z0-9_][A-Za-z0-9._-]{0,127})$`)

// Image pushes the image in an OCI layout, a tar file, to Google's Artifact Registry as
// ref, HOST/NAME:TAG. It does not send parts that the registry already has.
func (p Publisher) Image(ctx context.Context, file, ref string) error {
	const op = "push image"
	parts := referenceForm.FindStringSubmatch(ref)
	if parts == nil {
		return fail(op, hotreader.CodeConfig, "invalid image %.200q: expected REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG", ref)
	}
	host, name, tag := parts[1], parts[2], parts[3]
	img, err := ReadLayout(file)
	if err != nil {
		return fail(op, hotreader.CodeConfig, "%s: %w", file, err)
	}
	scheme := "https://"
	if name, _, _ := strings.Cut(host, ":"); endpoint.Loopback(name) {
		scheme = "http://"
	}
	c, err := p.client(op, scheme+host, func(host string) bool { return strings.HasSuffix(host, "-docker.pkg.dev") })
	if err != nil {
		return err
	}
	// First the missing parts, then the manifest:
	// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#push
	v2 := "/v2/" + name
	return p.retry(ctx, op, func(ctx context.Context) error {
		for _, d := range slices.Concat(img.Layers, []Descriptor{img.Config}) {
			if err := c.pushPart(ctx, v2, d, img.Text(d)); err != nil {
				return err
			}
		}
		return c.pushManifest(ctx, v2+"/manifests/"+tag, img)
	})
}

func (c *client) pushPart(ctx context.Context, v2 string, d Descriptor, text []byte) error {
	a, err := c.do(ctx, http.MethodHead, v2+"/blobs/"+d.Digest, "", nil)
	if err != nil {
		return temporary(err)
	}
	if a.status == http.StatusOK {
		return nil
	}
	// The part is missing, or a redirect says that it is elsewhere. In doubt it is sent:
	// sending it twice does no harm.
	if a.status != http.StatusNotFound && a.status/100 != 3 {
		return refused(a)
	}
	a, err = c.do(ctx, http.MethodPost, v2+"/blobs/uploads/", "", nil)
	if a, err = expect(http.StatusAccepted, a, err); err != nil {
		return err
	}
	target, err := url.Parse(a.header.Get("Location"))
	if err != nil || target.String() == "" {
		return errors.New("the registry does not say where to upload to")
	}
	q := target.Query()
	q.Set("digest", d.Digest)
	target.RawQuery = q.Encode()
	a, err = c.do(ctx, http.MethodPut, target.String(), "application/octet-stream", text)
	_, err = expect(http.StatusCreated, a, err)
	return err
}

func (c *client) pushManifest(ctx context.Context, at string, img *Layout) error {
	digest := img.Manifest.Digest
	// If the tag already has this image, do not push it: tags may be immutable.
	a, err := c.do(ctx, http.MethodHead, at, "", nil)
	if err == nil && a.status == http.StatusOK && a.header.Get("Docker-Content-Digest") == digest {
		return nil
	}
	a, err = c.do(ctx, http.MethodPut, at, img.Manifest.MediaType, img.Text(img.Manifest))
	if a, err = expect(http.StatusCreated, a, err); err != nil {
		return err
	}
	if got := a.header.Get("Docker-Content-Digest"); got != "" && got != digest {
		return fmt.Errorf("the registry says that it has %.80q, but %s was sent", got, digest)
	}
	return nil
}

// expect returns a registry's answer if it has the status, else an error.
func expect(status int, a *answer, err error) (*answer, error) {
	if err != nil {
		return nil, temporary(err)
	}
	if a.status != status {
		return nil, refused(a)
	}
	return a, nil
}

// refused returns the error for a registry's answer.
func refused(a *answer) error {
	err := errors.New("the registry answers " + a.says())
	switch {
	case isTemporary(a.status), a.status == http.StatusNotFound: // the repository may be new
		return temporary(err)
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		// No retry: the deployment does not grant permissions to its user,
		// so these are not new.
		return &hotreader.Error{Op: "push image", Code: hotreader.CodeForbidden, Err: fmt.Errorf("the account that runs this needs the role Artifact Registry Writer on the repository: %w", err)}
	}
	return err
}

// MaxPackage bounds a package or an image in bytes, since it is held in memory.
const MaxPackage = 512 << 20

// Descriptor names a part of an OCI image:
// https://github.com/opencontainers/image-spec.
type Descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// Layout is an OCI image layout that holds one image.
type Layout struct {
	Config, Manifest Descriptor
	Layers           []Descriptor

	text map[string][]byte // by digest
}

// Text returns the bytes of a part of the image.
func (l *Layout) Text(d Descriptor) []byte { return l.text[d.Digest] }

// ReadLayout reads a layout from a tar file and verifies its digests.
func ReadLayout(file string) (*Layout, error) {
	files, err := untar(file)
	if err != nil {
		return nil, err
	}
	var index struct {
		Manifests []Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(files["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		return nil, errors.New("it is no OCI layout with one image in it")
	}
	l := &Layout{Manifest: index.Manifests[0], text: map[string][]byte{}}
	if err := l.take(files, l.Manifest); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(l.Text(l.Manifest), l); err != nil || l.Config.Digest == "" {
		return nil, errors.New("its manifest is none of an image")
	}
	for _, d := range slices.Concat(l.Layers, []Descriptor{l.Config}) {
		if err := l.take(files, d); err != nil {
			return nil, err
		}
	}
	return l, nil
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// take takes the part d over from files and verifies its digest.
func (l *Layout) take(files map[string][]byte, d Descriptor) error {
	if !digestForm.MatchString(d.Digest) {
		return fmt.Errorf("its digest %.80q is none", d.Digest)
	}
	text, ok := files["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")]
	if !ok {
		return fmt.Errorf("it lacks %s", d.Digest)
	}
	if sum := sha256.Sum256(text); "sha256:"+hex.EncodeToString(sum[:]) != d.Digest {
		return fmt.Errorf("its part %s is damaged", d.Digest)
	}
	l.text[d.Digest] = text
	return nil
}

// untar returns the files of a tar file by name.
func untar(name string) (map[string][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	files, left := map[string][]byte{}, int64(MaxPackage)
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("it is no tar: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if left -= h.Size; left < 0 {
			return nil, fmt.Errorf("it is larger than %d bytes", MaxPackage)
		}
		if files[path.Clean(h.Name)], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

// App publishes the zip file to the function app whose publishing address is base, as
// https://APP.scm.azurewebsites.net, and waits until it is deployed. It uses One
// Deploy, the only method that the Flex Consumption plan supports:
// https://learn.microsoft.com/azure/azure-functions/functions-deployment-technologies#one-deploy.
func (p Publisher) App(ctx context.Context, file, base string) error {
	const op = "publish the function app"
	text, err := bounded.ReadFile(file, MaxPackage)
	if err != nil {
		return fail(op, hotreader.CodeConfig, "%w", err)
	}
	c, err := p.client(op, base, func(host string) bool {
		return strings.Contains(host, ".scm.") && strings.HasSuffix(host, ".azurewebsites.net")
	})
	if err != nil {
		return err
	}
	var status string // path or URL of the deployment's state; "" = it is deployed already
	err = p.retry(ctx, op, func(ctx context.Context) error {
		a, err := c.do(ctx, http.MethodPost, "/api/publish?RemoteBuild=false&Deployer=hotreader", "application/zip", text)
		if err != nil {
			return temporary(err)
		}
		says := errors.New("the app's publishing service answers " + a.says())
		switch {
		case a.status == http.StatusOK:
			return nil
		case a.status == http.StatusAccepted:
			status = cmp.Or(a.header.Get("Location"), "/api/deployments/latest")
			return nil
		case isTemporary(a.status), a.status == http.StatusConflict, a.status == http.StatusNotFound, a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
			// Another deployment runs, the app is starting, or the app's identity has just
			// got the role by which it writes the package to the storage account.
			return temporary(says)
		}
		return fail(op, hotreader.CodeConfig, "%w", says)
	})
	if err != nil || status == "" {
		return err
	}
	return p.retry(ctx, op, func(ctx context.Context) error { return c.checkDeployed(ctx, op, status) })
}

// checkDeployed returns nil if the deployment has succeeded, and a temporary error
// while it runs.
func (c *client) checkDeployed(ctx context.Context, op, status string) error {
	a, err := c.do(ctx, http.MethodGet, status, "", nil)
	if err != nil {
		return temporary(err)
	}
	var d struct {
		Status   int    `json:"status"`
		Text     string `json:"status_text"`
		Message  string `json:"message"`
		Complete bool   `json:"complete"`
	}
	if a.status != http.StatusOK && a.status != http.StatusAccepted || json.Unmarshal(a.body, &d) != nil {
		return temporary(errors.New("the deployment's state is " + a.says()))
	}
	const failed, succeeded = 3, 4 // https://github.com/projectkudu/kudu/wiki/REST-API#deployment
	switch {
	case d.Status == succeeded:
		return nil
	case d.Status == failed || d.Complete:
		return fail(op, hotreader.CodeStore, "the package could not be deployed: %.300s", cmp.Or(d.Text, d.Message, a.says()))
	}
	return temporary(fmt.Errorf("the deployment is in state %d", d.Status))
}

// Vault waits until the user of this program may use the secrets of the key vault at
// base, as https://VAULT.vault.azure.net/.
func (p Publisher) Vault(ctx context.Context, base string) error {
	const op = "wait for the key vault"
	c, err := p.client(op, base, func(host string) bool { return strings.HasSuffix(host, ".vault.azure.net") })
	if err != nil {
		return err
	}
	return p.retry(ctx, op, func(ctx context.Context) error {
		a, err := c.do(ctx, http.MethodGet, "/secrets?api-version=7.4&maxresults=1", "", nil)
		switch {
		case err != nil: // the name of a new vault may not resolve yet
			return temporary(err)
		case a.status == http.StatusOK:
			return nil
		case a.status == http.StatusForbidden || a.status == http.StatusNotFound || isTemporary(a.status):
			return temporary(errors.New("Key Vault answers " + a.says()))
		}
		return fail(op, hotreader.CodeForbidden, "Key Vault answers %s", a.says())
	})
}

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
		text, err := bounded.ReadFile(getenv("ARM_CLIENT_CERTIFICATE_PATH"), bounded.Text)
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
		text, err := bounded.ReadFile(name, bounded.Text)
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
			if raw, err = bounded.ReadFile(text, bounded.Text); err != nil {
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
