package awsdynamodb

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader"
	"hotreader/internal/endpoint"
)

// ClientOptions say where DynamoDB is. The zero value leaves all of it to the
// environment.
type ClientOptions struct {
	Region   string // "" = AWS_REGION, or the profile's
	Endpoint string // "" = AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL, or AWS's own. https, or http to this machine, for an emulator
}

// NewClient returns a client with the credentials, the region and the endpoint
// that every AWS tool would find on this machine: environment, profile, role.
// It is for programs that people start; a function's is NewFunctionClient. An
// error is of CodeConfig.
func NewClient(ctx context.Context, o ClientOptions) (*dynamodb.Client, error) {
	cfg, err := config.LoadDefaultConfig(ctx, func(c *config.LoadOptions) error {
		c.Region = o.Region
		c.HTTPClient = newHTTPClient()
		return nil
	})
	if err != nil {
		return nil, configError("the AWS configuration cannot be read: %w", err)
	}
	if cfg.Region == "" {
		return nil, errNoRegion()
	}
	return checked(dynamodb.NewFromConfig(cfg, func(d *dynamodb.Options) {
		if o.Endpoint != "" {
			d.BaseEndpoint = &o.Endpoint
		}
		d.Retryer = newRetryer(d.RetryMaxAttempts)
		d.HTTPClient = inOnePiece{d.HTTPClient}
	}))
}

// NewFunctionClient returns a client with what Lambda puts into a function's
// environment: region and credentials, which are read for each request anew, and
// with AWS_ENDPOINT_URL_DYNAMODB. It reads no files and links neither the
// profiles' machinery nor single sign-on, so that a function is small and starts
// fast. An error is of CodeConfig.
func NewFunctionClient(o ClientOptions) (*dynamodb.Client, error) {
	region := cmp.Or(o.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	if region == "" {
		return nil, errNoRegion()
	}
	options := dynamodb.Options{
		Region:      region,
		HTTPClient:  inOnePiece{newHTTPClient()},
		Retryer:     newRetryer(0),
		Credentials: aws.CredentialsProviderFunc(environmentCredentials),
	}
	if address := cmp.Or(o.Endpoint, os.Getenv("AWS_ENDPOINT_URL_DYNAMODB"), os.Getenv("AWS_ENDPOINT_URL")); address != "" {
		options.BaseEndpoint = &address
	}
	return checked(dynamodb.New(options))
}

// checked returns client, unless it would send rows in plain text to another
// machine. It looks at the endpoint that the SDK has found, for that may also
// stand in a profile.
func checked(client *dynamodb.Client) (*dynamodb.Client, error) {
	text := aws.ToString(client.Options().BaseEndpoint)
	if text == "" { // AWS's own
		return client, nil
	}
	const where = "check AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL, the profile's endpoint_url and the endpoint in the store's URL"
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, configError("the endpoint %q is not a URL, as https://HOST; %s", text, where)
	}
	if wrong := endpoint.Wrong(u); wrong != "" {
		return nil, configError("the endpoint %q %s; %s", u.Redacted(), wrong, where)
	}
	return client, nil
}

func environmentCredentials(context.Context) (aws.Credentials, error) {
	c := aws.Credentials{
		AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
		Source:          "environment",
	}
	if !c.HasKeys() {
		return aws.Credentials{}, configError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set; Lambda sets them from the function's role")
	}
	return c, nil
}

// newHTTPClient returns a client for requests that take milliseconds: it finds
// a dead connection or endpoint soon enough to try again within a caller's
// deadline, and keeps connections open between queries.
func newHTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) {
			d.Timeout = 2 * time.Second
			d.KeepAlive = 15 * time.Second
		}).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = 3 * time.Second
			t.ResponseHeaderTimeout = 10 * time.Second
			t.IdleConnTimeout = 90 * time.Second
			t.MaxIdleConnsPerHost = 64
			t.ReadBufferSize = 64 << 10 // pages have a megabyte
		})
}

// inOnePiece sends a request's head and body at once. The SDK's own body is of a
// type that net/http does not know to be in memory, so that it sends the head by
// itself; and the SDK closes that body as soon as there is an answer. An answer
// that comes before net/http has seen the body's end makes it take that for a
// failure, and close the connection over the answer.
type inOnePiece struct{ next dynamodb.HTTPClient }

// Do sends r.
func (c inOnePiece) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		sent := *r // the SDK closes its own body
		sent.Body = io.NopCloser(bytes.NewReader(body))
		r = &sent
	}
	return c.next.Do(r)
}

// newRetryer returns the SDK's standard retry with pauses that suit a store
// which answers within milliseconds; the SDK's own go by seconds. attempts 0 =
// the SDK's default.
func newRetryer(attempts int) aws.Retryer {
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

func configError(format string, args ...any) error {
	return &hotreader.Error{Op: "dynamodb: client", Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
}

func errNoRegion() error { return configError("no AWS region is set; set AWS_REGION") }
