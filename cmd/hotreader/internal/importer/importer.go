// Package importer writes the rows of a file into a store, and counts what it
// found. What it holds does not grow with the file.
package importer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/codec/plain"
)

// Options say what is imported.
type Options struct {
	File   string    // its name; - = In
	In     io.Reader // standard input
	Format string    // csv or jsonl; "" = as the name says, or else the first byte
	Decode plain.Options
	Skip   int64 // leave out so many lines with values

	Store  string // its URL
	Open   func(ctx context.Context, url string) (hotreader.Store, error)
	Device string

	// Progress is called now and then with the lines that are stored, and what
	// share of the file was read, in percent; -1 = not known.
	Progress func(lines, percent int64)
}

// Result is what was imported, and the shape of import --json. After an error it
// counts what is stored.
type Result struct {
	Device  string     `json:"device"`
	Lines   int64      `json:"lines"`                 // with values
	Rows    int64      `json:"rows"`                  // different instants
	Unsure  int64      `json:"unsure_rows,omitempty"` // of Rows: those so far out of order that an earlier line may have their instant
	Shared  int64      `json:"shared_instants"`
	First   *time.Time `json:"first,omitempty"`
	Last    *time.Time `json:"last,omitempty"`
	LeftOut int64      `json:"left_out"` // cells of CSV that say null, NaN or infinite
	Columns []*Column  `json:"columns"`  // in the order in which they first have a value
	Seconds float64    `json:"seconds"`
}

// Run imports. An error names the file and the line, and the flag that helps.
func Run(ctx context.Context, o Options) (Result, error) {
	result := Result{Device: o.Device, Columns: []*Column{}}
	in, err := o.input(ctx)
	if err != nil {
		return result, err
	}
	defer in.close()
	decoder, err := o.decoder(in)
	if err != nil {
		return result, err
	}
	began := time.Now()
	into := &target{url: o.Store, opener: o.Open}
	defer into.close()
	found := tally{result: &result, columns: map[string]*Column{}, instants: newInstants(remembered)}
	skipped := int64(0)
	for batch, err := range decoder.Batches() {
		n := min(o.Skip-skipped, int64(len(batch)))
		skipped, batch = skipped+n, batch[n:]
		if err == nil && len(batch) > 0 {
			err = into.write(ctx, o.Device, batch)
		}
		if err != nil {
			return result, inFile(err, in.name)
		}
		found.add(batch)
		if o.Progress != nil {
			o.Progress(result.Lines, in.percent())
		}
	}
	if skipped < o.Skip {
		return result, inFile(invalid("--skip %d leaves out more lines than the %d with values that there are", o.Skip, skipped), in.name)
	}
	if err := into.open(ctx); err != nil { // a wrong URL is told of even if there are no rows
		return result, err
	}
	result.LeftOut = decoder.LeftOut()
	result.Seconds = time.Since(began).Seconds()
	return result, nil
}

func invalid(format string, args ...any) error {
	return &hotreader.Error{Op: "import", Code: hotreader.CodeInvalid, Err: fmt.Errorf(format, args...)}
}

// input is the file that is read.
type input struct {
	*bufio.Reader
	name string // for messages
	file *os.File
	size int64 // 0 = not known
}

func (o *Options) input(ctx context.Context) (*input, error) {
	in := &input{name: "standard input"}
	if o.File == "-" {
		in.Reader = bufio.NewReaderSize(&terminal.Input{Context: ctx, R: o.In}, 1<<16)
	} else {
		file, err := os.Open(o.File)
		if err != nil {
			return nil, &hotreader.Error{Op: "import", Code: hotreader.CodeNotFound, Err: err}
		}
		in.name, in.file, in.Reader = o.File, file, bufio.NewReaderSize(file, 1<<16)
		info, err := file.Stat()
		if err == nil && info.IsDir() {
			in.close()
			return nil, &hotreader.Error{Op: "import", Code: hotreader.CodeNotFound, Err: fmt.Errorf("%s is a directory; give a file", o.File)}
		}
		if err == nil {
			in.size = info.Size()
		}
	}
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) { // RFC 1952
		in.close()
		return nil, invalid("%s is compressed; try: zcat %s | hotreader import … -", in.name, shellWord(o.File))
	}
	return in, nil
}

func (i *input) close() {
	if i.file != nil {
		_ = i.file.Close() // it was only read
	}
}

func (i *input) percent() int64 {
	if i.size == 0 {
		return -1
	}
	at, err := i.file.Seek(0, io.SeekCurrent)
	if err != nil { // a pipe has a name, too
		return -1
	}
	return 100 * at / i.size
}

func (o *Options) decoder(in *input) (*plain.Decoder, error) {
	switch {
	case o.Format != "jsonl" && (o.Format != "" || !isJSONL(o.File, in.Reader)):
		return plain.NewCSV(in, o.Decode), nil
	case o.Decode.Comma != ',':
		return nil, invalid("--delimiter is for CSV, but %s is of JSON lines; if not, give --format csv", in.name)
	}
	return plain.NewJSONL(in, o.Decode), nil
}

// isJSONL tells by the name, or else by the first byte that is no blank.
func isJSONL(name string, r *bufio.Reader) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return false
	case ".jsonl", ".ndjson":
		return true
	}
	head, _ := r.Peek(512) // an error comes again when the file is read
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	return len(head) > 0 && (head[0] == '{' || head[0] == '[')
}

// TimeFormats are the words of package plain's formats of times, by number.
var TimeFormats = []string{plain.ISO8601: "iso8601", plain.EpochSecs: "epoch_s", plain.EpochMillis: "epoch_ms"}

// remedy says which flag would avoid err, or "".
func remedy(err error) string {
	o, ok := errors.AsType[*plain.OptionsError](err)
	switch {
	case !ok:
		return ""
	case o.Comma == '\t':
		return `; give --delimiter '\t'`
	case o.Comma != 0:
		return "; give --delimiter '" + string(o.Comma) + "'"
	case o.TimeFormat != plain.ISO8601:
		return "; if it counts since 1970, give --time-format " + TimeFormats[o.TimeFormat]
	case len(o.Time) == 0:
		return "; name the one that does with --time"
	}
	flags := make([]string, len(o.Time))
	for i, name := range o.Time {
		flags[i] = "--time " + shellWord(name)
	}
	return "; give " + strings.Join(flags, " or ")
}

// shellWord quotes text for a shell if need be.
func shellWord(text string) string {
	plainly := func(r rune) bool {
		return r > '~' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:@+", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plainly(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// inFile makes file:line of a decoder's "line n", and adds the remedy.
func inFile(err error, name string) error {
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok || e.Op != "import" || e.Err == nil {
		return err
	}
	copied := *e
	text := e.Err.Error() + remedy(e.Err)
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		copied.Err = fmt.Errorf("%s:%s", name, rest)
	} else {
		copied.Err = fmt.Errorf("%s: %s", name, text)
	}
	return &copied
}

// Column is what an import found in one column, or under one key.
type Column struct {
	Name     string `json:"name"` // of the property
	Numbers  int64  `json:"numbers"`
	Booleans int64  `json:"booleans"`
	Texts    int64  `json:"texts"`
	Commas   int64  `json:"comma_numbers"`                  // of the texts: those that look like a number with a comma
	Comma    string `json:"comma_number_example,omitempty"` // the first of them
}

// countedColumns is how many are counted: a file whose keys are data must not
// fill the memory.
const countedColumns = 1000

// tally counts rows into a Result.
type tally struct {
	result      *Result
	columns     map[string]*Column
	instants    instants
	first, last time.Time
}

func (k *tally) add(batch []hotreader.Record) {
	r := k.result
	for _, row := range batch {
		at := row.Time.UTC()
		k.instants.add(at.UnixNano()) // beyond the years 1678 and 2262 it wraps: still no two alike
		if r.First == nil {
			k.first, k.last = at, at
			r.First, r.Last = &k.first, &k.last
		}
		if at.Before(k.first) {
			k.first = at
		}
		if at.After(k.last) {
			k.last = at
		}
		for _, f := range row.Fields {
			k.field(f)
		}
	}
	r.Lines += int64(len(batch))
	r.Rows, r.Unsure = k.instants.different, k.instants.unsure
	r.Shared = r.Lines - r.Rows
}

func (k *tally) field(f hotreader.Field) {
	c := k.columns[f.Name]
	if c == nil {
		if len(k.columns) == countedColumns {
			return
		}
		c = &Column{Name: strings.Clone(f.Name)}
		k.columns[c.Name] = c
		k.result.Columns = append(k.result.Columns, c)
	}
	switch f.Value.Kind() {
	case hotreader.Number:
		c.Numbers++
	case hotreader.Bool:
		c.Booleans++
	case hotreader.String:
		c.Texts++
		if text := f.Value.Text(); commaNumber(text) {
			if c.Commas++; c.Comma == "" {
				c.Comma = string(text)
			}
		}
	}
}

// remembered is how many different instants are remembered, at the least.
const remembered = 1 << 18

// instants counts different ones. It remembers the newest of the file, in two
// generations; of a file in order of time, or short, that is enough to be exact.
type instants struct {
	keep              int // of each generation
	different, unsure int64
	recent, older     map[int64]struct{}
	low, high         int64 // of those that are forgotten
}

func newInstants(keep int) instants {
	return instants{keep: keep, recent: map[int64]struct{}{}, older: map[int64]struct{}{}, low: math.MaxInt64, high: math.MinInt64}
}

func (s *instants) add(at int64) {
	if _, there := s.recent[at]; there {
		return
	}
	if _, there := s.older[at]; there {
		return
	}
	if s.low <= at && at <= s.high {
		s.unsure++
	}
	s.different++
	if len(s.recent) == s.keep {
		for old := range s.older {
			s.low, s.high = min(s.low, old), max(s.high, old)
		}
		s.recent, s.older = s.older, s.recent
		clear(s.recent)
	}
	s.recent[at] = struct{}{}
}

// Kinds writes the counts of a column, as "3 texts, 20 numbers".
func (c *Column) Kinds() string {
	var parts []string
	for _, k := range []struct {
		n         int64
		one, many string
	}{{c.Numbers, "number", "numbers"}, {c.Booleans, "boolean", "booleans"}, {c.Texts, "text", "texts"}} {
		if k.n > 0 {
			parts = append(parts, terminal.Plural(k.n, k.one, k.many))
		}
	}
	return strings.Join(parts, ", ")
}

// commaNumber reports whether text is a number but for one comma, as 20,5 or
// 1.234,50 or 1,234.5.
func commaNumber(text []byte) bool {
	text = bytes.TrimLeft(bytes.TrimSpace(text), "+-")
	if len(text) > 40 || bytes.Count(text, []byte(",")) != 1 {
		return false
	}
	for i, b := range text {
		if (b < '0' || b > '9') && (i == 0 || i == len(text)-1 || b != ',' && b != '.') {
			return false
		}
	}
	return true
}
