package awsdynamodb

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader"
	"hotreader/store/storetest/cloud"
)

// fake is DynamoDB behind the SDK's HTTP client.
type fake struct{ cloud.Fake }

func newFake(t testing.TB, answers ...cloud.Answer) *fake {
	return &fake{cloud.Fake{T: t, Answers: answers, Looks: isLook, Head: func(a cloud.Answer, header http.Header) {
		header.Set("Content-Type", "application/x-amz-json-1.0")
		header.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(a.Body))), 10))
	}}}
}

// isLook answers a look, which asks for whole items, with none.
func isLook(s cloud.Sent) (cloud.Answer, bool) {
	return pageOf(""), strings.Contains(s.Header.Get("X-Amz-Target"), "Query") && !strings.Contains(s.Body, "ProjectionExpression")
}

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

// request is what of a request the tests look at.
type request struct {
	Limit             int
	ScanIndexForward  *bool
	ExclusiveStartKey map[string]map[string]string
	RequestItems      map[string][]struct {
		PutRequest struct{ Item map[string]map[string]any }
	}

	ExpressionAttributeValues map[string]map[string]string
}

func read(t testing.TB, s cloud.Sent) (r request) {
	if err := json.Unmarshal([]byte(s.Body), &r); err != nil {
		t.Errorf("the request is not JSON: %v: %s", err, s.Body)
	}
	return r
}

// play is a table that is p.
func play(t testing.TB, p *cloud.Service) hotreader.Store {
	f := newFake(t)
	f.Serve = func(s cloud.Sent) cloud.Answer {
		r := read(t, s)
		if r.RequestItems != nil {
			var batch []cloud.Written
			for _, put := range r.RequestItems["twin-hot-iot-data"] {
				item := put.PutRequest.Item
				batch = append(batch, cloud.Written{Key: fmt.Sprint(item["timestamp"]["S"]), N: fmt.Sprint(item["n"]["N"])})
			}
			return instead(p.Write(batch), cloud.Answer{Body: "{}"})
		}
		page := p.Answer(r.ExclusiveStartKey["timestamp"]["S"], r.Limit, !*r.ScanIndexForward)
		var items []string
		for _, it := range page.Items {
			items = append(items, spell(it))
		}
		a := pageOf(page.Next, items...)
		if p.Cut > 0 {
			a.Body = a.Body[:min(p.Cut, len(a.Body))]
		}
		return instead(page.Fail, a)
	}
	t.Cleanup(f.Done)
	s := f.store(Options{})
	s.Look.End = nil // which the tests on the engine have
	return s
}

func instead(fail string, a cloud.Answer) cloud.Answer {
	switch fail {
	case cloud.Throttled:
		return refusal(400, "ProvisionedThroughputExceededException", "slow down")
	case cloud.Forbidden:
		return refusal(400, "AccessDeniedException", "no")
	case cloud.Failing:
		return refusal(500, "InternalServerError", "sorry")
	case cloud.Damaged:
		a.Body = "<html>"
	case cloud.Broken:
		a.Cut = len(a.Body) / 2
	}
	return a
}

// raw is an attribute's value as it is spelled.
type raw string

// spell spells an item as DynamoDB does.
func spell(it cloud.Item) string {
	spelled := func(v any) string {
		switch v := v.(type) {
		case raw:
			return string(v)
		case string:
			text, _ := json.Marshal(v)
			return `{"S":` + string(text) + `}`
		case bool:
			return fmt.Sprintf(`{"BOOL":%v}`, v)
		}
		return fmt.Sprintf(`{"N":"%v"}`, v)
	}
	var parts []string
	if it.Time != nil {
		parts = append(parts, `"timestamp":`+spelled(it.Time))
	}
	for name, v := range it.Fields {
		parts = append(parts, strconv.Quote(name)+":"+spelled(v))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func TestCloud(t *testing.T) {
	cloud.Run(t, cloud.Store{
		Play: play, InMemory: true, Slack: slack, Batch: maxBatch, Parallel: parallelBatches,
		Untimely:   []any{nil, raw(`{"NULL":true}`), raw(`{"S":"\udc00"}`)},
		Unreadable: []any{raw(`{"B":"AP8="}`), raw(`{"N":"NaN"}`), raw(`{"S":"\ud800"}`)},
	})
}

// pageOf spells a page as DynamoDB does. key is its LastEvaluatedKey, "" = none.
func pageOf(key string, items ...string) cloud.Answer {
	body := fmt.Sprintf(`{"Count":%d,"Items":[%s]`, len(items), strings.Join(items, ","))
	if key != "" {
		body += fmt.Sprintf(`,"LastEvaluatedKey":{"device_id":{"S":"d"},"timestamp":{"S":%q}}`, key)
	}
	return cloud.Answer{Body: body + fmt.Sprintf(`,"ScannedCount":%d}`, len(items))}
}

// n is an item with the number property n.
func n(time, digits string) string {
	return fmt.Sprintf(`{"timestamp":{"S":%q},"n":{"N":%q}}`, time, digits)
}

// refusal is an error as DynamoDB spells it.
func refusal(status int, code, message string) cloud.Answer {
	return cloud.Answer{Status: status, Body: fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":%q}`, code, message)}
}

func rows(t testing.TB, s hotreader.Source, q hotreader.Query) ([]string, error) {
	return cloud.Rows(t.Context(), s, q)
}

type noPause struct{}

func (noPause) BackoffDelay(int, error) (time.Duration, error) { return 0, nil }

type noLimit struct{}

func (noLimit) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (noLimit) AddTokens(uint) error { return nil }
