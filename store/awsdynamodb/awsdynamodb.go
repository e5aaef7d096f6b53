// Package awsdynamodb is a store over a DynamoDB table, as the deployer and
// many others lay it out: one flat item a row, HASH device_id (S), RANGE
// timestamp (S, UTC text of any precision, or N).
//
// Requests go through the AWS SDK, which signs, finds the endpoint, retries and
// decodes errors. Answers do not: a page's JSON is decoded straight into rows.
package awsdynamodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

// The ways in which a table may keep time in its range key.
const (
	ISO8601     = timekey.ISO8601     // S, UTC, as 2006-01-02T15:04:05.999Z, in any precision
	EpochMillis = timekey.EpochMillis // N, milliseconds since 1970, fractions allowed
	EpochSecs   = timekey.EpochSecs   // N, seconds since 1970, fractions allowed
)

// Options say which table, and how it is laid out.
type Options struct {
	Table      string // its name or ARN
	DeviceKey  string // "" = device_id; the name of the HASH key, of type S
	TimeKey    string // "" = timestamp; the name of the RANGE key
	TimeFormat string // "" = ISO8601; how the RANGE key keeps time

	// Consistent asks for strongly consistent reads, at twice the price. Without,
	// a row may be missing in the first second after it was written.
	Consistent bool
}

// Store reads and writes one table. It is a hotreader.Store, safe for
// concurrent use.
type Store struct {
	client                     *dynamodb.Client
	table                      string
	deviceKey, timeKey, format string
	consistent                 bool
	paging.Scanner
}

var _ hotreader.Store = (*Store)(nil)

// New returns a Store over a table that exists, or will when it is first read.
func New(client *dynamodb.Client, o Options) *Store {
	s := &Store{
		client:     client,
		table:      o.Table,
		deviceKey:  cmp.Or(o.DeviceKey, "device_id"),
		timeKey:    cmp.Or(o.TimeKey, "timestamp"),
		format:     cmp.Or(o.TimeFormat, ISO8601),
		consistent: o.Consistent,
	}
	s.Scanner = paging.Scanner{
		Format: s.format, Slack: slack, Most: 1 << 15, Kept: paging.MaxPooled,
		Check: func(*hotreader.Query) error { return s.check() },
		New:   s.newReading,
		Fail:  func(ctx context.Context, err error) error { return s.fail(ctx, querying, err) },
	}
	return s
}

// Close does nothing: the client belongs to the caller.
func (s *Store) Close() error { return nil }

func (s *Store) region() string { return cmp.Or(s.client.Options().Region, "(none)") }

// keyKind returns the type of the range key.
func (s *Store) keyKind() types.ScalarAttributeType {
	if s.format == ISO8601 {
		return types.ScalarAttributeTypeS
	}
	return types.ScalarAttributeTypeN
}

// key returns a value of the range key.
func (s *Store) key(text string) types.AttributeValue {
	if s.format == ISO8601 {
		return &types.AttributeValueMemberS{Value: text}
	}
	return &types.AttributeValueMemberN{Value: text}
}

// check reports options with which nothing can be done.
func (s *Store) check() error {
	err := timekey.CheckLayout(s.deviceKey, s.timeKey, s.format, ISO8601, EpochMillis, EpochSecs)
	if s.table == "" {
		err = errors.New("no table is named; set DYNAMODB_TABLE_NAME")
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
			{AttributeName: &s.deviceKey, AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: &s.timeKey, AttributeType: s.keyKind()},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: &s.deviceKey, KeyType: types.KeyTypeHash},
			{AttributeName: &s.timeKey, KeyType: types.KeyTypeRange},
		},
	})
	if _, exists := errors.AsType[*types.ResourceInUseException](err); err != nil && !exists {
		return s.fail(ctx, creating, err)
	}
	for {
		out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
		if _, missing := errors.AsType[*types.ResourceNotFoundException](err); err != nil && !missing {
			return s.fail(ctx, creating, err)
		}
		if err == nil && out.Table.TableStatus == types.TableStatusActive {
			return s.checkKeys(out.Table)
		}
		select {
		case <-ctx.Done():
			return s.fail(ctx, creating, ctx.Err())
		case <-time.After(time.Second):
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
	if hash == s.deviceKey && ranged == s.timeKey && kinds[hash] == types.ScalarAttributeTypeS && kinds[ranged] == s.keyKind() {
		return nil
	}
	return &hotreader.Error{Op: s.op(creating), Code: hotreader.CodeConfig,
		Err: fmt.Errorf("it is there already, with the keys HASH %q (%s) and RANGE %q (%s); want HASH %q (S) and RANGE %q (%s)",
			hash, kinds[hash], ranged, kinds[ranged], s.deviceKey, s.timeKey, s.keyKind())}
}
