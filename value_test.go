package hotreader

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func str(s string) Value { return StringValue([]byte(s)) }
func num(s string) Value { return NumberValue([]byte(s)) }

func TestDeclaredTypesHoldWithoutLossOrNot(t *testing.T) {
	long := strings.Repeat("é", 256)
	for _, c := range []struct {
		typ  Type
		in   Value
		want string // "" = left out
	}{
		{Double, num("588.168"), "588.168"},
		{Double, num("74.93588199999998"), "74.93588199999998"}, // digits stay
		{Double, num("3.1415926535897932384626433832795028841"), "3.1415926535897932384626433832795028841"},
		{Double, str("1.5"), "1.5"}, // numeric text
		{Double, num("1e400"), ""},  // would be infinite
		{Double, num("1E309"), ""},
		{Double, num("1e0000000400"), ""},
		{Double, num("9e99"), "9e99"},
		{Double, num(strings.Repeat("9", 190) + "e99"), strings.Repeat("9", 190) + "e99"},
		{Double, num(strings.Repeat("9", 220) + "e99"), ""},
		{Double, num("-0." + strings.Repeat("0", 190) + "1e-99"), "-0." + strings.Repeat("0", 190) + "1e-99"},
		{Double, num("1e-400"), ""}, // would be zero
		{Double, num("0e-400"), "0e-400"},
		{Double, str("NaN"), ""},
		{Double, str(" 1"), ""},
		{Double, BoolValue(true), ""},
		{Double, Value{}, ""},
		{Integer, num("20"), "20"},
		{Integer, num("20.0"), "20"}, // never 20.0 on the outside
		{Integer, num("2e1"), "20"},
		{Integer, num("-0"), "0"},
		{Integer, num("20.5"), ""},
		{Integer, num("2147483648"), ""},
		{Long, num("2147483648"), "2147483648"},
		{Long, num("9223372036854775808"), ""},
		{Long, str("42"), "42"},
		{Boolean, BoolValue(false), "false"},
		{Boolean, num("1"), "true"},
		{Boolean, num("0"), "false"},
		{Boolean, num("1.00"), "true"},
		{Boolean, num("-0e5"), "false"},
		{Boolean, num("10e-1"), "true"},
		{Boolean, num("2"), ""},
		{Boolean, num("-1"), ""},
		{Boolean, num("0.5"), ""},
		{Boolean, num("1e999999999"), ""},
		{Boolean, str("true"), "true"},
		{Boolean, str("False"), "false"},
		{Boolean, str("TRUE"), "true"},
		{Boolean, str("1"), "true"},
		{Boolean, str("yes"), ""},
		{Boolean, str(" true"), ""},
		{Boolean, str(""), ""},
		{ShortString, str("ok"), `"ok"`},
		{ShortString, num("1.50"), `"1.50"`},
		{ShortString, str(""), ""},
		{ShortString, str(long), `"` + long + `"`},
		{ShortString, str(long + "x"), ""},
		{ShortString, BoolValue(true), ""},
		{AnyString, str(""), `""`},
		{AnyNumber, num("1e400"), "1e400"},
		{AnyNumber, str("x"), ""},
		{Untyped, str("x"), `"x"`},
	} {
		v, _, ok := c.typ.Convert(c.in, nil)
		got := ""
		if ok {
			got = v.String()
		}
		if got != c.want {
			t.Errorf("%v as %s = %q, want %q", c.in, c.typ, got, c.want)
		}
	}
}

func TestNaNAndInfinityAreNull(t *testing.T) {
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if v := Float64Value(f); !v.IsNull() {
			t.Errorf("Float64Value(%v) = %v, want null", f, v)
		}
	}
	if v := Float64Value(0.1); v.String() != "0.1" {
		t.Errorf("Float64Value(0.1) = %v", v)
	}
}

func TestConvertReusesItsBuffer(t *testing.T) {
	buf := make([]byte, 0, 64)
	in := num("2e1")
	if n := testing.AllocsPerRun(100, func() { _, buf, _ = Integer.Convert(in, buf[:0]) }); n != 0 {
		t.Errorf("%v allocations a value", n)
	}
}

func TestTypeWords(t *testing.T) {
	for typ := AnyNumber; typ <= ShortString; typ++ {
		if got, ok := ParseType(typ.String()); !ok || got != typ {
			t.Errorf("ParseType(%q) = %v, %v", typ.String(), got, ok)
		}
	}
	if _, ok := ParseType("FLOAT"); ok {
		t.Error("FLOAT is no type of ours")
	}
}

func TestFilterMatch(t *testing.T) {
	for _, c := range []struct {
		v    Value
		op   string
		w    Value
		want bool
	}{
		{num("1.50"), "=", num("1.5"), true},
		{num("1.50"), "!=", num("1.5"), false},
		{num("1.50"), "<>", num("1.51"), true},
		{num("9"), "<", num("10"), true}, // not as text
		{str("9"), "<", num("10"), true}, // numeric text
		{num("10"), "<=", num("10.0"), true},
		{num("10"), ">", num("9.999"), true},
		{num("-1"), ">=", num("0"), false},
		{str("b"), ">", str("a"), true},
		{str("running"), "=", str("running"), true},
		{str("running"), "=", num("1"), false},
		{str("running"), "!=", num("1"), true},
		{str("running"), "<", num("1"), false},
		{BoolValue(true), "=", BoolValue(true), true},
		{BoolValue(true), "!=", BoolValue(true), false},
		{num("1"), "=", BoolValue(true), true},
		{num("0"), "=", BoolValue(true), false},
		{str("True"), "=", BoolValue(true), true},
		{str("false"), "!=", BoolValue(true), true},
		{num("2"), "=", BoolValue(true), false},
		{num("2"), "!=", BoolValue(true), false}, // neither true nor false
		{num("2"), "!=", BoolValue(false), false},
		{str("on"), "!=", BoolValue(true), false},
		{BoolValue(true), "=", str("true"), false},
		{Value{}, "!=", num("1"), false}, // a row without it does not pass
		{num("0.1"), "=", num("0.10000000000000000000000000001"), false},
	} {
		op, err := ParseOp(c.op)
		if err != nil {
			t.Fatal(err)
		}
		f := Filter{"p", op, c.w}
		if got := f.Match(c.v); got != c.want {
			t.Errorf("%v %s %v = %v, want %v", c.v, c.op, c.w, got, c.want)
		}
	}
	for _, op := range []string{"", "==", "LIKE", "=>", " =", "in"} {
		if _, err := ParseOp(op); CodeOf(err) != CodeInvalid {
			t.Errorf("ParseOp(%q): %v, want invalid", op, err)
		}
	}
}

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

// What is said of a value that its type cannot hold names a type that can.
func TestMisfit(t *testing.T) {
	for _, c := range []struct {
		of   Type
		v    Value
		want string
	}{
		{Integer, num("21.5"), "the type is INTEGER, what is stored is DOUBLE; declared as DOUBLE, no number would be left out"},
		{Integer, str("21.5"), "the type is INTEGER, what is stored is DOUBLE; declared as DOUBLE, no number would be left out"},
		{Integer, num("3000000000"), "the type is INTEGER, what is stored is LONG; declared as LONG, no number would be left out"},
		{Long, num("1e30"), "the type is LONG, what is stored is DOUBLE; declared as DOUBLE, no number would be left out"},
		{Double, str("on"), "the type is DOUBLE, what is stored is STRING"},
		{Double, num("1e400"), ""},
		{Boolean, num("7"), "the type is BOOLEAN, what is stored is LONG"},
		{ShortString, BoolValue(true), "the type is STRING, what is stored is BOOLEAN"},
		{ShortString, str(strings.Repeat("x", 257)), "the type is STRING, which has 1 to 256 characters"},
		{Double, str(strings.Repeat("x", 257)), ""},
	} {
		if got := c.of.misfit(c.of.storedAs(c.v)); got != c.want {
			t.Errorf("%s of %.20s: %q, want %q", c.of, c.v, got, c.want)
		}
	}
}
