package awsdynamodb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/storetest/cloud"
)

// Pitfall 2: whatever goes wrong is an error that says what to do, and never an
// empty answer.
func TestPitfall02FailuresAreErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		a    cloud.Answer
		code hotreader.Code
		say  []string
	}{
		{"no table", refusal(400, "ResourceNotFoundException", "Requested resource not found"), hotreader.CodeNotFound, []string{"twin-hot-iot-data", "eu-central-1", "DYNAMODB_TABLE_NAME"}},
		{"provisioned throughput", refusal(400, "ProvisionedThroughputExceededException", "slow"), hotreader.CodeThrottled, []string{"capacity", "slow"}},
		{"throttling", refusal(400, "ThrottlingException", "Rate exceeded"), hotreader.CodeThrottled, nil},
		{"request limit", refusal(400, "RequestLimitExceeded", "account"), hotreader.CodeThrottled, nil},
		{"429", cloud.Answer{Status: 429, Body: "busy"}, hotreader.CodeThrottled, nil},
		{"access denied", refusal(400, "AccessDeniedException", "not authorized"), hotreader.CodeForbidden, []string{"dynamodb:Query", "twin-hot-iot-data", "eu-central-1"}},
		{"key schema", refusal(400, "ValidationException", "Query condition missed key schema element"), hotreader.CodeConfig, []string{"missed key schema element", `HASH "device_id" (S)`, `RANGE "timestamp" (S)`, "hotreader inspect --store"}},
		{"expired credentials", refusal(400, "ExpiredTokenException", "expired"), hotreader.CodeConfig, []string{"credentials"}},
		{"unknown credentials", refusal(400, "UnrecognizedClientException", "invalid"), hotreader.CodeConfig, []string{"credentials"}},
		{"internal", refusal(500, "InternalServerError", "sorry"), hotreader.CodeStore, []string{"sorry"}},
		{"service unavailable", refusal(503, "ServiceUnavailable", "later"), hotreader.CodeUnavailable, nil},
		{"a proxy's 502", cloud.Answer{Status: 502, Body: "<html>bad gateway</html>"}, hotreader.CodeUnavailable, []string{"502"}},
		{"a proxy's 500", cloud.Answer{Status: 500, Body: "<html>"}, hotreader.CodeStore, []string{"500"}},
		{"a proxy's 407", cloud.Answer{Status: 407, Body: "<html>"}, hotreader.CodeProtocol, []string{"407"}},
		{"what is new", refusal(400, "SomethingNewException", "what"), hotreader.CodeStore, []string{"SomethingNewException", "what"}},
		{"refused", cloud.Answer{Fail: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}, hotreader.CodeUnavailable, []string{"not reached", "connection refused"}},
		{"no such host", cloud.Answer{Fail: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}, hotreader.CodeUnavailable, []string{"no such host"}},
		{"certificate", cloud.Answer{Fail: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, hotreader.CodeConfig, []string{"certificate"}},
		{"time-out of one attempt", cloud.Answer{Fail: timeout{}}, hotreader.CodeUnavailable, nil},
		{"empty", cloud.Answer{}, hotreader.CodeCorrupt, []string{"page 1"}},
		{"HTML", cloud.Answer{Body: "<html>"}, hotreader.CodeCorrupt, nil},
		{"another shape", cloud.Answer{Body: `{"hello":1}`}, hotreader.CodeCorrupt, nil},
	} {
		f := newFake(t)
		f.Serve = func(cloud.Sent) cloud.Answer { return test.a }
		got, err := rows(t, f.store(Options{}), qN)
		cloud.WantError(t, test.name, err, test.code, append(test.say, "dynamodb: query table twin-hot-iot-data")...)
		if len(got) > 0 {
			t.Errorf("%s: rows %v", test.name, got)
		}
		if len(f.Requests) > 3 {
			t.Errorf("%s: %d attempts", test.name, len(f.Requests))
		}
	}
}

type timeout struct{}

func (timeout) Error() string { return "i/o timeout" }
func (timeout) Timeout() bool { return true }

func TestErrorKeepsTheCause(t *testing.T) {
	f := newFake(t, refusal(400, "AccessDeniedException", "no"))
	_, err := rows(t, f.store(Options{}), qN)
	if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != "AccessDeniedException" {
		t.Errorf("the SDK's error is not within %v", err)
	}
}

func TestRetryAfterIsPassedOn(t *testing.T) {
	busy := refusal(400, "ThrottlingException", "slow")
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "soon": 0, "-1": 0, "99999": 0, "": 0} {
		busy.Header = map[string]string{"Retry-After": header}
		f := newFake(t, busy, busy, busy)
		_, err := rows(t, f.store(Options{}), qN)
		e, ok := errors.AsType[*hotreader.Error](err)
		if !ok || e.RetryAfter != want {
			t.Errorf("Retry-After %q: %+v, want %v", header, e, want)
		}
	}
}

func TestNoRequestCanBeMade(t *testing.T) {
	options := newFake(t).client().Options()
	for name, change := range map[string]func(*dynamodb.Options){
		"credentials": func(o *dynamodb.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, errors.New("no role here")
			})
		},
		"region": func(o *dynamodb.Options) { o.Region = "" },
	} {
		_, err := rows(t, New(dynamodb.New(options, change), Options{Table: "telemetry"}), qN)
		if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "AWS_REGION") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// Names of the table and the index that contradict each other, or the region, are told
// before any request.
func TestNamesThatContradictEachOther(t *testing.T) {
	const arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/telemetry"
	for _, c := range []struct{ table, index, says string }{
		{arn + "/index/by-device", "by-device", ""},
		{arn + "/index/by-device", "", ""},
		{arn, arn + "/index/by-device", ""},
		{"telemetry", arn + "/index/by-device", ""},
		{arn + "/index/by-device", "other", "the ARN of its index by-device, but index is other"},
		{arn + "/index/by-device", arn + "/index/other", "the ARN of its index by-device, but index is other"},
		{"other", arn + "/index/by-device", "index is one of the table " + arn + ", but the table is other"},
		{strings.Replace(arn, "123456789012", "210987654321", 1), arn + "/index/by-device", "index is one of the table " + arn},
		{strings.Replace(arn, "eu-central-1", "us-east-1", 1), "", "is in region us-east-1, but the region is eu-central-1"},
		{"telemetry", strings.Replace(arn, "eu-central-1", "us-east-1", 1) + "/index/by-device", "is in region us-east-1, but the region is eu-central-1"},
		{"tv", "", `"tv" is no name of a table; table names have 3 to 255 characters`},
		{"my table", "", "is no name of a table"},
	} {
		err := newFake(t).store(Options{Table: c.table, Layout: layout.Layout{Index: c.index}}).check()
		if (err == nil) != (c.says == "") || err != nil && (hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s, index %s: %v; want %q", c.table, c.index, err, c.says)
		}
	}
}

func TestWrongOptions(t *testing.T) {
	f := newFake(t)
	for _, o := range []Options{{Layout: layout.Layout{TimeFormat: layout.Formats{"epoch"}}}, {Layout: layout.Layout{DeviceKey: "k", TimeKey: "k"}}, {Consistent: true, Layout: layout.Layout{Index: "i"}}} {
		if _, err := rows(t, f.store(o), qN); hotreader.CodeOf(err) != hotreader.CodeConfig {
			t.Errorf("%+v: error %v", o, err)
		}
		if err := f.store(o).Write(t.Context(), "d", nil); hotreader.CodeOf(err) != hotreader.CodeConfig {
			t.Errorf("%+v: error %v", o, err)
		}
	}
	if _, err := rows(t, New(f.client(), Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Errorf("no table: error %v", err)
	}
}

// Inspecting takes more than reading, and says so.
func TestSampleSaysWhatItNeeds(t *testing.T) {
	described := cloud.Answer{Body: `{"Table":{"TableName":"t","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}]}}`}
	denied := refusal(400, "AccessDeniedException", "not authorized")
	for name, answers := range map[string][]cloud.Answer{"DescribeTable": {denied}, "Scan": {described, denied}} {
		_, _, err := newFake(t, answers...).store(Options{}).Sample(t.Context(), "", 40)
		cloud.WantError(t, name, err, hotreader.CodeForbidden, "dynamodb:DescribeTable, dynamodb:Scan and dynamodb:Query", "inspect table twin-hot-iot-data")
	}
}
