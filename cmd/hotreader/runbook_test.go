package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"hotreader"
)

// TestRunbookHasTheExitCodes: the runbook's table tells each code's exit code as
// it is.
func TestRunbookHasTheExitCodes(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "runbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| \\d{3}[^|]*\\| `HotReader\\.\\w+` \\| (\\d) \\|").FindAllStringSubmatch(string(b), -1) {
		told[m[1]] = m[2]
	}
	for _, code := range hotreader.Codes() {
		if want := fmt.Sprint(exitCode(&hotreader.Error{Code: code})); told[string(code)] != want {
			t.Errorf("%s: %q is told, it exits with %s", code, told[string(code)], want)
		}
	}
}
