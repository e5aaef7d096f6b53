package layout

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hotreader"
)

// Times are read as the format says; other forms are none.
func TestParse(t *testing.T) {
	for _, c := range []struct{ format, text, want string }{
		{ISO8601, "2026-03-02T06:00:59.5Z", "2026-03-02T06:00:59.5Z"},
		{ISO8601, "2026-03-02T06:00:59+00:00", "2026-03-02T06:00:59Z"},
		{ISO8601, "2026-03-02T06:00Z", ""},
		{ISO8601, "2026-03-02 06:00:00", ""},
		{ISO8601, "2025-01-09T18:07:00+09:00", ""},
		{ISO8601Minute, "2026-03-02T06:00Z", "2026-03-02T06:00:00Z"},
		{ISO8601Minute, "2026-03-02T06:00:59Z", "2026-03-02T06:00:59Z"},
		{ISO8601Minute, "2026-03-02T06:00", "2026-03-02T06:00:00Z"},
		{ISO8601Blank, "2026-03-02 06:00:00", "2026-03-02T06:00:00Z"},
		{ISO8601Blank, "2026-03-02 06:00:00.25Z", "2026-03-02T06:00:00.25Z"},
		{ISO8601Blank, "2026-03-02T06:00:00", ""},
		{"iso8601+09:00", "2025-01-09T18:07:00+09:00", "2025-01-09T09:07:00Z"},
		{"iso8601+09:00", "2025-01-09T18:07:00.5+0900", "2025-01-09T09:07:00.5Z"},
		{"iso8601+09:00", "2025-01-09T18:07:00", "2025-01-09T09:07:00Z"},
		{"iso8601+09:00", "2025-01-09T18:07:00Z", ""},
		{"iso8601+01:00", "2025-07-09T18:07:00+02:00", ""}, // daylight saving is not half read
		{"iso8601_blank-03:30", "2025-01-09 18:07:00", "2025-01-09T21:37:00Z"},
		{"iso8601_minute+01:00", "2025-01-09T18:07+01:00", "2025-01-09T17:07:00Z"},
		{"iso8601+09:00", "2025-01-09T18:07:00+09", "2025-01-09T09:07:00Z"},
		{"iso8601+09:00", "2025-01-09T18:07:00 +0900", "2025-01-09T09:07:00Z"},
		{"iso8601_blank+05:30", "2025-01-09 18:07:00.5 +05:30", "2025-01-09T12:37:00.5Z"},
		{"iso8601-03:30", "2025-01-09T18:07:00-0330", "2025-01-09T21:37:00Z"},
		{"iso8601+09:00", "2025-01-09T18:07:00+0930", ""},
		{"iso8601+09:00", "2025-01-09T18:07:00+9", ""},
		{"iso8601+09:00", "2025-01-09T18:07:00+09:00:00", ""},
		{EpochSecs, "1767225600", "2026-01-01T00:00:00Z"},
		{EpochMillis, "1767225600123", "2026-01-01T00:00:00.123Z"},
		{EpochMicros, "1767225600123456", "2026-01-01T00:00:00.123456Z"},
		{EpochNanos, "1767225600123456789", "2026-01-01T00:00:00.123456789Z"},
		{EpochNanos, "1.767225600123456789E18", "2026-01-01T00:00:00.123456789Z"},
		{EpochSecs, "1767225600123", ""}, // beyond the year 9999
		{EpochMillis, "1767225600", ""},  // seconds of today, not milliseconds of 1970
		{EpochMillis, "1.7672256E9", ""},
		{EpochMillis, "1767225600.5", ""},
		{EpochMicros, "1767225600", ""},
		{EpochMicros, "1767225600123", ""},
		{EpochNanos, "1767225600", ""},
		{EpochNanos, "1767225600123", ""},
		{EpochNanos, "1767225600123456", ""},
		{EpochMillis, "86400000", "1970-01-02T00:00:00Z"}, // a clock that was never set
		{EpochSecs, "86400", "1970-01-02T00:00:00Z"},
		{"epoch_s:text", "1767225600", "2026-01-01T00:00:00Z"},
		{"epoch_s:text", "1767225600.5", "2026-01-01T00:00:00.5Z"},
		{"epoch_s:text", "1767225600123", ""},
		{"epoch_ms:text", "1767225600123", "2026-01-01T00:00:00.123Z"},
		{"epoch_ms:text", "0999999999999", "2001-09-09T01:46:39.999Z"},
		{"epoch_ms:text", "999999999999", ""}, // its text is not in the order of its instant
		{"epoch_ns:text", "1767225600123456789", "2026-01-01T00:00:00.123456789Z"},
	} {
		got := ""
		if at, ok := format(t, c.format).Parse([]byte(c.text)); ok {
			got = at.Format(time.RFC3339Nano)
		}
		if got != c.want {
			t.Errorf("%s: %q is %q, want %q", c.format, c.text, got, c.want)
		}
	}
}

func TestParseFormatRefuses(t *testing.T) {
	for _, name := range []string{"", "iso", "iso8601+9", "iso8601:text", "epoch", "epoch_s+01:00", "native:text", "epoch_s:number"} {
		if f, err := ParseFormat(name); err == nil {
			t.Errorf("%q is taken for %+v", name, f)
		}
	}
}

// A key reads back as the instant it was made of, and a range's bounds take in every
// instant of it and few others.
func TestFormatsKeepInstants(t *testing.T) {
	var formats []*Format
	for _, name := range append(FormatNames[:7:7], "iso8601+09:00", "iso8601_blank-03:30", "iso8601_minute+05:45",
		"epoch_s:text", "epoch_ms:text", "epoch_us:text", "epoch_ns:text") {
		formats = append(formats, format(t, name))
	}
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(formats).Draw(t, "format")
		draw := func(name string) time.Time {
			return time.Unix(rapid.Int64Range(f.First().Unix(), f.Last().Unix()).Draw(t, name),
				rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 999_999_999), rapid.Map(rapid.Int64Range(0, 999), func(ms int64) int64 { return ms * 1e6 })).Draw(t, name+" nanos")).UTC()
		}
		at, start, end := draw("at"), draw("start"), draw("end")
		if f.Kind == NumberTime && f.Name != EpochSecs && at.Year() == 1970 { // whose numbers may be those of a coarser unit
			at = at.AddDate(31, 0, 0)
		}
		if rapid.Bool().Draw(t, "near") {
			start, end = at.Add(-time.Duration(rapid.IntRange(0, 3).Draw(t, "before"))), at.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "after")))
		}
		key := f.Append(nil, at)
		if back, ok := f.Parse(key); !ok || !back.Equal(at) {
			t.Fatalf("%s writes %v as %s and reads %v, %v", f.Name, at, key, back, ok)
		}
		if end.Before(start) {
			start, end = end, start
		}
		low, high, ok := f.Bounds(start, end)
		if !ok {
			t.Fatal("the range is thought empty")
		}
		compare := bytes.Compare
		if f.Kind == NumberTime {
			compare = hotreader.CompareNumbers
		}
		outside := low != "" && compare(key, []byte(low)) < 0 || high != "" && compare(key, []byte(high)) > 0
		if outside && !at.Before(start) && !at.After(end) {
			t.Fatalf("%s: %s is not within %q to %q, but %v is within %v to %v", f.Name, key, low, high, at, start, end)
		}
		if !outside && (at.Before(start.Add(-f.Step())) || at.After(end.Add(f.Step()))) {
			t.Fatalf("%s: %s within %q to %q is far from %v to %v", f.Name, key, low, high, start, end)
		}
	})
}

func TestParseEpoch(t *testing.T) {
	for _, test := range []struct {
		format, text, want string // want "" = no time
	}{
		{EpochSecs, "0", "1970-01-01T00:00:00Z"},
		{EpochSecs, "-0.0", "1970-01-01T00:00:00Z"},
		{EpochSecs, "1700000000", "2023-11-14T22:13:20Z"},
		{EpochSecs, "1700000000.5", "2023-11-14T22:13:20.5Z"},
		{EpochSecs, "1.7E+9", "2023-11-14T22:13:20Z"},
		{EpochSecs, "0.0017e12", "2023-11-14T22:13:20Z"},
		{EpochSecs, "1700000000.1234567899", "2023-11-14T22:13:20.123456789Z"},
		{EpochSecs, "-1", "1969-12-31T23:59:59Z"},
		{EpochSecs, "-0.25", "1969-12-31T23:59:59.75Z"},
		{EpochSecs, "-0.0000000001", "1969-12-31T23:59:59.999999999Z"},
		{EpochSecs, "0.0000000001", "1970-01-01T00:00:00Z"},
		{EpochSecs, "1e-300", "1970-01-01T00:00:00Z"},
		{EpochSecs, "253402300799", "9999-12-31T23:59:59Z"},
		{EpochSecs, "253402300800", ""},
		{EpochSecs, "1e300", ""},
		{EpochSecs, "1e99999999999999999999", ""},
		{EpochSecs, "-1e12", ""},
		{EpochMillis, "1700000000000", "2023-11-14T22:13:20Z"},
		{EpochMillis, "1700000000000.000001", "2023-11-14T22:13:20.000000001Z"},
		{EpochMillis, "5", "1970-01-01T00:00:00.005Z"},
		{EpochMillis, "-5", "1969-12-31T23:59:59.995Z"},
		{EpochMillis, "-62167219200000", "0000-01-01T00:00:00Z"},
		{EpochMillis, "-62167219200001", ""},
	} {
		got, ok := format(t, test.format).Parse([]byte(test.text))
		if ok != (test.want != "") || ok && got.Format(time.RFC3339Nano) != test.want {
			t.Errorf("%s %s = %v, %v; want %q", test.format, test.text, got, ok, test.want)
		}
	}
}

// What a Store writes stands against every other text of the same instant.
func TestOurKeyIsTheGreatestOfItsInstant(t *testing.T) {
	for _, text := range []string{
		"2024-01-01T00:00:00", "2024-01-01T00:00:00.000", "2024-01-01T00:00:00.000Z", "2024-01-01T00:00:00+00:00", "2024-01-01T00:00:00.0+00:00", "2024-01-01T00:00:00-00:00",
		"2024-01-01T00:00:00.5", "2024-01-01T00:00:00.500Z", "2024-01-01T00:00:00.500000+00:00", "2024-01-01T00:00:00.5+00:00",
	} {
		at, ok := hotreader.ParseStoredTime([]byte(text))
		if !ok {
			t.Fatalf("%s is no time", text)
		}
		if ours := format(t, ISO8601).Append(nil, at); string(ours) <= text {
			t.Errorf("%s is not above %s", ours, text)
		}
	}
}

func format(t testing.TB, name string) *Format {
	t.Helper()
	f, err := ParseFormat(name)
	if err != nil {
		t.Fatal(err)
	}
	return &f
}

func TestTemplate(t *testing.T) {
	at := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"{device}":                      "pump",
		"site-4#{device}":               "site-4#pump",
		"{device}#{yyyy-MM-dd}":         "pump#2026-03-02",
		"{device}-{yyyy}-{MM}":          "pump-2026-03",
		"{yyyy}/{device}":               "2026/pump",
		"{device}#{yyyyMMdd}T{HH}":      "pump#20260302T06",
		"{yyyy-MM-dd}":                  "",
		"{device}{device}":              "",
		"{device}#{MM}":                 "",
		"{device}#{yyyy-dd}":            "",
		"{device}#{week}":               "",
		"{device":                       "",
		"device}":                       "",
		"{Device}":                      "",
		"{device}#{yyyy-MM-dd}#{state}": "",
	} {
		tmpl, err := ParseTemplate(text)
		got := ""
		if err == nil {
			got = tmpl.Value("pump", at)
		}
		if got != want {
			t.Errorf("%q gives %q (%v), want %q", text, got, err, want)
		}
	}
	tmpl, _ := ParseTemplate("{device}#{yyyy-MM}")
	if from, to := tmpl.Period(at); from.Format(time.DateOnly) != "2026-03-01" || to.Format(time.DateOnly) != "2026-04-01" {
		t.Errorf("the month is %v to %v", from, to)
	}
}

func TestCheck(t *testing.T) {
	for text, says := range map[string]string{
		`{}`:                                                                     "",
		`{"device_key":"ts","time_key":"ts"}`:                                    "must be two fields",
		`{"name_key":"n","value_key":"n"}`:                                       "must be two fields",
		`{"name_key":"timestamp","value_key":"v"}`:                               "must be two fields",
		`{"name_key":"n","value_key":"device_id"}`:                               "must be two fields",
		`{"properties":"timestamp"}`:                                             "must be two fields",
		`{"device_key":"a","time_key":"a.b"}`:                                    "",
		`{"time_key":"payload.ts","properties":"payload"}`:                       "",
		`{"time_format":"iso"}`:                                                  "unknown",
		`{"time_format":["iso8601","iso8601"]}`:                                  "two different ones",
		`{"time_format":["iso8601","epoch_s"]}`:                                  "all texts or all numbers",
		`{"time_format":["iso8601","epoch_s:text"]}`:                             "",
		`{"time_format":"native"}`:                                               "only Firestore",
		`{"time_format":"epoch_s","time_prefix":"R#"}`:                           "no text",
		`{"time_prefix":"READING#","time_suffix":"#{property}","value_key":"v"}`: "",
		`{"time_suffix":"#{property}"}`:                                          "value_key must say",
		`{"time_suffix":"{property}","value_key":"v"}`:                           "separate",
		`{"time_suffix":"#{name}","value_key":"v","name_key":"n"}`:               "constants",
		`{"name_key":"n"}`:                                                       "without value_key",
		`{"value_key":"v"}`:                                                      "without name_key",
		`{"name_key":"n","value_key":"v","properties":"payload"}`:                "one property or several",
		`{"name_key":"n","value_key":"v","time_suffix":"#{property}"}`:           "give one of them",
		`{"properties":"payload."}`:                                              "empty name",
		`{"properties":{"t":""}}`:                                                "empty name",
		`{"partition":"site"}`:                                                   "{device} 0 times",
		`{"collection":"devices/{device}/t"}`:                                    "only Firestore",
		`{"index":"by-device"}`:                                                  "",
		`{"time_format":"epoch_sm"}`:                                             "did you mean epoch_s?",
		`{"time_format":"iso8601_blnak+02:00"}`:                                  "did you mean iso8601_blank?",
		`{"device_key":"a\u0000"}`:                                               "no part of a name",
		`{"time_key":"` + strings.Repeat("k", 256) + `"}`:                        "time_key has 256 bytes",
		`{"time_key":"__ts__"}`:                                                  "",
		`{"device_key":"a..b","time_key":".ts"}`:                                 "",
	} {
		l, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		wantSays(t, text, l.Check(DynamoDB), says)
	}
	for text, says := range map[string]string{
		`{"index":"i"}`: "only DynamoDB",
		`{"device_key":"meta.id","time_key":"meta.id.ts"}`:                       "nothing within it",
		`{"time_key":"ts","properties":"ts.values"}`:                             "nothing within it",
		`{"time_key":"payload.ts","properties":"payload"}`:                       "",
		`{"collection":"devices/{device}/t","time_format":["native","iso8601"]}`: "",
		`{"collection":"devices/{device}/{device}"}`:                             "more than once",
		`{"collection":"devices/{device}/t","partition":"x#{device}"}`:           "give one of them",
		`{"collection":"devices/{device}/t","device_key":"dev"}`:                 "device_key is \"dev\", but collection \"devices/{device}/t\" has the device",
		`{"collection":"devices/{device}"}`:                                      "is the path of a document",
		`{"collection":"devices//t"}`:                                            "has an empty part",
		`{"device_key":"a..b"}`:                                                  "device_key is \"a..b\", which has an empty name",
		`{"time_key":".ts"}`:                                                     "empty name",
		`{"time_key":"meta.__ts__"}`:                                             "Firestore's own",
	} {
		l, _ := Parse([]byte(text))
		wantSays(t, text, l.Check(Firestore), says)
	}
	for _, text := range []string{`{"timekey":"t"}`, `[]`, `{} {}`, `{"time_format":3}`, `{"properties":[]}`, `{"properties":{"t":"a","h":"b","t":"c"}}`} {
		if l, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s is read as %+v", text, l)
		}
	}
}

// A property has one place.
func TestPropertyTwice(t *testing.T) {
	for _, query := range []string{"properties=t:a,h:b,t:c", `properties={"t":"a","t":"c"}`} {
		values, _ := url.ParseQuery(query)
		_, err := FromURL(values)
		wantSays(t, query, err, `properties names "t" twice`)
	}
}

// A store URL says what a layout says.
func TestURL(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`{"device_key":"SystemProperties.iothub-connection-device-id","time_key":"Body.ts","properties":"Body"}`,
		`{"partition":"site-4#{device}#{yyyy-MM-dd}","time_format":"iso8601+09:00","time_prefix":"READING# &","time_suffix":"#{property}","value_key":"v"}`,
		`{"time_format":["native","iso8601_blank-03:30"],"collection":"devices/{device}/telemetry"}`,
		`{"properties":{"temperature":"payload.t","a:b":"c,d"}}`,
		`{"properties":"a:b"}`,
		`{"properties":"\"a"}`,
		`{"properties":{}}`,
		`{"name_key":"sensor","value_key":"val","index":"arn:aws:dynamodb:eu-central-1:123456789012:table/T/index/I"}`,
	} {
		want, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		values, err := url.ParseQuery(want.URL().Encode())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := FromURL(values); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s becomes %s and then %+v (%v)", text, values.Encode(), got, err)
		}
		for name := range values {
			if !slices.Contains(Keys, name) {
				t.Errorf("%s is not among Keys", name)
			}
		}
	}
	for query, want := range map[string]Layout{
		"time_format=iso8601+09:00":               {TimeFormat: Formats{"iso8601+09:00"}}, // a + that nobody escaped
		"properties=t:payload.temp,h:payload.hum": {Properties: Properties{Paths: map[string]string{"t": "payload.temp", "h": "payload.hum"}}},
		"properties=payload":                      {Properties: Properties{Base: "payload"}},
	} {
		values, _ := url.ParseQuery(query)
		if got, err := FromURL(values); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v (%v)", query, got, err)
		}
	}
	for _, query := range []string{"properties=t:a,b", `properties={"t":1}`, `properties={`} {
		values, _ := url.ParseQuery(query)
		if got, err := FromURL(values); err == nil {
			t.Errorf("%s is read as %+v", query, got)
		}
	}
}

func wantSays(t *testing.T, what string, err error, says string) {
	t.Helper()
	if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, want %q", what, err, says)
	}
}

func TestGuessTime(t *testing.T) {
	for _, c := range []struct {
		value any
		want  Layout // zero = none
	}{
		{"2026-03-02T06:00:59.5Z", Layout{TimeFormat: Formats{ISO8601}}},
		{"2026-03-02T06:00:59+00:00", Layout{TimeFormat: Formats{ISO8601}}},
		{"2025-01-09T18:07:00+09:00", Layout{TimeFormat: Formats{"iso8601+09:00"}}},
		{"2025-01-09T18:07:00+0900", Layout{TimeFormat: Formats{"iso8601+09:00"}}},
		{"2025-01-09T18:07:00.5-03", Layout{TimeFormat: Formats{"iso8601-03:00"}}},
		{"2025-01-09 18:07:00 +0530", Layout{TimeFormat: Formats{"iso8601_blank+05:30"}}},
		{"2025-01-09T18:07-0330#temp", Layout{TimeFormat: Formats{"iso8601_minute-03:30"}, TimeSuffix: "#temp"}},
		{"2025-01-09T18:07:00 UTC", Layout{TimeFormat: Formats{ISO8601}, TimeSuffix: " UTC"}},
		{"2025-01-09 18:07:00 JST", Layout{}}, {"2025-01-09T18:07:00EST", Layout{}}, // not UTC, and which offset, it does not say
		{"2026-03-02 06:00:00", Layout{TimeFormat: Formats{ISO8601Blank}}},
		{"2026-03-02T06:00Z", Layout{TimeFormat: Formats{ISO8601Minute}}},
		{"READING#2026-03-02T06:00:59Z", Layout{TimeFormat: Formats{ISO8601}, TimePrefix: "READING#"}},
		{"2026-03-02T06:00:59Z#temp", Layout{TimeFormat: Formats{ISO8601}, TimeSuffix: "#temp"}},
		{"v1#1767225600123", Layout{TimeFormat: Formats{"epoch_ms:text"}, TimePrefix: "v1#"}},
		{"1767225600", Layout{TimeFormat: Formats{"epoch_s:text"}}},
		{"1767225600.5", Layout{TimeFormat: Formats{"epoch_s:text"}}},
		{"R#1767225600123.25.json", Layout{TimeFormat: Formats{"epoch_ms:text"}, TimePrefix: "R#", TimeSuffix: ".json"}},
		{json.Number("1767225600"), Layout{TimeFormat: Formats{EpochSecs}}},
		{json.Number("1767225600123"), Layout{TimeFormat: Formats{EpochMillis}}},
		{json.Number("1767225600123456"), Layout{TimeFormat: Formats{EpochMicros}}},
		{json.Number("1767225600123456789"), Layout{TimeFormat: Formats{EpochNanos}}},
		{time.Unix(0, 0), Layout{TimeFormat: Formats{Native}}},
		{json.Number("21.5"), Layout{}}, {"pump-7", Layout{}}, {"", Layout{}}, {true, Layout{}}, {nil, Layout{}}, {"12:30", Layout{}},
	} {
		got, ok := GuessTime(c.value)
		if ok != (c.want.TimeFormat != nil) || ok && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v is taken for %+v, %v; want %+v", c.value, got, ok, c.want)
		}
		if _, read := got.ReadTime(c.value); read != ok {
			t.Errorf("%v is read as a time: %v", c.value, read)
		}
	}
}

func TestBarrier(t *testing.T) {
	it := Item{Fields: map[string]any{"payload": json.Number("5"), "body": map[string]any{"t": "x"}, "text": `{"t": 1}`}}
	for path, want := range map[string]string{"payload.t": "payload is the number 5", "body.t": "", "body.t.u": `body.t is the text "x"`, "other.t": "",
		"text.t": "text is text that holds JSON; let what writes it store an object"} {
		if got := it.Barrier(ParsePath(path)); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
