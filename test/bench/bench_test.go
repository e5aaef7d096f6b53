//go:build linux

// Package bench measures what hotreader costs beside what it could cost: the
// usual way to do the same with a cloud's own client, and the limit, which is a
// loop that looks at nothing and copies. docs/performance.md says which figure
// is which.
//
// What serves the bytes is a process of its own, so that only the reading side's
// processor time counts. The ways of a benchmark take turns, round by round, so
// that whatever slows the machine down slows them all; a ratio is the median of
// the rounds'.
package bench

import (
	"encoding/gob"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotreader/test/serving"
)

// role makes this program one of the other processes that a benchmark needs.
const role = "HOTREADER_BENCH_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "replay":
		err = replay()
	case "serve":
		err = serveStore()
	case "read":
		err = readRemote()
	case "pick":
		err = pickRows()
	case "bucket":
		err = serveBucket()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// way is one way to do a benchmark's work.
type way struct {
	name string
	run  func() error // the work, once
}

// turn is about how long a way works before the next one takes over.
const turn = 25 * time.Millisecond

// compare reports the processor time of each way a row, and the ratio of the
// first to each of the others. goal is shown beside them; 0 = none.
func compare(b *testing.B, rows int, ways ...way) {
	b.Helper()
	spent := func(w way, times int) time.Duration {
		before := processorTime(b, os.Getpid())
		for range times {
			if err := w.run(); err != nil {
				b.Fatalf("%s: %v", w.name, err)
			}
		}
		return processorTime(b, os.Getpid()) - before
	}
	times := make([]int, len(ways))
	for i, w := range ways {
		spent(w, 1)        // opens connections
		from := time.Now() // not processor time, which some kernels count in steps
		spent(w, 1)
		times[i] = max(1, int(turn/time.Since(from)))
	}
	cost := make([][]float64, len(ways))
	for b.Loop() {
		for i, w := range ways {
			spent(w, 1) // what the way before has left behind
			cost[i] = append(cost[i], float64(spent(w, times[i]).Nanoseconds())/float64(times[i]*rows))
		}
	}
	for i, w := range ways {
		b.ReportMetric(median(cost[i]), w.name+"-ns/row")
		if i > 0 {
			b.ReportMetric(ratio(cost[0], cost[i]), ways[0].name+"/"+w.name)
		}
	}
	b.ReportMetric(0, "ns/op") // of all ways together: says nothing
}

// ratio is the median of a's ratio to b's, round by round.
func ratio(a, b []float64) float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = a[i] / b[i]
	}
	return median(r)
}

func median(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// processorTime returns what a process has used so far, in and outside the
// kernel.
func processorTime(tb testing.TB, pid int) time.Duration {
	var t unix.Timespec
	clock := int32(^pid)<<3 | 2 // CPUCLOCK_SCHED of the process, see clock_getcpuclockid(3)
	if err := unix.ClockGettime(clock, &t); err != nil {
		tb.Fatalf("the processor time of process %d: %v", pid, err)
	}
	return time.Duration(t.Nano())
}

// child starts this program in another role. It ends when the benchmark does.
func child(b *testing.B, as string, env ...string) (*exec.Cmd, io.WriteCloser, io.Reader) {
	b.Helper()
	return serving.Again(b, append(env, role+"="+as)...)
}

// recording is what the replaying process answers every request with.
type recording struct {
	Type    string // of the content
	Body    []byte
	GRPC    bool   // over HTTP/2, with the status in the trailer
	Account []byte // to GET: what Cosmos DB says about an account
}

// serve starts a process that answers with r, and returns its URL.
func (r recording) serve(b *testing.B) string {
	b.Helper()
	_, in, out := child(b, "replay")
	if err := gob.NewEncoder(in).Encode(r); err != nil {
		b.Fatal(err)
	}
	return "http://" + address(b, out)
}

// address reads the line in which a child says where it listens.
func address(b *testing.B, out io.Reader) string {
	b.Helper()
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(line[:n]))
}

func replay() error {
	var r recording
	if err := gob.NewDecoder(os.Stdin).Decode(&r); err != nil {
		return err
	}
	handler := func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		h := w.Header()
		h.Set("Content-Type", r.Type)
		switch {
		case r.GRPC:
			h.Set("Trailer", "Grpc-Status")
			_, _ = w.Write(r.Body)
			h.Set("Grpc-Status", "0")
		case req.Method == http.MethodGet:
			_, _ = w.Write(r.Account)
		default:
			h.Set("Content-Length", strconv.Itoa(len(r.Body)))
			_, _ = w.Write(r.Body)
		}
	}
	s := &http.Server{Handler: http.HandlerFunc(handler), Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(!r.GRPC)
	s.Protocols.SetUnencryptedHTTP2(r.GRPC)
	return listen(s)
}

// listen serves on a port of its own and says which.
func listen(s *http.Server) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return s.Serve(l)
}

// BenchmarkBootstrap: the whole function, a process as Lambda starts it, from
// the event to the answer posted, with the page of DynamoDB behind it. The
// processor time is that of its process alone.
func BenchmarkBootstrap(b *testing.B) {
	url := recording{Type: "application/x-amz-json-1.0", Body: dynamoPage()}.serve(b)
	f := serving.Function(b, "hot-reader", map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": url,
		"DYNAMODB_TABLE_NAME":       "factory-hot-iot-data",
		"DIGITAL_TWIN_INFO":         `{"config":{"digital_twin_name":"factory"},"config_providers":{"layer_3_hot_provider":"aws","layer_4_provider":"aws"}}`,
	})
	if err := f.WaitReady(b.Context()); err != nil {
		b.Fatal(err)
	}
	const double = `{"definition":{"dataType":{"type":"DOUBLE"}}}`
	event := []byte(`{"workspaceId":"w","entityId":"e","componentName":"c","componentTypeId":"factory-d",
		"selectedProperties":["temperature","pressure","humidity","vibration"],
		"properties":{"temperature":` + double + `,"pressure":` + double + `,"humidity":` + double + `,"vibration":` + double + `},
		"startTime":"2020-01-01T00:00:00Z","endTime":"2030-01-01T00:00:00Z","maxResults":1000000}`)
	invoke := func() {
		answer, err := f.Invoke(b.Context(), event, 20*time.Second)
		if err == nil {
			err = expect(answer)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	limit := limitWay(url)
	for range 5 {
		invoke()
	}
	const times = 20
	var cost [2][]float64
	for b.Loop() {
		before := processorTime(b, f.Pid())
		for range times {
			invoke()
		}
		cost[0] = append(cost[0], (processorTime(b, f.Pid())-before).Seconds()*1e6/(times*pageRows))
		before = processorTime(b, os.Getpid())
		for range times {
			if err := limit.run(); err != nil {
				b.Fatal(err)
			}
		}
		cost[1] = append(cost[1], (processorTime(b, os.Getpid())-before).Seconds()*1e6/(times*pageRows))
	}
	b.ReportMetric(median(cost[0]), "µs/row")
	b.ReportMetric(median(cost[1]), "limit-µs/row")
	b.ReportMetric(ratio(cost[0], cost[1]), "ours/limit")
	b.ReportMetric(0, "ns/op")
}
