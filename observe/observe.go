// Package observe makes the programs seen: traces over OTLP, and metrics. It is
// the only package that knows OpenTelemetry.
//
// It looks from outside: it wraps Sources, HTTP handlers and transports, and
// nothing of a row's way knows of it. What a query was like it is told by one
// seen.Query, of which its line of the log is made, too, so that dashboards and
// log cannot differ.
//
// A nil *Observer, which New returns where nothing is asked for, wraps nothing:
// every method returns what it was given.
package observe

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Options say who is seen, and by whom beside those that the environment names.
type Options struct {
	Getenv  func(string) string
	Program string // what it is called, unless OTEL_SERVICE_NAME says otherwise
	Version string
	Logger  *slog.Logger // is told when something cannot be delivered; nil = nobody

	// Page counts for a page of metrics, whatever the environment says.
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
	page     string // address of a page of metrics, by the environment; "" = none

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
		// What goes wrong is told by the exporter, once a minute.
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

// Page returns the address that the environment wants a page of metrics on; "" =
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
		_ = t.provider.ForceFlush(ctx) // the exporter tells the log
	}
	if t.push != nil {
		t.push.due(ctx)
	}
}
