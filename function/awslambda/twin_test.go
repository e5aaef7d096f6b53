package awslambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"hotreader"
	"hotreader/catalog"
	"hotreader/codec/twinmaker"
	"hotreader/store/memstore"
)

const invocation = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

func at(second int) time.Time { return time.Unix(1_700_000_000+int64(second), 0).UTC() }

// filled returns a store with n rows of device: the number i, and a text.
func filled(t testing.TB, device string, n int) *memstore.Store {
	t.Helper()
	store := memstore.New()
	records := make([]hotreader.Record, n)
	for i := range records {
		records[i] = hotreader.Record{Time: at(i), Fields: []hotreader.Field{
			{Name: "temperature", Value: hotreader.Float64Value(float64(i) + 0.125)},
			{Name: "note", Value: hotreader.StringValue(fmt.Appendf(nil, "telemetry \"%d\"", i))},
		}}
	}
	if err := store.Write(t.Context(), device, records); err != nil {
		t.Fatal(err)
	}
	return store
}

// event is what TwinMaker sends for entity e, component c of device d.
func event(more string) []byte {
	return []byte(`{"workspaceId":"w","entityId":"e","componentName":"c","componentTypeId":"factory-d",
		"selectedProperties":["temperature"],"properties":{"temperature":{"definition":{"dataType":{"type":"DOUBLE"}}},
		"note":{"definition":{"dataType":{"type":"STRING"}}}}` + more + `}`)
}

const allTime = `,"startTime":"2020-01-01T00:00:00Z","endTime":"2030-01-01T00:00:00Z"`

func inLambda(ctx context.Context) context.Context {
	return lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: invocation})
}

func twin(r hotreader.Source, log *bytes.Buffer) Twin {
	t := Twin{Devices: twinmaker.Devices{Twin: "factory"}, Responder: twinmaker.Responder{Reader: hotreader.NewReader(r)}}
	if log != nil {
		t.Logger = slog.New(slog.NewJSONHandler(log, nil))
	}
	return t
}

// With Reuse an answer's memory serves the next, also after one that failed;
// without, an answer stays what it is.
func TestReuse(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		tw := twin(filled(t, "d", 50), nil)
		tw.Reuse = reuse
		h := History(tw)
		ask := func() []byte {
			t.Helper()
			got, err := h.Invoke(inLambda(t.Context()), event(allTime))
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		first := ask()
		want := bytes.Clone(first)
		ask() // where memory is too small at first, it is not the second time
		if _, err := h.Invoke(inLambda(t.Context()), []byte("{}")); err == nil {
			t.Fatal("an empty event was answered")
		}
		second := ask()
		if !bytes.Equal(second, want) {
			t.Errorf("reuse %v: got %s\nwant %s", reuse, second, want)
		}
		third := ask()
		if same := &second[0] == &third[0]; same != reuse {
			t.Errorf("reuse %v: the memory is the same: %v", reuse, same)
		}
		if !reuse && (!bytes.Equal(first, want) || !bytes.Equal(second, want)) {
			t.Error("an answer was written over")
		}
	}
}

// broken is a Reader that fails after n rows.
type broken struct {
	n   int
	err error
}

func (b broken) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		for i := range b.n {
			if !yield(hotreader.Row{Time: at(i), Values: []hotreader.Value{hotreader.Int64Value(int64(i))}}, nil) {
				return
			}
		}
		if b.err == nil {
			panic("a defect, with hunter2 in it")
		}
		yield(hotreader.Row{}, b.err)
	}
}

func functionError(t *testing.T, err error) messages.InvokeResponse_Error {
	t.Helper()
	e, ok := err.(messages.InvokeResponse_Error)
	if !ok {
		t.Fatalf("%T %v is no function error", err, err)
	}
	return e
}

// Every failure, after rows as well as before any, is a function error of our
// own set: never an empty or shortened success, and nothing of the inside.
func TestPitfall02FailuresAreFunctionErrors(t *testing.T) {
	seen := map[string]bool{}
	for _, code := range hotreader.Codes() {
		for _, rows := range []int{0, 1000} {
			cause := &hotreader.Error{Op: "dynamodb: query table hunter2", Code: code, Err: errors.New("secret hunter2")}
			for name, make := range map[string]func(Twin) lambda.Handler{"history": History, "last entry": LastEntry} {
				got, err := make(twin(broken{rows, cause}, nil)).Invoke(inLambda(t.Context()), event(allTime))
				if err == nil {
					if name == "last entry" && rows > 0 {
						continue // complete with the first row
					}
					t.Fatalf("%s, %s after %d rows: success %.200s", name, code, rows, got)
				}
				e := functionError(t, err)
				if got != nil || e.Type != ErrorType(code) || !strings.HasPrefix(e.Type, "HotReader.") || e.StackTrace != nil {
					t.Errorf("%s, %s: %+v, %.100s", name, code, e, got)
				}
				if open := slices.Contains([]hotreader.Code{hotreader.CodeInvalid, hotreader.CodeTooLarge, hotreader.CodeUnreadable, hotreader.CodeNotRestored}, code); strings.Contains(e.Message, "hunter2") != open ||
					strings.Contains(e.Message, invocation) == open || strings.Contains(e.Message, "dynamodb") {
					t.Errorf("%s, %s says %q", name, code, e.Message)
				}
				seen[e.Type] = true
			}
		}
	}
	if len(seen) != len(hotreader.Codes()) {
		t.Errorf("%d codes have %d error types", len(hotreader.Codes()), len(seen))
	}
	if len(errorTypes) != len(hotreader.Codes()) {
		t.Errorf("the table has %d lines for %d codes", len(errorTypes), len(hotreader.Codes()))
	}
}

// Latest values beyond the look-back are no empty answer, and hot storage is not what
// is missing: the caller reads what to change.
func TestLookBackEnded(t *testing.T) {
	beyond := readerFunc(func(ctx context.Context, _ func(hotreader.Row, error) bool) {
		hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.LookBackEnded, Property: "temperature", Detail: "1000 were looked at"})
	})
	_, err := LastEntry(twin(beyond, nil)).Invoke(inLambda(t.Context()), event(allTime))
	const want = "no property has a value among the device's newest records; raise HOTREADER_LOOK_BACK: temperature: no value within the newest records; 1000 were looked at"
	if e := functionError(t, err); e.Type != "HotReader.NotFound" || e.Message != want {
		t.Errorf("%+v", e)
	}
	empty := readerFunc(func(ctx context.Context, _ func(hotreader.Row, error) bool) {
		hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.LookBackEnded, Detail: "400 partitions are empty"})
	})
	_, err = LastEntry(twin(empty, nil)).Invoke(inLambda(t.Context()), event(allTime))
	if e := functionError(t, err); e.Message != "no property has a value among the device's newest records: the search ended before all was read; 400 partitions are empty" {
		t.Errorf("%+v", e)
	}
	strange := readerFunc(func(ctx context.Context, _ func(hotreader.Row, error) bool) {
		for _, reason := range []hotreader.Reason{hotreader.LookBackEnded, hotreader.UnknownProperty} {
			hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: reason, Property: "temperature", Detail: "of " + string(reason)})
		}
	})
	_, err = LastEntry(twin(strange, nil)).Invoke(inLambda(t.Context()), event(allTime))
	const unknown = "newest records; temperature: no item that was looked at has this property; of unknown_property; if older records have it, raise HOTREADER_LOOK_BACK: temperature: no value"
	if e := functionError(t, err); !strings.Contains(e.Message, unknown) {
		t.Errorf("%+v", e)
	}
}

// A panic is an error as others are: its words go to the log, and the process
// lives on.
func TestPanicIsAnError(t *testing.T) {
	var log bytes.Buffer
	_, err := History(twin(broken{0, nil}, &log)).Invoke(inLambda(t.Context()), event(allTime))
	if e := functionError(t, err); e.Type != "HotReader.Internal" || e.ShouldExit || strings.Contains(e.Message, "hunter2") {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(log.String(), "twin_test.go") {
		t.Errorf("no stack in the log: %s", &log)
	}
}

// Where the store hangs, the function answers with its own error before Lambda
// kills it.
func TestPitfall24DeadlineHasAReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := readerFunc(func(ctx context.Context, yield func(hotreader.Row, error) bool) {
			<-ctx.Done()
			yield(hotreader.Row{}, &hotreader.Error{Op: "store", Code: hotreader.CodeOf(ctx.Err()), Err: ctx.Err()})
		})
		ctx, cancel := context.WithTimeout(inLambda(t.Context()), 10*time.Second)
		defer cancel()
		_, err := History(twin(hang, nil)).Invoke(ctx, event(allTime))
		if e := functionError(t, err); e.Type != "HotReader.Deadline" {
			t.Errorf("%+v", e)
		}
		if ctx.Err() != nil {
			t.Error("answered only after Lambda's deadline")
		}
	})
}

// All devices of a type, of which none has a row in time: the caller reads how far the
// query came.
func TestFleetDeadlineSaysHowFar(t *testing.T) {
	var log bytes.Buffer
	var devices []catalog.Device
	for i := range 50 {
		devices = append(devices, catalog.Device{ID: fmt.Sprint("mixer-", i), Type: "mixer"})
	}
	c, err := catalog.Of(devices)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		slow := readerFunc(func(ctx context.Context, yield func(hotreader.Row, error) bool) {
			select {
			case <-ctx.Done():
				yield(hotreader.Row{}, &hotreader.Error{Op: "store", Code: hotreader.CodeOf(ctx.Err()), Err: ctx.Err()})
			case <-time.After(6 * time.Second):
			}
		})
		ctx, cancel := context.WithTimeout(inLambda(t.Context()), 10*time.Second)
		defer cancel()
		tw := twin(slow, &log)
		tw.Devices.Catalog = c
		_, err := History(tw).Invoke(ctx, []byte(`{"workspaceId":"w","componentTypeId":"factory-mixer","selectedProperties":["on"],
			"properties":{"alarm_key":{"definition":{"isExternalId":true}}}`+allTime+`}`))
		e := functionError(t, err)
		if e.Type != "HotReader.Deadline" || !strings.Contains(e.Message, `32 of the 50 devices of the type "mixer" were read`) || ctx.Err() != nil {
			t.Errorf("%+v", e)
		}
	})
	if !strings.Contains(log.String(), `"device":"mixer"`) {
		t.Errorf("%s", &log)
	}
}

// The same where TwinMaker itself hangs, before anything is read.
func TestPitfall24LookupHasAReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tw := twin(memstore.New(), nil)
		tw.Devices = twinmaker.Devices{Lookup: func(ctx context.Context, _, _, _ string) (twinmaker.Component, error) {
			<-ctx.Done()
			return twinmaker.Component{}, &hotreader.Error{Op: "twinmaker", Code: hotreader.CodeOf(ctx.Err()), Err: ctx.Err()}
		}}
		ctx, cancel := context.WithTimeout(inLambda(t.Context()), 10*time.Second)
		defer cancel()
		_, err := History(tw).Invoke(ctx, event(allTime))
		if e := functionError(t, err); e.Type != "HotReader.Deadline" || ctx.Err() != nil {
			t.Errorf("%+v, Lambda's deadline: %v", e, ctx.Err())
		}
	})
}

type readerFunc func(context.Context, func(hotreader.Row, error) bool)

func (f readerFunc) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) { f(ctx, yield) }
}

// One line a query, with what it cost, and with no value of any property.
func TestPitfall23LogHasNoTelemetry(t *testing.T) {
	var log bytes.Buffer
	h := History(twin(filled(t, "d", 3), &log))
	both := bytes.Replace(event(allTime), []byte(`["temperature"]`), []byte(`["temperature","note"]`), 1)
	if _, err := h.Invoke(inLambda(t.Context()), both); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines: %s", n, &log)
	}
	for _, value := range []string{"0.125", "telemetry"} {
		if strings.Contains(log.String(), value) {
			t.Errorf("%s is in the log: %s", value, &log)
		}
	}
}

// However many rows there are, an answer stays within Lambda's limit, and the
// pages together have every row.
func TestPitfall25AnswerFitsLambda(t *testing.T) {
	const n = 40_000
	store := memstore.New()
	records := make([]hotreader.Record, n)
	text := hotreader.StringValue(bytes.Repeat([]byte(`"é`), 80))
	for i := range records {
		records[i] = hotreader.Record{Time: at(i), Fields: []hotreader.Field{{Name: "note", Value: text}}}
	}
	if err := store.Write(t.Context(), "d", records); err != nil {
		t.Fatal(err)
	}
	h := History(twin(store, nil))
	token, points := "", 0
	for pages := 1; ; pages++ {
		body, err := h.Invoke(inLambda(t.Context()), bytes.Replace(event(allTime+token), []byte(`["temperature"]`), []byte(`["note"]`), 1))
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > MaxAnswer {
			t.Fatalf("page %d has %d bytes", pages, len(body))
		}
		var answer struct {
			PropertyValues []struct{ Values []json.RawMessage }
			NextToken      *string
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatal(err)
		}
		points += len(answer.PropertyValues[0].Values)
		if answer.NextToken == nil {
			if points != n || pages < 2 {
				t.Errorf("%d points on %d pages, want %d on several", points, pages, n)
			}
			return
		}
		token = `,"nextToken":"` + *answer.NextToken + `"`
	}
}

func TestBounded(t *testing.T) {
	if err := bounded(make([]byte, MaxAnswer)); err != nil {
		t.Error(err)
	}
	if err := bounded(make([]byte, MaxAnswer+1)); hotreader.CodeOf(err) != hotreader.CodeTooLarge {
		t.Errorf("got %v", err)
	}
}
