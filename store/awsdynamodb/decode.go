package awsdynamodb

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/store/internal/jsonpage"
	"hotreader/store/internal/paging"
)

// A decoder reads the JSON of one Query answer, item by item, into values that
// refer to the page's bytes. It never allocates for an item: strings with
// escapes, which are rare, are written out into an arena that lives as long as
// the page.
//
// It is stricter than the SDK's decoding where that would pass over damage (see
// jsonpage.Page).
type decoder struct {
	jsonpage.Page
	names  []string // attributes to find: the query's columns, then the time key if it is none of them
	values int      // of an item: the columns
	when   int      // index of the time key in names
	kind   byte     // that the time key must have: S or N
	left   []int64  // by column: values that no Value can hold

	heads []string // how an attribute begins where nothing in it is escaped: "name":{"
	next  []int    // next[i] is what followed names[i] last time
	last  int      // index in names of the attribute found last

	lastKey  map[string]types.AttributeValue
	lastText string // of lastKey, as it came
}

// layout makes d ready for items with the given columns, of a table whose time
// key has the given name and kind. left counts, by column, what no Value can hold.
func (d *decoder) layout(columns []string, timeKey string, kind byte, left []int64) {
	d.left = left
	d.Items, d.Count, d.Other = "Items", "Count", d.other
	d.names = append(append(d.names[:0], columns...), timeKey)
	d.values, d.when, d.kind = len(columns), slices.Index(d.names, timeKey), kind
	d.heads = d.heads[:0]
	for _, name := range d.names {
		head := `"` + name + `":{"`
		if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }) {
			head = "\x00" // such a name is always escaped; nothing in JSON begins with this
		}
		d.heads = append(d.heads, head)
	}
	d.next, d.last = append(d.next[:0], make([]int, len(d.names))...), 0
}

// Open implements paging.Items. Behind the last item lastKey is known.
func (d *decoder) Open(page []byte) error {
	d.lastKey = nil
	return d.Page.Open(page)
}

// Item implements paging.Items.
func (d *decoder) Item(values []hotreader.Value) (at []byte, more bool, err error) {
	if more, err = d.Next(); !more || err != nil {
		return nil, false, err
	}
	at, err = d.attributes(values)
	return at, err == nil, err
}

// other reads what a page has besides its items and their count.
func (d *decoder) other(name string) (read bool, err error) {
	if name != "LastEvaluatedKey" {
		return false, nil
	}
	if d.lastKey != nil {
		return false, errors.New("it has LastEvaluatedKey twice")
	}
	d.lastKey, err = d.key()
	return true, err
}

// attributes decodes one item.
func (d *decoder) attributes(values []hotreader.Value) (at []byte, err error) {
	clear(values)
	if err := d.Token('{'); err != nil {
		return nil, err
	}
	if d.Is('}') {
		return nil, nil
	}
	for {
		found, v, usable := d.plain()
		if !usable {
			if found, v, usable, err = d.attribute(); err != nil {
				return nil, err
			}
		}
		if found >= 0 {
			d.next[d.last], d.last = found, found
		}
		if found == d.when {
			at = nil
			if v.Kind() == hotreader.String && d.kind == 'S' || v.Kind() == hotreader.Number && d.kind == 'N' {
				at = v.Text()
			}
		}
		if found >= 0 && found < d.values {
			if values[found] = v; !usable {
				d.left[found]++
			}
		}
		if d.Is(',') {
			continue
		}
		if !d.Is('}') {
			return nil, d.Wrong("',' or '}' behind an attribute")
		}
		return at, nil
	}
}

// attribute decodes an attribute in any spelling. found is its index in names, -1
// if it is none of them. usable is false for a value that no Value can hold, which
// is null then.
func (d *decoder) attribute() (found int, v hotreader.Value, usable bool, err error) {
	name, err := d.Name()
	if err != nil {
		return 0, v, false, err
	}
	found = slices.IndexFunc(d.names, func(n string) bool { return n == string(name) })
	v, usable, err = d.value()
	return found, v, usable, err
}

// plain decodes an attribute that is as most are: the one that followed the last
// attribute in the item before, spelled without blanks and escapes, a number
// without an exponent or a text of printable ASCII, as in "name":{"N":"1.5"}. If
// it is not, ok is false and d stands where it stood.
func (d *decoder) plain() (found int, v hotreader.Value, ok bool) {
	found = d.next[d.last]
	head := d.heads[found]
	kind := d.Pos + len(head)
	text := kind + len(`N":"`)
	if text > len(d.Data) || string(d.Data[d.Pos:kind]) != head {
		return found, v, false
	}
	end := 0
	switch string(d.Data[kind:text]) {
	case `N":"`:
		if end = jsontext.DecimalEnd(d.Data, text); end > 0 {
			v = hotreader.DecimalValue(d.Data[text:end:end])
		}
	case `S":"`:
		if end = jsontext.PlainString(d.Data, text); end > 0 {
			v = hotreader.StringValue(d.Data[text:end:end])
		}
	}
	if end == 0 || end+1 >= len(d.Data) || d.Data[end] != '"' || d.Data[end+1] != '}' {
		return found, v, false
	}
	d.Pos = end + len(`"}`)
	return found, v, true
}

// value decodes an attribute's value in any spelling. usable is false for one
// that no Value can hold, which is null then.
func (d *decoder) value() (v hotreader.Value, usable bool, err error) {
	if err := d.Token('{'); err != nil {
		return v, false, err
	}
	kind, err := d.Name()
	if err != nil {
		return v, false, err
	}
	switch string(kind) {
	case "S":
		var text []byte
		if text, err = d.Text(); err == nil && !d.Broken() {
			v, usable = hotreader.StringValue(text), true
		}
	case "N":
		var text []byte
		if text, err = d.Text(); err == nil && hotreader.IsNumber(text) {
			v, usable = hotreader.NumberValue(text), true
		}
	case "BOOL":
		var b bool
		b, err = d.Boolean()
		v, usable = hotreader.BoolValue(b), true
	case "NULL": // a point all the same, and left out
		_, err = d.Boolean()
	default: // B, M, L and the sets, and what may come one day
		err = d.Skip()
	}
	if err != nil {
		return v, false, err
	}
	return v, usable, d.Token('}')
}

// key decodes LastEvaluatedKey. It owns its memory, for it outlives the page.
func (d *decoder) key() (map[string]types.AttributeValue, error) {
	text, err := d.Raw()
	if err != nil {
		return nil, err
	}
	d.lastText = string(text)
	key := make(map[string]types.AttributeValue)
	for attribute, value := range jsontext.Members(text) {
		kinds := 0
		for kind, quoted := range jsontext.Members(value) {
			kinds++
			switch text := jsontext.Unquote(quoted); {
			case kind == "S":
				key[attribute] = &types.AttributeValueMemberS{Value: text}
			case kind == "N":
				key[attribute] = &types.AttributeValueMemberN{Value: text}
			case kind == "B":
				raw, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					return nil, fmt.Errorf("the binary key attribute %.60q is not base64: %w", attribute, err)
				}
				key[attribute] = &types.AttributeValueMemberB{Value: raw}
			default:
				return nil, fmt.Errorf("the key attribute %.60q has the type %.10q", attribute, kind)
			}
		}
		if kinds != 1 {
			return nil, fmt.Errorf("the key attribute %.60q has %d types", attribute, kinds)
		}
	}
	if len(key) == 0 {
		return nil, errors.New("its LastEvaluatedKey is empty")
	}
	return key, nil
}

// release drops what d refers to of a page and a query.
func (d *decoder) release() {
	clear(d.names[:cap(d.names)])
	clear(d.heads[:cap(d.heads)])
	d.lastKey, d.left = nil, nil
	d.Release(paging.MaxPooled)
}
