package hotreader

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseTime(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.UTC()
	}
	for text, want := range map[string]string{
		"2022-04-07T04:04:42Z":               "2022-04-07T04:04:42Z",
		"2022-04-07T04:04:42.000Z":           "2022-04-07T04:04:42Z",
		"2022-04-07T04:04:42.123456Z":        "2022-04-07T04:04:42.123456Z",
		"2022-04-07T04:04:42.123456789123Z":  "2022-04-07T04:04:42.123456789Z", // behind the nanosecond is cut
		"2022-04-07T04:04:42,5Z":             "2022-04-07T04:04:42.5Z",
		"2022-04-07T04:04:42+00:00":          "2022-04-07T04:04:42Z",
		"2022-04-07T05:04:42+01:00":          "2022-04-07T04:04:42Z",
		"2022-04-07T05:04:42.5+0100":         "2022-04-07T04:04:42.5Z",
		"2022-04-07T00:04-04":                "2022-04-07T04:04:00Z",
		"2022-04-07T04:04Z":                  "2022-04-07T04:04:00Z", // no seconds
		"2022-04-07T04:04":                   "2022-04-07T04:04:00Z",
		"2013-12-02 21:15:00":                "2013-12-02T21:15:00Z",
		"2022-04-07":                         "2022-04-07T00:00:00Z",
		"1899-12-31T23:59:59Z":               "1899-12-31T23:59:59Z",
		"0001-01-01T00:00:00Z":               "0001-01-01T00:00:00Z",
		"9999-12-31T23:59:59.999999999Z":     "9999-12-31T23:59:59.999999999Z",
		"2024-02-29T00:00:00Z":               "2024-02-29T00:00:00Z",
		"2022-04-07T04:04:42.1234567890001z": "2022-04-07T04:04:42.123456789Z",
	} {
		got, err := ParseTime([]byte(text))
		if err != nil || !got.Equal(at(want)) || got.Location() != time.UTC {
			t.Errorf("ParseTime(%q) = %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "now", "2022", "2022-04", "2022-4-7", "2022-13-01", "2022-02-29", "2022-04-31T00:00:00Z",
		"2022-04-07T", "2022-04-07T4:04", "2022-04-07T24:00:00Z", "2022-04-07T04:60:00Z", "2022-04-07T04:04:60Z",
		"2022-04-07T04:04:42.Z", "2022-04-07T04:04:42Zx", "2022-04-07T04:04:42+1", "2022-04-07T04:04:42+25:00",
		"2022-04-07T04:04:42+01:0", "2022-04-07T04:04:42 +01:00", "device_2022-04-07T04:04:42Z", "1649304282",
		"２022-04-07T04:04:42Z", strings.Repeat("2", 1000)} {
		if got, err := ParseTime([]byte(text)); err == nil {
			t.Errorf("ParseTime(%q) = %v, want an error", text, got)
		} else if len(err.Error()) > 300 {
			t.Errorf("ParseTime(%.20q…): the message has %d bytes", text, len(err.Error()))
		}
	}
}

func TestStoredTimesAreUTCWithSeconds(t *testing.T) {
	for text, want := range map[string]bool{
		"2022-04-07T04:04:42Z": true, "2022-04-07T04:04:42.1+00:00": true, "2022-04-07T04:04:42": true,
		"2022-04-07T05:04:42+01:00": false, // out of order among UTC texts
		"2022-04-07 04:04:42Z":      false, "2022-04-07T04:04Z": false, "2022-04-07": false, "": false,
	} {
		if _, ok := ParseStoredTime([]byte(text)); ok != want {
			t.Errorf("ParseStoredTime(%q) = %v, want %v", text, ok, want)
		}
	}
}

// An item's id is its device and its time; where a time is wanted, it is none.
func TestPitfall04AnIDIsNoTime(t *testing.T) {
	for _, id := range []string{"m1_2022-04-07T04:04:42Z", "2022_2022-04-07T04:04:42Z", "2022-04-07T04:04:42Z_m1", "2022-04-07T04:04:42Z-1"} {
		if at, ok := ParseStoredTime([]byte(id)); ok {
			t.Errorf("id %s is taken for the time %v", id, at)
		}
		if at, err := ParseTime([]byte(id)); err == nil {
			t.Errorf("id %s is taken for the time %v", id, at)
		}
	}
}

func TestTimesThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "s"), rapid.SampledFrom([]int64{0, 1, 500_000_000, 123_000_000, 123_456_000, 999_999_999}).Draw(t, "ns")).UTC()
		text := AppendTime(nil, at)
		if len(text) < 20 || len(text) > 35 {
			t.Fatalf("%s has %d characters, TwinMaker takes 20 to 35", text, len(text))
		}
		std, err := time.Parse(time.RFC3339Nano, string(text))
		if err != nil || !std.Equal(at) {
			t.Fatalf("%v printed as %s, which the standard library reads as %v, %v", at, text, std, err)
		}
		for _, text := range []string{string(text), at.Format(time.RFC3339Nano), at.In(time.FixedZone("", 5*3600+1800)).Format(time.RFC3339Nano)} {
			if year := at.Year(); year < 2 || year > 9998 {
				continue // an offset may leave the years of four digits
			}
			if got, err := ParseTime([]byte(text)); err != nil || !got.Equal(at) {
				t.Fatalf("ParseTime(%s) = %v, %v; want %v", text, got, err, at)
			}
		}
	})
}

func TestTimesDoNotAllocate(t *testing.T) {
	text, buf := []byte("2022-04-07T04:04:42.123456Z"), make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		at, _ := ParseTime(text)
		buf = AppendTime(buf[:0], at)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{"2022-04-07T04:04:42.123Z", "2022-04-07 04:04+0100", "2022-04-07", "0000-01-01T0:00:00Z", "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseTime([]byte(text))
		std, stdErr := time.Parse(time.RFC3339Nano, text)
		if stdErr == nil && len(text) > 13 && text[4] == '-' && text[13] == ':' { // the standard library also takes hours of one digit
			if err != nil || !got.Equal(std) {
				t.Errorf("ParseTime(%q) = %v, %v; the standard library reads %v", text, got, err, std)
			}
		}
	})
}

func BenchmarkParseTime(b *testing.B) {
	text := []byte("2022-04-07T04:04:42.123Z")
	for b.Loop() {
		ParseTime(text)
	}
}

func BenchmarkAppendTime(b *testing.B) {
	at, buf := time.Unix(1649304282, 123e6), make([]byte, 0, 64)
	for b.Loop() {
		buf = AppendTime(buf[:0], at)
	}
}
