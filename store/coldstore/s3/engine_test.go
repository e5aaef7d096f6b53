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

// Both ways of addressing a bucket, on two implementations of S3.
func TestS3(t *testing.T) {
	for _, v := range engine.MotoEnv(t) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	for implementation, endpoint := range engine.S3(t) {
		t.Setenv("AWS_ENDPOINT_URL", endpoint)
		engine.S3Bucket(t, endpoint, "cold")
		for name, open := range map[string]func(ctx context.Context, o s3.Options) (*s3.Bucket, error){
			"default":  s3.New,
			"function": func(_ context.Context, o s3.Options) (*s3.Bucket, error) { return s3.NewFunction(o) },
		} {
			b, err := open(t.Context(), s3.Options{Bucket: "cold"})
			if err != nil {
				t.Fatal(err)
			}
			t.Run(implementation+" "+name, func(t *testing.T) {
				buckettest.Run(t, b, buckettest.Writer{Prefix: name + "/", Put: func(key string, body []byte) {
					engine.S3Send(t, endpoint, http.MethodPut, "/cold/"+buckettest.Escape(key), nil, string(body))
				}, Delete: func(key string) {
					engine.S3Send(t, endpoint, http.MethodDelete, "/cold/"+buckettest.Escape(key), nil, "")
				}})
			})
		}
	}

	t.Setenv("AWS_ENDPOINT_URL", engine.Moto(t)) // which knows storage classes
	b, err := s3.New(t.Context(), s3.Options{Bucket: "cold"})
	if err != nil {
		t.Fatal(err)
	}
	engine.S3Send(t, engine.Moto(t), http.MethodPut, "/cold/archive/dt=2024-01-01/a.jsonl", http.Header{"X-Amz-Storage-Class": {"DEEP_ARCHIVE"}}, `{"device_id":"d"}`)
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
		"PermanentRedirect":    {301, hotreader.CodeConfig, "another region than eu-central-1: told (it is in eu-west-1); set region"},
		"RequestTimeTooSkewed": {403, hotreader.CodeConfig, "the clock is right"},
		"AccessDenied":         {403, hotreader.CodeForbidden, "s3:ListBucket"},
		"SlowDown":             {503, hotreader.CodeThrottled, "no more requests"},
		"ExpiredToken":         {400, hotreader.CodeConfig, "credentials were rejected"},
	} {
		server := buckettest.Refusing(t, want.status, `<Error><Code>`+code+`</Code><Message>told</Message></Error>`, "X-Amz-Bucket-Region", "eu-west-1")
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
