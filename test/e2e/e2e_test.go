// Package e2e runs the real programs against each other: the command, the
// functions' bootstrap under a Runtime API, and, with the build tag engines,
// real storage engines. Whatever is asked is compared with what was stored.
package e2e

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"log"
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

// hotreaderCommand runs the command to its end and returns its standard output.
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
