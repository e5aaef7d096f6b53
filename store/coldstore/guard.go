package coldstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"hotreader"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/storehttp"
)

// What object storage answers is checked: a server in its place could let a reader wait for
// ever, fill its memory, or send other bytes than it asked for.

const (
	maxObject = 1 << 50          // bytes of an object; clouds keep up to some 2^46
	maxEmpty  = 1000             // pages without objects, one after the other
	maxAnswer = 16 << 20         // bytes of an answer that is no object
	maxTags   = 1 << 20          // of such an answer in XML, each of which takes some hundred bytes of memory
	answering = time.Minute      // what is no object
	uploading = 10 * time.Minute // an object, and the answer to it
)

// List lists a bucket, and ends with an error of CodeProtocol where the list goes on and on
// without objects, is in no order, as one that goes round in a circle, or has sizes that no
// object has.
func List(ctx context.Context, b Bucket, prefix, after string) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		var l listing
		for page, err := range b.List(ctx, prefix, after) {
			if err == nil {
				err = l.check(&page)
			}
			if err != nil {
				if _, ok := errors.AsType[*hotreader.Error](err); !ok {
					err = &hotreader.Error{Op: "cold storage: list " + b.String(), Code: hotreader.CodeProtocol, Err: err}
				}
				yield(Page{}, err)
				return
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// A listing is what a list has brought. Its keys ascend, byte by byte; or with slashes before
// all else, as Azure's do where folders are more than names.
type listing struct {
	empty          int
	last           string
	bytes, folders bool // keys came that do not ascend so
}

func (l *listing) check(p *Page) error {
	if l.empty++; len(p.Objects) > 0 {
		l.empty = 0
	}
	if l.empty > maxEmpty {
		return fmt.Errorf("%d pages of it have no objects, and it goes on; check the endpoint", l.empty)
	}
	for i := range p.Objects {
		o := &p.Objects[i]
		if o.Size < 0 || o.Size > maxObject {
			return fmt.Errorf("it says that %.200q has %d bytes, which no object has; check the endpoint", o.Key, o.Size)
		}
		bytes, folders := ascend(l.last, o.Key)
		l.bytes, l.folders = l.bytes || !bytes, l.folders || !folders
		if l.bytes && l.folders {
			return fmt.Errorf("it is in no order: %.200q came after %.200q; check the endpoint", o.Key, l.last)
		}
		l.last = o.Key
	}
	return nil
}

// ascend reports whether b comes after a, byte by byte, and with slashes before all else.
func ascend(a, b string) (bytes, folders bool) {
	n := common(a, b)
	switch {
	case n == len(a) || n == len(b):
		return n < len(b), n < len(b)
	case a[n] >= 0xee && b[n] >= 0xee: // Azure's order is that of UTF-16
		return true, true
	}
	return a[n] < b[n], b[n] != '/' && (a[n] == '/' || a[n] < b[n])
}

// Part returns the body of an answer to Read if that is a part from offset at on of the object
// as it was listed, by its Content-Range, where there is none "", and by its version. If not,
// it closes the body.
func Part(body io.ReadCloser, o *Object, at int64, contentRange, version string) (io.ReadCloser, error) {
	plain := func(version string) string { return strings.Trim(strings.TrimPrefix(version, "W/"), `"`) } // Azure's lists have no quotes
	same := version == "" || plain(version) == plain(o.Version)
	if same && (contentRange == "" && at == 0 || strings.HasPrefix(contentRange, fmt.Sprintf("bytes %d-", at))) {
		return body, nil
	}
	_ = body.Close() // it is of no use
	if !same {
		return nil, Changed(o)
	}
	return nil, bad(o, hotreader.CodeProtocol, "it was asked for from byte %d on, and came with the range %.100q; check the endpoint, and proxies before it", at, contentRange)
}

// Client returns a client of object storage, which follows no redirect, and whose answers end:
// with an error if nothing comes for 30 s or, of an answer that is no part of an object, after
// 16 MB or a minute.
func Client(t http.RoundTripper) *http.Client { return storehttp.Client(guarded{t}) }

type guarded struct{ http.RoundTripper }

var (
	errSlow   error = &failure.Broken{Err: fmt.Errorf("it took longer than %s", answering)}
	errUpload error = &failure.Broken{Err: fmt.Errorf("it took longer than %s", uploading)}
	errLong   error = &failure.Damaged{Err: fmt.Errorf("the answer is longer than %d MB, or has more than %d tags; check the endpoint", maxAnswer>>20, maxTags)}
)

// RoundTrip implements http.RoundTripper.
func (t guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	wait, late := storehttp.Idle, storehttp.ErrIdle
	if r.ContentLength != 0 {
		wait, late = uploading, errUpload
	}
	timer := time.AfterFunc(wait, func() { cancel(late) })
	resp, err := t.RoundTripper.RoundTrip(r.WithContext(ctx))
	timer.Stop()
	if err != nil {
		defer cancel(nil)
		return nil, cause(ctx, err)
	}
	b := &bounded{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, left: maxAnswer}
	if resp.StatusCode/100 == 2 && (r.Header.Get("Range") != "" || len(r.Header["x-ms-range"]) > 0) { //nolint:staticcheck // Azure's client writes it so
		b.left = maxObject
	} else {
		b.whole = time.AfterFunc(answering, func() { cancel(errSlow) })
	}
	resp.Body = b
	return resp, nil
}

// cause returns why a request was ended here, or err.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why == storehttp.ErrIdle || why == errSlow || why == errUpload {
		return why
	}
	return err
}

type bounded struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	left   int64
	tags   int
	whole  *time.Timer // until when all must have come; nil = there is no such time
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.whole != nil {
		b.tags += bytes.Count(p[:n], []byte("<"))
	}
	if b.left -= int64(n); b.left < 0 || b.tags > maxTags {
		return 0, errLong
	}
	if err != nil && err != io.EOF {
		err = cause(b.ctx, err)
	}
	return n, err
}

func (b *bounded) Close() error {
	defer b.cancel(nil)
	if b.whole != nil {
		b.whole.Stop()
	}
	return b.ReadCloser.Close()
}
