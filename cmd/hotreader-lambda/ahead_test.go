package main

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hotreader/test/serving"
	"hotreader/test/slowtable"
)

// Both readers of a table of many pages ask for parts of it rather than for one
// page behind the other.
func TestTableIsReadAhead(t *testing.T) {
	const rows, page = 5000, 400
	for _, role := range []string{"hot-reader", "hot-reader-api"} {
		table := slowtable.New(rows, page)
		server := httptest.NewServer(table)
		defer server.Close()
		f := start(t, role, map[string]string{"DYNAMODB_TABLE_NAME": "factory-hot", "DIGITAL_TWIN_INFO": serving.Twin("aws", "aws"), "INTER_CLOUD_TOKEN": token,
			"AWS_ENDPOINT_URL_DYNAMODB": server.URL, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "SECRET"})
		var body string
		if role == "hot-reader" {
			raw, err := f.Invoke(t.Context(), event("d", allTime), 20*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			body = string(raw)
		} else {
			ask, err := json.Marshal(map[string]any{"resource": "/{proxy+}", "path": "/read", "httpMethod": "POST",
				"multiValueHeaders": map[string][]string{"X-Inter-Cloud-Token": {token}, "Content-Type": {"application/json"}},
				"requestContext":    map[string]any{"requestId": "r-1"},
				"body": `{"source_cloud":"aws","target_layer":"L3-Hot-Read","message_type":"query","timestamp":"2026-01-01T00:00:00Z",` +
					`"payload":{"iot_device_id":"d","start_time":"2020-01-01T00:00:00Z","end_time":"2030-01-01T00:00:00Z","selected_properties":["temperature"]}}`})
			if err != nil {
				t.Fatal(err)
			}
			raw, err := f.Invoke(t.Context(), ask, 20*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			var a struct{ Body string }
			if err := json.Unmarshal(raw, &a); err != nil {
				t.Fatal(err)
			}
			body = a.Body
		}
		if n := strings.Count(body, `"time":`); n != rows {
			t.Errorf("%s: %d values, want %d: %.300s", role, n, rows, body)
		}
		if table.Queries.Load() <= rows/page || table.Continued.Load() > 0 {
			t.Errorf("%s: %d queries, of which %d go on behind a page", role, table.Queries.Load(), table.Continued.Load())
		}
	}
}
