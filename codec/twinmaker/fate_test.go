package twinmaker

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/catalog"
)

// What is left of a query's values decides whether it has an answer. TwinMaker's has
// no place for warnings, so there each property must have one; else all together.
func TestNothingLeftIsAnError(t *testing.T) {
	long := `"` + strings.Repeat("x", 257) + `"`
	for _, c := range []struct {
		name, rows string
		types      []hotreader.Type // of a and b
		told       string           // the error where warnings are told; "" = none
		strict     string           // where they are not
	}{
		{"nothing is stored", "- -", nil, "", ""},
		{"all is there", "1 true", nil, "", ""},
		{"one has no values", "1 -", nil, "", ""},
		{"one of a wrong type", `1 "abc"`, []hotreader.Type{hotreader.Double, hotreader.Double},
			"", "no value of b is left: b: 1 value left out, not of the property's type; the type is DOUBLE, what is stored is STRING; a query for the other properties alone is answered"},
		{"both of a wrong type", `"x" "abc"`, []hotreader.Type{hotreader.Double, hotreader.Double},
			"no value is left: a: 1 value left out, not of the property's type; the type is DOUBLE, what is stored is STRING; b: 1 value left out, not of the property's type; the type is DOUBLE, what is stored is STRING",
			"no value is left: a: 1 value left out, not of the property's type; the type is DOUBLE, what is stored is STRING; b: 1 value left out, not of the property's type; the type is DOUBLE, what is stored is STRING"},
		{"a wrong type beside nothing", `- "abc"`, []hotreader.Type{hotreader.Double, hotreader.Double},
			"no value is left: b: 1 value", "no value is left: b: 1 value"},
		{"beyond a double", "1e400 true", nil, "", "no value of a is left: a: 1 value"},
		{"text of 257 characters", "1 " + long, nil, "", "no value of b is left: b: 1 value"},
		{"empty text", `1 ""`, nil, "", "no value of b is left: b: 1 value"},
	} {
		for name, answer := range map[string]func(*Responder, Request) ([]byte, error){
			"history":    func(r *Responder, req Request) ([]byte, error) { return r.AppendHistory(t.Context(), nil, req) },
			"last entry": func(r *Responder, req Request) ([]byte, error) { return r.AppendLastEntry(t.Context(), nil, req) },
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				req := ask("a", "b")
				req.Query.Types = c.types
				for told, want := range map[bool]string{true: c.told, false: c.strict} {
					rows := rowsOf(t, "a b\n2024-03-01T00:00:00Z "+c.rows)
					_, err := answer(&Responder{Reader: rows, Warnings: told}, req)
					if want == "" && err != nil || want != "" && (!errors.Is(err, hotreader.CodeUnreadable) || !strings.Contains(err.Error(), want)) {
						t.Errorf("told %v: %v; want %q", told, err, want)
					}
				}
			})
		}
	}
}

// The nextToken carries what was given, so that the last page decides over all.
func TestNothingLeftOverPages(t *testing.T) {
	const a, b = "2024-03-01T00:00:0", "\n"
	for name, c := range map[string]struct {
		rows string
		want string
	}{
		"given on the first page, left out on the last": {a + "0Z 1 5" + b + a + "1Z 2 \"x\"" + b + a + "2Z 3 \"y\"", ""},
		"left out on the first page, given on the last": {a + "0Z 1 \"x\"" + b + a + "1Z 2 -" + b + a + "2Z 3 5", ""},
		"left out on the first page, then not there":    {a + "0Z 1 \"x\"" + b + a + "1Z 2 -" + b + a + "2Z 3 -", "no value of b is left: all were left out on the pages before"},
		"left out on every page":                        {a + "0Z 1 \"x\"" + b + a + "1Z 2 \"x\"" + b + a + "2Z 3 \"x\"", "no value of b is left: b: 1 value"},
	} {
		for _, interval := range []time.Duration{0, time.Second} {
			req := ask("a", "b")
			req.Query.Types = []hotreader.Type{hotreader.Double, hotreader.Double}
			req.Query.Start, req.Interpolation, req.MaxResults = instant(t, a+"0Z"), interval, 2
			responder, err, pages := &Responder{Reader: rowsOf(t, "a b\n"+c.rows)}, error(nil), 0
			for more := true; more && err == nil; pages++ {
				var body []byte
				if body, err = responder.AppendHistory(t.Context(), nil, req); err == nil {
					var a answer
					if err := json.Unmarshal(body, &a); err != nil {
						t.Fatal(err)
					}
					if more = a.NextToken != nil; more {
						req.NextToken = *a.NextToken
					}
				}
			}
			if pages < 2 || c.want == "" && err != nil || c.want != "" && (!errors.Is(err, hotreader.CodeUnreadable) || interval == 0 && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s, interval %v: %v after %d pages; want %q", name, interval, err, pages, c.want)
			}
		}
	}
}

func TestWarningsInTheAnswer(t *testing.T) {
	r := func() *rowsReader { return rowsOf(t, "a b\n2024-03-01T00:00:00Z 1 2\n2024-03-01T00:00:01Z \"x\" 3") }
	req := ask("a", "b")
	req.Query.Types = []hotreader.Type{hotreader.Double, hotreader.Double}
	const want = `],"warnings":[{"code":"wrong_type","property":"a","count":1,"message":"a: 1 value left out, not of the property's type; the type is DOUBLE, what is stored is STRING"}]`
	body, err := (&Responder{Reader: r(), Warnings: true}).AppendHistory(t.Context(), nil, req)
	if err != nil || !strings.HasSuffix(string(body), want+"}") {
		t.Errorf("%s, %v", body, err)
	}
	body, err = (&Responder{Reader: r(), Warnings: true}).AppendLastEntry(t.Context(), nil, req)
	if err != nil || !strings.HasSuffix(string(body), "}"+want[1:]+"}") {
		t.Errorf("%s, %v", body, err)
	}
	req.Warnings = true // as the doctor asks
	if body, err = (&Responder{Reader: r()}).AppendHistory(t.Context(), nil, req); err != nil || !strings.HasSuffix(string(body), want+"}") {
		t.Errorf("%s, %v", body, err)
	}
	req.Warnings = false
	if body, err = (&Responder{Reader: r()}).AppendHistory(t.Context(), nil, req); err != nil || strings.Contains(string(body), "warnings") {
		t.Errorf("TwinMaker's answer has no place for them: %s, %v", body, err)
	}
}

// doubting is a Reader that warns of b, of which it has looked at no value.
type doubting struct{ hotreader.Reader }

func (d doubting) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.UnknownProperty, Property: "b"})
	return d.Reader.Read(ctx, q)
}

// A property that pages before had, or that the catalogue lists beside one that was found,
// is not unknown.
func TestKnownPropertiesAreNotUnknown(t *testing.T) {
	const a = "a b\n2024-03-01T00:00:0"
	for _, c := range []struct {
		name, rows string
		names      []string
		catalog    bool
		want       bool
	}{
		{"on the page before", a + "0Z 1 5\n2024-03-01T00:00:01Z 2 -", []string{"a", "b"}, false, false},
		{"nowhere", a + "0Z 1 -\n2024-03-01T00:00:01Z 2 -", []string{"a", "b"}, false, true},
		{"listed", a + "0Z 1 -\n2024-03-01T00:00:01Z 2 -", []string{"a", "b"}, true, false},
		{"listed, in a gap", "a b", []string{"a", "b"}, true, false},
		{"listed, and all that is asked for", "b", []string{"b"}, true, true},
	} {
		req := ask(c.names...)
		req.Warnings, req.MaxResults, req.Query.Start = true, len(c.names), instant(t, "2024-03-01T00:00:00Z")
		if c.catalog {
			req.Unlisted.Instead = []catalog.Property{{Name: "a"}, {Name: "b"}}
		}
		var last string
		for more := true; more; {
			body, err := (&Responder{Reader: doubting{rowsOf(t, c.rows)}}).AppendHistory(t.Context(), nil, req)
			var a answer
			if err != nil || json.Unmarshal(body, &a) != nil {
				t.Fatalf("%s: %s, %v", c.name, body, err)
			}
			if more = a.NextToken != nil; more {
				req.NextToken = *a.NextToken
			}
			last = string(body)
		}
		if strings.Contains(last, "unknown_property") != c.want {
			t.Errorf("%s: %s", c.name, last)
		}
	}
}

// Latest values that the look-back did not reach are not the same as none.
func TestLookBackEnded(t *testing.T) {
	r := seconds(50, "a", "b")
	for i := range r.rows {
		if i > 9 {
			r.rows[i].Values[0] = hotreader.Value{}
		}
	}
	for _, c := range []struct {
		responder Responder
		names     []string
		fails     bool
	}{
		{Responder{LookBack: 41}, []string{"a"}, false},
		{Responder{LookBack: 40}, []string{"a"}, true},
		{Responder{LookBack: 40}, []string{"a", "b"}, false},
		{Responder{LookBack: 40, Warnings: true}, []string{"a"}, false},
		{Responder{}, []string{"a"}, false},
	} {
		c.responder.Reader = r
		var stats hotreader.Stats
		body, err := c.responder.AppendLastEntry(hotreader.WithStats(t.Context(), &stats), nil, ask(c.names...))
		if c.fails != (errors.Is(err, ErrLookBack) && errors.Is(err, hotreader.CodeNotFound)) || !c.fails && err != nil {
			t.Errorf("%+v, %q: %s, %v", c.responder, c.names, body, err)
		}
		if ended := c.responder.LookBack == 40; ended != (len(stats.Warnings()) == 1) || strings.Contains(string(body), `"look_back"`) != c.responder.Warnings {
			t.Errorf("%+v, %q: %s, %v", c.responder, c.names, body, stats.Warnings())
		}
	}
}
