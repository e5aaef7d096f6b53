package security

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/function/awslambda"
	"hotreader/test/runtimeapi"
	"hotreader/test/serving"
	"hotreader/wire"
)

var named = regexp.MustCompile("`([a-z0-9/._-]+): ((?:Test|Fuzz)\\w+)`")

// TestThreatModelNamesRealTests: every threat names tests, and there are such.
func TestThreatModelNamesRealTests(t *testing.T) {
	threats := 0
	for line := range strings.Lines(document(t, "security.md")) {
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
		ask(t, api.URL, "GET", "/v1/devices/"+device+"/latest?property=temperature", "", token)
	}
	ask(t, api.URL, "GET", "/v1/devices/pump/latest?property=temperature&type=boolean", "", token) // which has a warning
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
