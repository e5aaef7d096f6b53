package coldstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"hotreader"
)

// An Object is what a list says of one.
type Object struct {
	Key      string
	Size     int64
	Version  string    // of its bytes, as an ETag
	Modified time.Time // when it was written
	Archive  string    // the storage class that must be restored before it can be read, as DEEP_ARCHIVE; "" = it can be read
	Asked    bool      // such a restore goes on
	Until    time.Time // when a restored copy ends, or ended; zero = there is none
}

// A Bucket is object storage, or the part of it that one Store reads. It is safe for
// concurrent use. Its errors are *hotreader.Error.
type Bucket interface {
	// List yields the objects whose key begins with prefix and comes after the key
	// after, in the order of their keys, byte by byte. It may yield others with the
	// prefix. Each page is one request. An error is the last thing yielded.
	List(ctx context.Context, prefix, after string) iter.Seq2[Page, error]

	// Read returns n bytes of an object, at least one, from offset at on. If the object has another
	// Version by now, or is gone, that is an error of CodeUnavailable; if it must be
	// restored first, one of CodeNotRestored.
	Read(ctx context.Context, o *Object, at, n int64) (io.ReadCloser, error)

	// String names the bucket in messages, as s3://BUCKET.
	String() string
}

// A Target is a Bucket that is written, too. Only export does that.
type Target interface {
	Bucket

	// Put writes a whole object, or none. If there is one of that key it changes nothing
	// and returns false.
	Put(ctx context.Context, key string, body []byte) (bool, error)
}

// A Page is a part of a list.
type Page struct {
	Objects []Object
	More    bool // another page follows
}

// Pages yields the pages that next returns, to the one after which no other follows.
func Pages(next func() (Page, error)) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		for {
			if page, err := next(); !yield(page, err) || err != nil || !page.More {
				return
			}
		}
	}
}

// maxBroken is how often the body of one object may break off.
const maxBroken = 3

// A body reads a part of an object, and goes on where the connection broke off.
type body struct {
	ctx    context.Context
	bucket Bucket
	object *Object
	at, to int64
	open   io.ReadCloser
	broken int
}

func (s *scan) body(o *Object, at, n int64) *body {
	return &body{ctx: s.ctx, bucket: counted{s.store.bucket, s.stats}, object: o, at: at, to: at + n}
}

// Read implements io.Reader. It ends with io.EOF only after all bytes.
func (b *body) Read(p []byte) (n int, err error) {
	if b.at >= b.to {
		return 0, io.EOF
	}
	if b.open == nil {
		if b.open, err = b.bucket.Read(b.ctx, b.object, b.at, b.to-b.at); err != nil {
			return 0, err
		}
	}
	n, err = b.open.Read(p[:min(int64(len(p)), b.to-b.at)])
	if b.at += int64(n); err == nil || b.at == b.to {
		return n, nil
	}
	_ = b.Close() // it has failed
	if b.broken++; b.broken >= maxBroken || b.ctx.Err() != nil {
		return n, &hotreader.Error{Code: hotreader.CodeUnavailable, Err: fmt.Errorf("the object broke off after %d bytes: %w", b.at, err)}
	}
	return n, nil
}

// Close implements io.Closer.
func (b *body) Close() error {
	if b.open == nil {
		return nil
	}
	err := b.open.Close()
	b.open = nil
	return err
}

// counted counts requests and bytes.
type counted struct {
	Bucket
	stats *hotreader.Stats
}

func (c counted) List(ctx context.Context, prefix, after string) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		for page, err := range List(ctx, c.Bucket, prefix, after) {
			c.stats.Reads.Add(1)
			if !yield(page, err) {
				return
			}
		}
	}
}

func (c counted) Read(ctx context.Context, o *Object, at, n int64) (io.ReadCloser, error) {
	c.stats.Reads.Add(1)
	r, err := c.Bucket.Read(ctx, o, at, n)
	if err != nil {
		return nil, err
	}
	return &countedBody{r, c.stats}, nil
}

type countedBody struct {
	io.ReadCloser
	stats *hotreader.Stats
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.stats.Bytes.Add(int64(n))
	return n, err
}

// Changed is the error of an object that is not as it was listed.
func Changed(o *Object) error {
	return &hotreader.Error{Op: "cold storage: read " + o.Key, Code: hotreader.CodeUnavailable, Err: &changed{o.Key}}
}

// IsChanged reports whether err is that of Changed.
func IsChanged(err error) bool {
	_, is := errors.AsType[*changed](err)
	return is
}

type changed struct{ key string }

func (c *changed) Error() string {
	return "the object was deleted or replaced after it was listed; ask again"
}
