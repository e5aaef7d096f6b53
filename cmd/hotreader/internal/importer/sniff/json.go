package sniff

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer/records"
	"hotreader/cmd/hotreader/internal/importer/timetext"
	"hotreader/internal/jsontext"
)

func (g *Guess) lookJSON(head []byte, given Options) error {
	g.Shape = shapeOf(head)
	if err := g.readJSON(head); err != nil {
		return err
	}
	if len(g.Columns) == 0 {
		return nil // the reading says what is wrong
	}
	return g.finish(given, 1)
}

// shapeOf finds out where the records are.
func shapeOf(head []byte) (s records.Shape) {
	text := bytes.TrimLeft(head, " \t\r\n\x1e")
	if bytes.HasPrefix(text, []byte("{")) {
		s.Path = arrayIn(text, nil)
		first, rest, _ := bytes.Cut(text, []byte("\n"))
		second, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte("\n"))
		s.Lines = s.Path == nil && (whole(first) || whole(second)) // the first one may be cut
	}
	one := s
	one.Lines = false // the first object, wherever it is
	object, _, err := records.NewJSON(bytes.NewReader(text), one).Next()
	if err != nil {
		return s
	}
	for _, inner := range [][]string{{"Item"}, {"dynamodb", "NewImage"}, {"NewImage"}} {
		if inside := records.Within(object, inner); inside != nil && records.IsTyped(inside) {
			s.Inner, object = inner, inside
			break
		}
	}
	s.Typed = records.IsTyped(object)
	return s
}

// whole reports whether text is one object.
func whole(text []byte) bool {
	s := jsontext.Scanner{Data: text}
	return s.Skip() == nil && s.End() == nil && jsontext.KindOf(bytes.TrimSpace(text)) == jsontext.Object
}

// wrappers are what arrays of records are called.
var wrappers = []string{"results", "result", "items", "value", "values", "data", "records", "rows", "readings", "measurements", "feeds",
	"entries", "series", "telemetry", "points", "content", "list", "observations", "events", "messages", "history", "samples", "hits"}

// arrayIn finds the array of records in a document that text, which may be cut, begins
// with; nil if the document itself is a record.
func arrayIn(text []byte, path []string) []string {
	s := jsontext.Scanner{Data: text}
	var found []string
	timed := false
	if len(path) > 3 || !s.Is('{') {
		return nil
	}
	for more := true; more; more = s.Is(',') {
		key, err := s.Name()
		if err != nil {
			break
		}
		name := string(key)
		s.Space()
		rest := text[s.Pos:]
		here := append(slices.Clone(path), name)
		switch kind := jsontext.KindOf(rest); {
		case kind == jsontext.Array && found == nil && (hasTime(rest) || slices.Contains(wrappers, strings.ToLower(name)) && (begins(rest, '{') || begins(rest, ']'))):
			found = here
		case kind == jsontext.Object && found == nil:
			found = arrayIn(rest, here)
		case timetext.Named(name) > 0:
			timed = true
		}
		if s.Skip() != nil {
			break
		}
	}
	if timed && found != nil && !slices.Contains(wrappers, strings.ToLower(found[len(found)-1])) {
		return nil
	}
	return found
}

// begins reports whether an array begins with an object, or has the end next.
func begins(array []byte, with byte) bool {
	s := jsontext.Scanner{Data: array}
	return s.Is('[') && s.Is(with)
}

// hasTime reports whether an array's first object has a key that is called a time.
func hasTime(array []byte) bool {
	for key, value := range jsontext.Members(bytes.TrimPrefix(bytes.TrimSpace(array), []byte("["))) {
		if timetext.Named(key) > 0 && jsontext.KindOf(value) != jsontext.Array {
			return true
		}
	}
	return false
}

// readJSON reads the first records into columns.
func (g *Guess) readJSON(head []byte) error {
	in := records.NewJSON(bytes.NewReader(head), g.Shape)
	places := map[string]int{}
	for n := 0; n < samples; {
		object, line, err := in.Next()
		if errors.Is(err, records.ErrEncoding) {
			return fail(line, "%v", records.ErrEncoding)
		}
		if _, bad := errors.AsType[*records.BadRecord](err); bad {
			continue
		}
		if err != nil {
			return nil //nolint:nilerr // the head may be cut, and the reading says what is wrong
		}
		_ = in.Fields(object, func(f records.Field) error {
			i, there := places[string(f.Name)]
			if !there {
				if len(g.Columns) == 1000 {
					return nil
				}
				i = len(g.Columns)
				places[string(f.Name)] = i
				g.Columns = append(g.Columns, Column{Name: string(f.Name), Cells: make([]string, n)})
			}
			text := string(f.Value.Text())
			if f.Value.Kind() == hotreader.Bool {
				text = f.Value.String()
			}
			if c := &g.Columns[i]; len(c.Cells) == n {
				c.Cells = append(c.Cells, text)
			}
			return nil
		})
		n++
		for i := range g.Columns {
			if len(g.Columns[i].Cells) < n {
				g.Columns[i].Cells = append(g.Columns[i].Cells, "")
			}
		}
	}
	return nil
}
