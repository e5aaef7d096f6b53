package layout

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

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
	it := Item{Fields: map[string]any{"payload": json.Number("5"), "body": map[string]any{"t": "x"}}}
	for path, want := range map[string]string{"payload.t": "payload is the number 5", "body.t": "", "body.t.u": `body.t is the text "x"`, "other.t": ""} {
		if got := it.Barrier(ParsePath(path)); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
