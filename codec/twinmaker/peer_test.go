package twinmaker

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"hotreader"
)

func rowsText(rows []hotreader.Row) string {
	var b strings.Builder
	for _, r := range rows {
		if !r.Time.IsZero() {
			b.Write(hotreader.AppendTime(nil, r.Time))
		}
		fmt.Fprintln(&b, "", r.Values)
	}
	return b.String()
}

// TestPitfall05OldPeersDialects: an older peer's answer becomes rows, with either spelling
// of the keys and with numbers as text.
func TestPitfall05OldPeersDialects(t *testing.T) {
	q := hotreader.Query{Device: "d", Properties: []string{"mode", "temperature", "missing"}}
	a, err := ParseHistoryAnswer(file(t, "peers", "history.json"), q)
	if err != nil || a.NextToken != "more" {
		t.Fatalf("token %q, %v", a.NextToken, err)
	}
	want := `2024-03-01T00:00:00.000Z ["néw" 1.50 null]
2024-03-01T00:00:01.000Z [null 2e0 null]
2024-03-01T00:00:02.500Z [null 3.250 null]
2024-03-01T00:00:03.000Z [true null null]
`
	if got := rowsText(a.Rows); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}

	q.Properties = append(q.Properties, "gone", "gone2")
	a, err = ParseLastEntryAnswer(file(t, "peers", "last-entry.json"), q)
	if err != nil || rowsText(a.Rows) != " [\"run\" 96.90386085 null null null]\n" {
		t.Errorf("%s%v", rowsText(a.Rows), err)
	}
}

func TestLastEntryAnswerWithTimes(t *testing.T) {
	q := hotreader.Query{Device: "d", Properties: []string{"a", "b", "c"}}
	a, err := ParseLastEntryAnswer([]byte(`{"propertyValues":{
		"a":{"propertyValue":{"doubleValue":1},"time":"2024-03-01T00:00:01Z"},
		"b":{"propertyValue":{"doubleValue":2},"timestamp":1709251202},
		"c":{"propertyValue":{"doubleValue":3},"time":"2024-03-01T00:00:01.000Z"}}}`), q)
	if err != nil || rowsText(a.Rows) != "2024-03-01T00:00:02.000Z [null 2 null]\n2024-03-01T00:00:01.000Z [1 null 3]\n" {
		t.Errorf("%s%v", rowsText(a.Rows), err)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	q := hotreader.Query{Device: "d", Properties: []string{"a"}}
	series := func(values string) string {
		return `{"propertyValues":[{"entityPropertyReference":{"propertyName":"a"},"values":[` + values + `]}]}`
	}
	for _, c := range []struct {
		body, says string
		last       bool // also of last entry
	}{
		{"", "an empty body", true},
		{" \n", "an empty body", true},
		{"<!DOCTYPE html><title>502</title>", "HTML", true},
		{"upstream connect error", "text that is not JSON", true},
		{"null", "null", true},
		{"[]", "an array", true},
		{`"{\"propertyValues\":[]}"`, "the string", true},
		{`{"propertyValues":[`, "broken or cut JSON (19 bytes)", true},
		{`{"propertyValues":[]}x`, "broken or cut JSON", true},
		{"{}", "an object without propertyValues (it has: )", true},
		{`{"items":[],"next_token":"x"}`, `an object without propertyValues (it has: "items", "next_token")`, true},
		{`{"errorMessage":"secret detail","errorType":"X"}`, `(it has: "errorMessage", "errorType")`, true},
		{`{"propertyValues":null}`, "propertyValues is null", true},
		{`{"propertyValues":7}`, "propertyValues is the number 7", true},
		{strings.Repeat(`{"propertyValues":`, 100), "nests deeper", true},
		{`{"propertyValues":{}}`, "propertyValues is an object", false},
		{`{"propertyValues":[7]}`, "is of type number", false},
		{`{"propertyValues":[{"values":[]}]}`, "a series without entityPropertyReference.propertyName", false},
		{`{"propertyValues":[],"nextToken":7}`, "nextToken is the number 7", false},
		{series(`7`), "is of type number", false},
		{series(`{}`), "a: point 1 has missing for its time", false},
		{series(`{"time":7,"value":{"doubleValue":1}}`), "a: point 1 has the number 7 for its time", false},
		{series(`{"time":"noon","value":{"doubleValue":1}}`), `a: point 1 has the string "noon" for its time`, false},
		{series(`{"timestamp":1e30,"value":{"doubleValue":1}}`), `a: point 1 has`, false},
		{series(`{"time":"2024-03-01T00:00:00Z"}`), "a: point 1 has no value", false},
		{series(`{"time":"2024-03-01T00:00:00Z","value":null}`), "a: point 1 has no value", false},
		{series(`{"time":"2024-03-01T00:00:00Z","value":{}}`), "a: point 1 holds no value", false},
		{series(`{"time":"2024-03-01T00:00:00Z","value":{"doubleValue":{}}}`), "a: point 1 has a doubleValue that is an object; expected a number", false},
		{series(`{"time":"2024-03-01T00:00:00Z","value":{"doubleValue":1,"longValue":1}}`), "holds both doubleValue and longValue", false},
		{series(`{"time":"2024-03-01T00:00:00Z","value":1}`), "is of type number", false},
	} {
		_, err := ParseHistoryAnswer([]byte(c.body), q)
		if !errors.Is(err, hotreader.CodeProtocol) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v; want one that says %q", c.body, err, c.says)
		}
		if c.last {
			if _, err := ParseLastEntryAnswer([]byte(c.body), q); !errors.Is(err, hotreader.CodeProtocol) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("last entry: %s: error %v; want one that says %q", c.body, err, c.says)
			}
		}
	}
	for body, says := range map[string]string{
		`{"propertyValues":[]}`:                                                      "propertyValues is an array",
		`{"propertyValues":{"a":7}}`:                                                 "is of type number",
		`{"propertyValues":{"a":{"propertyValue":7}}}`:                               "is of type number",
		`{"propertyValues":{"a":{"propertyValue":{"doubleValue":true}}}}`:            "a has a doubleValue that is the boolean true",
		`{"propertyValues":{"a":{"propertyValue":{"doubleValue":1},"time":"noon"}}}`: `a has the string "noon" for its time`,
	} {
		if _, err := ParseLastEntryAnswer([]byte(body), q); !errors.Is(err, hotreader.CodeProtocol) || !strings.Contains(err.Error(), says) {
			t.Errorf("last entry: %s: error %v; want one that says %q", body, err, says)
		}
	}
}

// TestWhatAPeerLeavesOutIsCounted: numeric text of an older peer that is no number
// is no point; and its own warnings are taken over.
func TestWhatAPeerLeavesOutIsCounted(t *testing.T) {
	q := hotreader.Query{Device: "d", Properties: []string{"a"}}
	const warnings = `"warnings":[{"code":"wrong_type","property":"a","count":3,"message":"a: 3 values left out, not of the property's type"},
		{"code":"look_back","property":"b","message":"of what nobody asked for"},{"code":"new_reason","message":"what a newer peer says"}]`
	const want = "a: 3 values left out, not of the property's type|new_reason; what a newer peer says|a: 1 value unreadable|"
	check := func(a PeerAnswer, err error, rows string) {
		t.Helper()
		text := ""
		for _, w := range a.Warnings {
			text += w.String() + "|"
		}
		if err != nil || rowsText(a.Rows) != rows || text != want {
			t.Errorf("%s%s, %v", rowsText(a.Rows), text, err)
		}
	}
	a, err := ParseHistoryAnswer([]byte(`{"propertyValues":[{"entityPropertyReference":{"propertyName":"a"},"values":[
		{"time":"2024-03-01T00:00:00Z","value":{"doubleValue":"NaN"}},{"time":"2024-03-01T00:00:01Z","value":{"doubleValue":" 1 "}}]}],`+warnings+`}`), q)
	check(a, err, "2024-03-01T00:00:00.000Z [null]\n2024-03-01T00:00:01.000Z [1]\n")
	a, err = ParseLastEntryAnswer([]byte(`{"propertyValues":{"a":{"propertyValue":{"doubleValue":"Infinity"}}},`+warnings+`}`), q)
	check(a, err, " [null]\n")
	for _, wrong := range []string{`7`, `{}`, `["x"]`, `[{"code":"NOT A WORD"}]`, `[{"message":"no code"}]`, `[{"code":"x","count":-1}]`, `[{"code":"x","count":1e30}]`} {
		if _, err := ParseHistoryAnswer([]byte(`{"propertyValues":[],"warnings":`+wrong+`}`), q); !errors.Is(err, hotreader.CodeProtocol) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// TestOnlyWhatNobodyAskedFor is no empty answer.
func TestOnlyWhatNobodyAskedFor(t *testing.T) {
	q := hotreader.Query{Device: "d", Properties: []string{"a", "b"}}
	const other, asked = `{"entityPropertyReference":{"propertyName":"x"},"values":[]}`, `{"entityPropertyReference":{"propertyName":"b"},"values":[]}`
	for body, ok := range map[string]bool{`[` + other + `]`: false, `[` + other + `,` + asked + `]`: true, `[]`: true} {
		if _, err := ParseHistoryAnswer([]byte(`{"propertyValues":`+body+`}`), q); ok != (err == nil) || !ok && !errors.Is(err, hotreader.CodeProtocol) {
			t.Errorf("%s: %v", body, err)
		}
	}
	for body, ok := range map[string]bool{`{"x":{}}`: false, `{"x":{},"b":{}}`: true, `{}`: true} {
		if _, err := ParseLastEntryAnswer([]byte(`{"propertyValues":`+body+`}`), q); ok != (err == nil) || !ok && !errors.Is(err, hotreader.CodeProtocol) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestOurAnswersAreReadBack: this package reads its own answers back as the same rows.
func TestOurAnswersAreReadBack(t *testing.T) {
	req := machineRequest(t)
	body, err := (&Responder{Reader: machine(t)}).AppendHistory(t.Context(), nil, req)
	if err != nil {
		t.Fatal(err)
	}
	a, err := ParseHistoryAnswer(body, req.Query)
	if err != nil {
		t.Fatal(err)
	}
	rows := a.Rows
	i := 0
	for want, err := range machine(t).Read(t.Context(), req.Query) {
		if err != nil || i >= len(rows) || !rows[i].Time.Equal(want.Time) {
			t.Fatalf("row %d: %v, %v", i, want, err)
		}
		for j, v := range want.Values {
			if v.Kind() == hotreader.String {
				v = hotreader.StringValue([]byte(strings.ToValidUTF8(string(v.Text()), "\ufffd")))
			}
			if got := rows[i].Values[j]; !hotreader.Same(got, v) && !strings.Contains(v.String(), "bad") {
				t.Errorf("row %d, property %d: %v; want %v", i, j, got, v)
			}
		}
		i++
	}
	if i != len(rows) || i != 5 {
		t.Errorf("%d rows; want %d", len(rows), i)
	}
}

func FuzzParseAnswers(f *testing.F) {
	f.Add(file(f, "peers", "history.json"))
	f.Add(file(f, "peers", "last-entry.json"))
	f.Add(file(f, "answers", "history.json"))
	f.Add(file(f, "answers", "last-entry.json"))
	f.Add([]byte("<html>"))
	f.Add([]byte(`{"propertyValues":[{"entityPropertyReference":{"propertyName":"a"},"values":[{"timestamp":-1.5,"value":{"longValue":"-0"}}]}]}`))
	q := hotreader.Query{Device: "d", Properties: []string{"temperature", "mode", "a"}}
	check := func(t *testing.T, rows []hotreader.Row, err error, way int) {
		if err != nil {
			if !errors.Is(err, hotreader.CodeProtocol) || rows != nil {
				t.Fatal(err)
			}
			return
		}
		for i, r := range rows {
			if len(r.Values) != len(q.Properties) {
				t.Fatalf("row %d has %d values", i, len(r.Values))
			}
			if i > 0 && r.Time.Compare(rows[i-1].Time) != way {
				t.Fatalf("row %d at %v comes after one at %v", i, r.Time, rows[i-1].Time)
			}
			for _, v := range r.Values {
				if v.Kind() == hotreader.Number && !hotreader.IsNumber(v.Text()) {
					t.Fatalf("%v is no number", v)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := ParseHistoryAnswer(body, q)
		check(t, a.Rows, err, 1)
		a, err = ParseLastEntryAnswer(body, q)
		check(t, a.Rows, err, -1)
	})
}
