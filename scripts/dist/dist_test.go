package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEveryProgramIsDelivered(t *testing.T) {
	programs, err := filepath.Glob("../../cmd/*/main.go")
	if err != nil || len(programs) < 4 {
		t.Fatalf("programs %q, %v", programs, err)
	}
	for _, p := range programs {
		source := "./cmd/" + filepath.Base(filepath.Dir(p))
		if !slices.ContainsFunc(artifacts, func(a artifact) bool { return a.source == source }) {
			t.Errorf("no artifact holds %s", source)
		}
	}
}

// The command comes for each platform, and for Linux in each kind.
func TestCommands(t *testing.T) {
	var names []string
	for _, a := range commands() {
		names = append(names, a.name)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		for _, want := range []string{"linux-%s.tar.gz", "linux-%s.deb", "linux-%s.rpm", "image-%s.tar", "darwin-%s.tar.gz", "windows-%s.zip"} {
			if want = "hotreader-" + strings.Replace(want, "%s", arch, 1); !slices.Contains(names, want) {
				t.Errorf("there is no %s", want)
			}
		}
	}
}

// A module's notices are all files by which it is licensed; one without any is refused.
func TestNotices(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"LICENSE-MIT": "may be used\r\n", "NOTICE": "by its authors", "license_test.go": "no", "README": "no"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got bytes.Buffer
	if err := appendLicense(&got, "m@v1", dir); err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("=", 80)
	want := "\n" + line + "\nm@v1: LICENSE-MIT\n" + line + "\nmay be used\n\n" + line + "\nm@v1: NOTICE\n" + line + "\nby its authors"
	if got.String() != want {
		t.Errorf("got %q, want %q", got.String(), want)
	}
	if err := appendLicense(&got, "m@v1", t.TempDir()); err == nil || !strings.Contains(err.Error(), "m@v1 has no license") {
		t.Errorf("without a license: %v", err)
	}
	d := &dist{ctx: t.Context()}
	t.Chdir("../..")
	folders, err := d.folders()
	if err != nil || folders["Go"] == "" || len(folders) < 50 {
		t.Errorf("%d folders, %v", len(folders), err)
	}
}

func TestZip(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.zip")
	if err := writeZip(name, []file{
		{name: "run", mode: 0o755, text: []byte("program")},
		{name: "host.json", mode: 0o644, text: []byte("{}")},
		{name: "history/function.json", mode: 0o644, text: []byte("[]")},
	}); err != nil {
		t.Fatal(err)
	}
	r, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Mode().String()+" "+f.Name+" "+string(text))
		if want := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC); !f.Modified.Equal(want) {
			t.Errorf("%s is of %v, want %v", f.Name, f.Modified, want)
		}
	}
	if want := []string{"-rw-r--r-- history/function.json []", "-rw-r--r-- host.json {}", "-rwxr-xr-x run program"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAzureFiles(t *testing.T) {
	app := fstest.MapFS{
		"host.json":             {Data: []byte(`{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"}}}`)},
		"history/function.json": {Data: []byte("{}")},
		"local.settings.json":   {Data: []byte("secret")},
		".vscode/launch.json":   {Data: []byte("{}")},
		".funcignore":           {Data: []byte("*")},
	}
	files, err := azureFiles(app, []byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.name)
		if program := f.name == "handler"; program != (f.mode == 0o755) || program != (string(f.text) == "program") {
			t.Errorf("%s has mode %o and %q in it", f.name, f.mode, f.text)
		}
	}
	if want := []string{"history/function.json", "host.json", "handler"}; !slices.Equal(got, want) {
		t.Errorf("packed %q, want %q", got, want)
	}

	// The app itself.
	if _, err := azureFiles(os.DirFS("../../cmd/hotreader-azure/app"), []byte("program")); err != nil {
		t.Error(err)
	}

	for _, host := range []string{``, `{`, `{}`, `{"customHandler":{"description":{"defaultExecutablePath":""}}}`,
		`{"customHandler":{"description":{"defaultExecutablePath":"../handler"}}}`,
		`{"customHandler":{"description":{"defaultExecutablePath":"/handler"}}}`,
		`{"customHandler":{"description":{"defaultExecutablePath":"host.json"}}}`} {
		app["host.json"] = &fstest.MapFile{Data: []byte(host)}
		if _, err := azureFiles(app, []byte("program")); err == nil || !strings.Contains(err.Error(), "host.json") {
			t.Errorf("host.json %s: the error is %v", host, err)
		}
	}
	delete(app, "history/function.json")
	if _, err := azureFiles(app, []byte("program")); err == nil || !strings.Contains(err.Error(), "function.json") {
		t.Errorf("without a function: the error is %v", err)
	}
	if _, err := azureFiles(os.DirFS(filepath.Join(t.TempDir(), "none")), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without an app: the error is %v", err)
	}
}

// entry is a file or folder of a tar.
type entry struct {
	tar.Header
	text []byte
}

// unpack reads a tar, and checks what every one of ours promises.
func unpack(t *testing.T, in io.Reader) map[string]entry {
	t.Helper()
	all := map[string]entry{}
	last := ""
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name <= last {
			t.Errorf("%s comes behind %s", h.Name, last)
		}
		last = h.Name
		if _, ok := all[path.Dir(strings.TrimSuffix(h.Name, "/"))+"/"]; !ok && strings.Contains(strings.TrimSuffix(h.Name, "/"), "/") {
			t.Errorf("%s comes in front of its folder", h.Name)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || !h.ModTime.Equal(time.Unix(0, 0)) || h.Format != tar.FormatUSTAR {
			t.Errorf("%s says whose or when it was made: %+v", h.Name, h)
		}
		all[h.Name] = entry{*h, text}
	}
}

// TestImage holds the image against the OCI image specification, reading it as
// strangers do: with types of its own.
func TestImage(t *testing.T) {
	name := filepath.Join(t.TempDir(), "image.tar")
	program := bytes.Repeat([]byte("program "), 1000)
	authorities := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	if err := writeImage(name, "amd64", []file{{"hotreader-cloudrun", 0o755, program}, {certificates, 0o644, authorities}}); err != nil {
		t.Fatal(err)
	}
	layout := unpack(t, bytes.NewReader(readFile(t, name)))
	if got := string(layout["oci-layout"].text); got != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("oci-layout is %s", got)
	}

	type blob struct {
		MediaType, Digest string
		Size              int
		Platform          struct{ Architecture, OS string }
		Annotations       map[string]string
	}
	unused := map[string]bool{}
	for n, e := range layout {
		if e.Typeflag == tar.TypeReg && strings.HasPrefix(n, "blobs/") {
			unused[n] = true
		}
	}
	path := func(b blob) string { return "blobs/" + strings.Replace(b.Digest, ":", "/", 1) }
	get := func(b blob, mediaType string) []byte {
		t.Helper()
		if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(b.Digest) {
			t.Fatalf("the digest %q is none", b.Digest)
		}
		at := path(b)
		e, ok := layout[at]
		if !ok {
			t.Fatalf("there is no %s", at)
		}
		if b.MediaType != mediaType || b.Size != len(e.text) || "sha256:"+digest(e.text) != b.Digest {
			t.Fatalf("%+v describes %d bytes of SHA-256 %s, wanted as %s", b, len(e.text), digest(e.text), mediaType)
		}
		delete(unused, at)
		return e.text
	}
	parse := func(text []byte, into any) {
		t.Helper()
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}

	var index struct {
		SchemaVersion int
		MediaType     string
		Manifests     []blob
	}
	parse(layout["index.json"].text, &index)
	if index.SchemaVersion != 2 || index.MediaType != "application/vnd.oci.image.index.v1+json" || len(index.Manifests) != 1 {
		t.Fatalf("index.json: %+v", index)
	}
	image := index.Manifests[0]
	if image.Platform.Architecture != "amd64" || image.Platform.OS != "linux" {
		t.Errorf("the image is for %+v", image.Platform)
	}
	ref := regexp.MustCompile(`^[A-Za-z0-9]+((--|[-._:@+])[A-Za-z0-9]+)*(/[A-Za-z0-9]+((--|[-._:@+])[A-Za-z0-9]+)*)*$`)
	if got := image.Annotations["org.opencontainers.image.ref.name"]; !ref.MatchString(got) {
		t.Errorf("the image is named %q", got)
	}

	var manifest struct {
		SchemaVersion int
		MediaType     string
		Config        blob
		Layers        []blob
	}
	parse(get(image, "application/vnd.oci.image.manifest.v1+json"), &manifest)
	if manifest.SchemaVersion != 2 || manifest.MediaType != image.MediaType || len(manifest.Layers) != 1 {
		t.Fatalf("manifest: %+v", manifest)
	}
	var docker []struct {
		Config           string
		RepoTags, Layers []string
	}
	parse(layout["manifest.json"].text, &docker) // what docker load reads
	if len(docker) != 1 || docker[0].Config != path(manifest.Config) || !slices.Equal(docker[0].Layers, []string{path(manifest.Layers[0])}) ||
		!slices.Equal(docker[0].RepoTags, []string{image.Annotations["org.opencontainers.image.ref.name"]}) {
		t.Errorf("manifest.json: %+v", docker)
	}
	var config struct {
		Architecture, OS string
		Config           struct {
			User       string
			Entrypoint []string
			WorkingDir string
		}
		RootFS struct {
			Type    string   `json:"type"`
			DiffIDs []string `json:"diff_ids"`
		}
	}
	parse(get(manifest.Config, "application/vnd.oci.image.config.v1+json"), &config)
	if config.Architecture != "amd64" || config.OS != "linux" || config.Config.WorkingDir != "/" || config.RootFS.Type != "layers" {
		t.Errorf("config: %+v", config)
	}

	z, err := gzip.NewReader(bytes.NewReader(get(manifest.Layers[0], "application/vnd.oci.image.layer.v1.tar+gzip")))
	if err != nil {
		t.Fatal(err)
	}
	if !z.ModTime.IsZero() || z.Name != "" {
		t.Errorf("the layer's gzip says when it was made: %+v", z.Header)
	}
	layer, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"sha256:" + digest(layer)}; !slices.Equal(config.RootFS.DiffIDs, want) {
		t.Errorf("diff_ids are %q, want %q", config.RootFS.DiffIDs, want)
	}
	root := unpack(t, bytes.NewReader(layer))
	if got := config.Config.Entrypoint; !slices.Equal(got, []string{"/hotreader-cloudrun"}) {
		t.Errorf("the entrypoint is %q", got)
	}
	if e := root["hotreader-cloudrun"]; e.Mode != 0o755 || !bytes.Equal(e.text, program) {
		t.Errorf("the program has mode %o and %d bytes", e.Mode, len(e.text))
	}
	if e := root["etc/ssl/certs/ca-certificates.crt"]; e.Mode != 0o644 || !bytes.Equal(e.text, authorities) {
		t.Errorf("the certificate authorities have mode %o and are %q", e.Mode, e.text)
	}
	user, groupID, _ := strings.Cut(config.Config.User, ":")
	if user == "0" || !strings.Contains(string(root["etc/passwd"].text), ":x:"+user+":"+groupID+":") ||
		!strings.Contains(string(root["etc/group"].text), ":x:"+groupID+":") {
		t.Errorf("the user %s:%s is root, or not among\n%s%s", user, groupID, root["etc/passwd"].text, root["etc/group"].text)
	}
	if len(unused) > 0 {
		t.Errorf("nothing refers to %v", unused)
	}
}

// TestAgain: the same content gives the same bytes, whatever its files' order.
func TestAgain(t *testing.T) {
	files := []file{{"b/c", 0o644, []byte("1")}, {"a", 0o755, []byte("2")}, {"b/a", 0o644, []byte("3")}}
	dir := t.TempDir()
	var zips, tars, images [][]byte
	for n := range 2 {
		name := filepath.Join(dir, string(rune('a'+n)))
		if err := writeZip(name, files); err != nil {
			t.Fatal(err)
		}
		zips = append(zips, readFile(t, name))
		packed, err := packTar(files)
		if err != nil {
			t.Fatal(err)
		}
		tars = append(tars, packed)
		if err := writeImage(name, "amd64", []file{{"p", 0o755, []byte("program")}, {certificates, 0o644, []byte("pem")}}); err != nil {
			t.Fatal(err)
		}
		images = append(images, readFile(t, name))
		slices.Reverse(files)
	}
	for _, pair := range [][][]byte{zips, tars, images} {
		if !bytes.Equal(pair[0], pair[1]) {
			t.Error("the second time other bytes came")
		}
	}
}

// TestBillNamesEveryModule compares with what `go version -m` says of a program
// of ours.
func TestBillNamesEveryModule(t *testing.T) {
	program := filepath.Join(t.TempDir(), "hotreader-lambda")
	d := &dist{ctx: t.Context()}
	t.Chdir("../..")
	if err := d.build(artifact{source: "./cmd/hotreader-lambda", arch: "arm64", tags: "lambda.norpc"}, program); err != nil {
		t.Fatal(err)
	}
	built, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var bom billOfMaterials
	if err := json.Unmarshal(bill("a.zip", strings.Repeat("0123456789abcdef", 4), programParts("hotreader-lambda", "5", built)), &bom); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "version", "-m", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); f[0] == "dep" {
			want = append(want, strings.Join(f[1:], " "))
		}
	}
	if len(want) < 10 {
		t.Fatalf("go version -m names %d modules:\n%s", len(want), out)
	}
	var got []string
	refs := map[string]bool{}
	for _, c := range bom.Components {
		if refs[c.Ref] {
			t.Errorf("%s is there twice", c.Ref)
		}
		refs[c.Ref] = true
		if c.Type == "library" && c.Name != "std" {
			got = append(got, c.Name+" "+c.Version+" "+c.Properties[0].Value)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the bill names\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if std := bom.Components[1]; std.PackageURL != "pkg:golang/std@"+strings.TrimPrefix(built.GoVersion, "go") {
		t.Errorf("the standard library is %+v", std)
	}
	if got, want := bom.SerialNumber, "urn:uuid:01234567-89ab-8cde-8f01-23456789abcd"; got != want {
		t.Errorf("the serial number is %s, want %s", got, want)
	}
}

func TestModulePart(t *testing.T) {
	for _, c := range []struct {
		module debug.Module
		want   component
	}{
		{debug.Module{Path: "github.com/Azure/azure-sdk-for-go", Version: "v68.0.0+incompatible", Sum: "h1:x="},
			component{Type: "library", Ref: "github.com/Azure/azure-sdk-for-go@v68.0.0+incompatible", Name: "github.com/Azure/azure-sdk-for-go", Version: "v68.0.0+incompatible",
				PackageURL: "pkg:golang/github.com/azure/azure-sdk-for-go@v68.0.0%2Bincompatible", Properties: []property{{"go:sum", "h1:x="}}}},
		{debug.Module{Path: "example.org/a", Version: "v1.0.0", Sum: "h1:x=", Replace: &debug.Module{Path: "example.org/b", Version: "v2.0.0", Sum: "h1:y="}},
			component{Type: "library", Ref: "example.org/b@v2.0.0", Name: "example.org/b", Version: "v2.0.0",
				PackageURL: "pkg:golang/example.org/b@v2.0.0", Properties: []property{{"go:sum", "h1:y="}}}},
	} {
		if got := modulePart("library", &c.module); string(asJSON(got)) != string(asJSON(c.want)) {
			t.Errorf("got %s, want %s", asJSON(got), asJSON(c.want))
		}
	}
}

func TestSums(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b", "a"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeSums(dir); err != nil {
		t.Fatal(err)
	}
	want := "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a\n" +
		"3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d  b\n"
	if got := string(readFile(t, filepath.Join(dir, "SHA256SUMS"))); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
