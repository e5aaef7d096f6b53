package folder_test

import (
	"os"
	"path/filepath"
	"testing"

	"hotreader/store/coldstore/buckettest"
	"hotreader/store/coldstore/folder"
)

func TestBucket(t *testing.T) {
	dir := t.TempDir()
	b, err := folder.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	buckettest.Run(t, b, buckettest.Writer{Put: func(key string, body []byte) {
		name := filepath.Join(dir, key)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}, Delete: func(key string) {
		if err := os.Remove(filepath.Join(dir, key)); err != nil {
			t.Fatal(err)
		}
	}})
	// A link that leads out of the folder is no object, and the folder's own objects are.
	outside := filepath.Join(t.TempDir(), "secret.jsonl")
	if err := os.WriteFile(outside, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "z.jsonl")); err != nil {
		t.Fatal(err)
	}
	for page, err := range b.List(t.Context(), "z", "") {
		if err == nil && len(page.Objects) > 0 {
			t.Errorf("%+v", page)
		}
	}
}
