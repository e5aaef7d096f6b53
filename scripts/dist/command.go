package main

import (
	"debug/buildinfo"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// packArchive makes an archive of the command and what goes with it, for people to
// unpack: a zip for Windows.
func (d *dist) packArchive(name, program string) ([]component, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	files, err := d.beside(program)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(name, ".zip") {
		return nil, writeZip(name, append(files, file{name: "hotreader.exe", mode: 0o755, text: text}))
	}
	packed, err := packTar(append(files, file{name: "hotreader", mode: 0o755, text: text}))
	if err == nil {
		packed, err = compress(packed)
	}
	if err != nil {
		return nil, err
	}
	return nil, os.WriteFile(name, packed, 0o644)
}

// installed says where a package puts what goes with the command.
var installed = []struct{ from, to string }{
	{"LICENSE", "/usr/share/doc/hotreader/copyright"},
	{noticesName, "/usr/share/doc/hotreader/" + noticesName},
	{"CHANGELOG.md", "/usr/share/doc/hotreader/CHANGELOG.md"},
	{"README.md", "/usr/share/doc/hotreader/README.md"},
	{"docs", "/usr/share/doc/hotreader/docs"},
	{"examples", "/usr/share/doc/hotreader/examples"},
	{"man", "/usr/share/man/man1"},
	{"schemas", "/usr/share/hotreader/schemas"},
	{"grafana", "/usr/share/hotreader/grafana"},
	{"completions/hotreader.bash", "/usr/share/bash-completion/completions/hotreader"},
	{"completions/_hotreader", "/usr/share/zsh/vendor-completions/_hotreader"},
	{"completions/hotreader.fish", "/usr/share/fish/vendor_completions.d/hotreader.fish"},
}

// packInstalled makes a deb or an rpm.
func (d *dist) packInstalled(name, program string) ([]component, error) {
	files, err := d.beside(program)
	if err != nil {
		return nil, err
	}
	if d.nfpm == "" {
		d.nfpm = filepath.Join(d.temp, "nfpm")
		if err := d.command("build", "-modfile=tools/go.mod", "-buildvcs=false", "-o", d.nfpm, "github.com/goreleaser/nfpm/v2/cmd/nfpm").Run(); err != nil {
			return nil, err
		}
	}
	kind := strings.TrimPrefix(filepath.Ext(name), ".")
	contents, err := d.contents(files, program, kind)
	if err != nil {
		return nil, err
	}
	built, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	version := strings.TrimPrefix(built.Main.Version, "v")
	if !strings.HasPrefix(built.Main.Version, "v") {
		version = "0.0.0" // built without version control
	}
	base := strings.Split(strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), "-")
	config, err := json.Marshal(map[string]any{ // YAML, as well
		"name": "hotreader", "arch": base[len(base)-1], "platform": "linux", "version": version, "license": "Apache-2.0",
		"maintainer": "The hotreader authors <hotreader@localhost>", "section": "utils", "contents": contents,
		"description": "Read a digital twin's history from hot storage, on this cloud or another",
		"rpm":         map[string]any{"buildhost": "localhost"},
	})
	if err != nil {
		return nil, err
	}
	at := filepath.Join(d.temp, "nfpm.json")
	if err := os.WriteFile(at, config, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(d.ctx, d.nfpm, "package", "-f", at, "-p", kind, "-t", name)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+d.commitTime())
	cmd.Stderr = os.Stderr
	return nil, cmd.Run()
}

// content is a file or folder of a package, as nfpm reads it.
type content struct {
	Src  string         `json:"src"`
	Dst  string         `json:"dst"`
	Type string         `json:"type,omitempty"`
	Info map[string]any `json:"file_info"`
}

// contents returns where a package puts the program and the files.
func (d *dist) contents(files []file, program, kind string) ([]content, error) {
	all := []content{{Src: program, Dst: "/usr/bin/hotreader", Info: map[string]any{"mode": 0o755}}}
	folders := map[string]bool{} // if they were not the package's, rpm would leave them behind
	for _, f := range files {
		src := filepath.Join(d.temp, "installed", filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(src), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(src, f.text, 0o644); err != nil {
			return nil, err
		}
		for _, at := range installed {
			rest, ok := strings.CutPrefix(f.name, at.from)
			if !ok || rest != "" && rest[0] != '/' {
				continue
			}
			to := at.to + rest
			if kind == "rpm" { // zsh looks elsewhere there
				to = strings.Replace(to, "/vendor-completions/", "/site-functions/", 1)
			}
			all = append(all, content{Src: src, Dst: to, Info: map[string]any{"mode": 0o644}})
			for in := path.Dir(to); strings.Contains(in+"/", "/hotreader/"); in = path.Dir(in) {
				folders[in] = true
			}
		}
	}
	for _, at := range slices.Sorted(maps.Keys(folders)) {
		all = append(all, content{Dst: at, Type: "dir", Info: map[string]any{"mode": 0o755}})
	}
	return all, nil
}

// beside returns what goes with the command: licenses, documentation, an example,
// manual pages, completions, schemas and what Grafana needs.
func (d *dist) beside(program string) ([]file, error) {
	if d.extras == nil {
		manual, out := filepath.Join(d.temp, "manual"), filepath.Join(d.temp, "beside")
		if err := d.command("build", "-tags=man", "-buildvcs=false", "-o", manual, "./cmd/hotreader").Run(); err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(d.ctx, manual, out)
		cmd.Env, cmd.Stderr = append(os.Environ(), "SOURCE_DATE_EPOCH="+d.commitTime()), os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, err
		}
		for folder, names := range map[string]string{out: ".", ".": "schemas", "docs": "grafana"} {
			if err := d.take(os.DirFS(folder), names); err != nil {
				return nil, err
			}
		}
		for _, name := range []string{"LICENSE", "CHANGELOG.md", "README.md", "docs", "examples/pump.csv"} {
			if err := d.take(os.DirFS("."), name); err != nil {
				return nil, err
			}
		}
	}
	notices, err := d.licensesOf(program)
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(d.extras), file{name: noticesName, mode: 0o644, text: notices}), nil
}

// take adds a file, or all in a folder, to what goes with the command.
func (d *dist) take(from fs.FS, name string) error {
	return fs.WalkDir(from, name, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(from, name)
		d.extras = append(d.extras, file{name: name, mode: 0o644, text: text})
		return err
	})
}

// commitTime is when the last commit was made, in seconds since 1970; "0" = not known.
func (d *dist) commitTime() string {
	out, err := exec.CommandContext(d.ctx, "git", "log", "-1", "--format=%ct").Output()
	if err != nil {
		return "0"
	}
	return strings.TrimSpace(string(out))
}
