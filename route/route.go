// Package route makes the path to hot storage reliable and fast: Retry resumes a
// query that failed, Breaker spares a failing peer, Ahead reads a store's pages in
// parallel, Tiers makes one history of hot, cold and archive storage, RowLimit ends a
// read that becomes too long, Cache keeps what was read. Each is a Source that wraps
// Sources and passes on raw rows. The usual order, outermost first, is
//
//	Cache(RowLimit(Retry(Breaker(remote))))
//	Cache(RowLimit(Ahead(store)))
//	Cache(RowLimit(Tiers(Ahead(store), Retry(Breaker(remote)))))
//
// so that the breaker counts each attempt, and Retry waits while the breaker is open,
// as long as the deadline allows.
package route

import (
	"fmt"
	"net/url"

	"hotreader/internal/endpoint"
)

// CheckURL says what is wrong with text as the URL of a Hot Reader API; "" if nothing
// is. It never quotes text, which may contain a password.
func CheckURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" && (u.Scheme == "" || u.Opaque != ""):
		return "is not a URL: expected https://host/path, or http://127.0.0.1:8080 on this machine"
	case u.User != nil:
		return "carries user info; take the part before @ out, the token goes into INTER_CLOUD_TOKEN"
	case u.Hostname() == "":
		return "has no host; expected https://host/path"
	case len(u.Port()) > 5 || len(u.Port()) == 5 && u.Port() > "65535":
		return fmt.Sprintf("has the port %.20s; expected 1 to 65535", u.Port())
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "has a query or a fragment; take the part from ? or # on out"
	case u.Scheme == "https", u.Scheme == "http" && endpoint.Loopback(u.Hostname()):
		return ""
	case u.Scheme == "http":
		return fmt.Sprintf("is http, which would send the token in the clear to %.100q; expected https (http is for a loopback address only)", u.Hostname())
	}
	return fmt.Sprintf("has the scheme %.20q; expected https", u.Scheme)
}
