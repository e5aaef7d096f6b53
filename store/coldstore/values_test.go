package coldstore_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/coldstore"
)

// spell reads a query and writes its rows on a line each.
func spell(t *testing.T, s hotreader.Source, q hotreader.Query) string {
	t.Helper()
	var lines []string
	stats := new(hotreader.Stats)
	for r, err := range s.Scan(hotreader.WithStats(t.Context(), stats), q) {
		if err != nil {
			return err.Error()
		}
		line := r.Time.Format(time.RFC3339Nano)
		for _, v := range r.Values {
			line += " " + v.String()
		}
		lines = append(lines, line)
	}
	for _, w := range stats.Warnings() {
		lines = append(lines, w.String())
	}
	return strings.Join(lines, "\n")
}

// The layout says what is in an item, whatever the object is.
func TestLayouts(t *testing.T) {
	for name, c := range map[string]struct {
		options coldstore.Options
		key     string
		body    string
		types   []hotreader.Type
		want    string
	}{
		"nested": {coldstore.Options{Layout: layout.Layout{DeviceKey: "sys.id", TimeKey: "body.at", TimeFormat: layout.Formats{"epoch_ms"}, Properties: layout.Properties{Base: "body"}}},
			"a.jsonl", `{"sys":{"id":"d"},"body":{"at":1709251200123,"a":1.50,"b":{"c":[1,"x"]}}}`, nil, `2024-03-01T00:00:00.123Z 1.50 "{\"c\":[1,\"x\"]}"`},
		"narrow": {coldstore.Options{Layout: layout.Layout{NameKey: "n", ValueKey: "v"}}, "a.jsonl",
			`{"device_id":"d","timestamp":"2024-03-01T00:00:00Z","n":"a","v":1}{"device_id":"d","timestamp":"2024-03-01T00:00:00.000Z","n":"b","v":"x"}`, nil, `2024-03-01T00:00:00Z 1 "x"`},
		"a device that is a number": {coldstore.Options{Layout: layout.Layout{Partition: "7{device}"}}, "a.jsonl", `{"device_id":"7d","timestamp":"2024-03-01T00:00:00Z","a":1}`, nil, `2024-03-01T00:00:00Z 1 null`},
		"partitions by date": {coldstore.Options{Layout: layout.Layout{Partition: "{device}#{yyyy-MM-dd}"}}, "a.jsonl",
			`{"device_id":"d#2024-03-01","timestamp":"2024-03-01T00:00:00Z","a":1}{"device_id":"d#2024-03-01","timestamp":"2024-03-02T00:00:00Z","a":2}`, nil, `2024-03-01T00:00:00Z 1 null`},
		"two formats": {coldstore.Options{Layout: layout.Layout{TimeFormat: layout.Formats{"iso8601", "epoch_s"}}}, "a.jsonl",
			`{"device_id":"d","timestamp":"2024-03-01T00:00:01Z","a":2}{"device_id":"d","timestamp":1709251200,"a":1}`, nil, "2024-03-01T00:00:00Z 1 null\n2024-03-01T00:00:01Z 2 null"},
		"a mover's texts": {coldstore.Options{}, "d/2024-03-01T00:00:00Z-2024-03-01T00:00:01Z/chunk-00000.json",
			`[{"device_id":"d","timestamp":"2024-03-01T00:00:00Z","a":"1.50","b":"1.50"},{"device_id":"d","timestamp":"2024-03-01T00:00:01Z","a":"on","b":"007"}]`,
			[]hotreader.Type{hotreader.Untyped, hotreader.ShortString}, "2024-03-01T00:00:00Z 1.50 \"1.50\"\n2024-03-01T00:00:01Z \"on\" \"007\""},
		"DynamoDB's export": {coldstore.Options{Format: coldstore.Export}, "AWSDynamoDB/01/data/a.json.gz",
			`{"Item":{"device_id":{"S":"d"},"timestamp":{"S":"2024-03-01T00:00:01Z"},"a":{"N":"2"},"b":{"BOOL":true}}}` +
				`{"Item":{"device_id":{"S":"d"},"timestamp":{"S":"2024-03-01T00:00:00Z"},"a":{"N":"1"},"b":{"NULL":true},"c":{"M":{"x":{"L":[]}}}}}`, nil,
			"2024-03-01T00:00:00Z 1 null\n2024-03-01T00:00:01Z 2 true"},
		"later values, and what no text can hold": {coldstore.Options{}, "a.jsonl",
			`{"device_id":"d","timestamp":"2024-03-01T00:00:00Z","a":1,"b":"\ud800"}{"device_id":"d","timestamp":"2024-03-01T00:00:00.0Z","a":2}{"device_id":"d","timestamp":"x"}{"device_id":"e","timestamp":"x"}`, nil,
			"2024-03-01T00:00:00Z 2 null\n1 item unreadable; of the first, its timestamp is the string \"x\", not [iso8601] (in a.jsonl)\na: 1 value replaced by a later write of the same instant\nb: 1 value unreadable; bytes, or another kind that no answer can hold"},
	} {
		body := []byte(c.body)
		if strings.HasSuffix(c.key, ".gz") {
			body = gzipped(body)
		}
		s := store(t, newMemory(map[string][]byte{c.key: body}), c.options)
		if got := spell(t, s, hotreader.Query{Device: "d", Properties: []string{"a", "b"}, Types: c.types}); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// What the columns of Parquet hold comes exactly.
func TestParquetTypes(t *testing.T) {
	type row struct {
		Device string           `parquet:"device_id"`
		Time   deprecated.Int96 `parquet:"timestamp"`
		Float  float32          `parquet:"float"`
		Wide   uint64           `parquet:"wide"`
		Small  int32            `parquet:"small"`
		Money  int64            `parquet:"money,decimal(2:18)"`
		On     bool             `parquet:"on"`
		Day    int32            `parquet:"day,date"`
		At     time.Time        `parquet:"at,timestamp(microsecond)"`
		Inner  struct {
			Deep *float64 `parquet:"deep,optional"`
		} `parquet:"inner"`
		List []int64 `parquet:"list,list"`
		Raw  []byte  `parquet:"raw"`
	}
	at := day.Add(1500 * time.Millisecond)
	nanos := uint64(at.Sub(day))
	r := row{Device: "d", Time: deprecated.Int96{uint32(nanos), uint32(nanos >> 32), uint32(day.Unix()/86400 + 2440588)}, Float: 0.1, Wide: 1<<64 - 1, Small: -7, Money: -5,
		On: true, Day: 19783, At: at, List: []int64{1, 2}, Raw: []byte{0xff}}
	deep := 1e21
	r.Inner.Deep = &deep
	var out bytes.Buffer
	if err := parquet.Write(&out, []row{r}); err != nil {
		t.Fatal(err)
	}
	s := store(t, newMemory(map[string][]byte{"a.parquet": out.Bytes()}), coldstore.Options{})
	q := hotreader.Query{Device: "d", Properties: []string{"float", "wide", "small", "money", "on", "day", "at", "inner.deep", "none", "raw"}}
	want := `2024-03-01T00:00:01.5Z 0.1 18446744073709551615 -7 -0.05 true "2024-03-01T00:00:00Z" "2024-03-01T00:00:01.5Z" 1e+21 null null` + "\nraw: 1 value unreadable; bytes, or another kind that no answer can hold"
	if got := spell(t, s, q); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	q.Device = "e"
	if got := spell(t, s, q); got != "" {
		t.Errorf("another device has %s", got)
	}
}

// Of two formats of time, Parquet's statistics do not place a row group.
func TestParquetOfTwoFormats(t *testing.T) {
	type row struct {
		Device string `parquet:"device_id"`
		Time   string `parquet:"timestamp"`
		Value  int64  `parquet:"a"`
	}
	for _, rows := range [][]row{
		{{"d", "2024-03-01T00:00:00Z", 1}, {"d", "2024-03-01 12:00:00", 2}},
		{{"d", "2024-03-01T00:00:00Z", 1}, {"d", "2024-03-01 12:00:00", 2}, {"d", "2024-03-02 00:00:00", 3}},
	} {
		var out bytes.Buffer
		if err := parquet.Write(&out, rows); err != nil {
			t.Fatal(err)
		}
		s := store(t, newMemory(map[string][]byte{"a.parquet": out.Bytes()}), coldstore.Options{Layout: layout.Layout{TimeFormat: layout.Formats{"iso8601", "iso8601_blank"}}})
		if got, want := spell(t, s, hotreader.Query{Device: "d", Properties: []string{"a"}, End: day.Add(time.Hour)}), "2024-03-01T00:00:00Z 1"; got != want {
			t.Errorf("%v: %s", rows, got)
		}
	}
}
