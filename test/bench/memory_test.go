//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/store/boltstore"
	"hotreader/store/memstore"
	"hotreader/test/serving"
	"hotreader/wire"
)

// What the processes of BenchmarkMemory are told.
const (
	storePath = "HOTREADER_BENCH_STORE"
	apiURL    = "HOTREADER_BENCH_URL"
)

// BenchmarkMemory: rows of three numbers go from a bolt store through the Hot
// Reader API to a remote reader in another process. It reports what memory the
// two processes had at the most, without the pages of files, the time a row, and
// the processor time of both.
func BenchmarkMemory(b *testing.B) {
	perRow, cpuPerRow := map[int]float64{}, map[int]float64{}
	before := 0 // rows
	for _, rows := range []int{1_000, 1_000_000, 10_000_000} {
		b.Run(strconv.Itoa(rows), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "s.db")
			fillStore(b, path, rows)
			server, _, out := child(b, "serve", storePath+"="+path)
			url := "http://" + address(b, out)
			var seconds, busy []float64
			var peak int64
			served := serving.WatchMemory(b, server.Process.Pid)
			b.ResetTimer()
			for range b.N {
				from, cpu := time.Now(), processorTime(b, server.Process.Pid)
				reader, in, out := child(b, "read", apiURL+"="+url)
				held := serving.WatchMemory(b, reader.Process.Pid)
				var n int
				if _, err := fmt.Fscan(out, &n); err != nil || n != rows {
					b.Fatalf("%d of %d rows came, %v", n, rows, err)
				}
				seconds = append(seconds, time.Since(from).Seconds())
				cpu = processorTime(b, server.Process.Pid) - cpu + processorTime(b, reader.Process.Pid)
				busy = append(busy, cpu.Seconds())
				peak = max(peak, held())
				_ = in.Close() // lets it end
			}
			b.ReportMetric(float64(peak)/1e6, "MB-reader")
			b.ReportMetric(float64(served())/1e6, "MB-server")
			now := median(seconds) / float64(rows)
			cpu := median(busy) / float64(rows)
			b.ReportMetric(now*1e9, "ns/row")
			b.ReportMetric(cpu*1e9, "processor-ns/row")
			if before >= 1_000_000 { // below, starting the reader is most of it
				b.ReportMetric(now/perRow[before], "ns/row-to-that-of-fewer")
				b.ReportMetric(cpu/cpuPerRow[before], "processor-ns/row-to-that-of-fewer")
			}
			perRow[rows], cpuPerRow[rows] = now, cpu
			b.ReportMetric(0, "ns/op")
		})
		before = rows
	}
}

func fillStore(b *testing.B, path string, rows int) {
	b.Helper()
	store, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	const batch = 50_000
	records := make([]hotreader.Record, 0, batch)
	for i := range rows {
		r := hotreader.Record{Time: at(i)}
		for p, name := range properties[:3] {
			r.Fields = append(r.Fields, hotreader.Field{Name: name, Value: hotreader.NumberValue([]byte(value(i, p)))})
		}
		if records = append(records, r); len(records) == batch || i == rows-1 {
			if err := store.Write(b.Context(), "d", records); err != nil {
				b.Fatal(err)
			}
			records = records[:0]
		}
	}
}

// serveStore serves the store until it is killed.
func serveStore() error {
	store, err := boltstore.Open(os.Getenv(storePath), boltstore.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	t, err := identity.Static(token)
	if err != nil {
		return err
	}
	api, err := httpapi.New(httpapi.Options{Source: store, Token: t, MaxStream: -1, MaxTime: time.Hour})
	if err != nil {
		return err
	}
	return listen(httpapi.Server(api))
}

// readRemote reads all rows, says how many there were, and waits until its
// memory has been looked at.
func readRemote() error {
	t, err := identity.Static(token)
	if err != nil {
		return err
	}
	r, err := remote.New(remote.Options{URL: os.Getenv(apiURL), Credential: t, SourceCloud: "aws"})
	if err != nil {
		return err
	}
	n := 0
	for _, err := range hotreader.NewReader(r).Read(context.Background(), hotreader.Query{Device: "d", Properties: properties[:3]}) {
		if err != nil {
			return err
		}
		n++
	}
	fmt.Println(n)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

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
