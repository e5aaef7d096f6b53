package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/codec/plain"
	"hotreader/store/all"
)

// imported is the result of an import, and the shape of import --json.
type imported struct {
	Device  string     `json:"device"`
	Lines   int64      `json:"lines"` // with values
	Rows    int64      `json:"rows"`  // different instants
	Shared  int64      `json:"shared_instants"`
	First   *time.Time `json:"first,omitempty"`
	Last    *time.Time `json:"last,omitempty"`
	LeftOut int64      `json:"left_out"` // cells of CSV that say null, NaN or infinite
	Columns []*column  `json:"columns"`  // in the order in which they first have a value
	Seconds float64    `json:"seconds"`
}

func (a *app) importer() *cobra.Command {
	var store, device, timeName, timeFormat, delimiter, format string
	var renames []string
	var skip int64
	asJSON := false
	cmd := &cobra.Command{
		Use:   "import --store URL --device ID FILE",
		Short: "Write the rows of a file into a store",
		Long: `Write the rows of a CSV file or of JSON lines into a store. FILE - is standard
input. A file that ends in .csv, .jsonl or .ndjson is what it says; any other is
looked into.

CSV needs a first line with the columns' names. Cells that are numbers, true or
false become that, empty ones are left out, all else is text. Digits are kept
as they are. Standard error tells how many values of which kind each column
gave; a number with a decimal comma is text, and warned of.

Times are ISO 8601, without a zone in UTC, unless --time-format says that they
are seconds or milliseconds since 1970.

A device has one row an instant: where several lines have the same one, the
last line stands, as it does over what the store already has. So an import that
broke off may simply be repeated. Where writing costs money or time, go on where
it stopped: it says how many lines are stored, and --skip leaves out as many.

` + storeURLs,
		Example: `  hotreader import --store bolt:pump.db --device pump-7 pump.csv
  hotreader import --store bolt:pump.db --device pump-7 --time ts --rename value=temperature --rename note= log.jsonl
  zcat old.csv.gz | hotreader import --store 'dynamodb://twin-hot-iot-data?region=eu-central-1' --device pump-7 -`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usagef("import: which file? Give its name, or - for standard input")
			case 1:
				return nil
			}
			return usagef("import: %d files are given, but one is imported at a time", len(args))
		},
	}
	f := cmd.Flags()
	f.StringVar(&store, "store", "", "write into this store (a store `URL`)")
	f.StringVar(&device, "device", "", "the device's `id`")
	f.StringVar(&timeName, "time", "", "`name` of the column or key with the time (default timestamp, or else time)")
	f.StringVar(&timeFormat, "time-format", timeFormats[0], "`format` of the times: "+strings.Join(timeFormats, ", "))
	f.StringArrayVar(&renames, "rename", nil, "`a=b` stores column or key a as property b, a= leaves it out; repeat it")
	f.StringVar(&format, "format", "", "`format` of the file, csv or jsonl, whatever its name says")
	f.StringVar(&delimiter, "delimiter", ",", "`character` between the cells of a CSV file, as ';' or '\\t' for a tab")
	f.Int64Var(&skip, "skip", 0, "leave out the first `lines` that have values: an earlier import has stored them")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	f.SortFlags = false
	words(cmd, "format", "csv", "jsonl")
	words(cmd, "time-format", timeFormats...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case store == "":
			return usagef("import: where to? Give --store URL")
		case device == "":
			return usagef("import: which device? Give --device ID")
		case skip < 0:
			return usagef("import: --skip %d: give the number of lines that are stored already", skip)
		case format != "" && format != "csv" && format != "jsonl":
			return usagef("import: --format %s is unknown; there are csv and jsonl", format)
		}
		comma, err := parseDelimiter(delimiter)
		if err != nil {
			return err
		}
		o := plain.Options{Time: timeName, Comma: comma, Rename: map[string]string{}}
		switch i := slices.Index(timeFormats, timeFormat); {
		case i >= 0:
			o.TimeFormat = plain.TimeFormat(i)
		default:
			return usagef("import: --time-format %s is unknown; there are %s", timeFormat, strings.Join(timeFormats, ", "))
		}
		for _, r := range renames {
			from, to, ok := strings.Cut(r, "=")
			if !ok || from == "" {
				return usagef("import: --rename %s: write it column=property, or column= to leave it out", r)
			}
			o.Rename[from] = to
		}
		result, err := a.runImport(cmd.Context(), store, device, args[0], format, skip, o)
		if err != nil {
			return err
		}
		if asJSON {
			a.sayWarnings(result)
			return writeEnd(json.NewEncoder(a.stdout).Encode(result))
		}
		a.sayImported(result)
		return nil
	}
	return cmd
}

func (a *app) runImport(ctx context.Context, storeURL, device, name, format string, skip int64, o plain.Options) (imported, error) {
	result := imported{Device: device}
	in, length := io.Reader(&interruptibleReader{ctx: ctx, r: a.stdin}), int64(0)
	shown := "standard input"
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return result, &hotreader.Error{Op: "import", Code: hotreader.CodeNotFound, Err: err}
		}
		defer file.Close()
		info, err := file.Stat()
		if err == nil && info.IsDir() {
			return result, &hotreader.Error{Op: "import", Code: hotreader.CodeNotFound, Err: fmt.Errorf("%s is a directory; give a file", name)}
		}
		if err == nil {
			length = info.Size()
		}
		in, shown = file, name
	}
	meter := &metered{r: in}
	buffered := bufio.NewReaderSize(meter, 1<<16)
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) { // RFC 1952
		return result, &hotreader.Error{Op: "import", Code: hotreader.CodeInvalid,
			Err: fmt.Errorf("%s is compressed; try: zcat %s | hotreader import … -", shown, shellWord(name))}
	}
	var decoder *plain.Decoder
	if format == "jsonl" || format == "" && isJSONL(name, buffered) {
		if o.Comma != ',' {
			return result, usagef("import: --delimiter is for CSV, but %s is of JSON lines; if not, give --format csv", shown)
		}
		decoder = plain.NewJSONL(buffered, o)
	} else {
		decoder = plain.NewCSV(buffered, o)
	}

	into := &target{url: storeURL}
	defer into.close()
	began := time.Now()
	progress := newProgress(a.stderr)
	defer progress.clear()
	var instants []int64 // of every line: only all of them tell which are shared
	kinds := columns{at: map[string]*column{}, all: []*column{}}
	skipped := int64(0)
	for batch, err := range decoder.Batches() {
		if skipped < skip {
			n := min(skip-skipped, int64(len(batch)))
			skipped, batch = skipped+n, batch[n:]
		}
		if err == nil && len(batch) > 0 {
			err = into.write(ctx, device, batch)
		}
		if err != nil {
			progress.clear()
			if stored := skipped + int64(len(instants)); stored > skipped {
				a.note("%s before that are stored; go on with --skip %d, or repeat the import as a whole", plural(stored, "line", "lines"), stored)
			}
			return result, inFile(err, shown)
		}
		for _, r := range batch {
			instants = append(instants, r.Time.UnixNano()) // beyond the years 1678 and 2262 it wraps: still no two alike
			if result.First == nil || r.Time.Before(*result.First) {
				first := r.Time.UTC()
				result.First = &first
			}
			if result.Last == nil || r.Time.After(*result.Last) {
				last := r.Time.UTC()
				result.Last = &last
			}
			for _, f := range r.Fields {
				kinds.add(f)
			}
		}
		if length > 0 {
			progress.show("%3d %%  %s lines", 100*meter.n/length, count(len(instants)))
		} else {
			progress.show("%s lines", count(len(instants)))
		}
	}
	if skipped < skip {
		return result, inFile(&hotreader.Error{Op: "import", Code: hotreader.CodeInvalid,
			Err: fmt.Errorf("--skip %d leaves out more lines than the %d with values that there are", skip, skipped)}, shown)
	}
	if err := into.open(ctx); err != nil { // a wrong URL is told of even if there are no rows
		return result, err
	}
	result.Columns = kinds.all
	result.LeftOut = decoder.LeftOut()
	result.Lines = int64(len(instants))
	if !slices.IsSorted(instants) {
		slices.Sort(instants)
	}
	instants = slices.Compact(instants)
	result.Rows = int64(len(instants))
	result.Shared = result.Lines - result.Rows
	result.Seconds = time.Since(began).Seconds()
	return result, nil
}

// target is the store of an import. It is opened with the first batch, so that
// a file which cannot be read leaves no empty store behind.
type target struct {
	url     string
	store   hotreader.Store
	created string // a file that was not there before; "" once it holds something
}

func (t *target) open(ctx context.Context) (err error) {
	if t.store != nil {
		return nil
	}
	if file, ok := strings.CutPrefix(t.url, "bolt:"); ok {
		if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
			t.created = file
		}
	}
	if t.store, err = all.Open(ctx, t.url); err != nil {
		t.created = ""
	}
	return err
}

// grace is how long a write may go on when the import is to end: what has begun
// is then acknowledged, and what is reported as stored is exact.
const grace = 5 * time.Second

func (t *target) write(ctx context.Context, device string, batch []hotreader.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.open(ctx); err != nil {
		return err
	}
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	err := t.store.Write(writing, device, batch)
	if err == nil {
		t.created = ""
	}
	return err
}

// close closes the store, and removes it if the import made it in vain.
func (t *target) close() {
	if t.store == nil {
		return
	}
	_ = t.store.Close() // what was written is durable already
	if t.created != "" {
		os.Remove(t.created)
	}
}

func (a *app) sayImported(r imported) {
	w := a.stdout
	if r.Lines == 0 {
		fmt.Fprintf(w, "%s: the file has no rows\n", printable(r.Device))
		a.sayLeftOut(r)
		return
	}
	fmt.Fprintf(w, "%s: %s from %s to %s\n", printable(r.Device), plural(r.Rows, "row", "rows"),
		hotreader.AppendTime(nil, *r.First), hotreader.AppendTime(nil, *r.Last))
	if r.Shared > 0 {
		fmt.Fprintf(w, "%s shared an instant with an earlier one and replaced it\n", plural(r.Shared, "line", "lines"))
	}
	for i, c := range r.Columns {
		if i == shownColumns {
			a.note("and %s", plural(len(r.Columns)-i, "column more", "columns more"))
			break
		}
		a.note("%s: %s", printable(c.Name), c.kinds())
	}
	a.sayLeftOut(r)
	a.sayWarnings(r)
	if terminalWidth(a.stderr) > 0 {
		a.note("%s", a.talk.dim(fmt.Sprintf("%s in %s", plural(r.Lines, "line", "lines"), took(time.Duration(r.Seconds*1e9)))))
	}
}

// sayLeftOut tells of cells that are not stored.
func (a *app) sayLeftOut(r imported) {
	if r.LeftOut > 0 {
		a.note("%s left out: null, NaN or infinite", plural(r.LeftOut, "cell is", "cells are"))
	}
}

// sayWarnings tells of values that are hardly what was meant.
func (a *app) sayWarnings(r imported) {
	for i, c := range r.Columns {
		if c.Commas > 0 && i < shownColumns {
			a.note("%s %s: %s a number with a comma (\"%s\"), stored as text; for numbers write a point",
				a.talk.bad("warning:"), printable(c.Name), plural(c.Commas, "text looks like", "texts look like"), c.Comma)
		}
	}
}

// column is what an import found in one column, or under one key.
type column struct {
	Name     string `json:"name"` // of the property
	Numbers  int64  `json:"numbers"`
	Booleans int64  `json:"booleans"`
	Texts    int64  `json:"texts"`
	Commas   int64  `json:"comma_numbers"`                  // of the texts: those that look like a number with a comma
	Comma    string `json:"comma_number_example,omitempty"` // the first of them
}

const (
	shownColumns   = 20
	countedColumns = 1000 // a file whose keys are data must not fill the memory
)

type columns struct {
	at  map[string]*column
	all []*column
}

func (k *columns) add(f hotreader.Field) {
	c := k.at[f.Name]
	if c == nil {
		if len(k.all) == countedColumns {
			return
		}
		c = &column{Name: strings.Clone(f.Name)}
		k.at[c.Name] = c
		k.all = append(k.all, c)
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

// kinds writes the counts of a column, as "3 texts, 20 numbers".
func (c *column) kinds() string {
	var parts []string
	for _, k := range []struct {
		n         int64
		one, many string
	}{{c.Numbers, "number", "numbers"}, {c.Booleans, "boolean", "booleans"}, {c.Texts, "text", "texts"}} {
		if k.n > 0 {
			parts = append(parts, plural(k.n, k.one, k.many))
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

// timeFormats are the words of package plain's formats of times, by number.
var timeFormats = []string{plain.ISO8601: "iso8601", plain.EpochSecs: "epoch_s", plain.EpochMillis: "epoch_ms"}

// parseDelimiter reads --delimiter: one character, or \t.
func parseDelimiter(text string) (rune, error) {
	if text == `\t` {
		return '\t', nil
	}
	r, n := utf8.DecodeRuneInString(text)
	if n == 0 || n != len(text) || r == utf8.RuneError || strings.ContainsRune("\"\r\n", r) {
		return 0, usagef("import: --delimiter %q: give one character, as ';', or '\\t' for a tab", text)
	}
	return r, nil
}

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
		return "; if it counts since 1970, give --time-format " + timeFormats[o.TimeFormat]
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

// interruptibleReader is a Reader whose reads end with ctx, as those of a pipe
// or a terminal do not by themselves.
type interruptibleReader struct {
	ctx context.Context
	r   io.Reader
	buf []byte // of the read that ctx may have left behind
}

func (i *interruptibleReader) Read(p []byte) (int, error) {
	if len(i.buf) < len(p) {
		i.buf = make([]byte, len(p))
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := i.r.Read(i.buf[:len(p)])
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		return copy(p, i.buf[:r.n]), r.err
	case <-i.ctx.Done():
		return 0, i.ctx.Err() // p is not touched any more
	}
}

// metered counts what is read, for the progress display.
type metered struct {
	r io.Reader
	n int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	return n, err
}
