package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"hotreader"
)

// benchRows is large enough that what a read costs once does not show in what
// it costs a row.
const benchRows = 20_000

// Bench measures the driver of h: rows a second, allocations a row, and what the
// smallest questions cost.
func Bench(b *testing.B, h Harness) {
	src, w := h.New(b)
	var records []hotreader.Record
	for i := range benchRows {
		records = append(records, record(at(time.Duration(i)*5*time.Minute),
			field("temperature", num(fmt.Sprintf("%d.%08d", 60+i%40, (i*7919)%100_000_000))),
			field("pressure", num(fmt.Sprintf("%d.%02d", i%7, i%100))),
			field("speed", num(strconv.Itoa(1400+i%200))),
			field("state", str("running"))))
	}
	for batch := range slices.Chunk(records, 2500) {
		if err := w.Write(b.Context(), "d", batch); err != nil {
			b.Fatal(err)
		}
	}
	four := []string{"temperature", "pressure", "speed", "state"}
	types := []hotreader.Type{hotreader.Double, hotreader.Double, hotreader.Integer, hotreader.ShortString}
	for _, c := range []struct {
		name string
		q    hotreader.Query
		rows int
	}{
		{"scan/1", hotreader.Query{Properties: four[:1], Types: types[:1]}, benchRows},
		{"scan/4", hotreader.Query{Properties: four, Types: types}, benchRows},
		{"scan/4/descending", hotreader.Query{Properties: four, Types: types, Order: hotreader.Descending}, benchRows},
		{"filter", hotreader.Query{Properties: four[:1], Filters: []hotreader.Filter{{Property: "speed", Op: hotreader.Equal, Value: num("1500")}}}, benchRows / 200},
		{"page/200", hotreader.Query{Properties: four, Types: types, Start: records[benchRows/2].Time, Limit: 200}, 200},
		{"newest", hotreader.Query{Properties: four, Types: types, Order: hotreader.Descending, Limit: 1}, 1},
		{"last", hotreader.Query{Properties: four, Types: types, Last: true}, 1},
		{"unknown", hotreader.Query{Properties: []string{"nothing"}, Start: records[0].Time.Add(-time.Hour), End: records[0].Time.Add(-time.Minute)}, 0},
	} {
		c.q.Device = "d"
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			rows := 0
			for b.Loop() {
				rows = 0
				for row, err := range hotreader.NewReader(src).Read(b.Context(), c.q) {
					if err != nil {
						b.Fatal(err)
					}
					rows += min(len(row.Values), 1)
				}
			}
			if rows != c.rows {
				b.Fatalf("%d rows came, want %d", rows, c.rows)
			}
			perSecond(b, rows)
		})
	}
	b.Run("write/1000", func(b *testing.B) {
		batch := slices.Clone(records[:1000])
		n := 0
		b.ReportAllocs()
		for b.Loop() {
			for i := range batch { // always after what is there, as telemetry comes
				batch[i].Time = at(time.Duration(n) * time.Second)
				n++
			}
			if err := w.Write(b.Context(), "written", batch); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b, len(batch))
	})
}

func perSecond(b *testing.B, rows int) {
	if s := b.Elapsed().Seconds(); s > 0 && rows > 0 {
		b.ReportMetric(float64(rows)*float64(b.N)/s, "rows/s")
	}
}
