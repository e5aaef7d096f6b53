package records

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"hotreader"
	"hotreader/internal/jsontext"
)

// A Shape is where the records are in JSON.
type Shape struct {
	Lines bool     // one object a line, so that a bad line harms no other
	Path  []string // of the array of records in a document; nil = it is the document itself, or there is none
	Inner []string // where the record is in an object, as Item in DynamoDB's exports
	Typed bool     // values are wrapped with their types, as DynamoDB does
}

// JSON reads objects.
type JSON struct {
	shape  Shape
	in     lines
	r      *bufio.Reader
	line   int
	stack  []byte // '[' an array of records, '{' an object on the path
	within int    // objects of the stack
	buffer []byte
	rest   []byte // of a line, after an object
	text   jsontext.Scanner
}

// NewJSON reads r, which is UTF-8.
func NewJSON(r io.Reader, shape Shape) *JSON {
	br := bufio.NewReaderSize(r, 1<<16)
	return &JSON{shape: shape, r: br, in: lines{r: br}, line: 1}
}

// Next returns the text of the next object, valid until the next call, and the line
// where it begins.
func (j *JSON) Next() (object []byte, line int, err error) {
	if j.shape.Lines {
		object, line, err = j.nextLine()
	} else {
		object, line, err = j.nextInDocument()
	}
	if err == nil && !utf8.Valid(object) {
		err = &BadRecord{Line: line, Text: string(object), Err: ErrEncoding}
	}
	return object, line, err
}

func (j *JSON) nextLine() ([]byte, int, error) {
	for len(bytes.TrimSpace(j.rest)) == 0 {
		line, err := j.in.next()
		if err != nil {
			return nil, 0, err
		}
		j.rest = []byte(line)
	}
	text := bytes.TrimLeft(bytes.TrimSpace(j.rest), ",") // lines of an array without its brackets
	j.rest = nil
	n := objectEnd(text)
	if n == 0 {
		return nil, 0, &BadRecord{Line: j.in.n, Text: string(text), Err: errors.New("it is not a JSON object, or not a whole one")}
	}
	if rest := bytes.TrimLeft(text[n:], " \t\r\n,"); len(rest) > 0 {
		j.rest = rest
	}
	return text[:n], j.in.n, nil
}

// objectEnd returns the length of the object that text begins with, 0 if it is not
// whole.
func objectEnd(text []byte) int {
	var n jsontext.Nesting
	for i, c := range text {
		if n.Add(c); n.Depth <= 0 {
			return min(i, 1) * (i + 1) // 0 if it begins with no bracket
		}
	}
	return 0
}

// broken is the error of a document whose structure is wrong: nothing after that can
// be read.
func (j *JSON) broken(format string, args ...any) error {
	return &hotreader.Error{Op: "import", Code: hotreader.CodeInvalid, Err: fmt.Errorf("line %d: "+format, append([]any{j.line}, args...)...)}
}

// byte returns the next byte that is no blank.
func (j *JSON) byte() (byte, error) {
	for range maxBlank {
		c, err := j.r.ReadByte()
		if err != nil {
			return 0, err
		}
		switch c {
		case '\n':
			j.line++
		case ' ', '\t', '\r', '\x1e': // RFC 7464's record separator
		default:
			return c, nil
		}
	}
	return 0, errBlank(j.line)
}

func (j *JSON) nextInDocument() ([]byte, int, error) {
	for {
		c, err := j.byte()
		if errors.Is(err, io.EOF) && len(j.stack) > 0 {
			return nil, 0, j.broken("the document is cut short")
		}
		if err != nil {
			return nil, 0, err
		}
		inObject := len(j.stack) > 0 && j.stack[len(j.stack)-1] == '{'
		switch {
		case c == ',':
		case len(j.stack) > 0 && c == j.stack[len(j.stack)-1]+2: // ] or }
			j.stack = j.stack[:len(j.stack)-1]
			if inObject {
				j.within--
			}
		case inObject && c == '"':
			if err := j.member(); err != nil {
				return nil, 0, err
			}
		case !inObject && (c == '[' || c == '{' && j.within < len(j.shape.Path)):
			if err := j.enter(c); err != nil {
				return nil, 0, err
			}
		case !inObject && c == '{':
			line := j.line
			object, err := j.value(c, true)
			return object, line, err
		case !inObject && len(j.stack) > 0 && c == 'n':
			if _, err := j.value(c, false); err != nil {
				return nil, 0, err
			}
		default:
			return nil, 0, j.broken("expected a JSON object for each time, got %q", c)
		}
	}
}

// maxNested bounds how deep records lie in arrays.
const maxNested = 128

// enter begins an array of records or an object on the path.
func (j *JSON) enter(c byte) error {
	if len(j.stack) == maxNested {
		return j.broken("arrays are nested deeper than %d", maxNested)
	}
	if j.stack = append(j.stack, c); c == '{' {
		j.within++
	}
	return nil
}

// member reads a member of an object on the path, the last one, whose name has begun.
func (j *JSON) member() error {
	name, err := j.value('"', true)
	if err != nil {
		return err
	}
	wanted := strings.Trim(string(name), `"`) == j.shape.Path[j.within-1]
	c, err := j.byte()
	if err == nil && c != ':' {
		return j.broken("expected a colon after %s", name)
	}
	if err == nil {
		c, err = j.byte()
	}
	switch {
	case err != nil:
		return j.cut(err)
	case wanted && c == '[', wanted && c == '{' && j.within < len(j.shape.Path):
		return j.enter(c)
	}
	_, err = j.value(c, false)
	return err
}

func (j *JSON) cut(err error) error {
	if errors.Is(err, io.EOF) {
		return j.broken("the document is cut short")
	}
	return err
}

// value reads the value that begins with c, and returns its text if it is kept.
func (j *JSON) value(c byte, keep bool) ([]byte, error) {
	j.buffer = append(j.buffer[:0], c)
	var n jsontext.Nesting
	n.Add(c)
	for {
		c, err := j.r.ReadByte()
		if err != nil {
			return nil, j.cut(err)
		}
		outside := n.Depth == 0 && !n.Quoted
		if outside && bytes.IndexByte([]byte(",]} \t\r\n"), c) >= 0 { // a number or a word ends
			return j.buffer, j.r.UnreadByte()
		}
		if c == '\n' {
			j.line++
		}
		if keep {
			if j.buffer = append(j.buffer, c); len(j.buffer) > maxRecord {
				return nil, j.broken("an object has more than %d bytes", maxRecord)
			}
		}
		if n.Add(c); !outside && n.Depth == 0 && !n.Quoted {
			return j.buffer, nil
		}
	}
}

// A Field is a value of an object, with the names on the path to it, joined by dots.
type Field struct {
	Name  []byte
	Value hotreader.Value // null for null, NaN and the infinities
}

// Fields calls each with the values of an object that Next returned. They are valid
// until the next call of Next.
func (j *JSON) Fields(object []byte, each func(Field) error) error {
	if object = Within(object, j.shape.Inner); object == nil {
		return fmt.Errorf("it has no object %q, in which others have their values", strings.Join(j.shape.Inner, "."))
	}
	if j.shape.Typed {
		plain, err := Untyped(object)
		if err != nil {
			return err
		}
		object = plain
	}
	j.text.Reset(object)
	if err := j.members(nil, each); err != nil {
		return err
	}
	return j.text.End()
}

// Within returns the object at the end of a path of names; nil if it is not there.
func Within(object []byte, path []string) []byte {
	for _, name := range path {
		var found []byte
		for key, value := range jsontext.Members(object) {
			if key == name && jsontext.KindOf(value) == jsontext.Object {
				found = value
				break
			}
		}
		object = found
	}
	return object
}

func (j *JSON) members(prefix []byte, each func(Field) error) error {
	in := &j.text
	if err := in.Token('{'); err != nil {
		return err
	}
	for more := !in.Is('}'); more; {
		key, err := in.Name()
		if err != nil {
			return err
		}
		if in.Broken() {
			return fmt.Errorf("the name %.60q has half of a surrogate pair, which no text can hold", key)
		}
		name := slices.Concat(prefix, key)
		if err := j.fieldValue(name, each); err != nil {
			return err
		}
		if more = in.Is(','); !more {
			return in.Token('}')
		}
	}
	return nil
}

// fieldValue reads the value under a name.
func (j *JSON) fieldValue(name []byte, each func(Field) error) error {
	in := &j.text
	in.Space()
	f := Field{Name: name}
	var err error
	switch jsontext.KindOf(in.Data[in.Pos:]) {
	case jsontext.Object:
		if len(name) > 4*hotreader.MaxNameBytes {
			return fmt.Errorf("%.60q is nested too deep", name)
		}
		return j.members(append(name, '.'), each)
	case jsontext.String:
		var text []byte
		if text, err = in.Text(); err == nil && in.Broken() {
			err = fmt.Errorf("%.60q has half of a surrogate pair, which no text can hold", name)
		}
		f.Value = hotreader.StringValue(text)
	case jsontext.Boolean:
		var b bool
		b, err = in.Boolean()
		f.Value = hotreader.BoolValue(b)
	case jsontext.Array:
		from := in.Pos
		err = in.Skip()
		f.Value = hotreader.StringValue(in.Data[from:in.Pos])
	case jsontext.Null:
		err = in.Skip()
	default:
		if word := notFinite(in.Data[in.Pos:]); word > 0 {
			in.Pos += word
			break
		}
		var digits []byte
		digits, err = in.Number()
		f.Value = hotreader.NumberValue(digits)
	}
	if err != nil {
		return err
	}
	return each(f)
}

// notFinite returns the length of the word, as Python writes it, for what is no number
// in JSON.
func notFinite(text []byte) int {
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(text, []byte(word)) {
			return len(word)
		}
	}
	return 0
}
