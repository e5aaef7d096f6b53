package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

// noticesName is the file with the licenses of all that is linked.
const noticesName = "THIRD_PARTY_NOTICES.txt"

var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// licenses returns the notices of all programs that were built.
func (d *dist) licenses() ([]byte, error) {
	return d.licensesOf(slices.Sorted(maps.Keys(d.built))...)
}

// licensesOf returns the notices of programs: of each module in them, and of Go, the
// files by which it is licensed. A module without one is an error.
func (d *dist) licensesOf(programs ...string) ([]byte, error) {
	modules := map[string]*debug.Module{}
	for _, program := range programs {
		built, err := buildinfo.ReadFile(program)
		if err != nil {
			return nil, err
		}
		for _, m := range built.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			modules[m.Path+"@"+m.Version] = m
		}
	}
	folders, err := d.folders()
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	fmt.Fprintf(&all, "hotreader's programs are built with Go and hold the modules below, each under its own license.\n")
	for _, name := range append([]string{"Go"}, slices.Sorted(maps.Keys(modules))...) {
		if err := appendLicense(&all, name, folders[name]); err != nil {
			return nil, err
		}
	}
	return all.Bytes(), nil
}

func appendLicense(all *bytes.Buffer, name, folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("the license of %s: %w", name, err)
	}
	found := false
	for _, e := range entries { // sorted
		if e.IsDir() || !licenseFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return err
		}
		found = true
		fmt.Fprintf(all, "\n%s\n%s: %s\n%s\n%s", strings.Repeat("=", 80), name, e.Name(), strings.Repeat("=", 80), bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	}
	if !found {
		return fmt.Errorf("%s has no license in %s", name, folder)
	}
	return nil
}

// folders returns where the modules' sources are, as path@version, and Go's.
func (d *dist) folders() (map[string]string, error) {
	list := d.command("list", "-m", "-f", "{{.Path}}@{{.Version}}\t{{.Dir}}", "all")
	out, err := list.Output()
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, folder, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		all[name] = folder
	}
	root, err := d.command("env", "GOROOT").Output()
	all["Go"] = strings.TrimSpace(string(root))
	return all, err
}
