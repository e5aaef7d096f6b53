package jsontext

import (
	"bytes"
	"encoding/json"
	"reflect"
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

// FuzzScanner: the scanner finds in any bytes what encoding/json finds, but that
// it refuses broken UTF-8 and what is nested too deep.
func FuzzScanner(f *testing.F) {
	for _, v := range values {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Scanner
		s.Reset(data)
		raw, err := s.Raw()
		if err == nil {
			err = s.End()
		}
		valid := json.Valid(data)
		if err != nil {
			deep := bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxDepth
			if valid && utf8.Valid(data) && !deep {
				t.Fatalf("it was refused: %v", err)
			}
			return
		}
		if !valid {
			t.Fatal("it was taken for JSON")
		}
		if trimmed := bytes.Trim(data, " \t\r\n"); !bytes.Equal(raw, trimmed) {
			t.Fatalf("it is %q, want %q", raw, trimmed)
		}
		switch KindOf(data) {
		case String:
			var want string
			if err := json.Unmarshal(data, &want); err != nil || Unquote(raw) != want {
				t.Fatalf("the text is %q, want %q (%v)", Unquote(raw), want, err)
			}
		case Object:
			var want map[string]json.RawMessage
			got := map[string]json.RawMessage{}
			for name, value := range Members(raw) {
				got[name] = value
			}
			if err := json.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("the members are %q, want %q (%v)", got, want, err)
			}
		case Array:
			var want []json.RawMessage
			got := []json.RawMessage{}
			for element := range Elements(raw) {
				got = append(got, element)
			}
			if err := json.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("the elements are %q, want %q (%v)", got, want, err)
			}
		case Number:
			if NumberEnd(raw, 0) != len(raw) {
				t.Fatalf("the number ends at byte %d", NumberEnd(raw, 0))
			}
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

func TestKinds(t *testing.T) {
	for text, want := range map[string]Kind{
		"": Missing, " \n": Missing, "null": Null, "true": Boolean, "false": Boolean, "0": Number, "-1": Number, `"a"`: String, " [1]": Array, "\t{}": Object,
	} {
		if got := KindOf([]byte(text)); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}
