package twinmaker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"hotreader"
	"hotreader/internal/jsontext"
)

// DefaultMaxBytes bounds an answer if Responder.MaxBytes is zero: Lambda's 6 MB, less
// what is put around the answer.
const DefaultMaxBytes = 5_500_000

// Responder answers requests in TwinMaker's JSON from a Reader's rows. It is
// safe for concurrent use.
type Responder struct {
	Reader hotreader.Reader

	// Keys returns the keys of nextTokens: the first one signs, any of them verifies.
	// nil = a fixed, public key. It detects accidents but no forgery; a forged token
	// cannot widen a query anyway.
	Keys func() [][]byte

	// Renew fetches the keys again, after a token that none of them verifies, and reports
	// whether there are others now. nil = it cannot.
	Renew func(context.Context) bool

	// MaxBytes bounds an answer; the next page has the rest. Zero = DefaultMaxBytes.
	MaxBytes int

	// LookBack bounds the search for latest values, as Query.LookBack does. Zero =
	// the constant hotreader.LookBack.
	LookBack int

	// Warnings says that the answer has a place for the context's warnings. TwinMaker's
	// has none: there a property of which every value was left out is an error, and
	// so are latest values of which the look-back found not one.
	Warnings bool

	// Reserve is the time before the context's deadline that is kept for sending the
	// page: at most a quarter of what is left when the request comes. Zero = 500 ms;
	// negative = none, since the caller has already subtracted it.
	Reserve time.Duration
}

const defaultReserve = 500 * time.Millisecond

func (r *Responder) maxBytes() int {
	if r.MaxBytes > 0 {
		return r.MaxBytes
	}
	return DefaultMaxBytes
}

// withReserve returns ctx with the deadline for reading.
func (r *Responder) withReserve(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || r.Reserve < 0 {
		return ctx, func() {}
	}
	reserve := r.Reserve
	if reserve == 0 {
		reserve = defaultReserve
	}
	reserve = min(reserve, time.Until(deadline)/4)
	return context.WithDeadline(ctx, deadline.Add(-reserve))
}

// AppendHistory appends the answer to req: one page of whole rows, as many as
// MaxResults, the byte budget and the time budget allow, at least one. A property
// without values has an empty series. The answer has a nextToken if more rows follow;
// if the time budget ended the page, the next one may be empty.
//
// A query of which no page has a value although values were left out is an error of
// CodeUnreadable, on its last page.
//
// Errors are *hotreader.Error: CodeInvalid for a wrong request or nextToken,
// CodeDeadline if no row came in time, CodeTooLarge if a single row exceeds the byte
// budget, else the Reader's. dst is then returned unchanged.
func (r *Responder) AppendHistory(ctx context.Context, dst []byte, req Request) ([]byte, error) {
	const op = "twinmaker: history"
	req.Query.Last = false
	if err := req.check(op); err != nil {
		return dst, err
	}
	keys, err := r.keys()
	if err != nil {
		return dst, err
	}
	signed := binding(&req)
	var from *position
	if req.NextToken != "" {
		if from, err = parseToken(&req, keys, signed); err != nil && r.Renew != nil && r.Renew(ctx) {
			keys = r.Keys()
			from, err = parseToken(&req, keys, signed)
		}
		if err != nil {
			return dst, err
		}
	}
	if len(req.Query.Types) == 0 {
		req.Query.Types = nil
	}
	stats := new(hotreader.Stats)
	defer func() { hotreader.StatsOf(ctx).Add(stats) }()
	n := len(dst)
	var next *position
	if req.Fleet != nil {
		dst, next, err = r.appendFleet(ctx, dst, &req, from, stats)
	} else {
		dst, next, err = r.appendDevice(ctx, dst, &req, from, stats)
	}
	if err == nil && next != nil {
		dst = append(dst, `,"nextToken":"`...)
		dst, err = appendToken(dst, keys[0], signed, next)
		dst = append(dst, '"')
	}
	if err != nil {
		return dst[:n], err
	}
	return append(dst, '}'), nil
}

// appendDevice appends an answer of one device, up to its end or its nextToken, and
// returns the next page's position, nil if there is none.
func (r *Responder) appendDevice(ctx context.Context, dst []byte, req *Request, from *position, stats *hotreader.Stats) ([]byte, *position, error) {
	page := newPage(&req.Query)
	defer page.release()
	if from != nil {
		page.setFates(from.fates)
	}
	reading, cancel := r.withReserve(hotreader.WithStats(ctx, stats))
	defer cancel()
	f := pageFiller{Responder: r, ctx: reading, caller: ctx, req: req, page: page, from: from, want: r.rows(req),
		budget: r.maxBytes() - around(req) - overhead(req, req.Query.Device)}
	var next *position
	var err error
	if req.passes(req.Query.Device) {
		next, err = f.read()
	}
	page.account(req, stats)
	page.known(req, stats)
	if err == nil && next == nil {
		err = r.ended(req, page.fates(), stats)
	}
	if err != nil {
		return dst, nil, err
	}
	if next != nil {
		next.fates = page.fates()
	}
	return r.appendWarnings(page.appendSeries(dst, req), req, stats), next, nil
}

// rows returns how many rows a page may have; 0 = any number.
func (r *Responder) rows(req *Request) int {
	if req.MaxResults == 0 {
		return 0
	}
	return max(1, req.MaxResults/len(req.Query.Properties))
}

// appendSeries appends the beginning of an answer, with the series of each property.
func (p *page) appendSeries(dst []byte, req *Request) []byte {
	dst = append(dst, `{"propertyValues":[`...)
	for i, name := range req.names() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = req.appendOne(dst, name.Property, req.Query.Device, p.columns[name.Column].buf)
	}
	return append(dst, ']')
}

// appendOne appends the series of one property of a device. points has a comma after
// each.
func (r *Request) appendOne(dst []byte, property, device string, points []byte) []byte {
	dst = append(dst, `{"entityPropertyReference":`...)
	dst = r.Ref.append(dst, property, device)
	dst = append(dst, `,"values":[`...)
	if len(points) > 0 {
		dst = append(dst, points[:len(points)-1]...)
	}
	return append(dst, `]}`...)
}

// appendWarnings appends them if the answer has a place for them.
func (r *Responder) appendWarnings(dst []byte, req *Request, stats *hotreader.Stats) []byte {
	if !r.Warnings && !req.Warnings {
		return dst
	}
	return hotreader.AppendWarnings(dst, stats.Warnings())
}

// append appends the reference of a property as JSON.
func (ref *Reference) append(dst []byte, property, device string) []byte {
	open := byte('{')
	key := func(name, value string) {
		dst = append(append(append(dst, open, '"'), name...), `":`...)
		dst, open = jsontext.AppendString(dst, value), ','
	}
	if ref.EntityID != "" {
		key("entityId", ref.EntityID)
		if ref.ComponentName != "" {
			key("componentName", ref.ComponentName)
		}
		if ref.ComponentPath != "" {
			key("componentPath", ref.ComponentPath)
		}
	} else if len(ref.ExternalNames) > 0 {
		dst = append(dst, `{"externalIdProperty":`...)
		for _, name := range ref.ExternalNames {
			dst = jsontext.AppendString(append(dst, open), name)
			dst, open = jsontext.AppendString(append(dst, ':'), device), ','
		}
		dst, open = append(dst, '}'), ','
	}
	key("propertyName", property)
	return append(dst, '}')
}

// around bounds the bytes of an answer besides its series.
func around(req *Request) int { return len(`{"propertyValues":[],"nextToken":""}`) + tokenBound(req) }

// overhead bounds the bytes of a device's series besides its points.
func overhead(req *Request, device string) (n int) {
	for _, name := range req.names() {
		n += len(`{"entityPropertyReference":,"values":[]},`) + len(req.Ref.append(nil, name.Property, device))
	}
	return n
}

// tokenBound bounds the characters of a nextToken.
func tokenBound(req *Request) int {
	n := len(req.Query.Properties)
	raw := 64 + 2*n
	if req.Interpolation > 0 {
		raw += n * maxTrackBytes
	}
	if req.Fleet != nil {
		raw += n + 4 + hotreader.MaxDeviceBytes
	}
	return min(raw*4/3, MaxTokenChars)
}

// pageFiller fills one page.
type pageFiller struct {
	*Responder
	ctx    context.Context // for reading; it ends before the caller's
	caller context.Context
	req    *Request
	page   *page
	from   *position // where the page begins; nil = it is the first
	budget int       // bytes of points

	want int // rows, or steps; 0 = any number

	// Without interpolation.
	rows int       // in the page
	last time.Time // of the last row that is in the page, or has no point
	more bool      // the page is full, or its time is up
}

// timeUp reports whether the time for reading is used up, but not the caller's.
func (f *pageFiller) timeUp() bool { return f.ctx.Err() != nil && f.caller.Err() == nil }

// read fills the page, and returns the next page's position, nil if there is none.
func (f *pageFiller) read() (*position, error) {
	if f.req.Interpolation > 0 {
		return f.readSteps()
	}
	return f.readRows()
}

// readRows fills the page with rows. It returns the next page's position, nil if there
// is none.
func (f *pageFiller) readRows() (*position, error) {
	q := f.req.Query
	q.Limit = 0
	if f.from != nil {
		var ok bool
		if q, ok = q.Behind(f.from.last); !ok {
			return nil, nil
		}
		for i := range f.page.columns {
			f.page.columns[i].setType(f.from.types[i])
		}
	}
	q.Types = f.page.types()
	if f.want > 0 {
		q.Limit = f.want + 1 // one more row shows whether there is another page
	}
	for {
		got, err := f.add(f.Reader.Read(f.ctx, q))
		if err != nil {
			return nil, err
		}
		ended := !f.more && (q.Limit == 0 || got < q.Limit)
		rest, ok := q.Behind(f.last)
		switch {
		case ended || !ok:
			return nil, nil
		case f.more:
			return &position{kind: rowsPosition, last: f.last, types: f.page.types()}, nil
		}
		// Rows without a point have used up the limit: read on.
		q = rest
		q.Types = f.page.types()
	}
}

// add adds rows until they end or the page is full, and returns how many came.
func (f *pageFiller) add(rows iter.Seq2[hotreader.Row, error]) (got int, err error) {
	for row, err := range rows {
		if err == nil {
			err = f.ctx.Err()
		}
		if err != nil {
			if f.rows == 0 || !f.timeUp() {
				return got, readError(err)
			}
			f.more = true
			return got, nil
		}
		got++
		if n := f.page.add(&row); n > 0 {
			over := f.page.size - f.budget
			if f.rows > 0 && (f.rows == f.want || over > 0) {
				f.page.removeRow()
				f.more = true
				return got, nil
			}
			if over > 0 {
				return got, tooLarge(over+f.maxBytes(), f.maxBytes())
			}
			f.rows++
		}
		f.last = row.Time
	}
	return got, nil
}

// types returns the columns' types as far as they are known.
func (p *page) types() []hotreader.Type {
	types := make([]hotreader.Type, len(p.columns))
	for i := range p.columns {
		types[i] = p.columns[i].typ
	}
	return types
}

func tooLarge(size, most int) error {
	return &hotreader.Error{Op: "twinmaker: history", Code: hotreader.CodeTooLarge,
		Err: fmt.Errorf("a single row makes an answer of %d bytes, at most %d are allowed; select fewer properties", size, most)}
}

// readError gives an error of reading a code if it has none.
func readError(err error) error {
	if _, ok := errors.AsType[*hotreader.Error](err); ok {
		return err
	}
	return &hotreader.Error{Op: "twinmaker: read", Code: hotreader.CodeOf(err), Err: err}
}

// AppendLastEntry appends the answer to a last-entry request: an object with the
// newest usable value of each property, in the order requested.
//
// A property without a value is not in the object. TwinMaker's model would allow an
// entry without propertyValue (PropertyLatestValue requires only its reference), but
// clients read the value without checking that it is there. A property of which all
// values were left out is an error, as in a history. If the look-back ended before any
// property had a value, that is ErrLookBack.
//
// Errors are as AppendHistory's.
func (r *Responder) AppendLastEntry(ctx context.Context, dst []byte, req Request) ([]byte, error) {
	const op = "twinmaker: latest values"
	req.Query.Last = true
	req.Query.Limit = 0
	req.Query.LookBack = cmp.Or(req.Query.LookBack, r.LookBack)
	req.Interpolation, req.MaxResults = 0, 0
	if err := req.check(op); err != nil {
		return dst, err
	}
	page := newPage(&req.Query)
	defer page.release()
	stats := new(hotreader.Stats)
	defer func() { hotreader.StatsOf(ctx).Add(stats) }()
	reading, cancel := r.withReserve(hotreader.WithStats(ctx, stats))
	defer cancel()
	var err error
	if req.passes(req.Query.Device) {
		err = r.readLast(reading, page, req.Query)
	}
	page.account(&req, stats)
	if err == nil {
		err = r.ended(&req, page.fates(), stats)
	}
	if err == nil && !r.Warnings {
		err = page.found(stats)
	}
	if err != nil {
		return dst, err
	}
	n := len(dst)
	dst = append(dst, `{"propertyValues":{`...)
	comma := false
	for _, name := range req.names() {
		c := &page.columns[name.Column]
		if len(c.buf) == 0 {
			continue
		}
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = append(jsontext.AppendString(dst, name.Property), `:{"propertyReference":`...)
		dst = req.Ref.append(dst, name.Property, req.Query.Device)
		dst = append(append(dst, `,"propertyValue":{`...), c.key...)
		dst = append(append(dst, c.buf...), "}}"...)
	}
	dst = append(r.appendWarnings(append(dst, '}'), &req, stats), '}')
	if len(dst)-n > r.maxBytes() {
		return dst[:n], tooLarge(len(dst)-n, r.maxBytes())
	}
	return dst, nil
}

// readLast puts the newest usable value of each property into its column. For a
// property without a declared type, a Reader returns some values that TwinMaker cannot
// take. Such a property is read again with TwinMaker's type for its kind.
func (r *Responder) readLast(ctx context.Context, page *page, q hotreader.Query) error {
	columns := make([]int, len(q.Properties)) // the column of each property of q
	for i := range columns {
		columns[i] = i
	}
	all := q.Properties
	q.Types = page.types()
	for {
		again, err := r.readUsable(ctx, page, q, columns)
		if err != nil || len(again) == 0 {
			return err
		}
		names, types := make([]string, len(again)), make([]hotreader.Type, len(again))
		for i, column := range again {
			c := &page.columns[column]
			if c.typ == hotreader.AnyNumber {
				c.setType(hotreader.Double)
			} else {
				c.setType(hotreader.ShortString)
			}
			names[i], types[i] = all[column], c.typ
		}
		q.Properties, q.Types, columns = names, types, again
	}
}

// readUsable puts the values that TwinMaker can take into their columns, and returns
// the columns that must be read again.
func (r *Responder) readUsable(ctx context.Context, page *page, q hotreader.Query, columns []int) (again []int, err error) {
	for row, err := range r.Reader.Read(ctx, q) {
		if err != nil {
			return nil, readError(err)
		}
		for i, v := range row.Values {
			c := &page.columns[columns[i]]
			c.learn(row.Types[i])
			if v.IsNull() || len(c.buf) > 0 {
				continue
			}
			if v, ok := page.fit(c, v); ok {
				c.buf = appendValue(c.buf, v)
			} else if c.typ == hotreader.AnyNumber || c.typ == hotreader.AnyString {
				again = append(again, columns[i])
			} else {
				c.leftOut++
			}
		}
	}
	return again, nil
}
