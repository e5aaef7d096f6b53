package render

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
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

// What follows does offline what terraform validate does with the providers
// themselves: it holds the modules against the providers' schemas, of which
// testdata/schemas has what the modules use. After a change of the providers'
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
	files := map[string]string{}
	names, err := fs.Glob(terraform.Modules, string(cloud)+"/*.tf")
	if err != nil || len(names) == 0 {
		t.Fatalf("no module for %s: %v", cloud, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(terraform.Modules, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	m, err := parseModule(cloud, files)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func parseModule(cloud config.Cloud, files map[string]string) (*module, error) {
	m := &module{cloud, map[string]*hclsyntax.Body{}}
	for name, text := range files {
		f, diags := hclsyntax.ParseConfig([]byte(text), name, hcl.InitialPos)
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

// checker holds a module against its provider's schemas.
type checker struct {
	schemas  map[string]*schema
	context  *hcl.EvalContext
	problems []string
}

// builtin is terraform_data, which is Terraform's own.
var builtin = &schema{Attributes: map[string]string{
	"id": "computed string", "output": "computed any", "input": "optional any", "triggers_replace": "optional any",
}}

// check returns what terraform validate would say of the module, as far as the
// schemas show it.
func check(m *module, e extract) ([]string, error) {
	c := &checker{schemas: maps.Clone(e.Schemas)}
	c.schemas["resource terraform_data"] = builtin
	variables, err := m.variables()
	if err != nil {
		return nil, err
	}
	values := map[string]cty.Value{}
	for name, v := range variables {
		values[name] = cty.UnknownVal(v.of) // whatever the default
	}
	c.context = m.scope(c.schemas, cty.ObjectVal(values), nil)
	for _, kind := range []string{"resource", "data"} {
		for _, b := range m.blocks(kind) {
			where := kind + " " + strings.Join(b.Labels, ".")
			s := c.schemas[kind+" "+b.Labels[0]]
			if s == nil {
				c.problem(where, "the provider has no such %s", kind)
				continue
			}
			c.block(where, b.Body, s, c.context, true)
		}
	}
	for _, b := range slices.Concat(m.blocks("output"), m.blocks("locals")) {
		for name, a := range b.Body.Attributes {
			if name != "depends_on" && name != "description" {
				c.value(b.Type+" "+strings.Join(append(slices.Clone(b.Labels), name), "."), a.Expr, cty.DynamicPseudoType, c.context)
			}
		}
	}
	slices.Sort(c.problems)
	return c.problems, nil
}

// scope is what the module's expressions can see. values gives the attributes and
// blocks of each resource, by TYPE.NAME.ATTRIBUTE; nil = nothing is known of them
// but their types.
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
			v := cty.UnknownVal(s.object())
			if values != nil {
				known := map[string]cty.Value{}
				for name, t := range s.object().AttributeTypes() {
					known[name] = values(b.Labels[0]+"."+b.Labels[1]+"."+name, t)
				}
				v = cty.ObjectVal(known)
			}
			switch {
			case b.Body.Attributes["count"] != nil && values == nil:
				v = cty.UnknownVal(cty.List(v.Type()))
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
	if values != nil {
		m.takeAway(context)
	}
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

func (c *checker) problem(where, format string, args ...any) {
	c.problems = append(c.problems, where+": "+fmt.Sprintf(format, args...))
}

var metaArguments = []string{"count", "for_each", "depends_on", "provider"}

// block checks one block; top says that it is a resource itself.
func (c *checker) block(where string, body *hclsyntax.Body, s *schema, context *hcl.EvalContext, top bool) {
	if top && body.Attributes["for_each"] != nil {
		context = context.NewChild()
		context.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": cty.UnknownVal(cty.String), "value": cty.DynamicVal})}
	}
	for name, a := range body.Attributes {
		if top && slices.Contains(metaArguments, name) {
			if name != "depends_on" && name != "provider" {
				c.value(where+"."+name, a.Expr, cty.DynamicPseudoType, context)
			}
			continue
		}
		flags, t, ok := s.attribute(name)
		switch {
		case !ok && s.Blocks[name] != nil:
			c.problem(where, "%s is a block, not an argument", name)
			continue
		case !ok:
			c.problem(where, "there is no argument %s", name)
			continue
		case slices.Equal(flags, []string{"computed"}):
			c.problem(where, "%s is computed and cannot be set", name)
		}
		c.value(where+"."+name, a.Expr, t, context)
	}
	for name := range s.Attributes {
		flags, _, _ := s.attribute(name)
		if slices.Contains(flags, "required") && body.Attributes[name] == nil {
			c.problem(where, "the required argument %s is missing", name)
		}
	}
	static, dynamic := map[string]int{}, map[string]bool{}
	for _, b := range body.Blocks {
		name, inner, scope := b.Type, b.Body, context
		if top && (name == "lifecycle" || name == "provisioner" || name == "timeouts") {
			c.meta(where, b, context)
			continue
		}
		if name == "dynamic" {
			name = b.Labels[0]
			dynamic[name] = true
			c.value(where+".dynamic."+name, b.Body.Attributes["for_each"].Expr, cty.DynamicPseudoType, context)
			scope = context.NewChild()
			scope.Variables = map[string]cty.Value{name: cty.ObjectVal(map[string]cty.Value{"key": cty.UnknownVal(cty.String), "value": cty.DynamicVal})}
			inner = b.Body.Blocks[0].Body
		} else {
			static[name]++
		}
		n := s.Blocks[name]
		if n == nil {
			if _, is := s.Attributes[name]; is {
				c.problem(where, "%s is an argument, not a block", name)
			} else {
				c.problem(where, "there is no block %s", name)
			}
			continue
		}
		c.block(where+"."+name, inner, &n.schema, scope, false)
	}
	for name, n := range s.Blocks {
		if static[name] < n.Min && !dynamic[name] {
			c.problem(where, "of block %s %d are wanted at least, there are %d", name, n.Min, static[name])
		}
		if n.Max > 0 && static[name] > n.Max {
			c.problem(where, "of block %s %d are allowed, there are %d", name, n.Max, static[name])
		}
	}
}

// meta checks the blocks that every resource may have.
func (c *checker) meta(where string, b *hclsyntax.Block, context *hcl.EvalContext) {
	allowed := map[string][]string{
		"lifecycle":   {"create_before_destroy", "prevent_destroy", "ignore_changes", "replace_triggered_by"},
		"provisioner": {"interpreter", "command", "environment", "working_dir", "when", "on_failure", "quiet"},
		"timeouts":    {"create", "read", "update", "delete"},
	}[b.Type]
	for name, a := range b.Body.Attributes {
		if !slices.Contains(allowed, name) {
			c.problem(where+"."+b.Type, "there is no argument %s", name)
		}
		if b.Type != "provisioner" || name == "when" || name == "on_failure" {
			continue
		}
		if b.Body.Attributes["when"] == nil { // else self is seen alone
			t := cty.DynamicPseudoType
			switch name {
			case "interpreter":
				t = cty.List(cty.String)
			case "environment":
				t = cty.Map(cty.String)
			case "command":
				t = cty.String
			}
			c.value(where+".provisioner."+name, a.Expr, t, context)
		}
	}
}

// value checks that an expression can be worked out and is of type t, as far as
// that is known.
func (c *checker) value(where string, expr hclsyntax.Expression, t cty.Type, context *hcl.EvalContext) {
	v, diags := expr.Value(context)
	if diags.HasErrors() {
		for _, d := range diags {
			c.problem(where, "%s", d.Summary+": "+d.Detail)
		}
		return
	}
	if _, err := convert.Convert(v, t); err != nil {
		c.problem(where, "%v", err)
	}
}

// functions are those of Terraform's that the modules use.
var functions = map[string]function.Function{
	"coalesce": stdlib.CoalesceFunc, "compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
	"flatten": stdlib.FlattenFunc, "join": stdlib.JoinFunc, "merge": stdlib.MergeFunc,
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

func TestModulesAgainstSchemas(t *testing.T) {
	for _, m := range modules {
		if m.provider == "" {
			continue
		}
		problems, err := check(newModule(t, m.cloud), readExtract(t, m.provider))
		if err != nil {
			t.Error(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", m.cloud, p)
		}
	}
}

// TestSchemaCheckSeesWhatIsWrong breaks the modules, one piece at a time.
func TestSchemaCheckSeesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, file, old, new string
		want                 string
	}{
		{"unknown argument", "azure/app.tf", "https_only  ", "https_enforced  ", "there is no argument https_enforced"},
		{"missing argument", "azure/app.tf", `runtime_name           = "custom"`, "", "the required argument runtime_name is missing"},
		{"computed argument", "azure/app.tf", `runtime_name           = "custom"`, "runtime_name = \"custom\"\n  kind = \"functionapp\"", "kind is computed and cannot be set"},
		{"a word for a number", "azure/secret.tf", "soft_delete_retention_days = 7", `soft_delete_retention_days = "a week"`, "a number is required"},
		{"a list for a string", "azure/app.tf", `sku_name            = "FC1"`, `sku_name            = ["FC1"]`, "string required"},
		{"a string for a list", "azure/store.tf", "[var.store.partition_key]", "var.store.partition_key", "list of string required"},
		{"a number for a bool", "azure/app.tf", "shared_access_key_enabled       = false", "shared_access_key_enabled       = 0", "bool required"},
		{"an object for a string", "azure/app.tf", "service_plan_id     = azurerm_service_plan.app.id", "service_plan_id     = azurerm_service_plan.app", "string required"},
		{"an attribute that no resource has", "azure/secret.tf", "azurerm_key_vault_secret.token.resource_versionless_id", "azurerm_key_vault_secret.token.arn", `does not have an attribute named "arn"`},
		{"an attribute in a local value", "azure/app.tf", "app.default_hostname", "app.hostname", `does not have an attribute named "hostname"`},
		{"a resource that is not there", "azure/app.tf", "azurerm_service_plan.app.id", "azurerm_service_plan.plan.id", `does not have an attribute named "plan"`},
		{"a resource of another type", "azure/group.tf", `"azurerm_user_assigned_identity"`, `"azurerm_user_identity"`, "the provider has no such resource"},
		{"misspelt block", "azure/app.tf", "site_config {", "site_configuration {", "there is no block site_configuration"},
		{"missing block", "azure/store.tf", "  geo_location {\n    location          = var.location\n    failover_priority = 0\n  }\n", "", "of block geo_location 1 are wanted at least, there are 0"},
		{"block twice", "azure/app.tf", "  identity {", "  identity {\n    type = \"SystemAssigned\"\n  }\n\n  identity {", "of block identity 1 are allowed, there are 2"},
		{"block as an argument", "azure/store.tf", "  consistency_policy {", "  consistency_policy = {", "consistency_policy is a block, not an argument"},
		{"argument as a block", "gcp/service.tf", "limits = {", "limits {", "limits is an argument, not a block"},
		{"unknown argument, deep", "gcp/service.tf", "period_seconds ", "interval_seconds ", "there is no argument interval_seconds"},
		{"wrong type, deep", "gcp/service.tf", "container_port = 8080", `container_port = "http"`, "a number is required"},
		{"missing argument in a dynamic block", "gcp/service.tf", "name  = env.key", "", "the required argument name is missing"},
		{"unknown argument in a dynamic block", "gcp/service.tf", "value = env.value", "text = env.value", "there is no argument text"},
		{"missing block, deep", "gcp/service.tf", `dynamic "env"`, `dynamic "environment"`, "there is no block environment"},
		{"misspelt block for each", "gcp/store.tf", "field_path = var.store.time_key", "path = var.store.time_key", "there is no argument path"},
		{"an unknown function", "gcp/service.tf", "filesha256(", "sha256file(", "Call to unknown function"},
		{"a variable that is not there", "gcp/secret.tf", "var.token_version", "var.version", `does not have an attribute named "version"`},
		{"a field that a variable lacks", "gcp/store.tf", "var.store.time_key", "var.store.timekey", `does not have an attribute named "timekey"`},
		{"a local value that is not there", "gcp/secret.tf", "local.member", "local.members", `does not have an attribute named "members"`},
		{"unknown argument of a lifecycle", "gcp/secret.tf", "create_before_destroy", "create_first", "there is no argument create_first"},
		{"unknown argument of a provisioner", "gcp/service.tf", "interpreter =", "shell =", "there is no argument shell"},
		{"wrong type in a provisioner", "gcp/service.tf", `["hotreader", "image", "push"]`, `"hotreader"`, "list of string required"},
		{"output", "gcp/outputs.tf", "hotreader.uri\n  depends_on", "hotreader.link\n  depends_on", `does not have an attribute named "link"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := config.Cloud(filepath.Dir(c.file))
			files := map[string]string{}
			names, _ := fs.Glob(terraform.Modules, string(cloud)+"/*.tf")
			for _, name := range names {
				text, err := fs.ReadFile(terraform.Modules, name)
				if err != nil {
					t.Fatal(err)
				}
				files[name] = string(text)
			}
			broken := strings.Replace(files[c.file], c.old, c.new, 1)
			if broken == files[c.file] {
				t.Fatalf("%s has no %q", c.file, c.old)
			}
			files[c.file] = broken
			m, err := parseModule(cloud, files)
			if err != nil {
				t.Fatal(err)
			}
			problems, err := check(m, readExtract(t, map[config.Cloud]string{config.Azure: "azurerm", config.GCP: "google"}[cloud]))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(problems, "\n"), c.want) {
				t.Errorf("the check says %q, want %q", problems, c.want)
			}
		})
	}
}
