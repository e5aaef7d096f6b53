// Package mcpserver lets assistants read telemetry, through the Model Context Protocol:
// tools that list and describe devices, read latest values and history, and count.
//
// All of them only read, and only the devices that the caller may read. An answer has at
// most about 2,000 tokens. It says how many rows it covers, and whether it is
// complete.
package mcpserver

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"hotreader"
	"hotreader/catalog"
)

// Path is where the API serves MCP.
const Path = "/mcp"

// Options configure the server. Reader is required; all else may be zero.
type Options struct {
	Reader  hotreader.Reader
	Catalog *catalog.Catalog // the twin's devices
	Lister  hotreader.Lister // lists devices where there is no catalogue

	// May reports whether the caller that ctx belongs to may read a device; nil = any.
	// Other devices are as if they were not there.
	May func(ctx context.Context, device string) bool

	// Problem says how an error of Reader, or a defect, is reported to a caller; nil = the
	// error itself, a defect by its code alone.
	Problem func(ctx context.Context, err error) (status int, text string)

	Logger *slog.Logger // gets the same errors where Run serves; nil = none

	Version string // shown to clients; "" = "dev"
	Now     func() time.Time
}

// Server serves MCP.
type Server struct{ o Options }

// New returns the server. An error is of CodeConfig.
func New(o Options) (*Server, error) {
	if o.Reader == nil {
		return nil, &hotreader.Error{Op: "MCP", Code: hotreader.CodeConfig, Err: errors.New("no Reader is given")}
	}
	o.Version = cmp.Or(o.Version, "dev")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Problem == nil {
		o.Problem = func(_ context.Context, err error) (int, string) {
			if code := hotreader.CodeOf(err); code == hotreader.CodeInternal {
				return 0, string(code)
			}
			return 0, err.Error()
		}
	}
	return &Server{o}, nil
}

// Run serves one client over a transport, as standard input and output, until ctx ends
// or the client goes.
func (s *Server) Run(ctx context.Context, t mcp.Transport) error {
	return s.tools(calls{s.o, func(ctx context.Context) context.Context { return ctx }, func(err error) {
		s.o.Logger.Error("a request failed", "code", string(hotreader.CodeOf(err)), "error", err.Error())
	}}).Run(ctx, t)
}

// maxBody is how many bytes a request has at most.
const maxBody = 64 << 10

// Serve answers a request over HTTP. There are no sessions: each request is answered by
// itself, as JSON. The error is for the log: it is answered already.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request) error {
	body := bufio.NewReader(http.MaxBytesReader(w, r.Body, maxBody))
	if first(body) == '[' {
		err := invalid("batches of messages are not served; send each message in a request of its own")
		http.Error(w, err.Error(), http.StatusBadRequest)
		return err
	}
	r.Body = io.NopCloser(body) // net/http closes the request's own
	failed := make(chan error, 1)
	mcp.NewStreamableHTTPHandler(func(r *http.Request) *mcp.Server {
		return s.tools(calls{s.o, func(context.Context) context.Context { return r.Context() }, func(err error) {
			select {
			case failed <- err:
			default: // one error says enough
			}
		}})
	},
		&mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true, DisableLocalhostProtection: true}).ServeHTTP(w, r) // the token protects
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// first returns the first byte that is no blank; 0 if there is none. A batch of calls would
// take the place of one request, and the memory of hundreds.
func first(r *bufio.Reader) byte {
	for {
		c, err := r.ReadByte()
		switch {
		case err != nil:
			return 0
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			_ = r.UnreadByte() // it was just read
			return c
		}
	}
}

const instructions = `Read-only telemetry of a digital twin's devices. Start with list_devices, then describe_device.
Answers are cut to about 2,000 tokens: "complete" says whether something is missing, "stands_for_rows" how many stored rows it is about.
history returns the first, lowest, highest and last stored row of each interval, so no spike is lost. stats counts all rows.`

// tools returns an MCP server with the tools. They never change, so that there is nothing to
// listen to: a request that did would hold its place until its time is up.
func (s *Server) tools(c calls) *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "hotreader", Version: s.o.Version},
		&mcp.ServerOptions{Instructions: instructions, Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}}})
	server.AddReceivingMiddleware(c.recovering)
	add(server, c, "list_devices", "List devices, by id.", c.listDevices)
	add(server, c, "describe_device", "Properties of a device, with types and units.", c.describe)
	add(server, c, "latest", "Latest value of each property of a device, with its time.", c.latest)
	add(server, c, "history", "Values of a device between two times, reduced to some rows of each interval: first, lowest, highest and last.", c.history)
	add(server, c, "stats", "Count, first and last value of each property between two times, of all rows; lowest and highest of those that are numbers, with all digits, and their average, rounded to a float64.", c.stats)
	return server
}

// add adds a tool that only reads. Its error is the tool's answer, so that the assistant
// can do better.
func add[In, Out any](server *mcp.Server, c calls, name, description string, run func(context.Context, In) (Out, error)) {
	open := false
	tool := &mcp.Tool{Name: name, Description: description, Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true, IdempotentHint: true, OpenWorldHint: &open}}
	mcp.AddTool(server, tool, func(ctx context.Context, _ *mcp.CallToolRequest, in In) (*mcp.CallToolResult, any, error) {
		ctx = c.within(ctx)
		out, err := run(ctx, in)
		if err != nil {
			return nil, nil, c.failed(ctx, err)
		}
		text, err := json.Marshal(out) // once, as text: some clients hand on structured content, too
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: string(text)}}}, nil, err
	})
}

// recovering answers a request that panics with an error. The protocol's library handles
// it in a goroutine of its own, where a panic would end the program.
func (c calls) recovering(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, r mcp.Request) (result mcp.Result, err error) {
		err = hotreader.Recovered("mcp", func() (err error) {
			result, err = next(ctx, method, r)
			return err
		})
		return result, c.failed(c.within(ctx), err)
	}
}

// failed passes an error to the log, unless it says what the assistant can change, and returns
// what the assistant is told.
func (c calls) failed(ctx context.Context, err error) error {
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok || e.Op == op {
		return err
	}
	c.log(err)
	_, text := c.o.Problem(ctx, err)
	return errors.New(text)
}

// op is the operation of errors that say what the assistant can change.
const op = "request"

func invalid(text string) error {
	return &hotreader.Error{Op: op, Code: hotreader.CodeInvalid, Err: errors.New(text)}
}
