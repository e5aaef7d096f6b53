//go:build engines

package azureblob_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/azureblob"
	"hotreader/store/coldstore/buckettest"
	"hotreader/test/engine"
)

func TestAzurite(t *testing.T) {
	t.Setenv("AZURE_STORAGE_KEY", engine.AzuriteKey)
	o := azureblob.Options{Account: engine.AzuriteAccount, Container: "cold", Endpoint: engine.Azurite(t)}
	key, err := container.NewSharedKeyCredential(engine.AzuriteAccount, engine.AzuriteKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := container.NewClientWithSharedKeyCredential(o.Endpoint+"/cold", key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	put := func(key string, body []byte) {
		if _, err := c.NewBlockBlobClient(key).UploadBuffer(t.Context(), body, &blockblob.UploadBufferOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := azureblob.New(o)
	if err != nil {
		t.Fatal(err)
	}
	buckettest.Run(t, b, buckettest.Writer{Put: put, Delete: func(key string) {
		if _, err := c.NewBlobClient(key).Delete(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}})

	put("archive/dt=2024-01-01/a.jsonl", []byte("{}"))
	if _, err := c.NewBlobClient("archive/dt=2024-01-01/a.jsonl").SetTier(t.Context(), blob.AccessTierArchive, nil); err != nil {
		t.Fatal(err)
	}
	for page, err := range b.List(t.Context(), "archive/", "") {
		if err != nil || len(page.Objects) != 1 || page.Objects[0].Archive == "" || page.Objects[0].Asked {
			t.Fatalf("%+v, %v", page, err)
		}
		if _, err := b.Read(t.Context(), &page.Objects[0], 0, 1); !errors.Is(err, hotreader.CodeNotRestored) {
			t.Errorf("an archived blob: %v", err)
		}
	}
	// A restore sets the tier, by a priority; asked for again, it stays.
	restorer := azureblob.Restorer{Bucket: b}
	for _, tier := range []string{"expedited", "standard"} {
		if err := restorer.Restore(t.Context(), &coldstore.Object{Key: "archive/dt=2024-01-01/a.jsonl"}, tier, 7); err != nil {
			t.Error(err)
		}
	}
	for page, err := range b.List(t.Context(), "archive/", "") {
		if err != nil || len(page.Objects) != 1 || page.Objects[0].State() != coldstore.Online {
			t.Errorf("after the restore: %+v, %v", page, err)
		}
	}
	if err := restorer.Restore(t.Context(), &coldstore.Object{Key: "archive/gone"}, "standard", 7); !coldstore.IsChanged(err) {
		t.Errorf("a blob that is gone: %v", err)
	}
	o.Container = "no-such-container"
	none, err := azureblob.NewFunction(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range none.List(t.Context(), "", "") {
		if !errors.Is(err, hotreader.CodeNotFound) {
			t.Errorf("no container: %v", err)
		}
	}
	for code, want := range map[string]struct {
		code hotreader.Code
		says string
	}{"AuthorizationPermissionMismatch": {hotreader.CodeForbidden, "Storage Blob Data Reader"}, "AuthenticationFailed": {hotreader.CodeConfig, "credentials were rejected"}} {
		o.Endpoint = buckettest.Refusing(t, 403, `<Error><Code>`+code+`</Code><Message>told</Message></Error>`)
		b, err := azureblob.New(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range b.List(t.Context(), "", "") {
			if hotreader.CodeOf(err) != want.code || !strings.Contains(err.Error(), want.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", code, err)
			}
		}
	}
}
