package mcpserver

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	maxLine   = 16 << 20    // bytes
	drainTime = time.Minute // for the answers after the input's end
)

// Lines is a transport of one JSON-RPC message a line. All requests are answered before
// it ends with its input, and a line that is no message is answered with an error.
func Lines(in io.Reader, out io.Writer) mcp.Transport { return &lines{in: in, out: out} }

type lines struct {
	in     io.Reader
	out    io.Writer
	read   chan []byte // closed at the input's end
	failed error       // of the input, once read is closed
	n      int         // lines read
	closed chan struct{}
	close  func()

	mu      sync.Mutex
	open    int // requests that are not answered yet
	drained chan struct{}
}

// Connect implements mcp.Transport.
func (l *lines) Connect(context.Context) (mcp.Connection, error) {
	l.read, l.closed, l.drained = make(chan []byte), make(chan struct{}), make(chan struct{}, 1)
	l.close = sync.OnceFunc(func() { close(l.closed) })
	go func() { // stays while the input neither ends nor has a line
		defer close(l.read)
		s := bufio.NewScanner(l.in)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			select {
			case l.read <- append([]byte(nil), s.Bytes()...):
			case <-l.closed:
				return
			}
		}
		l.failed = s.Err()
	}()
	return l, nil
}

// Read implements mcp.Connection.
func (l *lines) Read(ctx context.Context) (jsonrpc.Message, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.closed:
			return nil, io.EOF
		case line, more := <-l.read:
			if !more {
				return nil, l.drain(ctx)
			}
			if l.n++; len(line) == 0 {
				continue
			}
			message, err := jsonrpc.DecodeMessage(line)
			if err == nil {
				if r, ok := message.(*jsonrpc.Request); ok && r.IsCall() {
					l.count(1)
				}
				return message, nil
			}
			if err := l.reject(line, err); err != nil {
				return nil, err
			}
		}
	}
}

// drain waits for the answers to what was read.
func (l *lines) drain(ctx context.Context) error {
	late := time.After(drainTime)
	for l.count(0) > 0 {
		select {
		case <-l.drained:
		case <-l.closed:
			return io.EOF
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return io.EOF
		}
	}
	if l.failed != nil {
		return l.failed
	}
	return io.EOF
}

func (l *lines) count(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open += n; l.open == 0 {
		select {
		case l.drained <- struct{}{}:
		default:
		}
	}
	return l.open
}

// reject answers a line that is no message. Its id is not known.
func (l *lines) reject(line []byte, err error) error {
	e := jsonrpc.Error{Code: jsonrpc.CodeParseError, Message: fmt.Sprintf("line %d is no JSON-RPC message: %v", l.n, err)}
	if json.Valid(line) {
		e.Code = jsonrpc.CodeInvalidRequest
	}
	text, err := json.Marshal(struct {
		Version string        `json:"jsonrpc"`
		ID      *int          `json:"id"`
		Error   jsonrpc.Error `json:"error"`
	}{"2.0", nil, e})
	if err != nil {
		return err
	}
	return l.write(text)
}

func (l *lines) write(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.out.Write(append(line, '\n'))
	return err
}

// Write implements mcp.Connection.
func (l *lines) Write(_ context.Context, message jsonrpc.Message) error {
	text, err := jsonrpc.EncodeMessage(message)
	if err != nil {
		return err
	}
	err = l.write(text)
	if _, ok := message.(*jsonrpc.Response); ok {
		l.count(-1)
	}
	return err
}

// Close implements mcp.Connection.
func (l *lines) Close() error {
	l.close()
	return nil
}

// SessionID implements mcp.Connection.
func (l *lines) SessionID() string { return "" }
