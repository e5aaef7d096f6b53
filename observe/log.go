package observe

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"hotreader"
)

// Log returns h, which sees each query's line before it is written: it is counted,
// tells the span of the request how it went, and on AWS Lambda gets what
// CloudWatch makes metrics of. Lines of a level that h does not write are seen,
// too, but not written.
func (t *Observer) Log(h slog.Handler) slog.Handler {
	if t == nil {
		return h
	}
	return &lines{h, t}
}

type lines struct {
	slog.Handler
	t *Observer
}

// Enabled implements slog.Handler.
func (h *lines) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *lines) Handle(ctx context.Context, r slog.Record) error {
	if l, ok := read(r); ok {
		h.t.seen(ctx, l)
		if h.t.function != "" && h.Handler.Enabled(ctx, r.Level) {
			r = r.Clone()
			r.AddAttrs(h.t.embedded(ctx, l, r.Time)...)
		}
	}
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lines{h.Handler.WithAttrs(attrs), h.t}
}

// WithGroup implements slog.Handler.
func (h *lines) WithGroup(name string) slog.Handler {
	return &lines{h.Handler.WithGroup(name), h.t}
}

// line is a query's line of the log. Its fields are those that the runbook tells
// of.
type line struct {
	route, device, code, token string // route: of a twin's reader, the function
	status                     int64
	rows, points               int64
	looked, skipped            int64
	reads, attempts            int64
	bytesRead, bytes           int64
	duration                   time.Duration
	hasToken, complete         bool
}

func (l *line) outcome() string {
	if l.code == "" {
		return "ok"
	}
	return l.code
}

// read returns what a record says, if it is a query's line.
func read(r slog.Record) (*line, bool) {
	if r.Message != "request" && r.Message != "query" {
		return nil, false
	}
	l := &line{route: "-"}
	r.Attrs(func(a slog.Attr) bool {
		v := a.Value
		number := func(to *int64) {
			if v.Kind() == slog.KindInt64 {
				*to = v.Int64()
			}
		}
		switch a.Key {
		case "route", "function":
			l.route = v.String()
		case "device":
			l.device = v.String()
		case "code":
			l.code = v.String()
		case "token":
			l.token, l.hasToken = v.String(), true
		case "status":
			number(&l.status)
		case "rows":
			number(&l.rows)
		case "points":
			number(&l.points)
		case "looked":
			number(&l.looked)
		case "skipped":
			number(&l.skipped)
			l.complete = true
		case "reads":
			number(&l.reads)
		case "attempts":
			number(&l.attempts)
		case "bytes_read":
			number(&l.bytesRead)
		case "bytes":
			number(&l.bytes)
		case "duration":
			if v.Kind() == slog.KindDuration {
				l.duration = v.Duration()
			}
		}
		return true
	})
	return l, true
}

// seen counts a line and tells its span.
func (t *Observer) seen(ctx context.Context, l *line) {
	t.metrics.query(l)
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	attrs := []attribute.KeyValue{
		keyDevice.String(strings.Clone(l.device)),
		keyRows.Int64(l.rows),
		attribute.Int64("hotreader.points", l.points),
		attribute.Int64("hotreader.skipped", l.skipped),
		attribute.Int64("hotreader.store_reads", l.reads),
		attribute.Int64("hotreader.bytes_read", l.bytesRead),
		attribute.Int64("hotreader.bytes_sent", l.bytes),
	}
	if l.status > 0 {
		attrs = append(attrs, keyStatus.Int64(l.status), attribute.String("http.route", l.route))
		if l.route != "-" {
			span.SetName(l.route)
		}
	}
	if l.token != "" {
		attrs = append(attrs, attribute.String("hotreader.token", l.token)) // which one: current or previous
	}
	span.SetAttributes(attrs...)
	failed(span, hotreader.Code(l.code))
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
// line itself. How long queries take and how many fail Lambda tells by itself, for
// nothing; each metric here has its price.
var (
	outcomes   = json.RawMessage(`{"Namespace":"hotreader","Dimensions":[["function_name","outcome"]],"Metrics":[{"Name":"queries","Unit":"Count"}]}`)
	everyQuery = `{"Namespace":"hotreader","Dimensions":[["function_name"]],"Metrics":[{"Name":"skipped","Unit":"Count"}`
)

// embedded returns what makes l a line in CloudWatch's embedded metric format.
func (t *Observer) embedded(ctx context.Context, l *line, at time.Time) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("function_name", t.function),
		slog.Int("queries", 1),
	}
	directives := []json.RawMessage{outcomes}
	if l.complete {
		every := everyQuery
		if t.open != nil {
			var n int64
			if s, ok := ctx.Value(scopeKey{}).(*scope); ok {
				n = s.retries.Load()
			}
			attrs = append(attrs, slog.Int64("retries", n), slog.Int("breaker_open", int(flag(t.open()))))
			every += `,{"Name":"retries","Unit":"Count"},{"Name":"breaker_open","Unit":"Count"}`
		}
		if age := t.age(); age == age {
			attrs = append(attrs, slog.Int64("token_age_s", int64(age)))
			every += `,{"Name":"token_age_s","Unit":"Seconds"}`
		}
		directives = append(directives, json.RawMessage(every+"]}"))
	}
	return append(attrs, slog.Group("_aws",
		slog.Int64("Timestamp", at.UnixMilli()),
		slog.Any("CloudWatchMetrics", directives)))
}
