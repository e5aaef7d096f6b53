package render

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/catalog"
	"hotreader/config"
	"hotreader/deploy/topology"
	"hotreader/test/packages"
)

// The packages hold the catalogue: another list of devices is another package, so
// that Terraform updates the functions, and the same list is the same one.
func TestPackagesHoldTheCatalogue(t *testing.T) {
	artifacts := t.TempDir()
	for _, cloud := range []config.Cloud{config.AWS, config.Azure, config.GCP} {
		packages.Write(t, artifacts, Packages[cloud])
		p := &config.Project{Twin: "hall", L3: cloud, L4: cloud, Options: config.Options{GCP: config.GCPOptions{Project: "plant-1", Region: "europe-west3"}},
			Devices: []config.Device{{ID: "pump-7", Type: "pump", Properties: []config.Property{{Name: "temperature", Type: "DOUBLE", Unit: "°C"}}}}}
		dir := t.TempDir()
		made := func() []byte {
			t.Helper()
			top, err := topology.New(p)
			if err == nil {
				err = Folder(dir, top.Sides[0], Inputs{Project: p, TokenVersion: 1}, artifacts)
			}
			text, rerr := os.ReadFile(filepath.Join(dir, "package", Packages[cloud]))
			if err != nil || rerr != nil {
				t.Fatal(err, rerr)
			}
			return text
		}
		first := made()
		if again := made(); !bytes.Equal(again, first) {
			t.Errorf("%s: the same twice makes other packages", cloud)
		}
		if cloud != config.GCP { // an image is looked into where it is made
			checkCatalog(t, first, p)
		}
		p.Devices[0].Properties[0].Unit = "K"
		if bytes.Equal(made(), first) {
			t.Errorf("%s: other devices make the same package", cloud)
		}
		p.Devices = nil
		plain, err := os.ReadFile(filepath.Join(artifacts, Packages[cloud]))
		if err != nil || !bytes.Equal(made(), plain) {
			t.Errorf("%s: without devices the package is not as it was (%v)", cloud, err)
		}
	}
}

// checkCatalog opens the catalogue that lies beside the program in a zip.
func checkCatalog(t *testing.T, text []byte, p *config.Project) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	f, err := z.Open(catalog.File)
	if err != nil || !slices.Equal(names, []string{"bootstrap", catalog.File}) {
		t.Fatalf("the package has %q, %v", names, err)
	}
	packed, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := c.Device("pump-7")
	if want := p.Catalog()[0]; !ok || d.Type != want.Type || !slices.Equal(d.Properties, want.Properties) {
		t.Errorf("the catalogue has %+v, want %+v", d, want)
	}
}

func TestPackagesThatAreNone(t *testing.T) {
	p := &config.Project{Twin: "hall", L3: config.AWS, L4: config.AWS, Devices: []config.Device{{ID: "pump-7"}}}
	top, err := topology.New(p)
	if err != nil {
		t.Fatal(err)
	}
	artifacts := t.TempDir()
	for text, want := range map[string]string{"": "is not in ", "no zip": "is not a package: "} {
		if text != "" {
			if err := os.WriteFile(filepath.Join(artifacts, Packages[config.AWS]), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := Folder(t.TempDir(), top.Sides[0], Inputs{Project: p}, artifacts)
		if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "`make functions`") {
			t.Errorf("%q: the error is %v, want %q", text, err, want)
		}
		_ = os.Remove(filepath.Join(artifacts, Packages[config.AWS]))
	}
}
