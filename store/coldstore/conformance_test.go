package coldstore_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/folder"
	"hotreader/store/storetest"
)

// All but what takes long, which TestProofConformanceJSONLines has, too.
func TestConformanceJSONLines(t *testing.T) {
	h := linesHarness()
	h.Not = []string{"random/as the oracle answers"}
	storetest.Run(t, h)
}

func linesHarness() storetest.Harness {
	encodings := []func([]byte) []byte{plain, gzipped, zstandard}
	return harness(false, func(n int, device string, records []hotreader.Record) (string, []byte) {
		return "jsonl", encodings[n%len(encodings)](lines(device, records))
	})
}

// The values and the order of rows; all of it is proven in TestProofConformanceParquet.
func TestConformanceParquet(t *testing.T) { parquetHarness(t).RunRows(t) }

func parquetHarness(t *testing.T) storetest.Harness {
	h := harness(true, func(_ int, device string, records []hotreader.Record) (string, []byte) {
		return "parquet", parquetFile(t, device, records)
	})
	h.RewritesNumbers = true // DECIMAL has a number's value
	h.PutRaw = nil
	return h
}

// Movers' arrays, by the names of the range.
func TestConformanceMover(t *testing.T) {
	h := harness(false, func(_ int, device string, records []hotreader.Record) (string, []byte) {
		items := bytes.ReplaceAll(bytes.TrimSpace(lines(device, records)), []byte("\n"), []byte(", "))
		return "json", slices.Concat([]byte("["), items, []byte("]"))
	})
	h.RunRows(t)
}

// encode writes the n-th object: the ending of its key, and what it holds.
type encode func(n int, device string, records []hotreader.Record) (ending string, body []byte)

func harness(alike bool, e encode) storetest.Harness {
	var w *writer
	return storetest.Harness{
		OnlyWrites: true,
		LatestWins: true,
		New: func(t testing.TB) (hotreader.Source, hotreader.Writer) {
			w = &writer{dir: t.TempDir(), encode: e, alike: alike}
			return open(t, w.dir, coldstore.Options{Late: -1}), w
		},
		PutRaw: func(t testing.TB, device, timeText string, fields ...hotreader.Field) {
			w.n++
			w.put(t, filepath.Join(w.dir, fmt.Sprintf("raw-%06d.jsonl", w.n)), item(device, timeText, fields))
		},
	}
}

func open(t testing.TB, dir string, o coldstore.Options) *coldstore.Store {
	t.Helper()
	b, err := folder.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	s, err := coldstore.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A writer writes objects in a folder, those of a month below its name.
type writer struct {
	dir    string
	encode encode
	alike  bool // the records of an object have the same properties of the same kinds
	mu     sync.Mutex
	n      int
	files  []*file
}

type file struct {
	name, device string
	records      []hotreader.Record
}

func (w *writer) put(t testing.TB, name string, body []byte) {
	if err := write(name, body, w.n); err != nil {
		t.Fatal(err)
	}
}

func write(name string, body []byte, n int) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	half := filepath.Join(filepath.Dir(name), "_"+filepath.Base(name))
	if err := os.WriteFile(half, body, 0o600); err != nil {
		return err
	}
	at := time.Unix(1_700_000_000+int64(n), 0) // in the order in which they are written
	if err := os.Chtimes(half, at, at); err != nil {
		return err
	}
	return os.Rename(half, name)
}

// Write adds objects, and takes records that are replaced out of older ones.
func (w *writer) Write(_ context.Context, device string, records []hotreader.Record) error {
	if err := hotreader.CheckRecords(device, records); err != nil {
		return &hotreader.Error{Op: "write", Code: hotreader.CodeInvalid, Err: err}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	last, months := map[int64]int{}, map[string]bool{}
	key := func(r hotreader.Record) int64 { return r.Time.Unix()<<30 + int64(r.Time.Nanosecond()) }
	for i, r := range records {
		last[key(r)] = i
		months[r.Time.UTC().Format("2006-01")] = true
	}
	wide := len(months) > 3
	for _, f := range w.files {
		if f.device != device || !slices.ContainsFunc(f.records, func(r hotreader.Record) bool { _, again := last[key(r)]; return again }) {
			continue
		}
		f.records = slices.DeleteFunc(f.records, func(r hotreader.Record) bool { _, again := last[key(r)]; return again })
		w.n++
		_, body := w.encode(ending(f.name), device, f.records)
		if err := write(f.name, body, w.n); err != nil { // none may be left: an object that is gone is an error
			return err
		}
	}
	var groups []*file
	for i, r := range records {
		if r.Time = r.Time.UTC(); last[key(r)] != i {
			continue
		}
		r.Fields = slices.Clone(r.Fields)
		for k := range r.Fields {
			r.Fields[k].Value = r.Fields[k].Value.Clone()
		}
		folder := "any"
		if !wide {
			folder = r.Time.Format("dt=2006-01")
		}
		at := slices.IndexFunc(groups, func(f *file) bool { return f.name == folder && (!w.alike || fits(f.records, r)) })
		if at < 0 {
			at, groups = len(groups), append(groups, &file{name: folder, device: device})
		}
		groups[at].records = append(groups[at].records, r)
	}
	for _, f := range groups {
		w.n++
		ending, body := w.encode(w.n, device, f.records)
		f.name = filepath.Join(w.dir, f.name, fmt.Sprintf("part-%06d.%s", w.n, ending))
		if err := write(f.name, body, w.n); err != nil {
			return err
		}
		w.files = append(w.files, f)
	}
	return nil
}

// fits reports whether one schema fits a record and others: their properties are of the
// same kinds.
func fits(records []hotreader.Record, r hotreader.Record) bool {
	for _, f := range r.Fields {
		for _, other := range records {
			for _, g := range other.Fields {
				if f.Name == g.Name && !f.Value.IsNull() && !g.Value.IsNull() && f.Value.Kind() != g.Value.Kind() {
					return false
				}
			}
			if len(other.Fields) > 0 && len(records) > 100 { // they are like the first
				break
			}
		}
	}
	return true
}

// ending returns what encode was called with for a file.
func ending(name string) (n int) {
	fmt.Sscanf(filepath.Base(name), "part-%d", &n)
	return n
}

func lines(device string, records []hotreader.Record) (b []byte) {
	for _, r := range records {
		b = append(b, item(device, r.Time.Format(time.RFC3339Nano), r.Fields)...)
	}
	return b
}

func item(device, timeText string, fields []hotreader.Field) []byte {
	b := jsontext.AppendString([]byte(`{"device_id":`), device)
	b = jsontext.AppendString(append(b, `,"timestamp":`...), timeText)
	for _, f := range fields {
		b = append(jsontext.AppendString(append(b, ','), f.Name), ':')
		switch f.Value.Kind() {
		case hotreader.String:
			b = jsontext.AppendString(b, f.Value.Text())
		default:
			b = append(b, f.Value.String()...)
		}
	}
	return append(b, "}\n"...)
}

func plain(b []byte) []byte { return b }

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func zstandard(b []byte) []byte {
	z, _ := zstd.NewWriter(nil)
	return z.EncodeAll(b, nil)
}

// parquetFile writes records whose properties are of one kind each.
func parquetFile(t testing.TB, device string, records []hotreader.Record) []byte {
	scales := map[string]int{}
	schema := parquet.Group{"device_id": parquet.String(), "timestamp": parquet.String()}
	for _, r := range records {
		for _, f := range r.Fields {
			scales[f.Name] = max(scales[f.Name], scale(f.Value))
			switch f.Value.Kind() {
			case hotreader.Bool:
				schema[f.Name] = parquet.Optional(parquet.Leaf(parquet.BooleanType))
			case hotreader.Number:
				schema[f.Name] = parquet.Optional(parquet.Decimal(scales[f.Name], 1000, parquet.ByteArrayType))
			case hotreader.String:
				schema[f.Name] = parquet.Optional(parquet.String())
			}
		}
	}
	var out bytes.Buffer
	s := parquet.NewSchema("item", schema)
	w := parquet.NewGenericWriter[any](&out, s, parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(500))
	for _, r := range records {
		var row parquet.Row
		for i, name := range s.Columns() {
			v := parquet.NullValue().Level(0, 0, i)
			for _, f := range r.Fields {
				if f.Name == name[0] && !f.Value.IsNull() {
					v = cell(f.Value, scales[f.Name]).Level(0, 1, i)
				}
			}
			switch name[0] {
			case "device_id":
				v = parquet.ValueOf(device).Level(0, 0, i)
			case "timestamp":
				v = parquet.ValueOf(r.Time.UTC().Format(time.RFC3339Nano)).Level(0, 0, i)
			}
			row = append(row, v)
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func cell(v hotreader.Value, scale int) parquet.Value {
	switch v.Kind() {
	case hotreader.Bool:
		return parquet.ValueOf(v.Bool())
	case hotreader.Number:
		return parquet.ValueOf(unscaled(v, scale))
	}
	return parquet.ValueOf(string(v.Text()))
}

func rational(v hotreader.Value) *big.Rat {
	r, _ := new(big.Rat).SetString(string(v.Text()))
	return r
}

// scale returns how many decimals a number has.
func scale(v hotreader.Value) (n int) {
	if v.Kind() != hotreader.Number {
		return 0
	}
	for r := rational(v); !r.IsInt(); n++ {
		r.Mul(r, big.NewRat(10, 1))
	}
	return n
}

// unscaled returns a number without its point, in two's complement.
func unscaled(v hotreader.Value, scale int) []byte {
	r := rational(v)
	r.Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
	n := r.Num()
	bytes := n.BitLen()/8 + 1
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*bytes)))
	}
	return n.FillBytes(make([]byte, bytes))
}
