package importer

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer/cell"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/internal/shell"
)

// Column is what an import found in one column, or under one key.
type Column struct {
	Name      string `json:"name"` // of the property
	Numbers   int64  `json:"numbers"`
	Booleans  int64  `json:"booleans"`
	Texts     int64  `json:"texts"`
	Replacing int64  `json:"replacing,omitempty"`             // of all: those that replaced another value, of the store or of a line above
	Marked    int64  `json:"marked_numbers"`                  // of the texts: those that look like a number with marks or a unit that no option names
	Mark      string `json:"marked_number_example,omitempty"` // the first of them
	Advice    string `json:"-"`                               // the flags that make a number of it

	words []string // the first of the other texts
}

// counted is how many columns, devices and reasons are counted: a file whose keys are
// data must not fill the memory.
const counted = 1000

// tally counts into a Result.
type tally struct {
	*Result
	columns map[string]*Column
	devices map[string]*Device
	left    map[LeftOut]*LeftOut
	json    bool // the file's values have their kinds
}

func newTally() *tally {
	return &tally{
		Result:  &Result{Files: []*File{}, Devices: []*Device{}, LeftOut: []*LeftOut{}, Columns: []*Column{}},
		columns: map[string]*Column{}, devices: map[string]*Device{}, left: map[LeftOut]*LeftOut{},
	}
}

// row counts a row with values.
func (k *tally) row(device string, at time.Time) {
	d := k.devices[device]
	if d == nil {
		if len(k.devices) == counted {
			return
		}
		d = &Device{ID: strings.Clone(device), First: at, Last: at}
		k.devices[d.ID] = d
		k.Devices = append(k.Devices, d)
	}
	d.Lines++
	if at.Before(d.First) {
		d.First = at
	}
	if at.After(d.Last) {
		d.Last = at
	}
}

// field counts a value.
func (k *tally) field(name string, v hotreader.Value) {
	c := k.columns[name]
	if c == nil {
		if len(k.columns) == counted {
			return
		}
		c = &Column{Name: strings.Clone(name)}
		k.columns[c.Name] = c
		k.Columns = append(k.Columns, c)
	}
	switch v.Kind() {
	case hotreader.Number:
		c.Numbers++
	case hotreader.Bool:
		c.Booleans++
	case hotreader.String:
		c.Texts++
		if flags := advice(v.Text()); flags != "" {
			if c.Marked++; c.Mark == "" {
				c.Mark = string(v.Text())
			}
			c.advise(flags, k.json)
		} else if word := string(v.Text()); len(c.words) < 3 && len(word) < 40 && !strings.Contains(word, ",") && !slices.Contains(c.words, word) {
			c.words = append(c.words, word)
		}
	}
}

// Missing returns the flag that leaves out the texts of a column of numbers, "" if it
// is none, or has none.
func (c *Column) Missing() string {
	if c.Numbers <= c.Texts || c.Marked > 0 || len(c.words) == 0 {
		return ""
	}
	return "--null " + shell.Word(strings.Join(c.words, ","))
}

// leaveOut counts a value that is not stored.
func (k *tally) leaveOut(column, reason, example string) {
	key := LeftOut{Column: column, Reason: reason}
	l := k.left[key]
	if l == nil {
		if len(k.left) == counted {
			return
		}
		l = &LeftOut{Column: column, Reason: reason, Example: strings.Clone(example[:min(len(example), 40)])}
		k.left[key] = l
		k.LeftOut = append(k.LeftOut, l)
	}
	l.Count++
}

// Kinds writes the counts of a column, as "20 numbers, 3 texts, 2 in place of others".
func (c *Column) Kinds() string {
	var parts []string
	for _, k := range []struct {
		n         int64
		one, many string
	}{{c.Numbers, "number", "numbers"}, {c.Booleans, "boolean", "booleans"}, {c.Texts, "text", "texts"}, {c.Replacing, "in place of another", "in place of others"}} {
		if k.n > 0 {
			parts = append(parts, terminal.Plural(k.n, k.one, k.many))
		}
	}
	return strings.Join(parts, ", ")
}

// thousands is the advice that a text without thousands refutes, and point the one for that.
const thousands, point = "--thousands .", "--decimal ."

// advise takes note of the flags that make a number of another text.
func (c *Column) advise(flags string, json bool) {
	if json { // whose texts stay texts, but for their type
		typed := "--type " + shell.Word(c.Name+"=double")
		if flags == thousands || flags == point {
			flags = typed
		} else {
			flags += ", and " + typed
		}
	}
	if c.Advice == "" || c.Advice == thousands && flags == point {
		c.Advice = flags
	}
}

// advice returns the flags that make a number of text, "" if it is hardly one.
func advice(text []byte) string {
	if marked(text) {
		if _, ok := (&cell.Style{Decimal: ',', Thousands: '.'}).Number(nil, string(text)); ok && hotreader.IsNumber(text) {
			return thousands // it came as a text because the decimal mark is another
		}
		if hotreader.IsNumber(text) {
			return point
		}
		return "--decimal or --thousands, or both, with the mark"
	}
	before := bytes.TrimRightFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	unit := strings.TrimSpace(string(text[len(before):]))
	if _, ok := (&cell.Style{}).Number(nil, string(before)); (ok || marked(before)) && unit != "" && len(unit) < 12 && !strings.ContainsAny(unit, " ,.:;/-") {
		return "--unit " + shell.Word(unit)
	}
	return ""
}

// marked reports whether text is a number but for marks between its digits, as 20,5 or
// 1.234,50 or 1 234.
func marked(text []byte) bool {
	text = bytes.TrimLeft(bytes.TrimSpace(text), "+-")
	if len(text) == 0 || len(text) > 40 || text[0]-'0' > 9 || text[len(text)-1]-'0' > 9 {
		return false
	}
	marks, telling, before := 0, false, true
	for _, c := range string(text) {
		digit := c >= '0' && c <= '9'
		if !digit {
			if !before || !strings.ContainsRune(",. '\u00a0\u202f\u2019", c) {
				return false
			}
			marks++
			telling = telling || c != '.' && c != ' '
		}
		before = digit
	}
	return marks == 1 || marks > 1 && telling
}
