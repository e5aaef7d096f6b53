//go:build linux

package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"hotreader/httpapi"
	"hotreader/identity"
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
func (c *connection) ask() (resp *http.Response, body []byte, err error) {
	if _, err = c.conn.Write(c.request); err != nil {
		return nil, nil, err
	}
	if resp, err = http.ReadResponse(c.in, nil); err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp, body, err
}

// BenchmarkLastEntry: from the request to the answer, on a bolt store, beside a
// handler that writes the same bytes and does nothing else. Of several callers at
// once it reports how many requests are answered, in relation; and of both the
// processor time of all, callers too, which does not grow while other programs
// have the processors.
//
// The bare handler is asked with the same request, whose body it reads to its end,
// and sets the same headers, so that what goes over the connection is the same. It
// has net/http's server as it comes, without timeouts, log or limits.
func BenchmarkLastEntry(b *testing.B) {
	t, err := identity.Static(token)
	if err != nil {
		b.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Options{Source: boltOf(b, pageRows), Token: t, Rate: -1})
	if err != nil {
		b.Fatal(err)
	}
	q := request.Query
	q.Last = true
	envelope := wire.NewEnvelope(q, "aws", "0af7651916cd43dd8448eb211c80319c").Append(nil)
	head := "Host: a\r\n" + identity.TokenHeader + ": " + token + "\r\n"
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
			resp, answer, err := first.ask()
			if err != nil || resp.StatusCode != http.StatusOK || len(answer) < 100 {
				b.Fatalf("%v %s, %v", resp, answer, err)
			}
			var fields [][2]string
			for name, values := range resp.Header {
				if name != "Date" { // is the server's own
					fields = append(fields, [2]string{name, values[0]})
				}
			}
			bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				for _, f := range fields {
					w.Header().Set(f[0], f[1])
				}
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
					got, body, err := c.ask()
					if err != nil || got.StatusCode != http.StatusOK || len(body) != len(answer) || len(got.Header) != len(resp.Header) {
						b.Errorf("%v %s, %v", got, body, err)
						return
					}
				}
			}
			var alone, together, spent [2][]float64 // seconds a request
			for b.Loop() {
				const times = 100
				var each [2][]float64
				for range times { // in turns, so that whatever slows one down slows both
					for i := range connections {
						from := time.Now()
						ask(connections[i][0], 1)
						each[i] = append(each[i], time.Since(from).Seconds())
					}
				}
				for i := range connections {
					alone[i] = append(alone[i], median(each[i]))
					from, before := time.Now(), processorTime(b, os.Getpid())
					var all sync.WaitGroup
					for _, c := range connections[i] {
						all.Go(func() { ask(c, times) })
					}
					all.Wait()
					together[i] = append(together[i], time.Since(from).Seconds()/(callers*times))
					spent[i] = append(spent[i], (processorTime(b, os.Getpid())-before).Seconds()/(callers*times))
				}
			}
			b.ReportMetric(median(alone[0])*1e6, "ours-µs")
			b.ReportMetric(median(alone[1])*1e6, "bare-µs")
			b.ReportMetric(ratio(alone[0], alone[1]), "ours/bare")
			b.ReportMetric(1/ratio(together[0], together[1]), "requests/s-ours/bare")
			b.ReportMetric(1/median(together[0]), "requests/s")
			b.ReportMetric(ratio(spent[0], spent[1]), "processor-ours/bare")
			b.ReportMetric(0, "ns/op")
			if testing.Verbose() {
				fmt.Printf("%s\n", answer)
			}
		})
	}
}
