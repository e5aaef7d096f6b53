package timekey

import (
	"strings"
	"testing"
	"time"

	"hotreader/layout"
)

// A key is the time between a prefix and a suffix, which may name a property.
func TestCodec(t *testing.T) {
	at := time.Date(2026, 3, 2, 6, 0, 59, 0, time.UTC)
	for _, c := range []struct {
		l                   layout.Layout
		key, low, high, not string
		property            string
	}{
		{layout.Layout{TimePrefix: "READING#"}, "READING#2026-03-02T06:00:59Z", "READING#2026-03-02T06:00:59", "READING#2026-03-02T06:00:59~", "META#2026-03-02T06:00:59Z", ""},
		{layout.Layout{TimeSuffix: "#v1"}, "2026-03-02T06:00:59Z#v1", "2026-03-02T06:00:59", "2026-03-02T06:00:59~", "2026-03-02T06:00:59Z#v2", ""},
		{layout.Layout{TimeSuffix: "#{property}", ValueKey: "v"}, "2026-03-02T06:00:59Z#temp", "2026-03-02T06:00:59", "2026-03-02T06:00:59~", "2026-03-02T06:00:59Z", "temp"},
		{layout.Layout{TimePrefix: "T", TimeSuffix: "/{property}!", ValueKey: "v", TimeFormat: layout.Formats{"epoch_s:text"}}, "T1772431259/temp!", "T1772431259", "T1772431259.000000001~", "T1772431259/temp", "temp"},
	} {
		codec := NewCodecs(c.l)[0]
		key := codec.Append(nil, at, c.property)
		low, high, ok := codec.Bounds(at, at)
		if string(key) != c.key || low != c.low || high != c.high || !ok || string(codec.Property(key)) != c.property {
			t.Errorf("%+v: %s within %q and %q of property %q", c.l, key, low, high, codec.Property(key))
		}
		p := parser{Codec: &codec}
		if back, ok := p.parse(key); !ok || !back.Equal(at) {
			t.Errorf("%s is %v, %v", key, back, ok)
		}
		if back, ok := p.parse([]byte(c.not)); ok {
			t.Errorf("%s is %v", c.not, back)
		}
	}
	codec := NewCodecs(layout.Layout{TimePrefix: "READING#"})[0]
	if low, high, _ := codec.Bounds(time.Time{}, time.Time{}); low != "READING#" || high != "READING#:" {
		t.Errorf("without a range: %q to %q", low, high)
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
	iso := NewCodecs(layout.Layout{})[0]
	f.Fuzz(func(t *testing.T, before, key []byte) {
		p := parser{Codec: &iso}
		p.parse(before)
		got, ok := p.parse(key)
		want, wantOK := iso.Parse(key)
		if ok != wantOK || ok && got != want {
			t.Fatalf("%q behind %q is %v, %v; want %v, %v", key, before, got, ok, want, wantOK)
		}
	})
}
