package publish

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// maxImage bounds an image in bytes, since it is held in memory.
const maxImage = 512 << 20

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
	files, left := map[string][]byte{}, int64(maxImage)
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
			return nil, fmt.Errorf("it is larger than %d bytes", maxImage)
		}
		if files[path.Clean(h.Name)], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}
