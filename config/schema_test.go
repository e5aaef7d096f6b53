package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"hotreader/identity"
	"hotreader/layout"
	"hotreader/test/golden"
)

// The JSON Schemas of a project folder are made here of the rules that the loader
// checks by: Keys, and the fields of the other files.

func kind(name string) *jsonschema.Schema { return &jsonschema.Schema{Type: name} }

func matching(pattern, want string) *jsonschema.Schema {
	bare := strings.TrimSuffix(strings.TrimPrefix(pattern, "^"), "$")
	return &jsonschema.Schema{Type: "string", Pattern: `^\s*(?:` + bare + `)\s*$`, Description: want}
}

func closed(properties map[string]*jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", Properties: properties, AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}}
}

// ruled returns what a schema says of a rule.
func ruled(t *testing.T, r rule) *jsonschema.Schema {
	t.Helper()
	switch r := r.(type) {
	case nil:
		return new(jsonschema.Schema)
	case shape:
		return matching(r.pattern, r.want)
	case words:
		var enum []any
		anyCase := make([]string, len(r.of))
		for i, word := range r.of {
			enum = append(enum, word)
			for _, c := range strings.ToLower(word) {
				anyCase[i] += fmt.Sprintf("[%c%s]", c, strings.ToUpper(string(c)))
			}
		}
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Enum: enum}, matching("^"+strings.Join(anyCase, "|")+"$", "")}}
	case boolean:
		return kind("boolean")
	case retention:
		return ruled(t, r.whole)
	case whole:
		least, most := float64(r.least), float64(r.most)
		return &jsonschema.Schema{Type: "integer", Minimum: &least, Maximum: &most}
	case rate:
		least, most := LeastRate, 1e9
		return &jsonschema.Schema{Type: "number", Minimum: &least, Maximum: &most}
	case span:
		return matching(`^([0-9.]+(ns|us|µs|ms|s|m|h))+$`, "a time, as 30s")
	case cacheSize:
		return &jsonschema.Schema{Type: "integer", Minimum: new(float64)}
	case format:
		return matching(`^([Ii][Ss][Oo]8601(_[a-zA-Z]+)?([+-][0-9]{2}:[0-9]{2})?|[Ee][Pp][Oo][Cc][Hh]_[a-zA-Z]+(:[a-zA-Z]+)?|[Nn][Aa][Tt][Ii][Vv][Ee])?$`, "")
	case attribute, collection:
		return kind("string")
	case laid:
		all := map[string]*jsonschema.Schema{}
		for _, name := range layout.Keys {
			all[name] = kind("string")
		}
		one := ruled(t, format{}).Pattern
		all["time_format"] = &jsonschema.Schema{Types: []string{"string", "array"}, Pattern: one, Items: &jsonschema.Schema{Type: "string", Pattern: one}}
		all["properties"] = &jsonschema.Schema{Types: []string{"string", "object"}, AdditionalProperties: kind("string")}
		return closed(all)
	case readable:
		least := 1
		return &jsonschema.Schema{Type: "array", MinItems: &least, Items: matching(`^[^,\s]([^,]*[^,\s])?$`, "a device's id, or the beginning of ids as pump-*")}
	case callers:
		least, most := 1, mostTrusted
		one := objectOf(t, new(loader).trustedFields(new(identity.Trusted), nil), map[string]*jsonschema.Schema{"token_secret": kind("string")})
		one.AdditionalProperties = closed(nil).AdditionalProperties
		one.AnyOf = []*jsonschema.Schema{{Required: []string{"issuer", "audience", "subject"}}, {Required: []string{"token_secret"}}}
		return &jsonschema.Schema{Type: "array", MinItems: &least, MaxItems: &most, Items: one}
	case objects:
		s := objectOf(t, new(loader).objectFields(new(Objects)), nil)
		s.AdditionalProperties = closed(nil).AdditionalProperties
		s.AnyOf = []*jsonschema.Schema{{Required: []string{"bucket"}}, {Required: []string{"account", "container"}}}
		return s
	case networks:
		least := 1
		return &jsonschema.Schema{Type: "array", MinItems: &least, Items: matching(`^[0-9a-fA-F.:]+/[0-9]{1,3}$`, "a network, as 192.0.2.0/24")}
	case otel:
		value := &jsonschema.Schema{Types: []string{"string", "number", "boolean", "null"}}
		s := closed(nil)
		s.PatternProperties = map[string]*jsonschema.Schema{strings.TrimSuffix(otelName.pattern, "$") + "$": value}
		s.PropertyNames = &jsonschema.Schema{Not: &jsonschema.Schema{Pattern: "_HEADERS$"}}
		return s
	case backends:
		clouds := map[string]*jsonschema.Schema{}
		for _, cloud := range []Cloud{AWS, Azure, GCP} {
			clouds[string(cloud)] = &jsonschema.Schema{Types: []string{"object", "null"}, OneOf: backendSchemas()}
		}
		return closed(clouds)
	}
	t.Fatalf("say what a schema has of the rule %T", r)
	return nil
}

func backendSchemas() (all []*jsonschema.Schema) {
	for _, backend := range backendTypes {
		arguments := map[string]*jsonschema.Schema{}
		for name, s := range backendArguments[backend] {
			arguments[name] = nullable(kind("boolean"))
			if quoted, isText := strings.CutPrefix(s.pattern, `^"`); isText {
				arguments[name] = nullable(&jsonschema.Schema{Type: "string", Pattern: "^" + strings.TrimSuffix(quoted, `"$`) + "$"})
			}
		}
		s := closed(map[string]*jsonschema.Schema{"type": {Enum: []any{backend}}, "config": nullable(closed(arguments))})
		s.Required = []string{"type"}
		all = append(all, s)
	}
	return append(all, kind("null"))
}

// nullable is s for what may be left out, and so be null.
func nullable(s *jsonschema.Schema) *jsonschema.Schema {
	switch {
	case s.Type != "":
		s.Types, s.Type = []string{s.Type, "null"}, ""
	case s.AnyOf != nil:
		s.AnyOf = append(s.AnyOf, kind("null"))
	}
	return s
}

// objectOf is the schema of an object with these fields; of those that are objects or
// lists inside has what a schema says.
func objectOf(t *testing.T, fields []field, inside map[string]*jsonschema.Schema) *jsonschema.Schema {
	t.Helper()
	s := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}}
	for _, f := range fields {
		one := inside[f.name]
		if one == nil {
			one = ruled(t, f.is)
		}
		if f.need != "" {
			s.Required = append(s.Required, f.name)
		} else if !f.strict {
			one = nullable(one)
		}
		s.Properties[f.name] = one
	}
	return s
}

func exactly(pattern string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: pattern}
}

func listOf(s *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "array", Items: s}
}

var link = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// schemas are the schemas, by file.
func schemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	l := &loader{Project: &Project{}}
	providers := objectOf(t, l.providerFields(), nil)
	for name, s := range providers.Properties {
		if !slices.Contains(providers.Required, name) {
			s.AnyOf = append(s.AnyOf, matching("^$", "")) // not said
		}
	}
	name := map[string]*jsonschema.Schema{"name": exactly(`^[^\x00-\x1f\x7f]+$`)}
	property := objectOf(t, l.propertyFields("", new(Constant), nil, append([]field{{name: "initValue"}}, l.propertyMore(nil, nil)...)...), name)
	constant := objectOf(t, l.propertyFields("", new(Constant), nil, constantValue), name)
	device := objectOf(t, l.deviceFields(new(Device), nil), map[string]*jsonschema.Schema{"id": exactly(`^\S(.*\S)?$`), "type": exactly(`^\S(.*\S)?$`),
		"properties": listOf(property), "constProperties": listOf(constant)})

	least := 32
	connection := objectOf(t, new(loader).connectionFields(AWS, new(Connection)), map[string]*jsonschema.Schema{"url": exactly(`^(https?://[^\s]+)?$`)})
	connection.Properties["token"].MinLength = &least
	connection.AnyOf = []*jsonschema.Schema{{Required: []string{"token"}}, {Required: []string{"issuer", "audience", "subject"}}}
	connections := kind("object")
	connections.PatternProperties = map[string]*jsonschema.Schema{"^(aws|azure|gcp)_l4_to_(aws|azure|gcp)_l3(hot|cold|archive)_read$": connection}
	connections.AdditionalProperties = kind("object")

	options := closed(map[string]*jsonschema.Schema{})
	for _, k := range Keys {
		at, name := options, k.Name
		if group, rest, ok := strings.Cut(k.Name, "."); ok {
			if at.Properties[group] == nil {
				at.Properties[group] = nullable(closed(map[string]*jsonschema.Schema{}))
			}
			at, name = at.Properties[group], rest
		}
		if name == "" {
			continue
		}
		s := ruled(t, k.rule)
		if _, strict := k.rule.(readable); !strict {
			s = nullable(s)
		}
		s.Description = strings.TrimSuffix(link.ReplaceAllString(k.Help, "$1")+"; "+s.Description, "; ")
		at.Properties[name] = s
	}
	return map[string]*jsonschema.Schema{
		fileConfig:      objectOf(t, l.configFields(), map[string]*jsonschema.Schema{"digital_twin_name": exactly(twinName.pattern)}),
		fileProviders:   providers,
		fileDevices:     listOf(device),
		fileConnections: {Type: "object", Required: []string{"connections"}, Properties: map[string]*jsonschema.Schema{"connections": connections}},
		fileOptions:     options,
	}
}

func schemaFile(name string) string {
	return filepath.Join("..", "schemas", strings.TrimSuffix(name, ".json")+".schema.json")
}

// The files in schemas are what the rules make; -update writes them.
func TestSchemasAreOfTheRules(t *testing.T) {
	all := schemas(t)
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, slices.Sorted(slices.Values(Files))) {
		t.Errorf("schemas of %q, files %q", got, Files)
	}
	for name, s := range all {
		s.Schema, s.Title = "http://json-schema.org/draft-07/schema#", name+" of a hotreader project folder"
		text, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden.File(t, schemaFile(name), append(text, '\n'))
	}
}

// written returns the schemas as they lie in the folder.
func written(t *testing.T) map[string]*jsonschema.Resolved {
	t.Helper()
	all := map[string]*jsonschema.Resolved{}
	for _, name := range Files {
		raw, err := os.ReadFile(schemaFile(name))
		if err != nil {
			t.Fatal(err)
		}
		var s jsonschema.Schema
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		if all[name], err = s.Resolve(nil); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// fits says what is wrong with a file by its schema.
func fits(t *testing.T, s *jsonschema.Resolved, text string) error {
	t.Helper()
	var doc any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

func TestExamplesFitTheirSchemas(t *testing.T) {
	files, err := filepath.Glob("../examples/*/config*.json")
	if err != nil || len(files) < 20 {
		t.Fatalf("examples %q, %v", files, err)
	}
	all := written(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := fits(t, all[filepath.Base(file)], string(text)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for name, text := range goodProject() {
		if err := fits(t, all[name], text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is put in the place of one value, schema and loader are of one mind.
func TestSchemasAgreeWithTheLoader(t *testing.T) {
	values := []string{`null`, `true`, `7`, `-1`, `0`, `1.5`, `12345678901234`, `"x y"`, `"aws"`, `" AWS "`, `""`, `"30s"`, `"2"`, `"a/b"`, `[]`, `[7]`, `["a"]`, `{}`, `{"a":1}`, `{"type":"s3"}`, `{"aws":{"type":"s3"}}`, `{"aws":{}}`}
	const device = `[{"id":"a","type":%s,"properties":[{"name":%s,"dataType":%s,"unit":%s,"alarm":%s}],"constProperties":[{"name":"c","dataType":"LONG","value":1}]}]`
	type place struct{ file, before, value, after string }
	var places []place
	for _, k := range Keys {
		name, group, end := k.Name, "", ""
		if before, rest, ok := strings.Cut(name, "."); ok {
			name, group, end = rest, `"`+before+`":{`, "}"
		}
		if name != "" {
			places = append(places, place{fileOptions, `{` + group + `"` + name + `":`, `null`, end + `}`})
		}
	}
	for _, name := range []string{"layer_1_provider", "layer_3_hot_provider", "layer_4_provider"} {
		doc := map[string]string{"layer_3_hot_provider": "aws", "layer_4_provider": "azure"}
		delete(doc, name)
		rest, _ := json.Marshal(doc)
		places = append(places, place{fileProviders, `{"` + name + `":`, `"gcp"`, `,` + string(rest[1:])})
	}
	places = append(places,
		place{fileConfig, `{"digital_twin_name":`, `"a"`, `}`}, place{fileConfig, `{"digital_twin_name":"a","hot_storage_size_in_days":`, `1`, `}`},
		place{fileConnections, `{"connections":{"azure_l4_to_aws_l3hot_read":{"provider":"aws","token":"0123456789abcdef0123456789abcdef","url":`, `""`, `}}}`},
		place{fileConnections, `{"connections":`, `{}`, `}`})
	good := []any{`"t"`, `"p"`, `"LONG"`, `"K"`, `false`}
	for i := range good {
		args := slices.Clone(good)
		args[i] = "\x00"
		before, after, _ := strings.Cut(fmt.Sprintf(device, args...), "\x00")
		places = append(places, place{fileDevices, before, good[i].(string), after})
	}
	all, dir := written(t), folder(t, map[string]string{fileConfig: `{"digital_twin_name":"a"}`, fileProviders: `{"layer_3_hot_provider":"aws","layer_4_provider":"azure"}`, fileDevices: `[{"id":"a","properties":[]}]`})
	for _, at := range places {
		file := filepath.Join(dir, at.file)
		before, _ := os.ReadFile(file) // none of some
		for _, value := range append(values, at.value) {
			text := at.before + value + at.after
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := LoadProject(dir)
			if at.file == fileConnections {
				_, err = OpenConnections(dir)
			}
			bySchema := fits(t, all[at.file], text)
			if (err == nil) != (bySchema == nil) && !beyond(err) {
				t.Errorf("%s %s\nloader: %v\nschema: %v", at.file, text, err, bySchema)
			}
		}
		if before == nil {
			before = []byte("{}")
		}
		if err := os.WriteFile(file, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// beyond reports whether the loader's objection is one that no schema has: it compares
// with another place.
func beyond(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "is missing while") || strings.Contains(err.Error(), "an alarm status is a STRING"))
}
