package plain

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"hotreader"
)

// csvSource reads lines of CSV.
type csvSource struct {
	in     *bufio.Reader
	limit  *lineLimit
	csv    *csv.Reader
	names  []string // property of each column, "" = left out; nil before the header
	timeAt int
}

// lineLimit fails a read when more than maxLine bytes were taken since the last
// line began.
type lineLimit struct {
	r     io.Reader
	taken int
}

var errLong = fmt.Errorf("it has more than %d bytes; is a quote left open?", maxLine)

func (l *lineLimit) Read(p []byte) (int, error) {
	if l.taken > maxLine {
		return 0, errLong
	}
	n, err := l.r.Read(p)
	l.taken += n
	return n, err
}

func (s *csvSource) next(d *Decoder) error {
	if s.names == nil {
		if err := s.header(d); err != nil {
			return err
		}
	}
	cells, line, err := s.read(d)
	if err != nil {
		return err
	}
	from := len(d.fields)
	for i, cell := range cells {
		if s.names[i] == "" {
			continue
		}
		if !utf8.ValidString(cell) {
			return fail(line, "column %d (%.60q) is not UTF-8 text", i+1, s.names[i])
		}
		if v := d.cell(cell); !v.IsNull() {
			d.fields = append(d.fields, hotreader.Field{Name: s.names[i], Value: v})
		}
	}
	return d.add(line, cells[s.timeAt], from)
}

// read returns the next line's cells and its number.
func (s *csvSource) read(d *Decoder) (cells []string, line int, err error) {
	s.limit.taken = 0
	cells, err = s.csv.Read()
	if err == nil {
		line, _ = s.csv.FieldPos(0)
		last, _ := s.csv.FieldPos(len(cells) - 1)
		d.lines.Store(int64(last + strings.Count(cells[len(cells)-1], "\n")))
		return cells, line, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	if errors.Is(err, errLong) {
		return nil, 0, fail(int(d.lines.Load())+1, "%w", err)
	}
	pe, ok := errors.AsType[*csv.ParseError](err)
	switch {
	case !ok:
		return nil, 0, &hotreader.Error{Op: "import: read the file", Code: hotreader.CodeUnavailable, Err: err}
	case errors.Is(err, csv.ErrFieldCount):
		return nil, 0, fail(pe.Line, "it has %d cells, the header has %d", len(cells), len(s.names))
	case pe.StartLine != pe.Line:
		return nil, 0, fail(pe.StartLine, "%w, up to line %d", pe.Err, pe.Line)
	}
	return nil, 0, fail(pe.Line, "%w, at byte %d", pe.Err, pe.Column)
}

func (s *csvSource) header(d *Decoder) error {
	mark, err := s.in.Peek(3)
	switch {
	case bytes.Equal(mark, []byte("\xef\xbb\xbf")):
		_, _ = s.in.Discard(3) // it has been peeked at, so it is there
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		return fail(1, "the file is UTF-16; save it as UTF-8")
	case len(mark) == 0 && errors.Is(err, io.EOF):
		return fail(0, "the file is empty; the first line must name the columns")
	}
	cells, line, err := s.read(d)
	if errors.Is(err, io.EOF) {
		return fail(0, "the file is empty; the first line must name the columns")
	} else if err != nil {
		return err
	}
	if len(cells) > maxFields+1 {
		return fail(line, "it names %d columns; at most %d and the time's are allowed", len(cells), maxFields)
	}
	columns := make([]string, len(cells))
	for i, cell := range cells {
		if strings.Contains(cell, "\r") {
			return fail(line, "its lines end with CR alone, or a column's name holds one; make them LF, as with: tr '\\r' '\\n'")
		}
		columns[i] = strings.Clone(strings.TrimSpace(unguard(cell)))
	}
	if err := s.setColumns(&d.o, columns); err != nil {
		return fail(line, "%w", err)
	}
	return nil
}

// setColumns finds the time and the properties among the columns.
func (s *csvSource) setColumns(o *Options, columns []string) error {
	if o.Time == "" && slices.Contains(columns, "timestamp") && slices.Contains(columns, TimeName) {
		return bothTimes()
	}
	if s.timeAt = slices.Index(columns, o.timeName(columns)); s.timeAt < 0 {
		if other := otherComma(columns); other != 0 {
			return &OptionsError{Comma: other,
				Err: fmt.Errorf("the cells of %.200q seem to be separated by %q rather than a comma", columns[0], other)}
		}
		return noTime("column", o.timeName(columns), columns)
	}
	for from := range o.Rename {
		if !slices.Contains(columns, from) {
			return fmt.Errorf("no column is named %q, which is to be renamed; the columns are %.200q", from, columns)
		}
	}
	names := make([]string, len(columns))
	for i, column := range columns {
		if i == s.timeAt {
			continue
		}
		name, wrong := o.property(column)
		if wrong != "" {
			return fmt.Errorf("column %d %s", i+1, wrong)
		}
		if name != "" && slices.Contains(names[:i], name) {
			return fmt.Errorf("two columns are named %q", name)
		}
		names[i] = name
	}
	s.names = names
	return nil
}

// timeName returns the name of the time's column or key, given all of them.
func (o *Options) timeName(names []string) string {
	if o.Time == "" && !slices.Contains(names, "timestamp") && slices.Contains(names, TimeName) {
		return TimeName
	}
	return cmp.Or(o.Time, "timestamp")
}

// cell returns the value of a CSV cell.
func (d *Decoder) cell(text string) hotreader.Value {
	bare := strings.TrimSpace(text)
	switch {
	case bare == "":
		return hotreader.Value{}
	case absent(bare):
		d.left++
		return hotreader.Value{}
	}
	switch {
	case strings.EqualFold(bare, "true"):
		return hotreader.BoolValue(true)
	case strings.EqualFold(bare, "false"):
		return hotreader.BoolValue(false)
	}
	from := len(d.text)
	if digits := d.keep(bare); hotreader.IsNumber(digits) {
		return hotreader.NumberValue(digits)
	}
	d.text = d.text[:from]
	return hotreader.StringValue(d.keep(unguard(text)))
}

// absent reports whether text stands for a number that is none.
func absent(text string) bool {
	switch c := text[0] | 0x20; {
	case c == 'n':
		return strings.EqualFold(text, "nan") || strings.EqualFold(text, "null")
	case c == 'i', text[0] == '+', text[0] == '-':
		text = strings.TrimLeft(text, "+-")
		return strings.EqualFold(text, "inf") || strings.EqualFold(text, "infinity") || strings.EqualFold(text, "nan")
	}
	return false
}
