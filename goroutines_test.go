package hotreader

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recovering are the files whose goroutines need not recover where they begin.
var recovering = map[string]string{
	"httpapi/server.go":             "net/http recovers in each connection",
	"observe/sender.go":             "run recovers each time it sends",
	"route/ahead.go":                "read and probe recover",
	"store/internal/batch/batch.go": "no server writes",
	"mcpserver/lines.go":            "it splits lines, for one client",
}

// TestHouseGoroutinesRecover: a panic in a goroutine ends the program, and with it the
// answers of all callers.
func TestHouseGoroutinesRecover(t *testing.T) {
	all, links, seen := sources(t), map[string]string{}, 0
	for program := range functionClouds {
		reach(all, program, links)
	}
	for p := range links {
		folder, ok := ours(p)
		if !ok {
			continue
		}
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, file, text, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if !begins(n) {
					return true
				}
				seen++
				body := string(text[set.Position(n.Pos()).Offset:set.Position(n.End()).Offset])
				if recovering[filepath.ToSlash(file)] == "" && !strings.Contains(body, "recover()") && !strings.Contains(body, "hotreader.Recovered(") {
					t.Errorf("%s: a panic in this goroutine ends the program; call hotreader.Recovered", set.Position(n.Pos()))
				}
				return true
			})
		}
	}
	if seen < 8 {
		t.Errorf("only %d goroutines were found", seen)
	}
}

// begins reports whether n begins a goroutine: go …, or the method Go of a group.
func begins(n ast.Node) bool {
	if call, ok := n.(*ast.CallExpr); ok {
		method, ok := call.Fun.(*ast.SelectorExpr)
		return ok && method.Sel.Name == "Go" && len(call.Args) == 1
	}
	_, ok := n.(*ast.GoStmt)
	return ok
}
