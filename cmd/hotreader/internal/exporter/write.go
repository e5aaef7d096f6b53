package exporter

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"hotreader"
	"hotreader/internal/jsontext"
)

// A column of the files.
type column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// The types of columns, as SQL calls them.
const (
	micros      = "TIMESTAMP(6) WITH TIME ZONE"
	nanoseconds = "TIMESTAMP(9) WITH TIME ZONE"
	boolean     = "BOOLEAN"
	double      = "DOUBLE"
	bigint      = "BIGINT"
	varchar     = "VARCHAR"
	mixed       = "JSON" // of several kinds, or numbers that no DOUBLE and no BIGINT holds
)

var nodes = map[string]func() parquet.Node{
	micros: func() parquet.Node {
		return parquet.Encoded(parquet.Timestamp(parquet.Microsecond), &parquet.DeltaBinaryPacked)
	},
	nanoseconds: func() parquet.Node {
		return parquet.Encoded(parquet.Timestamp(parquet.Nanosecond), &parquet.DeltaBinaryPacked)
	},
	boolean: func() parquet.Node { return parquet.Leaf(parquet.BooleanType) },
	double:  func() parquet.Node { return parquet.Leaf(parquet.DoubleType) },
	bigint:  func() parquet.Node { return parquet.Int(64) },
	varchar: func() parquet.Node { return parquet.Encoded(parquet.String(), &parquet.RLEDictionary) },
	mixed:   parquet.JSON,
}

// A file is an object that is being made.
type file struct {
	m      *manifest
	most   int   // bytes of all values
	values []int // by property: its place among the columns of the file; -1 = it has none
	types  []string
	at     int // of the time

	body  bytes.Buffer
	w     *parquet.GenericWriter[any]
	row   parquet.Row
	rows  int64 // of the row group
	bytes int   // of their values
	size  int   // of all values
}

func newFile(m *manifest, most int) (*file, error) {
	group := parquet.Group{}
	types := map[string]string{}
	for _, c := range m.Columns {
		types[c.Name] = c.Type
		node, ok := nodes[c.Type]
		if !ok {
			return nil, fail(m.Device, hotreader.CodeCorrupt, "the plan has a column %s of the type %s, which is unknown", c.Name, c.Type)
		}
		if group[c.Name] = node(); c.Name != timeColumn {
			group[c.Name] = parquet.Optional(node())
		}
	}
	schema := parquet.NewSchema("telemetry", group)
	f := &file{m: m, most: most, row: make(parquet.Row, len(m.Columns))}
	leaf, _ := schema.Lookup(timeColumn)
	f.at = leaf.ColumnIndex
	for _, p := range m.Properties {
		if leaf, ok := schema.Lookup(p); ok {
			f.values = append(f.values, leaf.ColumnIndex)
		} else {
			f.values = append(f.values, -1)
		}
		f.types = append(f.types, types[p])
	}
	f.w = parquet.NewGenericWriter[any](&f.body, schema, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("hotreader", formatName, ""),
		parquet.KeyValueMetadata(deviceColumn, m.Device), parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending(timeColumn))))
	return f, nil
}

// add adds a row. No plan has more of them in a file.
func (f *file) add(r *hotreader.Row) error {
	if f.size >= f.most {
		return errChanged
	}
	at := r.Time.UnixMicro()
	if f.m.Columns[0].Type == nanoseconds {
		at = r.Time.UnixNano()
	}
	f.row[f.at] = parquet.Int64Value(at).Level(0, 0, f.at)
	for i, v := range r.Values {
		column := f.values[i]
		if column < 0 {
			if !v.IsNull() {
				return errChanged
			}
			continue
		}
		f.row[column] = parquet.NullValue().Level(0, 0, column)
		if !v.IsNull() {
			value, ok := cell(f.types[i], v)
			if !ok {
				return errChanged
			}
			f.row[column] = value.Level(0, 1, column)
		}
		f.bytes += len(v.Text()) + 1
		f.size += len(v.Text()) + 1
	}
	if _, err := f.w.WriteRows([]parquet.Row{f.row}); err != nil {
		return err
	}
	if f.rows++; f.rows < f.m.GroupRows && f.bytes < groupBytes {
		return nil
	}
	f.rows, f.bytes = 0, 0
	return f.w.Flush()
}

// cell is a value as a column of a type has it; ok is false if it cannot have it.
func cell(t string, v hotreader.Value) (c parquet.Value, ok bool) {
	switch {
	case t == boolean && v.Kind() == hotreader.Bool:
		return parquet.BooleanValue(v.Bool()), true
	case t == double && v.Kind() == hotreader.Number:
		f, ok := v.Float64()
		return parquet.DoubleValue(f), ok
	case t == bigint && v.Kind() == hotreader.Number:
		i, err := strconv.ParseInt(string(v.Text()), 10, 64)
		return parquet.Int64Value(i), err == nil
	case t == varchar && v.Kind() == hotreader.String:
		return parquet.ByteArrayValue(v.Text()), true
	case t == mixed && v.Kind() == hotreader.Bool:
		return parquet.ByteArrayValue(strconv.AppendBool(nil, v.Bool())), true
	case t == mixed && v.Kind() == hotreader.Number:
		return parquet.ByteArrayValue(v.Text()), true
	case t == mixed:
		return parquet.ByteArrayValue(jsontext.AppendString(nil, v.Text())), true
	}
	return c, false
}

// errChanged says that a row is not one that was planned.
var errChanged = fmt.Errorf("changed")

// write reads the source again and writes the objects that are missing. It reads the whole
// range even if an earlier run wrote some of them, or all: what has come since has no copy.
func (e *export) write(ctx context.Context, m *manifest, there map[string]bool) error {
	c := comparison{m: m, digest: newDigest(), differs: func(o *object, got *digest) error { return e.changed(o, m, got.rows) }}
	var f *file
	put := func(o *object) error {
		if f == nil {
			return nil
		}
		if err := f.w.Close(); err != nil {
			return err
		}
		_, err := e.Target.Put(ctx, e.Prefix+o.Key, f.body.Bytes())
		f = nil
		return err
	}
	c.whole = put
	stats := new(hotreader.Stats)
	err := e.rows(hotreader.WithStats(ctx, stats), reading{e.Source, m.query(), "writing", m.Rows}, func(r *hotreader.Row) (err error) {
		if err = c.add(r); err != nil {
			return err
		}
		if o := &m.Objects[c.at]; there[o.Key] {
			return nil
		} else if f == nil {
			if f, err = newFile(m, e.ObjectSize); err != nil {
				return err
			}
		}
		if err = f.add(r); err == errChanged {
			return e.changed(&m.Objects[c.at], m, c.digest.rows)
		}
		return err
	})
	m.warn(stats.Warnings())
	if err != nil {
		return err
	}
	return c.end()
}

// changed is the error of a source that has other rows than when the plan was made.
func (e *export) changed(o *object, m *manifest, rows int64) error {
	return fail(m.Device, hotreader.CodeUnavailable, "the source changed: from %s to %s it had %d rows when the export was planned, and now has others (%d came); "+
		"export what no longer changes. To begin again, delete %s and what begins with %s in the range of its name",
		text(o.From), text(o.To), o.Rows, rows, e.Prefix+m.key(planEnd), e.Prefix+folderOf(m.Device))
}
