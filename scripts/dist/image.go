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
