// Package packages makes small packages of functions, of the kinds that `make dist`
// makes, for tests that deploy and run none of them.
package packages

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Write writes packages of those names, zips and images by their ends, into dir.
func Write(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		text := Zip(t, "bootstrap", "program of "+name)
		if filepath.Ext(name) == ".tar" {
			text = Image(t, "hotreader-cloudrun", "program of "+name)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Zip is a zip with one program in it.
func Zip(t testing.TB, name, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	header := &zip.FileHeader{Name: name, Method: zip.Deflate}
	header.SetMode(0o755)
	e, err := w.CreateHeader(header)
	if err == nil {
		_, err = e.Write([]byte(text))
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Image is an OCI image layout, packed as a tar, of an image of one program.
func Image(t testing.TB, name, text string) []byte {
	t.Helper()
	plain := packTar(t, name, text)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	files := []string{"oci-layout", `{"imageLayoutVersion":"1.0.0"}`}
	blob := func(kind, text string) string {
		files = append(files, "blobs/sha256/"+sum(text), text)
		return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%d,"platform":{"os":"linux"}}`, kind, sum(text), len(text))
	}
	config := blob("config.v1+json", `{"os":"linux","config":{"Entrypoint":["/`+name+`"]},"rootfs":{"type":"layers","diff_ids":["sha256:`+sum(string(plain))+`"]}}`)
	manifest := blob("manifest.v1+json", `{"schemaVersion":2,"config":`+config+`,"layers":[`+blob("layer.v1.tar+gzip", packed.String())+`]}`)
	return packTar(t, append(files, "index.json", `{"schemaVersion":2,"manifests":[`+manifest+`]}`)...)
}

// packTar is a tar of files, each a name and a text.
func packTar(t testing.TB, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o755, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
