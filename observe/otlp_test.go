package observe

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	usual "go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
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

// ids are those of a document: OTLP has them in hexadecimal, protobuf's own JSON
// as any bytes.
var ids = regexp.MustCompile(`("(?:traceId|spanId|parentSpanId)":")([^"]*)`)

func base64IDs(document []byte) []byte {
	return ids.ReplaceAllFunc(document, func(b []byte) []byte {
		m := ids.FindSubmatch(b)
		raw, err := hex.DecodeString(string(m[2]))
		if err != nil || string(m[2]) != hex.EncodeToString(raw) {
			return b // which is no base64 of so many bytes, and found to be another
		}
		return base64.StdEncoding.AppendEncode(m[1], raw)
	})
}

// TestSpansAreAsTheUsualExporterHasThem: the same spans through OpenTelemetry's own
// exporter, in protobuf, and through ours are the same message.
func TestSpansAreAsTheUsualExporterHasThem(t *testing.T) {
	oursURL, ours := receiver(t)
	usualURL, theirs := receiver(t)
	o := &Options{Program: "p", Version: "1.2.3", Getenv: env("OTEL_EXPORTER_OTLP_ENDPOINT", oursURL+"/base/", "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip",
		"OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%2Cb", "OTEL_SERVICE_NAME", "twin", "OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test, a=b%20c")}
	c, err := readConfig(o)
	if err != nil {
		t.Fatal(err)
	}
	stock, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(usualURL+"/v1/traces"))
	if err != nil {
		t.Fatal(err)
	}
	list := tracetest.NewInMemoryExporter()
	tracer := sdk.NewTracerProvider(sdk.WithSyncer(list), sdk.WithSampler(sdk.AlwaysSample()), sdk.WithResource(usual.NewSchemaless(
		attribute.String("service.name", "twin"), attribute.String("service.version", "1.2.3"), attribute.String("deployment.environment.name", "test"), attribute.String("a", "b c")))).Tracer(scopeName)
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
	for _, e := range []sdk.SpanExporter{stock, spans{newSender(c.traces, resource(c, o), nil)}} {
		if err := e.ExportSpans(t.Context(), list.GetSpans().Snapshots()); err != nil {
			t.Fatal(err)
		}
	}
	var got, want tracepb.ExportTraceServiceRequest
	r, document := ours()
	if r.URL.Path != "/base/v1/traces" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Api-Key") != "a,b" {
		t.Errorf("%s, %v", r.URL.Path, r.Header)
	}
	if err := protojson.Unmarshal(base64IDs(document), &got); err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	_, raw := theirs()
	if err := proto.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*tracepb.ExportTraceServiceRequest{&got, &want} { // attributes of a resource have no order
		slices.SortFunc(m.ResourceSpans[0].Resource.Attributes, func(a, b *common.KeyValue) int { return cmp.Compare(a.Key, b.Key) })
	}
	if !proto.Equal(&got, &want) || len(got.ResourceSpans[0].ScopeSpans[0].Spans) != 3 {
		t.Errorf("ours\n%s\nthe usual\n%s", protojson.Format(&got), protojson.Format(&want))
	}
}

// TestMetricsAreOTLP: what a collector gets is a message of the protocol, with all
// that the page has.
func TestMetricsAreOTLP(t *testing.T) {
	s := watch(t, Options{}, "OTEL_TRACES_EXPORTER", "none")
	s.tell(t.Context(), event.Query{Route: "GET /x", Err: failure(hotreader.CodeThrottled), Token: "current", Points: 3, Duration: 20 * time.Millisecond})
	_ = s.Breaker(&tried{})
	want := s.Metrics()
	document := s.end()
	var got metricspb.ExportMetricsServiceRequest
	if err := protojson.Unmarshal([]byte(document), &got); err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	n := 0
	next := func(name string, labels []*common.KeyValue) Sample {
		t.Helper()
		w := want[min(n, len(want)-1)]
		n++
		if n > len(want) || name != w.Desc.Name || len(labels) != len(w.Desc.Labels) {
			t.Fatalf("series %d is %s %v, want %v", n, name, labels, w)
		}
		for i, l := range labels {
			if l.Key != w.Desc.Labels[i] || l.Value.GetStringValue() != w.Labels[i] {
				t.Errorf("%s has the labels %v, want %v", name, labels, w)
			}
		}
		return w
	}
	for _, m := range got.ResourceMetrics[0].ScopeMetrics[0].Metrics {
		for _, p := range append(m.GetSum().GetDataPoints(), m.GetGauge().GetDataPoints()...) {
			w := next(m.Name, p.Attributes)
			if counter := w.Desc.Kind == Counter; p.GetAsDouble() != w.Value || m.GetSum().GetIsMonotonic() != counter || p.StartTimeUnixNano > 0 != counter {
				t.Errorf("%v for %v", m, w)
			}
		}
		for _, p := range m.GetHistogram().GetDataPoints() {
			w := next(m.Name, p.Attributes)
			if p.Count != w.Count || !slices.Equal(p.BucketCounts, w.Counts) || p.GetSum() != w.Value || !slices.Equal(p.ExplicitBounds, w.Desc.Bounds) {
				t.Errorf("%v for %v", p, w)
			}
		}
	}
	if n != len(want) || n < 20 {
		t.Errorf("%d series were sent, there are %d", n, len(want))
	}
}
