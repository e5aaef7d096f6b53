package jsonscan

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

var values = []string{
	`null`, `true`, `false`, `0`, `-0`, `-1.5e+10`, `1E-400`, `""`, `"a"`, `"\"\\\/\b\f\n\r\té\ud83d\ude00\ud800x"`, `"é€😀"`,
	`[]`, `[ ]`, `{}`, `{ }`, `[1, "a" ,null,[true],{"a":{"b":[]}}]`, " {\n\t\"a\" : 1 , \"\\u0061\":2\r\n} ",
	// and what is none
	``, ` `, `nul`, `truefalse`, `tru`, `01`, `-`, `+1`, `.5`, `1.`, `1e`, `1e+`, `0x1`, `NaN`, `'a'`, `"`, `"a`, `"\`, `"\x"`, `"\u12`, `"\u12g4"`, `"\ud83d\u00g0"`,
	"\"\n\"", "\"\xff\"", "\"\\n\xff\"", `[`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `]`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{1:2}`, `{"a" 1}`, `{"a":1]`, `[1}`, `1 2`,
	strings.Repeat("[", 130) + strings.Repeat("]", 130), strings.Repeat("[", 100) + strings.Repeat("]", 100),
}

// FuzzSkip: what is passed over is JSON, and all JSON in valid UTF-8 is passed
// over unless it is nested too deep.
func FuzzSkip(f *testing.F) {
	for _, v := range values {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Scanner
		s.Reset(data)
		err := s.Skip()
		if err == nil {
			err = s.End()
		}
		valid := json.Valid(data)
		if err == nil && !valid {
			t.Fatal("it was taken for JSON")
		}
		deep := bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxDepth
		if err != nil && valid && utf8.Valid(data) && !deep {
			t.Fatalf("it was refused: %v", err)
		}
	})
}

// FuzzText: a string is read as encoding/json reads it.
func FuzzText(f *testing.F) {
	for _, v := range values {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Scanner
		s.Reset(data)
		got, err := s.Text()
		if err == nil {
			err = s.End()
		}
		var want *string // nil: null, which is no string
		reference := json.Unmarshal(data, &want)
		switch {
		case err == nil && (reference != nil || want == nil || string(got) != *want):
			t.Fatalf("got %q, want %v (%v)", got, want, reference)
		case err != nil && reference == nil && want != nil && utf8.Valid(data):
			t.Fatalf("it was refused: %v", err)
		}
	})
}

// Half a surrogate pair is told; a whole one, and what only looks like one, is
// none.
func TestHalfAPairIsTold(t *testing.T) {
	for text, want := range map[string]bool{
		`"a"`: false, `"\ud83d\ude00"`: false, `"\\ud800"`: false, `"\ufffd"`: false, "\"\ufffd\"": false, `"\ud83d\ude00\u0041"`: false,
		`"\ud800"`: true, `"\udc00"`: true, `"x\ud800y"`: true, `"\ud800\ud83d\ude00"`: true, `"\ude00\ud83d"`: true, `"\uD800\n"`: true, `"\ud83d\ude00\ud800"`: true,
	} {
		var s Scanner
		s.Reset([]byte(text + `"b"`))
		if _, err := s.Text(); err != nil || s.Broken() != want {
			t.Errorf("%s: %v, %v", text, s.Broken(), err)
		}
		if _, err := s.Text(); err != nil || s.Broken() {
			t.Errorf("behind %s: %v, %v", text, s.Broken(), err)
		}
	}
}

func TestNamesAndTextsDoNotDisturbEachOther(t *testing.T) {
	var s Scanner
	s.Reset([]byte(`{"\u0061":"\u0062\u0063","\u0064":"\u0065"}`))
	var texts [][]byte
	if err := s.Token('{'); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := s.Name(); err != nil {
			t.Fatal(err)
		}
		text, err := s.Text()
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
		if s.Is('}') {
			break
		}
		if err := s.Token(','); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(bytes.Join(texts, []byte("|"))); got != "bc|e" {
		t.Errorf("got %s", got)
	}
}

func TestPlain(t *testing.T) {
	for _, c := range []struct {
		text           string
		number, quoted int
	}{
		{"1,", 1, 0}, {"-12.50}", 6, 0}, {"1", 1, 0}, {"0", 1, 0}, {"01", 0, 0}, {"-", 0, 0}, {"", 0, 0}, {"1.", 0, 0}, {"1.e", 0, 0}, {"1e5", 1, 0}, {"x\"", 0, 1},
		{`"`, 0, 0}, {`ab"c`, 0, 2}, {`a\"b"`, 0, 0}, {"é\"", 0, 0}, {"a\n\"", 0, 0}, {"ab", 0, 0},
	} {
		if got := PlainNumber([]byte(c.text), 0); got != c.number {
			t.Errorf("PlainNumber(%q) = %d, want %d", c.text, got, c.number)
		}
		if got := PlainString([]byte(c.text), 0); got != c.quoted {
			t.Errorf("PlainString(%q) = %d, want %d", c.text, got, c.quoted)
		}
	}
}

// PlainString takes eight bytes at a time; it must find what a look at each finds.
func FuzzPlainString(f *testing.F) {
	for _, text := range []string{`2024-02-01T00:00:00.000Z"}`, "seven77\"eight888", "eight888\"", `1234567\"`, "a\x1fbcdefg\"", "\x00\"", "ab \"cdefghijk\"", "12345678\x7f\x80\"", "\x80\"\\ !#[]^", ""} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for from := range min(len(data)+1, 20) {
			want := from
			for want < len(data) && data[want] >= ' ' && data[want] < 0x80 && data[want] != '"' && data[want] != '\\' {
				want++
			}
			if want == len(data) || data[want] != '"' {
				want = 0
			}
			if got := PlainString(data, from); got != want {
				t.Fatalf("PlainString(%q, %d) = %d, want %d", data, from, got, want)
			}
		}
	})
}

// PlainNumber and Shape take eight bytes at a time; they must find what a look at
// each finds, Shape behind any number before.
func FuzzPlainNumber(f *testing.F) {
	for _, text := range []string{"20.00\"", "1000.123\"}", "0.05", "-12.5,", "-0", "00.1", "12345678", "1234567.", "1234567.8\"", "123456789.0123456789\"", "-01.5\"", "1.e5", "1e5", ".5", "-", ""} {
		for _, before := range []string{"20.00\"", "-1.5\"", "1000.123\"", "12\""} {
			f.Add([]byte(before), []byte(text))
		}
	}
	number := regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?`)
	f.Fuzz(func(t *testing.T, before, data []byte) {
		want := func(data []byte) int {
			n := len(number.Find(data))
			if n > 0 && n < len(data) && bytes.IndexByte(data[:n], '.') < 0 && (data[n] == '.' || data[n]-'0' <= 9) {
				return 0 // a point without digits, or digits behind a zero
			}
			return n
		}
		var s Shape
		for range 3 {
			if got := s.Number(before, 0); got != want(before) && want(before) > 0 {
				t.Fatalf("%q behind itself: %d, want %d", before, got, want(before))
			}
		}
		if got := PlainNumber(data, 0); got != want(data) {
			t.Fatalf("PlainNumber(%q) = %d, want %d", data, got, want(data))
		}
		// A shape may end in front of more digits, or of a point, for it does not look.
		got := s.Number(data, 0)
		if full := want(data); got != full && !(got > 0 && got < len(data) && (data[got] == '.' || data[got]-'0' <= 9) && want(data[:got]) == got) {
			t.Fatalf("%q behind %q: %d, want %d", data, before, got, full)
		}
	})
}

func TestCounts(t *testing.T) {
	for _, c := range []struct {
		text string
		want int // -1 = an error
	}{{"0", 0}, {" 12", 12}, {"2147483647", 2147483647}, {"2147483648", -1}, {"01", -1}, {"", -1}, {"-1", -1}, {`"1"`, -1}} {
		var s Scanner
		s.Reset([]byte(c.text))
		got, err := s.Whole()
		if err != nil {
			got = -1
		}
		if got != c.want {
			t.Errorf("Whole(%q) = %d, want %d", c.text, got, c.want)
		}
	}
}
