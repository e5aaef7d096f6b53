package publish

import (
	"archive/tar"
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
	"regexp"
	"slices"
	"strings"

	"hotreader"
	"hotreader/internal/endpoint"
)

// maxImage bounds an image, which is held in memory while it is pushed, in bytes.
const maxImage = 512 << 20

// An OCI image layout, as far as it is read: https://github.com/opencontainers/image-spec.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

type manifest struct {
	Config descriptor   `json:"config"`
	Layers []descriptor `json:"layers"`
}

// image is a layout that holds one image.
type image struct {
	manifest descriptor
	blobs    []descriptor      // of the image, without the manifest
	text     map[string][]byte // by digest
}

// reference names an image in a registry.
type reference struct{ host, name, tag string }

var referenceForm = regexp.MustCompile(`^([a-zA-Z0-9.-]+(?::[0-9]+)?)/([a-z0-9._/-]+):([A-Za-z0-9_][A-Za-z0-9._-]{0,127})$`)

// Image pushes the image of the OCI layout in the tar file to a registry, as
// HOST/NAME:TAG. HOST is one of Google's Artifact Registry. What is there is not
// sent again. note is told when it has to wait; it may be nil, and so may
// transport.
func Image(ctx context.Context, file, ref string, token Token, transport http.RoundTripper, note func(string)) error {
	const op = "push image"
	parts := referenceForm.FindStringSubmatch(ref)
	if parts == nil {
		return fail(op, hotreader.CodeConfig, "%.200q is no image; want REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG", ref)
	}
	to := reference{parts[1], parts[2], parts[3]}
	img, err := readImage(file)
	if err != nil {
		return &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: fmt.Errorf("%s: %w", file, err)}
	}
	scheme := "https://"
	if host, _, _ := strings.Cut(to.host, ":"); endpoint.Loopback(host) {
		scheme = "http://"
	}
	c, err := newClient(op, scheme+to.host, token, transport, func(host string) bool { return strings.HasSuffix(host, "-docker.pkg.dev") })
	if err != nil {
		return err
	}
	return again(ctx, op, note, func() error { return c.push(ctx, img, to) })
}

// push sends the parts that are missing, and the manifest last.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#push
func (c *client) push(ctx context.Context, img *image, to reference) error {
	v2 := "/v2/" + to.name
	for _, d := range img.blobs {
		a, err := c.do(ctx, http.MethodHead, v2+"/blobs/"+d.Digest, "", nil)
		if err != nil {
			return later(err)
		}
		if a.status == http.StatusOK {
			continue
		}
		// Not there, or said by a redirection to be elsewhere: sent twice does no harm.
		if a.status != http.StatusNotFound && a.status/100 != 3 {
			return refused(a)
		}
		if a, err = c.do(ctx, http.MethodPost, v2+"/blobs/uploads/", "", nil); err != nil {
			return later(err)
		}
		if a.status != http.StatusAccepted {
			return refused(a)
		}
		target, err := url.Parse(a.header.Get("Location"))
		if err != nil || target.String() == "" {
			return errors.New("the registry does not say where to upload to")
		}
		q := target.Query()
		q.Set("digest", d.Digest)
		target.RawQuery = q.Encode()
		if a, err = c.do(ctx, http.MethodPut, target.String(), "application/octet-stream", img.text[d.Digest]); err != nil {
			return later(err)
		}
		if a.status != http.StatusCreated {
			return refused(a)
		}
	}
	// A tag that is there already is left alone, for it may not be moved.
	a, err := c.do(ctx, http.MethodHead, v2+"/manifests/"+to.tag, "", nil)
	if err == nil && a.status == http.StatusOK && a.header.Get("Docker-Content-Digest") == img.manifest.Digest {
		return nil
	}
	if a, err = c.do(ctx, http.MethodPut, v2+"/manifests/"+to.tag, img.manifest.MediaType, img.text[img.manifest.Digest]); err != nil {
		return later(err)
	}
	if a.status != http.StatusCreated {
		return refused(a)
	}
	if got := a.header.Get("Docker-Content-Digest"); got != "" && got != img.manifest.Digest {
		return fmt.Errorf("the registry says that it has %.80q, but %s was sent", got, img.manifest.Digest)
	}
	return nil
}

// refused returns the error of a registry's answer.
func refused(a *answer) error {
	err := errors.New("the registry answers " + a.says())
	switch {
	case passing(a.status), a.status == http.StatusNotFound: // a repository that was just made
		return later(err)
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		// Rights that were just given may not be in force, but those of whoever runs
		// this were not given by it.
		return &hotreader.Error{Op: "push image", Code: hotreader.CodeForbidden, Err: fmt.Errorf("whoever runs this needs the role Artifact Registry Writer on the repository: %w", err)}
	}
	return err
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// readImage reads a layout that is packed in a tar, and checks its digests.
func readImage(file string) (*image, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	files, left := map[string][]byte{}, int64(maxImage)
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("it is no tar: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if left -= h.Size; left < 0 {
			return nil, fmt.Errorf("it is larger than %d bytes", maxImage)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(files["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		return nil, errors.New("it is no OCI layout with one image in it")
	}
	img := &image{manifest: index.Manifests[0], text: map[string][]byte{}}
	get := func(d descriptor) error {
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
		img.text[d.Digest] = text
		return nil
	}
	if err := get(img.manifest); err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal(img.text[img.manifest.Digest], &m); err != nil || m.Config.Digest == "" {
		return nil, errors.New("its manifest is none of an image")
	}
	img.blobs = slices.Concat(m.Layers, []descriptor{m.Config})
	for _, d := range img.blobs {
		if err := get(d); err != nil {
			return nil, err
		}
	}
	return img, nil
}
