package boltstore

import (
	"bytes"
	"slices"

	"hotreader"
)

// meeting is what becomes of rows of one instant, and what became of them.
type meeting struct {
	mode    hotreader.Mode
	changes hotreader.Changes
	over    map[uint64]int64 // values that others replaced, by their property
}

// once makes one row of those that share an instant; rows are ordered by time.
func (m *meeting) once(rows []entry) []entry {
	kept := rows[:0]
	for _, e := range rows {
		if last := len(kept) - 1; last >= 0 && kept[last].time.Equal(e.time) {
			kept[last] = m.meet(kept[last], e)
		} else {
			kept = append(kept, e)
		}
	}
	return kept
}

// join returns the rows of both lists, which are strictly ordered by time.
func (m *meeting) join(older, later []entry) []entry {
	if n := len(older); n == 0 || older[n-1].time.Before(later[0].time) {
		return append(older, later...)
	}
	all := make([]entry, 0, len(older)+len(later))
	for len(older) > 0 && len(later) > 0 {
		switch c := older[0].time.Compare(later[0].time); {
		case c < 0:
			all, older = append(all, older[0]), older[1:]
		case c > 0:
			all, later = append(all, later[0]), later[1:]
		default:
			m.changes.Added--
			all = append(all, m.meet(older[0], later[0]))
			older, later = older[1:], later[1:]
		}
	}
	return append(append(all, older...), later...)
}

// meet returns the row that wins of two of one instant, and counts it.
func (m *meeting) meet(older, later entry) entry {
	stands := later
	if m.mode == hotreader.Merge {
		var over []uint64
		if stands, over = union(older, later); over != nil {
			m.changes.Over++
		}
		for _, id := range over {
			m.over[id]++
		}
	}
	if slices.Equal(stands.ids, older.ids) && bytes.Equal(stands.body, older.body) {
		m.changes.Same++
	} else {
		m.changes.Changed++
	}
	return stands
}

// union returns a row with the properties of both; later's values stand, and over are
// the properties of which one stands in place of another.
func union(older, later entry) (e entry, over []uint64) {
	e.time = later.time
	theirs := values(later)
	for i, v := range values(older) {
		id := older.ids[i]
		if k := slices.Index(later.ids, id); k >= 0 {
			if !bytes.Equal(v, theirs[k]) {
				over = append(over, id)
			}
			v = theirs[k]
		}
		e.ids, e.body = append(e.ids, id), append(e.body, v...)
	}
	for k, v := range theirs {
		if !slices.Contains(older.ids, later.ids[k]) {
			e.ids, e.body = append(e.ids, later.ids[k]), append(e.body, v...)
		}
	}
	return e, over
}

// values returns the bytes of a row's values, as a block holds them.
func values(e entry) [][]byte {
	parts := make([][]byte, 0, len(e.ids))
	r := reader{data: e.body}
	for range e.ids {
		from := r.at
		if _, ok := r.value(); !ok {
			break // decode has checked it
		}
		parts = append(parts, e.body[from:r.at])
	}
	return parts
}
