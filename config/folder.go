package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"hotreader"
)

// WorkFolder is the folder within a project folder that holds what is known of its
// deployments.
const WorkFolder = ".hotreader"

// errReplaced says that another file was put in a file's place while it was read.
var errReplaced = errors.New("was replaced again and again while it was read; try again")

// readFile returns a file of a project folder and what is known of it. Both are
// nil if it is not there. A project folder may come from a stranger: a link would
// lead to a file of somebody else, and a pipe to nowhere.
func readFile(path string) (text []byte, info fs.FileInfo, err error) {
	for range 10 {
		if text, info, err = readOnce(path); !errors.Is(err, errReplaced) {
			break
		}
	}
	return text, info, err
}

func readOnce(path string) ([]byte, fs.FileInfo, error) {
	seen, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("cannot be read: %w", err)
	case seen.Mode()&fs.ModeSymlink != 0:
		return nil, nil, errors.New("is a symbolic link, which is not followed; put the file itself there")
	case !seen.Mode().IsRegular():
		return nil, nil, errors.New("is not a file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	// Of the file that was opened, which another may have put there meanwhile.
	info, err := f.Stat()
	if err != nil || !os.SameFile(seen, info) {
		return nil, nil, cmp.Or(err, errReplaced)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("cannot be read: %w", err)
	case len(text) > maxFile:
		return nil, nil, fmt.Errorf("is larger than %d MB", maxFile>>20)
	}
	return text, info, nil
}

// CheckFolder refuses a folder that is a link, or in which anything is but folders
// and files of one name: what is read or written there would be read or written
// elsewhere. It need not exist. What Terraform keeps in .terraform is left out: it
// links its providers, and nothing of ours looks there.
func CheckFolder(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		bad := func(what string) error {
			return &hotreader.Error{Op: path, Code: hotreader.CodeConfig, Err: errors.New(what)}
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return bad(err.Error())
		case e.Type()&fs.ModeSymlink != 0:
			return bad("is a symbolic link, which is not followed; remove it, or put there what it leads to")
		case e.IsDir() && e.Name() == ".terraform":
			return fs.SkipDir
		case e.IsDir():
			return nil
		case !e.Type().IsRegular():
			return bad("is neither a file nor a folder; remove it")
		}
		if info, err := e.Info(); err == nil && linked(info) { // else it is gone
			return bad("is a file with a second name elsewhere, which would be written, too; put a copy in its place")
		}
		return nil
	})
}

// Within reports whether path is dir or lies in it, by its name or by what that
// leads to.
func Within(dir, path string) bool {
	resolved := func(name string) string {
		name, _ = filepath.Abs(name) // as given, if that fails
		if to, err := filepath.EvalSymlinks(name); err == nil {
			return to
		}
		return name
	}
	dir = resolved(dir)
	for _, path := range []string{resolved(path), filepath.Join(resolved(filepath.Dir(path)), filepath.Base(path))} {
		rel, err := filepath.Rel(dir, path)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return true
		}
	}
	return false
}
