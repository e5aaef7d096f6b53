// Package security attacks the real programs: what they write is searched for
// secrets and telemetry, and they are asked for what they must not give.
// docs/security.md lists these tests with those of the single packages.
package security

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hotreader"
	"hotreader/function/awslambda"
	"hotreader/test/runtimeapi"
	"hotreader/test/serving"
	"hotreader/wire"
)

// The tokens hold what quoting, escaping and encoding change.
const (
	token   = `Kq7+vT/3x=Z&"w<Y>%m;p'J|s~R{h}N#b@0aXe`
	rotated = `pW2/"uE+9c=G&<d>%k;L'o|f~V{t}M#q@1yBzS`
	wrong   = `zD5+&hU/"8s=T<n>%r;C'i|g~K{v}Q#j@4lPwO`
	cosmos  = "QzNzbW9zLWtleS1vZi10aGUtYWNjb3VudC0wMDAwMDAwMQ=="
)

// The telemetry that no log may show.
const (
	number = "98765.43210123456789"
	state  = "MARKER-OF-A-STATE"
)

// start starts a program that serves, and waits until it listens.
func start(t testing.TB, name string, env map[string]string, args ...string) *serving.Process {
	t.Helper()
	return serving.Start(t, name, env, args...).WaitReady(t)
}

// arguments is what everybody on the machine sees of a process.
func arguments(t testing.TB, pid int) string {
	t.Helper()
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil {
		return string(b)
	}
	b, err := exec.Command("ps", "-ww", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// text is all of an answer, headers and body.
func text(a serving.Answer) string {
	var head bytes.Buffer
	_ = a.Header.Write(&head) // it cannot fail
	return head.String() + "\n" + a.Body
}

// records are rows with the markers.
func records() []hotreader.Record {
	var r []hotreader.Record
	for i := range 3 {
		r = append(r, hotreader.Record{Time: serving.At(i), Fields: []hotreader.Field{
			{Name: "temperature", Value: hotreader.NumberValue([]byte(number))},
			{Name: "state", Value: hotreader.StringValue([]byte(state))},
		}})
	}
	return r
}

// newPeer is the API of another cloud with the devices pump and other.
func newPeer(t testing.TB, token string) *serving.Peer {
	t.Helper()
	p := serving.NewPeer(t, token)
	for _, device := range []string{"pump", "other"} {
		if err := p.Store.Write(t.Context(), device, records()); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// bolt is a store file with the same.
func bolt(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	csv := "timestamp,temperature,state\n"
	for i := range 3 {
		csv += serving.At(i).Format(time.RFC3339) + "," + number + "," + state + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "rows.csv"), []byte(csv), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "bolt:" + filepath.Join(dir, "s.db")
	for _, device := range []string{"pump", "other"} {
		if out, err := exec.Command(serving.Program(t, "hotreader"), "import", "--store", url, "--device", device, filepath.Join(dir, "rows.csv")).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return url
}

// dynamo answers as a DynamoDB that has the markers for every device; while ill
// it fails.
func dynamo(t testing.TB, ill func() bool) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		if ill() {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"not you"}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"Count":1,"Items":[{"device_id":{"S":"pump"},"timestamp":{"S":"%s"},"temperature":{"N":"%s"},"state":{"S":"%s"}}],"ScannedCount":1}`,
			serving.At(0).Format(time.RFC3339), number, state)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

const quit = syscall.SIGQUIT // Go writes every goroutine's stack

// both are the properties of an event.
const both = `"temperature","state"`

var named = regexp.MustCompile("`([a-z0-9/._-]+): ((?:Test|Fuzz)\\w+)`")

// TestThreatModelNamesRealTests: every threat names tests, and there are such.
func TestThreatModelNamesRealTests(t *testing.T) {
	threats := 0
	_, text, _ := strings.Cut(document(t, "security.md"), "\n## Threats\n")
	text, _, _ = strings.Cut(text, "\n## ") // other tables are no threats
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || strings.HasPrefix(line, "| who |") || strings.HasPrefix(line, "|---") {
			continue
		}
		threats++
		tests := named.FindAllStringSubmatch(cells[4], -1)
		if len(tests) == 0 {
			t.Errorf("no test stands beside %q", cells[2])
		}
		for _, m := range tests {
			files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(m[1]), "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, file := range files {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				found = found || strings.Contains(string(b), "\nfunc "+m[2]+"(")
			}
			if !found {
				t.Errorf("%s has no %s", m[1], m[2])
			}
		}
	}
	if threats < 20 {
		t.Errorf("only %d threats are read", threats)
	}
}

func document(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRunbookHasEveryCode: the runbook's table has each code once, in order,
// with the status and the errorType that the programs give. (The exit codes are
// held against it by the command's own test.)
func TestRunbookHasEveryCode(t *testing.T) {
	var got [][]string
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\d{3})[^|]*\\| `(HotReader\\.\\w+)` \\| (\\d) \\| [^|]{10,} \\| [^|]{10,} \\|$")
	for _, m := range row.FindAllStringSubmatch(document(t, "runbook.md"), -1) {
		got = append(got, m[1:4])
	}
	codes := hotreader.Codes()
	if len(got) != len(codes) {
		t.Fatalf("%d rows for %d codes", len(got), len(codes))
	}
	for i, code := range codes {
		want := fmt.Sprint([]string{string(code), fmt.Sprint(wire.StatusOf(code)), awslambda.ErrorType(code)})
		if have := fmt.Sprint(got[i]); have != want {
			t.Errorf("row %d is %s, want %s", i+1, have, want)
		}
	}
}

// TestRunbookFieldsAreLogged: the fields that the runbook tells of are those of
// the lines that an API and a twin's reader write, and there are no others.
func TestRunbookFieldsAreLogged(t *testing.T) {
	told := [2]map[string]bool{{}, {}} // API, twin's reader
	row := regexp.MustCompile("(?m)^\\| (`[a-z_`, ]+`) \\| (yes|no) \\| (yes|no) \\| [^|]+ \\|$")
	for _, m := range row.FindAllStringSubmatch(document(t, "runbook.md"), -1) {
		for name := range strings.SplitSeq(strings.ReplaceAll(m[1], "`", ""), ", ") {
			for i, side := range m[2:] {
				if side == "yes" {
					told[i][name] = true
				}
			}
		}
	}
	logged := [2]map[string]bool{{}, {}}
	peer := newPeer(t, token)
	api := start(t, "hotreader", map[string]string{"INTER_CLOUD_TOKEN": token}, "serve", "--store", bolt(t), "--devices", "pump")
	for _, device := range []string{"pump", "other"} {
		serving.Ask(t, api.URL, "GET", "/v1/devices/"+device+"/latest?property=temperature", "", token)
	}
	serving.Ask(t, api.URL, "GET", "/v1/devices/pump/latest?property=temperature&type=boolean", "", token) // which has a warning
	api.Terminate(t)
	text := hotreader.Record{Time: serving.At(1 << 20), Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.StringValue([]byte("text"))}}}
	if err := peer.Store.Write(t.Context(), "pump", []hotreader.Record{text}); err != nil {
		t.Fatal(err)
	}
	reader := serving.Function(t, "hot-reader", map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("azure", "aws"), "REMOTE_READER_URL": peer.URL, "INTER_CLOUD_TOKEN": token})
	for range 2 {
		_, err := reader.Invoke(t.Context(), serving.Event("pump", both, serving.AllTime), 20*time.Second)
		if _, ok := errors.AsType[*runtimeapi.Failure](err); err != nil && !ok {
			t.Fatal(err)
		}
		peer.Set(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		})
	}
	reader.Kill(t)
	for i, said := range []string{api.Log(), reader.Log()} {
		for line := range strings.Lines(said) {
			var o map[string]any
			if json.Unmarshal([]byte(line), &o) != nil || o["msg"] == nil {
				continue
			}
			for name := range o {
				logged[i][name] = true
			}
		}
		if !maps.Equal(told[i], logged[i]) {
			t.Errorf("told   %v\nlogged %v", slices.Sorted(maps.Keys(told[i])), slices.Sorted(maps.Keys(logged[i])))
		}
	}
}
