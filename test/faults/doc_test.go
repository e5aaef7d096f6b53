package faults

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each row of the tables in docs/reliability.md names tests that exist.
func TestEveryRowNamesItsTest(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`([a-z0-9/]+): (Test\\w+)`")
	rows := 0
	named := map[string]bool{}
	for line := range strings.Lines(string(doc)) {
		if strings.Count(line, "|") != 4 || strings.HasPrefix(line, "|---") || strings.HasSuffix(line, "| test |\n") {
			continue
		}
		rows++
		tests := name.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test in %.80s", line)
		}
		for _, m := range tests {
			named[m[1]+" "+m[2]] = true
		}
	}
	if rows < 40 {
		t.Errorf("%d rows: this test looks at the wrong thing", rows)
	}
	exists := func(folder, test string) bool {
		files, err := filepath.Glob("../../" + folder + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "func "+test+"(") {
				return true
			}
		}
		return false
	}
	for n := range named {
		if folder, test, _ := strings.Cut(n, " "); !exists(folder, test) {
			t.Errorf("%s has no %s", folder, test)
		}
	}
}
