package engine

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
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
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/storage/v1/b?project=p", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answered %s", address, resp.Status)
		}
		return nil
	})
}
