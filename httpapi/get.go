package httpapi

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/codec/plain"
)

// history answers GET /v1/devices/{id}/history.
func (a *api) history(c *call) error {
	c.device = c.id() // the log names it even if the rest is invalid
	p, err := c.parameters()
	if err != nil {
		return err
	}
	whole := p.history(c.device) // the query that tokens are signed for
	e, contentType := p.encoder(c.r.Header["Accept"], whole.Properties)
	if err := p.err(); err != nil {
		return err
	}
	var last time.Time // of the page before
	token, later := p.single("next_token")
	if later {
		if last, err = a.verify(c.ctx, &whole, token); err != nil {
			return err
		}
	}
	whole.grid()
	q, more := whole.Query, true
	limit := q.Limit
	if limit > 0 {
		q.Limit++ // one more row shows whether there is another page
	}
	if later {
		q, more = q.Behind(last)
	}
	a.declare(&q)
	return a.answer(c, contentType, func(dst []byte) ([]byte, error) {
		var rows iter.Seq2[hotreader.Row, error] = func(func(hotreader.Row, error) bool) {}
		if more {
			rows = a.reads(c, a.reader.Read).Read(c.ctx, q)
		}
		dst, last, err := a.page(c, e, dst, limit, rows)
		if err != nil {
			return dst, err
		}
		token := ""
		if last != nil {
			token = a.sign(&whole, *last)
			c.next(p, token)
		} else if err := c.nothing(); err != nil && !later { // a page before another has a row
			return dst, err
		}
		return c.tail(e, dst, token), nil
	})
}

// next names the next page in a header, for formats that have no place for a token.
func (c *call) next(p *parameters, token string) {
	p.values.Set("next_token", token)
	c.w.Header().Set("Link", "<?"+p.values.Encode()+`>; rel="next"`)
}

// nothing returns the error of an answer without rows from which values were left out.
func (c *call) nothing() error {
	if c.rows > 0 {
		return nil
	}
	return c.stats.Nothing()
}

// tail appends the end of an answer. A header has the number of warnings, since CSV has
// no other place for them.
func (c *call) tail(e *plain.Encoder, dst []byte, token string) []byte {
	warnings := c.stats.Warnings()
	if len(warnings) > 0 {
		c.w.Header().Set("Warning-Count", strconv.Itoa(len(warnings)))
	}
	return e.AppendTail(dst, token, warnings)
}

// tailRoom is kept free for the end of a page, in bytes. Warnings, which are rare and
// few, may exceed it: hosts have more room than that.
const tailRoom = 512

// page appends rows until they end, or until the limit, the byte budget or the time
// budget is reached. It returns the time of its last row if another page follows, else
// nil.
func (a *api) page(c *call, e *plain.Encoder, dst []byte, limit int, rows iter.Seq2[hotreader.Row, error]) ([]byte, *time.Time, error) {
	ctx := c.ctx
	dst = e.AppendHead(dst)
	var end time.Time // set once there is a row
	n := 0
	for row, err := range rows {
		if err != nil {
			if n > 0 && outOfTime(ctx, err) {
				return dst, &end, nil
			}
			return dst, nil, err
		}
		if limit > 0 && n == limit {
			c.count(row.Values, -1)
			return dst, &end, nil
		}
		before := len(dst)
		dst = e.AppendRow(dst, row, n == 0)
		if len(dst) > a.o.MaxAnswer-tailRoom {
			if n == 0 {
				return dst, nil, errLargeRow
			}
			c.count(row.Values, -1)
			return dst[:before], &end, nil
		}
		end = row.Time
		if n++; n%clockCheckRows == 0 && ctx.Err() != nil {
			if !outOfTime(ctx, ctx.Err()) {
				return dst, nil, ctx.Err()
			}
			limit = n // the next row, if there is one, ends the page
		}
	}
	return dst, nil, nil
}

// clockCheckRows is how many rows pass between two checks of the deadline. A Source
// need not check it while it has rows at hand.
const clockCheckRows = 256

// outOfTime reports whether err means that this request's time budget is used up.
// A caller that went away, or another API's deadline, is something else.
func outOfTime(ctx context.Context, err error) bool {
	return hotreader.CodeOf(err) == hotreader.CodeDeadline && errors.Is(ctx.Err(), context.DeadlineExceeded)
}

// latest answers GET /v1/devices/{id}/latest.
func (a *api) latest(c *call) error {
	c.device = c.id()
	p, err := c.parameters()
	if err != nil {
		return err
	}
	q := hotreader.Query{Device: c.device, Last: true, LookBack: a.o.LookBack}
	p.subject(&q)
	q.End, _ = p.lastInstant("end")
	p.check(q)
	e, contentType := p.encoder(c.r.Header["Accept"], q.Properties)
	if err := p.err(); err != nil {
		return err
	}
	a.declare(&q)
	return a.answer(c, contentType, func(dst []byte) ([]byte, error) {
		dst = e.AppendHead(dst)
		first := true
		for row, err := range a.reads(c, a.reader.Read).Read(c.ctx, q) {
			if err != nil {
				return dst, err
			}
			if dst = e.AppendRow(dst, row, first); len(dst) > a.o.MaxAnswer-tailRoom {
				return dst, &hotreader.Error{Op: "answer", Code: hotreader.CodeTooLarge,
					Err: errors.New("the newest values are larger than an answer may be; ask for fewer properties")}
			}
			first = false
		}
		if err := c.nothing(); err != nil {
			return dst, err
		}
		return c.tail(e, dst, ""), nil
	})
}

// id returns the device id in the request's path.
func (c *call) id() string {
	// The third segment, as in /v1/devices/{id}/history. The path is escaped, for an
	// id may contain a slash.
	segment := c.r.URL.EscapedPath()
	for range 3 {
		_, segment, _ = strings.Cut(segment, "/")
	}
	segment, _, _ = strings.Cut(segment, "/")
	id, err := url.PathUnescape(segment)
	if err != nil {
		return "" // cannot happen: net/url has parsed the path before
	}
	return id
}
