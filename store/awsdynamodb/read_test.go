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

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader"
	"hotreader/layout"
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
	hostile := []string{"name", "a.b", "Ключ", "#0", "timestamp", "device_id", "id", `"`}
	queries := cloud.Requests()
	queries["names"] = hotreader.Query{Device: "d é", Properties: hostile}
	options := map[string]Options{"epoch_ms": {Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochMillis}}}, "epoch_s": {Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochSecs}, DeviceKey: "dev", TimeKey: "t"}, Consistent: true}}
	for name, q := range queries {
		f := newFake(t, pageOf(""))
		cloud.WantRows(t, f.store(options[name]), q)
		if target := f.Requests[0].Header.Get("X-Amz-Target"); target != "DynamoDB_20120810.Query" {
			t.Errorf("%s: target %q", name, target)
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
		cloud.Golden(t, *update, "testdata/request "+name+".json", b.String())
	}
}

// The attributes that are keys can be selected like any other.
func TestKeysAsProperties(t *testing.T) {
	f := newFake(t, pageOf("", `{"id":{"S":"d_x"},"timestamp":{"S":"2024-01-01T00:00:00Z"},"device_id":{"S":"d"}}`))
	cloud.WantRows(t, f.store(Options{}), hotreader.Query{Device: "d", Properties: []string{"device_id", "timestamp", "id"}},
		`00:00:00 "d" "2024-01-01T00:00:00Z" "d_x"`)
	f = newFake(t, pageOf("", `{"timestamp":{"N":"1.5"}}`))
	cloud.WantRows(t, f.store(Options{Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochSecs}}}), hotreader.Query{Device: "d", Properties: []string{"timestamp"}}, "00:00:01.5 1.5")
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
	s := New(dynamodb.New(f.client().Options(), func(o *dynamodb.Options) { o.EnableAcceptEncodingGzip = true }), Options{Table: "telemetry"})
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
	cloud.WantAllocations(t, bigColumns, 500, 50_000, func(rows int) hotreader.Source {
		const mark = `"LastEvaluatedKey":{"device_id":{"S":"`
		body := bigPage(rows / 10)
		at := strings.Index(body, mark) + len(mark)
		last := strings.Replace(body, `,"LastEvaluatedKey":{"device_id":{"S":"d"},"timestamp":{"S":"2024-02-28T00:00:00Z"}}`, "", 1)
		number := 0
		f := newFake(t)
		f.Serve = func(cloud.Sent) cloud.Answer {
			if number++; number%10 == 0 {
				return cloud.Answer{Body: last}
			}
			return cloud.Answer{Body: body[:at] + fmt.Sprint(number) + body[at:]}
		}
		return f.store(Options{})
	}, 0.01)
}

// The kind of a list or an object may be spelled with escapes, and so may what is in it.
func TestEscapedKinds(t *testing.T) {
	for value, want := range map[string]string{
		`{"\u004c":[{"M":{"\u006d2":{"S":""}}}]}`:      `"[{\"m2\":\"\"}]"`,
		`{"\u004d":{"a":{"\u004c":[{"\u004e":"1"}]}}}`: `"{\"a\":[1]}"`,
		`{"\u0053S":["\u0061"]}`:                       `"[\"a\"]"`,
		`{"L":[{"\u004d":{"\u0061":{"\u004e":"1"}}}]}`: `"[{\"a\":1}]"`,
	} {
		f := newFake(t, pageOf("", `{"timestamp":{"S":"2024-01-01T00:00:00Z"},"n":`+value+`}`))
		if got, err := rows(t, f.store(Options{}), qN); err != nil || len(got) != 1 || got[0] != "00:00:00 "+want {
			t.Errorf("%s: %q, %v; want %s", value, got, err, want)
		}
	}
}
