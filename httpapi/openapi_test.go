package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/identity"
	"hotreader/store/memstore"
)

type operation struct {
	Security   []any // nil = the document's; empty = none
	Parameters []reference
	Responses  map[string]reference
}

type reference struct {
	Ref  string `json:"$ref"`
	Name string
	In   string
}

type document struct {
	OpenAPI    string
	Info       struct{ Version string }
	Security   []map[string][]any
	Paths      map[string]map[string]operation
	Components struct {
		SecuritySchemes map[string]struct{ Type, In, Name string }
		Parameters      map[string]reference
		Schemas         map[string]struct {
			Properties map[string]struct{ Enum []string }
		}
	}
}

func describe(t *testing.T) (document, http.Handler) {
	t.Helper()
	token, err := identity.Static("a-token-of-at-least-32-bytes-00000001")
	if err != nil {
		t.Fatal(err)
	}
	store := memstore.New()
	if err := store.Write(t.Context(), "d", []hotreader.Record{{Time: time.Unix(0, 0), Fields: []hotreader.Field{{Name: "p", Value: hotreader.BoolValue(true)}}}}); err != nil {
		t.Fatal(err)
	}
	h, err := New(Options{Source: store, Token: token, Version: `1.2.3-"x"`})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/openapi.json", nil) // no token
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var d document
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return d, h
}

// TestOpenAPIDescribesTheRoutes: the document has every route, with exactly its
// parameters, and nothing else.
func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	d, h := describe(t)
	if !strings.HasPrefix(d.OpenAPI, "3.1.") || d.Info.Version != `1.2.3-"x"` {
		t.Errorf("OpenAPI %s, version %s", d.OpenAPI, d.Info.Version)
	}
	documented := 0
	for _, operations := range d.Paths {
		documented += len(operations)
	}
	open := []string{healthPath, healthzPath, docsPath}
	if documented != len(routes)+len(open) {
		t.Errorf("%d operations for %d routes and %v", documented, len(routes), open)
	}
	for _, route := range routes {
		op, ok := d.Paths[route.pattern][strings.ToLower(route.method)]
		if !ok {
			t.Errorf("%s %s is not documented", route.method, route.pattern)
			continue
		}
		if op.Security != nil {
			t.Errorf("%s has a security of its own", route.pattern)
		}
		var inPath, inQuery []string
		for _, p := range op.Parameters {
			if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
				p = d.Components.Parameters[name]
			}
			switch p.In {
			case "path":
				inPath = append(inPath, "{"+p.Name+"}")
			case "query":
				inQuery = append(inQuery, p.Name)
			default:
				t.Errorf("%s: parameter %q in %q", route.pattern, p.Name, p.In)
			}
		}
		if !slices.Equal(inQuery, route.parameters) {
			t.Errorf("%s: documented %v, known %v", route.pattern, inQuery, route.parameters)
		}
		for segment := range strings.SplitSeq(route.pattern, "/") {
			if strings.HasPrefix(segment, "{") != slices.Contains(inPath, segment) {
				t.Errorf("%s: %s is documented: %v", route.pattern, segment, slices.Contains(inPath, segment))
			}
		}
		for _, status := range []string{"200", "401", "403", "405", "429"} {
			if _, ok := op.Responses[status]; !ok {
				t.Errorf("%s does not document %s", route.pattern, status)
			}
		}
	}
	if len(d.Security) != 2 || d.Components.SecuritySchemes["interCloudToken"].Name != identity.TokenHeader {
		t.Errorf("security: %v, %v", d.Security, d.Components.SecuritySchemes)
	}
	for _, path := range open {
		if s := d.Paths[path]["get"].Security; s == nil || len(s) > 0 {
			t.Errorf("%s: security %v", path, s)
		}
	}
	for path, operations := range d.Paths {
		for method := range operations {
			r := httptest.NewRequestWithContext(t.Context(), strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "d"), nil)
			r.Header.Set(identity.TokenHeader, "a-token-of-at-least-32-bytes-00000001")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code == http.StatusNotFound || w.Code == http.StatusMethodNotAllowed {
				t.Errorf("%s %s is documented, but not served: %d", method, path, w.Code)
			}
		}
	}
}

func TestOpenAPIHasEveryCode(t *testing.T) {
	d, _ := describe(t)
	var want []string
	for _, code := range hotreader.Codes() {
		want = append(want, string(code))
	}
	if got := d.Components.Schemas["Problem"].Properties["code"].Enum; !slices.Equal(got, want) {
		t.Errorf("documented %v\n     there are %v", got, want)
	}
}

// TestOpenAPIReferences: every $ref leads somewhere.
func TestOpenAPIReferences(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(openapi, &root); err != nil {
		t.Fatal(err)
	}
	n := 0
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				n++
				var to any = root
				for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := to.(map[string]any)
					to = m[part]
				}
				if to == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(root)
	if n == 0 {
		t.Error("there are no references")
	}
}
