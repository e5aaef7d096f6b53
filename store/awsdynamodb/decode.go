package awsdynamodb

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
)

// maxDepth bounds nesting within a page. DynamoDB's own bound is 32 levels of
// documents, each of which is two levels of JSON.
const maxDepth = 128

// A decoder reads the JSON of one Query answer, item by item, into values that
// refer to the page's bytes. It never allocates for an item: strings with
// escapes, which are rare, are written out into an arena that lives as long as
// the page.
//
// It is stricter than the SDK's decoding where that would pass over damage: a
// page must name Items and Count, each once, and they must agree.
type decoder struct {
	names  []string // attributes to find: the query's columns, then the time key if it is none of them
	heads  []string // how an attribute begins where nothing in it is escaped: "name":{"
	values int      // of an item: the columns
	when   int      // index of the time key in names
	kind   byte     // that the time key must have: S or N
	next   []int32  // next[i] is what followed names[i] last time; the last entry: what came first

	data    []byte
	pos     int
	arena   []byte // unescaped strings of this page
	scratch []byte // an unescaped name
	skipped int    // values of columns that no Value can hold

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
}

var errCut = errors.New("it ends too early")

func (d *decoder) wrong(want string) error {
	if d.pos >= len(d.data) {
		return errCut
	}
	return fmt.Errorf("at byte %d: want %s, got %q", d.pos, want, d.data[d.pos])
}

// open begins a page. Next is to be called until it says that there are no more
// items; only then lastKey is known and the whole page has been checked.
func (d *decoder) open(page []byte) error {
	d.data, d.pos, d.arena = page, 0, d.arena[:0]
	d.begun, d.inItems, d.hadItems = false, false, false
	d.items, d.count, d.lastKey = 0, -1, nil
	return d.token('{')
}

// item decodes the next item into values, one a column, null where the item
// does not have it. at is the text of the time key, nil if the item has none of
// the right kind. more is false, and nothing decoded, behind the last item.
func (d *decoder) item(values []hotreader.Value) (at []byte, more bool, err error) {
	if !d.inItems {
		if more, err = d.members(); !more || err != nil {
			return nil, false, err
		}
	} else if d.pos < len(d.data) && d.data[d.pos] == ',' {
		d.pos++
	} else {
		d.space()
		switch {
		case d.pos >= len(d.data):
			return nil, false, errCut
		case d.data[d.pos] == ',':
			d.pos++
		case d.data[d.pos] == ']':
			d.pos++
			d.inItems = false
			if more, err = d.members(); !more || err != nil {
				return nil, false, err
			}
		default:
			return nil, false, d.wrong("',' or ']' behind an item")
		}
	}
	d.items++
	at, err = d.attributes(values)
	return at, err == nil, err
}

// members reads the page's own members up to the first item, or to the end.
func (d *decoder) members() (items bool, err error) {
	for {
		d.space()
		if d.pos < len(d.data) && d.data[d.pos] == '}' {
			d.pos++
			return false, d.close()
		}
		if d.begun {
			if err := d.token(','); err != nil {
				return false, err
			}
		}
		d.begun = true
		name, err := d.name()
		if err != nil {
			return false, err
		}
		switch string(name) {
		case "Items":
			if d.hadItems {
				return false, errors.New("it has Items twice")
			}
			d.hadItems = true
			if err := d.token('['); err != nil {
				return false, err
			}
			d.space()
			if d.pos < len(d.data) && d.data[d.pos] == ']' {
				d.pos++
				continue
			}
			d.inItems = true
			return true, nil
		case "Count":
			if d.count >= 0 {
				return false, errors.New("it has Count twice")
			}
			if d.count, err = d.whole(); err != nil {
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
			if err := d.skip(0); err != nil {
				return false, err
			}
		}
	}
}

// close checks what stands behind the page and whether it is whole.
func (d *decoder) close() error {
	d.space()
	switch {
	case d.pos < len(d.data):
		return d.wrong("nothing more")
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
func (d *decoder) attributes(values []hotreader.Value) (at []byte, err error) {
	clear(values)
	if d.pos >= len(d.data) || d.data[d.pos] != '{' {
		if err := d.token('{'); err != nil {
			return nil, err
		}
	} else {
		d.pos++
	}
	if d.space(); d.pos < len(d.data) && d.data[d.pos] == '}' {
		d.pos++
		return nil, nil
	}
	// Items of a page are alike: the attribute that followed the last one in the
	// item before most likely follows here, spelled as DynamoDB spells it,
	// without blanks. What is not so goes the long way.
	data, heads, next, i := d.data, d.heads, d.next, d.pos
	last := len(next) - 1
	for {
		guess := int(next[last])
		head := heads[guess]
		text, end, kind := i+len(head)+4, 0, uint32(0)
		if text < len(data) && string(data[i:i+len(head)]) == head {
			switch kind = binary.LittleEndian.Uint32(data[text-4 : text]); kind {
			case openNumber:
				end = plainNumber(data, text)
			case openString:
				end = plainString(data, text)
			}
		}
		if end > 0 && data[end+1] == '}' {
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
			d.pos = i
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
			i = d.pos
		}
		for {
			if i >= len(data) {
				return nil, errCut
			}
			c := data[i]
			i++
			if c == ',' {
				break
			}
			if c == '}' {
				d.pos = i
				return at, nil
			}
			if !blank(c) {
				d.pos = i - 1
				return nil, d.wrong("',' or '}' behind an attribute")
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

// plainNumber returns the index of the closing quote of a number without an
// exponent that begins at i, 0 if there is no such number. At least one more
// byte follows that index.
func plainNumber(data []byte, i int) int {
	if i < len(data) && data[i] == '-' {
		i++
	}
	first := i
	for i < len(data) && data[i]-'0' <= 9 {
		i++
	}
	if i == first || data[first] == '0' && i > first+1 {
		return 0
	}
	if i < len(data) && data[i] == '.' {
		i++
		point := i
		for i < len(data) && data[i]-'0' <= 9 {
			i++
		}
		if i == point {
			return 0
		}
	}
	if i+1 < len(data) && data[i] == '"' {
		return i
	}
	return 0
}

// plainString returns the index of the closing quote of a string that begins at
// i and is printable ASCII without escapes, else 0. At least one more byte
// follows that index.
func plainString(data []byte, i int) int {
	for ; i+1 < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			return i
		case c == '\\' || c < ' ' || c >= utf8.RuneSelf:
			return 0
		}
	}
	return 0
}

// attribute decodes one attribute of any spelling. found is its index in names,
// -1 if it is none of them. at is its text if it is a usable time key.
func (d *decoder) attribute(values []hotreader.Value) (found int, at []byte, err error) {
	name, err := d.name()
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
	if err := d.token('{'); err != nil {
		return 0, nil, err
	}
	kind, err := d.name()
	if err != nil {
		return 0, nil, err
	}
	var v hotreader.Value
	usable := true
	switch string(kind) {
	case "S":
		text, err := d.text()
		if err != nil {
			return 0, nil, err
		}
		v = hotreader.StringValue(text)
	case "N":
		text, err := d.text()
		if err != nil {
			return 0, nil, err
		}
		if usable = hotreader.IsNumber(text); usable {
			v = hotreader.NumberValue(text)
		}
	case "BOOL":
		b, err := d.boolean()
		if err != nil {
			return 0, nil, err
		}
		v = hotreader.BoolValue(b)
	case "NULL":
		if _, err := d.boolean(); err != nil {
			return 0, nil, err
		}
	default: // B, M, L and the sets, and what may come one day
		usable = false
		if err := d.skip(0); err != nil {
			return 0, nil, err
		}
	}
	if err := d.token('}'); err != nil {
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
	if err := d.token('{'); err != nil {
		return nil, err
	}
	for {
		name, err := d.name()
		if err != nil {
			return nil, err
		}
		attribute := string(name)
		if err := d.token('{'); err != nil {
			return nil, err
		}
		if name, err = d.name(); err != nil {
			return nil, err
		}
		kind := string(name)
		text, err := d.text()
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
		if err := d.token('}'); err != nil {
			return nil, err
		}
		d.space()
		if d.pos < len(d.data) && d.data[d.pos] == '}' {
			d.pos++
			return key, nil
		}
		if err := d.token(','); err != nil {
			return nil, err
		}
	}
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func (d *decoder) space() {
	for d.pos < len(d.data) && blank(d.data[d.pos]) {
		d.pos++
	}
}

// token reads c, after blanks.
func (d *decoder) token(c byte) error {
	d.space()
	if d.pos >= len(d.data) || d.data[d.pos] != c {
		return d.wrong(fmt.Sprintf("%q", c))
	}
	d.pos++
	return nil
}

// name reads a member's name and the colon behind it. It is valid until the
// next call.
func (d *decoder) name() ([]byte, error) {
	arena := d.arena
	d.arena = d.scratch[:0]
	name, err := d.text()
	d.scratch, d.arena = d.arena, arena
	if err != nil {
		return nil, err
	}
	return name, d.token(':')
}

// text reads a string. It refers to the page, or to the arena if it has
// escapes.
func (d *decoder) text() ([]byte, error) {
	if err := d.token('"'); err != nil {
		return nil, err
	}
	from := d.pos
	ascii := true
	for i := from; i < len(d.data); i++ {
		switch c := d.data[i]; {
		case c == '"':
			d.pos = i + 1
			text := d.data[from:i:i]
			if !ascii && !utf8.Valid(text) {
				return nil, fmt.Errorf("at byte %d: a string is not valid UTF-8", from)
			}
			return text, nil
		case c == '\\':
			d.pos = i
			return d.escaped(from)
		case c < ' ':
			d.pos = i
			return nil, d.wrong("no control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, errCut
}

// escaped reads a string that begins at from and has its first escape at pos.
func (d *decoder) escaped(from int) ([]byte, error) {
	start := len(d.arena)
	d.arena = append(d.arena, d.data[from:d.pos]...)
	for d.pos < len(d.data) {
		c := d.data[d.pos]
		switch {
		case c == '"':
			d.pos++
			text := d.arena[start:len(d.arena):len(d.arena)]
			if !utf8.Valid(text) {
				return nil, fmt.Errorf("at byte %d: a string is not valid UTF-8", from)
			}
			return text, nil
		case c < ' ':
			return nil, d.wrong("no control character in a string")
		case c != '\\':
			d.arena = append(d.arena, c)
			d.pos++
			continue
		}
		d.pos++
		if d.pos >= len(d.data) {
			return nil, errCut
		}
		c = d.data[d.pos]
		if at := strings.IndexByte(`"\/bfnrt`, c); at >= 0 {
			d.arena = append(d.arena, "\"\\/\b\f\n\r\t"[at])
			d.pos++
			continue
		}
		if c != 'u' {
			return nil, d.wrong("an escape")
		}
		d.pos++
		r, err := d.hex()
		if err != nil {
			return nil, err
		}
		if utf16.IsSurrogate(r) {
			// Half a pair becomes U+FFFD, as in the SDK and in encoding/json.
			high := r
			r = utf8.RuneError
			if d.pos+6 <= len(d.data) && d.data[d.pos] == '\\' && d.data[d.pos+1] == 'u' {
				back := d.pos
				d.pos += 2
				low, err := d.hex()
				if err != nil {
					return nil, err
				}
				if r = utf16.DecodeRune(high, low); r == utf8.RuneError {
					d.pos = back
				}
			}
		}
		d.arena = utf8.AppendRune(d.arena, r)
	}
	return nil, errCut
}

// hex reads the four digits of an escape.
func (d *decoder) hex() (rune, error) {
	var r rune
	for range 4 {
		if d.pos >= len(d.data) {
			return 0, errCut
		}
		switch c := d.data[d.pos]; {
		case c-'0' <= 9:
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, d.wrong("a hexadecimal digit")
		}
		d.pos++
	}
	return r, nil
}

func (d *decoder) boolean() (bool, error) {
	d.space()
	switch {
	case d.word("true"):
		return true, nil
	case d.word("false"):
		return false, nil
	}
	return false, d.wrong("true or false")
}

func (d *decoder) word(w string) bool {
	if len(d.data)-d.pos < len(w) || string(d.data[d.pos:d.pos+len(w)]) != w {
		return false
	}
	d.pos += len(w)
	return true
}

// whole reads a count.
func (d *decoder) whole() (int, error) {
	d.space()
	from, n := d.pos, 0
	for ; d.pos < len(d.data) && d.data[d.pos]-'0' <= 9; d.pos++ {
		if n = n*10 + int(d.data[d.pos]-'0'); n > math.MaxInt32 {
			return 0, errors.New("its Count is too large")
		}
	}
	if d.pos == from || d.pos > from+1 && d.data[from] == '0' {
		return 0, d.wrong("a count")
	}
	return n, nil
}

// number passes over a number.
func (d *decoder) number() error {
	from := d.pos
	for d.pos < len(d.data) && strings.IndexByte("+-.0123456789Ee", d.data[d.pos]) >= 0 {
		d.pos++
	}
	if !hotreader.IsNumber(d.data[from:d.pos]) {
		return fmt.Errorf("at byte %d: want a value", from)
	}
	return nil
}

// skip passes over any value.
func (d *decoder) skip(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("at byte %d: it is nested deeper than %d levels", d.pos, maxDepth)
	}
	d.space()
	if d.pos >= len(d.data) {
		return errCut
	}
	c := d.data[d.pos]
	switch c {
	case '"':
		mark := len(d.arena)
		_, err := d.text()
		d.arena = d.arena[:mark]
		return err
	case 't', 'f', 'n':
		if d.word("true") || d.word("false") || d.word("null") {
			return nil
		}
		return d.wrong("a value")
	case '{', '[':
	default:
		return d.number()
	}
	d.pos++
	closing := c + 2 // in ASCII, for both
	if d.space(); d.pos < len(d.data) && d.data[d.pos] == closing {
		d.pos++
		return nil
	}
	for {
		if c == '{' {
			if _, err := d.name(); err != nil {
				return err
			}
		}
		if err := d.skip(depth + 1); err != nil {
			return err
		}
		d.space()
		if d.pos < len(d.data) && d.data[d.pos] == closing {
			d.pos++
			return nil
		}
		if err := d.token(','); err != nil {
			return err
		}
	}
}

// release drops what d refers to of a page and a query.
func (d *decoder) release() {
	clear(d.names[:cap(d.names)])
	clear(d.heads[:cap(d.heads)])
	d.data, d.lastKey, d.skipped = nil, nil, 0
	if cap(d.arena) > maxPooled {
		d.arena = nil
	}
}
