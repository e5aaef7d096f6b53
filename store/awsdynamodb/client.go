package awsdynamodb

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/logging"

	"hotreader"
	"hotreader/internal/bounded/awsbound"
	"hotreader/store/internal/awsclient"
	"hotreader/store/internal/storehttp"
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
		c.HTTPClient = awsclient.HTTPClient()
		c.APIOptions = awsbound.Options()
		c.Logger = logging.Nop{} // as newClient has it
		return nil
	})
	if err != nil {
		return nil, configError(fmt.Errorf("the AWS configuration cannot be read: %w", err))
	}
	return newClient(cfg, o.Endpoint)
}

// NewFunctionClient returns a client with what Lambda puts into a function's
// environment, and with AWS_ENDPOINT_URL_DYNAMODB. An error is of CodeConfig.
func NewFunctionClient(o ClientOptions) (*dynamodb.Client, error) {
	return newClient(awsclient.FunctionConfig(o.Region), aws.ToString(awsclient.Endpoint(o.Endpoint, service)))
}

const service = "DYNAMODB"

func newClient(cfg aws.Config, endpoint string) (*dynamodb.Client, error) {
	client := dynamodb.NewFromConfig(cfg, func(d *dynamodb.Options) {
		if endpoint != "" {
			d.BaseEndpoint = &endpoint
		}
		d.Retryer = awsclient.Retryer(d.RetryMaxAttempts)
		d.Logger = logging.Nop{} // a failure is an error here; the SDK's lines on stderr would come beside it
		d.HTTPClient = inOnePiece{awsclient.Straight(d.HTTPClient, storehttp.Client)}
	})
	if err := awsclient.Check(cfg.Region, client.Options().BaseEndpoint, service); err != nil {
		return nil, configError(err)
	}
	return client, nil
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

func configError(err error) error {
	return &hotreader.Error{Op: "dynamodb: client", Code: hotreader.CodeConfig, Err: err}
}
