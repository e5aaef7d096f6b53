package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// tinyLayout writes the smallest image there is, as an OCI layout in a tar.
func tinyLayout(t *testing.T) (file, manifest string) {
	t.Helper()
	files := map[string]string{}
	blob := func(text string) string {
		d := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
		files["blobs/sha256/"+d] = text
		return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d}`, d, len(text))
	}
	manifest = `{"schemaVersion":2,"config":` + blob(`{"os":"linux"}`) + `,"layers":[` + blob("layer") + `]}`
	files["index.json"] = `{"schemaVersion":2,"manifests":[` + blob(manifest) + `]}`
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, manifest
}

// TestImagePush runs the command as the module does: the file behind it, the
// reference in the environment.
func TestImagePush(t *testing.T) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	file, manifest := tinyLayout(t)
	t.Setenv("HOTREADER_IMAGE", strings.TrimPrefix(s.URL, "http://")+"/plant/images/hotreader:sha256-1")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"image", "push", file}, nil, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	resp, err := http.Get(s.URL + "/v2/plant/images/hotreader/manifests/sha256-1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != manifest {
		t.Errorf("the registry has %s, %v", got, err)
	}
}

func TestHiddenCommandsRefuse(t *testing.T) {
	file, _ := tinyLayout(t)
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		code int
		says string
	}{
		{"no image", nil, []string{"image", "push", file}, exitUsage, "HOTREADER_IMAGE is not set"},
		{"no file", nil, []string{"image", "push"}, exitUsage, "takes one argument, not 0"},
		{"no such file", map[string]string{"HOTREADER_IMAGE": "127.0.0.1:1/p/r/app:1"}, []string{"image", "push", file + ".none"}, exitConfig, "no such file"},
		{"no address", nil, []string{"app", "push", file}, exitUsage, "HOTREADER_PUBLISH_URL is not set"},
		{"another address", map[string]string{"HOTREADER_PUBLISH_URL": "https://evil.example"}, []string{"app", "push", file}, exitConfig, "not an address of the service"},
		{"another vault", nil, []string{"vault", "wait", "https://evil.example"}, exitConfig, "not an address of the service"},
		{"kept", map[string]string{"HOTREADER_KEEP_STORE": "true"}, []string{"store", "keep", "rows"}, exitConfig, "keep_store = false"},
		{"kept by default", nil, []string{"store", "keep", "rows"}, exitConfig, "keep_store = false"},
		{"not kept", map[string]string{"HOTREADER_KEEP_STORE": "false"}, []string{"store", "keep", "rows"}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range []string{"HOTREADER_IMAGE", "HOTREADER_PUBLISH_URL", "HOTREADER_KEEP_STORE"} {
				t.Setenv(name, c.env[name])
			}
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), c.args, nil, &stdout, &stderr)
			if code != c.code || !strings.Contains(stderr.String(), c.says) {
				t.Errorf("exit code %d, %q, want %d and %q", code, &stderr, c.code, c.says)
			}
		})
	}
}
