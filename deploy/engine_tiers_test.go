package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotreader/config"
)

// Hot storage on AWS, cold storage on Azure, the twin on Google Cloud: both APIs come
// first and take the token that the twin sends, also while it is rotated; each has its
// connection.
func TestThreeCloudsShareAToken(t *testing.T) {
	e, _ := stood(t, "")
	e.Project.Cold = config.Azure
	e.Project.Options.Cold = config.Objects{Account: "hallcold", Container: "rows"}
	clouds := []config.Cloud{config.AWS, config.Azure, config.GCP}
	tokens := func() (all [][]string) {
		for _, c := range clouds {
			var v struct{ Token string }
			text, err := os.ReadFile(filepath.Join(e.Work, string(c), "applied"))
			if err != nil || json.Unmarshal(text, &v) != nil {
				return nil // not all is deployed
			}
			all = append(all, strings.Split(v.Token, ","))
		}
		return all
	}
	fits := func() {
		t.Helper()
		if all := tokens(); all != nil && (len(all[2]) != 1 || !slices.Contains(all[0], all[2][0]) || !slices.Contains(all[1], all[2][0])) {
			t.Error("the twin's token is not one that both APIs take")
		}
	}
	e.Operator = &watching{check: fits, report: fits}
	ids := []string{"gcp_l4_to_aws_l3hot_read", "gcp_l4_to_azure_l3cold_read"}
	connections := func() (tokens []string) {
		all, err := config.OpenConnections(e.Project.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if c, ok := all.Get(id); ok && c.URL == "https://api.example.com" && c.PreviousToken.IsZero() {
				tokens = append(tokens, c.Token.Reveal())
			}
		}
		return tokens
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(e.Work), "dies"), []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.Deploy(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := tokens()
	if got := connections(); len(first) != 3 || len(got) != 2 || got[0] != got[1] || got[0] != first[2][0] {
		t.Fatalf("%d clouds are deployed, %d connections are written, or they do not share the token", len(first), len(got))
	}
	text, err := os.ReadFile(filepath.Join(e.Work, "gcp", "main.tf.json"))
	if err != nil || !strings.Contains(string(text), `"REMOTE_COLD_READER_URL": "https://api.example.com"`) {
		t.Errorf("the twin's side does not ask for cold storage: %v", err)
	}
	if err := e.Rotate(t.Context(), ids[0], false); err != nil {
		t.Fatal(err)
	}
	for i, all := range tokens() {
		if len(all) != 1 || all[0] == first[2][0] || all[0] != connections()[1] {
			t.Errorf("%s does not have the new token alone", clouds[i])
		}
	}
	e.Only = config.AWS
	if err := e.Rotate(t.Context(), ids[0], false); err == nil || !strings.Contains(err.Error(), "leave out --only") {
		t.Errorf("a rotation on one of two APIs: %v", err)
	}
}
