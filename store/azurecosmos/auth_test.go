package azurecosmos

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"hotreader"
	"hotreader/store/storetest/cloud"
)

// The example of "Access control on Cosmos DB resources" in Microsoft's REST
// reference.
func TestSignatureIsMicrosofts(t *testing.T) {
	c, err := NewClient(ClientOptions{Endpoint: "https://account.documents.azure.com", Key: docsKey})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.credentials.authorize(t.Context(), "GET", "dbs", "dbs/ToDoList", "Thu, 27 Apr 2017 00:51:12 GMT")
	if err != nil {
		t.Fatal(err)
	}
	if want := "type%3dmaster%26ver%3d1.0%26sig%3dc09PEVJrgp2uQRkr934kFbTqhByc7TVr3OHyqlu%2bc%2bc%3d"; !strings.EqualFold(got, want) || got == strings.ToLower(got) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Without regard to case only the percent codes are equal.
	if plain, err := url.QueryUnescape(got); err != nil || plain != "type=master&ver=1.0&sig=c09PEVJrgp2uQRkr934kFbTqhByc7TVr3OHyqlu+c+c=" {
		t.Errorf("got %s, %v", plain, err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, c.credentials); strings.Contains(text, "118") || strings.Contains(text, "dsZQ") || text != "[key]" {
			t.Errorf("printed with %s: %s", format, text)
		}
	}
}

// source gives tokens token-1, token-2, …, each for an hour.
type source struct {
	mu     sync.Mutex
	asked  int
	scopes []string
	fail   error
	slow   time.Duration
}

func (s *source) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return azcore.AccessToken{}, s.fail
	}
	s.asked++
	s.scopes = o.Scopes
	return azcore.AccessToken{Token: fmt.Sprintf("token-%d", s.asked), ExpiresOn: time.Now().Add(time.Hour)}, ctx.Err()
}

func identified(t *testing.T, f *fake, s *source) *Store {
	t.Helper()
	t.Setenv("COSMOS_DB_KEY", "")
	c, err := NewClient(ClientOptions{Endpoint: "https://account.documents.azure.com:443", Credential: s, Transport: f})
	if err != nil {
		t.Fatal(err)
	}
	return New(c, Options{Database: "twin", Container: "hot"})
}

func TestTokensOfAnIdentity(t *testing.T) {
	f := newFake(t)
	f.Serve = func(cloud.Sent) cloud.Answer { return pageOf("", n("2024-01-01T00:00:00Z", "1")) }
	tokens := &source{slow: time.Second}
	s := identified(t, f, tokens)
	sentWith := func() string {
		header, err := url.QueryUnescape(f.Requests[len(f.Requests)-1].Header.Get("Authorization"))
		if err != nil {
			t.Fatal(err)
		}
		return header
	}
	synctest.Test(t, func(t *testing.T) {
		var readers sync.WaitGroup
		s.client.credentials = newIdentity(tokens, s.client.credentials.(*identity).scope) // its channel belongs to this bubble
		for range 20 {
			readers.Go(func() { cloud.WantRows(t, s, qN, "00:00:00 1") })
		}
		readers.Wait()
		if tokens.asked != 1 || sentWith() != "type=aad&ver=1.0&sig=token-1" {
			t.Errorf("%d tokens for 20 readers; sent %s", tokens.asked, sentWith())
		}
		if len(tokens.scopes) != 1 || tokens.scopes[0] != "https://account.documents.azure.com/.default" {
			t.Errorf("scopes %v", tokens.scopes)
		}
		time.Sleep(54 * time.Minute)
		cloud.WantRows(t, s, qN, "00:00:00 1")
		if sentWith() != "type=aad&ver=1.0&sig=token-1" {
			t.Errorf("sent %s", sentWith())
		}
		time.Sleep(2 * time.Minute) // within the last five
		cloud.WantRows(t, s, qN, "00:00:00 1")
		if sentWith() != "type=aad&ver=1.0&sig=token-2" {
			t.Errorf("sent %s", sentWith())
		}
		// A token that is refused is replaced once, whatever is left for retries.
		for s.client.retries.Withdraw() {
		}
		f.Serve = nil
		f.Answers = []cloud.Answer{refuse(401, "Unauthorized", "revoked"), pageOf("", n("2024-01-01T00:00:00Z", "1"))}
		cloud.WantRows(t, s, qN, "00:00:00 1")
		if sentWith() != "type=aad&ver=1.0&sig=token-3" {
			t.Errorf("sent %s", sentWith())
		}
		f.Answers = []cloud.Answer{refuse(401, "Unauthorized", "revoked"), refuse(401, "Unauthorized", "again")}
		if _, err := rows(t, s, qN); hotreader.CodeOf(err) != hotreader.CodeConfig {
			t.Errorf("error %v", err)
		}
		f.Done()
	})
}

func TestNoToken(t *testing.T) {
	f := newFake(t)
	s := identified(t, f, &source{fail: errors.New("ManagedIdentityCredential: no endpoint\nand much more")})
	_, err := rows(t, s, qN)
	if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "no endpoint; give the function a managed identity") || strings.Contains(err.Error(), "much more") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range hotreader.NewReader(s).Read(ctx, qN) {
		if hotreader.CodeOf(err) != hotreader.CodeCanceled {
			t.Errorf("error %v", err)
		}
	}
	if len(f.Requests) > 0 {
		t.Error("a request was sent without a token")
	}
}

// A client's options, and what of the environment they fall back to.
func TestClientOptions(t *testing.T) {
	const endpoint = "https://account.documents.azure.com"
	for _, test := range []struct {
		endpoint, key string
		says          string // "" = it is fine
	}{
		{"", docsKey, "set COSMOS_DB_ENDPOINT"},
		{endpoint, docsKey, ""},
		{endpoint + ":443/", docsKey, ""},
		{"http://127.0.0.1:8081", docsKey, ""},
		{"http://localhost:8081/", docsKey, ""},
		{"http://[::1]:8081", docsKey, ""},
		{"http://account.documents.azure.com", docsKey, "http is for an emulator on this machine"},
		{"http://127.0.0.1:8081", "", "no token is sent there; set COSMOS_DB_KEY"},
		{endpoint, "not base64!", "not base64"},
		{endpoint, "=", "not base64"},
		{"account.documents.azure.com", docsKey, "not that of an account"},
		{endpoint + "/dbs/twin", docsKey, "not that of an account"},
		{endpoint + "?x=1", docsKey, "not that of an account"},
		{"https://user:secret@account.documents.azure.com", docsKey, "the key belongs into COSMOS_DB_KEY"},
		{"ftp://account.documents.azure.com", docsKey, "not https"},
		{"https://%zz", docsKey, "is not a URL"},
	} {
		for _, environment := range []bool{false, true} {
			o := ClientOptions{Endpoint: test.endpoint, Key: test.key}
			t.Setenv("COSMOS_DB_ENDPOINT", "")
			t.Setenv("COSMOS_DB_KEY", "")
			if environment {
				t.Setenv("COSMOS_DB_ENDPOINT", o.Endpoint)
				t.Setenv("COSMOS_DB_KEY", o.Key)
				o = ClientOptions{}
			}
			for name, make := range map[string]func(ClientOptions) (*Client, error){"NewClient": NewClient, "NewFunctionClient": NewFunctionClient} {
				c, err := make(o)
				if (err == nil) != (test.says == "") || err != nil && (hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), test.says)) {
					t.Errorf("%s %+v: %v, want %q", name, test, err, test.says)
				}
				if err == nil && strings.HasSuffix(c.endpoint, "/") {
					t.Errorf("%s %+v: endpoint %s", name, test, c.endpoint)
				}
				if err != nil && (strings.Contains(err.Error(), "secret@") || strings.Contains(err.Error(), docsKey)) {
					t.Errorf("%s %+v tells a secret: %v", name, test, err)
				}
			}
		}
	}
	// Without a key: an identity, which is not asked for a token yet.
	t.Setenv("COSMOS_DB_KEY", "")
	t.Setenv("AZURE_CLIENT_ID", "11111111-2222-3333-4444-555555555555")
	for name, make := range map[string]func(ClientOptions) (*Client, error){"NewClient": NewClient, "NewFunctionClient": NewFunctionClient} {
		c, err := make(ClientOptions{Endpoint: endpoint})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, ok := c.credentials.(*identity); !ok {
			t.Errorf("%s without a key has %T", name, c.credentials)
		}
	}
}
