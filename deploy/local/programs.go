package local

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"hotreader/catalog"
	"hotreader/config"
	"hotreader/deploy/publish"
	"hotreader/deploy/render"
)

// maxProgram bounds what is unpacked of one file; the programs have some 10 MB.
const maxProgram = 256 << 20

// artifact is the file of `make dist` that a cloud's programs come from.
func artifact(c config.Cloud) (string, error) {
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("the functions' programs are for Linux, and this is %s; use a Linux machine or container", runtime.GOOS)
	}
	switch {
	case c == config.AWS:
		return "hotreader-lambda-" + runtime.GOARCH + ".zip", nil
	case c == config.Azure:
		return "hotreader-azure-" + runtime.GOARCH + ".zip", nil
	case runtime.GOARCH != "amd64":
		return "", fmt.Errorf("the image for Cloud Run is for amd64, as that is, and this machine is %s", runtime.GOARCH)
	}
	return "hotreader-cloudrun.tar", nil
}

// unpack takes a cloud's program out of its artifact into dir, and returns where
// it is.
func unpack(c config.Cloud, artifacts, dir string) (program string, err error) {
	name, err := artifact(c)
	if err != nil {
		return "", err
	}
	name = filepath.Join(artifacts, name)
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is missing; run `make dist`, or name the folder with --artifacts", name)
	}
	var text []byte
	switch c {
	case config.AWS:
		program = "bootstrap"
		text, err = fromZip(name, program)
	case config.Azure:
		program, text, err = fromApp(name)
	default:
		program, text, err = fromImage(name)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w; run `make dist` again", name, err)
	}
	to := filepath.Join(dir, string(c))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return "", err
	}
	to = filepath.Join(to, path.Base(program))
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) { // it may still be running
		return "", err
	}
	return to, os.WriteFile(to, text, 0o700) //nolint:gosec // G306: a program must be one that its owner can run
}

// placeCatalog puts the catalogue of the project's devices where a program looks for
// it, as it lies in the package that is deployed.
func placeCatalog(p *config.Project, dir string) error {
	name := filepath.Join(dir, catalog.File)
	packed, err := render.Catalog(p)
	if err != nil {
		return err
	}
	if packed != nil {
		return render.ReplaceFile(name, bytes.NewReader(packed))
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a run before
		return err
	}
	return nil
}

func fromZip(name, file string) ([]byte, error) {
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = z.Close() }() // it was read
	f, err := z.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was read
	return readAll(f)
}

func readAll(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxProgram+1))
	if err == nil && len(text) > maxProgram {
		return nil, errors.New("what is in it is too large for a program")
	}
	return text, err
}

// fromApp returns the program that a function app's host.json names.
func fromApp(name string) (string, []byte, error) {
	text, err := fromZip(name, "host.json")
	if err != nil {
		return "", nil, err
	}
	var host struct {
		CustomHandler struct {
			Description struct{ DefaultExecutablePath string }
			Forwarding  bool `json:"enableForwardingHttpRequest"`
		}
		Extensions struct {
			HTTP struct {
				RoutePrefix *string `json:"routePrefix"`
			} `json:"http"`
		}
	}
	if err := json.Unmarshal(text, &host); err != nil {
		return "", nil, fmt.Errorf("host.json: %w", err)
	}
	prefix := host.Extensions.HTTP.RoutePrefix
	if !host.CustomHandler.Forwarding || prefix == nil || *prefix != "" {
		return "", nil, errors.New("host.json: want enableForwardingHttpRequest, and an empty routePrefix")
	}
	program := host.CustomHandler.Description.DefaultExecutablePath
	if !fs.ValidPath(program) || program == "." {
		return "", nil, fmt.Errorf("host.json: defaultExecutablePath %q is no file of the app", program)
	}
	text, err = fromZip(name, program)
	return program, text, err
}

// fromImage returns the program that an OCI image, packed as a tar, starts.
func fromImage(name string) (string, []byte, error) {
	img, err := publish.ReadLayout(name)
	if err != nil {
		return "", nil, err
	}
	var starts struct{ Config struct{ Entrypoint []string } }
	if err := json.Unmarshal(img.Text(img.Config), &starts); err != nil || len(starts.Config.Entrypoint) != 1 {
		return "", nil, errors.New("the image starts no one program")
	}
	program := strings.TrimPrefix(path.Clean(starts.Config.Entrypoint[0]), "/")
	for _, l := range img.Layers {
		if text, err := fromLayer(img.Text(l), program); text != nil || err != nil {
			return program, text, err
		}
	}
	return "", nil, fmt.Errorf("the image has no %s", program)
}

// fromLayer returns a file of a layer, nil if it is not in it.
func fromLayer(layer []byte, file string) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		return nil, err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeReg && strings.TrimPrefix(path.Clean(h.Name), "/") == file {
			return readAll(r)
		}
	}
}
