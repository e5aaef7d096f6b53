// Package awsdynamodb is a store over a DynamoDB table. As the deployer lays it out,
// an item is flat and holds a row, HASH is device_id (S) and RANGE timestamp (S, UTC
// text of any precision); what else a table may look like, a layout.Layout says.
//
// Requests go through the AWS SDK, which signs, finds the endpoint, retries and
// decodes errors. Answers do not: a page's JSON is decoded straight into rows.
package awsdynamodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"hotreader"
	"hotreader/internal/retries"
	"hotreader/layout"
	"hotreader/store/internal/awsclient"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

// Options say which table, and how it is laid out.
type Options struct {
	Table  string        // its name or ARN; also the ARN of one of its indexes
	Layout layout.Layout // DeviceKey is the HASH key, TimeKey the RANGE key, of the table or of Index
}

// Store reads and writes one table. It is a hotreader.Store, safe for
// concurrent use.
type Store struct {
	client *dynamodb.Client
	table  string
	layout layout.Layout            // with its defaults
	codec  timekey.Codec            // that Write uses
	index  *string                  // to read from; nil = the table
	wrong  error                    // what contradicts itself in the names of the table and the index
	keys   atomic.Pointer[[]string] // of the index's table, once they are known
	paging.Scanner
}

var _ hotreader.Store = (*Store)(nil)

// New returns a Store over a table that exists, or will when it is first read.
func New(client *dynamodb.Client, o Options) *Store {
	s := &Store{client: dynamodb.New(client.Options(), markUnsent), table: o.Table, layout: o.Layout.WithDefaults()}
	s.codec = timekey.NewestCodec(s.layout)
	s.place(client.Options().Region)
	s.Scanner = paging.Scanner{
		Cloud: layout.DynamoDB, Layout: s.layout, Slack: slack, Most: 1 << 15, Kept: paging.MaxPooled, Unranked: s.index != nil,
		Check: func(*hotreader.Query) error { return s.check() },
		New:   s.newReading,
		Fail:  func(ctx context.Context, err error) error { return s.fail(ctx, failure.Querying, err) },
		Look:  paging.Look{Items: s.look, End: s.end},
	}
	return s
}

// place takes apart what names the table and the index, and takes note of what
// contradicts itself.
func (s *Store) place(region string) {
	given := s.table
	table, own, ofIndex := strings.Cut(given, "/index/")
	of, index, arn := strings.Cut(s.layout.Index, "/index/")
	if !arn {
		of, index = "", s.layout.Index
	}
	s.table = table
	if index = cmp.Or(index, own); index != "" {
		s.layout.Index, s.index = index, &index
	}
	for _, arn := range []string{table, of} {
		if parts := strings.Split(arn, ":"); len(parts) > 3 && region != "" && parts[3] != region {
			s.wrong = fmt.Errorf("%s is in region %s, but the region is %s; give one of them", arn, parts[3], region)
		}
	}
	switch {
	case ofIndex && index != own:
		s.wrong = fmt.Errorf("the table is given as the ARN of its index %s, but index is %s; give one of them", own, index)
	case arn && (nameOf(of) != nameOf(table) || strings.Contains(table, ":") && of != table):
		s.wrong = fmt.Errorf("index is one of the table %s, but the table is %s", of, table)
	case table != "" && !tableName.MatchString(nameOf(table)):
		s.wrong = fmt.Errorf("invalid table name %.300q: expected 3 to 255 characters: letters, digits, dots, _ and -", nameOf(table))
	}
}

// tableName is what DynamoDB takes for one.
var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

// nameOf returns the name in a table's ARN.
func nameOf(table string) string { return table[strings.LastIndexByte(table, '/')+1:] }

// Close does nothing: the client belongs to the caller.
func (s *Store) Close() error { return nil }

func (s *Store) region() string { return cmp.Or(s.client.Options().Region, "(none)") }

// keyKind returns the type of the range key.
func (s *Store) keyKind() types.ScalarAttributeType {
	if s.codec.Kind == layout.NumberTime {
		return types.ScalarAttributeTypeN
	}
	return types.ScalarAttributeTypeS
}

// attribute returns a value of a key.
func attribute(text string, number bool) types.AttributeValue {
	if number {
		return &types.AttributeValueMemberN{Value: text}
	}
	return &types.AttributeValueMemberS{Value: text}
}

// check reports options with which nothing can be done.
func (s *Store) check() error {
	err := s.layout.Check(layout.DynamoDB)
	switch {
	case s.table == "":
		err = errors.New("no table is named; set DYNAMODB_TABLE_NAME")
	case s.wrong != nil:
		err = s.wrong
	}
	if err != nil {
		return &hotreader.Error{Op: "dynamodb", Code: hotreader.CodeConfig, Err: err}
	}
	return nil
}

// CreateTable creates the table of o, billed by request, and waits until it can
// be used. A table that is there already is left alone, if its keys are those
// of o.
func CreateTable(ctx context.Context, client *dynamodb.Client, o Options) error {
	s := New(client, o)
	if err := s.check(); err != nil {
		return err
	}
	_, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:   &s.table,
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: &s.layout.DeviceKey, AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: &s.layout.TimeKey, AttributeType: s.keyKind()},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: &s.layout.DeviceKey, KeyType: types.KeyTypeHash},
			{AttributeName: &s.layout.TimeKey, KeyType: types.KeyTypeRange},
		},
	})
	if _, exists := errors.AsType[*types.ResourceInUseException](err); err != nil && !exists {
		return s.fail(ctx, failure.Creating, err)
	}
	for {
		out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
		if _, missing := errors.AsType[*types.ResourceNotFoundException](err); err != nil && !missing {
			return s.fail(ctx, failure.Creating, err)
		}
		if err == nil && out.Table.TableStatus == types.TableStatusActive {
			return s.checkKeys(out.Table)
		}
		if err := retries.Wait(ctx, time.Second); err != nil {
			return s.fail(ctx, failure.Creating, err)
		}
	}
}

func (s *Store) checkKeys(t *types.TableDescription) error {
	var hash, ranged string
	for _, k := range t.KeySchema {
		if k.KeyType == types.KeyTypeHash {
			hash = aws.ToString(k.AttributeName)
		} else {
			ranged = aws.ToString(k.AttributeName)
		}
	}
	kinds := make(map[string]types.ScalarAttributeType)
	for _, a := range t.AttributeDefinitions {
		kinds[aws.ToString(a.AttributeName)] = a.AttributeType
	}
	if hash == s.layout.DeviceKey && ranged == s.layout.TimeKey && kinds[hash] == types.ScalarAttributeTypeS && kinds[ranged] == s.keyKind() {
		return nil
	}
	return &hotreader.Error{Op: s.op(failure.Creating), Code: hotreader.CodeConfig,
		Err: fmt.Errorf("it is there already, with the keys HASH %q (%s) and RANGE %q (%s); expected HASH %q (S) and RANGE %q (%s)",
			hash, kinds[hash], ranged, kinds[ranged], s.layout.DeviceKey, s.layout.TimeKey, s.keyKind())}
}

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
	{For: "ValidationException", Says: "invalid table/index name", Code: hotreader.CodeConfig,
		Text: "the table's name is rejected: {message}; DynamoDB Local takes a name only, no ARN"},
	{For: "ValidationException", Doing: failure.Writing, Code: hotreader.CodeInvalid, Text: "the table rejects a record: {message}; its keys must be {keys}, or " + hotreader.LayoutHelp},
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
		f.Names, f.Root = []string{"unsent"}, early.error
	} else {
		awsclient.Tell(&f, err)
		if send, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
			f.Root = send.Err
		}
	}
	return f.Error(ctx, rules)
}
