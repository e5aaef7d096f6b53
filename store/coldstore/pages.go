package coldstore

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
	"golang.org/x/sync/errgroup"

	"hotreader"
)

const (
	maxPage    = 32 << 20 // bytes of a page, decompressed
	maxValues  = 4 << 20  // of a page
	leastPeek  = 16 << 10 // bytes in which a page's header is looked for first
	maxHeader  = 16 << 20 // of a header
	valueBytes = 9        // that the library needs for a value beside the page's own
)

// pages gives the library the pages of a column chunk as if they had never been
// compressed. The library decompresses without end, and believes what pages claim; here
// both are bounded, and counted before memory is taken. It reads from front to back.
type pages struct {
	scan   *scan
	in     *bufio.Reader
	codec  format.CompressionCodec
	levels [2]int // bits of a repetition and of a definition level
	packed []byte
	next   []byte // of the page that is passed on
	at     int64  // of next, for the library
	held   int64  // bytes that are counted: the dictionary's, and the page's
	page   int64  // of held
}

// ReadAt implements io.ReaderAt.
func (p *pages) ReadAt(b []byte, off int64) (n int, err error) {
	if off != p.at {
		return 0, errors.New("a column's dictionary is not before its pages")
	}
	for len(p.next) == 0 {
		if p.next, err = p.read(); err != nil {
			return 0, err
		}
	}
	n = copy(b, p.next)
	p.next = p.next[n:]
	p.at += int64(n)
	return n, nil
}

// read reads a page.
func (p *pages) read() ([]byte, error) {
	h, err := p.header()
	if err != nil {
		return nil, err
	}
	values := max(h.DataPageHeader.V.NumValues, h.DataPageHeaderV2.V.NumValues, h.DictionaryPageHeader.V.NumValues)
	if h.CompressedPageSize < 0 || h.CompressedPageSize > maxPage || h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPage || values > maxValues {
		return nil, fmt.Errorf("a page of %d bytes and %d values: %w", h.UncompressedPageSize, values, errClaims)
	}
	if err := p.hold(int64(h.CompressedPageSize)+2*int64(h.UncompressedPageSize)+valueBytes*int64(values), h.Type == format.DictionaryPage); err != nil {
		return nil, err
	}
	if p.packed = grown(p.packed, int(h.CompressedPageSize)); len(p.packed) > 0 {
		if _, err := io.ReadFull(p.in, p.packed); err != nil {
			return nil, err
		}
	}
	if h.CRC != 0 && uint32(h.CRC) != crc32.ChecksumIEEE(p.packed) {
		return nil, errors.New("the checksum of a page is wrong")
	}
	plain, err := p.plain(h)
	if err != nil {
		return nil, fmt.Errorf("a page in %v: %w", p.codec, err)
	}
	if err := p.check(h, plain); err != nil {
		return nil, err
	}
	h.CompressedPageSize, h.UncompressedPageSize, h.CRC = int32(len(plain)), int32(len(plain)), 0
	text, err := thrift.Marshal(new(thrift.CompactProtocol), h)
	return append(text, plain...), err
}

// header reads a page's header. Its statistics may have long texts.
func (p *pages) header() (*format.PageHeader, error) {
	for {
		head, err := p.in.Peek(p.in.Size())
		if len(head) == 0 || err != nil && err != io.EOF {
			return nil, err
		}
		n, merr := measure(head)
		if merr == io.ErrUnexpectedEOF && err == nil && len(head) < maxHeader {
			p.in = bufio.NewReaderSize(p.in, 4*p.in.Size())
			continue
		}
		if merr != nil {
			return nil, fmt.Errorf("the header of a page: %w", merr)
		}
		h := new(format.PageHeader)
		if err := thrift.Unmarshal(new(thrift.CompactProtocol), head[:n], h); err != nil {
			return nil, err
		}
		_, err = p.in.Discard(n)
		return h, err
	}
}

// hold counts the bytes that a page takes; the one before is given back.
func (p *pages) hold(n int64, dictionary bool) error {
	p.held += n - p.page
	more := n - p.page
	if p.page = n; dictionary {
		p.page = 0
	}
	return p.scan.open(more)
}

func (p *pages) close() { _ = p.scan.open(-p.held) }

func grown(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// plain decompresses a page. The levels of the second version are not compressed.
func (p *pages) plain(h *format.PageHeader) ([]byte, error) {
	size, packed := int(h.UncompressedPageSize), p.packed
	v2 := &h.DataPageHeaderV2
	levels := int64(0)
	if h.Type == format.DataPageV2 {
		levels = int64(v2.V.RepetitionLevelsByteLength) + int64(v2.V.DefinitionLevelsByteLength)
	}
	switch {
	case levels < 0 || levels > int64(len(packed)) || levels > int64(size):
		return nil, errClaims
	case p.codec == format.Uncompressed, h.Type == format.DataPageV2 && v2.V.IsCompressed.Valid && !v2.V.IsCompressed.V:
		return packed, nil
	}
	plain := make([]byte, size)
	copy(plain, packed[:levels])
	if levels == int64(size) { // there are nulls alone
		return plain, nil
	}
	n, err := decompress(plain[levels:], packed[levels:], p.codec)
	return plain[:levels+int64(n)], err
}

// zstandard decompresses to as much memory as it is given.
var zstandard = sync.OnceValue(func() *zstd.Decoder {
	d, _ := zstd.NewReader(nil, zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(maxPage), zstd.WithDecoderConcurrency(0)) // the options are valid
	return d
})

// decompress fills to. That there is more is an error.
func decompress(to, from []byte, codec format.CompressionCodec) (int, error) {
	var r io.Reader
	switch codec {
	case format.Snappy:
		if n, err := snappy.DecodedLen(from); err != nil || n > len(to) {
			return 0, errors.Join(err, errClaims)
		}
		b, err := snappy.Decode(to, from)
		return len(b), err
	case format.Lz4Raw:
		return lz4.UncompressBlock(from, to)
	case format.Gzip:
		z, err := gzip.NewReader(bytes.NewReader(from))
		if err != nil {
			return 0, err
		}
		r = z
	case format.Brotli:
		r = brotli.NewReader(bytes.NewReader(from))
	case format.Zstd:
		b, err := zstandard().DecodeAll(from, to[:0:len(to)])
		return len(b), err
	default:
		return 0, errors.New("this compression is not read")
	}
	n, err := io.ReadFull(r, to)
	switch err {
	case io.EOF, io.ErrUnexpectedEOF: // it is less
		return n, nil
	case nil:
	default:
		return n, err
	}
	if more, err := r.Read(make([]byte, 1)); more > 0 || err != io.EOF {
		return n, errors.Join(errClaims, err)
	}
	return n, nil
}

// check checks what a decompressed page claims.
func (p *pages) check(h *format.PageHeader, data []byte) error {
	n, encoding := int(h.DataPageHeader.V.NumValues), h.DataPageHeader.V.Encoding
	var lengths [2]int // of the levels
	switch h.Type {
	case format.DataPage:
	case format.DataPageV2:
		v2 := &h.DataPageHeaderV2.V
		n, encoding = int(v2.NumValues), v2.Encoding
		lengths = [2]int{int(v2.RepetitionLevelsByteLength), int(v2.DefinitionLevelsByteLength)}
	default: // a dictionary is plain
		return nil
	}
	for i, bits := range p.levels {
		length := lengths[i]
		if h.Type == format.DataPage && bits > 0 {
			if len(data) < 4 {
				return errClaims
			}
			length, data = int(uint32(data[0])|uint32(data[1])<<8|uint32(data[2])<<16|uint32(data[3])<<24), data[4:]
		}
		if length < 0 || length > len(data) {
			return errClaims
		}
		if bits > 0 {
			if err := runs(data[:length], bits, n); err != nil {
				return err
			}
		}
		data = data[length:]
	}
	return checkValues(data, encoding, n)
}

// A span is bytes of an object, from at up to to.
type span struct {
	at, to int64
	bytes  []byte // nil = not fetched
}

// ranges reads parts of an object, as few as possible.
type ranges struct {
	scan   *scan
	object *Object
	spans  []span
	blocks []span // of spans that are too long to be fetched at once, the last ones of late
}

// plan fetches spans that will be read. Neighbouring spans are one request, with
// the small gaps between them.
func (r *ranges) plan(spans []span) error {
	slices.SortFunc(spans, func(a, b span) int { return int(a.at - b.at) })
	total := int64(0)
	for _, s := range spans {
		total += s.to - s.at
	}
	r.spans = nil
	spare := total / 10
	for _, s := range spans {
		last := len(r.spans) - 1
		if last >= 0 && s.at-r.spans[last].to <= spare && total <= wholeGroup {
			spare -= max(0, s.at-r.spans[last].to)
			r.spans[last].to = max(s.to, r.spans[last].to)
		} else {
			r.spans = append(r.spans, s)
		}
	}
	if total > wholeGroup {
		return nil
	}
	var side errgroup.Group // one round trip
	side.SetLimit(8)
	for i := range r.spans {
		side.Go(func() error {
			return hotreader.Recovered("cold storage: read "+r.object.Key, func() error { return r.fetch(&r.spans[i]) })
		})
	}
	return side.Wait()
}

func (r *ranges) fetch(s *span) error {
	s.bytes = make([]byte, s.to-s.at)
	b := r.scan.body(r.object, s.at, s.to-s.at)
	defer func() { _ = b.Close() }() // it was only read
	_, err := io.ReadFull(b, s.bytes)
	return err
}

// tail fetches the file's end, and returns the footer that is in it.
func (r *ranges) tail(longest *atomic.Int64) ([]byte, error) {
	size := r.object.Size
	if size < 12 {
		return nil, errors.New("the file is too short")
	}
	s := span{at: max(0, size-max(leastTail, longest.Load())), to: size}
	if err := r.fetch(&s); err != nil {
		return nil, err
	}
	end := s.bytes[len(s.bytes)-8:]
	footer := int64(binary.LittleEndian.Uint32(end))
	switch {
	case string(end[4:]) != "PAR1":
		return nil, fmt.Errorf("the file does not end as Parquet does, but with %q", end[4:])
	case footer > maxFooter || footer > size-12:
		return nil, fmt.Errorf("the file's footer has %d bytes", footer)
	}
	if from := size - 8 - footer; from < s.at {
		before := span{at: from, to: s.at}
		if err := r.fetch(&before); err != nil {
			return nil, err
		}
		s = span{before.at, s.to, append(before.bytes, s.bytes...)}
	}
	if seen := footer + 8; seen > longest.Load() {
		longest.Store(min(seen, 1<<20))
	}
	return s.bytes[int64(len(s.bytes))-8-footer:][:footer], nil
}

// ReadAt implements io.ReaderAt.
func (r *ranges) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		at := off + int64(n)
		if s := r.at(at); s != nil {
			n += copy(p[n:], s.bytes[at-s.at:])
			continue
		}
		i := slices.IndexFunc(r.spans, func(s span) bool { return s.at <= at && at < s.to })
		if i < 0 {
			return n, fmt.Errorf("byte %d is outside what was to be read", at)
		}
		block := span{at: at, to: min(at+blockBytes, r.spans[i].to)}
		if err = r.fetch(&block); err == nil {
			if r.blocks = append(r.blocks, block); len(r.blocks) > len(r.spans) {
				r.blocks = r.blocks[1:]
			}
		}
	}
	return n, err
}

// at returns the bytes that are there from an offset on; nil = none.
func (r *ranges) at(at int64) *span {
	for _, all := range [][]span{r.spans, r.blocks} {
		for i := range all {
			if s := &all[i]; s.bytes != nil && s.at <= at && at < s.to {
				return s
			}
		}
	}
	return nil
}
