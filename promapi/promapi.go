// Package promapi is Prometheus' HTTP API over a hotreader.Reader, for Grafana's own
// data source, promtool and all else that speaks it. Prometheus' own engine evaluates
// the expressions.
//
// A property of a device is a series, its name the metric (names.go). What an answer
// lacks, or gives with other digits, its warnings say. A plain selector reads only the
// last row of each step where the result is the same (querier.go).
package promapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"hotreader"
	"hotreader/catalog"
	"hotreader/internal/turns"
)

// Prefix is where the API lies: all of its paths begin with it.
const Prefix = "/api/v1/"

// engineVersion is the version of Prometheus whose engine this is, for clients that
// choose by it what they ask.
const engineVersion = "3.16.0"

// Options configure the API. Reader is required; all else may be zero.
type Options struct {
	Reader  hotreader.Reader
	Catalog *catalog.Catalog // the twin's devices
	Lister  hotreader.Lister // lists devices where there is no catalogue
	Twin    string           // its name, the label twin; "" = no such label

	// May reports whether the caller that ctx belongs to may read a device; nil = any.
	// Other devices are as if they were not there.
	May func(ctx context.Context, device string) bool

	// Caller returns the name of the caller's token, and the address that it comes from:
	// callers take turns. nil = all are one.
	Caller func(ctx context.Context) (token string, from netip.Addr)

	// Problem says how an error of Reader is reported to a caller; nil = its code alone.
	Problem func(ctx context.Context, err error) (status int, text string)

	Series  int           // that one request may read; 0 = 2,000
	Samples int           // that one request may read, and that may be in memory while it is evaluated; 0 = 5,000,000
	Answer  int           // bytes of an answer, before compression; 0 = 32 MB
	Queries int           // evaluated at once; others wait, and a token has one less at most; 0 = 4
	MaxTime time.Duration // of a query; 0 = 28 s
}

// Defaults of Options, and limits that are no options.
const (
	defaultSeries  = 2000
	defaultSamples = 5_000_000
	defaultAnswer  = 32 << 20
	defaultQueries = 4
	parsedAtOnce   = 2   // requests whose expressions are parsed, which may take much
	maxWaiting     = 256 // requests
	defaultMaxTime = 28 * time.Second

	maxBody          = 256 << 10 // bytes of a POST form
	maxExpression    = 16 << 10  // bytes; the time to parse grows with their square
	maxRepeated      = 50_000    // bytes of an expression times the counts in it, as {8}: regular expressions take that much memory and more
	maxPoints        = 11_000    // of a series in an answer, as Prometheus has it
	maxSubqueryTimes = 1_000_000 // at which a subquery is evaluated
	maxCopies        = 64        // of labels' values, and of 64 bytes, in one that label_replace or label_join makes
	maxSelectors     = 100       // of a list
	lookback         = 5 * time.Minute
	subqueryStep     = time.Minute // of a subquery that gives none
)

// API is the handler.
type API struct {
	o       Options
	engine  *promql.Engine
	parser  parser.Parser
	running *turns.Limit // of the queries that are evaluated
	parsing *turns.Limit // of the requests whose expressions are parsed
}

// New returns the API. An error is of CodeConfig.
func New(o Options) (*API, error) {
	if o.Reader == nil {
		return nil, &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: errors.New("no Reader is given")}
	}
	o.Series = cmp.Or(o.Series, defaultSeries)
	o.Samples = cmp.Or(o.Samples, defaultSamples)
	o.Answer = cmp.Or(o.Answer, defaultAnswer)
	o.MaxTime = cmp.Or(o.MaxTime, defaultMaxTime)
	if o.Caller == nil {
		o.Caller = func(context.Context) (string, netip.Addr) { return "", netip.Addr{} }
	}
	p := parser.NewParser(parser.Options{})
	return &API{
		o: o, parser: p, running: o.turns(cmp.Or(o.Queries, defaultQueries)), parsing: o.turns(parsedAtOnce),
		engine: promql.NewEngine(promql.EngineOpts{
			MaxSamples: o.Samples, Timeout: o.MaxTime, LookbackDelta: lookback, Parser: p,
			NoStepSubqueryIntervalFn: func(int64) int64 { return subqueryStep.Milliseconds() },
			EnableAtModifier:         true, EnableNegativeOffset: true,
			EnableDelayedNameRemoval: true, // max by (device) (timestamp({device="d"})): properties differ in nothing but the name
			EnableQueryCost:          true, // no limit is set; but with it the engine looks at the deadline at each step, not only between series
		}),
	}, nil
}

// turns returns a limit that keeps a place for other tokens than any one. Requests wait in
// it until their time is up.
func (o *Options) turns(places int) *turns.Limit {
	l := turns.New(places, maxWaiting, o.MaxTime)
	l.PerToken = max(1, places-1)
	return l
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { _ = a.Serve(w, r) }

// Serve answers a request. The error is for the log: it is answered already.
func (a *API) Serve(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), a.o.MaxTime)
	defer cancel()
	c := &call{api: a, ctx: ctx, r: r}
	err := c.serve(w)
	if err == nil && c.full() {
		err = tooMuch("the answer has more than %d bytes; ask for a longer step, a shorter range or fewer series", a.o.Answer)
	}
	if err == nil {
		return send(w, r, http.StatusOK, c.answer())
	}
	told := c.refusalOf(err)
	c.fail(w, told, err)
	if _, ok := errors.AsType[*hotreader.Error](err); !ok {
		err = &hotreader.Error{Op: op, Code: told.code(), Err: err}
	}
	return err
}

// Refuse answers a request that does not get as far as Serve.
func (a *API) Refuse(w http.ResponseWriter, r *http.Request, err error, status int, text string) {
	(&call{api: a, r: r}).fail(w, refuse(status, kindOf(status), "%s", text), err)
}

// op is the operation of this API's own errors.
const op = "Prometheus API"

// errBusy is the error of a query that waited for its turn until its time was up, or that
// too many waited with.
var errBusy = &hotreader.Error{Op: op, Code: hotreader.CodeOverloaded, RetryAfter: 5 * time.Second,
	Err: errors.New("the server is busy: the query waited for others, and was not evaluated; try again later")}

// call is one request.
type call struct {
	api  *API
	ctx  context.Context
	r    *http.Request
	data []byte // JSON, of the answer
	told told

	warnings, infos []string // the engine's
}

func (c *call) serve(w http.ResponseWriter) error {
	path, ok := strings.CutPrefix(c.r.URL.Path, Prefix)
	if !ok {
		return refuse(http.StatusNotFound, "not_found", "no such path")
	}
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		return refuse(http.StatusMethodNotAllowed, "bad_data", "%.20q is not served here; use GET or POST", c.r.Method)
	}
	c.r.Body = http.MaxBytesReader(w, c.r.Body, maxBody)
	if err := c.r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return refuse(http.StatusRequestEntityTooLarge, "bad_data", "the form has more than %d bytes", maxBody)
		}
		return refuse(http.StatusBadRequest, "bad_data", "the parameters cannot be read: %v", err)
	}
	switch path {
	case "query":
		return c.query()
	case "query_range":
		return c.queryRange()
	case "series":
		return c.series()
	case "labels":
		return c.labels()
	case "metadata":
		return c.metadata()
	case "status/buildinfo":
		return c.buildinfo()
	case "rules": // Grafana's list of alerts asks for both; there are none
		c.data = []byte(`{"groups":[]}`)
		return nil
	case "alerts":
		c.data = []byte(`{"alerts":[]}`)
		return nil
	}
	if name, ok := strings.CutPrefix(path, "label/"); ok {
		if name, ok = strings.CutSuffix(name, "/values"); ok && name != "" {
			return c.labelValues(name)
		}
	}
	return refuse(http.StatusNotFound, "not_found", "no such path; there are query, query_range, series, labels, label/NAME/values, metadata, status/buildinfo, rules and alerts")
}

// refusal is an error that the caller gets as it is.
type refusal struct {
	status     int
	kind, text string // kind is Prometheus' errorType
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, kind, format string, args ...any) *refusal {
	return &refusal{status, kind, fmt.Sprintf(format, args...)}
}

// code is the error's code in the log.
func (r *refusal) code() hotreader.Code {
	switch r.kind {
	case "timeout":
		return hotreader.CodeDeadline
	case "canceled":
		return hotreader.CodeCanceled
	}
	return hotreader.CodeInvalid
}

// tooMuch is the error of a query that would read too much.
func tooMuch(format string, args ...any) *refusal {
	return refuse(http.StatusUnprocessableEntity, "execution", format, args...)
}

// statusCanceled is nginx' status for a caller that went away, as Prometheus has it.
const statusCanceled = 499

// fail reports an error to the caller.
func (c *call) fail(w http.ResponseWriter, told *refusal, err error) {
	if e, ok := errors.AsType[*hotreader.Error](err); ok && e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
	}
	body := append([]byte(`{"status":"error","errorType":`), quote(told.kind)...)
	body = append(append(body, `,"error":`...), quote(told.text)...)
	_ = send(w, c.r, told.status, append(body, "}\n"...)) // fails only if the caller is gone
}

// refusalOf returns how an error is reported to the caller.
func (c *call) refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	_, late := errors.AsType[promql.ErrQueryTimeout](err)
	_, gone := errors.AsType[promql.ErrQueryCanceled](err)
	code := hotreader.CodeOf(err)
	switch {
	case errors.Is(err, errBusy):
		return refuse(http.StatusServiceUnavailable, "unavailable", "%s", errBusy.Err)
	case late || code == hotreader.CodeDeadline || errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusServiceUnavailable, "timeout", "the query did not end within its time; ask for a shorter range, a longer step or fewer series")
	case gone || code == hotreader.CodeCanceled || errors.Is(err, context.Canceled):
		return refuse(statusCanceled, "canceled", "the query was cancelled")
	}
	if _, ok := errors.AsType[*hotreader.Error](err); !ok {
		return refuse(http.StatusUnprocessableEntity, "execution", "%s", err) // of the engine: what is wrong with the expression
	}
	status, text := http.StatusInternalServerError, string(code)
	if c.api.o.Problem != nil {
		status, text = c.api.o.Problem(c.ctx, err)
	}
	return refuse(status, kindOf(status), "%s", text)
}

// kindOf returns Prometheus' errorType of a status.
func kindOf(status int) string {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return "bad_data"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge: // more rows than a query may look at
		return "execution"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return "unavailable"
	}
	return "internal"
}
