package importer

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer/records"
	"hotreader/cmd/hotreader/internal/importer/sniff"
	"hotreader/cmd/hotreader/internal/importer/timetext"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/internal/jsontext"
)

// file is a file that is being read.
type file struct {
	rows
	in      *input
	rejects *rejects
	table   *records.Table
	repeats int64    // lines that are the header again
	remarks int64    // comments
	between int64    // lines between the header and the first data, as those of units
	under   []string // the first of them
}

// next reads one record; io.EOF after the last.
func (f *file) next() error {
	r, err := f.table.Next()
	if bad, ok := errors.AsType[*records.BadRecord](err); ok {
		if bad.Line < f.first() {
			return nil
		}
		return f.bad(bad.Line, bad.Text, bad.Err)
	}
	if err != nil {
		return err
	}
	if r.Line < f.first() || f.guess.Comment != "" && strings.HasPrefix(r.Text, f.guess.Comment) {
		return nil
	}
	f.order.line = r.Line
	if err := f.line(&r); err != nil {
		if f.table.Several() { // a stray quote has joined lines
			f.table.Reread()
			r.Text, _, _ = strings.Cut(r.Text, "\n")
		}
		return f.bad(r.Line, r.Text, err)
	}
	return nil
}

// first returns the first line that may be data.
func (f *file) first() int {
	if f.o.SkipAfter >= 0 {
		return f.guess.HeaderLine + 1 + f.o.SkipAfter
	}
	return f.guess.HeaderLine + 1
}

// An errFatal ends the import, whatever is to become of bad lines.
type errFatal struct{ error }

// line reads a line of a table.
func (f *file) line(r *records.Record) error {
	f.begin()
	cells, err := f.fit(r.Cells)
	if err != nil {
		if f.noted(r) || f.again(r.Cells) || f.units(r) {
			return nil
		}
		return err
	}
	for i, text := range cells {
		if err := f.several(i, text); err != nil {
			if f.again(cells) {
				return nil
			}
			return errFatal{err}
		}
		if text == "" && f.list[i].role != timePart {
			continue
		}
		if err := f.take(&f.list[i], raw{cell: text}); err != nil {
			return err
		}
	}
	err = f.end()
	if _, ok := errors.AsType[errTime](err); ok {
		switch {
		case f.again(cells), f.noted(r), f.units(r):
			return nil
		case f.otherHeader(cells):
			return errFatal{fmt.Errorf("a second line with names, and others than before; split the file there")}
		}
	}
	return err
}

// noted reports whether a line that is no data is a comment.
func (f *file) noted(r *records.Record) bool {
	if f.guess.Comment == "" && strings.HasPrefix(r.Text, "#") {
		f.remarks++
		return true
	}
	return false
}

// units reports whether a line that is no data is one of units under the header.
func (f *file) units(r *records.Record) bool {
	if r.Line >= f.guess.DataLine {
		return false
	}
	numbers := slices.ContainsFunc(r.Cells, sniff.IsNumber) // a quantity without a unit has 1
	for _, i := range f.guess.Time {
		if i < len(r.Cells) && (strings.ContainsAny(r.Cells[i], "0123456789") || numbers && strings.ContainsFunc(r.Cells[i], unicode.IsLetter)) {
			return false
		}
	}
	if f.between++; f.between == 1 {
		f.under = slices.Clone(r.Cells)
	}
	return true
}

// fit makes cells as many as there are columns: empty ones beyond do not matter, and
// only columns without a name may be missing.
func (f *file) fit(cells []string) ([]string, error) {
	want := len(f.list)
	if len(cells) > want {
		for _, text := range cells[want:] {
			if text != "" {
				return nil, fmt.Errorf("it has %s, the header has %d", terminal.Plural(len(cells), "cell", "cells"), want)
			}
		}
		return cells[:want], nil
	}
	for i := len(cells); i < want; i++ {
		if c := &f.guess.Columns[i]; !c.Empty && !c.Short {
			return nil, fmt.Errorf("it has %s, the header has %d", terminal.Plural(len(cells), "cell", "cells"), want)
		}
	}
	return cells, nil
}

// again reports whether a line is the header once more.
func (f *file) again(cells []string) bool {
	if f.guess.HeaderLine == 0 {
		return false
	}
	for i := range f.guess.Columns {
		c := &f.guess.Columns[i]
		text := ""
		if i < len(cells) {
			text = strings.Join(strings.Fields(strings.TrimLeft(cells[i], "# ")), " ")
		}
		if !(c.Unnamed && text == "") && text != c.Name && !strings.HasPrefix(c.Name, text+"_") {
			return false
		}
	}
	f.repeats++
	return true
}

// otherHeader reports whether a line names columns, and in another order.
func (f *file) otherHeader(cells []string) bool {
	same := 0
	for _, text := range cells {
		if text != "" && slices.ContainsFunc(f.guess.Columns, func(c sniff.Column) bool { return c.Name == text }) {
			same++
		} else if strings.ContainsAny(text, "0123456789") {
			return false
		}
	}
	return same > 0 && slices.ContainsFunc(cells, func(text string) bool { return timetext.Named(text) > 0 })
}

// object reads an object of JSON.
func (f *file) object(in *records.JSON, object []byte) error {
	f.begin()
	err := in.Fields(object, func(field records.Field) error {
		c, err := f.key(field.Name)
		if err != nil {
			return err
		}
		if i := f.guess.Device; i >= 0 && f.guess.Columns[i].Name == string(field.Name) {
			if err := f.several(i, string(field.Value.Text())); err != nil {
				return errFatal{err}
			}
		}
		return f.take(c, raw{json: field.Value})
	})
	if err == nil {
		err = f.end()
	}
	return err
}

// bad is what becomes of a line that cannot be read.
func (f *file) bad(line int, text string, err error) error {
	if fatal, ok := errors.AsType[errFatal](err); ok {
		return at(f.in.name, line, "%w", fatal.error)
	}
	if !f.o.SkipBad {
		hint, header := "", ""
		if f.o.Sniff.HeaderLine > 0 {
			header = "or change --header-line, "
		}
		if !strings.Contains(err.Error(), "; ") {
			hint = "; mend it, " + header + "or give --bad-lines skip to leave such lines out and have them in a file"
		}
		return at(f.in.name, line, "%w%s", err, hint)
	}
	f.result.BadLines++
	return f.rejects.add(f, line, text, err)
}

// read reads the file, and calls full when it is time to write.
func (f *file) read(full func() error) error {
	next := f.next
	if f.result.json = f.guess.JSON; f.result.json {
		in := records.NewJSON(f.in, f.guess.Shape)
		next = func() error { return f.nextObject(in) }
	} else {
		f.table = records.NewTable(f.in, f.guess.Delimiter)
	}
	for {
		err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return f.named(err)
		}
		if f.into.full() {
			if err := full(); err != nil {
				return err
			}
		}
	}
}

func (f *file) nextObject(in *records.JSON) error {
	object, line, err := in.Next()
	if bad, ok := errors.AsType[*records.BadRecord](err); ok {
		return f.bad(bad.Line, bad.Text, bad.Err)
	}
	if err != nil {
		return err
	}
	f.order.line = line
	if err := f.object(in, object); err != nil {
		return f.bad(line, string(object), err)
	}
	return nil
}

// named adds the file's name to an error of its text.
func (f *file) named(err error) error {
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok {
		return readError(err)
	}
	if text, found := strings.CutPrefix(e.Err.Error(), "line "); found && e.Op == "import" {
		return invalid("%s:%s", f.in.name, text)
	}
	return err
}

// notes says what is worth knowing of a file that was read.
func (f *file) notes() (notes []string) {
	notes = f.left(f.under)
	if text := f.unsure(); text != "" {
		notes = append(notes, text)
	}
	if f.repeats > 0 {
		notes = append(notes, terminal.Plural(f.repeats, "line is", "lines are")+" the header once more")
	}
	if f.between > 0 {
		notes = append(notes, fmt.Sprintf("%s under the header without data (%.80s): units, perhaps, or more of the names, which --rename gives", terminal.Plural(f.between, "line", "lines"), quotedList(f.under)))
	}
	if f.remarks > 0 {
		notes = append(notes, terminal.Plural(f.remarks, "line is a comment", "lines are comments"))
	}
	if f.empty > 0 {
		notes = append(notes, terminal.Plural(f.empty, "line has", "lines have")+" no value")
	}
	if f.nameless > 0 {
		notes = append(notes, fmt.Sprintf("%s, but no name in %q: left out", terminal.Plural(f.nameless, "line has a value", "lines have a value"), f.o.Key))
	}
	if text := f.twice(); text != "" {
		notes = append(notes, text)
	}
	return notes
}

// twice says how lines of an hour that a zone has twice were taken, "" if there are none.
func (f *file) twice() string {
	c := &f.clock
	if c.Earlier+c.Later == 0 {
		return ""
	}
	text := fmt.Sprintf("%s in the hour that %s has twice: ", terminal.Plural(c.Earlier+c.Later, "line is", "lines are"), c.Zone)
	switch {
	case !c.Descending && c.Later == 0:
		return "warning: " + text + "taken as of the first pass, for the time goes back nowhere, which would show the second"
	case c.Descending && c.Earlier == 0:
		return "warning: " + text + "taken as of the second pass, for the time goes forward nowhere, which would show the first"
	}
	return text + fmt.Sprintf("by their order, %d of the first and %d of the second pass", c.Earlier, c.Later)
}

// unsure says which numbers may be other ones than are stored, "" if none may.
func (f *file) unsure() string {
	var names []string
	example := ""
	for i, c := range f.list {
		number := f.guess.Columns[i].Unsure
		if text := c.typ == hotreader.AnyString || c.typ == hotreader.ShortString; number != "" && !text && (c.role == property || c.role == pairValue) {
			names, example = append(names, f.guess.Columns[i].Name), cmp.Or(example, number)
		}
	}
	if !f.guess.Unsure || names == nil {
		return ""
	}
	return fmt.Sprintf("warning: %s: the point of %s was taken for a decimal point, and nothing in the file shows that it is one; give --thousands . if %[2]s means %s, else --decimal .",
		quotedList(names), example, strings.ReplaceAll(example, ".", ""))
}

// rejects is a file of the lines that were left out, each after the reason. Once they
// are mended, it can be imported itself.
type rejects struct {
	file *os.File
	name string
	dry  bool
}

// add writes a line of f and why it was left out.
func (r *rejects) add(f *file, line int, text string, why error) error {
	if r.dry {
		return nil
	}
	if r.file == nil {
		if err := r.create(f); err != nil {
			return err
		}
	}
	reason := strings.Join(strings.Fields(why.Error()), " ")
	if f.guess.JSON { // JSON has no comments
		object := strconv.AppendInt([]byte(`{"line":`), int64(line), 10)
		object = jsontext.AppendString(append(object, `,"reason":`...), reason)
		object = jsontext.AppendString(append(object, `,"text":`...), strings.TrimSpace(text))
		_, err := fmt.Fprintf(r.file, "%s}\n", object)
		return r.failed(err)
	}
	_, err := fmt.Fprintf(r.file, "# %s:%d: %s\n%s\n", filepath.Base(f.in.name), line, reason, strings.TrimRight(text, "\r\n"))
	return r.failed(err)
}

// create makes a file that was not there, beside where the command runs.
func (r *rejects) create(f *file) (err error) {
	base := filepath.Base(f.in.name)
	if f.in.file == nil {
		base = "stdin"
	}
	r.name = base + ".rejected"
	for n := 2; ; n++ {
		r.file, err = os.OpenFile(r.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) || n > 1000 {
			break
		}
		r.name = fmt.Sprintf("%s.rejected.%d", base, n)
	}
	if err != nil || f.guess.JSON {
		return r.failed(err)
	}
	if f.guess.HeaderLine > 0 {
		var names []string
		for _, c := range f.guess.Columns {
			names = append(names, c.Name)
		}
		_, err = fmt.Fprintln(r.file, records.Quote(names, f.guess.Delimiter))
	}
	return r.failed(err)
}

func (r *rejects) failed(err error) error {
	if err == nil {
		return nil
	}
	return &hotreader.Error{Op: "import: write the lines that are left out", Code: hotreader.CodeConfig, Err: err}
}

// close closes the file and returns its name, "" if there is none.
func (r *rejects) close() (string, error) {
	if r.file == nil {
		return "", nil
	}
	return r.name, r.failed(r.file.Close())
}
