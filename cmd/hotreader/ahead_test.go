package main

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"hotreader/test/slowtable"
)

// A cloud's store is read ahead, by query and by serve.
func TestStoreIsReadAhead(t *testing.T) {
	const rows, page = 5000, 400
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
	t.Setenv(tokenVariable, strings.Repeat("0123456789abcdef", 4))
	table := slowtable.New(rows, page)
	server := httptest.NewServer(table)
	defer server.Close()
	store := "dynamodb://t?region=eu-central-1&endpoint=" + server.URL
	query := func(from ...string) {
		t.Helper()
		table.Queries.Store(0)
		table.Continued.Store(0)
		var out, talk bytes.Buffer
		args := append([]string{"query", "--device", "d", "--property", "temperature", "--format", "csv"}, from...)
		if code := run(t.Context(), args, nil, &out, &talk); code != 0 {
			t.Fatalf("exit code %d: %s", code, talk.String())
		}
		if n := strings.Count(out.String(), "\n"); n != rows+1 {
			t.Errorf("%s: %d lines, want %d", from, n, rows+1)
		}
		if table.Queries.Load() <= rows/page || table.Continued.Load() > 0 {
			t.Errorf("%s: %d queries, of which %d go on behind a page", from, table.Queries.Load(), table.Continued.Load())
		}
	}
	query("--store", store)

	query("--remote", serveURL(t, "serve", "--store", store, "--listen", "127.0.0.1:0", "--log-level", "error"))
}
