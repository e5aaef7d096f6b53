package jsonscan

import (
	"bytes"
	"encoding/json"
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
