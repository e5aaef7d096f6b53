package boltstore_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"hotreader"
	"hotreader/store/boltstore"
)

func TestNoPermission(t *testing.T) {
	cases := []struct {
		what      string
		file, dir os.FileMode // 0 file = it is not there
		o         boltstore.Options
	}{
		{"a file that may not be read", 0o200, 0o755, boltstore.Options{}},
		{"a file that may not be read", 0o200, 0o755, boltstore.Options{ReadOnly: true}},
		{"a file that may not be written", 0o444, 0o755, boltstore.Options{}},
		{"a file in a directory that may not be entered", 0o644, 0o600, boltstore.Options{}},
		{"a new file in a directory that may not be written", 0, 0o555, boltstore.Options{}},
	}
	content := read(t, fileOf(t, 10))
	paths := make([]string, len(cases))
	for i, c := range cases {
		dir := t.TempDir()
		paths[i] = filepath.Join(dir, "rows.bolt")
		if c.file != 0 {
			put(t, paths[i], content)
			if err := os.Chmod(paths[i], c.file); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, c.dir); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Error(err)
			}
		})
	}
	if os.Geteuid() == 0 { // root may do anything; be somebody else, in this thread
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		fsuid := func(uid uintptr) {
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, uid, 0, 0); errno != 0 {
				t.Fatal(errno)
			}
		}
		fsuid(65534)
		defer fsuid(0)
	}
	for i, c := range cases {
		s, err := boltstore.Open(paths[i], c.o)
		if err == nil {
			s.Close()
		}
		if hotreader.CodeOf(err) != hotreader.CodeForbidden || !strings.Contains(err.Error(), paths[i]) {
			t.Errorf("%s, %+v: the error is %v, want one of %s that names the file", c.what, c.o, err, hotreader.CodeForbidden)
		}
	}
}
