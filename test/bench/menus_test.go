//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/store/boltstore"
)

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
