//go:build engines

package s3_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/buckettest"
	"hotreader/store/coldstore/s3"
	"hotreader/test/engine"
)

func TestMoto(t *testing.T) {
	for _, v := range engine.MotoEnv(t) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	send := func(method, path string, header http.Header, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, engine.Moto(t)+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+engine.AccessKeyID+"/20260101/"+engine.Region+"/s3/aws4_request, SignedHeaders=host, Signature=0")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %s", method, path, resp.Status)
		}
	}
	send(http.MethodPut, "/cold", http.Header{}, `<CreateBucketConfiguration><LocationConstraint>`+engine.Region+`</LocationConstraint></CreateBucketConfiguration>`)
	for name, open := range map[string]func(ctx context.Context, o s3.Options) (*s3.Bucket, error){
		"default":  s3.New,
		"function": func(_ context.Context, o s3.Options) (*s3.Bucket, error) { return s3.NewFunction(o) },
	} {
		b, err := open(t.Context(), s3.Options{Bucket: "cold"})
		if err != nil {
			t.Fatal(err)
		}
		buckettest.Run(t, b, buckettest.Writer{Prefix: name + "/", Put: func(key string, body []byte) {
			send(http.MethodPut, "/cold/"+buckettest.Escape(key), http.Header{}, string(body))
		}, Delete: func(key string) { send(http.MethodDelete, "/cold/"+buckettest.Escape(key), http.Header{}, "") }})
	}

	b, err := s3.New(t.Context(), s3.Options{Bucket: "cold"})
	if err != nil {
		t.Fatal(err)
	}
	send(http.MethodPut, "/cold/archive/dt=2024-01-01/a.jsonl", http.Header{"X-Amz-Storage-Class": {"DEEP_ARCHIVE"}}, `{"device_id":"d"}`)
	for page, err := range b.List(t.Context(), "archive/", "") {
		if err != nil || len(page.Objects) != 1 || page.Objects[0].Archive != "DEEP_ARCHIVE" {
			t.Fatalf("%+v, %v", page, err)
		}
		if _, err := b.Read(t.Context(), &page.Objects[0], 0, 1); !errors.Is(err, hotreader.CodeNotRestored) {
			t.Errorf("an archived object: %v", err)
		}
	}

	// A restore of it, asked for twice, makes it readable.
	restorer := s3.Restorer{Bucket: b}
	archived := coldstore.Object{Key: "archive/dt=2024-01-01/a.jsonl"}
	for range 2 {
		if err := restorer.Restore(t.Context(), &archived, "bulk", 3); err != nil {
			t.Error(err)
		}
	}
	for page, err := range b.List(t.Context(), "archive/", "") {
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Read(t.Context(), &page.Objects[0], 0, 1)
		if err != nil {
			t.Fatalf("a restored object: %v", err)
		}
		r.Close()
	}
	if err := restorer.Restore(t.Context(), &coldstore.Object{Key: "archive/gone"}, "standard", 7); !coldstore.IsChanged(err) {
		t.Errorf("an object that is gone: %v", err)
	}

	none, err := s3.New(t.Context(), s3.Options{Bucket: "no-such-bucket"})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range none.List(t.Context(), "", "") {
		if !errors.Is(err, hotreader.CodeNotFound) {
			t.Errorf("no bucket: %v", err)
		}
	}
	var _ coldstore.Bucket = b
}

// The words of other failures, as AWS documents them.
func TestFailures(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "k")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	for code, want := range map[string]struct {
		status int
		code   hotreader.Code
		says   string
	}{
		"PermanentRedirect": {301, hotreader.CodeConfig, "another region than eu-central-1"},
		"AccessDenied":      {403, hotreader.CodeForbidden, "s3:ListBucket"},
		"SlowDown":          {503, hotreader.CodeThrottled, "no more requests"},
		"ExpiredToken":      {400, hotreader.CodeConfig, "credentials were refused"},
	} {
		server := buckettest.Refusing(t, want.status, `<Error><Code>`+code+`</Code><Message>told</Message></Error>`)
		b, err := s3.NewFunction(s3.Options{Bucket: "b", Endpoint: server})
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range b.List(t.Context(), "", "") {
			if hotreader.CodeOf(err) != want.code || !strings.Contains(err.Error(), want.says) {
				t.Errorf("%s: %v", code, err)
			}
		}
	}
	if _, err := s3.NewFunction(s3.Options{Bucket: "b", Endpoint: "http://elsewhere.example"}); !errors.Is(err, hotreader.CodeConfig) {
		t.Errorf("plain text: %v", err)
	}
}
