package programs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/httpapi"
	"hotreader/test/runtimeapi"
	"hotreader/test/serving"
	"hotreader/test/slowtable"
)

// event asks for the temperature of device.
func event(device, more string) []byte { return serving.Event(device, `"temperature"`, more) }

type answer struct {
	PropertyValues []struct {
		Values []struct {
			Time  string
			Value struct{ DoubleValue json.Number }
		}
	}
	NextToken *string
}

func invoke(t *testing.T, f *runtimeapi.Function, event []byte) (answer, error) {
	t.Helper()
	body, err := f.Invoke(t.Context(), event, 20*time.Second)
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatalf("%v: %.300s", err, body)
	}
	if len(a.PropertyValues) != 1 {
		t.Fatalf("not one property: %.300s", body)
	}
	return a, nil
}

// check compares an answer with rows from to to.
func check(t *testing.T, a answer, from, to int) {
	t.Helper()
	values := a.PropertyValues[0].Values
	if len(values) != to-from {
		t.Fatalf("%d values, want %d", len(values), to-from)
	}
	for i, v := range values {
		when, err := hotreader.ParseTime([]byte(v.Time))
		if err != nil || !when.Equal(serving.At(from+i)) || v.Value.DoubleValue.String() != serving.Digits(from+i) {
			t.Fatalf("value %d is %+v, %v", from+i, v, err)
		}
	}
}

func failureType(t *testing.T, err error) string {
	t.Helper()
	f, ok := errors.AsType[*runtimeapi.Failure](err)
	if !ok {
		t.Fatalf("%v is no function error", err)
	}
	if strings.Contains(f.Message, "127.0.0.1") || strings.Contains(f.Message, serving.Token) {
		t.Errorf("%q shows the inside", f.Message)
	}
	return f.Type
}

func TestFunctionReadsAnotherCloud(t *testing.T) {
	t.Parallel()
	const n = 5000
	for name, jsonOnly := range map[string]bool{"rows": false, "an old peer's JSON": true} {
		t.Run(name, func(t *testing.T) {
			p := serving.NewPeer(t, serving.Token, func(o *httpapi.Options) { o.NoRows = jsonOnly })
			p.Fill(t, "d", n)
			f := serving.Function(t, "hot-reader", lambda.twin(p))
			a, err := invoke(t, f, event("d", serving.AllTime))
			if err != nil {
				t.Fatal(err)
			}
			check(t, a, 0, n)
			if a.NextToken != nil {
				t.Error("a token behind the last page")
			}

			more := serving.AllTime + `,"maxResults":1700`
			for from := 0; from < n; from += 1700 {
				if a, err = invoke(t, f, event("d", more)); err != nil {
					t.Fatal(err)
				}
				check(t, a, from, min(from+1700, n))
				if (a.NextToken == nil) != (from+1700 >= n) {
					t.Fatalf("next token %v behind row %d", a.NextToken, from+1700)
				}
				if a.NextToken != nil {
					more = serving.AllTime + `,"maxResults":1700,"nextToken":"` + *a.NextToken + `"`
				}
			}

			last := serving.Function(t, "hot-reader-last-entry", lambda.twin(p))
			body, err := last.Invoke(t.Context(), event("d", ""), 20*time.Second)
			if err != nil || !strings.Contains(string(body), `"propertyValue":{"doubleValue":`+serving.Digits(n-1)+`}`) {
				t.Errorf("%s, %v", body, err)
			}
		})
	}
}

// HOTREADER_LOOK_BACK bounds the search for latest values.
func TestLookBack(t *testing.T) {
	t.Parallel()
	p := serving.NewPeer(t, serving.Token)
	p.Fill(t, "d", 3)
	older := hotreader.Record{Time: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), Fields: []hotreader.Field{{Name: "old", Value: hotreader.BoolValue(true)}}}
	if err := p.Store.Write(t.Context(), "d", []hotreader.Record{older}); err != nil {
		t.Fatal(err)
	}
	for lookBack, found := range map[string]bool{"": true, "1": false} {
		f := serving.Function(t, "hot-reader-last-entry", serving.With(lambda.twin(p), "HOTREADER_LOOK_BACK", lookBack))
		body, err := f.Invoke(t.Context(), serving.Event("d", `"temperature","old"`, ""), 20*time.Second)
		if err != nil || strings.Contains(string(body), `"booleanValue":true`) != found || !strings.Contains(string(body), `"doubleValue"`) {
			t.Errorf("%q: %s, %v", lookBack, body, err)
		}
	}
}

// A device that is not known has no values, and that is no failure.
func TestUnknownDeviceIsEmpty(t *testing.T) {
	t.Parallel()
	f := serving.Function(t, "hot-reader", lambda.twin(serving.NewPeer(t, serving.Token)))
	a, err := invoke(t, f, event("nobody", serving.AllTime))
	if err != nil {
		t.Fatal(err)
	}
	check(t, a, 0, 0)
}

// The three ways in which events name a device end at the same rows, without a
// call to TwinMaker where the event is enough.
func TestPitfall09DeviceIsFoundOneWay(t *testing.T) {
	t.Parallel()
	p := serving.NewPeer(t, serving.Token)
	p.Fill(t, "machine/1", 3)
	var lookups atomic.Int64
	twinmaker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lookups.Add(1)
		if r.URL.Path != "/workspaces/w/entities/e" {
			w.WriteHeader(404)
			return
		}
		io.WriteString(w, `{"entityId":"e","workspaceId":"w","components":{"c":{"componentTypeId":"com.example.machine","properties":{
			"serial":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true},"value":{"stringValue":"machine/1"}}}}}}`)
	}))
	defer twinmaker.Close()
	f := serving.Function(t, "hot-reader", serving.With(lambda.twin(p), "AWS_ENDPOINT_URL_IOTTWINMAKER", twinmaker.URL))
	external := `"properties":{"serial":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true},"value":{"stringValue":"machine/1"}},`
	for _, c := range []struct {
		name    string
		event   []byte
		lookups int64
	}{
		{"component type", event("machine/1", serving.AllTime), 0},
		{"external id", []byte(strings.Replace(string(event("other", serving.AllTime)), `"properties":{`, external, 1)), 0},
		{"GetEntity", []byte(strings.Replace(string(event("x", serving.AllTime)), `factory-x`, `com.example.machine`, 1)), 1},
		{"GetEntity, remembered", []byte(strings.Replace(string(event("x", serving.AllTime)), `factory-x`, `com.example.machine`, 1)), 1},
	} {
		a, err := invoke(t, f, c.event)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		check(t, a, 0, 3)
		if n := lookups.Load(); n != c.lookups {
			t.Errorf("%s: %d lookups, want %d", c.name, n, c.lookups)
		}
	}
}

// A component-type query has no entity, and a property may lack its metadata.
func TestPitfall08QueryByComponentType(t *testing.T) {
	t.Parallel()
	p := serving.NewPeer(t, serving.Token)
	p.Fill(t, "d", 2)
	f := serving.Function(t, "hot-reader", lambda.twin(p))
	body, err := f.Invoke(t.Context(), []byte(`{"workspaceId":"w","componentTypeId":"com.example.machine","selectedProperties":["state","unheard"],
		"properties":{"serial":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true},"value":{"stringValue":"d"}}}`+serving.AllTime+`}`), 20*time.Second)
	want := `{"propertyValues":[{"entityPropertyReference":{"externalIdProperty":{"serial":"d"},"propertyName":"state"},` +
		`"values":[{"time":"2023-11-14T22:13:20.000Z","value":{"stringValue":"on"}},{"time":"2023-11-14T22:13:21.000Z","value":{"stringValue":"on"}}]},` +
		`{"entityPropertyReference":{"externalIdProperty":{"serial":"d"},"propertyName":"unheard"},"values":[]}]}`
	if err != nil || string(body) != want {
		t.Errorf("got  %s, %v\nwant %s", body, err, want)
	}
}

// A component type that twelve machines share is answered for all of them, by the
// catalogue beside the program.
func TestAlarmsOfTwelveMachines(t *testing.T) {
	t.Parallel()
	p := serving.NewPeer(t, serving.Token)
	var devices []catalog.Device
	for i := range 12 {
		id := fmt.Sprintf("mixer-%02d", i)
		p.Fill(t, id, i+1)
		devices = append(devices, catalog.Device{ID: id, Type: "mixer", Properties: []catalog.Property{{Name: "state", Type: hotreader.ShortString}}})
	}
	packed, err := catalog.Build(devices)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), catalog.File)
	if err := os.WriteFile(file, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	f := serving.Function(t, "hot-reader", serving.With(lambda.twin(p), "HOTREADER_CATALOG", file))
	ask := func(componentType, more string) ([]byte, error) {
		return f.Invoke(t.Context(), []byte(`{"workspaceId":"w","componentTypeId":"`+componentType+`","selectedProperties":["alarm_status"],"orderByTime":"DESCENDING",
			"properties":{"alarm_key":{"definition":{"isExternalId":true}},"alarm_status":{"definition":{"dataType":{"type":"STRING"},"configuration":{"storedAs":"state"}}}}`+serving.AllTime+more+`}`), 20*time.Second)
	}
	token, points := "", map[string]int{}
	for pages := 1; ; pages++ {
		body, err := ask("factory-mixer", `,"maxResults":10`+token)
		var answer struct {
			PropertyValues []struct {
				EntityPropertyReference struct{ ExternalIDProperty map[string]string }
				Values                  []json.RawMessage
			}
			NextToken *string
		}
		if err != nil || json.Unmarshal(body, &answer) != nil {
			t.Fatalf("%s, %v", body, err)
		}
		for _, one := range answer.PropertyValues {
			points[one.EntityPropertyReference.ExternalIDProperty["alarm_key"]] += len(one.Values)
		}
		if answer.NextToken == nil {
			if pages != 8 {
				t.Errorf("78 points, 10 a page, on %d pages", pages)
			}
			break
		}
		token = `,"nextToken":"` + *answer.NextToken + `"`
	}
	for i, d := range devices {
		if points[d.ID] != i+1 {
			t.Errorf("%s has %d points; want %d", d.ID, points[d.ID], i+1)
		}
	}
	if _, err := ask("factory-mxer", ""); err == nil || !strings.Contains(err.Error(), "of no device of the catalogue") {
		t.Errorf("a type that nobody has: %v", err)
	}
}

// TwinMaker never retries; the reader does, so that it sees one call and one
// answer.
func TestPitfall12RetriesAreTheReaders(t *testing.T) {
	t.Parallel()
	p := serving.NewPeer(t, serving.Token)
	p.Fill(t, "d", 2000)
	f := serving.Function(t, "hot-reader", lambda.twin(p))
	for name, ill := range map[string]func(http.ResponseWriter){
		"503":   func(w http.ResponseWriter) { w.WriteHeader(503) },
		"429":   func(w http.ResponseWriter) { w.Header().Set("Retry-After", "1"); w.WriteHeader(429) },
		"reset": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"cut": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/vnd.hotreader.rows")
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		p.Calls.Store(0)
		p.SetFor(2, func(w http.ResponseWriter, _ *http.Request) { ill(w) })
		a, err := invoke(t, f, event("d", serving.AllTime))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		check(t, a, 0, 2000)
		if n := p.Calls.Load(); n != 3 {
			t.Errorf("%s: %d requests, want 3", name, n)
		}
	}
}

// A peer that hangs is given up before Lambda's own deadline.
func TestPitfall24HangingPeer(t *testing.T) {
	t.Parallel()
	p := serving.NewPeer(t, serving.Token)
	release := make(chan struct{})
	defer close(release)
	p.Set(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // else the server does not see the caller leave
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	f := serving.Function(t, "hot-reader", lambda.twin(p))
	_, err := f.Invoke(t.Context(), event("d", serving.AllTime), 2*time.Second)
	if got := failureType(t, err); got != "HotReader.Deadline" {
		t.Error(got)
	}
}

func TestBadEventsAreInvalid(t *testing.T) {
	t.Parallel()
	p := serving.NewPeer(t, serving.Token)
	for _, handler := range []string{"hot-reader", "hot-reader-last-entry", "hot-reader-api"} {
		f := serving.Function(t, handler, serving.With(lambda.twin(p), "DYNAMODB_TABLE_NAME", "factory-hot-iot-data"))
		for _, e := range []string{`{}`, `null`, `[]`, `{`, `"x"`, ``} {
			_, err := f.Invoke(t.Context(), []byte(e), 20*time.Second)
			if got := failureType(t, err); got != "HotReader.InvalidQuery" {
				t.Errorf("%s, %q: %s", handler, e, got)
			}
		}
	}
	if p.Calls.Load() != 0 {
		t.Error("the peer was asked")
	}
}

// The trace that the peer sees is the invocation's.
func TestTraceFollowsTheInvocation(t *testing.T) {
	t.Parallel()
	p := serving.NewPeer(t, serving.Token)
	f := serving.Function(t, "hot-reader", lambda.twin(p))
	if _, err := invoke(t, f, event("d", serving.AllTime)); err != nil {
		t.Fatal(err)
	}
	const want = "00-8476a536e9f411e89739000000000001-"
	if traces := p.Traces(); len(traces) != 1 || !strings.HasPrefix(traces[0], want) {
		t.Errorf("traces %v, want %s…", traces, want)
	}
}

// The token that is sent on comes from there too.
func TestFunctionTakesItsTokenFromSecretsManager(t *testing.T) {
	t.Parallel()
	p := serving.NewPeer(t, serving.Token)
	p.Fill(t, "d", 3)
	env, fetches := secretsManager(t, serving.Token)
	f := serving.Function(t, "hot-reader", serving.With(lambda.twin(p), env...))
	for range 3 {
		a, err := invoke(t, f, event("d", serving.AllTime))
		if err != nil {
			t.Fatal(err)
		}
		check(t, a, 0, 3)
	}
	if n := fetches.Load(); n != 1 {
		t.Errorf("%d fetches for three queries", n)
	}
}

// functionFails wants the bootstrap to refuse to start, and returns what it
// reported.
func functionFails(t testing.TB, handler string, env map[string]string) *runtimeapi.Failure {
	t.Helper()
	f := serving.Function(t, handler, env)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	code, failure, err := f.WaitExit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if code == 0 || failure == nil {
		t.Fatalf("exit code %d, init error %v", code, failure)
	}
	select {
	case <-f.Polled():
		t.Error("it polled for an event first")
	default:
	}
	if !strings.Contains(f.Log(), failure.Message) {
		t.Errorf("standard error has\n%s\nand Lambda\n%s", f.Log(), failure.Message)
	}
	return failure
}

func TestFunctionNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	failure := functionFails(t, "hot-raeder", map[string]string{"AWS_REGION": "", "REMOTE_READER_URL": "http://example.com", "HOTREADER_BURST": "many"})
	if failure.Type != "HotReader.Config" {
		t.Errorf("type %s", failure.Type)
	}
	for _, want := range []string{`_HANDLER: "hot-raeder" is no handler; did you mean "hot-reader"?`, "DIGITAL_TWIN_INFO: is not set",
		"REMOTE_READER_URL: is http", "INTER_CLOUD_TOKEN: is not set", "HOTREADER_BURST: ", "AWS_REGION: is not set"} {
		if !strings.Contains("\n"+failure.Message, "\n"+want) {
			t.Errorf("no line %q in\n%s", want, failure.Message)
		}
	}
}

func TestOutsideLambda(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(serving.Program(t, "hotreader-lambda"))
	cmd.Env = []string{"_HANDLER=hot-reader"}
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), "AWS_LAMBDA_RUNTIME_API: is not set") || !strings.Contains(string(out), "DIGITAL_TWIN_INFO: is not set") {
		t.Errorf("%v: %s", err, out)
	}
}

// Both readers of a table of many pages ask for parts of it rather than for one
// page behind the other.
func TestTableIsReadAhead(t *testing.T) {
	t.Parallel()
	const rows, page = 5000, 400
	for handler, read := range map[string]func(f *runtimeapi.Function) string{
		"hot-reader": func(f *runtimeapi.Function) string {
			raw, err := f.Invoke(t.Context(), event("d", serving.AllTime), 20*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			return string(raw)
		},
		"hot-reader-api": func(f *runtimeapi.Function) string {
			return serving.Ask(t, serving.Gateway(t, f), "POST", "/read", serving.Envelope("query", "d", ""), serving.Token, "Content-Type", "application/json").Body
		},
	} {
		table := slowtable.New(rows, page)
		body := read(serving.Function(t, handler, lambda.here("DIGITAL_TWIN_INFO", serving.Twin("aws", "aws"), "AWS_ENDPOINT_URL_DYNAMODB", serving.Listen(t, table))))
		if n := strings.Count(body, `"time":`); n != rows {
			t.Errorf("%s: %d values, want %d: %.300s", handler, n, rows, body)
		}
		if table.Queries.Load() <= rows/page || table.Continued.Load() > 0 {
			t.Errorf("%s: %d queries, of which %d go on behind a page", handler, table.Queries.Load(), table.Continued.Load())
		}
	}
}
