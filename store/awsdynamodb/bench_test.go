//go:build unix

package awsdynamodb

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
)

// A page of 1 MB as DynamoDB counts it: 5,000 rows of 4 numbers, and the only
// one of its answer.
func benchPage() string {
	return strings.Replace(bigPage(5000), `,"LastEvaluatedKey":{"device_id":{"S":"d"},"timestamp":{"S":"2024-02-28T00:00:00Z"}}`, "", 1)
}

var benchQuery = hotreader.Query{Device: "d", Properties: bigColumns}

// wholeBody reads each answer's body at once, which spares the SDK's decoding
// thousands of small reads from the socket: the usual way at its best.
type wholeBody struct{ next dynamodb.HTTPClient }

func (w wholeBody) Do(r *http.Request) (*http.Response, error) {
	resp, err := w.next.Do(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

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

// BenchmarkPage reads the page over loopback, ours against the usual way: the
// SDK's Query, then each number parsed.
func BenchmarkPage(b *testing.B) {
	body := benchPage()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		io.WriteString(w, body)
	}))
	defer server.Close()
	client := dynamodb.New(dynamodb.Options{
		Region:       "eu-central-1",
		BaseEndpoint: &server.URL,
		HTTPClient:   inOnePiece{newHTTPClient()},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, nil
		}),
	})
	usual := dynamodb.New(client.Options(), func(o *dynamodb.Options) { o.HTTPClient = wholeBody{o.HTTPClient} })
	b.Run("ours", func(b *testing.B) {
		reportCPU(b)
		s := New(client, Options{Table: "t"})
		b.SetBytes(int64(len(body)))
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
	b.Run("usual", func(b *testing.B) {
		reportCPU(b)
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			out, err := usual.Query(b.Context(), &dynamodb.QueryInput{TableName: aws.String("t")})
			if err != nil {
				b.Fatal(err)
			}
			count := 0
			for _, item := range out.Items {
				for _, name := range bigColumns {
					v, err := strconv.ParseFloat(item[name].(*types.AttributeValueMemberN).Value, 64)
					if err != nil || v == -1 {
						b.Fatal(err)
					}
					count++
				}
			}
			if count != 20_000 {
				b.Fatal(count)
			}
		}
	})
	b.Run("loopback alone", func(b *testing.B) {
		reportCPU(b)
		p := newPage()
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if err := p.fetch(b.Context(), client, &dynamodb.QueryInput{TableName: aws.String("t")}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDecode is the decoder alone, without grouping and sieve.
func BenchmarkDecode(b *testing.B) {
	reportCPU(b)
	body := []byte(benchPage())
	var d decoder
	d.layout(bigColumns, "timestamp", 'S')
	values := make([]hotreader.Value, len(bigColumns))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.open(body); err != nil {
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
