// Package security attacks the real programs: what they write is searched for
// secrets and telemetry, and they are asked for what they must not give.
// docs/security.md lists these tests with those of the single packages.
package security

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"hotreader"
	"hotreader/test/serving"
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
