package mcpserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"hotreader"
	"hotreader/catalog"
	"hotreader/mcpserver"
	"hotreader/store/memstore"
	"hotreader/test/transcript"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// filled is a store of a device with a day of rows, and of one that nobody may read.
func filled(t *testing.T) *memstore.Store {
	t.Helper()
	store := memstore.New()
	var rows []hotreader.Record
	for i := range 86_400 {
		v := hotreader.Int64Value(int64(i % 1000))
		if i == 40_000 {
			v = hotreader.Int64Value(99_999) // a spike
		}
		row := hotreader.Record{Time: noon.Add(time.Duration(i-86_400) * time.Second), Fields: []hotreader.Field{{Name: "temperature", Value: v}}}
		if i >= 86_300 {
			row.Fields = append(row.Fields, hotreader.Field{Name: "state", Value: hotreader.StringValue([]byte(strings.Repeat("long ", 2000)))})
		}
		rows = append(rows, row)
	}
	for _, device := range []string{"pump-7", "secret"} {
		if err := store.Write(t.Context(), device, rows); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

func options(t *testing.T) mcpserver.Options {
	t.Helper()
	store := filled(t)
	return mcpserver.Options{Reader: hotreader.NewReader(store), Lister: store, Now: func() time.Time { return noon },
		May: func(_ context.Context, device string) bool { return device != "secret" }}
}

// connected returns a client of a server, over memory.
func connected(t *testing.T, o mcpserver.Options) *mcp.ClientSession {
	t.Helper()
	server, err := mcpserver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	here, there := mcp.NewInMemoryTransports()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() { _ = server.Run(ctx, there) }()
	return client(t, here)
}

func client(t *testing.T, transport mcp.Transport) *mcp.ClientSession {
	t.Helper()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// call calls a tool and returns its answer, and whether that is an error.
func call(t *testing.T, session *mcp.ClientSession, tool, arguments string) (string, bool) {
	t.Helper()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: json.RawMessage(arguments)})
	if err != nil {
		return err.Error(), true
	}
	if len(result.Content) != 1 || result.StructuredContent != nil {
		t.Fatalf("%s answers with %d parts", tool, len(result.Content))
	}
	text := result.Content[0].(*mcp.TextContent).Text
	if len(text) > 8000 {
		t.Errorf("%s %s: an answer of %d bytes is more than 2,000 tokens", tool, arguments, len(text))
	}
	return text, result.IsError
}

// TestStats: of texts among numbers, as "fault", and of numbers that a float64 cannot hold.
func TestStats(t *testing.T) {
	long := "1" + strings.Repeat("0", 300)
	const beyond = `"there is no average, for the numbers or their sum are beyond a float64: flow"`
	for _, c := range []struct{ values, want, warning string }{
		{"10 fault 14 fault", `"count":4,"lowest":10,"highest":14,"average":12,`, "2 values of another kind"},
		{"fault", `"count":1,"first"`, ""},
		{"9007199254740993 9007199254740991 1.50", `"lowest":1.50,"highest":9007199254740993,"average":`, ""},
		{"9007199254740991 9007199254740993", `"lowest":9007199254740991,"highest":9007199254740993,"average":9007199254740992,`, ""},
		{"2 1e200 4 -1e200", `"lowest":-1e200,"highest":1e200,"average":1.5,`, ""},
		{"0 1e-400 -1e-400", `"lowest":-1e-400,"highest":1e-400,"average":0,`, ""},
		{"1 1e400", `"lowest":1,"highest":1e400,"first"`, beyond},
		{"1 1e400 -1e400", `"lowest":-1e400,"highest":1e400,"first"`, beyond},
		{"1e308 1e308 1e308", `"lowest":1e308,"highest":1e308,"first"`, beyond},
		{"2 4 " + long + " -" + long, `"count":4,"lowest":2,"highest":4,"average":1.5,`, `"lowest and highest are without 2 numbers of more than 200 characters: flow"`},
	} {
		store, rows := memstore.New(), []hotreader.Record(nil)
		for i, text := range strings.Fields(c.values) {
			v := hotreader.StringValue([]byte(text))
			if hotreader.IsNumber([]byte(text)) {
				v = hotreader.NumberValue([]byte(text))
			}
			rows = append(rows, hotreader.Record{Time: noon.Add(time.Duration(i-9) * time.Second), Fields: []hotreader.Field{{Name: "flow", Value: v}}})
		}
		if err := store.Write(t.Context(), "meter", rows); err != nil {
			t.Fatal(err)
		}
		session := connected(t, mcpserver.Options{Reader: hotreader.NewReader(store), Lister: store, Now: func() time.Time { return noon }})
		text, failed := call(t, session, "stats", `{"device":"meter","start":"-1h"}`)
		if failed || !strings.Contains(text, c.want) || !strings.Contains(text, c.warning) || strings.Contains(text, "warnings") != (c.warning != "") {
			t.Errorf("%.100s: %s\nlacks %s, %s", c.values, text, c.want, c.warning)
		}
	}
}

// TestWarningsAreCounted: those that an answer has no room for.
func TestWarningsAreCounted(t *testing.T) {
	store, row := memstore.New(), hotreader.Record{Time: noon}
	for i := range 13 {
		row.Fields = append(row.Fields, hotreader.Field{Name: fmt.Sprintf("p%02d", i), Value: hotreader.NumberValue([]byte("1e400"))})
	}
	if err := store.Write(t.Context(), "meter", []hotreader.Record{row}); err != nil {
		t.Fatal(err)
	}
	session := connected(t, mcpserver.Options{Reader: hotreader.NewReader(store), Lister: store, Now: func() time.Time { return noon }})
	if text, _ := call(t, session, "stats", `{"device":"meter","start":"-1h"}`); strings.Count(text, "there is no average") != 10 || !strings.Contains(text, `"and 3 more warnings; ask for fewer properties"`) {
		t.Error(text)
	}
}

func TestTools(t *testing.T) {
	session := connected(t, options(t))
	list, err := session.ListTools(t.Context(), nil)
	if err != nil || len(list.Tools) != 5 {
		t.Fatal(err, list)
	}
	for _, tool := range list.Tools {
		if tool.Annotations == nil || !tool.Annotations.ReadOnlyHint {
			t.Errorf("%s does not say that it only reads", tool.Name)
		}
	}
	for _, c := range []struct {
		name, tool, arguments string
		fails                 bool
		want                  []string
	}{
		{"devices", "list_devices", `{}`, false, []string{`{"devices":[{"id":"pump-7","properties":2}],"complete":true}`}},
		{"a device", "describe_device", `{"device":"pump-7"}`, false, []string{`"name":"state"`, `"name":"temperature"`, `"complete":true`}},
		{"latest", "latest", `{"device":"pump-7"}`, false, []string{`"temperature":{"time":"2026-03-02T11:59:59Z","value":399}`, `… (10000 bytes)`, `"stands_for_rows":1`, `"complete":true`}},
		{"history keeps a spike", "history", `{"device":"pump-7","properties":["temperature"],"start":"-24h","points":20}`, false, []string{`99999`, `"stands_for_rows":86400`, `"complete":true`}},
		{"history of everything", "history", `{"device":"pump-7","start":"-24h","points":200}`, false, []string{`"complete":false`, "to the end, the newest, are missing; ask for fewer points"}},
		{"history of a time", "history", `{"device":"pump-7","properties":["temperature"],"start":"2026-03-02T11:59:58Z","end":"2026-03-02T11:59:58Z"}`, false, []string{`"rows":[["2026-03-02T11:59:58Z",398]]`, `"stands_for_rows":1`}},
		{"stats", "stats", `{"device":"pump-7","properties":["temperature"],"start":"-24h"}`, false, []string{`"count":86400`, `"lowest":0,"highest":99999`, `"stands_for_rows":86400`, `"complete":true`, `"first":{"time":"2026-03-01T12:00:00Z","value":0},"last":{"time":"2026-03-02T11:59:59Z","value":399}`}},
		{"stats of a text", "stats", `{"device":"pump-7","properties":["state"],"start":"-10s"}`, false, []string{`"count":10,"first"`, `"last":{"time":"2026-03-02T11:59:59Z","value":"long long `, `… (10000 bytes)"}`}},
		{"nothing in the range", "stats", `{"device":"pump-7","start":"2020-01-01","end":"2020-01-02"}`, false, []string{`"properties":{}`, `"stands_for_rows":0`}},

		{"another's device", "latest", `{"device":"secret"}`, true, []string{`the device \"secret\" is unknown`}},
		{"one that is not there", "latest", `{"device":"nobody"}`, true, []string{`the device \"nobody\" is unknown`}},
		{"another's history", "history", `{"device":"secret","start":"-1h"}`, true, []string{"is unknown"}},
		{"another's stats", "stats", `{"device":"secret","start":"-1h"}`, true, []string{"is unknown"}},
		{"another's description", "describe_device", `{"device":"secret"}`, true, []string{"is unknown"}},
		{"an unknown property", "latest", `{"device":"pump-7","properties":["colour"]}`, true, []string{"describe_device names them"}},
		{"too many points", "history", `{"device":"pump-7","start":"-24h","points":1000000000}`, true, []string{"points is 4 to 200"}},
		{"none", "history", `{"device":"pump-7","start":"-24h","points":0}`, true, []string{"points is 4 to 200"}},
		{"too few", "history", `{"device":"pump-7","start":"-24h","points":-1}`, true, []string{"points is 4 to 200"}},
		{"no time", "history", `{"device":"pump-7","start":"yesterday"}`, true, []string{"invalid time"}},
		{"backwards", "history", `{"device":"pump-7","start":"-1h","end":"-2h"}`, true, []string{"before the start"}},
		{"a type without a catalogue", "list_devices", `{"type":"pump"}`, true, []string{"no component types"}},
		{"an unknown argument", "latest", `{"device":"pump-7","write":true}`, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, failed := call(t, session, c.tool, c.arguments)
			if failed != c.fails {
				t.Errorf("an error: %t; %s", failed, got)
			}
			for _, want := range c.want {
				if !strings.Contains(got, want) && !strings.Contains(got, strings.ReplaceAll(want, `\"`, `"`)) {
					t.Errorf("%.2000s\nlacks %s", got, want)
				}
			}
			if strings.Contains(c.arguments, "secret") && strings.Contains(got, "temperature") {
				t.Errorf("it tells of another's device: %s", got)
			}
		})
	}
}

// TestLinesAreAnswered: all that came before the input's end is answered before the server
// ends, and what is no message is answered, too.
func TestLinesAreAnswered(t *testing.T) {
	server, err := mcpserver.New(options(t))
	if err != nil {
		t.Fatal(err)
	}
	in := `{"jsonrpc":"2.0","id":"first","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
this is no JSON

{"id":5}
`
	for i := range 20 {
		in += fmt.Sprintf(`{"jsonrpc":"2.0","id":"call-%d","method":"tools/call","params":{"name":"stats","arguments":{"device":"pump-7","start":"-24h"}}}`+"\n", i)
	}
	var out strings.Builder
	if err := server.Run(t.Context(), mcpserver.Lines(strings.NewReader(strings.TrimSuffix(in, "\n")), &out)); err != nil {
		t.Error(err)
	}
	for _, want := range []string{`"id":"first"`, `"id":null,"error":{"code":-32700,"message":"line 3 is no`, `"id":null,"error":{"code":-32600,"message":"line 5 is no`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%.2000s\nlacks %s", out.String(), want)
		}
	}
	for i := range 20 {
		if !strings.Contains(out.String(), fmt.Sprintf(`"id":"call-%d"`, i)) {
			t.Errorf("call %d is not answered", i)
		}
	}
}

// TestManyDevices: a list that does not fit says so, and goes on after its last id.
func TestManyDevices(t *testing.T) {
	var all []catalog.Device
	for i := range catalog.MaxDevices {
		all = append(all, catalog.Device{ID: fmt.Sprintf("d%05d", i), Type: "pump", Properties: []catalog.Property{{Name: "v", Type: hotreader.Double, Unit: "bar"}, {Name: "c", Type: hotreader.Double, Constant: "5"}}})
	}
	o := options(t)
	var err error
	if o.Catalog, err = catalog.Of(all); err != nil {
		t.Fatal(err)
	}
	o.May = func(_ context.Context, device string) bool { return device >= "d05000" }
	session := connected(t, o)
	n, after := 0, ""
	for calls := 0; ; calls++ {
		text, failed := call(t, session, "list_devices", `{"type":"pump","after":"`+after+`"}`)
		var got struct {
			Devices  []struct{ ID string }
			Complete bool
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil || failed || calls > 200 {
			t.Fatal(err, text)
		}
		if n += len(got.Devices); got.Complete {
			break
		}
		after = got.Devices[len(got.Devices)-1].ID
		if want := `ask again with after \"` + after + `\"`; !strings.Contains(text, want) {
			t.Fatalf("%s lacks %s", text, want)
		}
	}
	if n != 5000 {
		t.Errorf("%d devices; want the 5000 that the caller may read", n)
	}
	if got, _ := call(t, session, "describe_device", `{"device":"d05000"}`); !strings.Contains(got, `{"name":"v","type":"DOUBLE","unit":"bar"}`) || !strings.Contains(got, `"constant":"5"`) {
		t.Error(got)
	}
}

// Neither an ID that takes more than an answer may have nor a panic in a tool ends the
// program.
func TestToolsEndNothing(t *testing.T) {
	o, store := options(t), memstore.New()
	long := strings.Repeat("<", 1100)
	for _, device := range []string{long, "pump-8"} {
		if err := store.Write(t.Context(), device, []hotreader.Record{{Time: noon, Fields: []hotreader.Field{{Name: "v", Value: hotreader.Int64Value(1)}}}}); err != nil {
			t.Fatal(err)
		}
	}
	o.Lister = store
	session := connected(t, o)
	if text, failed := call(t, session, "list_devices", `{}`); failed || !strings.Contains(text, `"pump-8"`) || !strings.Contains(text, `"left_out":1`) {
		t.Errorf("%.300s", text)
	}
	var log transcript.Buffer
	o.May, o.Logger = func(context.Context, string) bool { panic("a fault") }, slog.New(slog.NewJSONHandler(&log, nil))
	session = connected(t, o)
	for range 2 {
		if text, failed := call(t, session, "list_devices", `{}`); !failed || !strings.Contains(text, "internal") || strings.Contains(text, "fault") {
			t.Errorf("%.300s", text)
		}
	}
	if !strings.Contains(log.String(), "a fault") || !strings.Contains(log.String(), "TestToolsEndNothing") {
		t.Errorf("the log lacks the cause: %s", log.String())
	}
	server, err := mcpserver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := server.Serve(w, post(t.Context(), "", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_devices","arguments":{}}}`)); hotreader.CodeOf(err) != hotreader.CodeInternal || !strings.Contains(err.Error(), "a fault") || strings.Contains(w.Body.String(), "fault") {
		t.Errorf("over HTTP: %s, %v", w.Body, err)
	}
}

// post is a request with one message.
func post(ctx context.Context, version, body string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, mcpserver.Path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if version != "" {
		r.Header.Set("Mcp-Protocol-Version", version)
	}
	return r
}

// The tools never change. A request that listens for changes ends at once, and so does
// every other that would wait for the server to speak.
func TestNothingIsListenedTo(t *testing.T) {
	server, err := mcpserver.New(options(t))
	if err != nil {
		t.Fatal(err)
	}
	const version = "2026-07-28"
	listen := post(t.Context(), version, `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true},`+
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"`+version+`","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`)
	listen.Header.Set("Mcp-Method", "subscriptions/listen")
	get := httptest.NewRequestWithContext(t.Context(), http.MethodGet, mcpserver.Path, http.NoBody)
	get.Header.Set("Accept", "text/event-stream")
	for want, r := range map[int]*http.Request{http.StatusOK: listen, http.StatusMethodNotAllowed: get} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		w := httptest.NewRecorder()
		err := server.Serve(w, r.WithContext(ctx))
		if err != nil || w.Code != want || ctx.Err() != nil {
			t.Errorf("%s: %d %s, %v, %v", r.Method, w.Code, w.Body, err, ctx.Err())
		}
		cancel()
	}
}

// TestHTTP: each request is answered by itself, for the caller whose it is.
func TestHTTP(t *testing.T) {
	type caller struct{}
	o := options(t)
	o.May = func(ctx context.Context, device string) bool { return ctx.Value(caller{}) == device }
	server, err := mcpserver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = server.Serve(w, r.WithContext(context.WithValue(r.Context(), caller{}, r.Header.Get("X-May"))))
	})
	s := httptest.NewServer(h)
	defer s.Close()
	for may, want := range map[string]string{"pump-7": `"id":"pump-7"`, "secret": `"id":"secret"`, "none": `"devices":[]`} {
		session := client(t, &mcp.StreamableClientTransport{Endpoint: s.URL + mcpserver.Path, DisableStandaloneSSE: true,
			HTTPClient: &http.Client{Transport: named(may)}})
		if got, failed := call(t, session, "list_devices", `{}`); failed || !strings.Contains(got, want) || strings.Count(got, `"id"`) > 1 {
			t.Errorf("%s: %s", may, got)
		}
	}
}

// A request is one message: a batch would be many queries in the place of one.
func TestBatchesAreRefused(t *testing.T) {
	server, err := mcpserver.New(options(t))
	if err != nil {
		t.Fatal(err)
	}
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"latest","arguments":{"device":"pump-7"}}}`
	for _, version := range []string{"", "2025-03-26", "2025-06-18"} {
		for body, want := range map[string]int{call: http.StatusOK, " \r\n\t" + call: http.StatusOK, "[" + call + "]": http.StatusBadRequest, "\n [" + call + "," + call + "]": http.StatusBadRequest, "[": http.StatusBadRequest} {
			w := httptest.NewRecorder()
			if err := server.Serve(w, post(t.Context(), version, body)); w.Code != want || (err != nil) != (want != http.StatusOK) {
				t.Errorf("version %q, %.20q: %d %s, %v", version, body, w.Code, w.Body, err)
			}
		}
	}
}

// named sends who asks.
type named string

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("X-May", string(n))
	return http.DefaultTransport.RoundTrip(r)
}
