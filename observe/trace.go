package observe

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"hotreader"
)

// Keys of attributes: OpenTelemetry's own where it has one.
const (
	keyError  = attribute.Key("error.type") // a code of ours
	keyMethod = attribute.Key("http.request.method")
	keyStatus = attribute.Key("http.response.status_code")
	keyServer = attribute.Key("server.address")
	keyResend = attribute.Key("http.request.resend_count")
	keyDevice = attribute.Key("hotreader.device")
	keyLast   = attribute.Key("hotreader.last_entry")
	keyRows   = attribute.Key("hotreader.rows")
)

// propagator writes and reads W3C's traceparent and tracestate.
var propagator = propagation.TraceContext{}

func (t *Observer) tracing() bool { return t != nil && t.provider != nil }

// failed marks a span with how it ended. An error's text stays in the log.
func failed(span trace.Span, code hotreader.Code) {
	if code != "" {
		span.SetAttributes(keyError.String(string(code)))
		span.SetStatus(codes.Error, string(code))
	}
}

// known keeps spans of strangers away from the collector: a caller without a token
// must not be able to fill it. An invocation is no stranger's: what was rejected
// there is the function's own token.
type known struct{ sdk.SpanProcessor }

func (k known) OnEnd(s sdk.ReadOnlySpan) {
	if s.SpanKind() == trace.SpanKindServer {
		request, refused := false, false
		for _, a := range s.Attributes() {
			request = request || a.Key == keyMethod
			refused = refused || a.Key == keyError && a.Value.AsString() == string(hotreader.CodeUnauthenticated)
		}
		if request && refused {
			return
		}
	}
	k.SpanProcessor.OnEnd(s)
}

// open reports whether a path of the API answers everybody, and without a line of
// the log.
func open(path string) bool {
	return path == "/health" || path == "/healthz" || path == "/openapi.json"
}

// Handler returns an API's handler with a span around each request, which
// belongs to the caller's if the caller says so in a traceparent.
func (t *Observer) Handler(next http.Handler) http.Handler {
	if t == nil || t.provider == nil && t.metrics == nil {
		return next
	}
	t.metrics.gauge(requestsRunning, func() float64 { return float64(t.requests.Load()) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.requests.Add(1)
		defer t.requests.Add(-1)
		r = r.WithContext(context.WithValue(r.Context(), arrivalKey{}, &arrival{at: time.Now()}))
		if t.provider == nil || open(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		ctx := propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		if !trace.SpanContextFromContext(ctx).IsValid() {
			ctx = t.invocation(ctx)
		}
		method := strings.Clone(r.Method) // as all that a span keeps: the request would be kept with it
		ctx, span := t.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(keyMethod.String(method)))
		defer span.End()
		// The API and its log have the request's trace from there.
		r = r.Clone(ctx)
		propagator.Inject(ctx, propagation.HeaderCarrier(r.Header))
		next.ServeHTTP(w, r)
	})
}

// Invoker is a function's handler, as lambda.Handler is.
type Invoker interface {
	Invoke(ctx context.Context, event []byte) ([]byte, error)
}

// Invoker returns next with its own count of what happens within an invocation,
// all of which is delivered before the answer. With a name, there is a span of it
// around each, which belongs to AWS X-Ray's trace if there is one; without, it is
// for the Handler inside next to make one.
func (t *Observer) Invoker(name string, next Invoker) Invoker {
	if t == nil {
		return next
	}
	return &invoker{t, name, next}
}

type invoker struct {
	t    *Observer
	name string
	next Invoker
}

// Invoke implements Invoker.
func (i *invoker) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	defer i.t.flush(ctx)
	ctx = context.WithValue(ctx, scopeKey{}, new(scope))
	if i.name == "" || !i.t.tracing() {
		return i.next.Invoke(ctx, event)
	}
	ctx, span := i.t.tracer.Start(i.t.invocation(ctx), i.name, trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	return i.next.Invoke(ctx, event)
}

// invocation returns ctx within the trace of AWS X-Ray that the invocation
// belongs to, if it does.
func (t *Observer) invocation(ctx context.Context) context.Context {
	header, _ := ctx.Value("x-amzn-trace-id").(string) // aws-lambda-go's key
	if header == "" && t.function != "" {
		header = t.getenv("_X_AMZN_TRACE_ID")
	}
	if s, ok := parseXRay(header); ok {
		return trace.ContextWithRemoteSpanContext(ctx, s)
	}
	return ctx
}

// parseXRay reads Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1.
// The root's two numbers are the trace's id.
func parseXRay(header string) (trace.SpanContext, bool) {
	var c trace.SpanContextConfig
	for part := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Root":
			id, ok := strings.CutPrefix(value, "1-")
			if id = strings.Replace(id, "-", "", 1); !ok || !decode(c.TraceID[:], id) {
				return trace.SpanContext{}, false
			}
		case "Parent":
			if !decode(c.SpanID[:], value) {
				return trace.SpanContext{}, false
			}
		case "Sampled":
			if value == "1" {
				c.TraceFlags = trace.FlagsSampled
			}
		}
	}
	s := trace.NewSpanContext(c)
	return s, s.IsValid()
}

func decode(dst []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(dst)) {
		return false
	}
	_, err := hex.Decode(dst, []byte(text))
	return err == nil
}

// Peer returns the transport of a remote API with a span around each request,
// which it sends along as the traceparent.
func (t *Observer) Peer(next http.RoundTripper) http.RoundTripper {
	if !t.tracing() {
		return next
	}
	return requests{t, next.RoundTrip, true}
}

// Store returns the transport of a store's client with a span around each
// request.
func (t *Observer) Store(next http.RoundTripper) http.RoundTripper {
	if !t.tracing() {
		return next
	}
	return requests{t, next.RoundTrip, false}
}

// Doer is what sends the requests of an AWS client.
type Doer interface {
	Do(r *http.Request) (*http.Response, error)
}

// StoreClient is Store for the clients of AWS.
func (t *Observer) StoreClient(next Doer) Doer {
	if !t.tracing() {
		return next
	}
	return requests{t, next.Do, false}
}

// requests makes a span of each request.
type requests struct {
	t    *Observer
	send func(*http.Request) (*http.Response, error)
	peer bool // else a store
}

// RoundTrip implements http.RoundTripper.
func (c requests) RoundTrip(r *http.Request) (*http.Response, error) { return c.Do(r) }

// Do sends r. The span ends with the answer's body.
func (c requests) Do(r *http.Request) (*http.Response, error) {
	ctx, span := c.t.tracer.Start(r.Context(), c.name(r), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(keyMethod.String(r.Method), keyServer.String(r.URL.Hostname())))
	r = r.WithContext(ctx)
	if c.peer {
		if a, ok := ctx.Value(attemptKey{}).(*attempt); ok && a.n > 1 {
			span.SetAttributes(keyResend.Int(a.n - 1))
		}
		r.Header = r.Header.Clone()
		propagator.Inject(ctx, propagation.HeaderCarrier(r.Header))
	}
	resp, err := c.send(r)
	if err != nil {
		code := hotreader.CodeOf(ctx.Err())
		if code == "" {
			code = hotreader.CodeUnavailable
		}
		failed(span, code)
		span.End()
		return resp, err
	}
	span.SetAttributes(keyStatus.Int(resp.StatusCode))
	if resp.StatusCode >= 400 {
		span.SetStatus(codes.Error, "")
	}
	resp.Body = &body{resp.Body, span}
	return resp, nil
}

// name is what a request is for: names have no device in them.
func (c requests) name(r *http.Request) string {
	if c.peer {
		return r.Method + " /read"
	}
	if target := r.Header.Get("X-Amz-Target"); target != "" { // as DynamoDB_20120810.Query
		return "dynamodb " + target[strings.LastIndexByte(target, '.')+1:]
	}
	if i := strings.LastIndexByte(r.URL.Path, '/'); strings.HasPrefix(r.URL.Path, "/google.firestore.v1.") {
		return "firestore " + r.URL.Path[i+1:]
	}
	return "store " + r.Method
}

// body ends the span of the answer it belongs to.
type body struct {
	io.ReadCloser
	span trace.Span
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		if err != io.EOF {
			failed(b.span, hotreader.CodeUnavailable)
		}
		b.span.End() // a second end does nothing
	}
	return n, err
}

func (b *body) Close() error {
	b.span.End()
	return b.ReadCloser.Close()
}
