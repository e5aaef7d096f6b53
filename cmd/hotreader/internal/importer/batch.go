package importer

import (
	"context"
	"slices"
	"time"

	"hotreader"
)

// Bounds of what is held before it is written.
const (
	batchRows  = 1000 // of each device, while they are few
	batchMany  = 20   // devices of which that many rows are held
	batchBytes = 1 << 20
)

// batch gathers rows by device, and writes them.
type batch struct {
	into    *target
	result  *tally
	skip    int64 // lines to leave out
	shows   bool  // the first rows are shown
	records map[string][]hotreader.Record
	devices []string // of records, in the order in which they came
	rows    int
	lines   int64 // of rows, and of those that are held back
	fields  []hotreader.Field
	text    []byte
	courses map[string]*course // of stores that do not merge
	late    int64              // lines that go against the file's order
}

func newBatch(into *target, result *tally, skip int64) *batch {
	return &batch{into: into, result: result, skip: skip, records: map[string][]hotreader.Record{}, courses: map[string]*course{}}
}

// keep copies text into the batch's memory.
func (b *batch) keep(text string) []byte {
	n := len(b.text)
	b.text = append(b.text, text...)
	return b.text[n:len(b.text):len(b.text)]
}

// add adds a row whose fields begin at from, unless it has none.
func (b *batch) add(device string, at time.Time, from int) {
	fields := b.fields[from:len(b.fields):len(b.fields)]
	if len(fields) == 0 {
		return
	}
	if b.skip > 0 {
		b.skip--
		b.fields = b.fields[:from]
		return
	}
	for _, f := range fields {
		b.result.field(f.Name, f.Value)
	}
	b.result.row(device, at)
	if b.shows && len(b.result.Rows) < shownRows {
		b.result.Rows = append(b.result.Rows, rowText(device, at, fields))
	}
	if len(b.records[device]) == 0 {
		b.devices = append(b.devices, device)
	}
	b.records[device] = append(b.records[device], hotreader.Record{Time: at, Fields: fields})
	b.rows++
	b.lines++
}

// full reports whether it is time to write.
func (b *batch) full() bool {
	return b.rows >= batchRows*min(max(len(b.devices), 1), batchMany) || len(b.text) >= batchBytes
}

// write writes what was gathered. Where the store does not merge, the last row of
// each device waits for the next lines, which may have its instant, unless these are
// the last.
func (b *batch) write(ctx context.Context, last bool) error {
	held, waiting := map[string]hotreader.Record{}, int64(0)
	for _, device := range b.devices {
		rows := b.records[device]
		if err := b.into.open(ctx); err != nil {
			return err
		}
		b.order(device, rows)
		if !last && !b.into.counts() {
			same := rows[len(rows)-1].Time.Equal
			all := len(rows)
			rest := slices.DeleteFunc(slices.Clone(rows), func(r hotreader.Record) bool { return same(r.Time) })
			rows = folded(slices.DeleteFunc(rows, func(r hotreader.Record) bool { return !same(r.Time) }))
			held[device] = owned(rows[0])
			waiting += int64(all - len(rest))
			rows = rest
		}
		if len(rows) == 0 {
			continue
		}
		n, err := b.into.write(ctx, device, rows)
		if err != nil {
			return err
		}
		b.count(n)
	}
	b.result.Lines += b.lines - waiting
	clear(b.records)
	b.devices, b.rows, b.lines, b.fields, b.text = b.devices[:0], 0, waiting, b.fields[:0], b.text[:0]
	for device, r := range held {
		b.records[device] = []hotreader.Record{r}
		b.devices = append(b.devices, device)
	}
	return nil
}

func (b *batch) count(n hotreader.Changes) {
	r := b.result
	switch {
	case !b.into.counts():
		r.Written += n.Added
		return
	case b.into.writing == Replacing:
		r.Replaced += n.Changed
	default:
		r.Merged += n.Changed
		r.Overwriting += n.Over
		for name, n := range n.Values {
			if c := r.columns[name]; c != nil {
				c.Replacing += n
			}
		}
	}
	r.Stored += n.Added
	r.Unchanged += n.Same
}

// course is how the times of a device go in a file.
type course struct {
	last time.Time
	way  int // 1 up, -1 down, 0 not known yet
}

// order counts lines whose times go against the file's order: an item that was written
// may have their instant.
func (b *batch) order(device string, rows []hotreader.Record) {
	if b.into.counts() || b.into.writing == Merging {
		return
	}
	c := b.courses[device]
	if c == nil {
		c = &course{last: rows[0].Time}
		b.courses[device] = c
	}
	for _, r := range rows {
		way := r.Time.Compare(c.last)
		switch {
		case c.way == 0:
			c.way = way
		case way == -c.way:
			b.late++
		}
		c.last = r.Time
	}
}

// owned returns a copy of a record that has its own memory.
func owned(r hotreader.Record) hotreader.Record {
	c := hotreader.Record{Time: r.Time}
	for _, f := range r.Fields {
		c.Fields = append(c.Fields, hotreader.Field{Name: f.Name, Value: f.Value.Clone()})
	}
	return c
}
