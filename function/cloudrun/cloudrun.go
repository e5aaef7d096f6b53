// Package cloudrun hosts the Hot Reader API on Google Cloud Run: HTTP/1.1 and
// HTTP/2 without TLS, which Cloud Run's front end speaks to the program, a log
// that Cloud Logging understands, and memory within the instance's.
package cloudrun

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"hotreader/httpapi"
)

// Server returns the server of an API. It takes HTTP/2 with prior knowledge
// (h2c), as a service has to that is deployed with end-to-end HTTP/2, and
// HTTP/1.1.
func Server(api http.Handler) *http.Server {
	s := httpapi.Server(traced(api))
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// traced gives requests that come with Google's own trace header alone the
// standard one.
func traced(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Traceparent") == "" {
			if parent := traceparent(r.Header.Get("X-Cloud-Trace-Context")); parent != "" {
				r.Header.Set("Traceparent", parent)
			}
		}
		h.ServeHTTP(w, r)
	})
}

// traceparent translates TRACE_ID/SPAN_ID;o=OPTIONS, of which the first is 32
// hexadecimal digits and the second a decimal number; "" if text is not that.
func traceparent(text string) string {
	trace, rest, _ := strings.Cut(text, "/")
	span, options, _ := strings.Cut(rest, ";")
	n, err := strconv.ParseUint(span, 10, 64)
	if err != nil || n == 0 || !isTrace(strings.ToLower(trace)) {
		return ""
	}
	sampled := "00"
	if options == "o=1" {
		sampled = "01"
	}
	return fmt.Sprintf("00-%s-%016x-%s", strings.ToLower(trace), n, sampled)
}

// isTrace reports whether id is a trace of W3C's form, 32 small hexadecimal
// digits, which is the only one that Cloud Trace has.
func isTrace(id string) bool {
	return len(id) == 32 && id != strings.Repeat("0", 32) && strings.Trim(id, "0123456789abcdef") == ""
}

// NewLogger returns a logger whose lines Cloud Logging takes apart: severity,
// message, time and, where project is known, the trace that a request's line
// belongs to.
func NewLogger(w io.Writer, level slog.Level, project string) *slog.Logger {
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.LevelKey:
			return slog.String("severity", severity(a.Value))
		case slog.MessageKey:
			a.Key = "message"
		}
		return a
	}})
	return slog.New(&traces{h, project})
}

// severity is Cloud Logging's word for a level.
func severity(v slog.Value) string {
	level, ok := v.Any().(slog.Level)
	switch {
	case !ok || level < slog.LevelInfo:
		return "DEBUG"
	case level < slog.LevelWarn:
		return "INFO"
	case level < slog.LevelError:
		return "WARNING"
	}
	return "ERROR"
}

// traces is a slog.Handler that adds the trace.
type traces struct {
	slog.Handler
	project string
}

// Handle implements slog.Handler.
func (t *traces) Handle(ctx context.Context, r slog.Record) error {
	if id := httpapi.TraceID(ctx); t.project != "" && isTrace(id) {
		r.AddAttrs(slog.String("logging.googleapis.com/trace", "projects/"+t.project+"/traces/"+id))
	}
	return t.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (t *traces) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &traces{t.Handler.WithAttrs(attrs), t.project}
}

// WithGroup implements slog.Handler.
func (t *traces) WithGroup(name string) slog.Handler {
	return &traces{t.Handler.WithGroup(name), t.project}
}

// MemoryLimit returns nine tenths of what the instance may use, in bytes, for
// debug.SetMemoryLimit: the garbage collector then works harder before the
// instance is killed. (Processors need no such care, the runtime counts those
// that the instance has.) root is the root of the file system. It is false where
// no limit is found.
func MemoryLimit(root fs.FS) (int64, bool) {
	for _, file := range []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := fs.ReadFile(root, file)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
		if err != nil || n < 32<<20 || n > 1<<40 { // "max", and the older files' huge numbers, are no limit
			return 0, false
		}
		return n / 10 * 9, true
	}
	return 0, false
}
