package golden

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/rogpeppe/go-internal/txtar"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/function/awslambda"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/observe"
	"hotreader/observe/page"
	"hotreader/route"
	"hotreader/store/memstore"
)

const token = "0123456789abcdef0123456789abcdef"

// varying is what differs from run to run.
var varying = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`"time":"[^"]*","level"`), `"time":"TIME","level"`},
	{regexp.MustCompile(`"(duration|Timestamp)":\d+`), `"$1":N`},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), `TRACE`},
	{regexp.MustCompile(`("next_?[tT]oken":"|[?&]next_token=)[^"&>]+`), `${1}NEXT`},
	{regexp.MustCompile(`(panic: [^\\]*)\\n[^"]*`), `$1`}, // the stack
	{regexp.MustCompile(`(?m)^(hotreader_\w+_seconds(_bucket|_sum)?(\{.*\})?) .*`), `$1 N`},
}

// exchanges asks what each section of an archive holds above a line ----, and
// compares what is answered and logged with what stands below. {next} stands for
// the token of the page before.
func exchanges(t *testing.T, archive string, log *bytes.Buffer, ask func(title, text string) string) {
	t.Helper()
	file := "testdata/" + archive
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	next := ""
	for i := range a.Files {
		f := &a.Files[i]
		text, want, _ := strings.Cut(string(f.Data), "----\n")
		log.Reset()
		got := ask(f.Name, strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "{next}", next))
		if m := regexp.MustCompile(`"next_?[tT]oken":"([^"]+)"`).FindStringSubmatch(got); m != nil {
			next = m[1]
		}
		got = strings.TrimSuffix(got, "\n") + "\n" + log.String()
		for _, v := range varying {
			got = v.what.ReplaceAllString(got, v.by)
		}
		f.Data = []byte(text + "----\n" + got)
		if got != want && !*Update {
			t.Errorf("%s: %s\ngot\n%s\nwant\n%s", archive, f.Name, got, want)
		}
	}
	if *Update {
		if err := os.WriteFile(file, txtar.Format(a), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// stored is a store with two devices, that is observed.
func stored(t *testing.T, seen *observe.Observer) hotreader.Source {
	t.Helper()
	store := memstore.New()
	for _, r := range []struct {
		at, values string
	}{
		{"2026-01-01T00:00:00Z", `{"temperature":73.90,"on":true,"count":7,"total":9007199254740993,"mode":"run"}`},
		{"2026-01-01T00:00:01Z", `{"temperature":74,"state":"=warm, up","count":2147483648}`},
		{"2026-01-01T00:00:01.000001Z", `{"temperature":1E+2,"on":1,"mode":""}`},
		{"2026-01-01T00:00:02.5Z", `{"on":false,"count":7.0,"total":"17","mode":"a \"quoted\\\" \n☃"}`},
		{"2026-01-01T00:00:03Z", `{"temperature":12345678901234567890.123456789,"count":-7,"total":-1}`},
	} {
		at, err := hotreader.ParseTime([]byte(r.at))
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(r.values), &fields); err != nil {
			t.Fatal(err)
		}
		record := hotreader.Record{Time: at}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			record.Fields = append(record.Fields, hotreader.Field{Name: name, Value: value(t, fields[name])})
		}
		for _, device := range []string{"pump", "halle 3/pumpe?#é%2F"} {
			if err := store.Write(t.Context(), device, []hotreader.Record{record}); err != nil {
				t.Fatal(err)
			}
		}
	}
	once := func(r hotreader.Source) hotreader.Source { return r }
	return seen.Reads("read store", seen.Retried(seen.Breaker(route.NewBreaker(faulty{store}, route.BreakerOptions{})), once))
}

func value(t *testing.T, text json.RawMessage) hotreader.Value {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	switch v := v.(type) {
	case bool:
		return hotreader.BoolValue(v)
	case string:
		return hotreader.StringValue([]byte(v))
	}
	return hotreader.NumberValue(text)
}

// faulty is a Reader that fails for the device fails-CODE, breaks off behind the
// first row of pump for breaks-CODE, and panics for panics.
type faulty struct{ hotreader.Source }

func (f faulty) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	how, code, _ := strings.Cut(q.Device, "-")
	failure := &hotreader.Error{Op: "store: query table hidden", Code: hotreader.Code(code), Err: errors.New("the cause, hidden")}
	if failure.Code == hotreader.CodeThrottled || failure.Code == hotreader.CodeOverloaded {
		failure.RetryAfter = 90 * time.Second
	}
	switch how {
	case "fails":
		return hotreader.Fail(failure)
	case "panics":
		panic("a defect, hidden")
	case "breaks":
		return func(yield func(hotreader.Row, error) bool) {
			q.Device = "pump"
			for row := range f.Source.Scan(ctx, q) {
				yield(row, nil)
				break
			}
			yield(hotreader.Row{}, failure)
		}
	}
	return f.Source.Scan(ctx, q)
}

// observing returns an observer and a log.
func observing(t *testing.T, o observe.Options) (*observe.Observer, *slog.Logger, *bytes.Buffer) {
	t.Helper()
	o.Getenv, o.Program, o.Version = func(string) string { return "" }, "golden", "1.2.3"
	seen, err := observe.New(o)
	if err != nil {
		t.Fatal(err)
	}
	seen.Made(func() time.Time { return time.Unix(1<<40, 0) }) // still to come: its age is 0
	log := new(bytes.Buffer)
	return seen, slog.New(slog.NewJSONHandler(log, nil)), log
}

func newAPI(t *testing.T, seen *observe.Observer, logger *slog.Logger) http.Handler {
	t.Helper()
	tokens, err := identity.Static(token + ",previous-" + token)
	if err != nil {
		t.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Options{Source: stored(t, seen), Token: tokens, Rate: -1, Logger: logger, Observer: seen, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	return seen.Handler(api)
}

// TestAPI: a section is a request: method and target, headers, a blank line, the
// body. "query PAYLOAD" and "last PAYLOAD" are bodies of POST /read in short. The
// token is the right one unless the request has one.
func TestAPI(t *testing.T) {
	seen, logger, log := observing(t, observe.Options{Page: true})
	mux := http.NewServeMux()
	mux.Handle("/", newAPI(t, seen, logger))
	mux.Handle(page.Path, page.Handler(seen))
	exchanges(t, "api.txtar", log, func(_, text string) string {
		return answer(mux, request(text))
	})
}

func request(text string) *http.Request {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	kind, payload, _ := strings.Cut(body, " ")
	if kind = map[string]string{"query": "query", "last": "query_last_entry"}[kind]; kind != "" {
		body = `{"source_cloud":"aws","target_layer":"L3-Hot-Read","message_type":"` + kind + `","timestamp":"2026-01-01T00:00:00Z","trace_id":"t-1","payload":` + payload + `}`
	}
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set(identity.TokenHeader, token)
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	return r
}

func answer(h http.Handler, r *http.Request) (text string) {
	w := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprint("aborted: ", p)
		}
	}()
	h.ServeHTTP(w, r)
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", w.Code, http.StatusText(w.Code))
	for _, name := range slices.Sorted(maps.Keys(w.Header())) {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(w.Header()[name], ", "))
	}
	for line := range strings.Lines(w.Body.String()) {
		if r.Method == http.MethodHead {
			break // as net/http leaves it out
		}
		if r.URL.Path != page.Path || strings.Contains(line, "hotreader_") { // else it is of Go's runtime
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestFunctions: a section is an event, and its title says which function is
// invoked with it.
func TestFunctions(t *testing.T) {
	seen, logger, log := observing(t, observe.Options{Function: "factory-hot-reader"})
	exchanges(t, "functions.txtar", log, functions(t, seen, logger))
}

// TestRefusals: what is wrong with an event, in the words of the answer alone.
func TestRefusals(t *testing.T) {
	exchanges(t, "refusals.txtar", new(bytes.Buffer), functions(t, nil, nil))
}

func functions(t *testing.T, seen *observe.Observer, logger *slog.Logger) func(title, text string) string {
	t.Helper()
	twin := awslambda.Twin{
		Devices:   twinmaker.Devices{Twin: "factory"},
		Responder: twinmaker.Responder{Reader: hotreader.NewReader(stored(t, seen))},
		Logger:    logger,
		Observer:  seen,
	}
	all := map[string]observe.Invoker{
		"history":    seen.Invoker("hot-reader", awslambda.History(twin)),
		"last entry": seen.Invoker("hot-reader-last-entry", awslambda.LastEntry(twin)),
		"gateway":    seen.Invoker("", awslambda.API(newAPI(t, seen, logger), logger, seen)),
	}
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "8476a536-e9f4-11e8-9739-2dfe598c3fcd"})
	return func(title, text string) string {
		name, _, _ := strings.Cut(title, ":")
		body, err := all[name].Invoke(ctx, []byte(text))
		if err == nil {
			return string(body)
		}
		e, ok := errors.AsType[messages.InvokeResponse_Error](err)
		if !ok || body != nil || e.StackTrace != nil || e.ShouldExit {
			t.Errorf("%s: %s, %#v", title, body, err)
		}
		return e.Type + ": " + e.Message
	}
}

// TestEveryFailureIsShown: each code has its section.
func TestEveryFailureIsShown(t *testing.T) {
	for _, archive := range []string{"api.txtar", "functions.txtar"} {
		text, err := os.ReadFile("testdata/" + archive)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range hotreader.Codes() {
			if !strings.Contains(string(text), "failure: "+string(code)+" --\n") {
				t.Errorf("%s does not show the failure %s", archive, code)
			}
		}
	}
}
