package awsdynamodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"hotreader"
	"hotreader/store/internal/awsclient"
	"hotreader/store/internal/failure"
)

// permissions are what it takes.
var permissions = map[string]string{
	failure.Querying: "dynamodb:Query",
	failure.Writing:  "dynamodb:BatchWriteItem",
	failure.Creating: "dynamodb:CreateTable and dynamodb:DescribeTable",
	failure.Sampling: "dynamodb:DescribeTable, dynamodb:Scan and dynamodb:Query, which inspecting a table needs,",
}

// rules go by DynamoDB's error codes, and after them by "status:" and the HTTP
// status.
var rules = []failure.Rule{
	{For: "ResourceNotFoundException", Code: hotreader.CodeNotFound,
		Text: "there is no such table in region {region}; check the table's name (DYNAMODB_TABLE_NAME, or the store URL), the region and the account"},
	{For: "ProvisionedThroughputExceededException ThrottlingException Throttling RequestLimitExceeded RequestThrottled" +
		" RequestThrottledException TooManyRequestsException SlowDown BandwidthLimitExceeded", Code: hotreader.CodeThrottled,
		Text: "the table takes no more requests just now ({message}); raise its capacity or ask less often"},
	{For: "AccessDeniedException", Code: hotreader.CodeForbidden, Text: "the role lacks {permission} on this table in region {region}: {message}"},
	{For: "UnrecognizedClientException InvalidSignatureException ExpiredTokenException ExpiredToken MissingAuthenticationToken" +
		" MissingAuthenticationTokenException IncompleteSignature IncompleteSignatureException InvalidClientTokenId RequestExpired", Code: hotreader.CodeConfig,
		Text: "the AWS credentials were rejected ({code}): {message}; check that they are valid, not expired, and that the clock is right"},
	{For: "ValidationException", Doing: failure.Writing, Code: hotreader.CodeInvalid, Text: "the table rejects a record: {message}; its keys must be {keys}"},
	{For: "ValidationException", Code: hotreader.CodeConfig,
		Text: "the table is not laid out as configured: {message}; its keys must be {keys}, or " + hotreader.LayoutHelp},
	{For: "unsent", Code: hotreader.CodeConfig,
		Text: "no request can be made: {error}; set AWS_REGION and give AWS credentials (a role, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"},
	{For: "status:429", Code: hotreader.CodeThrottled, Text: "{code}: {message}"},
	{For: "status:503", Code: hotreader.CodeUnavailable, Text: "{code}: {message}"},
	{For: "status:*", Code: hotreader.CodeStore, Text: "{code}: {message}"},
}

func (s *Store) op(doing string) string { return "dynamodb: " + doing + " table " + s.table }

// fail makes err, which a call of the SDK returned, an *hotreader.Error.
func (s *Store) fail(ctx context.Context, doing string, err error) error {
	f := failure.Failure{Op: s.op(doing), Doing: doing, Err: err, Words: []string{
		"service", "DynamoDB",
		"endpoint", cmp.Or(aws.ToString(s.client.Options().BaseEndpoint), "DynamoDB"),
		"region", s.region(),
		"permission", permissions[doing],
		"keys", fmt.Sprintf("HASH %q (S) and RANGE %q (%s)", s.layout.DeviceKey, s.layout.TimeKey, s.keyKind()),
	}}
	if early, ok := errors.AsType[*unsent](err); ok {
		f.Names, f.Root = []string{"unsent"}, errors.Unwrap(early.error)
	} else {
		awsclient.Tell(&f, err)
	}
	if send, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		f.Root = send.Err
	}
	return f.Error(ctx, rules)
}
