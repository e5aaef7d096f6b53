package awsdynamodb

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"hotreader/store/internal/failure"
	"hotreader/store/internal/paging"
)

// A page is one Query or Scan answer.
type page struct {
	body *paging.Body
	sum  bool // keep compares the checksum, not the SDK
}

// fetch asks for one page. The SDK signs, sends, retries and decodes errors;
// the body of a good answer is kept in p undecoded.
func (p *page) fetch(ctx context.Context, client *dynamodb.Client, in *dynamodb.QueryInput) error {
	_, err := client.Query(ctx, in, p.undecoded)
	return err
}

// undecoded makes a call keep its answer's body in p.
func (p *page) undecoded(o *dynamodb.Options) {
	// The SDK computes a checksum also where DynamoDB sends none, and only logs
	// what it finds. But it sees the bytes before they are unpacked.
	p.sum = !o.EnableAcceptEncodingGzip
	o.DisableValidateResponseChecksum = p.sum
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
		// After the SDK's decoding, and so ahead of it when the answer
		// comes back; in front of the checksum's and gzip's readers.
		return s.Deserialize.Insert(p, "OperationDeserializer", middleware.After)
	})
}

// ID names the middleware.
func (*page) ID() string { return "hotreader.KeepBody" }

// HandleDeserialize keeps the body of a good answer and gives the SDK an empty
// one instead.
func (p *page) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if err != nil {
		return out, metadata, err
	}
	resp, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok || resp.StatusCode != http.StatusOK {
		return out, metadata, nil
	}
	if err = p.keep(resp.Response); err != nil {
		err = &again{err}
	}
	resp.Body = io.NopCloser(strings.NewReader("{}"))
	return out, metadata, err
}

// keep reads, checks and closes the body.
func (p *page) keep(resp *http.Response) error {
	err := p.body.Read(resp)
	wrong := resp.Body.Close()
	if err != nil {
		return err
	}
	sum := resp.Header.Get("X-Amz-Crc32")
	switch {
	case sum == "":
		return nil // the SDK's reader complains, for it expects 0
	case p.sum && sum != strconv.FormatUint(uint64(crc32.ChecksumIEEE(p.body.Bytes)), 10):
		wrong = fmt.Errorf("its checksum is not %.20q, as DynamoDB says", sum)
	case p.sum:
		return nil
	}
	if wrong != nil {
		return &failure.Damaged{Err: fmt.Errorf("the answer arrived damaged: %w", wrong)}
	}
	return nil
}

// again is a body that broke off or is damaged. The SDK's retry may ask again,
// for a query changes nothing.
type again struct{ error }

func (a *again) Unwrap() error { return a.error }

// RetryableError is for the SDK's retry.
func (a *again) RetryableError() bool { return !errors.Is(a.error, context.Canceled) }

// unsent is an error that came before a request could be sent.
type unsent struct{ error }

func (u *unsent) Unwrap() error { return u.error }

// markUnsent makes such errors of a client unsent: those of credentials may be of requests,
// too, to where credentials are.
func markUnsent(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
		return errors.Join(s.Initialize.Add(sending{}, middleware.Before), s.Deserialize.Add(sending{}, middleware.Before))
	})
}

// sending is the middleware, and the context's key of whether a request was signed and
// handed to the transport.
type sending struct{}

// ID names the middleware.
func (sending) ID() string { return "hotreader.Sending" }

// HandleInitialize sees the error of a whole call.
func (sending) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	sent := false
	out, metadata, err := next.HandleInitialize(context.WithValue(ctx, sending{}, &sent), in)
	if err != nil && !sent {
		err = &unsent{err}
	}
	return out, metadata, err
}

// HandleDeserialize sees each request.
func (sending) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	if sent, ok := ctx.Value(sending{}).(*bool); ok {
		*sent = true
	}
	return next.HandleDeserialize(ctx, in)
}
