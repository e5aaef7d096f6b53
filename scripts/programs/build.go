package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// builder builds each program once.
type builder struct {
	ctx context.Context
	dir string
}

// build compiles source for platform as scripts/dist does (a test compares the
// two) and returns the program's path.
func (b *builder) build(source, platform, tags string) (string, error) {
	goos, arch, _ := strings.Cut(platform, "/")
	path := filepath.Join(b.dir, filepath.Base(source)+"-"+goos+"-"+arch)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	args := []string{"build", "-trimpath", "-ldflags=-s -w -buildid=", "-buildvcs=false", "-o", path}
	if tags != "" {
		args = append(args, "-tags", tags)
	}
	cmd := exec.CommandContext(b.ctx, cmp.Or(os.Getenv("GO"), "go"), append(args, source)...)
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0",
		"GOOS="+goos, "GOARCH="+arch)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return path, cmd.Run()
}
