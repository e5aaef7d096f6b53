package engine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"hotreader/dev/emulators"
)

// The account that Azurite has, as its documentation says.
const (
	AzuriteAccount = "devstoreaccount1"
	AzuriteKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

var azuriteEmulator = emulators.Emulator{
	Name: "Azurite", Folder: "azurite", File: "node_modules/azurite/dist/src/blob/main.js", Program: "node", Needs: "Node.js, version 18 or newer",
	Args: func(port string) []string {
		return []string{"node_modules/azurite/dist/src/blob/main.js", "--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", port}
	},
	Header: "X-Ms-Request-Id", Transport: &http.Transport{},
}

// Azurite returns the endpoint URL of AzuriteAccount in Azure Storage's emulator.
func Azurite(t testing.TB) string { return azurite(t) + "/" + AzuriteAccount }

// GCS returns the endpoint URL of an emulator of Google Cloud Storage.
func GCS(t testing.TB) string { return gcs(t) }

func startGCS() (string, error) {
	const program = "fake-gcs-server"
	dir, err := find("HOTREADER_GCS", "gcs", program)
	if err != nil {
		return "", err
	}
	return serve(dir, func(port string) []string {
		return []string{filepath.Join(dir, program), "-scheme", "http", "-host", "127.0.0.1", "-port", port, "-backend", "memory"}
	}, func(ctx context.Context, address string) error {
		return found(ctx, "http://"+address+"/storage/v1/b?project=p")
	})
}

// found returns nil if a URL is answered with 200.
func found(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return nil
}

// S3 returns the endpoint URLs of two implementations of S3, which others made
// independently, by their names.
func S3(t testing.TB) map[string]string {
	return map[string]string{"moto": Moto(t), "gofakes3": gofakes3(t)}
}

func startGoFakeS3() (string, error) {
	const program = "gofakes3"
	dir, err := find("HOTREADER_GOFAKES3", program, program)
	if err != nil {
		return "", err
	}
	return serve(dir, func(port string) []string {
		return []string{filepath.Join(dir, program), "-backend", "memory", "-host", "127.0.0.1:" + port, "-quiet"}
	}, func(ctx context.Context, address string) error { return found(ctx, "http://"+address+"/") })
}

// S3Send sends a request to one of them, which needs no signature but its scope.
func S3Send(t testing.TB, endpoint, method, path string, header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, endpoint+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+AccessKeyID+"/20260101/"+Region+"/s3/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s, %v\n%s", method, path, resp.Status, err, text)
	}
}

// S3Bucket makes a bucket in one of them.
func S3Bucket(t testing.TB, endpoint, name string) {
	t.Helper()
	S3Send(t, endpoint, http.MethodPut, "/"+name, nil, `<CreateBucketConfiguration><LocationConstraint>`+Region+`</LocationConstraint></CreateBucketConfiguration>`)
}
