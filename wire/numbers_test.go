package wire

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Eight characters at once are read as one after the other.
func TestShortNumbersAreReadAsLongOnes(t *testing.T) {
	const alphabet = "0159.-/:e\x00\x80\xff"
	check := func(text []byte) {
		got, ok := parseShort(text)
		want, number := parseLong(text)
		if ok && (!number || got != want) {
			t.Fatalf("%q is %+v, not %+v (%t)", text, got, want, number)
		}
		plain := strings.Trim(string(text), "0123456789") == "" || strings.Count(string(text), ".") == 1
		if number && plain && text[0] != '-' && !ok {
			t.Fatalf("%q is not read, though it is %+v", text, want)
		}
	}
	var all func(text []byte, left int)
	all = func(text []byte, left int) {
		if len(text) > 0 {
			check(text)
		}
		for i := 0; left > 0 && i < len(alphabet); i++ {
			all(append(text, alphabet[i]), left-1)
		}
	}
	all(nil, 4)
	rapid.Check(t, func(t *rapid.T) {
		check(rapid.SliceOfN(rapid.SampledFrom([]byte("0123456789.")), 1, 8).Draw(t, "text"))
	})
}

// A number at a scale is written as its digits with a point between them.
func TestScaledDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.Int64().Draw(t, "m") / pow10[rapid.IntRange(0, maxScale).Draw(t, "fewer")]
		scale := rapid.IntRange(0, maxScale).Draw(t, "scale")
		least := rapid.IntRange(0, scale).Draw(t, "least")
		want := strings.TrimPrefix(strconv.FormatInt(m, 10), "-")
		for len(want) <= scale {
			want = "0" + want
		}
		at := len(want) - scale
		whole, frac := want[:at], want[at:]
		for len(frac) > least && strings.HasSuffix(frac, "0") {
			frac = frac[:len(frac)-1]
		}
		if want = whole; frac != "" {
			want += "." + frac
		}
		if m < 0 {
			want = "-" + want
		}
		if got := string(appendDigits([]byte("x"), m, scale, least)); got != "x"+want {
			t.Fatalf("%d at %d, at least %d: %q, not %q", m, scale, least, got[1:], want)
		}
	})
}
