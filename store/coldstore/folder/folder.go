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
	return func(yield func(coldstore.Page, error) bool) {
		keys, err := b.keys(ctx, prefix, after)
		if err != nil {
			yield(coldstore.Page{}, b.fail("list", err))
			return
		}
		for {
			var page coldstore.Page
			for _, key := range keys[:min(pageSize, len(keys))] {
				info, err := b.root.Stat(key)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					yield(coldstore.Page{}, b.fail("list", err))
					return
				}
				if info.Mode().IsRegular() {
					page.Objects = append(page.Objects, coldstore.Object{Key: key, Size: info.Size(), Version: version(info), Modified: info.ModTime()})
				}
			}
			keys = keys[min(pageSize, len(keys)):]
			page.More = len(keys) > 0
			if !yield(page, nil) || !page.More {
				return
			}
		}
	}
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
