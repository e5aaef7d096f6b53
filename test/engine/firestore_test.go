//go:build engines

package engine

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestFirestoreAnswers(t *testing.T) {
	resp, err := http.Post(Firestore(t)+"/v1/projects/"+FirestoreProject+"/databases/(default)/documents:runQuery", "application/json",
		strings.NewReader(`{"structuredQuery":{"from":[{"collectionId":"nothing"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "readTime") {
		t.Errorf("a query: %s, %s", resp.Status, body)
	}
	if a, b := Firestore(t), Firestore(t); a != b {
		t.Errorf("two engines, %s and %s, in one test binary", a, b)
	}
}
