package plain

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf16"
	"unicode/utf8"

	"hotreader"
)

// Limits on a file that is imported, so that a damaged one (a quote that is
// never closed) costs no more memory than these.
const (
	maxLine    = 1 << 20 // bytes of one row
	maxFields  = 1000    // values of one row
	batchBytes = 1 << 20 // of values in one batch
)

// Options say how a file is read. The zero value is ready.
type Options struct {
	Time       string            // name of the column, or key, of the time; "" = "timestamp", or "time" if there is no "timestamp"
	TimeFormat TimeFormat        // how times are written
	Rename     map[string]string // column or key → property; "" leaves it out
	Batch      int               // records of a batch; 0 = 1000
	Comma      rune              // CSV: what separates cells; 0 = ','
}

// Decoder reads records of one device from a file, once.
//
// Numbers keep their exact digits. A CSV cell that is a number of JSON's grammar
// is a number; true and false, in any letter case, are booleans; an empty cell,
// null, NaN and the infinities are absent; all else is text, without the
// apostrophe that guards a formula. Times are in the Options' format. A line
// without any value is passed over. LeftOut counts the cells that say null, NaN or
// infinite.
type Decoder struct {
	next  func(*Decoder) error // adds one line to the batch; io.EOF at the end
	o     Options
	lines atomic.Int64
	left  int64

	records []hotreader.Record
	fields  []hotreader.Field // of all records of the batch
	text    []byte            // values' bytes of the batch
	failed  error
}

// NewCSV returns the Decoder of a CSV file: RFC 4180, the first line names the
// columns, a byte order mark and either line end are accepted.
func NewCSV(r io.Reader, o Options) *Decoder {
	limited := &lineLimit{r: r}
	src := &csvSource{limit: limited}
	br := bufio.NewReader(limited)
	src.csv = csv.NewReader(br)
	src.csv.ReuseRecord = true
	if o.Comma != 0 {
		src.csv.Comma = o.Comma
	}
	src.in = br
	return &Decoder{next: src.next, o: o}
}

// NewJSONL returns the Decoder of a file with one flat JSON object a line. An
// object or array as a value is an error, unless Options.Rename leaves it out.
func NewJSONL(r io.Reader, o Options) *Decoder {
	src := &jsonSource{in: bufio.NewScanner(r), names: map[string]string{}}
	src.in.Buffer(make([]byte, 0, 64<<10), maxLine)
	return &Decoder{next: src.next, o: o}
}

// Lines returns how many lines of the file have been read, for a progress
// display; it may be called while Batches runs.
func (d *Decoder) Lines() int64 { return d.lines.Load() }

// LeftOut returns how many cells of CSV said null, NaN or infinite, in all that
// was read. Empty cells, and a null of JSON, say nothing and are not counted.
func (d *Decoder) LeftOut() int64 { return d.left }

// Batches yields the file's records in batches. A batch is valid until the
// next. The first line that cannot be read ends the sequence with an error of
// CodeInvalid that names it; what stands before that line has been yielded.
func (d *Decoder) Batches() iter.Seq2[[]hotreader.Record, error] {
	return func(yield func([]hotreader.Record, error) bool) {
		size := cmp.Or(max(d.o.Batch, 0), 1000)
		for d.failed == nil {
			d.records, d.fields, d.text = d.records[:0], d.fields[:0], d.text[:0]
			for d.failed == nil && len(d.records) < size && len(d.text) < batchBytes {
				d.failed = d.next(d)
			}
			if len(d.records) > 0 && !yield(d.records, nil) {
				return
			}
		}
		if !errors.Is(d.failed, io.EOF) {
			yield(nil, d.failed)
		}
	}
}

// fail returns the error for a line of the file; line 0 is the whole of it.
func fail(line int, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if line > 0 {
		err = fmt.Errorf("line %d: %w", line, err)
	}
	return &hotreader.Error{Op: "import", Code: hotreader.CodeInvalid, Err: err}
}

// keep copies text into the batch's memory.
func (d *Decoder) keep(text string) []byte {
	n := len(d.text)
	d.text = append(d.text, text...)
	return d.text[n:len(d.text):len(d.text)]
}

// add ends a record whose fields begin at from.
func (d *Decoder) add(line int, timeText string, from int) error {
	if len(d.fields) == from {
		return nil
	}
	t, err := d.o.TimeFormat.parse(strings.TrimSpace(timeText))
	if err != nil {
		return fail(line, "%w", err)
	}
	if year := t.Year(); year < 0 || year > 9999 { // its zone moved it there
		return fail(line, "%.50q is not in the years 0 to 9999 of UTC", timeText)
	}
	d.records = append(d.records, hotreader.Record{Time: t, Fields: d.fields[from:len(d.fields):len(d.fields)]})
	return nil
}

// checkName says what is wrong with a property's name, or "".
func checkName(name string) string {
	switch {
	case name == "":
		return "has no name"
	case len(name) > hotreader.MaxNameBytes:
		return fmt.Sprintf("has a name of %d bytes; at most %d are allowed", len(name), hotreader.MaxNameBytes)
	case !utf8.ValidString(name):
		return "has a name that is not UTF-8"
	}
	return ""
}

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
	if d.o.Time == "" && slices.Contains(columns, "timestamp") && slices.Contains(columns, TimeName) {
		return fail(line, "%w", bothTimes())
	}
	if s.timeAt = slices.Index(columns, d.o.timeName(columns)); s.timeAt < 0 {
		if other := otherComma(columns); other != 0 {
			return fail(line, "%w", &OptionsError{Comma: other,
				Err: fmt.Errorf("the cells of %.200q seem to be separated by %q rather than a comma", columns[0], other)})
		}
		return fail(line, "%w", noTime("column", d.o.timeName(columns), columns))
	}
	for from := range d.o.Rename {
		if !slices.Contains(columns, from) {
			return fail(line, "no column is named %q, which is to be renamed; the columns are %.200q", from, columns)
		}
	}
	names := make([]string, len(columns))
	for i, column := range columns {
		if i == s.timeAt {
			continue
		}
		to, renamed := d.o.Rename[column]
		if renamed && to == "" {
			continue
		} else if renamed {
			column = to
		}
		if msg := checkName(column); msg != "" {
			return fail(line, "column %d %s", i+1, msg)
		}
		if slices.Contains(names[:i], column) {
			return fail(line, "two columns are named %q", column)
		}
		names[i] = column
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

// jsonSource reads lines of JSON.
type jsonSource struct {
	in    *bufio.Scanner
	line  int
	begun bool              // a line that is not blank has come
	names map[string]string // each key → property, so that a name is made once
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
	if half := halfPair(text); half != nil {
		return fail(s.line, "%s is half of a surrogate pair, which no text can hold", half)
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
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	if start, err := in.Token(); err != nil || start != json.Delim('{') {
		return s.fail(err, "it is not a JSON object")
	}
	from := len(d.fields)
	var times [2]json.Token // under the wanted name, under the second best one
	var timed [2]bool
	for in.More() {
		token, err := in.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return s.fail(err, "it is not a JSON object")
		}
		token, err = in.Token()
		if err != nil {
			return s.fail(err, "%.60q has no value", key)
		}
		if at := d.o.timeRank(key); at >= 0 {
			if timed[at] {
				return fail(s.line, "%q comes twice", key)
			}
			times[at], timed[at] = token, true
			if _, nested := token.(json.Delim); nested {
				return fail(s.line, "%q holds the time, but is an object or array", key)
			}
			continue
		}
		name, err := s.name(d, key)
		if err != nil {
			return err
		}
		if delim, ok := token.(json.Delim); ok {
			if name != "" {
				if start, err := in.Token(); err == nil && delim == '[' && start == json.Delim('{') {
					return fail(s.line, "%.60q is a list of objects, so this is a JSON document; want one object a line, as jq -c '.[%.60q][]' makes", key, key)
				}
				return fail(s.line, "%.60q is an object or array; only flat values can be stored (leave it out by renaming it to nothing)", key)
			}
			if err := skip(in, delim); err != nil {
				return s.fail(err, "%.60q is not whole", key)
			}
		}
		if name == "" {
			continue
		}
		if slices.ContainsFunc(d.fields[from:], func(f hotreader.Field) bool { return f.Name == name }) {
			return fail(s.line, "%.60q comes twice", name)
		}
		if len(d.fields)-from == maxFields {
			return fail(s.line, "it has more than %d values", maxFields)
		}
		if v := d.value(token); !v.IsNull() {
			d.fields = append(d.fields, hotreader.Field{Name: name, Value: v})
		}
	}
	if _, err := in.Token(); err != nil {
		return s.fail(err, "the object is not closed")
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return fail(s.line, "more follows behind the object")
	}
	if timed[0] && timed[1] {
		return fail(s.line, "%w", bothTimes())
	}
	at := times[0]
	if timed[1] {
		at = times[1]
	}
	switch at := at.(type) {
	case string:
		return d.add(s.line, at, from)
	case json.Number:
		return d.add(s.line, at.String(), from)
	case nil:
		if !timed[0] && !timed[1] {
			return fail(s.line, "%w", noTime("key", cmp.Or(d.o.Time, "timestamp"), keys(text)))
		}
	}
	return fail(s.line, "the time is null or a boolean")
}

// halfPair returns the first \u escape in text that is half of a surrogate pair, for
// which a decoder would put another character.
func halfPair(text []byte) []byte {
	unit := func(i int) (u uint64, ok bool) {
		if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
			return 0, false
		}
		u, err := strconv.ParseUint(string(text[i+2:i+6]), 16, 16)
		return u, err == nil
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		u, ok := unit(i)
		switch {
		case !ok:
			i++ // what is escaped begins no escape
		case utf16.IsSurrogate(rune(u)):
			if low, _ := unit(i + 6); utf16.DecodeRune(rune(u), rune(low)) == utf8.RuneError {
				return text[i : i+6]
			}
			i += 11
		}
	}
	return nil
}

// keys returns the keys of an object that has been found whole.
func keys(object []byte) []string {
	var values map[string]json.RawMessage
	_ = json.Unmarshal(object, &values)
	return slices.Sorted(maps.Keys(values))
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

// fail says what is wrong with the line; err, the JSON decoder's, may be nil.
func (s *jsonSource) fail(err error, format string, args ...any) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		format, args = format+": %w", append(args, err)
	}
	return fail(s.line, format, args...)
}

// name returns the property of a key, "" if it is left out.
func (s *jsonSource) name(d *Decoder, key string) (string, error) {
	if name, ok := s.names[key]; ok {
		return name, nil
	}
	name, ok := d.o.Rename[key]
	if !ok {
		name = key
	}
	if name != "" || !ok {
		if msg := checkName(name); msg != "" {
			return "", fail(s.line, "key %.60q %s", key, msg)
		}
	}
	if len(s.names) < 10_000 { // a file whose keys are data must not fill the memory
		s.names[strings.Clone(key)] = name
	}
	return name, nil
}

func (d *Decoder) value(token json.Token) hotreader.Value {
	switch v := token.(type) {
	case bool:
		return hotreader.BoolValue(v)
	case json.Number:
		return hotreader.NumberValue(d.keep(string(v)))
	case string:
		return hotreader.StringValue(d.keep(v))
	}
	return hotreader.Value{}
}

// skip reads to the end of the object or array that open began.
func skip(in *json.Decoder, open json.Delim) error {
	if open != '{' && open != '[' {
		return nil
	}
	for depth := 1; depth > 0; {
		token, err := in.Token()
		if err != nil {
			return err
		}
		if d, ok := token.(json.Delim); ok {
			if d == '{' || d == '[' {
				depth++
			} else {
				depth--
			}
		}
	}
	return nil
}
