// Package awsclient is what clients of AWS have in common: the endpoint, the credentials,
// and how long to wait.
package awsclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"hotreader"
	"hotreader/internal/bounded/awsbound"
	"hotreader/internal/endpoint"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/storehttp"
)

// FunctionConfig returns what Lambda puts into a function's environment: region and
// credentials, which are read for each request anew. It reads no files and links neither
// the profiles' machinery nor single sign-on, so that a function is small and starts fast.
func FunctionConfig(region string) aws.Config {
	return aws.Config{
		Region:      cmp.Or(region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")),
		HTTPClient:  HTTPClient(),
		APIOptions:  awsbound.Options(),
		Credentials: aws.CredentialsProviderFunc(environmentCredentials),
	}
}

// Endpoint returns the endpoint of a service that the environment or a store's URL names;
// nil = AWS's own.
func Endpoint(named, service string) *string {
	if address := cmp.Or(named, os.Getenv("AWS_ENDPOINT_URL_"+service), os.Getenv("AWS_ENDPOINT_URL")); address != "" {
		return &address
	}
	return nil
}

// Check reports what is wrong with a client's region and endpoint: it must not send rows in
// plain text to another machine. The endpoint is the one that the SDK has found, for that
// may also stand in a profile.
func Check(region string, address *string, service string) error {
	if region == "" {
		return errors.New("no AWS region is set; set AWS_REGION, region= in the store URL, or aws.region in config_hot_reader.json")
	}
	text := aws.ToString(address)
	if text == "" { // AWS's own
		return nil
	}
	where := "check AWS_ENDPOINT_URL_" + service + ", AWS_ENDPOINT_URL, the profile's endpoint_url and the endpoint in the store's URL"
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return fmt.Errorf("the endpoint %q is not a URL, as https://HOST; %s", text, where)
	}
	if wrong := endpoint.Wrong(u); wrong != "" {
		return fmt.Errorf("the endpoint %q %s; %s", u.Redacted(), wrong, where)
	}
	return nil
}

func environmentCredentials(context.Context) (aws.Credentials, error) {
	c := aws.Credentials{
		AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
		Source:          "environment",
	}
	if !c.HasKeys() {
		return aws.Credentials{}, &hotreader.Error{Op: "aws: credentials", Code: hotreader.CodeConfig,
			Err: errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set; Lambda sets them from the function's role")}
	}
	return c, nil
}

// HTTPClient returns a client for requests that take milliseconds: it finds
// a dead connection or endpoint soon enough to try again within a caller's
// deadline, and keeps connections open between queries.
func HTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithTransportOptions(func(t *http.Transport) {
			t.DialContext = storehttp.Dial()
			t.TLSHandshakeTimeout = 3 * time.Second
			t.ResponseHeaderTimeout = 10 * time.Second
			t.IdleConnTimeout = 90 * time.Second
			t.MaxIdleConnsPerHost = 64
			t.ReadBufferSize = 64 << 10 // pages have a megabyte
		})
}

// Straight returns the client that with makes of c's transport. The SDK's own follow some
// redirects, to plain text and other machines, too. An endpoint is where the environment says.
func Straight(c aws.HTTPClient, with func(http.RoundTripper) *http.Client) aws.HTTPClient {
	if b, ok := c.(*awshttp.BuildableClient); ok {
		c = b.Freeze()
	}
	if plain, ok := c.(*http.Client); ok {
		return with(plain.Transport)
	}
	return c
}

// Retryer returns the SDK's standard retry with pauses that suit a store
// which answers within milliseconds; the SDK's own go by seconds. attempts 0 =
// the SDK's default.
func Retryer(attempts int) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		if attempts > 0 {
			o.MaxAttempts = attempts
		}
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return rand.N(min(retryPause<<min(attempt, 10), lastPause)), nil
		})
	})
}

// retryPause bounds the pause before the first retry. It doubles with each.
const retryPause = 50 * time.Millisecond

// lastPause bounds the pause before any.
const lastPause = 5 * time.Second

// Tell puts into f what an error of the SDK says of the answer, and returns its header.
func Tell(f *failure.Failure, err error) http.Header {
	var header http.Header
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		f.Root = op.Err
	}
	resp, answered := errors.AsType[*smithyhttp.ResponseError](err)
	status := 0
	if answered && resp.Response != nil {
		status, header = resp.HTTPStatusCode(), resp.Response.Header
		f.RetryAfter = failure.RetryAfter(header)
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() != "UnknownError" {
		f.Names, f.Message = []string{api.ErrorCode(), "status:" + strconv.Itoa(status)}, api.ErrorMessage()
		f.Words = append(f.Words, "code", api.ErrorCode())
	} else if status != 0 {
		f.Names, f.Root = []string{failure.Foreign(status)}, fmt.Errorf("status %d", status)
	}
	return header
}
