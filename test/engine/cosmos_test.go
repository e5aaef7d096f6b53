//go:build engines

package engine

import (
	"net/http"
	"testing"
)

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
