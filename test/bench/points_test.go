//go:build linux

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/store/boltstore"
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

// BenchmarkMenus is a dashboard with a menu for the device and one for the property,
// over a twin of 10,000 devices of 20 properties: each request as the dashboard sends
// it, and the time until its answer is there, beside that of a server which sends the
// same bytes and knows nothing.
func BenchmarkMenus(b *testing.B) {
	const token = "a-token-of-at-least-32-bytes-00000001"
	shared, err := identity.Static(token)
	if err != nil {
		b.Fatal(err)
	}
	h, err := httpapi.New(httpapi.Options{Source: fleetStore(b), Catalog: fleet(b), Token: shared, Rate: -1})
	if err != nil {
		b.Fatal(err)
	}
	api := httptest.NewServer(h)
	b.Cleanup(api.Close)
	get := func(url string) []byte {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("%s: %s %s, %v", url, resp.Status, body, err)
		}
		return body
	}
	for _, r := range []struct{ name, path, has string }{
		{"devices", "/v1/devices", `"id":"machine-09999"`},
		{"type", "/v1/devices?type=pump-7", `"id":"machine-00007"`},
		{"prefix", "/v1/devices?prefix=machine-05", `"id":"machine-05999"`},
		{"device", "/v1/devices/machine-05000", `"last_time":"2024-02-01`},
		{"history", "/v1/devices/machine-05000/history?property=p00,p01&start=-100000h&limit=1000", `"p01":`},
		{"latest", "/v1/devices/machine-05000/latest?property=p00,p01", `"p01":`},
	} {
		b.Run(r.name, func(b *testing.B) {
			body := get(api.URL + r.path)
			if !strings.Contains(string(body), r.has) {
				b.Fatalf("%s is not in %.200s", r.has, body)
			}
			same := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, bytes.NewReader(body)) }))
			defer same.Close()
			var ours, bare []float64
			for b.Loop() {
				from := time.Now()
				get(api.URL + r.path)
				ours = append(ours, time.Since(from).Seconds()*1000)
				from = time.Now()
				get(same.URL)
				bare = append(bare, time.Since(from).Seconds()*1000)
			}
			b.ReportMetric(median(ours), "ms")
			b.ReportMetric(median(bare), "bytes-alone-ms")
			b.ReportMetric(ratio(ours, bare), "ms/bytes-alone-ms")
			b.ReportMetric(0, "ns/op") // of both together: says nothing
		})
	}
}

const (
	fleetDevices    = 10_000
	fleetProperties = 20
)

func fleet(b *testing.B) *catalog.Catalog {
	var devices []catalog.Device
	for i := range fleetDevices {
		d := catalog.Device{ID: fmt.Sprintf("machine-%05d", i), Type: fmt.Sprintf("pump-%d", i%100)}
		for p := range fleetProperties {
			d.Properties = append(d.Properties, catalog.Property{Name: fmt.Sprintf("p%02d", p), Type: hotreader.Double, Unit: "bar"})
		}
		devices = append(devices, d)
	}
	c, err := catalog.Of(devices)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// fleetStore has 1,000 rows of one device.
func fleetStore(b *testing.B) hotreader.Source {
	s, err := boltstore.Open(filepath.Join(b.TempDir(), "fleet.db"), boltstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	var records []hotreader.Record
	for i := range 1000 {
		r := hotreader.Record{Time: at(i)}
		for p := range fleetProperties {
			r.Fields = append(r.Fields, hotreader.Field{Name: fmt.Sprintf("p%02d", p), Value: hotreader.NumberValue([]byte(value(i, p%4)))})
		}
		records = append(records, r)
	}
	if err := s.Write(b.Context(), "machine-05000", records); err != nil {
		b.Fatal(err)
	}
	return s
}
