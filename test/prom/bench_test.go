package prom

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"hotreader"
	"hotreader/catalog"
)

// BenchmarkAgainstPrometheus: the same expressions over the same samples, a day of ten
// devices that report four properties each 15 s, here over a store in memory, there over
// Prometheus' database. Each query of ours is followed by one of theirs; the ratio is that
// of the medians.
func BenchmarkAgainstPrometheus(b *testing.B) {
	s := bothOf(b, day())
	from := begin.Truncate(time.Minute)
	for _, c := range []struct{ name, expression, step string }{
		{"plain", "temperature", "60"},
		{"every sample", `temperature{device="d3"}`, "15"},
		{"sum", "sum by (type) (temperature)", "60"},
		{"all properties", `{device="d3"}`, "60"},
		{"rate", "rate(count[5m])", "60"},
		{"highest", "max_over_time(temperature[10m])", "300"},
		{"join", "temperature - on (device) level", "60"},
		{"subquery", "max_over_time(sum(temperature)[30m:1m])", "600"},
		{"latest", "temperature", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := fmt.Sprintf("query_range?query=%s&start=%d&end=%d&step=%s", url.QueryEscape(c.expression), from.Unix(), from.Add(24*time.Hour).Unix(), c.step)
			if c.step == "" {
				path = fmt.Sprintf("query?query=%s&time=%d", url.QueryEscape(c.expression), from.Add(12*time.Hour).Unix())
			}
			timed := func(h http.Handler) float64 {
				began := time.Now()
				if w := get(h, path); w.Code != http.StatusOK || w.Body.Len() < 200 {
					b.Fatalf("%d %.200s", w.Code, w.Body)
				}
				return time.Since(began).Seconds() * 1e3
			}
			timed(s.ours)
			timed(s.theirs)
			var ours, theirs []float64
			for b.Loop() {
				ours, theirs = append(ours, timed(s.ours)), append(theirs, timed(s.theirs))
			}
			slices.Sort(ours)
			slices.Sort(theirs)
			b.ReportMetric(ours[len(ours)/2], "ms")
			b.ReportMetric(ours[len(ours)/2]/theirs[len(theirs)/2], "×Prometheus")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func day() (all []machine) {
	random := rand.New(rand.NewPCG(3, 4))
	names := []string{"temperature", "count", "level", "running"}
	properties := make([]catalog.Property, len(names))
	for i, name := range names {
		properties[i] = catalog.Property{Name: name, Type: hotreader.Double}
	}
	for i := range 10 {
		m := machine{id: fmt.Sprint("d", i), kind: fmt.Sprint("k", i%2), properties: properties}
		value := [4]float64{20, 0, 5, 1}
		for at := begin; at.Before(begin.Add(24 * time.Hour)); at = at.Add(15 * time.Second) {
			row := hotreader.Record{Time: at}
			for k, name := range names {
				value[k] += float64(random.IntN(200)) / 100
				row.Fields = append(row.Fields, hotreader.Field{Name: name, Value: hotreader.Float64Value(float64(int(value[k]*100)) / 100)})
			}
			m.rows = append(m.rows, row)
		}
		all = append(all, m)
	}
	return all
}
