package sniff

import (
	"regexp"
	"slices"
	"strings"

	"hotreader/cmd/hotreader/internal/importer/timetext"
	"hotreader/internal/shell"
)

// A candidate is a column that may hold the time.
type candidate struct {
	columns []int
	guess   timetext.Guess
	rank    int
}

// findTime finds the columns of the time and how it is written. line is that of the
// columns' names.
func (g *Guess) findTime(given Options, line int) error {
	if given.Time != "" {
		return g.givenTime(given, line)
	}
	var all []candidate
	for i := range g.Columns {
		if c, ok := g.candidate(i, given); ok {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return a.rank - b.rank })
	if len(all) > 1 && all[0].rank == 1 && all[1].rank == 2 {
		a, b := g.Columns[all[0].columns[0]].Name, g.Columns[all[1].columns[0]].Name
		return fail(line, "both %q and %q are there, and either may hold the time; give --time %s or --time %s", a, b, shell.Word(a), shell.Word(b))
	}
	if len(all) > 0 {
		return g.useTime(g.withClock(all[0], given), line)
	}
	if c, ok := g.dateParts(); ok {
		return g.useTime(c, line)
	}
	if g.rows() == 0 { // a file without rows is none to complain about
		for i := range g.Columns {
			if timetext.Named(g.Columns[i].Name) > 0 {
				g.Time = []int{i}
				return nil
			}
		}
	}
	return g.noTime(given, line)
}

// texts returns what the columns have, joined.
func (g *Guess) texts(columns []int) (texts []string) {
	joined := Guess{Columns: g.Columns, Time: columns}
	for row := range g.rows() {
		if text := strings.TrimSpace(joined.TimeText(row)); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// candidate says how likely a column holds the time.
func (g *Guess) candidate(i int, given Options) (candidate, bool) {
	c := candidate{columns: []int{i}, rank: timetext.Named(g.Columns[i].Name)}
	texts := g.texts(c.columns)
	if len(texts) == 0 {
		return c, false
	}
	c.guess = guessed(texts, g.Columns[i].Name, given, c.rank > 0)
	if 2*c.guess.Matched <= len(texts) && (c.rank != 1 && c.rank != 2 || c.guess.Matched == 0) {
		return c, false
	}
	if c.rank == 0 {
		c.rank = 9
	}
	if c.guess.Dates == c.guess.Matched && c.rank > 3 {
		c.rank += 20 // a date alone is rarely the whole time
	}
	return c, true
}

// guessed says how texts write times. named: they are called times, so that numbers
// may be some.
func guessed(texts []string, name string, given Options, named bool) timetext.Guess {
	if given.TimeFormat != nil {
		g := timetext.Guess{Format: *given.TimeFormat}
		for _, text := range texts {
			if _, ok := g.Format.Parse(text); ok {
				g.Matched++
			}
		}
		if !named && g.Format.Numeric() {
			g.Matched = 0
		}
		return g
	}
	g := timetext.Calendar(texts, name)
	if named && 2*g.Matched <= len(texts) {
		if n := timetext.Numbers(texts); n.Matched > g.Matched {
			return n
		}
	}
	if !named && !g.Words {
		g.Matched = 0
	}
	return g
}

// withClock adds the column of the time of day to one of dates.
func (g *Guess) withClock(c candidate, given Options) candidate {
	if given.TimeFormat != nil && given.TimeFormat.Name == timetext.Excel {
		c.columns = g.withFractions(c.columns)
	}
	if c.guess.Dates < c.guess.Matched || c.guess.Matched == 0 || given.TimeFormat != nil {
		return c
	}
	best := -1
	for i := range g.Columns {
		texts, name := g.texts([]int{i}), strings.ToLower(g.Columns[i].Name)
		digits := timetext.Named(name) == 0 || strings.HasPrefix(name, "time") || strings.HasPrefix(name, "uhr") // 0600 is 06:00
		clocks := 0
		for _, text := range texts {
			if timetext.IsClock(text) || len(text) == 4 && digits && timetext.IsClock(text[:2]+":"+text[2:]) {
				clocks++
			}
		}
		if i == c.columns[0] || len(texts) == 0 || 10*clocks < 9*len(texts) {
			continue
		}
		if best < 0 || i == c.columns[0]+1 { // the neighbour first
			best = i
		}
	}
	if best < 0 {
		return c
	}
	both := candidate{columns: []int{c.columns[0], best}}
	both.guess = timetext.Calendar(g.texts(both.columns), g.Columns[c.columns[0]].Name)
	if both.guess.Matched == 0 {
		return c
	}
	return both
}

// withFractions adds to a column of a spreadsheet's whole days that which is called a
// time and has fractions of days alone, and the other way round.
func (g *Guess) withFractions(columns []int) []int {
	for i := range g.Columns {
		for _, both := range [][]int{{columns[0], i}, {i, columns[0]}} {
			if len(columns) == 1 && i != columns[0] && timetext.Named(g.Columns[both[1]].Name) > 0 && timetext.Serials(g.texts(both)).Matched == g.rows() {
				return both
			}
		}
	}
	return columns
}

// Names of columns that hold the time of day as a number.
var dayTimes = []string{"he", "hour ending", "hour_ending", "hourending", "period", "settlement period", "interval", "hhmm", "mst", "est", "pst", "cst", "gmt", "utc", "lst", "cet", "stunde"}

// checkDates rejects a time of dates alone if several lines have the same date and another
// column seems to have the time of day.
func (g *Guess) checkDates(given Options, line int) error {
	if given.Time != "" || len(g.Time) != 1 || g.Key >= 0 || len(g.Devices) > 1 {
		return nil
	}
	texts := g.texts(g.Time)
	for _, text := range texts {
		if r, ok := g.Format.Parse(text); ok && !r.Date {
			return nil
		}
	}
	if len(different(texts)) == len(texts) {
		return nil
	}
	for i := range g.Columns {
		name := g.Columns[i].Name
		part := datePart(name)
		if i == g.Time[0] || timetext.Named(name) == 0 && part != 'H' && part != 'M' && !slices.Contains(dayTimes, strings.ToLower(name)) {
			continue
		}
		both := shell.Word(g.Columns[g.Time[0]].Name + "+" + name)
		return fail(line, "%q has dates alone, and several lines of each; if %q has the time of day, give --time %s --time-format '%s %%H', with %%H%%M or another layout as it is written; else --time %s",
			g.Columns[g.Time[0]].Name, name, both, timetext.DateLayout(texts[0], g.Format), shell.Word(g.Columns[g.Time[0]].Name))
	}
	return nil
}

// The names of columns that hold a part of a date.
var parts = map[byte][]string{
	'Y': {"year", "yyyy", "yy", "yr", "jahr"}, 'm': {"month", "mo", "mon", "monat"}, 'd': {"day", "dy", "dd", "tag"},
	'H': {"hour", "hr", "hh", "stunde"}, 'M': {"minute", "min", "mn"}, 'S': {"second", "sec"},
}

// datePart returns the strftime letter of the part of a date that a column is called
// after, 0 if it is not.
func datePart(name string) byte {
	name = strings.ToLower(strings.Trim(name, "# "))
	for letter, names := range parts {
		if slices.Contains(names, name) {
			return letter
		}
	}
	return 0
}

// dateParts finds columns for year, month, day and hour.
func (g *Guess) dateParts() (candidate, bool) {
	var c candidate
	var letters []string
	for _, letter := range []byte("YmdHMS") {
		i := slices.IndexFunc(g.Columns, func(c Column) bool {
			return datePart(c.Name) == letter || letter == 'm' && c.Name == "MM" || letter == 'M' && c.Name == "mm"
		})
		if i < 0 {
			break
		}
		c.columns = append(c.columns, i)
		letters = append(letters, "%"+string(letter))
	}
	if len(c.columns) < 3 {
		return c, false
	}
	layout := strings.Join(letters, " ")
	if texts := g.texts(c.columns[:1]); len(texts) > 0 && len(texts[0]) == 2 {
		layout = strings.Replace(layout, "Y", "y", 1)
	}
	f, err := timetext.ParseFormat(layout)
	c.guess = timetext.Guess{Format: f}
	return c, err == nil
}

// useTime takes a candidate, unless it confuses days and months.
func (g *Guess) useTime(c candidate, line int) error {
	if c.guess.Other != nil {
		name := g.Columns[c.columns[0]].Name
		texts, clock := g.texts(c.columns), "%H:%M:%S"
		if halfDay.MatchString(texts[0]) {
			clock = "%I:%M:%S %p"
		}
		if short := c.guess.Other.Name; short == "%y-%m-%d" {
			return fail(line, "in %q, %s may begin with the day or with the year; give --time-format '%s %[5]s' for the day, or '%[4]s %[5]s'", name, quoted(texts), "%d-%m-%y", short, clock)
		}
		return fail(line, "in %q, %s may begin with the day or with the month; give --time-format '%%d/%%m/%%Y %[3]s' for the day, or '%%m/%%d/%%Y %[3]s'", name, quoted(texts), clock)
	}
	g.Time, g.Format = c.columns, c.guess.Format
	for _, i := range c.columns {
		if zone, example := timetext.ZoneIn(g.Columns[i].Name); zone != "" {
			g.Zone, g.ZoneExample = zone, example
			break
		}
	}
	return nil
}

var halfDay = regexp.MustCompile(`(?i)\d *[ap]\.?m`)

func quoted(texts []string) string {
	if len(texts) == 0 {
		return "nothing"
	}
	return `"` + strings.ToValidUTF8(texts[0][:min(len(texts[0]), 50)], "") + `"`
}

// givenTime finds the columns that --time names.
func (g *Guess) givenTime(given Options, line int) error {
	all := given.times()
	names := all[len(all)-1]
	if g.index(given.Time) >= 0 {
		names = all[0]
	}
	for _, name := range names {
		i := g.index(name)
		if i < 0 {
			return fail(line, "no %s is named %q, which is to hold the time; there are %s%s", g.what(), name, g.names(), g.likely())
		}
		g.Time = append(g.Time, i)
	}
	c := candidate{columns: g.Time}
	texts := g.texts(g.Time)
	name := g.Columns[g.Time[0]].Name
	if c.guess = guessed(texts, name, given, true); c.guess.Matched == 0 && len(texts) > 0 {
		if len(g.Time) > 2 {
			if parts, ok := g.dateParts(); ok && slices.Equal(parts.columns, g.Time) {
				return g.useTime(parts, line)
			}
		}
		return g.unreadable(g.Time, given, line)
	}
	return g.useTime(c, line)
}

// index returns the place of a column, -1 if there is none of that name.
func (g *Guess) index(name string) int {
	return slices.IndexFunc(g.Columns, func(c Column) bool { return c.Name == name })
}

func (g *Guess) what() string {
	if g.JSON {
		return "key"
	}
	return "column"
}

// likely advises the columns whose names say that they may hold a time.
func (g *Guess) likely() string {
	var flags []string
	for i := range g.Columns {
		if timetext.Named(g.Columns[i].Name) > 0 && len(flags) < 3 {
			flags = append(flags, "--time "+shell.Word(g.Columns[i].Name))
		}
	}
	if flags == nil {
		return "; name the one that does with --time"
	}
	return "; give " + strings.Join(flags, " or ")
}

// noTime says what may help where no column holds a time that is known.
func (g *Guess) noTime(given Options, line int) error {
	if i := slices.IndexFunc(g.Columns, func(c Column) bool {
		return g.JSON && timetext.Named(c.Name) > 0 && strings.HasPrefix(c.Cells[0], "[")
	}); i >= 0 {
		name := g.Columns[i].Name
		at := strings.LastIndexByte(name, '.')
		return fail(line, "%q holds an array, but import reads an object for each time; make those first: jq -c '.%s as $all | $all.%s | keys[] as $i | $all | map_values(.[$i])' FILE | hotreader import … -",
			name, name[:max(at, 0)], name[at+1:])
	}
	digits := func(c Column) bool { return strings.ContainsAny(strings.Join(c.Cells, ""), "0123456789") }
	if n := g.rows(); !g.JSON && n > 0 && n <= mostUnits && !slices.ContainsFunc(g.Columns, digits) {
		return fail(line, "there are no rows: what is under the names has no digit, as a time has; lines of units are no rows")
	}
	for i := range g.Columns {
		if texts := g.texts([]int{i}); timetext.Named(g.Columns[i].Name) > 0 && len(texts) > 0 {
			return g.unreadable([]int{i}, given, line)
		}
	}
	return fail(line, "no %s holds a time that is known; there are %s; name the one that does with --time, and how it is written with --time-format", g.what(), g.names())
}

func (g *Guess) unreadable(columns []int, given Options, line int) error {
	name, texts := g.Columns[columns[0]].Name, g.texts(columns)
	if g.DataLine > 0 {
		line = g.DataLine
	}
	both := g.withFractions(columns)
	switch {
	case given.TimeFormat != nil && len(both) == len(columns):
		return fail(line, "%s in %q is not a time of the format %s; change --time-format, or --time if another column holds the time", quoted(texts), name, given.TimeFormat.Name)
	case 2*timetext.Serials(texts).Matched > len(texts) || len(both) > len(columns):
		var names []string
		for _, i := range both {
			names = append(names, g.Columns[i].Name)
		}
		return fail(line, "%s in %q may be a spreadsheet's count of days; give --time %s --time-format excel", quoted(texts), name, shell.Word(strings.Join(names, "+")))
	}
	return fail(line, "%s in %q is not a time that is known; give --time-format with one of %s or a strftime layout like '%%d.%%m.%%Y %%H:%%M', or --time if another %s holds the time",
		quoted(texts), name, strings.Join(timetext.Names, ", "), g.what())
}
