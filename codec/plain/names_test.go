package plain_test

import (
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/codec/plain"
)

func TestNames(t *testing.T) {
	for text, want := range map[string][]string{
		"a":                       {"a"},
		"a,b":                     {"a", "b"},
		"{a,b}":                   {"a", "b"},
		"{a}":                     {"a"},
		`"{a}"`:                   {"{a}"},
		`"Water Temp, °C",b`:      {"Water Temp, °C", "b"},
		`{"Water Temp, °C",b}`:    {"Water Temp, °C", "b"},
		`5" pipe,"say ""x"""`:     {`5" pipe`, `say "x"`},
		"a,":                      {"a", ""},
		" a , b":                  {" a ", " b"},
		"{a":                      nil,
		"{a,b":                    nil,
		"a,b}":                    nil,
		`"{a",b`:                  {"{a", "b"},
		"a\nb":                    nil,
		`"a`:                      {"a"},
		"":                        {""},
		"{}":                      {""},
		strings.Repeat("x,", 200): slices.Concat(slices.Repeat([]string{"x"}, 200), []string{""}),
	} {
		got, err := plain.Names(text)
		if (err != nil) != (want == nil) || !slices.Equal(got, want) {
			t.Errorf("%.40q: %q, %v", text, got, err)
		}
	}
}

func TestTypes(t *testing.T) {
	names := []string{"a", "b=c", "d"}
	const u, double, long = hotreader.Untyped, hotreader.Double, hotreader.Long
	for _, c := range []struct {
		given []string
		want  []hotreader.Type
		wrong string
	}{
		{nil, nil, ""},
		{[]string{"DOUBLE", "long", "string"}, []hotreader.Type{double, long, hotreader.ShortString}, ""},
		{[]string{"", "long", ""}, []hotreader.Type{u, long, u}, ""},
		{[]string{"b=c=long", "a=double"}, []hotreader.Type{double, long, u}, ""},
		{[]string{"double"}, nil, "types given: 1, properties: 3"},
		{[]string{"a=double", "long"}, nil, `"long": write it name=type`},
		{[]string{"a=duoble"}, nil, `property "a": type "duoble" is unknown; did you mean double?`},
		{[]string{"double", "long", "?"}, nil, `property "d": type "?" is unknown; there are`},
		{[]string{"a="}, nil, `type "" is unknown`},
		{[]string{"x=double"}, nil, `"x": no property of that name`},
		{[]string{"a=double", "a=long"}, nil, `"a" has a type already`},
	} {
		got, err := plain.Types(names, c.given)
		if !slices.Equal(got, c.want) || (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%q: %v, %v", c.given, got, err)
		}
	}
}
