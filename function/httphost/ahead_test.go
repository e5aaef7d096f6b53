package httphost_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hotreader/function/httphost"
	"hotreader/store/awsdynamodb"
	"hotreader/test/serving"
	"hotreader/test/slowtable"
	"hotreader/wire"
)

// Whatever store of pages the program brings, it is read ahead.
func TestStoreIsReadAhead(t *testing.T) {
	const rows, page = 5000, 400
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
	table := slowtable.New(rows, page)
	server := httptest.NewServer(table)
	defer server.Close()
	client, err := awsdynamodb.NewClient(t.Context(), awsdynamodb.ClientOptions{Region: "eu-central-1", Endpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	url, end := serve(t, awsdynamodb.New(client, awsdynamodb.Options{Table: "t"}), httphost.Platform())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/read", strings.NewReader(
		`{"source_cloud":"aws","target_layer":"L3-Hot-Read","message_type":"query","timestamp":"2026-01-01T00:00:00Z",`+
			`"payload":{"iot_device_id":"d","start_time":"2020-01-01T00:00:00Z","end_time":"2030-01-01T00:00:00Z","selected_properties":["temperature"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(wire.TokenHeader, serving.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(body), `"time":`); n != rows {
		t.Errorf("%d values, want %d: %d %.300s", n, rows, resp.StatusCode, body)
	}
	if table.Queries.Load() <= rows/page || table.Continued.Load() > 0 {
		t.Errorf("%d queries, of which %d go on behind a page", table.Queries.Load(), table.Continued.Load())
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}
