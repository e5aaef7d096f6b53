package observe

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// object is one of OTLP's messages in its JSON form, as opentelemetry-proto has
// it: names in lower camel case, ids in hexadecimal, 64-bit integers as text,
// enumerations as numbers. (OpenTelemetry's own exporters write protobuf, which
// alone would double the functions' programs.)
type object = map[string]any

func keyValue(key string, value object) object { return object{"key": key, "value": value} }

func text(s string) object { return object{"stringValue": s} }

// valueOf returns v, which of the kinds that are used here has one form each, and
// of any other its text.
func valueOf(v attribute.Value) object {
	switch v.Type() {
	case attribute.BOOL:
		return object{"boolValue": v.AsBool()}
	case attribute.INT64:
		return object{"intValue": strconv.FormatInt(v.AsInt64(), 10)}
	case attribute.FLOAT64:
		return object{"doubleValue": v.AsFloat64()}
	}
	return text(v.String())
}

// resource describes this program.
func resource(c *settings, o *Options) []object {
	who := []object{keyValue("service.name", text(cmp.Or(c.service, o.Program))), keyValue("service.version", text(o.Version))}
	if o.Function != "" {
		who = append(who, keyValue("faas.name", text(o.Function)))
	}
	for _, a := range c.attributes {
		who = append(who, keyValue(a[0], text(a[1])))
	}
	return who
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// The flags of a span beside W3C's: whether it is known that its parent is of
// another process, and whether it is.
const (
	flagKnowsRemote = 0x100
	flagIsRemote    = 0x200
)

func spanOf(s sdk.ReadOnlySpan) object {
	c, parent := s.SpanContext(), s.Parent()
	flags := uint32(c.TraceFlags()) | flagKnowsRemote
	if parent.IsRemote() {
		flags |= flagIsRemote
	}
	attributes := []object{}
	for _, a := range s.Attributes() {
		attributes = append(attributes, keyValue(string(a.Key), valueOf(a.Value)))
	}
	status := object{}
	switch s.Status().Code {
	case codes.Error:
		status = object{"message": s.Status().Description, "code": 2}
	case codes.Ok:
		status = object{"code": 1}
	}
	o := object{
		"traceId": c.TraceID().String(), "spanId": c.SpanID().String(), "traceState": c.TraceState().String(), "flags": flags,
		"name": s.Name(), "kind": int(s.SpanKind()), // of one order with OTLP's
		"startTimeUnixNano": nanos(s.StartTime()), "endTimeUnixNano": nanos(s.EndTime()), "attributes": attributes, "status": status,
	}
	if parent.HasSpanID() {
		o["parentSpanId"] = parent.SpanID().String()
	}
	return o
}

// cumulative is the temporality of all that is counted here.
const cumulative = 2

// metricsOf returns samples, which are in order, metric by metric. The names are
// those of the page, so that one dashboard fits both.
func metricsOf(samples []Sample, began, now time.Time) (all []object) {
	for len(samples) > 0 {
		d := samples[0].Desc
		n := slices.IndexFunc(samples, func(s Sample) bool { return s.Desc != d })
		if n < 0 {
			n = len(samples)
		}
		var points []object
		for i := range samples[:n] {
			points = append(points, pointOf(&samples[i], began, now))
		}
		m := object{"name": d.Name, "description": d.Help, "unit": d.Unit}
		switch d.Kind {
		case Counter:
			m["sum"] = object{"dataPoints": points, "aggregationTemporality": cumulative, "isMonotonic": true}
		case Gauge:
			m["gauge"] = object{"dataPoints": points}
		case Histogram:
			m["histogram"] = object{"dataPoints": points, "aggregationTemporality": cumulative}
		}
		all, samples = append(all, m), samples[n:]
	}
	return all
}

func pointOf(s *Sample, began, now time.Time) object {
	labels := []object{}
	for i, name := range s.Desc.Labels {
		labels = append(labels, keyValue(name, text(s.Labels[i])))
	}
	o := object{"attributes": labels, "timeUnixNano": nanos(now)}
	if s.Desc.Kind != Gauge {
		o["startTimeUnixNano"] = nanos(began)
	}
	if s.Desc.Kind != Histogram {
		o["asDouble"] = s.Value
		return o
	}
	counts := make([]string, len(s.Counts))
	for i, n := range s.Counts {
		counts[i] = strconv.FormatUint(n, 10)
	}
	o["count"], o["sum"] = strconv.FormatUint(s.Count, 10), s.Value
	o["bucketCounts"], o["explicitBounds"] = counts, s.Desc.Bounds
	return o
}
