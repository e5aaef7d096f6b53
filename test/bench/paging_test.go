//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/route"
	"hotreader/store/awsdynamodb"
	"hotreader/wire"
)

// A range of twenty pages, each of which takes DynamoDB 20 ms.
const (
	slowPages = 20
	slowness  = 20 * time.Millisecond
)

// slowTable plays a table of slowPages · pageRows rows to the SDK: it answers
// the key condition, page by page, each from the bytes of one large page.
type slowTable struct {
	items []byte // separated by commas
	ends  []int  // of the items
	keys  []string
	pages atomic.Int64
}

func newSlowTable() *slowTable {
	t := new(slowTable)
	var b bytes.Buffer
	for i := range slowPages * pageRows {
		if i > 0 {
			b.WriteByte(',')
		}
		key := at(i).Format("2006-01-02T15:04:05.000Z")
		fmt.Fprintf(&b, `{"temperature":{"N":"%s"},"pressure":{"N":"%s"},"timestamp":{"S":"%s"},"humidity":{"N":"%s"},"vibration":{"N":"%s"}}`,
			value(i, 0), value(i, 1), key, value(i, 2), value(i, 3))
		t.ends = append(t.ends, b.Len())
		t.keys = append(t.keys, key)
	}
	t.items = b.Bytes()
	return t
}

func (t *slowTable) store() *awsdynamodb.Store {
	return awsdynamodb.New(dynamodb.New(dynamodb.Options{
		Region:     "eu-central-1",
		HTTPClient: t,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, nil
		}),
	}), awsdynamodb.Options{Table: "rows"})
}

// Do answers a Query in ascending order, or with the newest item.
func (t *slowTable) Do(r *http.Request) (*http.Response, error) {
	type text struct{ S string }
	var asked struct {
		ExpressionAttributeValues map[string]text
		ExclusiveStartKey         map[string]text
		ScanIndexForward          bool
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		return nil, err
	}
	from, to := 0, len(t.keys)
	if low, ok := asked.ExpressionAttributeValues[":lo"]; ok {
		from = sort.SearchStrings(t.keys, low.S)
	}
	if high, ok := asked.ExpressionAttributeValues[":hi"]; ok {
		to = sort.SearchStrings(t.keys, high.S)
	}
	if key, ok := asked.ExclusiveStartKey["timestamp"]; ok {
		from = sort.SearchStrings(t.keys, key.S) + 1
	}
	select {
	case <-time.After(slowness):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	t.pages.Add(1)
	last := ""
	switch {
	case !asked.ScanIndexForward: // the last entry
		from = max(to-1, from)
	case to > from+pageRows:
		to = from + pageRows
		last = fmt.Sprintf(`,"LastEvaluatedKey":{"device_id":{"S":"d"},"timestamp":{"S":"%s"}}`, t.keys[to-1])
	}
	to = max(to, from)
	var items []byte
	if to > from {
		begin := 0
		if from > 0 {
			begin = t.ends[from-1] + 1
		}
		items = t.items[begin:t.ends[to-1]]
	}
	head := fmt.Sprintf(`{"Count":%d,"Items":[`, to-from)
	tail := fmt.Sprintf(`]%s,"ScannedCount":%d}`, last, to-from)
	return &http.Response{
		StatusCode:    http.StatusOK,
		Header:        http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		ContentLength: int64(len(head) + len(items) + len(tail)),
		Body:          io.NopCloser(io.MultiReader(strings.NewReader(head), bytes.NewReader(items), strings.NewReader(tail))),
		Request:       r,
	}, nil
}

// BenchmarkPaging reads the range and encodes it for another cloud: read ahead,
// and one page after the other. What other programs take from the processors
// weighs more on the shorter time, so the best rounds are compared as well.
func BenchmarkPaging(b *testing.B) {
	table := newSlowTable()
	store := table.store()
	closed := hotreader.Query{Device: "d", Properties: properties, Types: doubles, Start: at(0), End: at(slowPages*pageRows - 1)}
	open := closed
	open.Start, open.End = time.Time{}, time.Time{}
	for _, c := range []struct {
		name string
		q    hotreader.Query
	}{{"range", closed}, {"open", open}} {
		b.Run(c.name, func(b *testing.B) {
			var took, pages [2][]float64
			for b.Loop() {
				for i, r := range []hotreader.Source{route.Ahead(store, route.AheadOptions{}), store} {
					table.pages.Store(0)
					began := time.Now()
					encoder := wire.NewEncoder(io.Discard, c.q)
					rows := 0
					for row, err := range hotreader.NewReader(r).Read(b.Context(), c.q) {
						if err == nil {
							err = encoder.Row(row)
						}
						if err != nil {
							b.Fatal(err)
						}
						rows++
					}
					if err := encoder.End(false); err != nil || rows != slowPages*pageRows {
						b.Fatalf("%d rows, %v", rows, err)
					}
					encoder.Close()
					took[i] = append(took[i], float64(time.Since(began).Microseconds())/1000)
					pages[i] = append(pages[i], float64(table.pages.Load()))
				}
			}
			b.ReportMetric(median(took[0]), "ahead-ms")
			b.ReportMetric(median(took[1]), "plain-ms")
			b.ReportMetric(median(pages[0]), "ahead-pages")
			b.ReportMetric(median(pages[1]), "plain-pages")
			b.ReportMetric(ratio(took[0], took[1]), "ahead/plain")
			b.ReportMetric(slices.Min(took[0])/slices.Min(took[1]), "best/best")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// longRows is how many rows a long range has.
const longRows = slowPages * pageRows

// BenchmarkRemote reads 100,000 rows from a store, and the same over loopback
// from the API in front of it. A twin makes an answer of the rows, wherever they
// come from: that is compared as well.
func BenchmarkRemote(b *testing.B) {
	const rows = longRows
	embedded := boltOf(b, rows)
	token, err := identity.Static(strings.Repeat("0123456789abcdef", 4))
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		store hotreader.Source
	}{{"bolt", embedded}, {"slow pages", route.Ahead(newSlowTable().store(), route.AheadOptions{})}} {
		b.Run(c.name, func(b *testing.B) {
			api, err := httpapi.New(httpapi.Options{Source: c.store, Token: token, Rate: -1})
			if err != nil {
				b.Fatal(err)
			}
			server := httptest.NewServer(api)
			defer server.Close()
			far, err := remote.New(remote.Options{URL: server.URL, Credential: token})
			if err != nil {
				b.Fatal(err)
			}
			q := hotreader.Query{Device: "d", Properties: properties, Types: doubles, Start: at(0), End: at(rows - 1)}
			var took, answered [2][]float64
			var answers [2][]byte
			twin := request
			twin.Query = q
			for b.Loop() {
				for i, r := range []hotreader.Source{far, c.store} {
					began := time.Now()
					n := 0
					for _, err := range hotreader.NewReader(r).Read(b.Context(), q) {
						if err != nil {
							b.Fatal(err)
						}
						n++
					}
					if n != rows {
						b.Fatalf("%d rows", n)
					}
					took[i] = append(took[i], float64(time.Since(began).Microseconds())/1000)

					began = time.Now()
					responder := twinmaker.Responder{Reader: hotreader.NewReader(r), MaxBytes: 1 << 30}
					if answers[i], err = responder.AppendHistory(b.Context(), answers[i][:0], twin); err != nil {
						b.Fatal(err)
					}
					answered[i] = append(answered[i], float64(time.Since(began).Microseconds())/1000)
				}
				if !bytes.Equal(answers[0], answers[1]) {
					b.Fatal("the answers differ")
				}
			}
			b.ReportMetric(median(took[0]), "remote-ms")
			b.ReportMetric(median(took[1]), "store-ms")
			b.ReportMetric(ratio(took[0], took[1]), "remote/store")
			b.ReportMetric(ratio(answered[0], answered[1]), "remote/store-as-TwinMaker")
			b.ReportMetric(slices.Min(took[0])/slices.Min(took[1]), "best/best")
			b.ReportMetric(0, "ns/op")
		})
	}
}

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
