package importer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer/cell"
	"hotreader/cmd/hotreader/internal/importer/timetext"
)

// rows makes rows of a file's records.
type rows struct {
	*columns
	into   *batch
	result *tally
	clock  timetext.Clock
	order  order
	parts  []string // of the time of this record
	device string
	seen   string // of a device-like column, the only device so far
	pair   string // name and value of the property of this record
	value  raw
	fields []field
	record int            // of this one
	last   map[string]int // of properties of JSON, which record had it last
	buffer []byte

	empty, nameless int64 // lines without a value, and with one that has no name
}

// raw is a value as it lies in the file: the text of a cell, or a value of JSON.
type raw struct {
	cell string
	json hotreader.Value
}

func (v *raw) text() string {
	if v.cell != "" {
		return v.cell
	}
	return string(v.json.Text())
}

func (v *raw) empty() bool {
	return strings.TrimSpace(v.cell) == "" && (v.json.IsNull() || v.json.Kind() == hotreader.String && len(v.json.Text()) == 0)
}

// field is a value of a record that is not stored yet.
type field struct {
	*column
	raw
}

// begin forgets the record before.
func (r *rows) begin() {
	r.parts = slices.Grow(r.parts[:0], len(r.guess.Time))[:len(r.guess.Time)]
	clear(r.parts)
	r.device, r.pair, r.value, r.fields = r.o.Device, "", raw{}, r.fields[:0]
	if r.record++; r.last == nil || len(r.last) > remembered {
		r.last = map[string]int{}
	}
}

// timeText returns the text of the record's time.
func (r *rows) timeText() string {
	if len(r.parts) == 1 {
		return r.parts[0]
	}
	return strings.TrimSpace(strings.Join(r.parts, " "))
}

// take takes a value of a record.
func (r *rows) take(c *column, v raw) error {
	switch c.role {
	case leftOut:
	case timePart:
		r.parts[c.part] = strings.TrimSpace(v.text())
	case deviceName:
		r.device = strings.TrimSpace(v.text())
	case pairKey:
		r.pair = strings.TrimSpace(v.text())
	case pairValue:
		r.value = v
	default:
		if r.guess.JSON {
			if r.last[c.name] == r.record {
				return fmt.Errorf("%.60q comes twice", c.name)
			}
			r.last[c.name] = r.record
		}
		r.fields = append(r.fields, field{c, v})
	}
	return nil
}

// errTime is an error of the record's time.
type errTime struct{ error }

// end stores the record, if it has a value.
func (r *rows) end() error {
	if r.o.Key != "" && r.pair != "" && !r.value.empty() {
		c, err := r.columns.pair(r.pair)
		if err != nil {
			return err
		}
		if c.role == property {
			r.fields = append(r.fields, field{c, r.value})
		}
	}
	if !slices.ContainsFunc(r.fields, func(f field) bool { return !f.empty() }) {
		switch {
		case r.o.Key == "" || r.value.empty():
			r.empty++
		case r.pair == "":
			r.nameless++
		}
		return nil // a line without any value is not looked at
	}
	at, wall, err := r.time()
	if err != nil {
		return err
	}
	if r.device == "" {
		return fmt.Errorf("the device, in %q, is missing", r.o.DeviceColumn)
	}
	if len(r.device) > hotreader.MaxDeviceBytes {
		return fmt.Errorf("the device id has %d bytes; at most %d are allowed", len(r.device), hotreader.MaxDeviceBytes)
	}
	from := len(r.into.fields)
	for _, f := range r.fields {
		read := r.stored
		if !r.guess.JSON {
			read = r.cell
		}
		if v := read(f.column, f.raw); !v.IsNull() {
			r.into.fields = append(r.into.fields, hotreader.Field{Name: f.name, Value: v})
		}
	}
	if len(r.into.fields) > from {
		r.watch(at, from, wall)
	}
	r.into.add(r.device, at, from)
	return nil
}

// time returns the instant of the record; wall: its zone is not in the file.
func (r *rows) time() (at time.Time, wall bool, err error) {
	text := r.timeText()
	if text == "" {
		return at, false, errTime{errors.New("it has no time")}
	}
	if i := slices.Index(r.parts, ""); i >= 0 { // a date alone would be midnight
		return at, false, errTime{fmt.Errorf("its time has no %q", r.guess.Columns[r.guess.Time[i]].Name)}
	}
	reading, ok := r.guess.Format.Parse(text)
	if !ok {
		return at, false, errTime{fmt.Errorf("%.50q is not a time as the others are (%s)", text, r.guess.Format.Hint())}
	}
	series := ""
	if r.clock.Zone != nil && !reading.Instant {
		series = r.device + "\x00" + r.pair
	}
	at, err = r.clock.Instant(series, reading)
	if err == nil && (at.UTC().Year() < 0 || at.UTC().Year() > 9999) { // its zone moved it there
		err = fmt.Errorf("%.50q is not in the years 0 to 9999 of UTC", text)
	}
	if err != nil {
		return at, false, errTime{err}
	}
	return at.UTC(), !reading.Instant, nil
}

// several fails where a column that seems to name devices has a second one, though all
// rows are to be of one.
func (r *rows) several(i int, device string) error {
	if r.o.DeviceColumn != "" || i != r.guess.Device {
		return nil
	}
	if device = strings.TrimSpace(device); r.seen == "" {
		r.seen = device
	}
	if device == "" || device == r.seen {
		return nil
	}
	name := r.guess.Columns[i].Name
	return severalDevices(name, r.seen, device)
}

// cell reads the value of a cell.
func (r *rows) cell(c *column, v raw) hotreader.Value {
	text := v.text()
	bare := strings.TrimSpace(text)
	style := &r.guess.Style
	switch {
	case bare == "":
		return hotreader.Value{}
	case c.typ == hotreader.AnyString || c.typ == hotreader.ShortString:
		if slices.Contains(style.Missing, bare) {
			return r.leave(c, "missing", bare)
		}
		return r.typed(c, hotreader.StringValue(r.into.keep(cell.Unguard(text))))
	}
	from := len(r.into.text)
	if text, ok := style.Number(r.into.text, bare); ok && (len(style.Missing) == 0 || !style.IsMissing(bare, true)) {
		r.into.text = text
		return r.typed(c, hotreader.NumberValue(text[from:len(text):len(text)]))
	}
	switch {
	case style.IsMissing(bare, c.texts && c.typ == hotreader.Untyped):
		return r.leave(c, "missing", bare)
	}
	if truth, ok := cell.Boolean(bare); ok {
		return r.typed(c, hotreader.BoolValue(truth))
	}
	return r.typed(c, hotreader.StringValue(r.into.keep(cell.Unguard(text))))
}

// stored reads a value of JSON, which has its kind already.
func (r *rows) stored(c *column, in raw) hotreader.Value {
	v, text := in.json, in.text()
	if len(r.guess.Style.Missing) > 0 && v.Kind() != hotreader.Bool {
		style := cell.Style{Missing: r.guess.Style.Missing}
		if bare := strings.TrimSpace(text); slices.Contains(style.Missing, bare) || v.Kind() == hotreader.Number && style.IsMissing(bare, true) {
			return r.leave(c, "missing", bare)
		}
	}
	switch v.Kind() {
	case hotreader.Number:
		v = hotreader.NumberValue(r.into.keep(text))
	case hotreader.String:
		if c.typ.Numeric() || c.typ == hotreader.Boolean { // as a cell would be
			return r.cell(c, in)
		}
		v = hotreader.StringValue(r.into.keep(text))
	}
	return r.typed(c, v)
}

func (r *rows) leave(c *column, reason, example string) hotreader.Value {
	r.result.leaveOut(c.name, reason, example)
	return hotreader.Value{}
}

// typed makes a value one of the column's declared type, or leaves it out.
func (r *rows) typed(c *column, v hotreader.Value) hotreader.Value {
	if c.typ == hotreader.Untyped || v.IsNull() {
		return v
	}
	if c.typ == hotreader.Boolean {
		v = truth(v)
	}
	got, buffer, ok := c.typ.Convert(v, r.buffer[:0])
	if r.buffer = buffer; !ok {
		return r.leave(c, "not "+c.typ.String(), strings.Trim(v.String(), `"`))
	}
	if len(buffer) > 0 { // its digits have changed
		got = hotreader.NumberValue(r.into.keep(string(buffer)))
	}
	return got
}

// truth returns the boolean that v says, or v.
func truth(v hotreader.Value) hotreader.Value {
	switch strings.ToLower(string(v.Text())) {
	case "1", "yes", "on":
		return hotreader.BoolValue(true)
	case "0", "no", "off":
		return hotreader.BoolValue(false)
	}
	return v
}
