package folder_test

import (
	"errors"
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

// A link under the name that an object has until it is whole is removed, not followed.
func TestPutThroughALink(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(t.TempDir(), "other")
	if err := errors.Join(os.WriteFile(other, []byte("kept"), 0o600), os.Link(other, filepath.Join(dir, ".a.part")), os.Symlink(other, filepath.Join(dir, ".b.part"))); err != nil {
		t.Fatal(err)
	}
	target, err := folder.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	for _, key := range []string{"a", "b"} {
		ok, err := target.Put(t.Context(), key, []byte("rows"))
		if text, _ := os.ReadFile(filepath.Join(dir, key)); !ok || err != nil || string(text) != "rows" {
			t.Errorf("%s: %t, %v: %q", key, ok, err, text)
		}
	}
	if text, _ := os.ReadFile(other); string(text) != "kept" {
		t.Errorf("the file that a link names holds %q", text)
	}
}
