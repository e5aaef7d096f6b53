package plain

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"slices"
	"unicode/utf8"

	"hotreader"
	"hotreader/internal/jsontext"
)

// jsonSource reads lines of JSON.
type jsonSource struct {
	in    *bufio.Scanner
	line  int
	begun bool // a line that is not blank has come
	text  jsontext.Scanner
	times [2]hotreader.Value // of this line: under the wanted name, under the second best one
	timed [2]bool
}

func (s *jsonSource) next(d *Decoder) error {
	if !s.in.Scan() {
		switch err := s.in.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			return fail(s.line+1, "it has more than %d bytes", maxLine)
		case err != nil:
			return &hotreader.Error{Op: "import: read the file", Code: hotreader.CodeUnavailable, Err: err}
		}
		return io.EOF
	}
	s.line++
	d.lines.Store(int64(s.line))
	text := s.in.Bytes()
	if s.line == 1 {
		text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return nil
	}
	if !utf8.Valid(text) {
		return fail(s.line, "it is not UTF-8 text")
	}
	if !s.begun {
		s.begun = true
		switch last := text[len(text)-1]; {
		case text[0] == '[':
			return fail(s.line, "it begins a JSON document; want one object a line, as jq -c '.[]' makes")
		case text[0] == '{' && (last == '{' || last == '[' || last == ','):
			return fail(s.line, "it begins a JSON document of several lines; want one object a line, as jq -c . makes")
		}
	}
	return s.object(d, text)
}

func (s *jsonSource) object(d *Decoder, text []byte) error {
	in := &s.text
	in.Reset(text)
	s.timed = [2]bool{}
	if err := in.Token('{'); err != nil {
		return fail(s.line, "it is not a JSON object: %w", err)
	}
	from := len(d.fields)
	for more := !in.Is('}'); more; {
		if err := s.member(d, from); err != nil {
			return err
		}
		if more = in.Is(','); more {
			continue
		}
		if err := in.Token('}'); err != nil {
			return fail(s.line, "the object is not closed: %w", err)
		}
	}
	if in.End() != nil {
		return fail(s.line, "more follows behind the object")
	}
	at := s.times[0]
	switch {
	case s.timed[0] && s.timed[1]:
		return fail(s.line, "%w", bothTimes())
	case s.timed[1]:
		at = s.times[1]
	case !s.timed[0]:
		var keys []string
		for key := range jsontext.Members(text) {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		return fail(s.line, "%w", noTime("key", cmp.Or(d.o.Time, "timestamp"), slices.Compact(keys)))
	}
	if k := at.Kind(); k != hotreader.String && k != hotreader.Number {
		return fail(s.line, "the time is null or a boolean")
	}
	return d.add(s.line, string(at.Text()), from)
}

// member reads a key and its value.
func (s *jsonSource) member(d *Decoder, from int) error {
	in := &s.text
	text, err := in.Name()
	if err != nil {
		return fail(s.line, "it is not a JSON object: %w", err)
	}
	key := string(text)
	if in.Broken() {
		return s.half(key)
	}
	kind := jsontext.KindOf(in.Data[in.Pos:])
	nested := kind == jsontext.Object || kind == jsontext.Array
	at := d.o.timeRank(key)
	name, wrong := d.o.property(key)
	switch {
	case at >= 0 && s.timed[at]:
		return fail(s.line, "%q comes twice", key)
	case at >= 0 && nested:
		return fail(s.line, "%q holds the time, but is an object or array", key)
	case at >= 0:
		s.times[at], err = s.value(key)
		s.timed[at] = true
		return err
	case wrong != "":
		return fail(s.line, "key %.60q %s", key, wrong)
	case name == "":
		if err := in.Skip(); err != nil {
			return fail(s.line, "%.60q is not whole: %w", key, err)
		}
		return nil
	case nested && in.Is('[') && in.Is('{'):
		return fail(s.line, "%.60q is a list of objects, so this is a JSON document; want one object a line, as jq -c '.[%.60q][]' makes", key, key)
	case nested:
		return fail(s.line, "%.60q is an object or array; only flat values can be stored (leave it out by renaming it to nothing)", key)
	case slices.ContainsFunc(d.fields[from:], func(f hotreader.Field) bool { return f.Name == name }):
		return fail(s.line, "%.60q comes twice", name)
	case len(d.fields)-from == maxFields:
		return fail(s.line, "it has more than %d values", maxFields)
	}
	v, err := s.value(key)
	if err != nil || v.IsNull() {
		return err
	}
	switch v.Kind() {
	case hotreader.Number:
		v = hotreader.NumberValue(d.keep(string(v.Text())))
	case hotreader.String:
		v = hotreader.StringValue(d.keep(string(v.Text())))
	}
	d.fields = append(d.fields, hotreader.Field{Name: name, Value: v})
	return nil
}

// value reads the flat value of a key. It is valid until the next line.
func (s *jsonSource) value(key string) (v hotreader.Value, err error) {
	in := &s.text
	switch jsontext.KindOf(in.Data[in.Pos:]) {
	case jsontext.String:
		var text []byte
		if text, err = in.Text(); err == nil && in.Broken() {
			return v, s.half(key)
		}
		v = hotreader.StringValue(text)
	case jsontext.Number:
		var digits []byte
		digits, err = in.Number()
		v = hotreader.NumberValue(digits)
	case jsontext.Boolean:
		var b bool
		b, err = in.Boolean()
		v = hotreader.BoolValue(b)
	default:
		err = in.Skip()
	}
	if err != nil {
		return v, fail(s.line, "%.60q has no value: %w", key, err)
	}
	return v, nil
}

func (s *jsonSource) half(key string) error {
	return fail(s.line, "%.60q has half of a surrogate pair, which no text can hold", key)
}

// timeRank returns 0 if key is the time's, 1 if it is where nothing better is
// there, else -1.
func (o *Options) timeRank(key string) int {
	switch {
	case key == cmp.Or(o.Time, "timestamp"):
		return 0
	case o.Time == "" && key == TimeName:
		return 1
	}
	return -1
}
