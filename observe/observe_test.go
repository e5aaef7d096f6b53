package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
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
		store, mux, logs := memstore.New(), http.NewServeMux(), slog.DiscardHandler
		if seen.Reads("x", store) != hotreader.Source(store) || seen.Handler(mux) != http.Handler(mux) || seen.Log(logs) != logs ||
			seen.Peer(http.DefaultTransport) != http.DefaultTransport || seen.Store(http.DefaultTransport) != http.DefaultTransport {
			t.Errorf("%s: something is wrapped", name)
		}
		ctx := t.Context()
		if n := testing.AllocsPerRun(100, func() { _ = seen.TraceID(ctx) }); n != 0 {
			t.Errorf("%s: %g allocations", name, n)
		}
		if err := seen.Close(ctx); err != nil || seen.Metrics() != nil || seen.Page() != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVariables(t *testing.T) {
	const secret = "k3y-of-the-collector"
	for _, c := range []struct {
		env  []string
		want string // a line of the error
	}{
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT: is not a URL"},
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://x"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: is not a URL"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "https://u:" + secret + "@x"}, "OTEL_EXPORTER_OTLP_ENDPOINT: carries user info"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://x", "OTEL_EXPORTER_OTLP_HEADERS", "key=" + secret}, "OTEL_EXPORTER_OTLP_HEADERS: would be sent in the clear"},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_HEADERS", secret}, "OTEL_EXPORTER_OTLP_HEADERS: cannot be read"},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_HEADERS", "key=" + secret + "%0A"}, "OTEL_EXPORTER_OTLP_HEADERS: cannot be read"},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, `OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" is not spoken`},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_TIMEOUT", "10s"}, `OTEL_EXPORTER_OTLP_TIMEOUT: "10s" is not a whole number`},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"}, `OTEL_EXPORTER_OTLP_COMPRESSION: "zstd" is not known`},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", "sometimes"}, `OTEL_TRACES_SAMPLER: "sometimes" is not known`},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "2"}, `OTEL_TRACES_SAMPLER_ARG: "2" is not a number from 0 to 1`},
		{[]string{"OTEL_TRACES_EXPORTER", "jaeger"}, `OTEL_TRACES_EXPORTER: "jaeger" is not known`},
		{[]string{"OTEL_METRICS_EXPORTER", "statsd"}, `OTEL_METRICS_EXPORTER: "statsd" is not known`},
		{[]string{"OTEL_METRICS_EXPORTER", "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT", "x"}, `OTEL_EXPORTER_PROMETHEUS_PORT: "x" is no port`},
		{[]string{"OTEL_RESOURCE_ATTRIBUTES", "a"}, "OTEL_RESOURCE_ATTRIBUTES: cannot be read"},
	} {
		seen, err := New(Options{Getenv: env(c.env...), Program: "p"})
		if seen != nil || hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains("\n"+err.Error(), "\n"+c.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%v: %v", c.env, err)
		}
	}
	// All at once.
	_, err := New(Options{Getenv: env("OTEL_TRACES_EXPORTER", "x", "OTEL_METRICS_EXPORTER", "y"), Program: "p"})
	if err == nil || !strings.Contains(err.Error(), "2 to be changed") {
		t.Errorf("%v", err)
	}
	if err := Check(Options{Getenv: env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://x", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")}); err == nil || strings.Count(err.Error(), "grpc") != 1 {
		t.Errorf("what both signals read is told of twice: %v", err)
	}
	if err := Check(Options{Getenv: env("OTEL_METRICS_EXPORTER", "prometheus"), Unasked: true}); err == nil {
		t.Error("on Azure Functions a page is taken, which nothing can ask")
	}
	if _, err := New(Options{Getenv: env("OTEL_METRICS_EXPORTER", "prometheus"), Function: "f"}); err == nil {
		t.Error("a page on Lambda")
	}
}

func TestXRay(t *testing.T) {
	for header, want := range map[string]string{
		"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1":          "5759e988bd862e3fe1be46a994272793 53995c3f42cd8ad8 01",
		"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=": "5759e988bd862e3fe1be46a994272793 53995c3f42cd8ad8 00",
		" Sampled=1; Parent=53995c3f42cd8ad8; Root=1-5759e988-bd862e3fe1be46a994272793":       "5759e988bd862e3fe1be46a994272793 53995c3f42cd8ad8 01", //nolint:gocritic // the blanks are the case
		"": "", "Root=1-5759e988-bd862e3fe1be46a994272793": "", "Root=2-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8": "",
		"Root=1-5759e988-bd862e3fe1be46a99427279;Parent=53995c3f42cd8ad8": "", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=xx": "",
		"Root=1-00000000-000000000000000000000000;Parent=53995c3f42cd8ad8;Sampled=1": "",
	} {
		s, ok := parseXRay(header)
		got := ""
		if ok {
			got = fmt.Sprint(s.TraceID(), " ", s.SpanID(), " ", s.TraceFlags())
		}
		if got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

// TestStrangersLeaveNoSpans: a request without the right token is counted, and not
// told to the collector.
func TestStrangersLeaveNoSpans(t *testing.T) {
	url, last := receiver(t)
	seen, err := New(Options{Getenv: env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url), Program: "p", Page: true})
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(seen.Log(slog.DiscardHandler))
	h := seen.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		code := strings.TrimPrefix(r.URL.Path, "/")
		logger.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("route", "-"), slog.String("code", code), slog.String("token", ""))
	}))
	for _, path := range []string{"/unauthenticated", "/invalid", "/healthz", "/openapi.json"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
	}
	if err := seen.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, body := last()
	if strings.Contains(string(body), "unauthenticated") || strings.Count(string(body), `"spanId"`) != 1 || !strings.Contains(string(body), "invalid") {
		t.Errorf("%s", body)
	}
	counted := 0
	for _, s := range seen.Metrics() {
		if s.Desc.Name == "hotreader_queries_total" {
			counted += int(s.Value)
		}
	}
	if counted != 4 {
		t.Errorf("%d are counted", counted)
	}
}

// TestOwnTokenRefusedIsSeen: an invocation that fails because the other cloud
// refused the function's token has its span.
func TestOwnTokenRefusedIsSeen(t *testing.T) {
	url, last := receiver(t)
	seen, err := New(Options{Getenv: env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url), Program: "p", Function: "f"})
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(seen.Log(slog.DiscardHandler))
	i := seen.Invoker("hot-reader", invoke(func(ctx context.Context, _ []byte) ([]byte, error) {
		logger.LogAttrs(ctx, slog.LevelInfo, "query", slog.String("function", "hot-reader"), slog.String("code", string(hotreader.CodeUnauthenticated)))
		return nil, nil
	}))
	if _, err := i.Invoke(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, body := last(); !strings.Contains(string(body), "unauthenticated") {
		t.Errorf("the collector has %q", body)
	}
	if err := seen.Close(t.Context()); err != nil {
		t.Error(err)
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
		to := newSender(&target{url: "http://collector", header: http.Header{}, timeout: time.Hour}, "metrics", nil)
		to.client.Transport = hangs{}
		m := newMetrics("")
		seen := &Observer{metrics: m, push: newPusher(m, to, otlpResource{}, time.Minute)}
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

// TestCollectorAway: it costs spans, not queries, and the log says so once.
func TestCollectorAway(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer s.Close()
	var log bytes.Buffer
	seen, err := New(Options{Getenv: env("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL+"/k3y", "OTEL_METRICS_EXPORTER", "none"), Program: "p", Function: "f", Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	i := seen.Invoker("hot-reader", invoke(func(ctx context.Context, _ []byte) ([]byte, error) {
		if seen.TraceID(ctx) == "" {
			t.Error("it has no trace")
		}
		return []byte("answer"), nil
	}))
	for range 3 {
		if answer, err := i.Invoke(t.Context(), nil); string(answer) != "answer" || err != nil {
			t.Errorf("%s, %v", answer, err)
		}
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "status 503") || strings.Contains(log.String(), "k3y") {
		t.Errorf("the log says %s", log.String())
	}
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

type brokenPeer struct{ hotreader.Source }

func (brokenPeer) Open() bool    { return true }
func (brokenPeer) Openings() int { return 1 }

// TestLinesAreEmbeddedMetrics: on Lambda a query's line is one that CloudWatch
// makes metrics of; other lines are not.
func TestLinesAreEmbeddedMetrics(t *testing.T) {
	var log bytes.Buffer
	seen, err := New(Options{Getenv: env(), Program: "hot-reader", Version: "1", Function: "factory-hot-reader"})
	if err != nil {
		t.Fatal(err)
	}
	_ = seen.Breaker(brokenPeer{memstore.New()})
	seen.Made(func() time.Time { return time.Now().Add(-90 * time.Minute) })
	logger := slog.New(seen.Log(slog.NewJSONHandler(&log, nil)))
	line := func(attrs ...slog.Attr) map[string]string {
		t.Helper()
		log.Reset()
		i := seen.Invoker("", invoke(func(ctx context.Context, _ []byte) ([]byte, error) {
			ctx.Value(scopeKey{}).(*scope).retries.Add(2)
			logger.LogAttrs(ctx, slog.LevelInfo, "query", attrs...)
			return nil, nil
		}))
		if _, err := i.Invoke(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		return embeddedMetrics(t, log.Bytes())
	}
	device := slog.String("device", "pump-7")
	for _, c := range []struct{ got, want map[string]string }{
		{line(device, slog.Int64("skipped", 3), slog.Duration("duration", time.Second), slog.String("outcome", "ok")), map[string]string{
			"queries function_name=factory-hot-reader outcome=ok": "1", "skipped function_name=factory-hot-reader": "3", "retries function_name=factory-hot-reader": "2",
			"breaker_open function_name=factory-hot-reader": "1", "token_age_s function_name=factory-hot-reader": "5400"}},
		{line(slog.String("outcome", "invalid"), slog.String("code", "invalid"), slog.String("error", "x")), map[string]string{"queries function_name=factory-hot-reader outcome=invalid": "1"}},
	} {
		if fmt.Sprint(c.got) != fmt.Sprint(c.want) {
			t.Errorf("got  %v\nwant %v", c.got, c.want)
		}
	}
	log.Reset()
	logger.Info("the token could not be fetched again")
	if strings.Contains(log.String(), "_aws") {
		t.Errorf("%s", log.String())
	}
	off, err := New(Options{Getenv: env("OTEL_METRICS_EXPORTER", "none"), Function: "f"})
	if off != nil || err != nil {
		t.Errorf("%v, %v", off, err)
	}
}

// TestSpansEndHoweverAReadEnds: by rows, an error, a caller that has enough, and
// one that panics.
func TestSpansEndHoweverAReadEnds(t *testing.T) {
	url, last := receiver(t)
	seen, err := New(Options{Getenv: env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url), Program: "p"})
	if err != nil {
		t.Fatal(err)
	}
	store := memstore.New()
	for i := range 3 {
		if err := store.Write(t.Context(), "d", []hotreader.Record{{Time: time.Unix(int64(i+1), 0), Fields: []hotreader.Field{{Name: "p", Value: hotreader.StringValue([]byte("v"))}}}}); err != nil {
			t.Fatal(err)
		}
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
	if err := seen.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, body := last(); strings.Count(string(body), `"spanId"`) != 3 || strings.Count(string(body), `"error.type"`) != 1 {
		t.Errorf("%s", body)
	}
	if n := seen.running.Load(); n != 0 {
		t.Errorf("%d reads run", n)
	}
}
