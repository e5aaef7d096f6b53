package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/internal/nearest"
)

// maxFile bounds a file of the project folder, in bytes: some 30,000 devices.
const maxFile = 16 << 20

// problems collects what is wrong with the files of a project folder.
type problems []error

// add adds a line: where it is, as "config.json: mode", and what is wrong.
func (p *problems) add(where, format string, args ...any) {
	*p = append(*p, fmt.Errorf("%s: "+format, append([]any{where}, args...)...))
}

// err returns all problems as one error.
func (p *problems) err(op string) error {
	if len(*p) == 0 {
		return nil
	}
	all := errors.Join(append([]error{fmt.Errorf("%d to be changed", len(*p))}, *p...)...)
	return &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: all}
}

// read returns what the file dir/name holds, nil and no problem if it is not
// there.
func (p *problems) read(dir, name string) []byte {
	text, _, err := readFile(filepath.Join(dir, name))
	if err != nil {
		p.add(name, "%w", err)
	}
	return text
}

// object is a JSON object as it stands in a file: names are compared letter by
// letter, none stands twice, and values are as they were written.
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
	if !utf8.Valid(text) {
		at := 0
		for at < len(text) {
			r, n := utf8.DecodeRune(text[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
		p.add(where, "is not valid UTF-8 at %s; save it as UTF-8", position(text, at))
		return nil, false
	}
	var doc json.RawMessage
	d := json.NewDecoder(bytes.NewReader(text))
	err := d.Decode(&doc)
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		p.add(where, "is not JSON at %s: %v", position(text, int(wrong.Offset)-1), wrong)
		return nil, false
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		p.add(where, "is not JSON: it ends in the middle, at %s", position(text, len(text)))
		return nil, false
	}
	if err != nil {
		p.add(where, "is not JSON: %w", err)
		return nil, false
	}
	end := int(d.InputOffset())
	if rest := bytes.TrimLeft(text[end:], " \t\r\n"); len(rest) > 0 {
		p.add(where, "has more text behind its end, at %s", position(text, len(text)-len(rest)))
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
		p.add(where, "is %s; want an object {…}", jsontext.KindOf(text))
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
		if err := d.Decode(&m.value); err != nil {
			p.add(where, "is not JSON: %w", err)
			return nil, false
		}
		if seen[m.name] {
			p.add(below(where, m.name), "stands there twice; leave one of them")
			ok = false
			continue
		}
		seen[m.name] = true
		o = append(o, m)
	}
	return o, ok
}

// list takes a JSON array apart.
func (p *problems) list(where string, text json.RawMessage) ([]json.RawMessage, bool) {
	if jsontext.KindOf(text) != jsontext.Array {
		p.add(where, "is %s; want an array […]", jsontext.KindOf(text))
		return nil, false
	}
	var items []json.RawMessage
	if err := json.Unmarshal(text, &items); err != nil {
		p.add(where, "is not JSON: %w", err)
		return nil, false
	}
	return items, true
}

// text reads a JSON string.
func (p *problems) text(where string, raw json.RawMessage) (string, bool) {
	if jsontext.KindOf(raw) != jsontext.String {
		p.add(where, `is %s; want a text in quotes`, jsontext.KindOf(raw))
		return "", false
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		p.add(where, "is not JSON: %w", err)
		return "", false
	}
	return s, true
}

// whole reads a whole number of 32 bits, from least on.
func (p *problems) whole(where string, raw json.RawMessage, least, most int) int {
	digits, _, ok := hotreader.Integer.Convert(hotreader.NumberValue(raw), nil)
	if ok = ok && jsontext.KindOf(raw) == jsontext.Number; ok {
		var n int
		if json.Unmarshal(digits.Text(), &n) == nil && n >= least && n <= most {
			return n
		}
	}
	p.add(where, "is %s; want a whole number from %d to %d", short(raw), least, most)
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

// mistyped returns the name in o that stands where want should: one that is none
// of known and close to want; "" if there is none.
func (o object) mistyped(want string, known []string) string {
	for _, m := range o {
		if !slices.Contains(known, m.name) && nearest.Word(m.name, []string{want}) != "" && nearest.Word(m.name, known) == want {
			return m.name
		}
	}
	return ""
}

// missing says that want is not there, and what may have been meant to be it.
func (p *problems) missing(where string, o object, want string, known []string, as string) {
	if typed := o.mistyped(want, known); typed != "" {
		p.add(below(where, want), "is missing; %q is there, did you mean that? %s", typed, as)
		return
	}
	p.add(below(where, want), "is missing; %s", as)
}
