package coldstore

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/store/internal/jsonpage"
)

// Bytes of Parquet that are fetched at a time.
const (
	leastTail  = 16 << 10 // of the end, where the footer is
	maxFooter  = 32 << 20
	wholeGroup = 4 << 20 // of a row group's columns; of more, blockBytes of each
	blockBytes = 1 << 20
)

// A group is a row group of a Parquet file.
type group struct {
	file    *parquet.File    // as if nothing in it were compressed
	meta    *format.RowGroup // as it is
	index   int
	fields  []parquet.LeafColumn // by what is found in an item; those without a Node are not there
	bytes   *ranges
	certain bool // the statistics say that all rows are of the device
}

// groups reads a file's footer, and returns its row groups that may hold rows of the query.
func (s *scan) groups(w *window) ([]part, error) {
	p := w.feed.part
	r := &ranges{scan: s, object: p.object}
	footer, err := r.tail(&s.store.tail)
	if err != nil {
		return nil, err
	}
	meta, f, err := openFile(footer)
	if err != nil {
		return nil, err
	}
	fields := s.leaves(f.Schema())
	at := fields[len(s.columns)+timeField]
	if at.Node == nil {
		return nil, s.lacks(p.object, f.Schema(), s.store.layout.TimeKey)
	}
	if !p.sure && fields[len(s.columns)+deviceField].Node == nil {
		return nil, s.lacks(p.object, f.Schema(), s.store.layout.DeviceKey)
	}
	parts := []part{} // none is not nil
	for i, g := range meta.RowGroups {
		p := w.feed.part
		p.group = &group{file: f, meta: &meta.RowGroups[i], index: i, fields: fields, bytes: &ranges{scan: s, object: p.object}}
		if p.from, p.to, err = s.span(&g.Columns[at.ColumnIndex].MetaData.Statistics, at, p); err != nil {
			return nil, err
		}
		if p.in(&s.query) && s.mayHold(&p, g.Columns) {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// openFile opens a file by its footer, as if its columns had never been compressed: see
// pages. It returns the footer, too.
func openFile(footer []byte) (*format.FileMetaData, *parquet.File, error) {
	if n, err := measure(footer); err != nil || n != len(footer) {
		return nil, nil, fmt.Errorf("the file's footer: %w", cmp.Or(err, errClaims))
	}
	compact, meta := new(thrift.CompactProtocol), new(format.FileMetaData)
	if err := thrift.Unmarshal(compact, footer, meta); err != nil {
		return nil, nil, err
	}
	var codecs []format.CompressionCodec // the library looks at those of the first row group
	if len(meta.RowGroups) > 0 {
		for i := range meta.RowGroups[0].Columns {
			c := &meta.RowGroups[0].Columns[i].MetaData
			codecs, c.Codec = append(codecs, c.Codec), format.Uncompressed
		}
	}
	file, err := thrift.Marshal(compact, meta)
	if err != nil {
		return nil, nil, err
	}
	for i, codec := range codecs {
		meta.RowGroups[0].Columns[i].MetaData.Codec = codec
	}
	file = append(binary.LittleEndian.AppendUint32(file, uint32(len(file))), magicParquet...)
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)), parquet.SkipMagicBytes(true), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(4<<10))
	return meta, f, err
}

// lacks is the error of a file without a column that it must have.
func (s *scan) lacks(o *Object, schema *parquet.Schema, column string) error {
	var names []string
	for _, path := range schema.Columns() {
		names = append(names, strings.Join(path, "."))
	}
	return bad(o, hotreader.CodeUnreadable, "the file has no column %s, but %s; %s", column, strings.Join(names, ", "), hotreader.LayoutHelp)
}

// leaves finds the columns of what is found in an item.
func (s *scan) leaves(schema *parquet.Schema) (all []parquet.LeafColumn) {
	for _, paths := range s.paths() {
		var leaf parquet.LeafColumn
		for _, path := range paths {
			if l, ok := schema.Lookup(path...); ok && leaf.Node == nil {
				leaf = l
			}
		}
		all = append(all, leaf)
	}
	return all
}

// span narrows a part's range by the statistics of its times.
func (s *scan) span(stats *format.Statistics, at parquet.LeafColumn, p part) (from, to time.Time, err error) {
	c, times, bounds := s.converter(at), s.store.times(), [2]time.Time{}
	if c.clock == nil && len(s.store.layout.TimeFormat) > 1 { // of two formats, a column's order is not that of time
		return p.from, p.to, nil
	}
	for i, b := range [][]byte{orElse(stats.MinValue, stats.Min), orElse(stats.MaxValue, stats.Max)} {
		v, ok := statistic(at.Node.Type().Kind(), b)
		if !ok {
			return p.from, p.to, nil
		}
		value, ok := c.convert(v)
		if !ok {
			return p.from, p.to, nil
		}
		if bounds[i], ok = times.Read(value); c.clock != nil {
			bounds[i], ok = c.clock(v), true
		}
		if !ok {
			return p.from, p.to, nil
		}
	}
	if at.Node.Type().Kind() == parquet.ByteArray { // texts within a minute may be in another order than times
		bounds[0], bounds[1] = bounds[0].Add(-time.Minute), bounds[1].Add(time.Minute)
	}
	if bounds[1].Before(bounds[0]) {
		return from, to, errors.New("the statistics of the times are wrong")
	}
	return bounds[0], bounds[1], nil
}

func orElse(b, c []byte) []byte {
	if len(b) > 0 {
		return b
	}
	return c
}

// statistic reads a value as statistics have it.
func statistic(kind parquet.Kind, b []byte) (parquet.Value, bool) {
	switch {
	case kind == parquet.Int32 && len(b) == 4, kind == parquet.Int64 && len(b) == 8, kind == parquet.Double && len(b) == 8, kind == parquet.ByteArray && len(b) > 0:
		return kind.Value(b), true
	}
	return parquet.Value{}, false
}

// mayHold reports whether a row group may hold rows of the device, by its statistics.
func (s *scan) mayHold(p *part, columns []format.ColumnChunk) bool {
	device := p.group.fields[len(s.columns)+deviceField]
	if device.Node == nil || s.store.dates.Dated() || device.Node.Type().Kind() != parquet.ByteArray {
		return true
	}
	id := s.store.dates.Value(s.query.Device, time.Time{})
	stats := &columns[device.ColumnIndex].MetaData.Statistics
	low, high := string(stats.MinValue), string(stats.MaxValue)
	if low == "" || high == "" {
		return true
	}
	p.group.certain = low == id && high == id && stats.NullCount == 0
	return low <= id && id <= high
}

// decode passes a row group's rows to the window.
func (g *group) decode(s *scan, w *window) error {
	w.feed.part.sure = w.feed.part.sure || g.certain
	columns, err := g.columns(s, w)
	if err != nil {
		return err
	}
	defer func() {
		for _, c := range columns {
			c.close()
		}
		g.bytes.spans, g.bytes.blocks = nil, nil
	}()
	if err := s.permit(w.feed); err != nil {
		return err
	}
	it := newItem(s, w)
	var t time.Time
	for range g.meta.NumRows {
		it.begin()
		var at *time.Time
		for _, c := range columns {
			v, err := c.next()
			if err != nil {
				return err
			}
			switch {
			case v.IsNull():
			case c.at == len(s.columns)+timeField && c.clock != nil:
				t = c.clock(v)
				at = &t
			default:
				if value, ok := c.convert(v); ok {
					it.found[c.at] = value
				} else {
					it.lost[c.at] = true
				}
			}
		}
		if err := it.end(at); err != nil {
			return err
		}
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
	}
	return nil
}

// columns prepares the columns of the row group that are to be read, and fetches them.
func (g *group) columns(s *scan, w *window) (columns []*column, err error) {
	n, part := len(s.columns), &w.feed.part
	var spans []span
	for i, leaf := range g.fields {
		if leaf.Node == nil || i == n+deviceField && part.sure {
			continue
		}
		m := &g.meta.Columns[leaf.ColumnIndex].MetaData
		if leaf.MaxRepetitionLevel > 0 {
			if i >= n {
				return nil, bad(part.object, hotreader.CodeUnreadable, "the column %s is a list", strings.Join(leaf.Path, "."))
			}
			w.feed.lose(n, i, m.NumValues)
			continue
		}
		from := m.DataPageOffset
		if m.DictionaryPageOffset > 0 {
			from = min(from, m.DictionaryPageOffset)
		}
		to := from + m.TotalCompressedSize
		if from < 4 || to < from || to > part.object.Size {
			return nil, errors.New("a column lies outside the file")
		}
		spans = append(spans, span{at: from, to: to})
		chunk, ok := g.file.RowGroups()[g.index].ColumnChunks()[leaf.ColumnIndex].(*parquet.FileColumnChunk)
		if !ok {
			return nil, errors.New("a column cannot be read from the file")
		}
		g.file.Metadata().RowGroups[g.index].Columns[leaf.ColumnIndex].MetaData.TotalCompressedSize = math.MaxInt64 // how far pages goes
		columns = append(columns, &column{at: i, converter: s.converter(leaf), chunk: chunk, buffer: make([]parquet.Value, 0, 256), bytes: &pages{
			scan: s, in: bufio.NewReaderSize(io.NewSectionReader(g.bytes, from, to-from), leastPeek), codec: m.Codec, at: from,
			levels: [2]int{0, bits.Len(uint(leaf.MaxDefinitionLevel))},
		}})
	}
	return columns, g.bytes.plan(spans)
}

// A column steps through the values of a column chunk.
type column struct {
	converter
	at     int // in what is found of an item
	chunk  *parquet.FileColumnChunk
	bytes  *pages
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buffer []parquet.Value
	i      int
}

// next returns the next row's value.
func (c *column) next() (parquet.Value, error) {
	for c.i == len(c.buffer) {
		if c.values == nil {
			if c.pages == nil {
				c.pages = c.chunk.PagesFrom(c.bytes)
			}
			page, err := c.pages.ReadPage()
			if err == io.EOF {
				return parquet.Value{}, errors.New("a column has fewer values than there are rows")
			}
			if err != nil {
				return parquet.Value{}, err
			}
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(c.buffer[:cap(c.buffer)])
		if c.buffer, c.i = c.buffer[:n], 0; err != nil && err != io.EOF {
			return parquet.Value{}, err
		}
		if n == 0 && err == io.EOF {
			parquet.Release(c.page)
			c.page, c.values = nil, nil
		}
	}
	c.i++
	return c.buffer[c.i-1], nil
}

func (c *column) close() {
	if c.page != nil {
		parquet.Release(c.page)
	}
	if c.pages != nil {
		c.pages.Close()
	}
	c.bytes.close()
}

// A converter makes values of a column ours.
type converter struct {
	convert func(v parquet.Value) (hotreader.Value, bool) // valid until the next
	clock   func(v parquet.Value) time.Time               // of a column of times; nil = it is none
}

func (s *scan) converter(leaf parquet.LeafColumn) converter {
	kind, logical := leaf.Node.Type().Kind(), leaf.Node.Type().LogicalType()
	var buf []byte
	number := func(digits []byte) (hotreader.Value, bool) {
		buf = digits
		return hotreader.NumberValue(digits), hotreader.IsNumber(digits)
	}
	clock := s.clock(leaf)
	if clock != nil {
		return converter{clock: clock, convert: func(v parquet.Value) (hotreader.Value, bool) {
			buf = clock(v).AppendFormat(buf[:0], time.RFC3339Nano)
			return hotreader.StringValue(buf), true
		}}
	}
	var meant format.LogicalTypeValue
	if logical != nil {
		meant = logical.Value
	}
	if decimal, ok := meant.(*format.DecimalType); ok {
		return converter{convert: func(v parquet.Value) (hotreader.Value, bool) {
			return number(appendDecimal(buf[:0], v, int(decimal.Scale)))
		}}
	}
	if _, ok := meant.(*format.JsonType); ok {
		return converter{convert: jsonScalar()}
	}
	unsigned := false
	if i, ok := meant.(*format.IntType); ok {
		unsigned = !i.IsSigned
	}
	return converter{convert: func(v parquet.Value) (hotreader.Value, bool) {
		switch kind {
		case parquet.Boolean:
			return hotreader.BoolValue(v.Boolean()), true
		case parquet.Int32, parquet.Int64:
			switch {
			case unsigned && kind == parquet.Int32:
				return number(strconv.AppendUint(buf[:0], uint64(v.Uint32()), 10))
			case unsigned:
				return number(strconv.AppendUint(buf[:0], v.Uint64(), 10))
			case kind == parquet.Int32:
				return number(strconv.AppendInt(buf[:0], int64(v.Int32()), 10))
			}
			return number(strconv.AppendInt(buf[:0], v.Int64(), 10))
		case parquet.Float:
			return number(strconv.AppendFloat(buf[:0], float64(v.Float()), 'g', -1, 32))
		case parquet.Double:
			return number(strconv.AppendFloat(buf[:0], v.Double(), 'g', -1, 64))
		case parquet.ByteArray:
			return hotreader.StringValue(v.ByteArray()), utf8.Valid(v.ByteArray())
		}
		return hotreader.Value{}, false
	}}
}

// jsonScalar returns what reads JSON: a scalar is one, all else a text.
func jsonScalar() func(v parquet.Value) (hotreader.Value, bool) {
	var d jsontext.Scanner
	return func(v parquet.Value) (hotreader.Value, bool) {
		text := v.ByteArray()
		d.Reset(text)
		if d.Space(); d.Pos < len(text) {
			if value, usable, err := jsonpage.Value(&d); err == nil && d.End() == nil {
				return value, usable
			}
		}
		return hotreader.StringValue(text), utf8.Valid(text)
	}
}
