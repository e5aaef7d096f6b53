//go:build linux

package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"hotreader/httpapi"
	"hotreader/secret"
	"hotreader/wire"
)

const token = "0123456789abcdef0123456789abcdef"

// connection asks one thing again and again, as cheaply as can be, so that what
// is measured is the server.
type connection struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func dial(url, request string) (*connection, error) {
	conn, err := net.Dial("tcp", url[len("http://"):])
	if err != nil {
		return nil, err
	}
	return &connection{conn, bufio.NewReader(conn), []byte(request)}, nil
}

// ask sends the request and reads the answer to its end.
func (c *connection) ask() (status int, body []byte, err error) {
	if _, err = c.conn.Write(c.request); err != nil {
		return 0, nil, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// BenchmarkLastEntry: from the request to the answer, on a bolt store, beside a
// handler that writes the same bytes and does nothing else. Of several callers at
// once it reports how many requests are answered, in relation.
func BenchmarkLastEntry(b *testing.B) {
	t, err := secret.Static(token)
	if err != nil {
		b.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Options{Reader: pageStore(b), Token: t, Rate: -1})
	if err != nil {
		b.Fatal(err)
	}
	q := request.Query
	q.Last = true
	envelope := wire.NewEnvelope(q, "aws", "0af7651916cd43dd8448eb211c80319c").Append(nil)
	head := "Host: a\r\n" + httpapi.TokenHeader + ": " + token + "\r\n"
	for _, c := range []struct{ name, request string }{
		{"read", "POST /read HTTP/1.1\r\n" + head + "Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(envelope)) + "\r\n\r\n" + string(envelope)},
		{"latest", "GET /v1/devices/d/latest?property=temperature&property=pressure&property=humidity&property=vibration HTTP/1.1\r\n" + head + "\r\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			ours := httpapi.Server(api)
			real := httptest.NewUnstartedServer(nil)
			real.Config = ours
			real.Start()
			defer real.Close()
			first, err := dial(real.URL, c.request)
			if err != nil {
				b.Fatal(err)
			}
			status, answer, err := first.ask()
			if err != nil || status != http.StatusOK || len(answer) < 100 {
				b.Fatalf("%d %s, %v", status, answer, err)
			}
			bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
				_, _ = w.Write(answer)
			}))
			defer bare.Close()

			const callers = 4
			var connections [2][callers]*connection
			for i, url := range []string{real.URL, bare.URL} {
				for k := range connections[i] {
					if connections[i][k], err = dial(url, c.request); err != nil {
						b.Fatal(err)
					}
					defer connections[i][k].conn.Close()
				}
			}
			ask := func(c *connection, times int) {
				for range times {
					if status, body, err := c.ask(); err != nil || status != http.StatusOK || len(body) != len(answer) {
						b.Errorf("%d %s, %v", status, body, err)
						return
					}
				}
			}
			var alone, together [2][]float64 // seconds a request
			for b.Loop() {
				for i := range connections {
					const times = 100
					var each []float64
					for range times {
						from := time.Now()
						ask(connections[i][0], 1)
						each = append(each, time.Since(from).Seconds())
					}
					alone[i] = append(alone[i], median(each))

					from := time.Now()
					var all sync.WaitGroup
					for _, c := range connections[i] {
						all.Go(func() { ask(c, times) })
					}
					all.Wait()
					together[i] = append(together[i], time.Since(from).Seconds()/(callers*times))
				}
			}
			b.ReportMetric(median(alone[0])*1e6, "ours-µs")
			b.ReportMetric(median(alone[1])*1e6, "bare-µs")
			b.ReportMetric(ratio(alone[0], alone[1]), "ours/bare")
			b.ReportMetric(1/ratio(together[0], together[1]), "requests/s-ours/bare")
			b.ReportMetric(1/median(together[0]), "requests/s")
			b.ReportMetric(0, "ns/op")
			if testing.Verbose() {
				fmt.Printf("%s\n", answer)
			}
		})
	}
}
