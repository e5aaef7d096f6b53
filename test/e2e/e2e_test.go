// Package e2e runs the real programs against each other: the command, the
// functions' bootstrap under a Runtime API, and, with the build tag engines,
// real storage engines. Whatever is asked is compared with what was stored.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
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
)

const (
	device = "machine-1"
	token  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// programs is the folder of the built programs.
var programs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "hotreader-e2e-")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		programs = dir
		if err := build("hotreader/cmd/hotreader", "hotreader/cmd/hotreader-lambda"); err != nil {
			log.Fatal(err)
		}
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
		return m.Run()
	}())
}

// build puts programs into their folder. It compiles as `make dist` does, so that
// both share what is compiled.
func build(packages ...string) error {
	build := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", programs}, packages...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
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

// hotreaderCommand runs the command to its end and returns its standard output.
func hotreaderCommand(t *testing.T, env []string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	c := exec.CommandContext(t.Context(), filepath.Join(programs, "hotreader"), args...)
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

// server is a running `hotreader serve`.
type server struct {
	URL     string
	process *exec.Cmd
	exited  chan struct{}
	stderr  *bytes.Buffer
}

// serve starts `hotreader serve` at addr and waits until it listens.
func serve(t *testing.T, env []string, store, addr string) *server {
	t.Helper()
	c := exec.Command(filepath.Join(programs, "hotreader"), "serve", "--store", store, "--listen", addr)
	c.Env = append(append(os.Environ(), "INTER_CLOUD_TOKEN="+token), env...)
	pipe, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{process: c, exited: make(chan struct{}), stderr: new(bytes.Buffer)}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	found := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			s.stderr.WriteString(lines.Text() + "\n")
			if _, url, ok := strings.Cut(lines.Text(), "listening on "); ok {
				found <- strings.Fields(url)[0]
			}
		}
		_, _ = io.Copy(io.Discard, pipe)
		_ = c.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("serve said:\n%s", s.stderr)
		}
	})
	select {
	case s.URL = <-found:
	case <-s.exited:
		t.Fatalf("serve ended at once:\n%s", s.stderr)
	case <-time.After(30 * time.Second):
		t.Fatal("serve does not listen")
	}
	return s
}

// kill ends the process as kill -9 does.
func (s *server) kill() {
	_ = s.process.Process.Kill()
	<-s.exited
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

// twin asks as AWS IoT TwinMaker does.
type twin struct {
	t        *testing.T
	history  *runtimeapi.Function
	last     *runtimeapi.Function
	deadline time.Duration
}

func newTwin(t *testing.T, env map[string]string) *twin {
	t.Helper()
	program := filepath.Join(programs, "hotreader-lambda")
	tw := &twin{t: t, deadline: 50 * time.Second,
		history: runtimeapi.Start(t, program, "hot-reader", env),
		last:    runtimeapi.Start(t, program, "hot-reader-last-entry", env)}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, f := range []*runtimeapi.Function{tw.history, tw.last} {
		if err := f.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return tw
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

type historyAnswer struct {
	PropertyValues []struct {
		Reference struct{ EntityID, ComponentName, PropertyName string } `json:"entityPropertyReference"`
		Values    []struct {
			Time  string
			Value map[string]json.Number
		}
	}
	NextToken *string
}

// page asks for one page.
func (tw *twin) page(order string, maxResults int, nextToken string) ([]point, string, error) {
	more := fmt.Sprintf(`"startTime":"2013-01-01T00:00:00Z","endTime":"2015-01-01T01:00:00+01:00","orderByTime":%q,`, order)
	if maxResults > 0 {
		more += fmt.Sprintf(`"maxResults":%d,`, maxResults)
	}
	if nextToken != "" {
		more += fmt.Sprintf(`"nextToken":%q,`, nextToken)
	}
	body, err := tw.history.Invoke(tw.t.Context(), event(more), tw.deadline)
	if err != nil {
		return nil, "", err
	}
	var a historyAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, "", fmt.Errorf("%w: %.200s", err, body)
	}
	if len(a.PropertyValues) != 1 {
		return nil, "", fmt.Errorf("%d properties came, 1 was asked for: %.200s", len(a.PropertyValues), body)
	}
	p := a.PropertyValues[0]
	if p.Reference.EntityID != "entity-1" || p.Reference.ComponentName != "sensor" || p.Reference.PropertyName != "temperature" {
		return nil, "", fmt.Errorf("reference %+v", p.Reference)
	}
	var points []point
	for _, v := range p.Values {
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
	if *a.NextToken == "" || len(points) == 0 {
		return nil, "", fmt.Errorf("token %q with %d points", *a.NextToken, len(points))
	}
	return points, *a.NextToken, nil
}

// all follows the pages to the end.
func (tw *twin) all(order string, maxResults int) []point {
	tw.t.Helper()
	var all []point
	token, pages := "", 0
	for {
		points, next, err := tw.page(order, maxResults, token)
		if err != nil {
			tw.t.Fatalf("page %d: %v", pages+1, err)
		}
		pages++
		if maxResults > 0 && (len(points) > maxResults || next != "" && len(points) < maxResults) {
			tw.t.Fatalf("page %d has %d points, maxResults is %d", pages, len(points), maxResults)
		}
		all = append(all, points...)
		if next == "" {
			return all
		}
		token = next
	}
}

// newest asks for the last entry.
func (tw *twin) newest() string {
	tw.t.Helper()
	body, err := tw.last.Invoke(tw.t.Context(), event(""), tw.deadline)
	if err != nil {
		tw.t.Fatal(err)
	}
	var a struct {
		PropertyValues map[string]struct {
			PropertyReference map[string]string
			PropertyValue     map[string]json.Number
		}
	}
	if err := json.Unmarshal(body, &a); err != nil {
		tw.t.Fatalf("%v: %s", err, body)
	}
	return a.PropertyValues["temperature"].PropertyValue["doubleValue"].String()
}

// same compares point by point, values as decimals.
func same(t *testing.T, what string, got, want []point) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d points, want %d", what, len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if !got[i].at.Equal(want[i].at) || hotreader.CompareNumbers([]byte(got[i].value), []byte(want[i].value)) != 0 {
			t.Fatalf("%s: point %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// checkTwin reads all that the series has, in all ways a twin does.
func checkTwin(t *testing.T, tw *twin, s series) {
	t.Helper()
	reversed := slices.Clone(s.points)
	slices.Reverse(reversed)
	same(t, "ascending by 200", tw.all("ASCENDING", 200), s.points)
	same(t, "ascending by 10,000", tw.all("ASCENDING", 10_000), s.points)
	same(t, "ascending in one", tw.all("ASCENDING", 0), s.points)
	same(t, "descending by 10,000", tw.all("DESCENDING", 10_000), reversed)
	if got, want := tw.newest(), s.points[len(s.points)-1].value; hotreader.CompareNumbers([]byte(got), []byte(want)) != 0 {
		t.Errorf("last entry %s, want %s", got, want)
	}
}

// freePort returns an address on which nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
