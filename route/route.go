// Package route says what happens when the way to hot storage is bad: Retry resumes
// a query, Breaker spares a sick peer, Ahead reads a store's pages side by side. Each
// is a Source around Sources, and passes on raw rows. The usual order, outermost
// first, is
//
//	Retry(Breaker(remote))
//
// so that each attempt counts for the breaker and a refusal by the open breaker
// is waited out like any other, as long as the deadline allows.
package route

import (
	"fmt"
	"net/url"

	"hotreader/internal/endpoint"
)

// CheckURL says what is wrong with text as the URL of a Hot Reader API, or "".
// It never repeats text, which may hold a password.
func CheckURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" && (u.Scheme == "" || u.Opaque != ""):
		return "is not a URL; want https://host/path"
	case u.User != nil:
		return "carries user info; take the part before @ out, the token goes into INTER_CLOUD_TOKEN"
	case u.Hostname() == "":
		return "has no host; want https://host/path"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "has a query or a fragment; take the part from ? or # on out"
	case u.Scheme == "https", u.Scheme == "http" && endpoint.Loopback(u.Hostname()):
		return ""
	case u.Scheme == "http":
		return fmt.Sprintf("is http, which would send the token in the clear to %.100q; want https (http is for a loopback address only)", u.Hostname())
	}
	return fmt.Sprintf("has the scheme %.20q; want https", u.Scheme)
}
