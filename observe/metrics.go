package observe

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"hotreader"
	"hotreader/observe/seen"
)

// Kind is how a metric behaves.
type Kind uint8

// The kinds.
const (
	Counter Kind = iota
	Gauge
	Histogram
)

// Desc describes a metric. Labels have few values each: never a device, a token
// or a value of observe.
type Desc struct {
	Name, Help string
	Unit       string // of UCUM, as OpenTelemetry has it
	Kind       Kind
	Labels     []string
	Bounds     []float64 // of a Histogram's buckets
}

// id is a metric's place in Descs.
type id int

const (
	queries id = iota
	queryDuration
	rowsRead
	points
	skippedPoints
	lookedRows
	storeReads
	bytesRead
	bytesSent
	throttled
	tokenUses
	attempts
	retries
	breakerOpen
	breakerOpenings
	readsRunning
	requestsRunning
	readWait
	tokenAge
	lastEntryAge
	cacheHits
	cacheMisses
	cacheSaved
	cacheBytes
	cacheAge
	buildInfo
	metricCount
)

// Descs lists every metric of a page and of OTLP.
func Descs() []Desc {
	route := []string{"route"}
	return []Desc{
		queries:         {"hotreader_queries_total", "Queries by route and outcome: ok, or the code of the failure.", "{query}", Counter, []string{"route", "code"}, nil},
		queryDuration:   {"hotreader_query_duration_seconds", "From the request to the last byte of the answer.", "s", Histogram, route, []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}},
		rowsRead:        {"hotreader_rows_total", "Rows that belong to answers.", "{row}", Counter, route, nil},
		points:          {"hotreader_points_total", "Values of properties in these rows.", "{point}", Counter, route, nil},
		skippedPoints:   {"hotreader_skipped_points_total", "Values left out: unreadable, or not of their declared type.", "{point}", Counter, route, nil},
		lookedRows:      {"hotreader_looked_rows_total", "Stored rows looked at.", "{row}", Counter, route, nil},
		storeReads:      {"hotreader_store_reads_total", "Calls to the store, or pages of it.", "{read}", Counter, route, nil},
		bytesRead:       {"hotreader_bytes_read_total", "Bytes that came from the store or the other cloud.", "By", Counter, route, nil},
		bytesSent:       {"hotreader_bytes_sent_total", "Bytes of answers, as they were sent.", "By", Counter, route, nil},
		throttled:       {"hotreader_throttled_total", "Queries that were throttled: by the rate of their token, or by the store.", "{query}", Counter, []string{"by", "token"}, nil},
		tokenUses:       {"hotreader_token_uses_total", "Requests by which token came: current, previous, or none that is right.", "{request}", Counter, []string{"token"}, nil},
		attempts:        {"hotreader_remote_attempts_total", "Attempts at the API in the other cloud.", "{attempt}", Counter, nil, nil},
		retries:         {"hotreader_remote_retries_total", "Those attempts that were not the first of a read.", "{attempt}", Counter, nil, nil},
		breakerOpen:     {"hotreader_breaker_open", "1 while the breaker rejects reads of the other cloud.", "1", Gauge, nil, nil},
		breakerOpenings: {"hotreader_breaker_openings_total", "How often the breaker opened.", "{opening}", Counter, nil, nil},
		readsRunning:    {"hotreader_reads_running", "Reads under way.", "{read}", Gauge, nil, nil},
		requestsRunning: {"hotreader_requests_running", "Requests under way: those that read, and those that wait for a place or for their body.", "{request}", Gauge, nil, nil},
		readWait:        {"hotreader_read_wait_seconds", "From a request's coming until it reads: its body, and the wait for a place.", "s", Histogram, nil, []float64{.001, .01, .1, .5, 1, 2.5, 5}},
		tokenAge:        {"hotreader_token_age_seconds", "Since the inter-cloud token was made, where that is known.", "s", Gauge, nil, nil},
		lastEntryAge:    {"hotreader_last_entry_age_seconds", "How old the newest row was of each last-entry answer.", "s", Histogram, nil, []float64{1, 10, 60, 300, 900, 3600, 21600, 86400, 604800}},
		cacheHits:       {"hotreader_cache_hits_total", "Parts of ranges that came from the cache.", "{part}", Counter, nil, nil},
		cacheMisses:     {"hotreader_cache_misses_total", "Parts of ranges that were read, by queries that the cache is for.", "{part}", Counter, nil, nil},
		cacheSaved:      {"hotreader_cache_saved_bytes_total", "Bytes that the parts from the cache took when they were read.", "By", Counter, nil, nil},
		cacheBytes:      {"hotreader_cache_bytes", "Memory that the cache takes.", "By", Gauge, nil, nil},
		cacheAge:        {"hotreader_cache_age_seconds", "How long ago the oldest part was read of each answer from the cache.", "s", Histogram, nil, []float64{1, 10, 30, 60, 300, 900, 3600, 21600, 86400}},
		buildInfo:       {"hotreader_build_info", "1, with the program's version.", "1", Gauge, []string{"version"}, nil},
	}
}

// Sample is a metric's value for one set of labels.
type Sample struct {
	Desc   *Desc
	Labels []string // values, as Desc.Labels
	Value  float64  // of a Counter or Gauge; a Histogram's sum
	Count  uint64   // of a Histogram
	Counts []uint64 // of a Histogram: of each bucket alone, the last above all bounds
}

// metrics counts. It holds at most a few hundred series. Nil counts nothing.
type metrics struct {
	descs []Desc
	began time.Time

	mu     sync.Mutex
	series map[series]*Sample
	gauges map[id]func() float64 // asked when they are looked at; NaN = not known
}

type series struct {
	id   id
	a, b string // values of the labels
}

func newMetrics(version string) *metrics {
	m := &metrics{descs: Descs(), began: time.Now(), series: map[series]*Sample{}, gauges: map[id]func() float64{}}
	// What has no labels is there from the start, so that the first time shows
	// as an increase.
	for i, d := range m.descs {
		if len(d.Labels) == 0 && d.Kind != Gauge {
			m.at(id(i), "", "")
		}
	}
	m.at(buildInfo, version, "").Value = 1
	for _, by := range []string{"rate", "store"} {
		for _, token := range []string{"current", "previous"} {
			m.at(throttled, by, token)
		}
	}
	return m
}

// at returns a series, which it makes if it is not there; m.mu is held.
func (m *metrics) at(i id, a, b string) *Sample {
	k := series{i, a, b}
	s := m.series[k]
	if s == nil {
		d := &m.descs[i]
		s = &Sample{Desc: d, Labels: []string{a, b}[:len(d.Labels)]}
		if d.Kind == Histogram {
			s.Counts = make([]uint64, len(d.Bounds)+1)
		}
		m.series[k] = s
	}
	return s
}

func (m *metrics) add(i id, n float64, a, b string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at(i, a, b).Value += n
}

func (m *metrics) observe(i id, v float64, label string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.at(i, label, "")
	s.Value += v
	s.Count++
	at, _ := slices.BinarySearch(s.Desc.Bounds, v) // bounds belong to the bucket below
	s.Counts[at]++
}

// gauge has value called whenever the metrics are read. It is for a counter,
// too, that another component keeps.
func (m *metrics) gauge(i id, value func() float64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gauges[i] = value
}

// query counts a query.
func (m *metrics) query(q *seen.Query) {
	if m == nil {
		return
	}
	route, stats := cmp.Or(q.Route, q.Function, "-"), costs(q)
	m.add(queries, 1, route, q.Outcome())
	m.observe(queryDuration, q.Duration.Seconds(), route)
	m.add(rowsRead, float64(q.Rows), route, "")
	m.add(points, float64(q.Points), route, "")
	m.add(skippedPoints, float64(stats.Skipped()), route, "")
	m.add(lookedRows, float64(stats.Looked.Load()), route, "")
	m.add(storeReads, float64(stats.Reads.Load()), route, "")
	m.add(bytesRead, float64(stats.Bytes.Load()), route, "")
	m.add(bytesSent, float64(q.Bytes), route, "")
	if age := stats.Age.Load(); age > 0 {
		m.observe(cacheAge, time.Duration(age).Seconds(), "")
	}
	if q.Route == "" {
		return // TwinMaker shows a function no token
	}
	token := cmp.Or(q.Token, "none")
	m.add(tokenUses, 1, token, "")
	if q.Code() == hotreader.CodeThrottled {
		by := "store"
		if q.Device == "" { // it was rejected before it was parsed
			by = "rate"
		}
		m.add(throttled, 1, by, token)
	}
}

// Metrics returns the metrics as they are now, in the order of Descs; nil where
// none are counted.
func (t *Observer) Metrics() []Sample {
	if t == nil {
		return nil
	}
	return t.metrics.samples()
}

func (m *metrics) samples() []Sample {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	all := make(map[series]Sample, len(m.series))
	for k, s := range m.series {
		one := *s
		one.Counts = slices.Clone(s.Counts)
		all[k] = one
	}
	gauges := maps.Clone(m.gauges)
	m.mu.Unlock()
	for i, f := range gauges { // which may wait for locks of others
		if v := f(); !math.IsNaN(v) { // else it is not known
			all[series{id: i}] = Sample{Desc: &m.descs[i], Value: v}
		}
	}
	var samples []Sample
	for _, k := range slices.SortedFunc(maps.Keys(all), func(x, y series) int {
		return cmp.Or(cmp.Compare(x.id, y.id), cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b))
	}) {
		samples = append(samples, all[k])
	}
	return samples
}
