package azurefunctions

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"hotreader"
	"hotreader/identity"
	"hotreader/test/scripted"
)

// seen is the request that the API got.
type seen struct {
	method, target, body string
	header               http.Header
}

func capture(got *seen) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*got = seen{r.Method, r.URL.RequestURI(), string(body), r.Header}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Add("Vary", "A")
		w.Header().Add("Vary", "B")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, `{"é":"<\"&>"}`)
	})
}

func post(t *testing.T, h http.Handler, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Requests reach the API unchanged, except that an id which the host has changed is
// taken from the front end's header.
func TestForwarded(t *testing.T) {
	for _, c := range []struct{ came, header, want string }{
		{"/v1/devices/d/latest?property=a", "", "/v1/devices/d/latest?property=a"},
		{"/v1/devices/a", "/v1/devices/a%3Fb/latest?property=a", "/v1/devices/a%3Fb/latest?property=a"},
		{"/v1/devices/aAb/latest?property=a", "/v1/devices/a%2541b/latest?property=a", "/v1/devices/a%2541b/latest?property=a"},
		{"/v1/devices/d/latest", "/elsewhere", "/v1/devices/d/latest"},
		{"/v1/devices/d/latest", "/v1/devices/%zz/latest", "/v1/devices/d/latest"},
		{"/read", "", "/read"},
		{"/hot-reader/x", "", "/hot-reader/x"}, // a document's path is a path like any other
		{"/hot-reader-api?code=x", "", "/hot-reader-api?code=x"},
	} {
		for _, name := range unencoded {
			var got seen
			w := post(t, Handler(capture(&got)), c.came, "body", name, c.header)
			if got.target != c.want || got.body != "body" || w.Code != http.StatusTeapot || !strings.HasPrefix(w.Body.String(), `{"é"`) {
				t.Errorf("%s, %s: %+v, %d %s", c.came, c.header, got, w.Code, w.Body)
			}
		}
	}
	var got seen
	post(t, Handler(capture(&got)), "/read", "", "X-Azure-Functions-Invocationid", "i-1", "Traceparent", "00-x")
	if got.header.Get("X-Request-Id") != "" {
		t.Error("a second trace id beside the caller's")
	}
}

type managed struct{ scope *string }

func (i managed) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	*i.scope = strings.Join(o.Scopes, " ")
	return azcore.AccessToken{Token: "entra", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestSecret(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []string
		want    string
		code    hotreader.Code
		says    string
		asked   int
	}{
		{"value", []string{`200{"value":"a,b","id":"x"}`}, "a,b", "", "", 1},
		{"a hiccup", []string{"503", "err", `200{"value":"a"}`}, "a", "", "", 3},
		{"outage", []string{"503"}, "", hotreader.CodeUnavailable, "", 4},
		{"throttled", []string{"429"}, "", hotreader.CodeThrottled, "", 4},
		{"not allowed", []string{`403{"error":{"code":"Forbidden"}}`}, "", hotreader.CodeForbidden, "Key Vault Secrets User", 1},
		{"not there", []string{`404{}`}, "", hotreader.CodeNotFound, "no such secret", 1},
		{"another server", []string{`200<html>hunter2`}, "", hotreader.CodeProtocol, "not Key Vault's", 1},
		{"without an end", []string{"404" + strings.Repeat(" ", 1<<20+1)}, "", hotreader.CodeUnavailable, "larger than 1 MB", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var scope string
				v := &scripted.Answers{Text: c.answers}
				got, _, err := Secret(managed{&scope}, v, "https://plant.vault.azure.net/secrets/t")(t.Context())
				if got != c.want || hotreader.CodeOf(err) != c.code || c.says != "" && !strings.Contains(err.Error(), c.says) || len(v.Got) != c.asked {
					t.Errorf("%q, %v after %d requests", got, err, len(v.Got))
				}
				if r := v.Got[0]; scope != "https://vault.azure.net/.default" || r.URL.String() != "https://plant.vault.azure.net/secrets/t?api-version=7.4" || r.Header.Get("Authorization") != "Bearer entra" {
					t.Errorf("scope %s, %s %v", scope, r.URL, r.Header)
				}
				if err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%v shows the answer", err)
				}
			})
		})
	}
	var scope string
	v := &scripted.Answers{Text: []string{`200{"value":"a"}`}}
	if _, _, err := Secret(managed{&scope}, v, "https://plant.vault.azure.cn/secrets/t/v")(t.Context()); err != nil || scope != "https://vault.azure.cn/.default" {
		t.Errorf("%s, %v", scope, err)
	}
}

// The token's age is that of the secret's version.
func TestSecretTellsItsAge(t *testing.T) {
	const long = "0123456789abcdef0123456789abcdef"
	for answer, want := range map[string]int64{
		`200{"value":"` + long + `","attributes":{"enabled":true,"created":1700000000,"updated":1700000001}}`: 1_700_000_000,
		`200{"value":"` + long + `"}`: time.Time{}.Unix(),
	} {
		scope := ""
		fetched, err := identity.Fetched(t.Context(), Secret(managed{&scope}, &scripted.Answers{Text: []string{answer}}, "https://plant.vault.azure.net/secrets/token"))
		if err != nil || fetched.Made().Unix() != want {
			t.Errorf("%s: %v, %v", answer, fetched.Made(), err)
		}
	}
}

func TestSecretWithinItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		var scope string
		_, _, err := Secret(managed{&scope}, &scripted.Answers{Text: []string{"503"}}, "https://plant.vault.azure.net/secrets/t")(ctx)
		if hotreader.CodeOf(err) != hotreader.CodeDeadline {
			t.Errorf("%v", err)
		}
	})
}
