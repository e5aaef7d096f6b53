package main

import (
	"encoding/json"
	"os"
	"slices"
)

// The media types and documents of the OCI image format, as far as an image of
// one program needs them: https://github.com/opencontainers/image-spec, 1.1.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type imageConfig struct {
	platform
	Config struct {
		User       string            `json:"User"`
		Entrypoint []string          `json:"Entrypoint"`
		WorkingDir string            `json:"WorkingDir"`
		Labels     map[string]string `json:"Labels"`
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// saved is how docker load finds an image, unless Docker keeps images in containerd.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

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
	blob := func(mediaType string, text []byte) descriptor {
		d := digest(text)
		files = append(files, file{name: "blobs/sha256/" + d, mode: 0o644, text: text})
		return descriptor{MediaType: mediaType, Digest: "sha256:" + d, Size: len(text)}
	}
	config := imageConfig{platform: platform{arch, "linux"}}
	config.Config.User = nonroot + ":" + nonroot
	config.Config.Entrypoint = []string{"/" + program}
	config.Config.WorkingDir = "/"
	config.Config.Labels = map[string]string{
		"org.opencontainers.image.title":    program,
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	config.RootFS.Type = "layers"
	config.RootFS.DiffIDs = []string{"sha256:" + digest(layer)}
	packed, err := compress(layer)
	if err != nil {
		return err
	}
	m := manifest{SchemaVersion: 2, MediaType: typeManifest,
		Config: blob(typeConfig, asJSON(config)),
		Layers: []descriptor{blob(typeLayer, packed)}}
	image := blob(typeManifest, asJSON(m))
	image.Platform = &config.platform
	tag := program + ":latest"
	image.Annotations = map[string]string{"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": "docker.io/library/" + tag}
	files = append(files,
		file{name: "manifest.json", mode: 0o644, text: asJSON([]saved{{Config: files[0].name, RepoTags: []string{tag}, Layers: []string{files[1].name}}})},
		file{name: "oci-layout", mode: 0o644, text: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		file{name: "index.json", mode: 0o644, text: asJSON(index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{image}})})
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
