package httpapi_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
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

// odd is a device id with every character that is special in a URL.
const odd = "halle 3/pumpe?#é%2F"

// store returns a store with the device "pump" (five rows), the device odd (one row) and
// another that no answer may ever show.
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

// serve starts the API, as `hotreader serve` does, over o.Source or store.
func serve(t testing.TB, o httpapi.Options) *httptest.Server {
	t.Helper()
	return served(t, o, nil)
}

// served is serve with a server that set has changed.
func served(t testing.TB, o httpapi.Options, set func(*http.Server)) *httptest.Server {
	t.Helper()
	if o.Source == nil {
		o.Source = store(t)
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
	if set != nil {
		set(s.Config)
	}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func static(t testing.TB, text string) *identity.Token {
	t.Helper()
	token, err := identity.Static(text)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// answer is a response with its body.
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
	req.Header.Set(identity.TokenHeader, current)
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
	return answered(t, resp, err)
}

// answered reads a response.
func answered(t testing.TB, resp *http.Response, err error) answer {
	t.Helper()
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

// safe checks what must hold for every answer.
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

// Requests too long for test/golden, which has all other answers.
func TestRefusals(t *testing.T) {
	s := serve(t, httpapi.Options{})
	if got := ask(t, s, "GET", "/v1/devices/"+strings.Repeat("%78", 2048)+"/history?property=temperature", ""); got.status != 200 || !strings.Contains(got.body, `"temperature":2}`) {
		t.Errorf("a device id of 2 KB: %d %s", got.status, got.body)
	}
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		code                     hotreader.Code
		want                     string // in the detail
	}{
		{"101 properties", "GET", "/v1/devices/pump/history?property=a" + strings.Repeat("&property=b", 100), "", 400, "invalid", "101 properties"},
		{"a device id of 2,049 bytes", "GET", "/v1/devices/" + strings.Repeat("x", 2049) + "/history?property=a", "", 400, "invalid", "2049 bytes"},
		{"deep JSON", "POST", "/read", strings.Repeat("[", 30000), 400, "invalid", "JSON"},
		{"no UTF-8", "POST", "/read", "{\"\xff\":1}", 400, "invalid", "UTF-8"},
		{"a body over the limit", "POST", "/read", envelope(pumpAll) + strings.Repeat(" ", 64<<10), 413, "too_large", "65536 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if detail := problem(t, ask(t, s, c.method, c.path, c.body), c.status, c.code); !strings.Contains(detail, c.want) {
				t.Errorf("the detail is %q, without %q", detail, c.want)
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
	req.Header.Set(identity.TokenHeader, current)
	problem(t, do(t, req), 413, hotreader.CodeTooLarge)
}

func TestGzip(t *testing.T) {
	s := serve(t, httpapi.Options{Source: series{n: 1000}})
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

// series is a Source of n numbered rows, one every second from 2026 on. It fails after
// fail rows, if that is not 0.
type series struct {
	n, fail int
	err     error
	during  func(ctx context.Context, i int) // before row i
}

func (s series) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		values := make([]hotreader.Value, len(q.Columns()))
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
			if q.Backward() {
				at = s.n - 1 - i
			}
			digits = fmt.Appendf(digits[:0], "%d.5", at)
			for k := range values {
				values[k] = hotreader.NumberValue(digits)
			}
			t := start.Add(time.Duration(at) * time.Second)
			if !yield(hotreader.Row{Time: t, Values: values}, nil) {
				return
			}
		}
	}
}

func TestConfigErrors(t *testing.T) {
	_, err := httpapi.New(httpapi.Options{})
	if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "Source") || !strings.Contains(err.Error(), "token") {
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
					problem(t, ask(t, s, "GET", history, "", identity.TokenHeader, "wrong"), 401, hotreader.CodeUnauthenticated)
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

// A caller that requests large answers and does not receive them holds places, so that it
// gets no more of them. Others still get theirs, whatever their token.
func TestSlowTakersHoldPlaces(t *testing.T) {
	const answers = 8
	var reads atomic.Int32
	s := serve(t, httpapi.Options{
		Answers: answers, Queue: 100, Wait: time.Minute,
		Source: series{n: 120_000, during: func(_ context.Context, i int) {
			if i == 0 {
				reads.Add(1)
			}
		}},
		Address: func(r *http.Request) netip.Addr { return netip.MustParseAddr(r.Header.Get("X-From")) },
	})
	const large = "GET /v1/devices/d/history?property=a HTTP/1.1\r\nHost: x\r\n" + identity.TokenHeader + ": " + current + "\r\nX-From: 192.0.2.1\r\n\r\n"
	for range 3 * answers {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprint(c, large); err != nil {
			t.Fatal(err)
		}
	}
	for reads.Load() < answers-answers/4 {
		time.Sleep(time.Millisecond)
	}
	for _, who := range []struct{ address, token string }{{"192.0.2.2", current}, {"192.0.2.1", previous}, {"192.0.2.3", previous}} {
		for range 5 {
			got := ask(t, s, "GET", "/v1/devices/d/latest?property=a", "", "X-From", who.address, identity.TokenHeader, who.token)
			if got.status != http.StatusOK {
				t.Errorf("%v: %d %s", who, got.status, got.body)
			}
		}
	}
	if got, want := reads.Load(), int32(answers-answers/4+15); got != want {
		t.Errorf("%d answers were begun, want %d", got, want)
	}
}

// A rejection that takes long, here because of a slow log, does not affect the next
// request on the same connection.
func TestRefusalLeavesTheConnectionSound(t *testing.T) {
	s := serve(t, httpapi.Options{Logger: logger(&slow{}), Source: series{n: 1, during: func(ctx context.Context, _ int) {
		if err := ctx.Err(); err != nil {
			t.Errorf("the next request is broken off: %v", err)
		}
	}}})
	for _, r := range [][3]string{{"POST", "/read", "{}"}, {"POST", "/read", envelope(seriesAll)}, {"GET", "/v1/devices/d/latest?property=a", ""}} {
		req, err := http.NewRequestWithContext(t.Context(), r[0], s.URL+r[1], strings.NewReader(r[2]))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(identity.TokenHeader, current)
		resp, err := s.Client().Do(req) // which keeps its connection, if it is let
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := map[bool]int{true: 400, false: 200}[r[2] == "{}"]; resp.StatusCode != want || resp.Close {
			t.Errorf("%v: %d, want %d; closed %v: %s", r, resp.StatusCode, want, resp.Close, b)
		}
	}
}

// slow is a log whose first line takes longer than an answer waits for an unread body.
type slow struct{ lines atomic.Int32 }

func (s *slow) Write(b []byte) (int, error) {
	if s.lines.Add(1) == 1 {
		time.Sleep(1200 * time.Millisecond)
	}
	return len(b), nil
}

// On every route, a request without a free place is rejected, with the time after which to
// try again. Requests that need no place are answered.
func TestTooManyAreTold(t *testing.T) {
	begun, done := make(chan struct{}), make(chan struct{})
	s := serve(t, httpapi.Options{Answers: 1, Queue: 1, Wait: time.Millisecond, Source: series{n: 1, during: func(context.Context, int) {
		close(begun)
		<-done
	}}})
	first := make(chan int)
	go func() { first <- ask(t, s, "GET", "/v1/devices/d/latest?property=a", "").status }()
	<-begun
	for _, r := range [][3]string{
		{"GET", "/v1/devices/d/latest?property=a", ""}, {"GET", "/v1/devices/d/history?property=a", ""},
		{"POST", "/read", envelope(seriesAll)}, {"POST", "/read", lastEntry(`{"iot_device_id":"d","selected_properties":["a"]}`)},
	} {
		got := ask(t, s, r[0], r[1], r[2])
		problem(t, got, http.StatusServiceUnavailable, hotreader.CodeOverloaded)
		if got.header.Get("Retry-After") != "1" {
			t.Errorf("%v: Retry-After is %q", r, got.header.Get("Retry-After"))
		}
	}
	for path, status := range map[string]int{"/healthz": 200, "/openapi.json": 200, "/nowhere": 404, "/v1/devices/d/history": 400} {
		if got := ask(t, s, "GET", path, ""); got.status != status {
			t.Errorf("%s: %d, want %d", path, got.status, status)
		}
	}
	close(done)
	if got := <-first; got != http.StatusOK {
		t.Errorf("the first: %d", got)
	}
}
