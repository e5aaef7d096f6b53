// Package azurefunctions hosts the Hot Reader API on Azure Functions as a custom
// handler: a local web server to which the Functions host forwards the HTTP requests
// of its triggers.
//
// The program's host.json sets enableForwardingHttpRequest. Without it, the host would
// send each request as a JSON document to a path with the function's name. This
// package does not accept such documents: anybody could post one, and get around the
// checks of a request, since the body would be read before the token is verified and
// the document's headers would say who the caller is.
package azurefunctions

import (
	"net/http"
	"net/url"
	"strings"
)

// Handler returns the custom handler of an API.
func Handler(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { api.ServeHTTP(w, original(r)) })
}

const devices = "/v1/devices/"

// unencoded are the headers in which App Service's front end passes on the original
// path and query. It always sets them itself, so a client cannot.
var unencoded = []string{"X-Waws-Unencoded-Url", "X-Original-Url"}

// original returns r as its client sent it. The Functions host unescapes a path and
// escapes it differently, which changes an id with ? or % in it; the front end's
// headers have the original. The host's invocation id becomes the trace id if there is
// no other, so that it is in both logs.
func original(r *http.Request) *http.Request {
	id := r.Header.Get("X-Azure-Functions-Invocationid")
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
