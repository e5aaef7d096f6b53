package azurecosmos

import (
	"errors"
	"fmt"
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
	heads []string // how a member begins where Cosmos DB spells it as it does: "p0":
	when  int      // index of the time in heads, behind the columns
	kind  hotreader.Kind
	next  []int32 // next[i] is what followed heads[i] last time; the last entry: what came first

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
	d.when, d.kind, d.skipped = columns, kind, 0
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
		d.next = append(d.next, int32((i+1)%columns))
	}
	d.next = append(d.next, 0, int32(columns))
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
	// Items of a page are alike: the member that followed the last one in the
	// item before most likely follows here, spelled without blanks and escapes.
	// What is not so goes the long way.
	data, heads, next, i := d.Data, d.heads, d.next, d.Pos
	last := len(next) - 1
	for {
		guess := int(next[last])
		head := heads[guess]
		from, end := i+len(head), 0
		var v hotreader.Value
		if from < len(data) && string(data[i:from]) == head {
			if data[from] == '"' {
				if end = jsontext.PlainString(data, from+1); end > 0 {
					v = hotreader.StringValue(data[from+1 : end : end])
					end++
				}
			} else if end = jsontext.NumberEnd(data, from); end > 0 {
				v = hotreader.NumberValue(data[from:end:end])
			}
		}
		if end > 0 && end < len(data) && (data[end] == ',' || data[end] == '}') {
			if guess < len(values) {
				values[guess] = v
			} else if at = nil; v.Kind() == d.kind {
				at = v.Text()
			}
			last = guess
			i = end + 1
			if data[end] == ',' {
				continue
			}
			d.Pos = i
			return at, nil
		}
		d.Pos = i
		found, text, err := d.member(values)
		if err != nil {
			return nil, err
		}
		if found >= 0 {
			next[last], last = int32(found), found
			if found == d.when {
				at = text
			}
		}
		if d.Is('}') {
			return at, nil
		}
		if err := d.Token(','); err != nil {
			return nil, err
		}
		i = d.Pos
	}
}

// member decodes one member of any spelling. found is its index in heads, -1 if
// it is none of them. at is its text if it is a usable time.
func (d *decoder) member(values []hotreader.Value) (found int, at []byte, err error) {
	name, err := d.Name()
	if err != nil {
		return 0, nil, err
	}
	found = -1
	for i, head := range d.heads {
		if head[1:len(head)-2] == string(name) {
			found = i
			break
		}
	}
	if found < 0 {
		return found, nil, d.Skip()
	}
	var v hotreader.Value
	usable := true
	d.Space()
	if d.Pos >= len(d.Data) {
		return 0, nil, jsontext.ErrCut
	}
	switch c := d.Data[d.Pos]; {
	case c == '"':
		text, err := d.Text()
		if err != nil {
			return 0, nil, err
		}
		if usable = !d.Broken(); usable {
			v = hotreader.StringValue(text)
		}
	case c == '-' || c-'0' <= 9:
		digits, err := d.Number()
		if err != nil {
			return 0, nil, err
		}
		v = hotreader.NumberValue(digits)
	case c == 't' || c == 'f':
		b, err := d.Boolean()
		if err != nil {
			return 0, nil, err
		}
		v = hotreader.BoolValue(b)
	case c == 'n' && d.Null():
	default: // an object, an array, or damage
		usable = false
		if err := d.Skip(); err != nil {
			return 0, nil, err
		}
	}
	if found < len(values) {
		values[found] = v
		if !usable {
			d.skipped++
		}
	} else if v.Kind() == d.kind {
		at = v.Text()
	}
	return found, at, nil
}
