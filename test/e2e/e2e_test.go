// Package e2e runs the real programs against each other: the command, the
// functions' bootstrap under a Runtime API, and, with the build tag engines,
// real storage engines. Whatever is asked is compared with what was stored.
package e2e

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/test/runtimeapi"
	"hotreader/test/serving"
)

const (
	device = "machine-1"
	token  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

func TestMain(m *testing.M) {
	// Most tests wait for other processes, and those for each other: with as many
	// tests at once as there are processors, these would idle.
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			log.Fatal(err)
		}
	}
	os.Exit(m.Run())
}

// point is one point of a series: an instant and a number's digits.
type point struct {
	at    time.Time
	value string
}

// series is a file of telemetry and what must come out of it.
type series struct {
	file   string
	points []point // in order, the later line of an instant
}

// realFile is real telemetry, where a copy of it stands beside the project.
const realFile = "../../../shared/data/machine_temperature.csv"

// telemetry returns the series to test with: the real one where it is at hand,
// else one of its shape.
func telemetry(t *testing.T) series {
	t.Helper()
	if _, err := os.Stat(realFile); err != nil {
		return read(t, makeFile(t))
	}
	s := read(t, realFile)
	first, last := s.points[0], s.points[len(s.points)-1]
	if n := len(s.points); n != 22683 || first.at.Format(time.RFC3339) != "2013-12-02T21:15:00Z" ||
		last.at.Format(time.RFC3339) != "2014-02-19T15:25:00Z" || last.value != "96.90386085" {
		t.Fatalf("the real file has %d instants, %v to %v", n, first, last)
	}
	return s
}

// makeFile writes 22,695 lines, one each five minutes, of which twelve stand a
// second time with other values.
func makeFile(t *testing.T) string {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.WriteString("timestamp,value\n")
	at := time.Date(2013, 12, 2, 21, 15, 0, 0, time.UTC)
	value := 75.0
	for i := range 22683 {
		value += random.NormFloat64()*0.4 - (value-75)*0.01
		fmt.Fprintf(&b, "%s,%.*f\n", at.Format(time.DateTime), 2+i%14, value)
		if i == 15000 { // as a recorder that sends its last hour again
			for back := 12; back > 0; back-- {
				fmt.Fprintf(&b, "%s,%d.5\n", at.Add(-time.Duration(back)*5*time.Minute).Format(time.DateTime), back)
			}
		}
		at = at.Add(5 * time.Minute)
	}
	file := filepath.Join(t.TempDir(), "telemetry.csv")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// read is an importer of its own, so that the product's is judged by another.
func read(t *testing.T, file string) series {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	values := map[time.Time]string{}
	for _, line := range lines[1:] {
		at, err := time.Parse(time.DateTime, line[0])
		if err != nil {
			t.Fatal(err)
		}
		values[at] = line[1]
	}
	s := series{file: file}
	for at, value := range values {
		s.points = append(s.points, point{at, value})
	}
	slices.SortFunc(s.points, func(a, b point) int { return a.at.Compare(b.at) })
	if len(lines)-1 != 22695 || len(s.points) != 22683 {
		t.Fatalf("%s has %d lines and %d instants", file, len(lines)-1, len(s.points))
	}
	return s
}

// hotreaderCommand runs the command to its end and returns its stdout.
func hotreaderCommand(t *testing.T, env []string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	c := exec.CommandContext(t.Context(), serving.Program(t, "hotreader"), args...)
	c.Env = append(os.Environ(), env...)
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("hotreader %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// importFile fills a store by the command.
func importFile(t *testing.T, env []string, store, file string) {
	t.Helper()
	hotreaderCommand(t, env, "import", "--store", store, "--device", device, "--rename", "value=temperature", file)
}

// serve starts `hotreader serve` on the test's port and waits until it listens.
func serve(t *testing.T, store string, port int) *serving.Process {
	t.Helper()
	return serving.StartAt(t, port, "hotreader", map[string]string{"INTER_CLOUD_TOKEN": token}, "serve", "--store", store).WaitReady(t)
}

// remoteEnv is the environment of a twin's function on AWS whose hot storage is
// on Azure, behind url.
func remoteEnv(url string) map[string]string {
	return map[string]string{
		"DIGITAL_TWIN_INFO": `{"config":{"digital_twin_name":"machine"},"config_providers":{"layer_3_hot_provider":"azure","layer_4_provider":"aws"}}`,
		"REMOTE_READER_URL": url,
		"INTER_CLOUD_TOKEN": token,
	}
}

// ask is one way to ask for history.
type ask struct {
	name          string
	descending    bool
	page          int           // points of a page; 0 = as many as come
	from, to      time.Time     // zero = all there is
	above         string        // only values above it; "" = all
	step          time.Duration // interpolated; 0 = as stored
	componentType bool          // by component type, as only TwinMaker asks
	token         string        // of the page before the first; "" = from the start
}

func (a *ask) bounds() (from, to time.Time) {
	if a.from.IsZero() {
		return time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return a.from, a.to
}

// want is what must come, worked out from the series in ways of its own.
func (a *ask) want(s series) []point {
	from, to := a.bounds()
	var stored []point
	for _, p := range s.points {
		if !p.at.Before(from) && !p.at.After(to) && (a.above == "" || decimal(p.value).Cmp(decimal(a.above)) > 0) {
			stored = append(stored, p)
		}
	}
	if a.step > 0 {
		stored = interpolated(stored, from, a.step)
	}
	if a.descending {
		slices.Reverse(stored)
	}
	return stored
}

func decimal(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic("no number: " + text)
	}
	return r
}

// interpolated returns the values at from, from+step, … as far as there are
// points on both sides. They are exact.
func interpolated(points []point, from time.Time, step time.Duration) (steps []point) {
	i := 0
	for at := from; i < len(points); at = at.Add(step) {
		for i < len(points) && points[i].at.Before(at) {
			i++
		}
		switch {
		case i == len(points):
		case points[i].at.Equal(at):
			steps = append(steps, point{at, points[i].value})
		case i > 0:
			a, b := points[i-1], points[i]
			share := big.NewRat(int64(at.Sub(a.at)), int64(b.at.Sub(a.at)))
			v := decimal(a.value)
			v.Add(v, share.Mul(share, new(big.Rat).Sub(decimal(b.value), decimal(a.value))))
			steps = append(steps, point{at, v.FloatString(30)})
		}
	}
	return steps
}

// difference says where got is not what a asks for, or "".
func (a *ask) difference(got, want []point) string {
	for i := range min(len(got), len(want)) {
		same := hotreader.CompareNumbers([]byte(got[i].value), []byte(want[i].value)) == 0
		if !same && a.step > 0 { // between points it is computed in float64
			off := new(big.Rat).Sub(decimal(got[i].value), decimal(want[i].value))
			same = off.Abs(off).Cmp(big.NewRat(1, 1e12)) < 0
		}
		if !got[i].at.Equal(want[i].at) || !same {
			return fmt.Sprintf("point %d is %v, want %v", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d points, want %d", len(got), len(want))
	}
	return ""
}

// edge is how a cloud's users ask for the twin's data.
type edge interface {
	// history returns one page; next is "" at the end.
	history(ctx context.Context, a ask, nextToken string) (points []point, next string, err error)
	last(ctx context.Context) (point, error) // without an instant where the edge tells none
}

// refused is an edge's own, typed error.
type refused struct{ code, message string }

func (r *refused) Error() string { return r.code + ": " + r.message }

// all follows a's pages.
func all(ctx context.Context, e edge, a ask) (points []point, err error) {
	next, pages := a.token, 0
	for {
		page, token, err := e.history(ctx, a, next)
		if err != nil {
			return points, fmt.Errorf("page %d: %w", pages+1, err)
		}
		pages++
		points = append(points, page...)
		switch {
		case token == "" && (a.page == 0 || len(page) <= a.page):
			return points, nil
		case token == next || len(page) == 0 || a.page > 0 && len(page) != a.page:
			return points, fmt.Errorf("page %d has %d points and the token %q", pages, len(page), token)
		}
		next = token
	}
}

// twinMaker is the edge on AWS: it asks as AWS IoT TwinMaker does.
type twinMaker struct {
	functions map[string]*runtimeapi.Function
	deadline  time.Duration
}

// newTwinMaker starts the functions of a twin on AWS.
func newTwinMaker(t *testing.T, env map[string]string) *twinMaker {
	t.Helper()
	e := &twinMaker{functions: map[string]*runtimeapi.Function{}, deadline: 50 * time.Second}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, handler := range []string{"hot-reader", "hot-reader-last-entry"} {
		e.functions[handler] = serving.Function(t, handler, env)
		if err := e.functions[handler].WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func (e *twinMaker) history(ctx context.Context, a ask, nextToken string) ([]point, string, error) {
	from, to := a.bounds()
	order := "ASCENDING"
	if a.descending {
		order = "DESCENDING"
	}
	more := fmt.Sprintf(`"startTime":%q,"endTime":%q,"orderByTime":%q,`, from.Format(time.RFC3339), to.Format(time.RFC3339), order)
	if a.page > 0 {
		more += fmt.Sprintf(`"maxResults":%d,`, a.page)
	}
	if nextToken != "" {
		more += fmt.Sprintf(`"nextToken":%q,`, nextToken)
	}
	if a.above != "" {
		more += fmt.Sprintf(`"propertyFilters":[{"propertyName":"temperature","operator":">","value":{"doubleValue":%s}}],`, a.above)
	}
	if a.step > 0 {
		more += fmt.Sprintf(`"interpolation":{"interpolationType":"LINEAR","intervalInSeconds":%d},`, a.step/time.Second)
	}
	text := event(more)
	reference := `{"entityId":"entity-1","componentName":"sensor","propertyName":"temperature"}`
	if a.componentType {
		text = []byte(strings.Replace(string(text), `"entityId":"entity-1","componentName":"sensor"`, `"componentTypeId":"machine-`+device+`"`, 1))
		reference = `{"externalIdProperty":{"deviceId":"` + device + `"},"propertyName":"temperature"}`
	}
	body, err := e.invoke(ctx, "hot-reader", text)
	if err != nil {
		return nil, "", err
	}
	return propertyValues(body, reference)
}

func (e *twinMaker) last(ctx context.Context) (point, error) {
	body, err := e.invoke(ctx, "hot-reader-last-entry", event(""))
	if err != nil {
		return point{}, err
	}
	var a struct {
		PropertyValues map[string]struct {
			PropertyValue map[string]json.Number
		}
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return point{}, fmt.Errorf("%w: %.200s", err, body)
	}
	return point{value: a.PropertyValues["temperature"].PropertyValue["doubleValue"].String()}, nil
}

func (e *twinMaker) invoke(ctx context.Context, handler string, event []byte) ([]byte, error) {
	body, err := e.functions[handler].Invoke(ctx, event, e.deadline)
	if failure, ok := errors.AsType[*runtimeapi.Failure](err); ok && strings.HasPrefix(failure.Type, "HotReader.") {
		return nil, &refused{failure.Type, failure.Message}
	}
	return body, err
}

// propertyValues reads a history in TwinMaker's shape.
func propertyValues(body []byte, reference string) ([]point, string, error) {
	var a struct {
		PropertyValues []struct {
			Reference json.RawMessage `json:"entityPropertyReference"`
			Values    []struct {
				Time  string
				Value map[string]json.Number
			}
		}
		NextToken *string
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, "", fmt.Errorf("%w: %.200s", err, body)
	}
	if len(a.PropertyValues) != 1 || string(a.PropertyValues[0].Reference) != reference {
		return nil, "", fmt.Errorf("want one property, %s: %.300s", reference, body)
	}
	var points []point
	for _, v := range a.PropertyValues[0].Values {
		at, err := time.Parse(time.RFC3339, v.Time)
		digits, ok := v.Value["doubleValue"]
		if err != nil || !ok || len(v.Value) != 1 {
			return nil, "", fmt.Errorf("point %+v: %v", v, err)
		}
		points = append(points, point{at, digits.String()})
	}
	if a.NextToken == nil {
		return points, "", nil
	}
	if *a.NextToken == "" {
		return nil, "", errors.New("an empty nextToken")
	}
	return points, *a.NextToken, nil
}

// event is what TwinMaker sends, with fields that we do not know among it.
func event(more string) []byte {
	return fmt.Appendf(nil, `{"workspaceId":"machine-twinmaker","entityId":"entity-1","componentName":"sensor",
"selectedProperties":["temperature"],%s
"properties":{
 "deviceId":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true,"isStoredExternally":false,"isTimeSeries":false,"isRequiredInEntity":true},"value":{"stringValue":%q}},
 "temperature":{"definition":{"dataType":{"type":"DOUBLE"},"isTimeSeries":true,"isStoredExternally":true,"isImported":false},"someNewField":{"a":[1]}},
 "unit":{"definition":{"dataType":{"type":"STRING"},"defaultValue":{"stringValue":"F"}}}}}`, more, device)
}
