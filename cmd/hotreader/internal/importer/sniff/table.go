package sniff

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"hotreader/cmd/hotreader/internal/importer/cell"
	"hotreader/cmd/hotreader/internal/importer/records"
	"hotreader/cmd/hotreader/internal/importer/timetext"
)

// A row is a record of a table that was looked at.
type row struct {
	line  int
	cells []string
	note  bool // it begins as a comment
}

// grid is a table's first records under one delimiter.
type grid struct {
	delimiter rune
	rows      []row
	header    int // of rows, -1 = none
	data      int // of rows, len(rows) = none
	dated     bool
	score     float64
}

func (g *Guess) lookTable(head []byte, given Options) error {
	best, err := chooseGrid(head, given)
	if err != nil {
		return err
	}
	if len(best.rows) == 0 {
		return fail(0, "the file is empty; a line must name the columns")
	}
	g.Delimiter, g.Comment = best.delimiter, given.Comment
	if given.HeaderLine > 0 && (best.header < 0 || best.rows[best.header].line < given.HeaderLine) {
		return fail(0, "--header-line %d: there is no such line among the first ones", given.HeaderLine)
	}
	if best.header < 0 && given.HeaderLine != 0 {
		return fail(best.rows[best.data].line, "this is data, and no line before it names the columns; give --header-line 0 to have them named column1, column2 and so on, or --header-line with the number of the line that names them")
	}
	line := best.rows[0].line
	if best.header >= 0 {
		line = best.rows[best.header].line
		g.HeaderLine = line
	}
	if best.data < len(best.rows) {
		g.DataLine = best.rows[best.data].line
	}
	g.setColumns(best)
	err = g.finish(given, line)
	if first := best.rows[0]; err != nil && given.Delimiter != 0 && len(first.cells) == 1 {
		if i := strings.IndexAny(first.cells[0], ",;\t"); i >= 0 {
			return fail(first.line, "the line looks separated by %q, not by the --delimiter that is given; leave --delimiter out", first.cells[0][i])
		}
	}
	if err == nil && given.HeaderLine > 0 {
		var names []string
		for _, i := range g.Time {
			names = append(names, g.Columns[i].Name)
		}
		if _, data := g.Format.Parse(strings.Join(names, " ")); data {
			return fail(line, "--header-line %d: this line looks like data, not names; leave --header-line out, or give the line that has the names", given.HeaderLine)
		}
	}
	return err
}

// chooseGrid reads the head with each delimiter, and keeps what looks most like a table
// with times.
func chooseGrid(head []byte, given Options) (grid, error) {
	delimiters := []rune{',', ';', '\t', '|'}
	if given.Delimiter != 0 {
		delimiters = []rune{given.Delimiter}
	} else if d := Separator(head); d != 0 {
		delimiters = []rune{d}
	}
	var best grid
	for i, d := range delimiters {
		candidate, err := readGrid(head, d, given)
		if err != nil {
			return candidate, err
		}
		if i == 0 || candidate.score > best.score {
			best = candidate
		}
	}
	if len(delimiters) > 1 && (!best.dated || best.width() < 2) { // a blank is in most times, too
		if blank, err := readGrid(head, ' ', given); err == nil && blank.dated && blank.width() > 1 {
			best = blank
		}
	}
	return best, nil
}

// width returns how many cells the header, or the first line of data, has.
func (t *grid) width() int {
	if at := max(t.header, 0); at < len(t.rows) {
		return len(t.rows[at].cells)
	}
	return 0
}

// Separator returns the delimiter that a first line says, as sep=; does, 0 if it does
// not.
func Separator(head []byte) rune {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	text, ok := strings.CutPrefix(strings.ToLower(strings.Trim(strings.TrimRight(string(line), "\r"), `"`)), "sep=")
	if r := []rune(text); ok && len(r) == 1 {
		return r[0]
	}
	return 0
}

func readGrid(head []byte, delimiter rune, given Options) (grid, error) {
	t := grid{delimiter: delimiter, header: -1}
	in := records.NewTable(bytes.NewReader(head), delimiter)
	cells := 0
	for n := range samples {
		r, err := in.Next()
		if bad, ok := errors.AsType[*records.BadRecord](err); ok {
			if errors.Is(bad, records.ErrEncoding) {
				return t, fail(bad.Line, "%v", bad.Err)
			}
			continue
		}
		if errors.Is(err, io.EOF) || cells > sampleCells {
			break
		}
		if err != nil {
			return t, err
		}
		if cells += len(r.Cells); n == 0 && Separator([]byte(r.Text)) != 0 || given.Comment != "" && strings.HasPrefix(r.Text, given.Comment) {
			continue
		}
		t.rows = append(t.rows, row{line: r.Line, cells: slices.Clone(r.Cells), note: strings.HasPrefix(r.Text, "#")})
	}
	t.data = len(t.rows)
	t.find(given)
	t.measure()
	return t, nil
}

// measure says how much the rows look like a table: times first, then lines of the
// header's width, then width.
func (t *grid) measure() {
	from := t.data
	if t.header >= 0 {
		from = t.header
	}
	want, same := t.width(), 0
	for _, r := range t.rows[min(from, len(t.rows)):] {
		if len(r.cells) == want {
			same++
		}
	}
	if n := len(t.rows) - from; n > 0 && want > 1 {
		t.score = float64(same)/float64(n) + float64(min(want, 1000))/10000
	}
	if t.dated {
		t.score += 10
	} else if t.header > 0 && !t.rows[t.header].timed() { // the lines above speak against such a header
		t.score -= float64(from) / float64(len(t.rows)+1)
	}
}

// find finds the header and the first line of data.
func (t *grid) find(given Options) {
	switch {
	case given.HeaderLine == 0:
		t.data = 0
		t.dated = t.firstDated(0) < len(t.rows)
		return
	case given.HeaderLine > 0:
		for i, r := range t.rows {
			if r.line >= given.HeaderLine {
				t.header = i
				break
			}
		}
	case given.Time != "":
		t.header = slices.IndexFunc(t.rows[:t.firstDated(0)], func(r row) bool {
			return slices.ContainsFunc(given.times(), func(names []string) bool { return len(r.indices(names)) > 0 })
		})
	}
	if t.header >= 0 {
		t.uncomment()
		t.data = t.header + 1 + t.units(t.header+1)
		t.dated = given.Time != "" || t.firstDated(t.data) < len(t.rows)
		return
	}
	first := t.firstDated(0)
	t.dated = first < len(t.rows)
	if t.dated {
		t.data = first
		t.header = t.above(first)
	} else if t.header = slices.IndexFunc(t.rows, row.timed); t.header >= 0 {
		t.data = t.header + 1 + t.units(t.header+1)
		t.dated = t.counted()
	} else if len(t.rows) > 0 {
		t.header = slices.IndexFunc(t.rows[:t.firstDated(0)], func(r row) bool { return !r.note && len(r.cells) > 1 })
		t.header = max(t.header, 0)
		t.data = t.header + 1
	}
	t.uncomment()
}

// indices returns the places of the names among the cells, nil unless all are there.
// A name that is not there may be several with a plus between them.
func (r *row) indices(names []string) (at []int) {
	for _, name := range names {
		i := slices.IndexFunc(r.cells, func(c string) bool { return columnName(c) == name })
		if i < 0 && r.note && len(r.cells) > 0 && columnName(strings.TrimLeft(r.cells[0], "# ")) == name {
			i = 0
		}
		if i < 0 {
			return nil
		}
		at = append(at, i)
	}
	return at
}

// timed reports whether a cell is what people call a time, and the row has no numbers.
func (r row) timed() bool {
	named := false
	for i, c := range r.cells {
		if i == 0 && r.note {
			c = strings.TrimLeft(c, "# ")
		}
		if IsNumber(c) {
			return false
		}
		named = named || timetext.Named(c) > 0 || datePart(c) == 'Y'
	}
	return named && len(r.cells) > 1
}

// IsNumber reports whether a cell is a number, with a decimal point or comma.
func IsNumber(text string) bool {
	s := cell.Style{Decimal: '.'}
	_, ok := s.Number(nil, text)
	if !ok {
		s.Decimal = ','
		_, ok = s.Number(nil, text)
	}
	return ok
}

// firstDated returns the first row from which on a column has dates, len(rows) if none
// has.
func (t *grid) firstDated(from int) int {
	first := len(t.rows)
	for column := range t.widest(from) {
		var texts []string
		var at []int
		for i := from; i < len(t.rows); i++ {
			if column < len(t.rows[i].cells) && t.rows[i].cells[column] != "" {
				texts, at = append(texts, t.rows[i].cells[column]), append(at, i)
			}
		}
		guess := timetext.Calendar(texts, "")
		if guess.Matched == 0 || !guess.Words {
			continue
		}
		k := slices.IndexFunc(texts, func(s string) bool { _, ok := guess.Format.Parse(s); return ok })
		// Most of what follows must be dates, too.
		if 2*guess.Matched > len(texts)-k && at[k] < first {
			first = at[k]
		}
	}
	return first
}

func (t *grid) widest(from int) (n int) {
	for _, r := range t.rows[from:] {
		n = max(n, len(r.cells))
	}
	return min(n, 1000)
}

// counted reports whether the column that is called a time has numbers that count
// since 1970, or columns have the parts of a date.
func (t *grid) counted() bool {
	parts := 0
	for _, name := range t.rows[t.header].cells {
		if strings.EqualFold(name, "mm") || datePart(name) != 0 {
			parts++
		}
	}
	if parts >= 3 && t.data < len(t.rows) && len(t.rows[t.data].cells) >= 3 && !slices.ContainsFunc(t.rows[t.data].cells[:3], func(s string) bool { return !IsNumber(s) }) {
		return true
	}
	for column, name := range t.rows[t.header].cells {
		if timetext.Named(name) == 0 {
			continue
		}
		var texts []string
		for _, r := range t.rows[t.data:] {
			if column < len(r.cells) && r.cells[column] != "" {
				texts = append(texts, r.cells[column])
			}
		}
		numbers := max(timetext.Numbers(texts).Matched, timetext.Serials(texts).Matched, timetext.Calendar(texts, name).Matched)
		if len(texts) > 0 && 2*numbers > len(texts) {
			return true
		}
	}
	return false
}

// above finds the header above the first line of data, -1 if there is none. Lines of
// units may be between.
func (t *grid) above(data int) int {
	filled := func(cells []string) int {
		n := len(cells)
		for n > 0 && cells[n-1] == "" {
			n--
		}
		return n
	}
	header, width := -1, len(t.rows[data].cells)
	for i := data - 1; i >= 0 && i >= data-5; i-- {
		r := t.rows[i]
		if slices.ContainsFunc(r.cells, IsNumber) && !r.timed() && (i == 0 || !t.rows[i-1].timed()) || filled(r.cells) < 2 && width > 1 {
			break
		}
		if len(r.cells) != width && filled(r.cells) != filled(t.rows[data].cells) && i < data-1 {
			break
		}
		if header >= 0 && (r.note && !t.rows[header].note || t.rows[header].timed() && !r.timed()) {
			break
		}
		if slices.ContainsFunc(r.cells, IsNumber) {
			continue // units, under the names
		}
		if header < 0 || r.timed() || !slices.Contains(r.cells[:filled(r.cells)], "") && !t.rows[header].timed() {
			header = i
		}
	}
	return header
}

// mostUnits is how many lines of units may be under the names.
const mostUnits = 3

// units returns how many rows are no data: without a digit, as units are.
func (t *grid) units(from int) (n int) {
	for from+n < len(t.rows) && n < mostUnits {
		r := t.rows[from+n]
		if r.note || !strings.ContainsAny(strings.Join(r.cells, ""), "0123456789") && from+n+1 < len(t.rows) {
			n++
			continue
		}
		break
	}
	return n
}

// uncomment takes the mark away from a header that begins as a comment.
func (t *grid) uncomment() {
	if t.header < 0 || !t.rows[t.header].note {
		return
	}
	r := &t.rows[t.header]
	r.cells[0] = strings.TrimLeft(r.cells[0], "# ")
	if r.cells[0] == "" && t.data < len(t.rows) && len(r.cells) > len(t.rows[t.data].cells) {
		r.cells = r.cells[1:] // "# time a", with blanks between
	}
}

// columnName is a cell of the header as the column is called.
func columnName(text string) string {
	return strings.Join(strings.Fields(cell.Unguard(text)), " ")
}

// setColumns names the columns and keeps their cells.
func (g *Guess) setColumns(t grid) {
	width := t.widest(0)
	if t.header >= 0 {
		width = len(t.rows[t.header].cells)
	} else if t.data < len(t.rows) {
		width = len(t.rows[t.data].cells)
	}
	seen := map[string]int{} // the last number given to a name that comes again
	for i := range width {
		c := Column{Short: i > 1 && t.data+1 < len(t.rows)}
		if t.header >= 0 {
			c.Name = columnName(t.rows[t.header].cells[i])
		}
		filled := false
		for _, r := range t.rows[t.data:] {
			text := ""
			if i < len(r.cells) {
				text, c.Short = r.cells[i], false
			}
			filled = filled || text != ""
			c.Cells = append(c.Cells, text)
		}
		c.Empty = c.Name == "" && !filled && t.header >= 0
		if c.Unnamed = c.Name == ""; c.Unnamed {
			c.Name = fmt.Sprintf("column%d", i+1)
		}
		name := c.Name
		for seen[c.Name] > 0 {
			c.Again = name
			seen[name]++
			c.Name = fmt.Sprintf("%s_%d", name, seen[name])
		}
		seen[c.Name] = 1
		g.Columns = append(g.Columns, c)
	}
}
