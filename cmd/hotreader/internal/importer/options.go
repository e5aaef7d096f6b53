// Package importer writes the rows of people's files into a store, and counts what it
// found. What it holds does not grow with the file.
package importer

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer/sniff"
)

// Writing is what becomes of a row that a store has already.
type Writing uint8

// The modes. AsFits merges if the store does so in one request, else it writes whole
// items.
const (
	AsFits Writing = iota
	Merging
	Replacing
)

// Options say what is imported.
type Options struct {
	Files     []string  // their names; - = In
	In        io.Reader // standard input
	Sniff     sniff.Options
	Encoding  string
	SkipAfter int // lines to leave out after the header; -1 = found out
	Skip      int64

	Device       string // of all rows, or
	DeviceColumn string // where each row has it
	Zone         *time.Location
	Key, Value   string // columns of properties' names and values, "" = none
	PlainPairs   bool   // columns that look like those are ordinary ones
	Rename       map[string]string
	Only         []string
	Types        map[string]hotreader.Type

	SkipBad bool // leave out bad lines and write them to a file
	DryRun  bool // write nothing, show the first rows
	Writing Writing

	Store string // its URL
	Open  func(ctx context.Context, url string) (hotreader.Store, error)

	// Progress is called now and then with the lines that are stored, and what
	// share of the file was read, in percent; -1 = not known.
	Progress func(lines, percent int64)
}

// Result is what was imported, and the shape of import --json. After an error Lines
// counts what is stored.
type Result struct {
	Files       []*File    `json:"files"`
	Devices     []*Device  `json:"devices"`     // in the order in which they come
	Lines       int64      `json:"lines"`       // with values
	Stored      int64      `json:"stored"`      // rows that were not there
	Merged      int64      `json:"merged"`      // lines merged into a row that was there
	Overwriting int64      `json:"overwriting"` // of Merged: lines that replaced a value
	Replaced    int64      `json:"replaced"`
	Unchanged   int64      `json:"unchanged"` // lines that the store had already
	Written     int64      `json:"written"`   // items, where the store does not say more
	LeftOut     []*LeftOut `json:"left_out"`
	BadLines    int64      `json:"bad_lines"`
	Rejected    []string   `json:"rejected_files,omitempty"`
	Notes       []string   `json:"notes,omitempty"`
	Warnings    []string   `json:"warnings,omitempty"`
	Columns     []*Column  `json:"columns"` // in the order in which they first have a value
	Seconds     float64    `json:"seconds"`

	// Created is the file of a store that was not there before, after an error.
	Created string `json:"-"`

	// Rows are the first rows as they would be stored, of a dry run.
	Rows []string `json:"rows,omitempty"`
}

// File is a file that was read, and what it was taken for.
type File struct {
	Name  string `json:"name"`
	Taken string `json:"taken_for"`
}

// Device is what an import found of one.
type Device struct {
	ID    string    `json:"device"`
	Lines int64     `json:"lines"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// LeftOut counts values that are not stored.
type LeftOut struct {
	Column  string `json:"column"`
	Reason  string `json:"reason"`
	Count   int64  `json:"count"`
	Example string `json:"example"`
}

// invalid makes an error of the file or of the options.
func invalid(format string, args ...any) error {
	return &hotreader.Error{Op: "import", Code: hotreader.CodeInvalid, Err: fmt.Errorf(format, args...)}
}

// at adds a file's name and line to what is wrong.
func at(name string, line int, format string, args ...any) error {
	where := name
	if line > 0 {
		where = fmt.Sprintf("%s:%d", name, line)
	}
	return invalid("%s: %w", where, fmt.Errorf(format, args...))
}

// checkName says what is wrong with a property's name, or "".
func checkName(name string) string {
	switch {
	case strings.TrimSpace(name) == "":
		return "has no name"
	case len(name) > hotreader.MaxNameBytes:
		return fmt.Sprintf("has a name of %d bytes; at most %d are allowed", len(name), hotreader.MaxNameBytes)
	}
	return ""
}
