// Package records cuts a file into its records: the lines of a table, and the objects
// of JSON. It holds one record at a time.
package records

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Most bytes of one record, so that a damaged file (a quote that is never closed)
// costs no more memory than that.
const maxRecord = 1 << 20

// Most bytes of blanks, of which a few compressed bytes make gigabytes.
const maxBlank = 8 << 20

// A BadRecord is a record that cannot be read; the next may be.
type BadRecord struct {
	Line int
	Text string // as far as it is known
	Err  error
}

func (e *BadRecord) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong.
func (e *BadRecord) Unwrap() error { return e.Err }

// errLong ends a file with a line of more than maxRecord bytes.
var errLong = fmt.Errorf("it has more than %d bytes", maxRecord)

func errBlank(line int) error {
	return fmt.Errorf("line %d: more than %d bytes of blanks came one after the other", line, maxBlank)
}

// lines reads a file line by line.
type lines struct {
	r       *bufio.Reader
	n       int      // of the last line read
	blank   int      // bytes of blank lines since the last that is none
	pending []string // lines that are to be read again, the next one first
}

// next returns the next line with its end, io.EOF after the last one.
func (l *lines) next() (string, error) {
	if len(l.pending) > 0 {
		line := l.pending[0]
		l.pending = l.pending[1:]
		l.n++
		return line, nil
	}
	var long []byte
	for {
		part, err := l.r.ReadSlice('\n')
		if long = append(long, part...); len(long) > maxRecord {
			return "", &BadRecord{Line: l.n + 1, Text: string(long[:100]), Err: errLong}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return "", err
		case len(long) == 0:
			return "", io.EOF
		}
		l.n++
		if l.blank += len(long); len(bytes.TrimSpace(long)) > 0 {
			l.blank = 0
		}
		if l.blank > maxBlank {
			return "", errBlank(l.n)
		}
		return string(long), nil
	}
}

// back puts lines back, the next one first.
func (l *lines) back(texts []string) {
	l.n -= len(texts)
	l.pending = append(append([]string(nil), texts...), l.pending...)
}

// A Record is a line of a table; of several lines of the file, where a quoted cell has
// them.
type Record struct {
	Line  int // where it begins, from 1
	Text  string
	Cells []string // valid until the next record
	Last  bool     // the file ends with it, without an end of line
}

// A Table reads lines of cells.
type Table struct {
	// Delimiter is between cells; a blank means runs of blanks.
	Delimiter rune

	in    lines
	parts []string // lines of the last record
	cells []string
	reach int // bytes that a quoted cell may go on for
}

// NewTable reads r, which is UTF-8.
func NewTable(r io.Reader, delimiter rune) *Table {
	return &Table{Delimiter: delimiter, in: lines{r: bufio.NewReaderSize(r, 1<<16)}, reach: maxRecord}
}

// Next returns the next record that is not blank, a *BadRecord for one that cannot be
// read, io.EOF at the end.
func (t *Table) Next() (Record, error) {
	for {
		line, err := t.in.next()
		if err != nil {
			return Record{}, err
		}
		if strings.Trim(line, " \t\r\n") == "" {
			continue
		}
		return t.record(line)
	}
}

// record reads the record that begins with a line.
func (t *Table) record(line string) (Record, error) {
	r := Record{Line: t.in.n, Text: line}
	t.parts = append(t.parts[:0], line)
	for {
		var open, loose bool
		if t.cells, open, loose = Split(t.cells[:0], chop(r.Text), t.Delimiter); !open && !(loose && t.Several()) {
			break
		}
		if loose && t.Several() { // the quote that closes it is another's
			t.Reread()
			return Record{}, &BadRecord{Line: r.Line, Text: line, Err: errOpen}
		}
		more, err := t.in.next()
		if err == nil {
			t.parts = append(t.parts, more)
		} else if !errors.Is(err, io.EOF) {
			return Record{}, err
		}
		if err == nil && len(r.Text)+len(more) <= t.reach {
			r.Text += more
			continue
		}
		t.Reread()
		return Record{}, &BadRecord{Line: r.Line, Text: line, Err: errOpen}
	}
	if !utf8.ValidString(r.Text) {
		return Record{}, &BadRecord{Line: r.Line, Text: r.Text, Err: ErrEncoding}
	}
	r.Cells = t.cells
	r.Last = !strings.HasSuffix(r.Text, "\n")
	return r, nil
}

var errOpen = errors.New("a quote is not closed")

// ErrEncoding is the error of a record that is not UTF-8.
var ErrEncoding = errors.New("it is not UTF-8 text; give --encoding windows-1252 (Western Europe), windows-1250 (Central Europe) or another")

// Reread makes the lines of the last record but the first be read again, as records of
// their own: a quote that is closed by another's has joined them. Each time halves how
// far a quoted cell may reach, so that a file full of such quotes is not read for ever.
func (t *Table) Reread() {
	if len(t.parts) > 1 {
		t.reach /= 2
		t.in.back(t.parts[1:])
		t.parts = t.parts[:1]
	}
}

// Several reports whether the last record has several lines.
func (t *Table) Several() bool { return len(t.parts) > 1 }

func chop(line string) string { return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r") }

// Split cuts a line into cells. Quotes around a cell are taken away and doubled ones
// halved; of other cells the blanks around are taken away. open reports that a quote
// is not closed, loose that something follows a closing one.
func Split(cells []string, line string, delimiter rune) (_ []string, open, loose bool) {
	blank := delimiter == ' '
	if blank {
		line = strings.Trim(line, " \t")
	}
	mark := string(delimiter)
	for {
		cell := strings.TrimLeft(line, trimmed(delimiter))
		if strings.HasPrefix(cell, `"`) {
			text, rest, closed := unquote(cell[1:])
			if !closed {
				return append(cells, text), true, loose
			}
			more, left, found := strings.Cut(rest, mark)
			more = strings.TrimRight(more, trimmed(delimiter))
			loose = loose || more != ""
			cells = append(cells, text+more)
			if line = left; !found {
				return cells, false, loose
			}
		} else {
			text, left, found := strings.Cut(line, mark)
			cells = append(cells, strings.Trim(text, trimmed(delimiter)))
			if line = left; !found {
				return cells, false, loose
			}
		}
		if blank {
			line = strings.TrimLeft(line, " \t")
		}
	}
}

func trimmed(delimiter rune) string {
	if delimiter == '\t' {
		return " "
	}
	return " \t"
}

// unquote returns the text up to a closing quote, and what follows that.
func unquote(s string) (text, rest string, closed bool) {
	if i := strings.IndexByte(s, '"'); i >= 0 && (i+1 == len(s) || s[i+1] != '"') { // most have no quote within
		return s[:i], s[i+1:], true
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			return b.String() + s, "", false
		}
		b.WriteString(s[:i])
		if i+1 < len(s) && s[i+1] == '"' {
			b.WriteByte('"')
			s = s[i+2:]
			continue
		}
		return b.String(), s[i+1:], true
	}
}

// Quote writes cells as a line of CSV.
func Quote(cells []string, delimiter rune) string {
	var b bytes.Buffer
	for i, cell := range cells {
		if i > 0 {
			b.WriteRune(delimiter)
		}
		if strings.ContainsAny(cell, "\"\r\n "+string(delimiter)) {
			cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		}
		b.WriteString(cell)
	}
	return b.String()
}
