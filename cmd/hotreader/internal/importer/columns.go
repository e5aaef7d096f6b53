package importer

import (
	"fmt"
	"slices"
	"strings"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer/sniff"
	"hotreader/internal/shell"
)

// A role is what becomes of a column.
type role uint8

const (
	property role = iota
	leftOut
	timePart
	deviceName
	pairKey
	pairValue
)

// column is a column of a table, or a key of JSON.
type column struct {
	role  role
	name  string // of the property
	typ   hotreader.Type
	texts bool // words for missing values are texts in it
	part  int  // of the time
}

// columns says what becomes of each column of a file.
type columns struct {
	o     *Options
	guess *sniff.Guess
	list  []column           // of a table
	named map[string]*column // of JSON, by key; of pairs, by name
}

// remembered bounds how many keys of JSON are remembered.
const remembered = 10_000

func newColumns(o *Options, g *sniff.Guess) (*columns, error) {
	c := &columns{o: o, guess: g, named: map[string]*column{}}
	properties := map[string]bool{}
	for i := range g.Columns {
		col, err := c.of(g.Columns[i].Name)
		if err != nil {
			return c, err
		}
		if at := slices.Index(g.Time, i); at >= 0 {
			col.role, col.part = timePart, at
		}
		col.texts = g.Columns[i].Texts
		if !g.JSON && col.role == property && (g.Columns[i].Empty || c.nameless(i)) {
			col.role = leftOut
		}
		if g.JSON {
			c.named[g.Columns[i].Name] = &col
		}
		if col.role == property {
			if properties[col.name] {
				return c, fmt.Errorf("two columns are to be the property %q; change one with --rename", col.name)
			}
			properties[col.name] = true
		}
		c.list = append(c.list, col)
	}
	return c, nil
}

// of says what becomes of the column of a name.
func (c *columns) of(name string) (column, error) {
	col := c.property(name)
	if at := slices.Index([]string{c.o.DeviceColumn, c.o.Key, c.o.Value}, name); at >= 0 && name != "" {
		col.role = []role{deviceName, pairKey, pairValue}[at]
		return col, nil
	}
	if c.o.Key != "" {
		col.role = leftOut
	}
	if wrong := checkName(col.name); wrong != "" && col.role != leftOut {
		return col, fmt.Errorf("a column %s: %.60q; give it another with --rename", wrong, name)
	}
	return col, nil
}

// property is the column of a name that is a property's, or left out.
func (c *columns) property(name string) column {
	col := column{name: name, typ: c.o.Types[name]}
	if to, renamed := c.o.Rename[name]; renamed {
		col.name = to
	}
	if t, ok := c.o.Types[col.name]; ok {
		col.typ = t
	}
	if col.name == "" && name != "" || c.o.Only != nil && !slices.Contains(c.o.Only, name) && !slices.Contains(c.o.Only, col.name) {
		col.role = leftOut
	}
	return col
}

// nameless reports whether a column of a table has no name in the file, and none was
// given to it.
func (c *columns) nameless(i int) bool {
	name := fmt.Sprintf("column%d", i+1)
	if c.guess.HeaderLine == 0 || c.guess.Columns[i].Name != name || !c.guess.Columns[i].Unnamed {
		return false
	}
	_, renamed := c.o.Rename[name]
	return !renamed && !slices.Contains(c.o.Only, name)
}

// key returns what becomes of a key of JSON.
func (c *columns) key(name []byte) (*column, error) {
	if col := c.named[string(name)]; col != nil {
		return col, nil
	}
	col, err := c.of(string(name))
	if err != nil {
		return nil, err
	}
	return c.remember(string(name), col), nil
}

// pair returns the column of a property that a cell names.
func (c *columns) pair(name string) (*column, error) {
	if col := c.named[name]; col != nil {
		return col, nil
	}
	col := c.property(name)
	if wrong := checkName(col.name); wrong != "" && col.role != leftOut {
		return nil, fmt.Errorf("the property %.60q %s", col.name, wrong)
	}
	return c.remember(strings.Clone(name), col), nil
}

func (c *columns) remember(name string, col column) *column {
	if len(c.named) < remembered {
		c.named[name] = &col
	}
	return &col
}

// left says which columns pairs do not store, and which have no name. under are the
// cells of a line under the names, where there is one.
func (c *columns) left(under []string) (notes []string) {
	var beside []string
	group := "" // the last name, which may stand above several columns
	for i, col := range c.list {
		name := c.guess.Columns[i].Name
		if !c.guess.Columns[i].Unnamed {
			group = name
		}
		if col.role == property && c.o.DeviceColumn == "" && c.o.Key == "" && !c.o.mentions(name) {
			if texts := c.guess.Alternates(i); texts != nil {
				notes = append(notes, fmt.Sprintf("%q changes from line to line between %d texts (%.80s); if those are devices, import into a new store with %s", name, len(texts), quotedList(texts), c.o.devicesIn(name)))
			}
		}
		switch {
		case col.role == leftOut && c.guess.Columns[i].Unnamed && !c.guess.Columns[i].Empty && c.guess.HeaderLine > 0 && c.o.Only == nil:
			to := "NAME"
			if i < len(under) && under[i] != "" {
				to = shell.Word(strings.TrimSpace(group + " " + under[i]))
			}
			notes = append(notes, fmt.Sprintf("warning: column %d has no name and is left out; to store it, give --rename %s=%s", i+1, name, to))
		case col.role == leftOut && c.o.Key != "" && !c.guess.Columns[i].Empty:
			beside = append(beside, fmt.Sprintf("%q", name))
		case col.role == property && c.guess.Columns[i].Again != "" && col.name == name:
			notes = append(notes, fmt.Sprintf("another column is named %q, too: it is stored as %q; --rename %s=NAME calls it otherwise", c.guess.Columns[i].Again, name, shell.Word(name)))
		}
	}
	if beside != nil {
		notes = append(notes, "left out beside --pivot: "+strings.Join(beside, ", "))
	}
	return notes
}
