package awsdynamodb

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader"
	"hotreader/store/storetest/cloud"
)

var update = flag.Bool("update", false, "write the golden files anew")

var qN = hotreader.Query{Device: "d", Properties: []string{"n"}}

// The last key goes back as it came, whatever it is made of.
func TestLastKeyIsPassedOnExactly(t *testing.T) {
	f := newFake(t,
		cloud.Answer{Body: `{"Count":0,"Items":[],"LastEvaluatedKey":{"device_id":{"S":"\u00e9\"\\\n"},"timestamp":{"N":"1700000000000.50"},"b":{"B":"AP8="}}}`},
		pageOf(""))
	cloud.WantRows(t, f.store(Options{}), qN)
	want := map[string]map[string]string{"device_id": {"S": "é\"\\\n"}, "timestamp": {"N": "1700000000000.50"}, "b": {"B": "AP8="}}
	if got := read(t, f.Requests[1]).ExclusiveStartKey; !reflect.DeepEqual(got, want) {
		t.Errorf("start key %v, want %v", got, want)
	}
}

// TestRequest compares what is sent with golden files: a change there is a
// change of what a query costs, or of what a table must be like.
func TestRequest(t *testing.T) {
	at := time.Date(2024, 2, 3, 4, 5, 6, 700_000_000, time.UTC)
	hostile := []string{"name", "a.b", "Ключ", "#0", "timestamp", "device_id", "id", `"`}
	for _, test := range []struct {
		name string
		o    Options
		q    hotreader.Query
	}{
		{"whole", Options{}, hotreader.Query{Device: "d", Properties: []string{"temperature"}}},
		{"range", Options{}, hotreader.Query{Device: "d", Properties: []string{"a", "b"}, Start: at, End: at.Add(time.Hour)}},
		{"from", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, Start: at, Order: hotreader.Descending}},
		{"until", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, End: at}},
		{"limit", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, Limit: 1000}},
		{"newest since 1899", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, Limit: 1, Order: hotreader.Descending,
			Start: time.Date(1899, 12, 31, 0, 0, 0, 0, time.UTC), End: at}},
		{"last", Options{}, hotreader.Query{Device: "d", Properties: []string{"a", "b"}, Last: true}},
		{"filters", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, Filters: []hotreader.Filter{
			{Property: "b", Op: hotreader.Greater, Value: hotreader.Int64Value(1)}, {Property: "a", Op: hotreader.Less, Value: hotreader.Int64Value(1)}}}},
		{"names", Options{}, hotreader.Query{Device: "d é", Properties: hostile}},
		{"epoch_ms", Options{TimeFormat: EpochMillis}, hotreader.Query{Device: "d", Properties: []string{"a"}, Start: at, End: at.Add(time.Microsecond)}},
		{"epoch_s", Options{TimeFormat: EpochSecs, DeviceKey: "dev", TimeKey: "t", Consistent: true},
			hotreader.Query{Device: "d", Properties: []string{"a"}, Start: at, End: at.Add(time.Second)}},
	} {
		f := newFake(t, pageOf(""))
		cloud.WantRows(t, f.store(test.o), test.q)
		if target := f.Requests[0].Header.Get("X-Amz-Target"); target != "DynamoDB_20120810.Query" {
			t.Errorf("%s: target %q", test.name, target)
		}
		var sent any
		if err := json.Unmarshal([]byte(f.Requests[0].Body), &sent); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "\t")
		if err := e.Encode(sent); err != nil {
			t.Fatal(err)
		}
		cloud.Golden(t, *update, "testdata/request "+test.name+".json", b.String())
	}
}

// The attributes that are keys can be selected like any other.
func TestKeysAsProperties(t *testing.T) {
	f := newFake(t, pageOf("", `{"id":{"S":"d_x"},"timestamp":{"S":"2024-01-01T00:00:00Z"},"device_id":{"S":"d"}}`))
	cloud.WantRows(t, f.store(Options{}), hotreader.Query{Device: "d", Properties: []string{"device_id", "timestamp", "id"}},
		`00:00:00 "d" "2024-01-01T00:00:00Z" "d_x"`)
	f = newFake(t, pageOf("", `{"timestamp":{"N":"1.5"}}`))
	cloud.WantRows(t, f.store(Options{TimeFormat: EpochSecs}), hotreader.Query{Device: "d", Properties: []string{"timestamp"}}, "00:00:01.5 1.5")
}

// The same body is decoded whether or not it comes compressed, and a body whose
// checksum is wrong is never rows.
func TestChecksumAndCompression(t *testing.T) {
	good := pageOf("", n("2024-01-01T00:00:00Z", "1"))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(good.Body))
	z.Close()
	f := newFake(t, cloud.Answer{Body: packed.String(), Header: map[string]string{"Content-Encoding": "gzip"}})
	s := New(dynamodb.New(f.client().Options(), func(o *dynamodb.Options) { o.EnableAcceptEncodingGzip = true }), Options{Table: "t"})
	cloud.WantRows(t, s, qN, "00:00:00 1")

	bad := good
	bad.Header = map[string]string{"X-Amz-Crc32": "12345"}
	f = newFake(t, bad, good)
	cloud.WantRows(t, f.store(Options{}), qN, "00:00:00 1")
	f.Done()
	f = newFake(t, bad, bad, bad)
	if got, err := rows(t, f.store(Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeCorrupt || len(got) > 0 {
		t.Errorf("rows %v, error %v; want %v", got, err, hotreader.CodeCorrupt)
	}
	f.Done()
}

// Ten pages of 5,000 rows allocate no more than ten pages of 50.
func TestReadingDoesNotAllocate(t *testing.T) {
	q := hotreader.Query{Device: "d", Properties: bigColumns}
	measure := func(perPage int) float64 {
		body := bigPage(perPage)
		at := strings.Index(body, `"LastEvaluatedKey":{"device_id":{"S":"`) + len(`"LastEvaluatedKey":{"device_id":{"S":"`)
		last := strings.Replace(body, `,"LastEvaluatedKey":{"device_id":{"S":"d"},"timestamp":{"S":"2024-02-28T00:00:00Z"}}`, "", 1)
		number := 0
		f := newFake(t)
		f.Serve = func(cloud.Sent) cloud.Answer {
			if number++; number%10 == 0 {
				return cloud.Answer{Body: last}
			}
			return cloud.Answer{Body: body[:at] + fmt.Sprint(number) + body[at:]}
		}
		s := f.store(Options{})
		return testing.AllocsPerRun(3, func() {
			count := 0
			for _, err := range hotreader.NewReader(s).Read(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				count++
			}
			if count < 9*perPage {
				t.Fatalf("%d rows", count)
			}
		})
	}
	few, many := measure(50), measure(5000)
	if perRow := (many - few) / (10 * 4950); perRow > 0.01 {
		t.Errorf("%.3f allocations a row: %v for 500 rows, %v for 50,000", perRow, few, many)
	}
}
