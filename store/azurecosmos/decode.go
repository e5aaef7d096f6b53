package azurecosmos

import (
	"slices"
	"strconv"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/store/internal/jsonpage"
)

// A decoder reads the JSON of one page of a query, item by item, into values
// that refer to the page's bytes. It never allocates for an item.
//
// It knows the names of an item's members, for the query gave them: t for the
// time, p0, p1, … for the columns.
type decoder struct {
	jsonpage.Page
	heads []string // how a member begins where Cosmos DB spells it as it does: "p0": of each column, then "t":
	kind  hotreader.Kind
	next  []int // next[i] is what followed heads[i] last time; the last entry: what came first

	skipped int // values of columns that no Value can hold
}

// layout makes d ready for items of so many columns, whose time is of the given
// kind.
func (d *decoder) layout(columns int, kind hotreader.Kind) {
	d.Items, d.Count = "Documents", "_count"
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

// item decodes the next item of the page that Open began into values, one a
// column, null where the item does not have it. at is the text of the time, nil
// if the item has none of the right kind. more is false, and nothing decoded,
// behind the last item.
func (d *decoder) item(values []hotreader.Value) (at []byte, more bool, err error) {
	if more, err = d.Next(); !more || err != nil {
		return nil, false, err
	}
	at, err = d.object(values)
	return at, err == nil, err
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
