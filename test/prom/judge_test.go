package prom

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
	v1 "github.com/prometheus/prometheus/web/api/v1"

	"hotreader"
	"hotreader/catalog"
	"hotreader/promapi"
	"hotreader/store/memstore"
)

// begin is where samples begin: on no edge of a step.
var begin = time.Date(2026, 3, 2, 5, 59, 58, 123_000_000, time.UTC)

const span = 3 * time.Hour

// machine is what one device reports.
type machine struct {
	id, kind   string
	properties []catalog.Property
	rows       []hotreader.Record
}

// machines make series of many kinds: dense and sparse ones, with gaps, jitter, several
// rows in a millisecond, resets, equal and huge values, booleans, texts, and names that
// are no names of metrics.
func machines() []machine {
	random := rand.New(rand.NewPCG(1, 2))
	pump := []catalog.Property{
		{Name: "temperature", Type: hotreader.Double, Unit: "°C"}, {Name: "count", Type: hotreader.Long}, {Name: "running", Type: hotreader.Boolean},
		{Name: "state", Type: hotreader.ShortString}, {Name: "Water Temp", Type: hotreader.Double}, {Name: "Water-Temp", Type: hotreader.Double},
		{Name: "level", Type: hotreader.Integer},
	}
	var all []machine
	for i, id := range []string{"pump-1", "pump-2", "pump-3"} {
		m := machine{id: id, kind: "pump", properties: pump}
		count := int64(i * 100)
		for at := begin.Add(time.Duration(i) * 1700 * time.Millisecond); at.Before(begin.Add(span)); at = at.Add(15 * time.Second) {
			if s := at.Sub(begin); i == 1 && s > 40*time.Minute && s < 52*time.Minute {
				continue // a gap
			}
			if count += int64(random.IntN(9)); random.IntN(200) == 0 {
				count = 0 // a reset
			}
			t := at
			if i == 2 { // not on milliseconds
				t = at.Add(time.Duration(random.Int64N(int64(3 * time.Second))))
			}
			row := hotreader.Record{Time: t, Fields: []hotreader.Field{
				{Name: "temperature", Value: hotreader.Float64Value(float64(random.IntN(40000))/1000 - 3)},
				{Name: "count", Value: hotreader.Int64Value(count)},
				{Name: "running", Value: hotreader.BoolValue(random.IntN(3) > 0)},
				{Name: "state", Value: hotreader.StringValue([]byte("ok"))},
				{Name: "Water Temp", Value: hotreader.Float64Value(random.NormFloat64() * 10)},
			}}
			if random.IntN(4) == 0 {
				row.Fields = append(row.Fields, hotreader.Field{Name: "level", Value: hotreader.Int64Value(int64(random.IntN(4)))})
			}
			m.rows = append(m.rows, row)
			if i == 2 { // more in the same millisecond, and in the one after
				for k := range random.IntN(3) {
					m.rows = append(m.rows, hotreader.Record{Time: t.Truncate(time.Millisecond).Add(time.Duration(k+1) * 600 * time.Microsecond), Fields: []hotreader.Field{
						{Name: "temperature", Value: hotreader.Float64Value(float64(random.IntN(100)))},
						{Name: "Water-Temp", Value: hotreader.Float64Value(float64(k))}}})
				}
			}
		}
		all = append(all, m)
	}
	valve := machine{id: "valve 1", kind: "valve", properties: []catalog.Property{{Name: "temperature", Type: hotreader.Double}, {Name: "opening", Type: hotreader.Double}}}
	for at := begin; at.Before(begin.Add(span)); at = at.Add(time.Duration(200+random.IntN(250)) * time.Second) {
		valve.rows = append(valve.rows, hotreader.Record{Time: at, Fields: []hotreader.Field{
			{Name: "temperature", Value: hotreader.Float64Value(20)}, {Name: "opening", Value: hotreader.Float64Value(random.Float64() * 1e12)}}})
	}
	edge := machine{id: "edge", properties: []catalog.Property{{Name: "edge", Type: hotreader.Double}, {Name: "temperature", Type: hotreader.Double}}}
	for at := begin.Truncate(time.Minute); at.Before(begin.Add(span)); at = at.Add(time.Minute) { // on the steps, and a millisecond beside
		for k := -1; k <= 1; k++ {
			edge.rows = append(edge.rows, hotreader.Record{Time: at.Add(time.Duration(k) * time.Millisecond), Fields: []hotreader.Field{
				{Name: "edge", Value: hotreader.Float64Value(float64(at.Unix()%7200) + float64(k)/8)}}})
		}
		edge.rows = append(edge.rows, hotreader.Record{Time: at.Add(400 * time.Microsecond), Fields: []hotreader.Field{ // of the same millisecond
			{Name: "edge", Value: hotreader.Float64Value(float64(at.Unix()%7200) + 0.5)}}})
	}
	slices.SortFunc(edge.rows, func(a, b hotreader.Record) int { return a.Time.Compare(b.Time) })
	return append(all, valve, edge)
}

// sides are the two APIs over the same samples.
type sides struct{ ours, theirs http.Handler }

func both(tb testing.TB) sides { return bothOf(tb, machines()) }

func bothOf(tb testing.TB, all []machine) sides {
	tb.Helper()
	store := memstore.New()
	var devices []catalog.Device
	for _, m := range all {
		devices = append(devices, catalog.Device{ID: m.id, Type: m.kind, Properties: m.properties})
		if err := store.Write(tb.Context(), m.id, m.rows); err != nil {
			tb.Fatal(err)
		}
	}
	list, err := catalog.Of(devices)
	if err != nil {
		tb.Fatal(err)
	}
	ours, err := promapi.New(promapi.Options{Reader: hotreader.NewReader(store), Catalog: list, Twin: "hall"})
	if err != nil {
		tb.Fatal(err)
	}
	return sides{ours, prometheusAPI(tb, database(tb, all))}
}

// names says by hand what becomes of the properties' names.
var names = map[string]string{"Water Temp": "Water_Temp", "Water-Temp": "Water_Temp"}

// database returns Prometheus' own with the samples that the rows are, told from the
// rows by other code than ours.
func database(tb testing.TB, all []machine) *tsdb.DB {
	tb.Helper()
	o := tsdb.DefaultOptions()
	o.MinBlockDuration, o.MaxBlockDuration = (24 * time.Hour).Milliseconds(), (24 * time.Hour).Milliseconds()
	o.RetentionDuration = 0
	db, err := tsdb.Open(tb.TempDir(), nil, nil, o, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	to := db.Appender(context.Background())
	for _, m := range all {
		for _, p := range m.properties {
			set := map[string]string{"device": m.id, "twin": "hall", model.MetricNameLabel: p.Name}
			if m.kind != "" {
				set["type"] = m.kind
			}
			if legal := names[p.Name]; legal != "" {
				set["property"], set[model.MetricNameLabel] = p.Name, legal
			}
			for _, s := range samples(m, p.Name) {
				if _, err := to.Append(0, labels.FromMap(set), s.at, s.value); err != nil {
					tb.Fatal(err)
				}
			}
		}
	}
	if err := to.Commit(); err != nil {
		tb.Fatal(err)
	}
	return db
}

type point struct {
	at    int64
	value float64
}

func samples(m machine, property string) (all []point) {
	last := map[int64]time.Time{} // the row of a millisecond
	for _, row := range m.rows {
		for _, f := range row.Fields {
			if f.Name != property {
				continue
			}
			value := 0.0
			switch f.Value.Kind() {
			case hotreader.Bool:
				value = map[bool]float64{true: 1}[f.Value.Bool()]
			case hotreader.Number:
				value, _ = strconv.ParseFloat(string(f.Value.Text()), 64)
			default:
				continue
			}
			ms := row.Time.UnixNano() / 1_000_000
			if before, twice := last[ms]; twice {
				if row.Time.After(before) {
					all[len(all)-1].value = value
				}
			} else {
				all = append(all, point{ms, value})
			}
			last[ms] = row.Time
		}
	}
	return all
}

func prometheusAPI(tb testing.TB, db *tsdb.DB) http.Handler {
	tb.Helper()
	p := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 5_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: p,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() }, EnableAtModifier: true, EnableNegativeOffset: true, EnableDelayedNameRemoval: true})
	none := func() (v1.RuntimeInfo, error) { return v1.RuntimeInfo{}, errors.New("none") }
	api := v1.NewAPI(engine, db, nil, nil,
		func(context.Context) v1.ScrapePoolsRetriever { return nil },
		func(context.Context) v1.TargetRetriever { return nil },
		func(context.Context) v1.AlertmanagerRetriever { return nil },
		func() config.Config { return config.Config{} }, nil, v1.GlobalURLOptions{},
		func(f http.HandlerFunc) http.HandlerFunc { return f }, nil, "", false, false, 0, promslog.NewNopLogger(),
		func(context.Context) v1.RulesRetriever { return nil },
		0, 0, 0, false, nil, none, &v1.PrometheusVersion{}, nil, nil,
		prometheus.NewRegistry(), nil, nil, false, nil, false, false, false, 5*time.Minute, false, false, nil, nil,
		v1.OpenAPIOptions{}, p, false, time.Minute)
	router := route.New()
	api.Register(router)
	return http.StripPrefix("/api/v1", router)
}

// get asks a side.
func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/"+path, nil))
	return w
}
