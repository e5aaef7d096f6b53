package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	Seconds float64    `json:"seconds"`
}

func (a *app) importer() *cobra.Command {
	var store, device, timeName, format string
	var renames []string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "import --store URL --device ID FILE",
		Short: "Write the rows of a file into a store",
		Long: `Write the rows of a CSV file or of JSON lines into a store. FILE - is standard
input. A file that ends in .csv, .jsonl or .ndjson is what it says; any other is
looked into.

CSV needs a first line with the columns' names. Cells that are numbers, true or
false become that, empty ones are left out, all else is text. Digits are kept
as they are. Times without a zone are UTC.

A device has one row an instant: where several lines have the same one, the
last line stands, as it does over what the store already has. So an import that
broke off may simply be repeated.

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
	f.StringArrayVar(&renames, "rename", nil, "`a=b` stores column or key a as property b, a= leaves it out; repeat it")
	f.StringVar(&format, "format", "", "`format` of the file, csv or jsonl, whatever its name says")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	f.SortFlags = false
	words(cmd, "format", "csv", "jsonl")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case store == "":
			return usagef("import: where to? Give --store URL")
		case device == "":
			return usagef("import: which device? Give --device ID")
		case format != "" && format != "csv" && format != "jsonl":
			return usagef("import: --format %s is unknown; there are csv and jsonl", format)
		}
		o := plain.Options{Time: timeName, Rename: map[string]string{}}
		for _, r := range renames {
			from, to, ok := strings.Cut(r, "=")
			if !ok || from == "" {
				return usagef("import: --rename %s: write it column=property, or column= to leave it out", r)
			}
			o.Rename[from] = to
		}
		result, err := a.runImport(cmd.Context(), store, device, args[0], format, o)
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(a.stdout).Encode(result)
		}
		a.sayImported(result)
		return nil
	}
	return cmd
}

func (a *app) runImport(ctx context.Context, storeURL, device, name, format string, o plain.Options) (imported, error) {
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
	lines := format == "jsonl" || format == "" && isJSONL(name, buffered)
	var decoder *plain.Decoder
	if lines {
		decoder = plain.NewJSONL(buffered, o)
	} else {
		decoder = plain.NewCSV(buffered, o)
	}

	store, err := all.Open(ctx, storeURL)
	if err != nil {
		return result, err
	}
	defer store.Close()

	began := time.Now()
	progress := newProgress(a.stderr)
	defer progress.clear()
	var instants []int64 // of every line: only all of them tell which are shared
	for batch, err := range decoder.Batches() {
		if err == nil {
			err = store.Write(ctx, device, batch)
		}
		if err != nil {
			progress.clear()
			if len(instants) > 0 {
				a.note("%s before that are stored; the import may be repeated as a whole", plural(len(instants), "line", "lines"))
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
		}
		if length > 0 {
			progress.show("%3d %%  %s lines", 100*meter.n/length, count(len(instants)))
		} else {
			progress.show("%s lines", count(len(instants)))
		}
	}
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

func (a *app) sayImported(r imported) {
	w := a.stdout
	if r.Lines == 0 {
		fmt.Fprintf(w, "%s: the file has no rows\n", printable(r.Device))
		return
	}
	fmt.Fprintf(w, "%s: %s from %s to %s\n", printable(r.Device), plural(r.Rows, "row", "rows"),
		appendPlainTime(nil, *r.First), appendPlainTime(nil, *r.Last))
	if r.Shared > 0 {
		fmt.Fprintf(w, "%s shared an instant with an earlier one and replaced it\n", plural(r.Shared, "line", "lines"))
	}
	if terminalWidth(a.stderr) > 0 {
		a.note("%s", a.talk.dim(fmt.Sprintf("%s in %s", plural(r.Lines, "line", "lines"), took(time.Duration(r.Seconds*1e9)))))
	}
}

// inFile makes file:line of a decoder's "line n".
func inFile(err error, name string) error {
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok || e.Op != "import" || e.Err == nil {
		return err
	}
	copied := *e
	text := e.Err.Error()
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
	return len(head) > 0 && head[0] == '{'
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
