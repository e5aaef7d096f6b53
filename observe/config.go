package observe

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"hotreader"
	"hotreader/internal/endpoint"
)

// target is where something is sent.
type target struct {
	url     string
	host    string // of url, for the log: a path may hold a key
	header  http.Header
	timeout time.Duration
	zip     bool
}

// settings are what the OTEL_* variables say.
type settings struct {
	disabled        bool
	traces, metrics *target // nil = not sent
	emf             bool    // metrics in the log's lines, for CloudWatch
	page            string  // host:port; "" = none
	sampler         sdk.Sampler
	service         string
	attributes      [][2]string // of the resource
	interval        time.Duration
}

// The defaults of OpenTelemetry's specification.
const (
	defaultEndpoint = "http://localhost:4318"
	defaultTimeout  = 10 * time.Second
	defaultInterval = time.Minute
	defaultPage     = "9464"
)

// environment reads variables and collects what is wrong with them.
type environment struct {
	get      func(string) string
	problems []error
}

func (e *environment) text(name string) string { return strings.TrimSpace(e.get(name)) }

func (e *environment) bad(name, format string, args ...any) {
	err := fmt.Errorf(name+": "+format, args...)
	if !slices.ContainsFunc(e.problems, func(p error) bool { return p.Error() == err.Error() }) { // both signals read it
		e.problems = append(e.problems, err)
	}
}

// Check returns the error that New would.
func Check(o Options) error {
	_, err := readConfig(&o)
	return err
}

func readConfig(o *Options) (*settings, error) {
	e := &environment{get: o.Getenv}
	lambda := o.Function != ""
	c := &settings{sampler: sdk.ParentBased(sdk.AlwaysSample()), interval: defaultInterval}
	if strings.EqualFold(e.text("OTEL_SDK_DISABLED"), "true") {
		c.disabled = true
		return c, nil
	}
	set := func(name string) bool { return e.text(name) != "" }
	everywhere := set("OTEL_EXPORTER_OTLP_ENDPOINT")

	switch word := strings.ToLower(e.text("OTEL_TRACES_EXPORTER")); word {
	case "none":
	case "":
		if everywhere || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
			c.traces = e.target("TRACES", "/v1/traces")
		}
	case "otlp":
		c.traces = e.target("TRACES", "/v1/traces")
	default:
		e.bad("OTEL_TRACES_EXPORTER", "%.40q is not known here; want otlp or none", word)
	}
	switch word := strings.ToLower(e.text("OTEL_METRICS_EXPORTER")); word {
	case "none":
	case "":
		c.emf = lambda // which needs nobody to send them to
		if !lambda && (everywhere || set("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")) {
			c.metrics = e.target("METRICS", "/v1/metrics")
		}
	case "otlp":
		c.metrics = e.target("METRICS", "/v1/metrics")
	case "prometheus":
		if lambda {
			e.bad("OTEL_METRICS_EXPORTER", "is prometheus, which cannot ask a function of AWS Lambda; leave it out, and CloudWatch takes the metrics from the log")
			break
		}
		if o.Unasked {
			e.bad("OTEL_METRICS_EXPORTER", "is prometheus, which nothing can ask beside an Azure function; want otlp or none")
			break
		}
		c.page = net.JoinHostPort(cmp.Or(e.text("OTEL_EXPORTER_PROMETHEUS_HOST"), "localhost"), cmp.Or(e.text("OTEL_EXPORTER_PROMETHEUS_PORT"), defaultPage))
		if _, port, _ := net.SplitHostPort(c.page); !isPort(port) {
			e.bad("OTEL_EXPORTER_PROMETHEUS_PORT", "%.40q is no port; want 1 to 65535", port)
		}
	default:
		e.bad("OTEL_METRICS_EXPORTER", "%.40q is not known here; want otlp, prometheus or none", word)
	}
	if c.traces != nil {
		e.sampler(c)
	}
	if c.metrics != nil {
		c.interval = e.millis("OTEL_METRIC_EXPORT_INTERVAL", defaultInterval)
	}
	e.resource(c)
	if len(e.problems) > 0 {
		all := errors.Join(append([]error{fmt.Errorf("%d to be changed", len(e.problems))}, e.problems...)...)
		return nil, &hotreader.Error{Op: "environment of OpenTelemetry", Code: hotreader.CodeConfig, Err: all}
	}
	return c, nil
}

// target reads where signal, TRACES or METRICS, goes. Its own variables go before
// those for all signals.
func (e *environment) target(signal, path string) *target {
	first := func(what string) (name, text string) {
		if name = "OTEL_EXPORTER_OTLP_" + signal + "_" + what; e.text(name) != "" {
			return name, e.text(name)
		}
		name = "OTEL_EXPORTER_OTLP_" + what
		return name, e.text(name)
	}
	t := &target{header: http.Header{}}
	name, text := first("ENDPOINT")
	base := name == "OTEL_EXPORTER_OTLP_ENDPOINT"
	u, err := url.Parse(cmp.Or(text, defaultEndpoint))
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		e.bad(name, "is not a URL; want https://host:4318") // err would show it, and what it may hold
		return nil
	case u.User != nil:
		e.bad(name, "carries user info; a key goes into OTEL_EXPORTER_OTLP_HEADERS")
		return nil
	case base:
		u.Path = strings.TrimRight(u.Path, "/") + path
	}
	t.url, t.host = u.String(), u.Host

	if name, text := first("PROTOCOL"); text != "" && text != "http/json" && text != "http/protobuf" {
		e.bad(name, "%.40q is not spoken here; want http/json (http/protobuf is taken for it: the same receivers take both)", text)
	}
	if name, text = first("HEADERS"); text != "" {
		for part := range strings.SplitSeq(text, ",") {
			key, value, ok := strings.Cut(part, "=")
			key = strings.TrimSpace(key)
			value, err := url.PathUnescape(strings.TrimSpace(value))
			if !ok || err != nil || !isHeader(key, value) {
				e.bad(name, "cannot be read; want name=value,name=value, with %%2C for a comma in a value")
				break
			}
			t.header.Add(key, value)
		}
		if u.Scheme == "http" && !endpoint.Loopback(u.Hostname()) {
			e.bad(name, "would be sent in the clear to %.100q; give it an https endpoint", u.Hostname())
		}
	}
	name, text = first("COMPRESSION")
	if t.zip = text == "gzip"; !t.zip && text != "" && text != "none" {
		e.bad(name, "%.40q is not known here; want gzip or none", text)
	}
	name, _ = first("TIMEOUT")
	t.timeout = e.millis(name, defaultTimeout)
	return t
}

func (e *environment) millis(name string, fallback time.Duration) time.Duration {
	text := e.text(name)
	if text == "" {
		return fallback
	}
	ms, err := strconv.ParseUint(text, 10, 31)
	if err != nil || ms == 0 {
		e.bad(name, "%.40q is not a whole number of milliseconds above 0", text)
		return fallback
	}
	return time.Duration(ms) * time.Millisecond
}

func (e *environment) sampler(c *settings) {
	const name, arg = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
	share := 1.0
	if text := e.text(arg); text != "" {
		var err error
		if share, err = strconv.ParseFloat(text, 64); err != nil || !(share >= 0 && share <= 1) {
			e.bad(arg, "%.40q is not a number from 0 to 1", text)
			return
		}
	}
	word := strings.ToLower(cmp.Or(e.text(name), "parentbased_always_on"))
	root, parent := strings.CutPrefix(word, "parentbased_")
	switch root {
	case "always_on":
		c.sampler = sdk.AlwaysSample()
	case "always_off":
		c.sampler = sdk.NeverSample()
	case "traceidratio":
		c.sampler = sdk.TraceIDRatioBased(share)
	default:
		e.bad(name, "%.40q is not known here; want always_on, always_off or traceidratio, or one of them behind parentbased_", word)
		return
	}
	if parent {
		c.sampler = sdk.ParentBased(c.sampler)
	}
}

// resource reads what the program is called.
func (e *environment) resource(c *settings) {
	const name = "OTEL_RESOURCE_ATTRIBUTES"
	c.service = e.text("OTEL_SERVICE_NAME")
	text := e.text(name)
	if text == "" {
		return
	}
	for part := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(part, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !ok || err != nil || key == "" {
			e.bad(name, "cannot be read; want name=value,name=value, with %%2C for a comma in a value")
			return
		}
		if key == "service.name" {
			c.service = cmp.Or(c.service, value)
			continue
		}
		c.attributes = append(c.attributes, [2]string{key, value})
	}
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// isHeader reports whether key and value can stand in a request.
func isHeader(key, value string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("-_.!#$%&'*+^`|~", r)
	}) && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f })
}
