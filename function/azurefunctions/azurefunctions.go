// Package azurefunctions hosts the Hot Reader API on Azure Functions, as a custom
// handler: a web server on this machine that the Functions host sends the HTTP
// requests that its triggers receive.
//
// There is no other way in. A host without enableForwardingHttpRequest would send
// each request as a JSON document to the path with the function's name; with it
// anybody may post such a document there, and would get past what guards requests:
// the body would be read before the token is, and the document's headers would say
// who asks. So documents are not understood, and the program's host.json forwards.
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

// unencoded are the headers in which App Service's front end, which sets them
// itself, passes on the path and query as they came.
var unencoded = []string{"X-Waws-Unencoded-Url", "X-Original-Url"}

// original returns r as its client sent it. The host undoes the escapes of a path
// and puts others in, so that an id with ? or % in it would be another; the front
// end's headers still have them. And the host's id of an invocation becomes the
// trace id, if there is no other, so that its log and ours agree.
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
