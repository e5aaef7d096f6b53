//go:build proof

package coldstore_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/storetest"
)

func TestProofConformanceJSONLines(t *testing.T) { storetest.Run(t, linesHarness()) }

func TestProofConformanceParquet(t *testing.T) { storetest.Run(t, parquetHarness(t)) }

// A vast object is made as it is read: lines of one length, a second apart.
type vast struct{ rows int64 }

func vastLine(b []byte, n int64) []byte {
	at := day.Add(time.Duration(n) * time.Second).Format(time.RFC3339)
	return fmt.Appendf(b, `{"device_id":"d","timestamp":"%s","v":%10d,"note":"1234567890123456789012345678901234567890"}`+"\n", at, n)
}

var vastSize = int64(len(vastLine(nil, 0)))

func (v vast) String() string { return "vast:" }

func (v vast) List(context.Context, string, string) iter.Seq2[coldstore.Page, error] {
	return func(yield func(coldstore.Page, error) bool) {
		yield(coldstore.Page{Objects: []coldstore.Object{{Key: "dt=2024-03-01/vast.jsonl", Size: v.rows * vastSize, Modified: day}}}, nil)
	}
}

func (v vast) Read(_ context.Context, _ *coldstore.Object, at, n int64) (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(&vastBody{next: at / vastSize, skip: int(at % vastSize)}, n)), nil
}

type vastBody struct {
	next int64
	skip int
	left []byte
}

func (b *vastBody) Read(p []byte) (int, error) {
	for len(b.left) < len(p) {
		b.left = vastLine(b.left, b.next)
		if b.next++; b.skip > 0 {
			b.left, b.skip = b.left[b.skip:], 0
		}
	}
	n := copy(p, b.left)
	b.left = bytes.Clone(b.left[n:])
	return n, nil
}

// An object of 2 GB comes exactly, in bounded memory; so does its end, latest first.
func TestProofAnObjectOf2GB(t *testing.T) {
	v := vast{rows: (2<<30)/vastSize + 1}
	s := store(t, v, coldstore.Options{Late: 365 * 24 * time.Hour})
	for _, q := range []hotreader.Query{{}, {Order: hotreader.Descending, Limit: 1000}, {Last: true, End: day.AddDate(1, 0, 0)}} {
		q.Device, q.Properties = "d", []string{"v"}
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		n, most := int64(0), uint64(0)
		for r, err := range hotreader.NewReader(s).Read(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			at := n
			if q.Backward() {
				at = v.rows - 1 - n
			}
			if r.Values[0].String() != fmt.Sprint(at) || !r.Time.Equal(day.Add(time.Duration(at)*time.Second)) {
				t.Fatalf("row %d is %v at %v", n, r.Values[0], r.Time)
			}
			if n++; n%500_000 == 1 {
				runtime.GC()
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
			}
		}
		want := map[bool]int64{true: v.rows, false: 1000}[q.Order == hotreader.Ascending]
		if q.Last {
			want = 1
		}
		if n != want || most > 96e6 {
			t.Errorf("%+v: %d rows, want %d; up to %d bytes of memory", q, n, want, most)
		}
		t.Logf("%d rows of %d bytes, up to %d MB of memory", n, v.rows*vastSize, most>>20)
	}
}
