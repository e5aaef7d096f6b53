// Command dist makes dist/, all that is delivered: the command for this platform
// and, with manual pages and completions, for each that it is made for, as archive,
// package and image; a zip for each processor of AWS Lambda and Azure Functions, an
// image for Cloud Run; a bill of materials of each, the licenses of all that is
// linked, and SHA256SUMS over all. The same source and the same Go give the same
// bytes, in whatever folder and whenever.
//
//	go run ./scripts/dist [-o dist] [-only functions|hotreader-lambda-arm64.zip]
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	out := flag.String("o", "dist", "the folder to make; what is in it is removed")
	only := flag.String("only", "", "make this artifact alone; functions: those that hotreader deploy needs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *out, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

// An artifact is one file to be delivered, but for the programs in it.
type artifact struct {
	name   string // of the file in dist/; the bill of materials is name.cdx.json
	source string // of the program, as ./cmd/hotreader-lambda
	os     string // "" = linux
	arch   string // this GOARCH; "" = this platform
	tags   string // of the build
	pack   func(d *dist, name, program string) ([]component, error)
}

var artifacts = []artifact{
	{name: "hotreader", source: "./cmd/hotreader", pack: (*dist).packCommand},
	{name: "hotreader-lambda-arm64.zip", source: "./cmd/hotreader-lambda", arch: "arm64", tags: "lambda.norpc", pack: (*dist).packLambda},
	{name: "hotreader-lambda-amd64.zip", source: "./cmd/hotreader-lambda", arch: "amd64", tags: "lambda.norpc", pack: (*dist).packLambda},
	{name: "hotreader-azure-arm64.zip", source: "./cmd/hotreader-azure", arch: "arm64", pack: (*dist).packAzure},
	{name: "hotreader-azure-amd64.zip", source: "./cmd/hotreader-azure", arch: "amd64", pack: (*dist).packAzure},
	// Cloud Run has no other processor, and an image of one platform is what
	// every tool can push.
	{name: "hotreader-cloudrun.tar", source: "./cmd/hotreader-cloudrun", arch: "amd64", pack: (*dist).packCloudRun},
}

// commands are the command's artifacts, as packages of every kind.
func commands() (all []artifact) {
	const source = "./cmd/hotreader"
	for _, arch := range []string{"amd64", "arm64"} {
		all = append(all,
			artifact{name: "hotreader-linux-" + arch + ".tar.gz", source: source, arch: arch, pack: (*dist).packArchive},
			artifact{name: "hotreader-linux-" + arch + ".deb", source: source, arch: arch, pack: (*dist).packInstalled},
			artifact{name: "hotreader-linux-" + arch + ".rpm", source: source, arch: arch, pack: (*dist).packInstalled},
			artifact{name: "hotreader-image-" + arch + ".tar", source: source, arch: arch, pack: (*dist).packImage},
			artifact{name: "hotreader-darwin-" + arch + ".tar.gz", source: source, os: "darwin", arch: arch, pack: (*dist).packArchive},
			artifact{name: "hotreader-windows-" + arch + ".zip", source: source, os: "windows", arch: arch, pack: (*dist).packArchive})
	}
	return all
}

// dist is one run.
type dist struct {
	ctx  context.Context
	dir  string // what is made
	temp string // what goes into it

	built  map[string]bool // programs that are there, and vetted
	extras []file          // what goes with the command, but for licenses
	nfpm   string          // the program that makes deb and rpm; "" = not built yet
}

func run(ctx context.Context, out, only string) (err error) {
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "hotreader-dist")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	d := &dist{ctx: ctx, dir: filepath.Join(temp, "dist"), temp: temp}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return err
	}
	all := slices.DeleteFunc(slices.Concat(artifacts, commands()), func(a artifact) bool {
		return only != "" && a.name != only && (only != "functions" || a.source == "./cmd/hotreader")
	})
	if len(all) == 0 {
		return fmt.Errorf("there is no artifact %q", only)
	}
	for _, a := range all {
		if err := d.make(a); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	if only == "" {
		text, err := d.licenses()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(d.dir, noticesName), text, 0o644); err != nil {
			return err
		}
	}
	if err := writeSums(d.dir); err != nil {
		return err
	}
	// Nothing half made is ever in place of what was there.
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	return os.CopyFS(out, os.DirFS(d.dir))
}

func (d *dist) make(a artifact) error {
	program := filepath.Join(d.temp, a.os+a.arch, filepath.Base(a.source))
	if err := d.build(a, program); err != nil {
		return err
	}
	name := filepath.Join(d.dir, a.name)
	parts, err := a.pack(d, name, program)
	if err != nil {
		return err
	}
	built, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	sum, _, err := digestOf(program)
	if err != nil {
		return err
	}
	parts = append(programParts(filepath.Base(a.source), sum, built), parts...)
	sum, size, err := digestOf(name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".cdx.json", bill(a.name, sum, parts), 0o644); err != nil {
		return err
	}
	fmt.Printf("%-28s %9d bytes, %d modules\n", a.name, size, len(built.Deps))
	return nil
}

// build compiles a's program. What decides about its bytes is said here, not
// taken from the environment.
func (d *dist) build(a artifact, program string) error {
	if d.built[program] {
		return nil
	}
	args := []string{"build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", program}
	env := []string{"CGO_ENABLED=0", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0"}
	if a.arch != "" {
		env = append(env, "GOOS="+cmp.Or(a.os, "linux"), "GOARCH="+a.arch)
	}
	if a.tags != "" {
		args = append(args, "-tags", a.tags)
	}
	var all [][]string
	if a.source == "./cmd/hotreader" {
		all = [][]string{append(args, "-buildvcs=auto", a.source), {"vet", "-trimpath", a.source}}
	} else {
		// A function's bytes change only with its code, not with each commit, so
		// that a deployment can see that there is nothing to do.
		all = [][]string{append(args, "-buildvcs=false", a.source)}
	}
	for _, args := range all {
		cmd := d.command(args...)
		cmd.Env = append(cmd.Env, env...)
		cmd.Stdout = os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	if d.built == nil {
		d.built = map[string]bool{}
	}
	d.built[program] = true
	return nil
}

// command is the go command with args. GO names another one than that of PATH.
func (d *dist) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(d.ctx, cmp.Or(os.Getenv("GO"), "go"), args...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stderr = os.Stderr
	return cmd
}

func (d *dist) packCommand(name, program string) ([]component, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	return nil, os.WriteFile(name, text, 0o755)
}

// packLambda makes a zip for the runtime provided.al2023, which runs bootstrap.
func (d *dist) packLambda(name, program string) ([]component, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	return nil, writeZip(name, []file{{name: "bootstrap", mode: 0o755, text: text}})
}

// packAzure makes a zip of a custom handler's function app: host.json and a
// folder of each function, from the program's app folder, and the program beside
// them under the name that host.json calls.
func (d *dist) packAzure(name, program string) ([]component, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	files, err := azureFiles(os.DirFS("cmd/hotreader-azure/app"), text)
	if err != nil {
		return nil, err
	}
	return nil, writeZip(name, files)
}

func azureFiles(app fs.FS, program []byte) ([]file, error) {
	var files []file
	functions := 0
	err := fs.WalkDir(app, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case strings.HasPrefix(e.Name(), "."), e.Name() == "local.settings.json": // a developer's own, and his secrets
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir():
			return nil
		}
		if e.Name() == "function.json" {
			functions++
		}
		text, err := fs.ReadFile(app, name)
		files = append(files, file{name: name, mode: 0o644, text: text})
		return err
	})
	if err != nil {
		return nil, err
	}
	if functions == 0 {
		return nil, errors.New("the app has no function.json")
	}
	var host struct {
		CustomHandler struct {
			Description struct {
				DefaultExecutablePath string `json:"defaultExecutablePath"`
			} `json:"description"`
		} `json:"customHandler"`
	}
	for _, f := range files {
		if f.name == "host.json" {
			if err := json.Unmarshal(f.text, &host); err != nil {
				return nil, fmt.Errorf("host.json: %w", err)
			}
		}
	}
	path := host.CustomHandler.Description.DefaultExecutablePath
	if path == "" || !fs.ValidPath(path) || slices.ContainsFunc(files, func(f file) bool { return f.name == path }) {
		return nil, fmt.Errorf("host.json: customHandler.description.defaultExecutablePath is %q, which is no place for the program", path)
	}
	return append(files, file{name: path, mode: 0o755, text: program}), nil
}

func (d *dist) packCloudRun(name, program string) ([]component, error) {
	return d.image(name, program, "amd64")
}

// packImage makes an image of the command, with licenses beside it.
func (d *dist) packImage(name, program string) ([]component, error) {
	files, err := d.beside(program)
	if err != nil {
		return nil, err
	}
	var licenses []file
	for _, f := range files {
		if f.name == "LICENSE" || f.name == noticesName {
			f.name = "usr/share/doc/hotreader/" + f.name
			licenses = append(licenses, f)
		}
	}
	arch := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "hotreader-image-"), ".tar")
	return d.image(name, program, arch, licenses...)
}

// image makes an image of a program, with what else is to lie in it.
func (d *dist) image(name, program, arch string, more ...file) ([]component, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	roots := filepath.Join(d.temp, "roots")
	cmd := d.command("build", "-C", "scripts/dist/roots", "-buildvcs=false", "-o", roots, ".")
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	built, err := buildinfo.ReadFile(roots)
	if err != nil {
		return nil, err
	}
	cmd = exec.CommandContext(d.ctx, roots)
	cmd.Stderr = os.Stderr
	pem, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	var parts []component
	for _, m := range built.Deps {
		part := modulePart("data", m)
		part.Ref = "data " + part.Ref // the program may link the module too
		parts = append(parts, part)
	}
	return parts, writeImage(name, arch, append([]file{{name: filepath.Base(program), mode: 0o755, text: text}, {name: certificates, mode: 0o644, text: pem}}, more...))
}

// writeSums writes SHA256SUMS over all files of dir, for sha256sum -c.
func writeSums(dir string) error {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, e := range entries {
		sum, _, err := digestOf(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, e.Name())
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// digestOf returns the SHA-256 of a file, in hex, and its size.
func digestOf(name string) (string, int, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", 0, err
	}
	return digest(text), len(text), nil
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
