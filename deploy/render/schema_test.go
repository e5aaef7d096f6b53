package render

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"hotreader/config"
	"hotreader/deploy/terraform"
)

// testdata/schemas has of the providers' schemas what the modules use: Terraform
// itself holds the modules against it, see standIn. After a change of the providers'
// versions or of the resources in use,
//
//	terraform providers schema -json >/tmp/schemas.json   (in an initialised folder that scripts/validate-modules.sh made)
//	go test ./deploy/render -run TestSchemaExtracts -provider-schemas /tmp/schemas.json
//
// writes the extracts anew, of the providers that are in the file.
var providerSchemas = flag.String("provider-schemas", "", "write testdata/schemas from this output of terraform providers schema -json")

// schema is what a block takes. Of an attribute it says, in this order: required,
// optional and computed, computed alone, and write-only; then the type, as
// Terraform writes it.
type schema struct {
	Attributes map[string]string  `json:"attributes,omitempty"`
	Blocks     map[string]*nested `json:"blocks,omitempty"`
}

type nested struct {
	Nesting string `json:"nesting"`
	Min     int    `json:"min,omitempty"`
	Max     int    `json:"max,omitempty"`
	schema
}

// extract holds a provider's schemas, by the headers of the blocks that they are
// of: provider NAME, resource TYPE, data TYPE.
type extract struct {
	Provider string             `json:"provider"`
	Schemas  map[string]*schema `json:"schemas"`
}

// attribute takes apart what a schema says of an attribute.
func (s *schema) attribute(name string) (flags []string, t cty.Type, ok bool) {
	text, ok := s.Attributes[name]
	if !ok {
		return nil, cty.NilType, false
	}
	i := strings.LastIndexByte(cmp.Or(cut(text, "("), text), ' ')
	return strings.Fields(text[:i]), typeOf(text[i+1:]), true
}

// cut returns text up to sep, or "" if sep is not in it.
func cut(text, sep string) string {
	if before, _, ok := strings.Cut(text, sep); ok {
		return before
	}
	return ""
}

// typeOf reads a type.
func typeOf(text string) cty.Type {
	expr, diags := hclsyntax.ParseExpression([]byte(text), "type", hcl.InitialPos)
	if diags.HasErrors() {
		panic(diags)
	}
	t, _, diags := typeexpr.TypeConstraintWithDefaults(expr)
	if diags.HasErrors() {
		panic(diags)
	}
	return t
}

// object is the type of what a block of schema s is worth in an expression.
func (s *schema) object() cty.Type {
	all := map[string]cty.Type{}
	for name := range s.Attributes {
		_, all[name], _ = s.attribute(name)
	}
	for name, b := range s.Blocks {
		switch t := b.object(); b.Nesting {
		case "set":
			all[name] = cty.Set(t)
		default:
			all[name] = cty.List(t)
		}
	}
	return cty.Object(all)
}

// TestSchemaExtracts holds the extracts against the modules: what is in use is
// there, and nothing else.
func TestSchemaExtracts(t *testing.T) {
	if *providerSchemas != "" {
		writeExtracts(t, *providerSchemas)
	}
	for _, m := range modules {
		if m.provider == "" {
			continue
		}
		have, want := readExtract(t, m.provider), newModule(t, m.cloud).headers(m.provider)
		for _, h := range want {
			if have.Schemas[h] == nil {
				t.Errorf("the extract of %s has no %s, which the module uses: %s", m.provider, h, "see providerSchemas")
			}
		}
		for h := range have.Schemas {
			if !slices.Contains(want, h) {
				t.Errorf("the extract of %s has %s, which the module does not use", m.provider, h)
			}
		}
	}
}

// modules are the modules, each with the provider that there is an extract of.
// Terraform's own provider for AWS checks the third, whenever it is applied.
var modules = []struct {
	cloud    config.Cloud
	provider string
}{{config.AWS, ""}, {config.Azure, "azurerm"}, {config.GCP, "google"}}

func extractName(provider string) string {
	return filepath.Join("testdata", "schemas", provider+".json")
}

func readExtract(t testing.TB, provider string) extract {
	t.Helper()
	text, err := os.ReadFile(extractName(provider))
	if err != nil {
		t.Fatal(err)
	}
	var e extract
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

// writeExtracts reduces Terraform's own output to the extracts.
func writeExtracts(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	type block struct {
		Attributes map[string]struct {
			Type      json.RawMessage
			Required  bool
			Optional  bool
			Computed  bool
			WriteOnly bool `json:"write_only"`
		}
		Types map[string]struct {
			Nesting string          `json:"nesting_mode"`
			Min     int             `json:"min_items"`
			Max     int             `json:"max_items"`
			Block   json.RawMessage // of block
		} `json:"block_types"`
	}
	var reduce func(raw json.RawMessage) schema
	reduce = func(raw json.RawMessage) schema {
		var b block
		if err := json.Unmarshal(raw, &b); err != nil {
			t.Fatal(err)
		}
		s := schema{Attributes: map[string]string{}, Blocks: map[string]*nested{}}
		for name, a := range b.Attributes {
			of := "dynamic"
			if a.Type != nil {
				ty, err := ctyjson.UnmarshalType(a.Type)
				if err != nil {
					t.Fatal(err)
				}
				of = typeexpr.TypeString(ty)
			}
			for _, flag := range []struct {
				is   bool
				name string
			}{{a.WriteOnly, "write-only"}, {a.Computed, "computed"}, {a.Optional, "optional"}, {a.Required, "required"}} {
				if flag.is {
					of = flag.name + " " + of
				}
			}
			s.Attributes[name] = of
		}
		for name, n := range b.Types {
			s.Blocks[name] = &nested{n.Nesting, n.Min, n.Max, reduce(n.Block)}
		}
		return s
	}
	type one struct{ Block json.RawMessage }
	var all struct {
		Providers map[string]struct {
			Provider  one
			Resources map[string]one `json:"resource_schemas"`
			Data      map[string]one `json:"data_source_schemas"`
		} `json:"provider_schemas"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for source, p := range all.Providers {
		for _, m := range modules {
			if m.provider == "" || !strings.HasSuffix(source, "/"+m.provider) {
				continue
			}
			e := extract{source, map[string]*schema{}}
			for _, h := range newModule(t, m.cloud).headers(m.provider) {
				kind, name, _ := strings.Cut(h, " ")
				from := map[string]one{"provider": p.Provider, "resource": p.Resources[name], "data": p.Data[name]}[kind]
				if from.Block == nil {
					t.Errorf("%s has no schema of %s", file, h)
					continue
				}
				s := reduce(from.Block)
				e.Schemas[h] = &s
			}
			out, err := json.MarshalIndent(e, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(extractName(m.provider), append(out, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// module is a module's syntax.
type module struct {
	cloud config.Cloud
	body  map[string]*hclsyntax.Body // by file
}

func newModule(t testing.TB, cloud config.Cloud) *module {
	t.Helper()
	files, err := terraform.Module(string(cloud))
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseModule(cloud, files)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func parseModule(cloud config.Cloud, files map[string][]byte) (*module, error) {
	m := &module{cloud, map[string]*hclsyntax.Body{}}
	for name, text := range files {
		f, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
		if diags.HasErrors() {
			return nil, diags
		}
		m.body[name] = f.Body.(*hclsyntax.Body)
	}
	return m, nil
}

// blocks returns the module's blocks of a kind.
func (m *module) blocks(kind string) []*hclsyntax.Block {
	var all []*hclsyntax.Block
	for _, name := range slices.Sorted(maps.Keys(m.body)) {
		for _, b := range m.body[name].Blocks {
			if b.Type == kind {
				all = append(all, b)
			}
		}
	}
	return all
}

// headers returns what of a provider the module uses, the provider first.
func (m *module) headers(provider string) []string {
	all := []string{"provider " + provider}
	for _, kind := range []string{"resource", "data"} {
		for _, b := range m.blocks(kind) {
			if h := kind + " " + b.Labels[0]; strings.HasPrefix(b.Labels[0], provider+"_") && !slices.Contains(all, h) {
				all = append(all, h)
			}
		}
	}
	return all
}

// variable is an input of a module.
type variable struct {
	of       cty.Type
	required bool
	value    cty.Value // the default; unknown if it is required
}

func (m *module) variables() (map[string]variable, error) {
	all := map[string]variable{}
	for _, b := range m.blocks("variable") {
		v := variable{of: cty.DynamicPseudoType, required: true}
		if a := b.Body.Attributes["type"]; a != nil {
			t, _, diags := typeexpr.TypeConstraintWithDefaults(a.Expr)
			if diags.HasErrors() {
				return nil, diags
			}
			v.of = t
		}
		v.value = cty.UnknownVal(v.of)
		if a := b.Body.Attributes["default"]; a != nil {
			given, diags := a.Expr.Value(nil)
			if diags.HasErrors() {
				return nil, diags
			}
			var err error
			if v.required, v.value = false, given; !given.IsNull() {
				if v.value, err = convert.Convert(given, v.of); err != nil {
					return nil, fmt.Errorf("variable %s: default: %w", b.Labels[0], err)
				}
			} else {
				v.value = cty.NullVal(v.of)
			}
		}
		all[b.Labels[0]] = v
	}
	return all, nil
}

// builtin is terraform_data, which is Terraform's own.
var builtin = &schema{Attributes: map[string]string{
	"id": "computed string", "output": "computed any", "input": "optional any", "triggers_replace": "optional any",
}}

// scope is what the module's expressions can see. values gives the attributes and
// blocks of each resource, by TYPE.NAME.ATTRIBUTE.
func (m *module) scope(schemas map[string]*schema, variables cty.Value, values func(string, cty.Type) cty.Value) *hcl.EvalContext {
	context := &hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{
		"var":  variables,
		"path": cty.ObjectVal(map[string]cty.Value{"root": cty.StringVal("."), "module": cty.StringVal("module")}),
	}}
	objects := func(kind string) map[string]cty.Value {
		all := map[string]map[string]cty.Value{}
		for _, b := range m.blocks(kind) {
			s := schemas[kind+" "+b.Labels[0]]
			if s == nil {
				continue
			}
			known := map[string]cty.Value{}
			for name, t := range s.object().AttributeTypes() {
				known[name] = values(b.Labels[0]+"."+b.Labels[1]+"."+name, t)
			}
			v := cty.ObjectVal(known)
			switch {
			case b.Body.Attributes["count"] != nil:
				v = cty.TupleVal([]cty.Value{v})
			case b.Body.Attributes["for_each"] != nil:
				v = cty.UnknownVal(cty.Map(v.Type()))
			}
			if all[b.Labels[0]] == nil {
				all[b.Labels[0]] = map[string]cty.Value{}
			}
			all[b.Labels[0]][b.Labels[1]] = v
		}
		of := map[string]cty.Value{}
		for name, v := range all {
			of[name] = cty.ObjectVal(v)
		}
		return of
	}
	maps.Copy(context.Variables, objects("resource"))
	context.Variables["data"] = cty.ObjectVal(objects("data"))
	m.takeAway(context)
	m.locals(context)
	return context
}

// locals adds the module's local values, which may refer to each other.
func (m *module) locals(context *hcl.EvalContext) {
	locals := map[string]cty.Value{}
	for _, b := range m.blocks("locals") {
		for name := range b.Body.Attributes {
			locals[name] = cty.DynamicVal
		}
	}
	for range len(locals) + 1 {
		context.Variables["local"] = cty.ObjectVal(locals)
		for _, b := range m.blocks("locals") {
			for name, a := range b.Body.Attributes {
				if v, diags := a.Expr.Value(context); !diags.HasErrors() {
					locals[name] = v
				}
			}
		}
	}
	context.Variables["local"] = cty.ObjectVal(locals)
}

// takeAway removes the resources of which there is none: whose count is 0.
func (m *module) takeAway(context *hcl.EvalContext) {
	m.locals(context)
	for _, b := range m.blocks("resource") {
		a := b.Body.Attributes["count"]
		if a == nil {
			continue
		}
		n, diags := a.Expr.Value(context)
		if diags.HasErrors() || !n.IsKnown() || !n.RawEquals(cty.Zero) {
			continue
		}
		all := context.Variables[b.Labels[0]].AsValueMap()
		all[b.Labels[1]] = cty.EmptyTupleVal
		context.Variables[b.Labels[0]] = cty.ObjectVal(all)
	}
}

// functions are those of Terraform's that the modules use.
var functions = map[string]function.Function{
	"coalesce": stdlib.CoalesceFunc, "compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
	"flatten": stdlib.FlattenFunc, "join": stdlib.JoinFunc, "jsondecode": stdlib.JSONDecodeFunc, "length": stdlib.LengthFunc, "lookup": stdlib.LookupFunc, "merge": stdlib.MergeFunc, "split": stdlib.SplitFunc,
	"replace": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: "search", Type: cty.String}, {Name: "by", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { // an expression between slashes is a regular one
			if s := args[1].AsString(); len(s) > 1 && s[0] == '/' && s[len(s)-1] == '/' {
				re, err := regexp.Compile(s[1 : len(s)-1])
				if err != nil {
					return cty.NilVal, err
				}
				return cty.StringVal(re.ReplaceAllString(args[0].AsString(), args[2].AsString())), nil
			}
			return stdlib.Replace(args[0], args[1], args[2])
		},
	}),
	"tostring": stdlib.MakeToFunc(cty.String), "toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
	"filesha256": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			sum := sha256.Sum256([]byte(args[0].AsString())) // the file itself is not looked at
			return cty.StringVal(hex.EncodeToString(sum[:])), nil
		},
	}),
	"one": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
		Type: func(args []cty.Value) (cty.Type, error) {
			switch t := args[0].Type(); {
			case t.IsTupleType() && len(t.TupleElementTypes()) == 1:
				return t.TupleElementTypes()[0], nil
			case t.IsListType() || t.IsSetType():
				return t.ElementType(), nil
			}
			return cty.DynamicPseudoType, nil
		},
		Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
			switch v := args[0]; {
			case v.LengthInt() == 0:
				return cty.NullVal(t), nil
			case v.LengthInt() > 1:
				return cty.NilVal, fmt.Errorf("one of %d", v.LengthInt())
			default:
				it := v.ElementIterator()
				it.Next()
				_, e := it.Element()
				return e, nil
			}
		},
	}),
}
