package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"hotreader"
)

// buffers hold whole answers while they are made. Large ones are not kept.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const keptBuffer = 1 << 20

// answer calls fill with an empty buffer, which fill returns with the answer
// appended, and sends that. The call has a place for it.
func (a *api) answer(c *call, contentType string, fill func(dst []byte) ([]byte, error)) error {
	place, err := a.limit.enter(c.ctx, c.who)
	if err != nil {
		return err
	}
	defer place.leave()
	buf := buffers.Get().(*[]byte)
	body, err := fill((*buf)[:0])
	if err == nil {
		err = c.send(contentType, body)
	}
	keep(buf, body)
	return err
}

// keep gives a buffer back, with what has become of its memory.
func keep(buf *[]byte, used []byte) {
	if cap(used) <= keptBuffer {
		*buf = used[:0]
		buffers.Put(buf)
	}
}

// zips compress answers. Level 1: the time is the twin's, who waits.
var zips = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return z
}}

// send answers with body, compressed if that is wanted and worth it.
func (c *call) send(contentType string, body []byte) error {
	const worth = 1 << 10
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	h.Add("Vary", "Accept, Accept-Encoding")
	c.sendWithin(sendTime)
	if len(body) < worth || quality(c.r.Header["Accept-Encoding"], "gzip", "*") <= 0 {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, err := c.w.Write(body)
		return c.sent(err)
	}
	h.Set("Content-Encoding", "gzip")
	z := zips.Get().(*gzip.Writer)
	defer func() {
		z.Reset(io.Discard) // not to keep this request alive
		zips.Put(z)
	}()
	z.Reset(c.w)
	_, err := z.Write(body)
	if err == nil {
		err = z.Close()
	}
	return c.sent(err)
}

// sent returns the error of having sent an answer.
func (c *call) sent(err error) error {
	if err == nil {
		return nil
	}
	c.w.broken = true
	return &hotreader.Error{Op: "send the answer", Code: hotreader.CodeCanceled, Err: err}
}

// sendTime is how long a client may take to fetch an answer, or a frame of one.
const sendTime = 30 * time.Second

// sendWithin sets the deadline for what is written next. Hosts that are no
// server of net/http have none.
func (c *call) sendWithin(d time.Duration) {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(d))
}

// quality returns the weight that an Accept or Accept-Encoding header gives to
// the first of names that it mentions, 0 if it mentions none.
func quality(header []string, names ...string) float64 {
	if len(header) == 0 {
		return 0
	}
	for _, name := range names {
		for part := range strings.SplitSeq(strings.Join(header, ","), ",") {
			media, params, err := mime.ParseMediaType(part)
			if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || media != name {
				continue
			}
			text, ok := params["q"]
			if !ok {
				return 1
			}
			q, err := strconv.ParseFloat(text, 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return 0
			}
			return q
		}
	}
	return 0
}
