// Package seen is what is seen of a query: one value, from which its line of the
// log, its span and its metrics are made. The parts that answer queries fill it and
// need not know the observers.
package seen

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"hotreader"
)

// Query is a query that has been answered. It holds no value of a property and no
// token.
type Query struct {
	Level slog.Level // of its line

	// Route is the method and pattern of a request of the API, "-" = none was
	// found; Function is that of a twin that was invoked. Neither is set where
	// a function got no further than to its gateway.
	Route, Function string

	RequestID string // of an invocation on AWS Lambda
	TraceID   string
	Device    string

	Properties int  // of a Function: how many were asked for
	FirstPage  bool // of a Function

	Status        int    // of a Route: the answer's
	Token, Caller string // of a Route: which token came, "" = none that is right; from which address

	Rows, Points int
	Stats        *hotreader.Stats // nil = of the gateway
	Bytes        int64            // of the answer, as it was sent
	Duration     time.Duration
	Err          error // how it failed; nil = it did not
}

// Code is the failure's; "" = none.
func (q *Query) Code() hotreader.Code { return hotreader.CodeOf(q.Err) }

// Outcome is "ok", or the failure's code.
func (q *Query) Outcome() string {
	if q.Err == nil {
		return "ok"
	}
	return string(q.Code())
}

// Observer sees queries.
type Observer interface {
	// Query sees q, and returns what its line holds after the fields of its own.
	Query(ctx context.Context, q *Query) []slog.Attr
}

// Tell passes q to an observer, which may be nil, and logs its line. A line that logger does
// not write is seen, too.
func (q *Query) Tell(ctx context.Context, logger *slog.Logger, to Observer) {
	var more []slog.Attr
	if to != nil {
		more = to.Query(ctx, q)
	}
	if !logger.Enabled(ctx, q.Level) {
		return
	}
	message := "request"
	if q.Function != "" {
		message = "query"
	}
	logger.LogAttrs(ctx, q.Level, message, append(q.fields(), more...)...)
}

// maxWarnings bounds a line; "skipped" counts what all of them say.
const maxWarnings = 32

func (q *Query) warnings() []hotreader.Warning {
	if q.Stats == nil {
		return nil
	}
	all := q.Stats.Warnings()
	return all[:min(len(all), maxWarnings)]
}

// maxError bounds what a line says of an error: a panic's stacks fit, what a caller sent
// 65 KB of does not.
const maxError = 16 << 10

func clipped(text string) string {
	if len(text) <= maxError {
		return text
	}
	return strings.ToValidUTF8(text[:maxError], "") + "…"
}

// fields are those of the line, which the runbook describes, in their order.
func (q *Query) fields() []slog.Attr {
	all := make([]slog.Attr, 0, 32)
	switch {
	case q.Route != "":
		all = append(all, slog.String("route", q.Route), slog.Int("status", q.Status))
	case q.Function != "":
		all = append(all, slog.String("function", q.Function), slog.String("request_id", q.RequestID))
	default:
		all = append(all, slog.String("request_id", q.RequestID))
	}
	if q.Stats != nil {
		all = append(all, slog.String("trace_id", q.TraceID), slog.String("device", q.Device))
		if q.Function != "" {
			all = append(all, slog.Int("properties", q.Properties), slog.Bool("first_page", q.FirstPage))
		}
		all = append(all,
			slog.Int("rows", q.Rows),
			slog.Int("points", q.Points),
			slog.Int64("looked", q.Stats.Looked.Load()),
			slog.Int64("skipped", q.Stats.Skipped()),
			slog.Int64("reads", q.Stats.Reads.Load()),
			slog.Int64("attempts", q.Stats.Attempts.Load()),
			slog.Int64("bytes_read", q.Stats.Bytes.Load()),
			slog.Int64("bytes", q.Bytes),
			slog.Duration("duration", q.Duration))
	}
	if w := q.warnings(); len(w) > 0 {
		all = append(all, slog.Any("warnings", w))
	}
	if q.Route != "" {
		all = append(all, slog.String("token", q.Token), slog.String("caller", q.Caller))
	}
	all = append(all, slog.String("outcome", q.Outcome()))
	if q.Err != nil {
		all = append(all, slog.String("code", string(q.Code())), slog.String("error", clipped(q.Err.Error())))
		if e, ok := errors.AsType[*hotreader.Error](q.Err); ok && e.RetryAfter > 0 && q.Route == "" {
			all = append(all, slog.Duration("retry_after", e.RetryAfter))
		}
	}
	return all
}
