package observe

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
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

// resource returns who speaks.
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

// spans is the exporter of spans.
type spans struct{ to *sender }

// ExportSpans implements sdk.SpanExporter. It fails never: what cannot be
// delivered is lost, which the sender tells.
func (e spans) ExportSpans(ctx context.Context, list []sdk.ReadOnlySpan) error {
	all := make([]object, len(list))
	for i, s := range list {
		all[i] = spanOf(s)
	}
	e.to.send(ctx, all)
	return nil
}

// Shutdown implements sdk.SpanExporter.
func (e spans) Shutdown(context.Context) error {
	e.to.client.CloseIdleConnections()
	return nil
}

// sender posts spans or metrics to a collector. It tries once: a collector that is
// away must not hold up queries.
type sender struct {
	to     *target
	who    []object
	client *http.Client
	logger *slog.Logger

	mu   sync.Mutex
	told time.Time
}

func newSender(to *target, who []object, logger *slog.Logger) *sender {
	return &sender{to: to, who: who, logger: logger, client: &http.Client{
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

// send delivers list, or tells the log, at most once a minute, that it cannot.
func (s *sender) send(ctx context.Context, list []object) {
	err := s.post(ctx, list)
	if err == nil || s.logger == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.told.IsZero() && time.Since(s.told) < time.Minute {
		return
	}
	s.told = time.Now()
	s.logger.LogAttrs(ctx, slog.LevelWarn, s.to.signal+" cannot be delivered, some are lost", slog.String("collector", s.to.host), slog.String("error", err.Error()))
}

func (s *sender) post(ctx context.Context, list []object) error {
	kind := map[string]string{traces: "Spans", measures: "Metrics"}[s.to.signal]
	body, err := json.Marshal(object{"resource" + kind: []object{{
		"resource":     object{"attributes": s.who},
		"scope" + kind: []object{{"scope": object{"name": scopeName}, strings.ToLower(kind): list}},
	}}})
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

// pusher sends the metrics to a collector: every interval, and where a program
// stands still between requests, with the next one.
type pusher struct {
	m        *metrics
	to       *sender
	interval time.Duration
	stop     context.CancelFunc // of run, also while it sends
	stopped  chan struct{}

	mu   sync.Mutex // held while somebody sends
	last time.Time
}

func newPusher(m *metrics, to *sender, interval time.Duration) *pusher {
	ctx, stop := context.WithCancel(context.Background())
	p := &pusher{m: m, to: to, interval: interval, stop: stop, stopped: make(chan struct{}), last: time.Now()}
	go p.run(ctx)
	return p
}

func (p *pusher) run(ctx context.Context) {
	defer close(p.stopped)
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.due(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// due sends, unless that was done less than half an interval ago, or somebody is
// about it: a query must not wait for what a collector that hangs makes others
// wait for.
func (p *pusher) due(ctx context.Context) {
	if !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	if time.Since(p.last) >= p.interval/2 {
		p.send(ctx)
	}
}

// send sends; p.mu is held.
func (p *pusher) send(ctx context.Context) {
	p.last = time.Now()
	p.to.send(ctx, metricsOf(p.m.samples(), p.m.began, p.last))
}

// close sends what is left to tell.
func (p *pusher) close(ctx context.Context) {
	p.stop()
	<-p.stopped
	p.mu.Lock()
	defer p.mu.Unlock()
	p.send(ctx)
	p.to.client.CloseIdleConnections()
}
