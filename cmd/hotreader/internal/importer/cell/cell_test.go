package cell

import (
	"strings"
	"testing"

	"hotreader"
)

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		style      Style
		text, want string // "" = it is none
	}{
		{Style{}, "73.90", "73.90"}, {Style{}, "-1E+7", "-1E+7"}, {Style{}, ".5", "0.5"}, {Style{}, "-.25", "-0.25"}, {Style{}, "+5", "5"},
		{Style{}, "5.", "5"}, {Style{}, "007", "7"}, {Style{}, "-007.50", "-7.50"}, {Style{}, "00", "0"}, {Style{}, "\u22125", "-5"}, {Style{}, "1.e3", "1e3"},
		{Style{}, "+.5e-3", "0.5e-3"}, {Style{}, "12345678901234567890.12345678901234567890", "12345678901234567890.12345678901234567890"},
		{Style{}, "1,5", ""}, {Style{}, "1 234", ""}, {Style{}, ".", ""}, {Style{}, "-", ""}, {Style{}, "+", ""}, {Style{}, "e5", ""}, {Style{}, "5e", ""},
		{Style{}, "--5", ""}, {Style{}, "1.2.3", ""}, {Style{}, "0x1f", ""}, {Style{}, "5 %", ""}, {Style{}, "1_000", ""}, {Style{}, "", ""}, {Style{}, "١", ""},
		{Style{Decimal: ','}, "1,5", "1.5"}, {Style{Decimal: ','}, "-,5", "-0.5"}, {Style{Decimal: ','}, "1,5e3", "1.5e3"}, {Style{Decimal: ','}, "7", "7"}, {Style{Decimal: ','}, "1.5", ""},
		{Style{Decimal: ',', Thousands: '.'}, "1.234,5", "1234.5"}, {Style{Decimal: ',', Thousands: '.'}, "1.234.567", "1234567"}, {Style{Decimal: ',', Thousands: '.'}, "1.5", ""},
		{Style{Decimal: ',', Thousands: '.'}, "12.34,5", ""}, {Style{Decimal: ',', Thousands: '.'}, "1.234.5", ""}, {Style{Decimal: ',', Thousands: '.'}, "20,5", "20.5"},
		{Style{Decimal: ',', Thousands: ' '}, "1 234,5", "1234.5"}, {Style{Decimal: ',', Thousands: ' '}, "1\u00a0234,5", "1234.5"}, {Style{Decimal: ',', Thousands: ' '}, "-1\u202f234\u202f567,5", "-1234567.5"},
		{Style{Thousands: '\''}, "1'234.5", "1234.5"}, {Style{Thousands: '\''}, "1’234.5", "1234.5"}, {Style{Thousands: ','}, "1,234.5", "1234.5"}, {Style{Thousands: ','}, "1,5", ""},
		{Style{Thousands: ','}, ",234", ""}, {Style{Thousands: ','}, "1,,234", ""}, {Style{Thousands: ','}, "1,234,", ""},
	} {
		got, ok := c.style.Number([]byte("x"), c.text)
		if string(got) != "x"+c.want || ok != (c.want != "") {
			t.Errorf("%+v: %q is %q, %v; want %q", c.style, c.text, got[1:], ok, c.want)
		}
	}
}

func TestIsMissing(t *testing.T) {
	for _, c := range []struct {
		missing      string
		text         string
		among, text2 bool // in a column of numbers, of texts
	}{
		{"", "NaN", true, true}, {"", "null", true, true}, {"", "#N/A", true, true}, {"", "-Inf", true, true}, {"", `\N`, true, true}, {"", "#DIV/0!", true, true},
		{"", "-", true, false}, {"", "NA", true, false}, {"", "n/a", true, false}, {"", "None", true, false}, {"", "---", true, false},
		{"", "0", false, false}, {"", "off", false, false}, {"", "unavailable", false, false}, {"", "-999", false, false},
		{"-999,x", "-999", true, true}, {"-999,x", "-999.00", true, true}, {"-999,x", "-9990", false, false}, {"-999,x", "x", true, true}, {"-999,x", "NA", true, false}, {"-", "-", true, true},
	} {
		s := Style{Missing: strings.Split(c.missing, ",")}
		if s.IsMissing(c.text, false) != c.among || s.IsMissing(c.text, true) != c.text2 {
			t.Errorf("%q (%s): %v among numbers, %v among texts", c.text, c.missing, s.IsMissing(c.text, false), s.IsMissing(c.text, true))
		}
	}
}

func TestMarks(t *testing.T) {
	for cells, want := range map[string]string{
		"1,5|7": ", ", "1.234,5": ",.", "1.234,5|20,5|7": ",.", "1,234.5": ".,", "1,234,567|12": ".,", "1,234": "  ", "1,234|1,5": ", ",
		"1,5|1.5": "  ", "20.5|3": "  ", "a,b|1,x": "  ", "": "  ", "1.234|20,5": ", ", "1,5,6": "  ", "-0,25": ", ", "1.234.567|5": ",.", "1.2.3": "  ",
	} {
		var c Commas
		for text := range strings.SplitSeq(cells, "|") {
			c.Add(text)
		}
		decimal, thousands := c.Marks()
		got := strings.ReplaceAll(string(decimal)+string(thousands), "\x00", " ")
		if got != want {
			t.Errorf("%s: %q, want %q", cells, got, want)
		}
	}
}

// Whatever a cell holds, what is taken for a number is one.
func FuzzNumber(f *testing.F) {
	for _, text := range []string{"1.234,5", "+.5e3", "1'234", "\u22125", "007"} {
		f.Add(text, ',', '.')
	}
	f.Fuzz(func(t *testing.T, text string, decimal, thousands rune) {
		s := Style{Decimal: decimal, Thousands: thousands}
		if got, ok := s.Number(nil, text); ok != hotreader.IsNumber(got) {
			t.Errorf("%+v: %q is %q, %v", s, text, got, ok)
		}
	})
}
