package hotreader

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestIsNumberIsJSONsGrammar(t *testing.T) {
	for text, want := range map[string]bool{
		"0": true, "-0": true, "12": true, "-1.50": true, "1e5": true, "1E+125": true, "0.0e-9": true,
		"": false, "-": false, "01": false, ".5": false, "5.": false, "+1": false, "1e": false, "1e+": false,
		"0x10": false, "NaN": false, "Infinity": false, " 1": false, "1 ": false, "1,5": false, "--1": false, "1\x00": false,
	} {
		if got := IsNumber([]byte(text)); got != want {
			t.Errorf("IsNumber(%q) = %v, want %v", text, got, want)
		}
	}
}

func FuzzIsNumber(f *testing.F) {
	for _, seed := range []string{"0", "-1.5e+3", "01", "1.", "\"1\"", "null", "1e400", " 1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		// encoding/json is the judge, but it forgives white space around.
		want := json.Valid([]byte(text)) && strings.TrimSpace(text) == text && text != "" && (text[0] == '-' || text[0]-'0' <= 9)
		if got := IsNumber([]byte(text)); got != want {
			t.Errorf("IsNumber(%q) = %v, want %v", text, got, want)
		}
	})
}

// anyNumber draws numbers of JSON's grammar in all the ways one can be written.
func anyNumber() *rapid.Generator[string] {
	return rapid.StringMatching(`-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?`)
}

func TestCompareNumbersIsDecimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyNumber().Draw(t, "a")
		b := anyNumber().Draw(t, "b")
		if rapid.Bool().Draw(t, "close") {
			b = a + strings.Repeat("0", rapid.IntRange(0, 3).Draw(t, "zeros"))
			if !strings.ContainsAny(a, ".eE") {
				b = a + ".000"
			}
		}
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		if got, want := CompareNumbers([]byte(a), []byte(b)), x.Cmp(y); got != want {
			t.Fatalf("CompareNumbers(%s, %s) = %d, want %d", a, b, got, want)
		}
	})
}

func TestCompareNumbersTable(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.50", "1.5", 0},
		{"100", "1e2", 0},
		{"0", "-0.00e7", 0},
		{"74.93588199999998", "74.93588199999999", -1},
		{"0.1", "0.10000000000000000000000000000000000001", -1}, // one float64, two decimals
		{"-2", "-10", 1},
		{"1e999999999999999999", "1e10", 1}, // hostile exponents cost nothing
		{"1e-999999999999999999", "0", 1},
		{"-1e999999999999999999", "1", -1},
	} {
		if got := CompareNumbers([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("CompareNumbers(%s, %s) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := CompareNumbers([]byte(c.b), []byte(c.a)); got != -c.want {
			t.Errorf("CompareNumbers(%s, %s) = %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

func TestWholeNumbersKeepTheirValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := anyNumber().Draw(t, "number")
		if rapid.Bool().Draw(t, "edge") {
			text = rapid.SampledFrom([]string{"2147483647", "2147483648", "-2147483648", "-2147483649",
				"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
				"9.223372036854775807e18", "18446744073709551616", "99999999999999999999", "-0", "0.0", "1e18", "1e19"}).Draw(t, "edge number")
		}
		r, _ := new(big.Rat).SetString(text)
		for bits, typ := range map[int]Type{32: Integer, 64: Long} {
			v, _, ok := typ.Convert(NumberValue([]byte(text)), nil)
			want := r.IsInt() && fitsBits(r.Num(), bits)
			if ok != want {
				t.Fatalf("%s as %s: %v, want %v", text, typ, ok, want)
			}
			if ok && string(v.Text()) != r.Num().String() {
				t.Fatalf("%s as %s came out as %s", text, typ, v)
			}
		}
	})
}

func fitsBits(n *big.Int, bits int) bool {
	if !n.IsInt64() {
		return false
	}
	_, err := strconv.ParseInt(n.String(), 10, bits)
	return err == nil
}

// What is seen at a glance to fit a float64 is what a longer look finds.
func TestFitsDoubleAtAGlance(t *testing.T) {
	check := func(t rapid.TB, text string) {
		digits := []byte(text)
		values := []Value{NumberValue(digits)}
		if !hasExponent(digits) {
			values = append(values, DecimalValue(digits))
		}
		for _, v := range values {
			if got, want := v.fitsDouble(), isDouble(digits); got != want {
				t.Errorf("%s fits a float64: %v, want %v", text, got, want)
			}
		}
	}
	for _, text := range []string{"1e400", "-1e400", "1E-400", "0e999", "12e345", "1.5e309", "1.25e400", "123456e400", "1234567e400", "12345678e400", "1e99", "1e308",
		strings.Repeat("9", 199), strings.Repeat("9", 400), "0." + strings.Repeat("0", 400) + "1"} {
		check(t, text)
	}
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,8})?([eE][+-]?[0-9]{1,4})?`)
	rapid.Check(t, func(t *rapid.T) { check(t, number.Draw(t, "number")) })
}
