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
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"hotreader"
)

// maxPage bounds the bytes of one page. DynamoDB cuts pages at 1 MB as it
// counts items, which JSON makes a few times that.
const maxPage = 32 << 20

// maxPooled bounds what a page's buffer may keep between reads.
const maxPooled = 4 << 20

// pages keeps the buffers of pages between reads, of all stores.
var pages = sync.Pool{New: func() any { return new(page) }}

// A page is the body of one Query answer.
type page struct {
	body []byte
	sent bool // a request was signed and handed to the transport
	sum  bool // keep compares the checksum, not the SDK
}

func newPage() *page { return pages.Get().(*page) }

func (p *page) release() {
	if cap(p.body) <= maxPooled {
		pages.Put(p)
	}
}

// fetch asks for one page. The SDK signs, sends, retries and decodes errors;
// the body of a good answer is kept in p undecoded.
func (p *page) fetch(ctx context.Context, client *dynamodb.Client, in *dynamodb.QueryInput) error {
	p.body, p.sent = p.body[:0], false
	_, err := client.Query(ctx, in, func(o *dynamodb.Options) {
		// The SDK reckons a checksum also where DynamoDB sends none, and only logs
		// what it finds. But it sees the bytes before they are unpacked.
		p.sum = !o.EnableAcceptEncodingGzip
		o.DisableValidateResponseChecksum = p.sum
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			// Behind the SDK's decoding, and so ahead of it when the answer
			// comes back; in front of the checksum's and gzip's readers.
			return s.Deserialize.Insert(p, "OperationDeserializer", middleware.After)
		})
	})
	return err
}

// ID names the middleware.
func (*page) ID() string { return "hotreader.KeepBody" }

// HandleDeserialize keeps the body of a good answer and gives the SDK an empty
// one instead.
func (p *page) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	p.sent = true
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if err != nil {
		return out, metadata, err
	}
	resp, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok || resp.StatusCode != http.StatusOK {
		return out, metadata, nil
	}
	err = p.keep(resp)
	resp.Body = io.NopCloser(strings.NewReader("{}"))
	return out, metadata, err
}

// keep reads, checks and closes the body.
func (p *page) keep(resp *smithyhttp.Response) error {
	body := resp.Body
	p.body = p.body[:0]
	if n := resp.ContentLength; n > 0 && n < maxPage && int64(cap(p.body)) <= n {
		p.body = make([]byte, 0, n+1) // one more, so that the end shows without growing
	}
	for {
		if len(p.body) == cap(p.body) {
			p.body = append(p.body, 0)[:len(p.body)]
		}
		n, err := body.Read(p.body[len(p.body):cap(p.body)])
		p.body = p.body[:len(p.body)+n]
		switch {
		case len(p.body) > maxPage:
			body.Close()
			return &hotreader.Error{Op: "dynamodb: read a page", Code: hotreader.CodeCorrupt,
				Err: fmt.Errorf("it is larger than %d bytes, which no answer of DynamoDB is", maxPage)}
		case err == io.EOF:
			err := body.Close()
			sum := resp.Header.Get("X-Amz-Crc32")
			switch {
			case sum == "":
				err = nil // the SDK's reader complains, for it expects 0
			case p.sum && sum != strconv.FormatUint(uint64(crc32.ChecksumIEEE(p.body)), 10):
				err = fmt.Errorf("its checksum is not %.20q, as DynamoDB says", sum)
			case p.sum:
				err = nil
			}
			if err != nil {
				return &bodyError{err, true}
			}
			return nil
		case err != nil:
			body.Close()
			return &bodyError{err, false}
		}
	}
}

// bodyError is a body that broke off or is damaged. The SDK's retry may ask
// again, for a query changes nothing.
type bodyError struct {
	err     error
	damaged bool
}

func (e *bodyError) Error() string { return "read the body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// RetryableError tells the SDK's retry.
func (e *bodyError) RetryableError() bool { return !errors.Is(e.err, context.Canceled) }
