package function

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotreader"
	"hotreader/catalog"
)

func TestOpenCatalog(t *testing.T) {
	packed, err := catalog.Build([]catalog.Device{{ID: "pump-7"}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "devices")
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(name, want string) {
		t.Helper()
		if c, err := OpenCatalog(name); c != nil || hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "deploy again") {
			t.Errorf("%q: the error is %v, want %q", name, err, want)
		}
	}
	refused(file, "no such file")
	refused(filepath.Dir(file), "is a directory")
	write(file, packed)
	if c, err := OpenCatalog(file); err != nil || c.Len() != 1 {
		t.Errorf("%v, %v", c, err)
	}
	write(file, packed[:len(packed)-1])
	refused(file, file+": catalogue of devices: it is damaged")

	// Without a name, the one beside the program, which here is the test.
	if c, err := OpenCatalog(""); c != nil || err != nil {
		t.Errorf("without one: %v, %v", c, err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(program), catalog.File)
	defer os.Remove(beside)
	write(beside, packed)
	if c, err := OpenCatalog(""); err != nil || c.Len() != 1 {
		t.Errorf("beside the program: %v, %v", c, err)
	}
	write(beside, packed[1:])
	refused("", beside+": catalogue of devices: this is no packed catalogue")
}
