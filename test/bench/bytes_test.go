//go:build linux

package bench

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/store/memstore"
	"hotreader/wire"
)

// temperatureFile is where a copy of the machine temperature of the Numenta
// Anomaly Benchmark may lie, "timestamp,value" a line; else a series like it is
// made up.
const temperatureFile = "../../../shared/data/machine_temperature.csv"

// BenchmarkBytes: how many bytes a point takes between clouds, framing included,
// and how many as TwinMaker's JSON. These do not depend on the machine.
func BenchmarkBytes(b *testing.B) {
	walks := func(*testing.B) []hotreader.Record {
		r := rand.New(rand.NewPCG(1, 2))
		level := [3]float64{20, 60, 5}
		records := make([]hotreader.Record, 10_000)
		for i := range records {
			records[i].Time = at(i)
			for p, sigma := range []float64{0.10, 0.30, 0.05} {
				level[p] += r.NormFloat64() * sigma
				records[i].Fields = append(records[i].Fields, hotreader.Field{Name: properties[p],
					Value: hotreader.NumberValue(strconv.AppendFloat(nil, level[p], 'f', 2, 64))})
			}
		}
		return records
	}
	for _, c := range []struct {
		name    string
		columns int
		records func(*testing.B) []hotreader.Record
	}{{"walks", 3, walks}, {"temperature", 1, temperature}} {
		b.Run(c.name, func(b *testing.B) {
			store := memstore.New()
			if err := store.Write(b.Context(), "d", c.records(b)); err != nil {
				b.Fatal(err)
			}
			req := request
			req.Query.Properties, req.Query.Types = properties[:c.columns], doubles[:c.columns]
			responder := twinmaker.Responder{Reader: hotreader.NewReader(store), MaxBytes: 1 << 30}
			answer, err := responder.AppendHistory(b.Context(), nil, req)
			if err != nil {
				b.Fatal(err)
			}
			var stream bytes.Buffer
			points := 0
			for b.Loop() {
				stream.Reset()
				points = 0
				e := wire.NewEncoder(&stream, req.Query)
				for row, err := range hotreader.NewReader(store).Read(b.Context(), req.Query) {
					if err == nil {
						err = e.Row(row)
					}
					if err != nil {
						b.Fatal(err)
					}
					points += c.columns
				}
				if err := e.End(false); err != nil {
					b.Fatal(err)
				}
				e.Close()
			}
			b.ReportMetric(float64(stream.Len())/float64(points), "B/point")
			b.ReportMetric(float64(len(answer))/float64(points), "B/point-as-JSON")
			b.ReportMetric(float64(len(answer))/float64(stream.Len()), "times-less")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func temperature(b *testing.B) []hotreader.Record {
	f, err := os.Open(temperatureFile)
	if errors.Is(err, fs.ErrNotExist) {
		b.Log("a made-up series; for the real one put it at " + temperatureFile)
		return madeUp()
	}
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var records []hotreader.Record
	for lines := csv.NewReader(f); ; {
		line, err := lines.Read()
		if err == io.EOF {
			return records
		}
		if err != nil {
			b.Fatal(err)
		}
		t, err := hotreader.ParseTime([]byte(line[0]))
		if err != nil {
			if len(records) == 0 {
				continue // the heading
			}
			b.Fatal(err)
		}
		records = append(records, hotreader.Record{Time: t, Fields: []hotreader.Field{{Name: properties[0], Value: hotreader.NumberValue([]byte(line[1]))}}})
	}
}

// madeUp is mostly of eight decimals, and now and then shows that a float64 was
// added up to it.
func madeUp() []hotreader.Record {
	r := rand.New(rand.NewPCG(3, 4))
	records := make([]hotreader.Record, 22_695)
	level := 75.0
	for i := range records {
		level += r.NormFloat64()
		f := math.Round(level*1e8) / 1e8
		if i%20 == 7 {
			f = math.Nextafter(f, 0)
		}
		records[i] = hotreader.Record{Time: begin.Add(time.Duration(i) * 5 * time.Minute),
			Fields: []hotreader.Field{{Name: properties[0], Value: hotreader.Float64Value(f)}}}
	}
	return records
}
