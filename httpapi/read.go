package httpapi

import (
	"context"
	"errors"
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
	if accept := c.r.Header["Accept"]; len(accept) > 0 && !a.o.NoRows && wire.AcceptsRows(strings.Join(accept, ",")) {
		return a.rows(c, e)
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
		req.Ref.ExternalName = component.ExternalID
	}
	responder := twinmaker.Responder{
		Reader:   reading{c, a.reader.Read},
		Keys:     func() [][]byte { return a.o.Token.Keys(tokenPurpose) },
		MaxBytes: a.o.MaxAnswer,
		Warnings: true,
	}
	if q.Last { // the answer is small, and the budget leaves time for it
		responder.Reserve = -1
	}
	return a.answer(c, jsonType, func(dst []byte) ([]byte, error) {
		if q.Last {
			return responder.AppendLastEntry(c.ctx, dst, req)
		}
		return responder.AppendHistory(c.ctx, dst, req)
	})
}

// asked returns the query of an envelope.
func (a *api) asked(e *wire.Envelope) (hotreader.Query, error) {
	q, err := e.Query()
	q.LookBack = a.o.LookBack
	return q, err
}

// body returns the request's body, within its bounds of type, size and time.
func (a *api) body(c *call) ([]byte, error) {
	h := c.r.Header
	if text := h.Get("Content-Type"); text != "" && text != jsonType { // without one, it is what it must be
		media, _, err := mime.ParseMediaType(text)
		if err != nil || media != jsonType {
			return nil, refuse(http.StatusUnsupportedMediaType, hotreader.CodeInvalid, "the Content-Type is %.60q; want %s", text, jsonType)
		}
	}
	if text := h.Get("Content-Encoding"); text != "" && !strings.EqualFold(text, "identity") {
		return nil, refuse(http.StatusUnsupportedMediaType, hotreader.CodeInvalid, "the Content-Encoding is %.60q; want none", text)
	}
	tooLarge := func() error {
		return refuse(http.StatusRequestEntityTooLarge, hotreader.CodeTooLarge, "the body has more than %d bytes", a.o.MaxBody)
	}
	if c.r.ContentLength > a.o.MaxBody {
		return nil, tooLarge()
	}
	if c.r.ContentLength != 0 {
		// Once the body is read, the server lifts the deadline itself.
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(a.o.BodyTime)) // hosts that are no server have none
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w.ResponseWriter, c.r.Body, a.o.MaxBody))
	if err == nil {
		c.read = true
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

// rows answers with the row stream. Before its first frame a failure is a
// problem as everywhere; later it is the stream's last frame.
func (a *api) rows(c *call, e *wire.Envelope) (err error) {
	q, err := a.asked(e)
	if err != nil {
		return err
	}
	switch p := &e.Payload; {
	case p.NextToken != "":
		return invalid("next_token belongs to JSON answers; a row stream is taken up behind its last row by start_time, or end_time where the order is DESCENDING")
	case p.Interpolation > 0:
		return invalid("interpolation belongs to JSON answers; a row stream has the rows as they are stored")
	}
	place, err := a.limit.enter(c.ctx, c.who)
	if err != nil {
		return err
	}
	defer place.leave()
	c.w.Header().Set("Content-Type", wire.MediaType)
	c.w.Header().Add("Vary", "Accept")
	out := &frames{c: c, control: http.NewResponseController(c.w)}
	enc := wire.NewEncoder(out, q)
	defer enc.Close()
	ctx := c.ctx
	n, more := 0, false // rows
	if !q.Last {        // only of a last entry it matters here what is usable
		q.Types = slices.Repeat([]hotreader.Type{hotreader.AsStored}, len(q.Properties))
	}
	for row, rerr := range (reading{c, hotreader.Meaning(a.o.Source).Scan}).Read(ctx, q) {
		if rerr == nil && n > 0 && n%lookAtClock == 0 {
			rerr = ctx.Err()
		}
		if rerr != nil {
			if more = n > 0 && !q.Last && outOfTime(ctx, rerr); more {
				break
			}
			return c.broke(enc, rerr)
		}
		if enc.Bound()+wire.Bound(row) > a.o.MaxStream-frameRoom {
			if more = n > 0 && !q.Last; more { // a last entry has no "behind the last row"
				break
			}
			return c.broke(enc, &hotreader.Error{Op: "answer", Code: hotreader.CodeTooLarge, Err: errLargeRow})
		}
		if err := enc.Row(row); err != nil {
			return c.broke(enc, err)
		}
		n++
	}
	enc.Warn(c.stats.Warnings())
	if err := enc.End(more); err != nil {
		return c.broke(nil, err)
	}
	return nil
}

// broke ends a row stream that failed. While nothing has been sent, err becomes
// a problem; afterwards enc, if it still can, sends it.
func (c *call) broke(enc *wire.Encoder, err error) error {
	if !c.w.began() {
		c.w.Header().Del("Content-Type")
		return err
	}
	if enc == nil || enc.Fail(err) != nil {
		c.w.broken = true
	}
	return err
}

var errLargeRow = errors.New("a single row is larger than an answer may be; ask for fewer properties")

// frameRoom is for the header, the end mark and what frames need beside their
// rows.
const frameRoom = 256

// frames sends each frame at once.
type frames struct {
	c       *call
	control *http.ResponseController
}

func (f *frames) Write(frame []byte) (int, error) {
	f.c.sendWithin(sendTime)
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

// reading is a Reader for a request: of the devices that its caller may read,
// counted for its log, and with its errors timely.
type reading struct {
	c    *call
	read func(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error]
}

// Read implements hotreader.Reader.
func (r reading) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if err := r.c.who.Devices.Check(q.Device); err != nil {
		return hotreader.Fail(err)
	}
	return func(yield func(hotreader.Row, error) bool) {
		for row, err := range r.read(ctx, q) {
			if err != nil {
				yield(hotreader.Row{}, timely(ctx, err))
				return
			}
			r.c.counted(row.Values[:len(q.Properties)], 1)
			if !yield(row, nil) {
				return
			}
		}
	}
}

// counted adds a row to what is told of the answer, or with -1 takes it back.
func (c *call) counted(values []hotreader.Value, n int) {
	c.rows += n
	for _, v := range values {
		if !v.IsNull() {
			c.points += n
		}
	}
}

// timely returns err, as CodeDeadline if it came of ctx's time being used up.
// Stores have many words for that, for a connection that is cut, too, looks like
// a failing one.
func timely(ctx context.Context, err error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	switch hotreader.CodeOf(err) {
	case hotreader.CodeCanceled, hotreader.CodeUnavailable, hotreader.CodeStore, hotreader.CodeInternal:
		return &hotreader.Error{Op: "request", Code: hotreader.CodeDeadline, Err: err}
	}
	return err
}
