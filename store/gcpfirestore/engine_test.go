//go:build engines

package gcpfirestore_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/gcpfirestore"
	"hotreader/store/storetest"
	"hotreader/store/storetest/cloud"
	"hotreader/test/engine"
)

func ours(t testing.TB, o gcpfirestore.Options) *gcpfirestore.Store {
	t.Helper()
	c, err := gcpfirestore.NewClient(t.Context(), gcpfirestore.ClientOptions{Endpoint: engine.Firestore(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	o.Project = engine.FirestoreProject
	return gcpfirestore.New(c, o)
}

// theirs is Google's own client of the same engine.
func theirs(t testing.TB) *firestore.Client {
	t.Helper()
	t.Setenv("FIRESTORE_EMULATOR_HOST", strings.TrimPrefix(engine.Firestore(t), "http://"))
	c, err := firestore.NewClient(t.Context(), engine.FirestoreProject)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var collections atomic.Int64

func newCollection(name string) string {
	return name + "-" + strconv.FormatInt(collections.Add(1), 10)
}

// harness brings up a collection for each check. Histories begin at from, or later.
func harness(l layout.Layout, from time.Time) storetest.Harness {
	var collection string
	var client *firestore.Client
	h := storetest.Harness{
		RewritesNumbers:   true,
		WideNumbersAsText: true,
		EmptyIsMissing:    true,
		LatestWins:        true,
		RefusesDevice:     func(d string) bool { return len(d) > 1500 },
		RefusesName:       func(p string) bool { return p == "__proto__" && l.NameKey+l.ValueKey == "" },
		New: func(t testing.TB) (hotreader.Source, hotreader.Writer) {
			collection, client = newCollection("conformance"), nil
			o := gcpfirestore.Options{Collection: collection, Layout: l}
			if l.Collection != "" {
				o.Layout.Collection = collection + "/" + l.Collection
			}
			s := ours(t, o)
			return storetest.Dated(s, l.Partition, from), s
		},
	}
	if n := len(l.TimeFormat); n > 0 && slices.Contains([]string{layout.Native, layout.EpochMicros, layout.EpochMillis}, l.TimeFormat[n-1]) {
		h.Not = tooFine
	}
	if len(l.TimeFormat) == 0 {
		h.PutRaw = func(t testing.TB, device, timeText string, fields ...hotreader.Field) {
			document := map[string]any{"device_id": device, "timestamp": timeText}
			for _, f := range fields {
				switch f.Value.Kind() {
				case hotreader.Null:
					document[f.Name] = nil
				case hotreader.Bool:
					document[f.Name] = f.Value.Bool()
				case hotreader.Number:
					if i, err := strconv.ParseInt(string(f.Value.Text()), 10, 64); err == nil {
						document[f.Name] = i
					} else if document[f.Name], err = strconv.ParseFloat(string(f.Value.Text()), 64); err != nil {
						t.Fatal(err)
					}
				case hotreader.String:
					document[f.Name] = string(f.Value.Text())
				}
			}
			if client == nil {
				client = theirs(t)
			}
			if _, err := client.Collection(collection).Doc(device+"_"+timeText).Set(t.Context(), document); err != nil {
				t.Fatal(err)
			}
		}
	}
	return h
}

func TestConformance(t *testing.T) { storetest.Run(t, harness(layout.Layout{}, time.Time{})) }

// layouts are collections that others have laid out, each with several ways of the
// layout at once, so that each meets others.
var layouts = map[string]layout.Layout{
	"timestamps, all in a map": {TimeKey: "payload.ts", TimeFormat: layout.Formats{layout.Native}, Properties: layout.Properties{Base: "payload"}},
	"constant partition, minutes, properties by path": {DeviceKey: "meta.pk", TimeKey: "sk", Partition: "site-4#{device}", TimeFormat: layout.Formats{layout.ISO8601Minute},
		Properties: layout.Properties{Paths: map[string]string{"n": "meta.values.n", "a": "meta.values.a", "b": `x\.y`}}},
	"offset, prefix, suffix":                {TimeFormat: layout.Formats{"iso8601+09:00"}, TimePrefix: "READING#", TimeSuffix: "#v1"},
	"below a document, blank":               {Collection: "{device}/telemetry", TimeFormat: layout.Formats{layout.ISO8601Blank}},
	"below a document, narrow, nanoseconds": {Collection: "{device}/telemetry", NameKey: "metric.name", ValueKey: "metric.value", TimeFormat: layout.Formats{layout.EpochNanos}},
	"narrow by key, epoch text":             {TimeSuffix: "#{property}", ValueKey: "reading.value", TimeFormat: layout.Formats{"epoch_ms:text"}},
	"partitions by month, microseconds":     {Partition: "{device}#{yyyy-MM}", TimeFormat: layout.Formats{layout.EpochMicros}},
	"timestamps, then text":                 {TimeFormat: layout.Formats{layout.Native, layout.ISO8601}, Properties: layout.Properties{Base: "event.payload"}},
	"seconds as numbers, then milliseconds": {TimeKey: "clock", TimeFormat: layout.Formats{layout.EpochSecs, layout.EpochMillis}},
}

// tooFine are checks with nanoseconds, which timestamps and most numbers cannot hold.
var tooFine = []string{"range/nanoseconds", "resume/after every row", "names/a hundred properties", "write/the last write wins"}

func TestLayouts(t *testing.T) { storetest.Layouts(t, layouts, harness) }

// Documents of other programs with times of every type, read in both orders and
// in ranges whose ends lie between, at and beside them.
func TestEngineTimeFormats(t *testing.T) {
	base := time.Date(2024, 2, 28, 23, 59, 0, 0, time.UTC)
	for _, c := range []struct {
		format  string
		offsets []time.Duration
		when    func(t time.Time) any
	}{
		{layout.Native, []time.Duration{0, time.Microsecond, 999 * time.Microsecond, 123456 * time.Microsecond, time.Second - time.Microsecond, time.Second, time.Hour},
			func(t time.Time) any { return t }},
		{layout.EpochMillis, []time.Duration{0, time.Millisecond, 500 * time.Millisecond, time.Second, time.Hour}, func(t time.Time) any { return t.UnixMilli() }},
		{layout.EpochMillis, []time.Duration{0, 500 * time.Microsecond, time.Millisecond, time.Second}, func(t time.Time) any { return float64(t.UnixMicro()) / 1000 }},
		{layout.EpochSecs, []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, time.Hour}, func(t time.Time) any {
			if t.Nanosecond() == 0 {
				return t.Unix() // whole numbers and others are mixed
			}
			return float64(t.UnixMilli()) / 1000
		}},
	} {
		collection := newCollection("formats")
		theirs := theirs(t).Collection(collection)
		for i, o := range c.offsets {
			if _, err := theirs.NewDoc().Set(t.Context(), map[string]any{"device_id": "d", "timestamp": c.when(base.Add(o)), "n": i}); err != nil {
				t.Fatal(err)
			}
		}
		s := ours(t, gcpfirestore.Options{Collection: collection, Layout: layout.Layout{TimeFormat: layout.Formats{c.format}}})
		check := func(q hotreader.Query) {
			t.Helper()
			var want, got []string
			for i, o := range c.offsets {
				if at := base.Add(o); (q.Start.IsZero() || !at.Before(q.Start)) && (q.End.IsZero() || !at.After(q.End)) {
					want = append(want, fmt.Sprint(at, i))
				}
			}
			if q.Order == hotreader.Descending {
				slices.Reverse(want)
			}
			for row, err := range hotreader.NewReader(s).Read(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprint(row.Time, row.Values[0]))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %v from %v to %v: %v, want %v", c.format, q.Order, q.Start, q.End, got, want)
			}
		}
		for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
			q := hotreader.Query{Device: "d", Properties: []string{"n"}, Order: order}
			check(q)
			for _, o := range c.offsets {
				for _, beside := range []time.Duration{-1, 0, 1} {
					q.Start, q.End = base.Add(o+beside), time.Time{}
					check(q)
					q.Start, q.End = time.Time{}, base.Add(o+beside)
					check(q)
				}
			}
		}
		// What is written replaces nothing beside its instant, and reads back.
		at := base.Add(30 * time.Minute)
		if err := s.Write(t.Context(), "d", []hotreader.Record{{Time: at, Fields: []hotreader.Field{{Name: "n", Value: hotreader.Int64Value(77)}}}}); err != nil {
			t.Fatal(err)
		}
		for row, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"n"}, Start: at, End: at}) {
			if err != nil || row.Values[0].String() != "77" {
				t.Errorf("%s: %v, %v", c.format, row, err)
			}
		}
	}
}

// Google's client reads what ours writes, type by type.
func TestEngineDocuments(t *testing.T) {
	collection := newCollection("documents")
	at := time.Date(2024, 2, 28, 23, 59, 0, 1000, time.UTC)
	field := func(name string, v hotreader.Value) hotreader.Field { return hotreader.Field{Name: name, Value: v} }
	number := func(d string) hotreader.Value { return hotreader.NumberValue([]byte(d)) }
	s := ours(t, gcpfirestore.Options{Collection: collection, Layout: layout.Layout{TimeFormat: layout.Formats{layout.Native}}})
	if err := s.Write(t.Context(), "a/b%", []hotreader.Record{{Time: at, Fields: []hotreader.Field{
		field("whole", number("7")), field("double", number("1.50")), field("long", number("9223372036854775807")), field("wide", number("0.12345678901234567890")),
		field("text", hotreader.StringValue([]byte("é"))), field("true", hotreader.BoolValue(true)), field("null", hotreader.Value{}), field("a.b", number("1e3")),
	}}}); err != nil {
		t.Fatal(err)
	}
	all, err := theirs(t).Collection(collection).Documents(t.Context()).GetAll()
	if err != nil || len(all) != 1 {
		t.Fatalf("%d documents, %v", len(all), err)
	}
	if id := all[0].Ref.ID; id != "a%2Fb%25_2024-02-28T23:59:00.000001Z" {
		t.Errorf("id %s", id)
	}
	want := map[string]any{"device_id": "a/b%", "timestamp": at, "id": "a/b%_2024-02-28T23:59:00.000001Z", "whole": int64(7), "double": 1.5,
		"long": int64(9223372036854775807), "wide": "0.12345678901234567890", "text": "é", "true": true, "a.b": 1000.0}
	got := all[0].Data()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// What the real engine says when something is wrong is understood.
func TestEngineRefusals(t *testing.T) {
	collection := newCollection("refusals")
	q := hotreader.Query{Device: "d", Properties: []string{"n"}, Start: time.Unix(0, 0)}
	read := func(o gcpfirestore.Options) error {
		for _, err := range hotreader.NewReader(ours(t, o)).Read(t.Context(), q) {
			return err
		}
		return nil
	}
	if err := read(gcpfirestore.Options{Collection: collection}); !errors.Is(err, hotreader.CodeNotFound) || !strings.Contains(err.Error(), collection) {
		t.Errorf("a collection that is not there: %v", err)
	}
	if _, err := theirs(t).Collection(collection).Doc("x").Set(t.Context(), map[string]any{"device_id": "d", "timestamp": time.Unix(5, 0), "n": 1}); err != nil {
		t.Fatal(err)
	}
	for says, l := range map[string]layout.Layout{
		"time_format to native":                       {},
		"it has no time, but device_id, n, timestamp": {TimeFormat: layout.Formats{layout.Native}, TimeKey: "time"},
	} {
		cloud.WantError(t, says, read(gcpfirestore.Options{Collection: collection, Layout: l}), hotreader.CodeUnreadable, says)
	}
	cloud.WantError(t, "another device field", read(gcpfirestore.Options{Collection: collection, Layout: layout.Layout{DeviceKey: "dev"}}), hotreader.CodeConfig, `no field "dev", but device_id, n, timestamp`)
	if err := read(gcpfirestore.Options{Collection: collection, Layout: layout.Layout{TimeFormat: layout.Formats{layout.Native}}}); err != nil {
		t.Errorf("as it is: %v", err)
	}
	// Far beyond a page of either side's making, without a filter that fits.
	if err := ours(t, gcpfirestore.Options{Collection: collection}).Write(t.Context(), "d",
		[]hotreader.Record{{Time: time.Unix(0, 0), Fields: []hotreader.Field{{Name: "n", Value: hotreader.StringValue(make([]byte, 1<<20))}}}}); !errors.Is(err, hotreader.CodeInvalid) {
		t.Errorf("a document over the limit: %v", err)
	}
}

// Pitfall 1 on the engine: more rows than a page holds, with nothing lost where
// pages meet, and a last entry that costs a small read.
func TestPitfall01RealPagesAreFollowed(t *testing.T) {
	s := ours(t, gcpfirestore.Options{Collection: newCollection("pages")})
	const n = 12_000
	records := make([]hotreader.Record, n)
	for i := range records { // five a second, so that pages meet inside one
		records[i] = hotreader.Record{Time: time.Unix(0, int64(i)*200_000_000), Fields: []hotreader.Field{{Name: "n", Value: hotreader.Int64Value(int64(i))}}}
	}
	whole, last := cloud.RealPages(t, s, records)
	for i, stats := range whole {
		aside := []int64{2, 0}[i] // the first looks for times of other types
		if reads := stats.Reads.Load(); reads != 2+aside {
			t.Errorf("%d reads, want 2 pages and %d looks", reads, aside)
		}
	}
	// Four documents are asked for, all of one second, then 32 more. How many of
	// those are on their way when the second is over is the network's affair.
	const asked = 4 + 32
	document := whole[1].Bytes.Load()/n + 1 // on the way
	if looked, reads, size := last.Looked.Load(), last.Reads.Load(), last.Bytes.Load(); looked > 5 || reads > 2 || size > asked*document*5/4 {
		t.Errorf("a last entry took %d rows, %d reads, %d bytes; a document has %d", looked, reads, size, document)
	}
}
