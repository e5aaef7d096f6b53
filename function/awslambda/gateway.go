package awslambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/lambda"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/observe/seen"
	"hotreader/wire"
)

// MaxBody is how many bytes the body of an API's answer may have, so that the
// whole answer, in base64 and with its headers, stays within MaxAnswer. Give it
// to the API as its budget, so that a longer answer ends in a page or in "there
// is more", and not in an error here.
const MaxBody = (MaxAnswer - answerRoom) / 4 * 3

// answerRoom is for what an answer has beside its body. API Gateway allows
// 10,240 bytes of headers.
const answerRoom = 32 << 10

// API returns the handler of an API behind API Gateway: it takes the events of
// REST APIs (Lambda proxy integration), and those of HTTP APIs and function URLs
// in either payload version.
//
// Binary answers, and text that is shorter so, are given in base64: the REST API
// must list */* among its binary media types, or its clients get base64.
// Observer and logger get what h does not get or cannot answer; both may be
// nil.
func API(h http.Handler, logger *slog.Logger, observer seen.Observer) lambda.Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &gateway{h, logger, observer}
}

type gateway struct {
	handler  http.Handler
	logger   *slog.Logger
	observer seen.Observer
}

// proxyEvent is a request as API Gateway passes it on. REST APIs send no version,
// HTTP APIs "1.0" or "2.0", function URLs "2.0".
type proxyEvent struct {
	Version        string              `json:"version"`
	Resource       string              `json:"resource"` // 1.0: the path's pattern, as /{proxy+}
	RouteKey       string              `json:"routeKey"` // 2.0: a method and the path's pattern, or $default
	HTTPMethod     string              `json:"httpMethod"`
	Path           string              `json:"path"`
	RawPath        string              `json:"rawPath"`        // 2.0
	RawQuery       string              `json:"rawQueryString"` // 2.0
	Headers        map[string]string   `json:"headers"`
	MultiHeaders   map[string][]string `json:"multiValueHeaders"`
	Query          map[string]string   `json:"queryStringParameters"`
	MultiQuery     map[string][]string `json:"multiValueQueryStringParameters"`
	PathParameters map[string]string   `json:"pathParameters"`
	Body           string              `json:"body"`
	Base64         bool                `json:"isBase64Encoded"`
	Context        struct {
		RequestID  string `json:"requestId"`
		Stage      string `json:"stage"`
		DomainName string `json:"domainName"`
		Identity   struct {
			SourceIP string `json:"sourceIp"`
		} `json:"identity"`
		HTTP *struct { // 2.0
			Method   string `json:"method"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
}

// Invoke implements lambda.Handler. It fails only where event is no request at
// all; everything else is an HTTP answer.
func (g *gateway) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	id := requestID(ctx)
	e := new(proxyEvent)
	err := json.Unmarshal(event, e)
	if err == nil && e.method() == "" {
		err = errors.New("it has neither httpMethod nor requestContext.http.method")
	}
	if err != nil {
		err = &hotreader.Error{Op: "function", Code: hotreader.CodeInvalid, Err: fmt.Errorf("the event is no request of API Gateway: %w", err)}
		g.failed(ctx, id, err)
		return nil, failure(err, id)
	}
	if e.Context.RequestID != "" {
		id = e.Context.RequestID
	}
	limited, cancel := withReserve(ctx)
	defer cancel()
	w := newRecorder()
	if err := g.serve(limited, w, e, id); err != nil {
		g.failed(ctx, id, err)
		w = newRecorder()
		wire.NewProblem(err, id).Write(w)
	}
	return w.answer(e.Version == "2.0", e.method() == http.MethodHead), nil
}

// failed reports a request that has no answer of the handler's.
func (g *gateway) failed(ctx context.Context, id string, err error) {
	q := &seen.Query{Level: level(err), RequestID: id, Err: err}
	q.Tell(ctx, g.logger, g.observer)
}

// serve has the request answered into w. Where it fails, what is in w is no
// answer.
func (g *gateway) serve(ctx context.Context, w *recorder, e *proxyEvent, id string) (err error) {
	r, err := e.request(ctx, id)
	if err != nil {
		return err
	}
	defer func() {
		p := recover()
		switch {
		case w.overflow:
			err = &hotreader.Error{Op: "function", Code: hotreader.CodeTooLarge,
				Err: fmt.Errorf("the answer has more than %d bytes; ask for fewer properties or a shorter range", MaxBody)}
		case p == http.ErrAbortHandler:
			err = &hotreader.Error{Op: "function", Code: hotreader.CodeUnavailable, Err: errors.New("the answer broke off")}
		case p != nil:
			err = &hotreader.Error{Op: "function", Code: hotreader.CodeInternal, Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	g.handler.ServeHTTP(w, r)
	return nil
}

func (e *proxyEvent) method() string {
	if e.Context.HTTP != nil {
		return e.Context.HTTP.Method
	}
	return e.HTTPMethod
}

// request returns the request that the client sent.
func (e *proxyEvent) request(ctx context.Context, id string) (*http.Request, error) {
	body := []byte(e.Body)
	if e.Base64 {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, &hotreader.Error{Op: "function", Code: hotreader.CodeInvalid, Err: fmt.Errorf("the body is no base64: %w", err)}
		}
	}
	target, err := url.ParseRequestURI(e.path())
	if err != nil {
		return nil, &hotreader.Error{Op: "function", Code: hotreader.CodeInvalid, Err: fmt.Errorf("the path cannot be read: %w", err)}
	}
	target.RawQuery = e.query()
	r, err := http.NewRequestWithContext(ctx, e.method(), target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &hotreader.Error{Op: "function", Code: hotreader.CodeInvalid, Err: fmt.Errorf("the request cannot be read: %w", err)}
	}
	r.URL = target // with the path as it was escaped
	r.RequestURI = target.RequestURI()
	for name, values := range e.MultiHeaders {
		for _, value := range values {
			r.Header.Add(name, value)
		}
	}
	for name, value := range e.Headers {
		if r.Header.Values(name) == nil {
			r.Header.Set(name, value)
		}
	}
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	source := e.Context.Identity.SourceIP
	if e.Context.HTTP != nil {
		source = e.Context.HTTP.SourceIP
	}
	r.RemoteAddr = net.JoinHostPort(source, "0")
	if id != "" && r.Header.Get("Traceparent") == "" && r.Header.Get("X-Request-Id") == "" {
		r.Header.Set("X-Request-Id", id) // so that the gateway's log and ours agree
	}
	return r, nil
}

// query returns the query string. The maps of version 1.0 hold decoded text.
func (e *proxyEvent) query() string {
	if e.Context.HTTP != nil {
		return e.RawQuery
	}
	values := url.Values(e.MultiQuery)
	if len(values) == 0 {
		values = url.Values{}
		for name, value := range e.Query {
			values.Set(name, value)
		}
	}
	return values.Encode()
}

// path returns the escaped path below the API's root.
//
// What is known: REST APIs and function URLs pass the path on as the client
// escaped it; HTTP APIs decode it, in both versions, and cut it at a decoded
// question mark. On a custom domain path begins with the mapping's base path; an
// HTTP API's path begins with its stage. Not known, for only an account shows
// it: whether every kind of custom domain keeps REST's escapes. So little here
// depends on it: escapes stay, what cannot stand in an escaped path is escaped,
// and where a device id fell apart at a slash it is put together again. Only an
// id that itself looks like an escape (a%41) would be misread where REST, unlike
// what is known, decodes.
func (e *proxyEvent) path() string {
	path, pattern := e.Path, e.Resource
	if e.Context.HTTP != nil {
		path = e.RawPath
		_, pattern, _ = strings.Cut(e.RouteKey, " ")
	}
	decoded := e.Version != "" && !strings.Contains(e.Context.DomainName, ".lambda-url.")
	if e.Version != "" && e.Context.Stage != "$default" {
		if rest, ok := strings.CutPrefix(path, "/"+e.Context.Stage+"/"); ok {
			path = "/" + rest
		}
	}
	proxy, greedy := e.PathParameters["proxy"]
	switch {
	case greedy && (pattern == "" || strings.HasPrefix(pattern, "/{proxy+}")) && strings.HasSuffix(path, "/"+proxy):
		path = "/" + proxy
	case pattern == "" || strings.Contains(pattern, "+}"):
	case decoded:
		if whole, ok := e.fill(pattern); ok {
			return whole
		}
	default:
		if all, want := strings.Count(path, "/"), strings.Count(pattern, "/"); all > want {
			parts := strings.Split(path, "/")
			path = "/" + strings.Join(parts[len(parts)-want:], "/")
		}
	}
	if rest, ok := strings.CutPrefix(path, devices); ok && rest != "" {
		id, tail := rest, ""
		if end := strings.LastIndexByte(rest, '/'); end > 0 && (!decoded || slices.Contains(ofDevice, rest[end:])) {
			id, tail = rest[:end], rest[end:]
		}
		return devices + escape(id, decoded, true) + escape(tail, decoded, false)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return escape(path, decoded, false)
}

// fill returns a path's pattern with the parameters, which came decoded, in their
// places. It is not ok if one is missing.
func (e *proxyEvent) fill(pattern string) (path string, ok bool) {
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		if name, parameter := strings.CutPrefix(part, "{"); parameter {
			value, there := e.PathParameters[strings.TrimSuffix(name, "}")]
			if !there {
				return "", false
			}
			parts[i] = escape(value, true, true)
		}
	}
	return strings.Join(parts, "/"), true
}

// ofDevice are what paths below a device's end with.
var ofDevice = []string{"/history", "/latest"}

const devices = "/v1/devices/"

// escape escapes what cannot stand in an escaped path: with decoded also every
// percent sign, with segment also slashes.
func escape(path string, decoded, segment bool) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(path)+16)
	for i := range len(path) {
		c := path[i]
		plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0 ||
			c == '/' && !segment ||
			c == '%' && !decoded && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2])
		if plain {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// recorder is the http.ResponseWriter of one answer. It takes MaxBody bytes.
type recorder struct {
	header   http.Header
	sent     http.Header // as it was when the status was written
	status   int
	body     []byte
	overflow bool
}

func newRecorder() *recorder { return &recorder{header: http.Header{}} }

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 { // a 1xx is no answer
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.overflow || len(w.body)+len(p) > MaxBody {
		w.overflow = true
		return 0, io.ErrShortWrite
	}
	w.body = append(w.body, p...)
	return len(p), nil
}

// answer returns the proxy response.
func (w *recorder) answer(v2, head bool) []byte {
	w.WriteHeader(http.StatusOK)
	body := w.body
	if head || w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		body = nil
	}
	for _, name := range []string{"Connection", "Content-Length", "Transfer-Encoding"} {
		w.sent.Del(name) // the gateway's own business
	}
	size := base64.StdEncoding.EncodedLen(len(body))
	dst := make([]byte, 0, size+4<<10)
	dst = append(dst, `{"statusCode":`...)
	dst = strconv.AppendInt(dst, int64(w.status), 10)
	dst = append(dst, `,"`...)
	// Marshal cannot fail on maps of strings.
	if v2 {
		single := make(map[string]string, len(w.sent))
		for name, values := range w.sent {
			single[name] = strings.Join(values, ", ")
		}
		headers, _ := json.Marshal(single)
		dst = append(append(dst, `headers":`...), headers...)
	} else {
		headers, _ := json.Marshal(w.sent)
		dst = append(append(dst, `multiValueHeaders":`...), headers...)
	}
	if utf8.Valid(body) {
		text := jsontext.AppendString(append(dst, `,"isBase64Encoded":false,"body":`...), body)
		if len(text)-len(dst) <= max(size, 4<<10) { // short answers stay readable in test consoles
			return append(text, '}')
		}
	}
	dst = append(dst, `,"isBase64Encoded":true,"body":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, body), `"}`...)
}

// MaxTime is how long the API may work on a request: API Gateway gives up after
// 29 s.
const MaxTime = 28 * time.Second
