package awsdynamodb

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
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
	left   []int64  // by column: values that no Value can hold
	deep   *deep    // instead of names, where the layout is not flat

	heads []string // how an attribute begins where nothing in it is escaped: "name":{"
	next  []int    // next[i] is what followed names[i] last time
	last  int      // index in names of the attribute found last

	lastKey  map[string]types.AttributeValue
	lastText string // of lastKey, as it came
}

// flat makes d ready for flat items with the given columns, of a table whose time
// key has the given name. left counts, by column, what no Value can hold.
func (d *decoder) flat(columns []string, timeKey string, left []int64) {
	d.deep = nil
	d.left = left
	d.names = append(append(d.names[:0], columns...), timeKey)
	d.values, d.when = len(columns), slices.Index(d.names, timeKey)
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

// Open implements paging.Items. After the last item lastKey is known.
func (d *decoder) Open(page []byte) error {
	d.Items, d.Count, d.Other = "Items", "Count", d.other
	d.lastKey = nil
	return d.Page.Open(page)
}

// Item implements paging.Items.
func (d *decoder) Item(values []hotreader.Value) (at hotreader.Value, more bool, err error) {
	if more, err = d.Next(); !more || err != nil {
		return at, false, err
	}
	clear(values)
	if d.deep != nil {
		at, err = d.deep.item(d, values)
	} else {
		at, err = d.attributes(values)
	}
	return at, err == nil, err
}

// Rank implements paging.Items.
func (d *decoder) Rank() []byte {
	if d.deep != nil {
		return d.deep.rank
	}
	return nil
}

// other reads what a page has besides its items and their count.
func (d *decoder) other(name string) (read bool, err error) {
	if name != "LastEvaluatedKey" {
		return false, nil
	}
	if d.lastKey != nil {
		return false, errors.New("it has LastEvaluatedKey twice")
	}
	d.lastKey, d.lastText, err = d.key()
	return true, err
}

// attributes decodes one item.
func (d *decoder) attributes(values []hotreader.Value) (at hotreader.Value, err error) {
	if err := d.Token('{'); err != nil {
		return at, err
	}
	if d.Is('}') {
		return at, nil
	}
	for {
		found, v, usable := d.plain()
		if !usable {
			if found, v, usable, err = d.attribute(); err != nil {
				return at, err
			}
		}
		if found >= 0 {
			d.next[d.last], d.last = found, found
		}
		if found == d.when {
			at = v
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
			return at, d.Wrong("',' or '}' after an attribute")
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
// it is not, ok is false and d is where it was.
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
	case "NULL": // no value
		_, err = d.Boolean()
		usable = true
	case "M", "L", "SS", "NS", "BS": // their JSON, which not many ask for
		var raw []byte
		kind := string(kind) // which Raw may write over
		if raw, err = d.Raw(); err == nil {
			v, usable = hotreader.StringValue(appendPlain(nil, kind, raw)), true
		}
	default: // B, and what may come one day
		err = d.Skip()
	}
	if err != nil {
		return v, false, err
	}
	return v, usable, d.Token('}')
}

// appendPlain appends a typed value of DynamoDB as JSON without types.
func appendPlain(dst []byte, kind string, value []byte) []byte {
	typed := func(dst, value []byte) []byte {
		for kind, v := range jsontext.Members(value) {
			return appendPlain(dst, kind, v)
		}
		return append(dst, "null"...)
	}
	between := byte('[')
	switch kind {
	case "S", "B":
		return jsontext.AppendString(dst, jsontext.Unquote(value))
	case "N":
		if digits := jsontext.Unquote(value); hotreader.IsNumber([]byte(digits)) {
			return append(dst, digits...)
		}
	case "BOOL":
		return append(dst, value...)
	case "M":
		between = '{'
		members := maps.Collect(jsontext.Members(value))
		for _, name := range slices.Sorted(maps.Keys(members)) { // DynamoDB has them in any order
			dst = append(jsontext.AppendString(append(dst, between), name), ':')
			dst, between = typed(dst, members[name]), ','
		}
		if between == '{' {
			dst = append(dst, between)
		}
		return append(dst, '}')
	case "L", "SS", "NS", "BS":
		for v := range jsontext.Elements(value) {
			if dst = append(dst, between); kind == "L" {
				dst = typed(dst, v)
			} else {
				dst = appendPlain(dst, kind[:1], v)
			}
			between = ','
		}
		if between == '[' {
			dst = append(dst, between)
		}
		return append(dst, ']')
	}
	return append(dst, "null"...)
}

// key decodes LastEvaluatedKey, nil if it is empty, which is the end of the pages. It
// owns its memory, for it outlives the page.
func (d *decoder) key() (map[string]types.AttributeValue, string, error) {
	text, err := d.Raw()
	if err != nil {
		return nil, "", err
	}
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
					return nil, "", fmt.Errorf("the binary key attribute %.60q is not base64: %w", attribute, err)
				}
				key[attribute] = &types.AttributeValueMemberB{Value: raw}
			default:
				return nil, "", fmt.Errorf("the key attribute %.60q has the type %.10q", attribute, kind)
			}
		}
		if kinds != 1 {
			return nil, "", fmt.Errorf("the key attribute %.60q has %d types", attribute, kinds)
		}
	}
	if len(key) == 0 {
		key = nil
	}
	return key, string(text), nil
}

// release drops what d refers to of a page and a query.
func (d *decoder) release() {
	clear(d.names[:cap(d.names)])
	clear(d.heads[:cap(d.heads)])
	d.lastKey, d.left, d.deep = nil, nil, nil
	d.Release(paging.MaxPooled)
}
