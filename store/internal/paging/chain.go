package paging

import (
	"context"
	"errors"
	"fmt"

	"hotreader"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/timekey"
)

// Items decodes the items of a page, one after the other.
type Items interface {
	// Open begins a page. Item is to be called until it says that there are no
	// more items; only then the whole page has been checked.
	Open(page []byte) error

	// Item decodes the next item into values, one a column, null where the item
	// does not have it. at is the field of its time. more is false, and nothing
	// decoded, after the last item.
	Item(values []hotreader.Value) (at hotreader.Value, more bool, err error)

	// Rank returns when the item decoded last was written, as
	// timekey.Order takes it; nil = its time's text does. It is valid as long as the
	// page is.
	Rank() []byte
}

// A Chain follows pages each of which says what to ask for next.
type Chain struct {
	Items Items

	// MaxStill is how many empty pages in a row may say that the answer goes on
	// where it stood.
	MaxStill int

	number, still, empty int
	last, seen           string // seen is what a page said whose number is a power of two: a circle comes back to it
}

// maxEmptyPages is how many pages in a row may have no items. A filter that no index serves
// makes such pages: through a full partition of 20 GB, by 4 MB a page, some 5,000.
const maxEmptyPages = 10_000

// Begin begins another answer.
func (c *Chain) Begin() { *c = Chain{Items: c.Items, MaxStill: c.MaxStill, number: 1} }

// Rows passes the rows of the next page to o, and returns how many items it had.
func (c *Chain) Rows(ctx context.Context, page []byte, o *timekey.Order) (items int, err error) {
	if err := c.Items.Open(page); err != nil {
		return 0, c.malformed(err)
	}
	for done := ctx.Done(); ; items++ {
		at, more, err := c.Items.Item(o.Slot())
		if err != nil {
			return items, c.malformed(err)
		}
		if !more {
			o.Keep()
			return items, nil
		}
		select {
		case <-done:
			return items, ctx.Err()
		default:
		}
		if !o.Add(at, c.Items.Rank()) {
			return items, nil
		}
	}
}

// GoOn takes what the page with so many items says to ask for next. It is an
// error if reading on would never end.
func (c *Chain) GoOn(token string, items int) error {
	const never = ", so reading on would never end"
	c.still++
	if token != c.last {
		c.still = 0
	}
	if c.empty++; items > 0 {
		c.empty = 0
	}
	switch {
	case c.still > 0 && (items > 0 || c.still >= c.MaxStill):
		return c.malformed(errors.New("it goes on where it began" + never))
	case c.still == 0 && token == c.seen:
		return c.malformed(errors.New("it goes on where an earlier one did" + never))
	case c.empty > maxEmptyPages:
		return c.malformed(fmt.Errorf("like the %d before, it has no items%s", maxEmptyPages, never))
	}
	if c.last = token; c.number&(c.number-1) == 0 {
		c.seen = token
	}
	c.number++
	return nil
}

func (c *Chain) malformed(err error) error {
	return &failure.Damaged{Err: fmt.Errorf("page %d of the answer is malformed: %w", c.number, err)}
}

// growth is by how much a page whose size was guessed grows to the next.
const growth = 8

// Size says how many items to ask for in each page of one read, by the query's
// hints: few for latest values and for a limit, more with each page that did not
// suffice. Query, Slack and Most must be set.
type Size struct {
	Query *hotreader.Query

	// Slack is how many items are asked for beyond those needed: a row can only be
	// passed on when the next one shows that its second is over.
	Slack int

	// Most is the most items that a page can hold. To ask for more is to ask with
	// no bound.
	Most int

	before int // items of the page before; 0 = none
}

// Next returns how many items the next page is to hold, when so many useful rows
// and so many rows in all have been passed on; 0 = as many as the store puts into
// one.
func (s *Size) Next(useful, passed int) int {
	var n int
	switch q := s.Query; {
	case q.Last: // most likely the newest rows have it all
		n = min(max(s.before*growth, s.Slack+1), max(q.MaxLooked()-passed, 1)+s.Slack)
	case q.Limit == 0:
		return 0
	case len(q.Filters) > 0: // unknown
		n = max(s.before*growth, q.Limit+s.Slack, 64)
	default:
		need := min(max(q.Limit-useful, 1), s.Most)
		n = need + s.Slack
		if s.before > 0 && useful == 0 {
			n = max(n, s.before*growth)
		} else if s.before > 0 { // as many as there were for a row so far, and a quarter more
			n = max(n, min(need*passed/useful*5/4+s.Slack, s.before*growth))
		}
	}
	s.before = min(n, s.Most)
	if n > s.Most {
		return 0
	}
	return n
}
