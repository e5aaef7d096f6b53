//go:build linux

package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/rs/zerolog"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/store/awsdynamodb"
	"hotreader/store/boltstore"
	"hotreader/wire"
)

// The page: 5,000 rows of 4 numbers, a second apart.
const pageRows = 5000

var (
	properties = []string{"temperature", "pressure", "humidity", "vibration"}
	doubles    = []hotreader.Type{hotreader.Double, hotreader.Double, hotreader.Double, hotreader.Double}
	begin      = time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC)
)

// request is what TwinMaker asks for, as its event is understood.
var request = twinmaker.Request{
	Query: hotreader.Query{Device: "d", Properties: properties, Types: doubles},
	Ref:   twinmaker.Reference{EntityID: "e", ComponentName: "c"},
}

// at and value make up the rows.
func at(i int) time.Time { return begin.Add(time.Duration(i) * time.Second) }

func value(i, property int) string {
	switch property {
	case 0:
		return fmt.Sprintf("%d.%02d", 20+i%9, i*7919%100)
	case 1:
		return fmt.Sprintf("%d.%03d", 1000+i%30, i*7919%1000)
	case 2:
		return strconv.Itoa(30 + i%50)
	}
	return fmt.Sprintf("0.%05d", i*7919%100000)
}

// dynamoPage spells the rows as DynamoDB does, attributes in its order of them.
func dynamoPage() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"Count":%d,"Items":[`, pageRows)
	for i := range pageRows {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"temperature":{"N":"%s"},"pressure":{"N":"%s"},"timestamp":{"S":"%s"},"humidity":{"N":"%s"},"vibration":{"N":"%s"}}`,
			value(i, 0), value(i, 1), at(i).Format("2006-01-02T15:04:05.000Z"), value(i, 2), value(i, 3))
	}
	fmt.Fprintf(&b, `],"ScannedCount":%d}`, pageRows)
	return b.Bytes()
}

// limit is what the work costs at the least: a transcoder for this page's one
// layout, which checks nothing. It steps from quote to quote, copies the digits,
// and puts the answer's text around them.
type limit struct {
	columns [4][]byte
	answer  []byte
}

func (l *limit) transcode(page []byte) []byte {
	i, text := bytes.IndexByte(page, '[')+1, [5][]byte{}
	for column := range l.columns {
		l.columns[column] = l.columns[column][:0]
	}
	for range pageRows {
		for k := range text { // "name":{"N":"text"
			quotes := [6]int{}
			for q := range quotes {
				for i++; page[i-1] != '"'; i++ { // faster than bytes.IndexByte, for it is never far
				}
				quotes[q] = i
			}
			text[k] = page[quotes[4] : quotes[5]-1]
		}
		for column, k := range [4]int{0, 1, 3, 4} {
			c := append(append(l.columns[column], `{"time":"`...), text[2]...)
			c = append(append(c, `","value":{"doubleValue":`...), text[k]...)
			l.columns[column] = append(c, "}},"...)
		}
	}
	l.answer = append(l.answer[:0], `{"propertyValues":[`...)
	for column, name := range properties {
		l.answer = append(append(l.answer, `{"entityPropertyReference":{"entityId":"e","componentName":"c","propertyName":"`...), name...)
		l.answer = append(append(l.answer, `"},"values":[`...), l.columns[column][:len(l.columns[column])-1]...)
		l.answer = append(l.answer, "]},"...)
	}
	return append(l.answer[:len(l.answer)-1], "]}"...)
}

// limitWay fetches the page at url into memory that it keeps, and transcodes it.
func limitWay(url string) way {
	var l limit
	client, page := http.Client{Transport: &http.Transport{ReadBufferSize: 64 << 10}}, []byte{}
	return way{"limit", func() error {
		resp, err := client.Post(url, "application/x-amz-json-1.0", strings.NewReader("{}"))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if page == nil || int64(len(page)) != resp.ContentLength {
			page = make([]byte, resp.ContentLength)
		}
		if _, err := io.ReadFull(resp.Body, page); err != nil {
			return err
		}
		return expect(l.transcode(page))
	}}
}

// expect checks that an answer is about as long as it must be, which shows that
// it is there.
func expect(answer []byte) error {
	if len(answer) < pageRows*4*60 {
		return fmt.Errorf("an answer of %d bytes", len(answer))
	}
	return nil
}

// ours answers the request from r.
func ours(b *testing.B, r hotreader.Source) way {
	responder := twinmaker.Responder{Reader: hotreader.NewReader(r)}
	var answer []byte
	return way{"ours", func() (err error) {
		if answer, err = responder.AppendHistory(b.Context(), answer[:0], request); err != nil {
			return err
		}
		return expect(answer)
	}}
}

// same checks that ours is what the limit makes of the same rows, to the byte.
func same(b *testing.B, r hotreader.Source) {
	b.Helper()
	responder := twinmaker.Responder{Reader: hotreader.NewReader(r)}
	got, err := responder.AppendHistory(b.Context(), nil, request)
	if err != nil {
		b.Fatal(err)
	}
	if want := new(limit).transcode(dynamoPage()); !bytes.Equal(got, want) {
		b.Fatalf("the answer is not that of the limit:\n%.400s\n%.400s", got, want)
	}
}

// usualAnswer is what an answer is put together from the usual way.
type usualAnswer struct {
	PropertyValues []usualSeries `json:"propertyValues"`
}

type usualSeries struct {
	Reference struct {
		EntityID      string `json:"entityId"`
		ComponentName string `json:"componentName"`
		PropertyName  string `json:"propertyName"`
	} `json:"entityPropertyReference"`
	Values []usualPoint `json:"values"`
}

type usualPoint struct {
	Time  string `json:"time"`
	Value struct {
		DoubleValue float64 `json:"doubleValue"`
	} `json:"value"`
}

func newUsualAnswer() *usualAnswer {
	a := &usualAnswer{PropertyValues: make([]usualSeries, len(properties))}
	for i, name := range properties {
		r := &a.PropertyValues[i].Reference
		r.EntityID, r.ComponentName, r.PropertyName = "e", "c", name
	}
	return a
}

func (a *usualAnswer) add(column int, t time.Time, f float64) {
	p := usualPoint{Time: t.Format("2006-01-02T15:04:05.000Z")}
	p.Value.DoubleValue = f
	a.PropertyValues[column].Values = append(a.PropertyValues[column].Values, p)
}

func (a *usualAnswer) encode() error {
	answer, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return expect(answer)
}

// wholeBody reads each answer's body at once, which spares the SDK's decoding
// thousands of small reads from the socket: the usual way at its best.
type wholeBody struct{ next dynamodb.HTTPClient }

func (w wholeBody) Do(r *http.Request) (*http.Response, error) {
	resp, err := w.next.Do(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

// BenchmarkDynamoDB: a page of DynamoDB over loopback to TwinMaker's JSON.
func BenchmarkDynamoDB(b *testing.B) {
	url := recording{Type: "application/x-amz-json-1.0", Body: dynamoPage()}.serve(b)
	b.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	b.Setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
	client, err := awsdynamodb.NewFunctionClient(awsdynamodb.ClientOptions{Region: "eu-central-1", Endpoint: url})
	if err != nil {
		b.Fatal(err)
	}
	store := awsdynamodb.New(client, awsdynamodb.Options{Table: "rows"})
	same(b, store)
	whole := dynamodb.New(client.Options(), func(o *dynamodb.Options) { o.HTTPClient = wholeBody{o.HTTPClient} })
	usual := way{"usual", func() error {
		out, err := whole.Query(b.Context(), &dynamodb.QueryInput{TableName: aws.String("t")})
		if err != nil {
			return err
		}
		answer := newUsualAnswer()
		for _, item := range out.Items {
			t, err := time.Parse(time.RFC3339, item["timestamp"].(*types.AttributeValueMemberS).Value)
			if err != nil {
				return err
			}
			for column, name := range properties {
				f, err := strconv.ParseFloat(item[name].(*types.AttributeValueMemberN).Value, 64)
				if err != nil {
					return err
				}
				answer.add(column, t, f)
			}
		}
		return answer.encode()
	}}
	compare(b, pageRows, ours(b, store), usual, limitWay(url))
}

// boltOf returns a bolt store that holds so many rows.
func boltOf(b *testing.B, rows int) hotreader.Store {
	b.Helper()
	store, err := boltstore.Open(filepath.Join(b.TempDir(), "s.db"), boltstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	records := make([]hotreader.Record, rows)
	for i := range records {
		records[i].Time = at(i)
		for p, name := range properties {
			records[i].Fields = append(records[i].Fields, hotreader.Field{Name: name, Value: hotreader.NumberValue([]byte(value(i, p)))})
		}
	}
	if err := store.Write(b.Context(), "d", records); err != nil {
		b.Fatal(err)
	}
	return store
}

// BenchmarkBolt: the same rows from a bolt store to TwinMaker's JSON.
func BenchmarkBolt(b *testing.B) {
	store := boltOf(b, pageRows)
	same(b, store)
	compare(b, pageRows, ours(b, store), limitWay(recording{Body: dynamoPage()}.serve(b)))
}

// BenchmarkWire: the same rows into a stream between clouds and out of it again.
func BenchmarkWire(b *testing.B) {
	var rows []hotreader.Row
	for row, err := range hotreader.NewReader(boltOf(b, pageRows)).Read(context.Background(), request.Query) {
		if err != nil {
			b.Fatal(err)
		}
		rows = append(rows, row.Clone())
	}
	var stream bytes.Buffer
	encode := func() error {
		stream.Reset()
		e := wire.NewEncoder(&stream, request.Query)
		defer e.Close()
		for _, row := range rows {
			if err := e.Row(row); err != nil {
				return err
			}
		}
		return e.End(false)
	}
	decode := func() error {
		d := wire.NewDecoder(&stream, request.Query)
		defer d.Close()
		for n := 0; ; n++ {
			if _, err := d.Read(); err == io.EOF && n == pageRows {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	both := way{"ours", func() error {
		if err := encode(); err != nil {
			return err
		}
		return decode()
	}}
	compare(b, pageRows, both, limitWay(recording{Body: dynamoPage()}.serve(b)), way{"encode", encode})
}

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
