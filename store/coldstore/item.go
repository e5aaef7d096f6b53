package coldstore

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/timekey"
)

// Fields of an item beside the columns.
const (
	timeField = iota
	deviceField
	nameField // of a narrow item
	valueField
	ownFields
)

// An item takes what is decoded of one and passes it on as a row.
type item struct {
	scan    *scan
	window  *window
	times   timekey.Times
	numeric bool // a text of digits is a number

	found []hotreader.Value // of the columns, then the item's own fields
	lost  []bool            // of them, those that no Value can hold
	text  []bool            // by column: the query asks for digits as text
	row   []hotreader.Value

	device   []byte // what the device's field has to be
	from, to time.Time
}

func newItem(s *scan, w *window) *item {
	n := len(s.columns)
	it := &item{scan: s, window: w, times: s.store.times(), numeric: w.feed.part.mover || s.store.format == Mover,
		found: make([]hotreader.Value, n+ownFields), lost: make([]bool, n+ownFields), text: make([]bool, n), row: make([]hotreader.Value, n)}
	for i, t := range s.query.Types {
		it.text[i] = t == hotreader.AnyString || t == hotreader.ShortString
	}
	return it
}

// paths returns where the fields of an item may be, in the order of found, the likeliest
// first.
func (s *scan) paths() (all [][][]string) {
	l := &s.store.layout
	for _, c := range s.columns {
		if l.Narrow() {
			all = append(all, nil)
		} else {
			all = append(all, l.Paths(c))
		}
	}
	for _, key := range []string{l.TimeKey, l.DeviceKey, l.NameKey, l.ValueKey} {
		if key == "" {
			all = append(all, nil)
		} else {
			all = append(all, [][]string{layout.ParsePath(key), {key}})
		}
	}
	return all
}

// begin makes it ready for the next item.
func (it *item) begin() {
	clear(it.found)
	clear(it.lost)
}

// end passes the item on, if it is one of the device. at is its time; nil = the time is in
// the item's field.
func (it *item) end(at *time.Time) error {
	own := it.found[len(it.row):]
	device, part := own[deviceField], &it.window.feed.part
	t, ok := it.times.Read(own[timeField])
	if at != nil {
		t, ok = *at, true
	}
	switch {
	case device.IsNull() && part.sure:
	case device.IsNull():
		it.odd(fmt.Sprintf("it has no %s", it.scan.store.layout.DeviceKey))
		return nil
	case !it.is(device, t):
		return nil
	}
	if !ok {
		it.odd(it.time(own[timeField]))
		return nil
	}
	if !part.from.IsZero() && t.Before(part.from) || !part.to.IsZero() && t.After(part.to) {
		if it.scan.query.Contains(t) {
			it.odd(fmt.Sprintf("its %s is %s, not within %s to %s, where its key or the file places it; late= widens a date", it.scan.store.layout.TimeKey,
				t.Format(time.RFC3339), part.from.Format(time.RFC3339), part.to.Format(time.RFC3339)))
		}
		return nil
	}
	copy(it.row, it.found)
	if it.scan.store.layout.Narrow() {
		it.place(own)
	}
	for i := range it.row {
		if it.numeric && it.row[i].Kind() == hotreader.String && !it.text[i] && hotreader.IsNumber(it.row[i].Text()) {
			it.row[i] = hotreader.NumberValue(it.row[i].Text())
		}
		if it.lost[i] && it.window.until == nil && it.scan.query.Contains(t) {
			it.window.feed.lose(len(it.row), i, 1)
		}
	}
	return it.window.add(t, it.row)
}

// is reports whether the device's field is that of the query's device, at a time.
func (it *item) is(device hotreader.Value, t time.Time) bool {
	dates, zone := &it.scan.store.dates, time.UTC
	if it.device == nil || dates.Dated() && (t.Before(it.from) || !t.Before(it.to)) {
		if dates.Dated() {
			codec := timekey.NewestCodec(it.scan.store.layout)
			zone = codec.Zone()
			it.from, it.to = dates.Period(t.In(zone))
		}
		it.device = []byte(dates.Value(it.scan.query.Device, t.In(zone)))
	}
	return bytes.Equal(device.Text(), it.device)
}

// place puts a narrow item's value into the column of its property.
func (it *item) place(own []hotreader.Value) {
	clear(it.row)
	name := own[nameField].Text()
	if it.scan.store.layout.NameKey == "" {
		name = it.times.Property(own[timeField])
	}
	if i := slices.IndexFunc(it.scan.columns, func(c string) bool { return c == string(name) }); i >= 0 {
		it.row[i], it.lost[i] = own[valueField], it.lost[len(it.row)+valueField]
	}
}

// odd counts an item that cannot be read.
func (it *item) odd(what string) {
	f := it.window.feed
	if it.window.until != nil {
		return
	}
	if f.odd.n++; f.odd.n == 1 {
		f.odd.first = what + " (in " + f.part.object.Key + ")"
	}
}

// time says what is wrong with the time of an item.
func (it *item) time(v hotreader.Value) string {
	l := &it.scan.store.layout
	if v.IsNull() {
		return fmt.Sprintf("it has no %s", l.TimeKey)
	}
	return fmt.Sprintf("its %s is the %v %.60s, not %v", l.TimeKey, v.Kind(), v, l.TimeFormat)
}
