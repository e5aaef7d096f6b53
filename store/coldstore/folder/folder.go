// Package folder is a coldstore.Bucket that is a folder of this machine.
package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/store/coldstore"
)

// Bucket is a folder. Its objects are files, their keys paths with slashes; nothing
// outside the folder is read, whatever links there are.
type Bucket struct {
	root *os.Root
	dir  string
}

// Open opens a folder. An error is of CodeConfig.
func Open(dir string) (*Bucket, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &hotreader.Error{Op: "cold storage: open folder", Code: hotreader.CodeConfig, Err: err}
	}
	return &Bucket{root, dir}, nil
}

// Close closes the folder.
func (b *Bucket) Close() error { return b.root.Close() }

// String implements coldstore.Bucket.
func (b *Bucket) String() string { return "file:" + b.dir }

// pageSize is how many objects a page of a list has, as in the clouds.
const pageSize = 1000

// List implements coldstore.Bucket.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[coldstore.Page, error] {
	keys, err := b.keys(ctx, prefix, after)
	return coldstore.Pages(func() (page coldstore.Page, _ error) {
		if err != nil {
			return page, b.fail("list", err)
		}
		for _, key := range keys[:min(pageSize, len(keys))] {
			info, err := b.root.Stat(key)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return page, b.fail("list", err)
			}
			if info.Mode().IsRegular() {
				page.Objects = append(page.Objects, coldstore.Object{Key: key, Size: info.Size(), Version: version(info), Modified: info.ModTime()})
			}
		}
		keys = keys[min(pageSize, len(keys)):]
		page.More = len(keys) > 0
		return page, nil
	})
}

// keys returns the paths of all files with the prefix, in order.
func (b *Bucket) keys(ctx context.Context, prefix, after string) (keys []string, err error) {
	top := "."
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		top = prefix[:i]
	}
	if path.Clean(top) != top || strings.HasPrefix(prefix, "/") {
		return nil, nil // no file has such a key
	}
	err = fs.WalkDir(b.root.FS(), top, func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && (name == top || ctx.Err() == nil):
			return nil // it may have gone just now
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case !d.IsDir() && name > after && strings.HasPrefix(name, prefix):
			keys = append(keys, name)
		case d.IsDir() && name != "." && !strings.HasPrefix(name+"/", prefix) && !strings.HasPrefix(prefix, name+"/"):
			return fs.SkipDir
		}
		return nil
	})
	slices.Sort(keys)
	return keys, err
}

// version tells whether a file was written again.
func version(info fs.FileInfo) string {
	return fmt.Sprintf("%s-%d", info.ModTime().UTC().Format(time.RFC3339Nano), info.Size())
}

// Read implements coldstore.Bucket.
func (b *Bucket) Read(_ context.Context, o *coldstore.Object, at, n int64) (io.ReadCloser, error) {
	f, err := b.root.Open(o.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, coldstore.Changed(o)
	}
	if err != nil {
		return nil, b.fail("read "+o.Key, err)
	}
	info, err := f.Stat()
	if err == nil && version(info) != o.Version {
		err = coldstore.Changed(o)
	}
	if err != nil {
		f.Close()
		return nil, b.fail("read "+o.Key, err)
	}
	return &part{io.NewSectionReader(f, at, n), f}, nil
}

type part struct {
	io.Reader
	io.Closer
}

// Target is a Bucket that is written.
type Target struct{ *Bucket }

// Create opens a folder to write objects into it, and makes it if it is not there. An error
// is of CodeConfig.
func Create(dir string) (Target, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return Target{}, &hotreader.Error{Op: "cold storage: make folder", Code: hotreader.CodeConfig, Err: err}
	}
	b, err := Open(dir)
	return Target{b}, err
}

// Put implements coldstore.Target. Until it is whole, the file has a name that readers pass
// over; what a killed program left under that name is removed.
func (t Target) Put(_ context.Context, key string, body []byte) (bool, error) {
	if _, err := t.root.Stat(key); err == nil {
		return false, nil
	}
	dir, name := path.Split(key)
	part := dir + "." + name + ".part"
	err := t.root.MkdirAll(path.Clean(dir), 0o750)
	if err == nil {
		err = t.write(part, body)
	}
	if err == nil {
		err = t.root.Rename(part, key)
	}
	if err == nil {
		err = t.sync(path.Clean(dir))
	}
	if err != nil {
		return false, t.fail("write "+key, err)
	}
	return true, nil
}

// write writes a file, on the disk when it returns.
func (t Target) write(name string, body []byte) error {
	if err := t.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Written over, it may be a link to a file of somebody else.
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Sync(), f.Close())
}

// sync makes the names in a folder last. Where folders are no files, they do by themselves.
func (t Target) sync(dir string) error {
	f, err := t.root.Open(dir)
	if err != nil || runtime.GOOS == "windows" {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (b *Bucket) fail(doing string, err error) error {
	if e, ok := errors.AsType[*hotreader.Error](err); ok {
		return e
	}
	code := hotreader.CodeStore
	if errors.Is(err, fs.ErrPermission) {
		code = hotreader.CodeForbidden
	}
	return &hotreader.Error{Op: "cold storage: " + doing, Code: code, Err: err}
}
