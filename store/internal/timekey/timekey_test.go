package timekey

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hotreader"
)

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
		got, ok := Parse(test.format, []byte(test.text))
		if ok != (test.want != "") || ok && got.Format(time.RFC3339Nano) != test.want {
			t.Errorf("%s %s = %v, %v; want %q", test.format, test.text, got, ok, test.want)
		}
	}
}

func drawTime(t *rapid.T, name string) time.Time {
	return time.Unix(rapid.Int64Range(earliest.Unix(), latest.Unix()).Draw(t, name),
		rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 999_999_999), rapid.Map(rapid.Int64Range(0, 999), func(ms int64) int64 { return ms * 1e6 })).Draw(t, name+" nanos"))
}

// A key reads back as the instant it was made of, keys order as instants do
// down to the second, and a range's bounds take in every instant of it.
func TestKeysKeepInstants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		format := rapid.SampledFrom([]string{ISO8601, EpochMillis, EpochSecs}).Draw(t, "format")
		at, start, end := drawTime(t, "at"), drawTime(t, "start"), drawTime(t, "end")
		if rapid.Bool().Draw(t, "near") {
			start, end = at.Add(-time.Duration(rapid.IntRange(0, 3).Draw(t, "before"))), at.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "after")))
		}
		key := Append(nil, format, at)
		back, ok := Parse(format, key)
		if !ok || !back.Equal(at) {
			t.Fatalf("%s of %v reads back as %v, %v", key, at, back, ok)
		}
		if end.Before(start) {
			start, end = end, start
		}
		low, high, ok := Bounds(format, start, end)
		if !ok {
			t.Fatal("the range is thought empty")
		}
		outside := low != "" && Compare(format, key, []byte(low)) < 0 || high != "" && Compare(format, key, []byte(high)) > 0
		if outside && !at.Before(start) && !at.After(end) {
			t.Fatalf("%s is not within %q to %q, but %v is within %v to %v", key, low, high, at, start, end)
		}
		if !outside && (at.Before(start.Add(-time.Second)) || at.After(end.Add(time.Second))) {
			t.Fatalf("%s within %q to %q is far from %v to %v", key, low, high, start, end)
		}
	})
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
		if ours := Append(nil, ISO8601, at); string(ours) <= text {
			t.Errorf("%s is not above %s", ours, text)
		}
	}
}

// A parser reads a key as Parse does, whatever it has read before.
func FuzzParser(f *testing.F) {
	for _, key := range []string{"2024-02-29T12:34:56Z", "2024-02-29T12:34:56.789Z", "2024-02-29T12:34:56.123456789Z", "2024-02-29T12:34:56.1234567891Z",
		"2024-02-29T12:34:56", "2024-02-29T12:34:56.Z", "2024-02-29T12:34:60Z", "2024-02-29T12:34:56+00:00", "2024-02-29T12:34:5Z", "2024-02-29T12:34:56.5",
		"2024-02-29T12:34:56.z", "2024-02-29T12:34", "0000-01-01T00:00:00Z", "2024-02-29T12:34:00.000Zx", "2024-02-29T12:34:56.5ZZ", "2024-02-29T12:34:60.000Z", "2024-02-29T12:34:5a.000Z", "2024-02-29T12:34:56.00\xb9Z", "2024-02-29T12:34:56,000Z", "2024-02-29T12:34:56.000z", strings.Repeat("\x00", 16) + ":00Z"} {
		for _, before := range []string{"2024-02-29T12:34:01Z", "2024-02-29T12:34:59.999+00:00", "0000-01-01T00:00:59Z", ""} {
			f.Add([]byte(before), []byte(key))
		}
	}
	f.Fuzz(func(t *testing.T, before, key []byte) {
		p := parser{format: ISO8601}
		p.parse(before)
		got, ok := p.parse(key)
		want, wantOK := Parse(ISO8601, key)
		if ok != wantOK || ok && got != want {
			t.Fatalf("%q behind %q is %v, %v; want %v, %v", key, before, got, ok, want, wantOK)
		}
	})
}
