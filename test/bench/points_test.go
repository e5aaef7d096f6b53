//go:build linux

package bench

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/test/serving"
)

// walk is a Source of so many rows of a number, a second apart: a random walk of two
// decimals, the same at each reading.
type walk int

func (n walk) Scan(_ context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		r := rand.New(rand.NewPCG(5, 6))
		level, digits := 20.0, []byte(nil)
		values := make([]hotreader.Value, 1)
		for i := range int(n) {
			level += 0.1 * r.NormFloat64()
			digits = strconv.AppendFloat(digits[:0], level, 'f', 2, 64)
			values[0] = hotreader.NumberValue(digits)
			if t := at(i); q.Contains(t) && !yield(hotreader.Row{Time: t, Values: values}, nil) {
				return
			}
		}
	}
}

// What is drawn: 1,000 columns.
const points = 4000

// pointsOf asks for the points of so many rows.
func pointsOf(rows int, names ...string) hotreader.Query {
	return hotreader.Query{Device: "d", Properties: names, Start: at(0), End: at(rows - 1), Pick: hotreader.Points(at(0), at(rows-1), points)}
}

// count reads to the end.
func count(ctx context.Context, src hotreader.Source, q hotreader.Query) (n int, err error) {
	for _, err := range hotreader.NewReader(src).Read(ctx, q) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

const pickedRows = 10_000_000

// pickRows picks from many rows, says how many there were, and waits until its memory
// has been looked at.
func pickRows() error {
	n, err := count(context.Background(), walk(pickedRows), pointsOf(pickedRows, "p"))
	if err != nil {
		return err
	}
	fmt.Println(n)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// BenchmarkPointsMemory: ten million rows become 4,000 points in one pass.
func BenchmarkPointsMemory(b *testing.B) {
	const most = 64e6
	var peak int64
	n := 0
	for b.Loop() {
		process, in, out := child(b, "pick")
		held := serving.WatchMemory(b, process.Process.Pid)
		if _, err := fmt.Fscan(out, &n); err != nil {
			b.Fatal(err)
		}
		peak = max(peak, held())
		_ = in.Close() // lets it end
	}
	if peak > most || n > points || n < points/2 {
		b.Errorf("%d bytes for %d points of %d rows", peak, n, pickedRows)
	}
	b.ReportMetric(float64(peak)/1e6, "MB")
	b.ReportMetric(float64(n), "points")
}

// BenchmarkPointsTime: what picking costs a value, beside reading it from bolt.
func BenchmarkPointsTime(b *testing.B) {
	const rows = longRows
	store := boltOf(b, rows)
	for _, c := range []struct {
		name  string
		names []string
	}{{"1", properties[:1]}, {"4", properties}} {
		b.Run(c.name, func(b *testing.B) {
			picked := pointsOf(rows, c.names...)
			whole := picked
			whole.Pick = hotreader.Pick{}
			spent := func(q hotreader.Query) float64 {
				before := processorTime(b, os.Getpid())
				if _, err := count(b.Context(), store, q); err != nil {
					b.Fatal(err)
				}
				return float64((processorTime(b, os.Getpid()) - before).Nanoseconds()) / float64(rows*len(c.names))
			}
			spent(whole)
			var all, more []float64
			for b.Loop() {
				read := spent(whole)
				all, more = append(all, read), append(more, spent(picked)-read)
			}
			b.ReportMetric(median(all), "ns/value-read")
			b.ReportMetric(median(more), "ns/value-picked")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkPointsBytes: a year of seconds from the API of another cloud, as a whole and
// as 4,000 points.
func BenchmarkPointsBytes(b *testing.B) {
	const rows = 365 * 24 * 60 * 60
	key, err := identity.Static(token)
	if err != nil {
		b.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Options{Source: walk(rows), Token: key, MaxStream: -1, MaxTime: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(api)
	defer server.Close()
	far, err := remote.New(remote.Options{URL: server.URL, Credential: key})
	if err != nil {
		b.Fatal(err)
	}
	bytes := func(q hotreader.Query, least int) float64 {
		stats := &hotreader.Stats{}
		if n, err := count(hotreader.WithStats(b.Context(), stats), far, q); err != nil || n < least {
			b.Fatalf("%d rows, %v", n, err)
		}
		return float64(stats.Bytes.Load())
	}
	var all, some float64
	for b.Loop() {
		q := pointsOf(rows, "p")
		some = bytes(q, points/2)
		q.Pick = hotreader.Pick{}
		all = bytes(q, rows)
	}
	if all < 1000*some {
		b.Errorf("%.0f bytes of rows, %.0f of points", all, some)
	}
	b.ReportMetric(all/1e6, "MB-rows")
	b.ReportMetric(some/1e3, "KB-points")
	b.ReportMetric(all/some, "times-less")
	b.ReportMetric(0, "ns/op")
}
