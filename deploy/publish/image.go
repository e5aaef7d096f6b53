package publish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"hotreader"
	"hotreader/internal/endpoint"
)

var referenceForm = regexp.MustCompile(`^([a-zA-Z0-9.-]+(?::[0-9]+)?)/([a-z0-9._/-]+):([A-Za-z0-9_][A-Za-z0-9._-]{0,127})$`)

// Image pushes the image in an OCI layout, a tar file, to Google's Artifact Registry as
// ref, HOST/NAME:TAG. It does not send parts that the registry already has.
func (p Publisher) Image(ctx context.Context, file, ref string) error {
	const op = "push image"
	parts := referenceForm.FindStringSubmatch(ref)
	if parts == nil {
		return fail(op, hotreader.CodeConfig, "%.200q is no image; want REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG", ref)
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
	return p.retry(ctx, op, func() error {
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
		// No retry: the deployment does not grant permissions to the user who runs it,
		// so these are not new.
		return &hotreader.Error{Op: "push image", Code: hotreader.CodeForbidden, Err: fmt.Errorf("whoever runs this needs the role Artifact Registry Writer on the repository: %w", err)}
	}
	return err
}
