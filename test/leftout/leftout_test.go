// Package leftout says what `go test ./...` leaves out.
package leftout

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestLeftOut names the tests that need an engine and so the build tag engines.
// It fails if it finds none, for then it looks in the wrong place.
func TestLeftOut(t *testing.T) {
	test := regexp.MustCompile(`^func (Test\w+)\(`)
	n := 0
	err := filepath.WalkDir("../..", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for first := true; lines.Scan(); first = false {
			if first && lines.Text() != "//go:build engines" {
				return nil
			}
			if m := test.FindStringSubmatch(lines.Text()); m != nil {
				t.Logf("left out without engines: %s %s", strings.TrimPrefix(filepath.Dir(file), "../../"), m[1])
				n++
			}
		}
		return lines.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Fatal("no test carries the build tag engines")
	}
	t.Log("`make test` fetches the engines and runs them all")
}
