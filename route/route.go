// Package route decides where a query goes and what happens when the way there
// is bad: Router sends it to the local or the remote Source, Retry resumes it,
// Breaker spares a sick peer, Ahead reads a store's pages side by side. Each is a
// Source around Sources, and passes on raw rows. The usual order, outermost first, is
//
//	Router(local, Retry(Breaker(remote)))
//
// so that each attempt counts for the breaker and a refusal by the open breaker
// is waited out like any other, as long as the deadline allows.
package route

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"hotreader"
	"hotreader/internal/endpoint"
)

// Route says where hot storage is, seen from the one who reads.
type Route struct {
	URL string // of the remote Hot Reader API; "" = none (REMOTE_READER_URL)
	L3  string // cloud of hot storage: aws, azure, gcp or google (layer_3_hot_provider)
	L4  string // cloud of the twin (layer_4_provider)
}

// Remote reports whether queries go to URL: that needs a URL and two providers
// that differ. It is an error of CodeConfig, of one line for each problem and
// each beginning with the variable's name, if URL is set and a provider is
// missing, if the providers differ and URL is not set, and if URL is no https
// URL (http to a loopback address is allowed) or carries user info, which must
// never be there because URLs are logged.
func (r Route) Remote() (bool, error) {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	provider := func(key, name string) (l string, ok bool) {
		if l, ok = cloud(name); !ok {
			bad("DIGITAL_TWIN_INFO: config_providers.%s %.40q is no cloud; want aws, azure, google or gcp", key, name)
		}
		return l, ok
	}
	need := func(key, l string, ok bool) {
		if ok && l == "" {
			bad("DIGITAL_TWIN_INFO: config_providers.%s is missing while REMOTE_READER_URL is set; want aws, azure, google or gcp, or unset REMOTE_READER_URL", key)
		}
	}
	l3, ok3 := provider("layer_3_hot_provider", r.L3)
	l4, ok4 := provider("layer_4_provider", r.L4)
	if r.URL == "" {
		if ok3 && ok4 && l3 != "" && l4 != "" && l3 != l4 {
			bad("REMOTE_READER_URL: is not set, but hot storage is on %s and the twin on %s; want the https URL of the Hot Reader API on %s", l3, l4, l3)
		}
	} else {
		if wrong := CheckURL(r.URL); wrong != "" {
			bad("REMOTE_READER_URL: %s", wrong)
		}
		need("layer_3_hot_provider", l3, ok3)
		need("layer_4_provider", l4, ok4)
	}
	if len(problems) > 0 {
		return false, &hotreader.Error{Op: "route", Code: hotreader.CodeConfig, Err: errors.Join(problems...)}
	}
	return r.URL != "" && l3 != l4, nil
}

// cloud returns the one name of a cloud that the providers' files may spell in
// several ways; "" stays "".
func cloud(name string) (string, bool) {
	switch name = strings.ToLower(strings.TrimSpace(name)); name {
	case "", "aws", "azure", "gcp":
		return name, true
	case "google":
		return "gcp", true
	}
	return "", false
}

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

// Router is the Source of one Route.
type Router struct {
	to     hotreader.Source
	remote bool
}

// NewRouter decides, once, whether queries go to local or to remote. The one
// that is not chosen may be nil.
func NewRouter(r Route, local, remote hotreader.Source) (*Router, error) {
	far, err := r.Remote()
	if err != nil {
		return nil, err
	}
	to, what := local, "local"
	if far {
		to, what = remote, "remote"
	}
	if to == nil {
		return nil, &hotreader.Error{Op: "route", Code: hotreader.CodeInternal,
			Err: fmt.Errorf("the route is %s, but there is no %s source", what, what)}
	}
	return &Router{to, far}, nil
}

// Remote reports where the queries go.
func (r *Router) Remote() bool { return r.remote }

// Scan implements hotreader.Source.
func (r *Router) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return r.to.Scan(ctx, q)
}
