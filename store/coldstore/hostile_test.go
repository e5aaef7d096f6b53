package coldstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/buckettest"
)

// zeros returns n zeros, compressed.
func zeros(codec format.CompressionCodec, n int) []byte {
	all := make([]byte, n)
	var out bytes.Buffer
	switch codec {
	case format.Zstd:
		z, _ := zstd.NewWriter(nil)
		return z.EncodeAll(all, nil)
	case format.Snappy:
		return snappy.Encode(nil, all)
	case format.Gzip:
		z := gzip.NewWriter(&out)
		z.Write(all)
		z.Close()
	}
	return out.Bytes()
}

// claiming returns a file of a row whose column v has one page: head, then body.
func claiming(t testing.TB, codec format.CompressionCodec, head format.PageHeader, body []byte) []byte {
	type reading struct {
		Device string `parquet:"device_id,plain"`
		Time   string `parquet:"timestamp,plain"`
		Value  int64  `parquet:"v,plain"`
		Word   string `parquet:"w,plain"`
	}
	var out bytes.Buffer
	if err := parquet.Write(&out, []reading{{"d", "2024-03-01T00:00:00Z", 1, "w"}}); err != nil {
		t.Fatal(err)
	}
	file := out.Bytes()
	footer := file[len(file)-8-int(binary.LittleEndian.Uint32(file[len(file)-8:])) : len(file)-8]
	file = file[:len(file)-8-len(footer)]
	var meta format.FileMetaData
	compact := new(thrift.CompactProtocol)
	if err := thrift.Unmarshal(compact, footer, &meta); err != nil {
		t.Fatal(err)
	}
	if head.CompressedPageSize == 0 {
		head.CompressedPageSize = int32(len(body))
	}
	page, err := thrift.Marshal(compact, &head)
	if err != nil {
		t.Fatal(err)
	}
	at := 2
	if head.DataPageHeader.V.Encoding == format.DeltaByteArray || head.DataPageHeader.V.Encoding == format.RLEDictionary {
		at = 3
	}
	m := &meta.RowGroups[0].Columns[at].MetaData
	m.Codec, m.DataPageOffset, m.DictionaryPageOffset = codec, int64(len(file)), 0
	file = slices.Concat(file, page, body)
	m.TotalCompressedSize = int64(len(page) + len(body))
	if footer, err = thrift.Marshal(compact, &meta); err != nil {
		t.Fatal(err)
	}
	return ended(slices.Concat(file, footer), len(footer))
}

// ended ends a file whose last n bytes are its footer.
func ended(file []byte, n int) []byte {
	return append(binary.LittleEndian.AppendUint32(file, uint32(n)), "PAR1"...)
}

// dataPage is the head of a page of n values.
func dataPage(encoding format.Encoding, n, size int32) format.PageHeader {
	return format.PageHeader{Type: format.DataPage, UncompressedPageSize: size,
		DataPageHeader: thrift.New(format.DataPageHeader{NumValues: n, Encoding: encoding, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE})}
}

// hostileParquet are small files that claim, or decompress, to gigabytes.
func hostileParquet(t testing.TB) map[string][]byte {
	much := []byte{0xff, 0xff, 0xff, 0xff, 0x07} // 2^31 - 1
	file := func(footer ...byte) []byte { return ended(append([]byte("PAR1"), footer...), len(footer)) }
	shared := []byte{0x80, 1, 4, 2, 0} // a block of 128 in 4 parts, 2 values, the first is 0
	shared = append(shared, 0x80, 0x80, 0x80, 0x10, 0, 0, 0, 0)
	files := map[string][]byte{
		"two billion columns":                 file(slices.Concat([]byte{0x15, 2, 0x19, 0xfc}, much, []byte{0})...),
		"two billion row groups":              file(slices.Concat([]byte{0x15, 2, 0x29, 0x1c, 0x48, 1, 'x', 0, 0x29, 0xfc}, much, []byte{0})...),
		"a million empty row groups":          file(slices.Concat([]byte{0x15, 2, 0x29, 0x1c, 0x48, 1, 'x', 0, 0x29, 0xfc, 0x80, 0x80, 0x40}, make([]byte, 1<<20), []byte{0})...),
		"a text of 2 GB":                      file(slices.Concat([]byte{0x68}, much)...),
		"two billion values":                  claiming(t, format.Uncompressed, dataPage(format.Plain, 1<<31-1, 8), make([]byte, 8)),
		"a page of 2 GB":                      claiming(t, format.Zstd, dataPage(format.Plain, 1, 1<<31-1), zeros(format.Zstd, 8)),
		"a page of 2 GB, not compressed":      claiming(t, format.Uncompressed, format.PageHeader{Type: format.DataPage, UncompressedPageSize: 1<<31 - 1, CompressedPageSize: 1<<31 - 1, DataPageHeader: dataPage(format.Plain, 1, 8).DataPageHeader}, make([]byte, 8)),
		"LZ4 that is none":                    claiming(t, format.Lz4Raw, dataPage(format.Plain, 1, 8), []byte{0xff, 0xff, 0xff}),
		"a dictionary of two billion":         claiming(t, format.Uncompressed, format.PageHeader{Type: format.DictionaryPage, UncompressedPageSize: 8, DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: 1<<31 - 1})}, make([]byte, 8)),
		"runs of two billion":                 claiming(t, format.Uncompressed, dataPage(format.RLEDictionary, 1, 7), append([]byte{1}, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0)),
		"two billion differences":             claiming(t, format.Uncompressed, dataPage(format.DeltaBinaryPacked, 1, 20), slices.Concat([]byte{0x80, 1, 4}, much, []byte{0, 0})),
		"texts that share more than there is": claiming(t, format.Uncompressed, dataPage(format.DeltaByteArray, 2, int32(2*len(shared)+1)), slices.Concat(shared, shared, []byte("x"))),
	}
	for _, codec := range []format.CompressionCodec{format.Zstd, format.Gzip, format.Snappy} {
		files["a bomb in "+codec.String()] = claiming(t, codec, dataPage(format.Plain, 1, 8), zeros(codec, 96<<20))
	}
	return files
}

// What an object claims is found out before memory is taken for it: a small one cannot
// take gigabytes, or end the program.
func TestObjectsThatClaimMuch(t *testing.T) {
	for name, body := range hostileParquet(t) {
		before := taken()
		rows, code := (&object{key: "a.parquet", body: body}).rows(t, coldstore.Parquet, hotreader.Ascending)
		if n := taken() - before; code != hotreader.CodeCorrupt || n > 64<<20 {
			t.Errorf("%s: %q, code %q, %d MB of memory for %d bytes", name, rows, code, n>>20, len(body))
		}
	}
}

// A few bytes may decompress to gigabytes of items: that ends with the query's time.
func TestDeadlineEndsDecompression(t *testing.T) {
	for name, body := range map[string][]byte{
		"an item and another": bytes.Repeat(zstandard(bytes.Repeat(item("e", "2024-03-01T00:00:00Z", ramp(1)[0].Fields), 1<<16)), 800),
	} {
		s := store(t, &object{key: "a.jsonl", body: body}, coldstore.Options{Late: -1})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		began := time.Now()
		for _, err := range s.Scan(ctx, hotreader.Query{Device: "d", Properties: []string{"v"}}) {
			if hotreader.CodeOf(err) != hotreader.CodeDeadline {
				t.Errorf("%s: %v", name, err)
			}
		}
		if cancel(); time.Since(began) > 2*time.Second { // a busy machine may take its share
			t.Errorf("%s: %d bytes took %s", name, len(body), time.Since(began))
		}
	}
}

// Reads of one store share its memory: those that do not fit say so, and are served when
// there is room. What was held is given back.
func TestReadsShareMemory(t *testing.T) {
	records := ramp(12_000)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	for name, o := range map[string]*object{"JSON in no order": {key: "a.jsonl", body: lines("d", records)}, "Parquet": {key: "a.parquet", body: parquetFile(t, "d", ramp(3000))}} {
		s := store(t, o, coldstore.Options{Late: -1})
		read := func() error {
			n := 0
			for _, err := range s.Scan(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}}) {
				if err != nil {
					return err
				}
				n++
			}
			if n < 3000 {
				t.Errorf("%s: %d rows", name, n)
			}
			return nil
		}
		if err := read(); err != nil || s.Held() != 0 {
			t.Fatalf("%s: %v, %d bytes are held", name, err, s.Held())
		}
		release := s.Fill() // by others
		if err := read(); !errors.Is(err, hotreader.CodeOverloaded) {
			t.Errorf("%s, others have the memory: %v", name, err)
		}
		if release(); s.Held() != 0 {
			t.Errorf("%s: %d bytes are held", name, s.Held())
		}
		s.Room(1 << 20)
		var all sync.WaitGroup
		var served atomic.Int64
		for range 8 {
			all.Go(func() {
				if err := read(); err == nil {
					served.Add(1)
				} else if !errors.Is(err, hotreader.CodeOverloaded) {
					t.Errorf("%s, eight at once: %v", name, err)
				}
			})
		}
		if all.Wait(); served.Load() == 0 || s.Held() != 0 {
			t.Errorf("%s: eight at once, and none got an answer; %d bytes are held", name, s.Held())
		}
		if err := read(); err != nil {
			t.Errorf("%s, they are gone: %v", name, err)
		}
		s.Room(10_000)
		if err := read(); !errors.Is(err, hotreader.CodeTooLarge) || s.Held() != 0 {
			t.Errorf("%s, too little memory: %v, %d bytes are held", name, err, s.Held())
		}
	}
}

// Objects that no key places may all have the first row. However many there are, few are
// opened at once, and what they hold together is bounded.
func TestManyObjectsThatNoKeyPlaces(t *testing.T) {
	few, all := map[string][]byte{}, ramp(5000)
	for i := range all {
		few[fmt.Sprintf("part-%05d.jsonl", i)] = lines("d", all[i:i+1])
	}
	open := &opened{Memory: newMemory(few)}
	s := store(t, open, coldstore.Options{})
	live := func() uint64 {
		var now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&now)
		return now.HeapAlloc
	}
	before, most := live(), uint64(0)
	for _, err := range s.Scan(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}}) {
		if err != nil {
			t.Fatal(err)
		}
		now := live() // all wait for their turn
		most = now - min(before, now)
		break
	}
	if err := count(t, s, 5000); err != nil || s.Held() != 0 {
		t.Errorf("%v, %d bytes are held", err, s.Held())
	}
	if n := open.most.Load(); n > 80 || most > 24<<20 {
		t.Errorf("%d objects were open at once, with %d MB of memory", n, most>>20)
	}

	large, body := map[string][]byte{}, lines("d", ramp(3000))
	for i := range 400 {
		large[fmt.Sprintf("part-%05d.jsonl", i)] = body
	}
	s = store(t, newMemory(large), coldstore.Options{})
	s.Room(16 << 20)
	if err := count(t, s, 3000); !errors.Is(err, hotreader.CodeTooLarge) || s.Held() != 0 {
		t.Errorf("more than there is memory for: %v, %d bytes are held", err, s.Held())
	}
}

// opened counts objects that are open at once.
type opened struct {
	*buckettest.Memory
	now, most atomic.Int64
}

func (o *opened) Read(ctx context.Context, of *coldstore.Object, at, n int64) (io.ReadCloser, error) {
	o.most.Store(max(o.most.Load(), o.now.Add(1)))
	body, err := o.Memory.Read(ctx, of, at, n)
	return closing{body, &o.now}, err
}

type closing struct {
	io.Reader
	open *atomic.Int64
}

func (c closing) Close() error {
	c.open.Add(-1)
	return nil
}
