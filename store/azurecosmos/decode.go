package azurecosmos

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"hotreader"
	"hotreader/store/internal/jsonscan"
)

// A decoder reads the JSON of one page of a query, item by item, into values
// that refer to the page's bytes. It never allocates for an item.
//
// It knows the names of an item's members, for the query gave them: t for the
// time, p0, p1, … for the columns. A page must name Documents and _count, each
// once, and they must agree.
type decoder struct {
	jsonscan.Scanner
	names []string       // of members: the columns', then the time's
	kind  hotreader.Kind // of the time

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
	if len(d.names) != columns+1 {
		d.names = d.names[:0]
		for i := range columns {
			d.names = append(d.names, "p"+strconv.Itoa(i))
		}
		d.names = append(d.names, "t")
	}
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
		case found >= 0 && found < len(values):
			values[found] = v
			if !usable {
				d.skipped++
			}
		case found >= 0: // the time
			if at = nil; v.Kind() == d.kind {
				at = v.Text()
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

// value decodes a member's value. usable is false for one that no Value can hold,
// which is null then.
func (d *decoder) value() (v hotreader.Value, usable bool, err error) {
	d.Space()
	if d.Pos >= len(d.Data) {
		return v, false, jsonscan.ErrCut
	}
	switch c := d.Data[d.Pos]; {
	case c == '"':
		var text []byte
		if text, err = d.Text(); err == nil && !d.Broken() {
			return hotreader.StringValue(text), true, nil
		}
	case c == '-' || c-'0' <= 9:
		var digits []byte
		if digits, err = d.Number(); err == nil {
			return hotreader.NumberValue(digits), true, nil
		}
	case c == 't' || c == 'f':
		var b bool
		if b, err = d.Boolean(); err == nil {
			return hotreader.BoolValue(b), true, nil
		}
	case c == 'n' && d.Null():
		return v, true, nil
	default: // an object, an array, or damage
		err = d.Skip()
	}
	return v, false, err
}
