package azurecosmos

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/storetest/cloud"
)

var base = time.Date(2024, 2, 3, 4, 5, 6, 700_000_000, time.UTC)

func number(digits string) hotreader.Value { return hotreader.NumberValue([]byte(digits)) }

// batchOf answers a batch with one status an operation.
func batchOf(statuses ...int) cloud.Answer {
	var results []string
	all := 200
	for _, s := range statuses {
		results = append(results, fmt.Sprintf(`{"statusCode":%d,"requestCharge":5.5,"eTag":"x"}`, s))
		if s > 299 {
			all = 207
		}
	}
	return cloud.Answer{Status: all, Body: "[" + strings.Join(results, ",") + "]"}
}

// written is an operation of a batch.
type written struct {
	OperationType string
	ResourceBody  map[string]json.RawMessage
}

func operations(t testing.TB, body string) []written {
	t.Helper()
	var ops []written
	if err := json.Unmarshal([]byte(body), &ops); err != nil {
		t.Fatalf("%v: %.200s", err, body)
	}
	return ops
}

// TestWriteRequest compares what is sent with golden files.
func TestWriteRequest(t *testing.T) {
	records := []hotreader.Record{
		cloud.Record(base, cloud.Number("temperature", "20.50"), hotreader.Field{Name: "on", Value: hotreader.BoolValue(true)},
			cloud.Text("state", "run\n\"é\x01"), hotreader.Field{Name: "none"}),
		cloud.Record(base.Add(time.Second), cloud.Number(`a"b\c.d`, "9007199254740993"), cloud.Number("x", "1e400")),
	}
	for _, test := range []struct {
		name    string
		o       Options
		answers []cloud.Answer
		send    []int // requests to look at
	}{
		{"write batch", Options{}, []cloud.Answer{batchOf(201, 200)}, []int{0}},
		{"write single", Options{Single: true}, []cloud.Answer{{Status: 201, Body: "{}"}, {Status: 200, Body: "{}"}}, nil},
		{"write epoch_ms", Options{Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochMillis}, DeviceKey: "dev", TimeKey: "t"}}, []cloud.Answer{batchOf(201, 200)}, []int{0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, test.answers...)
			if err := f.store(test.o).Write(t.Context(), "pump/7 é", records); err != nil {
				t.Fatal(err)
			}
			f.Done()
			slices.SortFunc(f.Requests, func(a, b cloud.Sent) int { return strings.Compare(a.Body, b.Body) }) // sent side by side
			var b strings.Builder
			for _, r := range f.Requests {
				fmt.Fprintf(&b, "%s %s\n", r.Method, r.URL)
				if err := r.Header.Write(&b); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, "\n%s\n", strings.ReplaceAll(r.Body, `,{"operationType"`, ",\n"+`{"operationType"`))
			}
			cloud.Golden(t, *update, "testdata/request "+test.name+".txt", strings.ReplaceAll(b.String(), "\r\n", "\n"))
		})
	}
}

// What was written comes back: every number, whether Cosmos DB can hold it or
// not, and always the same digits where they are a double's.
func TestNumbersThatADoubleDoesNotHold(t *testing.T) {
	for digits, held := range map[string]bool{
		"0": true, "-0": true, "1.50": true, "74.93588199999998": true, "0.1": true, "1e22": true, "1E-7": true, "9007199254740992": true, "123456789012345": true,
		"5e-324": true, "1.7976931348623157e308": true, "2147483648.5": true, "-96.90386085": true, "1e2": true, "100000000000000000000000": true,
		"9007199254740993": false, "1700000000123456789": false, "9223372036854775807": false, "18446744073709551616": false, "0.12345678901234567890": false,
		"1e309": false, "-1e400": false, "1e-400": false, "2.4e-324": false, "0.1000000000000000055511151231257827": false,
	} {
		if got := holds([]byte(digits)); got != held {
			t.Errorf("holds(%s) = %v", digits, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?(e-?[0-9]{1,3})?`).Draw(t, "digits")
		made, err := requestsOf(New(&Client{}, Options{Database: "d", Container: "c", Single: true}), []hotreader.Record{{Time: base, Fields: []hotreader.Field{{Name: "n", Value: number(digits)}}}})
		if err != nil {
			t.Fatal(err)
		}
		// What the emulator and, to all that is known, Cosmos DB do with it.
		var stored struct{ N any }
		if err := json.Unmarshal(made[0].body, &stored); err != nil {
			t.Fatalf("%v: %s", err, made[0].body)
		}
		back, err := json.Marshal(stored.N)
		if err != nil {
			t.Fatal(err)
		}
		if hotreader.CompareNumbers([]byte(strings.Trim(string(back), `"`)), []byte(digits)) != 0 {
			t.Fatalf("%s comes back as %s", digits, back)
		}
	})
}

// Batches are no larger than Cosmos DB takes.
func TestLargeBatches(t *testing.T) {
	f := newFake(t)
	f.Serve = func(r cloud.Sent) cloud.Answer {
		return batchOf(slices.Repeat([]int{200}, strings.Count(r.Body, `"operationType"`))...)
	}
	filler := cloud.Text("filler", strings.Repeat("x", 600_000))
	if err := f.store(Options{}).Write(t.Context(), "d", []hotreader.Record{cloud.Record(base, filler), cloud.Record(base.Add(1), filler), cloud.Record(base.Add(2), filler)}); err != nil {
		t.Fatal(err)
	}
	if len(f.Requests) != 2 {
		t.Errorf("%d requests for 1.8 MB, want 2", len(f.Requests))
	}
}

func TestWriteThatIsNotTaken(t *testing.T) {
	slow := refuse(429, "TooManyRequests", "Request rate is large")
	slow.Header = map[string]string{"x-ms-retry-after-ms": "100"}
	two := []hotreader.Record{cloud.Record(base), cloud.Record(base.Add(1))}
	synctest.Test(t, func(t *testing.T) { // it goes on until the container takes it
		f := newFake(t, slices.Repeat([]cloud.Answer{slow}, 60)...)
		inside := batchOf(429, 424)
		inside.Body = strings.Replace(inside.Body, `429,`, `429,"retryAfterMilliseconds":50,"subStatusCode":3200,`, 1)
		f.Answers = append(f.Answers, inside, batchOf(449, 424), batchOf(200, 201))
		start := time.Now()
		if err := f.store(Options{}).Write(t.Context(), "d", two); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 6*time.Second {
			t.Errorf("it took %v, in which 60 times 100 ms cannot be", took)
		}
		f.Done()
	})
	synctest.Test(t, func(t *testing.T) { // or the caller has no more time
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		f := newFake(t)
		f.Serve = func(cloud.Sent) cloud.Answer { return slow }
		err := f.store(Options{}).Write(ctx, "d", two)
		if e, ok := errors.AsType[*hotreader.Error](err); !ok || e.Code != hotreader.CodeThrottled || e.RetryAfter != 100*time.Millisecond {
			t.Errorf("error %v", err)
		}
		if len(f.Requests) < 400 {
			t.Errorf("tried only %d times", len(f.Requests))
		}
	})
	for _, test := range []struct {
		name  string
		a     cloud.Answer
		code  hotreader.Code
		says  string
		tries int
	}{
		{"partition", refuse(400, "BadRequest", "PartitionKey extracted from document doesn't match the one specified in the header"), hotreader.CodeConfig, "its partition key must be /device_id", 1},
		{"bad item", refuse(400, "BadRequest", "One of the specified inputs is invalid"), hotreader.CodeInvalid, "rejects an item", 1},
		{"role", refuse(403, "Forbidden", "RBAC"), hotreader.CodeForbidden, "Cosmos DB Built-in Data Contributor", 1},
		{"full", refuse(403, "Forbidden", "Partition key reached maximum size of 20 GB"), hotreader.CodeStore, "the device's partition is full", 1},
		{"unique keys", refuse(409, "Conflict", "Unique index constraint violation."), hotreader.CodeInvalid, "must have no unique keys", 1},
		{"too large", refuse(413, "RequestEntityTooLarge", "Request size is too large"), hotreader.CodeTooLarge, "too large", 1},
		{"no container", refuse(404, "NotFound", "x"), hotreader.CodeNotFound, "COSMOS_DB_CONTAINER", 1},
		{"one of a batch", batchOf(424, 413), hotreader.CodeTooLarge, "", 1},
		{"failure in a batch", batchOf(500, 424), hotreader.CodeStore, "", maxTries},
		{"nobody says why", batchOf(424, 424), hotreader.CodeProtocol, "no item of it says why", 1},
		{"fewer results", batchOf(200), hotreader.CodeProtocol, "a batch of 2 items was answered by 1 results", 1},
		{"no results", cloud.Answer{Body: `{}`}, hotreader.CodeProtocol, "does the endpoint know transactional batches?", 1},
		{"refused", cloud.Answer{Fail: errors.New("connection refused")}, hotreader.CodeUnavailable, "not reached", maxTries},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			f.Serve = func(cloud.Sent) cloud.Answer { return test.a }
			err := f.store(Options{}).Write(t.Context(), "d", two)
			if hotreader.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.says) || !strings.HasPrefix(err.Error(), "cosmos: write container twin/hot: ") {
				t.Errorf("%s: %v (%v), want %v that says %q", test.name, err, hotreader.CodeOf(err), test.code, test.says)
			}
			if len(f.Requests) != test.tries {
				t.Errorf("%s: tried %d times, want %d", test.name, len(f.Requests), test.tries)
			}
		})
	}
	// The first failure ends the rest.
	f := newFake(t)
	f.Serve = func(cloud.Sent) cloud.Answer { return refuse(400, "BadRequest", "no") }
	many := make([]hotreader.Record, 5000)
	for i := range many {
		many[i] = cloud.Record(base.Add(time.Duration(i) * time.Second))
	}
	if err := f.store(Options{Single: true}).Write(t.Context(), "d", many); hotreader.CodeOf(err) != hotreader.CodeInvalid {
		t.Errorf("error %v", err)
	}
	if len(f.Requests) > 2*parallelItems {
		t.Errorf("%d requests after the first had failed", len(f.Requests))
	}
}

func TestWriteRefuses(t *testing.T) {
	n := cloud.Number("n", "1")
	field := func(name string) hotreader.Record {
		return cloud.Record(base, cloud.Number(name, "1"))
	}
	for _, test := range []struct {
		name, device string
		o            Options
		r            hotreader.Record
		says         string
	}{
		{"the other key", "d", Options{Layout: layout.Layout{DeviceKey: "dev"}}, field("dev"), `"dev" is named like a key`},
		{"id", "d", Options{}, field("id"), "Cosmos DB gives to each item itself"},
		{"_ts", "d", Options{}, field("_ts"), "Cosmos DB gives to each item itself"},
		{"ttl", "d", Options{}, field("ttl"), "would delete the item"},
		{"too fine for seconds", "d", Options{Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochSecs}}}, cloud.Record(base.Add(1), n), "is finer than a number of Cosmos DB keeps; use the time format iso8601"},
		{"too fine for milliseconds", "d", Options{Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochMillis}}}, cloud.Record(base.Add(1), n), "is finer than"},
		{"too large", "d", Options{}, cloud.Record(base, cloud.Text("n", strings.Repeat("x", maxItemBytes))), "an item of Cosmos DB at most 2097152"},
	} {
		err := newFake(t).store(test.o).Write(t.Context(), test.device, []hotreader.Record{test.r})
		if hotreader.CodeOf(err) != hotreader.CodeInvalid || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", test.name, err, test.says)
		}
	}
}

func TestItemIDs(t *testing.T) {
	const key = "2024-02-03T04:05:06.7Z"
	long := strings.Repeat("x", 2048)
	hash := sha256.Sum256([]byte(long))
	for _, test := range []struct{ device, want string }{
		{"pump-7", "pump-7_" + key},
		{"a b_c.é:🌡️%+", "a b_c.é:🌡️%+_" + key},
		{`a/b\c?d#e~f`, "a~2Fb~5Cc~3Fd~23e~7Ef_" + key},
		{"a\x00\n\x7f", "a~00~0A~7F_" + key},
		{strings.Repeat("x", 1023-1-len(key)), strings.Repeat("x", 1023-1-len(key)) + "_" + key},
		{long, strings.Repeat("x", 1023-2-43-1-len(key)) + "~." + base64.RawURLEncoding.EncodeToString(hash[:]) + "_" + key},
	} {
		got := itemID(test.device, key)
		if got != test.want {
			t.Errorf("itemID(%.40q) = %q, want %q", test.device, got, test.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.OneOf(rapid.SampledFrom([]string{"a", "/", "~", "~2F", "~.", "_", "é", "🌡", "\\", key}), rapid.StringN(0, 3, -1))
		draw := func(name string) string {
			s := strings.Join(rapid.SliceOfN(part, 1, 4).Draw(t, name), "")
			if rapid.Bool().Draw(t, "long "+name) {
				s = strings.Repeat("é", 500) + s
			}
			return strings.ToValidUTF8(s, "?")
		}
		a, b := draw("one"), draw("other")
		x, y := itemID(a, key), itemID(b, key)
		if (a == b) != (x == y) {
			t.Fatalf("%q and %q have the ids %q and %q", a, b, x, y)
		}
		if len(x) > maxIDBytes || !utf8.ValidString(x) || strings.ContainsAny(x, `/\?#`) {
			t.Fatalf("the id of %q is %q", a, x)
		}
		if other := itemID(a, "2024-02-03T04:05:06Z"); other == x {
			t.Fatalf("two times of %q have the id %q", a, x)
		}
	})
}

func TestCreateContainer(t *testing.T) {
	exists := refuse(409, "Conflict", "Resource with specified id already exists")
	made := cloud.Answer{Status: 201, Body: `{"id":"x"}`}
	f := newFake(t, made, made)
	if err := CreateContainer(t.Context(), f.client(), Options{Database: "twin", Container: "hot", Layout: layout.Layout{TimeKey: "when at"}}); err != nil {
		t.Fatal(err)
	}
	f.Done()
	var got []any
	for _, r := range f.Requests {
		var body any
		if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimPrefix(r.URL, "https://account.documents.azure.com:443"), body)
	}
	want := []any{
		"/dbs", map[string]any{"id": "twin"},
		"/dbs/twin/colls", map[string]any{
			"id":           "hot",
			"partitionKey": map[string]any{"paths": []any{"/device_id"}, "kind": "Hash", "version": 2.},
			"indexingPolicy": map[string]any{
				"indexingMode":  "consistent",
				"includedPaths": []any{map[string]any{"path": "/device_id/?"}, map[string]any{"path": `/"when at"/?`}},
				"excludedPaths": []any{map[string]any{"path": "/*"}},
			},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	o := Options{Database: "twin", Container: "hot"}
	f = newFake(t, exists, exists, partitioned("/device_id"))
	if err := CreateContainer(t.Context(), f.client(), o); err != nil {
		t.Error(err)
	}
	f.Done()
	f = newFake(t, exists, exists, partitioned("/id"))
	if err := CreateContainer(t.Context(), f.client(), o); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "partition key is /id") {
		t.Errorf("error %v", err)
	}
	f = newFake(t, refuse(403, "Forbidden", "RBAC"))
	if err := CreateContainer(t.Context(), f.client(), o); hotreader.CodeOf(err) != hotreader.CodeForbidden || !strings.Contains(err.Error(), "needs an account key") {
		t.Errorf("error %v", err)
	}
	f = newFake(t, made, refuse(404, "NotFound", "Owner resource does not exist"))
	if err := CreateContainer(t.Context(), f.client(), o); hotreader.CodeOf(err) != hotreader.CodeNotFound {
		t.Errorf("error %v", err)
	}
}

// requestsOf are those that write records of the device d.
func requestsOf(s *Store, records []hotreader.Record) (all []*request, err error) {
	err = s.write(context.Background(), "d", records, nil, func(items []item) error {
		all = s.writeRequests(items)
		return nil
	})
	return all, err
}
