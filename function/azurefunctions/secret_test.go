package azurefunctions

import (
	"context"
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
		{"somebody else", []string{`200<html>hunter2`}, "", hotreader.CodeProtocol, "not Key Vault's", 1},
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
