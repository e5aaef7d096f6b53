package wire

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"hotreader"
)

// Every code is the same on the other side, and nothing internal is sent.
func TestPitfall23ProblemsTellNothingInternal(t *testing.T) {
	statuses := map[hotreader.Code]int{"invalid": 400, "unauthenticated": 401, "forbidden": 403, "not_found": 404, "too_large": 413, "throttled": 429, "overloaded": 503,
		"unavailable": 502, "deadline": 504, "canceled": 503, "store": 502, "corrupt": 502, "unreadable": 422, "not_restored": 409, "protocol": 502, "config": 500, "internal": 500}
	if len(statuses) != len(hotreader.Codes()) {
		t.Fatal("codes were added")
	}
	for _, code := range hotreader.Codes() {
		err := fmt.Errorf("outer: %w", &hotreader.Error{Op: "dynamodb: query table twin-hot-iot-data", Code: code,
			Err: errors.New("arn:aws:dynamodb:secret\x00\x1b[31m"), RetryAfter: 1100 * time.Millisecond})
		rec := httptest.NewRecorder()
		rec.Header().Set("Content-Encoding", "gzip")
		NewProblem(err, "trace-1").Write(rec)
		h, body := rec.Result().Header, rec.Body.Bytes()
		if rec.Code != statuses[code] || StatusOf(code) != rec.Code || h.Get("Content-Type") != ProblemType || h.Get("Retry-After") != "2" || h.Get("Content-Encoding") != "" {
			t.Errorf("%s: status %d, header %v", code, rec.Code, h)
		}
		var j map[string]any
		if err := json.Unmarshal(body, &j); err != nil || j["code"] != string(code) || j["trace_id"] != "trace-1" || j["type"] != "about:blank" || j["status"] != float64(rec.Code) || j["title"] == "" {
			t.Errorf("%s: %s (%v)", code, body, err)
		}
		told := bytes.Contains(body, []byte("arn:"))
		if want := code == hotreader.CodeInvalid || code == hotreader.CodeTooLarge || code == hotreader.CodeUnreadable || code == hotreader.CodeNotRestored; told != want || bytes.Contains(body, []byte("twin-hot")) {
			t.Errorf("%s tells %s", code, body)
		}
		p := ParseProblem(rec.Code, h, body)
		back := p.Err("remote")
		if back.Code != code || back.RetryAfter != 2*time.Second || !strings.Contains(back.Error(), "trace-1") {
			t.Errorf("%s comes back as %s: %v", code, back.Code, back)
		}
	}
	for err, want := range map[error]hotreader.Code{errors.New("boom"): hotreader.CodeInternal, context.DeadlineExceeded: hotreader.CodeDeadline, context.Canceled: hotreader.CodeCanceled,
		&hotreader.Error{Code: "from a later version"}: hotreader.CodeInternal} {
		if p := NewProblem(err, ""); p.Code != want || p.Status != StatusOf(want) || strings.Contains(p.Detail, "boom") {
			t.Errorf("%v: %+v", err, p)
		}
	}
	if d := NewProblem(&hotreader.Error{Code: hotreader.CodeInvalid, Err: errors.New(strings.Repeat("é", 5000))}, "").Detail; len(d) > maxDetail || !strings.HasSuffix(d, "é") {
		t.Errorf("a detail of %d bytes", len(d))
	}
}

func TestParseForeignProblem(t *testing.T) {
	for _, c := range []struct {
		status     int
		kind, body string
		code       hotreader.Code
		words      string
	}{
		{400, "", "", hotreader.CodeInvalid, "status 400, invalid: Bad Request"},
		{404, "text/html", `{"code":"internal"}`, hotreader.CodeNotFound, "Not Found"},
		{403, "application/json", `{"message":"Missing Authentication Token"}`, hotreader.CodeForbidden, "Forbidden"},
		{410, "", "", hotreader.CodeNotFound, ""},
		{408, "", "", hotreader.CodeUnavailable, ""},
		{425, "", "", hotreader.CodeInvalid, ""},
		{429, "", "", hotreader.CodeThrottled, ""},
		{500, "", "", hotreader.CodeUnavailable, ""},
		{502, "application/json", `{"code":"store"`, hotreader.CodeUnavailable, ""},
		{503, "", "", hotreader.CodeOverloaded, ""},
		{504, "application/json", `{"message":"Endpoint request timed out"}`, hotreader.CodeUnavailable, ""},
		{502, "application/problem+json; charset=utf-8", `{"code":"corrupt","detail":"a\u0000b","status":"x"}`, hotreader.CodeUnavailable, ""},
		{502, "application/problem+json; charset=utf-8", `{"code":"corrupt","title":"Damaged.","detail":"a\u0000b"}`, hotreader.CodeCorrupt, "status 502, corrupt: Damaged. a b"},
		{502, ProblemType, `{"code":"from a later version","title":"T."}`, hotreader.CodeUnavailable, "T."},
		{799, "", "", hotreader.CodeProtocol, "protocol"},
	} {
		err := ParseProblem(c.status, http.Header{"Content-Type": {c.kind}}, []byte(c.body)).Err("remote")
		if err.Code != c.code || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%d %s: %s, %v", c.status, c.body, err.Code, err)
		}
	}
}

// The code of a status is temporary if, and only if, MayHeal(status).
func TestMayHeal(t *testing.T) {
	for status := 300; status < 1000; status++ {
		want := status == 408 || status == 429 || status >= 500 && status < 600
		if MayHeal(status) != want || CodeOfStatus(status).Temporary() != want {
			t.Errorf("%d: %v and %s, want %v", status, MayHeal(status), CodeOfStatus(status), want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		after, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"0", "", 0},
		{"7", "", 7 * time.Second},
		{" 7 ", "", 7 * time.Second},
		{"1.5", "", 1500 * time.Millisecond},
		{"-3", "", 0},
		{"NaN", "", 0},
		{"inf", "", 0},
		{"+7", "", 0},
		{"0x7p9", "", 0},
		{"1e3", "", 0},
		{"1.2.3", "", 0},
		{".", "", 0},
		{strings.Repeat("9", 400), "", 24 * time.Hour},
		{"99999999999999999999999", "", 24 * time.Hour},
		{"soon", "", 0},
		{"Sun, 01 Mar 2026 12:00:30 GMT", "", 30 * time.Second},
		{"Sun, 01 Mar 2026 11:00:30 GMT", "", 0},
		{"Sun, 01 Mar 2099 12:00:30 GMT", "", 24 * time.Hour},
		{"Sun, 01 Mar 2026 10:00:30 GMT", "Sun, 01 Mar 2026 10:00:00 GMT", 30 * time.Second}, // the peer's clock is behind
		{"Sun, 01 Mar 2026 12:00:30 GMT", "nonsense", 30 * time.Second},
	} {
		if got := ParseRetryAfter(http.Header{"Retry-After": {c.after}, "Date": {c.date}}, now); got != c.want {
			t.Errorf("%q at %q: %v, want %v", c.after, c.date, got, c.want)
		}
	}
}

func FuzzParseProblem(f *testing.F) {
	f.Add(502, ProblemType, "3", NewProblem(&hotreader.Error{Code: hotreader.CodeStore}, "t").Append(nil))
	f.Add(200, "application/json", "Sun, 01 Mar 2026 12:00:30 GMT", []byte(`{}`))
	f.Fuzz(func(t *testing.T, status int, kind, after string, body []byte) {
		e := ParseProblem(status, http.Header{"Content-Type": {kind}, "Retry-After": {after}}, body).Err("op")
		if len(e.Error()) > 3*maxDetail || e.RetryAfter < 0 || e.RetryAfter > maxRetryAfter {
			t.Fatalf("%d bytes, %v", len(e.Error()), e.RetryAfter)
		}
		known := false
		for _, c := range hotreader.Codes() {
			known = known || c == e.Code
		}
		if !known {
			t.Fatalf("code %q", e.Code)
		}
	})
}

// docs/protocol.md, from which others implement the format, must not drift from it.
func TestProtocolPage(t *testing.T) {
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "wire/testdata/small.rows -->\n```\n")
	dump, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("the example is missing")
	}
	var stream []byte
	for line := range strings.Lines(dump) {
		for field := range strings.FieldsSeq(line) {
			b, err := hex.DecodeString(field)
			if len(field) != 2 || err != nil {
				break // the rest of the line explains
			}
			stream = append(stream, b...)
		}
	}
	golden, err := os.ReadFile("testdata/small.rows")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stream, golden) {
		t.Errorf("the example is\n%s\nthe golden file\n%s", hex.Dump(stream), hex.Dump(golden))
	}
	for _, c := range hotreader.Codes() {
		row := ""
		for line := range strings.Lines(string(page)) {
			if cells := strings.Split(line, "|"); len(cells) > 3 && strings.Contains(cells[1], fmt.Sprintf("`%s`", c)) {
				row = cells[2]
				break
			}
		}
		if !strings.Contains(row, fmt.Sprint(StatusOf(c))) {
			t.Errorf("the table does not give %s the status %d: %q", c, StatusOf(c), row)
		}
	}
	if _, rest, ok = strings.Cut(string(page), "The body is the **envelope**"); !ok {
		t.Fatal("the envelope is missing")
	}
	_, rest, _ = strings.Cut(rest, "```json\n")
	body, _, _ := strings.Cut(rest, "```")
	if _, err := ParseEnvelope([]byte(body)); err != nil {
		t.Errorf("the envelope of the page: %v", err)
	}
}

const fullEnvelope = `{"source_cloud":"aws","target_layer":"L3-Hot-Read","message_type":"query","timestamp":"2026-03-01T12:00:00.000Z","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","later":{"key":[1]},
 "payload":{"iot_device_id":"d/é #1","start_time":"2026-03-01T12:00","end_time":"2026-03-01T14:00:00.000000001+01:00","selected_properties":["temperature","state"],
  "property_types":{"temperature":"DOUBLE","state":"string","not selected":"LONG"},"order":"DESCENDING","max_results":1000,"next_token":"abc","interpolation":{"interpolationType":"LINEAR","intervalInSeconds":60},
  "filters":[{"property_name":"temperature","operator":">=","value":20.50},{"propertyName":"state","operator":"<>","value":{"stringValue":"IDLE","doubleValue":null}},{"propertyName":"on","operator":"=","value":true}],
  "entity_id":"e","component_name":"c","unknown":null}}`

func TestParseEnvelope(t *testing.T) {
	e, err := ParseEnvelope([]byte(fullEnvelope))
	if err != nil {
		t.Fatal(err)
	}
	want := &Envelope{SourceCloud: "aws", TargetLayer: TargetLayer, MessageType: MessageQuery, Timestamp: "2026-03-01T12:00:00.000Z", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
		Payload: Payload{Device: "d/é #1", Start: epoch, End: epoch.Add(time.Hour + 1), Properties: []string{"temperature", "state"},
			Types: []hotreader.Type{hotreader.Double, hotreader.ShortString}, Order: hotreader.Descending, MaxResults: 1000, NextToken: "abc", Interpolation: time.Minute,
			Filters:  []hotreader.Filter{{Property: "temperature", Op: hotreader.GreaterEqual, Value: num("20.50")}, {Property: "state", Op: hotreader.NotEqual, Value: str("IDLE")}, {Property: "on", Value: yes}},
			EntityID: "e", ComponentName: "c"}}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("got %+v\nwant %+v", e, want)
	}
	q, err := e.Query()
	if err != nil || q.Limit != 500 || q.Device != "d/é #1" || q.Last {
		t.Errorf("query %+v, %v", q, err)
	}
	e.Payload.MaxResults = 1 // a page holds at least one row
	if q, _ := e.Query(); q.Limit != 1 {
		t.Errorf("limit %d", q.Limit)
	}
	// Four keys of the payload are required; for a last entry, two.
	for _, body := range []string{
		`{"target_layer":"L3-Hot-Read","message_type":"query","payload":{"iot_device_id":"d","start_time":"2026-03-01","end_time":"2026-03-01","selected_properties":["t"]}}`,
		`{"target_layer":"L3-Hot-Read","message_type":"query_last_entry","payload":{"iot_device_id":"d","selected_properties":["t"]}}`,
	} {
		e, err := ParseEnvelope([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if q, err := e.Query(); err != nil || q.Limit != 0 || q.Last != strings.Contains(body, "last") {
			t.Errorf("%s: %+v, %v", body, q, err)
		}
	}
}

func TestPitfall25BrokenEnvelopesAreInvalid(t *testing.T) {
	with := func(old, new string) string {
		if !strings.Contains(fullEnvelope, old) {
			t.Fatalf("%q is not in the envelope", old)
		}
		return strings.Replace(fullEnvelope, old, new, 1)
	}
	for _, c := range []struct {
		body  string
		words []string
	}{
		{``, []string{"empty"}},
		{` `, []string{"empty"}},
		{`null`, []string{"body is null"}},
		{`[]`, []string{"body is an array"}},
		{`"x"`, []string{"body is a string"}},
		{`7`, []string{"body is a number"}},
		{`{`, []string{"not JSON"}},
		{`{} {}`, []string{"not JSON"}},
		{"{\"a\":\"\xff\"}", []string{"UTF-8"}},
		{strings.Repeat("[", 60_000), []string{"not JSON"}},
		{`{}`, []string{"target_layer is missing", "message_type is missing", "payload is missing"}},
		{with(`"L3-Hot-Read"`, `"L2"`), []string{`target_layer is "L2"`}},
		{with(`"L3-Hot-Read"`, `""`), []string{"target_layer is empty"}},
		{with(`"query"`, `"delete"`), []string{`message_type is "delete"`, "query_last_entry"}},
		{with(`"query"`, `null`), []string{"message_type is null"}},
		{with(`"4bf9`, `"\n4bf9`), []string{"trace_id", "printable"}},
		{with(`"4bf9`, `"`+strings.Repeat("x", 200)), []string{"trace_id has"}},
		{with(`"source_cloud":"aws"`, `"source_cloud":7`), []string{"source_cloud is a number"}},
		{with(`"source_cloud"`, `"target_layer":"L3-Hot-Read","source_cloud"`), []string{"twice"}},
		{`{"target_layer":"L3-Hot-Read","message_type":"query","payload":null}`, []string{"payload is null"}},
		{`{"target_layer":"L3-Hot-Read","message_type":"query","payload":{}}`, []string{"iot_device_id is missing", "start_time is missing", "end_time is missing", "selected_properties is missing"}},
		{with(`"iot_device_id":"d/é #1",`, ``), []string{"iot_device_id is missing"}},
		{with(`"d/é #1"`, `""`), []string{"iot_device_id is empty"}},
		{with(`"d/é #1"`, `["d"]`), []string{"iot_device_id is an array"}},
		{with(`"d/é #1"`, `"`+strings.Repeat("x", 2049)+`"`), []string{"2049 bytes"}},
		{with(`"2026-03-01T12:00"`, `"yesterday"`), []string{"start_time", "yesterday"}},
		{with(`"2026-03-01T12:00"`, `1772366400`), []string{"start_time is a number"}},
		{with(`"2026-03-01T12:00"`, `"2026-03-01T13:00:01"`), []string{"after the end"}},
		{with(`["temperature","state"]`, `[]`), []string{"selected_properties is empty"}},
		{with(`["temperature","state"]`, `null`), []string{"selected_properties is null"}},
		{with(`["temperature","state"]`, `["temperature",null]`), []string{"selected_properties[1] is null"}},
		{with(`["temperature","state"]`, `["temperature","temperature"]`), []string{"selected twice"}},
		{with(`["temperature","state"]`, `[`+strings.Repeat(`"x",`, 100)+`"y"]`), []string{"101 entries"}},
		{with(`"DOUBLE"`, `"FLOAT"`), []string{"unknown type", "FLOAT"}},
		{with(`"DOUBLE"`, `{}`), []string{"is an object"}},
		{with(`"DESCENDING"`, `"DOWN"`), []string{"order", "DOWN"}},
		{with(`:1000`, `:0`), []string{"max_results is 0", "at least 1"}},
		{with(`:1000`, `:-5`), []string{"max_results is -5"}},
		{with(`:1000`, `:1.5`), []string{"whole number"}},
		{with(`:1000`, `:1e99`), []string{"whole number"}},
		{with(`:1000`, `:"1000"`), []string{"max_results is a string"}},
		{with(`:1000`, `:null`), []string{"max_results is null"}},
		{with(`"abc"`, `"`+strings.Repeat("x", 17881)+`"`), []string{"next_token has 17881 bytes"}},
		{with(`">="`, `"LIKE"`), []string{"filters[0]", "LIKE"}},
		{with(`">="`, `7`), []string{"filters[0].operator is a number"}},
		{with(`20.50`, `[1]`), []string{"filters[0].value is an array"}},
		{with(`20.50`, `null`), []string{"filters[0].value is null"}},
		{with(`"operator":">=",`, ``), []string{"filters[0].operator is missing"}},
		{with(`"property_name":"temperature",`, ``), []string{"filters[0] needs property_name"}},
		{with(`"property_name":"temperature",`, `"property_name":"a","propertyName":"b",`), []string{"filters[0] needs property_name, once"}},
		{with(`"stringValue":"IDLE"`, `"stringValue":7`), []string{"filters[1].value.stringValue is a number"}},
		{with(`"doubleValue":null`, `"doubleValue":7`), []string{"filters[1].value has 2 values"}},
		{with(`{"stringValue":"IDLE","doubleValue":null}`, `{"stringValue":{"stringValue":"x"}}`), []string{"is an object"}},
		{with(`"operator":"=","value":true`, `"operator":">","value":true`), []string{"boolean"}},
		{with(`"filters":[`, `"filters":[7,`), []string{"filters[0] is a number"}},
		{with(`"LINEAR"`, `"CUBIC"`), []string{"CUBIC"}},
		{with(`"intervalInSeconds":60`, `"intervalInSeconds":0`), []string{"intervalInSeconds is 0"}},
		{with(`,"intervalInSeconds":60`, ``), []string{"no interval_in_seconds"}},
		{with(`"component_name":"c",`, ``), []string{"go together"}},
	} {
		_, err := ParseEnvelope([]byte(c.body))
		if hotreader.CodeOf(err) != hotreader.CodeInvalid {
			t.Errorf("%.120s: error %v, want one of invalid", c.body, err)
			continue
		}
		for _, w := range c.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%.120s: error %q does not say %q", c.body, err, w)
			}
		}
		if len(err.Error()) > 8000 {
			t.Errorf("%.40s: the error has %d bytes", c.body, len(err.Error()))
		}
	}
	_, err := ParseEnvelope(bytes.Repeat([]byte(" "), MaxEnvelope+1))
	if hotreader.CodeOf(err) != hotreader.CodeTooLarge {
		t.Errorf("a large body: %v", err)
	}
}

func queries() []hotreader.Query {
	return []hotreader.Query{
		{Device: "d", Properties: []string{"t"}},
		{Device: "d\"\\\n\u2028é", Properties: []string{"t", "<&>"}, Start: epoch, End: epoch.Add(1), Order: hotreader.Descending, Limit: 7},
		{Device: "d", Properties: []string{"t"}, Start: firstTime, End: lastTime.Add(-1)},
		{Device: "d", Properties: []string{"t", "u"}, Types: []hotreader.Type{hotreader.Untyped, hotreader.AnyString}, End: epoch},
		{Device: "d", Properties: []string{"t"}, Types: []hotreader.Type{hotreader.Integer}, Last: true, Start: epoch},
		{Device: "d", Properties: []string{"t"}, Filters: []hotreader.Filter{{Property: "x", Op: hotreader.Less, Value: num("-1.50e-7")},
			{Property: "y", Op: hotreader.NotEqual, Value: str("\"'")}, {Property: "z", Value: no}}},
	}
}

func TestQueryCrosses(t *testing.T) {
	for _, q := range queries() {
		e, err := ParseEnvelope(NewEnvelope(q, "gcp", "trace-1").Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Query()
		if err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("got %+v (%v)\nwant %+v", got, err, q)
		}
		if e.SourceCloud != "gcp" || e.TraceID != "trace-1" {
			t.Errorf("%+v", e)
		}
	}
}

// Bounds that the text of a time cannot express.
func TestPitfall03BoundsAreInstants(t *testing.T) {
	cross := func(q hotreader.Query) hotreader.Query {
		t.Helper()
		e, err := ParseEnvelope(NewEnvelope(q, "", "").Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Query()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	q := hotreader.Query{Device: "d", Properties: []string{"t"}}
	body := string(NewEnvelope(q, "", "").Append(nil))
	for _, want := range []string{`"start_time":"0001-01-01T00:00:00.000Z"`, `"end_time":"9999-12-31T23:59:59.999999999Z"`} {
		if !strings.Contains(body, want) {
			t.Errorf("an open range does not say %s: %s", want, body)
		}
	}
	q.Start, q.End = time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := cross(q); !got.Start.Equal(firstTime) || !got.End.IsZero() {
		t.Errorf("beyond all times: %v to %v", got.Start, got.End)
	}
	q.Start, q.End = time.Time{}, time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := cross(q); got.End.IsZero() || got.End.After(firstTime) {
		t.Errorf("an end before all times became %v", got.End)
	}
	// An end in the first instant of time.Time does not leave the range open.
	e, err := ParseEnvelope([]byte(`{"target_layer":"L3-Hot-Read","message_type":"query","payload":{"iot_device_id":"d","selected_properties":["t"],
		"start_time":"0001-01-01T00:00:00Z","end_time":"0001-01-01T01:00:00+01:00"}}`))
	if err != nil || !e.Payload.Start.IsZero() || e.Payload.End.IsZero() {
		t.Errorf("%+v, %v", e, err)
	}
	// Times with offsets, with nanoseconds and without seconds are accepted.
	for text, want := range map[string]time.Time{"2026-03-01T13:00+01:00": epoch, "2026-03-01T12:00:00.000000001Z": epoch.Add(1), "2026-03-01 12:00": epoch} {
		e, err := ParseEnvelope(fmt.Appendf(nil, `{"target_layer":"L3-Hot-Read","message_type":"query","payload":{"iot_device_id":"d","selected_properties":["t"],"start_time":%q,"end_time":%q}}`, text, text))
		if err != nil || !e.Payload.Start.Equal(want) || !e.Payload.End.Equal(want) {
			t.Errorf("%s: %+v, %v", text, e, err)
		}
	}
}

func FuzzParseEnvelope(f *testing.F) {
	f.Add([]byte(fullEnvelope))
	f.Add([]byte(`null`))
	for _, q := range queries() {
		f.Add(NewEnvelope(q, "aws", "").Append(nil))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := ParseEnvelope(body)
		if err != nil {
			if c := hotreader.CodeOf(err); c != hotreader.CodeInvalid && c != hotreader.CodeTooLarge {
				t.Fatalf("%s: %v", c, err)
			}
			return
		}
		q, err := e.Query()
		if err != nil {
			t.Fatal(err)
		}
		out := e.Append(nil)
		if !json.Valid(out) {
			t.Fatalf("%s becomes %s", body, out)
		}
		again, err := ParseEnvelope(out)
		if err != nil {
			t.Fatalf("%s becomes %s: %v", body, out, err)
		}
		if q2, _ := again.Query(); !reflect.DeepEqual(q2, q) {
			t.Fatalf("%s becomes %s:\n%+v\n%+v", body, out, q, q2)
		}
	})
}

func TestAcceptsRows(t *testing.T) {
	for accept, want := range map[string]bool{
		"":                       false,
		"*/*":                    false,
		"application/json":       false,
		MediaType:                true,
		MediaType + ";version=1": false,
		MediaType + ";version=2": true,
		MediaType + ";q=0":       false,
		MediaType + ";q=x":       false,
		"application/json;q=0.5, " + MediaType + "; version=1, Application/VND.hotreader.rows;q=0.1": true,
		",,;;": false,
	} {
		if AcceptsRows(accept) != want {
			t.Errorf("%q: %v", accept, !want)
		}
	}
}
