//go:build linux

package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/remote"
)

// The far cloud is farAway there and back, over a link of farBytes a second.
const (
	farAway  = 80 * time.Millisecond
	farBytes = 50_000_000
)

// farLink puts the link in front of the server at address, and returns the
// link's own.
func farLink(b *testing.B, address string) string {
	b.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // the bandwidth toxic has no other logger than the global one
	proxies := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(proxies, "far", "127.0.0.1:0", address)
	if err := p.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Stop)
	for _, toxic := range []string{
		`{"name":"there","type":"latency","stream":"upstream","attributes":{"latency":40}}`,
		`{"name":"width","type":"bandwidth","stream":"downstream","attributes":{"rate":50000}}`,
		`{"name":"back","type":"latency","stream":"downstream","attributes":{"latency":40}}`,
	} {
		if _, err := p.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			b.Fatal(err)
		}
	}
	return p.Listen
}

// BenchmarkFarCloud reads 100,000 rows of a bolt store in a far cloud, over TLS.
// What it takes is compared with what nobody can do without: one round trip, the
// bytes at the link's pace, and the store's own time. Beside it stands a bare
// handler that sends as many bytes as it likes over the same link, which shows
// what the link itself takes more than that sum says.
func BenchmarkFarCloud(b *testing.B) {
	store := boltOf(b, longRows)
	q := hotreader.Query{Device: "d", Properties: properties, Types: doubles, Start: at(0), End: at(longRows - 1)}
	last := q
	last.Last = true
	t, err := identity.Static(token)
	if err != nil {
		b.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Options{Source: store, Token: t, Rate: -1})
	if err != nil {
		b.Fatal(err)
	}
	var size int64 // of the answer
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/bare" {
			api.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(make([]byte, size))
	})
	for _, c := range []struct {
		name string
		two  bool
	}{{"HTTP2", true}, {"HTTP1", false}} {
		b.Run(c.name, func(b *testing.B) {
			server := httptest.NewUnstartedServer(nil)
			server.Config = httpapi.Server(handler)
			server.EnableHTTP2 = c.two
			server.StartTLS()
			defer server.Close()
			roots := x509.NewCertPool()
			roots.AddCert(server.Certificate())
			url := "https://" + farLink(b, server.Listener.Addr().String())
			connect := func() (*http.Client, *remote.Source) {
				client := remote.NewClient()
				transport := client.Transport.(*http.Transport)
				transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
				r, err := remote.New(remote.Options{URL: url, Credential: t, Client: client})
				if err != nil {
					b.Fatal(err)
				}
				return client, r
			}
			read := func(r hotreader.Source, q hotreader.Query, rows int) (took, first float64, bytes int64) {
				var stats hotreader.Stats
				from, n := time.Now(), 0
				for _, err := range hotreader.NewReader(r).Read(hotreader.WithStats(b.Context(), &stats), q) {
					if err != nil {
						b.Fatal(err)
					}
					if n++; n == 1 {
						first = time.Since(from).Seconds()
					}
				}
				if n != rows {
					b.Fatalf("%d rows", n)
				}
				return time.Since(from).Seconds(), first, stats.Bytes.Load()
			}
			bare := func(client *http.Client) float64 {
				from := time.Now()
				if err := fetch(b.Context(), client, url+"/bare"); err != nil {
					b.Fatal(err)
				}
				return time.Since(from).Seconds()
			}
			client, far := connect()
			_, _, size = read(far, q, longRows) // opens the connection
			var rows, least, link, begun, newest, cold []float64
			for b.Loop() {
				own, _, _ := read(store, q, longRows)
				took, first, _ := read(far, q, longRows)
				rows = append(rows, took)
				begun = append(begun, first)
				least = append(least, farAway.Seconds()+float64(size)/farBytes+own)
				link = append(link, bare(client))
				took, _, _ = read(far, last, 1)
				newest = append(newest, took)
				other, fresh := connect()
				took, _, _ = read(fresh, q, longRows)
				cold = append(cold, took)
				other.CloseIdleConnections()
			}
			client.CloseIdleConnections()
			b.ReportMetric(float64(size)/1e6, "MB")
			b.ReportMetric(median(least)*1e3, "least-ms")
			b.ReportMetric(median(link)*1e3, "bare-ms")
			b.ReportMetric(median(begun)*1e3, "first-row-ms")
			b.ReportMetric(median(rows)*1e3, "far-ms")
			b.ReportMetric(ratio(rows, least), "far/least")
			b.ReportMetric(median(newest)/farAway.Seconds(), "last-entry/round-trip")
			b.ReportMetric(median(cold)*1e3, "cold-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// fetch asks url and passes over what comes.
func fetch(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
