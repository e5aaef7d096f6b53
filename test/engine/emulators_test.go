//go:build engines

package engine

import (
	"io"
	"net/http"
	"strings"
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

func TestCosmosAnswers(t *testing.T) {
	resp, err := http.Get(Cosmos(t) + "/dbs")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("listing databases: %s", resp.Status)
	}
	if a, b := Cosmos(t), Cosmos(t); a != b {
		t.Errorf("two engines, %s and %s, in one test binary", a, b)
	}
}

func TestFirestoreAnswers(t *testing.T) {
	resp, err := http.Post(Firestore(t)+"/v1/projects/"+FirestoreProject+"/databases/(default)/documents:runQuery", "application/json",
		strings.NewReader(`{"structuredQuery":{"from":[{"collectionId":"nothing"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "readTime") {
		t.Errorf("a query: %s, %s, %v", resp.Status, body, err)
	}
	if a, b := Firestore(t), Firestore(t); a != b {
		t.Errorf("two engines, %s and %s, in one test binary", a, b)
	}
}
