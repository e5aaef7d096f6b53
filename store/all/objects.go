package all

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/folder"
)

// objectParameters are those of every store of objects.
var objectParameters = slices.Concat([]string{"format", "late"}, layout.Keys)

func openFolder(o *opening, rest string) (hotreader.Store, error) {
	if rest == "" {
		return nil, bad("store URL %q names no folder; write it %s", o.url, o.scheme.form)
	}
	b, err := folder.Open(rest)
	if err != nil {
		return nil, err
	}
	return openObjects(o, b, b, "")
}

// openObjects opens what lies in a bucket; closer closes that.
func openObjects(o *opening, b coldstore.Bucket, closer io.Closer, prefix string) (hotreader.Store, error) {
	late := time.Duration(0)
	if text := o.get("late"); text != "" {
		var err error
		if late, err = time.ParseDuration(text); err != nil || late < 0 {
			return nil, bad("store URL %q: late is how much later than its event a row may arrive, as 36h", o.url)
		}
		if late == 0 {
			late = -1 // not at all
		}
	}
	s, err := coldstore.New(b, coldstore.Options{Prefix: prefix, Format: coldstore.Format(o.get("format")), Late: late, Layout: o.layout})
	if err != nil {
		return nil, errors.Join(err, closer.Close())
	}
	return objects{s, closer}, nil
}

// objects is a store that is only read.
type objects struct {
	*coldstore.Store
	bucket io.Closer
}

// Write implements hotreader.Writer.
func (objects) Write(context.Context, string, []hotreader.Record) error {
	return &hotreader.Error{Op: "cold storage: write", Code: hotreader.CodeInvalid, Err: errors.New("object storage is only read here; hotreader export fills it")}
}

// Close closes the bucket.
func (s objects) Close() error { return errors.Join(s.Store.Close(), s.bucket.Close()) }
