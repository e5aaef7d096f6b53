package main

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

// The documents of CycloneDX 1.6, as far as a bill of materials needs them:
// https://cyclonedx.org/docs/1.6/json. There is no time in it and no random
// number, so that it is as reproducible as what it describes.
type billOfMaterials struct {
	Schema       string      `json:"$schema"`
	Format       string      `json:"bomFormat"`
	SpecVersion  string      `json:"specVersion"`
	SerialNumber string      `json:"serialNumber"`
	Version      int         `json:"version"`
	Metadata     metadata    `json:"metadata"`
	Components   []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	PackageURL string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// bill returns the bill of materials of the artifact of the given name and
// SHA-256.
func bill(name, sum string, parts []component) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(billOfMaterials{
		Schema:      "http://cyclonedx.org/schema/bom-1.6.schema.json",
		Format:      "CycloneDX",
		SpecVersion: "1.6",
		// A UUID of version 8, made of the digest: one artifact, one number.
		SerialNumber: fmt.Sprintf("urn:uuid:%s-%s-8%s-8%s-%s", sum[:8], sum[8:12], sum[12:15], sum[15:18], sum[18:30]),
		Version:      1,
		Metadata:     metadata{component{Type: "application", Ref: name, Name: name, Hashes: []hash{{"SHA-256", sum}}}},
		Components:   parts,
	})
	if err != nil {
		panic(err) // only strings in it
	}
	return out.Bytes()
}

// programParts returns what a program says that it is made of: itself, Go's
// standard library, and each module.
func programParts(name, sum string, built *debug.BuildInfo) []component {
	program := component{Type: "application", Ref: "program " + name, Name: name, Version: built.Main.Version, Hashes: []hash{{"SHA-256", sum}}}
	for _, s := range built.Settings {
		program.Properties = append(program.Properties, property{"go:build:" + s.Key, s.Value})
	}
	version := strings.TrimPrefix(built.GoVersion, "go")
	parts := []component{program, modulePart("library", &debug.Module{Path: "std", Version: version})}
	for _, m := range built.Deps {
		parts = append(parts, modulePart("library", m))
	}
	return parts
}

// modulePart returns the component of a module, or of that which replaces it.
// Sum is Go's own hash of a module, over the hashes of its files, and so none of
// CycloneDX's.
func modulePart(kind string, m *debug.Module) component {
	m = cmp.Or(m.Replace, m)
	purl := "pkg:golang/" + strings.ToLower(m.Path) // as purl's golang type demands
	if m.Version != "" {
		purl += "@" + strings.ReplaceAll(url.PathEscape(m.Version), "+", "%2B")
	}
	c := component{Type: kind, Ref: m.Path + "@" + m.Version, Name: m.Path, Version: m.Version, PackageURL: purl}
	if m.Sum != "" {
		c.Properties = []property{{"go:sum", m.Sum}}
	}
	return c
}

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
