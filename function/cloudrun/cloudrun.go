// Package cloudrun hosts the Hot Reader API on Google Cloud Run. It serves HTTP/1.1 and
// HTTP/2 without TLS to Cloud Run's front end, logs in Cloud Logging's format, and
// finds the instance's memory limit.
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

// Server returns the server of an API. It accepts HTTP/1.1, and HTTP/2 with prior
// knowledge (h2c), which a service with end-to-end HTTP/2 requires.
func Server(api http.Handler) *http.Server {
	s := httpapi.Server(traced(api))
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// traced adds the standard trace header to requests that have only Google's own.
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

// traceparent translates TRACE_ID/SPAN_ID;o=OPTIONS, where TRACE_ID has 32 hexadecimal
// digits and SPAN_ID is decimal; "" if text has another form.
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

// isTrace reports whether id is a W3C trace id, 32 lowercase hexadecimal digits, the
// only form that Cloud Trace accepts.
func isTrace(id string) bool {
	return len(id) == 32 && id != strings.Repeat("0", 32) && strings.Trim(id, "0123456789abcdef") == ""
}

// NewLogger returns a logger whose lines Cloud Logging can parse: severity, message,
// time and, if project is known, the trace of the request.
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

// severity returns Cloud Logging's name for a level.
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

// traces is a slog.Handler that adds the request's trace.
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

// MemoryLimit returns nine tenths of the instance's memory, in bytes, for
// debug.SetMemoryLimit: near that, the garbage collector works harder, so that the
// instance is not killed. (The runtime finds the number of processors itself.) root is
// the root of the file system. The result is false if there is no limit.
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
