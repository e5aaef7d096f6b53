package azurecosmos

import (
	"slices"
	"strconv"

	"hotreader"
	"hotreader/store/internal/jsonpage"
	"hotreader/store/internal/paging"
)

// A decoder reads the JSON of one page of a query, item by item, into values
// that refer to the page's bytes. It never allocates for an item.
//
// It knows the names of an item's members, for the query gave them: p0, p1, … for the
// columns, and those of own.
type decoder struct {
	jsonpage.Page
	ask    *paging.Ask
	narrow bool               // an item has one property
	names  []string           // of members: the columns', then own
	own    [5]hotreader.Value // of the item decoded last
	broken bool               // one of them is a text that no Value can hold
	ranks  []byte
}

// own are the members beside the columns: the time, Cosmos DB's own time, the id, and a
// narrow item's name and value.
var own = [...]string{ownTime: "t", ownSeconds: "s", ownID: "i", ownName: "n", ownValue: "v"}

const (
	ownTime = iota
	ownSeconds
	ownID
	ownName
	ownValue
)

// prepare makes d ready for the items that a asks for.
func (d *decoder) prepare(a *paging.Ask, narrow bool) {
	d.Items, d.Count = "Documents", "_count"
	d.ask, d.narrow = a, narrow
	if len(d.names) != len(a.Columns)+len(own) {
		d.names = d.names[:0]
		for i := range a.Columns {
			d.names = append(d.names, "p"+strconv.Itoa(i))
		}
		d.names = append(d.names, own[:]...)
	}
}

// Open implements paging.Items.
func (d *decoder) Open(page []byte) error {
	d.ranks = d.ranks[:0]
	return d.Page.Open(page)
}

// Item implements paging.Items.
func (d *decoder) Item(values []hotreader.Value) (at hotreader.Value, more bool, err error) {
	if more, err = d.Next(); !more || err != nil {
		return at, false, err
	}
	clear(values)
	d.own[ownTime] = hotreader.Value{}
	if d.narrow || d.ask.Ranked {
		clear(d.own[:])
		d.broken = false
	}
	if err := d.object(values); err != nil {
		return at, false, err
	}
	if d.narrow {
		d.place(values)
	}
	return d.own[ownTime], true, nil
}

// Rank implements paging.Items: the item written later has the greater one.
func (d *decoder) Rank() []byte {
	if !d.ask.Ranked {
		return nil
	}
	const width = "0000000000"
	seconds, from := d.own[ownSeconds].Text(), len(d.ranks)
	d.ranks = append(d.ranks, width[min(len(seconds), len(width)):]...)
	d.ranks = append(append(append(d.ranks, seconds...), ' '), d.own[ownID].Text()...)
	return d.ranks[from:len(d.ranks):len(d.ranks)]
}

// place puts a narrow item's value into the column of its property.
func (d *decoder) place(values []hotreader.Value) {
	property := d.own[ownName].Text()
	if d.ask.Codec.Named() {
		property = d.ask.Codec.Property(d.own[ownTime].Text())
	}
	if i := slices.IndexFunc(d.ask.Columns, func(c string) bool { return c == string(property) }); i >= 0 {
		values[i] = d.own[ownValue]
		if d.broken {
			d.ask.Left[i]++
		}
	}
}

// object decodes one item.
func (d *decoder) object(values []hotreader.Value) error {
	if err := d.Token('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		name, more, err := d.Member(first)
		if !more {
			return err
		}
		found := slices.IndexFunc(d.names, func(n string) bool { return n == string(name) })
		v, usable, err := jsonpage.Value(&d.Scanner)
		switch {
		case err != nil:
			return err
		case found >= len(values):
			d.own[found-len(values)] = v
			d.broken = d.broken || !usable
		case found >= 0:
			values[found] = v
			if !usable {
				d.ask.Left[found]++
			}
		}
	}
}
