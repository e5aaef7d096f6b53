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
)

// Pitfall 2: whatever goes wrong is an error that says what to do, and never an
// empty answer.
func TestPitfall02FailuresAreErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		a    answer
		code hotreader.Code
		say  []string
	}{
		{"no table", refusal(400, "ResourceNotFoundException", "Requested resource not found"), hotreader.CodeNotFound, []string{"twin-hot-iot-data", "eu-central-1", "DYNAMODB_TABLE_NAME"}},
		{"provisioned throughput", refusal(400, "ProvisionedThroughputExceededException", "slow"), hotreader.CodeThrottled, []string{"capacity", "slow"}},
		{"throttling", refusal(400, "ThrottlingException", "Rate exceeded"), hotreader.CodeThrottled, nil},
		{"request limit", refusal(400, "RequestLimitExceeded", "account"), hotreader.CodeThrottled, nil},
		{"429", answer{status: 429, body: "busy"}, hotreader.CodeThrottled, nil},
		{"access denied", refusal(400, "AccessDeniedException", "not authorized"), hotreader.CodeForbidden, []string{"dynamodb:Query", "twin-hot-iot-data", "eu-central-1"}},
		{"key schema", refusal(400, "ValidationException", "Query condition missed key schema element"), hotreader.CodeConfig, []string{"missed key schema element", `HASH "device_id" (S)`, `RANGE "timestamp" (S)`}},
		{"expired credentials", refusal(400, "ExpiredTokenException", "expired"), hotreader.CodeConfig, []string{"credentials"}},
		{"unknown credentials", refusal(400, "UnrecognizedClientException", "invalid"), hotreader.CodeConfig, []string{"credentials"}},
		{"internal", refusal(500, "InternalServerError", "sorry"), hotreader.CodeStore, []string{"sorry"}},
		{"service unavailable", refusal(503, "ServiceUnavailable", "later"), hotreader.CodeUnavailable, nil},
		{"a proxy's 502", answer{status: 502, body: "<html>bad gateway</html>"}, hotreader.CodeUnavailable, []string{"502"}},
		{"a proxy's 500", answer{status: 500, body: "<html>"}, hotreader.CodeStore, []string{"500"}},
		{"a proxy's 407", answer{status: 407, body: "<html>"}, hotreader.CodeProtocol, []string{"407"}},
		{"what is new", refusal(400, "SomethingNewException", "what"), hotreader.CodeStore, []string{"SomethingNewException", "what"}},
		{"refused", answer{fail: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}, hotreader.CodeUnavailable, []string{"not reached", "connection refused"}},
		{"no such host", answer{fail: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}, hotreader.CodeUnavailable, []string{"no such host"}},
		{"certificate", answer{fail: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, hotreader.CodeConfig, []string{"certificate"}},
		{"time-out of one attempt", answer{fail: timeout{}}, hotreader.CodeUnavailable, nil},
		{"empty", answer{}, hotreader.CodeCorrupt, []string{"page 1"}},
		{"HTML", answer{body: "<html>"}, hotreader.CodeCorrupt, nil},
		{"another shape", answer{body: `{"hello":1}`}, hotreader.CodeCorrupt, nil},
	} {
		f := newFake(t)
		f.serve = func(map[string]any) answer { return test.a }
		got, err := rows(t, f.store(Options{}), qN)
		if hotreader.CodeOf(err) != test.code || len(got) > 0 {
			t.Errorf("%s: error %v (%s), want %s", test.name, err, hotreader.CodeOf(err), test.code)
			continue
		}
		for _, say := range append(test.say, "dynamodb: query table twin-hot-iot-data") {
			if !strings.Contains(err.Error(), say) {
				t.Errorf("%s: error %q does not say %q", test.name, err, say)
			}
		}
		if inner := errors.Unwrap(err); inner != nil {
			if _, twice := errors.AsType[*hotreader.Error](inner); twice {
				t.Errorf("%s: wrapped twice: %v", test.name, err)
			}
		}
		if len(f.requests) > 3 {
			t.Errorf("%s: %d attempts", test.name, len(f.requests))
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
		busy.header = map[string]string{"Retry-After": header}
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
		_, err := rows(t, New(dynamodb.New(options, change), Options{Table: "t"}), qN)
		if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "AWS_REGION") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestWrongOptions(t *testing.T) {
	f := newFake(t)
	for _, o := range []Options{{TimeFormat: "epoch"}, {DeviceKey: "k", TimeKey: "k"}} {
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

func TestTimeIsUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for _, err := range hotreader.NewReader(newFake(t).store(Options{})).Read(ctx, qN) {
		if hotreader.CodeOf(err) != hotreader.CodeDeadline || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	}
}
