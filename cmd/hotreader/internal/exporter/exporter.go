// Package exporter copies the history of devices into object storage, as Parquet in the
// order of time, reads the copy back, compares it with the source and says what the source
// could now do without. It deletes nothing.
//
// A device is exported in three steps: a plan of its objects is made from a first read of
// the source and written; the objects are written from a second read; they are read back, and
// a manifest is written. A run that was killed goes on at the first object that is missing.
// An object's bytes depend on its rows and the plan alone.
package exporter

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"hotreader"
	"hotreader/internal/nearest"
	"hotreader/store/coldstore"
)

// Options say what is exported.
type Options struct {
	Source     hotreader.Source
	Target     coldstore.Target
	Prefix     string // of all keys; a slash ends it, unless it is empty
	From       string // the source's URL
	To         string // the target's URL
	Devices    []Device
	Start, End time.Time // inclusive; zero: after what was exported before; until a day ago at midnight
	Now        time.Time
	ObjectRows int64 // at most in an object
	ObjectSize int   // bytes of its values at most, before they are packed; 0 = 256 MB
	GroupRows  int64 // at most in a row group

	Progress func(device, doing string, rows, of int64) // of = 0: not known
}

// Device is one that is exported.
type Device struct {
	ID         string
	Properties []string
	Others     []string // properties that the source lists, too
	Listed     bool     // the source lists properties
}

// Result is what became of a device, and a line of the command's --json.
type Result struct {
	Device   string              `json:"device"`
	Start    time.Time           `json:"start,omitzero"` // of the range that was exported
	End      time.Time           `json:"end,omitzero"`
	First    time.Time           `json:"first,omitzero"` // row
	Last     time.Time           `json:"last,omitzero"`
	Rows     int64               `json:"rows"`
	Objects  int                 `json:"objects"`
	Bytes    int64               `json:"bytes"`
	Manifest string              `json:"manifest,omitempty"` // its key
	Already  bool                `json:"already"`            // an earlier run has written and checked it
	Delete   bool                `json:"deletable"`          // every row of the range, with all its values, has a copy
	Listed   bool                `json:"-"`                  // the source lists properties, so that none was missed
	Notes    []string            `json:"notes,omitempty"`
	Warnings []hotreader.Warning `json:"warnings,omitempty"`
}

// groupBytes bounds the bytes of the values in a row group, before they are packed.
const groupBytes = 32 << 20

// Run exports all devices, and passes what became of each on.
func Run(ctx context.Context, o Options, done func(Result) error) error {
	e := &export{Options: o}
	e.ObjectSize = cmp.Or(e.ObjectSize, 256<<20)
	if err := e.refuseOthers(ctx); err != nil {
		return err
	}
	for _, d := range o.Devices {
		r, err := e.device(ctx, d)
		if err == nil {
			err = done(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type export struct{ Options }

// fail returns an error of the export of a device.
func fail(device string, code hotreader.Code, format string, args ...any) error {
	return &hotreader.Error{Op: "export " + device, Code: code, Err: fmt.Errorf(format, args...)}
}

func (e *export) device(ctx context.Context, d Device) (Result, error) {
	d.Properties = slices.Sorted(slices.Values(d.Properties))
	for _, p := range d.Properties {
		if p == timeColumn || p == deviceColumn {
			return Result{}, fail(d.ID, hotreader.CodeInvalid, "the property %s has the name of a column that each file has", p)
		}
	}
	past, err := e.past(ctx, d.ID)
	if err != nil {
		return Result{}, err
	}
	m, err := e.begin(&past, d)
	if err != nil {
		return Result{}, err
	}
	if m.finished {
		if err := e.verify(ctx, m); err != nil {
			return Result{}, err
		}
		r := e.result(m, d)
		err := e.still(ctx, m, &r)
		return r, err
	}
	if !m.planned {
		if err := e.plan(ctx, m, &past); err != nil || m.Rows == 0 {
			return e.result(m, d), err
		}
		if ok, err := e.putJSON(ctx, m.key(planEnd), m); err != nil {
			return Result{}, err
		} else if !ok {
			return Result{}, fail(d.ID, hotreader.CodeUnavailable, "another export of this device has begun; run it again when that has ended")
		}
	}
	if err := e.write(ctx, m, past.objects); err != nil {
		return Result{}, err
	}
	if err := e.verify(ctx, m); err != nil {
		return Result{}, err
	}
	if _, err := e.putJSON(ctx, m.key(manifestEnd), m); err != nil {
		return Result{}, err
	}
	return e.result(m, d), nil
}

// still finds out whether the source has what an earlier run has copied, and no more: records
// that have come since have no copy, whether or not they can be read.
func (e *export) still(ctx context.Context, m *manifest, r *Result) error {
	if !r.Delete {
		return nil
	}
	c := comparison{m: m, digest: newDigest(), differs: func(*object, *digest) error { return errChanged }}
	stats := new(hotreader.Stats)
	err := e.rows(hotreader.WithStats(ctx, stats), reading{e.Source, m.query(), "comparing", m.Rows}, c.add)
	if err == nil {
		err = c.end()
	}
	if errors.Is(err, errChanged) {
		r.Delete = false
		r.Notes = append(r.Notes, fmt.Sprintf("%s has changed in this range since: records that came later have no copy; export the range into another place", m.Source))
		err = nil
	}
	if later := slices.DeleteFunc(stats.Warnings(), func(w hotreader.Warning) bool { return !lost(w) }); len(later) > 0 {
		r.Delete = false
		r.Warnings = append(r.Warnings, later...)
		r.Notes = append(r.Notes, fmt.Sprintf("%s has changed in this range since: what came later and cannot be read has no copy", m.Source))
	}
	return err
}

func (e *export) result(m *manifest, d Device) Result {
	r := Result{Device: m.Device, Start: m.Start, End: m.End, Rows: m.Rows, Objects: len(m.Objects), Already: m.finished, Listed: d.Listed, Notes: m.notes, Warnings: m.Warnings}
	if m.Rows == 0 {
		return r
	}
	r.First, r.Last, r.Manifest = m.Objects[0].From, m.Objects[r.Objects-1].To, e.Prefix+m.key(manifestEnd)
	for _, o := range m.Objects {
		r.Bytes += o.Bytes
	}
	r.Delete = !slices.ContainsFunc(m.Warnings, lost)
	if m.Source != e.From {
		r.Delete = false
		r.Notes = append(r.Notes, fmt.Sprintf("this export was made from %s; what %s has besides is left out", m.Source, e.From))
	}
	for _, p := range d.Properties {
		if !slices.Contains(m.Properties, p) {
			r.Delete = false
			r.Notes = append(r.Notes, fmt.Sprintf("the property %s is not in this export, which was planned without it", p))
		}
	}
	left := slices.DeleteFunc(slices.Clone(d.Others), func(p string) bool { return slices.Contains(m.Properties, p) || slices.Contains(d.Properties, p) })
	if len(left) > 0 {
		r.Delete = false
		r.Notes = append(r.Notes, fmt.Sprintf("%s has more properties of these rows, which have no copy: %s; export all of them into another place before you delete rows", m.Source, nearest.Listed(left...)))
	}
	if !d.Listed && r.Delete {
		r.Notes = append(r.Notes, fmt.Sprintf("only these properties have a copy, for the store does not list those that it has: %s", nearest.Listed(m.Properties...)))
	}
	return r
}

// lost reports whether a warning is about values that have no copy.
func lost(w hotreader.Warning) bool { return w.LeavesOut() || w.Reason == hotreader.MixedTimes }

// warn keeps the warnings that are the same whenever the range is read, and notes the
// others. What both reads warn of is said once, with the larger count.
func (m *manifest) warn(all []hotreader.Warning) {
	for _, w := range all {
		i := slices.IndexFunc(m.Warnings, func(old hotreader.Warning) bool { return old.Reason == w.Reason && old.Property == w.Property })
		switch {
		case i >= 0:
			if w.Count > m.Warnings[i].Count {
				m.Warnings[i] = w
			}
		case lost(w) || w.Reason == hotreader.Replaced:
			m.Warnings = append(m.Warnings, w)
		case !slices.Contains(m.notes, w.String()):
			m.notes = append(m.notes, w.String())
		}
	}
}

// query asks for the rows of a manifest.
func (m *manifest) query() hotreader.Query {
	return hotreader.Query{Device: m.Device, Properties: m.Properties, Start: m.Start, End: m.End}
}

// A reading is a read of a source, with what progress says of it.
type reading struct {
	source hotreader.Source
	query  hotreader.Query
	doing  string
	of     int64 // rows; 0 = not known
}

// rows calls do for the rows that have a value.
func (e *export) rows(ctx context.Context, from reading, do func(r *hotreader.Row) error) error {
	if err := from.query.Check(); err != nil {
		return err
	}
	n := int64(0)
	for r, err := range from.source.Scan(ctx, from.query) {
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(r.Values, func(v hotreader.Value) bool { return !v.IsNull() }) {
			continue
		}
		if err := do(&r); err != nil {
			return err
		}
		if n++; n%1000 == 0 && e.Progress != nil {
			e.Progress(from.query.Device, from.doing, n, from.of)
		}
	}
	return nil
}

// A digest sums rows up: two of the same have the same rows, with numbers compared as
// decimals.
type digest struct {
	sum  hash.Hash
	rows int64
	buf  []byte
}

func newDigest() digest { return digest{sum: sha256.New()} }

func (d *digest) add(r *hotreader.Row) {
	b := r.Time.UTC().AppendFormat(d.buf[:0], time.RFC3339Nano)
	for _, v := range r.Values {
		b = append(b, 0, byte(v.Kind()))
		switch v.Kind() {
		case hotreader.Bool:
			b = fmt.Append(b, v.Bool())
		case hotreader.Number:
			b = hotreader.AppendNumber(b, v.Text())
		case hotreader.String:
			b = append(fmt.Append(b, len(v.Text()), " "), v.Text()...)
		}
	}
	b = append(b, '\n')
	d.sum.Write(b)
	d.buf = b
	d.rows++
}

func (d *digest) String() string { return hex.EncodeToString(d.sum.Sum(nil)) }

// verify reads back what was written, by this run or an earlier one, as every reader of cold
// storage does, and compares it with what the source brought.
func (e *export) verify(ctx context.Context, m *manifest) error {
	s, err := coldstore.New(e.Target, coldstore.Options{Prefix: e.Prefix, Format: coldstore.Parquet, Late: -1})
	if err != nil {
		return err
	}
	c := comparison{m: m, digest: newDigest(), differs: func(o *object, got *digest) error {
		return fail(m.Device, hotreader.CodeCorrupt, "%s does not hold what the source has from %s to %s: %d rows were read back, and %d written; other objects of the device may lie below the prefix, or bytes were lost%s",
			e.Prefix+o.Key, text(o.From), text(o.To), got.rows, o.Rows, again)
	}}
	for page, err := range coldstore.List(ctx, e.Target, e.Prefix+folderOf(m.Device), "") {
		if err != nil {
			return err
		}
		for i := range page.Objects {
			if err := e.sum(ctx, m, &page.Objects[i]); err != nil {
				return err
			}
		}
	}
	if err := e.rows(ctx, reading{s, m.query(), "reading back", m.Rows}, c.add); err != nil {
		return err
	}
	return c.end()
}

// again is what to do about a damaged copy.
const again = "; delete nothing of this range, and put back an earlier version of the object, or export the range into another place"

// sum notes the size and the checksum of an object, or compares them with those noted.
func (e *export) sum(ctx context.Context, m *manifest, o *coldstore.Object) error {
	i := slices.IndexFunc(m.Objects, func(of object) bool { return e.Prefix+of.Key == o.Key })
	if i < 0 {
		return nil
	}
	body, err := e.Target.Read(ctx, o, 0, o.Size)
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, body)
	if err = errors.Join(err, body.Close()); err != nil || n != o.Size {
		return fail(m.Device, hotreader.CodeUnavailable, "%s was not read to its end: %d of %d bytes came: %w", o.Key, n, o.Size, err)
	}
	got := hex.EncodeToString(sum.Sum(nil))
	if m.finished && m.Objects[i].SHA256 != got {
		return fail(m.Device, hotreader.CodeCorrupt, "the copy %s is damaged: its bytes are not those that its manifest %s has the checksum of%s", o.Key, e.Prefix+m.key(manifestEnd), again)
	}
	m.Objects[i].Bytes, m.Objects[i].SHA256 = n, got
	return nil
}

// A comparison checks whether rows are those of a manifest's objects.
type comparison struct {
	m       *manifest
	at      int // object
	digest  digest
	differs func(o *object, got *digest) error
	whole   func(o *object) error // has come; may be nil
}

// add takes the next row.
func (c *comparison) add(r *hotreader.Row) error {
	for c.at < len(c.m.Objects) && r.Time.After(c.m.Objects[c.at].To) {
		if err := c.next(); err != nil {
			return err
		}
	}
	if c.at == len(c.m.Objects) {
		return c.differs(&c.m.Objects[c.at-1], &digest{rows: c.m.Objects[c.at-1].Rows + 1})
	}
	if c.digest.add(r); c.digest.rows > c.m.Objects[c.at].Rows {
		return c.differs(&c.m.Objects[c.at], &c.digest)
	}
	return nil
}

// next ends an object.
func (c *comparison) next() error {
	o, got := &c.m.Objects[c.at], c.digest
	if got.rows != o.Rows || got.String() != o.Digest {
		return c.differs(o, &got)
	}
	c.at++
	c.digest.sum.Reset()
	c.digest.rows = 0
	if c.whole == nil {
		return nil
	}
	return c.whole(o)
}

// end ends all objects, after the last row.
func (c *comparison) end() error {
	for c.at < len(c.m.Objects) {
		if err := c.next(); err != nil {
			return err
		}
	}
	return nil
}
