package hotreader

import (
	"math"
	"strings"
	"testing"
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
