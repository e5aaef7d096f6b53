package coldstore_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"runtime/metrics"
	"testing"
	"testing/iotest"

	"hotreader"
	"hotreader/store/coldstore"
)

// An object is a bucket with one. Its bytes come one by one where it is slow.
type object struct {
	key  string
	body []byte
	slow bool
}

func (o *object) String() string { return "object:" }

func (o *object) List(context.Context, string, string) iter.Seq2[coldstore.Page, error] {
	return func(yield func(coldstore.Page, error) bool) {
		yield(coldstore.Page{Objects: []coldstore.Object{{Key: o.key, Size: int64(len(o.body))}}}, nil)
	}
}

func (o *object) Read(_ context.Context, _ *coldstore.Object, at, n int64) (io.ReadCloser, error) {
	var r io.Reader = bytes.NewReader(o.body[at : at+n])
	if o.slow {
		r = iotest.OneByteReader(r)
	}
	return io.NopCloser(r), nil
}

// rows reads an object, one row a text, and the code of the error that ends it.
func (o *object) rows(t testing.TB, format coldstore.Format, order hotreader.Order) (rows []string, code hotreader.Code) {
	t.Helper()
	s, err := coldstore.New(o, coldstore.Options{Format: format, Late: -1})
	if err != nil {
		t.Fatal(err)
	}
	for row, err := range s.Scan(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v", "w"}, Order: order}) {
		if err != nil {
			return rows, hotreader.CodeOf(err)
		}
		rows = append(rows, fmt.Sprintf("%s %s %s", row.Time, row.Values[0], row.Values[1]))
	}
	return rows, ""
}

// taken returns how many bytes of memory this process has asked for.
func taken() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// FuzzJSON: whatever an object is, it is read alike in both directions and byte by byte,
// or it is an error that blames it.
func FuzzJSON(f *testing.F) {
	one := item("d", "2024-03-01T00:00:00Z", ramp(1)[0].Fields)
	for _, body := range [][]byte{one, append(bytes.Clone(one), one...), []byte("[" + string(one) + "]"), gzipped(one), zstandard(one),
		[]byte(`{"Item":{"device_id":{"S":"d"},"timestamp":{"S":"2024-03-01T00:00:00Z"},"v":{"N":"1.5"},"w":{"M":{"x":{"L":[]}}}}}`),
		[]byte(`{"device_id":"d","timestamp":"2024-03-01T00:00:00Z","v":{"a":[1,"\ud800"]},"w":"\u0000"}`)} {
		for n := range coldstore.Formats {
			f.Add(byte(n), body)
		}
	}
	f.Fuzz(func(t *testing.T, n byte, body []byte) {
		o := &object{key: "a.jsonl", body: body}
		format := append([]coldstore.Format{coldstore.AnyFormat}, coldstore.Formats...)[n%4] // Parquet has its own
		if format == coldstore.Parquet {
			format = coldstore.Export
		}
		if format == coldstore.Mover {
			o.key = "d/2024-03-01T00:00:00Z-2024-03-01T01:59:00Z/chunk-00000.json"
		}
		checkObject(t, o, format)
	})
}

// checkObject reads an object in both directions, fast and slowly.
func checkObject(t *testing.T, o *object, format coldstore.Format) {
	t.Helper()
	before := taken()
	rows, code := o.rows(t, format, hotreader.Ascending)
	if n := taken() - before; n > 200<<20 {
		t.Errorf("an object of %d bytes took %d MB of memory", len(o.body), n>>20)
	}
	back, backCode := o.rows(t, format, hotreader.Descending)
	o.slow = true
	slow, slowCode := o.rows(t, format, hotreader.Ascending)
	if code != backCode || code != slowCode {
		t.Fatalf("codes %q, backward %q, slow %q", code, backCode, slowCode)
	}
	switch code {
	case hotreader.CodeCorrupt, hotreader.CodeUnreadable, hotreader.CodeTooLarge:
		return
	case "":
	default:
		t.Fatalf("the code is %q", code)
	}
	if len(rows) != len(back) || fmt.Sprint(rows) != fmt.Sprint(slow) {
		t.Fatalf("%q, backward %q, slow %q", rows, back, slow)
	}
	for i := range rows {
		if rows[i] != back[len(back)-1-i] {
			t.Fatalf("%q, backward %q", rows, back)
		}
	}
}

// FuzzParquet is FuzzJSON for Parquet.
func FuzzParquet(f *testing.F) {
	f.Add(parquetFile(f, "d", ramp(3)))
	for _, body := range hostileParquet(f) {
		if len(body) < 64<<10 {
			f.Add(body)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		checkObject(t, &object{key: "a.parquet", body: body}, coldstore.Parquet)
	})
}
