package awsdynamodb

import (
	"bytes"
	"slices"

	"hotreader"
	"hotreader/layout"
)

// A deep decodes items whose values lie within others, or that hold one property each.
type deep struct {
	root    []node
	found   []hotreader.Value // by target
	broken  []bool
	columns []string
	narrow  bool
	rank    []byte
	ranked  bool
	named   func(key []byte) []byte // the property that a time's text names; nil = none
}

// A node is an attribute, or a member of one, that is asked for or leads to some.
type node struct {
	name    string
	targets []target
	members []node
}

// A target is where a value goes.
type target struct {
	at     int
	second bool // unless there is one by the column's name as it is
}

// The targets after the columns.
const (
	timeTarget = iota
	nameTarget
	valueTarget
	hashTarget // the table's own key, where an index is read
	rangeTarget
	extraTargets
)

// newDeep returns the decoder of items with the given columns. keys are the table's own
// keys, if they say which item of an instant was written last.
func newDeep(l *layout.Layout, columns []string, named func([]byte) []byte, keys []string) *deep {
	n := len(columns)
	d := &deep{columns: columns, narrow: l.Narrow(), ranked: len(keys) > 0,
		found: make([]hotreader.Value, n+extraTargets), broken: make([]bool, n+extraTargets)}
	d.add([]string{l.TimeKey}, target{at: n + timeTarget})
	if d.narrow {
		d.named = named
		d.add(layout.ParsePath(l.ValueKey), target{at: n + valueTarget})
		if l.NameKey != "" {
			d.named = nil
			d.add(layout.ParsePath(l.NameKey), target{at: n + nameTarget})
		}
	}
	for i, key := range keys {
		d.add([]string{key}, target{at: n + hashTarget + i})
	}
	for i, column := range columns {
		if d.narrow {
			break
		}
		for k, path := range l.Paths(column) {
			d.add(path, target{at: i, second: k > 0})
		}
	}
	return d
}

func (d *deep) add(path []string, to target) {
	level := &d.root
	for i, name := range path {
		at := slices.IndexFunc(*level, func(n node) bool { return n.name == name })
		if at < 0 {
			at = len(*level)
			*level = append(*level, node{name: name})
		}
		n := &(*level)[at]
		if i == len(path)-1 {
			n.targets = append(n.targets, to)
		}
		level = &n.members
	}
}

// paths returns what to ask for, none within another, for DynamoDB rejects such paths.
func (d *deep) paths() (paths [][]string) {
	var walk func(nodes []node, above []string)
	walk = func(nodes []node, above []string) {
		for _, n := range nodes {
			path := append(slices.Clip(above), n.name)
			if len(n.targets) > 0 {
				paths = append(paths, path)
			} else {
				walk(n.members, path)
			}
		}
	}
	walk(d.root, nil)
	return paths
}

// item decodes one item.
func (d *deep) item(p *decoder, values []hotreader.Value) (at hotreader.Value, err error) {
	clear(d.found)
	clear(d.broken)
	if err := d.object(p, d.root); err != nil {
		return at, err
	}
	n := len(d.columns)
	if at = d.found[n+timeTarget]; d.ranked {
		d.rank = append(append(bytes.Clone(d.found[n+hashTarget].Text()), 0), d.found[n+rangeTarget].Text()...)
	}
	if d.narrow {
		name := d.found[n+nameTarget].Text()
		if d.named != nil {
			name = d.named(at.Text())
		}
		if i := slices.IndexFunc(d.columns, func(c string) bool { return c == string(name) }); i >= 0 {
			if values[i] = d.found[n+valueTarget]; d.broken[n+valueTarget] {
				p.left[i]++
			}
		}
		return at, nil
	}
	copy(values, d.found[:n])
	return at, nil
}

// object decodes the members of an object, or the attributes of an item.
func (d *deep) object(p *decoder, nodes []node) error {
	if err := p.Token('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		name, more, err := p.Member(first)
		if !more {
			return err
		}
		at := slices.IndexFunc(nodes, func(n node) bool { return n.name == string(name) })
		if at < 0 {
			err = p.Skip()
		} else {
			err = d.value(p, &nodes[at])
		}
		if err != nil {
			return err
		}
	}
}

// value decodes the value at n, and what is asked for within it.
func (d *deep) value(p *decoder, n *node) error {
	p.Space()
	from := p.Pos
	v, usable, err := p.value()
	if err != nil {
		return err
	}
	for _, t := range n.targets {
		if t.second && !d.found[t.at].IsNull() {
			continue
		}
		d.found[t.at], d.broken[t.at] = v, !usable
		if !usable && t.at < len(d.columns) {
			p.left[t.at]++
		}
	}
	end := p.Pos
	if p.Pos = from; len(n.members) == 0 || !p.Is('{') {
		p.Pos = end
		return nil
	}
	if kind, err := p.Name(); err == nil && string(kind) == "M" {
		if err := d.object(p, n.members); err != nil {
			return err
		}
	}
	p.Pos = end
	return nil
}

// unranked reports that the order of items of one instant is not known yet.
func (d *deep) unranked() bool { return d == nil || !d.ranked }
