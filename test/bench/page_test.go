//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
	"hotreader/codec/twinmaker"
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
	store := awsdynamodb.New(client, awsdynamodb.Options{Table: "t"})
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
