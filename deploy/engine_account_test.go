package deploy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hotreader/config"
	"hotreader/deploy/topology"
)

// An account that cannot have the access log is reported before AWS rejects it.
func TestAccountWithoutLogRoleIsNoted(t *testing.T) {
	stage := SidePlan{Changes: []ResourceChange{{Action: Create, What: noun("aws_api_gateway_stage"), Name: "prod"}}}
	for _, c := range []struct {
		name   string
		status int
		body   string
		plan   SidePlan
		ours   bool // account_log_role
		cloud  config.Cloud
		noted  bool
	}{
		{"none", 200, `{"throttleSettings":{}}`, stage, false, config.AWS, true},
		{"there", 200, `{"cloudwatchRoleArn":"arn:aws:iam::123456789012:role/logs"}`, stage, false, config.AWS, false},
		{"ours to make", 200, `{}`, stage, true, config.AWS, false},
		{"the stage stands", 200, `{}`, SidePlan{}, false, config.AWS, false},
		{"another cloud", 200, `{}`, stage, false, config.Azure, false},
		{"nobody may ask", 403, `{"message":"no"}`, stage, false, config.AWS, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/account" || !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") {
					t.Errorf("asked %s, signed %.20q", r.URL, r.Header.Get("Authorization"))
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			}))
			defer s.Close()
			t.Setenv("AWS_ENDPOINT_URL", s.URL)
			t.Setenv("AWS_REGION", "eu-central-1")
			t.Setenv("AWS_ACCESS_KEY_ID", "a")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
			w := &work{Engine: &Engine{Project: &config.Project{Options: config.Options{AWS: config.AWSOptions{AccountLogRole: c.ours}}}}}
			note := w.accountNote(t.Context(), topology.Side{Cloud: c.cloud}, c.plan)
			if noted := strings.Contains(note, "account_log_role"); noted != c.noted {
				t.Errorf("the note is %q, want one: %v", note, c.noted)
			}
		})
	}
}
