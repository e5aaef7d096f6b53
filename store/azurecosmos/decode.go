package azurecosmos

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"hotreader"
	"hotreader/internal/jsontext"
)

// A decoder reads the JSON of one page of a query, item by item, into values
// that refer to the page's bytes. It never allocates for an item.
//
// It knows the names of an item's members, for the query gave them: t for the
// time, p0, p1, … for the columns. A page must name Documents and _count, each
// once, and they must agree.
type decoder struct {
	jsontext.Scanner
	heads []string // how a member begins where Cosmos DB spells it as it does: "p0": of each column, then "t":
	kind  hotreader.Kind
	next  []int // next[i] is what followed heads[i] last time; the last entry: what came first

	skipped int // values of columns that no Value can hold

	begun    bool // the page's first member was read
	inItems  bool
	hadItems bool
	items    int
	count    int // as the page says; -1 = not said
}

// layout makes d ready for items of so many columns, whose time is of the given
// kind.
func (d *decoder) layout(columns int, kind hotreader.Kind) {
	d.kind, d.skipped = kind, 0
	if len(d.heads) != columns+1 {
		d.heads = d.heads[:0]
		for i := range columns {
			d.heads = append(d.heads, `"p`+strconv.Itoa(i)+`":`)
		}
		d.heads = append(d.heads, `"t":`)
	}
	// The query names the time first, then the columns.
	d.next = d.next[:0]
	for i := range columns {
		d.next = append(d.next, (i+1)%columns)
	}
	d.next = append(d.next, 0, columns)
}

// open begins a page. item is to be called until it says that there are no more
// items; only then the whole page has been checked.
func (d *decoder) open(page []byte) error {
	d.Reset(page)
	d.begun, d.inItems, d.hadItems = false, false, false
	d.items, d.count = 0, -1
	return d.Token('{')
}

// item decodes the next item into values, one a column, null where the item
// does not have it. at is the text of the time, nil if the item has none of the
// right kind. more is false, and nothing decoded, behind the last item.
func (d *decoder) item(values []hotreader.Value) (at []byte, more bool, err error) {
	switch {
	case !d.inItems:
		if more, err = d.members(); !more || err != nil {
			return nil, false, err
		}
	case d.Is(','):
	case d.Is(']'):
		d.inItems = false
		if more, err = d.members(); !more || err != nil {
			return nil, false, err
		}
	default:
		return nil, false, d.Wrong("',' or ']' behind an item")
	}
	d.items++
	at, err = d.object(values)
	return at, err == nil, err
}

// members reads the page's own members up to the first item, or to the end.
func (d *decoder) members() (items bool, err error) {
	for {
		if d.Is('}') {
			return false, d.close()
		}
		if d.begun {
			if err := d.Token(','); err != nil {
				return false, err
			}
		}
		d.begun = true
		name, err := d.Name()
		if err != nil {
			return false, err
		}
		switch string(name) {
		case "Documents":
			if d.hadItems {
				return false, errors.New("it has Documents twice")
			}
			d.hadItems = true
			if err := d.Token('['); err != nil {
				return false, err
			}
			if d.Is(']') {
				continue
			}
			d.inItems = true
			return true, nil
		case "_count":
			if d.count >= 0 {
				return false, errors.New("it has _count twice")
			}
			if d.count, err = d.Whole(); err != nil {
				return false, err
			}
		default:
			if err := d.Skip(); err != nil {
				return false, err
			}
		}
	}
}

// close checks what stands behind the page and whether it is whole.
func (d *decoder) close() error {
	if err := d.End(); err != nil {
		return err
	}
	switch {
	case !d.hadItems:
		return errors.New("it has no Documents")
	case d.count < 0:
		return errors.New("it has no _count")
	case d.count != d.items:
		return fmt.Errorf("it says %d items and has %d", d.count, d.items)
	}
	return nil
}

// object decodes one item.
func (d *decoder) object(values []hotreader.Value) (at []byte, err error) {
	clear(values)
	if err := d.Token('{'); err != nil {
		return nil, err
	}
	if d.Is('}') {
		return nil, nil
	}
	last := len(d.next) - 1
	for {
		found, err := d.name(d.next[last])
		if err != nil {
			return nil, err
		}
		if found < 0 {
			err = d.Skip()
		} else {
			d.next[last], last = found, found
			var v hotreader.Value
			var usable bool
			v, usable, err = d.value()
			if found < len(values) {
				values[found] = v
				if !usable {
					d.skipped++
				}
			} else if at = nil; v.Kind() == d.kind {
				at = v.Text()
			}
		}
		if err != nil {
			return nil, err
		}
		if d.Is('}') {
			return at, nil
		}
		if err := d.Token(','); err != nil {
			return nil, err
		}
	}
}

// name reads a member's name and returns its index in heads, -1 if it is none of
// them. Items of a page are alike, so it most likely is guess, spelled without
// blanks and escapes.
func (d *decoder) name(guess int) (found int, err error) {
	if head := d.heads[guess]; len(d.Data)-d.Pos > len(head) && string(d.Data[d.Pos:d.Pos+len(head)]) == head {
		d.Pos += len(head)
		return guess, nil
	}
	name, err := d.Name()
	if err != nil {
		return -1, err
	}
	return slices.IndexFunc(d.heads, func(head string) bool { return head[1:len(head)-2] == string(name) }), nil
}

// value decodes a member's value. usable is false for one that no Value can hold.
func (d *decoder) value() (v hotreader.Value, usable bool, err error) {
	d.Space()
	switch jsontext.KindOf(d.Data[d.Pos:]) {
	case jsontext.String:
		text, err := d.Text()
		if d.Broken() {
			return v, false, err
		}
		return hotreader.StringValue(text), true, err
	case jsontext.Boolean:
		b, err := d.Boolean()
		return hotreader.BoolValue(b), true, err
	case jsontext.Number:
		digits, err := d.Number()
		return hotreader.NumberValue(digits), true, err
	case jsontext.Null:
		return v, true, d.Skip()
	}
	return v, false, d.Skip() // an object or an array
}
