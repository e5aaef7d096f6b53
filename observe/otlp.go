package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// OTLP in its JSON form, as opentelemetry-proto has it: names in lower camel case,
// ids in hexadecimal, 64-bit integers as text, enumerations as numbers.
// (OpenTelemetry's own exporters write protobuf, which alone would double the
// functions' programs.)

type keyValue struct {
	Key   string   `json:"key"`
	Value anyValue `json:"value"`
}

type anyValue struct {
	String *string  `json:"stringValue,omitempty"`
	Bool   *bool    `json:"boolValue,omitempty"`
	Int    *string  `json:"intValue,omitempty"`
	Double *float64 `json:"doubleValue,omitempty"`
}

func text(s string) anyValue { return anyValue{String: &s} }

// valueOf returns v, which of the kinds that are used here has one form each, and
// of any other its text.
func valueOf(v attribute.Value) anyValue {
	switch v.Type() {
	case attribute.BOOL:
		b := v.AsBool()
		return anyValue{Bool: &b}
	case attribute.INT64:
		n := strconv.FormatInt(v.AsInt64(), 10)
		return anyValue{Int: &n}
	case attribute.FLOAT64:
		f := v.AsFloat64()
		return anyValue{Double: &f}
	}
	return text(v.String())
}

type otlpResource struct {
	Attributes []keyValue `json:"attributes"`
}

// resource returns who speaks.
func resource(c *settings, o *Options) otlpResource {
	name := c.service
	if name == "" {
		name = o.Program
	}
	r := otlpResource{[]keyValue{{"service.name", text(name)}, {"service.version", text(o.Version)}}}
	if o.Function != "" {
		r.Attributes = append(r.Attributes, keyValue{"faas.name", text(o.Function)})
	}
	for _, a := range c.attributes {
		r.Attributes = append(r.Attributes, keyValue{a[0], text(a[1])})
	}
	return r
}

type otlpScope struct {
	Name string `json:"name"`
}

type traceData struct {
	ResourceSpans []resourceSpans `json:"resourceSpans"`
}

type resourceSpans struct {
	Resource   otlpResource `json:"resource"`
	ScopeSpans []scopeSpans `json:"scopeSpans"`
}

type scopeSpans struct {
	Scope otlpScope  `json:"scope"`
	Spans []otlpSpan `json:"spans"`
}

type otlpSpan struct {
	TraceID    string     `json:"traceId"`
	SpanID     string     `json:"spanId"`
	TraceState string     `json:"traceState,omitempty"`
	ParentID   string     `json:"parentSpanId,omitempty"`
	Flags      uint32     `json:"flags"`
	Name       string     `json:"name"`
	Kind       int        `json:"kind"`
	Start      string     `json:"startTimeUnixNano"`
	End        string     `json:"endTimeUnixNano"`
	Attributes []keyValue `json:"attributes,omitempty"`
	Status     otlpStatus `json:"status"`
}

type otlpStatus struct {
	Message string `json:"message,omitempty"`
	Code    int    `json:"code,omitempty"`
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// The flags of a span beside W3C's: whether it is known that its parent is of
// another process, and whether it is.
const (
	flagKnowsRemote = 0x100
	flagIsRemote    = 0x200
)

func spanOf(s sdk.ReadOnlySpan) otlpSpan {
	c, parent := s.SpanContext(), s.Parent()
	o := otlpSpan{
		TraceID: c.TraceID().String(), SpanID: c.SpanID().String(), TraceState: c.TraceState().String(),
		Flags: uint32(c.TraceFlags()) | flagKnowsRemote, Name: s.Name(),
		Kind:  int(s.SpanKind()), // of one order with OTLP's
		Start: nanos(s.StartTime()), End: nanos(s.EndTime()),
	}
	if parent.HasSpanID() {
		o.ParentID = parent.SpanID().String()
	}
	if parent.IsRemote() {
		o.Flags |= flagIsRemote
	}
	for _, a := range s.Attributes() {
		o.Attributes = append(o.Attributes, keyValue{string(a.Key), valueOf(a.Value)})
	}
	switch status := s.Status(); status.Code {
	case codes.Error:
		o.Status = otlpStatus{status.Description, 2}
	case codes.Ok:
		o.Status = otlpStatus{"", 1}
	}
	return o
}

// spans is the exporter of spans.
type spans struct {
	to  *sender
	who otlpResource
}

// ExportSpans implements sdk.SpanExporter. It fails never: what cannot be
// delivered is lost, which the sender tells.
func (e *spans) ExportSpans(ctx context.Context, list []sdk.ReadOnlySpan) error {
	all := make([]otlpSpan, len(list))
	for i, s := range list {
		all[i] = spanOf(s)
	}
	e.to.send(ctx, traceData{[]resourceSpans{{e.who, []scopeSpans{{otlpScope{scopeName}, all}}}}})
	return nil
}

// Shutdown implements sdk.SpanExporter.
func (e *spans) Shutdown(context.Context) error {
	e.to.client.CloseIdleConnections()
	return nil
}

// sender posts documents to a collector. It tries once: a collector that is away
// must not hold up queries.
type sender struct {
	to     *target
	client *http.Client
	what   string
	logger *slog.Logger

	mu   sync.Mutex
	told time.Time
}

func newSender(to *target, what string, logger *slog.Logger) *sender {
	return &sender{to: to, what: what, logger: logger, client: &http.Client{
		Timeout: to.timeout,
		Transport: &http.Transport{
			Proxy:       http.ProxyFromEnvironment,
			DialContext: (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}).DialContext, TLSHandshakeTimeout: 3 * time.Second,
			ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second,
		},
		// The headers hold a key.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (s *sender) send(ctx context.Context, document any) {
	if err := s.post(ctx, document); err != nil {
		s.tell(ctx, err)
	}
}

func (s *sender) post(ctx context.Context, document any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return err
	}
	if s.to.zip {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body) // a buffer takes all
		_ = z.Close()
		body = b.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.to.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the endpoint is no URL")
	}
	req.Header = s.to.header.Clone()
	req.Header.Set("Content-Type", "application/json")
	if s.to.zip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the URL may hold a key
		}
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is kept
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// tell logs a failure, at most one a minute.
func (s *sender) tell(ctx context.Context, err error) {
	if s.logger == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.told.IsZero() && time.Since(s.told) < time.Minute {
		return
	}
	s.told = time.Now()
	s.logger.LogAttrs(ctx, slog.LevelWarn, s.what+" cannot be delivered, some are lost", slog.String("collector", s.to.host), slog.String("error", err.Error()))
}
