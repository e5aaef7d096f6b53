// Package cloudrun hosts the Hot Reader API on Google Cloud Run. It serves HTTP/1.1
// without TLS to Cloud Run's front end, logs in Cloud Logging's format, and
// finds the instance's memory limit.
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
	"net/url"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/internal/punctual"
	"hotreader/wire"
)

// Server returns the server of an API. Cloud Run's front end speaks HTTP/2 with clients and
// HTTP/1.1 with it.
func Server(api http.Handler) *http.Server { return httpapi.Server(traced(api)) }

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

// Sign returns a function for identity.NewSigned that gets from the metadata server a
// token that Google signs for the service's account and an audience.
func Sign(audience string) identity.Fetch {
	return func(ctx context.Context) (string, time.Time, error) {
		text, err := metadata.GetWithContext(ctx, "instance/service-accounts/default/identity?audience="+url.QueryEscape(audience))
		if err != nil {
			code := hotreader.CodeUnavailable
			if c := hotreader.CodeOf(ctx.Err()); c != "" {
				code = c
			}
			return "", time.Time{}, &hotreader.Error{Op: "metadata server: get identity token", Code: code, Err: err}
		}
		return text, time.Time{}, nil
	}
}

// SecretOptions say how to reach Secret Manager. The zero value means Google's, with the
// service account that the program runs as.
type SecretOptions struct {
	Client   *http.Client       // nil = a new one
	Endpoint string             // "" = Google's, by the secret's region; http:// is an emulator, which gets no credentials
	Tokens   oauth2.TokenSource // nil = Application Default Credentials
}

const (
	cloudScope = "https://www.googleapis.com/auth/cloud-platform"
	maxSecret  = 256 << 10 // bytes of an answer; a secret has up to 64 KiB
)

// Secret returns a function for identity.Fetched that fetches a version of a secret in
// Google Secret Manager. name is projects/P/secrets/S/versions/V, or
// projects/P/locations/L/secrets/S/versions/V. The service account needs the role
// Secret Manager Secret Accessor on it.
func Secret(name string, o SecretOptions) identity.Fetch {
	if o.Client == nil {
		o.Client = &http.Client{
			Transport: &http.Transport{
				Proxy:       http.ProxyFromEnvironment,
				DialContext: punctual.Dial((&net.Dialer{Timeout: 2 * time.Second}).DialContext, 5*time.Second), TLSHandshakeTimeout: 3 * time.Second,
				ForceAttemptHTTP2: true, IdleConnTimeout: 10 * time.Second, // secrets are fetched rarely
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
		return text, time.Time{}, err // the answer does not have the secret's age
	}
}

type secrets struct {
	o    SecretOptions
	name string
}

// tries is how often fetch asks, as long as failures are temporary.
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
	req, err := http.NewRequestWithContext(punctual.Attempt(ctx), http.MethodGet, s.o.Endpoint+"/v1/"+s.name+":access", nil)
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

// refused returns the error for a status other than 200, with Google's message.
func refused(ctx context.Context, status int, body []byte) error {
	var answer struct {
		Error struct{ Message string }
	}
	_ = json.Unmarshal(body, &answer) // without a message, the status must do
	said := fmt.Errorf("status %d: %.500s", status, answer.Error.Message)
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fail(ctx, hotreader.CodeForbidden, fmt.Errorf("the service account lacks the role Secret Manager Secret Accessor on it: %w", said))
	case http.StatusNotFound:
		return fail(ctx, hotreader.CodeNotFound, fmt.Errorf("there is no such secret, or no such version of it: %w", said))
	case http.StatusBadRequest:
		return fail(ctx, hotreader.CodeConfig, said) // such as a disabled version
	}
	return fail(ctx, wire.CodeOfStatus(status), said)
}
