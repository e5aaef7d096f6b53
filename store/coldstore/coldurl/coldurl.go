// Package coldurl opens cold storage by its URL: file:DIR, or that of a cloud's object
// storage, whose client the caller brings.
package coldurl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/folder"
)

// Parameters are those of every URL; region and endpoint are the caller's.
var Parameters = slices.Concat([]string{"format", "late"}, layout.Keys)

// Store is a hotreader.Store that is only read.
type Store struct {
	*coldstore.Store
	bucket coldstore.Bucket
}

// Bucket is where the objects lie.
func (s Store) Bucket() coldstore.Bucket { return s.bucket }

// Write implements hotreader.Writer.
func (Store) Write(context.Context, string, []hotreader.Record) error {
	return &hotreader.Error{Op: "cold storage: write", Code: hotreader.CodeInvalid, Err: errors.New("object storage is only read here")}
}

// Close closes the bucket.
func (s Store) Close() error {
	c, _ := s.bucket.(io.Closer)
	if c == nil {
		return s.Store.Close()
	}
	return errors.Join(s.Store.Close(), c.Close())
}

// Open opens the store that text names. Items are laid out as its parameters say; where
// they say nothing, as l. open opens the bucket of a cloud; what follows its name, or its
// container's, in the URL's path is prefix. An error of the URL is of CodeConfig.
func Open(text string, l layout.Layout, open func(u *url.URL) (b coldstore.Bucket, prefix string, err error)) (Store, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Store{}, bad("the URL cannot be read; write it s3://BUCKET/PREFIX, azblob://ACCOUNT/CONTAINER/PREFIX, gs://BUCKET/PREFIX or file:DIR")
	}
	if err := CheckUser(u); err != nil {
		return Store{}, err
	}
	q := u.Query()
	o := coldstore.Options{Format: coldstore.Format(q.Get("format")), Layout: l}
	if o.Late, err = late(q); err != nil {
		return Store{}, err
	}
	own, err := layout.FromURL(q)
	if err != nil {
		return Store{}, bad("%w", err)
	}
	if slices.ContainsFunc(layout.Keys, q.Has) {
		o.Layout = own
	}
	var b coldstore.Bucket
	if u.Scheme == "file" {
		dir, _, _ := strings.Cut(strings.TrimPrefix(text, "file:"), "?")
		if dir == "" {
			return Store{}, bad("the URL names no folder; write it file:DIR")
		}
		b, err = folder.Open(dir)
	} else {
		b, o.Prefix, err = open(u)
	}
	if err != nil {
		return Store{}, err
	}
	s := Store{bucket: b}
	if s.Store, err = coldstore.New(b, o); err != nil {
		return Store{}, errors.Join(err, Store{new(coldstore.Store), b}.Close())
	}
	return s, nil
}

// CheckUser rejects a URL with user info: a key there would be passed over, and printed
// wherever the URL is.
func CheckUser(u *url.URL) error {
	if u.User != nil {
		return bad("the URL carries user info; take the part before @ out, keys come from the environment")
	}
	return nil
}

// Key is the prefix of keys that the path of a bucket's URL says.
func Key(u *url.URL) string { return strings.TrimPrefix(u.Path, "/") }

// Container takes the path of azblob://ACCOUNT/CONTAINER/PREFIX apart.
func Container(u *url.URL) (container, prefix string) {
	container, prefix, _ = strings.Cut(Key(u), "/")
	return container, prefix
}

// late reads how much later than its event a row may arrive.
func late(q url.Values) (time.Duration, error) {
	text := q.Get("late")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d < 0:
		return 0, bad("invalid late %.40q; expected how much later than its event a row may arrive, as 36h", text)
	case d == 0:
		return -1, nil // not at all
	}
	return d, nil
}

func bad(format string, args ...any) error {
	return &hotreader.Error{Op: "cold storage", Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
}
