//go:build engines

package gcs_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"hotreader"
	"hotreader/store/coldstore/buckettest"
	"hotreader/store/coldstore/gcs"
	"hotreader/test/engine"
)

func TestFakeGCSServer(t *testing.T) {
	endpoint := engine.GCS(t)
	send := func(method, path, kind string, body []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, endpoint+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %s %s", method, path, resp.Status, text)
		}
	}
	send(http.MethodPost, "/storage/v1/b?project=p", "application/json", []byte(`{"name":"cold"}`))
	t.Setenv("STORAGE_EMULATOR_HOST", endpoint)
	b, err := gcs.New(t.Context(), gcs.Options{Bucket: "cold"})
	if err != nil {
		t.Fatal(err)
	}
	buckettest.Run(t, b, buckettest.Writer{Put: func(key string, body []byte) {
		send(http.MethodPost, "/upload/storage/v1/b/cold/o?uploadType=media&name="+url.QueryEscape(key), "application/json", body)
	}, Delete: func(key string) {
		send(http.MethodDelete, "/storage/v1/b/cold/o/"+url.PathEscape(key), "", nil)
	}})
	for name, want := range map[string]struct {
		bucket, endpoint string
		code             hotreader.Code
	}{
		"no bucket":     {"no-such-bucket", "", hotreader.CodeNotFound},
		"no permission": {"cold", buckettest.Refusing(t, 403, `{"error":{"message":"told"}}`), hotreader.CodeForbidden},
		"no JSON":       {"cold", buckettest.Refusing(t, 200, `<html>`), hotreader.CodeCorrupt},
	} {
		b, err := gcs.New(t.Context(), gcs.Options{Bucket: want.bucket, Endpoint: want.endpoint})
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range b.List(t.Context(), "", "") {
			if hotreader.CodeOf(err) != want.code || want.code == hotreader.CodeForbidden && !strings.Contains(err.Error(), "storage.objects.list") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := gcs.New(t.Context(), gcs.Options{Bucket: "cold", Endpoint: "http://elsewhere.example"}); !errors.Is(err, hotreader.CodeConfig) {
		t.Errorf("plain text: %v", err)
	}
}
