package publish

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotreader/test/packages"
)

// withFile adds a file to the package in a file, and writes what comes of it beside.
func withFile(t *testing.T, pack, name, text string) (made string) {
	t.Helper()
	all, err := WithFile(pack, name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	again, err := WithFile(pack, name, []byte(text))
	if err != nil || !bytes.Equal(again, all) {
		t.Errorf("the same twice makes other bytes, or the error %v", err)
	}
	other, err := WithFile(pack, name, []byte(text+"."))
	if err != nil || bytes.Equal(other, all) {
		t.Errorf("another file makes the same bytes, or the error %v", err)
	}
	made = filepath.Join(t.TempDir(), filepath.Base(pack))
	if err := os.WriteFile(made, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return made
}

func TestZipWithFile(t *testing.T) {
	dir := t.TempDir()
	packages.Write(t, dir, "p.zip")
	made := withFile(t, withFile(t, filepath.Join(dir, "p.zip"), "list", "old"), "list", "devices")
	z, err := zip.OpenReader(made)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var got []string
	for _, f := range z.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in) // checks the sum
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Mode().String()+" "+f.Name+" "+string(text[:min(len(text), 7)]))
	}
	if want := []string{"-rwxr-xr-x bootstrap program", "-rw-r--r-- list devices"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func sum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func TestImageWithFile(t *testing.T) {
	dir := t.TempDir()
	packages.Write(t, dir, "p.tar")
	made := withFile(t, filepath.Join(dir, "p.tar"), "list", "devices")
	img, err := ReadLayout(made) // checks every sum
	if err != nil {
		t.Fatal(err)
	}
	files, err := untar(made)
	if err != nil || !strings.Contains(string(files["index.json"]), `"platform":{"os":"linux"}`) || len(files) != 2+2+len(img.Layers) {
		t.Errorf("%d files, %v; the index is %s", len(files), err, files["index.json"])
	}
	var config struct {
		OS     string
		Config struct{ Entrypoint []string }
		RootFS struct {
			IDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(img.Text(img.Config), &config); err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || !slices.Equal(config.Config.Entrypoint, []string{"/hotreader-cloudrun"}) || len(config.RootFS.IDs) != 2 || len(img.Layers) != 2 {
		t.Fatalf("the configuration is %+v, and there are %d layers", config, len(img.Layers))
	}
	got := map[string]string{}
	for i, d := range img.Layers {
		z, err := gzip.NewReader(bytes.NewReader(img.Text(d)))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil || "sha256:"+sum(plain) != config.RootFS.IDs[i] || d.MediaType != "application/vnd.oci.image.layer.v1.tar+gzip" {
			t.Errorf("layer %d is %+v, unpacked %s, and the configuration has %s; %v", i, d, sum(plain), config.RootFS.IDs[i], err)
		}
		for r := tar.NewReader(bytes.NewReader(plain)); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			got[h.Name] = h.FileInfo().Mode().String() + " " + string(text)
		}
	}
	if len(got) != 2 || got["list"] != "-rw-r--r-- devices" || !strings.HasSuffix(got["hotreader-cloudrun"], " program of p.tar") {
		t.Errorf("the image has %q", got)
	}
}

func TestWithFileRefuses(t *testing.T) {
	for _, name := range []string{"p.zip", "p.tar"} {
		pack := filepath.Join(t.TempDir(), name)
		if _, err := WithFile(pack, "list", nil); !os.IsNotExist(err) {
			t.Errorf("%s is missing: %v", name, err)
		}
		if err := os.WriteFile(pack, []byte("no package"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := WithFile(pack, "list", nil); err == nil {
			t.Errorf("%s is none: no error", name)
		}
	}
	// An image whose configuration lists no layers is one that nothing can run.
	if _, err := WithFile(layoutFile(t, nil), "list", nil); err == nil {
		t.Error("an image without a list of layers: no error")
	}
}
