package twinmaker

import (
	"context"
	"iter"
	"testing"
	"time"

	"hotreader"
)

// pageReader yields rows as they are, as cheaply as a Reader can.
type pageReader struct{ rows []hotreader.Row }

func (r *pageReader) Read(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		for i := range r.rows {
			if !yield(r.rows[i], nil) {
				return
			}
		}
	}
}

// BenchmarkRows: 5000 rows of 4 numbers, of a second each, to TwinMaker's JSON;
// beside it the bare loop that copies the same bytes without looking at them,
// with the times already text.
func BenchmarkRows(b *testing.B) {
	r := &pageReader{rows: seconds(5000, "a", "b", "c", "d").rows}
	req := ask("a", "b", "c", "d")
	bare := 0.0 // of the copying loop
	nsPerRow := func(b *testing.B) float64 { return float64(b.Elapsed().Nanoseconds()) / float64(b.N*len(r.rows)) }
	perRow := func(b *testing.B) {
		b.ReportMetric(nsPerRow(b), "ns/row")
		if bare > 0 {
			b.ReportMetric(nsPerRow(b)/bare, "×copy")
		}
	}
	var dst []byte
	b.Run("copy", func(b *testing.B) {
		type row struct {
			time   []byte
			values [4][]byte
		}
		var rows []row
		for _, r := range r.rows {
			n := row{time: hotreader.AppendTime(nil, r.Time)}
			for i, v := range r.Values {
				n.values[i] = v.Text()
			}
			rows = append(rows, n)
		}
		var columns [4][]byte
		b.ReportAllocs()
		for b.Loop() {
			for i := range columns {
				columns[i] = columns[i][:0]
			}
			for i := range rows {
				for j, digits := range rows[i].values {
					c := columns[j]
					c = append(c, `{"time":"`...)
					c = append(c, rows[i].time...)
					c = append(c, `","value":{"doubleValue":`...)
					c = append(c, digits...)
					columns[j] = append(c, "}},"...)
				}
			}
			dst = dst[:0]
			for _, c := range columns {
				dst = append(dst, c...)
			}
		}
		b.SetBytes(int64(len(dst)))
		perRow(b)
		bare = nsPerRow(b)
	})
	answer := func(b *testing.B, req Request, types []hotreader.Type) {
		req.Query.Types = types
		responder := &Responder{Reader: r}
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if dst, err = responder.AppendHistory(b.Context(), dst[:0], req); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(len(dst)))
		perRow(b)
	}
	typed := []hotreader.Type{hotreader.Double, hotreader.Double, hotreader.Double, hotreader.Double}
	b.Run("declared", func(b *testing.B) { answer(b, req, typed) })
	b.Run("untyped", func(b *testing.B) { answer(b, req, nil) })
	b.Run("interpolated", func(b *testing.B) {
		req := req
		req.Query.Start, req.Interpolation = r.rows[0].Time.Add(-time.Second/2), time.Second
		answer(b, req, typed)
	})
}
