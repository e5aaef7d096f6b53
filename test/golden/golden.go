// Package golden holds what the outside sees, word for word: the answers of the
// Hot Reader API and of the functions that TwinMaker invokes, problems and errors,
// and beside each its line of the log; then the page of metrics. Nothing here knows
// how an answer is made. With -update what comes now is written into the archives.
// Tests elsewhere hold their own files against what is made now with File.
package golden

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

// Update says whether golden files are to be written anew.
var Update = flag.Bool("update", false, "write the golden files anew")

// File holds got against a golden file, and returns what stands there.
func File(t testing.TB, name string, got []byte) []byte {
	t.Helper()
	if *Update {
		if err := os.WriteFile(name, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what is made now (-update writes it); got:\n%s\nwant:\n%s", name, got, want)
	}
	return want
}
