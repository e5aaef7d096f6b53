package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/internal/nearest"
)

// maxFile bounds a file of the project folder, in bytes: 10,000 devices of 20
// properties, a line for each key, are some 30 MB.
const maxFile = 64 << 20

// Problem is one thing that is wrong with an environment or a project folder.
type Problem struct {
	Where string // a file, with the place in it, as "config.json: mode"; or a variable
	Err   error  // what is wrong
}

func (p *Problem) Error() string { return p.Where + ": " + p.Err.Error() }
func (p *Problem) Unwrap() error { return p.Err }

// Problems returns the Problems that err is made of. Of an error that has none it
// makes one.
func Problems(err error) (all []*Problem) {
	switch e := err.(type) { //nolint:errorlint // the tree is walked here
	case nil:
	case *Problem:
		all = []*Problem{e}
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			all = append(all, Problems(one)...)
		}
	default:
		_, inside := errors.AsType[*Problem](err)
		whole, ok := err.(*hotreader.Error) //nolint:errorlint // as above
		switch {
		case inside:
			all = Problems(errors.Unwrap(err))
		case ok:
			all = []*Problem{{whole.Op, whole.Err}}
		case !errors.Is(err, errCount):
			all = []*Problem{{"", err}}
		}
	}
	return all
}

// problems collects what is wrong with an environment or a project folder.
type problems []error

// most is how many problems are told: a hostile file may have millions.
const most = 1000

// add adds a line: where it is, and what is wrong.
func (p *problems) add(where, format string, args ...any) {
	if len(*p) >= most {
		where, format, args = "", "there may be more; they are told when these are changed", nil
		*p = (*p)[:most-1]
	}
	*p = append(*p, &Problem{where, fmt.Errorf(format, args...)})
}

// errCount is the line above all others.
var errCount = errors.New("to be changed")

// err returns all problems as one error.
func (p *problems) err(op string) error {
	if len(*p) == 0 {
		return nil
	}
	// Each on a line of its own, below the line that says what this is.
	all := errors.Join(append([]error{fmt.Errorf("%d %w", len(*p), errCount)}, *p...)...)
	return &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: all}
}

// object is a JSON object as it is in a file: names are compared letter by
// letter, none is there twice, and values are as they were written.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

// get returns the value of a name, nil if it is not there.
func (o object) get(name string) json.RawMessage {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// document checks that text is one JSON document and returns it without a
// byte-order mark.
func (p *problems) document(where string, text []byte) (json.RawMessage, bool) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	switch {
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}), bytes.HasPrefix(text, []byte{0xfe, 0xff}):
		p.add(where, "is UTF-16; save it as UTF-8")
		return nil, false
	case len(bytes.TrimSpace(text)) == 0:
		p.add(where, "is empty")
		return nil, false
	}
	for at := 0; at < len(text); {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n == 1 {
			p.add(where, "is not valid UTF-8 at %s; save it as UTF-8", position(text, at))
			return nil, false
		}
		at += n
	}
	var doc json.RawMessage
	d := json.NewDecoder(bytes.NewReader(text))
	err := d.Decode(&doc)
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		p.add(where, "is not JSON at %s: %v", position(text, int(wrong.Offset)-1), wrong)
		return nil, false
	}
	if err != nil { // io.ErrUnexpectedEOF
		p.add(where, "is not JSON: it ends in the middle, at %s", position(text, len(text)))
		return nil, false
	}
	end := int(d.InputOffset())
	if rest := bytes.TrimLeft(text[end:], " \t\r\n"); len(rest) > 0 {
		p.add(where, "has more text after its end, at %s", position(text, len(text)-len(rest)))
		return nil, false
	}
	return doc, true
}

// position returns the place of a byte as an editor shows it.
func position(text []byte, at int) string {
	at = max(0, min(at, len(text)))
	line := bytes.LastIndexByte(text[:at], '\n') + 1
	return fmt.Sprintf("line %d, column %d", 1+bytes.Count(text[:at], []byte{'\n'}), 1+utf8.RuneCount(text[line:at]))
}

// object takes a JSON object apart.
func (p *problems) object(where string, text json.RawMessage) (object, bool) {
	if jsontext.KindOf(text) != jsontext.Object {
		p.add(where, "is %s; expected an object {…}", jsontext.KindOf(text))
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	_, _ = d.Token() // the brace: text is JSON
	var o object
	seen := map[string]bool{}
	ok := true
	for d.More() {
		name, _ := d.Token()
		m := member{name: name.(string)}
		_ = d.Decode(&m.value)
		if seen[m.name] {
			p.add(below(where, m.name), "is there twice; remove one of them")
			ok = false
			continue
		}
		seen[m.name] = true
		o = append(o, m)
	}
	return o, ok
}

// items takes a JSON array apart. The name of an item is its place.
func (p *problems) items(where string, text json.RawMessage) (items []member, ok bool) {
	if jsontext.KindOf(text) != jsontext.Array {
		p.add(where, "is %s; expected an array […]", jsontext.KindOf(text))
		return nil, false
	}
	var values []json.RawMessage
	_ = json.Unmarshal(text, &values) // text is JSON
	if strings.HasSuffix(where, ".json") {
		where += ": "
	}
	for i, value := range values {
		items = append(items, member{fmt.Sprintf("%s[%d]", where, i), value})
	}
	return items, true
}

// text reads a JSON string.
func (p *problems) text(where string, raw json.RawMessage) (string, bool) {
	if jsontext.KindOf(raw) != jsontext.String {
		p.add(where, `is %s; expected a text in quotes`, jsontext.KindOf(raw))
		return "", false
	}
	var s string
	_ = json.Unmarshal(raw, &s) // raw is JSON
	return s, true
}

// whole reads a whole number of 32 bits, from least on.
func (p *problems) whole(where string, raw json.RawMessage, least, most int) int {
	if jsontext.KindOf(raw) == jsontext.Number {
		digits, _, ok := hotreader.Integer.Convert(hotreader.NumberValue(raw), nil)
		var n int
		if ok && json.Unmarshal(digits.Text(), &n) == nil && n >= least && n <= most {
			return n
		}
	}
	p.add(where, "is %s; expected a whole number from %d to %d", short(raw), least, most)
	return 0
}

// short returns a value for a message.
func short(raw json.RawMessage) string {
	switch k := jsontext.KindOf(raw); k {
	case jsontext.Object, jsontext.Array, jsontext.Missing:
		return string(k)
	}
	const most = 40
	if utf8.RuneCount(raw) <= most {
		return string(raw)
	}
	return string([]rune(string(raw))[:most]) + "…"
}

// below returns where a name of an object is.
func below(where, name string) string {
	const most = 60
	if utf8.RuneCountInString(name) > most {
		name = string([]rune(name)[:most]) + "…"
	}
	for _, c := range name {
		if c <= ' ' || c == 0x7f || c == ':' {
			name = fmt.Sprintf("%q", name)
			break
		}
	}
	if strings.HasSuffix(where, ".json") {
		return where + ": " + name
	}
	return where + "." + name
}

// field is a name of an object, and what reads its value. need says what is expected
// of one that must be there; "" = it may be left out or null.
type field struct {
	name, need string
	read       func(where string, raw json.RawMessage) // nil = others read it
	strict     bool                                    // null is an error: it would allow more than was meant
	is         rule                                    // what a schema says of the value, as far as one rule says it; nil = nothing
}

// by returns a field that a rule reads into what to points to.
func (l *loader) by(name string, r rule, to any) field {
	return field{name: name, is: r, read: func(where string, raw json.RawMessage) { r.read(l, where, raw, to) }}
}

func names(fields []field) (all []string) {
	for _, f := range fields {
		all = append(all, f.name)
	}
	return all
}

// given reports whether a value is there and not null.
func given(raw json.RawMessage) bool { return raw != nil && jsontext.KindOf(raw) != jsontext.Null }

// members reads an object by its fields, in their order. Other names are
// ignored, unless one looks like a misspelt one that is not there.
func (p *problems) members(where string, raw json.RawMessage, fields ...field) object {
	o, ok := p.object(where, raw)
	if !ok && o == nil {
		return nil
	}
	known := names(fields)
	for _, f := range fields {
		value, typed := o.get(f.name), ""
		if value == nil {
			typed = o.mistyped(f.name, known)
		}
		switch {
		case value == nil && typed != "" && f.need != "":
			p.add(below(where, f.name), "is missing; %q is there, did you mean that? %s", typed, f.need)
		case value == nil && f.need != "":
			p.add(below(where, f.name), "is missing; %s", f.need)
		case value == nil && typed != "":
			p.add(below(where, typed), "is unknown; did you mean %s?", f.name)
		case f.read != nil && (f.need != "" || given(value)):
			f.read(below(where, f.name), value)
		}
	}
	return o
}

// fields reads an object all of whose names must be known.
func (p *problems) fields(where string, raw json.RawMessage, fields ...field) {
	o, _ := p.object(where, raw)
	known := names(fields)
	for _, m := range o {
		i := slices.Index(known, m.name)
		if len(*p) >= most { // finding what is meant takes time
			p.add("", "")
			return
		}
		if i < 0 {
			hint, meant := "", nearest.Word(m.name, known)
			if m.name == "google" && slices.Contains(known, string(GCP)) {
				meant = string(GCP)
			}
			if meant != "" {
				hint = fmt.Sprintf("did you mean %s? ", meant)
			}
			p.add(below(where, m.name), "is unknown; %sthere are %s", hint, strings.Join(known, ", "))
		} else if given(m.value) || fields[i].strict {
			fields[i].read(below(where, m.name), m.value)
		}
	}
}

// mistyped returns the name in o that is in the place of want: one that is none
// of known and close to want; "" if there is none.
func (o object) mistyped(want string, known []string) string {
	for _, m := range o[:min(len(o), most)] {
		if !slices.Contains(known, m.name) && nearest.Word(m.name, []string{want}) != "" && nearest.Word(m.name, known) == want {
			return m.name
		}
	}
	return ""
}

// quote returns text as JSON.
func quote(text string) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string cannot fail
	return bytes.TrimSpace(b.Bytes())
}

// set sets the value of a name, in its place or after all others.
func (o *object) set(name string, value json.RawMessage) {
	for i, m := range *o {
		if m.name == name {
			(*o)[i].value = value
			return
		}
	}
	*o = append(*o, member{name, value})
}

// drop takes a name out.
func (o *object) drop(name string) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return m.name == name })
}

// text returns o as JSON.
func (o object) text() json.RawMessage {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, quote(m.name)...), ':'), m.value...)
	}
	return append(b, '}')
}
