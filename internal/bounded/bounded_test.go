package bounded_test

import (
	"os"
	"path/filepath"
	"testing"

	"hotreader/internal/bounded"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	for size, most := range map[int]int64{0: 1 << 10, 1 << 10: 1 << 10, 1<<10 + 1: 1 << 10, 2<<20 + 1: 2 << 20} {
		name := filepath.Join(dir, "f")
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		want := map[int]string{1<<10 + 1: name + " is larger than 1 KB", 2<<20 + 1: name + " is larger than 2 MB"}[size]
		text, err := bounded.ReadFile(name, most)
		if err == nil && (want != "" || len(text) != size) || err != nil && err.Error() != want {
			t.Errorf("%d bytes of %d: %d, %v", size, most, len(text), err)
		}
	}
	if _, err := bounded.ReadFile(dir, 1); err == nil {
		t.Error("a folder is read")
	}
}
