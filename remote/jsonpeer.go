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

// An older peer, which knows only JSON, answers in TwinMaker's format, in pages, and
// may not know order, limit and filters. So remote relies only on this: a page without
// a nextToken is the last one. Meaning, above, does the rest. The format cannot hold
// the time of a latest value, text beyond 256 characters, or a column of several kinds.

const (
	maxPage   = 9 << 20   // bytes of one JSON answer: an API sends 8 MB at most, and warnings
	maxHeld   = 32 << 20  // bytes that one read holds in memory, as to sort pages
	maxShared = 512 << 20 // bytes of pages that all reads of a Source hold, or a quarter of the memory limit
	maxParsed = 2         // pages that are parsed at once, which takes several times their bytes

	rowBytes   = 48 // of a row in memory, without its values
	valueBytes = 40 // of each
)

// readJSON yields the rows of q from a JSON peer, whose first answer is a.
func (x *exchange) readJSON(q hotreader.Query, a *answer) error {
	if q.Last && q.Start.IsZero() && q.End.IsZero() && len(q.Filters) == 0 {
		return x.readJSONLatest(q, a)
	}
	p := &pages{x: x, query: q, ask: q}
	if q.Last {
		// An answer of latest values has no times, so range and filters could not be
		// applied to it. Read the series backwards instead.
		p.ask.Last, p.ask.Order, p.ask.Limit = false, hotreader.Descending, q.MaxLooked()
	}
	p.ask.Properties = slices.Clone(q.Columns())
	if q.Types != nil { // columns that only filters name have no type
		p.ask.Types = append(slices.Clone(q.Types), make([]hotreader.Type, len(p.ask.Properties)-len(q.Properties))...)
	}
	if len(q.Filters) > 0 || q.Pick.Kind != hotreader.PickAll {
		p.ask.Limit = 0 // a peer that limits before it filters or picks would send too little
	}
	if !q.Last && len(p.ask.Properties) == len(q.Properties) {
		p.first = a
	}
	return p.yieldAll()
}

func (x *exchange) readJSONLatest(q hotreader.Query, a *answer) error {
	body, err := x.page(a)
	if err != nil {
		return err
	}
	last, err := x.parse(twinmaker.ParseLastEntryAnswer, body, q)
	if err != nil {
		return err
	}
	return x.giveAll(last.Rows)
}

// parse calls one of the codec's functions, names the peer in its errors, and takes over
// its warnings. It waits while others parse.
func (x *exchange) parse(codec func([]byte, hotreader.Query) (twinmaker.PeerAnswer, error), body []byte, q hotreader.Query) (came twinmaker.PeerAnswer, err error) {
	select {
	case x.r.parsed <- struct{}{}:
		defer func() { <-x.r.parsed }()
	case <-x.ctx.Done():
		return came, x.fail(hotreader.CodeOf(x.ctx.Err()), x.ctx.Err())
	}
	if came, err = codec(body, q); err == nil {
		x.warn(came.Warnings)
		return came, nil
	}
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok {
		return came, x.fail(hotreader.CodeProtocol, x.hide(err))
	}
	return came, x.fail(e.Code, x.hide(e.Err))
}

// page reads all of a JSON answer.
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
	query  hotreader.Query
	ask    hotreader.Query // the query that the peer gets
	first  *answer         // the first page, if it has come already; else nil
	token  string          // of the next page
	marked string          // a token that came before
	number int             // of pages that have come
	size   int             // bytes of the last page
	holds  int             // bytes of all pages that are in memory

	strays int  // rows from outside of the range
	given  bool // a row from within it
}

// next returns the next page's rows in the order asked for.
func (p *pages) next() ([]hotreader.Row, error) {
	x := p.x
	a := p.first
	p.first = nil
	if a == nil {
		e := x.envelope(p.ask)
		e.Payload.NextToken = p.token
		var err error
		if a, err = x.post(e, "application/json"); err != nil {
			return nil, err
		}
		defer a.close()
		if a.media != "application/json" {
			return nil, x.unexpected(a, "JSON was asked for")
		}
	}
	body, err := x.page(a)
	if err != nil {
		return nil, err
	}
	came, err := x.parse(twinmaker.ParseHistoryAnswer, body, p.ask)
	rows, token := came.Rows, came.NextToken
	switch {
	case err != nil:
		return nil, err
	case len(token) > wire.MaxNextToken:
		return nil, x.fail(hotreader.CodeProtocol, fmt.Errorf("the peer sent a nextToken of %d characters; expected %d at most", len(token), wire.MaxNextToken))
	case token != "" && token == p.marked:
		return nil, x.fail(hotreader.CodeProtocol, errors.New("the peer sent the same nextToken again"))
	case token != "" && len(rows) == 0:
		return nil, x.fail(hotreader.CodeProtocol, errors.New("the peer sent a nextToken with an empty page"))
	}
	if p.number++; p.number&(p.number-1) == 0 { // so that tokens that go in a circle meet one that is marked
		p.marked = token
	}
	p.token, p.size = token, max(len(body), len(rows)*(rowBytes+len(p.ask.Properties)*valueBytes))
	if err := p.hold(p.holds + p.size); err != nil {
		return nil, err
	}
	if p.ask.Order == hotreader.Descending {
		slices.Reverse(rows)
	}
	return rows, nil
}

// hold counts the bytes of pages that p has in memory from now on. There is always room
// for one read.
func (p *pages) hold(bytes int) error {
	more := int64(bytes - p.holds)
	p.holds = bytes
	if all := p.x.r.held.Add(more); more > 0 && all > max(p.x.r.room, int64(bytes)) {
		e := p.x.fail(hotreader.CodeOverloaded, errors.New("other reads take the memory for pages; ask again"))
		e.RetryAfter = 5 * time.Second
		return e
	}
	return nil
}

// yieldAll yields the series' rows in order, no instant twice. It holds back one page,
// since only the next one shows whether the peer's pages are in the order asked for,
// and that page may complete the last row. If they are not, it holds back all pages
// and sorts them.
func (p *pages) yieldAll() error {
	var held []hotreader.Row
	yielded, unordered := 0, false
	defer func() { _ = p.hold(0) }()
	for n := 1; n == 1 || p.token != ""; n++ {
		page, err := p.next()
		if err != nil {
			return err
		}
		order, complete := 1, len(held) // rows that this page cannot add to
		if len(held) > 0 && len(page) > 0 {
			order = p.compare(page[0], held[complete-1])
		}
		if order >= 0 && !unordered {
			if order == 0 {
				complete--
			}
			if err := p.give(held[:complete]); err != nil {
				return err
			}
			held, yielded = p.sort(append(held[complete:], page...)), yielded+complete
			_ = p.hold(p.size) // fewer than before
			continue
		}
		if yielded > 0 {
			return p.x.fail(hotreader.CodeProtocol, fmt.Errorf("page %d goes back before %s", n, held[complete-1].Time.Format(time.RFC3339Nano)))
		}
		if p.holds > maxHeld {
			return p.x.fail(hotreader.CodeTooLarge, fmt.Errorf(
				"the peer sends its pages in another order than asked for, and more than %d bytes of them; ask for a shorter range", maxHeld))
		}
		before := cells(held)
		if held, unordered = p.sort(append(held, page...)), true; p.token != "" && cells(held) == before {
			return p.x.fail(hotreader.CodeProtocol, errors.New("the peer sent a nextToken, and after it nothing new"))
		}
	}
	if err := p.give(held); err != nil {
		return err
	}
	if p.strays > 0 && !p.given {
		return p.x.fail(hotreader.CodeProtocol, fmt.Errorf("all rows that came (%d) are outside of the range that was asked for", p.strays))
	}
	return nil
}

// give yields the rows that are in range.
func (p *pages) give(rows []hotreader.Row) error {
	for _, row := range rows {
		if err := p.x.ctx.Err(); err != nil {
			return p.x.fail(hotreader.CodeOf(err), err)
		}
		if !p.query.Contains(row.Time) {
			p.strays++
			continue
		}
		p.given = true
		if err := p.x.give(row); err != nil {
			return err
		}
	}
	return nil
}

// compare compares two rows' times in the order asked for.
func (p *pages) compare(a, b hotreader.Row) int {
	if p.ask.Order == hotreader.Descending {
		a, b = b, a
	}
	return a.Time.Compare(b.Time)
}

// sort orders rows and merges those of one instant; the later page's values stand.
func (p *pages) sort(rows []hotreader.Row) []hotreader.Row {
	slices.SortStableFunc(rows, p.compare)
	kept := rows[:0]
	for _, row := range rows {
		n := len(kept) - 1
		if n < 0 || !kept[n].Time.Equal(row.Time) {
			kept = append(kept, row)
			continue
		}
		for i, v := range row.Values {
			if !v.IsNull() {
				kept[n].Values[i] = v
			}
		}
	}
	return kept
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
