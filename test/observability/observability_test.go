package observability

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hotreader/test/serving"
)

// span is one as a collector gets it.
type span struct {
	TraceID    string `json:"traceId"`
	SpanID     string `json:"spanId"`
	ParentID   string `json:"parentSpanId"`
	Name       string `json:"name"`
	Kind       int    `json:"kind"`
	Attributes []struct {
		Key   string
		Value map[string]any
	}
	service string
}

// attribute returns the text of an attribute's value.
func (s *span) attribute(key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			for _, v := range a.Value {
				return fmt.Sprint(v)
			}
		}
	}
	return ""
}

// collector takes OTLP over HTTP, in JSON.
type collector struct {
	url string

	mu      sync.Mutex
	spans   []span
	metrics []string // names
	key     []string // of each request
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var in io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Errorf("the collector got %v", err)
				return
			}
			in = z
		}
		var document struct {
			ResourceSpans []struct {
				Resource   struct{ Attributes []map[string]any }
				ScopeSpans []struct{ Spans []span }
			}
			ResourceMetrics []struct {
				ScopeMetrics []struct{ Metrics []struct{ Name string } }
			}
		}
		if err := json.NewDecoder(in).Decode(&document); err != nil || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the collector got %v of type %s", err, r.Header.Get("Content-Type"))
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.key = append(c.key, r.Header.Get("X-Key"))
		for _, rs := range document.ResourceSpans {
			service := ""
			for _, a := range rs.Resource.Attributes {
				if a["key"] == "service.name" {
					service = fmt.Sprint(a["value"].(map[string]any)["stringValue"])
				}
			}
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					s.service = service
					c.spans = append(c.spans, s)
				}
			}
		}
		for _, rm := range document.ResourceMetrics {
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					c.metrics = append(c.metrics, m.Name)
				}
			}
		}
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

// table plays DynamoDB: a device's rows come in two pages, and one value of the
// second is a text where all others are numbers. (Queries of it have a limit, so
// that nothing is read ahead.)
func table(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		item := func(second int, value string) string {
			return fmt.Sprintf(`{"device_id":{"S":"pump"},"timestamp":{"S":"%s"},"temperature":%s}`, serving.At(second).Format(time.RFC3339), value)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		pages := [][]string{{item(0, `{"N":"20.5"}`), item(1, `{"N":"21"}`)}, {item(2, `{"S":"none"}`), item(3, `{"N":"21.5"}`)}}
		last := 1
		if bytes.Contains(body, []byte(`"ScanIndexForward":false`)) {
			pages, last = [][]string{{pages[1][1], pages[1][0]}, {pages[0][1], pages[0][0]}}, 2
		}
		page, next := pages[0], fmt.Sprintf(`"LastEvaluatedKey":{"device_id":{"S":"pump"},"timestamp":{"S":"%s"}},`, serving.At(last).Format(time.RFC3339))
		if bytes.Contains(body, []byte("ExclusiveStartKey")) {
			page, next = pages[1], ""
		}
		_, _ = fmt.Fprintf(w, `{"Count":2,"Items":[%s],%s"ScannedCount":2}`, strings.Join(page, ","), next)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// serve starts `hotreader serve` over table, with a page of metrics.
func serve(t *testing.T, table string, env map[string]string, args ...string) (s *serving.Process, page string) {
	t.Helper()
	metrics := fmt.Sprintf("127.0.0.1:%d", serving.Port(t))
	s = serving.Start(t, "hotreader", serving.With(env, "AWS_ACCESS_KEY_ID", "test", "AWS_SECRET_ACCESS_KEY", "test"),
		append([]string{"serve", "--store", "dynamodb://hot?region=eu-central-1&endpoint=" + table, "--metrics", metrics}, args...)...).WaitReady(t)
	return s, "http://" + metrics
}

// end ends the server and returns its log.
func end(t *testing.T, s *serving.Process) string {
	t.Helper()
	if code := s.Terminate(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.Log())
	}
	return s.Log()
}

func get(t *testing.T, url, path, token string) (status int, body string) {
	t.Helper()
	a := serving.Ask(t, url, http.MethodGet, path, "", token)
	return a.Status, a.Body
}

// traceIDs returns the traces that the queries' lines of a log name.
func traceIDs(log string) []string {
	var ids []string
	for line := range strings.Lines(log) {
		var l struct {
			TraceID string `json:"trace_id"`
		}
		if json.Unmarshal([]byte(line), &l) == nil && l.TraceID != "" {
			ids = append(ids, l.TraceID)
		}
	}
	return ids
}

// TestOneTraceFromTwinToPage: an event on Lambda, answered from another cloud, is
// one trace, down to the pages of the store; the logs of both sides name it.
func TestOneTraceFromTwinToPage(t *testing.T) {
	c := newCollector(t)
	otel := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.url, "OTEL_EXPORTER_OTLP_HEADERS": "X-Key=k%2C1", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "INTER_CLOUD_TOKEN": serving.Token}
	api, _ := serve(t, table(t), otel)
	f := serving.Function(t, "hot-reader", serving.With(otel, "DIGITAL_TWIN_INFO", serving.Twin("azure", "aws"), "REMOTE_READER_URL", api.URL, "OTEL_SERVICE_NAME", "twin"))
	answer, err := f.Invoke(t.Context(), serving.Event("pump", `"temperature"`, serving.AllTime+`,"maxResults":100`), 20*time.Second)
	if err != nil || !strings.Contains(string(answer), "21.5") {
		t.Fatalf("%s, %v", answer, err)
	}
	// The function has delivered with its answer.
	c.mu.Lock()
	if len(c.spans) != 3 {
		t.Errorf("%d spans came with the answer, want 3: %v", len(c.spans), c.spans)
	}
	c.mu.Unlock()
	said := end(t, api)
	c.mu.Lock()
	defer c.mu.Unlock()
	const trace, xray = "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8" // of the invocation
	parent := xray
	for _, want := range []struct {
		service, name string
		kind, times   int
	}{
		{"twin", "hot-reader", 2, 1}, {"twin", "read remote", 1, 1}, {"twin", "POST /read", 3, 1},
		{"hotreader-serve", "POST /read", 2, 1}, {"hotreader-serve", "read store", 1, 1}, {"hotreader-serve", "dynamodb Query", 3, 3}, // one of them looks for times that no range finds
	} {
		var found []span
		for _, s := range c.spans {
			if s.service == want.service && s.Name == want.name && s.Kind == want.kind {
				found = append(found, s)
			}
		}
		if len(found) != want.times {
			t.Fatalf("%d spans %s of %s, want %d; all: %+v", len(found), want.name, want.service, want.times, c.spans)
		}
		for _, s := range found {
			if s.TraceID != trace || s.ParentID != parent {
				t.Errorf("%s of %s is in trace %s below %s; want %s below %s", s.Name, s.service, s.TraceID, s.ParentID, trace, parent)
			}
		}
		parent = found[0].SpanID
		if want.kind == 2 {
			// The API sends what is stored; the twin leaves out what is not of its type.
			points := map[string]string{"twin": "3", "hotreader-serve": "4"}[want.service]
			if d, p := found[0].attribute("hotreader.device"), found[0].attribute("hotreader.points"); d != "pump" || p != points {
				t.Errorf("%s has device %q and %q points", want.name, d, p)
			}
		}
	}
	if ids := slices.Compact(append(traceIDs(f.Log()), traceIDs(said)...)); len(ids) != 1 || ids[0] != trace {
		t.Errorf("the logs name %v", ids)
	}
	for _, key := range c.key {
		if key != "k,1" {
			t.Errorf("a request has the key %q", key)
		}
	}
	if !slices.Contains(c.metrics, "hotreader_queries_total") {
		t.Errorf("the collector got the metrics %v", c.metrics)
	}
}

// values reads the series of a page of metrics.
func values(page string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(page) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "hotreader_") {
			i := strings.LastIndexByte(line, ' ')
			all[line[:i]] = line[i+1:]
		}
	}
	return all
}

// TestPageOfServe: after known queries the page tells them.
func TestPageOfServe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(serving.Token+","+serving.Rotated), 0o600); err != nil {
		t.Fatal(err)
	}
	made := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(file, made, made); err != nil {
		t.Fatal(err)
	}
	s, metrics := serve(t, table(t), map[string]string{}, "--token-file", file, "--rate", "0.001", "--burst", "3", "--log-level", "error")
	const history, latest = "/v1/devices/pump/history?property=temperature&limit=100", "/v1/devices/pump/latest?property=temperature"
	for _, q := range []struct {
		path, token string
		status      int
	}{
		{history, serving.Token, 200}, {history, serving.Token, 200}, {latest, serving.Token, 200}, {history, serving.Token, 429},
		{latest + "x", serving.Rotated, 200}, {history + "&order=up", serving.Rotated, 400}, {history, "", 401}, {"/healthz", "", 200},
	} {
		if status, body := get(t, s.URL, q.path, q.token); status != q.status {
			t.Fatalf("%s: %d %s", q.path, status, body)
		}
	}
	if status, _ := get(t, metrics, "/debug/pprof/", ""); status != 404 {
		t.Errorf("beside the page there is something: %d", status)
	}
	status, page := get(t, metrics, "/metrics", "")
	got := values(page)
	const h, l = `{route="GET /v1/devices/{id}/history"}`, `{route="GET /v1/devices/{id}/latest"}`
	for name, want := range map[string]string{
		`hotreader_queries_total{code="ok",route="GET /v1/devices/{id}/history"}`:      "2",
		`hotreader_queries_total{code="ok",route="GET /v1/devices/{id}/latest"}`:       "2",
		`hotreader_queries_total{code="invalid",route="GET /v1/devices/{id}/history"}`: "1",
		`hotreader_queries_total{code="throttled",route="-"}`:                          "1",
		`hotreader_queries_total{code="unauthenticated",route="-"}`:                    "1",
		`hotreader_query_duration_seconds_count` + h:                                   "3",
		`hotreader_rows_total` + h:                                                     "8",
		`hotreader_points_total` + h:                                                   "8",
		`hotreader_skipped_points_total` + h:                                           "0",
		`hotreader_looked_rows_total` + h:                                              "8",
		`hotreader_store_reads_total` + h:                                              "5", // one looks for times that no range finds
		`hotreader_throttled_total{by="rate",token="current"}`:                         "1",
		`hotreader_throttled_total{by="store",token="current"}`:                        "0",
		`hotreader_token_uses_total{token="current"}`:                                  "4",
		`hotreader_token_uses_total{token="previous"}`:                                 "2",
		`hotreader_token_uses_total{token="none"}`:                                     "1",
		`hotreader_last_entry_age_seconds_bucket{le="604800"}`:                         "0", // the rows are years old
		`hotreader_last_entry_age_seconds_count`:                                       "1", // the other has no such property
		`hotreader_reads_running`:                                                      "0",
		`hotreader_requests_running`:                                                   "0",
		`hotreader_read_wait_seconds_count`:                                            "4",
		`hotreader_remote_retries_total`:                                               "0",
		`hotreader_breaker_openings_total`:                                             "0",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
	for _, name := range []string{"hotreader_bytes_read_total" + h, "hotreader_bytes_sent_total" + h, "hotreader_query_duration_seconds_sum" + l} {
		if got[name] == "" || got[name] == "0" {
			t.Errorf("%s is %q", name, got[name])
		}
	}
	if age := got["hotreader_token_age_seconds"]; !regexp.MustCompile(`^172[89]\d\d(\.\d+)?$`).MatchString(age) {
		t.Errorf("the token is %s seconds old", age)
	}
	if status != 200 || strings.Contains(page, "pump") || !strings.Contains(page, "go_goroutines") {
		t.Errorf("%d, or the page names the device, or it has nothing of Go's runtime", status)
	}
	if said := end(t, s); strings.Contains(said, `"status":200`) {
		t.Errorf("the level is no more heeded: %s", said)
	}
}
