// Package httpapi is the Hot Reader API: HTTP over one hotreader.Source.
//
// Other clouds send POST /read and get package wire's row stream or, if they do not
// accept that, TwinMaker's JSON. Dashboards, notebooks and people send GET and get
// JSON or CSV. openapi.json describes both.
//
// The token is verified before anything else; only /health, /healthz,
// /openapi.json and the page for people are open. Every error is answered with a problem (RFC 9457), which says
// what the caller can change but nothing internal; the log has the cause under the same trace id.
package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	_ "embed" // openapi.json
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"hotreader"
	"hotreader/catalog"
	"hotreader/identity"
	"hotreader/internal/turns"
	"hotreader/observe/seen"
	"hotreader/wire"
)

// Options configure the API. Source and a caller are required; all else
// may be zero.
type Options struct {
	Source  hotreader.Source
	Layers  map[string]hotreader.Source // that POST /read asks for, by target layer; nil = Source for wire.TargetLayer
	Catalog *catalog.Catalog            // the twin's devices; nil = none
	Lister  hotreader.Lister            // lists the store's devices where there is no catalogue; nil = it cannot
	Token   *identity.Token             // callers send it; nil = only those of Trust are let in
	Devices identity.Devices            // the devices that callers with Token may read

	Trust      []identity.Shared    // callers with a token of their own
	Federation *identity.Federation // callers whose cloud signs a token; nil = none
	PageKey    *identity.Token      // page tokens are signed with it; nil = with Token, which is taken in any case

	Rate  float64 // requests a second of each token, current and previous; 0 = 100; negative = any number
	Burst int     // requests at once, above Rate; 0 = twice Rate

	Answers int           // answers in progress at once, until their last byte is sent; 0 = any number
	Queue   int           // requests that may wait for another answer to end; 0 = as many as Answers
	Wait    time.Duration // how long they wait at most; 0 = 1 s

	// Address distinguishes callers, so that they share Answers and Queue fairly;
	// nil = the address of the connection.
	Address func(*http.Request) netip.Addr

	MaxBody   int64         // bytes of a request's body; 0 = wire.MaxEnvelope
	MaxAnswer int           // bytes of an answer before compression; the next page has the rest; 0 = 8 MB
	MaxStream int           // bytes of a row stream, as MaxAnswer; 0 = MaxAnswer; negative = any number
	LookBack  int           // stored rows that a query for latest values looks at; 0 = hotreader.LookBack
	MaxTime   time.Duration // of a query; the next page has the rest; 0 = 28 s, within API Gateway's 29 s
	BodyTime  time.Duration // for receiving a request's body; 0 = 10 s

	Logger   *slog.Logger  // one line a request; nil = none
	Observer seen.Observer // sees each request; may be nil
	Version  string        // shown in openapi.json; "" = "dev"
	NoRows   bool          // answer POST /read in JSON only, as an old peer does
	Mounts   []Mount       // parts that others serve

	// Page serves what needs no token and holds no data, as the page for people; false =
	// it has no such path, and the API answers. nil = there is none.
	Page func(http.ResponseWriter, *http.Request) bool
}

// Defaults of Options.
const (
	defaultRate      = 100
	defaultMaxAnswer = 8 << 20
	defaultMaxTime   = 28 * time.Second
	defaultBodyTime  = 10 * time.Second
)

type api struct {
	o        Options
	reader   hotreader.Reader
	mux      *http.ServeMux
	verifier identity.Verifier
	limit    *turns.Limit // of answers: one holds a place from before its first row is read until its last byte is sent; nil = none
	lists    *turns.Limit // of lists of devices, which hold a place of limit, too
	pages    identity.PageKeys
	docs     []byte
	mounts   []mounted

	mu    sync.Mutex
	rates map[string]*rate.Limiter // by caller name; guarded by mu
}

// route is one route of the API. A GET route rejects parameters that are not listed.
type route struct {
	method, pattern string
	parameters      []string
	serve           func(*api, *call) error
}

// routes are the routes that require the token.
var routes = []route{
	{http.MethodPost, readPath, nil, (*api).read},
	{http.MethodGet, "/v1/devices", []string{"prefix", "type", "names", "limit", "next_token"}, (*api).devices},
	{http.MethodGet, "/v1/devices/{id}", []string{"constants"}, (*api).describe},
	{http.MethodGet, "/v1/devices/{id}/history", []string{"property", "type", "start", "end", "order", "points", "pick", "every", "limit", "format", "next_token"}, (*api).history},
	{http.MethodGet, "/v1/devices/{id}/latest", []string{"property", "type", "end", "format"}, (*api).latest},
}

const readPath = "/read"

// Paths that need no token, since they hold no data.
const (
	healthPath  = "/health"
	healthzPath = "/healthz" // Google keeps it for itself
	docsPath    = "/openapi.json"
)

//go:embed openapi.json
var openapi []byte

// New returns the API's handler. An error is of CodeConfig.
func New(o Options) (http.Handler, error) {
	var missing []error
	if o.Source == nil {
		missing = append(missing, errors.New("no Source is given"))
	}
	if o.Token == nil && len(o.Trust) == 0 && o.Federation == nil {
		missing = append(missing, errors.New("no token is given; a server without a token does not start"))
	}
	if o.Token == nil && o.PageKey == nil {
		missing = append(missing, errors.New("there is no key to sign page tokens with"))
	}
	if err := errors.Join(missing...); err != nil {
		return nil, &hotreader.Error{Op: "hot reader API", Code: hotreader.CodeConfig, Err: err}
	}
	o.Rate = cmp.Or(o.Rate, defaultRate)
	o.Burst = cmp.Or(max(o.Burst, 0), defaultBurst(o.Rate))
	o.MaxBody = cmp.Or(max(o.MaxBody, 0), wire.MaxEnvelope)
	o.MaxAnswer = cmp.Or(max(o.MaxAnswer, 0), defaultMaxAnswer)
	if o.MaxStream = cmp.Or(o.MaxStream, o.MaxAnswer); o.MaxStream < 0 {
		o.MaxStream = math.MaxInt
	}
	o.MaxTime = cmp.Or(max(o.MaxTime, 0), defaultMaxTime)
	o.BodyTime = cmp.Or(max(o.BodyTime, 0), defaultBodyTime)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	version, err := json.Marshal(cmp.Or(o.Version, "dev"))
	if err != nil {
		return nil, &hotreader.Error{Op: "hot reader API", Code: hotreader.CodeConfig, Err: err}
	}
	if o.Address == nil {
		o.Address = connection
	}
	if o.Lister == nil {
		o.Lister, _ = o.Source.(hotreader.Lister)
	}
	if o.Catalog != nil {
		o.Source = listing{o.Source, o.Catalog}
		for layer, src := range o.Layers {
			o.Layers[layer] = listing{src, o.Catalog}
		}
	}
	a := &api{o: o, reader: hotreader.NewReader(o.Source), mux: http.NewServeMux(), limit: turns.New(o.Answers, o.Queue, o.Wait), lists: turns.New(min(o.Answers, listsAtOnce), o.Queue, o.Wait),
		verifier: o.callers(), pages: identity.PageKeys{o.PageKey, o.Token},
		docs: bytes.Replace(openapi, []byte(`"0.0.0"`), version, 1), rates: make(map[string]*rate.Limiter)}
	for i := range routes {
		a.mux.Handle(routes[i].pattern, &routes[i])
	}
	if err := a.mount(o.Mounts); err != nil {
		return nil, err
	}
	return a, nil
}

// ServeHTTP is never called: the mux only finds the route of a path.
func (*route) ServeHTTP(http.ResponseWriter, *http.Request) {}

// call is one request.
type call struct {
	w      *response
	r      *http.Request
	ctx    context.Context // r's; later with the query's deadline
	route  *route
	trace  string // the caller's, or a new one
	device string
	caller identity.Caller
	takes  time.Duration // that the client may take to receive a problem
	rows   int           // of the answer
	points int
	stats  hotreader.Stats

	mounted atomic.Pointer[string] // the one device that a mounted part reads; "" of several

	bodyRead bool // to its end
}

// refusal is an error with a status of its own instead of its code's.
type refusal struct {
	status int
	allow  string // methods, for 405 and OPTIONS
	error
}

func (r *refusal) Unwrap() error { return r.error }

func refuse(status int, code hotreader.Code, format string, args ...any) *refusal {
	return &refusal{status: status, error: &hotreader.Error{Op: "request", Code: code, Err: fmt.Errorf(format, args...)}}
}

func invalid(format string, args ...any) error {
	return &hotreader.Error{Op: "request", Code: hotreader.CodeInvalid, Err: fmt.Errorf(format, args...)}
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	r = oneSlash(r)
	c := &call{w: &response{ResponseWriter: w}, r: r, ctx: r.Context(), trace: newTraceID(), takes: strangerTime}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	c.sendWithin(c.takes) // replaces the deadline of the connection's last answer
	switch r.URL.Path {
	case healthPath, healthzPath:
		c.sendOpen([]byte(`{"status":"ok"}` + "\n"))
		return
	case docsPath:
		c.sendOpen(a.docs)
		return
	}
	if a.o.Page != nil && a.o.Page(c.w, r) {
		return
	}
	c.sendWithin(a.o.MaxTime + sendTime) // also where it takes a while to verify a token
	err := a.serveRecovering(c)
	if err != nil && !c.w.began() {
		c.problem(err, a.refuser(r.URL.Path))
	}
	a.report(c, began, err)
	if c.w.broken {
		// Part of the answer is sent and the rest cannot be. Aborting keeps the
		// caller from taking the part for the whole.
		panic(http.ErrAbortHandler)
	}
}

// serveRecovering serves c and turns a panic into an error.
func (a *api) serveRecovering(c *call) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &hotreader.Error{Op: "request", Code: hotreader.CodeInternal, Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
			c.w.broken = c.w.began()
		}
	}()
	return a.serve(c)
}

func (a *api) serve(c *call) error {
	mount := a.mountOf(c.r.URL.Path)
	if c.r.URL.Path != readPath { // which takes a header alone that no form can send
		c.r = withToken(c.r)
	}
	caller, err := a.verifier.Verify(c.r)
	caller.Address = network(a.o.Address(c.r))
	if c.caller = caller; err != nil { // the log names a rejected caller, too
		return err
	}
	c.takes = sendTime
	callerKnown(c.ctx)
	c.trace = cmp.Or(traceOf(c.r.Header), c.trace)
	if err := a.admit(&caller); err != nil {
		return err
	}
	if mount == nil {
		if c.route, err = a.find(c.r); err != nil {
			return err
		}
	}
	ctx := context.WithValue(hotreader.WithStats(c.ctx, &c.stats), traceKey{}, c)
	ctx, cancel := context.WithTimeout(ctx, a.budget(ctx))
	defer cancel()
	c.ctx = ctx
	if mount != nil {
		return mount.serve(a, c)
	}
	return c.route.serve(a, c)
}

// find returns the route of a request.
func (a *api) find(r *http.Request) (*route, error) {
	escaped := r.URL.EscapedPath()
	if escaped == "" || path.Clean(escaped) != escaped { // the mux would redirect
		return nil, a.noPath(escaped)
	}
	probe := http.Request{Method: http.MethodGet, URL: r.URL, Host: r.Host}
	handler, _ := a.mux.Handler(&probe)
	found, ok := handler.(*route)
	if !ok {
		return nil, a.noPath(escaped)
	}
	if r.Method == found.method || r.Method == http.MethodHead && found.method == http.MethodGet {
		return found, nil
	}
	if r.Method == http.MethodOptions {
		return nil, &refusal{status: http.StatusNoContent, allow: allow(found.method)}
	}
	e := refuse(http.StatusMethodNotAllowed, hotreader.CodeInvalid, "%.20q is not served here; use %s", r.Method, found.method)
	e.allow = allow(found.method)
	return nil, e
}

// budget returns the time for a query: MaxTime, or less if the host set a deadline.
// It keeps a tenth of what is left, a second at most, for sending the answer.
func (a *api) budget(ctx context.Context) time.Duration {
	at, ok := ctx.Deadline()
	if !ok {
		return a.o.MaxTime
	}
	left := time.Until(at)
	return min(a.o.MaxTime, left-min(left/10, time.Second))
}

// problem answers with err, in the form of a mounted part unless that is nil.
func (c *call) problem(err error, part Refuser) {
	h := c.w.Header()
	p := wire.NewProblem(err, c.trace)
	if r, ok := errors.AsType[*refusal](err); ok {
		if r.allow != "" {
			h.Set("Allow", r.allow)
		}
		if r.error == nil {
			c.limitUnreadBody()
			c.w.WriteHeader(r.status)
			return
		}
		p.Status = r.status
		if r.status == http.StatusRequestTimeout { // the code's title speaks of the store
			p.Title = http.StatusText(r.status)
		}
		if e, ok := errors.AsType[*hotreader.Error](r.error); ok { // it is for the caller, whatever its code
			p.Detail = e.Err.Error()
		}
	}
	if p.Code == hotreader.CodeCanceled {
		// A caller that can read this has not gone away. net/http takes the connection
		// for closed, so every further request on it would end the same way.
		h.Set("Connection", "close")
	}
	if p.Code == hotreader.CodeUnauthenticated {
		h.Set("WWW-Authenticate", "Bearer")
	}
	c.limitUnreadBody()
	c.sendWithin(c.takes)
	if part != nil {
		part.Refuse(c.w, c.r, err, p.Status, sentence(p))
		return
	}
	p.Write(c.w)
}

// limitUnreadBody bounds the wait for a body that no handler will read: net/http reads
// the rest of it, at the client's pace, before it sends the answer. After a body that
// was read to its end, net/http already waits for the next request; a deadline would
// hit that one and end the connection.
func (c *call) limitUnreadBody() {
	if c.r.ContentLength != 0 && !c.bodyRead {
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(unreadTime)) // fails only on hosts without deadlines
	}
}

// unreadTime is how long an answer waits for the rest of an unread body.
const unreadTime = time.Second

// report hands the request to the log and the observer.
func (a *api) report(c *call, began time.Time, err error) {
	if r, ok := errors.AsType[*refusal](err); ok && r.error == nil {
		err = nil
	}
	level, code := slog.LevelInfo, hotreader.CodeOf(err)
	if err != nil && wire.StatusOf(code) >= 500 && code != hotreader.CodeCanceled {
		level = slog.LevelError
	}
	name := "-"
	if c.route != nil {
		name = c.route.method + " " + c.route.pattern
	}
	if device := c.mounted.Load(); device != nil {
		c.device = *device
	}
	q := &seen.Query{
		Level: level, Route: name, Status: c.w.status, TraceID: c.trace,
		Device: c.device[:min(len(c.device), hotreader.MaxDeviceBytes)],
		Token:  c.caller.Name, Caller: address(c.caller.Address),
		Rows: c.rows, Points: c.points, Stats: &c.stats, Bytes: c.w.bytes, Duration: time.Since(began), Err: err,
	}
	q.Tell(c.ctx, a.o.Logger, a.o.Observer)
}

// response counts what is sent.
type response struct {
	http.ResponseWriter
	status int
	bytes  int64
	broken bool // the answer began and could not be completed
}

func (w *response) began() bool { return w.status != 0 }

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the server's writer.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type traceKey struct{}

// TraceID returns the trace id of the request that ctx belongs to: the caller's, or
// a new one. It is "" outside of this package's requests.
func TraceID(ctx context.Context) string {
	if c, ok := ctx.Value(traceKey{}).(*call); ok {
		return c.trace
	}
	return ""
}

// traceOf returns the caller's trace id: from traceparent, else X-Request-Id if that
// is harmless, else "".
func traceOf(h http.Header) string {
	if parent := h["Traceparent"]; len(parent) > 0 {
		if parts := strings.Split(parent[0], "-"); len(parts) >= 4 && len(parts[1]) == 32 && parts[1] != strings.Repeat("0", 32) {
			if _, err := hex.DecodeString(parts[1]); err == nil {
				return parts[1]
			}
		}
	}
	if id := h["X-Request-Id"]; len(id) > 0 && harmless(id[0]) {
		return id[0]
	}
	return ""
}

// harmless reports whether id may appear in logs and answers.
func harmless(id string) bool {
	return len(id) <= 128 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !slices.Contains([]rune("-_.:"), r)
	})
}

func newTraceID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	var text [32]byte
	hex.Encode(text[:], b[:])
	return string(text[:])
}
