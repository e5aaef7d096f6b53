package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	event "hotreader/observe/seen"
	"hotreader/store/memstore"
)

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return m[name] }
}

// TestNothingAskedIsNothingDone: without variables there is no Observer, and what
// it wraps is what it was given.
func TestNothingAskedIsNothingDone(t *testing.T) {
	for name, getenv := range map[string]func(string) string{
		"nothing":    env(),
		"disabled":   env("OTEL_SDK_DISABLED", "true", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
		"none":       env("OTEL_TRACES_EXPORTER", "none", "OTEL_METRICS_EXPORTER", "none", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
		"names only": env("OTEL_SERVICE_NAME", "x", "OTEL_TRACES_SAMPLER", "always_on"),
	} {
		seen, err := New(Options{Getenv: getenv, Program: "p"})
		if err != nil || seen != nil {
			t.Fatalf("%s: %v, %v", name, seen, err)
		}
		store, mux := memstore.New(), http.NewServeMux()
		if seen.Reads("x", store) != hotreader.Source(store) || seen.Handler(mux) != http.Handler(mux) || seen.Query(t.Context(), &event.Query{}) != nil ||
			seen.Peer(http.DefaultTransport) != http.DefaultTransport || seen.Store(http.DefaultTransport) != http.DefaultTransport {
			t.Errorf("%s: something is wrapped", name)
		}
		if err := seen.Close(t.Context()); err != nil || seen.Metrics() != nil || seen.Page() != "" || seen.TraceID(t.Context()) != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVariables(t *testing.T) {
	const secret = "k3y-of-the-collector"
	for _, c := range []struct {
		env  []string
		want string // in the error, once
		o    Options
	}{
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT: is not a URL", Options{}},
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://x"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: is not a URL", Options{}},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "https://u:" + secret + "@x"}, "OTEL_EXPORTER_OTLP_ENDPOINT: carries user info", Options{}},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://x", "OTEL_EXPORTER_OTLP_HEADERS", "key=" + secret}, "OTEL_EXPORTER_OTLP_HEADERS: would be sent in the clear", Options{}},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_HEADERS", secret}, "OTEL_EXPORTER_OTLP_HEADERS: cannot be read", Options{}},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_HEADERS", "key=" + secret + "%0A"}, "OTEL_EXPORTER_OTLP_HEADERS: cannot be read", Options{}},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, `OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" is not spoken`, Options{}},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_TIMEOUT", "10s"}, `OTEL_EXPORTER_OTLP_TIMEOUT: "10s" is not a whole number`, Options{}},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"}, `OTEL_EXPORTER_OTLP_COMPRESSION: "zstd" is not known`, Options{}},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", "sometimes"}, `OTEL_TRACES_SAMPLER: "sometimes" is not known`, Options{}},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "2"}, `OTEL_TRACES_SAMPLER_ARG: "2" is not a number from 0 to 1`, Options{}},
		{[]string{"OTEL_TRACES_EXPORTER", "jaeger"}, `OTEL_TRACES_EXPORTER: "jaeger" is not known`, Options{}},
		{[]string{"OTEL_METRICS_EXPORTER", "statsd"}, `OTEL_METRICS_EXPORTER: "statsd" is not known`, Options{}},
		{[]string{"OTEL_METRICS_EXPORTER", "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT", "x"}, `OTEL_EXPORTER_PROMETHEUS_PORT: invalid port "x"`, Options{}},
		{[]string{"OTEL_RESOURCE_ATTRIBUTES", "a"}, "OTEL_RESOURCE_ATTRIBUTES: cannot be read", Options{}},
		{[]string{"OTEL_TRACES_EXPORTER", "x", "OTEL_METRICS_EXPORTER", "y"}, "2 to be changed", Options{}},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "https://x", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, "grpc", Options{}}, // which both signals read
		{[]string{"OTEL_METRICS_EXPORTER", "prometheus"}, "beside an Azure function", Options{Unasked: true}},
		{[]string{"OTEL_METRICS_EXPORTER", "prometheus"}, "a function of AWS Lambda", Options{Function: "f"}},
	} {
		c.o.Getenv = env(c.env...)
		seen, err := New(c.o)
		if seen != nil || hotreader.CodeOf(err) != hotreader.CodeConfig || strings.Count(err.Error(), c.want) != 1 || strings.Contains(err.Error(), secret) || Check(c.o) == nil {
			t.Errorf("%v: %v", c.env, err)
		}
	}
}

// TestXRay: an invocation belongs to the trace that its header names, if it names
// one.
func TestXRay(t *testing.T) {
	const header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
	for header, own := range map[string]bool{
		header: true, header + ";Lineage=": true, " " + strings.ReplaceAll(header, ";", "; "): true,
		"": false, header[:40]: false, strings.Replace(header, "1-", "2-", 1): false, strings.Replace(header, "72793;", "7279;", 1): false,
		strings.Replace(header, "53995c3f42cd8ad8", "xx", 1): false, strings.Replace(header, "5759e988-bd862e3fe1be46a994272793", "00000000-000000000000000000000000", 1): false,
	} {
		s := watch(t, Options{Function: "f"}, "OTEL_TRACES_EXPORTER", "otlp", "_X_AMZN_TRACE_ID", header)
		s.invoke("hot-reader", func(ctx context.Context) {
			if id := s.TraceID(ctx); len(id) != 32 || (id == "5759e988bd862e3fe1be46a994272793") != own {
				t.Errorf("%q: the trace is %s", header, id)
			}
		})
	}
}

// watched is an Observer with its log, and a collector.
type watched struct {
	*Observer
	t    *testing.T
	log  *bytes.Buffer
	said func() (*http.Request, []byte)
}

func watch(t *testing.T, o Options, pairs ...string) *watched {
	t.Helper()
	url, last := receiver(t)
	o.Getenv, o.Program = env(append(pairs, "OTEL_EXPORTER_OTLP_ENDPOINT", url)...), "p"
	seen, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &watched{seen, t, new(bytes.Buffer), last}
}

// tell tells of q, whose line is in the log then.
func (w *watched) tell(ctx context.Context, q event.Query) {
	w.log.Reset()
	q.Tell(ctx, slog.New(slog.NewJSONHandler(w.log, nil)), w)
}

func (w *watched) invoke(name string, do func(context.Context)) {
	w.t.Helper()
	i := w.Invoker(name, invoke(func(ctx context.Context, _ []byte) ([]byte, error) {
		do(ctx)
		return []byte("answer"), nil
	}))
	if answer, err := i.Invoke(w.t.Context(), nil); string(answer) != "answer" || err != nil {
		w.t.Errorf("%s, %v", answer, err)
	}
}

// end returns what the collector got last.
func (w *watched) end() string {
	w.t.Helper()
	if err := w.Close(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	_, body := w.said()
	return string(body)
}

func failure(code hotreader.Code) error { return &hotreader.Error{Code: code} }

// TestStrangersLeaveNoSpans: a request without the right token is not told to the
// collector. An invocation that fails because the other cloud refused
// the function's own token is.
func TestStrangersLeaveNoSpans(t *testing.T) {
	s := watch(t, Options{}, "OTEL_METRICS_EXPORTER", "none")
	h := s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.tell(r.Context(), event.Query{Route: "-", Stats: new(hotreader.Stats), Err: failure(hotreader.Code(strings.TrimPrefix(r.URL.Path, "/")))})
	}))
	for _, path := range []string{"/unauthenticated", "/invalid", "/healthz", "/openapi.json"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
	}
	if body := s.end(); strings.Contains(body, "unauthenticated") || strings.Count(body, `"spanId"`) != 1 || !strings.Contains(body, "invalid") {
		t.Error(body)
	}
	own := watch(t, Options{Function: "f"})
	own.invoke("hot-reader", func(ctx context.Context) {
		own.tell(ctx, event.Query{Function: "hot-reader", Stats: new(hotreader.Stats), Err: failure(hotreader.CodeUnauthenticated)})
	})
	if _, body := own.said(); !strings.Contains(string(body), "unauthenticated") {
		t.Errorf("the collector has %q", body)
	}
}

// TestCollectorAway: it costs spans, not queries, and the log says so once.
func TestCollectorAway(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer s.Close()
	var log bytes.Buffer
	w := watch(t, Options{Function: "f", Logger: slog.New(slog.NewJSONHandler(&log, nil))}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", s.URL+"/k3y")
	for range 3 {
		w.invoke("hot-reader", func(context.Context) {})
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "status 503") || strings.Contains(log.String(), "k3y") {
		t.Errorf("the log says %s", log.String())
	}
}

// hangs is the way to a collector that takes a connection and says nothing.
type hangs struct{}

func (hangs) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestCollectorHangs: while metrics are on their way to it, neither a query nor
// the end of the program waits until they are given up.
func TestCollectorHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := newSender(&target{url: "http://collector", header: http.Header{}, timeout: time.Hour}, nil, nil)
		to.client.Transport = hangs{}
		m := newMetrics("")
		seen := &Observer{metrics: m, push: newPusher(m, to, time.Minute)}
		time.Sleep(2 * time.Minute)
		if seen.push.mu.TryLock() {
			t.Fatal("nothing is on its way")
		}
		began := time.Now()
		i := seen.Invoker("", invoke(func(context.Context, []byte) ([]byte, error) { return nil, nil }))
		if _, err := i.Invoke(t.Context(), nil); err != nil || time.Since(began) > 0 {
			t.Errorf("%v, after %s", err, time.Since(began))
		}
		if err := seen.Close(t.Context()); err != nil || time.Since(began) > flushTime {
			t.Errorf("the end: %v, after %s", err, time.Since(began))
		}
	})
}

type invoke func(context.Context, []byte) ([]byte, error)

func (f invoke) Invoke(ctx context.Context, event []byte) ([]byte, error) { return f(ctx, event) }

// units are those that CloudWatch knows.
var units = []string{"Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits",
	"Terabits", "Percent", "Count", "Bytes/Second", "Count/Second", "None"}

// embeddedMetrics checks line by the rules of the embedded metric format, version
// 0, and returns dimensions and values, metric by metric.
func embeddedMetrics(t *testing.T, line []byte) map[string]string {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(line, &root); err != nil || bytes.Count(line, []byte("\n")) != 1 {
		t.Fatalf("%v: %s", err, line)
	}
	var meta struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		} `json:"_aws"`
	}
	if err := json.Unmarshal(line, &meta); err != nil {
		t.Fatal(err)
	}
	if at := time.UnixMilli(meta.AWS.Timestamp); time.Since(at).Abs() > time.Hour {
		t.Errorf("Timestamp is %s; CloudWatch takes 14 days back and 2 hours ahead", at)
	}
	all := map[string]string{}
	for _, d := range meta.AWS.CloudWatchMetrics {
		if d.Namespace != Namespace || strings.HasPrefix(d.Namespace, "AWS/") || len(d.Metrics) == 0 || len(d.Metrics) > 100 || len(d.Dimensions) == 0 {
			t.Errorf("directive %v", d)
		}
		for _, set := range d.Dimensions {
			var dims []string
			if len(set) > 30 {
				t.Errorf("%d dimensions", len(set))
			}
			for _, key := range set {
				value, ok := root[key].(string)
				if !ok || value == "" || len(value) > 1024 || !regexp.MustCompile(`^[\x20-\x7e]{1,250}$`).MatchString(key) || strings.HasPrefix(key, ":") {
					t.Errorf("dimension %q is %v", key, root[key])
				}
				dims = append(dims, key+"="+value)
			}
			for _, m := range d.Metrics {
				value, ok := root[m.Name].(float64)
				if !ok || !slices.Contains(units, m.Unit) {
					t.Errorf("metric %q of unit %q is %v", m.Name, m.Unit, root[m.Name])
				}
				all[m.Name+" "+strings.Join(dims, " ")] = fmt.Sprint(value)
			}
		}
	}
	return all
}

// TestLinesAreEmbeddedMetrics: on Lambda a query's line is one that CloudWatch
// makes metrics of. What is counted of a peer is in both kinds of metrics.
func TestLinesAreEmbeddedMetrics(t *testing.T) {
	const f = " function_name=factory-hot-reader"
	s := watch(t, Options{Function: "factory-hot-reader", Page: true}, "OTEL_TRACES_EXPORTER", "none")
	s.Made(func() time.Time { return time.Now().Add(-90 * time.Minute) })
	far := s.Retried(s.Breaker(&tried{}), func(r hotreader.Source) hotreader.Source { return thrice{r} })
	stats := new(hotreader.Stats)
	stats.LeaveOut("p", hotreader.WrongType, 3)
	for _, c := range []struct {
		q    event.Query
		want map[string]string
	}{
		{event.Query{Function: "hot-reader", Device: "pump-7", Stats: stats, Duration: time.Second}, map[string]string{
			"queries" + f + " outcome=ok": "1", "skipped" + f: "3", "retries" + f: "2", "breaker_open" + f: "1", "token_age_s" + f: "5400"}},
		{event.Query{Err: failure(hotreader.CodeInvalid)}, map[string]string{"queries" + f + " outcome=invalid": "1"}},
	} {
		s.invoke("", func(ctx context.Context) {
			for range far.Scan(ctx, hotreader.Query{}) {
			}
			s.tell(ctx, c.q)
		})
		if got := embeddedMetrics(t, s.log.Bytes()); !maps.Equal(got, c.want) {
			t.Errorf("got  %v\nwant %v", got, c.want)
		}
	}
	want := map[string]float64{"hotreader_remote_attempts_total": 6, "hotreader_remote_retries_total": 4, "hotreader_breaker_open": 1, "hotreader_breaker_openings_total": 1}
	for _, m := range s.Metrics() {
		if n, ok := want[m.Desc.Name]; ok && m.Value != n {
			t.Errorf("%s is %g, want %g", m.Desc.Name, m.Value, n)
		}
		delete(want, m.Desc.Name)
	}
	if len(want) > 0 {
		t.Errorf("there is no %v", want)
	}
}

// tried is a peer whose breaker is open; thrice tries a Source three times.
type (
	tried  struct{ hotreader.Source }
	thrice struct{ hotreader.Source }
)

func (*tried) Open() bool    { return true }
func (*tried) Openings() int { return 1 }
func (*tried) Scan(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return hotreader.Fail(failure(hotreader.CodeUnavailable))
}

func (s thrice) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(func(hotreader.Row, error) bool) {
		for range 3 {
			s.Source.Scan(ctx, q)(func(hotreader.Row, error) bool { return true })
		}
	}
}

// TestSpansEndHoweverAReadEnds: by rows, an error, a caller that has enough, and
// one that panics.
func TestSpansEndHoweverAReadEnds(t *testing.T) {
	seen := watch(t, Options{}, "OTEL_METRICS_EXPORTER", "none")
	store := memstore.New()
	if err := store.Write(t.Context(), "d", []hotreader.Record{{Time: time.Unix(1, 0), Fields: []hotreader.Field{{Name: "p", Value: hotreader.BoolValue(true)}}}}); err != nil {
		t.Fatal(err)
	}
	r := seen.Reads("read", store)
	q := hotreader.Query{Device: "d", Properties: []string{"p"}}
	for range r.Scan(t.Context(), q) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range r.Scan(ctx, q) {
		if !errors.Is(err, hotreader.CodeCanceled) {
			t.Error(err)
		}
	}
	func() {
		defer func() { _ = recover() }()
		for range r.Scan(t.Context(), q) {
			panic("the caller's")
		}
	}()
	if body := seen.end(); strings.Count(body, `"spanId"`) != 3 || strings.Count(body, `"error.type"`) != 1 {
		t.Error(body)
	}
	if n := seen.running.Load(); n != 0 {
		t.Errorf("%d reads run", n)
	}
}
