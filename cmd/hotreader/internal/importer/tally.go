package importer

import (
	"bytes"
	"math"
	"strings"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
)

// Column is what an import found in one column, or under one key.
type Column struct {
	Name     string `json:"name"` // of the property
	Numbers  int64  `json:"numbers"`
	Booleans int64  `json:"booleans"`
	Texts    int64  `json:"texts"`
	Commas   int64  `json:"comma_numbers"`                  // of the texts: those that look like a number with a comma
	Comma    string `json:"comma_number_example,omitempty"` // the first of them
}

// countedColumns is how many are counted: a file whose keys are data must not
// fill the memory.
const countedColumns = 1000

// tally counts rows into a Result.
type tally struct {
	result      *Result
	columns     map[string]*Column
	instants    instants
	first, last time.Time
}

func (k *tally) add(batch []hotreader.Record) {
	r := k.result
	for _, row := range batch {
		at := row.Time.UTC()
		k.instants.add(at.UnixNano()) // beyond the years 1678 and 2262 it wraps: still no two alike
		if r.First == nil {
			k.first, k.last = at, at
			r.First, r.Last = &k.first, &k.last
		}
		if at.Before(k.first) {
			k.first = at
		}
		if at.After(k.last) {
			k.last = at
		}
		for _, f := range row.Fields {
			k.field(f)
		}
	}
	r.Lines += int64(len(batch))
	r.Rows, r.Unsure = k.instants.different, k.instants.unsure
	r.Shared = r.Lines - r.Rows
}

func (k *tally) field(f hotreader.Field) {
	c := k.columns[f.Name]
	if c == nil {
		if len(k.columns) == countedColumns {
			return
		}
		c = &Column{Name: strings.Clone(f.Name)}
		k.columns[c.Name] = c
		k.result.Columns = append(k.result.Columns, c)
	}
	switch f.Value.Kind() {
	case hotreader.Number:
		c.Numbers++
	case hotreader.Bool:
		c.Booleans++
	case hotreader.String:
		c.Texts++
		if text := f.Value.Text(); commaNumber(text) {
			if c.Commas++; c.Comma == "" {
				c.Comma = string(text)
			}
		}
	}
}

// remembered is how many different instants are remembered, at the least.
const remembered = 1 << 18

// instants counts different ones. It remembers the newest of the file, in two
// generations; of a file in order of time, or short, that is enough to be exact.
type instants struct {
	keep              int // of each generation
	different, unsure int64
	recent, older     map[int64]struct{}
	low, high         int64 // of those that are forgotten
}

func newInstants(keep int) instants {
	return instants{keep: keep, recent: map[int64]struct{}{}, older: map[int64]struct{}{}, low: math.MaxInt64, high: math.MinInt64}
}

func (s *instants) add(at int64) {
	if _, there := s.recent[at]; there {
		return
	}
	if _, there := s.older[at]; there {
		return
	}
	if s.low <= at && at <= s.high {
		s.unsure++
	}
	s.different++
	if len(s.recent) == s.keep {
		for old := range s.older {
			s.low, s.high = min(s.low, old), max(s.high, old)
		}
		s.recent, s.older = s.older, s.recent
		clear(s.recent)
	}
	s.recent[at] = struct{}{}
}

// Kinds writes the counts of a column, as "3 texts, 20 numbers".
func (c *Column) Kinds() string {
	var parts []string
	for _, k := range []struct {
		n         int64
		one, many string
	}{{c.Numbers, "number", "numbers"}, {c.Booleans, "boolean", "booleans"}, {c.Texts, "text", "texts"}} {
		if k.n > 0 {
			parts = append(parts, terminal.Plural(k.n, k.one, k.many))
		}
	}
	return strings.Join(parts, ", ")
}

// commaNumber reports whether text is a number but for one comma, as 20,5 or
// 1.234,50 or 1,234.5.
func commaNumber(text []byte) bool {
	text = bytes.TrimLeft(bytes.TrimSpace(text), "+-")
	if len(text) > 40 || bytes.Count(text, []byte(",")) != 1 {
		return false
	}
	for i, b := range text {
		if (b < '0' || b > '9') && (i == 0 || i == len(text)-1 || b != ',' && b != '.') {
			return false
		}
	}
	return true
}
