// Package awsbound bounds what clients of the AWS SDK read: it puts no limit on an answer that
// it decodes, nor on one that says what is wrong.
package awsbound

import (
	"context"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"hotreader/internal/bounded"
)

// Options returns the APIOptions of a client, or of a configuration for clients and for those
// that fetch their credentials.
func Options() []func(*middleware.Stack) error {
	return []func(*middleware.Stack) error{func(s *middleware.Stack) error {
		return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("hotreader.Bound",
			func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				out, metadata, err := next.HandleDeserialize(ctx, in)
				if resp, ok := out.RawResponse.(*smithyhttp.Response); ok && resp != nil && resp.Response != nil {
					bounded.Answer(resp.Response)
				}
				return out, metadata, err
			}), middleware.After)
	}}
}
