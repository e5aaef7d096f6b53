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
)

// An older peer, which knows only JSON, answers in TwinMaker's format, in pages, and
// may not know order, limit and filters. So remote relies only on this: a page without
// a nextToken is the last one. Meaning, above, does the rest. The format cannot hold
// the time of a latest value, text beyond 256 characters, or a column of several kinds.

const (
	maxPage = 32 << 20  // bytes of one JSON answer: the largest that any cloud's functions send
	maxHeld = 128 << 20 // bytes of pages held in memory to sort them

	maxNext    = 20_000 // characters of a nextToken, all of which are kept
	valueBytes = 32     // of a row in memory
)

// readJSON yields the rows of q from a JSON peer, whose first answer is a.
func (x *exchange) readJSON(q hotreader.Query, a *answer) error {
	if q.Last && q.Start.IsZero() && q.End.IsZero() && len(q.Filters) == 0 {
		return x.readJSONLatest(q, a)
	}
	p := &pages{x: x, query: q, ask: q, tokens: map[string]bool{}}
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
	last, err := twinmaker.ParseLastEntryAnswer(body, q)
	if err != nil {
		return x.parseError(err)
	}
	x.warn(last.Warnings)
	return x.giveAll(last.Rows)
}

// parseError names the peer in an error of the codec.
func (x *exchange) parseError(err error) error {
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok {
		return x.fail(hotreader.CodeProtocol, x.hide(err))
	}
	return x.fail(e.Code, x.hide(e.Err))
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
	tokens map[string]bool // all that have come
	size   int             // bytes of the last page

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
	came, err := twinmaker.ParseHistoryAnswer(body, p.ask)
	rows, token := came.Rows, came.NextToken
	switch {
	case err != nil:
		return nil, x.parseError(err)
	case len(token) > maxNext:
		return nil, x.fail(hotreader.CodeProtocol, fmt.Errorf("the peer sent a nextToken of %d characters; expected %d at most", len(token), maxNext))
	case p.tokens[token]:
		return nil, x.fail(hotreader.CodeProtocol, errors.New("the peer sent the same nextToken again"))
	case token != "" && len(rows) == 0:
		return nil, x.fail(hotreader.CodeProtocol, errors.New("the peer sent a nextToken with an empty page"))
	case token != "":
		p.tokens[token] = true
	}
	p.token, p.size = token, max(len(body), len(rows)*len(p.ask.Properties)*valueBytes)
	x.warn(came.Warnings)
	if p.ask.Order == hotreader.Descending {
		slices.Reverse(rows)
	}
	return rows, nil
}

// yieldAll yields the series' rows in order, no instant twice. It holds back one page,
// since only the next one shows whether the peer's pages are in the order asked for,
// and that page may complete the last row. If they are not, it holds back all pages
// and sorts them.
func (p *pages) yieldAll() error {
	var held []hotreader.Row
	size, yielded, unordered := 0, 0, false
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
			held, size, yielded = p.sort(append(held[complete:], page...)), p.size, yielded+complete
			continue
		}
		if yielded > 0 {
			return p.x.fail(hotreader.CodeProtocol, fmt.Errorf("page %d goes back before %s", n, held[complete-1].Time.Format(time.RFC3339Nano)))
		}
		if size += p.size; size > maxHeld {
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
