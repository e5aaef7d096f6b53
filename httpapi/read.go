package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/internal/component"
	"hotreader/wire"
)

const tokenPurpose = "hotreader twinmaker page"

// read answers POST /read.
func (a *api) read(c *call) error {
	body, err := a.body(c)
	if err != nil {
		return err
	}
	e, err := wire.ParseEnvelope(body)
	if err != nil {
		return err
	}
	if e.TraceID != "" && harmless(e.TraceID) {
		c.trace = e.TraceID
	}
	c.device = e.Payload.Device
	src, err := a.layer(e.TargetLayer)
	if err != nil {
		return err
	}
	if accept := c.r.Header["Accept"]; len(accept) > 0 && !a.o.NoRows && wire.AcceptsRows(strings.Join(accept, ",")) {
		return a.rows(c, e, src)
	}
	q, err := a.asked(e)
	if err != nil {
		return err
	}
	p := &e.Payload
	req := twinmaker.Request{
		Query:         q,
		Ref:           twinmaker.Reference{EntityID: p.EntityID, ComponentName: p.ComponentName},
		MaxResults:    p.MaxResults,
		NextToken:     p.NextToken,
		Interpolation: p.Interpolation,
	}
	if p.EntityID == "" {
		req.Ref.ExternalNames = []string{component.ExternalID}
	}
	responder := twinmaker.Responder{
		Reader:   a.reads(c, hotreader.NewReader(src).Read),
		Keys:     func() [][]byte { return a.pages.Keys(tokenPurpose) },
		Renew:    a.pages.Renew,
		MaxBytes: a.o.MaxAnswer,
		Warnings: true,
	}
	if q.Last { // the answer is small, and budget has already kept time to send it
		responder.Reserve = -1
	}
	return a.answer(c, jsonType, func(dst []byte) ([]byte, error) {
		if q.Last {
			return responder.AppendLastEntry(c.ctx, dst, req)
		}
		return responder.AppendHistory(c.ctx, dst, req)
	})
}

// layer returns what a target layer is read from.
func (a *api) layer(target string) (hotreader.Source, error) {
	if src := a.o.Layers[target]; src != nil {
		return src, nil
	}
	if a.o.Layers == nil && target == wire.TargetLayer {
		return a.o.Source, nil
	}
	return nil, &hotreader.Error{Op: "request", Code: hotreader.CodeNotFound, Err: fmt.Errorf("%s does not lie here; ask the API of the cloud where it does", target)}
}

// asked returns the query of an envelope.
func (a *api) asked(e *wire.Envelope) (hotreader.Query, error) {
	q, err := e.Query()
	q.LookBack = a.o.LookBack
	a.declare(&q)
	return q, err
}

// body reads the request's body. It checks the media type and the encoding, and
// bounds size and time.
func (a *api) body(c *call) ([]byte, error) {
	h := c.r.Header
	if text := h.Get("Content-Type"); text != "" && text != jsonType { // a missing one is taken for JSON
		media, _, err := mime.ParseMediaType(text)
		if err != nil || media != jsonType {
			return nil, refuse(http.StatusUnsupportedMediaType, hotreader.CodeInvalid, "the Content-Type is %.60q; expected %s", text, jsonType)
		}
	}
	if text := h.Get("Content-Encoding"); text != "" && !strings.EqualFold(text, "identity") {
		return nil, refuse(http.StatusUnsupportedMediaType, hotreader.CodeInvalid, "the Content-Encoding is %.60q; expected none", text)
	}
	tooLarge := func() error {
		return refuse(http.StatusRequestEntityTooLarge, hotreader.CodeTooLarge, "the body has more than %d bytes", a.o.MaxBody)
	}
	if c.r.ContentLength > a.o.MaxBody {
		return nil, tooLarge()
	}
	if c.r.ContentLength != 0 {
		// The server removes this deadline itself once the body is read.
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(a.o.BodyTime)) // fails only on hosts without deadlines
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w.ResponseWriter, c.r.Body, a.o.MaxBody))
	if err == nil {
		c.bodyRead = true
		return body, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge()
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		c.w.Header().Set("Connection", "close")
		return nil, refuse(http.StatusRequestTimeout, hotreader.CodeUnavailable, "the body did not come within %s", a.o.BodyTime)
	}
	return nil, invalid("the body broke off: %w", err)
}

// rows answers with the row stream. A failure before the first frame is answered
// with a problem, a later one with an error frame, which ends the stream.
func (a *api) rows(c *call, e *wire.Envelope, src hotreader.Source) (err error) {
	q, err := a.asked(e)
	if err == nil {
		err = streamable(&e.Payload)
	}
	if err != nil {
		return err
	}
	place, err := a.limit.Enter(c.ctx, c.caller.Name, c.caller.Address)
	if err != nil {
		return err
	}
	defer place.Leave()
	c.w.Header().Set("Content-Type", wire.MediaType)
	c.w.Header().Add("Vary", "Accept")
	out := &frameWriter{c: c, control: http.NewResponseController(c.w)}
	enc := wire.NewEncoder(out, q)
	defer enc.Close()
	ctx := c.ctx
	sent, more := 0, false // sent counts rows
	slow := time.NewTicker(flushTime)
	defer slow.Stop()
	if !q.Last && q.Pick.Kind == hotreader.PickAll { // the caller applies the types; only latest values need them here, to find a usable value
		q.Types = slices.Repeat([]hotreader.Type{hotreader.AsStored}, len(q.Properties))
	}
	for row, rerr := range a.reads(c, hotreader.Meaning(src).Scan).Read(ctx, q) {
		if rerr == nil && sent > 0 && sent%clockCheckRows == 0 {
			rerr = ctx.Err()
		}
		if rerr != nil {
			if more = sent > 0 && !q.Last && outOfTime(ctx, rerr); more {
				break
			}
			return c.failStream(enc, rerr)
		}
		if enc.Bound()+wire.Bound(row) > a.o.MaxStream-frameRoom {
			if more = sent > 0 && !q.Last; more { // latest values cannot be continued after a row
				break
			}
			return c.failStream(enc, errLargeRow)
		}
		if err := enc.Row(row); err != nil {
			return c.failStream(enc, err)
		}
		sent++
		select {
		case <-slow.C:
			if err := enc.Flush(); err != nil {
				return c.failStream(nil, err)
			}
		default:
		}
	}
	enc.Warn(c.stats.Warnings())
	if err := enc.End(more); err != nil {
		return c.failStream(nil, err)
	}
	return nil
}

// streamable rejects what belongs to JSON answers.
func streamable(p *wire.Payload) error {
	switch {
	case p.NextToken != "":
		return invalid("next_token belongs to JSON answers; a row stream is resumed after its last row by start_time, or end_time where the order is DESCENDING")
	case p.Interpolation > 0:
		return invalid("interpolation belongs to JSON answers; a row stream has the rows as they are stored")
	}
	return nil
}

// flushTime is how long a row waits for its frame to fill. A slow store takes long to fill one,
// and a caller gives up a stream that brings nothing.
const flushTime = time.Second

// failStream ends a row stream with err. If nothing has been sent yet, the caller
// answers with a problem instead. nil = an encoder that can send no more.
func (c *call) failStream(enc *wire.Encoder, err error) error {
	if !c.w.began() {
		c.w.Header().Del("Content-Type")
		return err
	}
	if enc == nil || enc.Fail(err) != nil {
		c.w.broken = true
	}
	return err
}

var errLargeRow error = &hotreader.Error{Op: "answer", Code: hotreader.CodeTooLarge,
	Err: errors.New("a single row is larger than an answer may be; ask for fewer properties")}

// frameRoom is kept free for the header, the end mark, and the frames' own bytes.
const frameRoom = 256

// frameWriter sends each frame at once.
type frameWriter struct {
	c       *call
	control *http.ResponseController
}

func (f *frameWriter) Write(frame []byte) (int, error) {
	f.c.sendWithin(sendTime)
	if !f.c.w.began() {
		f.c.aged()
	}
	n, err := f.c.w.Write(frame)
	if err == nil {
		if err = f.control.Flush(); errors.Is(err, http.ErrNotSupported) {
			err = nil // a host that sends answers as a whole
		}
	}
	if err != nil {
		err = &hotreader.Error{Op: "send the answer", Code: hotreader.CodeCanceled, Err: err}
	}
	return n, err
}

// requestReader is the Reader of one request. It checks that the caller may read
// the device, counts rows for the log, warns of what the catalogue does not list, and
// names a used-up time budget as such.
type requestReader struct {
	a    *api
	c    *call
	read func(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error]
}

func (a *api) reads(c *call, read func(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error]) requestReader {
	return requestReader{a, c, read}
}

// Read implements hotreader.Reader.
func (r requestReader) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if err := r.c.caller.Devices.Check(q.Device); err != nil {
		return hotreader.Fail(err)
	}
	return func(yield func(hotreader.Row, error) bool) {
		doubt := r.a.doubt(&q)
		for row, err := range r.read(ctx, q) {
			if err != nil {
				yield(hotreader.Row{}, asDeadline(ctx, err))
				return
			}
			doubt.see(row.Values)
			r.c.count(row.Values[:len(q.Properties)], +1)
			if !yield(row, nil) {
				break
			}
		}
		doubt.ask(ctx)
		if doubt.device && r.a.o.Catalog != nil {
			doubt.among = slices.DeleteFunc(r.a.o.Catalog.IDs(), func(id string) bool { return !r.c.caller.Devices.Has(id) })
		}
		doubt.warn(ctx)
	}
}

// count adds a row to the counts of the answer. A sign of -1 takes it back: the
// row was read, but belongs to the next page.
func (c *call) count(values []hotreader.Value, sign int) {
	c.rows += sign
	for _, v := range values {
		if !v.IsNull() {
			c.points += sign
		}
	}
}

// asDeadline returns err under CodeDeadline if ctx's time is used up. Stores report
// that under several codes, since a connection cut by a deadline looks broken.
func asDeadline(ctx context.Context, err error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	switch hotreader.CodeOf(err) {
	case hotreader.CodeCanceled, hotreader.CodeUnavailable, hotreader.CodeStore, hotreader.CodeInternal:
		return &hotreader.Error{Op: "request", Code: hotreader.CodeDeadline, Err: err}
	}
	return err
}
