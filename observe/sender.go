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
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"hotreader"
	"hotreader/internal/punctual"
)

// spans is the exporter of spans.
type spans struct{ to *sender }

// ExportSpans implements sdk.SpanExporter. It fails never: what cannot be
// delivered is lost, and the sender logs that.
func (e spans) ExportSpans(ctx context.Context, list []sdk.ReadOnlySpan) error {
	return hotreader.Recovered("send spans", func() error { // the SDK calls it in a goroutine
		all := make([]object, len(list))
		for i, s := range list {
			all[i] = spanOf(s)
		}
		e.to.send(ctx, all)
		return nil
	})
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
			DialContext: punctual.Dial((&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}).DialContext, 5*time.Second), TLSHandshakeTimeout: 3 * time.Second,
			ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second,
		},
		// The headers hold a key.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// send delivers list, or logs, at most once a minute, that it cannot.
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
	req, err := http.NewRequestWithContext(punctual.Attempt(ctx), http.MethodPost, s.to.url, bytes.NewReader(body))
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

// pusher sends the metrics to a collector: every interval, and if a program
// is frozen between requests, with the next one.
type pusher struct {
	m        *metrics
	to       *sender
	interval time.Duration
	stop     context.CancelFunc // of run, also while it sends
	stopped  chan struct{}

	mu   sync.Mutex // held during a send
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
			_ = hotreader.Recovered("send metrics", func() error { p.due(ctx); return nil })
		case <-ctx.Done():
			return
		}
	}
}

// due sends, unless that was done less than half an interval ago, or a send is
// under way: a query must not wait for what a collector that hangs makes others
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

// close sends what is left.
func (p *pusher) close(ctx context.Context) {
	p.stop()
	<-p.stopped
	p.mu.Lock()
	defer p.mu.Unlock()
	p.send(ctx)
	p.to.client.CloseIdleConnections()
}
