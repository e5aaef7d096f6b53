package jsontext

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzAppendString: a text is spelled as encoding/json spells it outside HTML,
// and in ASCII it is the same text.
func FuzzAppendString(f *testing.F) {
	for _, text := range []string{"", "a", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "é\u2028\u2029漢\U0001F600", "</script>&", "bad \xff\xc3 end", "\xe2\x80", "\ufffd"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(string(text)); err != nil {
			t.Fatal(err)
		}
		got := AppendString([]byte("x"), text)
		if string(got)+"\n" != "x"+want.String() {
			t.Fatalf("%q became %s, want %s", text, got[1:], want.String())
		}
		if again := AppendString([]byte("x"), string(text)); !bytes.Equal(again, got) {
			t.Fatalf("%q became %s as a string, %s as bytes", text, again, got)
		}
		ascii := string(AppendASCII(nil, string(text)))
		if strings.ContainsFunc(ascii, func(r rune) bool { return r < ' ' || r > '~' }) || Unquote([]byte(ascii)) != Unquote(got[1:]) {
			t.Fatalf("%q became %q in ASCII", text, ascii)
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	dst := make([]byte, 0, 100)
	text := []byte("a\n\"é\u2028\xff")
	if n := testing.AllocsPerRun(100, func() { dst = AppendString(dst[:0], text) }); n != 0 {
		t.Errorf("%v allocations for a string written", n)
	}
	var s Scanner
	data := []byte(`{"plain":"text","\u0061":["\ud83d\ude00\n",-1.5e3,true,null,"é"]}`)
	if n := testing.AllocsPerRun(100, func() {
		s.Reset(data)
		if s.Skip() != nil {
			t.Error("it is no JSON")
		}
	}); n != 0 {
		t.Errorf("%v allocations for a value read", n)
	}
}
