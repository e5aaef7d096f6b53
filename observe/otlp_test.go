package observe

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	usual "go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"hotreader"
	event "hotreader/observe/seen"
)

// receiver returns an endpoint and what was posted to it last.
func receiver(t *testing.T) (url string, last func() (*http.Request, []byte)) {
	t.Helper()
	var request *http.Request
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var in io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			in, _ = gzip.NewReader(r.Body)
		}
		request = r
		body, _ = io.ReadAll(in)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() (*http.Request, []byte) { return request, body }
}

// base64IDs rewrites ids, which OTLP has in hexadecimal, as protobuf's own JSON
// has bytes.
func base64IDs(t *testing.T, document []byte) []byte {
	t.Helper()
	var tree any
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				if text, ok := value.(string); ok && (key == "traceId" || key == "spanId" || key == "parentSpanId") {
					raw, err := hex.DecodeString(text)
					if err != nil || text != strings.ToLower(text) {
						t.Errorf("%s is %q", key, text)
					}
					v[key] = base64.StdEncoding.EncodeToString(raw)
					continue
				}
				walk(value)
			}
		case []any:
			for _, value := range v {
				walk(value)
			}
		}
	}
	walk(tree)
	out, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSpansAreAsTheUsualExporterHasThem: the same spans through OpenTelemetry's own
// exporter, in protobuf, and through ours are the same message.
func TestSpansAreAsTheUsualExporterHasThem(t *testing.T) {
	oursURL, ours := receiver(t)
	usualURL, theirs := receiver(t)
	c, err := readConfig(&Options{Getenv: func(name string) string {
		return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": oursURL + "/base/", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%2Cb",
			"OTEL_SERVICE_NAME": "twin", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test, a=b%20c"}[name]
	}})
	if err != nil {
		t.Fatal(err)
	}
	stock, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(usualURL+"/v1/traces"))
	if err != nil {
		t.Fatal(err)
	}
	mine := spans{newSender(c.traces, resource(c, &Options{Program: "p", Version: "1.2.3"}), nil)}
	list := &keep{}
	provider := sdk.NewTracerProvider(sdk.WithSyncer(list), sdk.WithSampler(sdk.AlwaysSample()), sdk.WithResource(usual.NewSchemaless(
		attribute.String("service.name", "twin"), attribute.String("service.version", "1.2.3"), attribute.String("deployment.environment.name", "test"), attribute.String("a", "b c"))))
	tracer := provider.Tracer(scopeName)
	state, err := trace.ParseTraceState("vendor=1")
	if err != nil {
		t.Fatal(err)
	}
	far := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 0xab}, SpanID: trace.SpanID{2, 0xcd}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true})
	ctx, server := tracer.Start(trace.ContextWithRemoteSpanContext(t.Context(), far), "POST /read", trace.WithSpanKind(trace.SpanKindServer))
	_, client := tracer.Start(ctx, "dynamodb \"Query\" é\n", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("s", "<&> \u2028"), attribute.Int64("n", 1<<62), attribute.Bool("b", false), attribute.Float64("f", 0.1), attribute.Int("zero", 0)))
	client.SetStatus(codes.Error, "unavailable")
	client.End()
	server.SetStatus(codes.Ok, "")
	server.End()
	_, root := tracer.Start(context.Background(), "alone")
	root.End()
	if err := stock.ExportSpans(t.Context(), list.spans); err != nil {
		t.Fatal(err)
	}
	if err := mine.ExportSpans(t.Context(), list.spans); err != nil {
		t.Fatal(err)
	}
	var got, want tracepb.ExportTraceServiceRequest
	r, document := ours()
	if r.URL.Path != "/base/v1/traces" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Api-Key") != "a,b" {
		t.Errorf("%s, %v", r.URL.Path, r.Header)
	}
	if err := protojson.Unmarshal(base64IDs(t, document), &got); err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	_, raw := theirs()
	if err := proto.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	// Attributes of a resource have no order.
	for _, m := range []*tracepb.ExportTraceServiceRequest{&got, &want} {
		attrs := m.ResourceSpans[0].Resource.Attributes
		for i := range attrs {
			for k := i; k > 0 && attrs[k].Key < attrs[k-1].Key; k-- {
				attrs[k], attrs[k-1] = attrs[k-1], attrs[k]
			}
		}
	}
	if !proto.Equal(&got, &want) {
		t.Errorf("ours\n%s\nthe usual\n%s", protojson.Format(&got), protojson.Format(&want))
	}
	if n := len(got.ResourceSpans[0].ScopeSpans[0].Spans); n != 3 {
		t.Errorf("%d spans", n)
	}
}

// keep collects spans that have ended.
type keep struct{ spans []sdk.ReadOnlySpan }

func (k *keep) ExportSpans(_ context.Context, s []sdk.ReadOnlySpan) error {
	k.spans = append(k.spans, s...)
	return nil
}

func (*keep) Shutdown(context.Context) error { return nil }

// TestMetricsAreOTLP: what a collector gets is a message of the protocol, with all
// that the page has.
func TestMetricsAreOTLP(t *testing.T) {
	url, last := receiver(t)
	seen, err := New(Options{Getenv: func(name string) string {
		return map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": url + "/x"}[name]
	}, Program: "p", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	seen.Query(t.Context(), &event.Query{Route: "GET /x", Err: failure(hotreader.CodeThrottled), Token: "current", Points: 3, Duration: 20 * time.Millisecond})
	seen.metrics.gauge(breakerOpen, func() float64 { return 1 })
	want := seen.Metrics()
	if err := seen.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, document := last()
	if r.URL.Path != "/x" {
		t.Errorf("path %s", r.URL.Path)
	}
	var got metricspb.ExportMetricsServiceRequest
	if err := protojson.Unmarshal(document, &got); err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	n := 0
	for _, m := range got.ResourceMetrics[0].ScopeMetrics[0].Metrics {
		for range m.GetSum().GetDataPoints() {
			if want[n].Desc.Name != m.Name || m.GetSum().GetDataPoints()[0].StartTimeUnixNano == 0 || !m.GetSum().IsMonotonic {
				t.Errorf("%v for %v", m, want[n])
			}
			n++
		}
		n += len(m.GetGauge().GetDataPoints())
		for _, p := range m.GetHistogram().GetDataPoints() {
			sum := uint64(0)
			for _, c := range p.BucketCounts {
				sum += c
			}
			if p.Count != want[n].Count || sum != p.Count || p.GetSum() != want[n].Value || len(p.BucketCounts) != len(p.ExplicitBounds)+1 {
				t.Errorf("%v for %v", p, want[n])
			}
			n++
		}
	}
	if n != len(want) || n < 20 {
		t.Errorf("%d series were sent, there are %d", n, len(want))
	}
}
