package httpapi

import (
	"cmp"
	"context"
	"iter"
	"net/http"
	"strings"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/wire"
)

// Mount is a part of the API that another package serves. Before it is asked, the API
// verifies the caller and counts the request against rate and answers. The token may
// also come as Authorization: Bearer, or as the password of Basic.
type Mount struct {
	Path string // of the part; it ends in / if that has all paths below
	Make func(Inside) (Mounted, error)
}

// Mounted serves a part of the API. Serve answers in any case; its error is for the log.
type Mounted interface {
	Serve(w http.ResponseWriter, r *http.Request) error
}

// Inside is what a mounted part has of the API. A context is that of a request, or made
// of it.
type Inside struct {
	// Reader reads what the API reads, for the caller: it rejects other devices.
	Reader hotreader.Reader

	// May reports whether the caller may read a device.
	May func(ctx context.Context, device string) bool

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
		part, err := m.Make(Inside{mountReader{a}, may, a.o.Catalog, a.o.Lister, problemOf})
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
	place, err := a.limit.enter(c.ctx, c.caller)
	if err != nil {
		return err
	}
	defer place.leave()
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

func problemOf(ctx context.Context, err error) (int, string) {
	p := wire.NewProblem(err, TraceID(ctx))
	if p.Detail == "" {
		return p.Status, p.Title
	}
	return p.Status, p.Title + ": " + p.Detail
}
