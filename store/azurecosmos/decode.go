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
	names []string       // of members: the columns', then the time's
	kind  hotreader.Kind // of the time
	left  []int64        // by column: values that no Value can hold
}

// layout makes d ready for items whose time is of the given kind. left counts, by
// column, what no Value can hold.
func (d *decoder) layout(kind hotreader.Kind, left []int64) {
	d.Items, d.Count = "Documents", "_count"
	d.kind, d.left = kind, left
	if len(d.names) != len(left)+1 {
		d.names = d.names[:0]
		for i := range left {
			d.names = append(d.names, "p"+strconv.Itoa(i))
		}
		d.names = append(d.names, "t")
	}
}

// Item implements paging.Items.
func (d *decoder) Item(values []hotreader.Value) (at []byte, more bool, err error) {
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
	for {
		name, err := d.Name()
		if err != nil {
			return nil, err
		}
		found := slices.IndexFunc(d.names, func(n string) bool { return n == string(name) })
		v, usable, err := d.value()
		if err != nil {
			return nil, err
		}
		switch {
		case found == len(values):
			if at = nil; v.Kind() == d.kind {
				at = v.Text()
			}
		case found >= 0:
			values[found] = v
			if !usable {
				d.left[found]++
			}
		}
		if d.Is('}') {
			return at, nil
		}
		if err := d.Token(','); err != nil {
			return nil, err
		}
	}
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
