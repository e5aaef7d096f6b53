package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"hotreader"
	"hotreader/store/all"
)

// An assistant reads over standard input and output, and nothing else is written there.
func TestAssistantOnStandardInput(t *testing.T) {
	url := "bolt:" + filepath.Join(t.TempDir(), "s.db")
	store, err := all.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	row := hotreader.Record{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.Int64Value(70)}}}
	if err := store.Write(t.Context(), "pump-7", []hotreader.Record{row}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	in, asked := io.Pipe()
	answers, out := io.Pipe()
	var said bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"mcp", "--store", url}, in, out, &said) }()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(ctx, &mcp.IOTransport{Reader: answers, Writer: asked}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for tool, want := range map[string]string{"list_devices": "pump-7", "latest": `"value":70`} {
		arguments := map[string]string{"list_devices": "{}", "latest": `{"device":"pump-7"}`}[tool]
		got, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: json.RawMessage(arguments)})
		if err != nil || got.IsError || !strings.Contains(got.Content[0].(*mcp.TextContent).Text, want) {
			t.Fatal(err, got)
		}
	}
	_ = session.Close() // closes the pipes
	if code := <-ended; code != 0 || said.Len() > 0 {
		t.Errorf("exit code %d; %s", code, said.String())
	}
}
