package deploy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A search of API Gateway ends, whatever its pages say comes next.
func TestLookupEnds(t *testing.T) {
	item := func(id, name string) string { return fmt.Sprintf(`{"id":%q,"name":%q}`, id, name) }
	key := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, nil
	})
	for name, c := range map[string]struct {
		pages    func(n int) string
		id, says string
	}{
		"on the second page": {func(n int) string {
			return []string{`{"item":[` + item("a", "theirs") + `],"position":"x"}`, `{"item":[` + item("b", "ours") + `]}`}[n]
		}, "b", ""},
		"nowhere":       {func(int) string { return `{}` }, "", ""},
		"twice":         {func(int) string { return `{"item":[` + item("a", "ours") + `,` + item("b", "ours") + `]}` }, "", "(a and b)"},
		"in a circle":   {func(n int) string { return fmt.Sprintf(`{"position":"%d"}`, n%2) }, "", "goes on"},
		"ever the same": {func(int) string { return `{"position":"x"}` }, "", "goes on"},
	} {
		n := -1
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n++
			_, _ = io.WriteString(w, c.pages(n)) // the client may have gone
		}))
		l := &awsLookup{cfg: aws.Config{Region: "eu-central-1", Credentials: key}, service: "apigateway", endpoint: s.URL}
		id, err := l.id(t.Context(), "aws_api_gateway_rest_api", func(string) string { return "ours" })
		s.Close()
		if id != c.id || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v", name, id, err)
		}
	}
}
