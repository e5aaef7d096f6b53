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
