package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/all"
)

// Debian's promtool 2.42 sends these requests. It was run against serve once, and its
// requests written down: they are sent here as they came, and must bring what it printed.
func TestPromtool(t *testing.T) {
	t.Setenv(tokenVariable, oldToken)
	url := "bolt:" + filepath.Join(t.TempDir(), "s.db")
	store, err := all.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	for device, rows := range map[string]map[int]string{"pump-7": {0: "70.5", 10: "71.25", 60: "72"}, "pump-8": {30: "20"}} {
		for second, value := range rows {
			row := hotreader.Record{Time: time.Unix(1772431200+int64(second), 0), Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.NumberValue([]byte(value))}}}
			if err := store.Write(t.Context(), device, []hotreader.Record{row}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(serveURL(t, "serve", "--store", url, "--listen", "127.0.0.1:0", "--log-level", "error"), "http://")
	const form = "Content-Type: application/x-www-form-urlencoded"
	for _, c := range []struct{ name, request, form, want string }{
		{"query instant --time 2026-03-02T06:01:00Z … temperature", "POST /api/v1/query", "query=temperature&time=1772431260",
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"temperature","device":"pump-7"},"value":[1772431260,"72"]},{"metric":{"__name__":"temperature","device":"pump-8"},"value":[1772431260,"20"]}]}}`},
		{"query range --step 15s … temperature", "POST /api/v1/query_range", "end=1772431260&query=temperature&start=1772431200&step=15",
			`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"temperature","device":"pump-7"},"values":[[1772431200,"70.5"],[1772431215,"71.25"],[1772431230,"71.25"],[1772431245,"71.25"],[1772431260,"72"]]},` +
				`{"metric":{"__name__":"temperature","device":"pump-8"},"values":[[1772431230,"20"],[1772431245,"20"],[1772431260,"20"]]}]}}`},
		{"query series --match temperature", "GET /api/v1/series?end=1772431260&match%5B%5D=temperature&start=1772431200", "",
			`{"status":"success","data":[{"__name__":"temperature","device":"pump-7"},{"__name__":"temperature","device":"pump-8"}]}`},
		{"query labels … device", "GET /api/v1/label/device/values?end=1832033615.2005725&start=1760040815.200572", "",
			`{"status":"success","data":["pump-7","pump-8"]}`},
		{"query instant … nothing(", "POST /api/v1/query", "query=nothing%28&time=1796037215.244319",
			`{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:9: parse error: unclosed left parenthesis"}`},
	} {
		head := c.request + " HTTP/1.1\r\nHost: " + address + "\r\nUser-Agent: Go-http-client/1.1\r\nAuthorization: Basic eDowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==\r\n"
		if c.form != "" {
			head += "Content-Length: " + strconv.Itoa(len(c.form)) + "\r\n" + form + "\r\n"
		}
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, head+"\r\n"+c.form); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if got := strings.TrimSpace(string(body)); err != nil || got != c.want || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("promtool %s: %s\n%s, %v\nwant %s", c.name, resp.Status, got, err, c.want)
		}
		_ = resp.Body.Close()
		_ = conn.Close()
	}
}
