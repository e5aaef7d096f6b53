// Package render writes root modules for Terraform: what a side of a topology
// needs, as arguments of its cloud's module.
package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"hotreader"
	"hotreader/catalog"
	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/deploy/publish"
	"hotreader/deploy/terraform"
	"hotreader/deploy/topology"
	"hotreader/internal/bounded"
)

// Inputs are what a cloud's root module needs beyond its side.
type Inputs struct {
	Project *config.Project

	// RemoteURL is REMOTE_READER_URL, if the side's functions ask the other
	// cloud. It is a reference to a variable where the URL is not known yet.
	RemoteURL string

	// Lower are other variables with the URL of an API, as RemoteURL.
	Lower map[string]string

	// TokenVersion is another number for each token. It is the version of the
	// write-only arguments, and changes the functions' configuration, so that new
	// instances fetch the new token. 0 = the side has no token.
	TokenVersion int

	// Trust is HOTREADER_TRUST, if the side's API takes callers beside those with the token;
	// AskTrust where those of the twin's cloud are not known yet.
	Trust string

	// PageKeyVersion is of the key of page tokens what TokenVersion is of the token.
	PageKeyVersion int

	// Package is the path of the zip or image within the rendered folder, as
	// package/hotreader-lambda-arm64.zip.
	Package string

	// State is the file with the state, absolute; "" = where the backend says or, by
	// default, in the rendered folder.
	State string

	// DropStore lets go of what protects the data in hot storage, to destroy it.
	DropStore bool
}

// part is what is one cloud's in a root module, written as it is meant: that
// Terraform takes it literally is for rendered to see to.
type part struct {
	provider string // of Terraform, by hashicorp
	version  string
	settings map[string]any // of the provider
	module   map[string]any // arguments that no other cloud's module has
}

// Packages are the files of dist that each cloud's functions are made of.
var Packages = map[config.Cloud]string{
	config.AWS:   "hotreader-lambda-arm64.zip",
	config.Azure: "hotreader-azure-amd64.zip",
	config.GCP:   "hotreader-cloudrun.tar",
}

// MinVersion is that of Terraform and OpenTofu which know write-only arguments
// and ephemeral variables.
const MinVersion = "1.11.0"

// RemoteVariable is asked for where the other side's URL is not known when the
// folder is rendered, and AskURL refers to it.
const (
	RemoteVariable = "remote_url"
	AskURL         = "${var." + RemoteVariable + "}"
)

// AskTrust is to Inputs.Trust what AskURL is to a URL. callers is HOTREADER_TRUST as far as
// it is known.
func AskTrust(callers string) string {
	if callers == "[]" {
		return "${var.trust}"
	}
	return "${jsonencode(concat(jsondecode(var.trust), " + Literal(callers) + "))}" // JSON is an expression, too
}

// rendered is the text of main.tf.json.
func rendered(s topology.Side, in Inputs) ([]byte, error) {
	of := map[config.Cloud]func(topology.Side, *config.Project) (part, error){config.AWS: awsPart, config.Azure: azurePart, config.GCP: gcpPart}[s.Cloud]
	if of == nil {
		return nil, configError("topology", "there is no cloud %q", s.Cloud)
	}
	p, err := of(s, in.Project)
	if err != nil {
		return nil, err
	}
	block := map[string]any{"required_version": ">= " + MinVersion,
		"required_providers": map[string]any{p.provider: map[string]any{"source": "hashicorp/" + p.provider, "version": p.version}}}
	if b, ok := in.Project.Options.Backend[s.Cloud]; ok && b.Type != "" {
		block["backend"] = map[string]any{b.Type: b.Config}
	}
	if in.State != "" {
		block["backend"] = map[string]any{"local": map[string]any{"path": Literal(in.State)}}
	}
	outputs, handed := map[string]any{}, []string{"url", "functions", "store", "region"}
	if s.Signs {
		handed = append(handed, "identity")
	}
	if in.Trust != "" {
		handed = append(handed, "trust")
	}
	for _, name := range handed {
		outputs[name] = map[string]any{"value": "${module.hotreader." + name + "}"}
	}
	if s.Signs {
		p.module["audience"] = in.Project.Audience()
	}
	module, variables := arguments(s.Cloud, p.module, in)
	doc := map[string]any{
		"terraform": block,
		"provider":  map[string]any{p.provider: literally(p.settings)},
		"module":    map[string]any{"hotreader": module},
		"output":    outputs,
	}
	if len(variables) > 0 {
		doc["variable"] = variables
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // keys sorted
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// arguments are all arguments of a module, and the variables that they refer to.
func arguments(cloud config.Cloud, own map[string]any, in Inputs) (module, variables map[string]any) {
	module, variables = literally(own), map[string]any{}
	maps.Copy(module, literally(in.Project.Options.Arguments(cloud)))
	module["source"] = "./module"
	module["keep_store"] = !in.DropStore
	module["package"] = "${path.root}/" + Literal(in.Package)
	switch in.RemoteURL {
	case "":
	case AskURL:
		module["remote_url"] = AskURL
		variables[RemoteVariable] = map[string]any{
			"type":        "string",
			"description": "The URL of the Hot Reader API on the other cloud, as its output url says.",
		}
	default:
		module["remote_url"] = Literal(in.RemoteURL)
	}
	if len(in.Lower) > 0 {
		module["lower_urls"] = lowerURLs(in.Lower, variables)
	}
	switch {
	case in.Trust == "":
	case strings.HasPrefix(in.Trust, "${"):
		module["trust"] = in.Trust
		variables["trust"] = map[string]any{
			"type":        "string",
			"description": "HOTREADER_TRUST of the API: the callers whose tokens of the twin's cloud it accepts, as that cloud's output identity says.",
		}
	default:
		module["trust"] = Literal(in.Trust)
	}
	secret := func(name, description string, version int) {
		if version > 0 {
			module[name], module[name+"_version"] = "${var."+name+"}", version
			variables[name] = map[string]any{"type": "string", "ephemeral": true, "sensitive": true, "description": description}
		}
	}
	secret("token", "The inter-cloud token of config_inter_cloud.json: the current one or, while it is rotated, current,previous.", in.TokenVersion)
	secret("page_key", "The key of page tokens, page_key of config_inter_cloud.json.", in.PageKeyVersion)
	if in.PageKeyVersion > 0 {
		module["page_key_name"] = names.PageKey(in.Project.Twin)
		if cloud == config.Azure {
			module["page_key_name"] = names.AzurePageKey()
		}
	}
	return module, variables
}

// lowerURLs are the URLs of the APIs on the clouds of lower tiers. Those that are not
// known are asked for.
func lowerURLs(urls map[string]string, variables map[string]any) map[string]any {
	all := map[string]any{}
	for name, url := range urls {
		all[name] = Literal(url)
		if url == AskURL {
			ask := strings.ToLower(name)
			all[name] = "${var." + ask + "}"
			variables[ask] = map[string]any{
				"type":        "string",
				"description": "The URL of the Hot Reader API for " + name + ", as the output url of its cloud says.",
			}
		}
	}
	return all
}

// Literal returns text as Terraform's JSON takes it for itself: in there, ${ and
// %{ begin a template.
func Literal(text string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(text)
}

// literally returns arguments of which Terraform takes every string literally.
func literally(arguments map[string]any) map[string]any {
	out := make(map[string]any, len(arguments))
	for name, v := range arguments {
		switch v := v.(type) {
		case string:
			out[name] = Literal(v)
		case map[string]string:
			texts := map[string]any{}
			for k, text := range v {
				texts[k] = Literal(text)
			}
			out[name] = texts
		case map[string]any:
			out[name] = literally(v)
		default:
			out[name] = v
		}
	}
	return out
}

// Folder writes side s's folder: main.tf.json, the module and the package. It
// replaces these three and leaves whatever else is in dir, such as a state.
func Folder(dir string, s topology.Side, in Inputs, artifacts string) error {
	name := Packages[s.Cloud]
	in.Package = "package/" + name
	text, err := rendered(s, in)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := writeModule(filepath.Join(dir, "module"), s.Cloud); err != nil {
		return err
	}
	if err := copyPackage(filepath.Join(dir, "package"), filepath.Join(artifacts, name), in); err != nil {
		return err
	}
	return ReplaceFile(filepath.Join(dir, "main.tf.json"), bytes.NewReader(text))
}

// Check reports what Folder would reject in a project, without a package.
func Check(s topology.Side, p *config.Project) error {
	_, err := rendered(s, Inputs{Project: p})
	return err
}

// writeModule makes dir hold a cloud's module and nothing else.
func writeModule(dir string, cloud config.Cloud) error {
	files, err := terraform.Module(string(cloud))
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// copyPackage writes the package into dir, with the catalogue of the project's
// devices in it. To destroy, what an earlier run has put there will do.
func copyPackage(dir, artifact string, in Inputs) error {
	name := filepath.Base(artifact)
	if _, err := os.Stat(artifact); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil && in.DropStore {
			return nil
		}
		return configError("artifacts", "%s is not in %s; make it with `make functions`, or name its folder with --artifacts", name, filepath.Dir(artifact))
	}
	packed, err := Catalog(in.Project)
	if err != nil {
		return err
	}
	var text []byte
	if packed == nil {
		text, err = bounded.ReadFile(artifact, publish.MaxPackage)
	} else if text, err = publish.WithFile(artifact, catalog.File, packed); err != nil {
		err = configError("artifacts", "%s is not a package: %w; make it with `make functions`", artifact, err)
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return ReplaceFile(filepath.Join(dir, name), bytes.NewReader(text))
}

// Catalog returns the packed catalogue of a project's devices, nil if it has none.
func Catalog(p *config.Project) ([]byte, error) {
	if len(p.Devices) == 0 {
		return nil, nil
	}
	return catalog.Build(p.Catalog())
}

// ReplaceFile writes a file that is there whole or not at all.
func ReplaceFile(name string, text io.Reader) error {
	temp, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // is gone where all went well
	_, err = io.Copy(temp, text)
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), name)
}

func configError(op, format string, args ...any) error {
	return &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
}
