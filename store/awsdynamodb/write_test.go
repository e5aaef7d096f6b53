package awsdynamodb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
)

var noon = time.Date(2024, 2, 3, 12, 0, 0, 0, time.FixedZone("", 3600))

func record(at time.Time, fields ...hotreader.Field) hotreader.Record {
	return hotreader.Record{Time: at, Fields: fields}
}

func number(name, digits string) hotreader.Field {
	return hotreader.Field{Name: name, Value: hotreader.NumberValue([]byte(digits))}
}

func text(name, s string) hotreader.Field {
	return hotreader.Field{Name: name, Value: hotreader.StringValue([]byte(s))}
}

// puts returns the items of a BatchWriteItem request, spelled as JSON.
func puts(t *testing.T, request map[string]any) (items []string) {
	for _, r := range request["RequestItems"].(map[string]any)["twin-hot-iot-data"].([]any) {
		b, err := json.Marshal(r.(map[string]any)["PutRequest"].(map[string]any)["Item"])
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, string(b))
	}
	return items
}

func TestWrittenItem(t *testing.T) {
	for _, test := range []struct {
		o    Options
		r    hotreader.Record
		want string
	}{
		{Options{}, record(noon, number("n", "-1.50"), text("s", "é"), text("empty", ""), hotreader.Field{Name: "b", Value: hotreader.BoolValue(true)}, hotreader.Field{Name: "null"}),
			`{"b":{"BOOL":true},"device_id":{"S":"d"},"empty":{"S":""},"id":{"S":"d_2024-02-03T11:00:00Z"},"n":{"N":"-1.50"},"s":{"S":"é"},"timestamp":{"S":"2024-02-03T11:00:00Z"}}`},
		{Options{}, record(noon.Add(120*time.Microsecond), text("id", "mine")),
			`{"device_id":{"S":"d"},"id":{"S":"mine"},"timestamp":{"S":"2024-02-03T11:00:00.00012Z"}}`},
		{Options{TimeFormat: EpochMillis, DeviceKey: "dev", TimeKey: "t"}, record(noon.Add(1500 * time.Microsecond)),
			`{"dev":{"S":"d"},"id":{"S":"d_1706958000001.5"},"t":{"N":"1706958000001.5"}}`},
		{Options{TimeFormat: EpochSecs}, record(noon.Add(1)),
			`{"device_id":{"S":"d"},"id":{"S":"d_1706958000.000000001"},"timestamp":{"N":"1706958000.000000001"}}`},
	} {
		f := newFake(t, answer{body: `{"UnprocessedItems":{}}`})
		if err := f.store(test.o).Write(t.Context(), "d", []hotreader.Record{test.r}); err != nil {
			t.Fatal(err)
		}
		if got := puts(t, f.requests[0]); len(got) != 1 || got[0] != test.want {
			t.Errorf("got %v\nwant %s", got, test.want)
		}
		f.done()
	}
}

func TestWriteInBatchesEachInstantOnce(t *testing.T) {
	var records []hotreader.Record
	for i := range 60 {
		records = append(records, record(noon.Add(time.Duration(i)*time.Second), number("n", "1")))
	}
	for i := range 10 { // again, in another zone
		records = append(records, record(noon.Add(time.Duration(i)*time.Second).UTC(), number("n", "2")))
	}
	f := newFake(t)
	f.serve = func(map[string]any) answer { return answer{body: `{}`} }
	if err := f.store(Options{}).Write(t.Context(), "d", records); err != nil {
		t.Fatal(err)
	}
	again, seen := 0, make(map[string]bool)
	for _, r := range f.requests {
		items := puts(t, r)
		if len(items) > maxBatch {
			t.Errorf("%d items in a request", len(items))
		}
		for _, item := range items {
			var it struct{ Timestamp, N struct{ S, N string } }
			if err := json.Unmarshal([]byte(item), &it); err != nil {
				t.Fatal(err)
			}
			if seen[it.Timestamp.S] {
				t.Errorf("%s is written twice", it.Timestamp.S)
			}
			seen[it.Timestamp.S] = true
			if it.N.N == "2" {
				again++
			}
		}
	}
	if len(f.requests) != 3 || len(seen) != 60 || again != 10 {
		t.Errorf("%d requests, %d items, %d of them the later ones; want 3, 60, 10", len(f.requests), len(seen), again)
	}
}

// What the table does not take is sent again, and only that, with pauses.
func TestUnprocessedItemsAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var sizes []int
		f := newFake(t)
		f.serve = func(request map[string]any) answer {
			items := request["RequestItems"].(map[string]any)["twin-hot-iot-data"].([]any)
			sizes = append(sizes, len(items))
			left, err := json.Marshal(map[string]any{"UnprocessedItems": map[string]any{"twin-hot-iot-data": items[min(2, len(items)):]}})
			if err != nil {
				t.Error(err)
			}
			if len(items) <= 2 {
				left = []byte(`{"UnprocessedItems":{}}`)
			}
			return answer{body: string(left)}
		}
		var records []hotreader.Record
		for i := range 7 {
			records = append(records, record(noon.Add(time.Duration(i)), number("n", "1")))
		}
		if err := f.store(Options{}).Write(t.Context(), "d", records); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(sizes) != "[7 5 3 1]" {
			t.Errorf("requests of %v items", sizes)
		}
		if waited := time.Since(began); waited < (firstPause+2*firstPause+4*firstPause)/2 {
			t.Errorf("only %v of pauses", waited)
		}

		// Until the caller's time is up.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		f = newFake(t)
		f.serve = func(request map[string]any) answer {
			left, _ := json.Marshal(map[string]any{"UnprocessedItems": request["RequestItems"]})
			return answer{body: string(left)}
		}
		err := f.store(Options{}).Write(ctx, "d", records)
		if hotreader.CodeOf(err) != hotreader.CodeDeadline || !strings.Contains(err.Error(), "7 items") {
			t.Errorf("error %v", err)
		}
		if len(f.requests) < 5 || len(f.requests) > 40 {
			t.Errorf("%d requests in a minute", len(f.requests))
		}
	})
}

// The first failure stops the rest and is the one that is told.
func TestWriteStopsAtAFailure(t *testing.T) {
	var records []hotreader.Record
	for i := range 1000 {
		records = append(records, record(noon.Add(time.Duration(i)*time.Second), number("n", "1")))
	}
	f := newFake(t)
	f.serve = func(map[string]any) answer { return refusal(400, "AccessDeniedException", "no") }
	err := f.store(Options{}).Write(t.Context(), "d", records)
	if hotreader.CodeOf(err) != hotreader.CodeForbidden || !strings.Contains(err.Error(), "dynamodb:BatchWriteItem") {
		t.Errorf("error %v", err)
	}
	if len(f.requests) > 2*parallelBatches {
		t.Errorf("%d requests after the first failure", len(f.requests))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.store(Options{}).Write(ctx, "d", records); hotreader.CodeOf(err) != hotreader.CodeCanceled {
		t.Errorf("error %v, want %v", err, hotreader.CodeCanceled)
	}
}

func TestRefusedRecords(t *testing.T) {
	nines := strings.Repeat("9", 38)
	for _, test := range []struct {
		name   string
		device string
		r      hotreader.Record
		say    string // "" = it is taken
	}{
		{"38 digits", "d", record(noon, number("n", nines+"000")), ""},
		{"zeros around 38 digits", "d", record(noon, number("n", "-0.00"+nines+"00")), ""},
		{"39 digits", "d", record(noon, number("n", nines+"9")), "39 digits"},
		{"largest", "d", record(noon, number("n", "-"+maxMagnitude)), ""},
		{"too large", "d", record(noon, number("n", "1e126")), "outside"},
		{"smallest", "d", record(noon, number("n", "1e-130")), ""},
		{"too small", "d", record(noon, number("n", "-1e-131")), "outside"},
		{"zero of any exponent", "d", record(noon, number("n", "0.0e999")), ""},
		{"no number", "d", record(noon, number("n", "NaN")), "the number \"NaN\" of property"},
		{"not UTF-8", "d", record(noon, text("s", "\xff")), "UTF-8"},
		{"too large an item", "d", record(noon, text("s", strings.Repeat("x", 400<<10))), "bytes"},
		{"no device", "", record(noon, number("n", "1")), "device"},
		{"no time", "d", record(time.Time{}, number("n", "1")), "no time"},
		{"year 10000", "d", record(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), number("n", "1")), "no time"},
		{"no name", "d", record(noon, number("", "1")), "name"},
		{"a key's name", "d", record(noon, number("timestamp", "1")), "key"},
		{"twice", "d", record(noon, number("n", "1"), number("n", "1")), "twice"},
	} {
		f := newFake(t)
		f.serve = func(map[string]any) answer { return answer{body: `{}`} }
		err := f.store(Options{}).Write(t.Context(), test.device, []hotreader.Record{record(noon.Add(1)), test.r})
		switch {
		case test.say == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.say != "" && (hotreader.CodeOf(err) != hotreader.CodeInvalid || !strings.Contains(err.Error(), test.say)):
			t.Errorf("%s: error %v, want %s that says %q", test.name, err, hotreader.CodeInvalid, test.say)
		case test.say != "" && test.device != "" && !strings.Contains(err.Error(), "record 2"):
			t.Errorf("%s: error %v does not say which record", test.name, err)
		case test.say != "" && len(f.requests) > 0:
			t.Errorf("%s: something was sent", test.name)
		}
	}
}
