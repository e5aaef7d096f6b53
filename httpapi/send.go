package httpapi

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"hotreader"
	"hotreader/internal/accept"
)

// buffers hold answers while they are built. Large ones are not reused.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const keptBuffer = 1 << 20

// answer waits for a place, lets fill append the answer to a buffer, and sends it.
func (a *api) answer(c *call, contentType string, fill func(dst []byte) ([]byte, error)) error {
	place, err := a.limit.Enter(c.ctx, c.caller.Name, c.caller.Address)
	if err != nil {
		return err
	}
	defer place.Leave()
	buf := buffers.Get().(*[]byte)
	body, err := fill((*buf)[:0])
	if err == nil {
		err = c.send(contentType, body)
	}
	keep(buf, body)
	return err
}

// keep gives a buffer back for reuse. used is what it has grown to.
func keep(buf *[]byte, used []byte) {
	if cap(used) <= keptBuffer {
		*buf = used[:0]
		buffers.Put(buf)
	}
}

// zips compress answers, at level 1: a caller waits for them.
var zips = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return z
}}

// aged says how long ago the oldest part was read of an answer from a cache.
func (c *call) aged() {
	if age := time.Duration(c.stats.Age.Load()); age > 0 {
		c.w.Header().Set("Age", strconv.Itoa(int(age.Seconds())))
	}
}

// send answers with body, compressed if the caller accepts that and it is worth it.
func (c *call) send(contentType string, body []byte) error {
	const worth = 1 << 10
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	h.Add("Vary", "Accept, Accept-Encoding")
	c.aged()
	c.sendWithin(sendTime)
	if len(body) < worth || !accept.Gzip(c.r.Header["Accept-Encoding"]) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, err := c.w.Write(body)
		return c.sent(err)
	}
	h.Set("Content-Encoding", "gzip")
	z := zips.Get().(*gzip.Writer)
	defer func() {
		z.Reset(io.Discard) // drops the reference to this request
		zips.Put(z)
	}()
	z.Reset(c.w)
	_, err := z.Write(body)
	if err == nil {
		err = z.Close()
	}
	return c.sent(err)
}

// sendOpen answers with a document that needs no token.
func (c *call) sendOpen(document []byte) {
	c.limitUnreadBody()
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		c.w.Header().Set("Content-Type", "application/json")
		_, _ = c.w.Write(document) // fails only if the caller is gone
	case http.MethodOptions:
		c.w.Header().Set("Allow", allow(http.MethodGet))
		c.w.WriteHeader(http.StatusNoContent)
	default:
		e := refuse(http.StatusMethodNotAllowed, hotreader.CodeInvalid, "%.20q is not served here; use GET", c.r.Method)
		e.allow = allow(http.MethodGet)
		c.problem(e, nil)
	}
}

// sent turns an error of writing an answer into ours, and marks the answer broken.
func (c *call) sent(err error) error {
	if err == nil {
		return nil
	}
	c.w.broken = true
	return &hotreader.Error{Op: "send the answer", Code: hotreader.CodeCanceled, Err: err}
}

// sendTime is how long a client may take to receive an answer, or a frame of one.
const sendTime = 30 * time.Second

// sendWithin sets the deadline for what is written next, if the host has deadlines.
func (c *call) sendWithin(d time.Duration) {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(d))
}

func allow(method string) string {
	if method == http.MethodGet {
		return "GET, HEAD, OPTIONS"
	}
	return method + ", OPTIONS"
}
