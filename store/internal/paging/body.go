package paging

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"hotreader"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/storehttp"
)

// MaxBody bounds the bytes of one answer. Clouds cut pages at 1 to 4 MB as they
// count items, which JSON makes a few times that.
const MaxBody = 32 << 20

// MaxPooled bounds what buffers may keep between reads.
const MaxPooled = 8 << 20

var bodies = sync.Pool{New: func() any { return new(Body) }}

// A Body is the memory for the body of one answer.
type Body struct{ Bytes []byte }

// NewBody returns an empty body. All stores share their memory.
func NewBody() *Body {
	b := bodies.Get().(*Body)
	b.Bytes = b.Bytes[:0]
	return b
}

// Release gives the memory back.
func (b *Body) Release() {
	if cap(b.Bytes) <= MaxPooled {
		bodies.Put(b)
	}
}

// Read reads all of an answer's body, without closing it.
func (b *Body) Read(resp *http.Response) error {
	b.Bytes = b.Bytes[:0]
	if n := resp.ContentLength; n > 0 && n < MaxBody && int64(cap(b.Bytes)) <= n {
		b.Bytes = make([]byte, 0, n+1) // one more, so that the end shows without growing
	}
	for {
		if len(b.Bytes) == cap(b.Bytes) {
			b.Bytes = append(b.Bytes, 0)[:len(b.Bytes)]
		}
		n, err := resp.Body.Read(b.Bytes[len(b.Bytes):cap(b.Bytes)])
		b.Bytes = b.Bytes[:len(b.Bytes)+n]
		switch {
		case len(b.Bytes) > MaxBody:
			return &hotreader.Error{Code: hotreader.CodeProtocol, Err: fmt.Errorf("the answer is larger than %d bytes, which no page is", MaxBody)}
		case err == io.EOF:
			return nil
		case errors.Is(err, storehttp.ErrIdle):
			return err
		case err != nil:
			return &failure.Broken{Err: err}
		}
	}
}
