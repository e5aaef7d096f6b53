package publish

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// WithFile returns the package in a file, a zip or an image layout (a tar), with one
// more file beside the program: one that was there under the name is replaced. The
// same package and the same file give the same bytes.
func WithFile(pack, name string, text []byte) ([]byte, error) {
	if strings.HasSuffix(pack, ".zip") {
		return zipWithFile(pack, name, text)
	}
	return imageWithFile(pack, name, text)
}

func zipWithFile(pack, name string, text []byte) ([]byte, error) {
	from, err := zip.OpenReader(pack)
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }() // it was read
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	w.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	for _, f := range from.File {
		if f.Name == name {
			continue
		}
		if err := w.Copy(f); err != nil {
			return nil, err
		}
	}
	header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)} // the earliest that a zip can carry
	header.SetMode(0o644)
	e, err := w.CreateHeader(header)
	if err != nil {
		return nil, err
	}
	if _, err := e.Write(text); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// imageWithFile puts the file into a layer of its own, in the root of the image.
func imageWithFile(pack, name string, text []byte) ([]byte, error) {
	img, err := ReadLayout(pack) // verifies all of it
	if err != nil {
		return nil, err
	}
	files, err := untar(pack)
	if err != nil {
		return nil, err
	}
	blobs := map[string][]byte{}
	for _, d := range img.Layers {
		blobs[d.Digest] = img.Text(d)
	}
	blob := func(mediaType string, text []byte) Descriptor {
		sum := sha256.Sum256(text)
		d := Descriptor{mediaType, "sha256:" + hex.EncodeToString(sum[:]), int64(len(text))}
		blobs[d.Digest] = text
		return d
	}
	plain, packed, err := layerOf(name, text)
	if err != nil {
		return nil, err
	}
	var config, manifest, index document
	if err := errors.Join(json.Unmarshal(img.Text(img.Config), &config), json.Unmarshal(img.Text(img.Manifest), &manifest), json.Unmarshal(files["index.json"], &index)); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(plain)
	err = config.change("rootfs", func(root *document) error {
		return root.add("diff_ids", "sha256:"+hex.EncodeToString(sum[:]))
	})
	if err != nil {
		return nil, err
	}
	described := func(d Descriptor) func(*document) error {
		return func(to *document) error { return errors.Join(to.set("digest", d.Digest), to.set("size", d.Size)) }
	}
	err = errors.Join(
		manifest.change("config", described(blob(img.Config.MediaType, config.text()))),
		manifest.add("layers", blob("application/vnd.oci.image.layer.v1.tar+gzip", packed)))
	if err != nil {
		return nil, err
	}
	var manifests []document
	if err := json.Unmarshal(index["manifests"], &manifests); err != nil {
		return nil, err
	}
	err = errors.Join(described(blob(img.Manifest.MediaType, manifest.text()))(&manifests[0]), index.set("manifests", manifests))
	if err != nil {
		return nil, err
	}
	layout := map[string][]byte{"oci-layout": files["oci-layout"], "index.json": index.text()}
	for digest, text := range blobs {
		layout["blobs/"+strings.Replace(digest, ":", "/", 1)] = text
	}
	return tarOf(layout)
}

// layerOf returns a layer that holds one file, and the layer compressed.
func layerOf(name string, text []byte) (plain, packed []byte, err error) {
	if plain, err = tarOf(map[string][]byte{name: text}); err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression) // no name and no time in its header
	if err != nil {
		return nil, nil, err
	}
	_, err = w.Write(plain)
	err = errors.Join(err, w.Close())
	return plain, out.Bytes(), err
}

// tarOf returns files as a tar of root's, by name, as old as time.
func tarOf(files map[string][]byte) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// document is a JSON object of which most is left as it is.
type document map[string]json.RawMessage

func (d document) set(name string, value any) (err error) {
	d[name], err = json.Marshal(value)
	return err
}

// change changes the object under a name.
func (d document) change(name string, f func(*document) error) error {
	var inner document
	if err := json.Unmarshal(d[name], &inner); err != nil {
		return fmt.Errorf("its %s: %w", name, err)
	}
	if inner == nil {
		return fmt.Errorf("its %s is missing", name)
	}
	return errors.Join(f(&inner), d.set(name, inner))
}

// add adds to the list under a name.
func (d document) add(name string, value any) error {
	var list []json.RawMessage
	if err := json.Unmarshal(d[name], &list); err != nil {
		return fmt.Errorf("its %s: %w", name, err)
	}
	one, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return d.set(name, append(list, one))
}

// text returns d as JSON, sorted by name.
func (d document) text() []byte {
	text, _ := json.Marshal(d) // of JSON that was read before
	return text
}
