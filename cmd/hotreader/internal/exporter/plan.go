package exporter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/store/coldstore"
)

// What keys below the prefix begin and end with.
const (
	hidden      = "_" // of a name that no query engine takes for data
	devices     = deviceColumn + "="
	planEnd     = ".plan.json"
	manifestEnd = ".manifest.json"
	parquetEnd  = ".parquet"
)

// Columns that every file has, and the one that its folder's name has.
const (
	timeColumn   = "timestamp"
	deviceColumn = "device_id"
)

const formatName = "hotreader-export-1"

// maxManifest bounds the bytes of a manifest: some 50,000 objects.
const maxManifest = 16 << 20

// maxBytes bounds what an object is said to have, so that no sum overflows.
const maxBytes = 1 << 40

// maxThings bounds what a manifest lists: each takes some hundred bytes of memory, of as few as
// three bytes of JSON.
const maxThings = maxManifest / 32

// A manifest says what was exported of a device. Before that it is the plan, without what
// only the objects show.
type manifest struct {
	Format     string              `json:"format"`
	Source     string              `json:"source"`
	Device     string              `json:"device_id"`
	Start      time.Time           `json:"start"`
	End        time.Time           `json:"end"`
	Rows       int64               `json:"rows"`
	GroupRows  int64               `json:"rows_per_group"`
	Properties []string            `json:"properties"` // that were read
	Columns    []column            `json:"columns"`    // of the files
	Objects    []object            `json:"objects"`
	Warnings   []hotreader.Warning `json:"warnings,omitempty"`

	planned, finished bool // it lies in the target
	notes             []string
}

// An object is one that a manifest lists.
type object struct {
	Key    string    `json:"key"`   // below the prefix
	From   time.Time `json:"first"` // row
	To     time.Time `json:"last"`
	Rows   int64     `json:"rows"`
	Digest string    `json:"rows_sha256"`
	Bytes  int64     `json:"bytes,omitempty"`
	SHA256 string    `json:"sha256,omitempty"`
}

// key is that of the manifest.
func (m *manifest) key(end string) string {
	return folderOf(m.Device) + hidden + coldstore.RangeName(m.Start, m.End) + end
}

// folderOf is what the keys of a device's objects begin with.
func folderOf(device string) string { return devices + escaped(device) + "/" }

// escaped writes a device as the value of a partition in Hive's style.
func escaped(device string) string {
	var b strings.Builder
	for _, c := range []byte(device) {
		if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || strings.IndexByte("_.-", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// refuseOthers returns an error if the prefix holds what no export has written.
func (e *export) refuseOthers(ctx context.Context) error {
	for after := ""; ; {
		key, err := e.first(ctx, after)
		if err != nil || key == "" {
			return err
		}
		rest := strings.TrimPrefix(key, e.Prefix)
		_, _, ours := coldstore.ParseRange(strings.TrimPrefix(path.Base(rest), hidden))
		switch {
		case strings.HasPrefix(rest, devices) && ours:
			after = e.Prefix + strings.TrimSuffix(devices, "=") + ">"
		case unfinished(key):
			after = key
		default:
			return &hotreader.Error{Op: "export", Code: hotreader.CodeConfig,
				Err: fmt.Errorf("%s holds other data, as %s; export into a prefix of its own", e.To, key)}
		}
	}
}

// unfinished reports whether a key is that of a file which a killed program left.
func unfinished(key string) bool {
	return strings.HasPrefix(path.Base(key), ".") && strings.HasSuffix(key, ".part")
}

// first returns the first key after another one; "" = there is none.
func (e *export) first(ctx context.Context, after string) (string, error) {
	for page, err := range coldstore.List(ctx, e.Target, e.Prefix, after) {
		if err != nil {
			return "", err
		}
		for _, o := range page.Objects {
			if strings.HasPrefix(o.Key, e.Prefix) && o.Key > after {
				return o.Key, nil
			}
		}
	}
	return "", nil
}

// past is what earlier runs exported of a device.
type past struct {
	done    []*manifest // by time
	open    *manifest   // the plan of a run that did not come to its end
	objects map[string]bool
}

func (e *export) past(ctx context.Context, device string) (p past, err error) {
	listed := map[string]coldstore.Object{}
	for page, err := range coldstore.List(ctx, e.Target, e.Prefix+folderOf(device), "") {
		if err != nil {
			return p, err
		}
		for _, o := range page.Objects {
			if key := strings.TrimPrefix(o.Key, e.Prefix); strings.HasPrefix(key, folderOf(device)) && !unfinished(key) {
				listed[key] = o
			}
		}
		if len(listed) > maxThings {
			return p, fail(device, hotreader.CodeTooLarge, "more than %d objects are listed below %s; export into a prefix of its own", maxThings, e.Prefix+folderOf(device))
		}
	}
	known := map[string]bool{} // plans, manifests and what they list
	for key, o := range listed {
		name, isPlan := strings.CutSuffix(key, planEnd)
		if !isPlan && !strings.HasSuffix(key, manifestEnd) {
			continue
		}
		known[key] = true
		if _, done := listed[name+manifestEnd]; !isPlan || !done {
			m, err := e.read(ctx, &o, device)
			if err != nil {
				return p, err
			}
			if m.planned = true; isPlan {
				p.open = m
			} else {
				m.finished = true
				p.done = append(p.done, m)
			}
			for _, o := range m.Objects {
				known[o.Key] = true
			}
		}
	}
	slices.SortFunc(p.done, func(a, b *manifest) int { return a.Start.Compare(b.Start) })
	p.objects = map[string]bool{}
	for key := range listed {
		if p.objects[key] = true; !known[key] {
			return p, fail(device, hotreader.CodeConfig, "%s lies among the device's objects, and no manifest has it; export into a prefix of its own", e.Prefix+key)
		}
	}
	for _, m := range p.done {
		for _, o := range m.Objects {
			if l, ok := listed[o.Key]; !ok || l.Size != o.Bytes {
				return p, fail(device, hotreader.CodeCorrupt, "%s is not there as its manifest %s says%s", e.Prefix+o.Key, e.Prefix+m.key(manifestEnd), again)
			}
		}
	}
	return p, nil
}

// read reads a manifest of a device, or a plan.
func (e *export) read(ctx context.Context, o *coldstore.Object, device string) (*manifest, error) {
	body, err := e.Target.Read(ctx, o, 0, max(1, o.Size))
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxManifest+1))
	if err != nil {
		return nil, fail(device, hotreader.CodeUnavailable, "%s was not read to its end: %w", o.Key, err)
	}
	m, err := decode(text, device, path.Base(o.Key))
	if err != nil {
		return nil, &hotreader.Error{Op: "export", Code: hotreader.CodeCorrupt, Err: fmt.Errorf("%s is no manifest of the format %s: %w", o.Key, formatName, err)}
	}
	return m, nil
}

// decode decodes a manifest of a device, or a plan, of a name.
func decode(text []byte, device, name string) (*manifest, error) {
	if len(text) > maxManifest || bytes.Count(text, []byte(",")) > maxThings {
		return nil, errors.New("it is larger than any that an export writes")
	}
	m := new(manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, err
	}
	return m, m.check(device, name)
}

// check finds what no export writes into a manifest of that name: others may have written
// into the target, and what it says is read from the source, named and called deletable.
func (m *manifest) check(device, name string) error {
	switch {
	case m.Format != formatName:
		return errors.New("it says another format, or none")
	case m.Device != device || !strings.HasPrefix(name, hidden+coldstore.RangeName(m.Start, m.End)+"."):
		return errors.New("it says another device or range than its name")
	case m.Rows < 1 || m.GroupRows < 1: // so nothing below overflows
		return errors.New("it has no rows, or no row groups")
	}
	rows, last := m.Rows, m.Start.Add(-1)
	for _, o := range m.Objects {
		if rows -= o.Rows; o.Rows < 1 || rows < 0 || o.Bytes < 0 || o.Bytes > maxBytes || !o.From.After(last) || o.To.Before(o.From) || o.To.After(m.End) || o.Key != m.objectKey(&o) {
			return fmt.Errorf("the object %.200q does not fit", o.Key)
		}
		last = o.To
	}
	if rows != 0 {
		return errors.New("its objects have other rows than it says")
	}
	return m.checkColumns()
}

// checkColumns finds columns that plan does not make.
func (m *manifest) checkColumns() error {
	if len(m.Columns) == 0 || m.Columns[0].Name != timeColumn || m.Columns[0].Type != micros && m.Columns[0].Type != nanoseconds {
		return errors.New("its first column is not that of the time")
	}
	for i, c := range m.Columns[1:] {
		if c.Name == timeColumn || c.Name == deviceColumn || !slices.Contains(m.Properties, c.Name) || i > 0 && c.Name <= m.Columns[i].Name {
			return fmt.Errorf("the column %.200q does not fit", c.Name)
		}
	}
	return nil
}

// objectKey is that of one of the objects.
func (m *manifest) objectKey(o *object) string {
	return folderOf(m.Device) + coldstore.RangeName(o.From, o.To) + parquetEnd
}

func (e *export) putJSON(ctx context.Context, key string, m *manifest) (bool, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", " ")
	if err := enc.Encode(m); err != nil {
		return false, err
	}
	if b.Len() > maxManifest {
		return false, fail(m.Device, hotreader.CodeInvalid, "its manifest would list %d objects in %d bytes, which is too much; give more --object-rows, or an --end", len(m.Objects), b.Len())
	}
	return e.Target.Put(ctx, e.Prefix+key, b.Bytes())
}

// begin says what is to be exported, or what has been.
func (e *export) begin(p *past, d Device) (*manifest, error) {
	same := func(asked, has time.Time) bool { return asked.IsZero() || asked.Equal(has) }
	if m := p.open; m != nil {
		if !same(e.Start, m.Start) || !same(e.End, m.End) || e.From != m.Source {
			return nil, fail(d.ID, hotreader.CodeInvalid, "an export of it from %s is not complete: finish it first, from that store, with --start %s --end %s", m.Source, text(m.Start), text(m.End))
		}
		return m, nil
	}
	m := &manifest{Format: formatName, Source: e.From, Device: d.ID, Start: e.Start, End: e.End, GroupRows: e.GroupRows, Properties: d.Properties}
	if m.End.IsZero() {
		m.End = e.Now.UTC().Truncate(24 * time.Hour).Add(-24*time.Hour - 1)
	}
	if n := len(p.done); n > 0 && m.Start.IsZero() {
		last := p.done[n-1]
		if !last.End.Before(m.End) {
			return last, nil
		}
		m.Start = last.End.Add(1)
	}
	for _, old := range p.done {
		switch {
		case old.Start.Equal(m.Start) && old.End.Equal(m.End):
			return old, nil
		case !old.Start.After(m.End) && !m.Start.After(old.End):
			return nil, fail(d.ID, hotreader.CodeInvalid, "%s to %s has been exported already; without --start, export goes on after it", text(old.Start), text(old.End))
		}
	}
	return m, nil
}

// plan reads the source once, and finds the columns and the objects.
func (e *export) plan(ctx context.Context, m *manifest, p *past) error {
	stats := new(hotreader.Stats)
	shapes := make([]shape, len(m.Properties))
	nanos, size := false, 0
	sum := newDigest()
	var open *object
	end := func() {
		if open != nil {
			open.Key = m.objectKey(open)
			open.Rows, open.Digest = sum.rows, sum.String()
			m.Objects = append(m.Objects, *open)
			m.Rows += open.Rows
		}
		open, size, sum = nil, 0, newDigest()
	}
	err := e.rows(hotreader.WithStats(ctx, stats), reading{e.Source, m.query(), "planning", 0}, func(r *hotreader.Row) error {
		if sum.rows >= e.ObjectRows || size >= e.ObjectSize {
			end()
		}
		if open == nil {
			open = &object{From: r.Time.UTC()}
		}
		open.To = r.Time.UTC()
		nanos = nanos || r.Time.Nanosecond()%1000 != 0
		for i, v := range r.Values {
			shapes[i].add(v)
			size += len(v.Text()) + 1
		}
		sum.add(r)
		return nil
	})
	if err != nil {
		return err
	}
	m.warn(stats.Warnings())
	if end(); m.Rows == 0 {
		return nil
	}
	if m.Start.IsZero() {
		m.Start = m.Objects[0].From
	}
	m.columns(shapes, nanos, p)
	if first, last := m.Objects[0].From.Year(), m.Objects[len(m.Objects)-1].To.Year(); nanos && (first < 1678 || last > 2261) || first < 0 || last > 9999 {
		return fail(m.Device, hotreader.CodeInvalid, "there are rows of the years %d to %d, which no column of times can hold as exactly as they are", first, last)
	}
	return nil
}

// columns gives each property that has values a column.
func (m *manifest) columns(shapes []shape, nanos bool, p *past) {
	before := map[string]string{}
	for _, old := range p.done {
		for _, c := range old.Columns {
			before[c.Name] = c.Type
		}
	}
	all := []column{{timeColumn, micros}}
	if nanos {
		all[0].Type = nanoseconds
	}
	for i, name := range m.Properties {
		if t := shapes[i].column(before[name]); t != "" {
			all = append(all, column{name, t})
		}
	}
	for _, c := range all {
		if old := before[c.Name]; old != "" && old != c.Type {
			m.notes = append(m.notes, fmt.Sprintf("the column %s is %s; in the files before it is %s", c.Name, c.Type, old))
		}
	}
	m.Columns = all
}

// A shape is what the values of a property are.
type shape struct {
	bools, texts, numbers bool
	notDouble, notLong    bool // of the numbers, some
	buf                   []byte
}

func (s *shape) add(v hotreader.Value) {
	switch v.Kind() {
	case hotreader.Bool:
		s.bools = true
	case hotreader.String:
		s.texts = true
	case hotreader.Number:
		s.numbers = true
		if f, ok := v.Float64(); !s.notDouble {
			s.buf = strconv.AppendFloat(s.buf[:0], f, 'g', -1, 64)
			s.notDouble = !ok || hotreader.CompareNumbers(s.buf, v.Text()) != 0
		}
		if !s.notLong {
			_, err := strconv.ParseInt(string(v.Text()), 10, 64)
			s.notLong = err != nil
		}
	}
}

// column returns the type of column that holds all values as they are, if it can the one
// that earlier files have; "" = there are none.
func (s *shape) column(before string) string {
	kinds := 0
	for _, has := range []bool{s.bools, s.texts, s.numbers} {
		if has {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		return ""
	case kinds > 1 || before == mixed:
		return mixed
	case s.bools:
		return boolean
	case s.texts:
		return varchar
	case !s.notLong && (before == bigint || s.notDouble):
		return bigint
	case !s.notDouble:
		return double
	}
	return mixed
}

func text(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
