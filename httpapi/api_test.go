package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/secret"
	"hotreader/store/memstore"
	"hotreader/wire"
)

const (
	current  = "current-token-of-at-least-32-bytes-0001"
	previous = "previous-token-of-at-least-32-bytes-002"
)

func num(s string) hotreader.Value { return hotreader.NumberValue([]byte(s)) }
func str(s string) hotreader.Value { return hotreader.StringValue([]byte(s)) }

func at(t testing.TB, text string) time.Time {
	t.Helper()
	tm, err := hotreader.ParseTime([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

// odd is a device id with all that a URL has a use for.
const odd = "halle 3/pumpe?#é%2F"

// store returns a store with the device "pump" (five rows), the device odd (one)
// and another that no answer may ever show.
func store(t testing.TB) *memstore.Store {
	t.Helper()
	s := memstore.New()
	write := func(device string, records ...hotreader.Record) {
		if err := s.Write(t.Context(), device, records); err != nil {
			t.Fatal(err)
		}
	}
	f := func(name string, v hotreader.Value) hotreader.Field { return hotreader.Field{Name: name, Value: v} }
	write("pump",
		hotreader.Record{Time: at(t, "2026-01-01T00:00:00Z"), Fields: []hotreader.Field{f("temperature", num("73.90")), f("on", hotreader.BoolValue(true))}},
		hotreader.Record{Time: at(t, "2026-01-01T00:00:01Z"), Fields: []hotreader.Field{f("temperature", num("74")), f("state", str("=warm, up"))}},
		hotreader.Record{Time: at(t, "2026-01-01T00:00:01.000001Z"), Fields: []hotreader.Field{f("temperature", num("1E+2"))}},
		hotreader.Record{Time: at(t, "2026-01-01T00:00:02Z"), Fields: []hotreader.Field{f("on", hotreader.BoolValue(false))}},
		hotreader.Record{Time: at(t, "2026-01-01T00:00:03Z"), Fields: []hotreader.Field{f("temperature", num("12345678901234567890.123456789"))}},
	)
	write(odd, hotreader.Record{Time: at(t, "2026-01-01"), Fields: []hotreader.Field{f("temperature", num("1"))}})
	write(strings.Repeat("x", 2048), hotreader.Record{Time: at(t, "2026-01-01"), Fields: []hotreader.Field{f("temperature", num("2"))}})
	write("other", hotreader.Record{Time: at(t, "2026-01-01"), Fields: []hotreader.Field{f("temperature", num("98765.4321"))}})
	return s
}

// serve starts the API, as `hotreader serve` does, over o.Reader or store.
func serve(t testing.TB, o httpapi.Options) *httptest.Server {
	t.Helper()
	if o.Reader == nil {
		o.Reader = store(t)
	}
	if o.Token == nil {
		o.Token = static(t, current+","+previous)
	}
	if o.Rate == 0 {
		o.Rate = -1
	}
	h, err := httpapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(nil)
	s.Config = httpapi.Server(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func static(t testing.TB, text string) *secret.Token {
	t.Helper()
	token, err := secret.Static(text)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request with the current token and the headers given as
// name, value, …; a value "" removes the header.
func ask(t testing.TB, s *httptest.Server, method, path, body string, headers ...string) answer {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(wire.TokenHeader, current)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Del(headers[i]); headers[i+1] != "" {
			req.Header[headers[i]] = []string{headers[i+1]}
		}
	}
	return do(t, req)
}

func do(t testing.TB, req *http.Request) answer {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func envelope(payload string) string {
	return `{"source_cloud":"aws","target_layer":"L3-Hot-Read","message_type":"query","timestamp":"2026-01-01T00:00:00Z","trace_id":"t-1","payload":` + payload + `}`
}

func lastEntry(payload string) string {
	return strings.Replace(envelope(payload), `"query"`, `"query_last_entry"`, 1)
}

const (
	all     = `"start_time":"2026-01-01T00:00:00Z","end_time":"2026-01-02T00:00:00Z"`
	pumpAll = `{"iot_device_id":"pump",` + all + `,"selected_properties":["temperature"]}`
	history = "/v1/devices/pump/history?property=temperature"
)

func TestAnswers(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		contentType, want        string
	}{
		{name: "history", path: history, contentType: "application/json",
			want: `{"items":[{"time":"2026-01-01T00:00:00.000Z","temperature":73.90},{"time":"2026-01-01T00:00:01.000Z","temperature":74},{"time":"2026-01-01T00:00:01.000001Z","temperature":1E+2},{"time":"2026-01-01T00:00:03.000Z","temperature":12345678901234567890.123456789}]}` + "\n"},
		{name: "several properties, a range, both ends in it", path: history + "&property=on&property=state&start=2026-01-01T00:00:01Z&end=2026-01-01T01:00:02%2B01:00",
			contentType: "application/json",
			want:        `{"items":[{"time":"2026-01-01T00:00:01.000Z","temperature":74,"state":"=warm, up"},{"time":"2026-01-01T00:00:01.000001Z","temperature":1E+2},{"time":"2026-01-01T00:00:02.000Z","on":false}]}` + "\n"},
		{name: "descending", path: history + "&order=desc&start=2026-01-01T00:00:01.0000005Z", contentType: "application/json",
			want: `{"items":[{"time":"2026-01-01T00:00:03.000Z","temperature":12345678901234567890.123456789},{"time":"2026-01-01T00:00:01.000001Z","temperature":1E+2}]}` + "\n"},
		{name: "CSV", path: history + "&property=state&end=2026-01-01T00:00:01Z", headers: []string{"Accept", "text/csv"}, contentType: "text/csv; charset=utf-8; header=present",
			want: "time,temperature,state\n2026-01-01T00:00:00.000Z,73.90,\n2026-01-01T00:00:01.000Z,74,\"'=warm, up\"\n"},
		{name: "CSV preferred", path: history + "&end=2026-01-01", headers: []string{"Accept", "application/json;q=0.5, text/csv"}, contentType: "text/csv; charset=utf-8; header=present",
			want: "time,temperature\n2026-01-01T00:00:00.000Z,73.90\n"},
		{name: "a browser", path: history + "&end=2026-01-01", headers: []string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}, contentType: "application/json",
			want: `{"items":[{"time":"2026-01-01T00:00:00.000Z","temperature":73.90}]}` + "\n"},
		{name: "no rows in range", path: history + "&end=2020-01-01", contentType: "application/json", want: `{"items":[]}` + "\n"},
		{name: "an unknown device", path: "/v1/devices/nobody/history?property=temperature", contentType: "application/json", want: `{"items":[]}` + "\n"},
		{name: "an end in the first instant is no open range", path: history + "&end=0001-01-01", contentType: "application/json", want: `{"items":[]}` + "\n"},
		{name: "a device id that needs escapes", path: "/v1/devices/halle%203%2Fpumpe%3F%23%C3%A9%252F/history?property=temperature", contentType: "application/json",
			want: `{"items":[{"time":"2026-01-01T00:00:00.000Z","temperature":1}]}` + "\n"},
		{name: "a device id of 2 KB", path: "/v1/devices/" + strings.Repeat("%78", 2048) + "/history?property=temperature", contentType: "application/json",
			want: `{"items":[{"time":"2026-01-01T00:00:00.000Z","temperature":2}]}` + "\n"},
		{name: "latest", path: "/v1/devices/pump/latest?property=temperature&property=on&property=state&property=none", contentType: "application/json",
			want: `{"items":[{"time":"2026-01-01T00:00:03.000Z","temperature":12345678901234567890.123456789},{"time":"2026-01-01T00:00:02.000Z","on":false},{"time":"2026-01-01T00:00:01.000Z","state":"=warm, up"}]}` + "\n"},
		{name: "latest as CSV", path: "/v1/devices/pump/latest?property=on", headers: []string{"Accept", "text/csv"}, contentType: "text/csv; charset=utf-8; header=present",
			want: "time,on\n2026-01-01T00:00:02.000Z,false\n"},
		{name: "latest of an unknown device", path: "/v1/devices/nobody/latest?property=on", contentType: "application/json", want: `{"items":[]}` + "\n"},
		{name: "health", path: "/healthz", headers: []string{wire.TokenHeader, ""}, contentType: "application/json", want: `{"status":"ok"}` + "\n"},

		{name: "TwinMaker's JSON", method: "POST", path: "/read", body: envelope(`{"iot_device_id":"pump",` + all + `,"selected_properties":["temperature"],"property_types":{"temperature":"DOUBLE"},"max_results":2,"order":"DESCENDING","entity_id":"e","component_name":"c","filters":[{"property_name":"temperature","operator":"<","value":100}]}`),
			contentType: "application/json",
			want:        `{"propertyValues":[{"entityPropertyReference":{"entityId":"e","componentName":"c","propertyName":"temperature"},"values":[{"time":"2026-01-01T00:00:01.000Z","value":{"doubleValue":74}},{"time":"2026-01-01T00:00:00.000Z","value":{"doubleValue":73.90}}]}]}`},
		{name: "without an entity", method: "POST", path: "/read", body: envelope(`{"iot_device_id":"pump","start_time":"2026-01-01T00:00:02Z","end_time":"2026-01-01T00:00:02Z","selected_properties":["on"]}`),
			contentType: "application/json",
			want:        `{"propertyValues":[{"entityPropertyReference":{"externalIdProperty":{"deviceId":"pump"},"propertyName":"on"},"values":[{"time":"2026-01-01T00:00:02.000Z","value":{"booleanValue":false}}]}]}`},
		{name: "without a content type", method: "POST", path: "/read", headers: []string{"Content-Type", ""}, body: envelope(`{"iot_device_id":"nobody",` + all + `,"selected_properties":["on"]}`),
			contentType: "application/json",
			want:        `{"propertyValues":[{"entityPropertyReference":{"externalIdProperty":{"deviceId":"nobody"},"propertyName":"on"},"values":[]}]}`},
		{name: "last entry", method: "POST", path: "/read", body: lastEntry(`{"iot_device_id":"pump","selected_properties":["temperature","on"],"entity_id":"e","component_name":"c"}`),
			contentType: "application/json",
			want:        `{"propertyValues":{"temperature":{"propertyReference":{"entityId":"e","componentName":"c","propertyName":"temperature"},"propertyValue":{"doubleValue":12345678901234567890.123456789}},"on":{"propertyReference":{"entityId":"e","componentName":"c","propertyName":"on"},"propertyValue":{"booleanValue":false}}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.method == "" {
				c.method = http.MethodGet
			}
			got := ask(t, s, c.method, c.path, c.body, c.headers...)
			if got.status != http.StatusOK || got.body != c.want || got.header.Get("Content-Type") != c.contentType {
				t.Errorf("%d %s\n got %s\nwant %s", got.status, got.header.Get("Content-Type"), got.body, c.want)
			}
			if c.want[0] == '{' && !json.Valid([]byte(got.body)) {
				t.Error("this is not JSON")
			}
			safe(t, got)
		})
	}
}

// safe checks what holds for every answer.
func safe(t testing.TB, got answer) {
	t.Helper()
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
		if got.header.Get(name) != want {
			t.Errorf("%s is %q", name, got.header.Get(name))
		}
	}
	for name := range got.header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("there is %s", name)
		}
	}
}

// problem checks that got is a problem of that status and code, and returns its
// detail.
func problem(t testing.TB, got answer, status int, code hotreader.Code) string {
	t.Helper()
	safe(t, got)
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
		TraceID                   string `json:"trace_id"`
	}
	if err := json.Unmarshal([]byte(got.body), &p); err != nil {
		t.Fatalf("%d %s: %v", got.status, got.body, err)
	}
	if got.status != status || p.Status != status || p.Code != string(code) || got.header.Get("Content-Type") != wire.ProblemType || p.TraceID == "" || p.Title == "" {
		t.Errorf("want %d %s, got %d %s %s", status, code, got.status, got.header.Get("Content-Type"), got.body)
	}
	return p.Detail
}

func TestRefusals(t *testing.T) {
	s := serve(t, httpapi.Options{})
	post := func(payload string) [3]string { return [3]string{"POST", "/read", envelope(payload)} }
	raw := func(body string) [3]string { return [3]string{"POST", "/read", body} }
	get := func(path string) [3]string { return [3]string{"GET", path, ""} }
	for _, c := range []struct {
		name    string
		request [3]string
		headers []string
		status  int
		code    hotreader.Code
		want    string // in the detail
	}{
		{name: "no property", request: get("/v1/devices/pump/history"), status: 400, code: "invalid", want: "property is missing"},
		{name: "an empty property", request: get("/v1/devices/pump/history?property="), status: 400, code: "invalid", want: "empty name"},
		{name: "a property twice", request: get(history + "&property=temperature"), status: 400, code: "invalid", want: "selected twice"},
		{name: "101 properties", request: get("/v1/devices/pump/history?property=a" + strings.Repeat("&property=b", 100)), status: 400, code: "invalid", want: "101 properties"},
		{name: "a property that cannot be told from the time", request: get("/v1/devices/pump/history?property=time"), status: 400, code: "invalid", want: `"time"`},
		{name: "a mistyped parameter", request: get(history + "&strt=2026-01-01"), status: 400, code: "invalid", want: `"strt" is unknown; known are: property, start`},
		{name: "a parameter twice", request: get(history + "&limit=1&limit=2"), status: 400, code: "invalid", want: `"limit" is given 2 times`},
		{name: "a query string that is none", request: get(history + "&start=%zz"), status: 400, code: "invalid", want: "query string"},
		{name: "a semicolon", request: get(history + ";limit=1"), status: 400, code: "invalid", want: "query string"},
		{name: "limit 0", request: get(history + "&limit=0"), status: 400, code: "invalid", want: `limit is "0"`},
		{name: "limit negative", request: get(history + "&limit=-1"), status: 400, code: "invalid", want: `limit is "-1"`},
		{name: "limit no number", request: get(history + "&limit=ten"), status: 400, code: "invalid", want: `limit is "ten"`},
		{name: "limit too large", request: get(history + "&limit=99999999999999999999"), status: 400, code: "invalid", want: "limit is"},
		{name: "order", request: get(history + "&order=up"), status: 400, code: "invalid", want: `order is "up"`},
		{name: "start is no time", request: get(history + "&start=yesterday"), status: 400, code: "invalid", want: `start: "yesterday" is not a time`},
		{name: "end is empty", request: get(history + "&end="), status: 400, code: "invalid", want: "end:"},
		{name: "a plus that became a blank", request: get(history + "&start=2026-01-01T00:00:00+01:00"), status: 400, code: "invalid", want: "%2B"},
		{name: "start after end", request: get(history + "&start=2026-01-02&end=2026-01-01"), status: 400, code: "invalid", want: "after the end"},
		{name: "a next_token that is none", request: get(history + "&next_token=abc"), status: 400, code: "invalid", want: "next_token does not belong"},
		{name: "an empty next_token", request: get(history + "&next_token="), status: 400, code: "invalid", want: "next_token does not belong"},
		{name: "a device id that is no text", request: get("/v1/devices/%FF/history?property=a"), status: 400, code: "invalid", want: "UTF-8"},
		{name: "a device id of 2,049 bytes", request: get("/v1/devices/" + strings.Repeat("x", 2049) + "/history?property=a"), status: 400, code: "invalid", want: "2049 bytes"},
		{name: "latest without a property", request: get("/v1/devices/pump/latest"), status: 400, code: "invalid", want: "property is missing"},
		{name: "latest with a start", request: get("/v1/devices/pump/latest?property=a&start=2026-01-01"), status: 400, code: "invalid", want: `"start" is unknown`},

		{name: "no body", request: raw(" "), status: 400, code: "invalid", want: "empty"},
		{name: "null", request: raw("null"), status: 400, code: "invalid", want: "null"},
		{name: "an array", request: raw("[]"), status: 400, code: "invalid", want: "array"},
		{name: "broken JSON", request: raw(`{"payload":`), status: 400, code: "invalid", want: "JSON"},
		{name: "deep JSON", request: raw(strings.Repeat("[", 30000)), status: 400, code: "invalid", want: "JSON"},
		{name: "two documents", request: raw(envelope(pumpAll) + "{}"), status: 400, code: "invalid", want: "JSON"},
		{name: "no UTF-8", request: raw("{\"\xff\":1}"), status: 400, code: "invalid", want: "UTF-8"},
		{name: "another layer", request: raw(strings.Replace(envelope(pumpAll), "L3-Hot-Read", "L3-Cold", 1)), status: 400, code: "invalid", want: "L3-Cold"},
		{name: "another message", request: raw(strings.Replace(envelope(pumpAll), `"query"`, `"write"`, 1)), status: 400, code: "invalid", want: "write"},
		{name: "payload null", request: post("null"), status: 400, code: "invalid", want: "payload"},
		{name: "payload of wrong types", request: post(`{"iot_device_id":1,"start_time":2,"end_time":[],"selected_properties":"a"}`), status: 400, code: "invalid", want: "iot_device_id is a number"},
		{name: "an empty device", request: post(`{"iot_device_id":"",` + all + `,"selected_properties":["a"]}`), status: 400, code: "invalid", want: "iot_device_id"},
		{name: "no times", request: post(`{"iot_device_id":"pump","selected_properties":["a"]}`), status: 400, code: "invalid", want: "start_time is missing"},
		{name: "an empty selection", request: post(`{"iot_device_id":"pump",` + all + `,"selected_properties":[]}`), status: 400, code: "invalid", want: "selected_properties"},
		{name: "an unknown operator", request: post(strings.Replace(pumpAll, "}", `,"filters":[{"property_name":"a","operator":"LIKE","value":1}]}`, 1)), status: 400, code: "invalid", want: "LIKE"},
		{name: "max_results 0", request: post(strings.Replace(pumpAll, "}", `,"max_results":0}`, 1)), status: 400, code: "invalid", want: "max_results"},
		{name: "max_results negative", request: post(strings.Replace(pumpAll, "}", `,"max_results":-5}`, 1)), status: 400, code: "invalid", want: "max_results"},
		{name: "a next_token of nothing", request: post(strings.Replace(pumpAll, "}", `,"next_token":"abc"}`, 1)), status: 400, code: "invalid", want: "not one of ours"},
		{name: "an entity without its component", request: post(strings.Replace(pumpAll, "}", `,"entity_id":"e"}`, 1)), status: 400, code: "invalid", want: "component_name"},
		{name: "a row stream from a token", request: post(strings.Replace(pumpAll, "}", `,"next_token":"abc"}`, 1)), headers: []string{"Accept", wire.MediaType}, status: 400, code: "invalid", want: "belongs to JSON"},
		{name: "a row stream between rows", request: post(strings.Replace(pumpAll, "}", `,"interpolation":{"interval_in_seconds":5}}`, 1)), headers: []string{"Accept", wire.MediaType}, status: 400, code: "invalid", want: "belongs to JSON"},

		{name: "another path", request: get("/v2/devices"), status: 404, code: "not_found"},
		{name: "the root", request: get("/"), status: 404, code: "not_found"},
		{name: "a path with a slash too many", request: get("//read"), status: 404, code: "not_found"},
		{name: "a path with a slash behind", request: get("/read/"), status: 404, code: "not_found"},
		{name: "a path that climbs", request: get("/v1/../read"), status: 404, code: "not_found"},
		{name: "no device", request: get("/v1/devices//history?property=a"), status: 404, code: "not_found"},
		{name: "a device id with a bare slash", request: get("/v1/devices/a/b/history?property=a"), status: 404, code: "not_found"},

		{name: "GET /read", request: get("/read"), status: 405, code: "invalid", want: "use POST"},
		{name: "POST history", request: [3]string{"POST", history, "{}"}, status: 405, code: "invalid", want: "use GET"},
		{name: "DELETE a device", request: [3]string{"DELETE", "/v1/devices/pump/latest", ""}, status: 405, code: "invalid", want: "use GET"},
		{name: "POST /healthz", request: [3]string{"POST", "/healthz", "{}"}, status: 405, code: "invalid", want: "use GET"},

		{name: "a body over the limit", request: raw(envelope(pumpAll) + strings.Repeat(" ", 64<<10)), status: 413, code: "too_large", want: "65536 bytes"},
		{name: "a form", request: raw("a=b"), headers: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 415, code: "invalid", want: "want application/json"},
		{name: "a content type that is none", request: raw("{}"), headers: []string{"Content-Type", "json;;="}, status: 415, code: "invalid", want: "want application/json"},
		{name: "a packed body", request: raw("{}"), headers: []string{"Content-Encoding", "gzip"}, status: 415, code: "invalid", want: "Content-Encoding"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, s, c.request[0], c.request[1], c.request[2], c.headers...)
			if detail := problem(t, got, c.status, c.code); !strings.Contains(detail, c.want) {
				t.Errorf("the detail is %q, without %q", detail, c.want)
			}
			if (c.status == 405) != (got.header.Get("Allow") != "") {
				t.Errorf("Allow is %q", got.header.Get("Allow"))
			}
		})
	}
}

// chunked is a body of unknown length.
type chunked struct{ io.Reader }

func TestBodyOfUnknownLengthIsBounded(t *testing.T) {
	s := serve(t, httpapi.Options{MaxBody: 1000})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/read", chunked{strings.NewReader(strings.Repeat(" ", 1001))})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(wire.TokenHeader, current)
	problem(t, do(t, req), 413, hotreader.CodeTooLarge)
}

func TestHeadAndOptions(t *testing.T) {
	s := serve(t, httpapi.Options{})
	got := ask(t, s, "HEAD", history, "")
	if got.status != 200 || got.body != "" || got.header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d, %q, length %s", got.status, got.body, got.header.Get("Content-Length"))
	}
	for path, want := range map[string]string{history: "GET, HEAD, OPTIONS", "/read": "POST, OPTIONS", "/healthz": "GET, HEAD, OPTIONS"} {
		got := ask(t, s, "OPTIONS", path, "", "Origin", "https://example.com", "Access-Control-Request-Method", "GET")
		if got.status != 204 || got.body != "" || got.header.Get("Allow") != want {
			t.Errorf("OPTIONS %s: %d %q, Allow %q", path, got.status, got.body, got.header.Get("Allow"))
		}
		safe(t, got)
	}
	// A browser's preflight carries no token.
	problem(t, ask(t, s, "OPTIONS", "/read", "", wire.TokenHeader, ""), 401, hotreader.CodeUnauthenticated)
}

func TestGzip(t *testing.T) {
	s := serve(t, httpapi.Options{Reader: series{n: 1000}})
	for _, path := range []string{"/v1/devices/pump/history?property=a", "/read"} {
		method, body := "GET", ""
		if path == "/read" {
			method, body = "POST", envelope(`{"iot_device_id":"pump",`+all+`,"selected_properties":["a"]}`)
		}
		plain := ask(t, s, method, path, body)
		for accept, packed := range map[string]bool{"gzip": true, "br, gzip;q=0.5": true, "*": true, "gzip;q=0": false, "br": false, "identity": false} {
			got := ask(t, s, method, path, body, "Accept-Encoding", accept)
			if (got.header.Get("Content-Encoding") == "gzip") != packed {
				t.Errorf("%s with %q: packed is %v", path, accept, !packed)
				continue
			}
			text := got.body
			if packed {
				z, err := gzip.NewReader(strings.NewReader(got.body))
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(z)
				if err != nil {
					t.Fatal(err)
				}
				text = string(b)
			}
			if text != plain.body || !strings.Contains(got.header.Get("Vary"), "Accept-Encoding") {
				t.Errorf("%s with %q differs from the plain answer", path, accept)
			}
		}
	}
}

// series is a Reader of n rows, a second apart from 2026 on, whose value is
// their number. It fails after fail rows, if that is not 0.
type series struct {
	n, fail int
	err     error
	during  func(ctx context.Context, i int) // before row i
}

func (s series) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		sieve, err := hotreader.NewSieve(ctx, q)
		if err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		defer sieve.Close()
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		values := make([]hotreader.Value, len(sieve.Columns()))
		var digits []byte
		for i := range s.n {
			if s.during != nil {
				s.during(ctx, i)
			}
			if s.err != nil && i == s.fail {
				yield(hotreader.Row{}, s.err)
				return
			}
			at := i
			if q.Order == hotreader.Descending || q.Last {
				at = s.n - 1 - i
			}
			digits = fmt.Appendf(digits[:0], "%d.5", at)
			for k := range values {
				values[k] = hotreader.NumberValue(digits)
			}
			t := start.Add(time.Duration(at) * time.Second)
			if sieve.Keep(t, values) && !yield(hotreader.Row{Time: t, Values: values[:len(q.Properties)]}, nil) {
				return
			}
			if sieve.Done() {
				return
			}
		}
	}
}

func TestConfigErrors(t *testing.T) {
	_, err := httpapi.New(httpapi.Options{})
	if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "Reader") || !strings.Contains(err.Error(), "token") {
		t.Errorf("both are to be named: %v", err)
	}
}

func TestConcurrentCallers(t *testing.T) {
	s := serve(t, httpapi.Options{})
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			for j := range 10 {
				switch (i + j) % 5 {
				case 0:
					if got := ask(t, s, "GET", history+"&limit=2", ""); !strings.Contains(got.body, "73.90") {
						t.Errorf("%d %s", got.status, got.body)
					}
				case 1:
					if got := ask(t, s, "GET", "/v1/devices/pump/latest?property=on", ""); !strings.Contains(got.body, `"on":false`) {
						t.Errorf("%d %s", got.status, got.body)
					}
				case 2:
					if got := ask(t, s, "POST", "/read", envelope(pumpAll), "Accept-Encoding", "gzip"); got.status != 200 || !json.Valid([]byte(got.body)) {
						t.Errorf("%d %s", got.status, got.body)
					}
				case 3:
					if rows, _ := stream(t, s, envelope(pumpAll)); len(rows) != 4 {
						t.Errorf("%d rows", len(rows))
					}
				case 4:
					problem(t, ask(t, s, "GET", history, "", wire.TokenHeader, "wrong"), 401, hotreader.CodeUnauthenticated)
				}
			}
		})
	}
	wg.Wait()
}

func TestServerBounds(t *testing.T) {
	s := httpapi.Server(http.NotFoundHandler())
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 || s.Handler == nil {
		t.Errorf("a bound is missing: %+v", s)
	}
}

// logged is a log that a test can look at.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
