package mcpserver_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/mcpserver"
	"hotreader/store/memstore"
)

// FuzzServe: no message makes the server fail, shows a device that the caller may not
// read, or is answered at length.
func FuzzServe(f *testing.F) {
	for _, call := range []string{
		`"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}`, `"tools/list"`, `"ping"`, `"resources/list","params":{}`,
		`"tools/call","params":{"name":"list_devices","arguments":{"prefix":"p","after":"a"}}`, `"tools/call","params":{"name":"describe_device","arguments":{"device":"pump-7"}}`,
		`"tools/call","params":{"name":"latest","arguments":{"device":"pump-7","properties":["temperature"]}}`,
		`"tools/call","params":{"name":"history","arguments":{"device":"pump-7","start":"-24h","points":20}}`, `"tools/call","params":{"name":"stats","arguments":{"device":"pump-7","start":"2026-03-02T11:00:00Z","end":"2026-03-02"}}`,
	} {
		f.Add(`{"jsonrpc":"2.0","id":1,"method":` + call + `}`)
	}
	f.Add(`[{"jsonrpc":"2.0","id":null}]`)
	store := memstore.New()
	rows := []hotreader.Record{{Time: noon.Add(-time.Hour), Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.Int64Value(1)}, {Name: "state", Value: hotreader.StringValue([]byte("\u202e<b>"))}}}}
	for _, device := range []string{"pump-7", "hidden"} {
		if err := store.Write(f.Context(), device, rows); err != nil {
			f.Fatal(err)
		}
	}
	server, err := mcpserver.New(mcpserver.Options{Reader: hotreader.NewReader(store), Lister: store, Now: func() time.Time { return noon },
		May: func(_ context.Context, device string) bool { return device != "hidden" }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := httptest.NewRecorder()
		_ = server.Serve(w, post(t.Context(), "", body))
		text := w.Body.String()
		if w.Code >= 500 || len(text) > 30_000+2*len(body) || w.Header().Get("Content-Type") == "application/json" && text != "" && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d, %d bytes: %.500s", w.Code, len(text), text)
		}
		if strings.Contains(text, "hidden") && !strings.Contains(body, "hidden") && !strings.Contains(body, `\`) {
			t.Fatalf("another's device: %s", text)
		}
	})
}
