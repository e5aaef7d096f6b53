package records

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"hotreader"
)

// read returns all cells of a text; of lines that cannot be read, what is wrong.
func read(text string, delimiter rune) (all []string) {
	t := NewTable(strings.NewReader(text), delimiter)
	for {
		r, err := t.Next()
		switch bad, isBad := errors.AsType[*BadRecord](err); {
		case errors.Is(err, io.EOF):
			return all
		case isBad:
			all = append(all, fmt.Sprintf("%d: %v", bad.Line, bad.Err))
		case err != nil:
			return append(all, err.Error())
		default:
			all = append(all, fmt.Sprintf("%d: %q", r.Line, r.Cells))
		}
	}
}

func TestTable(t *testing.T) {
	for _, c := range []struct {
		text      string
		delimiter rune
		want      string
	}{
		{"a,b\n1,2\r\n\n3,4", ',', `1: ["a" "b"]|2: ["1" "2"]|4: ["3" "4"]`},
		{" a , \"b, c\" ,\n", ',', `1: ["a" "b, c" ""]`},
		{"\"a \"\"b\"\"\",5\" x\n", ',', `1: ["a \"b\"" "5\" x"]`},
		{"\"two\nlines\",b\nc,d\n", ',', `1: ["two\nlines" "b"]|3: ["c" "d"]`},
		{"a\t\t b\n", '\t', `1: ["a" "" "b"]`},
		{"  a   b \"c d\"\n", ' ', `1: ["a" "b" "c d"]`},
		{"a,\"b\nc,d\ne,f\n", ',', `1: a quote is not closed|2: ["c" "d"]|3: ["e" "f"]`},
		{"a,\"b\nc,\"d\"\n", ',', `1: a quote is not closed|2: ["c" "d"]`},
		{"a,\xff\nb,c\n", ',', "1: " + ErrEncoding.Error() + `|2: ["b" "c"]`},
		{"a," + strings.Repeat("x", maxRecord) + "\n", ',', "1: " + errLong.Error()},
	} {
		if got := strings.Join(read(c.text, c.delimiter)[:min(len(read(c.text, c.delimiter)), 3)], "|"); !strings.HasPrefix(got, c.want) {
			t.Errorf("%.60q: %s, want %s", c.text, got, c.want)
		}
	}
}

// A file full of quotes that are not closed is read in one go, not again and again.
func TestStrayQuotes(t *testing.T) {
	n := 0
	for _, line := range read(strings.Repeat("a,\"b\n", 200_001), ',') {
		if strings.HasSuffix(line, "a quote is not closed") {
			n++
		}
	}
	if n == 0 {
		t.Error("no line is bad")
	}
}

// What package csv reads, a Table reads the same, but for blanks around cells.
func FuzzTable(f *testing.F) {
	for _, text := range []string{"a,b\n1,\"2\n3\"\n", "\"a\"\"b\",\n", "a,\"b", "\xff", "a\"b,c\r\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := read(text, ',')
		want, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || strings.ContainsAny(text, " \t\r\v\f\u0085\u00a0") || slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "UTF-8") }) {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
		for i := range want {
			if _, cells, _ := strings.Cut(got[i], ": "); cells != fmt.Sprintf("%q", want[i]) {
				t.Errorf("%q: %s, want %q", text, cells, want[i])
			}
		}
	})
}

// objects returns the objects of a text with their lines.
func objects(text string, shape Shape) (all []string) {
	in := NewJSON(strings.NewReader(text), shape)
	for {
		object, line, err := in.Next()
		switch bad, isBad := errors.AsType[*BadRecord](err); {
		case errors.Is(err, io.EOF):
			return all
		case isBad:
			all = append(all, fmt.Sprintf("%d: bad", bad.Line))
			continue
		case err != nil:
			return append(all, err.Error())
		}
		entry := fmt.Sprintf("%d:", line)
		err = in.Fields(object, func(f Field) error {
			entry += fmt.Sprintf(" %s=%s", f.Name, f.Value)
			return nil
		})
		if err != nil {
			entry += " " + err.Error()
		}
		all = append(all, entry)
	}
}

func TestJSON(t *testing.T) {
	for _, c := range []struct {
		text  string
		shape Shape
		want  string
	}{
		{"{\"a\":1}\n\n{\"a\":2}", Shape{Lines: true}, "1: a=1|3: a=2"},
		{"{\"a\":1}{\"a\":2}\n{\"a\":3},\n", Shape{Lines: true}, "1: a=1|1: a=2|2: a=3"},
		{"{\"a\":\n{\"a\":2}\n", Shape{Lines: true}, "1: bad|2: a=2"},
		{"[{\"a\":{\"b\":1,\"c\":{}}},\n null, {\"a\":[1,{\"x\":\"]\"}]}]", Shape{}, `1: a.b=1|2: a="[1,{\"x\":\"]\"}]"`},
		{"{\"n\":1,\"x\":{\"r\":[0]},\"d\":{\"r\":[{\"a\":1},{\"a\":2}],\"m\":\"{\"},\"z\":[]}\n{\"d\":{\"r\":[{\"a\":3}]}}", Shape{Path: []string{"d", "r"}}, "1: a=1|1: a=2|2: a=3"},
		{`{"Item":{"a":{"N":"1.50"},"b":{"M":{"c":{"S":"x"}}},"d":{"NS":["1","2"]},"e":{"NULL":true}}}`, Shape{Inner: []string{"Item"}, Typed: true}, `1: a=1.50 b.c="x" d="[1,2]" e=null`},
		{`{"Keys":{}}`, Shape{Inner: []string{"Item"}}, `1: it has no object "Item", in which others have their values`},
		{`{"a":NaN,"b":-Infinity,"c":"\ud83d\ude00"}`, Shape{}, `1: a=null b=null c="😀"`},
		{`{"a":"\ud83d"}`, Shape{}, `1: "a" has half of a surrogate pair, which no text can hold`},
		{`[{"a":1}`, Shape{}, "1: a=1|import: line 1: the document is cut short"},
		{`{"a":1`, Shape{}, "import: line 1: the document is cut short"},
		{strings.Repeat("[", 128) + `{"a":1}` + strings.Repeat("]", 128), Shape{}, "1: a=1"},
		{"[{\"a\":1},\n" + strings.Repeat("[", 128), Shape{}, "1: a=1|import: line 2: arrays are nested deeper than 128"},
		{`[1]`, Shape{}, `import: line 1: expected a JSON object for each time, got '1'`},
		{`{"a":{"N":"x"}}`, Shape{Typed: true}, `1: "x" is no number`},
	} {
		if got := strings.Join(objects(c.text, c.shape), "|"); got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
}

// Any bytes end, with records or an error.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{`[{"a":1},{"b":{"N":"1"}}]`, `{"d":{"r":[{"a":"x"}]}}`, "{}\n{}", `{"a":[`, `{"Item":{"a":{"L":[{"S":"x"}]}}}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, shape := range []Shape{{}, {Lines: true}, {Path: []string{"d", "r"}}, {Inner: []string{"Item"}, Typed: true}} {
			in := NewJSON(strings.NewReader(text), shape)
			for range len(text) + 1 {
				object, _, err := in.Next()
				if _, bad := errors.AsType[*BadRecord](err); bad {
					continue
				}
				if err != nil {
					break
				}
				_ = in.Fields(object, func(f Field) error {
					if f.Value.Kind() == hotreader.Number && !hotreader.IsNumber(f.Value.Text()) {
						t.Errorf("%q: the number %q", text, f.Value.Text())
					}
					return nil
				})
			}
		}
	})
}

func nextOf(j *JSON) func() error {
	return func() error { _, _, err := j.Next(); return err }
}

// Blanks are passed over, and not for ever.
func TestBlankLines(t *testing.T) {
	for _, n := range []int{maxBlank - 99, maxBlank + 99} {
		blanks := strings.Repeat("\n", n)
		table := NewTable(strings.NewReader("a\n"+blanks+"b\n"), ',')
		for name, next := range map[string]func() error{
			"table": func() error { _, err := table.Next(); return err },
			"lines": nextOf(NewJSON(strings.NewReader("{}\n"+blanks+"{}\n"), Shape{Lines: true})),
			"JSON":  nextOf(NewJSON(strings.NewReader("{}"+blanks+"{}"), Shape{})),
		} {
			err := errors.Join(next(), next())
			if (err != nil) != (n > maxBlank) || err != nil && !strings.Contains(err.Error(), "bytes of blanks") {
				t.Errorf("%s, %d: %v", name, n, err)
			}
		}
	}
}
