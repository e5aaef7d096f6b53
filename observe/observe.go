// Package observe makes the programs seen: traces over OTLP, and metrics. It is
// the only package that knows OpenTelemetry.
//
// It looks from outside: it wraps Sources, HTTP handlers and transports, and
// nothing on a row's path knows of it. It gets each query as one
// seen.Query, of which its line of the log is made, too, so that dashboards and
// log cannot differ.
//
// A nil *Observer, which New returns where nothing is asked for, wraps nothing:
// every method returns what it was given.
package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"hotreader"
	"hotreader/internal/endpoint"
)

// Options are the program that is observed, and the observers beside those of the environment.
type Options struct {
	Getenv  func(string) string
	Program string // what it is called, unless OTEL_SERVICE_NAME says otherwise
	Version string
	Logger  *slog.Logger // gets a line when something cannot be delivered; may be nil

	// Page counts for a metrics endpoint, whatever the environment says.
	Page bool

	// Unasked says that it is on Azure Functions, where a page has no readers.
	Unasked bool

	// Function is the function's name on AWS Lambda, whose log CloudWatch reads
	// metrics from; "" = elsewhere.
	Function string
}

// Observer is what a program is seen by. Nil sees nothing.
type Observer struct {
	function string              // "" = no metrics in the log
	provider *sdk.TracerProvider // nil = no traces
	tracer   trace.Tracer
	metrics  *metrics // nil = none are counted
	push     *pusher  // nil = metrics are not sent
	getenv   func(string) string
	page     string // address of a metrics endpoint, by the environment; "" = none

	running, requests atomic.Int64 // reads; requests under way

	// Set while the program is put together.
	open func() bool      // whether the breaker is; nil = there is none
	made func() time.Time // when the token was; nil = it is not known
}

// scopeName is what OpenTelemetry calls the instrumentation.
const scopeName = "hotreader"

// New reads the OTEL_* variables. It returns nil where neither they nor o ask for
// anything. An error is of CodeConfig, has a line for each problem, and repeats
// no header, for those hold keys.
func New(o Options) (*Observer, error) {
	c, err := readConfig(&o)
	if err != nil {
		return nil, err
	}
	if c.disabled && !o.Page || !o.Page && c.traces == nil && c.metrics == nil && !c.emf && c.page == "" {
		return nil, nil //nolint:nilnil // nil is the Observer that sees nothing
	}
	t := &Observer{getenv: o.Getenv, page: c.page, tracer: noop.NewTracerProvider().Tracer(scopeName)}
	if c.emf {
		t.function = o.Function
	}
	who := resource(c, &o)
	if c.traces != nil {
		// The exporter reports what goes wrong, once a minute.
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
			if o.Logger != nil {
				o.Logger.Debug("traces", slog.String("error", err.Error()))
			}
		}))
		t.provider = sdk.NewTracerProvider(
			sdk.WithSampler(c.sampler),
			sdk.WithSpanProcessor(known{sdk.NewBatchSpanProcessor(spans{newSender(c.traces, who, o.Logger)})}),
		)
		t.tracer = t.provider.Tracer(scopeName)
	}
	if o.Page || c.page != "" || c.metrics != nil {
		t.metrics = newMetrics(o.Version)
	}
	if c.metrics != nil {
		t.push = newPusher(t.metrics, newSender(c.metrics, who, o.Logger), c.interval)
	}
	return t, nil
}

// Page returns the address of the metrics endpoint, by the environment; "" =
// none.
func (t *Observer) Page() string {
	if t == nil {
		return ""
	}
	return t.page
}

// TraceID returns the trace that ctx belongs to, as 32 hexadecimal digits; "" if
// there is none.
func (t *Observer) TraceID(ctx context.Context) string {
	if t == nil || t.provider == nil {
		return ""
	}
	if s := trace.SpanContextFromContext(ctx); s.HasTraceID() {
		return s.TraceID().String()
	}
	return ""
}

// flushTime is how long what was seen may take to be delivered, before a
// function's answer or at a program's end.
const flushTime = time.Second

// Close delivers what has not been delivered yet.
func (t *Observer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
	defer cancel()
	if t.push != nil {
		t.push.close(ctx)
	}
	if t.provider != nil {
		if err := t.provider.Shutdown(ctx); err != nil {
			return fmt.Errorf("observe: %w", err)
		}
	}
	return nil
}

// flush delivers what was seen of a query, while the caller still waits: a
// function is frozen with its answer.
func (t *Observer) flush(ctx context.Context) {
	if t.provider == nil && t.push == nil {
		return
	}
	wait := flushTime
	if at, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(at)/2)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer cancel()
	if t.provider != nil {
		_ = t.provider.ForceFlush(ctx) // the exporter logs it
	}
	if t.push != nil {
		t.push.due(ctx)
	}
}

// The signals, as OpenTelemetry's variables and addresses call them.
const (
	traces   = "traces"
	measures = "metrics"
)

// target is where a signal is sent.
type target struct {
	signal  string
	url     string
	host    string // of url, for the log: a path may hold a key
	header  http.Header
	timeout time.Duration
	zip     bool
}

// settings are what the OTEL_* variables say.
type settings struct {
	disabled        bool
	traces, metrics *target // nil = not sent
	emf             bool    // metrics in the log's lines, for CloudWatch
	page            string  // host:port; "" = none
	sampler         sdk.Sampler
	service         string
	attributes      [][2]string // of the resource
	interval        time.Duration
}

// The defaults of OpenTelemetry's specification.
const (
	defaultEndpoint = "http://localhost:4318"
	defaultTimeout  = 10 * time.Second
	defaultInterval = time.Minute
	defaultPage     = "9464"
)

// environment reads variables and collects what is wrong with them.
type environment struct {
	get      func(string) string
	problems []error
}

func (e *environment) text(name string) string { return strings.TrimSpace(e.get(name)) }

func (e *environment) bad(name, format string, args ...any) {
	err := fmt.Errorf(name+": "+format, args...)
	if !slices.ContainsFunc(e.problems, func(p error) bool { return p.Error() == err.Error() }) { // both signals read it
		e.problems = append(e.problems, err)
	}
}

// Check returns the error that New would.
func Check(o Options) error {
	_, err := readConfig(&o)
	return err
}

func readConfig(o *Options) (*settings, error) {
	e := &environment{get: o.Getenv}
	c := &settings{sampler: sdk.ParentBased(sdk.AlwaysSample()), interval: defaultInterval}
	if strings.EqualFold(e.text("OTEL_SDK_DISABLED"), "true") {
		c.disabled = true
		return c, nil
	}
	switch word := strings.ToLower(e.text("OTEL_TRACES_EXPORTER")); {
	case word == "otlp", word == "" && e.hasTarget(traces):
		c.traces = e.target(traces)
	case word != "" && word != "none":
		e.bad("OTEL_TRACES_EXPORTER", "%.40q is not known here; expected otlp or none", word)
	}
	switch word := strings.ToLower(e.text("OTEL_METRICS_EXPORTER")); {
	case word == "" && o.Function != "":
		c.emf = true // which needs no collector
	case word == "otlp", word == "" && e.hasTarget(measures):
		c.metrics = e.target(measures)
	case word == "prometheus":
		c.page = e.page(o)
	case word != "" && word != "none":
		e.bad("OTEL_METRICS_EXPORTER", "%.40q is not known here; expected otlp, prometheus or none", word)
	}
	if c.traces != nil {
		e.sampler(c)
	}
	if c.metrics != nil {
		c.interval = e.millis("OTEL_METRIC_EXPORT_INTERVAL", defaultInterval)
	}
	e.resource(c)
	if len(e.problems) > 0 {
		all := errors.Join(append([]error{fmt.Errorf("%d to be changed", len(e.problems))}, e.problems...)...)
		return nil, &hotreader.Error{Op: "environment of OpenTelemetry", Code: hotreader.CodeConfig, Err: all}
	}
	return c, nil
}

// page reads where the metrics endpoint is.
func (e *environment) page(o *Options) string {
	if o.Function != "" {
		e.bad("OTEL_METRICS_EXPORTER", "is prometheus, which cannot ask a function of AWS Lambda; leave it out, and CloudWatch takes the metrics from the log")
		return ""
	}
	if o.Unasked {
		e.bad("OTEL_METRICS_EXPORTER", "is prometheus, which nothing can ask beside an Azure function; expected otlp or none")
		return ""
	}
	port := cmp.Or(e.text("OTEL_EXPORTER_PROMETHEUS_PORT"), defaultPage)
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		e.bad("OTEL_EXPORTER_PROMETHEUS_PORT", "invalid port %.40q: expected 1 to 65535", port)
	}
	return net.JoinHostPort(cmp.Or(e.text("OTEL_EXPORTER_PROMETHEUS_HOST"), "localhost"), port)
}

// own returns a variable of a signal, or where it is not set that for all signals.
func (e *environment) own(signal, what string) (name, text string) {
	if name = "OTEL_EXPORTER_OTLP_" + strings.ToUpper(signal) + "_" + what; e.text(name) == "" {
		name = "OTEL_EXPORTER_OTLP_" + what
	}
	return name, e.text(name)
}

func (e *environment) hasTarget(signal string) bool {
	_, text := e.own(signal, "ENDPOINT")
	return text != ""
}

// target reads where a signal goes.
func (e *environment) target(signal string) *target {
	t := &target{signal: signal, header: http.Header{}}
	name, text := e.own(signal, "ENDPOINT")
	u, err := url.Parse(cmp.Or(text, defaultEndpoint))
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		e.bad(name, "is not a URL; expected https://host:4318") // err would show it, and what it may hold
		return nil
	case u.User != nil:
		e.bad(name, "carries user info; a key goes into OTEL_EXPORTER_OTLP_HEADERS")
		return nil
	case name == "OTEL_EXPORTER_OTLP_ENDPOINT": // the base of all signals
		u.Path = strings.TrimRight(u.Path, "/") + "/v1/" + signal
	}
	t.url, t.host = u.String(), u.Host

	if name, text = e.own(signal, "PROTOCOL"); text != "" && text != "http/json" && text != "http/protobuf" {
		e.bad(name, "%.40q is not spoken here; expected http/json (http/protobuf is taken for it: the same receivers take both)", text)
	}
	name, text = e.own(signal, "HEADERS")
	for _, h := range e.pairs(name, isHeader) {
		t.header.Add(h[0], h[1])
	}
	if text != "" && u.Scheme == "http" && !endpoint.Loopback(u.Hostname()) {
		e.bad(name, "would be sent in the clear to %.100q; give it an https endpoint", u.Hostname())
	}
	name, text = e.own(signal, "COMPRESSION")
	if t.zip = text == "gzip"; !t.zip && text != "" && text != "none" {
		e.bad(name, "%.40q is not known here; expected gzip or none", text)
	}
	name, _ = e.own(signal, "TIMEOUT")
	t.timeout = e.millis(name, defaultTimeout)
	return t
}

// pairs reads a variable of name=value,name=value, where fits takes each.
func (e *environment) pairs(name string, fits func(key, value string) bool) (all [][2]string) {
	if e.text(name) == "" {
		return nil
	}
	for part := range strings.SplitSeq(e.text(name), ",") {
		key, value, ok := strings.Cut(part, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || !fits(key, value) {
			e.bad(name, "cannot be read; expected name=value,name=value, with %%2C for a comma in a value")
			return nil
		}
		all = append(all, [2]string{key, value})
	}
	return all
}

func (e *environment) millis(name string, fallback time.Duration) time.Duration {
	text := e.text(name)
	if text == "" {
		return fallback
	}
	ms, err := strconv.ParseUint(text, 10, 31)
	if err != nil || ms == 0 {
		e.bad(name, "%.40q is not a whole number of milliseconds above 0", text)
		return fallback
	}
	return time.Duration(ms) * time.Millisecond
}

func (e *environment) sampler(c *settings) {
	const name, arg = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
	share := 1.0
	if text := e.text(arg); text != "" {
		var err error
		if share, err = strconv.ParseFloat(text, 64); err != nil || !(share >= 0 && share <= 1) {
			e.bad(arg, "%.40q is not a number from 0 to 1", text)
			return
		}
	}
	word := strings.ToLower(cmp.Or(e.text(name), "parentbased_always_on"))
	root, parent := strings.CutPrefix(word, "parentbased_")
	switch root {
	case "always_on":
		c.sampler = sdk.AlwaysSample()
	case "always_off":
		c.sampler = sdk.NeverSample()
	case "traceidratio":
		c.sampler = sdk.TraceIDRatioBased(share)
	default:
		e.bad(name, "%.40q is not known here; expected always_on, always_off or traceidratio, or one of them after parentbased_", word)
		return
	}
	if parent {
		c.sampler = sdk.ParentBased(c.sampler)
	}
}

// resource reads what the program is called.
func (e *environment) resource(c *settings) {
	c.service = e.text("OTEL_SERVICE_NAME")
	for _, a := range e.pairs("OTEL_RESOURCE_ATTRIBUTES", func(key, _ string) bool { return key != "" }) {
		if a[0] == "service.name" {
			c.service = cmp.Or(c.service, a[1])
			continue
		}
		c.attributes = append(c.attributes, a)
	}
}

// isHeader reports whether key and value can stand in a request.
func isHeader(key, value string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("-_.!#$%&'*+^`|~", r)
	}) && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f })
}
