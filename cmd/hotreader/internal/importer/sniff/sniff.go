// Package sniff finds out from a file's first bytes how it is written: encoding,
// delimiter, the line with the columns' names, how times and numbers are written, and
// what each column holds. Options override what it finds.
package sniff

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"hotreader/cmd/hotreader/internal/importer/cell"
	"hotreader/cmd/hotreader/internal/importer/records"
	"hotreader/cmd/hotreader/internal/importer/timetext"
)

// Options are what a person says about a file. The zero value, with HeaderLine
// FindHeader, says nothing.
type Options struct {
	Format     string // csv or json
	Delimiter  rune
	HeaderLine int    // the line with the names, from 1; 0 = there is none
	Comment    string // what a line begins with that is a comment
	Time       string // the column of the time, or several with a plus between
	TimeFormat *timetext.Format
	Style      cell.Style
}

// FindHeader is the HeaderLine that is to be found.
const FindHeader = -1

// times are the readings of Time: as one name, and as several.
func (t *Options) times() [][]string {
	if t.Time == "" {
		return nil
	}
	all := [][]string{{t.Time}}
	if strings.Contains(t.Time, "+") {
		all = append(all, strings.Split(t.Time, "+"))
	}
	return all
}

// A Guess is what a file is taken for.
type Guess struct {
	JSON  bool
	Shape records.Shape // of JSON

	Delimiter  rune   // of a table
	HeaderLine int    // 0 = there is none
	DataLine   int    // 0 = there is no line of data
	Comment    string // "" = #, where a line has no time
	Style      cell.Style
	Unsure     bool // a point may stand between thousands: of a table with semicolons or dates with points, which people write whose decimal mark is a comma

	Columns []Column // of JSON: those of the first records
	Time    []int    // those of Columns whose texts, joined by blanks, are the time
	Format  timetext.Format
	Zone    string // that the name of the time's column has, as GMT-05:00
	// ZoneExample is a zone that may be meant, where Zone is an abbreviation.
	ZoneExample string

	Descending bool     // times go down
	Device     int      // the column that seems to name devices; -1 = none
	Devices    []string // the first of them
	Key, Value int      // columns that seem to hold names and values of properties; -1 = none
	Mixed      int      // a column of texts in which lines of one time differ; -1 = none
	Keys       []string // the first of Key, or of Mixed
}

// A Column is what a column of the first records holds.
type Column struct {
	Name  string // of a table: unique
	Cells []string
	Texts bool // it is one of texts: words for missing values are texts, too
	Empty bool // it has no value and no name
	Short bool // it is beyond the end of all lines

	Unnamed bool   // the file has no name for it
	Again   string // the name in the file, which another column has already

	Unsure string // a number of it like 1.469, where nothing shows what the point means
}

// samples are how many records are looked at, and sampleCells how many cells of them.
const (
	samples     = 2000
	sampleCells = 100_000
)

// An Error says that a file cannot be taken for anything, and which flag helps.
type Error struct {
	Line int // 0 = the whole file
	Text string
}

func (e *Error) Error() string { return e.Text }

func fail(line int, format string, args ...any) error {
	return &Error{Line: line, Text: fmt.Sprintf(format, args...)}
}

// Look looks at the first bytes of a file, as UTF-8; whole: they are all of it.
func Look(head []byte, whole bool, given Options) (Guess, error) {
	g := Guess{Device: -1, Key: -1, Value: -1, Mixed: -1, Style: given.Style}
	g.Format, _ = timetext.ParseFormat("iso8601") // until a time is seen
	text := strings.TrimLeft(string(head), " \t\r\n\x1e")
	if given.Format == "json" || given.Format == "" && looksJSON(text) {
		if given.Delimiter != 0 {
			return g, fail(0, "--delimiter is for tables, but this is JSON; if not, give --format csv")
		}
		g.JSON = true
		return g, g.lookJSON(head, given)
	}
	if !whole { // the last line may be cut
		seen := len(head)
		head = head[:strings.LastIndexByte(string(head), '\n')+1]
		if len(bytes.TrimSpace(head)) == 0 {
			return g, fail(0, "in its first %d bytes no line ends that names columns; is it a table?", seen)
		}
	}
	return g, g.lookTable(head, given)
}

// looksJSON reports whether text begins as JSON with objects does. A bracket alone
// begins many a log line, too.
func looksJSON(text string) bool {
	if strings.HasPrefix(text, "{") {
		return true
	}
	rest, array := strings.CutPrefix(text, "[")
	rest = strings.TrimLeft(rest, " \t\r\n")
	return array && (rest == "" || rest[0] == '{' || rest[0] == ']' || rest[0] == '[')
}

// finish finds the time and what is wrong with the columns. line is that of the names.
func (g *Guess) finish(given Options, line int) error {
	if err := g.findTime(given, line); err != nil {
		return err
	}
	g.findMarks()
	g.classify()
	g.findOrder()
	g.findDevice()
	g.findPairs()
	return g.checkDates(given, line)
}

// findMarks finds out what commas and points in numbers mean.
func (g *Guess) findMarks() {
	if g.Style.Decimal != 0 || g.JSON {
		return
	}
	var c cell.Commas
	for i := range g.Columns {
		if !slices.Contains(g.Time, i) {
			c.Unsure = ""
			for _, text := range g.Columns[i].Cells {
				c.Add(g.Style.Bare(text))
			}
			g.Columns[i].Unsure = c.Unsure
		}
	}
	german := g.Delimiter == ';' || g.rows() > 0 && strings.Count(g.TimeText(0), ".") > 1 // 31.12.2026
	g.Unsure = german && g.Style.Thousands == 0 && c.Open()
	decimal, thousands := c.Marks()
	if given := g.Style.Thousands; given == 0 || given == thousands {
		g.Style.Thousands = thousands
	} else if decimal == given {
		decimal = 0
	}
	g.Style.Decimal = decimal
}

// classify says which columns are of texts: more of their cells are texts than numbers
// or booleans.
func (g *Guess) classify() {
	for i := range g.Columns {
		texts, others := 0, 0
		for _, text := range g.Columns[i].Cells {
			text = strings.TrimSpace(text)
			if text == "" || g.Style.IsMissing(text, false) {
				continue
			}
			_, truth := cell.Boolean(text)
			if _, ok := g.Style.Number(nil, text); ok || truth {
				others++
			} else {
				texts++
			}
		}
		g.Columns[i].Texts = texts > others
	}
}

// findOrder finds out whether times go down.
func (g *Guess) findOrder() {
	up, down := 0, 0
	var last timetext.Reading
	for row := range g.rows() {
		r, ok := g.Format.Parse(g.TimeText(row))
		if !ok {
			continue
		}
		if up+down > 0 || !last.Time.IsZero() {
			switch r.Time.Compare(last.Time) {
			case 1:
				up++
			case -1:
				down++
			}
		}
		last = r
	}
	g.Descending = down > up
}

// rows returns how many records were looked at.
func (g *Guess) rows() int {
	if len(g.Columns) == 0 {
		return 0
	}
	return len(g.Columns[0].Cells)
}

// TimeText returns the text of the time of a record that was looked at.
func (g *Guess) TimeText(row int) string {
	if len(g.Time) == 1 {
		return g.Columns[g.Time[0]].Cells[row]
	}
	var parts []string
	for _, i := range g.Time {
		parts = append(parts, strings.TrimSpace(g.Columns[i].Cells[row]))
	}
	return strings.Join(parts, " ")
}

// names returns the columns' names, quoted for a message.
func (g *Guess) names() string {
	var text strings.Builder
	for i := range g.Columns {
		if text.Len() > 200 {
			return text.String() + " …"
		}
		if i > 0 {
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, "%.60q", g.Columns[i].Name)
	}
	return text.String()
}
