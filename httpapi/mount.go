package httpapi

import (
	"cmp"
	"context"
	"iter"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/wire"
)

// Mount is a part of the API that another package serves. Before it is asked, the API
// verifies the caller and counts the request against rate and answers.
type Mount struct {
	Path string // of the part; it ends in / if that has all paths below
	Make func(Inside) (Mounted, error)
}

// Mounted serves a part of the API. Serve answers in any case; its error is for the log.
type Mounted interface {
	Serve(w http.ResponseWriter, r *http.Request) error
}

// Refuser is a Mounted whose clients read errors in a form of their own. Refuse answers the
// requests that do not get as far as Serve.
type Refuser interface {
	Refuse(w http.ResponseWriter, r *http.Request, err error, status int, text string)
}

// Inside is what a mounted part has of the API. A context is that of a request, or made
// of it.
type Inside struct {
	// Reader reads what the API reads, for the caller: it rejects other devices.
	Reader hotreader.Reader

	// May reports whether the caller may read a device.
	May func(ctx context.Context, device string) bool

	// Caller returns the name of the caller's token, and the address that it comes from.
	Caller func(ctx context.Context) (token string, from netip.Addr)

	Catalog *catalog.Catalog // as in Options
	Lister  hotreader.Lister // as in Options

	// Problem says how an error of Reader is reported to the caller.
	Problem func(ctx context.Context, err error) (status int, text string)
}

// mounted is a Mount of one API.
type mounted struct {
	path string
	part Mounted
}

func (a *api) mount(all []Mount) error {
	for _, m := range all {
		part, err := m.Make(Inside{mountReader{a}, may, callerOf, a.o.Catalog, a.o.Lister, problemOf})
		if err != nil {
			return err
		}
		a.mounts = append(a.mounts, mounted{m.Path, part})
	}
	return nil
}

// mountOf returns the part that a path belongs to, nil if there is none.
func (a *api) mountOf(path string) *mounted {
	for i := range a.mounts {
		if m := &a.mounts[i]; path == m.path || strings.HasSuffix(m.path, "/") && strings.HasPrefix(path, m.path) {
			return m
		}
	}
	return nil
}

// refuser returns the part in whose form errors of a path are answered, nil if there is
// none. What is before the part's path comes from a base URL that is wrong.
func (a *api) refuser(path string) Refuser {
	for _, m := range a.mounts {
		if part, ok := m.part.(Refuser); ok && strings.Contains(path, m.path) {
			return part
		}
	}
	return nil
}

// noPath is the error of a path that is not there.
func (a *api) noPath() error {
	var paths []string
	for i := range routes {
		paths = append(paths, routes[i].pattern)
	}
	for _, m := range a.mounts {
		paths = append(paths, m.path)
	}
	return refuse(http.StatusNotFound, hotreader.CodeNotFound, "no such path; after the API's URL comes one of %s (GET "+docsPath+" describes them)", strings.Join(paths, ", "))
}

// oneSlash returns r with one slash in front of the path, where a base URL that ends in a
// slash made it two.
func oneSlash(r *http.Request) *http.Request {
	if !strings.HasPrefix(r.URL.EscapedPath(), "//") {
		return r
	}
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = r.URL.Path[1:], strings.TrimPrefix(r.URL.RawPath, "/")
	return r
}

// withToken returns r with the password of Basic as the Bearer token that Verify reads.
func withToken(r *http.Request) *http.Request {
	_, password, ok := r.BasicAuth()
	if !ok || len(r.Header["Authorization"]) > 1 {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+password)
	return r
}

// serve answers a request of a verified caller.
func (m *mounted) serve(a *api, c *call) error {
	method := "GET"
	if c.r.Method == http.MethodPost || c.r.Method == http.MethodDelete {
		method = c.r.Method
	}
	c.route = &route{method: method, pattern: m.path}
	place, err := a.limit.Enter(c.ctx, c.caller.Name, c.caller.Address)
	if err != nil {
		return err
	}
	defer place.Leave()
	if c.r.ContentLength != 0 {
		// The server removes this deadline itself once the body is read.
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(a.o.BodyTime)) // fails only on hosts without deadlines
	}
	return m.part.Serve(c.w, c.r.WithContext(c.ctx))
}

// mountReader reads for the caller of the context's request.
type mountReader struct{ a *api }

// Read implements hotreader.Reader.
func (m mountReader) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	c, ok := ctx.Value(traceKey{}).(*call)
	if !ok {
		return hotreader.Fail(&hotreader.Error{Op: "request", Code: hotreader.CodeForbidden})
	}
	if !c.mounted.CompareAndSwap(nil, &q.Device) && *c.mounted.Load() != q.Device {
		c.mounted.Store(new(string))
	}
	if err := c.caller.Devices.Check(q.Device); err != nil {
		return hotreader.Fail(err)
	}
	q.LookBack = cmp.Or(q.LookBack, m.a.o.LookBack)
	return m.a.reader.Read(ctx, q)
}

func may(ctx context.Context, device string) bool {
	c, ok := ctx.Value(traceKey{}).(*call)
	return ok && c.caller.Devices.Has(device)
}

func callerOf(ctx context.Context) (token string, from netip.Addr) {
	if c, ok := ctx.Value(traceKey{}).(*call); ok {
		return c.caller.Name, c.caller.Address
	}
	return "", from
}

func problemOf(ctx context.Context, err error) (int, string) {
	p := wire.NewProblem(err, TraceID(ctx))
	return p.Status, sentence(p)
}

func sentence(p *wire.Problem) string {
	if p.Detail == "" {
		return p.Title
	}
	return strings.TrimSuffix(p.Title, ".") + ": " + p.Detail
}
