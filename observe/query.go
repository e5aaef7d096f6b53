package observe

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"hotreader"
	"hotreader/observe/seen"
)

// Query implements seen.Observer: it counts q, and records its outcome in the span of its
// request. On AWS Lambda the line gets what CloudWatch makes metrics of.
func (t *Observer) Query(ctx context.Context, q *seen.Query) []slog.Attr {
	if t == nil {
		return nil
	}
	t.metrics.query(q)
	t.end(trace.SpanFromContext(ctx), q)
	if t.function == "" {
		return nil
	}
	return t.embedded(ctx, q)
}

// costs returns what q cost; of one that got no further than to the gateway,
// nothing.
func costs(q *seen.Query) *hotreader.Stats { return cmp.Or(q.Stats, new(hotreader.Stats)) }

// end records the outcome of a request in its span.
func (t *Observer) end(span trace.Span, q *seen.Query) {
	if !span.IsRecording() {
		return
	}
	stats := costs(q)
	span.SetAttributes(
		keyDevice.String(strings.Clone(q.Device)),
		keyRows.Int(q.Rows),
		attribute.Int("hotreader.points", q.Points),
		attribute.Int64("hotreader.skipped", stats.Skipped()),
		attribute.Int64("hotreader.store_reads", stats.Reads.Load()),
		attribute.Int64("hotreader.bytes_read", stats.Bytes.Load()),
		attribute.Int64("hotreader.bytes_sent", q.Bytes))
	if q.Status > 0 {
		span.SetAttributes(keyStatus.Int(q.Status), attribute.String("http.route", q.Route))
		if q.Route != "-" {
			span.SetName(q.Route)
		}
	}
	if q.Token != "" {
		span.SetAttributes(attribute.String("hotreader.token", q.Token)) // which one: current or previous
	}
	failed(span, q.Code())
}

// Made says when the inter-cloud token was made, which is the zero time as long
// as that is not known.
func (t *Observer) Made(at func() time.Time) {
	if t == nil {
		return
	}
	t.made = at
	t.metrics.gauge(tokenAge, t.age)
}

// age is the token's, in seconds; NaN if it is not known.
func (t *Observer) age() float64 {
	if t.made == nil {
		return math.NaN()
	}
	at := t.made()
	if at.IsZero() {
		return math.NaN()
	}
	return max(time.Since(at), 0).Seconds()
}

// Namespace is where CloudWatch keeps the metrics.
const Namespace = "hotreader"

// What CloudWatch makes metrics of, by its embedded metric format: numbers of the
// line itself. Lambda itself reports how long queries take and how many fail, for
// nothing; each metric here has its price.
var (
	outcomes   = json.RawMessage(`{"Namespace":"hotreader","Dimensions":[["function_name","outcome"]],"Metrics":[{"Name":"queries","Unit":"Count"}]}`)
	everyQuery = `{"Namespace":"hotreader","Dimensions":[["function_name"]],"Metrics":[{"Name":"skipped","Unit":"Count"}`
)

// embedded returns what makes q's line one in CloudWatch's embedded metric format.
func (t *Observer) embedded(ctx context.Context, q *seen.Query) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("function_name", t.function),
		slog.Int("queries", 1),
	}
	directives := []json.RawMessage{outcomes}
	if q.Stats != nil {
		every := everyQuery
		if t.open != nil {
			var n int64
			if s, ok := ctx.Value(scopeKey{}).(*scope); ok {
				n = s.retries.Load()
			}
			attrs = append(attrs, slog.Int64("retries", n), slog.Int("breaker_open", int(flag(t.open()))))
			every += `,{"Name":"retries","Unit":"Count"},{"Name":"breaker_open","Unit":"Count"}`
		}
		if age := t.age(); !math.IsNaN(age) {
			attrs = append(attrs, slog.Int64("token_age_s", int64(age)))
			every += `,{"Name":"token_age_s","Unit":"Seconds"}`
		}
		directives = append(directives, json.RawMessage(every+"]}"))
	}
	return append(attrs, slog.Group("_aws",
		slog.Int64("Timestamp", time.Now().UnixMilli()),
		slog.Any("CloudWatchMetrics", directives)))
}
