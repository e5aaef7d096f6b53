//go:build engines

package azurecosmos_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/azurecosmos"
	"hotreader/store/storetest"
	"hotreader/test/engine"
	"hotreader/test/serving"
)

// Each check gets a container of its own in the one database.
var containers atomic.Int64

func client(t testing.TB) *azurecosmos.Client {
	t.Helper()
	c, err := azurecosmos.NewClient(azurecosmos.ClientOptions{Endpoint: engine.Cosmos(t), Key: engine.CosmosKey})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// options name a new container. The emulator has no transactional batches.
func options(l layout.Layout) azurecosmos.Options {
	return azurecosmos.Options{
		Database:  "conformance",
		Container: "container-" + strconv.FormatInt(containers.Add(1), 10),
		Layout:    l,
		Single:    true,
	}
}

func open(t testing.TB, o azurecosmos.Options) *azurecosmos.Store {
	t.Helper()
	c := client(t)
	if err := azurecosmos.CreateContainer(t.Context(), c, o); err != nil {
		t.Fatal(err)
	}
	return azurecosmos.New(c, o)
}

// put stores an item as another program would, past our client.
func put(t testing.TB, o azurecosmos.Options, partition any, item map[string]any) {
	t.Helper()
	body, err := json.Marshal(item)
	if err != nil {
		t.Fatal(err)
	}
	header, err := json.Marshal([]any{partition})
	if err != nil {
		t.Fatal(err)
	}
	a := serving.Ask(t, engine.Cosmos(t), http.MethodPost, fmt.Sprintf("/dbs/%s/colls/%s/docs", o.Database, o.Container), string(body), "",
		"x-ms-documentdb-is-upsert", "True", "x-ms-documentdb-partitionkey", string(header))
	if a.Status > 299 {
		t.Fatalf("%d: %s", a.Status, a.Body)
	}
}

// flat is an item as the deployer lays it out.
func flat(device, timeText string, fields ...hotreader.Field) map[string]any {
	item := map[string]any{"id": device + "_" + timeText, "device_id": device, "timestamp": timeText}
	for _, f := range fields {
		switch f.Value.Kind() {
		case hotreader.Number:
			item[f.Name] = json.Number(f.Value.Text())
		case hotreader.String:
			item[f.Name] = string(f.Value.Text())
		case hotreader.Bool:
			item[f.Name] = f.Value.Bool()
		}
	}
	return item
}

func TestConformance(t *testing.T) {
	var last azurecosmos.Options
	h := harness(layout.Layout{}, time.Time{})
	h.New = func(t testing.TB) (hotreader.Source, hotreader.Writer) {
		last = options(layout.Layout{})
		last.PageItems = 5000
		s := open(t, last)
		return s, s
	}
	h.PutRaw = func(t testing.TB, device, timeText string, fields ...hotreader.Field) {
		put(t, last, device, flat(device, timeText, fields...))
	}
	storetest.Run(t, h)
}

// layouts are of containers that others have laid out, each with several ways of the
// layout at once, so that each meets others.
var layouts = map[string]layout.Layout{
	"paths, blank": {DeviceKey: "SystemProperties.iothub-connection-device-id", TimeKey: "Body.ts", TimeFormat: layout.Formats{layout.ISO8601Blank}, Properties: layout.Properties{Base: "Body"}},
	"constant partition, map of properties, minutes": {Partition: "site-4#{device}", TimeKey: "payload.ts", TimeFormat: layout.Formats{layout.ISO8601Minute},
		Properties: layout.Properties{Paths: map[string]string{"n": "payload.reading.n", "k": "payload.k"}}},
	"partitions by month in an offset, constants": {Partition: "{device}-{yyyy}-{MM}", TimeFormat: layout.Formats{"iso8601_blank-03:30"}, TimePrefix: "READING#", TimeSuffix: "#v1"},
	"partitions by year, narrow by suffix":        {Partition: "{yyyy}/{device}", TimeSuffix: "#{property}", ValueKey: "payload.v", TimeFormat: layout.Formats{"iso8601+09:00"}},
	"narrow, nanoseconds":                         {NameKey: "sensor.name", ValueKey: "sensor.value", TimeFormat: layout.Formats{"epoch_ns:text"}},
	"seconds, constants, narrow":                  {TimePrefix: "T/", TimeSuffix: "#{property}#", ValueKey: "v", TimeFormat: layout.Formats{"epoch_s:text"}},
	"microseconds and text, paths":                {DeviceKey: "dev.id", TimeKey: "dev.at", TimeFormat: layout.Formats{"epoch_us:text", layout.ISO8601}, Properties: layout.Properties{Base: `my\.data`}},
	"text and numbers":                            {TimeFormat: layout.Formats{layout.ISO8601, layout.EpochMillis}},
	"numbers, paths":                              {TimeFormat: layout.Formats{layout.EpochMillis}, TimeKey: "head.time", Properties: layout.Properties{Base: "event.payload"}},
}

// harness brings up a container for each check. Histories begin at from, or later.
func harness(l layout.Layout, from time.Time) storetest.Harness {
	h := storetest.Harness{
		RewritesNumbers:   true,
		WideNumbersAsText: true,
		LatestSecondWins:  true,
		New: func(t testing.TB) (hotreader.Source, hotreader.Writer) {
			o := options(l)
			o.PageItems = 5000 // the emulator itself never ends a page
			s := open(t, o)
			return storetest.Dated(s, l.Partition, from), s
		},
	}
	if len(l.TimeFormat) > 0 && l.TimeFormat[0] == layout.EpochMillis { // a double keeps no nanoseconds of a day in our time
		h.Not = []string{"range/nanoseconds", "resume/after every row", "names/a hundred properties", "write/the last write wins"}
	}
	return h
}

func TestLayouts(t *testing.T) { storetest.Layouts(t, layouts, harness) }

// values reads n of each row.
func values(t *testing.T, r hotreader.Source, q hotreader.Query) (got []int) {
	t.Helper()
	q.Device, q.Properties = "d", []string{"n"}
	for row, err := range hotreader.NewReader(r).Read(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(string(row.Values[0].Text()))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	return got
}

// Pitfall 1 on the engine's own continuation tokens, where every page holds a
// few items and most seconds, of three texts each, are cut by a page's end.
func TestPitfall01RealPagesAreFollowed(t *testing.T) {
	o := options(layout.Layout{})
	s := open(t, o)
	var want []int
	for i := range 40 {
		second := time.Date(2024, 1, 1, 0, 0, i, 0, time.UTC).Format("2006-01-02T15:04:05")
		for k, behind := range []string{"Z", ".25Z", ".250001+00:00"} { // as text the first sorts last
			put(t, o, "d", flat("d", second+behind, hotreader.Field{Name: "n", Value: hotreader.Int64Value(int64(3*i + k))}))
			want = append(want, 3*i+k)
		}
	}
	put(t, o, "other", flat("other", "2024-01-01T00:00:00Z", hotreader.Field{Name: "n", Value: hotreader.Int64Value(-1)}))
	reverse := slices.Clone(want)
	slices.Reverse(reverse)
	for _, items := range []int{1, 2, 3, 4, 7, 0} {
		o.PageItems = items
		paged := azurecosmos.New(client(t), o)
		if got := values(t, paged, hotreader.Query{}); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v", items, got)
		}
		if got := values(t, paged, hotreader.Query{Order: hotreader.Descending}); !slices.Equal(got, reverse) {
			t.Errorf("pages of %d, descending: %v", items, got)
		}
		from, to := time.Date(2024, 1, 1, 0, 0, 7, 1e8, time.UTC), time.Date(2024, 1, 1, 0, 0, 20, 250_001_000, time.UTC)
		if got := values(t, paged, hotreader.Query{Start: from, End: to}); !slices.Equal(got, want[22:63]) {
			t.Errorf("pages of %d, within a range: %v", items, got)
		}
	}
	var stats hotreader.Stats
	q := hotreader.Query{Device: "d", Properties: []string{"n"}, Last: true}
	for _, err := range hotreader.NewReader(s).Read(hotreader.WithStats(t.Context(), &stats), q) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if looked, reads, size := stats.Looked.Load(), stats.Reads.Load(), stats.Bytes.Load(); looked != 1 || reads != 3 || size > 1000 { // two of them for times of another type, once an hour
		t.Errorf("a last entry took %d rows, %d reads, %d bytes", looked, reads, size)
	}
}

func TestTimesAsNumbers(t *testing.T) {
	for format, step := range map[string]time.Duration{layout.EpochMicros: time.Microsecond, layout.EpochMillis: time.Millisecond, layout.EpochSecs: time.Second / 4, layout.EpochNanos: time.Second / 4} {
		o := options(layout.Layout{DeviceKey: "dev", TimeKey: "when", TimeFormat: layout.Formats{format}})
		o.PageItems = 7
		s := open(t, o)
		first := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
		var records []hotreader.Record
		var want []int
		for i := range 50 {
			records = append(records, hotreader.Record{Time: first.Add(time.Duration(i-25) * step), Fields: []hotreader.Field{{Name: "n", Value: hotreader.Int64Value(int64(i))}}})
			want = append(want, i)
		}
		if err := s.Write(t.Context(), "d", records); err != nil {
			t.Fatal(err)
		}
		if got := values(t, s, hotreader.Query{}); !slices.Equal(got, want) {
			t.Errorf("%s: %v", format, got)
		}
		if got := values(t, s, hotreader.Query{Start: records[10].Time, End: records[20].Time}); !slices.Equal(got, want[10:21]) {
			t.Errorf("%s, both ends belong to it: %v", format, got)
		}
		if got := values(t, s, hotreader.Query{Start: records[10].Time.Add(1), End: records[20].Time.Add(-1)}); !slices.Equal(got, want[11:20]) {
			t.Errorf("%s, a nanosecond inside: %v", format, got)
		}
		slices.Reverse(want)
		if got := values(t, s, hotreader.Query{Order: hotreader.Descending}); !slices.Equal(got, want) {
			t.Errorf("%s, descending: %v", format, got)
		}
	}
}

// What the real engine says when something is wrong is understood.
func TestEngineRefusals(t *testing.T) {
	o := options(layout.Layout{})
	code := func(o azurecosmos.Options) hotreader.Code {
		for _, err := range hotreader.NewReader(azurecosmos.New(client(t), o)).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"n"}}) {
			return hotreader.CodeOf(err)
		}
		return ""
	}
	if got := code(o); got != hotreader.CodeNotFound {
		t.Errorf("a container that is not there: %q", got)
	}
	for range 2 { // the second finds it there
		if err := azurecosmos.CreateContainer(t.Context(), client(t), o); err != nil {
			t.Fatal(err)
		}
	}
	if got := code(o); got != "" {
		t.Errorf("an empty container: %q", got)
	}
	other := o
	other.Single = false // which this emulator cannot
	err := azurecosmos.New(client(t), other).Write(t.Context(), "d", []hotreader.Record{{Time: time.Unix(0, 0)}})
	if hotreader.CodeOf(err) != hotreader.CodeStore || !strings.Contains(err.Error(), "single=true") {
		t.Errorf("a batch: %v", err)
	}
	other = o
	other.Layout.DeviceKey = "device"
	if got := code(other); got != hotreader.CodeConfig {
		t.Errorf("a container of another partition key: %q, want %q", got, hotreader.CodeConfig)
	}
	if err := azurecosmos.CreateContainer(t.Context(), client(t), other); hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Errorf("creating it with another partition key: %v", err)
	}
	other = o
	other.Database = "elsewhere"
	if got := code(other); got != hotreader.CodeNotFound {
		t.Errorf("a database that is not there: %q", got)
	}
}

// What we wrote, Microsoft's own client finds where it should be, and the other
// way round.
func TestTheSDKAndWeAreOfOneMind(t *testing.T) {
	o := options(layout.Layout{})
	s := open(t, o)
	key, err := azcosmos.NewKeyCredential(engine.CosmosKey)
	if err != nil {
		t.Fatal(err)
	}
	account, err := azcosmos.NewClientWithKey(engine.Cosmos(t), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	container, err := account.NewContainer(o.Database, o.Container)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2024, 2, 3, 4, 5, 6, 700_000_000, time.UTC)
	if err := s.Write(t.Context(), "d", []hotreader.Record{{Time: at, Fields: []hotreader.Field{
		{Name: "n", Value: hotreader.NumberValue([]byte("1.50"))}, {Name: "wide", Value: hotreader.NumberValue([]byte("9007199254740993"))}, {Name: "s", Value: hotreader.StringValue([]byte("é\n\""))}}}}); err != nil {
		t.Fatal(err)
	}
	read, err := container.ReadItem(t.Context(), azcosmos.NewPartitionKeyString("d"), "d_2024-02-03T04:05:06.7Z", nil)
	if err != nil {
		t.Fatal(err)
	}
	var item map[string]any
	if err := json.Unmarshal(read.Value, &item); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"id": "d_2024-02-03T04:05:06.7Z", "device_id": "d", "timestamp": "2024-02-03T04:05:06.7Z", "n": 1.5, "wide": "9007199254740993", "s": "é\n\""} {
		if item[name] != want {
			t.Errorf("the SDK reads %s as %v, want %v", name, item[name], want)
		}
	}
	if _, err := container.UpsertItem(t.Context(), azcosmos.NewPartitionKeyString("d"),
		[]byte(`{"id":"d_2024-02-03T04:05:06.7Z","device_id":"d","timestamp":"2024-02-03T04:05:06.7Z","n":2}`), nil); err != nil {
		t.Fatal(err)
	}
	if got := values(t, s, hotreader.Query{}); !slices.Equal(got, []int{2}) {
		t.Errorf("we read %v of what the SDK wrote", got)
	}
}
