//go:build linux

package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/store/boltstore"
	"hotreader/test/serving"
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
