//go:build unix

package azurecosmos

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"hotreader"
)

var benchQuery = hotreader.Query{Device: "d", Properties: bigColumns}

// reportCPU adds what the process, the serving side included, spent.
func reportCPU(b *testing.B) {
	spent := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := spent()
	b.Cleanup(func() { b.ReportMetric(float64(spent()-before)/float64(b.N), "cpu-ns/op") })
}

// serve is an account with one container, of one page.
func serve(b *testing.B, body string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodGet { // the SDK asks where the account is
			io.WriteString(w, `{"_self":"","id":"a","writableLocations":[],"readableLocations":[],"enableMultipleWriteLocations":false}`)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		io.WriteString(w, body)
	}))
	b.Cleanup(server.Close)
	return server.URL
}

// BenchmarkPage reads a page of 5,000 rows of 4 numbers over loopback, ours
// against the usual way: the SDK's pager, then each item into a struct.
func BenchmarkPage(b *testing.B) {
	ours := bigPage(5000)
	client, err := NewClient(ClientOptions{Endpoint: serve(b, ours), Key: docsKey})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("ours", func(b *testing.B) {
		reportCPU(b)
		s := New(client, Options{Database: "d", Container: "c"})
		b.SetBytes(int64(len(ours)))
		b.ReportAllocs()
		for b.Loop() {
			count := 0
			for row, err := range s.Read(b.Context(), benchQuery) {
				if err != nil {
					b.Fatal(err)
				}
				count += len(row.Values)
			}
			if count != 20_000 {
				b.Fatal(count)
			}
		}
	})
	// Who asks for properties gets them by their names.
	theirs := strings.NewReplacer(`"t":`, `"timestamp":`, `"p0":`, `"temperature":`, `"p1":`, `"pressure":`, `"p2":`, `"humidity":`, `"p3":`, `"vibration":`).Replace(ours)
	key, err := azcosmos.NewKeyCredential(docsKey)
	if err != nil {
		b.Fatal(err)
	}
	account, err := azcosmos.NewClientWithKey(serve(b, theirs), key, nil)
	if err != nil {
		b.Fatal(err)
	}
	container, err := account.NewContainer("d", "c")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("usual", func(b *testing.B) {
		reportCPU(b)
		b.SetBytes(int64(len(theirs)))
		b.ReportAllocs()
		for b.Loop() {
			pager := container.NewQueryItemsPager(`SELECT c["timestamp"],c["temperature"],c["pressure"],c["humidity"],c["vibration"] FROM c ORDER BY c["timestamp"]`,
				azcosmos.NewPartitionKeyString("d"), &azcosmos.QueryOptions{PageSizeHint: -1})
			count := 0
			for pager.More() {
				page, err := pager.NextPage(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				for _, item := range page.Items {
					var row struct {
						Timestamp                                  time.Time
						Temperature, Pressure, Humidity, Vibration float64
					}
					if err := json.Unmarshal(item, &row); err != nil || row.Timestamp.IsZero() || row.Vibration == -1 {
						b.Fatal(err)
					}
					count += 4
				}
			}
			if count != 20_000 {
				b.Fatal(count)
			}
		}
	})
	b.Run("SDK without decoding items", func(b *testing.B) {
		reportCPU(b)
		b.SetBytes(int64(len(theirs)))
		b.ReportAllocs()
		for b.Loop() {
			pager := container.NewQueryItemsPager("SELECT * FROM c", azcosmos.NewPartitionKeyString("d"), nil)
			for pager.More() {
				if page, err := pager.NextPage(b.Context()); err != nil || len(page.Items) != 5000 {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("loopback alone", func(b *testing.B) {
		reportCPU(b)
		p := newPage()
		defer p.release()
		r := &request{verb: http.MethodPost, path: "/dbs/d/colls/c/docs", body: []byte("{}")}
		b.SetBytes(int64(len(ours)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.do(b.Context(), r, p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDecode is the decoder alone, without ordering and sieve.
func BenchmarkDecode(b *testing.B) {
	body := []byte(bigPage(5000))
	var d decoder
	d.layout(len(bigColumns), hotreader.String)
	values := make([]hotreader.Value, len(bigColumns))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Open(body); err != nil {
			b.Fatal(err)
		}
		for {
			_, more, err := d.item(values)
			if err != nil {
				b.Fatal(err)
			}
			if !more {
				break
			}
		}
	}
}
