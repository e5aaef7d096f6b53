package observe

import (
	"context"
	"strconv"
	"sync"
	"time"
)

// pusher sends the metrics to a collector: every interval, and where a program
// stands still between requests, with the next one.
type pusher struct {
	m        *metrics
	to       *sender
	who      otlpResource
	interval time.Duration
	stop     context.CancelFunc // of run, also while it sends
	stopped  chan struct{}

	mu   sync.Mutex // held while somebody sends
	last time.Time
}

func newPusher(m *metrics, to *sender, who otlpResource, interval time.Duration) *pusher {
	ctx, stop := context.WithCancel(context.Background())
	p := &pusher{m: m, to: to, who: who, interval: interval, stop: stop, stopped: make(chan struct{}), last: time.Now()}
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
	p.to.send(ctx, metricData{[]resourceMetrics{{p.who, []scopeMetrics{{otlpScope{scopeName}, otlpMetrics(p.m.samples(), p.m.began, p.last)}}}}})
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

type metricData struct {
	ResourceMetrics []resourceMetrics `json:"resourceMetrics"`
}

type resourceMetrics struct {
	Resource     otlpResource   `json:"resource"`
	ScopeMetrics []scopeMetrics `json:"scopeMetrics"`
}

type scopeMetrics struct {
	Scope   otlpScope    `json:"scope"`
	Metrics []otlpMetric `json:"metrics"`
}

type otlpMetric struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Unit        string         `json:"unit"`
	Sum         *otlpSum       `json:"sum,omitempty"`
	Gauge       *otlpGauge     `json:"gauge,omitempty"`
	Histogram   *otlpHistogram `json:"histogram,omitempty"`
}

// cumulative is the temporality of all that is counted here.
const cumulative = 2

type otlpSum struct {
	Points      []otlpNumber `json:"dataPoints"`
	Temporality int          `json:"aggregationTemporality"`
	Monotonic   bool         `json:"isMonotonic"`
}

type otlpGauge struct {
	Points []otlpNumber `json:"dataPoints"`
}

type otlpNumber struct {
	Attributes []keyValue `json:"attributes,omitempty"`
	Start      string     `json:"startTimeUnixNano,omitempty"`
	Time       string     `json:"timeUnixNano"`
	Value      float64    `json:"asDouble"`
}

type otlpHistogram struct {
	Points      []otlpBuckets `json:"dataPoints"`
	Temporality int           `json:"aggregationTemporality"`
}

type otlpBuckets struct {
	Attributes []keyValue `json:"attributes,omitempty"`
	Start      string     `json:"startTimeUnixNano"`
	Time       string     `json:"timeUnixNano"`
	Count      string     `json:"count"`
	Sum        float64    `json:"sum"`
	Counts     []string   `json:"bucketCounts"`
	Bounds     []float64  `json:"explicitBounds"`
}

// otlpMetrics returns samples, which are in order, metric by metric. The names
// are those of the page, so that one dashboard fits both.
func otlpMetrics(samples []Sample, began, now time.Time) []otlpMetric {
	var all []otlpMetric
	for i := range samples {
		s := &samples[i]
		if len(all) == 0 || all[len(all)-1].Name != s.Desc.Name {
			m := otlpMetric{Name: s.Desc.Name, Description: s.Desc.Help, Unit: s.Desc.Unit}
			switch s.Desc.Kind {
			case Counter:
				m.Sum = &otlpSum{Temporality: cumulative, Monotonic: true}
			case Gauge:
				m.Gauge = &otlpGauge{}
			case Histogram:
				m.Histogram = &otlpHistogram{Temporality: cumulative}
			}
			all = append(all, m)
		}
		m := &all[len(all)-1]
		var labels []keyValue
		for i, name := range s.Desc.Labels {
			labels = append(labels, keyValue{name, text(s.Labels[i])})
		}
		switch {
		case m.Sum != nil:
			m.Sum.Points = append(m.Sum.Points, otlpNumber{labels, nanos(began), nanos(now), s.Value})
		case m.Gauge != nil:
			m.Gauge.Points = append(m.Gauge.Points, otlpNumber{labels, "", nanos(now), s.Value})
		default:
			b := otlpBuckets{labels, nanos(began), nanos(now), strconv.FormatUint(s.Count, 10), s.Value, nil, s.Desc.Bounds}
			for _, n := range s.Counts {
				b.Counts = append(b.Counts, strconv.FormatUint(n, 10))
			}
			m.Histogram.Points = append(m.Histogram.Points, b)
		}
	}
	return all
}
