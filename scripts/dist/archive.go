package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// file is an entry of an archive.
type file struct {
	name string // as a/b/c
	mode int64  // permissions
	text []byte
}

func sorted(files []file) []file {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files
}

// writeZip writes files, sorted and without a clock in them, to a zip.
func writeZip(name string, files []file) error {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	w.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	for _, f := range sorted(files) {
		// The earliest time that a zip can carry.
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		header.SetMode(os.FileMode(f.mode))
		e, err := w.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := e.Write(f.text); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(name, out.Bytes(), 0o644)
}

// packTar returns files as a tar of root's, sorted, as old as time, each folder
// in front of what is in it.
func packTar(files []file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	made := map[string]bool{".": true}
	header := func(name string, kind byte, mode int64, size int) error {
		return w.WriteHeader(&tar.Header{Typeflag: kind, Name: name, Mode: mode, Size: int64(size), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
	}
	var folder func(name string) error
	folder = func(name string) error {
		if made[name] {
			return nil
		}
		made[name] = true
		if err := folder(path.Dir(name)); err != nil {
			return err
		}
		return header(name+"/", tar.TypeDir, 0o755, 0)
	}
	for _, f := range sorted(files) {
		if err := folder(path.Dir(f.name)); err != nil {
			return nil, err
		}
		if err := header(f.name, tar.TypeReg, f.mode, len(f.text)); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.text); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

func compress(text []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression) // no name and no time in its header
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// The media types and documents of the OCI image format, as far as an image of
// one program needs them: https://github.com/opencontainers/image-spec, 1.1.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type object = map[string]any

// nonroot is the user whom the program runs as. By number, so that a cluster
// that forbids root can see that it is none.
const nonroot = "65532"

const passwd = "root:x:0:0:root:/:/sbin/nologin\n" +
	"nonroot:x:" + nonroot + ":" + nonroot + ":nonroot:/:/sbin/nologin\n"

const group = "root:x:0:\nnonroot:x:" + nonroot + ":\n"

// certificates is where Go looks first, and others too.
const certificates = "etc/ssl/certs/ca-certificates.crt"

// writeImage writes an OCI image layout, packed as a tar, of an image that holds
// content, of which the first is a static linux program, and a user, and nothing
// else. It is at once what docker save writes. To push it:
//
//	skopeo copy oci-archive:NAME docker://REGION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG
//
// or unpack it into a folder and crane push FOLDER IMAGE.
func writeImage(name, arch string, content []file) error {
	program := content[0].name
	layer, err := packTar(append(slices.Clip(content),
		file{name: "etc/passwd", mode: 0o644, text: []byte(passwd)},
		file{name: "etc/group", mode: 0o644, text: []byte(group)}))
	if err != nil {
		return err
	}
	var files []file
	blob := func(mediaType string, text []byte) object {
		d := digest(text)
		files = append(files, file{name: "blobs/sha256/" + d, mode: 0o644, text: text})
		return object{"mediaType": mediaType, "digest": "sha256:" + d, "size": len(text)}
	}
	packed, err := compress(layer)
	if err != nil {
		return err
	}
	config := blob(typeConfig, asJSON(object{
		"architecture": arch, "os": "linux",
		"config": object{
			"User": nonroot + ":" + nonroot, "Entrypoint": []string{"/" + program}, "WorkingDir": "/",
			"Labels": object{"org.opencontainers.image.title": program, "org.opencontainers.image.licenses": "Apache-2.0"},
		},
		"rootfs": object{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	}))
	layers := []object{blob(typeLayer, packed)}
	image := blob(typeManifest, asJSON(object{"schemaVersion": 2, "mediaType": typeManifest, "config": config, "layers": layers}))
	tag := program + ":latest"
	image["platform"] = object{"architecture": arch, "os": "linux"}
	image["annotations"] = object{"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": "docker.io/library/" + tag}
	// By this docker load finds an image, unless Docker keeps images in containerd.
	saved := []object{{"Config": files[0].name, "RepoTags": []string{tag}, "Layers": []string{files[1].name}}}
	files = append(files,
		file{name: "manifest.json", mode: 0o644, text: asJSON(saved)},
		file{name: "oci-layout", mode: 0o644, text: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		file{name: "index.json", mode: 0o644, text: asJSON(object{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []object{image}})})
	whole, err := packTar(files)
	if err != nil {
		return err
	}
	return os.WriteFile(name, whole, 0o644)
}

// asJSON encodes a document of ours, which cannot fail.
func asJSON(document any) []byte {
	text, err := json.Marshal(document)
	if err != nil {
		panic(err)
	}
	return text
}
