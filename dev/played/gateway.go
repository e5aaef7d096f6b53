package played

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// API Gateway's own limits.
const (
	gatewayTimeout = 29 * time.Second
	maxGatewayBody = 10 << 20 // bytes of a request, and of an answer
)

// Stage is the API's, and the first part of its paths.
const Stage = "prod"

// APIGateway plays API Gateway before a function: a REST API with the routes of
// the deployed one, Lambda proxy integration, and */* as binary media type. What
// it answers itself is in the same words as there.
func APIGateway(f *Function) http.Handler {
	mux := http.NewServeMux()
	for _, route := range []string{"POST /read", "GET /healthz", "GET /openapi.json", "GET /v1/devices/{id}/history", "GET /v1/devices/{id}/latest"} {
		method, path, _ := strings.Cut(route, " ")
		mux.HandleFunc(method+" /"+Stage+path, func(w http.ResponseWriter, r *http.Request) { proxy(w, r, f, path) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "not_found", "There is no such route.", newID())
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead { // no route of it, while a ServeMux has it with GET
			refuse(w, http.StatusNotFound, "not_found", "There is no such route.", newID())
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// refuse rejects in the gateway's own words.
func refuse(w http.ResponseWriter, status int, code, detail, id string) {
	b, _ := json.Marshal(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status,
		"code": code, "detail": detail, "trace_id": id}) // texts and a number always can be
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the caller may be gone
}

// proxyEvent is a request as a REST API passes it to a function.
type proxyEvent struct {
	Resource        string              `json:"resource"`
	Path            string              `json:"path"`
	Method          string              `json:"httpMethod"`
	Headers         map[string]string   `json:"headers"`
	MultiHeaders    map[string][]string `json:"multiValueHeaders"`
	Query           map[string]string   `json:"queryStringParameters"`
	MultiQuery      map[string][]string `json:"multiValueQueryStringParameters"`
	PathParameters  map[string]string   `json:"pathParameters"`
	Body            *string             `json:"body"`
	IsBase64Encoded bool                `json:"isBase64Encoded"`
	RequestContext  map[string]any      `json:"requestContext"`
}

func proxy(w http.ResponseWriter, r *http.Request, f *Function, resource string) {
	id := newID()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxGatewayBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		refuse(w, http.StatusRequestEntityTooLarge, "too_large", "The request is too large.", id)
		return
	}
	if err != nil {
		return // the caller is gone
	}
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/"+Stage)
	e := proxyEvent{Resource: resource, Path: path, Method: r.Method, MultiHeaders: r.Header.Clone(), MultiQuery: r.URL.Query(),
		Headers: map[string]string{}, Query: map[string]string{}, IsBase64Encoded: true,
		RequestContext: map[string]any{"stage": Stage, "requestId": id, "resourcePath": resource, "httpMethod": r.Method,
			"path": r.URL.EscapedPath(), "identity": map[string]any{"sourceIp": "127.0.0.1", "userAgent": r.UserAgent()}}}
	e.MultiHeaders["Host"] = []string{r.Host}
	for name, values := range e.MultiHeaders {
		e.Headers[name] = values[len(values)-1]
	}
	for name, values := range e.MultiQuery {
		e.Query[name] = values[len(values)-1]
	}
	if device := r.PathValue("id"); device != "" {
		e.PathParameters = map[string]string{"id": device}
	}
	if len(body) > 0 {
		text := base64.StdEncoding.EncodeToString(body)
		e.Body = &text
	} else {
		e.IsBase64Encoded = false
	}
	event, err := json.Marshal(e)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "internal", "The request failed.", id)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), gatewayTimeout)
	defer cancel()
	a, err := f.Invoke(ctx, event)
	switch {
	case r.Context().Err() != nil: // the caller is gone
	case err != nil:
		refuse(w, http.StatusGatewayTimeout, "deadline", "The function of the API gave no answer in time.", id)
	case a.Failed || !relay(w, a.Payload):
		refuse(w, http.StatusBadGateway, "unavailable", "The function of the API failed.", id)
	}
}

// relay passes a function's answer on, and reports whether it is one.
func relay(w http.ResponseWriter, payload []byte) bool {
	var a struct {
		StatusCode        int                 `json:"statusCode"`
		Headers           map[string]string   `json:"headers"`
		MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
		Body              string              `json:"body"`
		IsBase64Encoded   bool                `json:"isBase64Encoded"`
	}
	if json.Unmarshal(payload, &a) != nil || a.StatusCode < 200 || a.StatusCode > 599 {
		return false
	}
	body := []byte(a.Body)
	if a.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(a.Body); err != nil {
			return false
		}
	}
	for name, value := range a.Headers {
		w.Header().Set(name, value)
	}
	for name, values := range a.MultiValueHeaders {
		w.Header().Del(name)
		for _, v := range values {
			w.Header().Add(name, v)
		}
	}
	w.WriteHeader(a.StatusCode)
	_, _ = w.Write(body) // the caller may be gone
	return true
}

// FunctionsHost plays the Azure Functions host where the app says
// enableForwardingHttpRequest: requests go to the custom handler as they came,
// with headers of the host's own.
func FunctionsHost(program *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(program)
			r.SetXForwarded()
			r.Out.Header.Set("X-Azure-Functions-InvocationId", newID())
			// App Service's front end passes on the path as it came, for the host
			// after it undoes escapes.
			r.Out.Header.Set("X-Original-URL", r.In.URL.RequestURI())
		},
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // the caller gets an error
	}
}
