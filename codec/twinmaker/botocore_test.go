//go:build engines

package twinmaker

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"hotreader"
)

// botocore checks answers, given as "shape JSON", against its model of TwinMaker and
// returns what it finds.
func botocore(t *testing.T, answers ...string) string {
	t.Helper()
	python := os.Getenv("HOTREADER_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import botocore").CombinedOutput(); err != nil {
		t.Fatalf("%s has no botocore: run `make engines`, or set HOTREADER_PYTHON to an interpreter that has it (%v)\n%s", python, err, out)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/check.py")
	cmd.Stdin = strings.NewReader(strings.Join(answers, "\n") + "\n")
	var findings, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &findings, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var found []string
	for line := range strings.Lines(findings.String()) {
		if !strings.HasSuffix(line, " read\n") {
			found = append(found, line)
		}
	}
	if read := strings.Count(findings.String(), " read\n"); read != len(answers) {
		t.Fatalf("%d of %d answers were read", read, len(answers))
	}
	return strings.Join(found, "")
}

func TestAnswersKeepBotocoresModel(t *testing.T) {
	var answers []string
	add := func(shape string, body []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, shape+" "+string(body))
	}
	for _, ref := range []Reference{entity, {EntityID: "e1", ComponentName: "c", ComponentPath: "a/c"}, {EntityID: "e1", ComponentPath: "a/c"}, {ExternalNames: []string{"alarm_key", "deviceId"}}, {ExternalNames: []string{"iotDeviceId"}}, {}} {
		for _, reader := range []hotreader.Reader{machine(t), &rowsReader{}} {
			for _, types := range [][]hotreader.Type{nil, machineRequest(t).Query.Types} {
				for _, maxResults := range []int{0, 5, 10} {
					req := machineRequest(t)
					req.Ref, req.MaxResults, req.Query.Types = ref, maxResults, types
					body, err := (&Responder{Reader: reader}).AppendHistory(t.Context(), nil, req)
					add("GetPropertyValueHistoryResponse", body, err)
					body, err = (&Responder{Reader: reader}).AppendLastEntry(t.Context(), nil, req)
					add("GetPropertyValueResponse", body, err)
				}
			}
		}
		req := ask("a", "b")
		req.Ref = ref
		req.Query.Start, req.Interpolation, req.MaxResults = instant(t, "1899-12-31T23:59:59.5Z"), 7*time.Second, 20
		body, err := (&Responder{Reader: seconds(100, "a", "b")}).AppendHistory(t.Context(), nil, req)
		add("GetPropertyValueHistoryResponse", body, err)
	}
	store, _ := alarms(t)
	for _, maxResults := range []int{0, 5} {
		req := mixers(devicesOf(t, 12), "alarm_status", "temperature")
		req.MaxResults = maxResults
		body, err := (&Responder{Reader: hotreader.NewReader(store)}).AppendHistory(t.Context(), nil, req)
		add("GetPropertyValueHistoryResponse", body, err)
	}
	none := mixers(devicesOf(t, 12), "alarm_status")
	none.DeviceFilters = []hotreader.Filter{{Property: "alarm_key", Value: hotreader.StringValue([]byte("mixer-3"))}}
	body, err := (&Responder{Reader: hotreader.NewReader(store)}).AppendHistory(t.Context(), nil, none)
	add("GetPropertyValueHistoryResponse", body, err)
	if found := botocore(t, answers...); found != "" {
		t.Error(found)
	}
}

// TestBotocoreFindsWhatIsWrong shows that the check can fail.
func TestBotocoreFindsWhatIsWrong(t *testing.T) {
	const reference = `"entityPropertyReference":{"propertyName":"a"}`
	point := func(value string) string {
		return fmt.Sprintf(`GetPropertyValueHistoryResponse {"propertyValues":[{%s,"values":[%s]}]}`, reference, value)
	}
	wrong := []string{
		`GetPropertyValueHistoryResponse {"items":[]}`,
		`GetPropertyValueHistoryResponse {"propertyValues":[{"values":[]}]}`,
		point(`{"time":"2024-03-01T00:00:00.000Z"}`),
		point(`{"time":"2024-03-01T00:00Z","value":{"doubleValue":1}}`),
		point(`{"time":"2024-03-01T00:00:00.000Z","value":{"doubleValue":"1"}}`),
		point(`{"time":"2024-03-01T00:00:00.000Z","value":{"DoubleValue":1}}`),
		point(`{"time":"2024-03-01T00:00:00.000Z","value":{"integerValue":1.0}}`),
		point(`{"time":"2024-03-01T00:00:00.000Z","value":{"integerValue":2147483648}}`),
		point(`{"time":"2024-03-01T24:61:00.000Z","value":{"doubleValue":1}}`),
		`GetPropertyValueResponse {"propertyValues":{"a":{"propertyValue":{"doubleValue":1}}}}`,
		`GetPropertyValueResponse {"propertyValues":[]}`,
	}
	found := botocore(t, wrong...)
	for i := range wrong {
		if !strings.Contains(found, fmt.Sprintf("line %d: ", i+1)) {
			t.Errorf("nothing was found in %s\n%s", wrong[i], found)
		}
	}
}
