package render

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"hotreader/config"
)

// evaluated is a module with a root module's arguments, and what the cloud might
// have said of its resources.
type evaluated struct {
	*module
	root  root
	value func(hclsyntax.Expression) cty.Value
	each  func(value cty.Value) evaluated // within a resource that is made for each of several
}

func evaluate(t *testing.T, cloud config.Cloud, provider string, r root) evaluated {
	t.Helper()
	m, e := newModule(t, cloud), readExtract(t, provider)
	e.Schemas["resource terraform_data"] = builtin
	variables, err := m.variables()
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]cty.Value{}
	for name, v := range variables {
		of[name] = v.value
		raw, ok := r.Module["hotreader"][name]
		if !ok || strings.Contains(string(raw), `"${var.token}"`) || strings.Contains(string(raw), `"${var.page_key}"`) {
			continue
		}
		raw = json.RawMessage(strings.Replace(string(raw), AskURL, "https://reader.example.com/prod", 1))
		if of[name], err = ctyjson.Unmarshal(raw, v.of); err != nil {
			t.Fatalf("%s: %s: %v", r.name, name, err)
		}
	}
	var named struct{ Secret string }
	if err := json.Unmarshal(r.Module["hotreader"]["names"], &named); err != nil {
		t.Fatal(err)
	}
	said := map[string]string{
		"azurerm_client_config.current.subscription_id":              "sub",
		"azurerm_client_config.current.object_id":                    "THE DEPLOYER",
		"azurerm_cosmosdb_account.hot.endpoint":                      "https://made.documents.azure.com:443/",
		"azurerm_key_vault_secret.token.versionless_id":              "https://made.vault.azure.net/secrets/" + named.Secret,
		"azurerm_key_vault_secret.token.resource_versionless_id":     "THE SECRET",
		"azurerm_key_vault_secret.page_key.versionless_id":           "https://made.vault.azure.net/secrets/page-key",
		"azurerm_key_vault_secret.page_key.resource_versionless_id":  "THE PAGE KEY",
		"azurerm_user_assigned_identity.functions.client_id":         "client",
		"azurerm_user_assigned_identity.functions.principal_id":      "THE FUNCTIONS",
		"azurerm_storage_account.app.id":                             "THE APP'S STORAGE",
		"azurerm_application_insights.app.id":                        "THE APP'S INSIGHTS",
		"azurerm_key_vault.token.id":                                 "THE VAULT",
		"azurerm_function_app_flex_consumption.app.default_hostname": "app-abc.westeurope-01.azurewebsites.net",
		"google_project.here.project_id":                             "plant-1",
		"google_secret_manager_secret.token.secret_id":               named.Secret,
		"google_secret_manager_secret.page_key.secret_id":            "page-key",
		"google_service_account.functions.email":                     "functions@plant-1.iam.gserviceaccount.com",
		"google_artifact_registry_repository.images.repository_id":   "images",
	}
	context := m.scope(e.Schemas, cty.ObjectVal(of), func(address string, t cty.Type) cty.Value {
		if text, ok := said[address]; ok {
			return cty.StringVal(text)
		}
		if t == cty.String {
			return cty.StringVal("<" + address + ">")
		}
		return cty.UnknownVal(t)
	})
	return within(t, m, r, context)
}

func within(t *testing.T, m *module, r root, context *hcl.EvalContext) evaluated {
	return evaluated{m, r, func(x hclsyntax.Expression) cty.Value {
		t.Helper()
		v, diags := x.Value(context)
		if diags.HasErrors() {
			t.Fatalf("%s: %v", r.name, diags)
		}
		return v
	}, func(value cty.Value) evaluated {
		child := context.NewChild()
		child.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"value": value})}
		return within(t, m, r, child)
	}}
}

// resources returns the bodies of the resources of a type of which there are any.
func (a evaluated) resources(kind string) map[string]*hclsyntax.Body {
	all := map[string]*hclsyntax.Body{}
	for _, b := range a.blocks("resource") {
		if b.Labels[0] != kind || b.Labels[1] == "objects" { // of which there is one for each place
			continue
		}
		if n := b.Body.Attributes["count"]; n != nil && a.value(n.Expr).RawEquals(cty.Zero) {
			continue
		}
		all[b.Labels[1]] = b.Body
	}
	return all
}

// instances are where to evaluate a resource: in a, or within each that for_each makes.
func (a evaluated) instances(body *hclsyntax.Body) []evaluated {
	each := body.Attributes["for_each"]
	if each == nil {
		return []evaluated{a}
	}
	var all []evaluated
	for _, value := range a.value(each.Expr).AsValueSlice() {
		all = append(all, a.each(value))
	}
	return all
}

// conditions are what the blocks of a resource demand.
func (a evaluated) conditions(body *hclsyntax.Body) (all string) {
	for _, b := range body.Blocks {
		all += a.text(b.Body, "expression")
	}
	return all
}

func (a evaluated) text(body *hclsyntax.Body, attribute string) string {
	at := body.Attributes[attribute]
	if at == nil {
		return ""
	}
	if v := a.value(at.Expr); v.IsKnown() && v.Type() == cty.String {
		return v.AsString()
	}
	return "?"
}

// environment returns the variables that the functions get.
func (a evaluated) environment(t *testing.T) map[string]string {
	t.Helper()
	var v cty.Value
	if app := a.resources("azurerm_function_app_flex_consumption")["app"]; app != nil {
		v = a.value(app.Attributes["app_settings"].Expr)
	} else {
		body := a.resources("google_cloud_run_v2_service")["hotreader"]
		for _, name := range []string{"template", "containers", "dynamic"} {
			i := slices.IndexFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == name })
			body = body.Blocks[i].Body
		}
		v = a.value(body.Attributes["for_each"].Expr)
	}
	env := map[string]string{}
	for name, v := range v.AsValueMap() {
		if !v.IsKnown() || v.IsNull() {
			t.Fatalf("%s: %s is %#v", a.root.name, name, v)
		}
		env[name] = v.AsString()
	}
	return env
}

func (a evaluated) groupName(t *testing.T) string {
	t.Helper()
	var group struct{ Name string }
	if err := json.Unmarshal(a.root.Module["hotreader"]["resource_group"], &group); err != nil {
		t.Fatal(err)
	}
	return group.Name
}

// needs returns the addresses of all that has to be there before what is at
// address.
func (m *module) needs(address string) map[string]bool {
	refers := map[string]map[string]bool{}
	add := func(address string, body *hclsyntax.Body) {
		refers[address] = map[string]bool{}
		walk(body, func(_ string, x hclsyntax.Expression) {
			for _, v := range x.Variables() {
				if len(v) < 2 {
					continue
				}
				if attribute, ok := v[1].(hcl.TraverseAttr); ok {
					refers[address][v.RootName()+"."+attribute.Name] = true
				}
			}
		})
	}
	for _, b := range m.blocks("resource") {
		add(b.Labels[0]+"."+b.Labels[1], b.Body)
	}
	for _, b := range m.blocks("output") {
		add("output."+b.Labels[0], b.Body)
	}
	for _, b := range m.blocks("locals") {
		for name, a := range b.Body.Attributes {
			add("local."+name, &hclsyntax.Body{Attributes: hclsyntax.Attributes{name: a}})
		}
	}
	all := map[string]bool{}
	var follow func(address string)
	follow = func(address string) {
		for to := range refers[address] {
			if !all[to] {
				all[to] = true
				follow(to)
			}
		}
	}
	follow(address)
	return all
}

// walk calls visit for each argument below body, with its name.
func walk(body *hclsyntax.Body, visit func(name string, x hclsyntax.Expression)) {
	for _, name := range slices.Sorted(maps.Keys(body.Attributes)) {
		visit(name, body.Attributes[name].Expr)
	}
	for _, b := range body.Blocks {
		walk(b.Body, visit)
	}
}
