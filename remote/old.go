package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/wire"
)

// A peer that knows only JSON answers in TwinMaker's shape, in pages, and may
// not know of order, limit and filters. So nothing is taken on trust but that a
// page without a nextToken is the last one; the meaning on top sees to the rest.
// What the format cannot say is not there: the time of a last entry, text beyond
// 256 characters, a column of several kinds.

const (
	maxPage = 32 << 20 // bytes of one JSON answer: the largest that any cloud's functions send
	maxHeld = 64 << 20 // bytes of pages that must be put in order first
)

// old yields the rows of q from a peer of JSON, whose first answer is a.
func (x *exchange) old(q hotreader.Query, a *answer) error {
	if q.Last && q.Start.IsZero() && q.End.IsZero() && len(q.Filters) == 0 {
		return x.oldLast(q, a)
	}
	p := &pages{x: x, ask: q}
	if q.Last {
		// Such an answer tells no times, so that nobody could see to range and
		// filters. Look back over the series instead.
		p.ask.Last, p.ask.Order, p.ask.Limit = false, hotreader.Descending, hotreader.LookBack
	}
	p.ask.Properties = slices.Clone(q.Columns())
	if q.Types != nil { // of columns for filters alone no type is known
		p.ask.Types = append(slices.Clone(q.Types), make([]hotreader.Type, len(p.ask.Properties)-len(q.Properties))...)
	}
	if len(q.Filters) > 0 {
		p.ask.Limit = 0 // a peer that limits before it filters would send too little
	}
	if !q.Last && len(p.ask.Properties) == len(q.Properties) {
		p.first = a
	}
	var gone error
	err := p.each(func(row hotreader.Row) bool {
		if err := x.ctx.Err(); err != nil {
			gone = x.fail(hotreader.CodeOf(err), err)
			return false
		}
		x.stopped = q.Contains(row.Time) && !x.yield(row, nil)
		return !x.stopped
	})
	if gone != nil {
		return gone
	}
	return err
}

func (x *exchange) oldLast(q hotreader.Query, a *answer) error {
	body, err := x.page(a)
	if err != nil {
		return err
	}
	rows, err := twinmaker.ParseLastEntryAnswer(body, q)
	if err != nil {
		return x.parsed(err)
	}
	for _, row := range rows {
		if !x.yield(row, nil) {
			x.stopped = true
			return nil
		}
	}
	return nil
}

// parsed names the peer in an error of the codec.
func (x *exchange) parsed(err error) error {
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok {
		return x.fail(hotreader.CodeProtocol, x.hide(err))
	}
	return x.fail(e.Code, x.hide(e.Err))
}

// page reads an answer of JSON whole.
func (x *exchange) page(a *answer) ([]byte, error) {
	var buf bytes.Buffer
	_, err := buf.ReadFrom(io.LimitReader(a, maxPage+1))
	switch body := bytes.TrimSpace(buf.Bytes()); {
	case err != nil:
		return nil, x.transport(err, a)
	case buf.Len() > maxPage:
		return nil, x.fail(hotreader.CodeTooLarge, fmt.Errorf("the answer has more than %d bytes; ask for less", maxPage))
	case len(body) == 0:
		return nil, x.fail(hotreader.CodeProtocol, errors.New("status 200, but the answer is empty"))
	case body[0] == '{' && !json.Valid(body):
		return nil, x.fail(hotreader.CodeCorrupt, fmt.Errorf("the answer's JSON is broken or cut, at %d bytes", len(body)))
	default:
		return body, nil
	}
}

// pages is a series that comes in pages.
type pages struct {
	x      *exchange
	ask    hotreader.Query
	first  *answer // nil = ask
	token  string
	tokens map[string]bool
	size   int // bytes of the last page
}

// next returns the next page's rows in the order asked for.
func (p *pages) next() ([]hotreader.Row, error) {
	x := p.x
	a := p.first
	p.first = nil
	if a == nil {
		e := wire.NewEnvelope(p.ask, x.r.o.SourceCloud, x.traceID)
		e.Payload.NextToken = p.token
		var err error
		if a, err = x.post(e, "application/json"); err != nil {
			return nil, err
		}
		defer a.close()
		if a.media != "application/json" {
			return nil, x.strange(a, "JSON was asked for")
		}
	}
	body, err := x.page(a)
	if err != nil {
		return nil, err
	}
	p.size = len(body)
	rows, token, err := twinmaker.ParseHistoryAnswer(body, p.ask)
	if err != nil {
		return nil, x.parsed(err)
	}
	if err := p.turn(body, token, len(rows)); err != nil {
		return nil, err
	}
	if p.ask.Order == hotreader.Descending {
		slices.Reverse(rows)
	}
	return rows, nil
}

// turn takes the page's token, unless it leads nowhere.
func (p *pages) turn(body []byte, token string, rows int) error {
	var key struct{ NextToken *string }
	if json.Unmarshal(body, &key) == nil && key.NextToken != nil && *key.NextToken == "" {
		return p.x.fail(hotreader.CodeProtocol, errors.New("the peer sent an empty nextToken: it must leave it out at the end"))
	}
	if p.token = token; token == "" {
		return nil
	}
	if p.tokens == nil {
		p.tokens = make(map[string]bool)
	}
	switch {
	case p.tokens[token]:
		return p.x.fail(hotreader.CodeProtocol, errors.New("the peer sent the same nextToken again"))
	case rows == 0:
		return p.x.fail(hotreader.CodeProtocol, errors.New("the peer sent a nextToken with an empty page"))
	}
	p.tokens[token] = true
	return nil
}

// each calls yield with the series' rows, in order, no instant twice, until it
// returns false. One page is held back, for only the next one shows whether the
// peer pages in the order asked for, and may complete the last row.
func (p *pages) each(yield func(hotreader.Row) bool) error {
	held, err := p.next()
	if err != nil {
		return err
	}
	size := p.size
	for n := 1; p.token != ""; n++ {
		if err := p.x.ctx.Err(); err != nil {
			return p.x.fail(hotreader.CodeOf(err), err)
		}
		page, err := p.next()
		if err != nil {
			return err
		}
		switch end := len(held) - 1; {
		case len(page) == 0:
		case len(held) == 0:
			held = page
		case p.behind(page[0].Time, held[end].Time):
			if !yieldAll(held, yield) {
				return nil
			}
			held = page
		case page[0].Time.Equal(held[end].Time):
			merge(held[end], page[0])
			page[0] = held[end]
			if !yieldAll(held[:end], yield) {
				return nil
			}
			held = page
		case n == 1:
			return p.collect(append(held, page...), size+p.size, yield)
		default:
			return p.x.fail(hotreader.CodeProtocol, fmt.Errorf("page %d goes back behind %s", n+1, held[end].Time.Format(time.RFC3339Nano)))
		}
		size = p.size
	}
	yieldAll(held, yield)
	return nil
}

// collect reads all pages of a peer that does not page in the order asked for.
func (p *pages) collect(rows []hotreader.Row, size int, yield func(hotreader.Row) bool) error {
	rows = p.sort(rows)
	for p.token != "" {
		if err := p.x.ctx.Err(); err != nil {
			return p.x.fail(hotreader.CodeOf(err), err)
		}
		page, err := p.next()
		if err != nil {
			return err
		}
		if size += p.size; size > maxHeld {
			return p.x.fail(hotreader.CodeTooLarge, fmt.Errorf(
				"the peer sends its pages in another order than asked for, and more than %d bytes of them; ask for a shorter range", maxHeld))
		}
		before := cells(rows)
		if rows = p.sort(append(rows, page...)); cells(rows) == before {
			return p.x.fail(hotreader.CodeProtocol, errors.New("the peer sent a nextToken, and behind it nothing new"))
		}
	}
	yieldAll(rows, yield)
	return nil
}

// sort puts rows in order and makes those of one instant one.
func (p *pages) sort(rows []hotreader.Row) []hotreader.Row {
	slices.SortStableFunc(rows, func(a, b hotreader.Row) int {
		if p.ask.Order == hotreader.Descending {
			a, b = b, a
		}
		return a.Time.Compare(b.Time)
	})
	kept := rows[:0]
	for _, row := range rows {
		if n := len(kept); n > 0 && kept[n-1].Time.Equal(row.Time) {
			merge(kept[n-1], row)
			continue
		}
		kept = append(kept, row)
	}
	return kept
}

// merge takes over what later has.
func merge(row, later hotreader.Row) {
	for i, v := range later.Values {
		if !v.IsNull() {
			row.Values[i] = v
		}
	}
}

// cells counts the values in rows.
func cells(rows []hotreader.Row) (n int) {
	for _, row := range rows {
		for _, v := range row.Values {
			if !v.IsNull() {
				n++
			}
		}
	}
	return n
}

func (p *pages) behind(t, last time.Time) bool {
	if p.ask.Order == hotreader.Descending {
		return t.Before(last)
	}
	return t.After(last)
}

func yieldAll(rows []hotreader.Row, yield func(hotreader.Row) bool) bool {
	for _, row := range rows {
		if !yield(row) {
			return false
		}
	}
	return true
}
