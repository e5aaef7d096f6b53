package coldstore

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/store/internal/jsonpage"
)

// maxItem bounds the bytes of one item. Databases keep up to 2 MB of one.
const maxItem = 8 << 20

// magic numbers of formats.
var (
	magicGzip    = []byte{0x1f, 0x8b}
	magicZstd    = []byte{0x28, 0xb5, 0x2f, 0xfd}
	magicParquet = []byte("PAR1")
)

// errParquet says that an object is Parquet.
var errParquet = errors.New("it is Parquet")

// json decodes an object of JSON items: an array of them, or one after the other.
func (s *scan) json(w *window) error {
	o := w.feed.part.object
	raw := s.body(o, 0, o.Size)
	defer func() { _ = raw.Close() }() // it was only read
	first := int(min(o.Size+bytes.MinRead, 128<<10))
	if err := s.open(int64(first)); err != nil {
		return err
	}
	defer func() { _ = s.open(-int64(first)) }() // giving back cannot fail
	plain, err := s.plain(bufio.NewReaderSize(raw, first))
	if err != nil {
		return err
	}
	defer func() { _ = plain.Close() }()
	if err := s.permit(w.feed); err != nil {
		return err
	}
	d := &decoder{item: newItem(s, w), in: plain, first: first, array: w.feed.part.mover, typed: s.store.format == Export}
	for i, paths := range s.paths() {
		for rank, path := range paths {
			d.fields = add(d.fields, path, target{i, rank})
		}
	}
	return d.decode()
}

// plain returns what an object holds, decompressed.
func (s *scan) plain(r *bufio.Reader) (io.ReadCloser, error) {
	head, err := r.Peek(len(magicZstd))
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case bytes.HasPrefix(head, magicParquet) && s.store.format == AnyFormat:
		return nil, errParquet
	case bytes.HasPrefix(head, magicGzip):
		return gzip.NewReader(r)
	case bytes.HasPrefix(head, magicZstd):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}

// A field is a member of an item, or of an object in it, that is asked for or leads to
// some.
type field struct {
	name    string
	targets []target
	fields  []field
}

// A target is where a value goes, unless one of a lower rank is there.
type target struct{ at, rank int }

func add(fields []field, path []string, to target) []field {
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == path[0] })
	if i < 0 {
		i, fields = len(fields), append(fields, field{name: path[0]})
	}
	if f := &fields[i]; len(path) > 1 {
		f.fields = add(f.fields, path[1:], to)
	} else if !slices.ContainsFunc(f.targets, func(t target) bool { return t.at == to.at }) {
		f.targets = append(f.targets, to)
	}
	return fields
}

// A decoder steps through JSON that may be longer than memory.
type decoder struct {
	*item
	jsontext.Scanner
	in     io.Reader
	first  int // bytes of memory to begin with
	memory []byte
	data   []byte // of it, from the next item on
	eof    bool
	array  bool // items are in one
	typed  bool // as DynamoDB types its JSON, within "Item"
	fields []field
}

// decode passes on all items.
func (d *decoder) decode() error {
	var array, some bool
	for {
		c, err := d.peek()
		switch {
		case err == io.EOF && (array || d.array):
			return fmt.Errorf("the array of items is cut off: %w", io.ErrUnexpectedEOF)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case c != '[' && d.array && !array:
			return fmt.Errorf("expected an array of items, got %q", c)
		case c == '[' && !array && !some:
			array = true
			d.skip()
			continue
		case c == ']' && array:
			d.skip()
			if c, err = d.peek(); err == nil {
				return fmt.Errorf("%q follows the array of items", c)
			}
			if err == io.EOF {
				return nil
			}
			return err
		case c == ',' && array && some:
			d.skip()
			if c, err = d.peek(); err == nil && c != '{' {
				return fmt.Errorf("expected an item after a comma, got %q", c)
			}
			some = false
			continue
		case c != '{':
			return fmt.Errorf("expected an item, which begins with {, got %q", c)
		case array && some:
			return errors.New("expected a comma between items, got {")
		}
		some = true
		if err := d.next(); err != nil {
			return err
		}
	}
}

// peek returns the next byte that is no blank.
func (d *decoder) peek() (byte, error) {
	for blanks := 0; ; {
		all := len(d.data)
		d.data = bytes.TrimLeft(d.data, " \t\r\n")
		if blanks += all - len(d.data); blanks > maxItem { // a few compressed bytes make thousands
			return 0, fmt.Errorf("more than %d blanks follow each other", maxItem)
		}
		if len(d.data) > 0 {
			return d.data[0], nil
		}
		if d.eof {
			return 0, io.EOF
		}
		if err := d.more(); err != nil {
			return 0, err
		}
	}
}

func (d *decoder) skip() { d.data = d.data[1:] }

// more reads more bytes after those that are there. What was decoded refers to none of
// them by now.
func (d *decoder) more() error {
	if err := d.scan.ctx.Err(); err != nil { // of a few bytes decompression may make many
		return err
	}
	if len(d.data) >= maxItem {
		return fmt.Errorf("an item has more than %d bytes, or never ends", maxItem)
	}
	if len(d.data) >= len(d.memory)/2 {
		d.memory = make([]byte, max(d.first, 4*len(d.data)))
	}
	kept := copy(d.memory, d.data)
	d.data = d.memory[:kept]
	var err error
	for n := kept; err == nil && n < max(1, 2*kept); { // as much again: the item is decoded from its beginning
		var more int
		more, err = d.in.Read(d.memory[n:])
		n += more
		d.data = d.memory[:n]
	}
	if err == io.EOF {
		d.eof, err = true, nil
	}
	return err
}

// next decodes an item. Where it fails, the item may only be cut by the memory's end.
func (d *decoder) next() error {
	for {
		d.Reset(d.data)
		d.item.begin()
		err := d.whole()
		if err == nil {
			err = d.item.end(nil)
			d.data = d.data[d.Pos:]
			return err
		}
		if d.eof {
			return err
		}
		if err := d.more(); err != nil {
			return err
		}
	}
}

// whole decodes an item.
func (d *decoder) whole() error {
	if !d.typed {
		return d.object(d.fields)
	}
	if err := d.Token('{'); err != nil {
		return err
	}
	if name, err := d.Name(); err != nil || string(name) != "Item" {
		return cmp.Or(err, fmt.Errorf("expected an Item of DynamoDB's export, got %q", name))
	}
	if err := d.object(d.fields); err != nil {
		return err
	}
	return d.Token('}')
}

// object decodes an object of which fields are asked for.
func (d *decoder) object(fields []field) error {
	if err := d.Token('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		name, more, err := d.Member(first)
		if !more {
			return err
		}
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == string(name) })
		if i < 0 {
			err = d.Skip()
		} else {
			err = d.member(&fields[i])
		}
		if err != nil {
			return err
		}
	}
}

// member decodes the value of a field, and what is asked for within it.
func (d *decoder) member(f *field) error {
	if d.typed {
		return d.attribute(f)
	}
	d.Space()
	from := d.Pos
	v, usable, err := jsonpage.Value(&d.Scanner)
	if err != nil {
		return err
	}
	d.put(f, v, !usable)
	if len(f.fields) == 0 || d.Data[from] != '{' {
		return nil
	}
	d.Pos = from
	return d.object(f.fields)
}

func (d *decoder) put(f *field, v hotreader.Value, lost bool) {
	for _, t := range f.targets {
		if t.rank == 0 || d.found[t.at].IsNull() {
			d.found[t.at], d.lost[t.at] = v, lost
		}
	}
}

// attribute is member for a value that DynamoDB has typed: {"N": "1.5"}.
func (d *decoder) attribute(f *field) error {
	if err := d.Token('{'); err != nil {
		return err
	}
	name, err := d.Name()
	if err != nil {
		return err
	}
	kind := string(name)
	if kind == "M" && len(f.fields) > 0 {
		if err := d.object(f.fields); err != nil {
			return err
		}
		return d.Token('}')
	}
	v, usable, err := jsonpage.Value(&d.Scanner)
	if err != nil {
		return err
	}
	lost := !usable
	switch kind {
	case "N":
		if lost = !hotreader.IsNumber(v.Text()); !lost {
			v = hotreader.NumberValue(v.Text())
		}
	case "NULL":
		v = hotreader.Value{}
	case "S", "BOOL":
	default: // bytes and sets, which no Value can hold, and typed lists and maps
		lost = true
	}
	if lost {
		v = hotreader.Value{}
	}
	d.put(f, v, lost)
	return d.Token('}')
}
