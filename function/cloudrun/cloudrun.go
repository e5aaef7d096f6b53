// Package cloudrun hosts the Hot Reader API on Google Cloud Run: HTTP/1.1 and
// HTTP/2 without TLS, which Cloud Run's front end speaks to the program, a log
// that Cloud Logging understands, and memory within the instance's.
package cloudrun

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/wire"
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

// SecretOptions say how Secret Manager is reached. The zero value is Google's,
// with the service account that the program runs as.
type SecretOptions struct {
	Client   *http.Client       // nil = one of its own
	Endpoint string             // "" = Google's, by the secret's region; http:// is an emulator, which gets no credentials
	Tokens   oauth2.TokenSource // nil = Application Default Credentials
}

const (
	cloudScope = "https://www.googleapis.com/auth/cloud-platform"
	maxSecret  = 256 << 10 // bytes of an answer; a secret has up to 64 KiB
)

// Secret returns a fetch, for identity.Fetched, of the version of a secret in
// Google Secret Manager: projects/P/secrets/S/versions/V, or below a location.
// The service account needs the role Secret Manager Secret Accessor on it.
func Secret(name string, o SecretOptions) identity.Fetch {
	if o.Client == nil {
		o.Client = &http.Client{
			Transport: &http.Transport{
				Proxy:       http.ProxyFromEnvironment,
				DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, TLSHandshakeTimeout: 3 * time.Second,
				ForceAttemptHTTP2: true, IdleConnTimeout: 10 * time.Second, // it is used every few months
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if o.Endpoint == "" {
		o.Endpoint = "https://secretmanager.googleapis.com"
		if p := strings.Split(name, "/"); len(p) == 8 && p[2] == "locations" {
			o.Endpoint = "https://secretmanager." + p[3] + ".rep.googleapis.com"
		}
	}
	s := &secrets{o, name}
	return func(ctx context.Context) (string, time.Time, error) {
		text, err := s.fetch(ctx)
		return text, time.Time{}, err // the answer does not say when it was made
	}
}

type secrets struct {
	o    SecretOptions
	name string
}

// tries is how often a fetch asks, as long as the answer may heal.
const tries = 3

func (s *secrets) fetch(ctx context.Context) (text string, err error) {
	tokens := s.o.Tokens
	if tokens == nil && !strings.HasPrefix(s.o.Endpoint, "http://") {
		found, err := google.FindDefaultCredentials(ctx, cloudScope)
		if err != nil {
			return "", fail(ctx, hotreader.CodeConfig, fmt.Errorf("no Google credentials were found: %w; give the service a service account", err))
		}
		tokens = found.TokenSource
	}
	for try := range tries {
		if text, err = s.ask(ctx, tokens); err == nil || !hotreader.CodeOf(err).Temporary() {
			return text, err
		}
		select {
		case <-time.After(200 * time.Millisecond << try):
		case <-ctx.Done():
			return "", err
		}
	}
	return "", err
}

func (s *secrets) ask(ctx context.Context, tokens oauth2.TokenSource) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.o.Endpoint+"/v1/"+s.name+":access", nil)
	if err != nil {
		return "", fail(ctx, hotreader.CodeConfig, errors.New("the secret's name cannot be read"))
	}
	if tokens != nil {
		token, err := tokens.Token()
		if err != nil {
			return "", fail(ctx, hotreader.CodeUnavailable, fmt.Errorf("no access token was given to the service account: %w", err))
		}
		token.SetAuthHeader(req)
	}
	resp, err := s.o.Client.Do(req)
	if err != nil {
		return "", fail(ctx, hotreader.CodeUnavailable, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSecret))
	if err != nil {
		return "", fail(ctx, hotreader.CodeUnavailable, fmt.Errorf("the answer broke off: %w", err))
	}
	if resp.StatusCode != http.StatusOK {
		return "", refused(ctx, resp.StatusCode, body)
	}
	var answer struct {
		Payload struct {
			Data  []byte `json:"data"` // base64 in JSON
			Check string `json:"dataCrc32c"`
		} `json:"payload"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Payload.Data) == 0 {
		return "", fail(ctx, hotreader.CodeProtocol, errors.New("the answer is not Secret Manager's"))
	}
	if check := answer.Payload.Check; check != "" && check != strconv.FormatUint(uint64(crc32.Checksum(answer.Payload.Data, crc32.MakeTable(crc32.Castagnoli))), 10) {
		return "", fail(ctx, hotreader.CodeCorrupt, errors.New("the secret does not have its checksum"))
	}
	return string(bytes.TrimSpace(answer.Payload.Data)), nil
}

func fail(ctx context.Context, code hotreader.Code, err error) error {
	if c := hotreader.CodeOf(ctx.Err()); c != "" {
		code = c
	}
	return &hotreader.Error{Op: "secret manager: access secret version", Code: code, Err: err}
}

// refused returns the error of an answer other than 200, with Google's words.
func refused(ctx context.Context, status int, body []byte) error {
	var answer struct {
		Error struct{ Message string }
	}
	_ = json.Unmarshal(body, &answer) // without words the status has to do
	said := fmt.Errorf("status %d: %.500s", status, answer.Error.Message)
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fail(ctx, hotreader.CodeForbidden, fmt.Errorf("the service account lacks the role Secret Manager Secret Accessor on it: %w", said))
	case http.StatusNotFound:
		return fail(ctx, hotreader.CodeNotFound, fmt.Errorf("there is no such secret, or no such version of it: %w", said))
	case http.StatusBadRequest:
		return fail(ctx, hotreader.CodeConfig, said) // also a version that is disabled
	}
	return fail(ctx, wire.CodeOfStatus(status), said)
}
