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
	"hotreader/layout"
	"hotreader/store/storetest/cloud"
)

var noon = time.Date(2024, 2, 3, 12, 0, 0, 0, time.FixedZone("", 3600))

// puts returns the items of a BatchWriteItem request, spelled as JSON.
func puts(t testing.TB, s cloud.Sent) (items []string) {
	for _, put := range read(t, s).RequestItems["twin-hot-iot-data"] {
		b, err := json.Marshal(put.PutRequest.Item)
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
		{Options{}, cloud.Record(noon, cloud.Number("n", "-1.50"), cloud.Text("s", "é"), cloud.Text("empty", ""), hotreader.Field{Name: "b", Value: hotreader.BoolValue(true)}, hotreader.Field{Name: "null"}),
			`{"b":{"BOOL":true},"device_id":{"S":"d"},"empty":{"S":""},"id":{"S":"d_2024-02-03T11:00:00Z"},"n":{"N":"-1.50"},"s":{"S":"é"},"timestamp":{"S":"2024-02-03T11:00:00Z"}}`},
		{Options{}, cloud.Record(noon.Add(120*time.Microsecond), cloud.Text("id", "mine")),
			`{"device_id":{"S":"d"},"id":{"S":"mine"},"timestamp":{"S":"2024-02-03T11:00:00.00012Z"}}`},
		{Options{Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochMillis}, DeviceKey: "dev", TimeKey: "t"}}, cloud.Record(noon.Add(1500 * time.Microsecond)),
			`{"dev":{"S":"d"},"id":{"S":"d_1706958000001.5"},"t":{"N":"1706958000001.5"}}`},
		{Options{Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochSecs}}}, cloud.Record(noon.Add(1)),
			`{"device_id":{"S":"d"},"id":{"S":"d_1706958000.000000001"},"timestamp":{"N":"1706958000.000000001"}}`},
	} {
		f := newFake(t, cloud.Answer{Body: `{"UnprocessedItems":{}}`})
		if err := f.store(test.o).Write(t.Context(), "d", []hotreader.Record{test.r}); err != nil {
			t.Fatal(err)
		}
		if got := puts(t, f.Requests[0]); len(got) != 1 || got[0] != test.want {
			t.Errorf("got %v\nwant %s", got, test.want)
		}
		f.Done()
	}
}

// What the table does not take is sent again, and only that, with pauses.
func TestUnprocessedItemsAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var sizes []int
		f := newFake(t)
		f.Serve = func(s cloud.Sent) cloud.Answer {
			items := read(t, s).RequestItems["twin-hot-iot-data"]
			sizes = append(sizes, len(items))
			left, err := json.Marshal(map[string]any{"UnprocessedItems": map[string]any{"twin-hot-iot-data": items[min(2, len(items)):]}})
			if err != nil {
				t.Error(err)
			}
			if len(items) <= 2 {
				left = []byte(`{"UnprocessedItems":{}}`)
			}
			return cloud.Answer{Body: string(left)}
		}
		var records []hotreader.Record
		for i := range 7 {
			records = append(records, cloud.Record(noon.Add(time.Duration(i)), cloud.Number("n", "1")))
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
		f.Serve = func(s cloud.Sent) cloud.Answer {
			left, _ := json.Marshal(map[string]any{"UnprocessedItems": read(t, s).RequestItems})
			return cloud.Answer{Body: string(left)}
		}
		err := f.store(Options{}).Write(ctx, "d", records)
		if hotreader.CodeOf(err) != hotreader.CodeDeadline || !strings.Contains(err.Error(), "7 items") {
			t.Errorf("error %v", err)
		}
		if len(f.Requests) < 5 || len(f.Requests) > 40 {
			t.Errorf("%d requests in a minute", len(f.Requests))
		}
	})
}

func TestRefusedRecords(t *testing.T) {
	nines := strings.Repeat("9", 38)
	for _, test := range []struct {
		name string
		r    hotreader.Record
		say  string // "" = it is taken
	}{
		{"38 digits", cloud.Record(noon, cloud.Number("n", nines+"000")), ""},
		{"zeros around 38 digits", cloud.Record(noon, cloud.Number("n", "-0.00"+nines+"00")), ""},
		{"39 digits", cloud.Record(noon, cloud.Number("n", nines+"9")), "39 digits"},
		{"largest", cloud.Record(noon, cloud.Number("n", "-"+maxMagnitude)), ""},
		{"too large", cloud.Record(noon, cloud.Number("n", "1e126")), "outside"},
		{"smallest", cloud.Record(noon, cloud.Number("n", "1e-130")), ""},
		{"too small", cloud.Record(noon, cloud.Number("n", "-1e-131")), "outside"},
		{"zero of any exponent", cloud.Record(noon, cloud.Number("n", "0.0e999")), ""},
		{"too large an item", cloud.Record(noon, cloud.Text("s", strings.Repeat("x", 400<<10))), "bytes"},
	} {
		f := newFake(t)
		f.Serve = func(cloud.Sent) cloud.Answer { return cloud.Answer{Body: `{}`} }
		err := f.store(Options{}).Write(t.Context(), "d", []hotreader.Record{cloud.Record(noon.Add(1)), test.r})
		switch {
		case test.say == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.say != "" && (hotreader.CodeOf(err) != hotreader.CodeInvalid || !strings.Contains(err.Error(), test.say)):
			t.Errorf("%s: error %v, want %s that says %q", test.name, err, hotreader.CodeInvalid, test.say)
		case test.say != "" && !strings.Contains(err.Error(), "record 2"):
			t.Errorf("%s: error %v does not say which record", test.name, err)
		case test.say != "" && len(f.Requests) > 0:
			t.Errorf("%s: something was sent", test.name)
		}
	}
}
