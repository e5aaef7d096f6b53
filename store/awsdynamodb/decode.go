package awsdynamodb

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
	"hotreader/internal/jsontext"
)

// A decoder reads the JSON of one Query answer, item by item, into values that
// refer to the page's bytes. It never allocates for an item: strings with
// escapes, which are rare, are written out into an arena that lives as long as
// the page.
//
// It is stricter than the SDK's decoding where that would pass over damage: a
// page must name Items and Count, each once, and they must agree.
type decoder struct {
	jsontext.Scanner
	names  []string // attributes to find: the query's columns, then the time key if it is none of them
	heads  []string // how an attribute begins where nothing in it is escaped: "name":{"
	values int      // of an item: the columns
	when   int      // index of the time key in names
	kind   byte     // that the time key must have: S or N
	next   []int32  // next[i] is what followed names[i] last time; the last entry: what came first
	like   pattern  // of an item before

	skipped int // values of columns that no Value can hold

	begun    bool // the page's first member was read
	inItems  bool
	hadItems bool
	items    int
	count    int // as the page says; -1 = not said
	lastKey  map[string]types.AttributeValue
}

// layout makes d ready for items with the given columns, of a table whose time
// key has the given name and kind.
func (d *decoder) layout(columns []string, timeKey string, kind byte) {
	d.names = append(d.names[:0], columns...)
	d.values, d.when, d.kind = len(columns), -1, kind
	for i, name := range columns {
		if name == timeKey {
			d.when = i
		}
	}
	if d.when < 0 {
		d.when = len(columns)
		d.names = append(d.names, timeKey)
	}
	d.heads, d.next = d.heads[:0], d.next[:0]
	for i, name := range d.names {
		head := `"` + name + `":{"`
		if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }) {
			head = "\x00" // such a name is always escaped; nothing in JSON begins with this
		}
		d.heads = append(d.heads, head)
		d.next = append(d.next, int32((i+1)%len(d.names)))
	}
	d.next = append(d.next, 0)
	d.like.forget()
}

// open begins a page. Next is to be called until it says that there are no more
// items; only then lastKey is known and the whole page has been checked.
func (d *decoder) open(page []byte) error {
	d.Reset(page)
	d.begun, d.inItems, d.hadItems = false, false, false
	d.items, d.count, d.lastKey = 0, -1, nil
	return d.Token('{')
}

// item decodes the next item into values, one a column, null where the item
// does not have it. at is the text of the time key, nil if the item has none of
// the right kind. more is false, and nothing decoded, behind the last item.
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
	at, err = d.attributes(values)
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
		case "Items":
			if d.hadItems {
				return false, errors.New("it has Items twice")
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
		case "Count":
			if d.count >= 0 {
				return false, errors.New("it has Count twice")
			}
			if d.count, err = d.Whole(); err != nil {
				return false, err
			}
		case "LastEvaluatedKey":
			if d.lastKey != nil {
				return false, errors.New("it has LastEvaluatedKey twice")
			}
			if d.lastKey, err = d.key(); err != nil {
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
		return errors.New("it has no Items")
	case d.count < 0:
		return errors.New("it has no Count")
	case d.count != d.items:
		return fmt.Errorf("it says %d items and has %d", d.count, d.items)
	}
	return nil
}

// attributes decodes one item.
//
// Items of a page are alike. Where all but the values is, byte for byte, as in an
// item before, only the values are looked at (pattern). Where it is not, the
// attribute that followed the last one in the item before most likely follows
// here too, spelled as DynamoDB spells it, without blanks (alike). What is not so
// goes the long way (attribute).
func (d *decoder) attributes(values []hotreader.Value) (at []byte, err error) {
	at, end, done := d.like.read(d.Data, d.Pos, values)
	if d.Pos = end; done {
		return at, nil
	}
	from := d.Pos
	if at, err = d.alike(values); err == nil && d.like.wanted() {
		d.learn(from)
	}
	return at, err
}

// alike decodes one item, attribute by attribute.
func (d *decoder) alike(values []hotreader.Value) (at []byte, err error) {
	clear(values)
	if err := d.Token('{'); err != nil {
		return nil, err
	}
	if d.Is('}') {
		return nil, nil
	}
	data, heads, next, i := d.Data, d.heads, d.next, d.Pos
	last := len(next) - 1
	for {
		guess := int(next[last])
		head := heads[guess]
		text, end, kind := i+len(head)+4, 0, uint32(0)
		if text < len(data) && string(data[i:i+len(head)]) == head {
			switch kind = binary.LittleEndian.Uint32(data[text-4 : text]); kind {
			case openNumber:
				end = jsontext.NumberEnd(data, text)
			case openString:
				end = jsontext.PlainString(data, text)
			}
		}
		if end > 0 && end+1 < len(data) && data[end] == '"' && data[end+1] == '}' {
			value := hotreader.NumberValue(data[text:end:end])
			if kind == openString {
				value = hotreader.StringValue(data[text:end:end])
			}
			if guess < len(values) {
				values[guess] = value
			}
			if guess == d.when {
				if at = nil; byte(kind) == d.kind {
					at = data[text:end:end]
				}
			}
			i, last = end+2, guess
		} else {
			d.Pos = i
			found, text, err := d.attribute(values)
			if err != nil {
				return nil, err
			}
			if found >= 0 {
				next[last], last = int32(found), found
				if found == d.when {
					at = text
				}
			}
			i = d.Pos
		}
		for {
			if i >= len(data) {
				return nil, jsontext.ErrCut
			}
			c := data[i]
			i++
			if c == ',' {
				break
			}
			if c == '}' {
				d.Pos = i
				return at, nil
			}
			if !jsontext.Blank(c) {
				d.Pos = i - 1
				return nil, d.Wrong("',' or '}' behind an attribute")
			}
		}
	}
}

// The four bytes between an attribute's name and its text, as DynamoDB spells
// them. The first, which is the lowest byte, is the kind.
const (
	openNumber = 'N' | '"'<<8 | ':'<<16 | '"'<<24
	openString = 'S' | '"'<<8 | ':'<<16 | '"'<<24
)

// attribute decodes one attribute of any spelling. found is its index in names,
// -1 if it is none of them. at is its text if it is a usable time key.
func (d *decoder) attribute(values []hotreader.Value) (found int, at []byte, err error) {
	name, err := d.Name()
	if err != nil {
		return 0, nil, err
	}
	found = -1
	for i := range d.names {
		if d.names[i] == string(name) {
			found = i
			break
		}
	}
	if err := d.Token('{'); err != nil {
		return 0, nil, err
	}
	kind, err := d.Name()
	if err != nil {
		return 0, nil, err
	}
	var v hotreader.Value
	usable := true
	switch string(kind) {
	case "S":
		text, err := d.Text()
		if err != nil {
			return 0, nil, err
		}
		if usable = !d.Broken(); usable {
			v = hotreader.StringValue(text)
		}
	case "N":
		text, err := d.Text()
		if err != nil {
			return 0, nil, err
		}
		if usable = hotreader.IsNumber(text); usable {
			v = hotreader.NumberValue(text)
		}
	case "BOOL":
		b, err := d.Boolean()
		if err != nil {
			return 0, nil, err
		}
		v = hotreader.BoolValue(b)
	case "NULL": // a point all the same, and left out
		usable = false
		if _, err := d.Boolean(); err != nil {
			return 0, nil, err
		}
	default: // B, M, L and the sets, and what may come one day
		usable = false
		if err := d.Skip(); err != nil {
			return 0, nil, err
		}
	}
	if err := d.Token('}'); err != nil {
		return 0, nil, err
	}
	if found >= 0 && found < d.values {
		values[found] = v
		if !usable {
			d.skipped++
		}
	}
	if found == d.when && (v.Kind() == hotreader.String && d.kind == 'S' || v.Kind() == hotreader.Number && d.kind == 'N') {
		at = v.Text()
	}
	return found, at, nil
}

// key decodes LastEvaluatedKey. It owns its memory, for it outlives the page.
func (d *decoder) key() (map[string]types.AttributeValue, error) {
	key := make(map[string]types.AttributeValue)
	if err := d.Token('{'); err != nil {
		return nil, err
	}
	for {
		name, err := d.Name()
		if err != nil {
			return nil, err
		}
		attribute := string(name)
		if err := d.Token('{'); err != nil {
			return nil, err
		}
		if name, err = d.Name(); err != nil {
			return nil, err
		}
		kind := string(name)
		text, err := d.Text()
		if err != nil {
			return nil, err
		}
		switch kind {
		case "S":
			key[attribute] = &types.AttributeValueMemberS{Value: string(text)}
		case "N":
			key[attribute] = &types.AttributeValueMemberN{Value: string(text)}
		case "B":
			raw, err := base64.StdEncoding.DecodeString(string(text))
			if err != nil {
				return nil, fmt.Errorf("the binary key attribute %.60q is not base64: %w", attribute, err)
			}
			key[attribute] = &types.AttributeValueMemberB{Value: raw}
		default:
			return nil, fmt.Errorf("the key attribute %.60q has the type %.10q", attribute, kind)
		}
		if err := d.Token('}'); err != nil {
			return nil, err
		}
		if d.Is('}') {
			return key, nil
		}
		if err := d.Token(','); err != nil {
			return nil, err
		}
	}
}

// release drops what d refers to of a page and a query.
func (d *decoder) release() {
	clear(d.names[:cap(d.names)])
	clear(d.heads[:cap(d.heads)])
	d.lastKey, d.skipped = nil, 0
	d.Release(maxPooled)
}
