package security

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hotreader/catalog"
	"hotreader/identity"
	"hotreader/test/authority"
	"hotreader/test/runtimeapi"
	"hotreader/test/serving"
	"hotreader/wire"
)

// TestDevicesOfEveryProgram: with a list of devices every program gives those,
// and refuses all others alike, whether they exist or not.
func TestDevicesOfEveryProgram(t *testing.T) {
	peer := newPeer(t, token)
	twin := func(l4 string) map[string]string {
		return map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("aws", l4), "REMOTE_READER_URL": peer.URL, "INTER_CLOUD_TOKEN": token, "HOTREADER_DEVICES": "valve-*,pump"}
	}
	for _, p := range []*serving.Process{
		start(t, "hotreader", map[string]string{"INTER_CLOUD_TOKEN": token}, "serve", "--store", bolt(t), "--devices", "valve-*,pump"),
		start(t, "hotreader-azure", twin("azure")),
		start(t, "hotreader-cloudrun", twin("google")),
	} {
		for _, request := range []func(device string) serving.Answer{
			func(d string) serving.Answer {
				return serving.Ask(t, p.URL, "GET", "/v1/devices/"+d+"/history?property=temperature", "", token, "X-Request-Id", "r")
			},
			func(d string) serving.Answer {
				return serving.Ask(t, p.URL, "GET", "/v1/devices/"+d+"/latest?property=temperature", "", token, "X-Request-Id", "r")
			},
			func(d string) serving.Answer {
				return serving.Ask(t, p.URL, "POST", "/read", serving.Envelope("query", d, ""), token)
			},
			func(d string) serving.Answer {
				return serving.Ask(t, p.URL, "POST", "/read", serving.Envelope("query", d, ""), token, "Accept", wire.MediaType)
			},
			func(d string) serving.Answer {
				return serving.Ask(t, p.URL, "POST", "/read", serving.Envelope("query_last_entry", d, ""), token)
			},
		} {
			if a := request("pump"); a.Status != 200 {
				t.Errorf("%s: %d %s", p.Name, a.Status, a.Body)
			}
			other, nobody := request("other"), request("nobody")
			if other.Status != 403 || nobody.Status != 403 || other.Body != nobody.Body || !strings.Contains(other.Body, `"forbidden"`) {
				t.Errorf("%s:\n%d %s\n%d %s", p.Name, other.Status, other.Body, nobody.Status, nobody.Body)
			}
		}
		// To Prometheus' API and to assistants another's device is one that there is not.
		for _, request := range []func(device string) serving.Answer{
			func(d string) serving.Answer {
				return serving.Ask(t, p.URL, "GET", "/api/v1/query?query=last_over_time(temperature%7Bdevice%3D%22"+d+"%22%7D%5B100y%5D)", "", token)
			},
			func(d string) serving.Answer {
				return serving.Ask(t, p.URL, "GET", "/api/v1/series?match%5B%5D=%7Bdevice%3D%22"+d+"%22%7D", "", token)
			},
			func(d string) serving.Answer {
				return serving.Ask(t, p.URL, "POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"latest","arguments":{"device":"`+d+`"}}}`, token,
					"Content-Type", "application/json", "Accept", "application/json, text/event-stream")
			},
		} {
			if a := request("pump"); a.Status != 200 || !strings.Contains(a.Body, "temperature") {
				t.Errorf("%s: %d %s", p.Name, a.Status, a.Body)
			}
			other, nobody := request("other"), request("nobody")
			if other.Status != nobody.Status || strings.ReplaceAll(other.Body, "other", "nobody") != nobody.Body || strings.Contains(other.Body, "temperature") {
				t.Errorf("%s:\n%d %s\n%d %s", p.Name, other.Status, other.Body, nobody.Status, nobody.Body)
			}
		}
	}
	for handler, more := range map[string]string{"hot-reader": serving.AllTime, "hot-reader-last-entry": ""} {
		f := serving.Function(t, handler, serving.With(twin("aws"), "DIGITAL_TWIN_INFO", serving.Twin("azure", "aws")))
		if body, err := f.Invoke(t.Context(), serving.Event("pump", both, more), 20*time.Second); err != nil || !strings.Contains(string(body), number) {
			t.Errorf("%s: %s, %v", handler, body, err)
		}
		calls := peer.Calls.Load()
		var messages []string
		for _, device := range []string{"other", "nobody"} {
			_, err := f.Invoke(t.Context(), serving.Event(device, both, more), 20*time.Second)
			failure, ok := errors.AsType[*runtimeapi.Failure](err)
			if !ok || failure.Type != "HotReader.Forbidden" {
				t.Fatalf("%s: %v", handler, err)
			}
			message, _, _ := strings.Cut(failure.Message, " (request id")
			messages = append(messages, message)
		}
		if messages[0] != messages[1] || peer.Calls.Load() != calls {
			t.Errorf("%s: %q, %d calls", handler, messages, peer.Calls.Load()-calls)
		}
	}
	f := serving.Function(t, "hot-reader-api", map[string]string{"INTER_CLOUD_TOKEN": token, "DYNAMODB_TABLE_NAME": "hot",
		"AWS_ENDPOINT_URL_DYNAMODB": dynamo(t, func() bool { return false }), "HOTREADER_DEVICES": "pump"})
	for device, want := range map[string]string{"pump": `"statusCode":200`, "other": `"statusCode":403`} {
		e := must(json.Marshal(map[string]any{"version": "2.0", "rawPath": "/v1/devices/" + device + "/latest", "rawQueryString": "property=temperature",
			"headers": map[string]string{"x-inter-cloud-token": token}, "requestContext": map[string]any{"http": map[string]string{"method": "GET"}}}))
		if body, err := f.Invoke(t.Context(), e, 20*time.Second); err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %v", device, body, err)
		}
	}
}

// TestTwinMakerLearnsOfNoOtherDevice: to a twin's reader with a list of devices, those of
// the catalogue outside of it are such that there are not.
func TestTwinMakerLearnsOfNoOtherDevice(t *testing.T) {
	properties := []catalog.Property{{Name: "temperature"}}
	file := filepath.Join(t.TempDir(), catalog.File)
	packed := must(catalog.Build([]catalog.Device{{ID: "pump", Type: "machine", Properties: properties}, {ID: "other", Type: "machine", Properties: properties},
		{ID: "pump-secret", Properties: properties}, {ID: "oven", Type: "melter", Properties: properties}}))
	if err := os.WriteFile(file, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	f := serving.Function(t, "hot-reader", map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("azure", "aws"), "REMOTE_READER_URL": newPeer(t, token).URL, "INTER_CLOUD_TOKEN": token,
		"HOTREADER_DEVICES": "pump,pump-secre", "HOTREADER_CATALOG": file})
	ask := func(device, more string) string {
		body, err := f.Invoke(t.Context(), []byte(`{"workspaceId":"w","selectedProperties":["temperature"],"properties":{"id":{"definition":{"isExternalId":true},"value":{"stringValue":"`+device+`"}}}`+more+serving.AllTime+`}`), 20*time.Second)
		said, _, _ := strings.Cut(fmt.Sprint(string(body), err), " (request id")
		return said
	}
	fleet := func(operator string) func(string) string {
		return func(device string) string {
			return ask("", `,"componentTypeId":"factory-machine","propertyFilters":[{"propertyName":"id","operator":"`+operator+`","value":{"stringValue":"`+device+`"}}]`)
		}
	}
	for name, c := range map[string]struct {
		ask           func(device string) string
		other, nobody string
	}{
		"device":                 {func(d string) string { return ask(d, `,"entityId":"e","componentName":"c"`) }, "other", "nobody"},
		"suggested device":       {func(d string) string { return ask(d, `,"entityId":"e","componentName":"c"`) }, "pump-secre", "pump-secre"},
		"device of a fleet":      {fleet("="), "other", "nobody"},
		"devices behind a fleet": {fleet("<="), "other", "nobody"},
		"component type":         {func(d string) string { return ask("", `,"componentTypeId":"factory-`+d+`"`) }, "melter", "nobody"},
		"slip in one":            {func(d string) string { return ask("", `,"componentTypeId":"factory-`+d+`"`) }, "meltr", "nobody"},
	} {
		other, nobody := c.ask(c.other), c.ask(c.nobody)
		if strings.ReplaceAll(other, c.other, c.nobody) != nobody || strings.Contains(other, "secret") {
			t.Errorf("%s:\n%s\n%s", name, other, nobody)
		}
	}
	if said := fleet(">=")("a"); !strings.Contains(said, number) || strings.Contains(said, "other") {
		t.Errorf("the fleet: %s", said)
	}
}

// TestFloods: 300 connections that say nothing, or a header that never ends, do
// not keep a client from its answer, and are closed by the server.
func TestFloods(t *testing.T) {
	t.Parallel()
	p := start(t, "hotreader", map[string]string{"INTER_CLOUD_TOKEN": token}, "serve", "--store", bolt(t))
	var all []net.Conn
	for i := range 300 {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 1 {
			if _, err := io.WriteString(c, "POST /read HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, c)
	}
	for range 20 {
		if a := serving.Ask(t, p.URL, "GET", "/v1/devices/pump/latest?property=temperature", "", token); a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	for i, c := range all { // the server's patience is 5 s
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("connection %d is kept", i)
		}
	}
}

// TestHeadersAreBounded: 32 KB, and what net/http allows beside.
func TestHeadersAreBounded(t *testing.T) {
	p := start(t, "hotreader", map[string]string{"INTER_CLOUD_TOKEN": token}, "serve", "--store", bolt(t))
	for size, status := range map[int]int{32 << 10: 200, 128 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		a := serving.Ask(t, p.URL, "GET", "/v1/devices/pump/latest?property=temperature", "", token, "X-Large", strings.Repeat("x", size))
		if a.Status != status {
			t.Errorf("%d bytes: %d, want %d", size, a.Status, status)
		}
	}
	if a := serving.Ask(t, p.URL, "POST", "/read", strings.Repeat(" ", 65<<10), token); a.Status != 413 {
		t.Errorf("a body of 65 KB: %d", a.Status)
	}
}

// TestTLSOfServe: a client of TLS 1.1 or older is refused, and one that speaks
// without encryption gets nothing but that.
func TestTLSOfServe(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := authority.Write(cert, key); err != nil {
		t.Fatal(err)
	}
	p := start(t, "hotreader", map[string]string{"INTER_CLOUD_TOKEN": token}, "serve", "--store", bolt(t), "--tls-cert", cert, "--tls-key", key)
	address := strings.TrimPrefix(p.URL, "http://")
	for version, good := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		d := &tls.Dialer{Config: &tls.Config{MinVersion: version, MaxVersion: version, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}}
		c, err := d.DialContext(t.Context(), "tcp", address)
		if (err == nil) != good {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			if spoken := c.(*tls.Conn).ConnectionState().NegotiatedProtocol; spoken != "http/1.1" {
				t.Errorf("%s: %s is spoken", tls.VersionName(version), spoken)
			}
			_ = c.Close()
		}
	}
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /v1/devices/pump/latest?property=temperature HTTP/1.1\r\nHost: x\r\n%s: %s\r\n\r\n", identity.TokenHeader, token)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || strings.Contains(string(body), number) {
		t.Errorf("without TLS: %d %s", resp.StatusCode, body)
	}
}

// TestLogLinesCannotBeForged: a device id, a parameter or a trace id with line
// ends, quotes and terminal codes stays within its line and its field.
func TestLogLinesCannotBeForged(t *testing.T) {
	peer := newPeer(t, token)
	const hostile = "a\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\r\n\x1b[2J\x00\u2028\"b"
	for _, p := range []*serving.Process{
		start(t, "hotreader", map[string]string{"INTER_CLOUD_TOKEN": token}, "serve", "--store", bolt(t)),
		start(t, "hotreader-cloudrun", map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("aws", "google"), "REMOTE_READER_URL": peer.URL, "INTER_CLOUD_TOKEN": token}),
		start(t, "hotreader-azure", map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("aws", "azure"), "REMOTE_READER_URL": peer.URL, "INTER_CLOUD_TOKEN": token}),
	} {
		serving.Ask(t, p.URL, "GET", "/v1/devices/"+url.PathEscape(hostile)+"/latest?property=temperature", "", token)
		serving.Ask(t, p.URL, "GET", "/v1/devices/pump/history?property=temperature&order="+url.QueryEscape(hostile), "", token)
		serving.Ask(t, p.URL, "GET", "/v1/devices/pump/history?property=temperature&"+url.QueryEscape(hostile)+"=1", "", token)
		serving.Ask(t, p.URL, "POST", "/read", serving.Envelope("query", string(must(json.Marshal(hostile)))[1:len(must(json.Marshal(hostile)))-1], ""), token)
		p.Terminate(t)
		checkLines(t, p.Name, p.Log(), 4)
	}
	f := serving.Function(t, "hot-reader", map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("azure", "aws"), "REMOTE_READER_URL": peer.URL, "INTER_CLOUD_TOKEN": token})
	escaped := must(json.Marshal(hostile))
	if _, err := f.Invoke(t.Context(), serving.Event(string(escaped[1:len(escaped)-1]), both, serving.AllTime), 20*time.Second); err != nil {
		if _, ok := errors.AsType[*runtimeapi.Failure](err); !ok {
			t.Fatal(err)
		}
	}
	f.Kill(t)
	checkLines(t, "hotreader-lambda", f.Log(), 1)
}

// checkLines fails unless each line but an address is one JSON object of ours.
func checkLines(t testing.TB, who, said string, requests int) {
	t.Helper()
	n := 0
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "listening on ") {
			continue
		}
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Errorf("%s: %q is no JSON: %v", who, line, err)
			continue
		}
		for _, key := range []string{"msg", "message"} {
			if o[key] == "forged" {
				t.Errorf("%s: a forged line", who)
			}
			if o[key] == "request" || o[key] == "query" {
				n++
			}
		}
		if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x00\x1b\r\u2028") {
			t.Errorf("%s: %q would act on a terminal", who, line)
		}
	}
	if n != requests {
		t.Errorf("%s: %d lines for %d requests:\n%s", who, n, requests, said)
	}
}

// collector keeps what programs send to their collector of traces and metrics.
type collector struct {
	url string

	mu  sync.Mutex
	got map[string]string // by the header that the program was told to send: requests, whole
}

func newCollector(t testing.TB) *collector {
	t.Helper()
	c := &collector{got: map[string]string{}}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_ = r.Header.Write(&b) // a buffer takes all
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the collector got %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got[r.Header.Get("X-Of")] += r.RequestURI + "\n" + b.String() + string(body) + "\n"
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

// seen returns env with all that there is to be seen turned on, and told to c at
// once, as that of who.
func (c *collector) seen(env map[string]string, who string) map[string]string {
	env = maps.Clone(env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.url, "OTEL_EXPORTER_OTLP_HEADERS": "X-Of=" + strings.NewReplacer(" ", "-", ",", "").Replace(who),
		"OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "100"})
	return env
}

// searched waits until what who has sent has all of want, and searches it.
func (c *collector) searched(t testing.TB, who string, want ...string) {
	t.Helper()
	who = strings.NewReplacer(" ", "-", ",", "").Replace(who)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		c.mu.Lock()
		got := c.got[who]
		c.mu.Unlock()
		missing := ""
		for _, w := range want {
			if !strings.Contains(got, w) {
				missing = w
			}
		}
		if missing == "" {
			quiet(t, "what its collector got", got)
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the collector did not get %s of %s, but %.3000s", missing, who, got)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
