//go:build engines

package awsdynamodb_test

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
	"hotreader/store/awsdynamodb"
	"hotreader/store/storetest"
	"hotreader/test/engine"
)

// harness brings up a table of DynamoDB Local for each check.
func harness(format string) storetest.Harness {
	var tables atomic.Int64
	var client *dynamodb.Client
	var table string
	h := storetest.Harness{
		RewritesNumbers: true,
		New: func(t testing.TB) (hotreader.Reader, hotreader.Writer) {
			client = engine.DynamoDBClient(t)
			table = "conformance-" + format + "-" + strconv.FormatInt(tables.Add(1), 10)
			o := awsdynamodb.Options{Table: table, TimeFormat: format}
			if err := awsdynamodb.CreateTable(t.Context(), client, o); err != nil {
				t.Fatal(err)
			}
			s := awsdynamodb.New(client, o)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			return s, s
		},
	}
	if format != awsdynamodb.ISO8601 {
		return h
	}
	h.PutRaw = func(t testing.TB, device, timeText string, fields ...hotreader.Field) {
		item := map[string]types.AttributeValue{
			"device_id": &types.AttributeValueMemberS{Value: device},
			"timestamp": &types.AttributeValueMemberS{Value: timeText},
		}
		for _, f := range fields {
			switch f.Value.Kind() {
			case hotreader.Null:
				item[f.Name] = &types.AttributeValueMemberNULL{Value: true}
			case hotreader.Bool:
				item[f.Name] = &types.AttributeValueMemberBOOL{Value: f.Value.Bool()}
			case hotreader.Number:
				item[f.Name] = &types.AttributeValueMemberN{Value: string(f.Value.Text())}
			case hotreader.String:
				item[f.Name] = &types.AttributeValueMemberS{Value: string(f.Value.Text())}
			}
		}
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func TestConformance(t *testing.T) {
	for _, format := range []string{awsdynamodb.ISO8601, awsdynamodb.EpochMillis, awsdynamodb.EpochSecs} {
		t.Run(format, func(t *testing.T) { storetest.Run(t, harness(format)) })
	}
}
