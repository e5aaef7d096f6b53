package awsdynamodb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader"
)

// answer is what the fake DynamoDB says to one request.
type answer struct {
	status int // 0 = 200
	body   string
	header map[string]string
	fail   error // instead of an answer
	cut    int   // > 0: the body breaks off behind so many bytes
}

// fake is DynamoDB behind the SDK's HTTP client: it gives the answers in turn
// and keeps the requests. Once they are used up, it fails the test.
type fake struct {
	t        testing.TB
	mu       sync.Mutex
	answers  []answer
	requests []map[string]any
	targets  []string
	bodies   []*watchedBody
	serve    func(request map[string]any) answer // instead of answers
}

func newFake(t testing.TB, answers ...answer) *fake { return &fake{t: t, answers: answers} }

// client returns a client of the fake that does not pause between attempts.
func (f *fake) client() *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:     "eu-central-1",
		HTTPClient: f,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, nil
		}),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.Backoff = noPause{}; o.RateLimiter = noLimit{} }),
	})
}

func (f *fake) store(o Options) *Store {
	if o.Table == "" {
		o.Table = "twin-hot-iot-data"
	}
	return New(f.client(), o)
}

func (f *fake) Do(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var request map[string]any
	if err := json.Unmarshal(raw, &request); err != nil {
		f.t.Errorf("the request is not JSON: %v: %s", err, raw)
	}
	f.requests = append(f.requests, request)
	f.targets = append(f.targets, r.Header.Get("X-Amz-Target"))
	var a answer
	switch {
	case f.serve != nil:
		a = f.serve(request)
	case len(f.answers) == 0:
		f.t.Errorf("request %d was not expected: %s", len(f.requests), raw)
		return nil, fmt.Errorf("no answer is left")
	default:
		a, f.answers = f.answers[0], f.answers[1:]
	}
	if a.fail != nil {
		return nil, a.fail
	}
	if a.status == 0 {
		a.status = 200
	}
	header := http.Header{"Content-Type": {"application/x-amz-json-1.0"}}
	header.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(a.body))), 10))
	for k, v := range a.header {
		header.Set(k, v)
	}
	body := &watchedBody{Reader: strings.NewReader(a.body)}
	if a.cut > 0 {
		body.Reader = io.MultiReader(strings.NewReader(a.body[:a.cut]), brokenReader{})
	}
	f.bodies = append(f.bodies, body)
	return &http.Response{StatusCode: a.status, Header: header, Body: body, ContentLength: int64(len(a.body)), Request: r}, nil
}

// done checks that all answers were asked for and all bodies closed.
func (f *fake) done() {
	f.t.Helper()
	if len(f.answers) > 0 {
		f.t.Errorf("%d answers were never asked for", len(f.answers))
	}
	for i, b := range f.bodies {
		if !b.closed {
			f.t.Errorf("the body of answer %d was not closed", i+1)
		}
	}
}

type watchedBody struct {
	io.Reader
	closed bool
}

func (b *watchedBody) Close() error {
	b.closed = true
	return nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// pageOf spells a page as DynamoDB does. key is its LastEvaluatedKey, "" = none.
func pageOf(key string, items ...string) answer {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"Count":%d,"Items":[%s]`, len(items), strings.Join(items, ","))
	if key != "" {
		fmt.Fprintf(&b, `,"LastEvaluatedKey":{"device_id":{"S":"d"},"timestamp":{"S":%q}}`, key)
	}
	fmt.Fprintf(&b, `,"ScannedCount":%d}`, len(items))
	return answer{body: b.String()}
}

// n is an item with the number property n.
func n(time, digits string) string {
	return fmt.Sprintf(`{"timestamp":{"S":%q},"n":{"N":%q}}`, time, digits)
}

// refusal is an error as DynamoDB spells it.
func refusal(status int, code, message string) answer {
	return answer{status: status, body: fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":%q}`, code, message)}
}

// rows reads q and writes its rows as lines, "time value value".
func rows(t testing.TB, r hotreader.Source, q hotreader.Query) ([]string, error) {
	t.Helper()
	var lines []string
	for row, err := range hotreader.NewReader(r).Read(t.Context(), q) {
		if err != nil {
			return lines, err
		}
		line := row.Time.Format("15:04:05.999999999")
		for _, v := range row.Values {
			line += " " + v.String()
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func wantRows(t testing.TB, r hotreader.Source, q hotreader.Query, want ...string) {
	t.Helper()
	got, err := rows(t, r, q)
	if err != nil {
		t.Fatal(err)
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("rows:\n%s\nwant:\n%s", g, w)
	}
}

type noPause struct{}

func (noPause) BackoffDelay(int, error) (time.Duration, error) { return 0, nil }

type noLimit struct{}

func (noLimit) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (noLimit) AddTokens(uint) error { return nil }
