// Package azurefunctions hosts the Hot Reader API on Azure Functions, as a custom
// handler: a web server on this machine that the Functions host sends what its
// triggers receive.
//
// With enableForwardingHttpRequest, as in the program's host.json, the host sends
// the HTTP requests themselves. Without it, it sends each as a JSON document to
// the path with the function's name, and wants the answer in another. Both are
// answered. A document cannot carry bytes that are no text, so the second way
// answers in JSON and CSV only, uncompressed.
package azurefunctions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"hotreader"
	"hotreader/config"
	"hotreader/wire"
)

// maxInvocation bounds a document of the host, in bytes: a request's body, for
// which the API has its own bound, quoted, and all its headers.
const maxInvocation = 1 << 20

// Handler returns the custom handler of an API.
func Handler(api http.Handler, logger *slog.Logger) http.Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &handler{api, logger}
}

type handler struct {
	api    http.Handler
	logger *slog.Logger
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Azure-Functions-Invocationid")
	if r.Method == http.MethodPost {
		switch role := config.Role(strings.TrimPrefix(r.URL.Path, "/")); role {
		case config.History, config.LastEntry, config.API:
			h.invoke(w, r, role, id)
			return
		}
	}
	h.api.ServeHTTP(w, original(r, id))
}

// invoke answers a document. What is wrong with it is the host's doing, and fails
// the function.
func (h *handler) invoke(w http.ResponseWriter, r *http.Request, role config.Role, id string) {
	inner, err := decode(w, r, role)
	if err != nil {
		err = &hotreader.Error{Op: "function " + string(role), Code: hotreader.CodeInvalid, Err: fmt.Errorf("this is no invocation by the Functions host: %w", err)}
		h.logger.LogAttrs(r.Context(), slog.LevelWarn, "invocation", slog.String("error", err.Error()), slog.String("invocation_id", id))
		wire.NewProblem(err, "").Write(w)
		return
	}
	answer := &recorder{header: http.Header{}}
	h.api.ServeHTTP(answer, original(inner, id))
	body, err := answer.document(inner.Method == http.MethodHead)
	if err != nil {
		err = &hotreader.Error{Op: "function " + string(role), Code: hotreader.CodeInternal, Err: err}
		h.logger.LogAttrs(r.Context(), slog.LevelError, "invocation", slog.String("error", err.Error()), slog.String("invocation_id", id))
		wire.NewProblem(err, id).Write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the host is gone; there is nobody to tell
}

// trigger is an HTTP request as the host's document has it.
type trigger struct {
	URL     string `json:"Url"` // for display: escapes of the path are undone
	Method  string
	Query   json.RawMessage // an object, or one as a string; several values of a name are one
	Headers map[string]json.RawMessage
	Params  json.RawMessage
	Body    json.RawMessage // a string, or JSON itself
}

// binding is the name of the trigger in function.json.
const binding = "req"

// decode returns the request that the host's document stands for.
func decode(w http.ResponseWriter, r *http.Request, role config.Role) (*http.Request, error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxInvocation))
	if err != nil {
		return nil, err
	}
	var document struct {
		Data map[string]json.RawMessage
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	var t trigger
	if raw, ok := document.Data[binding]; !ok {
		return nil, fmt.Errorf("it has no Data.%s", binding)
	} else if err := json.Unmarshal(raw, &t); err != nil {
		return nil, fmt.Errorf("its Data.%s: %w", binding, err)
	}
	if t.Method == "" {
		return nil, fmt.Errorf("its Data.%s has no Method", binding)
	}
	target, err := t.target(role)
	if err != nil {
		return nil, err
	}
	inner, err := http.NewRequestWithContext(r.Context(), t.Method, target.String(), bytes.NewReader(t.body()))
	if err != nil {
		return nil, err
	}
	inner.RemoteAddr = r.RemoteAddr
	for name, raw := range t.Headers {
		for _, value := range values(raw) {
			inner.Header.Add(name, value)
		}
	}
	inner.Header.Del("Accept-Encoding")
	if wire.AcceptsRows(strings.Join(inner.Header["Accept"], ",")) {
		inner.Header.Del("Accept")
	}
	return inner, nil
}

const devices = "/v1/devices/"

// target returns the URL's path and query. The device's id is taken from the
// route's parameter, for in the URL it may look like something else.
func (t *trigger) target(role config.Role) (*url.URL, error) {
	shown := t.URL
	if _, rest, ok := strings.Cut(shown, "://"); ok {
		if shown = ""; strings.Contains(rest, "/") {
			shown = rest[strings.IndexByte(rest, '/'):]
		}
	}
	tail := map[config.Role]string{config.History: "/history", config.LastEntry: "/latest"}[role]
	id := first(object(t.Params)["id"])
	if tail == "" || id == "" {
		path, query, given := strings.Cut(shown, "?")
		u := &url.URL{Path: path, RawQuery: query}
		if !given {
			u.RawQuery = t.query()
		}
		if !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("its Data.%s.Url has no path", binding)
		}
		return u, nil
	}
	query, given := "", false
	if _, rest, ok := strings.Cut(shown, "/"+id+tail); ok {
		query, given = strings.CutPrefix(rest, "?")
	}
	if !given {
		query = t.query()
	}
	// The one escape that the host leaves is that of a slash.
	id = strings.NewReplacer("%2F", "/", "%2f", "/").Replace(id)
	return &url.URL{Path: devices + id + tail, RawPath: devices + url.PathEscape(id) + tail, RawQuery: query}, nil
}

// query returns Query as a query string.
func (t *trigger) query() string {
	q := url.Values{}
	for name, raw := range object(t.Query) {
		q[name] = values(raw)
	}
	return q.Encode()
}

func (t *trigger) body() []byte {
	var text string
	switch err := json.Unmarshal(t.Body, &text); {
	case err == nil: // also null
		return []byte(text)
	default:
		return t.Body
	}
}

// object reads a JSON object, or a string that is one.
func object(raw json.RawMessage) (o map[string]json.RawMessage) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	if json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return o
}

// values reads a string, or several.
func values(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	var several []string
	if json.Unmarshal(raw, &several) != nil {
		return nil
	}
	return several
}

func first(raw json.RawMessage) string {
	if v := values(raw); len(v) > 0 {
		return v[0]
	}
	return ""
}

// unencoded are the headers in which App Service's front end, which sets them
// itself, passes on the path and query as they came.
var unencoded = []string{"X-Waws-Unencoded-Url", "X-Original-Url"}

// original returns r as its client sent it. The host undoes the escapes of a path
// and puts others in, so that an id with ? or % in it would be another; the front
// end's headers still have them. And the host's id of an invocation becomes the
// trace id, if there is no other, so that its log and ours agree.
func original(r *http.Request, id string) *http.Request {
	if id != "" && r.Header.Get("Traceparent") == "" && r.Header.Get("X-Request-Id") == "" {
		r.Header.Set("X-Request-Id", id)
	}
	for _, name := range unencoded {
		text := r.Header.Get(name)
		if !strings.HasPrefix(text, devices) {
			continue
		}
		u, err := url.ParseRequestURI(text)
		if err != nil {
			continue
		}
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
		r.RequestURI = u.RequestURI()
		break
	}
	return r
}

// recorder is the http.ResponseWriter of one answer.
type recorder struct {
	header http.Header
	sent   http.Header // as it was when the status was written
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 { // a 1xx is no answer
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// response is what the host makes an HTTP answer of. Hosts of different age want
// the one or the other status, and all want all of it.
type response struct {
	StatusCode int               `json:"statusCode"`
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
}

// result is the document that answers an invocation.
type result struct {
	Outputs     map[string]response
	Logs        []string
	ReturnValue any
}

// document returns the answer as the host wants it.
func (w *recorder) document(head bool) ([]byte, error) {
	w.WriteHeader(http.StatusOK)
	a := response{StatusCode: w.status, Status: w.status, Headers: map[string]string{}}
	for name, values := range w.sent {
		switch name {
		case "Connection", "Content-Length", "Transfer-Encoding": // the host's own business
		default:
			a.Headers[name] = strings.Join(values, ", ")
		}
	}
	if !head {
		if !utf8.Valid(w.body.Bytes()) {
			return nil, errors.New("the answer is no text, and a document can carry nothing else")
		}
		a.Body = w.body.String()
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(result{Outputs: map[string]response{"res": a}, Logs: []string{}})
	return b.Bytes(), err
}
