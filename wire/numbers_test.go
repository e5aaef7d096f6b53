package wire

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

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
