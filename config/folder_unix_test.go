//go:build unix

package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hotreader"
)

// What is no file of its own is neither followed nor waited for.
func TestProjectFilesAreFiles(t *testing.T) {
	for name, text := range goodProject() {
		for kind, make := range map[string]func(path string) error{
			"a link": func(path string) error {
				to := filepath.Join(folder(t, map[string]string{"elsewhere": text}), "elsewhere")
				return os.Symlink(to, path)
			},
			"a pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		} {
			dir := folder(t, goodProject())
			path := filepath.Join(dir, name)
			if err := errors.Join(os.Remove(path), make(path)); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadProject(dir); !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), name+": is ") {
				t.Errorf("%s is %s: %v", name, kind, err)
			}
		}
	}
}
