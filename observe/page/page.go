// Package page shows metrics to Prometheus: in its text form, over HTTP, beside
// those of Go's runtime and of the process.
package page

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hotreader/observe"
)

// Path is where the page is.
const Path = "/metrics"

// Handler returns the page of t's metrics. It has no other path, and nothing on it
// is secret.
func Handler(t *observe.Observer) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector{t})
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

// collector shows samples as they are.
type collector struct{ t *observe.Observer }

// Describe implements prometheus.Collector. It names nothing: which series there
// are is known when they are collected.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.t.Metrics() {
		desc := prometheus.NewDesc(s.Desc.Name, s.Desc.Help, s.Desc.Labels, nil)
		var m prometheus.Metric
		var err error
		switch s.Desc.Kind {
		case observe.Histogram:
			buckets, below := make(map[float64]uint64, len(s.Desc.Bounds)), uint64(0)
			for i, bound := range s.Desc.Bounds {
				below += s.Counts[i]
				buckets[bound] = below
			}
			m, err = prometheus.NewConstHistogram(desc, s.Count, s.Value, buckets, s.Labels...)
		case observe.Gauge:
			m, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, s.Value, s.Labels...)
		default:
			m, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, s.Value, s.Labels...)
		}
		if err != nil {
			m = prometheus.NewInvalidMetric(desc, err)
		}
		ch <- m
	}
}
