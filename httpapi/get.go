package httpapi

import (
	"context"
	"errors"
	"iter"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/codec/plain"
)

const (
	jsonType = "application/json"
	csvType  = "text/csv"
)

// parameters parses the query string and rejects parameters that the route does not
// know: a misspelled one must not silently change the query.
func (c *call) parameters() (url.Values, error) {
	c.device = c.id() // the log names it even if the rest is invalid
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, invalid("the query string cannot be read: %.200s", err.Error())
	}
	known := c.route.parameters
	for name, given := range values {
		if !slices.Contains(known, name) {
			return nil, invalid("the parameter %.40q is unknown; known are: %s", name, strings.Join(known, ", "))
		}
		if len(given) > 1 && name != "property" && name != "type" {
			return nil, invalid("the parameter %q is given %d times", name, len(given))
		}
	}
	return values, nil
}

// encoder returns an encoder for the format that the Accept header prefers, and
// the Content-Type.
func (c *call) encoder(properties []string) (*plain.Encoder, string, error) {
	accept := c.r.Header["Accept"]
	if quality(accept, csvType) > quality(accept, jsonType) {
		e, err := plain.NewEncoder(plain.CSV, properties)
		return e, csvType + "; charset=utf-8; header=present", err
	}
	e, err := plain.NewEncoder(plain.JSON, properties)
	return e, jsonType, err
}

// history answers GET /v1/devices/{id}/history.
func (a *api) history(c *call) error {
	values, err := c.parameters()
	if err != nil {
		return err
	}
	q, err := c.query(values)
	if err != nil {
		return err
	}
	limit := q.Limit
	if limit > 0 {
		q.Limit++ // one more row shows whether there is another page
	}
	whole, more := q, true // whole is the query that tokens are signed for
	token, later := single(values, "next_token")
	if later {
		last, err := a.verify(&whole, token)
		if err != nil {
			return err
		}
		q, more = q.Behind(last)
	}
	e, contentType, err := c.encoder(q.Properties)
	if err != nil {
		return err
	}
	return a.answer(c, contentType, func(dst []byte) ([]byte, error) {
		var rows iter.Seq2[hotreader.Row, error] = func(func(hotreader.Row, error) bool) {}
		if more {
			rows = requestReader{c, a.reader.Read}.Read(c.ctx, q)
		}
		dst, last, err := a.page(c, e, dst, limit, rows)
		if err != nil {
			return dst, err
		}
		token := ""
		if last != nil {
			token = a.sign(&whole, *last)
			values.Set("next_token", token)
			c.w.Header().Set("Link", "<?"+values.Encode()+`>; rel="next"`)
		} else if err := c.nothing(); err != nil && !later { // a page before another has a row
			return dst, err
		}
		return c.tail(e, dst, token), nil
	})
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
	values, err := c.parameters()
	if err != nil {
		return err
	}
	q, err := c.subject(values)
	if err != nil {
		return err
	}
	q.Last, q.LookBack = true, a.o.LookBack
	if q.End, err = end(values); err != nil {
		return err
	}
	if err := q.Check(); err != nil {
		return err
	}
	e, contentType, err := c.encoder(q.Properties)
	if err != nil {
		return err
	}
	return a.answer(c, contentType, func(dst []byte) ([]byte, error) {
		dst = e.AppendHead(dst)
		first := true
		for row, err := range (requestReader{c, a.reader.Read}).Read(c.ctx, q) {
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

// subject reads what both GET routes take: the device, its properties, and their
// types.
func (c *call) subject(values url.Values) (hotreader.Query, error) {
	q := hotreader.Query{Device: c.device}
	var err error
	if q.Properties, err = names(values, "property"); err != nil {
		return q, err
	}
	if len(q.Properties) == 0 {
		return q, invalid("the parameter property is missing; give it once for each property, or a list, as a,b")
	}
	types, err := names(values, "type")
	if err == nil {
		if q.Types, err = plain.Types(q.Properties, types); err != nil {
			err = invalid("type: %w", err)
		}
	}
	return q, err
}

// names returns the names that a parameter lists, all times that it is given.
func names(values url.Values, parameter string) (all []string, err error) {
	for _, text := range values[parameter] {
		list, err := plain.Names(text)
		if err != nil {
			return nil, invalid("%s is %.40q; %w", parameter, text, err)
		}
		all = append(all, list...)
	}
	return all, nil
}

// query reads the parameters of a history.
func (c *call) query(values url.Values) (q hotreader.Query, err error) {
	if q, err = c.subject(values); err != nil {
		return q, err
	}
	if q.Start, err = instant(values, "start"); err != nil {
		return q, err
	}
	if q.End, err = end(values); err != nil {
		return q, err
	}
	if text, ok := single(values, "order"); ok {
		switch strings.ToLower(text) {
		case "asc", "ascending":
		case "desc", "descending":
			q.Order = hotreader.Descending
		default:
			return q, invalid("order is %.40q; want asc or desc", text)
		}
	}
	if text, ok := single(values, "limit"); ok {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || n == 0 {
			return q, invalid("limit is %.40q; want a whole number from 1 to %d", text, math.MaxInt32)
		}
		q.Limit = int(n)
	}
	return q, q.Check()
}

func single(values url.Values, name string) (string, bool) {
	given, ok := values[name]
	if !ok {
		return "", false
	}
	return given[0], true
}

func end(values url.Values) (time.Time, error) {
	t, err := instant(values, "end")
	if _, ok := values["end"]; ok && t.IsZero() {
		t = t.Add(-1) // the year 1 was given; the zero time would leave the range open
	}
	return t, err
}

func instant(values url.Values, name string) (time.Time, error) {
	text, ok := single(values, name)
	if !ok {
		return time.Time{}, nil
	}
	t, err := hotreader.ParseTime([]byte(text))
	if err != nil {
		hint := ""
		if strings.Contains(text, " ") {
			hint = " (a + in a URL is written %2B)"
		}
		return t, invalid("%s: %w%s", name, err, hint)
	}
	return t, nil
}
