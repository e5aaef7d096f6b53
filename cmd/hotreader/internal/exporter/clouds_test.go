//go:build engines

package exporter

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"hotreader"
	"hotreader/store/all"
	"hotreader/test/engine"
)

// Each cloud's object storage takes an export, one that was stopped, too, and gives it back.
func TestClouds(t *testing.T) {
	for name, value := range env(engine.MotoEnv(t)) {
		t.Setenv(name, value)
	}
	t.Setenv("AZURE_STORAGE_KEY", engine.AzuriteKey)
	t.Setenv("STORAGE_EMULATOR_HOST", engine.GCS(t))
	create(t)
	for _, url := range []string{"s3://exported/rows", "azblob://" + engine.AzuriteAccount + "/exported/rows?endpoint=" + engine.Azurite(t), "gs://exported/rows/"} {
		f := newFixture(t, map[string][]hotreader.Record{"machine-1": series(22_683), "a/b=c %ü": odd()})
		f.ObjectRows, f.GroupRows = 10_000, 5000
		var err error
		if f.Target, f.Prefix, err = all.OpenTarget(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		f.To = url
		whole := f.Target
		f.Target = &cut{whole, 5}
		if _, err := f.run(t); err == nil {
			t.Fatalf("%s: it was not stopped", url)
		}
		f.Target = whole
		if r := f.must(t); len(r) != 2 || !r[0].Delete || !r[1].Delete {
			t.Errorf("%s: %+v", url, r)
		}
		if r := f.must(t); !r[0].Already || !r[1].Already {
			t.Errorf("%s: again: %+v", url, r)
		}
		for _, d := range f.Devices {
			q := hotreader.Query{Device: d.ID, Properties: d.Properties, Order: hotreader.Descending}
			if want, got := rowsOf(t, f.source, q), rowsOf(t, f.cold(t), q); !slices.Equal(want, got) {
				t.Errorf("%s: %s: %d rows, want %d", url, d.ID, len(got), len(want))
			}
		}
		if ok, err := whole.Put(t.Context(), f.Prefix+"device_id=other/x", []byte("1")); !ok || err != nil {
			t.Errorf("%s: %v, %v", url, ok, err)
		}
		if ok, err := whole.Put(t.Context(), f.Prefix+"device_id=other/x", []byte("2")); ok || err != nil {
			t.Errorf("%s: a key that is there: %v, %v", url, ok, err)
		}
	}
}

func env(list []string) map[string]string {
	all := map[string]string{}
	for _, v := range list {
		name, value, _ := strings.Cut(v, "=")
		all[name] = value
	}
	return all
}

// create makes a bucket, a container and a bucket.
func create(t *testing.T) {
	t.Helper()
	key, err := container.NewSharedKeyCredential(engine.AzuriteAccount, engine.AzuriteKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := container.NewClientWithSharedKeyCredential(engine.Azurite(t)+"/exported", key, nil)
	if err == nil {
		_, err = c.Create(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct{ method, url, body, auth string }{
		{http.MethodPut, engine.Moto(t) + "/exported", `<CreateBucketConfiguration><LocationConstraint>` + engine.Region + `</LocationConstraint></CreateBucketConfiguration>`,
			"AWS4-HMAC-SHA256 Credential=" + engine.AccessKeyID + "/20260101/" + engine.Region + "/s3/aws4_request, SignedHeaders=host, Signature=0"},
		{http.MethodPost, engine.GCS(t) + "/storage/v1/b?project=p", `{"name":"exported"}`, ""},
	} {
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), r.method, r.url, bytes.NewReader([]byte(r.body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", r.auth)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %s", r.method, r.url, resp.Status)
		}
	}
}
