//go:build engines

package engine

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

func TestDynamoDBAnswers(t *testing.T) {
	client := DynamoDBClient(t)
	if _, err := client.ListTables(t.Context(), &dynamodb.ListTablesInput{}); err != nil {
		t.Fatal(err)
	}
	if a, b := DynamoDB(t), DynamoDB(t); a != b {
		t.Errorf("two engines, %s and %s, in one test binary", a, b)
	}
}
