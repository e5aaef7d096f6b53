// Package plain holds the formats that people and ordinary tools read and
// write: a JSON document, JSON lines and CSV.
//
// An answer has one object, or line, for each row: the row's time, under the
// name "time", and all properties that were asked for, under their names. A value
// that a row does not have is null, so that each row, and each page, has the same
// columns. Numbers are the store's own digits.
//
//	{"items":[{"time":"2026-01-01T00:00:00.000Z","temperature":73.90,"state":null}],"next_token":null}
//
//	{"time":"2026-01-01T00:00:00.000Z","temperature":73.90,"state":null}
//
//	time,temperature,state
//	2026-01-01T00:00:00.000Z,73.90,
//
// # CSV
//
// CSV follows RFC 4180, with LF as the line's end. A value that a row does not
// have is an empty cell, an empty string is a cell of two quotes.
//
// Spreadsheets take a cell that begins with = + - @, a tab or the end of a line
// for a formula, and text comes from devices. Some pass over blanks before it, take
// wide signs for narrow ones, or begin another cell at a semicolon, a tab or the end
// of a line. Such text is therefore written
// with an apostrophe before it, which spreadsheets understand as "this is
// text"; so is text that looks as if that had been done to it, so that reading
// a CSV (as hotreader import does) can undo it exactly. Numbers are never touched. The two JSON formats
// carry all text as it is.
package plain

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"hotreader"
	"hotreader/internal/jsontext"
)

// TimeName is the name of a row's time in every format.
const TimeName = "time"

// Format is one of the package's formats. The zero value is JSON.
type Format uint8

// The formats.
const (
	JSON  Format = iota // one document with all rows
	JSONL               // one JSON object a line
	CSV
)

// Encoder writes rows of one query. It has no state, so one Encoder may serve
// several answers at once.
type Encoder struct {
	format Format
	names  []string // CSV: the properties
	keys   [][]byte // JSON: `,"temperature":` of each property
}

// NewEncoder returns the Encoder of a query's properties. A property of the name
// "time" is an error of CodeInvalid, for it would be ambiguous with the row's.
func NewEncoder(format Format, properties []string) (*Encoder, error) {
	if slices.Contains(properties, TimeName) {
		return nil, &hotreader.Error{Op: "encode", Code: hotreader.CodeInvalid,
			Err: fmt.Errorf("the property %q has the name of the row's time; this format cannot carry it, TwinMaker's can", TimeName)}
	}
	e := &Encoder{format: format}
	if format == CSV {
		e.names = slices.Clone(properties)
		return e, nil
	}
	size := 0
	for _, p := range properties {
		size += len(p) + len(`,"":`)
	}
	text := make([]byte, 0, size) // of all keys; more, if one is to be escaped
	e.keys = make([][]byte, 0, len(properties))
	for _, p := range properties {
		from := len(text)
		text = append(jsontext.AppendString(append(text, ','), p), ':')
		e.keys = append(e.keys, text[from:len(text):len(text)])
	}
	return e, nil
}

// AppendHead appends what comes before the rows.
func (e *Encoder) AppendHead(dst []byte) []byte {
	switch e.format {
	case JSON:
		dst = append(dst, `{"items":[`...)
	case CSV:
		dst = append(dst, TimeName...)
		for _, name := range e.names {
			dst = AppendCell(append(dst, ','), []byte(name))
		}
		dst = append(dst, '\n')
	}
	return dst
}

// AppendRow appends one row. first says that no row came before it.
func (e *Encoder) AppendRow(dst []byte, row hotreader.Row, first bool) []byte {
	if e.format == CSV {
		return e.appendLine(dst, row)
	}
	if e.format == JSON && !first {
		dst = append(dst, ',')
	}
	// A foreign peer's latest value may come without a time. The key stays, so
	// that every item has it.
	if row.Time.IsZero() {
		dst = append(dst, `{"time":null`...)
	} else {
		dst = append(dst, `{"time":"`...)
		dst = append(hotreader.AppendTime(dst, row.Time), '"')
	}
	for i, key := range e.keys {
		var v hotreader.Value
		if i < len(row.Values) {
			v = row.Values[i]
		}
		dst = append(dst, key...)
		switch v.Kind() {
		case hotreader.Null:
			dst = append(dst, "null"...)
		case hotreader.Bool:
			dst = strconv.AppendBool(dst, v.Bool())
		case hotreader.Number:
			dst = append(dst, v.Text()...)
		case hotreader.String:
			dst = jsontext.AppendString(dst, v.Text())
		}
	}
	dst = append(dst, '}')
	if e.format == JSONL {
		dst = append(dst, '\n')
	}
	return dst
}

func (e *Encoder) appendLine(dst []byte, row hotreader.Row) []byte {
	if !row.Time.IsZero() {
		dst = hotreader.AppendTime(dst, row.Time)
	}
	for i := range e.names {
		dst = append(dst, ',')
		if i >= len(row.Values) {
			continue
		}
		v := row.Values[i]
		switch v.Kind() {
		case hotreader.Bool:
			dst = strconv.AppendBool(dst, v.Bool())
		case hotreader.Number:
			dst = append(dst, v.Text()...)
		case hotreader.String:
			dst = AppendCell(dst, v.Text())
		}
	}
	return append(dst, '\n')
}

// AppendTail appends what comes after the rows of a page. Only JSON has a place for
// nextToken, which is null for "", and for warnings.
func (e *Encoder) AppendTail(dst []byte, nextToken string, warnings []hotreader.Warning) []byte {
	if e.format != JSON {
		return dst
	}
	if dst = append(dst, `],"next_token":`...); nextToken == "" {
		dst = append(dst, "null"...)
	} else {
		dst = jsontext.AppendString(dst, nextToken)
	}
	return append(hotreader.AppendWarnings(dst, warnings), "}\n"...)
}

// appendEnd is AppendTail of an answer that has no pages.
func (e *Encoder) appendEnd(dst []byte, warnings []hotreader.Warning) []byte {
	if e.format != JSON {
		return dst
	}
	return append(hotreader.AppendWarnings(append(dst, ']'), warnings), "}\n"...)
}

// flushAt is how many bytes Write gathers before it writes them.
const flushAt = 32 << 10

// Write writes all rows to w, and the warnings that stats has after them, and
// returns how many rows they were. An error of rows ends it, with the rows before
// it written and, in JSON, the document left open, so that it cannot be taken for a
// whole one.
func (e *Encoder) Write(w io.Writer, rows iter.Seq2[hotreader.Row, error], stats *hotreader.Stats) (n int, err error) {
	buf := e.AppendHead(make([]byte, 0, flushAt+4096))
	for row, rowErr := range rows {
		if rowErr != nil {
			_, _ = w.Write(buf) // the read's failure is the one to report
			return n, rowErr
		}
		buf = e.AppendRow(buf, row, n == 0)
		n++
		if len(buf) >= flushAt {
			if _, err := w.Write(buf); err != nil {
				return n, err
			}
			buf = buf[:0]
		}
	}
	_, err = w.Write(e.appendEnd(buf, stats.Warnings()))
	return n, err
}

// AppendCell appends text as a CSV cell, quoted where it must be and guarded
// where a spreadsheet would run it.
func AppendCell(dst, text []byte) []byte {
	guard := anyFormula(text) && !hotreader.IsNumber(text)
	if !guard && len(text) > 0 && !needsQuotes(text) {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for i, c := range text {
		if guard && runsAsFormula(text, i) {
			dst = append(dst, '\'')
		}
		if c == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

func needsQuotes(text []byte) bool {
	for _, c := range text {
		if c == ',' || c == '"' || c < ' ' {
			return true
		}
	}
	return text[0] == ' ' || text[len(text)-1] == ' '
}

// separators end a cell where a spreadsheet does not see that ours is quoted: where a
// semicolon is the separator, it looks for quotes only after that.
const separators = ";\t\r\n"

// runsAsFormula reports whether a spreadsheet may take text[at:] for a formula at the
// beginning of a cell, or for a guarded one. Spreadsheets pass over blanks, and take wide
// signs for narrow ones.
func runsAsFormula[T string | []byte](text T, at int) bool {
	if at > 0 && strings.IndexByte(separators, text[at-1]) < 0 {
		return false
	}
	for i := at; i < len(text); i++ {
		switch text[i] {
		case '\'', ' ', 0, 0xc2, 0xa0: // the last two are a blank that does not break
			continue
		case '=', '+', '-', '@':
			return true
		case '\t', '\r', '\n':
			return at == 0
		case 0xef:
			return len(text)-i >= 3 && text[i+1] == 0xbc && strings.IndexByte("\x9d\x8b\x8d\xa0", text[i+2]) >= 0 // ＝＋－＠
		}
		return false
	}
	return false
}

// anyFormula reports whether a spreadsheet could run a part of text.
func anyFormula(text []byte) bool {
	for i := range text {
		if runsAsFormula(text, i) {
			return true
		}
	}
	return false
}

// Unguard takes the apostrophes away that AppendCell sets.
func Unguard(text string) string {
	if strings.IndexByte(text, '\'') < 0 {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		if text[i] != '\'' || !runsAsFormula(text, i) {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}
