package awsdynamodb

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

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
	options := map[string]Options{"epoch_ms": {Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochMillis}}}, "epoch_s": {Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochSecs}, DeviceKey: "dev", TimeKey: "t"}}}
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

// The attribute of a time that is a number can be selected like any other.
func TestNumericKeyAsProperty(t *testing.T) {
	f := newFake(t, pageOf("", `{"timestamp":{"N":"1.5"}}`))
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
			month := fmt.Sprintf("2024-%02d-", number%10+1)
			if number++; number%10 == 0 {
				return cloud.Answer{Body: strings.ReplaceAll(last, "2024-02-", month)}
			}
			return cloud.Answer{Body: strings.ReplaceAll(body[:at]+fmt.Sprint(number)+body[at:], "2024-02-", month)}
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

// Pitfall 2: whatever goes wrong is an error that says what to do, and never an
// empty answer.
func TestPitfall02FailuresAreErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		a    cloud.Answer
		code hotreader.Code
		say  []string
	}{
		{"no table", refusal(400, "ResourceNotFoundException", "Requested resource not found"), hotreader.CodeNotFound, []string{"twin-hot-iot-data", "eu-central-1", "DYNAMODB_TABLE_NAME"}},
		{"provisioned throughput", refusal(400, "ProvisionedThroughputExceededException", "slow"), hotreader.CodeThrottled, []string{"capacity", "slow"}},
		{"throttling", refusal(400, "ThrottlingException", "Rate exceeded"), hotreader.CodeThrottled, nil},
		{"request limit", refusal(400, "RequestLimitExceeded", "account"), hotreader.CodeThrottled, nil},
		{"429", cloud.Answer{Status: 429, Body: "busy"}, hotreader.CodeThrottled, nil},
		{"access denied", refusal(400, "AccessDeniedException", "not authorized"), hotreader.CodeForbidden, []string{"dynamodb:Query", "twin-hot-iot-data", "eu-central-1"}},
		{"an ARN for DynamoDB Local", refusal(400, "ValidationException", "Invalid table/index name.  Table/index names must be between 3 and 255 characters long"), hotreader.CodeConfig, []string{"the table's name is rejected: Invalid table", "takes a name only, no ARN"}},
		{"key schema", refusal(400, "ValidationException", "Query condition missed key schema element"), hotreader.CodeConfig, []string{"missed key schema element", `HASH "device_id" (S)`, `RANGE "timestamp" (S)`, "hotreader inspect --store"}},
		{"expired credentials", refusal(400, "ExpiredTokenException", "expired"), hotreader.CodeConfig, []string{"credentials"}},
		{"unknown credentials", refusal(400, "UnrecognizedClientException", "invalid"), hotreader.CodeConfig, []string{"credentials"}},
		{"internal", refusal(500, "InternalServerError", "sorry"), hotreader.CodeStore, []string{"sorry"}},
		{"service unavailable", refusal(503, "ServiceUnavailable", "later"), hotreader.CodeUnavailable, nil},
		{"a proxy's 502", cloud.Answer{Status: 502, Body: "<html>bad gateway</html>"}, hotreader.CodeUnavailable, []string{"502"}},
		{"a proxy's 500", cloud.Answer{Status: 500, Body: "<html>"}, hotreader.CodeStore, []string{"500"}},
		{"a proxy's 407", cloud.Answer{Status: 407, Body: "<html>"}, hotreader.CodeProtocol, []string{"407"}},
		{"what is new", refusal(400, "SomethingNewException", "what"), hotreader.CodeStore, []string{"SomethingNewException", "what"}},
		{"refused", cloud.Answer{Fail: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}, hotreader.CodeUnavailable, []string{"not reached", "connection refused"}},
		{"no such host", cloud.Answer{Fail: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}, hotreader.CodeUnavailable, []string{"no such host"}},
		{"certificate", cloud.Answer{Fail: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, hotreader.CodeConfig, []string{"certificate"}},
		{"time-out of one attempt", cloud.Answer{Fail: timeout{}}, hotreader.CodeUnavailable, nil},
		{"empty", cloud.Answer{}, hotreader.CodeCorrupt, []string{"page 1"}},
		{"HTML", cloud.Answer{Body: "<html>"}, hotreader.CodeCorrupt, nil},
		{"another shape", cloud.Answer{Body: `{"hello":1}`}, hotreader.CodeCorrupt, nil},
	} {
		f := newFake(t)
		f.Serve = func(cloud.Sent) cloud.Answer { return test.a }
		got, err := rows(t, f.store(Options{}), qN)
		cloud.WantError(t, test.name, err, test.code, append(test.say, "dynamodb: query table twin-hot-iot-data")...)
		if len(got) > 0 {
			t.Errorf("%s: rows %v", test.name, got)
		}
		if len(f.Requests) > 3 {
			t.Errorf("%s: %d attempts", test.name, len(f.Requests))
		}
	}
}

type timeout struct{}

func (timeout) Error() string { return "i/o timeout" }
func (timeout) Timeout() bool { return true }

func TestErrorKeepsTheCause(t *testing.T) {
	f := newFake(t, refusal(400, "AccessDeniedException", "no"))
	_, err := rows(t, f.store(Options{}), qN)
	if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != "AccessDeniedException" {
		t.Errorf("the SDK's error is not within %v", err)
	}
}

func TestRetryAfterIsPassedOn(t *testing.T) {
	busy := refusal(400, "ThrottlingException", "slow")
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "soon": 0, "-1": 0, "99999": 0, "": 0} {
		busy.Header = map[string]string{"Retry-After": header}
		f := newFake(t, busy, busy, busy)
		_, err := rows(t, f.store(Options{}), qN)
		e, ok := errors.AsType[*hotreader.Error](err)
		if !ok || e.RetryAfter != want {
			t.Errorf("Retry-After %q: %+v, want %v", header, e, want)
		}
	}
}

func TestNoRequestCanBeMade(t *testing.T) {
	options := newFake(t).client().Options()
	for name, change := range map[string]func(*dynamodb.Options){
		"credentials": func(o *dynamodb.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, &smithyhttp.RequestSendError{Err: errors.New("no role here")}
			})
		},
		"region": func(o *dynamodb.Options) { o.Region = "" },
	} {
		s := New(dynamodb.New(options, change), Options{Table: "telemetry"})
		_, queried := rows(t, s, qN)
		_, _, sampled := s.Sample(t.Context(), "", 10)
		written := s.Write(t.Context(), "d", []hotreader.Record{cloud.Record(noon)})
		for doing, err := range map[string]error{"query": queried, "inspect": sampled, "write": written} {
			cloud.WantError(t, name, err, hotreader.CodeConfig, doing, "no request can be made", "set AWS_REGION and give AWS credentials")
		}
	}
}

// Names of the table and the index that contradict each other, or the region, are told
// before any request.
func TestNamesThatContradictEachOther(t *testing.T) {
	const arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/telemetry"
	for _, c := range []struct{ table, index, says string }{
		{arn + "/index/by-device", "by-device", ""},
		{arn + "/index/by-device", "", ""},
		{arn, arn + "/index/by-device", ""},
		{"telemetry", arn + "/index/by-device", ""},
		{arn + "/index/by-device", "other", "the ARN of its index by-device, but index is other"},
		{arn + "/index/by-device", arn + "/index/other", "the ARN of its index by-device, but index is other"},
		{"other", arn + "/index/by-device", "index is one of the table " + arn + ", but the table is other"},
		{strings.Replace(arn, "123456789012", "210987654321", 1), arn + "/index/by-device", "index is one of the table " + arn},
		{strings.Replace(arn, "eu-central-1", "us-east-1", 1), "", "is in region us-east-1, but the region is eu-central-1"},
		{"telemetry", strings.Replace(arn, "eu-central-1", "us-east-1", 1) + "/index/by-device", "is in region us-east-1, but the region is eu-central-1"},
		{"tv", "", `invalid table name "tv": expected 3 to 255 characters`},
		{"my table", "", "invalid table name"},
	} {
		err := newFake(t).store(Options{Table: c.table, Layout: layout.Layout{Index: c.index}}).check()
		if (err == nil) != (c.says == "") || err != nil && (hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s, index %s: %v; want %q", c.table, c.index, err, c.says)
		}
	}
}

func TestWrongOptions(t *testing.T) {
	f := newFake(t)
	for _, o := range []Options{{Layout: layout.Layout{TimeFormat: layout.Formats{"epoch"}}}, {Layout: layout.Layout{DeviceKey: "k", TimeKey: "k"}}} {
		if _, err := rows(t, f.store(o), qN); hotreader.CodeOf(err) != hotreader.CodeConfig {
			t.Errorf("%+v: error %v", o, err)
		}
		if err := f.store(o).Write(t.Context(), "d", nil); hotreader.CodeOf(err) != hotreader.CodeConfig {
			t.Errorf("%+v: error %v", o, err)
		}
	}
	if _, err := rows(t, New(f.client(), Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Errorf("no table: error %v", err)
	}
}

// Inspecting takes more than reading, and says so.
func TestSampleSaysWhatItNeeds(t *testing.T) {
	described := cloud.Answer{Body: `{"Table":{"TableName":"t","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}]}}`}
	denied := refusal(400, "AccessDeniedException", "not authorized")
	for name, answers := range map[string][]cloud.Answer{"DescribeTable": {denied}, "Scan": {described, denied}} {
		_, _, err := newFake(t, answers...).store(Options{}).Sample(t.Context(), "", 40)
		cloud.WantError(t, name, err, hotreader.CodeForbidden, "dynamodb:DescribeTable, dynamodb:Scan and dynamodb:Query", "inspect table twin-hot-iot-data")
	}
}
